//! Warnings of files that others can read or change though they should not: secrets, keys, rules.

use std::path::Path;

use super::raw::Entry;
use super::report::{Report, quote_for_shell};
use super::source::{Source, path_of};
use client_base::files::Permissions;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sensitivity {
    /// A token, a signing secret or a private key: others may not even read it.
    Secret,
    /// What is public, but decides which servers the daemon trusts or who may decide: others may not change it.
    Integrity,
}

/// Warns if the file with these permissions, which `entry` names or stands in, is open to others. Whether the daemon itself can
/// read it is found out by reading it.
pub(super) fn warn_if_open(
    held: Sensitivity,
    path: &Path,
    permissions: Option<&Permissions>,
    entry: &Entry<String>,
    report: &mut Report,
) {
    if let Some((cause, remedy)) = permissions.and_then(|found| open_to_others(held, path, found)) {
        report.access_warn(Some(entry.line), &entry.key, cause, remedy);
    }
}

/// The same for the configuration itself, whatever is in it.
pub(super) fn warn_if_config_open(source: &Source<'_>, report: &mut Report) {
    if let Some((cause, remedy)) = source
        .permissions
        .as_ref()
        .and_then(|found| open_to_others(Sensitivity::Integrity, source.path, found))
    {
        report.access_warn(None, "", cause, remedy);
    }
}

/// A file that a key names, at its place, and a warning if it is open to others.
pub(super) fn checked_path(
    held: Sensitivity,
    entry: &Entry<String>,
    source: &Source<'_>,
    report: &mut Report,
) -> std::path::PathBuf {
    let path = path_of(entry, source);
    if let Some(file) = (source.look_at)(&path) {
        // A certificate in a key's place is another mistake, and its remedy is another path.
        let held = if file.is_certificate { Sensitivity::Integrity } else { held };
        warn_if_open(held, &path, Some(&file.permissions), entry, report);
    }
    path
}

/// What others may do too much to the file, and the remedy. The remedy takes away that and nothing else: how the daemon's
/// user gets in stays.
pub(crate) fn open_to_others(
    held: Sensitivity,
    path: &Path,
    permissions: &Permissions,
) -> Option<(String, String)> {
    let is_secret = held == Sensitivity::Secret;
    let what = match (is_secret && permissions.others_can_read(), permissions.others_can_write()) {
        (false, false) => return None,
        (true, false) => "can be read by others",
        (false, true) => "can be changed by others",
        (true, true) => "can be read and changed by others",
    };
    // It stands in a command, and it is the path of a file that is there.
    let shown = quote_for_shell(path);
    let commands: Vec<_> =
        permissions.remedies(is_secret).into_iter().map(|command| format!("{command} {shown}")).collect();
    Some((format!("the file {shown} {what}"), format!("run {}", commands.join(" && "))))
}
