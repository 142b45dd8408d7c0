//! The opening handshake of a socket: a GET with a ticket becomes a WebSocket.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::super::Shared;
use super::super::delivery::{self, plain};
use super::super::faults::Fault;
use super::super::server::{ConnectionHandle, ServerTasks};
use super::super::state::Moment;
use super::connection;

/// What faults call the opening of a socket.
pub(in crate::slack) const LINK: &str = "link";

/// Answers the GET and lets the connection be a socket from then on.
pub(in crate::slack) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(line): Extension<ConnectionHandle>,
    Extension(life): Extension<ServerTasks>,
    mut request: Request,
) -> Response {
    if let Some(strike) = shared.faults.take(LINK, &[], None) {
        match strike.fault {
            Fault::Delay(pause) => tokio::time::sleep(pause).await,
            _ => return delivery::with_fault(strike, None, &line).await,
        }
    }
    let Some(accept) = accept_key(request.headers()) else {
        return plain(StatusCode::BAD_REQUEST, "a WebSocket handshake is expected");
    };
    let query = request.uri().query().unwrap_or_default();
    let ticket = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket");
    let ticket = ticket.map(|(_, ticket)| ticket.into_owned()).unwrap_or_default();
    let now = Moment::now();
    let enabled = {
        let mut state = shared.state();
        if !state.tickets.redeem(&ticket, now.instant) {
            return plain(StatusCode::FORBIDDEN, "the ticket is unknown, used or too old");
        }
        state.app.socket_mode
    };
    let upgrading = hyper::upgrade::on(&mut request);
    life.tasks.spawn(connection::run(upgrading, shared, line, life.stop.clone(), enabled));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// The answer to the client's key, if this is a handshake.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let says = |name: HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !says(CONNECTION, "upgrade") || !says(UPGRADE, "websocket") || !says(SEC_WEBSOCKET_VERSION, "13") {
        return None;
    }
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}
