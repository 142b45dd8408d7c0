//! What the file's text comes with, and the readings that several tables share: paths, addresses, one word of a few.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address::parse_listen;
use super::raw::{Entry, Field, TableReader};
use super::report::{Report, quote};
use access_core::domain::secret::Secret;
use client_base::files::{self, Permissions};
use client_base::folders::{OpenFolder, Trust};

/// No token or secret is anywhere near this long, in bytes; it bounds what is read from a token file.
const MAX_TOKEN_FILE: u64 = 16 * 1024;

/// No file of a certificate and its chain is longer, in bytes.
const MAX_CERTIFICATE_FILE: u64 = 1024 * 1024;

/// What reading a token file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Its contents, as a secret of unknown form.
    pub text: Secret,
    /// Its permissions, if it is a regular file.
    pub permissions: Option<Permissions>,
}

/// What a look at a file shows that only the clients read.
pub(super) struct NamedFile {
    pub(super) permissions: Permissions,
    /// It holds a certificate and no private key, whatever the configuration says of it.
    pub(super) is_certificate: bool,
}

/// How the folders above a file are looked at: on the disk in `load`, not at all in tests.
pub(super) type LookAtFolders<'a> = &'a dyn Fn(&Path, Trust) -> Vec<OpenFolder>;

/// Looks at a file on the disk.
pub(super) fn look_at(path: &Path) -> Option<NamedFile> {
    let permissions = files::permissions(path)?;
    let bytes = read_certificates(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let is_certificate = text.contains("BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY-----");
    Some(NamedFile { permissions, is_certificate })
}

/// How token files are read: from the disk in `load`, from a table in tests.
pub type ReadTokenFile<'a> = &'a dyn Fn(&Path) -> io::Result<TokenFile>;

/// What the file's text comes with.
pub(super) struct Source<'a> {
    /// Where it stands; relative paths start at its folder.
    pub(super) path: &'a Path,
    /// Its permissions, if it has any.
    pub(super) permissions: Option<Permissions>,
    /// How token files are read.
    pub(super) read: ReadTokenFile<'a>,
    /// Whether tokens and secrets may be missing or wrong, and are not read: the caller uses none.
    pub(super) without_secrets: bool,
    /// How files of certificates are read.
    pub(super) read_certificates: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// The variables of the environment.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// What is known of other files, if they are there.
    pub(super) look_at: &'a dyn Fn(&Path) -> Option<NamedFile>,
    /// Which folders above a file are open to others.
    pub(super) look_at_folders: LookAtFolders<'a>,
}

/// Reads a file of certificates from the disk.
pub(super) fn read_certificates(path: &Path) -> io::Result<Vec<u8>> {
    files::read(path, MAX_CERTIFICATE_FILE).map(|(bytes, _)| bytes)
}

/// A variable of this process's environment.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Reads a token file from the disk.
pub fn read_token_file(path: &Path) -> io::Result<TokenFile> {
    let (bytes, permissions) = files::read(path, MAX_TOKEN_FILE)?;
    // The library's own error would be fine, but it carries the bytes.
    let text =
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))?;
    Ok(TokenFile { text: Secret::new(text), permissions })
}

/// A path; a relative one starts at the configuration file.
pub(super) fn path_of(entry: &Entry<String>, source: &Source<'_>) -> PathBuf {
    source.path.parent().unwrap_or(Path::new("")).join(&entry.value)
}

/// One of a few words; the default if the key is absent.
pub(super) fn choice<T: Copy + Default>(
    table: &mut TableReader<'_, '_>,
    name: &'static str,
    words: &[(&str, T)],
) -> Option<T> {
    match table.text(name).unless_empty() {
        Field::Absent => Some(T::default()),
        Field::Bad => None,
        Field::Given(entry) => {
            let found = words.iter().find(|(word, _)| entry.value.eq_ignore_ascii_case(word));
            if found.is_none() {
                let names: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                let cause = format!("{} is not one of its values", quote(&entry.value));
                table.report().error(
                    Some(entry.line),
                    &entry.key,
                    cause,
                    format!("write {}", names.join(" or ")),
                );
            }
            found.map(|(_, value)| *value)
        }
    }
}

/// Where to listen, for `[http]` and `[diagnostics]`.
pub(super) fn listen_addr(entry: &Entry<String>, report: &mut Report) -> Option<SocketAddr> {
    parse_listen(&entry.value)
        .map_err(|wrong| {
            let cause = format!("{} does not work: {wrong}", quote(&entry.value));
            report.error(
                Some(entry.line),
                &entry.key,
                cause,
                "write it as \"127.0.0.1:9091\", or \":9091\" for all",
            );
        })
        .ok()
}
