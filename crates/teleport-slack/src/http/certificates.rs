//! The callback listener's key and certificate: read from files, and read again when the files change.
//!
//! A program that renews certificates writes two files, one after the other, perhaps slowly. So files that do not fit are
//! not an event until they have stayed the same from one look to the next; until then, and after it, the certificate in
//! use stays in use. Connections that exist keep the certificate they began with.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;
use tokio::time::{MissedTickBehavior, interval_at};
use tracing::{error, info};

use crate::config::TlsFiles;
use access_core::domain::error_chain::chain;
use access_core::domain::log_once::LogOnce;
use client_base::{files, tls};

/// The largest key or certificate file read; a chain has some ten kilobytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

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

/// A key and certificate in use, and the files that they came from.
#[derive(Debug)]
pub(super) struct Certificates {
    files: TlsFiles,
    state: Mutex<State>,
}

/// What is logged about, for [`LogOnce`].
const FILES: &str = "files";

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// The files that the certificate in use came from.
    in_use: FileStamps,
    /// The files that could not be used at the last look.
    rejected: Option<FileStamps>,
    log_once: LogOnce,
}

impl State {
    fn new(config: Arc<ServerConfig>, in_use: FileStamps) -> Self {
        Self { config, in_use, rejected: None, log_once: LogOnce::default() }
    }
}

impl Certificates {
    pub(super) async fn load(files: TlsFiles) -> Result<Self, CertificateError> {
        // Before reading: what is written in between is then found at the next look.
        let used = FileStamps::of(&files).await;
        let config = read(&files).await?;
        Ok(Self { files, state: Mutex::new(State::new(config, used)) })
    }

    /// For a new connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.state().config.clone()
    }

    /// Looks at the files forever.
    pub(super) async fn keep_current(&self, every: Duration) {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.reload_if_changed().await;
        }
    }

    /// Takes what is new in the files into use, if it can be used.
    pub(super) async fn reload_if_changed(&self) {
        let found = FileStamps::of(&self.files).await;
        if self.state().in_use == found {
            let mut state = self.state();
            state.rejected = None;
            state.log_once.clear(FILES);
            return;
        }
        match read(&self.files).await {
            Ok(config) => {
                *self.state() = State::new(config, found);
                info!(certificate = %self.files.cert.display(), "The callback listener uses the new certificate");
            }
            Err(error) => {
                let mut state = self.state();
                let has_settled = state.rejected.as_ref() == Some(&found);
                if has_settled && state.log_once.once(FILES, &format!("{found:?}")) {
                    error!(
                        "The callback listener keeps its old certificate, because the new files cannot be used: {}; \
                         remedy: put a key and its certificate there (https_key_file, https_cert_file)",
                        chain(&error)
                    );
                }
                state.rejected = Some(found);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What distinguishes one state of the two files from another; `None` for a file that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileStamps([Option<FileStamp>; 2]);

/// Device, inode, size, and the times of the last change of content and of anything. The last cannot be set back,
/// so that a file copied with its dates is noticed too.
type FileStamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl FileStamps {
    async fn of(files: &TlsFiles) -> Self {
        let (key, cert) = tokio::join!(file_stamp(&files.key), file_stamp(&files.cert));
        Self([key, cert])
    }
}

/// Follows links: Kubernetes replaces a link when a secret changes.
async fn file_stamp(path: &Path) -> Option<FileStamp> {
    let found = tokio::fs::metadata(path).await.ok()?;
    let (content, any) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some((found.dev(), found.ino(), found.size(), content, any))
}

async fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, CertificateError> {
    let damaged = |path: &Path, what| CertificateError::Invalid { path: path.to_owned(), what };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read_bytes(&files.cert).await?)
        .collect::<Result<_, _>>()
        .map_err(|_| damaged(&files.cert, "is damaged PEM"))?;
    if chain.is_empty() {
        return Err(damaged(&files.cert, "holds no certificate in PEM"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read_bytes(&files.key).await?).map_err(|error| {
        let is_absent = matches!(error, pem::Error::NoItemsFound);
        damaged(
            &files.key,
            if is_absent { "holds no unencrypted private key in PEM" } else { "is damaged PEM" },
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
    Ok(Arc::new(config))
}

async fn read_bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || files::read(&owned, MAX_FILE_BYTES)).await;
    match read.map_err(io::Error::from).flatten() {
        Ok((bytes, _)) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(CertificateError::Invalid { path: path.to_owned(), what: "is too large to be PEM" })
        }
        Err(source) => Err(CertificateError::Read { path: path.to_owned(), source }),
    }
}
