//! What the configuration and the files that it names hold at one moment: to judge it, and to see later whether it changed.

use std::path::{Path, PathBuf};

use super::identity_reloader;
use crate::config::{self, Config, Loaded, ReviewTransport, Sensitivity, TlsFiles};
use crate::observe::file_watch::{Digest, read_file};

/// How often the files are read until two readings agree: a swap of the whole directory may happen in between.
const MAX_READINGS: usize = 5;

/// One reading of all files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The configuration file itself.
    file: Digest,
    /// What it says, with the secrets from their files; or what is wrong, each cause on one line.
    pub(crate) configuration: Result<Loaded, Vec<String>>,
    /// Keys and certificates that it names.
    certificates: Vec<Digest>,
    /// What `[network]` names. Nothing else watches these files.
    network: Vec<Digest>,
}

impl Reading {
    /// Reads until two readings agree.
    pub(crate) async fn take(path: &Path) -> Self {
        let path = path.to_owned();
        // A file may lie on a drive that hangs.
        let reading = tokio::task::spawn_blocking(move || {
            let mut last = Self::read(&path);
            for _ in 1..MAX_READINGS {
                let again = Self::read(&path);
                let is_same = again == last;
                last = again;
                if is_same {
                    break;
                }
            }
            last
        });
        reading.await.unwrap_or_else(|_| {
            let cause = "the configuration could not be read".to_owned();
            Self {
                file: Err(cause.clone()),
                configuration: Err(vec![cause]),
                certificates: Vec::new(),
                network: Vec::new(),
            }
        })
    }

    /// Whether it says what a daemon was started with.
    pub(crate) fn says(&self, config: &Config) -> bool {
        self.configuration.as_ref().is_ok_and(|loaded| loaded.config == *config)
    }

    fn read(path: &Path) -> Self {
        let (file, _) = read_file(path, Sensitivity::Integrity);
        let configuration = config::load(path).map_err(|error| error.lines());
        let named = configuration.as_ref().map(|loaded| certificate_files(&loaded.config));
        let named = named.unwrap_or_default().into_iter();
        let certificates = named.map(|path| read_file(&path, Sensitivity::Integrity).0).collect();
        let network = configuration.as_ref().map(|loaded| loaded.config.network.files.as_slice());
        let network =
            network.unwrap_or_default().iter().map(|(path, held)| read_file(path, *held).0).collect();
        Self { file, configuration, certificates, network }
    }

    /// The files that are to be looked at while it is in use, the configuration file first, and what they held.
    pub(crate) fn watched(&self, path: &Path) -> (Vec<(PathBuf, Sensitivity)>, Vec<Digest>) {
        let mut files = vec![(path.to_owned(), Sensitivity::Integrity)];
        files
            .extend(self.configuration.iter().flat_map(|loaded| loaded.config.network.files.iter().cloned()));
        let held = std::iter::once(&self.file).chain(&self.network).cloned().collect();
        (files, held)
    }
}

fn certificate_files(config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        identity_reloader::files(&config.teleport.credentials).into_iter().map(|(path, _)| path).collect();
    if let Some(ReviewTransport::Http { listener, .. }) =
        config.review.as_ref().map(|review| &review.transport)
        && let Some(TlsFiles { key, cert }) = listener.tls.clone()
    {
        files.extend([key, cert]);
    }
    files
}
