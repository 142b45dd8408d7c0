//! Who can read the files that hold secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::explained::item;
use super::report::{Item, ItemId};
use crate::config::{Diagnostic, Parts, ReviewTransport, Topic};
use access_core::domain::secret::Secret;
use client_base::files::{self, Permissions, Readers};
use teleport_client::Credentials;

/// A file that holds secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretFile {
    pub(super) path: PathBuf,
    /// What it holds, for people.
    pub(super) holds: Vec<&'static str>,
    /// `None` if it is not there or no regular file.
    pub(super) permissions: Option<Permissions>,
}

/// The files of the secrets that these parts hold or name, each once.
pub(super) fn secret_files(config: &Path, parts: &Parts) -> Vec<SecretFile> {
    let place = |secret: &Secret| secret.file().map_or_else(|| config.to_owned(), Path::to_owned);
    let mut held: Vec<(PathBuf, &'static str)> = Vec::new();
    held.extend(parts.slack.as_ref().map(|slack| (place(&slack.token), "the bot token")));
    match parts.review.as_ref().map(|review| &review.transport) {
        Some(ReviewTransport::SocketMode { app_token }) => {
            held.push((place(app_token), "the app-level token"));
        }
        Some(ReviewTransport::Http { signing_secret, listener }) => {
            held.push((place(signing_secret), "the signing secret"));
            held.extend(
                listener
                    .tls
                    .as_ref()
                    .map(|tls| (tls.key.clone(), "the private key of the callback listener")),
            );
        }
        None => {}
    }
    let diagnostics = parts.diagnostics.as_ref().and_then(Option::as_ref);
    let token = diagnostics.and_then(|diagnostics| diagnostics.access.token.as_ref());
    held.extend(token.map(|token| (place(token), "the diagnostics token")));
    const KEY: &str = "the private key for Teleport";
    held.extend(parts.credentials.as_ref().map(|credentials| match credentials {
        Credentials::Identity(file) => (file.clone(), KEY),
        Credentials::Files { client_key, .. } => (client_key.clone(), KEY),
    }));
    let mut files: Vec<SecretFile> = Vec::new();
    for (path, what) in held {
        match files.iter_mut().find(|file| file.path == path) {
            Some(file) => file.holds.push(what),
            None => {
                let permissions = files::permissions(&path);
                files.push(SecretFile { path, holds: vec![what], permissions });
            }
        }
    }
    files
}

/// One item for each warning about access, and one for each file that is closed to others.
pub(super) fn items(
    config: &Path,
    files: &[SecretFile],
    accounts: &Accounts,
    warnings: &[Diagnostic],
) -> Vec<Item> {
    let of_access = warnings.iter().filter(|warning| warning.topic == Topic::Access);
    let mut items: Vec<_> = of_access
        .map(|warning| {
            let item = item(ItemId::FileAccess, warning, false);
            if item.subject.is_empty() { item.of(config.display().to_string()) } else { item }
        })
        .collect();
    for file in files {
        let Some(found) = &file.permissions else { continue };
        if !found.others_can_read() && !found.others_can_write() {
            let summary =
                format!("{} can be read by {}", join(&file.holds), accounts.describe(&found.readers()));
            items.push(Item::ok(ItemId::FileAccess, summary).of(file.path.display().to_string()));
        }
    }
    items
}

fn join(names: &[&str]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        names => names.concat(),
    }
}

/// The names of users and groups by id, as far as the machine's own files have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    /// Those of `/etc/passwd` and `/etc/group`; accounts of a directory service are shown by their numbers.
    pub(super) fn of_system() -> Self {
        let names = |path| parse(&std::fs::read_to_string(path).unwrap_or_default());
        Self { users: names("/etc/passwd"), groups: names("/etc/group") }
    }

    fn describe(&self, readers: &Readers) -> String {
        let name = |names: &BTreeMap<u32, String>, id: &u32| match names.get(id) {
            Some(name) => name.clone(),
            None => id.to_string(),
        };
        let users = readers.users.iter().map(|id| format!("the user {}", name(&self.users, id)));
        let groups = readers.groups.iter().map(|id| format!("the group {}", name(&self.groups, id)));
        let all: Vec<_> = users.chain(groups).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        if all.is_empty() { "root only".to_owned() } else { join(&all) }
    }
}

/// `name:password:id:…`, a line for each account; the first name of an id counts.
fn parse(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_named_as_the_machine_names_them() {
        let accounts = Accounts {
            users: parse(
                "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nteleport-slack:x:998:998::/:\nbroken\n:x:y:",
            ),
            groups: parse("root:x:0:\nteleport-slack:x:998:\n"),
        };
        for (users, groups, words) in [
            (vec![0], vec![998], "the user root and the group teleport-slack"),
            (vec![998, 1001], vec![], "the user teleport-slack and the user 1001"),
            (vec![], vec![], "root only"),
        ] {
            assert_eq!(accounts.describe(&Readers { users, groups, everybody: false }), words);
        }
    }

    #[test]
    fn a_file_that_is_open_to_others_has_a_warning_and_no_ok() {
        let file = |path: &str, mode| SecretFile {
            path: path.into(),
            holds: vec!["the bot token", "the app-level token"],
            permissions: Some(Permissions::of_mode(mode)),
        };
        let open = Diagnostic {
            line: Some(3),
            key: "slack.token".to_owned(),
            cause: "the file \"/run/open\" can be read by others".to_owned(),
            remedy: "run chmod o-r \"/run/open\"".to_owned(),
            topic: Topic::Access,
        };
        let config = Diagnostic { line: None, key: String::new(), ..open.clone() };
        let files = [file("/run/token", 0o600), file("/run/open", 0o644)];
        let items = items(Path::new("/etc/a.toml"), &files, &Accounts::default(), &[open, config]);
        let lines: Vec<_> =
            items.iter().map(|item| (item.status, crate::check::output::title(item))).collect();
        use crate::check::report::Status::{Ok, Warning};
        assert_eq!(
            lines,
            [
                (Warning, "slack.token: line 3".to_owned()),
                (Warning, "/etc/a.toml".to_owned()),
                (
                    Ok,
                    "/run/token: the bot token and the app-level token can be read by the user 0".to_owned()
                ),
            ]
        );
    }
}
