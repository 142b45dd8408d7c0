//! Takes the keys and certificates out of a PEM file, whatever else stands between them.
//!
//! Serves both layouts that Teleport writes: separate files, and the identity file in which SSH certificates
//! and `@cert-authority` lines stand among the PEM blocks. What they mean is decided in `identity.rs`.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, SectionKind};

/// A kind of private key that rustls cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKey {
    /// OpenSSH's own format.
    OpenSsh,
    /// A reference to a hardware token (PIV).
    Hardware,
    /// Encrypted with a passphrase.
    Encrypted,
}

/// What a file holds, in the file's order. Has no `Debug`: it holds private keys.
#[derive(Default)]
pub(super) struct Bundle {
    /// Private keys: what the label says they are, and the bytes.
    pub(super) keys: Vec<(SectionKind, Vec<u8>)>,
    /// Certificates, unparsed.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The label of a kind of private key that we cannot use.
    pub(super) unusable_key: Option<UnusableKey>,
}

impl Bundle {
    /// Whether there is a private key, of whatever kind.
    pub(super) fn has_key(&self) -> bool {
        !self.keys.is_empty() || self.unusable_key.is_some()
    }
}

/// Reads the blocks. The error says what is damaged and never contains anything from the file.
pub(super) fn read(file: &[u8]) -> Result<Bundle, &'static str> {
    // Editors add byte order marks and indentation, copying through YAML adds more; Teleport bears both.
    let text = String::from_utf8_lossy(file);
    let mut lines = String::with_capacity(text.len());
    let mut bundle = Bundle::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        bundle.unusable_key = bundle.unusable_key.or_else(|| unusable_key(line));
        lines.push_str(line);
        lines.push('\n');
    }
    let mut rest = lines.as_bytes();
    while let Some((kind, der)) = pem::from_buf(&mut rest).map_err(pem_error)? {
        match kind {
            SectionKind::Certificate => bundle.certificates.push(CertificateDer::from(der)),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                bundle.keys.push((kind, der));
            }
            _ => {}
        }
    }
    Ok(bundle)
}

fn unusable_key(line: &str) -> Option<UnusableKey> {
    let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("PRIVATE KEY-----")?;
    if label.starts_with("OPENSSH") {
        Some(UnusableKey::OpenSsh)
    } else if label.starts_with("PIV") {
        Some(UnusableKey::Hardware)
    } else if label.starts_with("ENCRYPTED") {
        Some(UnusableKey::Encrypted)
    } else {
        None
    }
}

fn pem_error(error: pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM block begins but does not end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a PEM block is malformed",
        pem::Error::Base64Decode(_) => "the base64 text of a PEM block is damaged",
        _ => "the PEM text is damaged",
    }
}
