use std::fs;
use std::sync::Arc;
use std::time::Duration;

use access_sim::teleport::call_log::Method;
use access_sim::teleport::certs::{CertOptions, Credentials as Signed};
use access_sim::teleport::{Options, TeleportSim};
use tempfile::TempDir;

use super::*;
use access_sim::captured::Captured;
use jiff::SignedDuration;
use teleport_client::TeleportAddr;
use teleport_client::observer::NoObserver;

/// Two users of the golden cluster, so that the server's event log shows which identity made a call.
const FIRST: &str = "access-plugin";
const SECOND: &str = "access-plugin-rw";

struct TestBed {
    sim: TeleportSim,
    dir: TempDir,
    /// What lies in the files at first.
    first: Signed,
    reloader: Reloader,
}

impl TestBed {
    async fn new() -> Self {
        let sim = TeleportSim::start(Options::golden()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let first = sim.credentials(FIRST, CertOptions::default());
        first.write_tls_files(dir.path(), "auth").unwrap();
        let file = |name: &str| dir.path().join(name);
        let source = Credentials::Files {
            client_key: file("auth.key"),
            client_crt: file("auth.crt"),
            root_cas: file("auth.cas"),
        };
        let identity = Identity::load(&source, Timestamp::now()).unwrap();
        let addr = TeleportAddr::parse(&sim.addr().to_string()).unwrap();
        let client = Client::new(&addr, &identity, Arc::new(NoObserver));
        let timings = FileTimings { poll: Duration::from_secs(60), retry: Duration::from_secs(10) };
        let reloader = Reloader::new(client, source, identity, Metrics::new(), timings);
        Self { sim, dir, first, reloader }
    }

    fn sign(&self, user: &str) -> Signed {
        self.sim.credentials(user, CertOptions::default())
    }

    fn write(&self, signed: &Signed) {
        signed.write_tls_files(self.dir.path(), "auth").unwrap();
    }

    async fn check(&mut self) {
        self.reloader.check(Timestamp::now()).await;
    }

    /// Looks twice: what is there at both looks counts.
    async fn settle(&mut self) {
        self.check().await;
        self.check().await;
    }

    /// The user that the server sees.
    async fn user(&self) -> String {
        self.reloader.client.ping().await.unwrap();
        self.sim.call_log().calls().pop().unwrap().user.unwrap()
    }
}

#[tokio::test]
async fn renewed_files_are_used_and_the_same_contents_again_are_no_change() {
    let mut bed = TestBed::new().await;
    let renewals = bed.reloader.client.connection_renewals();
    bed.settle().await;
    // The same again, as tools do that write whatever they find.
    bed.write(&bed.first);
    bed.settle().await;
    assert!(!renewals.has_changed().unwrap());
    assert_eq!(bed.sim.call_log().count(Method::Ping), 0, "the server was not bothered");
    assert_eq!(bed.user().await, FIRST);

    bed.write(&bed.sign(SECOND));
    bed.check().await;
    assert!(!renewals.has_changed().unwrap(), "the files may be half written");
    bed.check().await;
    assert!(renewals.has_changed().unwrap());
    assert_eq!(bed.user().await, SECOND);
    let calls = bed.sim.call_log().count(Method::Ping);
    bed.settle().await;
    assert_eq!(bed.sim.call_log().count(Method::Ping), calls, "there is nothing to try");
}

#[tokio::test]
async fn half_written_files_change_nothing_and_are_logged_once_if_they_stay() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let mut bed = TestBed::new().await;
    bed.settle().await;
    let second = bed.sign(SECOND);
    let key = bed.dir.path().join("auth.key");
    let half = &second.key_pem[..second.key_pem.len() / 2];
    fs::write(&key, half).unwrap();
    bed.check().await;
    assert!(!log.text().contains("WARN"), "it may be on its way: {}", log.text());
    for _ in 0..3 {
        bed.check().await;
    }
    let text = log.text();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(text.contains("the identity in use stays") && text.contains("auth.key"), "{text}");
    assert_eq!(bed.user().await, FIRST);

    // The key is there, the certificate not yet; then nothing at all; then everything.
    fs::write(&key, &second.key_pem).unwrap();
    bed.check().await;
    fs::remove_file(&key).unwrap();
    bed.check().await;
    assert_eq!(bed.user().await, FIRST);
    bed.write(&second);
    bed.settle().await;
    assert_eq!(bed.user().await, SECOND);
    assert_eq!(log.text().matches("WARN").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn files_that_return_to_what_is_in_use_end_the_error() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let mut bed = TestBed::new().await;
    fs::write(bed.dir.path().join("auth.crt"), "").unwrap();
    bed.settle().await;
    bed.write(&bed.first);
    bed.settle().await;
    assert_eq!(log.text().matches("hold the identity in use again").count(), 1, "{}", log.text());
    // Contents that were in use before are back at the first look.
    fs::write(bed.dir.path().join("auth.crt"), "").unwrap();
    bed.settle().await;
    bed.write(&bed.first);
    bed.check().await;
    assert_eq!(log.text().matches("hold the identity in use again").count(), 2, "{}", log.text());
}

#[tokio::test]
async fn an_identity_that_the_server_refuses_is_not_used() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let mut bed = TestBed::new().await;
    let other_cluster = TeleportSim::start(Options::golden()).await.unwrap();
    let foreign = other_cluster.credentials(SECOND, CertOptions::default());
    let mut mixed = foreign.clone();
    mixed.cas_pem.clone_from(&bed.first.cas_pem);
    // From another cluster; from another cluster with our CAs; of a user who does not exist.
    let wrong = [foreign, mixed, bed.sign("nobody@example.com")];
    for signed in wrong {
        bed.write(&signed);
        bed.settle().await;
        assert_eq!(bed.user().await, FIRST);
    }
    assert_eq!(log.text().matches("WARN").count(), 3, "{}", log.text());
    bed.write(&bed.sign(SECOND));
    bed.settle().await;
    assert_eq!(bed.user().await, SECOND);
}

#[tokio::test]
async fn a_server_that_is_away_holds_nothing_up() {
    let mut bed = TestBed::new().await;
    bed.sim.stop().await;
    bed.write(&bed.sign(SECOND));
    bed.settle().await;
    bed.sim.restart().await.unwrap();
    assert_eq!(bed.user().await, SECOND);
}

#[tokio::test]
async fn an_expired_identity_is_replaced() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let mut bed = TestBed::new().await;
    bed.check().await;
    let end = bed.reloader.current.not_after();
    for hours in [-2, -1, 0, 1] {
        bed.reloader.check(end + SignedDuration::from_hours(hours)).await;
    }
    bed.write(&bed.sign(SECOND));
    bed.settle().await;
    assert_eq!(bed.user().await, SECOND);
    let lines: Vec<String> = log
        .text()
        .lines()
        .map(|line| line.split([':', '=']).next().unwrap_or_default().trim().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "WARN The certificate of the Teleport user access-plugin ends in 60 minutes",
            "ERROR The certificate of the Teleport user access-plugin has expired and Teleport accepts no new connection",
            "INFO The certificate was renewed and is in use teleport_user",
        ]
    );
    assert!(log.text().contains("`tctl auth sign") && log.text().contains("tbot"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn the_reloader_checks_at_once_and_repeatedly_until_it_is_stopped() {
    let TestBed { sim, dir, reloader, .. } = TestBed::new().await;
    let mut renewals = reloader.client.connection_renewals();
    let (stop, source) = (CancellationToken::new(), reloader.source.clone());
    let looking = reloader.run(watch::channel(source).1, stop.clone());
    let test = async {
        let second = sim.credentials(SECOND, CertOptions::default());
        second.write_tls_files(dir.path(), "auth").unwrap();
        renewals.changed().await.unwrap();
        stop.cancel();
    };
    tokio::join!(looking, test);
}
