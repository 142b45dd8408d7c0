//! Simulates a Teleport proxy before the simulated auth server: it routes by ALPN, and takes HTTPS connections that want to be
//! upgraded. It does what a real 15.1.9 was seen to do (`vectors/teleport-proxy-15.1.9`), and closes where that one closes.

mod routing;
mod tunnel;
mod web;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;

use super::TeleportSim;
use super::server::plain_tls;
use super::web_certs::{WebAuthority, self_signed};
use crate::reserved_addr::ReservedAddr;
use crate::tasks::Tasks;

pub(super) use routing::first_message;

/// Any stream of bytes in both directions.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How the proxy is set up.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The address of this machine to listen at, on free ports.
    pub address: IpAddr,
    /// The host of its `public_addr`; without one, any `Host` is taken.
    pub public_host: Option<String>,
    /// Which certificate browsers see.
    pub certificate: WebCertificate,
    /// It does TLS itself. Without, something before it must.
    pub does_tls: bool,
    /// `proxy_listener_mode: separate`: SSH and reverse tunnels have ports of their own.
    pub has_separate_ports: bool,
    /// A release before 15.1, which knows the older form of the connection upgrade only.
    pub knows_old_form_only: bool,
    /// How often it pings in an upgraded connection; 30 s in reality.
    pub ping_every: Duration,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            public_host: None,
            certificate: WebCertificate::SelfSigned,
            does_tls: true,
            has_separate_ports: false,
            knows_old_form_only: false,
            ping_every: Duration::from_secs(30),
        }
    }
}

/// The certificate of the proxy's web port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebCertificate {
    /// The default: it is its own authority.
    SelfSigned,
    /// From an authority that [`ProxySim::authority_pem`] names.
    Bought,
}

/// What a client was led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// The auth server.
    ToAuth,
    /// Nothing: the connection was closed without a word.
    Nowhere,
    /// The proxy's web server.
    ToWeb,
    /// The proxy itself, with its own host certificate.
    ToHost,
    /// A tunnel through a WebSocket.
    ThroughWebSocket,
    /// A tunnel in the older form.
    ThroughOldForm,
    /// Elsewhere, because the `Host` is none of the proxy's names.
    Away,
    /// A ping in a tunnel was answered.
    ToAnswer,
}

/// Where a client meets the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At its port.
    Outside,
    /// In an upgraded connection.
    Tunnel,
}

/// Takes a connection to its end.
type Route = fn(Arc<Front>, Box<dyn Io>, Place) -> BoxFuture<'static, ()>;

/// What all connections of a proxy share.
pub(super) struct Front {
    /// What is in a tunnel is routed as at the port.
    pub(super) route: Route,
    pub(super) options: ProxyOptions,
    pub(super) auth: SocketAddr,
    pub(super) web: SocketAddr,
    pub(super) cluster: String,
    pub(super) release: String,
    pub(super) web_tls: TlsAcceptor,
    pub(super) host_tls: TlsAcceptor,
    pub(super) ssh_tls: TlsAcceptor,
    pub(super) led: Mutex<Vec<Led>>,
    pub(super) tasks: Tasks,
}

impl Front {
    pub(super) fn note(&self, led: Led) {
        self.led.lock().push(led);
    }
}

/// A running proxy. Dropping it closes its ports and connections.
pub struct ProxySim {
    front: Arc<Front>,
    web: ReservedAddr,
    ssh: Option<SocketAddr>,
    authority: WebAuthority,
    _stop: DropGuard,
}

impl std::fmt::Debug for ProxySim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxySim").field("web", &self.web_addr()).finish_non_exhaustive()
    }
}

impl ProxySim {
    /// Starts a proxy of this cluster on free ports.
    ///
    /// # Errors
    /// When no port can be had, or no keys can be made.
    pub async fn start(cluster: &TeleportSim, options: ProxyOptions) -> io::Result<Self> {
        let web = ReservedAddr::new((options.address, 0).into())?;
        let authority = WebAuthority::new().map_err(io::Error::other)?;
        let names = [options.public_host.as_deref().unwrap_or("localhost"), "localhost", "127.0.0.1", "::1"];
        let (certificate, key) = match options.certificate {
            WebCertificate::SelfSigned => self_signed(&names).map_err(io::Error::other)?,
            WebCertificate::Bought => authority.sign(&names).map_err(io::Error::other)?,
        };
        let web_tls = plain_tls(certificate, key, &[b"h2", b"http/1.1"])?;
        let (certificate, key) = cluster.authorities().proxy().map_err(io::Error::other)?;
        let ssh_tls = plain_tls(certificate.clone(), key.clone_key(), &[])?;
        let host_tls = plain_tls(certificate, key, &[b"h2"])?;
        let tasks = Tasks::default();
        let _stop = tasks.cancel_on_drop();
        let listener = web.listen()?;
        let has_ssh_port = options.has_separate_ports;
        let front = Arc::new(Front {
            route: |front, stream, place| Box::pin(routing::route(front, stream, place)),
            auth: cluster.addr(),
            web: web.addr(),
            cluster: cluster.fixture().cluster,
            release: cluster.release(),
            web_tls,
            host_tls,
            ssh_tls,
            led: Mutex::default(),
            tasks: tasks.clone(),
            options,
        });
        tasks.spawn(accept(listener, Arc::clone(&front), Entrance::Web));
        let mut ssh = None;
        if has_ssh_port {
            let listener = TcpListener::bind((front.options.address, 0)).await?;
            ssh = Some(listener.local_addr()?);
            tasks.spawn(accept(listener, Arc::clone(&front), Entrance::Ssh));
        }
        Ok(Self { front, web, ssh, authority, _stop })
    }

    /// Where browsers connect; with one port, everything does.
    pub fn web_addr(&self) -> SocketAddr {
        self.web.addr()
    }

    /// Where SSH clients connect, if it has separate ports.
    pub fn ssh_addr(&self) -> Option<SocketAddr> {
        self.ssh
    }

    /// The authority that bought certificates are of, in PEM.
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// A certificate of that authority, for what stands before the proxy: certificate and key in PEM.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn bought(&self, names: &[&str]) -> io::Result<(String, String)> {
        self.authority.sign_pem(names).map_err(io::Error::other)
    }

    /// Where its clients were led, in order.
    pub fn led(&self) -> Vec<Led> {
        self.front.led.lock().clone()
    }

    /// How many clients were led there.
    pub fn count(&self, led: Led) -> usize {
        self.front.led.lock().iter().filter(|one| **one == led).count()
    }
}

#[derive(Clone, Copy)]
enum Entrance {
    Web,
    Ssh,
}

async fn accept(listener: TcpListener, front: Arc<Front>, entrance: Entrance) {
    loop {
        // A failed accept concerns one connection (it was closed already, or descriptors ran out for a moment).
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let shared = Arc::clone(&front);
        front.tasks.spawn(async move {
            match entrance {
                Entrance::Web if !shared.options.does_tls => {
                    web::serve(shared, Box::new(stream), false).await
                }
                Entrance::Web => routing::route(shared, Box::new(stream), Place::Outside).await,
                Entrance::Ssh => routing::ssh_port(&shared, stream).await,
            }
        });
    }
}
