//! One call of the Web API, or one POST to a `response_url`, from its HTTP request to its HTTP response: read it,
//! log it, let a fault strike or carry it out.
//!
//! How faults look on the wire is in `delivery.rs`, what methods do is in `methods/`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{self, Body};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::Shared;
use super::arguments::{self, Arguments, Incoming};
use super::call_log::ResponseTarget;
use super::delivery::{self, Outcome};
use super::faults::Fault;
use super::interactive::hooks::Origin;
use super::methods;
use super::methods::response::{RESPONSE_URL, respond as respond_to};
use super::reply::{ApiError, HttpReply};
use super::server::ConnectionHandle;
use super::state::Moment;
use crate::call_sequence::Side;

/// More than any message could need; larger bodies are refused while they are read.
const MAX_BODY: usize = 20 << 20;
/// For a client that sends a body slowly or never to its end.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a request is for.
enum Target {
    Method(String),
    /// The secret part of a `response_url`.
    Response(String),
}

/// Answers one call.
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    Extension(line): Extension<ConnectionHandle>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    handle(shared, line, Target::Method(method), request).await
}

/// Answers one POST to a `response_url`.
pub(super) async fn respond(
    State(shared): State<Arc<Shared>>,
    Extension(line): Extension<ConnectionHandle>,
    Path((_, secret)): Path<(String, String)>,
    request: Request,
) -> Response {
    handle(shared, line, Target::Response(secret), request).await
}

async fn handle(shared: Arc<Shared>, line: ConnectionHandle, target: Target, request: Request) -> Response {
    let now = Moment::now();
    let method = match &target {
        Target::Method(method) => method.clone(),
        Target::Response(_) => RESPONSE_URL.to_owned(),
    };
    if let Some(strike) = shared.faults.take_unread(&method) {
        let seq = shared.calls.begin(&method, Arguments::default(), None, 0, now);
        shared.calls.amend(seq, |call| strike.record(call));
        shared.changed();
        line.reset().await
    }
    let (parts, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(status) => {
            let seq = shared.calls.begin(&method, Arguments::default(), None, 0, now);
            shared.calls.amend(seq, |call| call.status = Some(status.as_u16()));
            shared.changed();
            return delivery::plain(status, "the request body is too large or too slow");
        }
    };
    let incoming = arguments::read(&parts, &body);
    let (arguments, encoding) = match &incoming {
        Ok(incoming) => (incoming.arguments.clone(), Some(incoming.encoding)),
        Err(_) => (Arguments::default(), None),
    };
    let (channel, answers) = match &target {
        Target::Method(_) => (arguments.get("channel").and_then(Value::as_str).map(str::to_owned), None),
        Target::Response(secret) => match shared.state().response_urls.origin(secret) {
            Some(Origin { user, channel, ts }) => {
                (Some(channel.clone()), Some(ResponseTarget { user: user.clone(), ts: ts.to_string() }))
            }
            None => (None, None),
        },
    };
    let user = arguments.get("user").and_then(Value::as_str).map(str::to_owned);
    let size = body.len() + parts.uri.query().map_or(0, str::len);
    let seq = shared.calls.begin(&method, arguments, encoding, size, now);
    shared.calls.amend(seq, |call| {
        call.channel.clone_from(&channel);
        call.answers = answers;
    });
    shared.changed();
    let pass = shared
        .call_sequence
        .begin(Side::Slack { seq }, &method, channel.as_deref().unwrap_or_default())
        .await;
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }

    let stands_for = channel.as_deref().and_then(|channel| shared.resolve_channel(channel));
    let channels: Vec<&str> = channel.iter().chain(&stands_for).map(String::as_str).collect();
    let strike = shared.faults.take(&method, &channels, user.as_deref());
    if let Some(strike) = &strike {
        shared.calls.amend(seq, |call| strike.record(call));
        shared.changed();
        if let (Fault::Delay(pause), false) = (&strike.fault, strike.after_work) {
            tokio::time::sleep(*pause).await;
        }
    }
    let outcome = match &strike {
        Some(strike) if !strike.does_work => None,
        _ => {
            let outcome = execute(&shared, &target, incoming);
            shared.calls.amend(seq, |call| {
                call.answer = outcome.answer.body.clone();
                if strike.is_none() {
                    call.status = Some(outcome.answer.status.as_u16());
                }
            });
            shared.changed();
            Some(outcome)
        }
    };
    pass.finish().await;
    match strike {
        None => delivery::without_fault(outcome),
        Some(strike) => {
            let response = delivery::with_fault(strike, outcome, &line).await;
            shared.calls.amend(seq, |call| call.status = Some(response.status().as_u16()));
            shared.changed();
            response
        }
    }
}

async fn read_body(body: Body) -> Result<Bytes, StatusCode> {
    match tokio::time::timeout(BODY_TIMEOUT, body::to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn execute(shared: &Shared, target: &Target, incoming: Result<Incoming, ApiError>) -> Outcome {
    let warning = incoming.as_ref().ok().and_then(|incoming| incoming.warning);
    let incoming = incoming.as_ref().map_err(ApiError::clone);
    // A delay may have passed since the call arrived.
    let now = Moment::now();
    match target {
        Target::Method(method) => {
            let (reply, scopes) = methods::call(&mut shared.state(), method, incoming, now);
            Outcome { answer: HttpReply::from_reply(reply, warning), scopes }
        }
        Target::Response(secret) => {
            let reply = respond_to(&mut shared.state(), secret, incoming, now);
            let refused = reply.is_err();
            let mut answer = HttpReply::from_reply(reply, None);
            // These addresses are no part of the Web API: what they refuse is not HTTP 200.
            if refused && answer.status == StatusCode::OK {
                answer.status = StatusCode::NOT_FOUND;
            }
            Outcome { answer, scopes: None }
        }
    }
}
