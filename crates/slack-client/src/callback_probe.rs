//! Calls the address at which Slack would call the program, in Slack's place: whether the right listener answers there.
//!
//! Two calls that change nothing. One has no signature, and is refused (401). The other is signed as Slack signs, and of
//! a type of interaction that Slack does not have, which a listener acknowledges (200) without a further look. What it
//! shows holds for the machine that calls; whether Slack's servers reach the address, it does not show.

use std::error::Error;
use std::sync::Arc;
use std::{fmt, io};

use access_core::domain::error_chain::chain;
use access_core::domain::secret::Secret;
use access_core::interaction::signature::sign;
use bytes::Bytes;
use client_base::forward_proxy::TunnelError;
use client_base::outbound::Outbound;
use client_base::tcp::TcpError;
use client_base::tls;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::error::{ErrorKind, find_cause};
use super::redact::Redactor;
use super::timings::CallTimings;
use super::transport::Transport;
use super::wire::Fields;

/// The type of interaction that the signed call says it is.
const PROBE_TYPE: &str = "teleport_slack_check";

/// The HTTP status of each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackAnswers {
    /// To the call without a signature.
    pub unsigned: StatusCode,
    /// To the signed one.
    pub signed: StatusCode,
    /// Whether this machine trusts the server without the further certificates of the [`Outbound`].
    pub is_trusted_by_machine: bool,
}

/// Why this machine does not trust the certificate of the server there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// It signs itself, or is signed by an authority that this machine does not know.
    UnknownAuthority,
    /// It ended, then, if that is known.
    Expired(Option<Timestamp>),
    /// It begins later, then, if that is known.
    NotValidYet(Option<Timestamp>),
    /// It has not the name that was called.
    OtherName,
    /// Anything else, such as a purpose that is not a server's.
    Unusable,
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate there ")?;
        match self {
            Self::UnknownAuthority => f.write_str("is signed by no authority that this machine trusts"),
            Self::Expired(Some(at)) => write!(f, "expired at {at}"),
            Self::Expired(None) => f.write_str("has expired"),
            Self::NotValidYet(Some(at)) => write!(f, "is valid only from {at}"),
            Self::NotValidYet(None) => f.write_str("is not valid yet"),
            Self::OtherName => f.write_str("is for another name"),
            Self::Unusable => f.write_str("is damaged, or not a server's"),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The port is closed.
    #[error("nothing listens there")]
    Refused,
    /// The port is open, and the connection ends without an answer.
    #[error("the connection was closed without an answer")]
    Closed,
    /// The server answers, and not in TLS.
    #[error("what answers there speaks no TLS")]
    NoTls,
    /// The server shows a certificate that does not count.
    #[error("{0}")]
    Certificate(CertificateFault),
    /// There is no way through the proxy.
    #[error("{}", chain(.0.as_ref()))]
    Proxy(Box<TunnelError>),
    /// No connection, no answer, or no way to call at all.
    #[error("{0}")]
    NoAnswer(String),
}

/// Calls `url`, `http://…` or `https://…`. The server is checked with the trusted certificates of the machine, and if they are not
/// enough, with those of `outbound` too, which Slack does not have. At most 10 s a call.
///
/// # Errors
/// If there is no answer to one of the calls, or `url` or the secret cannot be used.
pub async fn probe_callback(
    url: &str,
    signing_secret: &Secret,
    outbound: &Outbound,
) -> Result<CallbackAnswers, ProbeError> {
    let no_way = |error: &dyn Error| ProbeError::NoAnswer(chain(error));
    let tls = |roots| Ok(Arc::new(tls::client_config(roots)?.with_no_client_auth()));
    let all = tls::trusted_roots(&outbound.extra_roots).map_err(|error| no_way(&error))?;
    let own = tls::trusted_roots(&[]).unwrap_or_else(|_| RootCertStore::empty());
    let (all, own) = (tls(all), tls(own));
    let (all, own) = all.and_then(|all| Ok((all, own?))).map_err(|error: rustls::Error| no_way(&error))?;
    let transport = |checking: &Arc<ClientConfig>| {
        Transport::with_tls(Arc::clone(checking), Arc::clone(&all), outbound.clone(), CallTimings::default())
    };
    match call(&transport(&own), url, signing_secret).await {
        Err(ProbeError::Certificate(CertificateFault::UnknownAuthority))
            if !outbound.extra_roots.is_empty() =>
        {
            let found = call(&transport(&all), url, signing_secret).await?;
            Ok(CallbackAnswers { is_trusted_by_machine: false, ..found })
        }
        found => found,
    }
}

async fn call(
    transport: &Transport,
    url: &str,
    signing_secret: &Secret,
) -> Result<CallbackAnswers, ProbeError> {
    let no_way = |error: &dyn Error| ProbeError::NoAnswer(chain(error));
    let now = Timestamp::now();
    // Different in each call: a signature counts once.
    let body =
        format!("payload=%7B%22type%22%3A%22{PROBE_TYPE}%22%2C%22sent%22%3A%22{}%22%7D", now.as_nanosecond());
    let seconds = now.as_second();
    let Some(signature) = sign(signing_secret.expose().as_bytes(), seconds, body.as_bytes()) else {
        return Err(ProbeError::NoAnswer("the signing secret is empty".to_owned()));
    };
    let request = || {
        let request = Request::post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        (request, Bytes::from(body.clone()))
    };
    let (unsigned, bytes) = request();
    let unsigned = unsigned.body(bytes).map_err(|error| no_way(&error))?;
    let (signed, bytes) = request();
    let signed = signed.header("x-slack-request-timestamp", seconds).header("x-slack-signature", signature);
    let signed = signed.body(bytes).map_err(|error| no_way(&error))?;
    let redactor = Redactor::new(signing_secret.clone());
    let unsigned = answer(transport, unsigned, &redactor).await?;
    let signed = answer(transport, signed, &redactor).await?;
    Ok(CallbackAnswers { unsigned, signed, is_trusted_by_machine: true })
}

async fn answer(
    transport: &Transport,
    request: Request<Bytes>,
    redactor: &Redactor,
) -> Result<StatusCode, ProbeError> {
    let limit = transport.timings().call;
    let take_any = |_: &HeaderMap, _: &[u8], _: &Redactor| Ok(Fields::new());
    match transport.call(request, limit, take_any, redactor).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(ErrorKind::Status { status }) => Ok(status),
        Err(ErrorKind::RateLimited { .. }) => Ok(StatusCode::TOO_MANY_REQUESTS),
        Err(error) if is_refused(&error) => Err(ProbeError::Refused),
        Err(ErrorKind::Proxy(error)) => Err(ProbeError::Proxy(error)),
        Err(error) => Err(tls_fault(&error).unwrap_or_else(|| match error {
            _ if is_closed(&error) => ProbeError::Closed,
            error => ProbeError::NoAnswer(error.to_string()),
        })),
    }
}

/// What is wrong with TLS there, if it is that.
fn tls_fault(error: &ErrorKind) -> Option<ProbeError> {
    match find_cause::<rustls::Error>(error)? {
        rustls::Error::InvalidCertificate(refused) => {
            Some(ProbeError::Certificate(certificate_fault(refused)))
        }
        rustls::Error::InvalidMessage(_) => Some(ProbeError::NoTls),
        _ => None,
    }
}

fn certificate_fault(refused: &CertificateError) -> CertificateFault {
    let at = |time: &UnixTime| Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok();
    match refused {
        // An authority with a new key keeps its name, and then its signature is what fails.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            CertificateFault::UnknownAuthority
        }
        CertificateError::Expired => CertificateFault::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => CertificateFault::Expired(at(not_after)),
        CertificateError::NotValidYet => CertificateFault::NotValidYet(None),
        CertificateError::NotValidYetContext { not_before, .. } => {
            CertificateFault::NotValidYet(at(not_before))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::OtherName
        }
        // An authority's own certificate on a server: `openssl req -x509` makes such. The library has no kind of its own for it.
        CertificateError::Other(_) if refused.to_string().contains("CaUsedAsEndEntity") => {
            CertificateFault::UnknownAuthority
        }
        _ => CertificateFault::Unusable,
    }
}

/// Whether the other end closed the connection, in order or not.
fn is_closed(error: &ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let found = find_cause::<io::Error>(error);
    let ended = std::iter::successors(found, |error| error.get_ref()?.downcast_ref()).last();
    matches!(error, ErrorKind::ConnectionLost { .. })
        || ended.is_some_and(|error| {
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
        })
}

/// Whether the port is closed, and not that of a proxy.
fn is_refused(error: &ErrorKind) -> bool {
    let is_closed = |error: &TcpError| matches!(error, TcpError::Connect(attempts) if attempts.kind() == io::ErrorKind::ConnectionRefused);
    !matches!(error, ErrorKind::Proxy(_)) && find_cause(error).is_some_and(is_closed)
}

#[cfg(test)]
mod tests {
    use client_base::outbound::Outbound;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What the probe says of a server that reads once, sends these bytes and closes.
    async fn shown(scheme: &str, answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        });
        let found = probe_callback(&url, &Secret::new("0123456789abcdef"), &Outbound::default()).await;
        found.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_server_that_closes_or_speaks_no_tls_is_named() {
        for scheme in ["http", "https"] {
            assert_eq!(shown(scheme, b"").await, "the connection was closed without an answer", "{scheme}");
        }
        let plain = shown("https", b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert_eq!(plain, "what answers there speaks no TLS");
    }
}
