//! The daemon continues messages and records that the Go plugin left.

use std::collections::BTreeMap;

use access_sim::slack::arguments::Encoding;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};

use crate::harness::*;

/// Leaves what the Go plugin 7.1.3 leaves after it posted about a request: a message like its own, and a record
/// with the keys of the captured one.
pub(crate) async fn go_plugin_posts(bed: &TestBed, id: &str) -> (String, String) {
    let path = format!(
        "{}/../../vectors/go-plugin-7.1.3/created-no-reason.slack-calls.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let captured = std::fs::read_to_string(path).unwrap().replace("8095cf2d-0399-422d-a419-95b7b372a78d", id);
    let calls: serde_json::Value = serde_json::from_str(&captured).unwrap();
    let post = calls.as_array().unwrap().iter().find(|call| call["body"]["channel"] == "C0TEAM").unwrap();
    let ts = bed.post_as_bot(&post["body"]).await;
    let record = [
        ("user", ALICE.to_owned()),
        ("roles", "dba".to_owned()),
        ("request_reason", "because".to_owned()),
        ("messages", format!("C0TEAM/{ts}")),
    ];
    write_record(bed, id, &record);
    ("C0TEAM".to_owned(), ts)
}

pub(crate) fn write_record(bed: &TestBed, id: &str, record: &[(&str, String)]) {
    let entry: BTreeMap<_, _> =
        record.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.clone().into_bytes())).collect();
    bed.teleport.set_plugin_data(id, "slack", entry).unwrap();
}

#[test]
fn go_plugin_messages_are_adopted_updated_and_not_posted_again() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let [open, decided, deleted] = [bed.create_request(), bed.create_request(), bed.create_request()];
        for id in [&open, &decided, &deleted] {
            go_plugin_posts(&bed, id).await;
        }
        bed.approve(&decided);
        bed.teleport.delete(TCTL, &deleted).unwrap();
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let message = bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_status(&daemon, "C0TEAM", &deleted, "⌛ EXPIRED").await;
        bed.until_recorded(&daemon, &open, |record| record.contains_key("x_delivery")).await;
        bed.until_logged(&daemon, "Teleport's own plugin posted the messages").await;
        bed.approve(&open);
        bed.until_status(&daemon, "C0TEAM", &open, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
        assert_eq!(
            bed.slack.dm_with("U0BOB"),
            None,
            "bob was notified again of a request that the Go plugin had posted"
        );
    });
}

#[test]
fn a_resolution_that_the_go_plugin_did_not_show_is_shown() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let id = bed.create_request();
        let (channel, ts) = go_plugin_posts(&bed, &id).await;
        bed.teleport.set_state(TCTL, &id, RequestState::Denied, "not today", "").unwrap();
        write_record(
            &bed,
            &id,
            &[
                ("user", ALICE.to_owned()),
                ("roles", "dba".to_owned()),
                ("messages", format!("{channel}/{ts}")),
                ("resolution", "DENIED".to_owned()),
                ("resolve_reason", "not today".to_owned()),
            ],
        );
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        bed.until_status(&daemon, "C0TEAM", &id, "❌ DENIED (not today)").await;
        daemon.stop().await;
    });
}

#[test]
fn the_record_has_the_keys_of_the_go_plugin() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed.create_request();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("messages")).await;
        let mut record = bed.record(&id);
        record.retain(|key, _| !key.starts_with("x_"));
        let expected = [
            ("messages", format!("C0TEAM/{}", message.ts)),
            ("request_reason", "nightly restore".to_owned()),
            ("roles", "dba".to_owned()),
            ("user", ALICE.to_owned()),
        ];
        assert_eq!(record, expected.map(|(k, v)| (k.to_owned(), v)).into());
        daemon.stop().await;
    });
}

#[test]
fn go_plugin_messages_are_continued_after_a_claim_expires() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let id = bed.create_request();
        let (channel, ts) = go_plugin_posts(&bed, &id).await;
        let claim = format!(r#"{{"h":"gone","n":1,"at":"{}"}}"#, jiff::Timestamp::now());
        let record = [
            ("user", ALICE.to_owned()),
            ("roles", "dba".to_owned()),
            ("request_reason", "because".to_owned()),
            ("messages", format!("{channel}/{ts}")),
            ("x_claim", claim.clone()),
        ];
        write_record(&bed, &id, &record);
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        bed.approve(&id);
        bed.until_logged(&daemon, "taking over").await;
        let message = bed.until_status(&daemon, &channel, &id, "✅ APPROVED (looks fine)").await;
        assert_eq!(message.ts, ts);
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "resolution") == "APPROVED" && !record.contains_key("x_claim")
        })
        .await;
        daemon.stop().await;
        assert!(
            bed.messages_about("C0DBA", &id).is_empty(),
            "#dba was notified again of a request that the Go plugin had posted"
        );
    });
}

#[test]
fn a_killed_daemons_record_is_continued_by_the_go_plugin_and_then_by_a_new_daemon() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let both = r#"recipients = ["C0TEAM", "C0DBA"]"#;
        let daemon = bed.start(both).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Hang).in_channel("C0DBA").times(1));
        let id = bed.create_request();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let messages = format!("C0TEAM/{}", message.ts);
        bed.until_recorded(&daemon, &id, |record| field(record, "messages") == messages).await;
        daemon.kill().await;
        // The daemon was killed during its work: claim and in-doubt posts stand beside the Go plugin's keys.
        let mut left = bed.record(&id);
        assert!(left.contains_key("x_claim") && left.contains_key("x_doubts"), "{left:?}");
        let of_go: Vec<_> = left.iter().filter(|(key, _)| !key.starts_with("x_")).collect();
        let expected = [
            ("messages", messages.as_str()),
            ("request_reason", "nightly restore"),
            ("roles", "dba"),
            ("user", ALICE),
        ];
        assert_eq!(of_go.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        // The Go plugin replies with the review, records the end, and leaves the other keys as they are.
        bed.approve(&id);
        left.extend([("reviews_count", "1"), ("resolution", "APPROVED")].map(|(k, v)| (k.into(), v.into())));
        let left: Vec<_> = left.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        write_record(&bed, &id, &left);
        let daemon = bed.start(both).await;
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_status(&daemon, "C0DBA", &id, "✅ APPROVED (looks fine)").await;
        bed.until_recorded(&daemon, &id, |record| {
            ["x_claim", "x_doubts"].iter().all(|key| !record.contains_key(*key))
        })
        .await;
        daemon.stop().await;
        assert!(bed.replies(&message).is_empty(), "a review was posted again that the Go plugin had posted");
    });
}

#[test]
fn invalid_record_values_are_logged_and_stop_nothing() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let id = bed.create_request();
        let invalid: BTreeMap<Vec<u8>, Vec<u8>> = [
            (&b"messages"[..], &b"no-slash,/,\xff\xfe"[..]),
            (b"x_delivery", b"{\"not\":\"a list\"}"),
            (b"x_request", b"\x00\x01"),
            (b"reviews_count", b"-7"),
            (b"x_votes", b"of another version"),
        ]
        .map(|(k, v)| (k.to_vec(), v.to_vec()))
        .into();
        bed.teleport.set_plugin_data(&id, "slack", invalid).unwrap();
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let line = bed.until_logged(&daemon, "values that cannot be read").await;
        assert!(line.contains("x_delivery") && line.contains(&id), "{line}");
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "messages").starts_with("C0TEAM/")
                && field(record, "x_votes") == "of another version"
        })
        .await;
        daemon.stop().await;
    });
}

/// Scripts, and that plugin's own tests, read the only element of the third block, expect look-ups as GET requests, and
/// find EXPIRED in the record of a deleted request.
#[test]
fn the_third_block_holds_only_the_status_and_the_record_agrees() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com", "U0DAVE"]"#).await;
        let carol = "carol@example.com";
        let two = || NewRequest::roles(&["admin"], "two needed");
        let [counted, deleted] = [(); 2].map(|()| bed.teleport.request_access(carol, two()).unwrap());
        let assert_status_alone = |message: &MessageView| {
            assert_eq!(message.blocks[2]["type"], "context");
            assert_eq!(message.blocks[2]["elements"].as_array().unwrap().len(), 1, "{:?}", message.blocks);
        };
        for destination in ["C0TEAM", "U0BOB", "U0DAVE"] {
            for id in [&counted, &deleted] {
                assert_status_alone(&bed.until_status(&daemon, destination, id, "⏳ PENDING").await);
            }
        }
        bed.approve(&counted);
        let shows = |words: &'static str| move |message: &MessageView| block_text(message, 3).contains(words);
        let count = || bed.message_about("C0TEAM", &counted).filter(shows("1 of 2 approvals"));
        assert_status_alone(&bed.until(&daemon, "the count", count).await);
        bed.teleport.review(DAVE, &counted, Decision::Approve, "").unwrap();
        let message = bed.until_status(&daemon, "C0TEAM", &counted, "✅ APPROVED").await;
        assert_status_alone(&message);
        assert!(shows("Decided by bob@example.com, dave@example.com")(&message), "{:?}", message.blocks);

        bed.teleport.delete(TCTL, &deleted).unwrap();
        assert_status_alone(&bed.until_deleted(&daemon, "C0TEAM", &deleted).await);
        bed.until_recorded(&daemon, &deleted, |record| field(record, "resolution") == "EXPIRED").await;
        daemon.stop().await;
        for method in ["users.lookupByEmail", "users.info"] {
            let calls = bed.slack.calls_of(method);
            assert!(!calls.is_empty(), "{method} was not called");
            assert!(calls.iter().all(|call| call.encoding == Some(Encoding::Query)), "{calls:?}");
        }
    });
}
