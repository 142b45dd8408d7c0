//! chat.postMessage: where to, what, and what it leaves behind.

use serde_json::{Value, json};

use super::super::workspace::{Channel, Posting, SlackUser, SlackUserKind, Workspace};
use super::{section, start};

#[tokio::test]
async fn posts_by_id_by_name_and_to_users() {
    let (sim, client) = start(Workspace::demo()).await;
    for target in ["C0REQUESTS", "access-requests", "#access-requests"] {
        let got = client.ok("chat.postMessage", json!({ "channel": target, "text": "hi" })).await;
        assert_eq!(got["channel"], "C0REQUESTS");
        assert_eq!(got["message"]["bot_id"], "B0BOT");
        assert_eq!(got["message"]["ts"], got["ts"]);
    }
    assert_eq!(sim.dm_with("U0BOB"), None);
    let got = client.ok("chat.postMessage", json!({ "channel": "U0BOB", "text": "hi" })).await;
    let dm = got["channel"].as_str().unwrap();
    assert!(dm.starts_with('D'), "{dm}");
    assert_eq!(sim.dm_with("U0BOB").as_deref(), Some(dm));
    let again = client.ok("chat.postMessage", json!({ "channel": dm, "text": "again" })).await;
    assert_eq!(again["channel"].as_str(), Some(dm));
    assert_eq!(sim.messages(dm).len(), 2);
    assert_eq!(sim.all_messages().len(), 5);
}

#[tokio::test]
async fn timestamps_have_ten_and_six_digits_and_rise() {
    let (sim, client) = start(Workspace::demo()).await;
    for channel in ["C0REQUESTS", "C0DBA", "C0REQUESTS", "U0BOB", "C0DBA"] {
        client.ok("chat.postMessage", json!({ "channel": channel, "text": "x" })).await;
    }
    let posted: Vec<String> =
        sim.calls().iter().map(|call| call.answer["ts"].as_str().unwrap().to_owned()).collect();
    assert!(posted.iter().all(|ts| ts.len() == 17 && ts.as_bytes()[10] == b'.'), "{posted:?}");
    assert!(posted.is_sorted_by(|one, next| one < next), "{posted:?}");
}

#[tokio::test]
async fn refuses_where_the_bot_may_not_post() {
    let workspace = Workspace::demo()
        .add_user(
            SlackUser::member("U0STRANGE", "external")
                .kind(SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger: true }),
        )
        .with_channel(Channel {
            posting: Posting::ReadOnly,
            ..Channel::public("C0NEWS", "news").with_members(&["U0BOT"])
        })
        .with_channel(Channel {
            posting: Posting::ThreadsOnly,
            ..Channel::public("C0THREADS", "threads").with_members(&["U0BOT"])
        })
        .with_channel(Channel {
            posting: Posting::NoThreads,
            ..Channel::public("C0FLAT", "flat").with_members(&["U0BOT"])
        });
    let (sim, client) = start(workspace).await;
    let post = |channel: &str| json!({ "channel": channel, "text": "x" });
    let cases = [
        ("C0NOWHERE", "channel_not_found"),
        ("#nowhere", "channel_not_found"),
        ("#sec-ops", "channel_not_found"),
        ("C0SECOPS", "channel_not_found"),
        ("C0RANDOM", "not_in_channel"),
        ("#random", "not_in_channel"),
        ("U0NOBODY", "channel_not_found"),
        ("U0DAN", "channel_not_found"),
        ("USLACKBOT", "channel_not_found"),
        ("U0BOT", "channel_not_found"),
        ("U0STRANGE", "channel_not_found"),
        ("C0NEWS", "restricted_action_read_only_channel"),
        ("C0THREADS", "restricted_action_thread_only_channel"),
    ];
    for (channel, code) in cases {
        assert_eq!(client.error("chat.postMessage", post(channel)).await, code, "{channel}");
    }
    assert!(sim.all_messages().is_empty());
    for guest in ["U0GIL", "U0EVE"] {
        client.ok("chat.postMessage", post(guest)).await;
    }

    let flat = client.ok("chat.postMessage", post("C0FLAT")).await;
    let reply = json!({ "channel": "C0FLAT", "text": "x", "thread_ts": flat["ts"] });
    assert_eq!(client.error("chat.postMessage", reply).await, "restricted_action_non_threadable_channel");

    sim.add_scope("chat:write.public");
    client.ok("chat.postMessage", post("C0RANDOM")).await;
    assert_eq!(client.error("chat.postMessage", post("C0SECOPS")).await, "channel_not_found");
    sim.invite_bot("C0SECOPS");
    client.ok("chat.postMessage", post("C0SECOPS")).await;
    sim.kick_bot("C0SECOPS");
    assert_eq!(client.error("chat.postMessage", post("C0SECOPS")).await, "channel_not_found");
    sim.set_archived("C0DBA", true);
    assert_eq!(client.error("chat.postMessage", post("C0DBA")).await, "is_archived");
    sim.set_archived("C0DBA", false);
    client.ok("chat.postMessage", post("C0DBA")).await;

    let dm = client.ok("chat.postMessage", post("U0BOB")).await["channel"].clone();
    sim.set_messages_tab(false);
    assert_eq!(client.error("chat.postMessage", post("U0BOB")).await, "messages_tab_disabled");
    assert_eq!(client.error("chat.postMessage", post(dm.as_str().unwrap())).await, "messages_tab_disabled");
    sim.set_messages_tab(true);
    sim.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Deactivated));
    assert_eq!(client.error("chat.postMessage", post(dm.as_str().unwrap())).await, "channel_not_found");
}

#[tokio::test]
async fn replies_need_the_head_of_a_thread_in_that_channel() {
    let (sim, client) = start(Workspace::demo()).await;
    let head = client.ok("chat.postMessage", json!({ "channel": "C0REQUESTS", "text": "head" })).await;
    let reply =
        |channel: &str, thread: &Value| json!({ "channel": channel, "text": "r", "thread_ts": thread });
    let first = client.ok("chat.postMessage", reply("C0REQUESTS", &head["ts"])).await;
    assert_eq!(first["message"]["thread_ts"], head["ts"]);
    let wrong = [
        (reply("C0DBA", &head["ts"]), "thread_not_found"),
        (reply("C0REQUESTS", &json!("1795363190.000001")), "thread_not_found"),
        (reply("C0REQUESTS", &json!("yesterday")), "thread_not_found"),
        (reply("C0REQUESTS", &json!(1795363190.5)), "invalid_arguments"),
        (reply("C0REQUESTS", &first["ts"]), "cannot_reply_to_message"),
        (json!({ "channel": "C0REQUESTS", "text": "r", "reply_broadcast": true }), "invalid_arguments"),
    ];
    for (body, code) in wrong {
        assert_eq!(client.error("chat.postMessage", body.clone()).await, code, "{body}");
    }
    let thread = sim.thread("C0REQUESTS", head["ts"].as_str().unwrap());
    assert_eq!(thread.len(), 2);
    assert_eq!(thread[1].thread_ts.as_deref(), head["ts"].as_str());
}

#[tokio::test]
async fn content_is_required_bounded_and_kept_as_sent() {
    let (sim, client) = start(Workspace::demo()).await;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "channel": "C0REQUESTS" });
        body[field] = value;
        body
    };
    let attachments: Vec<Value> = (0..101).map(|n| json!({ "text": n.to_string() })).collect();
    let cases = [
        (json!({ "channel": "C0REQUESTS" }), "no_text"),
        (with("text", json!("")), "no_text"),
        (with("blocks", json!([])), "no_text"),
        (with("blocks", json!("{")), "invalid_blocks_format"),
        (with("blocks", json!({})), "invalid_blocks_format"),
        (with("blocks", json!(["x"])), "invalid_blocks_format"),
        (with("blocks", json!([section("")])), "invalid_blocks"),
        (with("blocks", json!(vec![json!({ "type": "divider" }); 51])), "msg_blocks_too_long"),
        (with("attachments", json!(attachments)), "too_many_attachments"),
        (with("attachments", json!("x")), "invalid_attachments"),
        (with("attachments", json!([{ "blocks": [section("")] }])), "invalid_blocks"),
        (with("markdown_text", json!("x".repeat(12_001))), "msg_too_long"),
        (json!({ "channel": "C0REQUESTS", "text": "x", "markdown_text": "y" }), "markdown_text_conflict"),
        (json!({ "channel": "C0REQUESTS", "text": "x", "parse": "some" }), "invalid_arguments"),
        (json!({ "channel": "C0REQUESTS", "text": "x", "unfurl_links": "maybe" }), "invalid_arguments"),
    ];
    for (body, code) in cases {
        assert_eq!(client.error("chat.postMessage", body).await, code);
    }
    let refused = client.post("chat.postMessage", with("blocks", json!([section("")]))).await.json();
    let messages = refused["response_metadata"]["messages"].as_array().unwrap();
    assert!(messages[0].as_str().unwrap().contains("[json-pointer:/blocks/0/text/text]"), "{refused}");
    assert_eq!(refused["errors"], refused["response_metadata"]["messages"]);
    assert!(sim.all_messages().is_empty());

    let long = "ü".repeat(40_001);
    client.ok("chat.postMessage", with("text", json!(long))).await;
    let block = json!({ "type": "section", "text": { "type": "mrkdwn", "text": "*see*", "verbatim": true } });
    let answer = client.ok("chat.postMessage", with("blocks", json!([block]))).await;
    let stored = sim.messages("C0REQUESTS");
    assert_eq!((stored[0].text.chars().count(), stored[0].truncated), (40_000, true));
    assert_eq!(stored[1].blocks, [block]);
    assert!(!stored[1].truncated);
    // Slack's answer names each block and makes a text of blocks.
    assert!(answer["message"]["blocks"][0]["block_id"].is_string());
    assert_eq!(answer["message"]["text"], "*see*");
    let linked = client.ok("chat.postMessage", with("text", json!("see https://a.example/x. ok"))).await;
    assert_eq!(linked["message"]["text"], "see <https://a.example/x>. ok");
}

#[tokio::test]
async fn metadata_is_validated_and_stored() {
    let (sim, client) = start(Workspace::demo()).await;
    let post = |metadata: Value| json!({ "channel": "C0REQUESTS", "text": "x", "metadata": metadata });
    let event = |payload: Value| post(json!({ "event_type": "access_request", "event_payload": payload }));
    let cases = [
        (post(json!("{")), "invalid_metadata_format"),
        (post(json!([])), "invalid_metadata_format"),
        (post(json!({ "event_type": "x" })), "invalid_metadata_format"),
        (post(json!({ "event_type": 7, "event_payload": {} })), "invalid_metadata_format"),
        (post(json!({ "event_type": "x", "event_payload": {}, "x": 1 })), "invalid_metadata_format"),
        (post(json!({ "event_type": "a-b", "event_payload": {} })), "invalid_metadata_schema"),
        (event(json!({ "Upper": 1 })), "invalid_metadata_schema"),
        (event(json!({ "1st": 1 })), "invalid_metadata_schema"),
        (event(json!({ "list": [1] })), "invalid_metadata_schema"),
        (event(json!({ "none": null })), "invalid_metadata_schema"),
        (event(json!({ "deep": { "er": { "x": 1 } } })), "invalid_metadata_schema"),
        (event(json!({ "big": "x".repeat(9_000) })), "metadata_too_large"),
    ];
    for (body, code) in cases {
        assert_eq!(client.error("chat.postMessage", body.clone()).await, code, "{body}");
    }
    let payload = json!({ "request_id": "1", "n": 2, "b": true, "o": { "x": "y" }, "l": [{ "x": 1 }] });
    client.ok("chat.postMessage", event(payload.clone())).await;
    assert_eq!(sim.messages("C0REQUESTS")[0].metadata.as_ref().unwrap()["event_payload"], payload);
}
