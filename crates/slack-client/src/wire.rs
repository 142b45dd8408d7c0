//! Slack's envelope: from an HTTP answer to the fields of a success, or to a failure.
//!
//! Only an HTTP 200 with a JSON object in which `ok` is true is a success. It does not know single methods (see
//! `objects`) nor sockets (see `transport`).

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::error::{ApiError, ErrorKind};
use super::error_codes::code_info;
use super::redact::Redactor;

/// How long to wait when Slack says "too many calls" without a readable `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The longest wait believed, in seconds: a mistaken header must not silence the daemon for hours.
const MAX_RETRY_AFTER_SECONDS: u64 = 600;

/// Foreign text quoted in an error, in characters.
const MAX_QUOTE: usize = 60;

/// A scope list or validation message quoted in an error, in characters, and how many messages.
const MAX_DETAIL: usize = 200;
const MAX_MESSAGES: usize = 3;

/// The fields of a successful answer.
pub(super) type Fields = Map<String, Value>;

/// Judges status and content type, before the body is read.
pub(super) fn check_status(status: StatusCode, headers: &HeaderMap) -> Result<(), ErrorKind> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => {
            let asked = retry_after(headers);
            let wait = asked.unwrap_or(DEFAULT_RETRY_AFTER);
            Err(ErrorKind::RateLimited { retry_after: wait, is_asked: asked.is_some() })
        }
        status => Err(ErrorKind::Status { status }),
    }
}

/// Judges the body of an HTTP 200.
pub(super) fn parse_body(headers: &HeaderMap, body: &[u8], redactor: &Redactor) -> Result<Fields, ErrorKind> {
    let quote = || redactor.redact(&String::from_utf8_lossy(body), MAX_QUOTE);
    if !is_json(headers) {
        let kind = headers.get(CONTENT_TYPE).map_or("no type".into(), |value| {
            redactor.redact(&String::from_utf8_lossy(value.as_bytes()), MAX_QUOTE)
        });
        return Err(invalid_response(format!("content of {kind}, not JSON: {}", quote())));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Err(invalid_response(format!("no valid JSON: {}", quote())));
    };
    let Value::Object(fields) = value else {
        return Err(invalid_response(format!("not a JSON object: {}", quote())));
    };
    match fields.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(fields),
        Some(false) => Err(api_error(&fields, headers, redactor)),
        None => Err(invalid_response(format!("no boolean `ok`: {}", quote()))),
    }
}

/// Judges what an HTTP 200 to an answer to a click says. Only a clear "no" counts: Slack says "ok" in JSON or in
/// plain words, and describes neither. Nothing of the text is quoted.
pub(super) fn parse_response_url_body(
    headers: &HeaderMap,
    body: &[u8],
    redactor: &Redactor,
) -> Result<Fields, ErrorKind> {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) if fields.get("ok").and_then(Value::as_bool) == Some(false) => {
            Err(api_error(&fields, headers, redactor))
        }
        _ => Ok(Fields::new()),
    }
}

/// A failure for a success that lacks what its method promises.
pub(super) fn missing_field(field: &str) -> ErrorKind {
    ErrorKind::MissingField { field: field.to_owned() }
}

/// The scopes of the token, as `x-oauth-scopes` lists them. `None` without a readable header.
pub(super) fn scopes(headers: &HeaderMap) -> Option<BTreeSet<String>> {
    let list = headers.get("x-oauth-scopes")?.to_str().ok()?;
    Some(list.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect())
}

fn invalid_response(what: String) -> ErrorKind {
    ErrorKind::InvalidResponse { what }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// `ok: false`.
fn api_error(fields: &Fields, headers: &HeaderMap, redactor: &Redactor) -> ErrorKind {
    let detail =
        |key: &str| fields.get(key).and_then(Value::as_str).map(|text| redactor.redact(text, MAX_DETAIL));
    let code = redactor.redact(fields.get("error").and_then(Value::as_str).unwrap_or_default(), MAX_QUOTE);
    if code.is_empty() {
        return invalid_response("a refusal without an error code".into());
    }
    let messages = fields
        .get("response_metadata")
        .and_then(|metadata| metadata.get("messages"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .take(MAX_MESSAGES)
        .map(|text| redactor.redact(text, MAX_DETAIL))
        .collect();
    ErrorKind::Api(Box::new(ApiError {
        info: code_info(&code),
        code,
        retry_after: retry_after(headers).unwrap_or(DEFAULT_RETRY_AFTER),
        needed: detail("needed"),
        provided: detail("provided"),
        messages,
    }))
}

/// `Retry-After` in whole seconds, kept within 1 s and ten minutes; `None` if it cannot be read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, MAX_RETRY_AFTER_SECONDS)))
}

#[cfg(test)]
mod tests;
