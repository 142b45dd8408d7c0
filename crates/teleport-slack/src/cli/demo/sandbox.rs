//! The folder of `demo --sandbox`: ours from the first run on, or empty, or it is left alone.

use std::fs;
use std::io;
use std::path::Path;

use crate::exit::{Exit, ExitError};
use crate::supervise::pid_file::{PidFile, PidFileError};

/// Marks a folder as one that the demo made.
const MARKER: &str = ".teleport-slack-demo";
/// The text of the marker, for people who find it.
const MARKER_TEXT: &str = "`teleport-slack demo --sandbox` overwrites its files in this folder.\n";
/// The files that the demo writes.
pub(super) const FILES: [&str; 7] =
    ["auth.key", "auth.crt", "auth.cas", "auth_id", "token", "app_token", "teleport-slack.toml"];

/// Says which process uses the folder, and keeps others out as long as that runs.
const IN_USE: &str = ".teleport-slack-demo.pid";

/// Makes the folder, or makes sure that it is ours or empty; afterwards its files may be overwritten until the result is
/// dropped.
pub(super) fn prepare(dir: &Path) -> Result<PidFile, ExitError> {
    let context = || format!("cannot use the sandbox's directory {}; choose another one", dir.display());
    let failed =
        |error: io::Error| ExitError::new(Exit::Failed, anyhow::Error::new(error).context(context()));
    let foreign = |what: &str| {
        let words = format!(
            "{} {what}, so nothing was written; name a directory that is empty or does not exist yet",
            dir.display()
        );
        Err(ExitError::new(Exit::Usage, words))
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let marker = dir.join(MARKER);
    if !fs::symlink_metadata(&marker).is_ok_and(|found| found.is_file()) {
        if fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return foreign("holds files and was not made by `teleport-slack demo --sandbox`");
        }
        fs::write(&marker, MARKER_TEXT).map_err(failed)?;
    }
    let in_use = PidFile::create(&dir.join(IN_USE)).map_err(|error| match error {
        PidFileError::InUse { holder, .. } => ExitError::new(
            Exit::Failed,
            format!(
                "{} is in use by the demo that runs as process {holder}, so nothing was written; end that one, or name another directory",
                dir.display()
            ),
        ),
        error => ExitError::new(Exit::Failed, anyhow::Error::new(error).context(context())),
    })?;
    for name in FILES {
        // What a link leads to is not ours, and a pipe would hold us up.
        if fs::symlink_metadata(dir.join(name)).is_ok_and(|found| !found.is_file()) {
            return foreign(&format!("has a {name} that is no regular file"));
        }
    }
    Ok(in_use)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_an_empty_folder_or_its_own_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("a/b");
        prepare(&new).unwrap();
        fs::write(new.join("auth.key"), "old").unwrap();
        let in_use = prepare(&new).unwrap();
        let refusal = prepare(&new).unwrap_err().to_string();
        let words = format!("is in use by the demo that runs as process {}", std::process::id());
        assert!(refusal.contains(&words) && refusal.contains(new.to_str().unwrap()), "{refusal}");
        drop(in_use);
        // Of a demo that was killed.
        fs::write(new.join(IN_USE), "1\n").unwrap();
        drop(prepare(&new).unwrap());

        let foreign = dir.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("auth.key"), "precious").unwrap();
        assert_eq!(prepare(&foreign).unwrap_err().exit(), Exit::Usage);
        assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "nothing was written");

        fs::remove_file(new.join("auth.key")).unwrap();
        symlink(foreign.join("auth.key"), new.join("auth.key")).unwrap();
        assert_eq!(prepare(&new).unwrap_err().exit(), Exit::Usage);
        // A marker that only leads to one is none.
        fs::remove_file(new.join(MARKER)).unwrap();
        symlink(foreign.join("auth.key"), new.join(MARKER)).unwrap();
        assert_eq!(prepare(&new).unwrap_err().exit(), Exit::Usage);
        assert!(prepare(&foreign.join("auth.key")).is_err(), "a file is no folder");
    }
}
