//! Folders in which others can put another file in the place of one that the daemon trusts, as `ssh` looks for them before it
//! uses a key: the folder of the file, and each above it.
//!
//! Unlike `ssh` it takes a folder with the sticky bit, such as `/tmp`, for closed: there only owners replace what is theirs.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::Permissions;

const STICKY: u32 = 0o1000;
/// How a user is shown that the container's user namespace does not know: no program in it can act as that user.
const UNMAPPED: u32 = 65534;

/// A folder that others can change, and with it what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenFolder {
    /// Where it is.
    pub path: PathBuf,
    /// The shell commands, each without the folder's name, that close it.
    pub commands: Vec<String>,
}

/// Who may change folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Root, this process's user and group, and the owner of the file: what the file says must be right.
    Owners,
    /// Groups, too: folders of logs belong to one that reads or rotates them.
    Groups,
}

/// Who this process is.
#[derive(Clone, Copy, Debug)]
struct Process {
    user: u32,
    group: u32,
}

/// The open folders above a file, from the root on; those of a link and of what it leads to.
pub fn open_folders(file: &Path, trust: Trust) -> Vec<OpenFolder> {
    let process =
        Process { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() };
    let owner = std::fs::metadata(file).ok().map(|found| found.uid());
    let named = std::path::absolute(file).ok();
    let real = std::fs::canonicalize(file).ok();
    let ways = named.iter().chain(&real).flat_map(|path| path.ancestors().skip(1));
    let mut folders: Vec<_> = ways.collect();
    folders.sort_unstable();
    folders.dedup();
    let open = folders.into_iter().filter_map(|folder| {
        let metadata = std::fs::metadata(folder).ok().filter(Metadata::is_dir)?;
        let permissions = Permissions::new(&metadata, folder);
        let commands = commands(&permissions, trust, process, owner);
        (!commands.is_empty()).then(|| OpenFolder { path: folder.to_owned(), commands })
    });
    open.collect()
}

/// What closes a folder with these permissions; nothing if it is closed.
fn commands(folder: &Permissions, trust: Trust, process: Process, file_owner: Option<u32>) -> Vec<String> {
    // Root does not know for which user it asks.
    let is_foreign = trust == Trust::Owners
        && process.user != 0
        && ![0, process.user, UNMAPPED].contains(&folder.owner)
        && file_owner != Some(folder.owner);
    let owner = is_foreign.then(|| "chown root".to_owned());
    if folder.mode & STICKY != 0 {
        return owner.into_iter().collect();
    }
    // Groups of the same number as the owner hold the owner alone, as Linux systems make them.
    let own_groups = [0, process.group, folder.owner];
    let trusts_group = trust == Trust::Groups || own_groups.contains(&folder.group);
    owner.into_iter().chain(folder.remedies_beside(trusts_group, trust == Trust::Groups)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn of(mode: u32, owner: u32, group: u32) -> Permissions {
        Permissions { mode, owner, group, acl: None }
    }

    #[test]
    fn a_folder_is_open_if_others_than_owners_can_change_it() {
        let daemon = Process { user: 998, group: 997 };
        for (folder, of_owners, of_groups) in [
            (of(0o755, 0, 0), "", ""),
            (of(0o750, 998, 997), "", ""),
            (of(0o777, 0, 0), "chmod o-w", "chmod o-w"),
            (of(0o777, 0, 50), "chmod g-w,o-w", "chmod o-w"),
            (of(0o775, 0, 50), "chmod g-w", ""),
            (of(0o770, 0, 997), "", ""),
            (of(0o775, 1000, 1000), "", ""),
            (of(0o1777, 0, 50), "", ""),
            (of(0o755, 1001, 1001), "chown root", ""),
            (of(0o1777, 1001, 1001), "chown root", ""),
            (of(0o777, 1001, 50), "chown root, chmod g-w,o-w", "chmod o-w"),
            (of(0o755, UNMAPPED, UNMAPPED), "", ""),
        ] {
            for (trust, expected) in [(Trust::Owners, of_owners), (Trust::Groups, of_groups)] {
                let found = commands(&folder, trust, daemon, Some(1000)).join(", ");
                assert_eq!(found, expected, "{folder:?} {trust:?}");
            }
        }
        // Root asks for another user, and does not know which.
        let root = Process { user: 0, group: 0 };
        assert_eq!(commands(&of(0o755, 1001, 50), Trust::Owners, root, None), [""; 0]);
        assert_eq!(commands(&of(0o777, 1001, 50), Trust::Owners, root, None), ["chmod g-w,o-w"]);
    }

    #[test]
    fn the_folders_of_a_link_and_of_its_end_count_and_each_above_them() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        let [named, real] = ["named", "open/real"].map(|name| dir.path().join(name));
        for folder in [&named, &real] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(real.join("key"), "").unwrap();
        symlink(real.join("key"), named.join("key")).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let found = |path: &Path| -> Vec<PathBuf> {
            open_folders(path, Trust::Owners).into_iter().map(|folder| folder.path).collect()
        };
        assert_eq!(found(&named.join("key")), [""; 0].map(PathBuf::from));
        set(&open, 0o757);
        assert_eq!(found(&named.join("key")), std::slice::from_ref(&open));
        set(&named, 0o777);
        assert_eq!(found(&named.join("key")), [named.clone(), open]);
        // One that is not there could be made there.
        assert_eq!(found(&named.join("absent")), [named]);
    }
}
