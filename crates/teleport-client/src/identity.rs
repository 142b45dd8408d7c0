//! Who we are to Teleport: a private key, a client certificate and the CAs that we trust, read from files.
//!
//! Everything that would make the server reject us for certain is found here, by file and with a remedy,
//! before any connection is made. Key material never leaves this file except inside rustls. That the files are
//! renewed while the daemon runs is noticed in `app/identity_reloader.rs`.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::SectionKind;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::credentials::Credentials;
use super::pem::{self, Bundle};
use super::route::alpn_entries;
use super::signer::Signer;
use super::text::quote;
use client_base::certificate::{is_signed_leaf, to_timestamp};
use client_base::{files, tls};

mod error;

use error::{FORMAT_FILE, FORMAT_TLS};
pub use error::{IdentityError, RENEW_REMEDY};

/// The largest file we read, in bytes. Real ones have a few thousand; clusters with many trusted clusters
/// have tens of thousands.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A checked identity.
#[derive(Clone)]
pub struct Identity {
    user: String,
    cluster: Option<String>,
    /// The same, exactly as the certificate has it.
    route_name: Option<Arc<str>>,
    signer: Signer,
    roles: Arc<[String]>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Our own certificate, then those of the CAs.
    certificates: Arc<[CertificateDer<'static>]>,
    tls: Arc<ClientConfig>,
}

impl Identity {
    /// Reads and checks the files. Blocks while it reads; each file may have at most 1 MiB.
    pub fn load(source: &Credentials, now: Timestamp) -> Result<Self, IdentityError> {
        match source {
            Credentials::Files { client_key, client_crt, root_cas: cas } => {
                let read = |file| read(file, FORMAT_TLS);
                let (key, crt) = (read(client_key)?, read(client_crt)?);
                if !key.has_key() && !key.certificates.is_empty() {
                    return Err(IdentityError::CertificateForKey { file: client_key.clone() });
                }
                if crt.has_key() && crt.certificates.is_empty() {
                    return Err(IdentityError::KeyForCertificate { file: client_crt.clone() });
                }
                if crt.has_key() && crt.certificates.len() > 1 {
                    return Err(IdentityError::IdentityForCertificate { file: client_crt.clone() });
                }
                let roots = read(cas)?;
                if let Some(held) = held_for_cas(&roots) {
                    return Err(IdentityError::OtherForCas { file: cas.clone(), held });
                }
                let parts = IdentityParts {
                    key,
                    key_file: client_key,
                    certificates: crt.certificates,
                    crt_file: client_crt,
                    cas: roots.certificates,
                    cas_file: cas,
                };
                parts.check(now)
            }
            Credentials::Identity(file) => {
                let mut bundle = read(file, FORMAT_FILE)?;
                let cas = bundle.certificates.split_off(bundle.certificates.len().min(1));
                let certificates = std::mem::take(&mut bundle.certificates);
                let parts = IdentityParts {
                    key: bundle,
                    key_file: file,
                    certificates,
                    crt_file: file,
                    cas,
                    cas_file: file,
                };
                parts.check(now)
            }
        }
    }

    /// When the client certificate begins.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// When the client certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The Teleport user that the certificate is for.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The cluster that issued the certificate, if it says so.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The same, exactly as the certificate has it: how a proxy knows the cluster.
    pub(super) fn route_name(&self) -> Option<Arc<str>> {
        self.route_name.clone()
    }

    /// Who had the certificate signed.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The names of the roles that the certificate gives.
    pub fn roles(&self) -> Arc<[String]> {
        Arc::clone(&self.roles)
    }

    /// Whether the other has the same certificate (and so the same key) and trusts the same CAs.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }

    /// How to open TLS connections as this identity: TLS 1.2 or 1.3, HTTP/2 at the cluster's auth server, directly or
    /// through a proxy, and only the identity's own CAs.
    pub fn tls_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("cluster", &self.cluster)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The parts of an identity and the files that errors name.
struct IdentityParts<'a> {
    key: Bundle,
    key_file: &'a Path,
    certificates: Vec<CertificateDer<'static>>,
    crt_file: &'a Path,
    cas: Vec<CertificateDer<'static>>,
    cas_file: &'a Path,
}

impl IdentityParts<'_> {
    fn check(self, now: Timestamp) -> Result<Identity, IdentityError> {
        let crt_file = || self.crt_file.to_path_buf();
        let key = usable_key(&self.key, self.key_file, &tls::provider())?;

        let certificate = match self.certificates.as_slice() {
            [] => return Err(IdentityError::NoCertificate { file: crt_file() }),
            [one] => one.clone(),
            many => return Err(IdentityError::ManyCertificates { file: crt_file(), count: many.len() }),
        };
        let facts = CertificateInfo::from_certificate(&certificate, self.crt_file)?;
        let certificates = std::iter::once(&certificate).chain(&self.cas).cloned().collect();
        let certified = CertifiedKey::new(vec![certificate], key);
        match certified.keys_match() {
            // Some keys cannot show their public half; the handshake checks them.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(IdentityError::KeyMismatch { key: self.key_file.to_path_buf(), crt: crt_file() });
            }
            Err(error) => return Err(IdentityError::Tls { file: crt_file(), reason: error.to_string() }),
        }
        if now < facts.not_before {
            return Err(IdentityError::NotYetValid { file: crt_file(), from: facts.not_before, now });
        }
        if now > facts.not_after {
            return Err(IdentityError::Expired { file: crt_file(), at: facts.not_after });
        }

        let roots = root_store(self.cas, self.cas_file)?;
        let tls = client_config(roots, certified, facts.route_name.as_deref())
            .map_err(|error| IdentityError::Tls { file: crt_file(), reason: error.to_string() })?;
        let CertificateInfo { user, cluster, route_name, signer, roles, not_before, not_after } = facts;
        Ok(Identity {
            user,
            cluster,
            route_name: route_name.map(Arc::from),
            signer,
            roles: roles.into(),
            not_before,
            not_after,
            certificates,
            tls: Arc::new(tls),
        })
    }
}

/// What a client certificate says.
struct CertificateInfo {
    user: String,
    cluster: Option<String>,
    route_name: Option<String>,
    signer: Signer,
    roles: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl CertificateInfo {
    fn from_certificate(certificate: &CertificateDer<'_>, file: &Path) -> Result<Self, IdentityError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|_| IdentityError::BadCertificate { file: file.to_path_buf(), number: 1 })?;
        let user = attribute(parsed.subject(), COMMON_NAME)
            .ok_or_else(|| IdentityError::NoUser { file: file.to_path_buf() })?;
        let route_name = attributes(parsed.issuer(), ORGANIZATION)
            .chain(attributes(parsed.subject(), TELEPORT_CLUSTER))
            .next();
        let validity = parsed.validity();
        let signer = Signer::of(&user, attribute(parsed.subject(), TELEPORT_IMPERSONATOR).as_deref());
        Ok(Self {
            user,
            cluster: route_name.as_deref().map(quote),
            route_name,
            signer,
            roles: attributes(parsed.subject(), ORGANIZATION).collect(),
            not_before: to_timestamp(validity.not_before.timestamp()),
            not_after: to_timestamp(validity.not_after.timestamp()),
        })
    }
}

const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";
/// Teleport's own attribute for the cluster that a certificate is meant for.
const TELEPORT_CLUSTER: &str = "1.3.9999.1.7";
/// Teleport's own attribute for the user that had another user's certificate signed.
const TELEPORT_IMPERSONATOR: &str = "1.3.9999.2.7";

/// The first attribute with this object identifier that is not empty.
fn attribute(name: &X509Name<'_>, oid: &str) -> Option<String> {
    attributes(name, oid).map(|value| quote(&value)).find(|value| !value.is_empty())
}

/// All attributes with this object identifier that are not empty, as they are.
fn attributes<'a>(name: &'a X509Name<'_>, oid: &'a str) -> impl Iterator<Item = String> + use<'a> {
    name.iter_attributes()
        .filter(move |attribute| attribute.attr_type().to_id_string() == oid)
        .map(|attribute| String::from_utf8_lossy(attribute.as_slice()).into_owned())
        .filter(|value| !value.is_empty())
}

fn read(file: &Path, format: &'static str) -> Result<Bundle, IdentityError> {
    let unreadable = |source| IdentityError::Unreadable { file: file.to_path_buf(), format, source };
    let (bytes, _) = files::read(file, MAX_FILE_BYTES).map_err(|source| match source.kind() {
        io::ErrorKind::FileTooLarge => IdentityError::TooLarge { file: file.to_path_buf() },
        _ => unreadable(source),
    })?;
    pem::read(&bytes).map_err(|what| IdentityError::Damaged { file: file.to_path_buf(), what })
}

/// The first private key. Labels may lie about the encoding, so all three are tried, the labeled one first.
fn usable_key(
    bundle: &Bundle,
    file: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, IdentityError> {
    let file = || file.to_path_buf();
    let Some((label, der)) = bundle.keys.first() else {
        return Err(match bundle.unusable_key {
            Some(label) => IdentityError::UnsupportedKey { file: file(), label },
            None => IdentityError::NoKey { file: file() },
        });
    };
    [*label, SectionKind::PrivateKey, SectionKind::RsaPrivateKey, SectionKind::EcPrivateKey]
        .into_iter()
        .find_map(|kind| {
            let key: PrivateKeyDer<'static> = match kind {
                SectionKind::RsaPrivateKey => PrivatePkcs1KeyDer::from(der.clone()).into(),
                SectionKind::EcPrivateKey => PrivateSec1KeyDer::from(der.clone()).into(),
                _ => PrivatePkcs8KeyDer::from(der.clone()).into(),
            };
            provider.key_provider.load_private_key(key).ok()
        })
        .ok_or_else(|| IdentityError::BadKey { file: file() })
}

/// What a file that must hold CAs holds in their place.
fn held_for_cas(bundle: &Bundle) -> Option<&'static str> {
    match bundle.certificates.as_slice() {
        [] => bundle.has_key().then_some("a private key"),
        found => {
            let is_leaf = |certificate: &CertificateDer<'_>| is_signed_leaf(certificate);
            found.iter().all(is_leaf).then_some("the certificate of a client or a server")
        }
    }
}

fn root_store(cas: Vec<CertificateDer<'static>>, file: &Path) -> Result<RootCertStore, IdentityError> {
    if cas.is_empty() {
        return Err(IdentityError::NoCa { file: file.to_path_buf() });
    }
    let mut roots = RootCertStore::empty();
    for (index, ca) in cas.into_iter().enumerate() {
        roots
            .add(ca)
            .map_err(|_| IdentityError::BadCertificate { file: file.to_path_buf(), number: index + 1 })?;
    }
    Ok(roots)
}

fn client_config(
    roots: RootCertStore,
    certified: CertifiedKey,
    cluster: Option<&str>,
) -> Result<ClientConfig, rustls::Error> {
    // The resolver for a single certificate offers it whatever CAs the server hints at: Teleport's hints are
    // cut short on clusters with many trusted clusters.
    let mut config =
        tls::client_config(roots)?.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = alpn_entries(cluster);
    // Connections live long; a resumed session would only hide that the server now refuses the certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests;
