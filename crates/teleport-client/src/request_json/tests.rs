use std::path::{Path, PathBuf};

use access_core::domain::request::RequestState;
use prost::Message;
use serde_json::json;

use super::*;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

/// Of captured conversations: each message that is one request, and the same as the JSON of Teleport's own types.
fn captured() -> Vec<(String, wire::AccessRequestV3, Value)> {
    let mut all = Vec::new();
    for folder in ["teleport-6.2.1", "teleport-15.1.9", "teleport-15.1.9/enterprise", "teleport-15.3.1"] {
        let folder = vectors().join(folder);
        let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
        let steps: Value = serde_json::from_slice(&manifest).unwrap();
        for step in steps.as_array().unwrap() {
            let (decoded, file) = (&step["decoded"], step["response_file"].as_str());
            let Some(file) = file.filter(|_| decoded["kind"] == KIND) else { continue };
            let bytes = std::fs::read(folder.join(file)).unwrap();
            all.push((file.to_owned(), wire::AccessRequestV3::decode(&*bytes).unwrap(), decoded.clone()));
        }
    }
    all
}

#[test]
fn a_request_in_json_is_the_one_on_the_wire() {
    let mut compared = 0;
    for (file, message, json) in captured() {
        let from_wire = access_request(message);
        let from_json = read_requests(&json.to_string());
        match from_wire {
            Some(request) => assert_eq!(from_json, Ok(vec![request]), "{file}"),
            None => {
                assert!(matches!(from_json, Err(RequestJsonError::DryRun { .. })), "{file}: {from_json:?}")
            }
        }
        compared += 1;
    }
    assert!(compared > 12, "{compared}");
}

#[test]
fn the_newest_fields_are_read() {
    // As the types of 18.0 print them.
    let text = json!([{
        "kind": "access_request",
        "version": "v3",
        "metadata": {"name": "0196b1c2-0000-7000-8000-000000000006", "revision": "3f8b6a1e"},
        "spec": {
            "user": "alice@example.com", "roles": ["dba"], "state": 4,
            "created": "2026-03-02T09:30:00.123456789Z", "expires": "2026-03-02T21:30:00.123456789Z",
            "resolve_reason": "long-term need",
            "resource_ids": [{"cluster": "example.com", "kind": "node", "name": "5f1c2a9e", "sub_resource": "a/b"}],
            "max_duration": "0001-01-01T00:00:00Z", "session_ttl": "0001-01-01T00:00:00Z",
            "assume_start_time": "2026-03-02T10:30:00Z",
            "access_list": {"name": "7d1d7a52", "title": "Database on-call"},
            "expiry": "2026-03-02T10:30:00.123456789Z",
            "request_kind": 2, "from_the_future": {"a": [null]}, "thresholds": null
        }
    }]);
    let [request] = &read_requests(&text.to_string()).unwrap()[..] else { panic!("one is in it") };
    assert_eq!(
        (request.state, request.promoted_to.as_deref()),
        (RequestState::Promoted, Some("Database on-call"))
    );
    assert_eq!(request.resources[0].sub_resource, "a/b");
    let times = [request.access_until, request.expires, request.assume_start];
    let times = times.map(|time| time.unwrap().to_string());
    assert_eq!(
        times,
        ["2026-03-02T21:30:00.123456789Z", "2026-03-02T10:30:00.123456789Z", "2026-03-02T10:30:00Z"]
    );
}

#[test]
fn what_is_no_request_is_named_with_its_place() {
    let error = |text: &str| read_requests(text).unwrap_err().to_string();
    let spec = |spec: Value| json!({"kind": KIND, "metadata": {"name": "x"}, "spec": spec}).to_string();
    assert_eq!(error("kind: access_request"), "it is not JSON: expected value at line 1 column 1");
    assert_eq!(error(""), "it is empty, and an access request is wanted");
    assert_eq!(error(" \n"), error(""));
    assert_eq!(error("[{\n\"kind\":"), "its end is missing: it stops in line 2");
    assert_eq!(error("7"), "it is the number 7, and an object is wanted");
    assert_eq!(error("null"), "kind is missing, and \"access_request\" is wanted");
    assert_eq!(error("[null]"), "[0].kind is missing, and \"access_request\" is wanted");
    assert_eq!(error(r#"{"kind":"role"}"#), "kind is the text \"role\", and \"access_request\" is wanted");
    assert_eq!(
        error(r#"{"kind":"access_request"}"#),
        "metadata.name is missing, and the request's id is wanted"
    );
    assert_eq!(error(&spec(json!({"roles": "dba"}))), "spec.roles is the text \"dba\", and a list is wanted");
    assert_eq!(
        error(&spec(json!({"roles": ["a", 7]}))),
        "spec.roles[1] is the number 7, and a text is wanted"
    );
    assert_eq!(
        error(&spec(json!({"state": "x"}))),
        "spec.state is the text \"x\", and a number as Teleport has it is wanted"
    );
    assert_eq!(
        error(&spec(json!({"state": 1e300}))),
        "spec.state is the number 1e+300, and a number as Teleport has it is wanted"
    );
    assert_eq!(
        error(&spec(json!({"expires": "soon"}))),
        "spec.expires is the text \"soon\", and a time (RFC 3339) is wanted"
    );
    let expires = |time: &str| read_requests(&spec(json!({ "expires": time })));
    assert!(expires("9999-12-30T22:00:00Z").unwrap().remove(0).expires.is_some());
    // Go's last hours are a time, and from a server none: so the request never expires.
    for last in ["9999-12-30T22:00:01Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z"] {
        assert_eq!(expires(last).unwrap().remove(0).expires, None, "{last}");
    }
    for none in ["9999-12-31Z", "9999-12-31T24:00:00Z", "9999-12-31T23:59:59", "10000-01-01T00:00:00Z", "Z"] {
        assert!(expires(none).is_err(), "{none}");
    }
    assert_eq!(error(&"[".repeat(1_000)), "it is not JSON: recursion limit exceeded at line 1 column 128");
    assert_eq!(read_requests("[]"), Ok(vec![]));
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_error_or_a_list(text in ".{0,200}") {
        let _ = read_requests(&text);
    }

    #[test]
    fn any_value_in_any_place_is_an_error_or_a_request(
        key in proptest::sample::select(vec!["user", "roles", "state", "created", "thresholds", "reviews", "resource_ids", "access_list", "dry_run"]),
        value in proptest::sample::select(vec![json!(null), json!(-1), json!(1e99), json!("x"), json!([1]), json!([{}]), json!({"name": 1}), json!(true)]),
    ) {
        let text = json!({"kind": KIND, "metadata": {"name": "x"}, "spec": {key: value}}).to_string();
        let _ = read_requests(&text);
    }
}
