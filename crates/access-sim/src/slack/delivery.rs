//! Putting answers on the wire, whole or corrupted by a fault.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::faults::{ActiveFault, Fault};
use super::handles::ConnectionHandle;
use super::methods::ScopeHeaders;
use super::rate::retry_after_seconds;
use super::reply::HttpReply;

const JSON: &str = "application/json; charset=utf-8";
const SCOPES: HeaderName = HeaderName::from_static("x-oauth-scopes");
const ACCEPTED_SCOPES: HeaderName = HeaderName::from_static("x-accepted-oauth-scopes");
/// Pieces of a body that is sent slowly.
const SLOW_CHUNKS: usize = 10;
const PADDING: &[u8] = &[b'x'; 64 << 10];

/// What the workspace answered.
pub(super) struct Outcome {
    pub(super) answer: HttpReply,
    pub(super) scopes: Option<ScopeHeaders>,
}

/// The response for a call without a fault.
pub(super) fn without_fault(outcome: Option<Outcome>) -> Response {
    match outcome {
        Some(outcome) => {
            let body = outcome.answer.body.to_string();
            with_headers(Body::from(body), &outcome, JSON)
        }
        // Only a fault keeps the workspace from answering.
        None => plain(StatusCode::INTERNAL_SERVER_ERROR, "the simulator has no answer"),
    }
}

/// The response for a call that a fault hits; never returns where the fault leaves none.
pub(super) async fn with_fault(
    strike: ActiveFault,
    outcome: Option<Outcome>,
    line: &ConnectionHandle,
) -> Response {
    match strike.fault {
        Fault::Error(code) => {
            let body = serde_json::json!({ "ok": false, "error": code }).to_string();
            response(StatusCode::OK, JSON, Body::from(body))
        }
        Fault::Status { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response(status, "text/plain; charset=utf-8", Body::from(body))
        }
        Fault::RateLimited { retry_after } => {
            let body = r#"{"ok":false,"error":"ratelimited"}"#;
            let mut limited = response(StatusCode::TOO_MANY_REQUESTS, JSON, Body::from(body));
            limited.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
            limited
        }
        Fault::Delay(pause) => {
            if strike.after_work {
                tokio::time::sleep(pause).await;
            }
            without_fault(outcome)
        }
        Fault::Hang => std::future::pending().await,
        Fault::Reset => line.reset().await,
        Fault::NotJson => response(StatusCode::OK, JSON, Body::from("<!DOCTYPE html><title>Slack</title>")),
        Fault::NotAnObject => response(StatusCode::OK, JSON, Body::from(r#"["ok", true]"#)),
        Fault::NoOk => response(StatusCode::OK, JSON, Body::from("{}")),
        Fault::Oversized(bytes) => response(StatusCode::OK, JSON, oversized(bytes)),
        Fault::Redirect(target) => {
            let mut redirect = response(StatusCode::FOUND, "text/html", Body::empty());
            if let Ok(target) = HeaderValue::try_from(target) {
                redirect.headers_mut().insert(LOCATION, target);
            }
            redirect
        }
        Fault::WrongContentType => corrupted(outcome, "text/html; charset=utf-8", Body::from),
        Fault::Slow(pause) => corrupted(outcome, JSON, |body| slowly(body, pause)),
        Fault::HalfBody => corrupted(outcome, JSON, half),
        Fault::Altered(fields) => without_fault(outcome.map(|outcome| altered(outcome, fields))),
    }
}

/// The outcome whose answer has other values in some fields, or lacks them. Refusals stay as they are.
fn altered(mut outcome: Outcome, fields: Vec<(String, Option<Value>)>) -> Outcome {
    if let Some(body) = outcome.answer.body.as_object_mut()
        && body.get("ok") == Some(&Value::Bool(true))
    {
        for (field, value) in fields {
            match value {
                Some(value) => body.insert(field, value),
                None => body.remove(&field),
            };
        }
    }
    outcome
}

/// A response that is not Slack's.
pub(super) fn plain(status: StatusCode, body: &'static str) -> Response {
    response(status, "text/plain; charset=utf-8", Body::from(body))
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn with_headers(body: Body, outcome: &Outcome, content_type: &'static str) -> Response {
    let mut response = response(outcome.answer.status, content_type, body);
    let headers = response.headers_mut();
    if let Some(scopes) = &outcome.scopes {
        for (name, value) in [(SCOPES, &scopes.granted), (ACCEPTED_SCOPES, &scopes.accepted)] {
            if let Ok(value) = HeaderValue::try_from(value)
                && !value.is_empty()
            {
                headers.insert(name, value);
            }
        }
    }
    if let Some(wait) = outcome.answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds(wait)));
    }
    response
}

/// The true answer with its body, or the name of its type, corrupted.
fn corrupted(
    outcome: Option<Outcome>,
    content_type: &'static str,
    spoil: impl FnOnce(Bytes) -> Body,
) -> Response {
    let Some(outcome) = outcome else { return without_fault(None) };
    let body = Bytes::from(outcome.answer.body.to_string());
    let length = body.len();
    let mut response = with_headers(spoil(body), &outcome, content_type);
    // The promised length is that of the whole answer, even where less follows.
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn slowly(body: Bytes, pause: Duration) -> Body {
    let piece = body.len().div_ceil(SLOW_CHUNKS).max(1);
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let sent = rest.split_to(piece.min(rest.len()));
        Some((Ok::<_, io::Error>(sent), rest))
    }))
}

fn half(mut body: Bytes) -> Body {
    let first = body.split_to(body.len() / 2);
    Body::from_stream(stream::unfold(Some(first), |first| async move {
        match first {
            Some(first) => Some((Ok(first), None)),
            None => {
                // hyper throws away what it has not sent when a body fails; a body that pauses is flushed first.
                tokio::task::yield_now().await;
                Some((Err(io::Error::other("the rest is withheld by a fault")), None))
            }
        }
    }))
}

/// A JSON object with a very long string, made as it is sent.
fn oversized(bytes: u64) -> Body {
    enum Part {
        Head,
        Padding(u64),
        End,
    }
    Body::from_stream(stream::unfold(Part::Head, move |part| async move {
        let (piece, next) = match part {
            Part::Head => (Bytes::from_static(br#"{"ok":true,"padding":""#), Part::Padding(bytes)),
            Part::Padding(0) => (Bytes::from_static(br#""}"#), Part::End),
            Part::Padding(left) => {
                let take = usize::try_from(left).unwrap_or(PADDING.len()).min(PADDING.len());
                (Bytes::from_static(PADDING).slice(..take), Part::Padding(left - take as u64))
            }
            Part::End => return None,
        };
        Some((Ok::<_, io::Error>(piece), next))
    }))
}
