//! Conversations: info, list, join, open, history, replies, and the views for tests and the page.

use serde_json::{Value, json};

use super::super::workspace::{Channel, Workspace};
use super::{section, start};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

fn texts(got: &Value) -> Vec<&str> {
    got["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn info_distinguishes_channels() {
    let (sim, client) = start(Workspace::demo()).await;
    let info =
        async |id: &str| client.ok("conversations.info", json!({ "channel": id })).await["channel"].clone();
    let requests = info("C0REQUESTS").await;
    assert_eq!((&requests["is_member"], &requests["is_private"]), (&json!(true), &json!(false)));
    assert_eq!((&requests["name"], &requests["is_ext_shared"]), (&json!("access-requests"), &json!(false)));
    assert_eq!(info("C0RANDOM").await["is_member"], json!(false));
    let shared = Channel { ext_shared: true, ..Channel::private("C0OUT", "out").with_members(&["U0BOT"]) };
    sim.put_channel(shared);
    let out = info("C0OUT").await;
    assert_eq!((&out["is_ext_shared"], &out["is_private"]), (&json!(true), &json!(true)));
    for hidden in ["C0SECOPS", "C0NOWHERE", "access-requests", "U0BOB"] {
        let code = client.error("conversations.info", json!({ "channel": hidden })).await;
        assert_eq!(code, "channel_not_found", "{hidden}");
    }
    let counted = json!({ "channel": "C0DBA", "include_num_members": true });
    assert_eq!(client.ok("conversations.info", counted).await["channel"]["num_members"], json!(3));
    sim.remove_scope("groups:read");
    let refused = client.post("conversations.info", json!({ "channel": "C0OUT" })).await.json();
    assert_eq!(refused["needed"], "groups:read");
}

#[tokio::test]
async fn joins_public_channels_only() {
    let (sim, client) = start(Workspace::demo()).await;
    let join = |id: &str| json!({ "channel": id });
    let got = client.ok("conversations.join", join("C0RANDOM")).await;
    assert_eq!((&got["channel"]["is_member"], &got["warning"]), (&json!(true), &Value::Null));
    assert_eq!(client.ok("conversations.join", join("C0RANDOM")).await["warning"], "already_in_channel");
    assert_eq!(client.error("conversations.join", join("C0SECOPS")).await, "channel_not_found");
    sim.invite_bot("C0SECOPS");
    let code = client.error("conversations.join", join("C0SECOPS")).await;
    assert_eq!(code, "method_not_supported_for_channel_type");
    sim.set_archived("C0RANDOM", true);
    assert_eq!(client.error("conversations.join", join("C0RANDOM")).await, "is_archived");
}

#[tokio::test]
async fn opens_direct_messages() {
    let (sim, client) = start(Workspace::demo()).await;
    let got = client.ok("conversations.open", json!({ "users": "U0BOB" })).await;
    assert_eq!(got["channel"], json!({ "id": sim.dm_with("U0BOB").unwrap() }));
    assert_eq!(got["no_op"], Value::Null);
    let again = client.ok("conversations.open", json!({ "users": "U0BOB", "return_im": true })).await;
    assert_eq!((&again["already_open"], &again["channel"]["user"]), (&json!(true), &json!("U0BOB")));
    client.ok("conversations.open", json!({ "channel": got["channel"]["id"] })).await;
    let cases = [
        (json!({}), "users_list_not_supplied"),
        (json!({ "users": "," }), "not_enough_users"),
        (json!({ "users": "U1,U2,U3,U4,U5,U6,U7,U8,U9" }), "too_many_users"),
        (json!({ "users": "U0NOBODY" }), "user_not_found"),
        (json!({ "users": "U0DAN" }), "user_disabled"),
        (json!({ "users": "USLACKBOT" }), "user_not_visible"),
        (json!({ "users": "U0ALICE,U0ALICE" }), "invalid_user_combination"),
        (json!({ "users": "U0ALICE,U0BOB" }), "missing_scope"),
        (json!({ "users": "U0ALICE", "prevent_creation": true }), "channel_not_found"),
        (json!({ "channel": "C0REQUESTS" }), "method_not_supported_for_channel_type"),
        (json!({ "channel": "D0NOWHERE" }), "channel_not_found"),
        (json!({ "channel": "C0REQUESTS", "users": "U0BOB" }), "invalid_arguments"),
    ];
    for (body, code) in cases {
        assert_eq!(client.error("conversations.open", body.clone()).await, code, "{body}");
    }
    sim.add_scope("mpim:write");
    let group = client.ok("conversations.open", json!({ "users": "U0ALICE,U0BOB" })).await;
    client.ok("chat.postMessage", json!({ "channel": group["channel"]["id"], "text": "x" })).await;
    assert_eq!(sim.dm_with("U0ALICE"), None, "a group is not a direct message with one of them");
}

#[tokio::test]
async fn lists_what_the_bot_may_see_page_by_page() {
    let (sim, client) = start(Workspace::demo()).await;
    client.ok("chat.postMessage", json!({ "channel": "U0BOB", "text": "x" })).await;
    sim.set_archived("C0RANDOM", true);
    let got = client.ok("conversations.list", json!({})).await;
    assert_eq!(ids(&got["channels"]), ["C0DBA", "C0RANDOM", "C0REQUESTS"]);
    assert_eq!(got["response_metadata"]["next_cursor"], "");
    let all = json!({ "types": "public_channel,private_channel,im", "exclude_archived": true });
    assert_eq!(
        ids(&client.ok("conversations.list", all).await["channels"]),
        ["C0DBA", "C0REQUESTS", "D0BOB"]
    );

    let mut cursor = String::new();
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let got = client
            .get("conversations.list", &[("limit", "1"), ("exclude_archived", "1"), ("cursor", &cursor)])
            .await
            .json();
        found.extend(ids(&got["channels"]).into_iter().map(str::to_owned));
        pages += 1;
        cursor = got["response_metadata"]["next_cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(
        (found, pages),
        (vec!["C0DBA".to_owned(), "C0REQUESTS".to_owned()], 5),
        "empty pages are normal"
    );
    for (body, code) in [
        (json!({ "limit": 1000 }), "invalid_limit"),
        (json!({ "limit": 0 }), "invalid_limit"),
        (json!({ "types": "rooms" }), "invalid_types"),
        (json!({ "cursor": "x" }), "invalid_cursor"),
        (json!({ "team_id": "T0OTHER" }), "team_not_found"),
    ] {
        assert_eq!(client.error("conversations.list", body).await, code);
    }
    sim.remove_scope("im:read");
    let refused = client.post("conversations.list", json!({ "types": "public_channel,im" })).await.json();
    assert_eq!(refused["needed"], "im:read");
}

#[tokio::test]
async fn history_is_newest_first_bounded_and_shy_with_metadata() {
    let (sim, client) = start(Workspace::demo()).await;
    let mut stamps = Vec::new();
    for n in 0..5 {
        let body = json!({ "channel": "C0REQUESTS", "text": format!("m{n}"),
            "metadata": { "event_type": "e", "event_payload": { "n": n } } });
        let got = client.ok("chat.postMessage", body).await;
        stamps.push(got["ts"].as_str().unwrap().to_owned());
    }
    client
        .ok("chat.postMessage", json!({ "channel": "C0REQUESTS", "text": "r", "thread_ts": stamps[1] }))
        .await;
    let read = async |fields: Value| {
        let mut body = fields;
        body["channel"] = json!("C0REQUESTS");
        client.ok("conversations.history", body).await
    };
    let got = read(json!({})).await;
    assert_eq!(texts(&got), ["m4", "m3", "m2", "m1", "m0"]);
    assert_eq!(got["messages"][0]["metadata"], json!({ "event_type": "e" }));
    assert_eq!(got["messages"][3]["reply_count"], json!(1));
    assert_eq!(got["messages"][0]["app_id"], "A0BOT");
    let got = read(json!({ "include_all_metadata": true, "limit": 1 })).await;
    assert_eq!(got["messages"][0]["metadata"]["event_payload"], json!({ "n": 4 }));
    assert_eq!(texts(&read(json!({ "oldest": stamps[1], "latest": stamps[3] })).await), ["m2"]);
    let inclusive = json!({ "oldest": stamps[1], "latest": stamps[3], "inclusive": true });
    assert_eq!(texts(&read(inclusive).await), ["m3", "m2", "m1"]);

    let first = read(json!({ "limit": 3 })).await;
    assert_eq!((texts(&first), &first["has_more"]), (vec!["m4", "m3", "m2"], &json!(true)));
    let second = read(json!({ "limit": 3, "cursor": first["response_metadata"]["next_cursor"] })).await;
    assert_eq!((texts(&second), &second["has_more"]), (vec!["m1", "m0"], &json!(false)));

    for (fields, code) in [
        (json!({ "channel": "C0RANDOM" }), "not_in_channel"),
        (json!({ "channel": "C0SECOPS" }), "channel_not_found"),
        (json!({ "channel": "C0REQUESTS", "oldest": "x" }), "invalid_ts_oldest"),
        (json!({ "channel": "C0REQUESTS", "latest": "x" }), "invalid_ts_latest"),
        (json!({ "channel": "C0REQUESTS", "cursor": "x" }), "invalid_cursor"),
        (json!({ "channel": "C0REQUESTS", "limit": 1000 }), "invalid_arguments"),
    ] {
        assert_eq!(client.error("conversations.history", fields).await, code);
    }
    client.ok("chat.postMessage", json!({ "channel": "U0BOB", "text": "x" })).await;
    sim.remove_scope("im:history");
    assert_eq!(client.error("conversations.history", json!({ "channel": "D0BOB" })).await, "missing_scope");
}

#[tokio::test]
async fn replies_start_with_the_head_and_rise() {
    let (sim, client) = start(Workspace::demo()).await;
    let head =
        client.ok("chat.postMessage", json!({ "channel": "C0REQUESTS", "text": "head" })).await["ts"].clone();
    for n in 0..3 {
        let body = json!({ "channel": "C0REQUESTS", "text": format!("r{n}"), "thread_ts": head });
        client.ok("chat.postMessage", body).await;
    }
    sim.say("C0REQUESTS", "U0ALICE", "thanks", head.as_str()).unwrap();
    client.ok("chat.postMessage", json!({ "channel": "C0REQUESTS", "text": "other" })).await;
    let body = json!({ "channel": "C0REQUESTS", "ts": head });
    let got = client.ok("conversations.replies", body).await;
    assert_eq!(texts(&got), ["head", "r0", "r1", "r2", "thanks"]);
    assert_eq!(got["messages"][0]["reply_count"], json!(4));
    assert_eq!(got["messages"][4]["bot_id"], Value::Null);
    let page =
        client.ok("conversations.replies", json!({ "channel": "C0REQUESTS", "ts": head, "limit": 2 })).await;
    assert_eq!(texts(&page), ["head", "r0"]);
    let cursor = &page["response_metadata"]["next_cursor"];
    let body = json!({ "channel": "C0REQUESTS", "ts": head, "limit": 9, "cursor": cursor });
    assert_eq!(texts(&client.ok("conversations.replies", body).await), ["r1", "r2", "thanks"]);
    let body = json!({ "channel": "C0DBA", "ts": head });
    assert_eq!(client.error("conversations.replies", body).await, "thread_not_found");
}

#[tokio::test]
async fn the_snapshot_nests_replies_and_keeps_blocks_verbatim() {
    let (sim, client) = start(Workspace::demo()).await;
    let block = section("<@U0BOB> https://a.example");
    let head = client.ok("chat.postMessage", json!({ "channel": "C0REQUESTS", "blocks": [block] })).await;
    let body = json!({ "channel": "C0REQUESTS", "text": "reply", "thread_ts": head["ts"] });
    client.ok("chat.postMessage", body).await;
    client.ok("chat.postMessage", json!({ "channel": "U0BOB", "text": "x" })).await;
    let snapshot = sim.snapshot();
    assert_eq!(snapshot["team"]["name"], "Demo");
    let kinds = |id: &str| {
        let people = snapshot["people"].as_array().unwrap();
        people.iter().find(|person| person["id"] == id).map(|person| person["kind"].clone()).unwrap()
    };
    assert_eq!(kinds("U0ALICE"), "member");
    assert_eq!(kinds("U0GIL"), "guest");
    assert_eq!(kinds("U0DAN"), "deactivated");
    assert_eq!(kinds("U0EVE"), json!({ "external": { "team_id": "T0OTHER", "stranger": false } }));
    let conversations = snapshot["conversations"].as_array().unwrap();
    let by_id = |id: &str| conversations.iter().find(|found| found["id"] == id).unwrap();
    let thread = &by_id("C0REQUESTS")["messages"][0];
    assert_eq!(thread["blocks"], json!([block]));
    assert_eq!(thread["replies"][0]["text"], "reply");
    assert_eq!(by_id("D0BOB")["members"], json!(["U0BOB", "U0BOT"]));
    assert_eq!(by_id("C0SECOPS")["bot_is_member"], json!(false));
    assert!(!snapshot.to_string().contains("xoxb-"), "the page must not learn the token");

    let effects = sim.messages("C0REQUESTS")[0].effects();
    assert_eq!(effects.users, ["U0BOB"]);
    assert!(!effects.mentions_no_user());
    assert_eq!(effects.links[0].url, "https://a.example");
}
