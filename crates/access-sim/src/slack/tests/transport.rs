//! Encodings, tokens, scopes in headers, stopping and starting.

use serde_json::json;

use super::super::arguments::Encoding;
use super::super::workspace::{TokenState, Workspace};
use super::{Client, section, start};

fn team() -> Workspace {
    Workspace::empty().add_channel("C0TEAM", "team")
}

#[tokio::test]
async fn every_encoding_means_the_same() {
    let (sim, client) = start(team()).await;
    let blocks = json!([section("hello")]);
    let as_text = blocks.to_string();
    let metadata = json!({ "event_type": "request", "event_payload": { "id": "1" } });
    let metadata_text = metadata.to_string();
    let pairs = [
        ("channel", "C0TEAM"),
        ("text", "a&b=c ü"),
        ("blocks", as_text.as_str()),
        ("metadata", metadata_text.as_str()),
        ("unfurl_links", "false"),
    ];
    let answers = [
        client.get("chat.postMessage", &pairs).await,
        client.form("chat.postMessage", &pairs).await,
        client
            .post(
                "chat.postMessage",
                json!({ "channel": "C0TEAM", "text": "a&b=c ü", "blocks": blocks, "metadata": metadata,
                    "unfurl_links": false }),
            )
            .await,
        client
            .post(
                "chat.postMessage",
                json!({ "channel": "C0TEAM", "text": "a&b=c ü", "blocks": as_text,
                    "metadata": metadata_text, "unfurl_links": false }),
            )
            .await,
    ];
    for answer in &answers {
        assert_eq!(answer.json()["ok"], json!(true), "{:?}", answer.body);
    }
    let messages = sim.messages("C0TEAM");
    assert_eq!(messages.len(), 4);
    for message in &messages {
        assert_eq!(message.text, "a&b=c ü");
        assert_eq!(json!(message.blocks), blocks);
        assert_eq!(message.metadata, Some(metadata.clone()));
        assert_eq!(message.unfurl_links, Some(false));
        assert_eq!(message.unfurl_media, None);
    }
    let encodings: Vec<_> = sim.calls().into_iter().map(|call| call.encoding.unwrap()).collect();
    assert_eq!(encodings, [Encoding::Query, Encoding::Form, Encoding::Json, Encoding::Json]);
}

#[tokio::test]
async fn the_token_comes_in_the_header_or_a_form_field_and_nowhere_else() {
    let (sim, mut client) = start(team()).await;
    let token = std::mem::take(&mut client.token);
    assert_eq!(client.error("auth.test", json!({})).await, "not_authed");
    assert_eq!(client.get("auth.test", &[("token", &token)]).await.json()["error"], "not_authed");
    assert_eq!(client.post("auth.test", json!({ "token": token })).await.json()["error"], "not_authed");
    assert_eq!(client.form("auth.test", &[("token", &token)]).await.json()["ok"], json!(true));
    assert_eq!(client.form("auth.test", &[("token", "xoxb-wrong")]).await.json()["error"], "invalid_auth");
    client.token = "xoxb-wrong".to_owned();
    assert_eq!(client.error("auth.test", json!({})).await, "invalid_auth");
    assert_eq!(client.form("auth.test", &[("token", &token)]).await.json()["error"], "invalid_auth");
    client.token = token.clone();
    for (state, code) in [
        (TokenState::Revoked, "token_revoked"),
        (TokenState::Expired, "token_expired"),
        (TokenState::AccountInactive, "account_inactive"),
    ] {
        sim.set_token_state(state);
        assert_eq!(client.error("auth.test", json!({})).await, code);
    }
    sim.set_token_state(TokenState::Valid);
    client.ok("auth.test", json!({})).await;
    sim.set_token("xoxb-new");
    assert_eq!(client.error("auth.test", json!({})).await, "invalid_auth");
    let logged = serde_json::to_string(&sim.calls()).unwrap();
    assert!(!logged.contains(&token), "the call log must not hold the token");
}

#[tokio::test]
async fn malformed_requests_are_refused_by_name() {
    let (_sim, client) = start(team()).await;
    let json_type = Some("application/json; charset=utf-8");
    let form_type = Some("application/x-www-form-urlencoded");
    let cases = [
        ("POST", "auth.test", json_type, "{", "invalid_json"),
        ("POST", "auth.test", json_type, "[]", "json_not_object"),
        ("POST", "auth.test", Some("text/plain"), "x", "invalid_post_type"),
        ("POST", "auth.test", None, "x", "missing_post_type"),
        ("POST", "auth.test", Some("application/json; charset=latin1"), "{}", "invalid_charset"),
        ("POST", "auth.test?channel=C", json_type, "{}", "invalid_arguments"),
        ("POST", "auth.test", form_type, "channel=C&channel=D", "invalid_form_data"),
        ("POST", "chat.post", json_type, "{}", "unknown_method"),
        ("GET", "chat.post", None, "", "unknown_method"),
        ("POST", "auth.test", json_type, r#"{"channel_name":"C"}"#, "invalid_arg_name"),
        ("POST", "chat.postMessage", json_type, r#"{"channel":7,"text":"x"}"#, "invalid_arguments"),
        ("POST", "chat.postMessage", json_type, r#"{"text":"x"}"#, "invalid_arguments"),
        ("POST", "chat.postMessage", json_type, r#"{"channel":"C0TEAM","text":["x"]}"#, "invalid_arguments"),
    ];
    for (verb, path, content_type, body, code) in cases {
        let got = client.raw(verb, path, content_type, body).await;
        assert_eq!(got.status, 200, "{path} {body}");
        assert_eq!(got.json()["error"], code, "{path} {body}");
    }
    assert_eq!(client.raw("DELETE", "auth.test", None, "").await.status, 405);
}

#[tokio::test]
async fn nulls_mean_the_default_and_form_fields_may_be_split_with_the_url() {
    let (sim, client) = start(team()).await;
    client
        .ok(
            "chat.postMessage",
            json!({ "channel": "C0TEAM", "text": "x", "blocks": null, "thread_ts": null }),
        )
        .await;
    let split = client
        .raw("POST", "chat.postMessage?channel=C0TEAM", Some("application/x-www-form-urlencoded"), "text=y")
        .await;
    assert_eq!(split.json()["ok"], json!(true));
    let texts: Vec<_> = sim.messages("C0TEAM").into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["x", "y"]);
}

#[tokio::test]
async fn a_call_without_arguments_may_have_an_empty_body_of_any_type() {
    let (sim, client) = start(team()).await;
    for content_type in
        [None, Some("application/json;charset=utf-8"), Some("application/x-www-form-urlencoded")]
    {
        let got = client.raw("POST", "auth.test", content_type, "").await;
        assert_eq!(got.json()["ok"], json!(true), "{content_type:?}");
        assert_eq!(got.headers.get("x-accepted-oauth-scopes"), None, "auth.test asks for none");
    }
    assert!(sim.calls().iter().all(|call| call.encoding == Some(Encoding::Empty)));
}

#[tokio::test]
async fn the_envelope_warns_about_a_missing_charset() {
    let (_sim, client) = start(team()).await;
    let got =
        client.raw("POST", "conversations.join", Some("application/json"), r#"{"channel":"C0TEAM"}"#).await;
    let got = got.json();
    assert_eq!(got["ok"], json!(true));
    assert_eq!(got["warning"], "already_in_channel,missing_charset");
    assert_eq!(got["response_metadata"]["warnings"], json!(["already_in_channel", "missing_charset"]));
}

#[tokio::test]
async fn scopes_are_enforced_and_shown() {
    let (sim, client) = start(team()).await;
    let got = client.post("chat.postMessage", json!({ "channel": "C0TEAM", "text": "x" })).await;
    assert_eq!(got.header("x-accepted-oauth-scopes"), "chat:write");
    assert!(got.header("x-oauth-scopes").contains("chat:write"));
    assert_eq!(got.header("content-type"), "application/json; charset=utf-8");

    sim.remove_scope("chat:write");
    let got = client.post("chat.postMessage", json!({ "channel": "C0TEAM", "text": "x" })).await.json();
    assert_eq!(got["error"], "missing_scope");
    assert_eq!(got["needed"], "chat:write");
    assert!(!got["provided"].as_str().unwrap().split(',').any(|scope| scope == "chat:write"));
    assert!(got["provided"].as_str().unwrap().contains("users:read"));
    sim.add_scope("chat:write");
    client.ok("chat.postMessage", json!({ "channel": "C0TEAM", "text": "x" })).await;

    sim.remove_scope("channels:history");
    let got = client.post("conversations.history", json!({ "channel": "C0TEAM" })).await.json();
    assert_eq!((&got["error"], &got["needed"]), (&json!("missing_scope"), &json!("channels:history")));
    let disguised = json!({ "channel": "C0TEAM", "text": "x", "username": "root" });
    let got = client.post("chat.postMessage", disguised).await.json();
    assert_eq!(got["needed"], "chat:write.customize");
}

#[tokio::test]
async fn stops_and_starts_on_the_same_port_with_the_same_messages() {
    let (sim, client) = start(team()).await;
    client.ok("chat.postMessage", json!({ "channel": "C0TEAM", "text": "before" })).await;
    sim.stop().await;
    assert!(tokio::net::TcpStream::connect(sim.addr()).await.is_err());
    sim.restart().await.unwrap();
    let client = Client { token: client.token, ..Client::of(&sim) };
    client.ok("chat.postMessage", json!({ "channel": "C0TEAM", "text": "after" })).await;
    let texts: Vec<_> = sim.messages("C0TEAM").into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["before", "after"]);
}

#[tokio::test]
async fn hostile_requests_do_not_stop_the_server() {
    let (sim, client) = start(team()).await;
    let huge = "x".repeat(21 << 20);
    // The server may close before all of it is written; either way it must not be taken.
    let request = client.request("POST", "chat.postMessage", Some("application/json"), &huge);
    if let Ok(got) = client.send(request).await {
        assert_eq!(got.status, 413);
    }
    assert_eq!(sim.calls()[0].status, Some(413));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let got = client.raw("POST", "chat.postMessage", Some("application/json"), &deep).await;
    assert_eq!(got.json()["error"], "invalid_json");
    let got = client.form("chat.postMessage", &[("channel", "C0TEAM"), ("blocks", &deep)]).await;
    assert_eq!(got.json()["error"], "invalid_blocks_format");
    let got = client.raw("GET", "chat.%FF%00", None, "").await;
    assert_ne!(got.status, 500);
    let got = client.raw("POST", "auth.test", Some("application/json"), "\u{0}").await;
    assert_eq!(got.json()["error"], "invalid_json");
    client.ok("auth.test", json!({})).await;
}

#[tokio::test]
async fn the_server_ends_with_its_last_handle() {
    let (sim, client) = start(team()).await;
    let addr = sim.addr();
    let other = sim.clone();
    drop(sim);
    client.ok("auth.test", json!({})).await;
    drop(other);
    let closed = async { while tokio::net::TcpStream::connect(addr).await.is_ok() {} };
    tokio::time::timeout(super::LIMIT, closed).await.expect("the port closes");
}
