//! Reads the small files that the daemon is given: configuration, tokens, keys, certificates.
//!
//! The daemon finds out whether it can read a file by reading it. What others may do to the file, its mode shows together
//! with its access-control list (`acl`).

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::acl::Acl;

/// What is already open: reading from it is the operator's wish (`-c /dev/stdin`, `-c <(…)`).
const ALREADY_OPEN: [&str; 4] = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/null"];
const ALREADY_OPEN_DIRS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// The bytes of a regular file, with its permissions; never more than `limit`. Blocks while it reads, but never
/// waits for the other end of a named pipe: that is an error at once, as is a directory.
pub fn read(path: &Path, limit: u64) -> io::Result<(Vec<u8>, Option<Permissions>)> {
    reject_pipe(path)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok((bytes, permissions_of(&metadata, path)))
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

/// The permissions of a regular file, if it is there.
pub fn permissions(path: &Path) -> Option<Permissions> {
    std::fs::metadata(path).ok().and_then(|metadata| permissions_of(&metadata, path))
}

/// A pipe or a device has no mode worth a warning.
fn permissions_of(metadata: &Metadata, path: &Path) -> Option<Permissions> {
    metadata.is_file().then(|| Permissions::new(metadata, path))
}

/// What others may do to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The permission bits. Beside an access-control list, those of the group are the list's mask.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    pub(crate) acl: Option<Acl>,
}

/// Who can read a file, besides root: user and group ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// The owner, and users that the access-control list names.
    pub users: Vec<u32>,
    /// The file's group, and groups that the access-control list names.
    pub groups: Vec<u32>,
    /// All others too.
    pub everybody: bool,
}

impl Permissions {
    pub(crate) fn new(metadata: &Metadata, path: &Path) -> Self {
        Self {
            mode: metadata.permissions().mode(),
            owner: metadata.uid(),
            group: metadata.gid(),
            acl: Acl::of_file(path),
        }
    }

    /// Those of a file without an access-control list.
    /// The file belongs to root.
    pub fn of_mode(mode: u32) -> Self {
        Self { mode, owner: 0, group: 0, acl: None }
    }

    /// Who can read it.
    pub fn readers(&self) -> Readers {
        let mut readers = Readers { everybody: self.others_can_read(), ..Readers::default() };
        readers.users.extend((self.mode & 0o400 != 0).then_some(self.owner));
        match &self.acl {
            None => readers.groups.extend((self.mode & 0o040 != 0).then_some(self.group)),
            Some(acl) => {
                readers.groups.extend(acl.group_reads.then_some(self.group));
                readers.users.extend(&acl.reading_users);
                readers.groups.extend(&acl.reading_groups);
            }
        }
        readers
    }

    /// Others may read it. Group-readable, or readable by an entry of the list, is how a service's user gets in.
    pub fn others_can_read(&self) -> bool {
        self.mode & 0o004 != 0
    }

    /// Others than the owner and the daemon's own user may change it.
    pub fn others_can_write(&self) -> bool {
        self.mode & 0o002 != 0
            || match &self.acl {
                None => self.mode & 0o020 != 0,
                Some(acl) => !acl.writers.is_empty(),
            }
    }

    /// Every user may change it.
    pub fn all_can_write(&self) -> bool {
        self.mode & 0o002 != 0
    }

    /// The shell commands, each without the file's name, that take away what others may do too much and nothing else:
    /// changing the file, and reading it if it is a secret.
    pub fn remedies(&self, is_secret: bool) -> Vec<String> {
        self.remedies_but(is_secret, false, false)
    }

    /// The same of changing alone, where the file's group, or the users and groups of an access-control list, may do that.
    pub(crate) fn remedies_beside(&self, trusts_group: bool, trusts_list: bool) -> Vec<String> {
        self.remedies_but(false, trusts_group, trusts_list)
    }

    fn remedies_but(&self, is_secret: bool, trusts_group: bool, trusts_list: bool) -> Vec<String> {
        let has = |bit: u32| self.mode & bit != 0;
        let others = match (is_secret && has(0o004), has(0o002)) {
            (false, false) => None,
            (true, false) => Some("o-r"),
            (false, true) => Some("o-w"),
            (true, true) => Some("o-rw"),
        };
        let Some(acl) = &self.acl else {
            let group = (!trusts_group && has(0o020)).then_some("g-w");
            let bits: Vec<_> = group.into_iter().chain(others).collect();
            return if bits.is_empty() { Vec::new() } else { vec![format!("chmod {}", bits.join(","))] };
        };
        let is_trusted = |entry: &&String| trusts_list || trusts_group && entry.starts_with("g::");
        let writers: Vec<_> =
            acl.writers.iter().filter(|entry| !is_trusted(entry)).map(String::as_str).collect();
        // Without `-n` the mask would be computed again, and rights that it takes away would come back.
        let list = (!writers.is_empty()).then(|| format!("setfacl -n -m {}", writers.join(",")));
        list.into_iter().chain(others.map(|bits| format!("chmod {bits}"))).collect()
    }
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
            let permissions = Permissions::of_mode(mode);
            let found = (permissions.others_can_read(), permissions.others_can_write());
            assert_eq!(found, (read, change), "{mode:o}");
        }
    }

    #[test]
    fn a_remedy_names_only_the_bits_that_are_set_and_harm() {
        for (mode, of_secret, of_other) in [
            (0o640, "", ""),
            (0o751, "", ""),
            (0o644, "chmod o-r", ""),
            (0o660, "chmod g-w", "chmod g-w"),
            (0o602, "chmod o-w", "chmod o-w"),
            (0o646, "chmod o-rw", "chmod o-w"),
            (0o777, "chmod g-w,o-rw", "chmod g-w,o-w"),
        ] {
            let permissions = Permissions::of_mode(mode);
            let remedies = [true, false].map(|is_secret| permissions.remedies(is_secret).join(" "));
            assert_eq!(remedies, [of_secret, of_other], "{mode:o}");
        }
    }

    #[test]
    fn the_readers_are_those_that_the_mode_names() {
        let of = |mode| Permissions { mode, owner: 7, group: 8, acl: None }.readers();
        assert_eq!(of(0o600), Readers { users: vec![7], ..Readers::default() });
        assert_eq!(of(0o640), Readers { users: vec![7], groups: vec![8], everybody: false });
        assert_eq!(of(0o204), Readers { everybody: true, ..Readers::default() });
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
