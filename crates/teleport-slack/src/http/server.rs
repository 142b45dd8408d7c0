//! What every listener of the daemon shares: connections at one time, deadlines, sizes, an orderly end.
//!
//! No caller holds up the others: a listener that is full gives up the oldest connection on which no request has come yet,
//! and takes the new one. So a question is answered at once behind any number of callers who say nothing.
//!
//! One request per connection: requests are rare, a closed connection cannot be held open, and no proxy sends one
//! into a connection that is just being given up. What is answered is the router's business (`interactivity`,
//! `diagnostics`).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::{Extension, Router};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::HttpTimings;
use crate::observe::log_once::SharedLogOnce;
use crate::supervise::worker_pool::{Work, WorkerPool};
use access_core::domain::error_chain::chain;

/// The size of a request's head, in bytes and in headers.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
pub(super) const MAX_HEADERS: usize = 64;

/// Which listener it is, for the log, and how much it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenerLimits {
    /// "The … is full".
    pub(super) name: &'static str,
    /// What a full listener means for users.
    pub(super) full_consequence: &'static str,
    /// Connections at one time; those beyond take the place of one on which no request has come yet. If there is none,
    /// they wait in the system's queue; each holds a place for some seconds at most.
    pub(super) connections: Work,
    /// How long a caller may take for a request, at least, before another takes the place.
    pub(super) evict_after: Duration,
    /// The other waits.
    pub(super) timings: HttpTimings,
}

/// Serves until the stop; no connection is accepted afterwards. Each that is still open ends after the answer that it is
/// about. `tls` gives the configuration of the moment.
pub(super) async fn serve(
    socket: TcpListener,
    limits: ListenerLimits,
    tls: impl Fn() -> Option<Arc<ServerConfig>>,
    router: Router,
    stop: &CancellationToken,
) -> WorkerPool {
    let connections = WorkerPool::new(limits.connections);
    let log_once = SharedLogOnce::default();
    let mut waiting = IdleConnections::default();
    loop {
        let oldest = waiting.oldest().map(|since| since + limits.evict_after);
        let has_room = !connections.is_full() || oldest.is_some_and(|until| until <= Instant::now());
        if !has_room && let Some(suppressed) = log_once.once_a_minute(limits.name, "full") {
            warn!(
                connections = connections.len(),
                suppressed, "The {} is full; {} until connections end", limits.name, limits.full_consequence
            );
        }
        tokio::select! {
            () = stop.cancelled() => return connections,
            () = connections.has_room(), if !has_room => {}
            () = sleep_until(oldest.unwrap_or_else(Instant::now)), if !has_room && oldest.is_some() => {}
            accepted = socket.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    // If a request has come on it meanwhile, there is one connection more for a moment.
                    if connections.is_full()
                        && waiting.oldest().is_some_and(|since| since.elapsed() >= limits.evict_after)
                    {
                        waiting.evict_oldest();
                    }
                    let begun = Arc::new(AtomicBool::new(false));
                    let router = router.clone().layer(Extension(ConnectInfo(peer)));
                    let router = track_first_request(router, Arc::clone(&begun));
                    let serving = connections.spawn(serve_connection(stream, peer, tls(), router, stop.clone(), limits.timings));
                    waiting.add(serving.abort_handle(), begun);
                }
                Err(error) => {
                    if let Some(suppressed) = log_once.once_a_minute(limits.name, "starved") {
                        error!(suppressed, "The {} gets no connections from the system: {error}", limits.name);
                    }
                    sleep(limits.timings.accept_pause).await;
                }
            },
        }
    }
}

/// The router, which notes that a request has come.
fn track_first_request(router: Router, begun: Arc<AtomicBool>) -> Router {
    router.layer(axum::middleware::from_fn(move |request: Request, next: Next| {
        begun.store(true, Ordering::Relaxed);
        next.run(request)
    }))
}

/// Connections on which no request has come yet, the oldest first.
#[derive(Default)]
struct IdleConnections(VecDeque<(Instant, AbortHandle, Arc<AtomicBool>)>);

impl IdleConnections {
    fn add(&mut self, serving: AbortHandle, begun: Arc<AtomicBool>) {
        self.0.push_back((Instant::now(), serving, begun));
    }

    /// Since when the oldest is there. Forgets those on which a request has come.
    fn oldest(&mut self) -> Option<Instant> {
        self.0.retain(|(_, serving, begun)| !serving.is_finished() && !begun.load(Ordering::Relaxed));
        self.0.front().map(|(since, ..)| *since)
    }

    fn evict_oldest(&mut self) {
        if let Some((_, serving, _)) = self.0.pop_front() {
            debug!("The listener is full, so a connection on which no request came is given up");
            serving.abort();
        }
    }
}

/// Serves one connection. What goes wrong is the other side's business: any machine can connect.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    stop: CancellationToken,
    timings: HttpTimings,
) {
    let HttpTimings { connection, handshake, head, .. } = timings;
    let served = timeout(connection, async {
        let Some(config) = tls else { return serve_one(TokioIo::new(stream), router, stop, head).await };
        match timeout(handshake, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => serve_one(TokioIo::new(stream), router, stop, head).await,
            Ok(Err(error)) => debug!(%peer, "No TLS handshake: {error}"),
            Err(_) => debug!(%peer, "No TLS handshake within {handshake:?}"),
        }
    });
    if served.await.is_err() {
        debug!(%peer, "A connection was cut after {connection:?}");
    }
}

async fn serve_one(
    io: impl Read + Write + Unpin,
    router: Router,
    stop: CancellationToken,
    head_timeout: Duration,
) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(head_timeout)
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
