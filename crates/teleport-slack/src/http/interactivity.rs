//! One callback: where it may arrive, how much of it is read, and what can be answered.
//!
//! It does not check the signature and does not parse: that is the handler's business, on exactly these bytes.
//! Answers are fixed texts, or what the handler says; nothing that came in goes out again.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::HttpTimings;
use crate::observe::log_once::SharedLogOnce;
use crate::supervise::worker_pool::{WorkError, WorkerPool};

/// The path of callbacks that documents and manifests name.
pub const PATH: &str = "/slack/interactivity";

/// The whole address for callbacks, from that of the listener with or without [`PATH`].
pub fn request_url(public_addr: &str) -> String {
    let path = if public_addr.ends_with(PATH) { "" } else { PATH };
    format!("{public_addr}{path}")
}

/// Where callbacks are taken: there, and at the root, as the plugins of the 0.x releases did.
const PATHS: [&str; 2] = ["/", PATH];

/// The largest body read. Slack's are a few kilobytes, with a large message inside some tens.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// What a request's signature is checked with. Each header was there once and is printable ASCII; nothing more is
/// known of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// `X-Slack-Request-Timestamp`: seconds since 1970, says Slack.
    pub timestamp: String,
    /// `X-Slack-Signature`: `v0=` and hexadecimal digits, says Slack.
    pub signature: String,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackResponse {
    /// Taken: 200 without a body. Closes a modal.
    Ack,
    /// Taken: 200 with JSON, such as a `response_action`.
    AckWith(Value),
    /// The signature is wrong, old or was seen before: 401.
    Unauthorized,
    /// Authentic, but not understood: 400.
    BadRequest,
    /// Too busy to take it: 503. Slack shows the user that it failed.
    Unavailable,
}

/// Running handlers. They outlive the connections that they were started for.
#[derive(Clone)]
pub(super) struct Handlers {
    pool: WorkerPool,
    log_once: Arc<SharedLogOnce>,
    timings: HttpTimings,
}

impl Handlers {
    /// Their number is that of `pool`.
    pub(super) fn new(pool: WorkerPool, timings: HttpTimings) -> Self {
        Self { pool, log_once: Arc::default(), timings }
    }

    /// The body as it came.
    async fn read_body(&self, body: Body) -> Result<Bytes, StatusCode> {
        // A body that announces its size is refused before it is sent.
        if hyper::body::Body::size_hint(&body).lower() > MAX_BODY_BYTES as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        match timeout(self.timings.body, Limited::new(body, MAX_BODY_BYTES).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }

    /// The answer of a handler, or what to say instead.
    async fn respond(&self, handling: impl Future<Output = CallbackResponse> + Send + 'static) -> Response {
        if self.pool.is_full() {
            if let Some(suppressed) = self.log_once.once_a_minute("handlers", "full") {
                let working = self.pool.len();
                warn!(working, suppressed, "Rejected a callback: too many run at this time");
            }
            return CallbackResponse::Unavailable.into_response();
        }
        let limit = self.timings.respond;
        match timeout(limit, self.pool.spawn(handling)).await {
            Ok(Ok(Ok(answer))) => answer.into_response(),
            Ok(Ok(Err(WorkError::Aborted))) => CallbackResponse::Unavailable.into_response(),
            Ok(Ok(Err(WorkError::Panicked)) | Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Err(_) => {
                if let Some(suppressed) = self.log_once.once_a_minute("handlers", "slow") {
                    warn!(
                        suppressed,
                        "A callback took longer than {limit:?}; Slack showed the user that it failed"
                    );
                }
                CallbackResponse::Unavailable.into_response()
            }
        }
    }
}

impl IntoResponse for CallbackResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Ack => StatusCode::OK.into_response(),
            Self::AckWith(value) => Json(value).into_response(),
            Self::Unauthorized => StatusCode::UNAUTHORIZED.into_response(),
            Self::BadRequest => StatusCode::BAD_REQUEST.into_response(),
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

/// Takes callbacks by POST at [`PATHS`]; anything else is 404 or 405.
pub(super) fn router<H, F>(handler: H, handlers: Handlers) -> Router
where
    H: Fn(SignatureHeaders, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = CallbackResponse> + Send + 'static,
{
    let take = post(receive::<H, F>).with_state((handler, handlers));
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, take.clone()))
}

async fn receive<H, F>(State((handler, handlers)): State<(H, Handlers)>, request: Request) -> Response
where
    H: Fn(SignatureHeaders, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = CallbackResponse> + Send + 'static,
{
    let (head, body) = request.into_parts();
    // Without a signature there is nothing to check the body against, so it is not read.
    let Some(headers) = signature_headers(&head.headers) else {
        debug!("A callback without a readable signature was refused");
        return CallbackResponse::Unauthorized.into_response();
    };
    match handlers.read_body(body).await {
        Ok(body) => handlers.respond(async move { handler(headers, body).await }).await,
        Err(status) => {
            debug!("A callback was not read to its end: {status}");
            status.into_response()
        }
    }
}

fn signature_headers(headers: &HeaderMap) -> Option<SignatureHeaders> {
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        value.to_str().ok().map(str::to_owned)
    };
    Some(SignatureHeaders {
        timestamp: one("x-slack-request-timestamp")?,
        signature: one("x-slack-signature")?,
    })
}
