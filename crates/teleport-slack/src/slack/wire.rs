//! Slack's envelope: from an HTTP answer to the fields of a success, or to a failure.
//!
//! Only an HTTP 200 with a JSON object in which `ok` is true is a success. It does not know single methods (see
//! `objects`) nor sockets (see `transport`).

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::codes::meaning;
use super::error::{Failure, Refusal};
use super::scrub::Scrub;

/// How long to wait when Slack says "too many calls" without a readable `Retry-After`.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// The longest wait believed, in seconds: a mistaken header must not silence the daemon for hours.
const MAX_WAIT_SECONDS: u64 = 600;

/// Foreign text quoted in an error, in characters.
const MAX_QUOTE: usize = 60;

/// A scope list or validation message quoted in an error, in characters, and how many messages.
const MAX_DETAIL: usize = 200;
const MAX_MESSAGES: usize = 3;

/// The fields of a successful answer.
pub(super) type Fields = Map<String, Value>;

/// Judges status and content type, before the body is read.
pub(super) fn check_head(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(Failure::Limited { wait: retry_after(headers) }),
        status => Err(Failure::Status { status }),
    }
}

/// Judges the body of an HTTP 200.
pub(super) fn parse_body(headers: &HeaderMap, body: &[u8], scrub: &Scrub) -> Result<Fields, Failure> {
    let quote = || scrub.text(&String::from_utf8_lossy(body), MAX_QUOTE);
    if !is_json(headers) {
        let kind = headers.get(CONTENT_TYPE).map_or("no type".into(), |value| {
            scrub.text(&String::from_utf8_lossy(value.as_bytes()), MAX_QUOTE)
        });
        return Err(unreadable(format!("content of {kind}, not JSON: {}", quote())));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Err(unreadable(format!("broken JSON: {}", quote())));
    };
    let Value::Object(fields) = value else {
        return Err(unreadable(format!("not a JSON object: {}", quote())));
    };
    match fields.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(fields),
        Some(false) => Err(refusal(&fields, headers, scrub)),
        None => Err(unreadable(format!("no boolean `ok`: {}", quote()))),
    }
}

/// A failure for a success that lacks what its method promises.
pub(super) fn incomplete(field: &str) -> Failure {
    unreadable(format!("`ok` without a usable `{field}`"))
}

/// The scopes of the token, as `x-oauth-scopes` lists them. `None` without a readable header.
pub(super) fn scopes(headers: &HeaderMap) -> Option<BTreeSet<String>> {
    let list = headers.get("x-oauth-scopes")?.to_str().ok()?;
    Some(list.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect())
}

fn unreadable(what: String) -> Failure {
    Failure::Unreadable { what }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// `ok: false`.
fn refusal(fields: &Fields, headers: &HeaderMap, scrub: &Scrub) -> Failure {
    let detail = |key: &str| fields.get(key).and_then(Value::as_str).map(|text| scrub.text(text, MAX_DETAIL));
    let code = scrub.text(fields.get("error").and_then(Value::as_str).unwrap_or_default(), MAX_QUOTE);
    if code.is_empty() {
        return unreadable("a refusal without an error code".into());
    }
    let messages = fields
        .get("response_metadata")
        .and_then(|metadata| metadata.get("messages"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .take(MAX_MESSAGES)
        .map(|text| scrub.text(text, MAX_DETAIL))
        .collect();
    Failure::Refused(Box::new(Refusal {
        meaning: meaning(&code),
        code,
        wait: retry_after(headers),
        needed: detail("needed"),
        provided: detail("provided"),
        messages,
    }))
}

/// `Retry-After` in whole seconds, kept within 1 s and ten minutes.
fn retry_after(headers: &HeaderMap) -> Duration {
    headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map_or(DEFAULT_WAIT, |seconds| Duration::from_secs(seconds.clamp(1, MAX_WAIT_SECONDS)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;
    use crate::slack::objects;

    fn scrub() -> Scrub {
        Scrub::new(Secret::new("s3cr3t".into()))
    }

    fn json_headers() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))])
    }

    fn check_wait(header: Option<&'static str>, seconds: u64) {
        let headers = header.map(|text| (RETRY_AFTER, HeaderValue::from_static(text)));
        let failure = check_head(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::from_iter(headers)).unwrap_err();
        let Failure::Limited { wait } = failure else { panic!("{failure:?}") };
        assert_eq!(wait.as_secs(), seconds, "{header:?}");
    }

    #[test]
    fn retry_after_is_believed_within_bounds() {
        check_wait(Some("7"), 7);
        check_wait(Some(" 7 "), 7);
        check_wait(Some("0"), 1);
        check_wait(Some("601"), 600);
        check_wait(Some("18446744073709551616"), 30);
        check_wait(Some("1.5"), 30);
        check_wait(Some("-1"), 30);
        check_wait(Some("Wed, 21 Oct 2026 07:28:00 GMT"), 30);
        check_wait(Some(""), 30);
        check_wait(None, 30);
    }

    fn check_unreadable(body: &str, expected: &str) {
        let failure = parse_body(&json_headers(), body.as_bytes(), &scrub()).unwrap_err();
        let Failure::Unreadable { what } = failure else { panic!("{failure:?}") };
        assert_eq!(what, expected);
    }

    #[test]
    fn what_is_not_an_envelope_is_quoted() {
        check_unreadable("", "broken JSON: ");
        check_unreadable("{\"ok\":true", "broken JSON: {\"ok\":true");
        check_unreadable("[true]", "not a JSON object: [true]");
        check_unreadable("{}", "no boolean `ok`: {}");
        check_unreadable("{\"ok\":\"true\"}", "no boolean `ok`: {\"ok\":\"true\"}");
        check_unreadable("{\"ok\":1,\"t\":\"s3cr3t\"}", "no boolean `ok`: {\"ok\":1,\"t\":\"[secret]\"}");
        check_unreadable("{\"ok\":false}", "a refusal without an error code");
        check_unreadable("{\"ok\":false,\"error\":7}", "a refusal without an error code");
        let deep = "[".repeat(100_000);
        check_unreadable(&deep, &format!("broken JSON: {}…", "[".repeat(MAX_QUOTE)));
    }

    #[test]
    fn other_content_types_are_not_read() {
        let page = b"<html>\n<p>Bearer s3cr3t</p>";
        let html = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        let failure = parse_body(&html, page, &scrub()).unwrap_err();
        insta::assert_snapshot!(failure, @"the answer is not Slack's: content of text/html, not JSON: <html> <p>Bearer [secret]</p>");
        let failure = parse_body(&HeaderMap::new(), b"{\"ok\":true}", &scrub()).unwrap_err();
        insta::assert_snapshot!(failure, @r#"the answer is not Slack's: content of no type, not JSON: {"ok":true}"#);
    }

    #[test]
    fn a_refusal_keeps_what_helps_and_hides_the_token() {
        let body = serde_json::json!({
            "ok": false, "error": "missing_scope\u{7}", "needed": "chat:write", "provided": ["no", "text"],
            "response_metadata": {"messages": ["token s3cr3t", 1, "[json-pointer:/blocks/0]", "c", "d"]},
        });
        let failure = parse_body(&json_headers(), body.to_string().as_bytes(), &scrub()).unwrap_err();
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

    /// Bytes that are sometimes nearly an answer.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let value = prop_oneof![
            Just("true".to_owned()),
            Just("false".to_owned()),
            Just("null".to_owned()),
            Just("\"C1\"".to_owned()),
            Just("\"\"".to_owned()),
            Just("{\"id\":\"U1\"}".to_owned()),
            "[0-9]{1,3}",
        ];
        let key = prop::sample::select(vec!["ok", "error", "channel", "ts", "user", "team_id", "user_id"]);
        let object = prop::collection::vec((key, value), 0..6).prop_map(|fields| {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", fields.join(",")).into_bytes()
        });
        prop_oneof![prop::collection::vec(any::<u8>(), 0..200), object]
    }

    proptest! {
        #[test]
        fn only_a_whole_success_is_a_success(body in bytes()) {
            let fields = parse_body(&json_headers(), &body, &scrub());
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
            if let Ok(fields) = parse_body(&json_headers(), &body, &scrub()) {
                prop_assert_eq!(fields.get("ok"), Some(&Value::Bool(true)));
                let named = |key: &str| fields.get(key).and_then(|v| v.get("id")).is_some();
                prop_assert!(objects::user(&fields).is_err() || named("user"));
                prop_assert!(objects::conversation(&fields).is_err() || named("channel"));
                let both = fields.contains_key("team_id") && fields.contains_key("user_id");
                prop_assert!(objects::auth_test(&fields, &json_headers()).is_err() || both);
            }
        }
    }
}
