//! Notices that files changed while the daemon runs, by their contents.
//!
//! Files are replaced in many ways: rewritten in place, renamed over, or swapped by a link as in Kubernetes. Times, lengths
//! and inodes can stay the same when the contents change, and change when they stay the same. A program may still be
//! writing, one file after the other, so contents count when two looks in a row see the same. What to do with them, and
//! what to log, is the caller's. The watch itself warns of a file that others can read or change since the last look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client_base::files;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::config::{Sensitivity, open_to_others};

/// The largest file that is compared. Keys, certificates and tokens are much smaller, and the code that uses the contents says
/// so of one that is too large.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The digest of what a file holds, or why it cannot be read.
pub(crate) type Digest = Result<[u8; 32], String>;
/// For each file its digest.
type Contents = Vec<Digest>;
/// For each file what others may do too much to it, with the remedy.
type Openings = Vec<Option<String>>;

/// How often to look at files.
#[derive(Clone, Copy, Debug)]
pub struct FileTimings {
    /// How often to look whether they changed.
    pub poll: Duration,
    /// How soon to try contents again that could not be used.
    pub retry: Duration,
}

/// Files that belong together, such as a certificate and its key.
#[derive(Debug)]
pub(crate) struct FileWatch {
    files: Vec<(PathBuf, Sensitivity)>,
    retry_interval: Duration,
    open: OpenFiles,
    in_use: Option<Contents>,
    /// What the last look found.
    last: Option<Contents>,
    /// When [`FileChange::New`] or [`FileChange::Retry`] was last returned for these.
    tried_at: Option<Instant>,
    /// One of the two was returned since the contents in use were last seen.
    was_tried: bool,
}

/// What a look at the files means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileChange {
    /// There is nothing to do: the contents are in use, may be half written, or were tried a moment ago.
    Nothing,
    /// The contents are new: try them.
    New,
    /// The same contents are still not in use: try them again, because what was in their way may be gone.
    Retry,
    /// After contents that could not be used, those in use are back.
    Restored,
}

impl FileWatch {
    /// What the caller uses is not known yet: the first contents are new. Contents that are not adopted are to be tried
    /// again after each `retry_interval`.
    pub(crate) fn new(files: Vec<(PathBuf, Sensitivity)>, retry_interval: Duration) -> Self {
        let (open, in_use, last, tried_at) = (OpenFiles::default(), None, None, None);
        Self { files, retry_interval, open, in_use, last, tried_at, was_tried: false }
    }

    /// The same, and the present contents count as in use. To be called before the caller reads them, so that what is
    /// written in between is found by the next looks.
    pub(crate) async fn of_present(files: Vec<(PathBuf, Sensitivity)>, retry_interval: Duration) -> Self {
        let mut watch = Self::new(files, retry_interval);
        (watch.in_use, watch.open.0) = watch.read().await.unzip();
        watch
    }

    /// Reads all files. At most one look is in progress, because a network drive may hang.
    pub(crate) async fn look(&mut self) -> FileChange {
        match self.read().await {
            Some((found, open)) => {
                self.open.warn_of_new(open);
                self.observe(found, Instant::now())
            }
            None => FileChange::Nothing,
        }
    }

    /// The contents of the last look are in use from now on.
    pub(crate) fn adopt(&mut self) {
        self.in_use.clone_from(&self.last);
        (self.tried_at, self.was_tried) = (None, false);
    }

    async fn read(&self) -> Option<(Contents, Openings)> {
        let watched = self.files.clone();
        let read = tokio::task::spawn_blocking(move || {
            watched.iter().map(|(path, held)| read_file(path, *held)).unzip()
        });
        // It panicked, which was printed, or the process ends.
        read.await.inspect_err(|_| debug!("The files {:?} could not be looked at", self.files)).ok()
    }

    fn observe(&mut self, found: Contents, now: Instant) -> FileChange {
        let is_in_use = self.in_use.as_ref() == Some(&found);
        let has_settled = self.last.as_ref() == Some(&found);
        self.last = Some(found);
        if is_in_use {
            self.tried_at = None;
            let was_tried = std::mem::take(&mut self.was_tried);
            return if was_tried { FileChange::Restored } else { FileChange::Nothing };
        }
        if !has_settled {
            self.tried_at = None;
            return FileChange::Nothing;
        }
        let change = match self.tried_at {
            None => FileChange::New,
            Some(tried) if now.duration_since(tried) >= self.retry_interval => FileChange::Retry,
            Some(_) => return FileChange::Nothing,
        };
        (self.tried_at, self.was_tried) = (Some(now), true);
        change
    }
}

/// What the last look found open to others; the configuration's warnings name what is open before the first.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Option<Openings>);

impl OpenFiles {
    /// Warns of what is open to others and was not at the last look.
    pub(crate) fn warn_of_new(&mut self, found: Openings) {
        for opened in self.newly_open(found) {
            warn!("The permissions of a file changed: {opened}");
        }
    }

    fn newly_open(&mut self, found: Openings) -> Vec<String> {
        let before = self.0.replace(found.clone()).unwrap_or_else(|| found.clone());
        found
            .into_iter()
            .zip(before)
            .filter(|(now, before)| now != before)
            .filter_map(|(now, _)| now)
            .collect()
    }
}

/// The digest of a file, and whether it is open to others. One that cannot be read is open to none. Blocks.
pub(crate) fn read_file(path: &Path, held: Sensitivity) -> (Digest, Option<String>) {
    match files::read(path, MAX_FILE_BYTES) {
        Ok((bytes, permissions)) => {
            let open = permissions.and_then(|found| open_to_others(held, path, &found));
            (Ok(Sha256::digest(bytes).into()), open.map(|(cause, remedy)| format!("{cause}; {remedy}")))
        }
        Err(error) => (Err(error.to_string()), None),
    }
}

#[cfg(test)]
mod tests;
