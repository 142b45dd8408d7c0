//! Connects to a simulated cluster with an identity file, lists the access requests, and watches one being approved.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;

use access_core::domain::request::AccessRequest;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::{PLUGIN_USER, TCTL};
use access_sim::teleport::request::{NewRequest, RequestState};
use access_sim::teleport::{Options, TeleportSim};
use jiff::Timestamp;
use teleport_client::WatcherTimings;
use teleport_client::identity::Identity;
use teleport_client::observer::NoObserver;
use teleport_client::watcher::{WatchUpdate, Watcher};
use teleport_client::{Client, Credentials, TeleportAddr};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout()).await
}

async fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cluster = TeleportSim::start(Options::golden()).await?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("auth_id");
    // For a real cluster: tctl auth sign --format=file --user=access-plugin --out=auth_id
    std::fs::write(&file, cluster.credentials(PLUGIN_USER, CertOptions::default()).identity_file())?;
    let id =
        cluster.request_access("alice@example.com", NewRequest::roles(&["dba"], "to repair an index"))?;

    let identity = Identity::load(&Credentials::Identity(file), Timestamp::now())?;
    let addr = TeleportAddr::parse(&cluster.addr().to_string())?;
    let client = Client::new(&addr, &identity, Arc::new(NoObserver));
    let pong = client.ping().await?;
    writeln!(out, "{} is connected to {}", identity.user(), pong.cluster_name)?;

    let (sink, mut updates) = mpsc::channel(16);
    let watching = Watcher::new(client, WatcherTimings::default()).run(sink, CancellationToken::new());
    let showing = async {
        while let Some(update) = updates.recv().await {
            match update {
                // The first update, and again after each loss of the connection.
                WatchUpdate::Snapshot { requests, .. } => {
                    requests.iter().try_for_each(|request| show("listed", request, out))?;
                    cluster.set_state(TCTL, &id, RequestState::Approved, "until noon", "")?;
                }
                WatchUpdate::Changed(request) => {
                    show("changed", &request, out)?;
                    break;
                }
                WatchUpdate::Removed { id, .. } => writeln!(out, "removed: {id}")?,
                WatchUpdate::Disconnected { error } => writeln!(out, "the watcher connects again: {error}")?,
                // The plugin data of all requests.
                WatchUpdate::Records(_) => {}
            }
        }
        Ok(())
    };
    tokio::select! {
        () = watching => Ok(()),
        shown = showing => shown,
    }
}

fn show(how: &str, request: &AccessRequest, out: &mut impl Write) -> io::Result<()> {
    let AccessRequest { user, roles, state, reason, .. } = request;
    writeln!(out, "{how}: {user} requests {} ({reason}): {state:?}", roles.join(", "))
}

#[cfg(test)]
#[tokio::test]
async fn the_example_lists_a_request_and_shows_its_approval() {
    let mut out = Vec::new();
    run(&mut out).await.unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "access-plugin is connected to local-site\n\
         listed: alice@example.com requests dba (to repair an index): Pending\n\
         changed: alice@example.com requests dba (to repair an index): Approved\n"
    );
}
