//! Messages and records that the Go plugin left are continued.

use std::collections::BTreeMap;

use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::RequestState;

use crate::support::*;

/// Leaves what the Go plugin 7.1.3 leaves after posting about a request: a message like its own, and a record
/// with the keys of the captured one.
async fn go_plugin_posts(bed: &Bed, id: &str) -> (String, String) {
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
    plant(bed, id, &record);
    ("C0TEAM".to_owned(), ts)
}

fn plant(bed: &Bed, id: &str, record: &[(&str, String)]) {
    let entry: BTreeMap<_, _> =
        record.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.clone().into_bytes())).collect();
    bed.teleport.set_plugin_data(id, "slack", entry).unwrap();
}

#[test]
fn its_messages_are_adopted_updated_and_not_posted_again() {
    story(async {
        let bed = Bed::new().await;
        let [open, decided, deleted] = [bed.ask(), bed.ask(), bed.ask()];
        for id in [&open, &decided, &deleted] {
            go_plugin_posts(&bed, id).await;
        }
        bed.approve(&decided);
        bed.teleport.delete(TCTL, &deleted).unwrap();
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let card = bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &card, 1).await;
        bed.until_status(&daemon, "C0TEAM", &deleted, "⌛ EXPIRED").await;
        bed.until_recorded(&daemon, &open, |record| record.contains_key("x_delivery")).await;
        bed.approve(&open);
        bed.until_status(&daemon, "C0TEAM", &open, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
        assert_eq!(bed.slack.dm_with("U0BOB"), None, "bob was told again of what the Go plugin had told");
    });
}

#[test]
fn a_resolution_that_it_recorded_but_did_not_show_is_shown() {
    story(async {
        let bed = Bed::new().await;
        let id = bed.ask();
        let (channel, ts) = go_plugin_posts(&bed, &id).await;
        bed.teleport.set_state(TCTL, &id, RequestState::Denied, "not today", "").unwrap();
        plant(
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
fn our_record_keeps_the_keys_of_the_go_plugin() {
    story(async {
        let bed = Bed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed.ask();
        let card = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("messages")).await;
        let mut record = bed.record(&id);
        record.retain(|key, _| !key.starts_with("x_"));
        let expected = [
            ("messages", format!("C0TEAM/{}", card.ts)),
            ("request_reason", "nightly restore".to_owned()),
            ("roles", "dba".to_owned()),
            ("user", ALICE.to_owned()),
        ];
        assert_eq!(record, expected.map(|(k, v)| (k.to_owned(), v)).into());
        daemon.stop().await;
    });
}

#[test]
fn rubbish_in_the_record_is_named_and_stops_nothing() {
    story(async {
        let bed = Bed::new().await;
        let id = bed.ask();
        let rubbish: BTreeMap<Vec<u8>, Vec<u8>> = [
            (&b"messages"[..], &b"no-slash,/,\xff\xfe"[..]),
            (b"x_delivery", b"{\"not\":\"a list\"}"),
            (b"x_request", b"\x00\x01"),
            (b"reviews_count", b"-7"),
            (b"x_votes", b"of another version"),
        ]
        .map(|(k, v)| (k.to_vec(), v.to_vec()))
        .into();
        bed.teleport.set_plugin_data(&id, "slack", rubbish).unwrap();
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
