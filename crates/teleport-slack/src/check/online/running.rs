//! Whether a teleport-slack runs at an address: its diagnostics listener says so on `/status.json`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::status::PROGRAM;

/// The daemon answers within seconds; another program may never do.
const LIMIT: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes. A thousand open requests take a tenth of it.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// A daemon that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// The path of its configuration.
    pub(super) configuration: String,
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
}

/// Asks what listens at an address of this machine. `None` if it is no teleport-slack, or does not say so.
pub(super) async fn ask(address: SocketAddr) -> Option<Running> {
    let body = timeout(LIMIT, get(reachable(address))).await.ok()?.ok()?;
    let status: Status = serde_json::from_slice(&body).ok()?;
    (status.daemon.program == PROGRAM).then(|| Running {
        configuration: status.configuration.path,
        callbacks: status.interactions.listen_addr.and_then(|addr| addr.parse().ok()),
    })
}

async fn get(address: SocketAddr) -> anyhow::Result<Bytes> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let request =
        Request::get("/status.json").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answered = async move {
        let answer = sender.send_request(request).await?;
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        body.map_err(anyhow::Error::from_boxed)
    };
    // The connection ends when nothing more is asked on it; how, its answer says.
    let (answer, _) = join(answered, connection).await;
    Ok(answer?.to_bytes())
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
    async fn only_what_says_so_is_a_running_daemon() {
        let mut tasks = JoinSet::new();
        let mut serve = async |body: &'static str| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let app = Router::new().route("/status.json", get(async move || body));
            tasks.spawn(axum::serve(listener, app).into_future());
            address
        };
        let daemon = r#"{"daemon": {"program": "teleport-slack"}, "interactions": {"listen_addr": "0.0.0.0:8081"},
            "configuration": {"path": "/etc/a.toml"}}"#;
        let found = ask(serve(daemon).await).await.unwrap();
        assert_eq!(
            (found.configuration.as_str(), found.callbacks),
            ("/etc/a.toml", "0.0.0.0:8081".parse().ok())
        );
        for other in ["ok\n", "{}", "{\"daemon\": {\"program\": \"vault\"}}", ""] {
            assert!(ask(serve(other).await).await.is_none(), "{other}");
        }
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(ask(silent.local_addr().unwrap()).await.is_none());
        let addresses =
            ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"].map(|addr| reachable(addr.parse().unwrap()).to_string());
        assert_eq!(addresses, ["127.0.0.1:1", "[::1]:1", "10.0.0.1:1"]);
    }
}
