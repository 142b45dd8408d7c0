//! TLS with the auth server, over whatever stream leads to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::{AttemptError, ConnectErrorKind};
use crate::route::HTTP2;
use crate::text::quote;
use crate::timings::CallTimings;

/// The name that every auth server's certificate carries, whatever the host is called.
const SERVER_NAME: &str = "teleport.cluster.local";
/// What a proxy's own host certificate, which carries that name too, has for an organization.
const PROXY_ROLE: &str = "Proxy";
/// What is read at once to hear a refusal of our certificate, in bytes. Session tickets and HTTP/2 settings are shorter.
const FIRST_BYTES: usize = 4096;

/// Opens TLS over a stream until `deadline`, and waits for the server's verdict on our certificate.
pub(super) async fn handshake<S>(
    stream: S,
    tls: &Arc<ClientConfig>,
    deadline: Instant,
    timings: &CallTimings,
) -> Result<TlsStream<S>, AttemptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(SERVER_NAME)
        .map_err(|error| AttemptError::new(ConnectErrorKind::Tls, error.to_string()))?;
    let handshake = async {
        let mut stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        await_certificate_alert(&mut stream, timings.certificate_alert).await?;
        Ok(stream)
    };
    let stream = timeout_at(deadline, handshake)
        .await
        .map_err(|_| {
            let detail = format!("TLS handshake: given up after {} s", timings.connect.as_secs());
            AttemptError::new(ConnectErrorKind::TimedOut, detail)
        })?
        .map_err(|error| tls_failure(&error))?;
    let session = stream.get_ref().1;
    if session.peer_certificates().and_then(<[_]>::first).is_some_and(is_of_a_proxy) {
        return Err(AttemptError::new(ConnectErrorKind::EndsAtProxy, "its certificate is that of a proxy"));
    }
    if session.alpn_protocol() != Some(HTTP2) {
        return Err(AttemptError::new(ConnectErrorKind::NotHttp2, "no common application protocol"));
    }
    Ok(stream)
}

fn is_of_a_proxy(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    certificate.subject().iter_organization().any(|role| role.as_str() == Ok(PROXY_ROLE))
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

/// Why TLS failed, for any side of it.
pub(super) fn tls_failure(error: &io::Error) -> AttemptError {
    AttemptError::new(tls_error_kind(error), quote(&tls_text(error)))
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

/// What happened in TLS, in our own words where the library's speak of itself; they go to the log at debug.
pub(super) fn tls_text(error: &io::Error) -> String {
    tracing::debug!("TLS to Teleport failed; the library says: {error}");
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it ended without a reason".to_owned(),
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "it takes none of the protocols that the daemon offers".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => format!("it sent the TLS alert {alert:?}"),
        Some(rustls::Error::InvalidMessage(_)) => "its answer is no TLS".to_owned(),
        _ => simplify_tls_text(&error.to_string()),
    }
}

/// Without the names that the TLS library's types have.
fn simplify_tls_text(text: &str) -> String {
    text.replace("Other(OtherError(CaUsedAsEndEntity))", "it is the certificate of a CA")
        .replace("Other(OtherError(", "")
        .replace("))", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_library_for_an_end_of_tls_are_put_in_ours() {
        let of = |error: rustls::Error| tls_text(&io::Error::new(io::ErrorKind::InvalidData, error));
        let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(of(alert), "it takes none of the protocols that the daemon offers");
        assert_eq!(
            of(rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
            "it sent the TLS alert UnknownCA"
        );
        let eof = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(tls_text(&eof), "it ended without a reason");
    }
}
