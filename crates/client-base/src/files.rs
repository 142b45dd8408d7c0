//! Reads the small files that the daemon is given: configuration, tokens, keys, certificates.
//!
//! The daemon finds out whether it can read a file by reading it: modes do not show it, because access-control lists
//! exist beside them. The mode does show what others may do to the file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// What is already open: reading from it is the operator's wish (`-c /dev/stdin`, `-c <(…)`).
const ALREADY_OPEN: [&str; 4] = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/null"];
const ALREADY_OPEN_DIRS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// The bytes of a regular file, with its permission bits; never more than `limit`. Blocks while it reads, but never
/// waits for the other end of a named pipe: that is an error at once, as is a directory.
pub fn read(path: &Path, limit: u64) -> io::Result<(Vec<u8>, Option<u32>)> {
    reject_pipe(path)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok((bytes, mode_of(&metadata)))
}

/// Refuses a named pipe, which can block the caller that opens it forever.
pub fn reject_pipe(path: &Path) -> io::Result<()> {
    let is_open = ALREADY_OPEN.iter().any(|open| path == Path::new(open))
        || ALREADY_OPEN_DIRS.iter().any(|below| path.starts_with(below));
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_fifo() && !is_open => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a named pipe, and a regular file is wanted",
        )),
        // Opening it shows what else is wrong.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The permission bits of a regular file, if it is there.
pub fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().as_ref().and_then(mode_of)
}

/// A pipe or a device has no mode worth a warning.
fn mode_of(metadata: &Metadata) -> Option<u32> {
    metadata.is_file().then(|| metadata.permissions().mode())
}

/// Others may read it. Group-readable is how a service's user gets in.
pub fn others_can_read(mode: u32) -> bool {
    mode & 0o004 != 0
}

/// Others than the owner may change it.
pub fn others_can_write(mode: u32) -> bool {
    mode & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_much_is_named() {
        for (mode, read, change) in [
            (0o600, false, false),
            (0o640, false, false),
            (0o440, false, false),
            (0o644, true, false),
            (0o660, false, true),
            (0o602, false, true),
            (0o666, true, true),
            (0o751, false, false),
        ] {
            assert_eq!((others_can_read(mode), others_can_write(mode)), (read, change), "{mode:o}");
        }
    }

    #[test]
    fn pipes_and_directories_are_errors_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [pipe, link] {
            assert_eq!(read(&path, 10).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(read(dir.path(), 10).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let file = dir.path().join("file");
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap().0, b"0123456789");
        assert_eq!(read(&file, 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
