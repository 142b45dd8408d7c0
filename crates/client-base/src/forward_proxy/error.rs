//! Why there is no way through a proxy, in one sentence each, and what to do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::broken::{describe, libraries_words};
use crate::tcp::TcpError;

/// A connection through a proxy that did not come about. Nothing was sent to the target.
#[derive(Clone, Debug)]
pub struct TunnelError {
    /// `host:port`.
    pub proxy: String,
    /// `host:port`.
    pub target: String,
    /// What happened.
    pub kind: TunnelErrorKind,
}

/// What stands between us and the target.
#[derive(Clone, Debug)]
pub enum TunnelErrorKind {
    /// No connection to the proxy itself.
    Unreachable(Arc<TcpError>),
    /// No TLS with the proxy itself, whose address begins with `https://`.
    Tls(Arc<dyn Error + Send + Sync>),
    /// 403: its rules.
    Forbidden,
    /// 407, or tinyproxy's 401, and we sent no credentials.
    CredentialsMissing(StatusCode),
    /// The same, and we sent some.
    CredentialsRefused(StatusCode),
    /// 407, and the proxy takes none of the kind that we have: which it takes.
    NoBasicAuthentication(String),
    /// 5xx: it found no way to the target.
    BadGateway(StatusCode),
    /// Any other answer than 2xx.
    Status(StatusCode),
    /// No whole answer within this time.
    Unresponsive(Duration),
    /// It closed the connection before its answer was whole.
    Closed,
    /// Its answer is longer than any that is sensible.
    TooLarge,
    /// It speaks something else than HTTP.
    NotHttp,
}

impl TunnelError {
    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        use TunnelErrorKind::*;
        match self.kind {
            Unreachable(_) => {
                "check the proxy's address, that it runs, and the firewall between this machine and the proxy"
            }
            Tls(_) => {
                "write the proxy's address with http:// if it takes no TLS itself; else name a file with the CA of its \
                 certificate"
            }
            Forbidden => "let the proxy's rules allow CONNECT to this host and port for this machine",
            CredentialsMissing(_) => {
                "write user and password into the proxy's address, http://user:password@host:port"
            }
            CredentialsRefused(_) => {
                "correct user and password in the proxy's address; special signs in them are written as percent codes"
            }
            NoBasicAuthentication(_) => {
                "let the proxy take this machine's calls with Basic authentication or with none"
            }
            BadGateway(_) => {
                "check on the proxy's machine that the host's name resolves and that a firewall lets it out to this port"
            }
            Status(_) => "look into the proxy's log for this call, and check that it allows CONNECT",
            Unresponsive(_) => {
                "check that this is an HTTP proxy, and on its machine that it reaches the host: it may wait for a firewall"
            }
            Closed | NotHttp => {
                "check that an HTTP proxy listens at this host and port, and whether its address must begin with https://"
            }
            TooLarge => "check that an HTTP proxy listens at this host and port",
        }
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TunnelErrorKind::*;
        let Self { proxy, target, kind } = self;
        match kind {
            Unreachable(error) => {
                write!(f, "no connection to the proxy {proxy}: {}", describe(error.as_ref()))
            }
            Tls(error) => write!(f, "no TLS connection to the proxy {proxy}: {}", describe(error.as_ref())),
            Forbidden => write!(f, "the proxy {proxy} forbids connections to {target} (HTTP status 403)"),
            CredentialsMissing(status) => {
                write!(f, "the proxy {proxy} wants a user and a password (HTTP status {})", status.as_u16())
            }
            CredentialsRefused(status) => {
                write!(
                    f,
                    "the proxy {proxy} refuses the user or the password (HTTP status {})",
                    status.as_u16()
                )
            }
            NoBasicAuthentication(offered) => write!(
                f,
                "the proxy {proxy} takes no Basic authentication, which is the only kind supported, but {offered} (HTTP status 407)"
            ),
            BadGateway(status) => {
                write!(f, "the proxy {proxy} does not reach {target} (HTTP status {})", status.as_u16())
            }
            Status(status) => write!(
                f,
                "the proxy {proxy} does not connect to {target}: it answers with HTTP status {}",
                status.as_u16()
            ),
            Unresponsive(limit) => write!(
                f,
                "the proxy {proxy} did not say within {} s whether it reaches {target}",
                limit.as_secs_f64()
            ),
            Closed => write!(f, "the proxy {proxy} closed the connection without a whole answer"),
            TooLarge => write!(f, "the proxy {proxy} gives an answer that is too large"),
            NotHttp => write!(f, "what answers at the proxy's address {proxy} does not speak HTTP"),
        }
    }
}

/// What caused it, its text has in our words.
impl Error for TunnelError {}

impl TunnelError {
    /// Logs what the libraries say, for who looks for a fault in them.
    pub(super) fn logged(self) -> Self {
        let cause: Option<&(dyn Error + 'static)> = match &self.kind {
            TunnelErrorKind::Unreachable(error) => Some(error.as_ref()),
            TunnelErrorKind::Tls(error) => Some(error.as_ref()),
            _ => None,
        };
        if let Some(error) = cause {
            tracing::debug!(
                "No connection to a forward proxy; the libraries say: {}",
                libraries_words(error)
            );
        }
        self
    }
}
