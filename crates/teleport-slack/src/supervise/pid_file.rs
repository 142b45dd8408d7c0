//! The file that holds the process's number (`--pid-file`), for service managers and scripts that want one.
//!
//! The daemon keeps a lock on the file as long as it runs. So whether the number in it still means anything is known without
//! asking whose process that is: numbers are used again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tracing::{debug, warn};

/// Room for any number of a process, and more than its file has.
const MAX_BYTES: u64 = 32;
/// How often another daemon may come between before this one gives up.
const TRIES: u32 = 10;

/// The file, locked. It is removed at the end, unless it holds something else by then.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// The file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// A process that runs keeps it.
    #[error("the PID file {} is in use by the running process {holder}; end that one, or give this one another --pid-file", path.display())]
    InUse {
        /// Where it is.
        path: PathBuf,
        /// The number in it.
        holder: String,
    },
    /// It is something else.
    #[error("--pid-file names {}, which is no PID file: it holds something else than a number; name another path", path.display())]
    NotPidFile {
        /// Where it is.
        path: PathBuf,
    },
    /// It leads elsewhere: who may change links there could have any file replaced.
    #[error("the PID file {} is a symbolic link; name a regular file, for instance the one that it leads to", path.display())]
    Link {
        /// Where it is.
        path: PathBuf,
    },
    /// The system refuses it.
    #[error("the PID file {} cannot be written; its folder must be there and let the daemon's user make files (RuntimeDirectory= of a unit makes one)", path.display())]
    Unwritable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PidFile {
    /// Writes this process's number, by rename, so that no reader sees half a number; every user may read it. What a process
    /// left behind that has ended is replaced. Blocks.
    ///
    /// # Errors
    /// If a running process keeps the file, if it is something else or a link, or if it cannot be written.
    pub fn create(path: &Path) -> Result<Self, PidFileError> {
        let unwritable = |source| PidFileError::Unwritable { path: path.to_owned(), source };
        let id = std::process::id();
        let name = path.file_name().ok_or_else(|| unwritable(io::ErrorKind::InvalidFilename.into()))?;
        let draft = path.with_file_name(format!(".{}.{id}", name.to_string_lossy()));
        let file = write_draft(&draft, id).map_err(unwritable)?;
        let done = take_place(&draft, path);
        if !matches!(done, Ok(Placed::ByRename)) {
            let _ = std::fs::remove_file(&draft);
        }
        done?;
        debug!(file = %path.display(), "The PID file is written");
        Ok(Self { path: path.to_owned(), file })
    }

    fn remove(&self) -> io::Result<()> {
        let own = self.file.metadata()?;
        match std::fs::symlink_metadata(&self.path) {
            // The service manager was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            Ok(found) if is_same(&own, &found) && has_own_number(&self.path) => {}
            Ok(_) => {
                warn!(file = %self.path.display(), "The PID file is left alone: it is not the one that this process wrote");
                return Ok(());
            }
        }
        std::fs::remove_file(&self.path)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        match self.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%error, file = %self.path.display(), "The PID file could not be removed; remove it by hand");
            }
            Ok(()) | Err(_) => {}
        }
        // A child that was just forked has the lock, too, until it runs its own program.
        let _ = self.file.unlock();
    }
}

enum Placed {
    ByRename,
    ByLink,
}

/// A locked file beside the place where it belongs.
fn write_draft(draft: &Path, id: u32) -> io::Result<File> {
    // Of an earlier process with this number.
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let written = (|| {
        file.lock()?;
        writeln!(file, "{id}")?;
        // Whatever the umask of the unit is.
        file.set_permissions(PermissionsExt::from_mode(0o644))
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(draft);
    }
    written.map(|()| file)
}

/// Moves the draft to its place unless a running process keeps that. Two that start at once do not both succeed: a
/// process holds the lock of the file that it replaces, and a link replaces nothing.
fn take_place(draft: &Path, path: &Path) -> Result<Placed, PidFileError> {
    let unwritable = |source| PidFileError::Unwritable { path: path.to_owned(), source };
    for _ in 0..TRIES {
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let present = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let mut present = match present {
            Ok(present) => present,
            Err(error) if error.kind() == io::ErrorKind::NotFound => match std::fs::hard_link(draft, path) {
                Ok(()) => return Ok(Placed::ByLink),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(unwritable(error)),
            },
            Err(_) if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
                return Err(PidFileError::Link { path: path.to_owned() });
            }
            Err(error) => return Err(unwritable(error)),
        };
        let number = read_number(&mut present).map_err(unwritable)?;
        match present.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = number.unwrap_or_else(|| "of another program".to_owned());
                return Err(PidFileError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        if number.is_none() {
            return Err(PidFileError::NotPidFile { path: path.to_owned() });
        }
        let is_still_there = std::fs::symlink_metadata(path)
            .and_then(|found| Ok(is_same(&found, &present.metadata()?)))
            .unwrap_or(false);
        if is_still_there {
            return std::fs::rename(draft, path).map(|()| Placed::ByRename).map_err(unwritable);
        }
    }
    Err(unwritable(io::Error::other("other processes replace it again and again")))
}

/// What a PID file holds; empty if nothing. `None` if this is no PID file.
fn read_number(file: &mut File) -> io::Result<Option<String>> {
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).unwrap_or_else(|_| "no text".to_owned());
    let number = text.trim();
    Ok(number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned()))
}

fn has_own_number(path: &Path) -> bool {
    let number = File::open(path).and_then(|mut file| read_number(&mut file));
    matches!(number, Ok(Some(number)) if number == std::process::id().to_string())
}

fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn own() -> String {
        format!("{}\n", std::process::id())
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn every_user_can_read_it_while_the_process_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slack.pid");
        let file = PidFile::create(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(names(dir.path()), ["slack.pid"], "nothing else is left beside it");
        drop(file);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn what_an_ended_process_left_is_replaced_even_if_its_number_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slack.pid");
        // Process 1 runs, and is not ours.
        for left in ["1\n", "999999999\n", ""] {
            std::fs::write(&path, left).unwrap();
            let file = PidFile::create(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), own());
            assert_eq!(names(dir.path()), ["slack.pid"]);
            drop(file);
            assert!(!path.exists(), "{left:?}");
        }
    }

    #[test]
    fn a_running_daemon_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slack.pid");
        let first = PidFile::create(&path).unwrap();
        let error = PidFile::create(&path).unwrap_err();
        let words = format!("is in use by the running process {}", std::process::id());
        assert!(error.to_string().contains(&words), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own());
        assert_eq!(names(dir.path()), ["slack.pid"]);
        drop(first);
        // Also one that replaced another's.
        std::fs::write(&path, "1\n").unwrap();
        let _second = PidFile::create(&path).unwrap();
        assert!(matches!(PidFile::create(&path), Err(PidFileError::InUse { .. })));
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shadow");
        let text = "root:x:0:0:root:/root:/bin/sh\n";
        std::fs::write(&path, text).unwrap();
        assert!(matches!(PidFile::create(&path), Err(PidFileError::NotPidFile { .. })));
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        let dangling = dir.path().join("dangling");
        symlink("absent", &dangling).unwrap();
        for link in [&link, &dangling] {
            let error = PidFile::create(link).unwrap_err();
            assert!(matches!(error, PidFileError::Link { .. }), "{error}");
            assert!(error.to_string().contains("is a symbolic link; name a regular file"), "{error}");
            assert!(link.is_symlink());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        // A folder, and a pipe without a writer.
        assert!(matches!(PidFile::create(dir.path()), Err(PidFileError::NotPidFile { .. })));
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(PidFile::create(&pipe), Err(PidFileError::NotPidFile { .. })));
    }

    #[test]
    fn at_the_end_another_number_or_file_stays_and_none_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slack.pid");
        let file = PidFile::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(file);

        let file = PidFile::create(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        let copy = file.file.try_clone().unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n", "another number");

        let file = PidFile::create(&path).unwrap();
        drop(copy);
        let other = dir.path().join("other");
        std::fs::write(&other, own()).unwrap();
        std::fs::rename(&other, &path).unwrap();
        drop(file);
        assert!(path.exists(), "another file");
    }

    #[test]
    fn where_it_cannot_be_written_the_remedy_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for path in
            [dir.path().join("missing/slack.pid"), Path::new("/proc/slack.pid").to_owned(), "/".into()]
        {
            let error = PidFile::create(&path).unwrap_err();
            assert!(matches!(error, PidFileError::Unwritable { .. }), "{error}");
            assert!(error.to_string().contains("RuntimeDirectory="), "{error}");
        }
    }

    #[test]
    fn of_many_that_start_at_once_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slack.pid");
        for left in [None, Some("1\n")] {
            if let Some(left) = left {
                std::fs::write(&path, left).unwrap();
            }
            // All have the same number here, so each has a draft of its own name.
            let winners: Vec<_> = std::thread::scope(|scope| {
                let race = |n: u32| {
                    let path = &path;
                    move || {
                        let draft = path.with_file_name(format!("draft-{n}"));
                        let file = write_draft(&draft, n).unwrap();
                        take_place(&draft, path).ok().map(|_| file)
                    }
                };
                let threads: Vec<_> = (0..8).map(|n| scope.spawn(race(n))).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(winners.len(), 1, "{left:?}");
            std::fs::remove_file(&path).unwrap();
        }
    }
}
