//! Changes during a downtime of the daemon, Slack or Teleport are shown once when it is back.

use access_sim::teleport::faults::WatchEnd;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, RequestState};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

#[test]
fn changes_while_the_daemon_was_down_are_shown_at_start() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let [reviewed, resolved, deleted, untouched] =
            [bed.create_request(), bed.create_request(), bed.create_request(), bed.create_request()];
        for id in [&reviewed, &resolved, &deleted, &untouched] {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
            bed.until_recorded(&daemon, id, |record| record.contains_key("x_delivery")).await;
        }
        daemon.kill().await;

        bed.approve(&reviewed);
        bed.teleport.set_state(TCTL, &resolved, RequestState::Denied, "no", "").unwrap();
        bed.teleport.delete(TCTL, &deleted).unwrap();
        let [made, made_and_denied] = [bed.create_request(), bed.create_request()];
        bed.teleport.review(BOB, &made_and_denied, Decision::Deny, "no need").unwrap();
        let edits = bed.slack.calls_of("chat.update").len();

        let daemon = bed.start(TEAM).await;
        let message = bed.until_status(&daemon, "C0TEAM", &reviewed, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_status(&daemon, "C0TEAM", &resolved, "❌ DENIED (no)").await;
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;
        bed.until_status(&daemon, "C0TEAM", &made, "⏳ PENDING").await;
        let message = bed.until_status(&daemon, "C0TEAM", &made_and_denied, "❌ DENIED (no need)").await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_status(&daemon, "C0TEAM", &untouched, "⏳ PENDING").await;
        daemon.stop().await;
        // Messages that were current were not updated.
        assert_eq!(bed.slack.calls_of("chat.update").len(), edits + 3);
    });
}

#[test]
fn a_second_start_changes_nothing() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let id = bed.create_request();
        bed.approve(&id);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("resolution")).await;
        daemon.stop().await;
        let posts = bed.slack.calls_of("chat.postMessage").len();
        let updates = bed.slack.calls_of("chat.update").len();

        let daemon = bed.start(TEAM).await;
        // A request made now is reconciled after those that were listed at start.
        let marker = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &marker, "⏳ PENDING").await;
        daemon.stop().await;
        assert_eq!(bed.slack.calls_of("chat.postMessage").len(), posts + 1);
        assert_eq!(bed.slack.calls_of("chat.update").len(), updates);
    });
}

#[test]
fn a_cut_watch_is_reopened_and_missed_changes_are_shown() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let [deleted, decided] = [bed.create_request(), bed.create_request()];
        for id in [&deleted, &decided] {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        bed.teleport.stop().await;
        bed.teleport.delete(TCTL, &deleted).unwrap();
        bed.approve(&decided);
        let made = bed.create_request();
        bed.teleport.restart().await.unwrap();
        bed.until_status(&daemon, "C0TEAM", &made, "⏳ PENDING").await;
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;

        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        let again = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &again, "⏳ PENDING").await;
        daemon.stop().await;
    });
}

#[test]
fn a_slack_outage_delays_messages_and_loses_none() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.slack.stop().await;
        let [pending, decided] = [bed.create_request(), bed.create_request()];
        bed.until_logged(&daemon, "chat.postMessage failed").await;
        bed.approve(&decided);
        bed.slack.restart().await.unwrap();
        bed.until_status(&daemon, "C0TEAM", &pending, "⏳ PENDING").await;
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
    });
}

#[test]
fn the_daemon_waits_at_start_until_both_sides_answer() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.teleport.stop().await;
        bed.slack.stop().await;
        let id = bed.create_request();
        let daemon = bed.launch(&bed.config(TEAM));
        bed.until_logged(&daemon, "Teleport does not answer").await;
        bed.teleport.restart().await.unwrap();
        bed.until_logged(&daemon, "Slack does not answer").await;
        bed.slack.restart().await.unwrap();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}
