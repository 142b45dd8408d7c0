//! Opens connections, directly or through a tunnel (`CONNECT`) of a proxy.
//!
//! hyper speaks HTTP with the proxy. hyper-util's `Tunnel` would too, but its errors do not say what the proxy answered.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use super::address::Proxy;
use super::choice::{Proxies, Way};
use super::error::{TunnelError, TunnelErrorKind};
use super::stream::Stream;
use super::target::Target;
use crate::resolver::Resolver;
use crate::tcp::{self, Deadline, TcpError};

/// The most that is read of a proxy's answer, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// No list of ways to authenticate is longer, in characters.
const MAX_OFFERED_CHARS: usize = 60;

/// Opens connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    proxies: Arc<Proxies>,
    resolver: Resolver,
    /// For proxies that speak TLS themselves.
    tls: Arc<ClientConfig>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Without a proxy.
    #[error(transparent)]
    Direct(TcpError),
    /// Through one.
    #[error(transparent)]
    Proxy(TunnelError),
}

impl Dialer {
    /// `tls`: how a proxy is checked whose address begins with `https://`.
    pub fn new(proxies: Proxies, resolver: Resolver, tls: Arc<ClientConfig>) -> Self {
        Self { proxies: Arc::new(proxies), resolver, tls }
    }

    /// Connects to the target, which may then begin with its TLS.
    ///
    /// # Errors
    /// If there is no connection by the deadline.
    pub async fn dial(&self, target: &Target, deadline: Deadline) -> Result<Stream, DialError> {
        match self.proxies.way(target) {
            Way::Through(proxy) => self.tunnel(proxy, target, deadline).await.map_err(DialError::Proxy),
            Way::Direct | Way::Exempt(_) => {
                let connected = tcp::connect(&self.resolver, target.host(), target.port(), deadline).await;
                connected.map(Stream::Tcp).map_err(DialError::Direct)
            }
        }
    }

    async fn tunnel(
        &self,
        proxy: &Proxy,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Stream, TunnelError> {
        let limit = deadline.limit;
        let fail = |kind| TunnelError { proxy: proxy.to_string(), target: target.to_string(), kind }.logged();
        let tcp = tcp::connect(&self.resolver, proxy.host(), proxy.port(), deadline)
            .await
            .map_err(|error| fail(TunnelErrorKind::Unreachable(Arc::new(error))))?;
        let stream = if proxy.is_tls() {
            let handshake = async {
                let name = ServerName::try_from(proxy.host().to_owned()).map_err(std::io::Error::other)?;
                TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await
            };
            let tls = timeout_at(deadline.at, handshake)
                .await
                .map_err(|_| fail(TunnelErrorKind::Unresponsive(limit)))?;
            Stream::Tls(Box::new(tls.map_err(|error| fail(TunnelErrorKind::Tls(Arc::new(error))))?))
        } else {
            Stream::Tcp(tcp)
        };
        match timeout_at(deadline.at, ask(proxy, target, stream)).await {
            Ok(answer) => answer.map_err(fail),
            Err(_) => Err(fail(TunnelErrorKind::Unresponsive(limit))),
        }
    }
}

/// Asks for the tunnel.
async fn ask(proxy: &Proxy, target: &Target, stream: Stream) -> Result<Stream, TunnelErrorKind> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_ANSWER_BYTES)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(kind_of)?;
    let authority = target.authority();
    let mut request = Request::connect(&authority).header(HOST, &authority);
    if let Some(authorization) = proxy.authorization() {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    // A host that no URI can have.
    let request = request.body(Empty::new()).map_err(|_| TunnelErrorKind::Status(StatusCode::BAD_REQUEST))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(kind_of)?;
        if !answer.status().is_success() {
            return Err(refusal(answer.status(), answer.headers(), proxy));
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(kind_of)?;
        match upgraded.downcast::<TokioIo<Stream>>() {
            Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
            // The target speaks only when it was spoken to.
            _ => Err(TunnelErrorKind::NotHttp),
        }
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection.with_upgrades()));
    let mut is_over = false;
    loop {
        tokio::select! {
            biased;
            outcome = &mut exchange => return outcome,
            // What ended it, the exchange says.
            _ = &mut connection, if !is_over => is_over = true,
        }
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, proxy: &Proxy) -> TunnelErrorKind {
    match status {
        StatusCode::FORBIDDEN => TunnelErrorKind::Forbidden,
        // tinyproxy answers 401 to a wrong password.
        StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => match offered(headers) {
            Some(offered) => TunnelErrorKind::NoBasicAuthentication(offered),
            None if proxy.has_credentials() => TunnelErrorKind::CredentialsRefused(status),
            None => TunnelErrorKind::CredentialsMissing(status),
        },
        _ if status.is_server_error() => TunnelErrorKind::BadGateway(status),
        _ => TunnelErrorKind::Status(status),
    }
}

/// The ways to authenticate that a proxy offers, if Basic is not among them.
fn offered(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(PROXY_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let schemes: Vec<_> = values.filter_map(|value| value.split([' ', ',']).next()).collect();
    let is_word =
        |scheme: &&str| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let has_basic = schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic"));
    let shown = schemes.into_iter().filter(is_word).collect::<Vec<_>>().join(", ");
    (!has_basic && !shown.is_empty()).then(|| shown.chars().take(MAX_OFFERED_CHARS).collect())
}

fn kind_of(error: hyper::Error) -> TunnelErrorKind {
    if error.is_parse_too_large() {
        TunnelErrorKind::TooLarge
    } else if error.is_parse() {
        TunnelErrorKind::NotHttp
    } else {
        TunnelErrorKind::Closed
    }
}

#[cfg(test)]
mod tests;
