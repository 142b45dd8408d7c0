//! Slack applies posts and loses the response, or responds without the message's address. No channel is flooded, with or
//! without the scope to read its history, and in the end every request is shown.

use std::time::Duration;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::Workspace;
use access_sim::teleport::Options;
use access_sim::teleport::request::NewRequest;
use serde_json::json;

use crate::harness::http::call_slack;
use crate::harness::*;

const POST: &str = "chat.postMessage";
const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
/// README's minimal scopes: the bot cannot read the history.
const SCOPES_WITHOUT_HISTORY: [&str; 3] = ["chat:write", "users:read", "users:read.email"];
/// What the log says while a message waits for Slack to answer.
const WAITING_LOG_LINE: &str = "A message may be there several times or not at all";
/// The pauses between history reads grow to half a minute.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// The faults in which Slack applies a post and does not confirm it properly, and whether it says at least `ok`.
fn lost_responses() -> Vec<(Fault, bool)> {
    let status = |status| Fault::Status { status, body: "<html>oops</html>".into() };
    vec![
        (status(500), false),
        (status(502), false),
        (Fault::Error("internal_error".into()), false),
        (Fault::NotJson, false),
        (Fault::Oversized(u64::MAX), false),
        (without_ts(), true),
        (altered("ts", json!("a ts")), true),
        (altered("channel", json!("C0/TEAM,x")), true),
    ]
}

fn without_ts() -> Fault {
    Fault::Altered(vec![("ts".into(), None)])
}

fn altered(field: &str, value: serde_json::Value) -> Fault {
    Fault::Altered(vec![(field.into(), Some(value))])
}

/// Every post into `channel` gets this fault after Slack applied it, until the faults are cleared.
fn lose_responses(bed: &TestBed, channel: &str, fault: Fault) {
    bed.slack.faults().add(FaultRule::new(POST, fault).in_channel(channel).after_work());
}

fn workspace_without_history() -> Workspace {
    workspace().with_scopes(&SCOPES_WITHOUT_HISTORY)
}

/// How often the daemon read the history of a channel.
fn history_calls(bed: &TestBed, method: &str, channel: &str) -> usize {
    bed.slack.calls_of(method).iter().filter(|call| call.channel.as_deref() == Some(channel)).count()
}

/// Waits until the daemon read a channel's history `count` times.
async fn until_history_read(bed: &TestBed, daemon: &Daemon, method: &str, channel: &str, count: usize) {
    let what = format!("{count} history reads of {channel}");
    bed.until_within(PROBE_TIMEOUT, daemon, &what, || {
        (history_calls(bed, method, channel) >= count).then_some(())
    })
    .await;
}

#[test]
fn an_in_doubt_post_is_repeated_once_and_then_only_after_slack_answers() {
    run_in_process(async {
        let faults = lost_responses();
        let channels: Vec<_> = (0..faults.len()).map(|n| format!("C0S{n}")).collect();
        let mut workspace = workspace_without_history();
        for (n, channel) in channels.iter().enumerate() {
            workspace = workspace.add_channel(channel, &format!("s{n}"));
        }
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        for ((fault, _), channel) in faults.iter().zip(&channels) {
            lose_responses(&bed, channel, fault.clone());
        }
        let [others @ .., lone] = &channels[..] else { unreachable!() };
        let recipients = format!("[role_to_recipients]\n\"*\" = {channels:?}\nadmin = {others:?}");
        let daemon = bed.start_with_diagnostics(&recipients).await;
        let id = bed.create_request();
        for channel in &channels {
            until_history_read(&bed, &daemon, "conversations.history", channel, 3).await;
        }
        for ((fault, _), channel) in faults.iter().zip(&channels) {
            assert_eq!(bed.messages_about(channel, &id).len(), 2, "{fault:?}");
            let waits = |line: &&str| {
                line.contains(WAITING_LOG_LINE) && line.contains(&format!("destination={channel} "))
            };
            let log = daemon.log();
            let line = log.lines().find(waits).unwrap_or_else(|| panic!("{channel} in {log}"));
            assert!(line.contains("WARN") && line.contains("attempts=2"), "{line}");
            assert!(
                line.contains("missing_scope") && line.contains("grant the scopes channels:history"),
                "{line}"
            );
        }
        assert_eq!(daemon.metrics().await["possible_duplicates_total"], channels.len() as f64);

        bed.slack.faults().clear();
        let recorded = |channel: &str| field(&bed.record(&id), "messages").contains(&format!("{channel}/"));
        for ((fault, is_accepted), channel) in faults.iter().zip(&channels) {
            if !is_accepted {
                let what = format!("the message in {channel}");
                bed.until_within(PROBE_TIMEOUT, &daemon, &what, || recorded(channel).then_some(())).await;
                assert_eq!(bed.messages_about(channel, &id).len(), 3, "{fault:?}");
            }
        }
        // Where Slack said `ok`, only a message that it really confirms shows that it works again: another request's,
        // or this one's after the next pause.
        let accepting: Vec<_> =
            faults.iter().zip(&channels).filter(|((_, is_accepted), _)| *is_accepted).collect();
        assert!(accepting.len() > 1 && accepting.iter().any(|(_, channel)| *channel == lone));
        let other = bed.create_request_with(NewRequest::roles(&["admin"], "not for the last channel"));
        for channel in others {
            bed.until_status(&daemon, channel, &other, "⏳ PENDING").await;
        }
        for ((fault, _), channel) in &accepting {
            let what = format!("the message in {channel}");
            bed.until_within(PROBE_TIMEOUT, &daemon, &what, || recorded(channel).then_some(())).await;
            assert_eq!(bed.messages_about(channel, &id).len(), 3, "{fault:?}");
        }
        assert_eq!(bed.messages_about(lone, &other).len(), 0);
        daemon.stop().await;
    });
}

#[test]
fn a_lost_post_without_history_scope_is_repeated_after_slack_answers() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace_without_history()).await;
        let daemon = bed.start(TEAM).await;
        // Slack applies no post, and the bot cannot know.
        let outage = Fault::Status { status: 500, body: String::new() };
        bed.slack.faults().add(FaultRule::new(POST, outage));
        let id = bed.create_request();
        bed.until_within(PROBE_TIMEOUT, &daemon, "the wait", || daemon.find_logged(WAITING_LOG_LINE)).await;
        bed.slack.faults().clear();
        bed.until_within(PROBE_TIMEOUT, &daemon, "the message", || bed.message_about("C0TEAM", &id)).await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 1, "a probe for Slack's answer must show nothing");
    });
}

#[test]
fn a_bot_that_left_the_channel_is_to_be_invited_and_not_given_scopes() {
    run_in_process(async {
        let bed = TestBed::new().await;
        lose_responses(&bed, "C0TEAM", Fault::Error("internal_error".into()));
        let unavailable = Fault::Status { status: 503, body: String::new() };
        let unreadable = bed.slack.faults().add(FaultRule::new("conversations.history", unavailable));
        let daemon = bed.start(TEAM).await;
        let id = bed.create_request();
        bed.until(&daemon, "the message", || bed.message_about("C0TEAM", &id)).await;
        bed.slack.kick_bot("C0TEAM");
        bed.slack.faults().remove(unreadable);
        let again = "Posting a message again although it may be there already";
        let line = bed.until_within(PROBE_TIMEOUT, &daemon, again, || daemon.find_logged(again)).await;
        assert!(
            line.contains("not_in_channel") && line.contains("type /invite @teleport in the channel"),
            "{line}"
        );
        assert!(!line.contains("grant"), "{line}");
        daemon.stop().await;
    });
}

#[test]
fn with_history_scope_every_in_doubt_post_is_recorded_once() {
    run_in_process(async {
        let faults = lost_responses();
        let channels: Vec<_> = (0..faults.len()).map(|n| format!("C0S{n}")).collect();
        let mut workspace = workspace();
        for (n, channel) in channels.iter().enumerate() {
            workspace = workspace.add_channel(channel, &format!("s{n}"));
        }
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        for ((fault, _), channel) in faults.iter().zip(&channels) {
            lose_responses(&bed, channel, fault.clone());
        }
        let daemon = bed.start(&format!("recipients = {channels:?}")).await;
        let id = bed.create_request();
        for channel in &channels {
            bed.until_recorded(&daemon, &id, |record| {
                field(record, "messages").contains(&format!("{channel}/"))
            })
            .await;
        }
        bed.approve(&id);
        for channel in &channels {
            let message = bed.until_status(&daemon, channel, &id, "✅ APPROVED (looks fine)").await;
            bed.until_replies(&daemon, &message, 1).await;
        }
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "reviews_count") == "1" && !record.contains_key("x_doubts")
        })
        .await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 2 * channels.len());
    });
}

#[test]
fn an_in_doubt_reply_is_repeated_once_and_then_only_after_slack_answers() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace_without_history()).await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        let id = bed.create_request();
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").split(',').count() == 2).await;
        lose_responses(&bed, "C0TEAM", Fault::Error("fatal_error".into()));
        // The record holds no addresses of replies, so a reply without one is complete.
        lose_responses(&bed, "C0DBA", without_ts());
        bed.approve(&id);
        let replies =
            |channel: &str| bed.message_about(channel, &id).map_or(0, |message| bed.replies(&message).len());
        until_history_read(&bed, &daemon, "conversations.replies", "C0TEAM", 3).await;
        assert_eq!((replies("C0TEAM"), replies("C0DBA")), (2, 1));
        bed.slack.faults().clear();
        bed.until_within(PROBE_TIMEOUT, &daemon, "the third reply", || {
            (replies("C0TEAM") == 3).then_some(())
        })
        .await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "reviews_count") == "1" && !record.contains_key("x_doubts")
        })
        .await;
        daemon.stop().await;
        assert_eq!((replies("C0TEAM"), replies("C0DBA")), (3, 1));
    });
}

#[test]
fn the_count_of_attempts_survives_a_restart() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace_without_history()).await;
        lose_responses(&bed, "C0TEAM", Fault::Error("internal_error".into()));
        let daemon = bed.start(TEAM).await;
        let id = bed.create_request();
        bed.until_within(PROBE_TIMEOUT, &daemon, "the wait", || daemon.find_logged(WAITING_LOG_LINE)).await;
        daemon.kill().await;
        for _ in 0..2 {
            let seen = history_calls(&bed, "conversations.history", "C0TEAM");
            let daemon = bed.start(TEAM).await;
            until_history_read(&bed, &daemon, "conversations.history", "C0TEAM", seen + 2).await;
            daemon.kill().await;
            assert_eq!(bed.messages_about("C0TEAM", &id).len(), 2);
        }
        bed.slack.faults().clear();
        let daemon = bed.start(TEAM).await;
        let recorded = || field(&bed.record(&id), "messages").contains("C0TEAM/").then_some(());
        bed.until_within(PROBE_TIMEOUT, &daemon, "the record", recorded).await;
        daemon.stop().await;
        assert_eq!(bed.messages_about("C0TEAM", &id).len(), 3);
    });
}

#[test]
fn a_message_without_metadata_is_found_by_its_text() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        let unavailable = Fault::Status { status: 503, body: String::new() };
        for channel in ["C0TEAM", "C0DBA"] {
            lose_responses(&bed, channel, Fault::Error("internal_error".into()));
        }
        let unreadable = bed.slack.faults().add(FaultRule::new("conversations.history", unavailable.clone()));
        let id = bed.create_request();
        let targets = ["C0TEAM", "C0DBA"].map(|channel| (channel, id.clone()));
        for (channel, id) in &targets {
            let message = bed.until(&daemon, "the message", || bed.message_about(channel, id)).await;
            strip_metadata(&bed, &message).await;
        }
        // Alice quotes it; the quote must not be taken for the daemon's message.
        let quoted = bed.message_about("C0TEAM", &id).unwrap().text;
        bed.slack.say("C0TEAM", "U0ALICE", &format!("see\n{quoted}\n*ID*: {id}"), None).unwrap();
        bed.slack.faults().remove(unreadable);
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "messages").split(',').count() == 2 && !record.contains_key("x_doubts")
        })
        .await;

        // The same for a reply.
        let unreadable = bed.slack.faults().add(FaultRule::new("conversations.replies", unavailable));
        bed.approve(&id);
        for (channel, id) in &targets {
            let message = bed.until_status(&daemon, channel, id, "✅ APPROVED (looks fine)").await;
            let replies = bed.until_replies(&daemon, &message, 1).await;
            strip_metadata(&bed, &replies[0]).await;
        }
        bed.slack.faults().remove(unreadable);
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "reviews_count") == "1" && !record.contains_key("x_doubts")
        })
        .await;
        let log = daemon.stop().await;
        assert_eq!(log.matches("Found an unconfirmed message in the channel history").count(), 4, "{log}");
        assert_eq!(bed.slack.all_messages().len(), 5);
    });
}

/// Removes a message's metadata, as any caller with the bot's token can.
async fn strip_metadata(bed: &TestBed, message: &MessageView) {
    let body = json!({
        "channel": message.channel,
        "ts": message.ts,
        "text": message.text,
        "blocks": message.blocks,
        "metadata": {},
    });
    let answer = call_slack(&bed.slack.api_url(), &bed.slack.token(), "chat.update", &body).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let left = bed.slack.messages(&message.channel).into_iter().find(|found| found.ts == message.ts);
    assert!(left.is_some_and(|left| left.metadata.is_none()), "the metadata is still there");
}

#[test]
fn posts_answered_with_the_same_address_are_not_repeated_endlessly() {
    run_in_process(async {
        // Without history, each has two copies under the fault and one more after it.
        for (workspace, copies) in [(workspace(), 1), (workspace_without_history(), 3)] {
            let bed = TestBed::with_options(Options::golden(), workspace).await;
            let same = ("C0TEAM", "1795363190.000001");
            let same = [("channel", same.0), ("ts", same.1)];
            let fault = Fault::Altered(same.map(|(field, value)| (field.into(), Some(json!(value)))).into());
            bed.slack.faults().add(FaultRule::new(POST, fault));
            let destinations = ["C0TEAM", "C0DBA", "U0BOB"];
            let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA", "bob@example.com"]"#).await;
            let id = bed.create_request();
            let warning = "Slack names another message's address for a message";
            let line = bed.until_logged(&daemon, warning).await;
            assert!(line.contains("WARN") && line.contains(&id) && line.contains("retry_in_s="), "{line}");
            bed.until_within(PROBE_TIMEOUT, &daemon, "history reads for those without an address", || {
                let in_doubt = daemon.times_logged(WAITING_LOG_LINE);
                let found = daemon.times_logged("not posting again");
                (in_doubt >= 2 || found >= 2).then_some(())
            })
            .await;
            bed.slack.faults().clear();
            let is_recorded = || field(&bed.record(&id), "messages").split(',').count() == destinations.len();
            bed.until_within(PROBE_TIMEOUT, &daemon, "the record of all", || is_recorded().then_some(()))
                .await;
            bed.until_recorded(&daemon, &id, |record| !record.contains_key("x_doubts")).await;
            daemon.stop().await;
            // The post that Slack answered first counts as confirmed.
            let mut shown = destinations.map(|destination| bed.messages_about(destination, &id).len());
            shown.sort();
            assert_eq!(shown, [1, copies, copies]);
        }
    });
}

#[test]
fn a_lone_post_accepted_without_its_address_is_repeated_after_a_pause() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace_without_history()).await;
        lose_responses(&bed, "C0TEAM", without_ts());
        let waits = "s, or when Slack answers there with an address";
        let mut daemons = vec![bed.start(TEAM).await, bed.start(TEAM).await];
        let id = bed.create_request();
        bed.until_within(PROBE_TIMEOUT, &daemons[0], "a line about the pause", || {
            daemons.iter().find_map(|daemon| daemon.find_logged(waits))
        })
        .await;
        // A restart and a second daemon change neither the count of attempts nor the pause.
        for daemon in daemons.drain(..) {
            daemon.kill().await;
        }
        let seen = history_calls(&bed, "conversations.history", "C0TEAM");
        let daemons = [bed.start(TEAM).await, bed.start(TEAM).await];
        until_history_read(&bed, &daemons[0], "conversations.history", "C0TEAM", seen + 2).await;
        assert_eq!(bed.messages_about("C0TEAM", &id).len(), 2);
        bed.slack.faults().clear();
        let recorded = || field(&bed.record(&id), "messages").contains("C0TEAM/").then_some(());
        bed.until_within(PROBE_TIMEOUT, &daemons[0], "the record", recorded).await;
        bed.approve(&id);
        let messages = bed
            .until(&daemons[0], "the approval on one of them", || {
                let messages = bed.messages_about("C0TEAM", &id);
                messages.iter().any(|message| status_line(message).contains("APPROVED")).then_some(messages)
            })
            .await;
        assert_eq!(messages.len(), 3);
        for daemon in daemons {
            daemon.stop().await;
        }
    });
}

#[test]
fn a_person_named_by_id_and_by_address_gets_one_message_whatever_is_lost() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "U0BOB", "bob@example.com"]"#).await;
        for (fault, _) in lost_responses().into_iter().take(4) {
            lose_responses(&bed, "U0BOB", fault.clone());
            let id = bed.create_request();
            let posts = || bed.messages_about("U0BOB", &id).len();
            bed.until(&daemon, "a message that is in doubt", || (posts() > 0).then_some(())).await;
            let looks = history_calls(&bed, "conversations.history", "D0BOB");
            // A second post, if there is one, comes before the second look.
            until_history_read(&bed, &daemon, "conversations.history", "D0BOB", looks + 1).await;
            bed.slack.faults().clear();
            bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains("D0BOB/")).await;
            bed.approve(&id);
            bed.until_status(&daemon, "U0BOB", &id, "✅ APPROVED (looks fine)").await;
            bed.until_recorded(&daemon, &id, |record| record.contains_key("x_complete")).await;
            assert_eq!(posts(), 1, "{fault:?}\n{}", daemon.log());
        }
        daemon.stop().await;
    });
}
