//! What stands between us and the auth server.

use crate::kind::ErrorKind;

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
