//! When the daemon reads its configuration again, and what it remembers of the last time. What is refused changes nothing.
//!
//! A signal asks for it through [`ReloadRequests`]. So does a difference between what the files hold and what was judged last:
//! contents count, not events, so that nothing depends on how soon a file is put back. `reading.rs` reads, `running.rs` judges
//! and has the parts that it replaces.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::reading::Reading;
use crate::config::{self, Config, LogConfig};
use crate::observe::file_watch::{FileTimings, OpenFiles, read_file};
use crate::observe::reload_state::ReloadState;
use crate::observe::{ANSWER, CurrentLog, OpenedLog};
use access_core::domain::error_chain::chain;

/// Asks for reloads, from anywhere; clones ask the same daemon. Those that come during a reload make one more after it.
#[derive(Clone, Debug)]
pub struct ReloadRequests(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    timings: FileTimings,
    /// It can be read again: what comes through a pipe comes once.
    is_file: bool,
    requested: Notify,
    queue: Mutex<Queue>,
    state: ReloadState,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Option<ReloadCause>,
    /// What [`ReloadRequests::next`] returned last, until the reload has ended. A start that ends drops the reload in it.
    in_progress: Option<ReloadCause>,
    /// `None` until the start.
    judged: Option<Judged>,
}

/// What the files held at the last reload that ended.
#[derive(Clone, Debug)]
struct Judged {
    reading: Reading,
    refusal: Option<Refused>,
}

#[derive(Clone, Debug)]
struct Refused {
    causes: Vec<String>,
    at: Instant,
}

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReloadCause {
    /// What was refused is tried again without a word: what was in its way may be gone.
    Retry,
    /// The files changed, or may have.
    FileChanged,
    /// An operator or a service manager, who wants an answer in the log.
    Signal,
}

impl ReloadRequests {
    /// For the configuration file `path`. What becomes of the reloads is reported to `state`.
    pub fn new(path: &Path, timings: FileTimings, state: ReloadState) -> Self {
        let (requested, queue) = (Notify::new(), Mutex::default());
        let is_file = path.is_file();
        Self(Arc::new(Shared { path: path.to_owned(), timings, is_file, requested, queue, state }))
    }

    /// Where the configuration is.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// A signal came that [`Self::request`] follows: a service manager waits for the end of the reload from now on.
    pub fn announce(&self) {
        self.0.state.reloading();
    }

    /// Reads the configuration again, soon.
    pub fn request(&self, cause: ReloadCause) {
        self.0.state.reloading();
        let mut queue = self.0.queue.lock();
        queue.waiting = queue.waiting.max(Some(cause));
        drop(queue);
        self.0.requested.notify_one();
    }

    /// The daemon starts with `loaded`. If the files hold something else by now, that is a change.
    pub(crate) async fn starts_with(&self, loaded: &Config) {
        if !self.0.is_file {
            return;
        }
        let reading = Reading::take(self.path()).await;
        if !reading.says(loaded) {
            self.request(ReloadCause::FileChanged);
        }
        self.0.queue.lock().judged = Some(Judged { reading, refusal: None });
    }

    /// Waits until a reload is asked for, or the files differ from what was judged last. The caller ends the reload with
    /// [`Self::succeeded`] or [`Self::refused`]; one that it drops comes again.
    pub(crate) async fn next(&self) -> ReloadCause {
        let (mut last, mut open) = (None, OpenFiles::default());
        loop {
            if let Some(cause) = self.take_waiting() {
                return cause;
            }
            tokio::select! {
                () = self.0.requested.notified() => {}
                () = sleep(self.0.timings.poll), if self.0.is_file => {
                    if let Some(cause) = self.look(&mut last, &mut open).await {
                        self.0.queue.lock().in_progress = Some(cause);
                        if cause != ReloadCause::Retry {
                            self.0.state.reloading();
                        }
                        return cause;
                    }
                }
            }
        }
    }

    fn take_waiting(&self) -> Option<ReloadCause> {
        let mut queue = self.0.queue.lock();
        let cause = queue.waiting.take().max(queue.in_progress.take());
        queue.in_progress = cause;
        drop(queue);
        if cause.is_some_and(|cause| cause != ReloadCause::Retry) && !self.0.state.status().is_reloading {
            self.0.state.reloading();
        }
        cause
    }

    /// Compares what the files hold with what was judged last: of what is in use the configuration file and the files of
    /// `[network]`, because others watch what else it names; of what was refused everything. A program may still be writing, so a difference counts when two
    /// looks in a row, of which `last` has the one before, see the same.
    async fn look(&self, last: &mut Option<Reading>, open: &mut OpenFiles) -> Option<ReloadCause> {
        let judged = self.0.queue.lock().judged.clone()?;
        let (files, held) = judged.reading.watched(self.path());
        let read = move || files.iter().map(|(path, held)| read_file(path, *held)).unzip();
        let (found, opening): (Vec<_>, _) = tokio::task::spawn_blocking(read).await.ok()?;
        open.warn_of_new(opening);
        if judged.refusal.is_none() && found == held {
            *last = None;
            return None;
        }
        let now = Reading::take(self.path()).await;
        if now != judged.reading {
            let has_settled = last.replace(now.clone()) == Some(now);
            return has_settled.then_some(ReloadCause::FileChanged);
        }
        *last = None;
        let is_due = judged.refusal.is_some_and(|refusal| refusal.at.elapsed() >= self.0.timings.retry);
        is_due.then_some(ReloadCause::Retry)
    }

    /// Whether the last reload was refused.
    pub(crate) fn are_refused(&self) -> bool {
        self.0.queue.lock().judged.as_ref().is_some_and(|judged| judged.refusal.is_some())
    }

    /// What the files held is in use.
    pub(crate) fn succeeded(&self, reading: Reading) {
        self.end(reading, None);
        self.0.state.reloaded();
    }

    /// The same, and it was before. Logs it if something else was refused in between, whatever the severity, so that the
    /// refusal is not the last word.
    pub(crate) fn unchanged(&self, reading: Reading) {
        let was_refused = self.are_refused();
        self.succeeded(reading);
        if was_refused {
            info!(target: ANSWER, "The configuration and the files that it names are good again");
        }
    }

    /// The configuration was refused for these causes, each on one line. Logs them, unless the last refusal had the same and
    /// no signal asked for an answer.
    pub(crate) fn refused(&self, reading: Reading, causes: Vec<String>, asked_by: ReloadCause) {
        let before = self.end(reading, Some(Refused { causes: causes.clone(), at: Instant::now() }));
        let is_known = before.is_some_and(|before| before.causes == causes);
        if !is_known || asked_by != ReloadCause::Retry {
            self.0.state.refused(causes.clone());
        }
        if !is_known || asked_by == ReloadCause::Signal {
            for cause in causes {
                error!("The new configuration is refused, so the one before stays in use: {cause}");
            }
        }
    }

    /// Notes how a reload ended. Returns how the one before was refused, if it was.
    fn end(&self, reading: Reading, refusal: Option<Refused>) -> Option<Refused> {
        let mut queue = self.0.queue.lock();
        queue.in_progress = None;
        queue.judged.replace(Judged { reading, refusal }).and_then(|before| before.refusal)
    }
}

/// Opens the log that a new configuration wants; `None` if it is the one in use.
///
/// # Errors
/// Why it cannot be opened, on one line.
pub(crate) async fn open_log(log: &CurrentLog, config: &LogConfig) -> Result<Option<OpenedLog>, String> {
    let (log, config) = (log.clone(), config.clone());
    let opening = tokio::task::spawn_blocking(move || log.open(&config)).await;
    let opened = opening.map_err(|_| "the log file could not be opened".to_owned())?;
    opened.map_err(|error| chain(&error))
}

/// Logs which parts of the configuration changed; whatever the severity if it `answers`: a signal asked, or a refusal would
/// stay the last word.
pub(crate) fn log_adopted(changed: &[&str], answers: bool) {
    let changed = changed.join(", ");
    match (answers, changed.is_empty()) {
        (true, true) => {
            info!(target: ANSWER, "The configuration was read again; nothing in it changed");
        }
        (true, false) => info!(target: ANSWER, changed, "The new configuration is in use"),
        (false, true) => info!("The configuration was read again; nothing in it changed"),
        (false, false) => info!(changed, "The new configuration is in use"),
    }
}

/// Logs the warnings of a new configuration that the one before did not have.
pub(crate) fn log_warnings(path: &Path, new: &[config::Diagnostic], known: &[config::Diagnostic]) {
    for warning in new.iter().filter(|warning| !known.contains(warning)) {
        warn!(file = %path.display(), "Configuration: {warning}");
    }
}

#[cfg(test)]
mod tests;
