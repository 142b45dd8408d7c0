//! The connection to the auth server: address, TCP, mutual TLS, HTTP/2 keep-alive.
//!
//! We dial ourselves and hand tonic a ready stream, because tonic's own connector forgets why TLS failed.
//! [`ConnectErrorKind`] is the only place that distinguishes what is wrong. Calls are in `client.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::address::TeleportAddr;
use super::text::quote;
use super::timings::CallTimings;

mod error;
mod tcp;

pub(super) use self::error::{ConnectError, ConnectErrorKind};

/// The name that every auth server's certificate carries, whatever the host is called.
const SERVER_NAME: &str = "teleport.cluster.local";

/// What is read at once to hear a refusal of our certificate, in bytes. Session tickets and HTTP/2 settings are shorter.
const FIRST_BYTES: usize = 4096;

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

    let tcp = tcp::open(addr, deadline).await.map_err(|error| fail(error.kind, error.detail))?;
    let name =
        ServerName::try_from(SERVER_NAME).map_err(|error| fail(ConnectErrorKind::Tls, error.to_string()))?;
    let handshake = async {
        let mut stream = TlsConnector::from(tls).connect(name, tcp).await?;
        await_certificate_alert(&mut stream, timings.certificate_alert).await?;
        Ok(stream)
    };
    let stream = timeout_at(deadline, handshake)
        .await
        .map_err(|_| {
            fail(ConnectErrorKind::TimedOut, format!("TLS handshake: given up after {} s", limit.as_secs()))
        })?
        .map_err(|error: io::Error| {
            fail(tls_error_kind(&error), quote(&simplify_tls_text(&error.to_string())))
        })?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(fail(ConnectErrorKind::NotHttp2, "no common application protocol".to_owned()));
    }
    Ok(stream)
}

/// Waits briefly for the server's first bytes, and with them for its refusal of our certificate if there is
/// one. In TLS 1.3 the refusal comes after our side of the handshake is over; were we to send a request
/// at once, the server's reset of the connection could overtake the alert that says why.
async fn await_certificate_alert<S>(stream: &mut TlsStream<S>, limit: Duration) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (inner, session) = stream.get_mut();
    if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    let mut bytes = [0; FIRST_BYTES];
    let read = match timeout(limit, inner.read(&mut bytes)).await {
        Ok(read) => read?,
        // A server that stays silent has not refused us.
        Err(_) => return Ok(()),
    };
    let mut bytes = bytes.get(..read).unwrap_or_default();
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while !bytes.is_empty() {
        session.read_tls(&mut bytes)?;
        session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
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
