//! Teleport refuses the plugin itself: its user is locked or deleted. The daemon takes no request for gone, logs the
//! remedy, and continues when Teleport accepts it again.

use access_sim::teleport::fixture::Fixture;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::{Options, ServerVersion};

use crate::harness::*;
use crate::teleport_faults::{TEAM, assert_posted_once, create_request_and_during_post};

type Change = fn(&mut Fixture);

/// How the plugin is shut out, what the log says, and how the plugin gets access again.
const LOCKOUTS: [(Change, &str, Change); 2] = [
    (
        |fixture| fixture.locked.push(PLUGIN_USER.to_owned()),
        "access denied; the plugin's Teleport user is shut out: look for a lock on it with `tctl get locks`",
        |fixture| fixture.locked.clear(),
    ),
    (
        |fixture| fixture.users.retain(|user| user.name != PLUGIN_USER),
        "user \"access-plugin\" not found; the plugin's Teleport user was deleted: make it again",
        |fixture| fixture.users = Fixture::golden().users,
    ),
];

async fn new_bed() -> TestBed {
    TestBed::with_options(Options::new(ServerVersion::V15, Fixture::golden()), workspace()).await
}

#[test]
fn a_post_made_when_the_plugin_was_shut_out_is_recorded_afterwards() {
    run_in_process(async {
        for (shut_out, words, let_in) in LOCKOUTS {
            let bed = new_bed().await;
            let daemon = bed.start(TEAM).await;
            let id =
                create_request_and_during_post(&bed, &daemon, || bed.teleport.edit_fixture(shut_out)).await;
            let line = bed.until_warned(&daemon, words).await;
            assert!(line.contains("ERROR"), "{line}");
            assert_eq!(field(&bed.record(&id), "messages"), "");
            bed.teleport.edit_fixture(let_in);
            bed.until_recorded(&daemon, &id, |record| field(record, "messages").starts_with("C0TEAM/")).await;
            assert_posted_once(&bed, &daemon, &id).await;
            let log = daemon.stop().await;
            assert!(!log.contains("The request is gone"), "{log}");
        }
    });
}

#[test]
fn the_daemon_waits_for_a_server_that_became_too_old() {
    run_in_process(async {
        let bed = new_bed().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let before = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;
        // An operator restores an old release, or another server answers at the address.
        bed.teleport.set_server_version("6.0.2");
        bed.teleport.restart().await.unwrap();
        let line = bed.until_warned(&daemon, "the auth server's version is \"6.0.2\"").await;
        assert!(
            line.contains(" ERROR ") && line.contains("6.1 or later is needed; upgrade Teleport"),
            "{line}"
        );
        bed.until_logged(&daemon, "Watcher still lost: the auth server's version").await;
        let id = bed.create_request();
        // The remedy.
        bed.teleport.set_server_version("15.1.9");
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &id).await;
        assert_eq!(daemon.get("/readyz").await.0, ::http::StatusCode::OK);
        assert_eq!(daemon.times_logged("ERROR Watcher lost"), 1);
        daemon.stop().await;
    });
}

#[test]
fn a_plugin_that_is_shut_out_at_start_waits_and_logs_the_remedy() {
    run_in_process(async {
        for (shut_out, words, let_in) in LOCKOUTS {
            let bed = new_bed().await;
            bed.teleport.edit_fixture(shut_out);
            let daemon = bed.launch(&bed.config_with_diagnostics(TEAM));
            let line = bed.until_warned(&daemon, words).await;
            assert!(
                line.contains(" ERROR Teleport does not let the plugin in, so the daemon waits: "),
                "{line}"
            );
            assert_eq!(daemon.get("/readyz").await.1, "not ready: Teleport has not answered yet\n");
            bed.teleport.edit_fixture(let_in);
            bed.until_logged(&daemon, "Ready").await;
            daemon.stop().await;
        }
    });
}
