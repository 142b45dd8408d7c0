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
use client_base::forward_proxy::{DialError, Dialer, Stream as DialedStream, Target, TunnelError};
use client_base::outbound::Outbound;
use client_base::tcp::Deadline;
use client_base::tls;
use http::Request;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout_at;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use super::broken::log_libraries_words;
use super::error::{ErrorKind, SetupError, find_cause};
use super::redact::Redactor;
use super::timings::CallTimings;
use super::wire::{self, Fields};

/// The largest answer read. The calls made here are answered with a few kilobytes.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Connections kept open while unused.
const MAX_IDLE_CONNECTIONS: usize = 4;

type Stream = hyper_rustls::MaybeHttpsStream<TokioIo<DialedStream>>;
/// Turns the head and body of an HTTP 200 into the fields of a success.
pub(super) type BodyParser = fn(&http::HeaderMap, &[u8], &Redactor) -> Result<Fields, ErrorKind>;

type Connector = BoxCloneSyncService<http::Uri, Stream, Box<dyn Error + Send + Sync>>;

/// A pool of connections to one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport {
    http: Client<Connector, TrackedBody>,
    tls: Arc<ClientConfig>,
    dialer: Dialer,
    timings: CallTimings,
}

impl Transport {
    /// No connection is made yet. `roots` are all that are trusted; the further ones of `outbound` are among them.
    pub(super) fn new(
        roots: RootCertStore,
        outbound: Outbound,
        timings: CallTimings,
    ) -> Result<Self, SetupError> {
        let tls = Arc::new(tls::client_config(roots)?.with_no_client_auth());
        Ok(Self::with_tls(Arc::clone(&tls), tls, outbound, timings))
    }

    /// The same; the server and a forward proxy before it are checked each by its own settings.
    pub(super) fn with_tls(
        tls: Arc<ClientConfig>,
        of_proxies: Arc<ClientConfig>,
        outbound: Outbound,
        timings: CallTimings,
    ) -> Self {
        let connect_timeout = timings.connect;
        let dialer = Dialer::new(outbound.proxies, outbound.resolver, of_proxies);
        let (dialing, checking) = (dialer.clone(), Arc::clone(&tls));
        let connector = Connector::new(service_fn(move |uri| {
            // One deadline for all steps.
            let deadline = Deadline::after(connect_timeout);
            let dialer = dialing.clone();
            let dial = service_fn(move |uri| dial(dialer.clone(), uri, deadline));
            let connecting = HttpsConnector::from((dial, Arc::clone(&checking))).oneshot(uri);
            async move {
                let timed_out = |_| {
                    io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {connect_timeout:?}"))
                };
                timeout_at(deadline.at, connecting).await.map_err(timed_out)?
            }
        }));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(timings.idle)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .build(connector);
        Self { http, tls, dialer, timings }
    }

    pub(super) fn timings(&self) -> &CallTimings {
        &self.timings
    }

    /// How servers are checked, for connections that this pool does not make.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    /// How servers are reached, for the same.
    pub(super) fn dialer(&self) -> Dialer {
        self.dialer.clone()
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

/// Connects to a URL's server; TLS with it comes later.
async fn dial(
    dialer: Dialer,
    uri: http::Uri,
    deadline: Deadline,
) -> Result<TokioIo<DialedStream>, Box<dyn Error + Send + Sync>> {
    let target = Target::of(&uri).ok_or("the address names no server")?;
    match dialer.dial(&target, deadline).await {
        Ok(stream) => Ok(TokioIo::new(stream)),
        Err(DialError::Direct(error)) => Err(error.into()),
        Err(DialError::Proxy(error)) => Err(error.into()),
    }
}

/// No answer came.
fn request_error(error: legacy::Error, begun: &AtomicBool) -> ErrorKind {
    if let Some(error) = find_cause::<TunnelError>(&error) {
        return ErrorKind::Proxy(Box::new(error.clone()));
    }
    log_libraries_words(&error);
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
    log_libraries_words(error.as_ref());
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
