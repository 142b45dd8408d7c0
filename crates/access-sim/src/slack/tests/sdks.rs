//! What official SDKs send, seen on the wire (`conformance/`); all of it is taken, and means what they mean by it.

use super::super::workspace::SlackUser;
use super::*;

fn team() -> Workspace {
    Workspace::empty().add_channel("C0TEAM", "team").add_user(SlackUser::member("U0BOB", "bob"))
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

#[tokio::test]
async fn a_field_may_come_twice_with_the_same_value_as_the_java_sdk_sends_replies() {
    let (sim, client) = start(team()).await;
    let ts = client.ok("chat.postMessage", json!({ "channel": "C0TEAM", "text": "x" })).await["ts"].clone();
    let ts = ts.as_str().unwrap();
    let body = format!("channel=C0TEAM&text=y&thread_ts={ts}&thread_ts={ts}");
    let got = client.raw("POST", "chat.postMessage", FORM, &body).await;
    assert_eq!(got.json()["ok"], json!(true), "{:?}", got.json());
    assert_eq!(sim.messages("C0TEAM")[1].thread_ts.as_deref(), Some(ts));
    let got = client.raw("POST", "chat.postMessage?channel=C0TEAM", FORM, "channel=C0TEAM&text=z").await;
    assert_eq!(got.json()["ok"], json!(true));
    let two = format!("channel=C0TEAM&text=y&thread_ts={ts}&thread_ts=1.000001");
    let got = client.raw("POST", "chat.postMessage", FORM, &two).await;
    assert_eq!(got.json()["error"], "invalid_form_data");
}

#[tokio::test]
async fn empty_metadata_and_null_blocks_of_an_attachment_are_none_as_slack_go_sends_them() {
    let (sim, client) = start(team()).await;
    let metadata = r#"{"event_type":"","event_payload":null}"#;
    let attachments = r#"[{"text":"x","blocks":null}]"#;
    let fields = [("channel", "C0TEAM"), ("metadata", metadata), ("attachments", attachments)];
    let got = client.form("chat.postMessage", &fields).await.json();
    assert_eq!(got["ok"], json!(true), "{got}");
    assert_eq!(sim.messages("C0TEAM")[0].metadata, None);
    let half = r#"{"event_type":"","event_payload":{}}"#;
    let got =
        client.form("chat.postMessage", &[("channel", "C0TEAM"), ("text", "x"), ("metadata", half)]).await;
    assert_eq!(got.json()["error"], "invalid_metadata_schema");
}

#[tokio::test]
async fn lists_of_names_may_be_json_arrays() {
    let (_sim, client) = start(team()).await;
    let opened = client.ok("conversations.open", json!({ "users": ["U0BOB"] })).await;
    let again = client.ok("conversations.open", json!({ "users": "U0BOB" })).await;
    assert_eq!(opened["channel"]["id"], again["channel"]["id"]);
    let listed = client.ok("conversations.list", json!({ "types": ["public_channel", "im"] })).await;
    assert!(listed["channels"].as_array().unwrap().iter().any(|channel| channel["is_im"] == json!(true)));
    for wrong in [json!([7]), json!([["U0BOB"]]), json!({ "a": "U0BOB" })] {
        let got = client.post("conversations.open", json!({ "users": wrong })).await;
        assert_eq!(got.json()["error"], "invalid_arguments", "{wrong}");
    }
}

#[tokio::test]
async fn arguments_that_sdks_know_are_known() {
    let (_sim, client) = start(team()).await;
    let post = json!({ "channel": "C0TEAM", "text": "x", "container_id": "x", "file_ids": "F1" });
    let ts = client.ok("chat.postMessage", post).await["ts"].clone();
    client.ok("chat.update", json!({ "channel": "C0TEAM", "ts": ts, "text": "y", "file_ids": "F1" })).await;
    let view = json!({ "trigger_id": "1.2.x", "interactivity_pointer": "1.2.x", "view": {} });
    assert_ne!(client.post("views.open", view).await.json()["error"], "invalid_arg_name");
}
