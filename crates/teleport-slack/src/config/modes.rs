//! Warnings of files that others can read or change though they should not: secrets, keys, rules.

use std::path::Path;

use super::raw::Entry;
use super::report::{Report, quote};
use super::source::{Source, path_of};
use client_base::files::{others_can_read, others_can_write};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sensitivity {
    /// A token, a signing secret or a private key: others may not even read it.
    Secret,
    /// What is public, but decides which servers the daemon trusts or who may decide: others may not change it.
    Integrity,
}

/// Warns if the file of this mode, which `entry` names or stands in, is open to others. Whether the daemon itself can
/// read it is found out by reading it.
pub(super) fn warn_if_open(
    held: Sensitivity,
    path: &Path,
    mode: Option<u32>,
    entry: &Entry<String>,
    report: &mut Report,
) {
    if let Some((cause, remedy)) = mode.and_then(|mode| open_to_others(held, path, mode)) {
        report.warn(Some(entry.line), &entry.key, cause, remedy);
    }
}

/// The same for the configuration itself, whatever is in it.
pub(super) fn warn_if_config_open(source: &Source<'_>, report: &mut Report) {
    if let Some((cause, remedy)) =
        source.mode.and_then(|mode| open_to_others(Sensitivity::Integrity, source.path, mode))
    {
        report.warn(None, "", cause, remedy);
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
    warn_if_open(held, &path, (source.mode_of)(&path), entry, report);
    path
}

/// The remedy takes away what is too much and nothing else: how the daemon's user gets in stays.
fn open_to_others(held: Sensitivity, path: &Path, mode: u32) -> Option<(String, String)> {
    let what = match (held == Sensitivity::Secret && others_can_read(mode), others_can_write(mode)) {
        (false, false) => return None,
        (true, false) => "can be read by others",
        (false, true) => "can be changed by others",
        (true, true) => "can be read and changed by others",
    };
    let shown = quote(&path.display().to_string());
    let rights = if held == Sensitivity::Secret { "g-w,o-rwx" } else { "go-w" };
    Some((format!("the file {shown} {what}"), format!("run chmod {rights} {shown}")))
}
