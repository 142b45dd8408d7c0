//! TLS as every connection has it: one provider of cryptography, the versions that are safe, the trust roots of the machine
//! and further ones.

use std::sync::{Arc, Once};

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_native_certs::CertificateResult;
use tracing::info;

use crate::certificate::is_signed_leaf;

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

/// The bundled certificates: the version of webpki-roots, which has them from Mozilla's list, and the day of its release.
const BUNDLED: (&str, &str) = ("1.0.10", "2026-10-19");

/// Whether a connection is checked against the bundled certificates; then the log has said so.
static BUNDLED_IN_USE: Once = Once::new();

/// The day of the bundled certificates, if something has been checked against them because the machine has none.
pub fn bundled_roots_in_use() -> Option<&'static str> {
    BUNDLED_IN_USE.is_completed().then_some(BUNDLED.1)
}

/// There is nothing to check servers against, although there should be.
#[derive(Debug, thiserror::Error)]
pub enum NoTrustedRoots {
    /// The environment says where they are, and they are not there.
    #[error(
        "SSL_CERT_FILE or SSL_CERT_DIR is set and leads to no trusted certificate; name a PEM file of them, or unset it to \
         use those of this machine"
    )]
    Named {
        /// What went wrong while looking, if anything did.
        source: Option<rustls_native_certs::Error>,
    },
    /// The machine has some, and they cannot be read.
    #[error(
        "the trusted certificates of this machine cannot be read; install the ca-certificates package again, or set \
         SSL_CERT_FILE to a PEM file of them"
    )]
    Unreadable {
        /// What went wrong while looking.
        source: rustls_native_certs::Error,
    },
}

/// The roots of the machine, which `SSL_CERT_FILE` and `SSL_CERT_DIR` replace; the bundled ones where the machine has none,
/// which is logged once. Blocks while it reads them.
fn machine_roots() -> Result<RootCertStore, NoTrustedRoots> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_named = is_set("SSL_CERT_FILE") || is_set("SSL_CERT_DIR");
    let found = usable_roots(rustls_native_certs::load_native_certs(), is_named)?;
    Ok(found.unwrap_or_else(|| {
        let (version, of) = BUNDLED;
        BUNDLED_IN_USE.call_once(|| {
            info!(version, "This machine has no trusted certificates; the bundled ones of {of} are used");
        });
        RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
    }))
}

/// The trust roots: those of the machine, or the bundled ones where it has none, and further ones.
///
/// # Errors
/// If those of the machine cannot be used, and there are no further ones.
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
    /// None of its certificates could be trusted for another one.
    #[error("holds no certificate of an authority, only of servers or clients")]
    NoAuthority,
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
    match found.iter().all(|certificate| is_signed_leaf(certificate)) {
        true if found.is_empty() => Err(UnusableRoots::NoCertificate),
        true => Err(UnusableRoots::NoAuthority),
        false => Ok(found),
    }
}

/// What the machine has; `None` if it has none at all. Single unreadable certificates are skipped, as other programs do: most
/// stores hold some.
fn usable_roots(found: CertificateResult, is_named: bool) -> Result<Option<RootCertStore>, NoTrustedRoots> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let source = found.errors.into_iter().next();
    match source {
        _ if !roots.is_empty() => Ok(Some(roots)),
        source if is_named => Err(NoTrustedRoots::Named { source }),
        Some(source) => Err(NoTrustedRoots::Unreadable { source }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::Path;

    use rustls_native_certs::load_certs_from_paths;

    use super::*;

    fn trust_error(file: &Path, is_named: bool) -> (String, Option<String>) {
        let error = usable_roots(load_certs_from_paths(Some(file), None), is_named).unwrap_err();
        (error.to_string(), error.source().map(ToString::to_string))
    }

    /// Neither leads to trust in any certificate; a certificate that signed itself leads to trust in itself.
    #[test]
    fn a_file_with_certificates_of_servers_alone_is_none_of_authorities() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::from_params(&params, &key);
        let mut leaf = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, "a.example");
        let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap().pem();
        assert_eq!(roots_in(leaf.repeat(2).as_bytes()), Err(UnusableRoots::NoAuthority));
        assert_eq!(roots_in((leaf + &authority.pem()).as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn further_roots_are_read_whole_or_not_at_all() {
        let authority = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let pem = authority.cert.pem();
        let roots = roots_in(pem.repeat(2).as_bytes()).unwrap();
        assert_eq!(roots.len(), 2);
        assert_eq!(with_more(Ok(RootCertStore::empty()), &roots).unwrap().len(), 2);
        // They are enough where the machine has none.
        let none = || Err(NoTrustedRoots::Named { source: None });
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
    fn certificates_that_should_be_there_and_are_not_get_a_remedy() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let gone = empty.path().with_extension("gone");
        let (error, reason) = trust_error(empty.path(), true);
        assert!(error.starts_with("SSL_CERT_FILE or SSL_CERT_DIR is set"), "{error}");
        assert_eq!(reason, None);
        let (error, reason) = trust_error(&gone, true);
        assert!(error.starts_with("SSL_CERT_FILE or SSL_CERT_DIR is set"), "{error}");
        assert!(reason.unwrap().contains(".gone"));
        // A store that its reader may not read is no missing store: it may lack an authority on purpose.
        let (error, reason) = trust_error(&gone, false);
        assert!(error.contains("cannot be read; install the ca-certificates package again"), "{error}");
        assert!(reason.unwrap().contains(".gone"));
    }

    #[test]
    fn only_a_machine_without_a_store_gets_the_bundled_certificates() {
        assert!(usable_roots(CertificateResult::default(), false).unwrap().is_none());
        let authority = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let mut found = CertificateResult::default();
        found.certs.push(authority.cert.der().clone());
        assert_eq!(usable_roots(found, false).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn the_day_of_the_bundled_certificates_is_that_of_their_version() {
        let (version, _) = BUNDLED;
        let locked = format!("name = \"webpki-roots\"\nversion = \"{version}\"\n");
        let lock = include_str!("../../../Cargo.lock");
        assert!(
            lock.contains(&locked),
            "set BUNDLED to the version in Cargo.lock, and the day of its release"
        );
    }
}
