//! Keeps the client's identity as new as its files while the daemon runs, and warns of its end.
//!
//! Files that are half written, damaged or not accepted by the server change nothing: the identity in use stays. What makes
//! an identity valid is in `teleport-client/src/identity.rs`; how an open watch moves is in its `watcher.rs`.

use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::{ConfiguredIdentityError, Sensitivity};
use crate::observe::expiry::{human_duration, notices_due};
use crate::observe::file_watch::{FileChange, FileTimings, FileWatch};
use crate::observe::metrics::Metrics;
use access_core::domain::error_chain::chain;
use access_core::domain::log_once::LogOnce;
use teleport_client::Client;
use teleport_client::Credentials;
use teleport_client::error::{ErrorKind, TeleportError};
use teleport_client::identity::{Identity, RENEW_REMEDY};

/// What lines are about, for [`LogOnce`]: files that cannot be used, and the certificate's end.
const FILES: &str = "files";
const EXPIRY: &str = "expiry";

/// Keeps a client's identity as new as its files.
#[derive(Debug)]
pub struct Reloader {
    client: Client,
    metrics: Metrics,
    source: Credentials,
    current: Identity,
    files: FileWatch,
    timings: FileTimings,
    /// About files that cannot be used, and about the end of the certificate in use.
    log_once: LogOnce,
}

impl Reloader {
    /// For a client that was made with the identity `current`, which came from the files of `source`.
    pub fn new(
        client: Client,
        source: Credentials,
        current: Identity,
        metrics: Metrics,
        timings: FileTimings,
    ) -> Self {
        metrics.certificate_holds(current.not_before(), current.not_after());
        let files = FileWatch::new(files(&source), timings.retry);
        Self { client, metrics, source, current, files, timings, log_once: LogOnce::default() }
    }

    /// Looks at the files now and then after each [`FileTimings::poll`], until the stop; and at once when the configuration
    /// was read again, at the files that it names then.
    pub async fn run(mut self, mut configured: watch::Receiver<Credentials>, stop: CancellationToken) {
        let looking = async {
            let mut ticks = tokio::time::interval(self.timings.poll);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => self.check(Timestamp::now()).await,
                    Ok(()) = configured.changed() => {
                        self.source = configured.borrow_and_update().clone();
                        self.files = FileWatch::new(files(&self.source), self.timings.retry);
                        self.reload(Timestamp::now(), true).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn check(&mut self, now: Timestamp) {
        match self.files.look().await {
            FileChange::Nothing => {}
            FileChange::Restored => self.log_restored(),
            FileChange::New => self.reload(now, true).await,
            FileChange::Retry => self.reload(now, false).await,
        }
        self.log_expiry(now);
    }

    /// Tries what the files hold. The log names each thing that is wrong with it once.
    async fn reload(&mut self, now: Timestamp, is_new: bool) {
        let source = self.source.clone();
        // The files may lie on a network drive that hangs.
        let loaded = tokio::task::spawn_blocking(move || Identity::load(&source, now)).await;
        let failure = match loaded {
            Ok(Ok(found)) => self.try_adopt(found).await.map_err(|error| chain(&error)),
            Ok(Err(error)) => Err(chain(&ConfiguredIdentityError(error))),
            // It panicked, which was printed, or the process ends.
            Err(_) => return,
        };
        match failure {
            Ok(()) => self.files.adopt(),
            Err(cause) if self.is_to_be_logged(&cause, is_new) => {
                warn!(
                    certificate_until = %self.current.not_after(),
                    "The certificate files changed but cannot be used, so the identity in use stays: {cause}; \
                     the daemon tries them again every few seconds"
                );
            }
            Err(cause) => debug!("The certificate files cannot be used yet: {cause}"),
        }
    }

    /// Whether it is not in the log yet that these files cannot be used for this cause.
    fn is_to_be_logged(&mut self, cause: &str, is_new: bool) -> bool {
        if is_new {
            self.log_once.clear(FILES);
        }
        let reloads = self.metrics.health().reload();
        !files(&self.source).iter().any(|(file, _)| reloads.logs_faults_of(file))
            && self.log_once.once(FILES, cause)
    }

    async fn try_adopt(&mut self, found: Identity) -> Result<(), TeleportError> {
        if found.is_same_as(&self.current) {
            self.log_restored();
            return Ok(());
        }
        match self.client.try_identity(&found).await {
            Err(error) if is_rejection(&error) => return Err(error),
            // While the server is away the daemon cannot check, but the files are the newest there are.
            Ok(()) | Err(_) => {}
        }
        info!(
            teleport_user = found.user(),
            certificate_until = %found.not_after(),
            "The certificate was renewed and is in use"
        );
        self.client.use_identity(&found);
        self.metrics.certificate_holds(found.not_before(), found.not_after());
        (self.current, self.log_once) = (found, LogOnce::default());
        Ok(())
    }

    fn log_restored(&mut self) {
        if self.log_once.clear(FILES).is_some() {
            info!("The certificate files hold the identity in use again");
        }
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

/// The files that hold an identity.
pub(super) fn files(source: &Credentials) -> Vec<(PathBuf, Sensitivity)> {
    match source {
        Credentials::Identity(file) => vec![(file.clone(), Sensitivity::Secret)],
        Credentials::Files { client_key, client_crt, root_cas } => vec![
            (client_key.clone(), Sensitivity::Secret),
            (client_crt.clone(), Sensitivity::Integrity),
            (root_cas.clone(), Sensitivity::Integrity),
        ],
    }
}

/// The server or our own check of the server says no; trying again with the same files is of little use.
fn is_rejection(error: &TeleportError) -> bool {
    matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Permanent)
}

#[cfg(test)]
mod tests;
