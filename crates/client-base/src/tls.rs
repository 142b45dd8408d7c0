//! TLS as every connection has it: one provider of cryptography, the versions that are safe, the trust roots of the machine
//! and further ones.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_native_certs::CertificateResult;

/// The only provider of cryptography in the program.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The start of a client's settings: servers are checked against these roots. What is missing is whether the client
/// has a certificate of its own.
pub fn client_config(
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots))
}

/// There is nothing to check servers against.
#[derive(Debug, thiserror::Error)]
#[error(
    "this machine has no trusted certificates to check servers with; install the ca-certificates package, or set \
     SSL_CERT_FILE to a PEM file of them"
)]
pub struct NoTrustedRoots {
    /// What went wrong while looking, if anything did.
    source: Option<rustls_native_certs::Error>,
}

/// The machine's own roots, which `SSL_CERT_FILE` and `SSL_CERT_DIR` replace. Blocks while it reads them.
pub fn machine_roots() -> Result<RootCertStore, NoTrustedRoots> {
    usable_roots(rustls_native_certs::load_native_certs())
}

/// The same and further ones.
///
/// # Errors
/// If there are none at all.
pub fn trusted_roots(more: &[CertificateDer<'static>]) -> Result<RootCertStore, NoTrustedRoots> {
    with_more(machine_roots(), more)
}

fn with_more(
    machine: Result<RootCertStore, NoTrustedRoots>,
    more: &[CertificateDer<'static>],
) -> Result<RootCertStore, NoTrustedRoots> {
    let mut further = RootCertStore::empty();
    further.add_parsable_certificates(more.iter().cloned());
    match machine {
        Ok(mut roots) => {
            roots.extend(further.roots);
            Ok(roots)
        }
        Err(_) if !further.is_empty() => Ok(further),
        Err(error) => Err(error),
    }
}

/// Why a text holds no certificates that could be trusted, as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableRoots {
    /// Files of authorities are handed around, and a private key is not.
    #[error("holds a private key, which does not belong there")]
    PrivateKey,
    /// A block of PEM is damaged.
    #[error("is damaged")]
    Damaged,
    /// The certificate of this number, from 1, is damaged.
    #[error("is damaged: its certificate number {0} cannot be read")]
    DamagedCertificate(usize),
    /// It is something else, or empty.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
}

/// The certificates of a PEM text.
///
/// # Errors
/// If there are none, or not all of them can be used.
pub fn roots_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, UnusableRoots> {
    if PrivateKeyDer::from_pem_slice(pem).is_ok() {
        return Err(UnusableRoots::PrivateKey);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| UnusableRoots::Damaged)?;
    for (number, certificate) in (1..).zip(&found) {
        let added = RootCertStore::empty().add(certificate.clone());
        added.map_err(|_| UnusableRoots::DamagedCertificate(number))?;
    }
    if found.is_empty() { Err(UnusableRoots::NoCertificate) } else { Ok(found) }
}

/// Single unreadable certificates are skipped, as other programs do: most stores hold some.
fn usable_roots(found: CertificateResult) -> Result<RootCertStore, NoTrustedRoots> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(NoTrustedRoots { source: found.errors.into_iter().next() });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::Path;

    use rustls_native_certs::load_certs_from_paths;

    use super::*;

    fn trust_error(file: &Path) -> Option<String> {
        let error = usable_roots(load_certs_from_paths(Some(file), None)).unwrap_err();
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
        error.source().map(ToString::to_string)
    }

    #[test]
    fn further_roots_are_read_whole_or_not_at_all() {
        let authority = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let pem = authority.cert.pem();
        let roots = roots_in(pem.repeat(2).as_bytes()).unwrap();
        assert_eq!(roots.len(), 2);
        assert_eq!(with_more(Ok(RootCertStore::empty()), &roots).unwrap().len(), 2);
        // They are enough where the machine has none.
        let none = || Err(NoTrustedRoots { source: None });
        assert_eq!(with_more(none(), &roots[..1]).unwrap().len(), 1);
        assert!(with_more(none(), &[]).is_err());
        let frame =
            |bytes: &str| format!("-----BEGIN CERTIFICATE-----\n{bytes}\n-----END CERTIFICATE-----\n");
        for (text, reason) in [
            (String::new(), UnusableRoots::NoCertificate),
            ("garbage".to_owned(), UnusableRoots::NoCertificate),
            (authority.signing_key.serialize_pem() + &pem, UnusableRoots::PrivateKey),
            (pem.clone() + &authority.signing_key.serialize_pem(), UnusableRoots::PrivateKey),
            (pem.clone() + "-----BEGIN CERTIFICATE-----\nAAEC\n", UnusableRoots::Damaged),
            (pem.clone() + &frame("AAECAwQF"), UnusableRoots::DamagedCertificate(2)),
        ] {
            assert_eq!(roots_in(text.as_bytes()), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_machine_without_certificates_gets_a_remedy() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(trust_error(empty.path()), None);
        let reason = trust_error(&empty.path().with_extension("gone")).unwrap();
        assert!(reason.contains(".gone"), "{reason}");
    }
}
