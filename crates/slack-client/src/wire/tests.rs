use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::objects;
use access_core::domain::secret::Secret;

fn redactor() -> Redactor {
    Redactor::new(Secret::new("s3cr3t"))
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))])
}

fn assert_retry_after(header: Option<&'static str>, seconds: u64, is_asked: bool) {
    let headers = header.map(|text| (RETRY_AFTER, HeaderValue::from_static(text)));
    let failure = check_status(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::from_iter(headers)).unwrap_err();
    let ErrorKind::RateLimited { retry_after: wait, .. } = &failure else { panic!("{failure:?}") };
    assert_eq!(wait.as_secs(), seconds, "{header:?}");
    assert_eq!(failure.to_string().contains("Slack asks to wait"), is_asked, "{header:?}: {failure}");
    assert!(failure.to_string().contains(&format!(" {seconds} s")), "{failure}");
}

#[test]
fn retry_after_is_believed_within_bounds() {
    assert_retry_after(Some("7"), 7, true);
    assert_retry_after(Some(" 7 "), 7, true);
    assert_retry_after(Some("0"), 1, true);
    assert_retry_after(Some("601"), 600, true);
    assert_retry_after(Some("18446744073709551616"), 30, false);
    assert_retry_after(Some("1.5"), 30, false);
    assert_retry_after(Some("-1"), 30, false);
    assert_retry_after(Some("Wed, 21 Oct 2026 07:28:00 GMT"), 30, false);
    assert_retry_after(Some(""), 30, false);
    assert_retry_after(None, 30, false);
}

fn assert_invalid_response(body: &str, expected: &str) {
    let failure = parse_body(&json_headers(), body.as_bytes(), &redactor()).unwrap_err();
    let ErrorKind::InvalidResponse { what } = failure else { panic!("{failure:?}") };
    assert_eq!(what, expected);
}

#[test]
fn a_body_that_is_no_envelope_is_quoted() {
    assert_invalid_response("", "no valid JSON: ");
    assert_invalid_response("{\"ok\":true", "no valid JSON: {\"ok\":true");
    assert_invalid_response("[true]", "not a JSON object: [true]");
    assert_invalid_response("{}", "no boolean `ok`: {}");
    assert_invalid_response("{\"ok\":\"true\"}", "no boolean `ok`: {\"ok\":\"true\"}");
    assert_invalid_response("{\"ok\":1,\"t\":\"s3cr3t\"}", "no boolean `ok`: {\"ok\":1,\"t\":\"[secret]\"}");
    assert_invalid_response("{\"ok\":false}", "a refusal without an error code");
    assert_invalid_response("{\"ok\":false,\"error\":7}", "a refusal without an error code");
    let deep = "[".repeat(100_000);
    assert_invalid_response(&deep, &format!("no valid JSON: {}…", "[".repeat(MAX_QUOTE - 1)));
}

#[test]
fn other_content_types_are_not_read() {
    let page = b"<html>\n<p>Bearer s3cr3t</p>";
    let html = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
    let failure = parse_body(&html, page, &redactor()).unwrap_err();
    insta::assert_snapshot!(failure, @"the answer is not Slack's: content of text/html, not JSON: <html> <p>Bearer [secret]</p>");
    let failure = parse_body(&HeaderMap::new(), b"{\"ok\":true}", &redactor()).unwrap_err();
    insta::assert_snapshot!(failure, @r#"the answer is not Slack's: content of no type, not JSON: {"ok":true}"#);
}

#[test]
fn a_refusal_keeps_what_helps_and_hides_the_token() {
    let body = serde_json::json!({
        "ok": false, "error": "missing_scope\u{7}", "needed": "chat:write", "provided": ["no", "text"],
        "response_metadata": {"messages": ["token s3cr3t", 1, "[json-pointer:/blocks/0]", "c", "d"]},
    });
    let failure = parse_body(&json_headers(), body.to_string().as_bytes(), &redactor()).unwrap_err();
    insta::assert_snapshot!(failure, @"missing_scope (the token lacks a permission), needed: chat:write, Slack says: token [secret] / [json-pointer:/blocks/0] / c");
}

#[test]
fn scopes_are_split() {
    let headers = HeaderMap::from_iter([(
        "x-oauth-scopes".parse().unwrap(),
        HeaderValue::from_static("chat:write, users:read,,chat:write"),
    )]);
    let expected = BTreeSet::from(["chat:write".to_owned(), "users:read".to_owned()]);
    assert_eq!(scopes(&headers), Some(expected));
    assert_eq!(scopes(&HeaderMap::new()), None);
}

/// A field of an object: mostly right, sometimes wrong, sometimes absent.
fn field(key: &'static str, right: &'static str) -> impl Strategy<Value = Option<String>> {
    let wrong = prop::sample::select(vec!["true", "false", "null", "\"\"", "\"a/b\"", "[]", "{}", "17"]);
    let value = prop_oneof![6 => Just(right), 1 => wrong];
    prop::option::weighted(0.9, value.prop_map(move |value| format!("\"{key}\":{value}")))
}

/// Noise, or nearly an answer, perhaps cut short.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let user = field("user", r#"{"id":"U1"}"#);
    let channel = prop_oneof![field("channel", "\"C1\""), field("channel", r#"{"id":"C1"}"#)];
    let ids = (field("team_id", "\"T1\""), field("user_id", "\"U1\""));
    let object = (field("ok", "true"), user, channel, field("ts", "\"1.5\""), ids, 0..200_usize).prop_map(
        |(ok, user, channel, ts, (team, id), length)| {
            let fields: Vec<String> = [ok, user, channel, ts, team, id].into_iter().flatten().collect();
            let mut text = format!("{{{}}}", fields.join(",")).into_bytes();
            text.truncate(length);
            text
        },
    );
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 4 => object]
}

proptest! {
    #[test]
    fn only_a_complete_success_counts(body in bytes()) {
        let fields = parse_body(&json_headers(), &body, &redactor());
        let posted = fields.and_then(|fields| objects::posted(&fields));
        if let Ok(posted) = posted {
            let value: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(&value["ok"], &Value::Bool(true));
            prop_assert_eq!(&value["channel"], &Value::String(posted.channel.to_string()));
            prop_assert_eq!(&value["ts"], &Value::String(posted.ts.to_string()));
            prop_assert!(!posted.channel.as_str().is_empty() && !posted.ts.as_str().is_empty());
        }
    }

    #[test]
    fn no_answer_panics_any_reader(body in bytes()) {
        if let Ok(fields) = parse_body(&json_headers(), &body, &redactor()) {
            prop_assert_eq!(fields.get("ok"), Some(&Value::Bool(true)));
            let named = |key: &str| fields.get(key).and_then(|v| v.get("id")).is_some();
            prop_assert!(objects::user(&fields).is_err() || named("user"));
            prop_assert!(objects::conversation(&fields).is_err() || named("channel"));
            let both = fields.contains_key("team_id") && fields.contains_key("user_id");
            prop_assert!(objects::auth_test(&fields, &json_headers()).is_err() || both);
        }
    }
}
