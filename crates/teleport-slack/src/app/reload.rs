//! Takes up a changed configuration while the daemon runs: reads and judges all of it first, then puts the new whole in the
//! place of the old one. What is refused changes nothing.
//!
//! A signal or a changed file asks for it through [`ReloadRequests`]. `running.rs` has the parts and replaces them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, warn};

use crate::config::{self, Config, Loaded, Sensitivity};
use crate::observe::file_watch::{FileChange, FileTimings, FileWatch};
use crate::observe::reload_state::ReloadState;

/// How often the files are read until two readings agree: a swap of the whole directory may happen in between.
const MAX_READINGS: usize = 5;

/// Asks for reloads, from anywhere; clones ask the same daemon. Those that come during a reload make one more after it.
#[derive(Clone, Debug, Default)]
pub struct ReloadRequests {
    requested: Arc<Notify>,
    /// A signal asked, not only a changed file.
    by_signal: Arc<AtomicBool>,
    state: ReloadState,
}

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadCause {
    /// An operator or a service manager, who wants an answer in the log.
    Signal,
    /// The configuration file changed, or may have.
    FileChanged,
}

impl ReloadRequests {
    /// What becomes of the reloads is reported to `state`.
    pub fn new(state: ReloadState) -> Self {
        Self { requested: Arc::default(), by_signal: Arc::default(), state }
    }

    /// Reads the configuration again, soon.
    pub fn request(&self, cause: ReloadCause) {
        self.state.reloading();
        if cause == ReloadCause::Signal {
            self.by_signal.store(true, Ordering::SeqCst);
        }
        self.requested.notify_one();
    }

    /// Waits until a reload is asked for.
    pub(crate) async fn next(&self) -> ReloadCause {
        self.requested.notified().await;
        if !self.state.status().is_reloading {
            self.state.reloading();
        }
        match self.by_signal.swap(false, Ordering::SeqCst) {
            true => ReloadCause::Signal,
            false => ReloadCause::FileChanged,
        }
    }

    /// Asks for a reload whenever the configuration file changed since `loaded` was read from it. Does not end.
    pub(crate) async fn watch_file(self, path: PathBuf, loaded: Config, timings: FileTimings) {
        // What comes through a pipe comes once.
        if !path.is_file() {
            return std::future::pending().await;
        }
        let mut files =
            FileWatch::of_present(vec![(path.clone(), Sensitivity::Integrity)], timings.retry).await;
        if read(&path).await.is_ok_and(|now| now.config != loaded) {
            self.request(ReloadCause::FileChanged);
        }
        loop {
            sleep(timings.poll).await;
            if files.look().await != FileChange::Nothing {
                files.adopt();
                self.request(ReloadCause::FileChanged);
            }
        }
    }

    /// What the files hold is in use.
    pub(crate) fn succeeded(&self) {
        self.state.reloaded();
    }

    /// The configuration was refused for these causes, each on one line. Logs them, unless the last refusal had the same.
    pub(crate) fn refused(&self, causes: &[String]) {
        let summary = match causes {
            [only] => only.clone(),
            [first, more @ ..] => format!("{first} (and {} more)", more.len()),
            [] => String::new(),
        };
        let is_known = self.state.status().refusal.is_some_and(|before| before.cause == summary);
        self.state.refused(summary);
        if !is_known {
            for cause in causes {
                error!("The new configuration is refused, so the one before stays in use: {cause}");
            }
        }
    }
}

/// Reads the configuration and the files that it names, until two readings agree.
///
/// # Errors
/// What is wrong, each cause on one line.
pub(crate) async fn read(path: &Path) -> Result<Loaded, Vec<String>> {
    let path = path.to_owned();
    // A file may lie on a drive that hangs.
    let reading = tokio::task::spawn_blocking(move || {
        let mut last = config::load(&path);
        for _ in 1..MAX_READINGS {
            let again = config::load(&path);
            let is_same = match (&last, &again) {
                (Ok(last), Ok(again)) => last == again,
                (Err(last), Err(again)) => last.to_string() == again.to_string(),
                _ => false,
            };
            last = again;
            if is_same {
                break;
            }
        }
        last.map_err(|error| error.lines())
    });
    reading.await.unwrap_or_else(|_| Err(vec!["the configuration could not be read".to_owned()]))
}

/// Logs the warnings of a new configuration that the one before did not have.
pub(crate) fn log_warnings(path: &Path, new: &Loaded, known: &[config::Diagnostic]) {
    for warning in new.warnings.iter().filter(|warning| !known.contains(warning)) {
        warn!(file = %path.display(), "Configuration: {warning}");
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn requests_during_a_reload_make_one_more() {
        let requests = ReloadRequests::default();
        requests.request(ReloadCause::FileChanged);
        requests.request(ReloadCause::Signal);
        assert_eq!(requests.next().now_or_never(), Some(ReloadCause::Signal));
        for _ in 0..3 {
            requests.request(ReloadCause::FileChanged);
        }
        requests.succeeded();
        assert_eq!(requests.next().now_or_never(), Some(ReloadCause::FileChanged));
        assert_eq!(requests.next().now_or_never(), None, "one is enough for all of them");
    }

    #[test]
    fn a_refusal_is_logged_once() {
        let log = access_sim::captured::Captured::of_crate(env!("CARGO_CRATE_NAME"));
        let requests = ReloadRequests::default();
        let causes = ["f:1: a".to_owned(), "f:2: b".to_owned()];
        requests.refused(&causes);
        requests.refused(&causes);
        assert_eq!(log.count("ERROR "), 2, "{}", log.text());
        let status = requests.state.status();
        assert_eq!(status.refusal.unwrap().cause, "f:1: a (and 1 more)");
        requests.succeeded();
        requests.refused(&causes);
        assert_eq!(log.count("ERROR "), 4);
    }
}
