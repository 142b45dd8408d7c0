//! What Slack refuses is told once and not hammered, and is taken up again when the cause is gone; of many changes
//! meanwhile only the newest is shown.

use std::time::Duration;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::Options;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, RequestState};
use access_sim::teleport::world::Threshold;

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const UPDATE: &str = "chat.update";
/// Longer than the first pauses after a refusal, 15 and 30 s, together.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the message about `id` in #team has this status, however long a refusal is waited out.
async fn until_recovered(bed: &TestBed, daemon: &Daemon, id: &str, status: &str) {
    bed.until_within(RECOVERY_TIMEOUT, daemon, &format!("{status} in #team"), || {
        bed.message_about("C0TEAM", id)
            .filter(|card| status_line(card) == format!("*Status:* {status}"))
            .map(|_| ())
    })
    .await;
}

/// A request that is shown in #team, and recorded.
async fn posted_request(bed: &TestBed, daemon: &Daemon) -> (String, String) {
    let id = bed.create_request();
    let card = bed.until_status(daemon, "C0TEAM", &id, "⏳ PENDING").await;
    bed.until_recorded(daemon, &id, |record| field(record, "messages").contains(&card.ts)).await;
    (id, card.ts)
}

#[test]
fn of_three_changes_while_slack_is_away_only_the_newest_is_shown() {
    run_test(async {
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
fn a_channel_without_the_bot_is_named_once_and_served_when_the_bot_is_invited() {
    run_test(async {
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
        bed.until_logged(&daemon, "Slack accepts messages for this place again").await;
        assert_eq!(daemon.times_logged("ERROR"), 1, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn a_channel_that_refuses_is_tried_for_one_request_at_a_time_and_then_serves_all() {
    run_test(async {
        let bed = TestBed::new().await;
        bed.slack.kick_bot("C0TEAM");
        let daemon = bed.start(TEAM).await;
        let mut ids = vec![bed.create_request()];
        bed.until_logged(&daemon, "not_in_channel").await;
        ids.extend((1..20).map(|_| bed.create_request()));
        for id in &ids {
            // It was its turn, and nothing is under way.
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
        assert!(refused < 5, "tried {refused} times in vain");
        assert_eq!(bed.slack.all_messages().len(), ids.len());
    });
}

#[test]
fn a_post_in_doubt_is_found_by_name_though_the_channel_was_archived_since() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r##"recipients = ["#team"]"##).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::HalfBody).times(1));
        let id = bed.create_request();
        let posted = bed.until(&daemon, "the post", || bed.message_about("C0TEAM", &id)).await;
        bed.slack.set_archived("C0TEAM", true);
        bed.until_logged(&daemon, "it is not made again").await;
        let name = format!("C0TEAM/{}", posted.ts);
        bed.until_recorded(&daemon, &id, |record| field(record, "messages") == name).await;
        daemon.stop().await;
        assert_eq!(bed.slack.calls_of("chat.postMessage").len(), 1);
    });
}

#[test]
fn a_post_in_doubt_whose_channel_answers_to_no_name_any_more_is_a_possible_double() {
    run_test(async {
        let bed = TestBed::new().await;
        // The channel's id is not learnt when starting.
        let away = Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(FaultRule::new("conversations.list", away).times(1));
        let daemon = bed.start_with_diagnostics(r##"recipients = ["#team"]"##).await;
        bed.until_warned(&daemon, "Channels given by name cannot be looked at").await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::HalfBody).times(1));
        let id = bed.create_request();
        bed.until(&daemon, "the post", || bed.message_about("C0TEAM", &id)).await;
        bed.slack.rename_channel("C0TEAM", "squad");
        let line = bed.until_logged(&daemon, "is posted once more although").await;
        assert!(line.contains("WARN") && line.contains("no public channel is called team"), "{line}");
        assert_eq!(daemon.metrics().await["possible_doubles_total"], 1.0);
        daemon.stop().await;
    });
}

#[test]
fn a_post_in_doubt_is_found_though_the_channel_was_renamed_since() {
    run_test(async {
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
        bed.until_logged(&daemon, "it is not made again").await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 2);
        assert_eq!(bed.slack.calls_of("conversations.list").len(), 1, "what was learnt is remembered");
    });
}

#[test]
fn an_archived_channel_is_named_once_and_its_message_edited_when_it_is_restored() {
    run_test(async {
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
fn a_deleted_message_is_told_once_and_left_alone_for_good() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        let (id, ts) = posted_request(&bed, &daemon).await;
        let other = bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains(&other.ts)).await;
        assert!(bed.slack.delete_message("C0TEAM", &ts));
        bed.approve(&id);
        let line = bed.until_logged(&daemon, "Somebody deleted the message").await;
        assert!(line.contains("INFO") && line.contains("place=C0TEAM") && line.contains(&id), "{line}");
        let card = bed.until_status(&daemon, "C0DBA", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &card, 1).await;
        // The message that is left shows it, so it is shown.
        bed.until_recorded(&daemon, &id, |record| field(record, "resolution") == "APPROVED").await;
        let log = daemon.stop().await;
        assert_eq!(log.matches("Somebody deleted the message").count(), 1, "{log}");
        assert!(!log.contains("ERROR"), "{log}");
        // Neither another change nor another life begins anew.
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        bed.teleport.set_state(TCTL, &id, RequestState::Denied, "no after all", "").unwrap();
        bed.until_status(&daemon, "C0DBA", &id, "❌ DENIED (no after all)").await;
        daemon.stop().await;
        let calls = bed.slack.calls_of(UPDATE);
        let gone: Vec<_> = calls.iter().filter(|c| c.channel.as_deref() == Some("C0TEAM")).collect();
        assert_eq!(gone.len(), 1, "{gone:#?}");
        assert!(bed.messages_about("C0TEAM", &id).is_empty(), "a deleted message was posted again");
    });
}

#[test]
fn a_reply_in_doubt_under_a_message_that_was_deleted_is_given_up() {
    run_test(async {
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
        assert!(!log.contains("posted once more") && !log.contains("ERROR"), "{log}");
        assert!(bed.slack.all_messages().is_empty());
    });
}

#[test]
fn a_message_too_old_to_be_edited_is_named_once_and_given_up_with_its_request() {
    run_test(async {
        let bed =
            TestBed::with_options(Options::golden(), workspace().with_edit_window(Duration::ZERO)).await;
        let daemon = bed.start(TEAM).await;
        let (id, _) = posted_request(&bed, &daemon).await;
        bed.approve(&id);
        let line = bed.until_warned(&daemon, "edit_window_closed").await;
        assert!(line.contains("ERROR") && line.contains("remedy: allow message editing"), "{line}");
        // Its thread tells all the same.
        let card = bed.message_about("C0TEAM", &id).unwrap();
        bed.until_replies(&daemon, &card, 1).await;
        bed.teleport.delete(TCTL, &id).unwrap();
        bed.until_within(RECOVERY_TIMEOUT, &daemon, "the end", || {
            daemon.find_logged("A message stays as it is")
        })
        .await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "x_delivery").contains(r#""x":true"#) && !record.contains_key("x_claim")
        })
        .await;
        assert_eq!(daemon.times_logged("ERROR"), 1, "{}", daemon.log());
        daemon.stop().await;
        let tried = bed.slack.calls_of(UPDATE).len();
        let daemon = bed.start(TEAM).await;
        posted_request(&bed, &daemon).await;
        daemon.stop().await;
        assert_eq!(bed.slack.calls_of(UPDATE).len(), tried);
    });
}
