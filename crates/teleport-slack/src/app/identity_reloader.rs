//! Notices renewed certificate files while the daemon runs, and moves the client to them.
//!
//! It looks at the files again and again, because they are replaced in many ways (tbot rewrites them,
//! Kubernetes swaps a link, people copy) that have only this in common: time, length or inode changes. Files
//! that are half written, damaged or not accepted by the server change nothing: the identity in use stays.
//! What makes an identity valid is in `identity.rs`; how an open watch moves is in `watch.rs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::observe::metrics::Metrics;
use access_core::domain::error_chain::chain;
use access_core::domain::log_once::LogOnce;
use teleport_client::Client;
use teleport_client::Credentials;
use teleport_client::error::{ErrorKind, TeleportError};
use teleport_client::identity::{Identity, IdentityError, RENEW_REMEDY};

/// How long before a certificate's end it is warned of, longest first. None of these may be more than a quarter
/// of the certificate's life, or tbot's, which last an hour, would be warned of from their beginning.
const EXPIRY_NOTICES: [SignedDuration; 3] =
    [SignedDuration::from_hours(7 * 24), SignedDuration::from_hours(24), SignedDuration::from_hours(1)];

/// Keeps a client's identity as new as its files.
#[derive(Debug)]
pub struct Reloader {
    client: Client,
    metrics: Metrics,
    source: Credentials,
    current: Identity,
    /// The files as they were when they held what is in use; `None` makes the next look read them.
    loaded_stamps: Option<Vec<FileStamp>>,
    /// Files that cannot be used, or not yet.
    unusable: Option<Vec<FileStamp>>,
    /// About the files ([`FILES`]) and the certificate in use ([`EXPIRY`]).
    log_once: LogOnce,
}

const FILES: &str = "files";
const EXPIRY: &str = "expiry";

/// What changes when a file is replaced; `None` if it cannot be looked at.
type FileStamp = Option<(SystemTime, u64, u64)>;

impl Reloader {
    /// For a client that was made with the identity `current`, which came from the files of `source`.
    pub fn new(client: Client, source: Credentials, current: Identity, metrics: Metrics) -> Self {
        metrics.certificate_expires(current.not_after());
        let log_once = LogOnce::default();
        Self { client, metrics, source, current, loaded_stamps: None, unusable: None, log_once }
    }

    /// Looks at the files now and then every `interval`, until the stop.
    pub async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let looking = async {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.check(Timestamp::now()).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn check(&mut self, now: Timestamp) {
        let (source, settled) = (self.source.clone(), self.loaded_stamps.clone());
        // The files may lie on a network drive that hangs.
        match tokio::task::spawn_blocking(move || load_if_changed(&source, settled.as_ref(), now)).await {
            Ok(None) => {}
            Ok(Some(LoadedFiles { stamps, identity: Ok(identity) })) => {
                self.try_adopt(stamps, identity).await
            }
            Ok(Some(LoadedFiles { stamps, identity: Err(error) })) => {
                self.keep_current(stamps, &chain(&error))
            }
            // It panicked, which was printed, or the process ends.
            Err(_) => debug!("The certificate files could not be looked at"),
        }
        self.log_expiry(now);
    }

    async fn try_adopt(&mut self, stamps: Vec<FileStamp>, found: Identity) {
        if found.is_same_as(&self.current) {
            self.unusable = None;
            if let Some(suppressed) = self.log_once.clear(FILES) {
                info!(suppressed, "The certificate files hold the identity in use again");
            }
            self.loaded_stamps = Some(stamps);
            return;
        }
        match self.client.try_identity(&found).await {
            Err(error) if is_rejection(&error) => self.keep_current(stamps, &chain(&error)),
            // While the server is away the daemon cannot check, but the files are the newest there are.
            Ok(()) | Err(_) => {
                info!(
                    user = found.user(),
                    certificate_until = %found.not_after(),
                    "The certificate was renewed and is in use"
                );
                self.client.use_identity(&found);
                *self = Self {
                    loaded_stamps: Some(stamps),
                    ..Self::new(self.client.clone(), self.source.clone(), found, self.metrics.clone())
                };
            }
        }
    }

    /// Stays with the identity in use. Logs it only if the files do not change until the next look, because a program may
    /// still be writing them, one after the other.
    fn keep_current(&mut self, stamps: Vec<FileStamp>, cause: &str) {
        self.loaded_stamps = None;
        let has_settled = self.unusable.as_ref() == Some(&stamps);
        if !has_settled {
            debug!("The certificate files changed and cannot be used yet: {cause}");
        } else if self.log_once.once(FILES, &format!("{stamps:?}")) {
            warn!(
                certificate_until = %self.current.not_after(),
                "The certificate files changed but cannot be used, so the identity in use stays: {cause}; \
                 they are tried again every few seconds"
            );
        }
        self.unusable = Some(stamps);
    }

    /// Says once for each notice that the present certificate ends, and once that it has ended.
    fn log_expiry(&mut self, now: Timestamp) {
        let (from, until) = (self.current.not_before(), self.current.not_after());
        let due = notices_due(from, until, now);
        if due == 0 || !self.log_once.once(EXPIRY, &due.to_string()) {
            return;
        }
        let user = self.current.user();
        let left = until.duration_since(now);
        if left.is_positive() {
            warn!(
                certificate_until = %until,
                "The certificate of the Teleport user {user} ends in {}: {RENEW_REMEDY}; new files are noticed without \
                 a restart",
                human_duration(left)
            );
        } else {
            error!(
                certificate_until = %until,
                "The certificate of the Teleport user {user} has expired and Teleport accepts no new connection: \
                 {RENEW_REMEDY}; new files are noticed without a restart"
            );
        }
    }
}

/// What the files hold, and how they looked just before they were read.
struct LoadedFiles {
    stamps: Vec<FileStamp>,
    identity: Result<Identity, IdentityError>,
}

/// Reads the files, unless they look as before. Blocks.
fn load_if_changed(
    source: &Credentials,
    settled: Option<&Vec<FileStamp>>,
    now: Timestamp,
) -> Option<LoadedFiles> {
    let stamps: Vec<FileStamp> = files(source).into_iter().map(|file| stamp(file)).collect();
    if settled == Some(&stamps) {
        return None;
    }
    Some(LoadedFiles { stamps, identity: Identity::load(source, now) })
}

fn files(source: &Credentials) -> Vec<&PathBuf> {
    match source {
        Credentials::Identity(file) => vec![file],
        Credentials::Files { client_key, client_crt, root_cas } => vec![client_key, client_crt, root_cas],
    }
}

fn stamp(file: &Path) -> FileStamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), inode(&metadata)))
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// The server or our own check of the server says no; trying again with the same files is of little use.
fn is_rejection(error: &TeleportError) -> bool {
    matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Permanent)
}

/// How many notices about a certificate's end are due: those before it, and one when it is over.
fn notices_due(from: Timestamp, until: Timestamp, now: Timestamp) -> usize {
    let quarter = until.duration_since(from) / 4;
    let mut notices: Vec<SignedDuration> =
        EXPIRY_NOTICES.into_iter().filter(|notice| *notice <= quarter).collect();
    if notices.is_empty() {
        notices.push(quarter);
    }
    notices.push(SignedDuration::ZERO);
    let left = until.duration_since(now);
    notices.into_iter().filter(|notice| left <= *notice).count()
}

fn human_duration(left: SignedDuration) -> String {
    match (left.as_hours(), left.as_mins()) {
        (48.., _) => format!("{} days", left.as_hours() / 24),
        (2.., _) => format!("{} hours", left.as_hours()),
        (_, 2..) => format!("{} minutes", left.as_mins()),
        _ => format!("{} seconds", left.as_secs()),
    }
}

#[cfg(test)]
mod tests;
