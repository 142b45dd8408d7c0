//! Why an identity cannot be used, in words for people.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::pem::UnusableKey;
use crate::resources::NAME;

/// Of `tctl auth sign`: one file with key, certificate and CAs.
pub(super) const FORMAT_FILE: &str = "file";
/// Of `tctl auth sign`: three files.
pub(super) const FORMAT_TLS: &str = "tls";

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read {}; {}", .file.display(), readable_remedy(.source, .format))]
    Unreadable {
        /// The path of the file.
        file: PathBuf,
        /// The format of `tctl auth sign` that writes it.
        format: &'static str,
        /// The system's reason.
        source: io::Error,
    },

    /// The file is far too large to be right.
    #[error("{} is larger than 1 MiB and cannot be a key or certificate file; check the path", .file.display())]
    TooLarge {
        /// The path of the file.
        file: PathBuf,
    },

    /// The file's PEM text is broken.
    #[error("{}: {what}; {}", .file.display(), RENEW_REMEDY)]
    Damaged {
        /// The path of the file.
        file: PathBuf,
        /// What is wrong with its PEM text.
        what: &'static str,
    },

    /// No private key.
    #[error("{} holds no private key in PEM format; {}", .file.display(), RENEW_REMEDY)]
    NoKey {
        /// The path of the file.
        file: PathBuf,
    },

    /// The file for the private key is one for the certificate.
    #[error(
        "{} holds no private key but a certificate; the paths of the private key and the certificate are probably \
         exchanged, or that of the private key is wrong",
        .file.display()
    )]
    CertificateForKey {
        /// The file that `client_key` names.
        file: PathBuf,
    },

    /// The file for the certificate is one for the private key.
    #[error(
        "{} holds no certificate but a private key; the paths of the private key and the certificate are probably \
         exchanged, or that of the certificate is wrong",
        .file.display()
    )]
    KeyForCertificate {
        /// The file that `client_crt` names.
        file: PathBuf,
    },

    /// The file for the certificate has everything.
    #[error(
        "{} holds a private key and several certificates, so it is an identity file (`tctl auth sign --format=file`); name it \
         as the identity, in place of the private key, the certificate and the CAs",
        .file.display()
    )]
    IdentityForCertificate {
        /// The file that `client_crt` names.
        file: PathBuf,
    },

    /// A private key of a kind that we cannot use.
    #[error("{} holds {}, which this daemon cannot use; {}", .file.display(), describe_key(*.label), RENEW_REMEDY)]
    UnsupportedKey {
        /// The path of the file.
        file: PathBuf,
        /// The kind of key that it holds.
        label: UnusableKey,
    },

    /// A private key that does not parse.
    #[error("the private key in {} is damaged or neither RSA, ECDSA nor Ed25519; {}", .file.display(), RENEW_REMEDY)]
    BadKey {
        /// The path of the file.
        file: PathBuf,
    },

    /// No client certificate.
    #[error("{} holds no certificate in PEM format; {}", .file.display(), RENEW_REMEDY)]
    NoCertificate {
        /// The path of the file.
        file: PathBuf,
    },

    /// A chain, which Teleport refuses.
    #[error(
        "{} holds {count} certificates, but Teleport accepts exactly one client certificate; is it the CA file?",
        .file.display()
    )]
    ManyCertificates {
        /// The path of the file.
        file: PathBuf,
        /// How many certificates it holds.
        count: usize,
    },

    /// A certificate that does not parse.
    #[error("certificate number {number} in {} is damaged; {}", .file.display(), RENEW_REMEDY)]
    BadCertificate {
        /// The path of the file.
        file: PathBuf,
        /// Which one, from 1.
        number: usize,
    },

    /// No CA certificate.
    #[error("{} holds no CA certificate, so the auth server could not be verified; {}", .file.display(), RENEW_REMEDY)]
    NoCa {
        /// The path of the file.
        file: PathBuf,
    },

    /// The file for the CAs is another one.
    #[error(
        "{} holds {held} and no certificate of a CA; name the file with the CAs: `tctl auth sign --format={FORMAT_TLS}` writes \
         it as .cas, beside .key and .crt",
        .file.display()
    )]
    OtherForCas {
        /// The file that `root_cas` names.
        file: PathBuf,
        /// What it is.
        held: &'static str,
    },

    /// The certificate names no user.
    #[error(
        "the certificate in {} names no Teleport user (its subject has no CN); {}",
        .file.display(), RENEW_REMEDY
    )]
    NoUser {
        /// The path of the file.
        file: PathBuf,
    },

    /// Key and certificate are not a pair.
    #[error(
        "the private key in {} does not belong to the certificate in {}; use files that were signed together",
        .key.display(), .crt.display()
    )]
    KeyMismatch {
        /// The path of the private key.
        key: PathBuf,
        /// The path of the certificate.
        crt: PathBuf,
    },

    /// The certificate's time has not come.
    #[error(
        "the certificate in {} is valid only from {from}, and it is {now:.0}; compare this machine's clock with the time",
        .file.display()
    )]
    NotYetValid {
        /// The path of the file.
        file: PathBuf,
        /// From when on it is valid.
        from: Timestamp,
        /// The wall clock's time.
        now: Timestamp,
    },

    /// The certificate is over.
    #[error("the certificate in {} expired at {at}; {}", .file.display(), RENEW_REMEDY)]
    Expired {
        /// The path of the file.
        file: PathBuf,
        /// Until when it was valid.
        at: Timestamp,
    },

    /// rustls will not take it.
    #[error("the identity in {} cannot be used for TLS ({reason}); {}", .file.display(), RENEW_REMEDY)]
    Tls {
        /// The path of the certificate.
        file: PathBuf,
        /// What rustls says is wrong.
        reason: String,
    },
}

/// The remedy for most of the above.
pub const RENEW_REMEDY: &str = "sign a new one with `tctl auth sign --format=file --user=USER --out=auth_id` \
                         (or --format=tls for separate files), or let tbot renew it";

/// What to do about a file that cannot be read.
fn readable_remedy(source: &io::Error, format: &str) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => {
            let (out, written) = match format {
                FORMAT_FILE => ("auth_id", "writes it, and so does tbot"),
                _ => ("auth", "writes auth.key, auth.crt and auth.cas"),
            };
            format!(
                "correct the path, or put the file there: `tctl auth sign --format={format} --user={NAME} --out={out} --ttl=8760h` {written}"
            )
        }
        io::ErrorKind::PermissionDenied => "let the daemon's user read it".to_owned(),
        _ => {
            "name the file that `tctl auth sign` or tbot wrote, and let the daemon's user read it".to_owned()
        }
    }
}

fn describe_key(key: UnusableKey) -> &'static str {
    match key {
        UnusableKey::OpenSsh => "a private key in OpenSSH's format",
        UnusableKey::Hardware => "a reference to a hardware key",
        UnusableKey::Encrypted => "a private key that is encrypted with a passphrase",
    }
}
