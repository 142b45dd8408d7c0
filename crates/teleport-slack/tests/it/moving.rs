//! The steps of `docs/moving.md`: from the Go plugin to this program, back to it, and from one version to the next. What the
//! Go plugin does is taken from what was captured of it.

use std::collections::BTreeMap;
use std::process::Command;

use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::Options;
use serde_json::{Value, json};

use crate::go_compat::{go_plugin_posts, write_record};
use crate::harness::deciding::*;
use crate::harness::*;

/// What the guide of the Go plugin lets the Slack app do.
const GUIDES_SCOPES: [&str; 4] = ["chat:write", "incoming-webhook", "users:read", "users:read.email"];

/// A file that was captured of the Go plugin, as the calls that it made.
fn captured_calls(name: &str) -> Vec<Value> {
    let path =
        format!("{}/../../vectors/go-plugin-7.1.3/{name}.slack-calls.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether the message has a button to decide with.
fn has_buttons(message: &MessageView) -> bool {
    message.blocks.iter().any(|block| block.to_string().contains("\"approve\""))
}

/// Writes keys into the record as the Go plugin does: the other keys stay.
fn go_plugin_records(bed: &TestBed, id: &str, keys: &[(&str, &str)]) {
    let mut record: BTreeMap<String, String> = bed.record(id);
    record.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let record: Vec<_> = record.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    write_record(bed, id, &record);
}

/// Does with each message of the record what the Go plugin did when a review had resolved a request: a reply, the record,
/// then an edit.
async fn go_plugin_shows_the_approval(bed: &TestBed, id: &str) {
    let calls = captured_calls("approved-by-review");
    let messages = field(&bed.record(id), "messages").to_owned();
    let call = async |method: &str, body: &Value| {
        let answer = http::call_slack(&bed.slack.api_url(), &bed.slack.token(), method, body).await;
        assert_eq!(answer["ok"], true, "{method} {body}: {answer}");
    };
    let of_team = |method: &str| {
        let mut calls = calls.iter().filter(|call| call["method"] == method);
        calls.find(|call| call["body"]["channel"] == "C0TEAM").unwrap()["body"].clone()
    };
    let places = || messages.split(',').map(|pair| pair.split_once('/').unwrap());
    for (channel, ts) in places() {
        let mut reply = of_team("chat.postMessage");
        (reply["channel"], reply["thread_ts"]) = (json!(channel), json!(ts));
        call("chat.postMessage", &reply).await;
    }
    let ended = [("reviews_count", "1"), ("resolution", "APPROVED"), ("resolve_reason", "looks fine")];
    go_plugin_records(bed, id, &ended);
    for (channel, ts) in places() {
        let text = of_team("chat.update").to_string().replace("768c814b-7765-414e-a77a-39cb9e0bc6a1", id);
        let mut edit: Value = serde_json::from_str(&text).unwrap();
        (edit["channel"], edit["ts"]) = (json!(channel), json!(ts));
        call("chat.update", &edit).await;
    }
}

#[test]
fn the_guides_file_scopes_and_rights_are_enough() {
    run_test(async {
        let workspace = workspace().with_scopes(&GUIDES_SCOPES);
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        let path = bed.write_config(&bed.config(r#"recipients = ["team", "bob@example.com"]"#));
        let check = Command::new(program()).arg("check").arg("-c").arg(&path).env_clear().output().unwrap();
        let text = String::from_utf8(check.stdout).unwrap();
        assert_eq!(check.status.code(), Some(0), "{text}");
        assert!(!text.contains('✗') && text.contains("this is an old name"), "{text}");
        let daemon = bed.start(r#"recipients = ["team", "bob@example.com"]"#).await;
        let id = bed.create_request();
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        bed.approve(&id);
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &id, "✅ APPROVED (looks fine)").await;
        }
        daemon.stop().await;
    });
}

#[test]
fn requests_that_were_open_during_the_move_stay_current_and_lost_ones_are_posted() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let [open, decided, lost] = [(); 3].map(|()| bed.create_request());
        let (_, ts) = go_plugin_posts(&bed, &open).await;
        go_plugin_posts(&bed, &decided).await;
        // The Go plugin was stopped. It had never posted the third; and bob reviews one before this program runs.
        bed.approve(&decided);
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &lost, "⏳ PENDING").await;
        }
        bed.approve(&open);
        let message = bed.until_status(&daemon, "C0TEAM", &open, "✅ APPROVED (looks fine)").await;
        assert_eq!(message.ts, ts, "the message of the Go plugin, edited in its place");
        bed.until_replies(&daemon, &message, 1).await;
        daemon.stop().await;
        for id in [&open, &decided] {
            assert!(bed.messages_about("U0BOB", id).is_empty(), "notified again");
        }
    });
}

#[test]
fn both_at_once_for_a_moment_leave_two_messages_and_both_stay_current() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| {
            record.contains_key("messages") && !record.contains_key("x_claim")
        })
        .await;
        // The Go plugin still runs. It posts at the same time, and names only its own message.
        let post =
            captured_calls("created-no-reason").into_iter().find(|call| call["body"]["channel"] == "C0TEAM");
        let body = post.unwrap()["body"].to_string().replace("8095cf2d-0399-422d-a419-95b7b372a78d", &id);
        let ts = bed.post_as_bot(&serde_json::from_str(&body).unwrap()).await;
        go_plugin_records(&bed, &id, &[("messages", &format!("C0TEAM/{ts}"))]);
        bed.approve(&id);
        let both = || {
            let messages = bed.messages_about("C0TEAM", &id);
            let is_current =
                |message: &MessageView| status_line(message) == "*Status:* ✅ APPROVED (looks fine)";
            (messages.len() == 2 && messages.iter().all(is_current)).then_some(())
        };
        bed.until(&daemon, "both messages", both).await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "messages").split(',').count() == 2 && field(record, "resolution") == "APPROVED"
        })
        .await;
        daemon.stop().await;
        assert_eq!(bed.messages_about("C0TEAM", &id).len(), 2, "nothing more is posted");
    });
}

#[test]
fn going_back_leaves_messages_without_buttons_that_the_go_plugin_finds_and_edits() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let daemon = bed.start_with_review(Transport::Socket, ANY_OF_THREE).await;
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        assert!(has_buttons(&message));
        daemon.stop().await;
        // The file that the Go plugin had, for a moment: the buttons go.
        let daemon = bed.start(r#"recipients = ["team", "bob@example.com"]"#).await;
        for destination in ["C0TEAM", "U0BOB"] {
            let without = || bed.message_about(destination, &id).filter(|message| !has_buttons(message));
            bed.until(&daemon, "no buttons", without).await;
        }
        bed.until_recorded(&daemon, &id, |record| !record.contains_key("x_claim")).await;
        daemon.stop().await;
        // What the Go plugin reads: its keys, with the address of each message.
        let record = bed.record(&id);
        assert_eq!((field(&record, "user"), field(&record, "roles")), (ALICE, "dba"));
        assert!(!record.contains_key("resolution") && !record.contains_key("reviews_count"), "{record:?}");
        let dm = bed.slack.dm_with("U0BOB").unwrap();
        let pairs: Vec<_> =
            field(&record, "messages").split(',').map(|pair| pair.split_once('/').unwrap()).collect();
        let channels: Vec<_> = pairs.iter().map(|(channel, _)| *channel).collect();
        assert_eq!(channels, ["C0TEAM", dm.as_str()]);
        assert_eq!(pairs[0].1, message.ts);
        bed.approve(&id);
        go_plugin_shows_the_approval(&bed, &id).await;
        for destination in ["C0TEAM", "U0BOB"] {
            let shown = bed.message_about(destination, &id).unwrap();
            assert_eq!(status_line(&shown), "*Status:* ✅ APPROVED (looks fine)");
        }
        // And forward again: nothing is posted twice, no review is replied twice.
        let daemon = bed.start(r#"recipients = ["team", "bob@example.com"]"#).await;
        let is_taken_up =
            |record: &BTreeMap<String, String>| field(record, "x_delivery").contains("approved");
        bed.until_recorded(&daemon, &id, |record| is_taken_up(record) && !record.contains_key("x_claim"))
            .await;
        daemon.stop().await;
        for destination in ["C0TEAM", "U0BOB"] {
            let shown = bed.message_about(destination, &id).unwrap();
            assert_eq!(bed.replies(&shown).len(), 1, "{destination}");
        }
    });
}

#[test]
fn a_new_version_continues_the_open_request_of_an_earlier_one() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let id = bed.create_request();
        let post = json!({ "channel": "C0TEAM", "text": "as an earlier version posted it" });
        let ts = bed.post_as_bot(&post).await;
        let path =
            format!("{}/../access-core/src/record/tests/captured/a910f12.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let text =
            text.replace("8f77d2d1-2bbf-4031-a300-58926237a807", &id).replace("1795363190.000001", &ts);
        let captured: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(&text).unwrap();
        let mut record = captured["pending"].clone();
        // One message in a channel that is there; no vote, and nothing in doubt.
        record.retain(|key, _| !["x_claim", "x_doubts", "x_votes", "reviews_count"].contains(&key.as_str()));
        let mut deliveries: Vec<Value> = serde_json::from_str(&record["x_delivery"]).unwrap();
        deliveries.truncate(1);
        deliveries[0]["r"] = json!(0);
        deliveries[0]["v"] = json!(0);
        record.insert("x_delivery".to_owned(), Value::from(deliveries).to_string());
        record.insert("messages".to_owned(), format!("C0TEAM/{ts}"));
        let mut request: Value = serde_json::from_str(&record["x_request"]).unwrap();
        request["reviews"] = json!([]);
        record.insert("x_request".to_owned(), request.to_string());
        let record: Vec<_> = record.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        write_record(&bed, &id, &record);
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_eq!(message.ts, ts, "edited in its place");
        bed.approve(&id);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_recorded(&daemon, &id, |record| field(record, "resolution") == "APPROVED").await;
        assert_eq!(field(&bed.record(&id), "x_later"), "kept", "a key that this version does not know");
        daemon.stop().await;
        assert_eq!(
            bed.slack.messages("C0TEAM").iter().filter(|message| message.thread_ts.is_none()).count(),
            1
        );
    });
}
