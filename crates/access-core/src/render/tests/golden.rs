//! The Go plugin's messages, as captured from it: people and scripts must find the same lines in ours.

use std::path::Path;

use serde_json::Value;

use super::oracle::validate;
use crate::domain::ids::RequestId;
use crate::domain::lifecycle::Phase;
use crate::domain::request::{AccessRequest, RequestState, Review};
use crate::render::request_message::{Edition, MessageInput, request_message};
use crate::render::thread_reply::review_reply;

const ALICES: &str = "768c814b-7765-414e-a77a-39cb9e0bc6a1";
const DENIED: &str = "8095cf2d-0399-422d-a419-95b7b372a78d";
const DELETED: &str = "d89aa763-1305-4118-9a72-164a38709c47";
const CAROLS: &str = "b75fff6c-c677-447d-8437-bf5e66253a39";

#[expect(clippy::disallowed_methods, reason = "the crate does no I/O; its tests read the golden files")]
fn calls(stem: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/go-plugin-7.1.3");
    let json = std::fs::read(folder.join(format!("{stem}.slack-calls.json"))).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn request(id: &str, user: &str, roles: &[&str], reason: &str) -> AccessRequest {
    AccessRequest {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        reason: reason.into(),
        ..AccessRequest::pending(RequestId::new(id), user)
    }
}

/// The Go plugin's block in our notation: it does not escape, lets a reason emphasize, and does not say `verbatim`.
fn in_our_notation(block: &Value) -> Value {
    let text_object = |object: &Value| {
        let text = object["text"].as_str().unwrap();
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let escaped = escaped.replace("because *of* ", "because ∗of∗ ");
        serde_json::json!({"type": object["type"], "text": escaped, "verbatim": true})
    };
    let mut block = block.clone();
    if block["text"].is_object() {
        block["text"] = text_object(&block["text"]);
    }
    if let Some(elements) = block["elements"].as_array() {
        block["elements"] = elements.iter().map(text_object).collect();
    }
    block
}

#[track_caller]
fn assert_same_as_go_plugin(stem: &str, request: &AccessRequest, status: Phase) {
    let message = request_message(&MessageInput {
        request,
        phase: status,
        cluster: "local-site",
        edition: Edition::Enterprise { web_proxy: None },
    });
    validate(&message);
    let ours = serde_json::to_value(&message).unwrap();
    let mut compared = 0;
    for call in calls(stem).iter().filter(|call| call["body"]["blocks"].is_array()) {
        let theirs: Vec<_> = call["body"]["blocks"].as_array().unwrap().iter().map(in_our_notation).collect();
        assert_eq!(theirs.len(), 3);
        // Its headline calls everything new, also what is decided.
        let same = if status.is_open() { 0..3 } else { 1..3 };
        assert_eq!(ours["blocks"].as_array().unwrap()[same.clone()], theirs[same]);
        compared += 1;
    }
    assert!(compared >= 2, "{stem} holds no messages");
}

#[test]
fn messages_have_the_go_plugins_lines() {
    let alices = request(ALICES, "alice@example.com", &["admin", "dba"], "because *of* <prod> & more");
    assert_same_as_go_plugin("created", &alices, Phase::Pending);
    let approved = AccessRequest { resolve_reason: "looks fine".into(), ..alices };
    assert_same_as_go_plugin("approved-by-review", &approved, Phase::Approved);

    let second = request(DENIED, "alice@example.com", &["dba"], "because");
    assert_same_as_go_plugin("created-no-reason", &second, Phase::Pending);
    assert_same_as_go_plugin(
        "denied",
        &AccessRequest { resolve_reason: "not today".into(), ..second },
        Phase::Denied,
    );

    let third = request(DELETED, "alice@example.com", &["dba"], "to be deleted");
    assert_same_as_go_plugin("created-to-delete", &third, Phase::Pending);
    assert_same_as_go_plugin("deleted", &third, Phase::Expired);

    let carols = request(CAROLS, "carol@example.com", &["admin"], "two needed");
    assert_same_as_go_plugin("created-two-needed", &carols, Phase::Pending);
}

#[track_caller]
fn assert_reply_same_as_go_plugin(stem: &str, reason: &str) {
    let review = Review {
        author: "bob@example.com".into(),
        proposed: RequestState::Approved,
        reason: reason.into(),
        created: Some("2026-11-22T15:59:51Z".parse().unwrap()),
    };
    let message = review_reply(&review);
    let text = validate(&message).text;
    // Our date is a token with the Go plugin's words as its fallback.
    let (before, date) = text.split_once("<!date^").unwrap();
    let (_, date) = date.split_once('|').unwrap();
    let (fallback, after) = date.split_once('>').unwrap();
    let as_theirs = format!("{before}{fallback}{after}");

    let calls = calls(stem);
    let theirs: Vec<_> = calls.iter().filter_map(|call| call["body"]["text"].as_str()).collect();
    assert!(!theirs.is_empty(), "{stem} holds no replies");
    assert!(theirs.iter().all(|text| *text == as_theirs), "{theirs:?} is not {as_theirs:?}");
}

#[test]
fn replies_have_the_go_plugins_words() {
    assert_reply_same_as_go_plugin("approved-by-review", "looks fine");
    assert_reply_same_as_go_plugin("one-of-two", "one");
}
