//! The connection to the auth server: address, TCP, mutual TLS, HTTP/2 keep-alive.
//!
//! We dial ourselves and hand tonic a ready stream, because tonic's own connector forgets why TLS failed.
//! [`ConnectErrorKind`] is the only place that distinguishes what is wrong. Calls are in `client.rs`.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::address::TeleportAddr;
use super::identity::Identity;
use super::route::{HTTP2, LONGEST_NAME};
use super::timings::CallTimings;

mod auth_server;
mod error;
mod tcp;

use self::error::AttemptError;
pub(super) use self::error::{ConnectError, ConnectErrorKind};

/// How the auth server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It answers at the address itself.
    Direct,
    /// A Teleport proxy answers there and passes our TLS on.
    Proxy,
}

/// Opens connections to one address as one identity.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    addr: TeleportAddr,
    tls: Arc<ClientConfig>,
    /// The cluster's name, by which a proxy knows it.
    cluster: Option<Arc<str>>,
    timings: CallTimings,
}

impl Dialer {
    pub(super) fn new(addr: &TeleportAddr, identity: &Identity, timings: CallTimings) -> Self {
        let (tls, cluster) = (identity.tls_config(), identity.route_name());
        Self { addr: addr.clone(), tls, cluster, timings }
    }

    pub(super) fn with_identity(&self, identity: &Identity) -> Self {
        Self { tls: identity.tls_config(), cluster: identity.route_name(), ..self.clone() }
    }

    pub(super) fn with_addr(&self, addr: &TeleportAddr) -> Self {
        Self { addr: addr.clone(), ..self.clone() }
    }

    pub(super) fn timings(&self) -> CallTimings {
        self.timings
    }

    /// A channel that connects when it is first used, and again after each loss.
    pub(super) fn open(&self) -> Channel {
        let dialer = self.clone();
        let connector = tower::service_fn(move |_| {
            let dialer = dialer.clone();
            async move { dialer.dial().await.map(TokioIo::new) }
        });
        endpoint(&self.timings).connect_with_connector_lazy(connector)
    }

    /// How the auth server is reached: only the auth server itself takes a connection without the entry for proxies.
    pub(super) async fn reach(&self) -> Option<Reach> {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![HTTP2.to_vec()];
        match self.dial_directly(&Arc::new(tls), Instant::now() + self.timings.connect).await {
            Ok(_) => Some(Reach::Direct),
            Err(failure) if failure.kind.is_answer_of_another() => Some(Reach::Proxy),
            Err(_) => None,
        }
    }

    async fn dial(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let deadline = Instant::now() + self.timings.connect;
        self.dial_directly(&self.tls, deadline).await.map_err(|failure| self.explain(failure))
    }

    async fn dial_directly(
        &self,
        tls: &Arc<ClientConfig>,
        deadline: Instant,
    ) -> Result<TlsStream<TcpStream>, AttemptError> {
        let tcp = tcp::open(&self.addr, deadline).await?;
        auth_server::handshake(tcp, tls, deadline, &self.timings).await
    }

    fn explain(&self, failure: AttemptError) -> ConnectError {
        let AttemptError { mut kind, detail } = failure;
        let is_too_long = self.cluster.as_ref().is_some_and(|name| name.len() > LONGEST_NAME);
        if is_too_long && kind.is_answer_of_another() {
            kind = ConnectErrorKind::NotRoutable;
        }
        ConnectError { addr: self.addr.to_string(), kind, detail }
    }
}

/// How a connection is used. The URI only names the scheme and the authority in the calls' headers. tonic is built
/// without TLS of its own; with it, it would want to encrypt our stream once more.
fn endpoint(timings: &CallTimings) -> Endpoint {
    Endpoint::from_static("https://teleport.cluster.local")
        .http2_keep_alive_interval(timings.keep_alive)
        .keep_alive_timeout(timings.keep_alive_timeout)
        .keep_alive_while_idle(true)
}

#[cfg(test)]
mod tests;
