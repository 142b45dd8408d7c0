//! The connection to the auth server: address, TCP, mutual TLS, HTTP/2 keep-alive.
//!
//! We dial ourselves and hand tonic a ready stream, because tonic's own connector forgets why TLS failed.
//! [`ConnectErrorKind`] is the only place that distinguishes what is wrong. Calls are in `client.rs`.

use std::sync::Arc;

use client_base::forward_proxy::{self, Target};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::address::Destination;
use super::identity::Identity;
use super::route::{HTTP2, LONGEST_NAME};
use super::text::quote;
use super::timings::CallTimings;

mod address_state;
mod auth_server;
mod error;

mod stream;
mod tcp;
mod upgrade;
mod web;

use self::address_state::{AddressState, Way};
use self::error::{AttemptError, UpgradeError};
pub(super) use self::error::{ConnectError, ConnectErrorKind};
use self::stream::IoStream;
use self::upgrade::Form;

/// A connection with the auth server.
type AuthStream = TlsStream<Box<dyn IoStream>>;

/// How the auth server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It answers at the address itself.
    Direct,
    /// A Teleport proxy answers there and passes our TLS on.
    Proxy,
    /// A Teleport proxy is there, and our TLS with the auth server runs inside an upgraded HTTPS connection with it.
    Upgraded,
}

/// Opens connections to one address as one identity.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    destination: Destination,
    tls: Arc<ClientConfig>,
    /// The cluster's name, by which a proxy knows it.
    cluster: Option<Arc<str>>,
    timings: CallTimings,
    state: Arc<AddressState>,
}

impl Dialer {
    pub(super) fn new(
        destination: impl Into<Destination>,
        identity: &Identity,
        timings: CallTimings,
    ) -> Self {
        let (tls, cluster) = (identity.tls_config(), identity.route_name());
        Self { destination: destination.into(), tls, cluster, timings, state: Arc::default() }
    }

    pub(super) fn with_identity(&self, identity: &Identity) -> Self {
        Self { tls: identity.tls_config(), cluster: identity.route_name(), ..self.clone() }
    }

    pub(super) fn with_destination(&self, destination: &Destination) -> Self {
        if *destination == self.destination {
            return self.clone();
        }
        let has_same_roots = destination.outbound.extra_roots == self.destination.outbound.extra_roots;
        let state = if has_same_roots { self.state.of_another_address() } else { AddressState::default() };
        Self { destination: destination.clone(), state: Arc::new(state), ..self.clone() }
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
        if let Some(Way::Upgraded(_)) = self.state.way() {
            return Some(Reach::Upgraded);
        }
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![HTTP2.to_vec()];
        match self.dial_straight(&Arc::new(tls), self.deadline()).await {
            Ok(_) => Some(Reach::Direct),
            Err(error) if error.kind.is_answer_of_another() => Some(Reach::Proxy),
            Err(_) => None,
        }
    }

    /// The forward proxy in between, if there is one, with the setting that names it.
    pub(super) fn forward_proxy(&self) -> Option<String> {
        let Destination { addr, outbound } = &self.destination;
        match outbound.proxies.way(&Target::new(addr.host(), addr.port())) {
            forward_proxy::Way::Through(proxy) => Some(format!("{proxy} ({})", proxy.named_by())),
            forward_proxy::Way::Direct | forward_proxy::Way::Exempt(_) => None,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timings.connect
    }

    /// How a web port is checked, and a forward proxy that speaks TLS itself.
    fn web_tls(&self) -> Result<Arc<ClientConfig>, UpgradeError> {
        self.state.web_tls(&self.destination.outbound.extra_roots)
    }

    /// The way of every TCP stream.
    fn tcp_way(&self) -> Result<tcp::TcpWay<'_>, UpgradeError> {
        let Destination { addr, outbound } = &self.destination;
        let target = Target::new(addr.host(), addr.port());
        let forward = match outbound.proxies.way(&target) {
            forward_proxy::Way::Direct | forward_proxy::Way::Exempt(_) => None,
            forward_proxy::Way::Through(proxy) => {
                let (proxies, resolver) = (outbound.proxies.clone(), outbound.resolver.clone());
                let dialer = forward_proxy::Dialer::new(proxies, resolver, self.web_tls()?);
                Some(tcp::Forward { dialer, target, named_by: proxy.named_by() })
            }
        };
        Ok(tcp::TcpWay { addr, resolver: &outbound.resolver, limit: self.timings.connect, forward })
    }

    /// The way that led there last comes first. All of it together takes no longer than one attempt may.
    async fn dial(&self) -> Result<AuthStream, ConnectError> {
        let deadline = self.deadline();
        let known = self.state.way();
        if let Some(Way::Upgraded(form)) = known {
            match self.dial_upgraded(Some(form), deadline).await {
                // What stood before the proxy may be gone.
                Err(Upgraded::NoTunnel(_)) => {}
                ended => return ended.map_err(|error| self.explain_upgraded(error)),
            }
        }
        let error = match self.dial_straight(&self.tls, deadline).await {
            Ok(stream) => {
                if let Some(Way::Upgraded(_)) = self.state.remember(Way::Straight) {
                    tracing::info!(
                        "The auth server is reached at {} without a connection upgrade again",
                        self.destination.addr
                    );
                }
                return Ok(stream);
            }
            Err(error) => error,
        };
        // Where the straight way is known to work, a connection that just ends is the sign of an auth server that is down.
        let is_known = known == Some(Way::Straight) && error.kind == ConnectErrorKind::Closed;
        let has_route = self.tls.alpn_protocols.len() > 1;
        if !has_route || !error.kind.may_need_upgrade() || is_known {
            let error = if is_known { self.explain_end(error, deadline).await } else { error };
            return Err(self.explain(error, None));
        }
        match self.dial_upgraded(None, deadline).await {
            Ok(stream) => Ok(stream),
            Err(Upgraded::NoTunnel(refusal)) => Err(self.explain(error, Some(refusal))),
            Err(failed) => Err(self.explain_upgraded(failed)),
        }
    }

    async fn dial_straight(
        &self,
        tls: &Arc<ClientConfig>,
        deadline: Instant,
    ) -> Result<AuthStream, AttemptError> {
        let tcp = self.tcp_way()?.open(deadline).await?;
        auth_server::handshake(tcp, tls, deadline, &self.timings).await
    }

    async fn dial_upgraded(&self, known: Option<Form>, deadline: Instant) -> Result<AuthStream, Upgraded> {
        let way = self.tcp_way().map_err(Upgraded::NoTunnel)?;
        let web_tls = self.web_tls().map_err(Upgraded::NoTunnel)?;
        let (form, tunnel) =
            upgrade::open(&way, &web_tls, known, deadline).await.map_err(Upgraded::NoTunnel)?;
        match auth_server::handshake(tunnel, &self.tls, deadline, &self.timings).await {
            Ok(stream) => {
                let way = Way::Upgraded(form);
                if self.state.remember(way) != Some(way) {
                    let form = if form == Form::WebSocket { "WebSocket" } else { "the form before 15.1" };
                    tracing::info!(
                        "The auth server is reached through the proxy at {} by a connection upgrade ({form}), because \
                         something before the proxy opens TLS or looks into it",
                        self.destination.addr
                    );
                }
                Ok(stream)
            }
            Err(error) => Err(Upgraded::InTunnel(match error.kind {
                ConnectErrorKind::Closed => self.explain_end(error, deadline).await,
                ConnectErrorKind::TimedOut => AttemptError { kind: ConnectErrorKind::SilentProxy, ..error },
                // A proxy leads to the auth server of the cluster asked for, or nowhere.
                ConnectErrorKind::UnknownIssuer => {
                    AttemptError { kind: ConnectErrorKind::HostCaRotated, ..error }
                }
                _ => error,
            })),
        }
    }

    /// Why a proxy just ends the handshake: it says which cluster it is of.
    async fn explain_end(&self, error: AttemptError, deadline: Instant) -> AttemptError {
        let (Ok(way), Ok(web_tls)) = (self.tcp_way(), self.web_tls()) else { return error };
        match (upgrade::find_cluster(&way, &web_tls, deadline).await, &self.cluster) {
            (Some(found), Some(ours)) if found == **ours => {
                let detail = format!("the proxy is of this cluster, {:?}", quote(&found));
                AttemptError::new(ConnectErrorKind::AuthServerDown, detail)
            }
            (Some(found), Some(ours)) => {
                let detail =
                    format!("the proxy is of {:?}, the identity of {:?}", quote(&found), quote(ours));
                AttemptError::new(ConnectErrorKind::OtherCluster, detail)
            }
            _ => error,
        }
    }

    fn explain_upgraded(&self, error: Upgraded) -> ConnectError {
        match error {
            Upgraded::InTunnel(error) => self.explain(error, None),
            Upgraded::NoTunnel(refusal) => {
                self.explain(AttemptError::new(ConnectErrorKind::Closed, refusal.to_string()), None)
            }
        }
    }

    /// `refusal`: why there was no upgrade either.
    fn explain(&self, error: AttemptError, refusal: Option<UpgradeError>) -> ConnectError {
        let AttemptError { mut kind, mut detail } = error;
        let is_too_long = self.cluster.as_ref().is_some_and(|name| name.len() > LONGEST_NAME);
        if is_too_long && kind.is_answer_of_another() {
            kind = ConnectErrorKind::NotRoutable;
        }
        let mut upgrade = None;
        match refusal {
            None => {}
            // These say more than that TLS did not get through.
            Some(UpgradeError::OtherHost) => kind = ConnectErrorKind::OtherHost,
            Some(UpgradeError::HeadersDropped) => kind = ConnectErrorKind::HeadersDropped,
            Some(UpgradeError::Gateway(status)) => {
                (kind, detail) = (ConnectErrorKind::ProxyDown, format!("HTTP {status}"));
            }
            Some(other) => upgrade = Some(other.to_string()),
        }
        ConnectError { addr: self.destination.addr.to_string(), kind, detail, upgrade }
    }
}

/// Why the second way did not lead to the auth server.
enum Upgraded {
    /// The connection was not upgraded.
    NoTunnel(UpgradeError),
    /// It was, and then TLS with the auth server failed.
    InTunnel(AttemptError),
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
