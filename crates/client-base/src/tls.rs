//! TLS as every connection has it: one provider of cryptography, the versions that are safe, the machine's trust roots.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
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
    fn a_machine_without_certificates_gets_a_remedy() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(trust_error(empty.path()), None);
        let reason = trust_error(&empty.path().with_extension("gone")).unwrap();
        assert!(reason.contains(".gone"), "{reason}");
    }
}
