//! chat.update, chat.delete and chat.getPermalink.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::SlackSim;
use super::super::workspace::Workspace;
use super::{Client, section, start};

async fn posted(client: &Client, channel: &str, content: Value) -> String {
    let mut body = content;
    body["channel"] = json!(channel);
    client.ok("chat.postMessage", body).await["ts"].as_str().unwrap().to_owned()
}

fn only(sim: &SlackSim, channel: &str) -> super::super::snapshot::MessageView {
    let mut messages = sim.messages(channel);
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

#[tokio::test]
async fn an_update_replaces_text_and_blocks_by_slacks_rules() {
    let (sim, client) = start(Workspace::demo()).await;
    let metadata = json!({ "event_type": "e", "event_payload": { "n": 1 } });
    let content = json!({ "text": "fallback", "blocks": [section("one")], "metadata": metadata });
    let ts = posted(&client, "C0REQUESTS", content).await;
    let update = |fields: Value| {
        let mut body = json!({ "channel": "C0REQUESTS", "ts": ts });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };

    let got = client.ok("chat.update", update(json!({ "blocks": [section("two")], "text": "second" }))).await;
    assert_eq!((&got["channel"], &got["ts"]), (&json!("C0REQUESTS"), &json!(ts)));
    assert_eq!(got["text"], "second");
    let message = only(&sim, "C0REQUESTS");
    assert_eq!((message.blocks, message.text.as_str()), (vec![section("two")], "second"));
    assert_eq!((message.edits, message.marked_edited), (1, false));
    assert!(message.edited_at.is_some());
    assert_eq!(message.metadata, Some(metadata), "metadata stays unless sent");

    client.ok("chat.update", update(json!({ "blocks": [section("three")], "metadata": {} }))).await;
    let message = only(&sim, "C0REQUESTS");
    assert_eq!(message.text, "");
    assert_eq!(message.metadata, None);

    client.ok("chat.update", update(json!({ "text": "only text" }))).await;
    let message = only(&sim, "C0REQUESTS");
    assert_eq!((message.blocks.len(), message.edits, message.marked_edited), (0, 3, true));

    client.ok("chat.update", update(json!({ "text": "t", "blocks": [section("four")] }))).await;
    client.ok("chat.update", update(json!({ "attachments": [{ "text": "a" }] }))).await;
    let message = only(&sim, "C0REQUESTS");
    assert_eq!((message.blocks, message.text.as_str()), (vec![section("four")], "t"));

    client.ok("chat.update", update(json!({ "attachments": [], "text": "t" }))).await;
    for (fields, code) in [
        (json!({}), "no_text"),
        (json!({ "text": "" }), "no_text"),
        (json!({ "blocks": [] }), "no_text"),
        (json!({ "text": "x".repeat(4_001) }), "msg_too_long"),
        (json!({ "blocks": [{ "type": "section" }] }), "invalid_blocks"),
    ] {
        assert_eq!(client.error("chat.update", update(fields.clone())).await, code, "{fields}");
    }
    assert_eq!(only(&sim, "C0REQUESTS").text, "t", "a refused update changes nothing");
    client.ok("chat.update", update(json!({ "text": "ü".repeat(4_000) }))).await;
}

#[tokio::test]
async fn only_the_author_changes_a_message_and_only_where_it_is() {
    let (sim, client) = start(Workspace::demo()).await;
    let theirs = sim.say("C0REQUESTS", "U0ALICE", "mine", None).unwrap();
    let ours = posted(&client, "C0REQUESTS", json!({ "text": "ours" })).await;
    let dm = client.ok("chat.postMessage", json!({ "channel": "U0BOB", "text": "x" })).await;
    let dm_ts = dm["ts"].as_str().unwrap();
    let cases = [
        ("C0REQUESTS", theirs.as_str(), "cant_update_message", "cant_delete_message"),
        ("C0REQUESTS", "1795363190.000001", "message_not_found", "message_not_found"),
        ("C0REQUESTS", "nonsense", "message_not_found", "message_not_found"),
        ("C0DBA", ours.as_str(), "message_not_found", "message_not_found"),
        ("U0BOB", dm_ts, "channel_not_found", "channel_not_found"),
        ("#access-requests", ours.as_str(), "channel_not_found", "channel_not_found"),
        ("C0SECOPS", ours.as_str(), "channel_not_found", "channel_not_found"),
    ];
    for (channel, ts, update, delete) in cases {
        let body = json!({ "channel": channel, "ts": ts, "text": "changed" });
        assert_eq!(client.error("chat.update", body).await, update, "{channel} {ts}");
        let body = json!({ "channel": channel, "ts": ts });
        assert_eq!(client.error("chat.delete", body).await, delete, "{channel} {ts}");
    }
    client.ok("chat.update", json!({ "channel": dm["channel"], "ts": dm_ts, "text": "y" })).await;

    let change = json!({ "channel": "C0REQUESTS", "ts": ours, "text": "changed" });
    sim.set_archived("C0REQUESTS", true);
    assert_eq!(client.error("chat.update", change.clone()).await, "is_inactive");
    sim.set_archived("C0REQUESTS", false);
    sim.kick_bot("C0REQUESTS");
    assert_eq!(client.error("chat.update", change.clone()).await, "not_in_channel");
    sim.invite_bot("C0REQUESTS");
    client.ok("chat.update", change).await;
}

#[tokio::test]
async fn the_edit_window_closes() {
    let workspace = Workspace::demo().with_edit_window(Duration::ZERO);
    let (_sim, client) = start(workspace).await;
    let ts = posted(&client, "C0REQUESTS", json!({ "text": "x" })).await;
    let body = json!({ "channel": "C0REQUESTS", "ts": ts, "text": "y" });
    assert_eq!(client.error("chat.update", body).await, "edit_window_closed");
}

#[tokio::test]
async fn deleted_messages_are_gone_and_deleted_heads_stay_as_tombstones() {
    let (sim, client) = start(Workspace::demo()).await;
    let ts = posted(&client, "C0REQUESTS", json!({ "text": "x" })).await;
    let body = json!({ "channel": "C0REQUESTS", "ts": ts });
    client.ok("chat.delete", body.clone()).await;
    assert!(sim.messages("C0REQUESTS").is_empty());
    assert_eq!(client.error("chat.delete", body).await, "message_not_found");

    let head = posted(&client, "C0REQUESTS", json!({ "text": "head" })).await;
    posted(&client, "C0REQUESTS", json!({ "text": "reply", "thread_ts": head })).await;
    assert!(sim.delete_message("C0REQUESTS", &head));
    assert!(!sim.delete_message("C0REQUESTS", "1795363190.000001"));
    assert!(!sim.delete_message("C0NOWHERE", &head));
    let body = json!({ "channel": "C0REQUESTS", "ts": head, "text": "y" });
    assert_eq!(client.error("chat.update", body).await, "message_not_found");
    let body = json!({ "channel": "C0REQUESTS", "thread_ts": head, "text": "y" });
    assert_eq!(client.error("chat.postMessage", body).await, "cannot_reply_to_message");
    let thread = client.ok("conversations.replies", json!({ "channel": "C0REQUESTS", "ts": head })).await;
    assert_eq!(thread["messages"][0]["subtype"], "tombstone");
    assert_eq!(thread["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn permalinks_name_the_message_and_its_thread() {
    let (_sim, client) = start(Workspace::demo()).await;
    let head = posted(&client, "C0REQUESTS", json!({ "text": "x" })).await;
    let reply = posted(&client, "C0REQUESTS", json!({ "text": "x", "thread_ts": head })).await;
    let link = async |ts: &str| {
        let got = client.get("chat.getPermalink", &[("channel", "C0REQUESTS"), ("message_ts", ts)]).await;
        got.json()["permalink"].as_str().unwrap().to_owned()
    };
    let digits = |ts: &str| ts.replace('.', "");
    let base = "https://demo.slack.com/archives/C0REQUESTS/p";
    assert_eq!(link(&head).await, format!("{base}{}", digits(&head)));
    let expected = format!("{base}{}?thread_ts={head}&cid=C0REQUESTS", digits(&reply));
    assert_eq!(link(&reply).await, expected);
    let body = json!({ "channel": "C0REQUESTS", "message_ts": "1795363190.000001" });
    assert_eq!(client.error("chat.getPermalink", body).await, "message_not_found");
    let body = json!({ "channel": "C0SECOPS", "message_ts": head });
    assert_eq!(client.error("chat.getPermalink", body).await, "channel_not_found");
}
