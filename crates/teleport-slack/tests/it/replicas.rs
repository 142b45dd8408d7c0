//! Two and three daemons on one cluster share the work. No message is posted twice. Another daemon takes over from one
//! that died or froze within 15 s, and a daemon that comes back notices.

use std::time::Duration;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::audit::AuditKind;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault as TeleportFault, Repeat};
use access_sim::teleport::presets::TCTL;
use tokio::time::Instant;

use crate::harness::deciding::*;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const BOTH: &str = r#"recipients = ["C0TEAM", "C0DBA", "bob@example.com"]"#;
const DESTINATIONS: [&str; 3] = ["C0TEAM", "C0DBA", "U0BOB"];
const POST: &str = "chat.postMessage";
const POSTED: &str = "Posted the request";
/// How soon another daemon takes over.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(15);
/// How soon it posts again what the first one may have posted. It searches until the post cannot arrive any more.
const REPOST_TIMEOUT: Duration = Duration::from_secs(30);

/// Stops all of them and returns how many lines of their logs contain each of these texts.
async fn count_lines<const N: usize>(daemons: Vec<Daemon>, words: [&str; N]) -> [usize; N] {
    let mut logs = String::new();
    for daemon in daemons {
        logs += &daemon.stop().await;
    }
    words.map(|words| logs.lines().filter(|line| line.contains(words)).count())
}

#[test]
fn many_requests_at_once_are_each_shown_once() {
    for replicas in [2, 3] {
        run_test(async move {
            let bed = TestBed::new().await;
            let mut daemons = Vec::new();
            for _ in 0..replicas {
                daemons.push(bed.start(BOTH).await);
            }
            let ids: Vec<_> = (0..20).map(|_| bed.create_request()).collect();
            for id in &ids {
                for destination in DESTINATIONS {
                    bed.until_status(&daemons[0], destination, id, "⏳ PENDING").await;
                }
                bed.until_recorded(&daemons[0], id, |record| {
                    field(record, "messages").split(',').count() == 3 && !record.contains_key("x_claim")
                })
                .await;
            }
            let [posted, doubted] = count_lines(daemons, [POSTED, "may be there already"]).await;
            assert_eq!((posted, doubted), (60, 0));
            assert_eq!(bed.slack.all_messages().len(), 60);
        });
    }
}

#[test]
fn a_daemon_that_missed_an_approval_keeps_it_shown_when_the_request_is_gone() {
    run_test(async {
        let bed = TestBed::new().await;
        let line = TcpProxy::start(bed.teleport.addr()).await.unwrap();
        let behind = bed.launch(&bed.config_at(line.addr(), TEAM));
        bed.until_logged(&behind, "Ready").await;
        let id = bed.create_request();
        bed.until_status(&behind, "C0TEAM", &id, "⏳ PENDING").await;
        let first = bed.start(TEAM).await;
        line.cut().await;
        bed.approve(&id);
        bed.until_status(&first, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_recorded(&first, &id, |record| {
            record.contains_key("resolution") && !record.contains_key("x_claim")
        })
        .await;
        first.kill().await;
        bed.teleport.delete(TCTL, &id).unwrap();
        line.restore().await.unwrap();
        let marker = bed.create_request();
        bed.until_status(&behind, "C0TEAM", &marker, "⏳ PENDING").await;
        behind.stop().await;
        let status = status_line(&bed.message_about("C0TEAM", &id).unwrap());
        assert!(status.contains("✅ APPROVED (looks fine)"), "{status}");
    });
}

#[test]
fn an_approval_is_shown_with_one_edit_and_one_reply() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemons = vec![bed.start(BOTH).await, bed.start(BOTH).await, bed.start(BOTH).await];
        let ids: Vec<_> = (0..5).map(|_| bed.create_request()).collect();
        for id in &ids {
            for destination in DESTINATIONS {
                bed.until_status(&daemons[0], destination, id, "⏳ PENDING").await;
            }
            bed.until_recorded(&daemons[0], id, |record| field(record, "messages").split(',').count() == 3)
                .await;
        }
        ids.iter().for_each(|id| bed.approve(id));
        for id in &ids {
            for destination in DESTINATIONS {
                let message =
                    bed.until_status(&daemons[0], destination, id, "✅ APPROVED (looks fine)").await;
                bed.until_replies(&daemons[0], &message, 1).await;
            }
        }
        let [posted] = count_lines(daemons, ["Posted the review as a thread reply"]).await;
        let edits = bed.slack.calls_of("chat.update");
        assert_eq!((posted, edits.len()), (15, 15), "{edits:#?}");
        assert_eq!(bed.slack.all_messages().len(), 30);
    });
}

/// Two daemons; the first hangs while it posts a request that the second has seen too.
async fn first_hangs_in_post(fault: FaultRule) -> (TestBed, Daemon, Daemon, String) {
    let bed = TestBed::new().await;
    let (first, second) = (bed.start_with_diagnostics(TEAM).await, bed.start_with_diagnostics(TEAM).await);
    bed.slack.faults().add(fault.in_channel("C0TEAM").times(1));
    second.signal("STOP");
    let id = bed.create_request();
    bed.until(&first, "the post", || (!bed.slack.calls_of(POST).is_empty()).then_some(())).await;
    second.signal("CONT");
    (bed, first, second, id)
}

/// The second daemon takes over in time.
async fn until_taken_over(bed: &TestBed, second: &Daemon, since: Instant) {
    bed.until_logged(second, "taking over").await;
    assert!(since.elapsed() < TAKEOVER_TIMEOUT, "it took {:?}\n{}", since.elapsed(), second.log());
    assert_eq!(second.metrics().await["claim_takeovers_total"], 1.0);
}

#[test]
fn a_daemon_killed_after_slack_posted_is_replaced_and_its_post_is_found() {
    run_test(async {
        let (bed, first, second, id) =
            first_hangs_in_post(FaultRule::new(POST, Fault::Hang).after_work()).await;
        first.kill().await;
        let killed = Instant::now();
        until_taken_over(&bed, &second, killed).await;
        let message = bed.until_status(&second, "C0TEAM", &id, "⏳ PENDING").await;
        let name = format!("C0TEAM/{}", message.ts);
        bed.until_recorded(&second, &id, |record| field(record, "messages") == name).await;
        assert!(killed.elapsed() < TAKEOVER_TIMEOUT, "it took {:?}", killed.elapsed());
        bed.approve(&id);
        bed.until_status(&second, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&second, &message, 1).await;
        let [posted, found] = count_lines(vec![second], [POSTED, "not posting again"]).await;
        assert_eq!((posted, found), (0, 1));
        assert_eq!(bed.slack.all_messages().len(), 2);
    });
}

#[test]
fn a_daemon_killed_before_slack_posted_is_replaced_and_the_post_is_made() {
    run_test(async {
        let (bed, first, second, id) = first_hangs_in_post(FaultRule::new(POST, Fault::Hang)).await;
        first.kill().await;
        let killed = Instant::now();
        until_taken_over(&bed, &second, killed).await;
        bed.until_status(&second, "C0TEAM", &id, "⏳ PENDING").await;
        assert!(killed.elapsed() < REPOST_TIMEOUT, "it took {:?}", killed.elapsed());
        let [posted] = count_lines(vec![second], [POSTED]).await;
        assert_eq!((posted, bed.slack.all_messages().len()), (1, 1));
    });
}

#[test]
fn a_frozen_daemon_notices_that_it_was_replaced_and_posts_nothing_more() {
    run_test(async {
        let (bed, first, second, id) =
            first_hangs_in_post(FaultRule::new(POST, Fault::Hang).after_work()).await;
        first.signal("STOP");
        let frozen = Instant::now();
        until_taken_over(&bed, &second, frozen).await;
        let message = bed.until_status(&second, "C0TEAM", &id, "⏳ PENDING").await;
        let name = format!("C0TEAM/{}", message.ts);
        bed.until_recorded(&second, &id, |record| field(record, "messages") == name).await;
        first.signal("CONT");
        bed.until_logged(&first, "no full answer within 6s").await;
        // Both handle the next request.
        let next = bed.create_request();
        bed.until_status(&second, "C0TEAM", &next, "⏳ PENDING").await;
        bed.until_recorded(&second, &next, |record| field(record, "messages").starts_with("C0TEAM/")).await;
        bed.until_recorded(&second, &id, |record| {
            ["x_claim", "x_doubts"].iter().all(|key| !record.contains_key(*key))
        })
        .await;
        let [posted] = count_lines(vec![first, second], [POSTED]).await;
        assert_eq!((posted, bed.slack.all_messages().len()), (1, 2));
    });
}

#[test]
fn a_daemon_frozen_between_its_claim_and_its_post_does_not_post() {
    run_test(async {
        let bed = TestBed::new().await;
        let (first, second) = (bed.start(TEAM).await, bed.start_with_diagnostics(TEAM).await);
        second.signal("STOP");
        let slow = TeleportFault::Delay(Duration::from_secs(2));
        bed.teleport.faults().inject(Method::UpdatePluginData, slow, Repeat::Next(1));
        let id = bed.create_request();
        let is_claiming = || bed.teleport.call_log().count(Method::UpdatePluginData) > 0;
        bed.until(&first, "the claim", || is_claiming().then_some(())).await;
        first.signal("STOP");
        bed.until_recorded(&second, &id, |record| record.contains_key("x_claim")).await;
        let frozen = Instant::now();
        second.signal("CONT");
        until_taken_over(&bed, &second, frozen).await;
        bed.until_within(REPOST_TIMEOUT, &second, "its post", || bed.message_about("C0TEAM", &id)).await;
        bed.until_recorded(&second, &id, |record| !record.contains_key("x_claim")).await;
        // Now it learns that the claim was written, after its deadline or after the claim expired.
        first.signal("CONT");
        let too_late =
            ["UpdatePluginData had no answer within 15 s", "took longer than 6 s to write a record"];
        bed.until(&first, "that it was too late", || {
            too_late.iter().find_map(|words| first.find_logged(words))
        })
        .await;
        let next = bed.create_request();
        bed.until_status(&second, "C0TEAM", &next, "⏳ PENDING").await;
        let [posted] = count_lines(vec![first, second], [POSTED]).await;
        assert_eq!((posted, bed.slack.calls_of(POST).len()), (2, 2));
    });
}

#[test]
fn a_frozen_daemons_late_post_is_deleted() {
    run_test(async {
        // Later than any daemon waits for it.
        let late = Fault::Delay(Duration::from_secs(35));
        let (bed, first, second, id) = first_hangs_in_post(FaultRule::new(POST, late)).await;
        first.signal("STOP");
        until_taken_over(&bed, &second, Instant::now()).await;
        bed.until_within(REPOST_TIMEOUT, &second, "the second daemon's post", || {
            bed.message_about("C0TEAM", &id)
        })
        .await;
        let name = |ts: &str| format!("C0TEAM/{ts}");
        let kept = bed.message_about("C0TEAM", &id).unwrap();
        bed.until_recorded(&second, &id, |record| field(record, "messages") == name(&kept.ts)).await;
        bed.until(&second, "the frozen daemon's post", || {
            (bed.messages_about("C0TEAM", &id).len() == 2).then_some(())
        })
        .await;
        first.signal("CONT");
        bed.until(&second, "one message", || (bed.messages_about("C0TEAM", &id).len() == 1).then_some(()))
            .await;
        assert_eq!(bed.message_about("C0TEAM", &id).unwrap().ts, kept.ts);
        bed.until_recorded(&second, &id, |record| {
            field(record, "messages") == name(&kept.ts) && !record.contains_key("x_claim")
        })
        .await;
        bed.approve(&id);
        bed.until_status(&second, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&second, &kept, 1).await;
        let deleted = "duplicates_deleted_total";
        assert_eq!(first.metrics().await[deleted] + second.metrics().await[deleted], 1.0);
        let [taken_back] = count_lines(vec![first, second], ["deleted the duplicate"]).await;
        assert_eq!((taken_back, bed.slack.all_messages().len()), (1, 2));
    });
}

#[test]
fn a_frozen_daemons_late_reply_is_deleted() {
    run_test(async {
        let bed = TestBed::new().await;
        let (first, second) =
            (bed.start_with_diagnostics(TEAM).await, bed.start_with_diagnostics(TEAM).await);
        let id = bed.create_request();
        let message = bed.until_status(&first, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&first, &id, |record| {
            record.contains_key("messages") && !record.contains_key("x_claim")
        })
        .await;
        second.signal("STOP");
        let late = Fault::Delay(Duration::from_secs(35));
        bed.slack.faults().add(FaultRule::new(POST, late).times(1));
        bed.approve(&id);
        bed.until(&first, "the reply", || (bed.slack.calls_of(POST).len() == 2).then_some(())).await;
        first.signal("STOP");
        let frozen = Instant::now();
        second.signal("CONT");
        until_taken_over(&bed, &second, frozen).await;
        let kept = bed.until_replies(&second, &message, 1).await;
        bed.until_replies(&second, &message, 2).await;
        first.signal("CONT");
        assert_eq!(bed.until_replies(&second, &message, 1).await[0].ts, kept[0].ts);
        bed.until_recorded(&second, &id, |record| {
            ["x_claim", "x_doubts"].iter().all(|key| !record.contains_key(*key))
        })
        .await;
        let deleted = "duplicates_deleted_total";
        assert_eq!(first.metrics().await[deleted] + second.metrics().await[deleted], 1.0);
        for daemon in [first, second] {
            daemon.stop().await;
        }
    });
}

#[test]
fn a_rolling_restart_under_load_loses_and_duplicates_nothing() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let mut daemons = Vec::new();
        for _ in 0..2 {
            daemons.push(bed.start_with_review(Transport::Socket, ANY_OF_THREE).await);
        }
        let sockets = bed.slack.sockets();
        bed.until(&daemons[1], "four sockets", || (sockets.count() == 4).then_some(())).await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            let old = daemons.remove(0);
            let stays = &daemons[0];
            let restart = async {
                bed.stop_and_check_secrets(old).await;
                bed.start_with_review(Transport::Socket, ANY_OF_THREE).await
            };
            let load = async {
                for _ in 0..12 {
                    let id = bed.create_request();
                    let message = bed.until_clickable(stays, "C0TEAM", &id).await;
                    let answer = bed.press_for_reply(stays, "U0BOB", &message, "approve").await;
                    assert_eq!(answer, "The request is approved.", "{}", stays.log());
                    ids.push(id);
                }
            };
            let (new, ()) = tokio::join!(restart, load);
            daemons.push(new);
        }
        for id in &ids {
            for destination in ["C0TEAM", "U0BOB"] {
                let message = bed.until_status(&daemons[0], destination, id, "✅ APPROVED").await;
                bed.until_replies(&daemons[0], &message, 1).await;
            }
            let decided = bed.decision_events(id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            assert_eq!((decided[0].kind, decided[0].delegator.as_deref()), (AuditKind::Update, Some(BOB)));
        }
        for daemon in daemons {
            bed.stop_and_check_secrets(daemon).await;
        }
        let count = ids.len();
        assert_eq!(bed.slack.ephemerals("U0BOB").len(), count);
        assert_eq!(bed.slack.all_messages().len(), 4 * count, "a message and a reply in two channels each");
    });
}
