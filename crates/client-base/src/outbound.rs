//! How connections leave this machine: who resolves names, through which proxies, and which certificates are trusted beside
//! the machine's own.

use rustls::pki_types::CertificateDer;

use crate::forward_proxy::Proxies;
use crate::resolver::Resolver;

/// How connections leave this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Who says which addresses a name has.
    pub resolver: Resolver,
    /// The proxies.
    pub proxies: Proxies,
    /// Certificates of authorities that are trusted as well.
    pub extra_roots: Vec<CertificateDer<'static>>,
}
