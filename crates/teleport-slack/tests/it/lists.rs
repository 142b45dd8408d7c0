//! Lists that fail, are empty or are incomplete: the watch goes on, and a missing request does not count as deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat, WatchEnd};
use access_sim::teleport::fixture::{Fixture, Rule};
use access_sim::teleport::presets::{TCTL, plugin_rules};
use access_sim::teleport::refusal::{Code, RpcError};
use access_sim::teleport::request::{NewRequest, RequestState};
use access_sim::teleport::{Options, ServerVersion};
use futures_util::future;

use crate::harness::deciding::*;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const PENDING: &str = "⏳ PENDING";
const APPROVED: &str = "✅ APPROVED (ok)";
const MIB: usize = 1024 * 1024;

async fn bed_with_version(version: ServerVersion) -> TestBed {
    let options = Options {
        list_lag: Duration::ZERO,
        delete_delay: Duration::from_secs(3_600),
        ..Options::new(version, Fixture::golden())
    };
    TestBed::with_options(options, workspace()).await
}

/// Sets the verbs of the plugin's role on access requests.
fn set_verbs(bed: &TestBed, verbs: &[&str]) {
    let mut rules = plugin_rules();
    rules[0].verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    // Records stay readable, through the verbs on plugin data.
    let all = ["list", "read", "update"].map(str::to_owned).to_vec();
    rules[1] = Rule { verbs: all, ..rules[1].clone() };
    bed.teleport.edit_fixture(|fixture| fixture.role_mut("access-plugin").unwrap().allow.rules = rules);
}

/// `tctl request approve`, in every version.
fn approve(bed: &TestBed, id: &str) {
    bed.teleport.set_state(TCTL, id, RequestState::Approved, "ok", "").unwrap();
}

async fn until_logged_times(bed: &TestBed, daemon: &Daemon, words: &str, times: usize) {
    bed.until(daemon, &format!("{times} lines with {words:?}"), || {
        (daemon.times_logged(words) >= times).then_some(())
    })
    .await;
}

#[test]
fn too_many_records_for_one_message_do_not_stop_the_watch() {
    run_in_process(async {
        let bed = TestBed::new().await;
        // Records of deleted requests, which Teleport keeps for an hour.
        for _ in 0..5 {
            let id = bed.create_request();
            let notes = BTreeMap::from([(b"x_note".to_vec(), vec![b'x'; 14 * MIB])]);
            bed.teleport.set_plugin_data(&id, "slack", notes).unwrap();
            bed.teleport.delete(TCTL, &id).unwrap();
        }
        let before = bed.create_request();
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let after = bed.create_request();
        for id in [&before, &after] {
            bed.until_status(&daemon, "C0TEAM", id, PENDING).await;
        }
        until_logged_times(&bed, &daemon, "Listing records failed", 2).await;
        let line = daemon.find_logged("Listing records failed").unwrap();
        assert!(line.contains("ERROR") && line.contains("more than 64 MiB"), "{line}");
        assert!(
            line.contains("retry_in_s=") && line.contains("an hour after its access was to end"),
            "{line}"
        );
        let metrics = daemon.metrics().await;
        assert!(metrics["teleport_list_failures_total{list=\"records\"}"] >= 2.0, "{metrics:?}");
        assert_eq!(metrics["teleport_list_failures_total{list=\"requests\"}"], 0.0);
        assert_eq!(metrics["ready"], 1.0);
        approve(&bed, &after);
        bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
        assert_eq!(daemon.times_logged("Watcher connected"), 1, "{}", daemon.log_tail());
        daemon.stop().await;
    });
}

#[test]
fn too_many_requests_for_one_message_hide_no_new_request() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let hostile: Vec<_> = (0..5)
            .map(|_| bed.create_request_with(NewRequest::roles(&["dba"], &"x".repeat(14 * MIB))))
            .collect();
        let before = bed.create_request();
        let daemon = bed.launch(&bed.config_with_diagnostics(TEAM));
        until_logged_times(&bed, &daemon, "Listing requests failed", 2).await;
        let line = daemon.find_logged("Listing requests failed").unwrap();
        assert!(line.contains("more than 64 MiB") && line.contains("tctl request rm"), "{line}");
        let after = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &after, PENDING).await;
        let (status, text) = daemon.get("/readyz").await;
        assert!(status == 503 && text.contains("listing the access requests fails for"), "{status} {text}");
        assert!(bed.messages_about("C0TEAM", &before).is_empty());
        // The pending requests alone fit again.
        for id in &hostile[..4] {
            bed.teleport.set_state(TCTL, id, RequestState::Denied, "", "").unwrap();
        }
        bed.until_status(&daemon, "C0TEAM", &before, PENDING).await;
        bed.until_status(&daemon, "C0TEAM", &hostile[4], PENDING).await;
        assert_eq!(daemon.times_logged("Watcher connected"), 1, "{}", daemon.log_tail());
        // Requests missing in the short list do not count as deleted.
        approve(&bed, &after);
        bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
        for id in &hostile[..4] {
            bed.teleport.delete(TCTL, id).unwrap();
        }
        bed.until(&daemon, "the whole list", || daemon.find_logged("completeness=Complete")).await;
        bed.until_logged(&daemon, "Ready").await;
        bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
        daemon.stop().await;
    });
}

#[test]
fn a_failing_list_is_retried_while_the_watch_goes_on() {
    run_in_process(async {
        for (version, method) in [
            (ServerVersion::V6, Method::GetAccessRequests),
            (ServerVersion::V15, Method::GetAccessRequestsV2),
            (ServerVersion::V18, Method::ListAccessRequests),
        ] {
            let bed = bed_with_version(version).await;
            let before = bed.create_request();
            let refused = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
            let faults = bed.teleport.faults();
            for (fault, times) in [(Fault::Hang, Repeat::Next(1)), (refused, Repeat::UntilCleared)] {
                // Slower than any list, and it must block nothing.
                faults.inject(method, fault, times);
            }
            let daemon = bed.launch(&bed.config_with_diagnostics(TEAM));
            bed.until_logged(&daemon, "Watcher connected").await;
            let after = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &after, PENDING).await;
            approve(&bed, &after);
            bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
            faults.clear();
            // The call hangs for a minute; a new watch does not wait for it.
            bed.teleport.faults().end_watches(&WatchEnd::Clean);
            bed.until_status(&daemon, "C0TEAM", &before, PENDING).await;
            faults.inject(method, Fault::unavailable(), Repeat::Next(3));
            bed.teleport.faults().end_watches(&WatchEnd::Clean);
            until_logged_times(&bed, &daemon, "Listing requests failed", 3).await;
            let line = daemon.find_logged("Listing requests failed").unwrap();
            assert!(line.contains("WARN") && line.contains("are shown as they come"), "{line}");
            bed.until(&daemon, "the next list", || {
                (daemon.times_logged("completeness=Complete") >= 2).then_some(())
            })
            .await;
            assert_eq!(daemon.metrics().await["ready"], 1.0);
            daemon.stop().await;
        }
    });
}

#[test]
fn an_empty_list_from_a_missing_right_expires_no_message_in_any_version() {
    run_in_process(async {
        let all = ServerVersion::ALL
            .into_iter()
            .flat_map(|version| ["list", "read"].map(|missing| (version, missing)));
        future::join_all(all.map(|(version, missing)| assert_messages_kept_without(version, missing))).await;
    });
}

async fn assert_messages_kept_without(version: ServerVersion, missing: &str) {
    let bed = bed_with_version(version).await;
    let daemon = bed.start_with_diagnostics(TEAM).await;
    let [kept, deleted, removed] = [bed.create_request(), bed.create_request(), bed.create_request()];
    let short = NewRequest { pending_ttl: Some(Duration::from_secs(6)), ..NewRequest::roles(&["dba"], "") };
    let expired = bed.create_request_with(short);
    for id in [&kept, &deleted, &removed, &expired] {
        bed.until_status(&daemon, "C0TEAM", id, PENDING).await;
    }
    let has = ["list", "read"].into_iter().find(|verb| *verb != missing).unwrap();
    set_verbs(&bed, &[has]);
    if missing == "list" {
        // A watch needs `read` alone.
        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        let line = bed.until_logged(&daemon, "lacks the verb list on access_request").await;
        assert!(line.contains("ERROR") && line.contains("verbs: ['list', 'read']"), "{line}");
        let (status, text) = daemon.get("/readyz").await;
        assert!(status == 503 && text.contains("lacks the verb list"), "{version:?} {status} {text}");
        assert_eq!(daemon.metrics().await["teleport_visibility_incomplete"], 1.0);
        bed.teleport.delete(TCTL, &deleted).unwrap();
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;
    }
    // A start that saw none of them pending.
    daemon.stop().await;
    bed.teleport.delete(TCTL, &removed).unwrap();
    let daemon = bed.launch(&bed.config_with_diagnostics(TEAM));
    bed.until(&daemon, "the missing right", || daemon.find_logged("access_request")).await;
    let asked = bed.teleport.call_log().count(Method::GetPluginData);
    bed.until(&daemon, "the records", || {
        (missing == "read" || bed.teleport.call_log().count(Method::GetPluginData) > asked).then_some(())
    })
    .await;
    if missing == "list" {
        bed.until_status(&daemon, "C0TEAM", &expired, "⌛ EXPIRED").await;
    }
    bed.until_status(&daemon, "C0TEAM", &kept, PENDING).await;
    bed.until_status(&daemon, "C0TEAM", &removed, PENDING).await;
    assert!(daemon.find_logged("INFO Ready").is_none(), "{}", daemon.log_tail());
    set_verbs(&bed, &["list", "read"]);
    bed.until_logged(&daemon, "Ready").await;
    bed.until_deleted(&daemon, "C0TEAM", &removed).await;
    bed.until_status(&daemon, "C0TEAM", &expired, "⌛ EXPIRED").await;
    bed.until_status(&daemon, "C0TEAM", &kept, PENDING).await;
    assert_eq!(daemon.metrics().await["teleport_visibility_incomplete"], 0.0);
    daemon.stop().await;
}

#[test]
fn unreadable_rights_expire_no_message() {
    run_in_process(async {
        for (version, method) in
            [(ServerVersion::V6, Method::GetRole), (ServerVersion::V15, Method::GetCurrentUserRoles)]
        {
            let bed = bed_with_version(version).await;
            let daemon = bed.start_with_diagnostics(TEAM).await;
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
            let refused = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
            bed.teleport.faults().inject(method, refused, Repeat::UntilCleared);
            set_verbs(&bed, &["read"]);
            bed.teleport.faults().end_watches(&WatchEnd::Clean);
            let line = bed.until_logged(&daemon, "completeness=Unknown").await;
            let warning = daemon.find_logged("cannot be known").unwrap_or_default();
            assert!(
                warning.contains("WARN") && warning.contains("verbs: ['list', 'read']"),
                "{warning} {line}"
            );
            let (status, text) = daemon.get("/readyz").await;
            assert!(status == 503 && text.contains("cannot be known"), "{status} {text}");
            bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
            bed.teleport.delete(TCTL, &id).unwrap();
            bed.until_deleted(&daemon, "C0TEAM", &id).await;
            daemon.stop().await;
        }
    });
}

#[test]
fn a_list_that_lags_behind_a_new_watch_redraws_nothing_in_any_version() {
    run_in_process(async {
        future::join_all(ServerVersion::ALL.map(assert_nothing_redrawn_from_a_lagging_list)).await;
    });
}

async fn assert_nothing_redrawn_from_a_lagging_list(version: ServerVersion) {
    let options = Options { list_lag: Duration::ZERO, ..Options::new(version, Fixture::golden()) };
    let bed = TestBed::with_options(options, full_workspace()).await;
    bed.sign_as(PLUGIN_RW);
    let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
    // From here on lists and watches show nothing new; by its id a request shows it at once.
    bed.teleport.set_list_lag(Duration::from_secs(3_600));
    bed.assert_bob_can_approve(&daemon, &message, &id).await;
    for destination in ["C0TEAM", "U0BOB"] {
        bed.until_status(&daemon, destination, &id, "✅ APPROVED").await;
    }
    let edits = || bed.slack.calls_of("chat.update").len();
    let before = edits();
    // The next list shows the request as pending, the one after it shows everything.
    let other = bed.create_request();
    bed.teleport.faults().end_watches(&WatchEnd::Clean);
    until_logged_times(&bed, &daemon, "completeness=Complete", 2).await;
    bed.teleport.restart().await.unwrap();
    bed.until_status(&daemon, "C0TEAM", &other, PENDING).await;
    assert_eq!(edits(), before, "{version:?}: a list of before the approval was shown");
    daemon.stop().await;
}
