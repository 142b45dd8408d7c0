//! Where Slack's callbacks arrive: a listener with limits, own TLS or none. The only folder that names axum.
//!
//! It reads requests and never looks into them: raw bytes and the two headers of the signature go to the handler,
//! which checks, parses and decides (`callback` says how, and what can be answered). One request per connection:
//! callbacks are rare, a closed connection cannot be held open, and no proxy sends a click into a connection that
//! is just being given up. Certificates are read and renewed in `certificates`.

pub mod callback;
pub mod certificates;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::TlsFiles;
use crate::error::chain;
use callback::{Answer, SignatureHeaders, Work};
use certificates::{CertificateError, Certificates};

/// Connections at one time. More wait in the system's queue; each holds a place for some seconds at most.
const MAX_CONNECTIONS: usize = 256;

/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// How long the head of a request may take. With [`callback::BODY_LIMIT`] it makes 5 s for the whole request.
const HEAD_LIMIT: Duration = Duration::from_secs(2);

/// How long a connection may take in all: handshake, request, handler, and a client that is slow to read.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);

/// The size of a request's head, in bytes and in headers.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// How long requests under way are waited for when told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// How often the key and certificate are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// How long to wait when the system has no connection to give, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// How often the same trouble with connections is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A socket that listens for callbacks, and what it takes to serve it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
    reload_every: Duration,
}

/// Why callbacks cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen for Slack's callbacks on {address} (http.listen_addr)")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The key or certificate cannot be used.
    #[error("cannot serve Slack's callbacks over TLS")]
    Certificate(#[from] CertificateError),
}

impl Listener {
    /// Takes the address and reads the key and certificate. Without `tls`, whoever can listen in on the network
    /// reads the callbacks: meant for a proxy on the same machine that ends TLS.
    ///
    /// # Errors
    ///
    /// An address that cannot be had, or a key or certificate that cannot be used.
    pub async fn bind(address: SocketAddr, tls: Option<&TlsFiles>) -> Result<Self, ListenError> {
        let certificates = match tls {
            Some(files) => Some(Certificates::load(files.clone()).await?),
            None => None,
        };
        let fail = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        Ok(Self { socket, address, certificates, reload_every: RELOAD_EVERY })
    }

    /// Where it listens; tells the port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, and then until the requests under way have been answered (3 s at most).
    ///
    /// `handler` is given the two headers of the signature and the body as it came, of at most
    /// [`callback::MAX_BODY_BYTES`]. Nothing was checked yet: checking the signature comes first. It should answer
    /// within [`callback::ANSWER_LIMIT`], after which Slack is told 503; it is then not cut short, nor is it when
    /// the caller hangs up, but goes on to its end. If it panics, 500 is answered and the listener goes on.
    pub async fn run<H, F>(self, handler: H, stop: CancellationToken)
    where
        H: Fn(SignatureHeaders, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let Self { socket, address, certificates, reload_every } = self;
        match &certificates {
            // The words of the Go plugin, which people search their logs for.
            None => info!("Starting insecure HTTP server on {address}"),
            Some(_) => info!("Starting secure HTTPS server on {address}"),
        }
        let work = Work::default();
        let router = callback::router(handler, work.clone());
        let mut connections = JoinSet::new();
        let mut renewal = pin!(async {
            match &certificates {
                Some(certificates) => certificates.keep_current(reload_every).await,
                None => std::future::pending().await,
            }
        });
        let mut full = Trouble::default();
        let mut starved = Trouble::default();
        loop {
            let has_room = connections.len() < MAX_CONNECTIONS;
            if !has_room && full.is_news() {
                warn!(
                    connections = MAX_CONNECTIONS,
                    "The callback listener is full; clicks in Slack may fail until connections end"
                );
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut renewal => {}
                Some(ended) = connections.join_next() => report(ended),
                accepted = socket.accept(), if has_room => match accepted {
                    Ok((stream, peer)) => {
                        let tls = certificates.as_ref().map(Certificates::current);
                        connections.spawn(connection(stream, peer, tls, router.clone(), stop.clone()));
                    }
                    Err(error) => {
                        if starved.is_news() {
                            error!("The callback listener gets no connections from the system: {error}");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        let ending = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
            work.end().await;
        };
        if timeout(STOP_LIMIT, ending).await.is_err() {
            warn!("Callbacks were still being worked on after {STOP_LIMIT:?}; they are given up");
            work.give_up();
        }
    }
}

/// A connection's task has ended; it should not have panicked.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(
            "A connection of the callback listener panicked; this is a fault of teleport-slack, please report it"
        );
    }
}

/// Serves one connection. What goes wrong is the other side's business: anyone can connect.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    stop: CancellationToken,
) {
    let served = timeout(CONNECTION_LIMIT, async {
        let Some(config) = tls else { return serve(TokioIo::new(stream), router, stop).await };
        match timeout(HANDSHAKE_LIMIT, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => serve(TokioIo::new(stream), router, stop).await,
            Ok(Err(error)) => debug!(%peer, "No TLS handshake: {error}"),
            Err(_) => debug!(%peer, "No TLS handshake within {HANDSHAKE_LIMIT:?}"),
        }
    });
    if served.await.is_err() {
        debug!(%peer, "A connection was cut after {CONNECTION_LIMIT:?}");
    }
}

async fn serve(io: impl Read + Write + Unpin, router: Router, stop: CancellationToken) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = stop.cancelled() => {
            // Ends at once if no request has begun, else after its answer.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!("A request could not be served: {}", chain(&error));
    }
}

/// Keeps a log from being flooded by those who can cause a line at will.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
}

impl Trouble {
    /// Whether it is time to tell it (again).
    fn is_news(&mut self) -> bool {
        let now = Instant::now();
        let is_news = self.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests;
