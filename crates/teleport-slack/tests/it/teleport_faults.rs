//! Teleport or the connection to it fails for a while, or Teleport refuses. Afterwards Slack shows the current state,
//! and no recipient got a second message.

use std::time::{Duration, Instant};

use access_sim::slack::faults::{Fault as SlackFault, FaultRule};
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat, WatchEnd};
use access_sim::teleport::presets::{TCTL, plugin_rules};
use access_sim::teleport::refusal::{Code, RpcError};

use crate::harness::*;

pub(crate) const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const POST: &str = "chat.postMessage";

/// Creates a request, and runs `then` while its message is in flight to Slack: Teleport's state is recorded, and the
/// message is not.
pub(crate) async fn create_request_and_during_post(
    bed: &TestBed,
    daemon: &Daemon,
    then: impl FnOnce(),
) -> String {
    let posts = bed.slack.calls_of(POST).len();
    let late = SlackFault::Delay(Duration::from_millis(500));
    bed.slack.faults().add(FaultRule::new(POST, late).times(1));
    let id = bed.create_request();
    bed.until(daemon, "the post", || (bed.slack.calls_of(POST).len() > posts).then_some(())).await;
    then();
    assert!(bed.messages_about("C0TEAM", &id).is_empty(), "the post was not late");
    assert!(bed.record(&id).contains_key("x_request"), "posted before anything was recorded");
    bed.until_status(daemon, "C0TEAM", &id, "⏳ PENDING").await;
    id
}

/// Waits for this many more calls of a method.
async fn until_called(bed: &TestBed, daemon: &Daemon, method: Method, times: u64) {
    let before = bed.teleport.call_log().count(method);
    bed.until(daemon, &format!("{times} more calls of {method:?}"), || {
        (bed.teleport.call_log().count(method) >= before + times).then_some(())
    })
    .await;
}

/// The message is recorded, up to date, and the only one; afterwards no work is left.
pub(crate) async fn assert_posted_once(bed: &TestBed, daemon: &Daemon, id: &str) {
    bed.until_recorded(daemon, id, |record| field(record, "messages").starts_with("C0TEAM/")).await;
    bed.approve(id);
    bed.until_status(daemon, "C0TEAM", id, "✅ APPROVED (looks fine)").await;
    // What is written later would meet the faults of the next request.
    let is_done = |record: &_| {
        field(record, "reviews_count") == "1"
            && field(record, "resolution") == "APPROVED"
            && !record.contains_key("x_claim")
    };
    bed.until_recorded(daemon, id, is_done).await;
    assert_eq!(bed.messages_about("C0TEAM", id).len(), 1);
}

#[test]
fn records_unreadable_or_unwritable_for_a_while_cause_no_second_message() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let faults = bed.teleport.faults();
        let listed = || (bed.teleport.call_log().count(Method::GetPluginData) > 0).then_some(());
        bed.until(&daemon, "the list of records", listed).await;
        faults.inject(Method::GetPluginData, Fault::unavailable(), Repeat::UntilCleared);
        let id = bed.create_request();
        let line = bed.until_warned(&daemon, "GetPluginData failed with UNAVAILABLE").await;
        assert!(line.contains("WARN") && line.contains(&id) && line.contains("retry_in_s="), "{line}");
        assert!(
            bed.messages_about("C0TEAM", &id).is_empty(),
            "posted without knowing what was posted before"
        );
        faults.clear();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &id).await;

        let away = || faults.inject(Method::UpdatePluginData, Fault::unavailable(), Repeat::UntilCleared);
        let id = create_request_and_during_post(&bed, &daemon, away).await;
        until_called(&bed, &daemon, Method::UpdatePluginData, 2).await;
        assert_eq!(field(&bed.record(&id), "messages"), "");
        faults.clear();
        assert_posted_once(&bed, &daemon, &id).await;
        daemon.stop().await;
    });
}

#[test]
fn without_the_right_to_write_records_nothing_is_posted_and_the_rule_is_logged() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let set_rules = |rules: Vec<_>| {
            bed.teleport
                .edit_fixture(|fixture| fixture.role_mut("access-plugin").unwrap().allow.rules = rules);
        };
        set_rules(plugin_rules().into_iter().take(1).collect());
        let id = bed.create_request();
        let line = bed.until_warned(&daemon, "UpdatePluginData failed with PERMISSION_DENIED").await;
        assert!(line.contains("ERROR"), "{line}");
        assert!(line.contains("{resources: ['access_plugin_data'], verbs: ['update']}"), "{line}");
        assert_eq!(bed.slack.calls_of(POST).len(), 0);
        set_rules(plugin_rules());
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &id).await;
        daemon.stop().await;
    });
}

#[test]
fn contended_records_and_lost_answers_cause_no_second_message() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let faults = bed.teleport.faults();
        // A few conflicts, before the post and after it.
        faults.conflict_updates(3);
        let id = create_request_and_during_post(&bed, &daemon, || faults.conflict_updates(3)).await;
        assert_posted_once(&bed, &daemon, &id).await;
        // More than one reconcile tolerates.
        let id = create_request_and_during_post(&bed, &daemon, || faults.conflict_updates(11)).await;
        let line = bed.until_logged(&daemon, "changed under each of 10 attempts").await;
        assert!(line.contains(&id) && line.contains("do too many copies of the plugin run?"), "{line}");
        assert_posted_once(&bed, &daemon, &id).await;
        // Teleport writes, but the answer is lost: before the post and after it.
        let lose = || faults.inject(Method::UpdatePluginData, Fault::LoseResponse, Repeat::Next(1));
        lose();
        let id = create_request_and_during_post(&bed, &daemon, lose).await;
        assert_posted_once(&bed, &daemon, &id).await;
        daemon.stop().await;
        assert_eq!(bed.slack.calls_of(POST).len(), 6, "three messages and three replies");
    });
}

#[test]
fn a_repeated_post_is_logged_once_though_the_record_cannot_be_written() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let failed = SlackFault::Status { status: 500, body: String::new() };
        bed.slack.faults().add(FaultRule::new(POST, failed).times(1));
        // The claim, the in-doubt post and the claim of the verification are written; the result of it is not.
        let faults = bed.teleport.faults();
        faults.inject(Method::UpdatePluginData, Fault::Delay(Duration::ZERO), Repeat::Next(3));
        faults.inject(Method::UpdatePluginData, Fault::unavailable(), Repeat::Next(4));
        let id = bed.create_request();
        bed.until_logged(&daemon, "UpdatePluginData failed with UNAVAILABLE").await;
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &id).await;
        let log = daemon.stop().await;
        assert_eq!(log.matches("not found in the channel history; posting again").count(), 1, "{log}");
    });
}

#[test]
fn a_claim_written_too_late_is_not_used() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let slow = Fault::Delay(Duration::from_secs(7));
        bed.teleport.faults().inject(Method::UpdatePluginData, slow, Repeat::Next(1));
        let id = bed.create_request();
        let line = bed.until_logged(&daemon, "Teleport took longer than 6 s to write a record").await;
        assert!(line.contains("WARN") && line.contains(&id), "{line}");
        bed.until(&daemon, "the post", || bed.slack.calls_of(POST).pop()).await;
        // The daemon released the late claim and acquired another one.
        assert!(bed.teleport.call_log().count(Method::UpdatePluginData) >= 3);
        assert_posted_once(&bed, &daemon, &id).await;
        daemon.stop().await;
    });
}

#[test]
fn a_watch_that_ends_again_and_again_misses_nothing() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let refusal = RpcError::new(Code::Unavailable, "the cache is being rebuilt");
        for ending in
            [WatchEnd::Error(refusal), WatchEnd::Clean, WatchEnd::Error(RpcError::new(Code::Unknown, ""))]
        {
            bed.until(&daemon, "the watch", || (bed.teleport.watchers() == 1).then_some(())).await;
            bed.teleport.faults().end_watches(&ending);
            // Created while no watch is open.
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        }
        let log = daemon.stop().await;
        assert!(log.contains("Watcher lost") && log.contains("the cache is being rebuilt"), "{log}");
        assert!(log.contains("ended the request watcher's stream"), "{log}");
        assert_eq!(bed.slack.all_messages().len(), 3);
    });
}

#[test]
fn dropped_events_are_found_by_the_next_list() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let [decided, deleted] = [bed.create_request(), bed.create_request()];
        for id in [&decided, &deleted] {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        bed.teleport.faults().drop_events(Repeat::Next(3));
        bed.approve(&decided);
        bed.teleport.delete(access_sim::teleport::presets::TCTL, &deleted).unwrap();
        let made = bed.create_request();
        // The stream still works, so this request proves that the three were not announced.
        let shown = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &shown, "⏳ PENDING").await;
        assert!(bed.messages_about("C0TEAM", &made).is_empty());
        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        bed.until_status(&daemon, "C0TEAM", &made, "⏳ PENDING").await;
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;
        daemon.stop().await;
    });
}

#[test]
fn the_daemon_waits_for_a_server_that_is_not_ready_to_watch() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.teleport.faults().withhold_init(true);
        let id = bed.create_request();
        let daemon = bed.launch(&bed.config(TEAM));
        bed.until(&daemon, "a watch", || {
            (bed.teleport.call_log().count(Method::WatchEvents) == 1).then_some(())
        })
        .await;
        assert_eq!(bed.teleport.call_log().count(Method::GetAccessRequests), 0, "listed before it watched");
        bed.teleport.faults().withhold_init(false);
        bed.teleport.restart().await.unwrap();
        bed.until_logged(&daemon, "Ready").await;
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}

#[test]
fn the_daemon_returns_after_a_cut_connection_and_a_rejecting_server() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let line = TcpProxy::start(bed.teleport.addr()).await.unwrap();
        let daemon = bed.launch(&bed.config_at(line.addr(), TEAM));
        bed.until_logged(&daemon, "Ready").await;
        let before = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;

        line.cut().await;
        bed.until(&daemon, "the loss", || (bed.teleport.watchers() == 0).then_some(())).await;
        bed.approve(&before);
        let missed = bed.create_request();
        let logged = bed.until_logged(&daemon, "the connection was refused").await;
        assert!(logged.contains(&line.addr().to_string()), "{logged}");
        assert!(logged.contains("is the auth server running, and is this its port"), "{logged}");
        // Meanwhile the server itself rejects connections.
        bed.teleport.faults().refuse_connections(true);
        line.restore().await.unwrap();
        let logged = bed.until_logged(&daemon, "it closed the connection during the TLS handshake").await;
        assert!(logged.contains("check the port and any load balancer in between"), "{logged}");
        bed.teleport.faults().refuse_connections(false);
        bed.until_status(&daemon, "C0TEAM", &missed, "⏳ PENDING").await;
        bed.until_status(&daemon, "C0TEAM", &before, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
    });
}

#[test]
fn calls_on_a_dead_connection_end_at_their_deadlines() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let line = TcpProxy::start(bed.teleport.addr()).await.unwrap();
        let daemon = bed.launch(&bed.config_at(line.addr(), TEAM));
        bed.until_logged(&daemon, "Ready").await;
        // The message is posted, and the connection dies before the daemon can record it.
        let id = create_request_and_during_post(&bed, &daemon, || line.freeze()).await;
        let logged = bed.until_logged(&daemon, "had no answer within 15 s").await;
        assert!(logged.contains(&id) && logged.contains("overloaded or hangs"), "{logged}");
        let meanwhile = bed.create_request();
        line.cut().await;
        line.thaw();
        line.restore().await.unwrap();
        bed.until_status(&daemon, "C0TEAM", &meanwhile, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &id).await;
        daemon.stop().await;
    });
}

#[test]
fn an_unresponsive_connection_is_noticed_long_before_the_keep_alive() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let line = TcpProxy::start(bed.teleport.addr()).await.unwrap();
        let daemon = bed.launch(&bed.config_at(line.addr(), TEAM));
        bed.until_logged(&daemon, "Ready").await;
        let shown = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &shown, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &shown, |record| record.contains_key("messages")).await;

        line.freeze();
        let since = Instant::now();
        let missed = bed.create_request();
        bed.approve(&shown);
        // 15 s of silence and 8 s for an answer; HTTP/2's own keep-alive takes 80 s.
        let limit = Duration::from_secs(60);
        let logged =
            bed.until_within(limit, &daemon, "the loss", || daemon.find_logged("Watcher lost")).await;
        let took = since.elapsed();
        assert!(took < Duration::from_secs(40), "noticed after {took:?}");
        assert!(logged.contains("WARN") && logged.contains("Ping had no answer within 8 s"), "{logged}");
        line.thaw();
        bed.until_status(&daemon, "C0TEAM", &missed, "⏳ PENDING").await;
        bed.until_status(&daemon, "C0TEAM", &shown, "✅ APPROVED (looks fine)").await;
        bed.until(&daemon, "the end of the old watch", || (bed.teleport.watchers() == 1).then_some(())).await;
        daemon.stop().await;
        assert_eq!(bed.messages_about("C0TEAM", &missed).len(), 1);
    });
}

#[test]
fn an_unrecorded_approval_is_shown_although_the_request_is_gone() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("messages")).await;
        let faults = bed.teleport.faults();
        faults.inject(Method::GetPluginData, Fault::unavailable(), Repeat::UntilCleared);
        bed.approve(&id);
        bed.until(&daemon, "the approval received", || {
            let log = daemon.log();
            let is_it = |line: &&str| line.contains("from the watch") && line.contains("state=Approved");
            log.lines().find(is_it).map(drop)
        })
        .await;
        // The daemon learns of the removal from a list, not from an event.
        faults.drop_events(Repeat::UntilCleared);
        bed.teleport.delete(TCTL, &id).unwrap();
        faults.end_watches(&WatchEnd::Clean);
        until_called(&bed, &daemon, Method::GetAccessRequests, 1).await;
        faults.clear();
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
    });
}

#[test]
fn a_permission_missing_for_a_while_is_logged_once() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let denied = RpcError::new(Code::PermissionDenied, "access denied to perform action \"list\"");
        bed.teleport.faults().inject(Method::WatchEvents, Fault::Error(denied), Repeat::UntilCleared);
        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        let missed = bed.create_request();
        until_called(&bed, &daemon, Method::WatchEvents, 3).await;
        let logged = bed.until_warned(&daemon, "WatchEvents failed with PERMISSION_DENIED").await;
        assert!(logged.contains("ERROR") && logged.contains("; trying again in "), "{logged}");
        assert!(logged.contains("{resources: ['access_request'], verbs: ['list', 'read']}"), "{logged}");
        assert_eq!(daemon.times_logged("ERROR Watcher lost"), 1, "{}", daemon.log());
        bed.teleport.faults().clear();
        bed.until_status(&daemon, "C0TEAM", &missed, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &missed).await;
        daemon.stop().await;
    });
}

#[test]
fn a_server_unavailable_for_a_while_is_logged_once() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let shown = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &shown, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &shown, |record| record.contains_key("messages")).await;
        let methods = [
            Method::Ping,
            Method::WatchEvents,
            Method::GetAccessRequests,
            Method::GetPluginData,
            Method::UpdatePluginData,
        ];
        for method in methods {
            bed.teleport.faults().inject(method, Fault::unavailable(), Repeat::UntilCleared);
        }
        bed.teleport.faults().end_watches(&WatchEnd::Error(RpcError::new(Code::Unavailable, "going away")));
        let missed = bed.create_request();
        bed.approve(&shown);
        until_called(&bed, &daemon, Method::WatchEvents, 3).await;
        assert_eq!(daemon.times_logged("WARN  Watcher lost"), 1, "{}", daemon.log());
        assert_eq!(daemon.times_logged("ERROR"), 0, "{}", daemon.log());
        bed.teleport.faults().clear();
        bed.until_status(&daemon, "C0TEAM", &shown, "✅ APPROVED (looks fine)").await;
        bed.until_status(&daemon, "C0TEAM", &missed, "⏳ PENDING").await;
        assert_posted_once(&bed, &daemon, &missed).await;
        daemon.stop().await;
        assert_eq!(bed.messages_about("C0TEAM", &shown).len(), 1);
    });
}

#[test]
fn a_slow_server_is_not_taken_for_a_dead_connection() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let slow = Fault::Delay(Duration::from_secs(2));
        for method in [Method::Ping, Method::GetPluginData, Method::UpdatePluginData] {
            bed.teleport.faults().inject(method, slow.clone(), Repeat::UntilCleared);
        }
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("messages")).await;
        // After some silence the daemon checks the connection and gets an answer.
        let pings = bed.teleport.call_log().count(Method::Ping);
        let logged = || {
            daemon.find_logged("Watcher lost").is_some()
                || bed.teleport.call_log().count(Method::Ping) > pings
        };
        bed.until_within(Duration::from_secs(60), &daemon, "a Ping", || logged().then_some(())).await;
        let log = daemon.stop().await;
        let (_, since) = log.split_once("Ready").unwrap();
        assert!(!since.contains("WARN") && !since.contains("ERROR"), "{log}");
        assert_eq!(bed.teleport.call_log().count(Method::WatchEvents), 1);
        assert_eq!(bed.slack.all_messages().len(), 1);
    });
}

#[test]
fn a_server_restart_under_load_loses_and_duplicates_nothing() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let late = SlackFault::Delay(Duration::from_millis(300));
        bed.slack.faults().add(FaultRule::new(POST, late));
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.extend((0..5).map(|_| bed.create_request()));
            let first = &ids[ids.len() - 5];
            bed.until(&daemon, "a message", || bed.messages_about("C0TEAM", first).pop()).await;
            bed.teleport.restart().await.unwrap();
        }
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
            bed.until_recorded(&daemon, id, |record| field(record, "messages").starts_with("C0TEAM/")).await;
        }
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), ids.len());
    });
}
