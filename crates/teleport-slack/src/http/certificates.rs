//! The callback listener's key and certificate: read from files, and read again when the files change.
//!
//! `observe/file_watch.rs` notices that they changed. While they cannot be used, the certificate in use stays in use.
//! Connections that exist keep the certificate they began with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::sleep;
use tracing::{error, info};

use crate::config::{Sensitivity, TlsFiles};
use crate::observe::file_watch::{FileChange, FileWatch};
use access_core::domain::error_chain::chain;
use client_base::certificate::CertificateFacts;
use client_base::{files, tls};

/// The largest key or certificate file read; a chain has some ten kilobytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What to do about files that cannot be used.
pub(crate) const PAIR_REMEDY: &str = "put a private key into https_key_file, and its certificate with the chain of authorities into \
                                      https_cert_file, both PEM: of certbot privkey.pem and fullchain.pem";

/// Why a key and certificate cannot be used. Nothing of the files' content is part of it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} {what}", path.display())]
    Invalid {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        what: &'static str,
    },
    /// Key and certificate are readable, but do not go together, or are of a kind that is not supported.
    #[error("the key {} and the certificate {} cannot be used together", key.display(), cert.display())]
    Incompatible {
        /// The path of the private key.
        key: PathBuf,
        /// The path of the certificate.
        cert: PathBuf,
        /// The TLS library's reason.
        source: rustls::Error,
    },
}

/// A key and certificate in use.
#[derive(Debug)]
pub(super) struct Certificates {
    files: TlsFiles,
    config: Mutex<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files; what they hold later is found by the watch. Files that cannot be used are read again after `retry`.
    pub(super) async fn load(
        files: TlsFiles,
        retry: Duration,
    ) -> Result<(Self, FileWatch), CertificateError> {
        let watched =
            vec![(files.key.clone(), Sensitivity::Secret), (files.cert.clone(), Sensitivity::Integrity)];
        let watch = FileWatch::of_present(watched, retry).await;
        let config = load(&files).await?.config;
        Ok((Self { files, config: Mutex::new(config) }, watch))
    }

    /// For a new connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.config.lock().clone()
    }

    /// Looks at the files forever.
    pub(super) async fn keep_current(&self, mut watch: FileWatch, every: Duration) {
        loop {
            sleep(every).await;
            self.reload_if_changed(&mut watch).await;
        }
    }

    /// Takes what is new in the files into use, if it can be used.
    pub(super) async fn reload_if_changed(&self, watch: &mut FileWatch) {
        let change = watch.look().await;
        match change {
            FileChange::Nothing => return,
            FileChange::Restored => {
                info!("The files of the callback listener hold the certificate in use again");
                return;
            }
            FileChange::New | FileChange::Retry => {}
        }
        match load(&self.files).await {
            Ok(pair) => {
                *self.config.lock() = pair.config;
                watch.adopt();
                info!(file = %self.files.cert.display(), "The callback listener uses the new certificate");
            }
            Err(error) if change == FileChange::New => error!(
                "The callback listener keeps its old certificate, because the new files cannot be used: {}; \
                 remedy: {PAIR_REMEDY}",
                chain(&error)
            ),
            // The log says so.
            Err(_) => {}
        }
    }
}

/// A key and certificate that can be used together.
#[derive(Clone, Debug)]
pub struct Pair {
    config: Arc<ServerConfig>,
    /// What the certificate says of itself; `None` if it cannot be read.
    pub facts: Option<CertificateFacts>,
}

/// The same as [`read`], for callers that must not block.
///
/// # Errors
/// If they cannot be used.
pub async fn load(files: &TlsFiles) -> Result<Pair, CertificateError> {
    let owned = files.clone();
    let reading = tokio::task::spawn_blocking(move || read(&owned)).await;
    reading.map_err(|error| CertificateError::Read { path: files.key.clone(), source: error.into() })?
}

const EXCHANGED_CERT: &str =
    "holds a private key and no certificate; https_key_file and https_cert_file are probably exchanged";
const EXCHANGED_KEY: &str =
    "holds a certificate and no private key; https_key_file and https_cert_file are probably exchanged";

/// Reads both files. Blocks.
///
/// # Errors
/// If they cannot be used.
pub fn read(files: &TlsFiles) -> Result<Pair, CertificateError> {
    let (cert, key) = (read_bytes(&files.cert)?, read_bytes(&files.key)?);
    let damaged = |path: &Path, what| CertificateError::Invalid { path: path.to_owned(), what };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .map_err(|_| damaged(&files.cert, "is damaged PEM"))?;
    let Some(own) = chain.first() else {
        let is_key = PrivateKeyDer::from_pem_slice(&cert).is_ok();
        return Err(damaged(
            &files.cert,
            if is_key { EXCHANGED_CERT } else { "holds no certificate in PEM" },
        ));
    };
    let facts = CertificateFacts::read(own);
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
        let is_absent = matches!(error, pem::Error::NoItemsFound);
        let is_certificate = is_absent && CertificateDer::from_pem_slice(&key).is_ok();
        damaged(
            &files.key,
            match (is_absent, is_certificate) {
                (_, true) => EXCHANGED_KEY,
                (true, false) => "holds no unencrypted private key in PEM",
                (false, false) => "is damaged PEM",
            },
        )
    })?;
    let unfit =
        |source| CertificateError::Incompatible { key: files.key.clone(), cert: files.cert.clone(), source };
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Pair { config: Arc::new(config), facts })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    match files::read(path, MAX_FILE_BYTES) {
        Ok((bytes, _)) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(CertificateError::Invalid { path: path.to_owned(), what: "is too large to be PEM" })
        }
        Err(source) => Err(CertificateError::Read { path: path.to_owned(), source }),
    }
}
