//! What stands between us and the auth server.

use crate::kind::ErrorKind;

/// One way that failed.
#[derive(Clone, Debug)]
pub(super) struct AttemptError {
    pub(super) kind: ConnectErrorKind,
    /// The underlying error's words.
    pub(super) detail: String,
}

impl AttemptError {
    pub(super) fn new(kind: ConnectErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// A failed attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot connect to the Teleport auth server at {addr}: {kind} ({detail})")]
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
            | ConnectErrorKind::NotHttp2
            | ConnectErrorKind::EndsAtProxy
            | ConnectErrorKind::NotRoutable => ErrorKind::Permanent,
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
        "its certificate is not from a CA of our identity; check that this is an auth server or a proxy of the right \
         cluster and that nothing before it opens TLS, and sign the identity again if the cluster's host CA was rotated"
    )]
    UnknownIssuer,
    /// The server's certificate is for another name.
    #[error(
        "its certificate is not for teleport.cluster.local, so this is not a Teleport auth server; check host and \
         port, and that nothing before it opens TLS"
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
    #[error(
        "it does not speak TLS; check host and port (the auth server's is usually 3025, a proxy's 443 or 3080)"
    )]
    NotTls,
    /// The other side speaks TLS but not HTTP/2.
    #[error(
        "it does not offer HTTP/2, so it is not an auth server's API; check the port (the auth server's is usually \
         3025, a proxy's 443 or 3080), and that nothing before it opens TLS"
    )]
    NotHttp2,
    /// The other side hung up.
    #[error(
        "it closed the connection during the TLS handshake; check the port and any load balancer in between; a Teleport \
         proxy does this when its cluster is not the identity's and when its auth server is down"
    )]
    Closed,
    /// A proxy answered instead of the auth server behind it.
    #[error(
        "a Teleport proxy answered in the auth server's place; name the proxy's web port (usually 443 or 3080), not the \
         one for SSH, or the auth server's own address"
    )]
    EndsAtProxy,
    /// No proxy can be asked for a cluster with such a name.
    #[error(
        "the cluster's name is longer than 109 bytes, and no Teleport proxy can be asked for such a cluster; name the auth \
         server's own address (port 3025)"
    )]
    NotRoutable,
    /// Any other failure of TLS.
    #[error("the TLS handshake failed")]
    Tls,
}

impl ConnectErrorKind {
    /// Whether something else than an auth server answers, so that the operator must fix the address, not the identity.
    pub fn is_wrong_address(self) -> bool {
        matches!(
            self,
            Self::ServerName
                | Self::UnexpectedCertificate
                | Self::NotTls
                | Self::NotHttp2
                | Self::EndsAtProxy
                | Self::NotRoutable
        )
    }

    /// Whether something that speaks TLS answered, and it was not the auth server.
    pub(super) fn is_answer_of_another(self) -> bool {
        matches!(
            self,
            Self::UnknownIssuer
                | Self::ServerName
                | Self::ServerCertificate
                | Self::UnexpectedCertificate
                | Self::NotHttp2
                | Self::Closed
                | Self::EndsAtProxy
        )
    }
}
