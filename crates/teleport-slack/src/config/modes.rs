//! Warnings of files that others can read or change though they should not: secrets, keys, rules. And of the folders in which
//! others could replace them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::log::LogOutput;
use super::raw::Entry;
use super::report::{Report, quote_for_shell};
use super::source::{Source, path_of};
use client_base::files::Permissions;
use client_base::folders::{OpenFolder, Trust, open_folders};

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
    report.note_file(path, &entry.key);
    if let Some((cause, remedy)) = permissions.and_then(|found| open_to_others(held, path, found)) {
        report.access_warn(Some(entry.line), &entry.key, cause, remedy);
    }
}

/// What is to be said when all keys are read: whether the configuration itself is open to others, and each folder in which they
/// could replace it or a file that it names.
pub(super) fn warn_of_the_whole(source: &Source<'_>, log: Option<&LogOutput>, report: &mut Report) {
    let secrets = join(report.noted_secrets());
    let held = if secrets.is_empty() { Sensitivity::Integrity } else { Sensitivity::Secret };
    let open = source.permissions.as_ref().and_then(|found| open_to_others(held, source.path, found));
    if let Some((cause, remedy)) = open {
        let cause = if secrets.is_empty() { cause } else { format!("{cause}, and it holds {secrets}") };
        report.access_warn(None, "", cause, remedy);
    }
    if let Some(LogOutput::File(path)) = log
        && (source.look_at)(path).is_some_and(|file| file.permissions.all_can_write())
    {
        let shown = quote_for_shell(path);
        let cause = format!("the file {shown} can be changed by others, so the log proves nothing");
        report.access_warn(None, "log.output", cause, format!("run chmod o-w {shown}"));
    }
    warn_of_folders(source, log, report);
}

fn warn_of_folders(source: &Source<'_>, log: Option<&LogOutput>, report: &mut Report) {
    // What closes the folder of a log alone may be less, so logs come last.
    let mut open: BTreeMap<PathBuf, (OpenFolder, Vec<String>)> = BTreeMap::new();
    let mut look = |path: &Path, trust, name: &str| {
        for folder in (source.look_at_folders)(path, trust) {
            let (_, names) = open.entry(folder.path.clone()).or_insert((folder, Vec::new()));
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    };
    look(source.path, Trust::Owners, "the configuration");
    for (path, key) in report.noted_files() {
        look(path, Trust::Owners, key);
    }
    if let Some(LogOutput::File(path)) = log {
        look(path, Trust::Groups, "log.output");
    }
    for (folder, names) in open.into_values() {
        let (cause, remedy) = open_folder(&folder, &join(&names));
        report.access_warn(None, &folder.path.display().to_string(), cause, remedy);
    }
}

/// Warnings of the folders in which others can replace this file, which is no part of the configuration; each on one line.
pub(crate) fn warnings_of_folders(path: &Path, name: &str) -> Vec<String> {
    let warning = |folder: OpenFolder| {
        let (cause, remedy) = open_folder(&folder, name);
        format!("{}: {cause}; {remedy}", folder.path.display())
    };
    open_folders(path, Trust::Owners).into_iter().map(warning).collect()
}

/// The cause and the remedy.
fn open_folder(OpenFolder { path, commands }: &OpenFolder, names: &str) -> (String, String) {
    let shown = quote_for_shell(path);
    let commands: Vec<_> = commands.iter().map(|command| format!("{command} {shown}")).collect();
    let cause = format!("others can replace what stands in this folder: {names}");
    (cause, format!("run {}", commands.join(" && ")))
}

fn join(names: &[String]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        names => names.concat(),
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
    let file = (source.look_at)(&path);
    // A certificate in a key's place is another mistake, and its remedy is another path.
    let is_public = file.as_ref().is_some_and(|file| file.is_certificate);
    let held = if is_public { Sensitivity::Integrity } else { held };
    warn_if_open(held, &path, file.as_ref().map(|file| &file.permissions), entry, report);
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
