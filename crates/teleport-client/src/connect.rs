//! The connection to the auth server: address, TCP, mutual TLS, HTTP/2 keep-alive.
//!
//! We dial ourselves and hand tonic a ready stream, because tonic's own connector forgets why TLS failed.
//! [`ConnectErrorKind`] is the only place that distinguishes what is wrong. Calls are in `client.rs`.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::address::TeleportAddr;
use super::kind::ErrorKind;
use super::text::quote;
use super::timings::CallTimings;

/// The name that every auth server's certificate carries, whatever the host is called.
const SERVER_NAME: &str = "teleport.cluster.local";

/// A failed attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot connect to the Teleport auth server {addr}: {kind} ({detail})")]
pub struct ConnectError {
    /// The address, as configured.
    pub addr: String,
    /// The cause, with what the operator can do about it.
    pub kind: ConnectErrorKind,
    /// The underlying error's words.
    pub detail: String,
}

impl ConnectError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self.kind {
            ConnectErrorKind::Resolve
            | ConnectErrorKind::Refused
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Unreachable
            | ConnectErrorKind::Closed
            | ConnectErrorKind::Tls => ErrorKind::Retry,
            ConnectErrorKind::ClientCertificateRejected => ErrorKind::Unauthorized,
            ConnectErrorKind::UnknownIssuer
            | ConnectErrorKind::ServerName
            | ConnectErrorKind::ServerCertificate
            | ConnectErrorKind::UnexpectedCertificate
            | ConnectErrorKind::NotTls
            | ConnectErrorKind::NotHttp2 => ErrorKind::Permanent,
        }
    }
}

/// What stands between us and the auth server, with the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnectErrorKind {
    /// DNS.
    #[error("its name does not resolve; check the address and this machine's DNS")]
    Resolve,
    /// Nothing listens.
    #[error("the connection was refused; is the auth server running, and is this its port (usually 3025)?")]
    Refused,
    /// Silence.
    #[error("no answer in time; check the address and the firewalls in between")]
    TimedOut,
    /// Any other failure of TCP.
    #[error("the network failed; check the address and the route to it")]
    Unreachable,
    /// The server's certificate is from a CA that is not ours.
    #[error(
        "its certificate is not from a CA of our identity; check that this is the auth server (a proxy's web port \
         shows another certificate) and of the right cluster, and sign the identity again if the cluster's host CA \
         was rotated"
    )]
    UnknownIssuer,
    /// The server's certificate is for another name.
    #[error(
        "its certificate is not for teleport.cluster.local, so this is not a Teleport auth server; check host and \
         port"
    )]
    ServerName,
    /// The server's certificate is not valid at this time.
    #[error(
        "its certificate has expired or is not valid yet; check both machines' clocks and the auth server's certificate"
    )]
    ServerCertificate,
    /// The server's certificate is of a form that no auth server has.
    #[error(
        "its certificate is none that a Teleport auth server has; check host and port, and whether a proxy or a load \
         balancer in between opens TLS: it must pass through unopened"
    )]
    UnexpectedCertificate,
    /// The server does not want our certificate.
    #[error(
        "it refuses the daemon's certificate, which is expired, revoked or from another cluster; sign a new one with \
         `tctl auth sign`, or check that tbot renews it"
    )]
    ClientCertificateRejected,
    /// The other side does not speak TLS.
    #[error("it does not speak TLS; check host and port (the auth server's is usually 3025)")]
    NotTls,
    /// The other side speaks TLS but not HTTP/2.
    #[error("it does not offer HTTP/2, so it is not an auth server's API; check the port (usually 3025)")]
    NotHttp2,
    /// The other side hung up.
    #[error(
        "it closed the connection during the TLS handshake; check the port and any load balancer in between"
    )]
    Closed,
    /// Any other failure of TLS.
    #[error("the TLS handshake failed")]
    Tls,
}

impl ConnectErrorKind {
    /// Whether something else than an auth server answers, so that the operator must fix the address, not the identity.
    pub fn is_wrong_address(self) -> bool {
        matches!(self, Self::ServerName | Self::UnexpectedCertificate | Self::NotTls | Self::NotHttp2)
    }
}

/// A channel that connects when it is first used, and again after each loss.
pub(super) fn open(addr: &TeleportAddr, tls: Arc<ClientConfig>, timings: CallTimings) -> Channel {
    let addr = addr.clone();
    let connector = tower::service_fn(move |_| {
        let (addr, tls) = (addr.clone(), Arc::clone(&tls));
        async move { dial(&addr, tls, timings).await.map(TokioIo::new) }
    });
    endpoint(&timings).connect_with_connector_lazy(connector)
}

/// How a connection is used. The URI only names the scheme and the authority in the calls' headers. tonic is built
/// without TLS of its own; with it, it would want to encrypt our stream once more.
fn endpoint(timings: &CallTimings) -> Endpoint {
    Endpoint::from_static("https://teleport.cluster.local")
        .http2_keep_alive_interval(timings.keep_alive)
        .keep_alive_timeout(timings.keep_alive_timeout)
        .keep_alive_while_idle(true)
}

async fn dial(
    addr: &TeleportAddr,
    tls: Arc<ClientConfig>,
    timings: CallTimings,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let limit = timings.connect;
    let deadline = Instant::now() + limit;
    let fail = |problem, detail: String| ConnectError { addr: addr.to_string(), kind: problem, detail };
    let late = |step: &str| {
        fail(ConnectErrorKind::TimedOut, format!("{step}: given up after {} s", limit.as_secs()))
    };

    let found = timeout_at(deadline, tokio::net::lookup_host((addr.host(), addr.port())))
        .await
        .map_err(|_| late("name resolution"))?
        .map_err(|error| fail(ConnectErrorKind::Resolve, quote(&error.to_string())))?;
    let tcp = connect_any(found.collect(), deadline)
        .await
        .map_err(|error| fail(tcp_error_kind(&error), quote(&error.to_string())))?;
    // Small requests must not wait for more; failing to say so costs only time.
    let _ = tcp.set_nodelay(true);

    let name =
        ServerName::try_from(SERVER_NAME).map_err(|error| fail(ConnectErrorKind::Tls, error.to_string()))?;
    let handshake = async {
        let mut stream = TlsConnector::from(tls).connect(name, tcp).await?;
        await_certificate_alert(&mut stream, timings.certificate_alert).await?;
        Ok(stream)
    };
    let stream = timeout_at(deadline, handshake).await.map_err(|_| late("TLS handshake"))?.map_err(
        |error: io::Error| fail(tls_error_kind(&error), quote(&simplify_tls_text(&error.to_string()))),
    )?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(fail(ConnectErrorKind::NotHttp2, "no common application protocol".to_owned()));
    }
    Ok(stream)
}

/// Tries the addresses in turn; each gets its share of the time left, so that one dead address (often an
/// IPv6 one) does not use it all up.
async fn connect_any(addrs: Vec<SocketAddr>, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    let mut left = u32::try_from(addrs.len()).unwrap_or(u32::MAX);
    for addr in addrs {
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout(share, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{addr} did not answer")),
        }
    }
    Err(last)
}

/// Waits briefly for the server's first bytes, and with them for its refusal of our certificate if there is
/// one. In TLS 1.3 the refusal comes after our side of the handshake is over; were we to send a request
/// at once, the server's reset of the connection could overtake the alert that says why.
async fn await_certificate_alert(stream: &mut TlsStream<TcpStream>, limit: Duration) -> io::Result<()> {
    let (tcp, session) = stream.get_mut();
    if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    match timeout(limit, tcp.readable()).await {
        Ok(ready) => ready?,
        // A server that stays silent has not refused us.
        Err(_) => return Ok(()),
    }
    match session.read_tls(&mut NonBlockingReader(tcp)) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    }
    session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(())
}

/// Reads what has arrived and does not wait.
struct NonBlockingReader<'a>(&'a TcpStream);

impl Read for NonBlockingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

fn tcp_error_kind(error: &io::Error) -> ConnectErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectErrorKind::Refused,
        io::ErrorKind::TimedOut => ConnectErrorKind::TimedOut,
        io::ErrorKind::NotFound => ConnectErrorKind::Resolve,
        _ => ConnectErrorKind::Unreachable,
    }
}

fn tls_error_kind(error: &io::Error) -> ConnectErrorKind {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        // Not rustls's own: the stream ended or broke.
        return ConnectErrorKind::Closed;
    };
    match tls {
        // A rotated CA keeps its name, so the old one is found and its signature is what fails.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => ConnectErrorKind::UnknownIssuer,
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => ConnectErrorKind::ServerName,
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => ConnectErrorKind::ServerCertificate,
        rustls::Error::InvalidCertificate(_) => ConnectErrorKind::UnexpectedCertificate,
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => ConnectErrorKind::ClientCertificateRejected,
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | rustls::Error::NoApplicationProtocol => ConnectErrorKind::NotHttp2,
        rustls::Error::InvalidMessage(_) => ConnectErrorKind::NotTls,
        _ => ConnectErrorKind::Tls,
    }
}

/// Without the names that the TLS library's types have.
fn simplify_tls_text(text: &str) -> String {
    text.replace("Other(OtherError(CaUsedAsEndEntity))", "it is the certificate of a CA")
        .replace("Other(OtherError(", "")
        .replace("))", "")
}

#[cfg(test)]
mod tests;
