//! The log's file. It follows its path: after a program that rotates logs has renamed the file, later lines go to a new one of
//! the old name, without a signal. Lines are appended, so a file that is copied and cut goes on at its beginning.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use client_base::files;

/// How often a write looks where the path leads, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    looked_at: Instant,
}

impl LogFile {
    /// Opens the file at its end, and makes it if it is not there. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)?, looked_at: Instant::now() })
    }

    /// Opens what is called by the file's name now, if that is another file. If that fails, the present one stays.
    fn follow_path(&mut self) {
        if self.looked_at.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        let found = std::fs::metadata(&self.path).ok().and_then(|found| identity(&found));
        let is_same = match (found, self.file.metadata().ok().and_then(|own| identity(&own))) {
            (Some(found), Some(own)) => found == own,
            (None, Some(_)) => false,
            // The system does not say.
            (_, None) => true,
        };
        if !is_same && let Ok(file) = open(&self.path) {
            self.file = file;
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.follow_path();
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    files::reject_pipe(path)?;
    let mut file = options.open(path)?;
    // The last writer may have died, or met a full disk, within a line.
    if ends_mid_line(path) {
        let _ = file.write_all(b"\n");
    }
    Ok(file)
}

/// Whether it is a file of which the last line has no end. `false` if we may only write.
fn ends_mid_line(path: &Path) -> bool {
    let last = || {
        let mut last = [b'\n'];
        // A pipe could not even be opened as long as it has no reader.
        if !std::fs::metadata(path)?.is_file() {
            return Ok(last);
        }
        let mut file = File::open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        io::Result::Ok(last)
    };
    last().is_ok_and(|last| last != [b'\n'])
}

/// Which file it is, whatever its name; `None` where the system does not say.
#[cfg(unix)]
pub(super) fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
pub(super) fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_follows_its_path_once_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let [path, rotated] = ["slack.log", "slack.log.1"].map(|name| dir.path().join(name));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let mut log = LogFile::open(&path).unwrap();
        log.write_all(b"1\n").unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        log.write_all(b"2\n").unwrap();
        tokio::time::advance(LOOK_INTERVAL).await;
        // As logrotate's `nocreate` does it, and then `create`.
        log.write_all(b"3\n").unwrap();
        assert_eq!((read(&rotated), read(&path)), ("1\n2\n".to_owned(), "3\n".to_owned()));
        std::fs::rename(&path, &rotated).unwrap();
        std::fs::write(&path, "").unwrap();
        tokio::time::advance(LOOK_INTERVAL).await;
        log.write_all(b"4\n").unwrap();
        assert_eq!((read(&rotated), read(&path)), ("3\n".to_owned(), "4\n".to_owned()));
        // `copytruncate` leaves the file and cuts it: no gap of zeros.
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        log.write_all(b"5\n").unwrap();
        assert_eq!(read(&path), "5\n");
        // What cannot be opened leaves the log where it is.
        std::fs::rename(&path, &rotated).unwrap();
        std::fs::create_dir(&path).unwrap();
        tokio::time::advance(LOOK_INTERVAL).await;
        log.write_all(b"6\n").unwrap();
        assert_eq!(read(&rotated), "5\n6\n");
    }
}
