//! Calls the address at which Slack would call the program, in Slack's place: whether the right listener answers there.
//!
//! Two calls that change nothing. One has no signature, and is refused (401). The other is signed as Slack signs, and of
//! a type of interaction that Slack does not have, which a listener acknowledges (200) without a further look. What it
//! shows holds for the machine that calls; whether Slack's servers reach the address, it does not show.

use std::error::Error;
use std::io;

use access_core::domain::error_chain::chain;
use access_core::domain::secret::Secret;
use access_core::interaction::signature::sign;
use bytes::Bytes;
use client_base::forward_proxy::TunnelError;
use client_base::outbound::Outbound;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;

use super::error::{ErrorKind, find_cause};
use super::redact::Redactor;
use super::timings::CallTimings;
use super::transport::Transport;
use super::wire::Fields;

/// The type of interaction that the signed call says it is.
const PROBE_TYPE: &str = "teleport_slack_check";

/// The HTTP status of each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackAnswers {
    /// To the call without a signature.
    pub unsigned: StatusCode,
    /// To the signed one.
    pub signed: StatusCode,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The port is closed.
    #[error("nothing listens there")]
    Refused,
    /// There is no way through the proxy.
    #[error("{}", chain(.0.as_ref()))]
    Proxy(Box<TunnelError>),
    /// No connection, no answer, or no way to call at all.
    #[error("{0}")]
    NoAnswer(String),
}

/// Calls `url`, `http://…` or `https://…`, which is checked with the trusted certificates of the machine and of `outbound`. At
/// most 10 s a call.
///
/// # Errors
/// If there is no answer to one of the calls, or `url` or the secret cannot be used.
pub async fn probe_callback(
    url: &str,
    signing_secret: &Secret,
    outbound: &Outbound,
) -> Result<CallbackAnswers, ProbeError> {
    let no_way = |error: &dyn Error| ProbeError::NoAnswer(chain(error));
    let roots = client_base::tls::trusted_roots(&outbound.extra_roots).map_err(|error| no_way(&error))?;
    let transport = Transport::new(roots, outbound.clone(), CallTimings::default());
    let transport = transport.map_err(|error| no_way(&error))?;
    let now = Timestamp::now();
    // Different in each call: a signature counts once.
    let body =
        format!("payload=%7B%22type%22%3A%22{PROBE_TYPE}%22%2C%22sent%22%3A%22{}%22%7D", now.as_nanosecond());
    let seconds = now.as_second();
    let Some(signature) = sign(signing_secret.expose().as_bytes(), seconds, body.as_bytes()) else {
        return Err(ProbeError::NoAnswer("the signing secret is empty".to_owned()));
    };
    let request = || {
        let request = Request::post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        (request, Bytes::from(body.clone()))
    };
    let (unsigned, bytes) = request();
    let unsigned = unsigned.body(bytes).map_err(|error| no_way(&error))?;
    let (signed, bytes) = request();
    let signed = signed.header("x-slack-request-timestamp", seconds).header("x-slack-signature", signature);
    let signed = signed.body(bytes).map_err(|error| no_way(&error))?;
    let redactor = Redactor::new(signing_secret.clone());
    let unsigned = answer(&transport, unsigned, &redactor).await?;
    Ok(CallbackAnswers { unsigned, signed: answer(&transport, signed, &redactor).await? })
}

async fn answer(
    transport: &Transport,
    request: Request<Bytes>,
    redactor: &Redactor,
) -> Result<StatusCode, ProbeError> {
    let limit = transport.timings().call;
    let take_any = |_: &HeaderMap, _: &[u8], _: &Redactor| Ok(Fields::new());
    match transport.call(request, limit, take_any, redactor).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(ErrorKind::Status { status }) => Ok(status),
        Err(ErrorKind::RateLimited { .. }) => Ok(StatusCode::TOO_MANY_REQUESTS),
        Err(error) if is_refused(&error) => Err(ProbeError::Refused),
        Err(ErrorKind::Proxy(error)) => Err(ProbeError::Proxy(error)),
        Err(error) => Err(ProbeError::NoAnswer(chain(&error))),
    }
}

/// Whether an error of the system below says that the port is closed, and not that of a proxy.
fn is_refused(error: &ErrorKind) -> bool {
    let refused = find_cause::<io::Error>(error);
    !matches!(error, ErrorKind::Proxy(_))
        && refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
