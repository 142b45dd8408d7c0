//! One HTTP exchange: connection pool, TLS, deadline, body cap. It knows nothing of Slack but the envelope check
//! it hands the answer to (`wire`).

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use client_base::tls;
use http::Request;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use super::error::{ErrorKind, SetupError};
use super::redact::Redactor;
use super::timings::CallTimings;
use super::wire::{self, Fields};

/// The largest answer read. The calls made here are answered with a few kilobytes.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Connections kept open while unused.
const MAX_IDLE_CONNECTIONS: usize = 4;

type Stream = hyper_rustls::MaybeHttpsStream<hyper_util::rt::TokioIo<tokio::net::TcpStream>>;
/// Turns the head and body of an HTTP 200 into the fields of a success.
pub(super) type BodyParser = fn(&http::HeaderMap, &[u8], &Redactor) -> Result<Fields, ErrorKind>;

type Connector = BoxCloneSyncService<http::Uri, Stream, Box<dyn Error + Send + Sync>>;

/// A pool of connections to one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport {
    http: Client<Connector, TrackedBody>,
    tls: Arc<ClientConfig>,
    timings: CallTimings,
}

impl Transport {
    /// No connection is made yet.
    pub(super) fn new(roots: RootCertStore, timings: CallTimings) -> Result<Self, SetupError> {
        let connect_timeout = timings.connect;
        let tls = tls::client_config(roots)?.with_no_client_auth();
        let shared_tls = Arc::new(tls.clone());
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared out over the server's addresses, so that one dead address leaves time for the next.
        tcp.set_connect_timeout(Some(connect_timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let connector = Connector::new(service_fn(move |uri| {
            let connecting = https.clone().oneshot(uri);
            async move {
                let timed_out = |_| {
                    io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {connect_timeout:?}"))
                };
                tokio::time::timeout(connect_timeout, connecting).await.map_err(timed_out)?
            }
        }));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(timings.idle)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .build(connector);
        Ok(Self { http, tls: shared_tls, timings })
    }

    pub(super) fn timings(&self) -> &CallTimings {
        &self.timings
    }

    /// How servers are checked, for connections that this pool does not make.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    /// Sends a request and reads the whole answer within `limit`.
    pub(super) async fn call(
        &self,
        request: Request<Bytes>,
        limit: Duration,
        read: BodyParser,
        redactor: &Redactor,
    ) -> Result<(http::HeaderMap, Fields), ErrorKind> {
        let begun = Arc::new(AtomicBool::new(false));
        let request =
            request.map(|bytes| TrackedBody { bytes: Full::new(bytes), sending_started: begun.clone() });
        match tokio::time::timeout(limit, self.exchange(request, &begun, read, redactor)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ErrorKind::TimedOut { begun: begun.load(Ordering::Relaxed), limit }),
        }
    }

    async fn exchange(
        &self,
        request: Request<TrackedBody>,
        begun: &AtomicBool,
        read: BodyParser,
        redactor: &Redactor,
    ) -> Result<(http::HeaderMap, Fields), ErrorKind> {
        let response = self.http.request(request).await.map_err(|error| request_error(error, begun))?;
        let (head, body) = response.into_parts();
        wire::check_status(head.status, &head.headers)?;
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(body_error)?.to_bytes();
        let fields = read(&head.headers, &body, redactor)?;
        Ok((head.headers, fields))
    }
}

/// No answer came.
fn request_error(error: legacy::Error, begun: &AtomicBool) -> ErrorKind {
    if error.is_connect() {
        return ErrorKind::Connect { source: Arc::new(error) };
    }
    ErrorKind::ConnectionLost { begun: begun.load(Ordering::Relaxed), source: Arc::new(error) }
}

/// The answer's body did not come whole.
fn body_error(error: Box<dyn Error + Send + Sync>) -> ErrorKind {
    if error.is::<LengthLimitError>() {
        return ErrorKind::ResponseTooLarge { limit: MAX_BODY_BYTES };
    }
    ErrorKind::ConnectionLost { begun: true, source: error.into() }
}

/// A request body that notes when it is first asked for: from then on the request may have reached Slack.
struct TrackedBody {
    bytes: Full<Bytes>,
    sending_started: Arc<AtomicBool>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sending_started.store(true, Ordering::Relaxed);
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
