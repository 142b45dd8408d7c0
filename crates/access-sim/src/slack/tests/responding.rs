//! What is posted to a `response_url`.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::super::SlackSim;
use super::super::faults::{Fault, FaultRule};
use super::super::interactive::Timings;
use super::super::workspace::Workspace;
use super::{ApiReply, Client, button, post_button, start_with_app};

/// Bob's click on the message and the address in its payload.
async fn click(sim: &SlackSim, channel: &str, ts: &str) -> String {
    let seen = sim.click("U0BOB", channel, ts, "approve").await.unwrap();
    let payload = sim.interaction(seen.seq().unwrap()).unwrap().payload;
    payload["response_url"].as_str().unwrap().to_owned()
}

async fn post_as(client: &Client, url: &str, content_type: &str, body: &str) -> ApiReply {
    let request = Request::post(url).header("content-type", content_type);
    client.send(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn post(client: &Client, url: &str, body: Value) -> ApiReply {
    post_as(client, url, "application/json", &body.to_string()).await
}

#[track_caller]
fn assert_refused(got: &ApiReply, code: &str) {
    assert_eq!((got.status.as_u16(), &got.json()["error"]), (404, &json!(code)));
}

#[tokio::test]
async fn five_answers_reach_the_person_and_no_sixth() {
    let (sim, client, _app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let url = click(&sim, "C0DBA", &ts).await;
    for number in 1..=5 {
        let got = post(&client, &url, json!({ "text": format!("answer {number}") })).await;
        assert_eq!((got.status.as_u16(), got.json()), (200, json!({ "ok": true })));
    }
    assert_refused(&post(&client, &url, json!({ "text": "x" })).await, "used_url");
    let texts: Vec<String> = sim.ephemerals("U0BOB").into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["answer 1", "answer 2", "answer 3", "answer 4", "answer 5"]);
    assert_eq!(sim.messages("C0DBA").len(), 1, "the channel sees none of it");
    let other = click(&sim, "C0DBA", &ts).await;
    assert_eq!(
        post(&client, &other, json!({ "text": "x" })).await.status,
        200,
        "each click has its own five"
    );
    let calls = sim.calls_of("response_url");
    assert_eq!((calls.len(), calls[0].channel.as_deref()), (7, Some("C0DBA")));
    assert_refused(&post(&client, &format!("{other}0"), json!({ "text": "x" })).await, "invalid_url");
}

#[tokio::test]
async fn an_old_address_is_of_no_use() {
    let times = Timings { response_url: Duration::from_millis(100), ..Timings::default() };
    let (sim, client, _app) = start_with_app(Workspace::demo(), times).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let url = click(&sim, "C0DBA", &ts).await;
    tokio::time::sleep(times.response_url + Duration::from_millis(50)).await;
    assert_refused(&post(&client, &url, json!({ "text": "x" })).await, "expired_url");
}

#[tokio::test]
async fn answers_go_into_the_channel_or_replace_or_delete_what_was_clicked() {
    let (sim, client, _app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let url = click(&sim, "C0DBA", &ts).await;
    sim.kick_bot("C0DBA");
    let shown = json!({ "text": "approved", "response_type": "in_channel", "thread_ts": ts });
    assert_eq!(post(&client, &url, shown).await.status, 200, "no membership is needed");
    let messages = sim.messages("C0DBA");
    assert_eq!(
        (messages[1].text.as_str(), messages[1].thread_ts.as_deref()),
        ("approved", Some(ts.as_str()))
    );
    assert_eq!(post(&client, &url, json!({ "replace_original": true, "text": "done" })).await.status, 200);
    let original = &sim.messages("C0DBA")[0];
    assert_eq!((original.text.as_str(), original.edits, original.blocks.len()), ("done", 1, 0));
    let both = json!({ "delete_original": true, "text": "x" });
    assert_refused(&post(&client, &url, both).await, "invalid_arguments");
    let as_sdks_send_it = json!({
        "delete_original": true, "replace_original": false, "text": "", "blocks": [], "attachments": null,
        "metadata": { "event_type": "", "event_payload": null },
    });
    assert_eq!(post(&client, &url, as_sdks_send_it).await.status, 200);
    assert!(sim.messages("C0DBA")[0].tombstone, "its thread keeps the place");
    assert_refused(
        &post(&client, &url, json!({ "replace_original": true, "text": "x" })).await,
        "message_not_found",
    );
}

#[tokio::test]
async fn an_ephemeral_original_stays_ephemeral() {
    let (sim, client, _app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let blocks = json!([{ "type": "actions", "elements": [button("approve")] }]);
    let show = json!({ "channel": "C0DBA", "user": "U0BOB", "text": "?", "blocks": blocks });
    let ts = client.ok("chat.postEphemeral", show).await["message_ts"].as_str().unwrap().to_owned();
    let url = click(&sim, "C0DBA", &ts).await;
    let loud = json!({ "replace_original": true, "response_type": "in_channel", "text": "!" });
    assert_eq!(post(&client, &url, loud).await.status, 200);
    assert_eq!(sim.ephemerals("U0BOB")[0].text, "!");
    assert!(sim.messages("C0DBA").is_empty());
    assert_eq!(post(&client, &url, json!({ "delete_original": true })).await.status, 200);
    assert!(sim.ephemerals("U0BOB").is_empty());
}

#[tokio::test]
async fn wrong_answers_are_refused_and_count() {
    let (sim, client, _app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let url = click(&sim, "C0DBA", &ts).await;
    assert_refused(&post_as(&client, &url, "text/plain", "x").await, "invalid_post_type");
    let form = post_as(&client, &url, "application/x-www-form-urlencoded", "text=x").await;
    assert_refused(&form, "invalid_payload");
    assert_refused(&post_as(&client, &url, "application/json", "{").await, "invalid_json");
    assert_refused(&post(&client, &url, json!({ "txt": "x" })).await, "invalid_arg_name");
    assert_refused(&post(&client, &url, json!({ "text": "" })).await, "no_text");
    assert_refused(&post(&client, &url, json!({ "text": "x" })).await, "used_url");
    let url = click(&sim, "C0DBA", &ts).await;
    sim.set_archived("C0DBA", true);
    assert_refused(&post(&client, &url, json!({ "text": "x" })).await, "is_archived");
}

#[tokio::test]
async fn faults_strike_these_addresses_too_and_cost_no_use() {
    let (sim, client, _app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let url = click(&sim, "C0DBA", &ts).await;
    let down = Fault::Status { status: 503, body: "down".to_owned() };
    sim.faults().add(FaultRule::new("response_url", down).in_channel("C0DBA").times(6));
    for _ in 0..6 {
        assert_eq!(post(&client, &url, json!({ "text": "x" })).await.status, 503);
    }
    assert_eq!(post(&client, &url, json!({ "text": "x" })).await.status, 200);
    assert_eq!(sim.ephemerals("U0BOB").len(), 1);
}
