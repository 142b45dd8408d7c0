//! A refusal by Slack is logged once and not retried in a tight loop. The work resumes when the cause is gone, and only
//! the newest of several changes is shown.

use std::time::Duration;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::Options;
use access_sim::teleport::fixture::Threshold;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, RequestState};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const UPDATE: &str = "chat.update";
/// Longer than the first pauses after a refusal, 15 and 30 s, together.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the message about `id` in #team has this status, even after long pauses.
async fn until_recovered(bed: &TestBed, daemon: &Daemon, id: &str, status: &str) {
    bed.until_within(RECOVERY_TIMEOUT, daemon, &format!("{status} in #team"), || {
        bed.message_about("C0TEAM", id)
            .filter(|message| status_line(message) == format!("*Status:* {status}"))
            .map(|_| ())
    })
    .await;
}

/// Makes a request and waits until it is shown in #team and recorded.
async fn posted_request(bed: &TestBed, daemon: &Daemon) -> (String, String) {
    let id = bed.create_request();
    let message = bed.until_status(daemon, "C0TEAM", &id, "⏳ PENDING").await;
    bed.until_recorded(daemon, &id, |record| field(record, "messages").contains(&message.ts)).await;
    (id, message.ts)
}

#[test]
fn only_the_newest_change_during_a_slack_outage_is_shown() {
    run_in_process(async {
        let mut options = Options::golden();
        options.fixture.role_mut("requester").unwrap().allow.request.thresholds =
            vec![Threshold { approve: 2, deny: 1, ..Threshold::default() }];
        let bed = TestBed::with_options(options, workspace()).await;
        let daemon = bed.start(TEAM).await;
        let (id, _) = posted_request(&bed, &daemon).await;
        bed.slack.faults().add(FaultRule::new(UPDATE, Fault::Status { status: 503, body: String::new() }));
        bed.approve(&id);
        bed.until_logged(&daemon, "chat.update failed: HTTP status 503").await;
        bed.teleport.review(DAVE, &id, Decision::Approve, "me too").unwrap();
        bed.teleport.set_state(TCTL, &id, RequestState::Denied, "no after all", "").unwrap();
        bed.until_recorded(&daemon, &id, |record| field(record, "x_request").contains("no after all")).await;
        bed.slack.faults().clear();
        until_recovered(&bed, &daemon, &id, "❌ DENIED (no after all)").await;
        daemon.stop().await;
        let edits = bed.slack.calls_of(UPDATE).into_iter().filter(|call| call.succeeded()).count();
        assert_eq!(edits, 1);
    });
}

#[test]
fn a_channel_without_the_bot_is_logged_once_and_served_after_an_invite() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.kick_bot("C0TEAM");
        let daemon = bed.start(TEAM).await;
        let ids = [bed.create_request(), bed.create_request()];
        let line = bed.until_warned(&daemon, "not_in_channel").await;
        assert!(line.contains("ERROR") && line.contains("remedy: invite it there"), "{line}");
        bed.until(&daemon, "both posts", || {
            (bed.slack.calls_of("chat.postMessage").len() >= 2).then_some(())
        })
        .await;
        bed.slack.invite_bot("C0TEAM");
        for id in &ids {
            until_recovered(&bed, &daemon, id, "⏳ PENDING").await;
        }
        bed.until_logged(&daemon, "Slack accepts messages for this destination again").await;
        assert_eq!(daemon.times_logged("ERROR"), 1, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn a_refusing_channel_is_probed_by_one_request_and_then_serves_all() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.kick_bot("C0TEAM");
        let daemon = bed.start(TEAM).await;
        let mut ids = vec![bed.create_request()];
        bed.until_logged(&daemon, "not_in_channel").await;
        ids.extend((1..20).map(|_| bed.create_request()));
        for id in &ids {
            // It was reconciled, and no operation is in progress.
            bed.until_recorded(&daemon, id, |record| {
                record.contains_key("x_request") && !record.contains_key("x_claim")
            })
            .await;
        }
        bed.slack.invite_bot("C0TEAM");
        for id in &ids {
            until_recovered(&bed, &daemon, id, "⏳ PENDING").await;
        }
        daemon.stop().await;
        let calls = bed.slack.calls_of("chat.postMessage");
        let refused = calls.iter().filter(|call| !call.succeeded()).count();
        assert!(refused < 5, "{refused} refused tries");
        assert_eq!(bed.slack.all_messages().len(), ids.len());
    });
}

#[test]
fn an_in_doubt_post_is_found_in_an_archived_channel() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r##"recipients = ["#team"]"##).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::HalfBody).times(1));
        let id = bed.create_request();
        let posted = bed.until(&daemon, "the post", || bed.message_about("C0TEAM", &id)).await;
        bed.slack.set_archived("C0TEAM", true);
        bed.until_logged(&daemon, "not posting again").await;
        let name = format!("C0TEAM/{}", posted.ts);
        bed.until_recorded(&daemon, &id, |record| field(record, "messages") == name).await;
        daemon.stop().await;
        assert_eq!(bed.slack.calls_of("chat.postMessage").len(), 1);
    });
}

#[test]
fn an_in_doubt_post_in_an_unknown_channel_is_a_possible_duplicate() {
    run_in_process(async {
        let bed = TestBed::new().await;
        // The daemon cannot learn the channel's id at start.
        let outage = Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(FaultRule::new("conversations.list", outage).times(1));
        let daemon = bed.start_with_diagnostics(r##"recipients = ["#team"]"##).await;
        bed.until_warned(&daemon, "cannot be looked at when starting").await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::HalfBody).times(1));
        let id = bed.create_request();
        bed.until(&daemon, "the post", || bed.message_about("C0TEAM", &id)).await;
        bed.slack.rename_channel("C0TEAM", "squad");
        let line = bed.until_logged(&daemon, "Posting a message again although").await;
        assert!(
            line.contains("WARN") && line.contains("Slack finds no public channel that is called team; "),
            "{line}"
        );
        assert_eq!(daemon.metrics().await["possible_duplicates_total"], 1.0);
        daemon.stop().await;
    });
}

#[test]
fn an_in_doubt_post_is_found_in_a_renamed_channel() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r##"recipients = ["#team"]"##).await;
        bed.until(&daemon, "the list", || {
            (!bed.slack.calls_of("conversations.list").is_empty()).then_some(())
        })
        .await;
        let first = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &first, "⏳ PENDING").await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::HalfBody).times(1));
        let id = bed.create_request();
        bed.until(&daemon, "the post", || bed.message_about("C0TEAM", &id)).await;
        bed.slack.rename_channel("C0TEAM", "squad");
        bed.until_logged(&daemon, "not posting again").await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 2);
        assert_eq!(bed.slack.calls_of("conversations.list").len(), 1, "the channel id is remembered");
    });
}

#[test]
fn an_archived_channel_is_logged_once_and_updated_after_restore() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let (id, _) = posted_request(&bed, &daemon).await;
        bed.slack.set_archived("C0TEAM", true);
        bed.teleport.set_state(TCTL, &id, RequestState::Denied, "not today", "").unwrap();
        let line = bed.until_warned(&daemon, "the channel is archived or frozen").await;
        assert!(line.contains("ERROR") && line.contains("remedy: restore the channel"), "{line}");
        bed.slack.set_archived("C0TEAM", false);
        until_recovered(&bed, &daemon, &id, "❌ DENIED (not today)").await;
        assert_eq!(daemon.times_logged("ERROR"), 1, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn a_deleted_message_is_logged_once_and_not_posted_again() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        let (id, ts) = posted_request(&bed, &daemon).await;
        let other = bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains(&other.ts)).await;
        assert!(bed.slack.delete_message("C0TEAM", &ts));
        bed.approve(&id);
        let line = bed.until_logged(&daemon, "A user deleted the message").await;
        assert!(line.contains("INFO") && line.contains("destination=C0TEAM") && line.contains(&id), "{line}");
        let message = bed.until_status(&daemon, "C0DBA", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        // The remaining message shows the decision, so the record has it.
        bed.until_recorded(&daemon, &id, |record| field(record, "resolution") == "APPROVED").await;
        let log = daemon.stop().await;
        assert_eq!(log.matches("A user deleted the message").count(), 1, "{log}");
        assert!(!log.contains("ERROR"), "{log}");
        // Neither another change nor another run posts it again.
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        bed.teleport.set_state(TCTL, &id, RequestState::Denied, "no after all", "").unwrap();
        bed.until_status(&daemon, "C0DBA", &id, "❌ DENIED (no after all)").await;
        daemon.stop().await;
        let calls = bed.slack.calls_of(UPDATE);
        let updates: Vec<_> = calls.iter().filter(|c| c.channel.as_deref() == Some("C0TEAM")).collect();
        assert_eq!(updates.len(), 1, "{updates:#?}");
        assert!(bed.messages_about("C0TEAM", &id).is_empty(), "a deleted message was posted again");
    });
}

#[test]
fn an_in_doubt_reply_to_a_deleted_message_is_dropped() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let (id, ts) = posted_request(&bed, &daemon).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Hang).times(1));
        bed.approve(&id);
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until(&daemon, "the reply", || (bed.slack.calls_of("chat.postMessage").len() == 2).then_some(()))
            .await;
        daemon.kill().await;
        assert!(bed.slack.delete_message("C0TEAM", &ts));
        let daemon = bed.start(TEAM).await;
        bed.until_recorded(&daemon, &id, |record| {
            ["x_claim", "x_doubts"].iter().all(|key| !record.contains_key(*key))
        })
        .await;
        assert!(field(&bed.record(&id), "x_delivery").contains(r#""x":true"#));
        let log = daemon.stop().await;
        assert!(!log.contains("Posting a message again") && !log.contains("ERROR"), "{log}");
        assert!(bed.slack.all_messages().is_empty());
    });
}

#[test]
fn a_message_too_old_to_update_is_logged_once_and_dropped_with_its_request() {
    run_in_process(async {
        let bed =
            TestBed::with_options(Options::golden(), workspace().with_edit_window(Duration::ZERO)).await;
        let daemon = bed.start(TEAM).await;
        let (id, _) = posted_request(&bed, &daemon).await;
        bed.approve(&id);
        let line = bed.until_warned(&daemon, "edit_window_closed").await;
        assert!(line.contains("ERROR") && line.contains("remedy: allow message editing"), "{line}");
        // The review is still posted as a thread reply.
        let message = bed.message_about("C0TEAM", &id).unwrap();
        bed.until_replies(&daemon, &message, 1).await;
        bed.teleport.delete(TCTL, &id).unwrap();
        bed.until_within(RECOVERY_TIMEOUT, &daemon, "the end", || {
            daemon.find_logged("Cannot update the message any more")
        })
        .await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "x_delivery").contains(r#""x":true"#) && !record.contains_key("x_claim")
        })
        .await;
        assert_eq!(daemon.times_logged("ERROR"), 1, "{}", daemon.log());
        daemon.stop().await;
        let updates = bed.slack.calls_of(UPDATE).len();
        let daemon = bed.start(TEAM).await;
        posted_request(&bed, &daemon).await;
        daemon.stop().await;
        assert_eq!(bed.slack.calls_of(UPDATE).len(), updates);
    });
}
