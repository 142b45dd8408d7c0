//! The demo page: both sides of the scenario on one screen, on 127.0.0.1 only.
//!
//! `GET /` and its files, `GET /api/state` (everything, as JSON), `GET /api/events` (server-sent events that say
//! "look again"), `POST /api/teleport/…` and `POST /api/slack/…` (what users do there). It knows the two
//! simulators and nothing of the daemon: what the Slack side shows is what arrived at the simulator. Who may
//! call is decided in `guard`, what users can do in `actions` and `slack_actions`, the looks are in `static/`.

mod actions;
mod assets;
mod guard;
mod slack_actions;

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::slack::SlackSim;
use crate::teleport::TeleportSim;

/// No action is larger; a reason of 4,096 characters fits many times over.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Changes that come closer together than this are sent as one.
const COALESCE: Duration = Duration::from_millis(30);
/// Proxies and browsers give up on a stream that is silent for longer than about half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long open connections may take to finish once the page has to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// The two simulators that the page shows.
#[derive(Clone)]
pub struct DemoSimulators {
    /// Where users ask and decide.
    pub teleport: TeleportSim,
    /// What that cluster calls its version (`Options::server_version`), to be shown.
    pub teleport_version: String,
    /// Where the daemon posts.
    pub slack: SlackSim,
}

/// Why a call was refused: a status, and a sentence that the page shows as it is.
#[derive(Debug)]
struct HttpError {
    status: StatusCode,
    message: String,
}

impl HttpError {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, message: sentence.into() }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

#[derive(Clone)]
struct DemoUi {
    simulators: DemoSimulators,
    shutdown: CancellationToken,
}

/// The page's routes over `simulators`; its event streams end when `shutdown` is cancelled.
pub fn router(simulators: DemoSimulators, shutdown: CancellationToken) -> Router {
    Router::new()
        .route("/api/state", get(state))
        .route("/api/events", get(events))
        .route("/api/teleport/request", post(actions::request))
        .route("/api/teleport/review", post(actions::review))
        .route("/api/teleport/state", post(actions::set_state))
        .route("/api/teleport/delete", post(actions::delete))
        .route("/api/teleport/expire", post(actions::expire))
        .route("/api/slack/click", post(slack_actions::click))
        .route("/api/slack/submit", post(slack_actions::submit))
        .route("/api/slack/close", post(slack_actions::close))
        .fallback(get(|uri: Uri| async move { assets::serve(uri.path()) }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(guard::check))
        .with_state(DemoUi { simulators, shutdown })
}

/// Serves the page until `shutdown` is cancelled; connections that are still open then have two seconds.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    simulators: DemoSimulators,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let app = router(simulators, shutdown.clone());
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_slow = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => result,
        () = too_slow => Ok(()),
    }
}

#[derive(Serialize)]
struct UiState {
    teleport: actions::TeleportView,
    slack: Value,
    /// Grows with every change on either side.
    version: u64,
}

async fn state(State(DemoUi { simulators, .. }): State<DemoUi>) -> Json<UiState> {
    // Read before the contents, so that a change in between is sent again rather than lost.
    let version = simulators.teleport.changes().borrow().wrapping_add(*simulators.slack.changes().borrow());
    Json(UiState { teleport: actions::view(&simulators), slack: simulators.slack.snapshot(), version })
}

async fn events(State(page): State<DemoUi>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let sources = (page.simulators.teleport.changes(), page.simulators.slack.changes(), page.shutdown);
    let changes = stream::unfold(sources, |(mut teleport, mut slack, shutdown)| async move {
        let changed = async {
            tokio::select! {
                result = teleport.changed() => result,
                result = slack.changed() => result,
            }
        };
        // A closed channel means that its simulator is gone, and the demo with it.
        shutdown.run_until_cancelled(changed).await?.ok()?;
        tokio::time::sleep(COALESCE).await;
        let version = teleport.borrow_and_update().wrapping_add(*slack.borrow_and_update());
        let event = Event::default().event("changed").data(json!({ "version": version }).to_string());
        Some((Ok(event), (teleport, slack, shutdown)))
    });
    Sse::new(changes).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

#[cfg(test)]
mod tests;
