//! Opens one connection: name lookup, TCP, TLS, the WebSocket's handshake, all within one deadline.
//!
//! The address holds a ticket that lets any caller in, so it is neither logged nor part of an error.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use client_base::forward_proxy::{DialError, Dialer, Target};
use client_base::tcp::Deadline;
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::error::ConnectionError;
use super::timings::SocketModeTimings;
use crate::broken::{describe, log_libraries_words};
use crate::error::is_of_unknown_authority;
use access_core::domain::secret::Secret;

/// The largest frame and message taken. Payloads with a large message inside have some tens of kilobytes.
pub(super) const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// Frames that wait to be written: acknowledgements, with an answer of some kilobytes at most.
const MAX_WRITE_BUFFER_BYTES: usize = 256 * 1024;

const READ_BUFFER_BYTES: usize = 16 * 1024;
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// A connection in either form.
pub(super) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> IoStream for S {}

/// Opens a connection at an address that Slack gave, an API at `base` being Slack.
pub(super) async fn open(
    url: &Secret,
    base: &Uri,
    tls: Arc<ClientConfig>,
    dialer: &Dialer,
    timings: &SocketModeTimings,
) -> Result<WebSocketStream<Box<dyn IoStream>>, ConnectionError> {
    let uri = validate_url(url.expose(), base).map_err(|reason| ConnectionError::InvalidUrl { reason })?;
    let limit = timings.connect;
    let deadline = Deadline::after(limit);
    match timeout_at(deadline.at, connect(uri, tls, dialer, deadline)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ConnectionError::Timeout { what: "opening the connection", limit }),
    }
}

async fn connect(
    uri: Uri,
    tls: Arc<ClientConfig>,
    dialer: &Dialer,
    deadline: Deadline,
) -> Result<WebSocketStream<Box<dyn IoStream>>, ConnectionError> {
    let target = Target::of(&uri).ok_or(ConnectionError::InvalidUrl { reason: "names no host" })?;
    let host = target.host().to_owned();
    let failed = |error: &(dyn Error + 'static)| {
        log_libraries_words(error);
        ConnectionError::Connect { host: host.clone(), cause: describe(error) }
    };
    let dialed = dialer.dial(&target, deadline).await.map_err(|error| match error {
        DialError::Direct(error) => failed(&error),
        DialError::Proxy(error) => ConnectionError::Proxy(error),
    })?;
    let stream: Box<dyn IoStream> = if uri.scheme_str() == Some("wss") {
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(&error))?;
        let connecting = TlsConnector::from(tls).connect(name, dialed).await;
        Box::new(connecting.map_err(|error| match is_of_unknown_authority(&error) {
            true => {
                log_libraries_words(&error);
                ConnectionError::UnknownAuthority { host: host.clone(), cause: describe(&error) }
            }
            false => failed(&error),
        })?)
    } else {
        Box::new(dialed)
    };
    let shaken = client_async_with_config(uri, stream, Some(websocket_config())).await;
    // Its text names the status at most, never the address nor what the server wrote.
    shaken.map(|(stream, _)| stream).map_err(|error| failed(&error))
}

/// How much a connection may hold.
pub(super) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
}

/// The address, if it is safe to connect to; else why not, as the end of a sentence.
fn validate_url(url: &str, base: &Uri) -> Result<Uri, &'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Err("is not a URL") };
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err("names no host");
    };
    if authority.as_str().contains('@') {
        return Err("holds a user or password");
    }
    match uri.scheme_str() {
        Some("wss") => Ok(uri),
        // For a simulator on the same machine. Anywhere else, an eavesdropper could answer for the daemon.
        Some("ws") if base.scheme_str() == Some("http") && is_loopback(base) && is_loopback(&uri) => Ok(uri),
        Some("ws") => Err("is not encrypted (ws://)"),
        _ => Err("is not that of a WebSocket (wss://)"),
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_validated(api_url: &str, url: &str, expected: Result<(), &str>) {
        assert_eq!(
            validate_url(url, &api_url.parse().unwrap()).map(|_| ()),
            expected,
            "{url} with {api_url}"
        );
    }

    #[test]
    fn only_encrypted_connections_leave_the_machine() {
        let slack = "https://slack.com/api/";
        let simulator = "http://127.0.0.1:9000/api/";
        let open = Err("is not encrypted (ws://)");
        assert_validated(slack, "wss://wss-primary.slack.com/link/?ticket=1&app_id=2", Ok(()));
        assert_validated(slack, "ws://wss-primary.slack.com/link/", open);
        assert_validated(slack, "ws://127.0.0.1:9000/link/", open);
        assert_validated(simulator, "ws://127.0.0.1:9001/link/", Ok(()));
        assert_validated(simulator, "ws://localhost:9001/link/", Ok(()));
        assert_validated("http://[::1]:9000/api/", "ws://[::1]:9001/link/", Ok(()));
        assert_validated(simulator, "ws://10.0.0.1/link/", open);
        assert_validated(simulator, "ws://127.0.0.1.evil.example/link/", open);
        assert_validated("http://sim.example/api/", "ws://127.0.0.1/link/", open);
        assert_validated("https://127.0.0.1/api/", "ws://127.0.0.1/link/", open);
        assert_validated(slack, "https://slack.com/", Err("is not that of a WebSocket (wss://)"));
        assert_validated(slack, "wss://me:hunter2@slack.com/", Err("holds a user or password"));
        assert_validated(slack, "/link", Err("names no host"));
        assert_validated(slack, "", Err("is not a URL"));
        assert_validated(slack, "wss://sl ack.com/", Err("is not a URL"));
    }
}
