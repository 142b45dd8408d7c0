//! `blocks.validate`.

use serde_json::{Value, json};

use super::super::workspace::Workspace;
use super::{section, start};

/// Where the errors of a refused layout are.
fn pointers(got: &Value) -> Vec<&str> {
    got["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_layout_is_judged_without_a_scope() {
    // No scope is needed.
    let (_sim, client) = start(Workspace::demo().with_scopes(&[])).await;
    let modal = |title: &str| json!({ "type": "modal", "title": { "type": "plain_text", "text": title }, "blocks": [section("a")] });
    let input = json!({ "type": "input" });
    for (argument, layout, code, expected) in [
        ("blocks", json!([section("a")]), None, vec![]),
        ("message", json!({ "blocks": [section("a")] }), None, vec![]),
        ("view", modal("Deny"), None, vec![]),
        ("blocks", json!([section("a"), section("")]), Some("invalid_blocks"), vec!["/1/text/text"]),
        ("message", json!({ "blocks": [input] }), Some("invalid_message"), vec!["/blocks/0"]),
        ("message", json!({ "blocks": [section("a")], "x": 1 }), Some("invalid_message"), vec!["/x"]),
        ("message", json!({ "text": "a" }), Some("invalid_message"), vec![""]),
        ("view", modal(&"a".repeat(25)), Some("invalid_view"), vec!["/title/text"]),
    ] {
        let got = client.post("blocks.validate", json!({ argument: layout.to_string() })).await.json();
        match code {
            None => assert_eq!(got["ok"], json!(true), "{got}"),
            Some(code) => assert_eq!((&got["error"], pointers(&got)), (&json!(code), expected), "{got}"),
        }
    }
}

#[tokio::test]
async fn exactly_one_layout_is_taken_as_json_in_a_string() {
    let (_sim, client) = start(Workspace::demo()).await;
    let blocks = json!([section("a")]);
    for arguments in [
        json!({}),
        json!({ "blocks": blocks }),
        json!({ "blocks": "[" }),
        json!({ "blocks": blocks.to_string(), "view": "{}" }),
    ] {
        assert_eq!(
            client.error("blocks.validate", arguments.clone()).await,
            "invalid_arguments",
            "{arguments}"
        );
    }
}
