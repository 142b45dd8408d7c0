//! What others ask about the daemon: does it live, is it ready, what did it count, how does it stand.
//!
//! `/healthz` answers as long as the process does anything, `/readyz` says what stands in the way, `/metrics` is what
//! `observe::metrics` holds, in the format that the caller asks for. All of these are read only and name no request, user or secret; they have neither
//! TLS nor a password, so they are meant for this machine or a closed network. `/status` names requests and users, and has
//! rules of its own (`status`).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::server::{self, ListenerLimits};
use super::status::{self, StatusSource};
use super::{HttpTimings, ListenError, bind};
use crate::observe::metrics::{Format, Metrics};
use crate::supervise::worker_pool::DIAGNOSTICS_CONNECTIONS;

/// The port for diagnostics.
fn diagnostics_limits(timings: HttpTimings) -> ListenerLimits {
    ListenerLimits {
        name: "diagnostics listener",
        full_consequence: "health checks may be slow",
        connections: DIAGNOSTICS_CONNECTIONS,
        evict_after: timings.evict_question,
        timings,
    }
}

/// A socket that listens for questions about the daemon.
#[derive(Debug)]
pub struct Diagnostics {
    socket: TcpListener,
    address: SocketAddr,
}

impl Diagnostics {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// An address that cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let (socket, address) = bind(address, "diagnostics", "diagnostics.listen_addr").await?;
        Ok(Self { socket, address })
    }

    /// Where it listens; with the real port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the stop, and then finishes what was begun, for at most [`HttpTimings::drain`].
    pub async fn run(
        self,
        metrics: Metrics,
        status: Arc<dyn StatusSource>,
        stop: CancellationToken,
        timings: HttpTimings,
    ) {
        info!("Serving health and metrics on http://{}", self.address);
        info!("The state of the daemon is at http://{}/status", self.address);
        let limits = diagnostics_limits(timings);
        let router = router(metrics).merge(status::router(status));
        let open = server::serve(self.socket, limits, || None, router, &stop).await;
        if timeout(timings.drain, open.drain()).await.is_err() {
            open.abort();
            debug!("A client of the diagnostics listener was slow to read; closed its connection");
        }
    }
}

/// Anything else than a GET or HEAD of these is 404 or 405.
fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_text))
        .with_state(metrics)
}

async fn readiness(State(metrics): State<Metrics>) -> (StatusCode, String) {
    let reasons = metrics.health().unready_reasons(Instant::now(), Timestamp::now());
    if reasons.is_empty() {
        let notes = metrics.health().warnings();
        let notes: String = notes.iter().map(|note| format!("but {note}\n")).collect();
        (StatusCode::OK, format!("ready\n{notes}"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join("; ")))
    }
}

async fn metrics_text(
    State(metrics): State<Metrics>,
    headers: HeaderMap,
) -> ([(HeaderName, &'static str); 2], String) {
    let accepted: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::negotiate(&accepted.join(","));
    ([(CONTENT_TYPE, format.media_type()), (VARY, "accept")], metrics.text(format))
}
