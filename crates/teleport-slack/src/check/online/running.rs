//! What listens at an address: the diagnostics listener of a teleport-slack says so on `/status.json`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http::Request;
use http::StatusCode;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::status::REFUSED;
use crate::status::PROGRAM;

/// The daemon answers within seconds; another program may never do.
const LIMIT: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes. A thousand open requests take a tenth of it.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Characters of a path that are shown: what listens there may be anything.
const MAX_PATH: usize = 200;

/// What listens at an address.
#[derive(Debug)]
pub(super) enum Listener {
    /// A teleport-slack.
    Daemon(Running),
    /// A teleport-slack that does not show its state to this caller.
    Closed,
    /// It answers what no teleport-slack does.
    Other,
    /// Nothing, or no answer in time: a program that stands still, or speaks only when it is spoken to otherwise.
    Unresponsive,
}

/// A daemon that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// The path of its configuration, as that daemon was given it.
    pub(super) path: String,
    /// The file that is there, as [`crate::config::FileId`] shows it; `None` from a daemon that does not see one.
    pub(super) file_id: Option<String>,
    /// Where it listens for Slack's callbacks.
    pub(super) callbacks: Option<SocketAddr>,
}

/// The parts of `/status.json` that matter here.
#[derive(Deserialize)]
struct Status {
    daemon: Daemon,
    interactions: Interactions,
    configuration: Configuration,
}

#[derive(Deserialize)]
struct Daemon {
    program: String,
}

#[derive(Deserialize)]
struct Interactions {
    listen_addr: Option<String>,
}

#[derive(Deserialize)]
struct Configuration {
    path: String,
    #[serde(default)]
    file_id: Option<String>,
}

/// Asks what listens at an address of this machine.
pub(super) async fn ask(address: SocketAddr) -> Listener {
    match timeout(LIMIT, get(reachable(address))).await {
        Ok(Ok((status, body))) => what_answered(status, &body),
        Ok(Err(error)) if speaks_no_http(&error) => Listener::Other,
        _ => Listener::Unresponsive,
    }
}

fn what_answered(status: StatusCode, body: &[u8]) -> Listener {
    let is_refusal = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if is_refusal && std::str::from_utf8(body).is_ok_and(|words| words.contains(REFUSED)) {
        return Listener::Closed;
    }
    let daemon = serde_json::from_slice(body).ok().filter(|status: &Status| status.daemon.program == PROGRAM);
    daemon.map_or(Listener::Other, |status| {
        Listener::Daemon(Running {
            path: status.configuration.path.chars().take(MAX_PATH).collect(),
            file_id: status.configuration.file_id,
            callbacks: status.interactions.listen_addr.and_then(|addr| addr.parse().ok()),
        })
    })
}

/// A connection that was only closed shows nothing: a daemon with all of its connections taken does that.
fn speaks_no_http(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse)
}

async fn get(address: SocketAddr) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let request =
        Request::get("/status.json").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answered = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
    };
    // The connection ends when nothing more is asked on it; how, its answer says.
    let (answer, _) = join(answered, connection).await;
    answer
}

/// Where a listener at this address is reached: one for all addresses, at this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn what_listens_there_is_known_by_its_answer() {
        let mut tasks = JoinSet::new();
        let mut serve = async |status: StatusCode, body: &'static str| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let app = Router::new().route("/status.json", get(async move || (status, body)));
            tasks.spawn(axum::serve(listener, app).into_future());
            address
        };
        let daemon = r#"{"daemon": {"program": "teleport-slack"}, "interactions": {"listen_addr": "0.0.0.0:8081"},
            "configuration": {"path": "/etc/a.toml", "file_id": "1:2"}}"#;
        let Listener::Daemon(found) = ask(serve(StatusCode::OK, daemon).await).await else { panic!() };
        assert_eq!(
            (found.path.as_str(), found.file_id.as_deref(), found.callbacks),
            ("/etc/a.toml", Some("1:2"), "0.0.0.0:8081".parse().ok())
        );
        for (status, other) in [
            (200, "ok\n"),
            (200, "{}"),
            (200, "{\"daemon\": {\"program\": \"vault\"}}"),
            (404, ""),
            (403, "Forbidden"),
        ] {
            let found = ask(serve(StatusCode::from_u16(status).unwrap(), other).await).await;
            assert!(matches!(found, Listener::Other), "{other}: {found:?}");
        }
        let addresses =
            ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"].map(|addr| reachable(addr.parse().unwrap()).to_string());
        assert_eq!(addresses, ["127.0.0.1:1", "[::1]:1", "10.0.0.1:1"]);
    }

    #[tokio::test]
    async fn who_says_nothing_may_be_a_daemon_and_who_speaks_otherwise_is_none() {
        use tokio::io::AsyncWriteExt;
        let mut tasks = JoinSet::new();
        let mut says = async |words: &'static [u8]| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tasks.spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(words).await.unwrap();
            });
            address
        };
        let greeting = ask(says(b"SSH-2.0-OpenSSH_9.2\r\n").await).await;
        assert!(matches!(greeting, Listener::Other), "{greeting:?}");
        let closed = ask(says(b"").await).await;
        assert!(matches!(closed, Listener::Unresponsive), "{closed:?}");
        let unresponsive = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let unresponsive = ask(unresponsive.local_addr().unwrap()).await;
        assert!(matches!(unresponsive, Listener::Unresponsive), "{unresponsive:?}");
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_its_state_to_itself_is_recognized() {
        use crate::http::status::Refusal;
        use axum::response::IntoResponse;
        for refusal in [Refusal::Token, Refusal::Network, Refusal::Name] {
            let answer = refusal.into_response();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(matches!(what_answered(status, &body), Listener::Closed), "{refusal:?}: {body:?}");
        }
    }
}
