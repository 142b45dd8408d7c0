//! The listener and its connections: one task for each, all stopped together, none able to exhaust the process.
//!
//! What a request means is for `web.rs`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::DATE;
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::handles::{ConnectionHandle, ServerTasks};
use super::socket::upgrade;
use super::web;

/// Clients of one simulator are few; more connections than this are an accident or an attack.
const MAX_CONNECTIONS: usize = 512;
/// For a client that connects and then says nothing sensible.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Before trying again when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is cancelled; the connections are further tasks of `tasks`.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let life = ServerTasks { stop: stop.clone(), tasks: tasks.clone() };
    let router = Router::new()
        .route("/api/{method}", get(web::call).post(web::call))
        .route("/actions/{team}/{secret}", get(web::respond).post(web::respond))
        .route("/link/", get(upgrade::upgrade))
        .layer(map_response_with_state(Arc::clone(&shared), dated))
        .with_state(shared)
        .layer(Extension(life));
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else { continue };
        let router = router.clone();
        let stop = stop.clone();
        tasks.spawn(async move {
            connection(stream, router, stop).await;
            drop(permit);
        });
    }
}

/// The `Date` by this side's own clock.
async fn dated(State(shared): State<Arc<Shared>>, mut response: Response) -> Response {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&(Timestamp::now() + shared.date_offset));
    if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let line = ConnectionHandle::default();
    let io = TokioIo::new(ControlledStream { stream, line: line.clone() });
    let service = TowerToHyperService::new(router.layer(Extension(line.clone())));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(io, service)
        .with_upgrades();
    // A connection that breaks is the client's affair and shows in its own error.
    tokio::select! {
        () = stop.cancelled() => {}
        () = line.0.cancelled() => {}
        _ = served => {}
    }
}

/// A stream that ends with a reset instead of an orderly close once its line is cut.
struct ControlledStream {
    stream: TcpStream,
    line: ConnectionHandle,
}

impl Drop for ControlledStream {
    fn drop(&mut self) {
        if self.line.0.is_cancelled() {
            // Should this fail, the client sees an orderly close without an answer, which is as good.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for ControlledStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ControlledStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
