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
use http::Request;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::CertificateResult;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use super::error::{Failure, SetupError};
use super::scrub::Scrub;
use super::wire::{self, Fields};

/// The largest answer read. The calls made here are answered with a few kilobytes.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long an unused connection is kept. Short, because a write on a connection that the other side is just
/// closing ends in doubt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections kept open while unused.
const MAX_IDLE: usize = 4;

type Stream = hyper_rustls::MaybeHttpsStream<hyper_util::rt::TokioIo<tokio::net::TcpStream>>;
/// Turns the head and body of an HTTP 200 into the fields of a success.
pub(super) type Reader = fn(&http::HeaderMap, &[u8], &Scrub) -> Result<Fields, Failure>;

type Connector = BoxCloneSyncService<http::Uri, Stream, Box<dyn Error + Send + Sync>>;

/// A pool of connections to one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport {
    http: Client<Connector, Outgoing>,
    tls: Arc<ClientConfig>,
    call_timeout: Duration,
}

impl Transport {
    /// `connect_timeout` covers name lookup, TCP and TLS; `call_timeout` a whole call with its answer.
    pub(super) fn new(
        roots: RootCertStore,
        connect_timeout: Duration,
        call_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
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
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Ok(Self { http, tls: shared_tls, call_timeout })
    }

    /// How servers are checked, for connections that this pool does not make.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    /// Sends a request and reads the whole answer, within the deadline and within `limit`.
    pub(super) async fn call(
        &self,
        request: Request<Bytes>,
        limit: Option<Duration>,
        read: Reader,
        scrub: &Scrub,
    ) -> Result<(http::HeaderMap, Fields), Failure> {
        let limit = limit.map_or(self.call_timeout, |limit| limit.min(self.call_timeout));
        let begun = Arc::new(AtomicBool::new(false));
        let request = request.map(|bytes| Outgoing { bytes: Full::new(bytes), begun: begun.clone() });
        match tokio::time::timeout(limit, self.exchange(request, &begun, read, scrub)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut { begun: begun.load(Ordering::Relaxed), limit }),
        }
    }

    async fn exchange(
        &self,
        request: Request<Outgoing>,
        begun: &AtomicBool,
        read: Reader,
        scrub: &Scrub,
    ) -> Result<(http::HeaderMap, Fields), Failure> {
        let response = self.http.request(request).await.map_err(|error| lost(error, begun))?;
        let (head, body) = response.into_parts();
        wire::check_head(head.status, &head.headers)?;
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(cut_off)?.to_bytes();
        let fields = read(&head.headers, &body, scrub)?;
        Ok((head.headers, fields))
    }
}

/// No answer came.
fn lost(error: legacy::Error, begun: &AtomicBool) -> Failure {
    if error.is_connect() {
        return Failure::Unconnected { source: Arc::new(error) };
    }
    Failure::Broken { begun: begun.load(Ordering::Relaxed), source: Arc::new(error) }
}

/// The answer's body did not come whole.
fn cut_off(error: Box<dyn Error + Send + Sync>) -> Failure {
    if error.is::<LengthLimitError>() {
        return Failure::TooLarge { limit: MAX_BODY_BYTES };
    }
    Failure::Broken { begun: true, source: error.into() }
}

/// Certificates to check Slack's with: the machine's own, which `SSL_CERT_FILE` and `SSL_CERT_DIR` replace.
pub(super) fn machine_roots() -> Result<RootCertStore, SetupError> {
    usable_roots(rustls_native_certs::load_native_certs())
}

/// Single unreadable certificates are passed over, as other programs do: most stores hold some.
fn usable_roots(found: CertificateResult) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(SetupError::NoTrust { source: found.errors.into_iter().next() });
    }
    Ok(roots)
}

/// A request body that notes when it is first asked for: from then on the request may have reached Slack.
struct Outgoing {
    bytes: Full<Bytes>,
    begun: Arc<AtomicBool>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.begun.store(true, Ordering::Relaxed);
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustls_native_certs::load_certs_from_paths;

    use super::*;

    fn check_no_trust(file: &Path) -> Option<String> {
        let error = usable_roots(load_certs_from_paths(Some(file), None)).unwrap_err();
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
        error.source().map(ToString::to_string)
    }

    #[test]
    fn a_machine_without_certificates_is_told_what_to_set() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(check_no_trust(empty.path()), None);
        let reason = check_no_trust(&empty.path().with_extension("gone")).unwrap();
        assert!(reason.contains(".gone"), "{reason}");
    }
}
