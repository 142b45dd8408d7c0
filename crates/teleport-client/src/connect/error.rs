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

/// Why there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("{0}")]
    Network(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    NoRoots(String),
    #[error(
        "its web certificate signed itself and is one of a CA, which a server cannot use even if network.ca_file names it; give \
         that server a certificate that a CA signed, and name a file with your own CA in network.ca_file"
    )]
    SelfSigned,
    #[error(
        "its web certificate is not from an authority that this machine trusts; if the authority is your own, name a \
         file with its certificate in network.ca_file, or in SSL_CERT_FILE"
    )]
    Untrusted,
    #[error("its web certificate is not for this name; write the host as it stands there")]
    OtherName,
    #[error("HTTPS failed: {0}")]
    Https(String),
    /// A proxy, which does not go by this name.
    #[error("the proxy leads elsewhere")]
    OtherHost,
    /// A proxy, which did not see what was asked.
    #[error("the proxy saw no request for an upgrade")]
    HeadersDropped,
    /// A balancer without its proxy.
    #[error("HTTP {0}")]
    Gateway(u16),
    #[error("it answers HTTP {0}, as no Teleport proxy does")]
    NotAProxy(u16),
}

impl From<UpgradeError> for AttemptError {
    /// No stream can be opened at all.
    fn from(error: UpgradeError) -> Self {
        Self::new(ConnectErrorKind::Unreachable, error.to_string())
    }
}

impl From<AttemptError> for UpgradeError {
    fn from(error: AttemptError) -> Self {
        Self::Network(error.detail)
    }
}

/// A failed attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot connect to the Teleport auth server at {addr}: {}{}", reason(*.kind, .detail), also(.upgrade))]
pub struct ConnectError {
    /// The address, as configured.
    pub addr: String,
    /// The cause, with what the operator can do about it.
    pub kind: ConnectErrorKind,
    /// The underlying error's words.
    pub detail: String,
    /// Why a connection upgrade, tried next, failed too.
    pub upgrade: Option<String>,
}

/// What a forward proxy does has its own sentence with a remedy.
fn reason(kind: ConnectErrorKind, detail: &str) -> String {
    if kind == ConnectErrorKind::ForwardProxy { detail.to_owned() } else { format!("{kind} ({detail})") }
}

/// The end of a message about two ways that failed.
fn also(upgrade: &Option<String>) -> String {
    let also = |reason| {
        format!(
            "; a connection upgrade, for a Teleport proxy whose TLS something opens, failed too: {reason}"
        )
    };
    upgrade.as_ref().map(also).unwrap_or_default()
}

impl ConnectError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self.kind {
            ConnectErrorKind::ForwardProxy
            | ConnectErrorKind::Resolve
            | ConnectErrorKind::NameServerSilent
            | ConnectErrorKind::Refused
            | ConnectErrorKind::RefusedByWebPort
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Unreachable
            | ConnectErrorKind::Closed
            | ConnectErrorKind::AuthServerDown
            | ConnectErrorKind::ProxyDown
            | ConnectErrorKind::HeadersDropped
            | ConnectErrorKind::SilentProxy
            | ConnectErrorKind::Tls => ErrorKind::Retry,
            ConnectErrorKind::ClientCertificateRejected => ErrorKind::Unauthorized,
            ConnectErrorKind::UnknownIssuer
            | ConnectErrorKind::ServerName
            | ConnectErrorKind::ServerCertificate
            | ConnectErrorKind::UnexpectedCertificate
            | ConnectErrorKind::NotTls
            | ConnectErrorKind::NotHttp2
            | ConnectErrorKind::EndsAtProxy
            | ConnectErrorKind::NotRoutable
            | ConnectErrorKind::OtherCluster
            | ConnectErrorKind::OtherHost
            | ConnectErrorKind::HostCaRotated => ErrorKind::Permanent,
        }
    }
}

/// What stands between us and the auth server, with the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnectErrorKind {
    /// The forward proxy in between; the detail says what and why.
    #[error("the forward proxy does not lead there")]
    ForwardProxy,
    /// DNS.
    #[error("its name does not resolve; check the address and this machine's DNS")]
    Resolve,
    /// DNS that says nothing.
    #[error(
        "no name server gave an answer in time; check this machine's DNS (/etc/resolv.conf): that its name servers work, and the way \
         to them"
    )]
    NameServerSilent,
    /// Nothing listens.
    #[error("the connection was refused; is the auth server running, and is this its port (usually 3025)?")]
    Refused,
    /// Nothing listens at the port of a proxy.
    #[error(
        "the connection was refused; does the Teleport proxy run, and is this its web port (usually 443 or 3080)? The auth \
         server itself usually has 3025"
    )]
    RefusedByWebPort,
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
    /// A proxy leads nowhere, and it is of the identity's cluster.
    #[error(
        "the Teleport proxy there cannot reach its cluster's auth server; look whether the auth server runs, the daemon \
         keeps trying"
    )]
    AuthServerDown,
    /// A proxy leads nowhere, because it is of another cluster.
    #[error(
        "the Teleport proxy there is of another cluster than the identity; name the proxy of the identity's cluster, or sign \
         an identity in that one"
    )]
    OtherCluster,
    /// The proxy of the identity's cluster leads to a server that the identity does not trust.
    #[error(
        "the auth server behind the proxy has a certificate that is not from a CA of our identity, so the cluster's host CA \
         was rotated; sign the identity again with `tctl auth sign`, or check that tbot renews it"
    )]
    HostCaRotated,
    /// The proxy does not go by the name that we use.
    #[error(
        "the Teleport proxy there has another public address; write teleport's address as `proxy_service.public_addr` has it, \
         and let any balancer before it pass the header Host on unchanged"
    )]
    OtherHost,
    /// A balancer takes the upgrade out of the request.
    #[error(
        "a balancer before the Teleport proxy drops the headers that ask for a connection upgrade; let it pass Upgrade and \
         Connection on, as for a WebSocket"
    )]
    HeadersDropped,
    /// A balancer answers for a proxy that does not.
    #[error(
        "the balancer there does not reach the Teleport proxy; look whether the proxy runs, the daemon keeps trying"
    )]
    ProxyDown,
    /// The proxy agreed to the upgrade, and nothing came.
    #[error(
        "the Teleport proxy there upgraded the connection and then said nothing; look whether it does TLS itself, which it \
         must also behind a balancer (no --insecure-no-tls), and whether its auth server hangs"
    )]
    SilentProxy,
    /// Any other failure of TLS.
    #[error("the TLS handshake failed")]
    Tls,
}

impl ConnectErrorKind {
    /// Whether something else than an auth server answers, so that an operator must look at the address and at what stands
    /// before it, not at the identity.
    pub fn is_wrong_address(self) -> bool {
        matches!(
            self,
            Self::ServerName
                | Self::UnexpectedCertificate
                | Self::NotTls
                | Self::NotHttp2
                | Self::EndsAtProxy
                | Self::NotRoutable
                | Self::OtherHost
        )
    }

    /// Whether the cause may be that our TLS, or its list of protocols, does not get through to a proxy.
    pub(super) fn may_need_upgrade(self) -> bool {
        matches!(
            self,
            Self::UnknownIssuer
                | Self::ServerName
                | Self::ServerCertificate
                | Self::UnexpectedCertificate
                | Self::NotHttp2
                | Self::Closed
                | Self::Tls
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
