//! The secrets in the configuration: which kind a token is, and reading it from a file.
//!
//! Messages here never show any part of the value beyond the prefix that shows its kind.

use std::io;
use std::path::{Path, PathBuf};

use super::modes::{self, Sensitivity};
use super::raw::Entry;
use super::report::{Report, quote, quote_whole};
use super::source::{Source, read_token_file};
use super::unseen::report_unseen;
use crate::secret_shape::{SecretKind, secret_in};
use access_core::domain::secret::Secret;
use access_core::domain::unseen::Unseen;

/// Which secret a key must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `slack.token`.
    Bot,
    /// `review.app_token`.
    App,
    /// `review.signing_secret`.
    Signing,
    /// `diagnostics.token`.
    Diagnostics,
}

impl TokenKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bot => "bot token",
            Self::App => "app-level token",
            Self::Signing => "signing secret",
            Self::Diagnostics => "diagnostics token",
        }
    }
}

/// Reads and checks a token file again, for one that may have been replaced. Blocks.
///
/// # Errors
/// What is wrong, in words without any part of the contents.
pub fn reread(kind: TokenKind, path: &Path) -> Result<Secret, String> {
    let file = read_token_file(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let text = value_in(file.text.expose());
    check(kind, text, true).map_err(|(cause, remedy)| format!("it {cause}; {remedy}"))?;
    Ok(Secret::from_file(text, path))
}

/// The secret that a key holds, or that the file named by it holds.
pub(super) fn resolve(
    kind: TokenKind,
    entry: &Entry<String>,
    source: &Source<'_>,
    report: &mut Report,
) -> Option<Secret> {
    if source.without_secrets {
        return Some(Secret::new(""));
    }
    let line = Some(entry.line);
    if entry.value.trim_start().starts_with('/')
        && report_unseen(report, entry.line, &entry.key, &entry.value)
    {
        return None;
    }
    let (text, place) = if entry.value.starts_with('/') {
        let path = PathBuf::from(&entry.value);
        let shown = quote(&entry.value);
        match (source.read)(&path) {
            Ok(file) => {
                modes::warn_if_open(Sensitivity::Secret, &path, file.permissions.as_ref(), entry, report);
                (value_in(file.text.expose()).to_owned(), format!("the file {shown} "))
            }
            Err(error) => {
                let cause = format!("cannot read the file {shown}: {error}");
                report.file_error(line, &entry.key, cause, unreadable_remedy(error.kind(), want(kind)));
                return None;
            }
        }
    } else {
        report.note_secret(&entry.key);
        (entry.value.trim().to_owned(), String::new())
    };
    if place.is_empty()
        && let Some(path) = file_beside(&text, source)
    {
        let remedy = match quote_whole(&path.display().to_string()) {
            Some(path) => format!("write {path}"),
            None => "write its absolute path".to_owned(),
        };
        report.error(line, &entry.key, "this is a relative path of a file", remedy);
        return None;
    }
    match check(kind, &text, !place.is_empty()) {
        Ok(()) if place.is_empty() => Some(Secret::new(text)),
        Ok(()) => Some(Secret::from_file(text, Path::new(&entry.value))),
        Err((cause, remedy)) => {
            if place.is_empty() {
                report.error(line, &entry.key, format!("this {cause}"), remedy);
            } else {
                report.file_error(line, &entry.key, format!("{place}{cause}"), remedy);
            }
            None
        }
    }
}

/// What to do about a file that cannot be read and should hold `want`.
pub(super) fn unreadable_remedy(kind: io::ErrorKind, want: &str) -> String {
    let remedy = match kind {
        io::ErrorKind::NotFound => {
            return format!("create the file with nothing in it but {want}; or write that itself here");
        }
        io::ErrorKind::PermissionDenied => "let the user that runs teleport-slack read it",
        io::ErrorKind::InvalidData => "it must hold one line of text: the value and nothing else",
        io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => "name a regular file",
        _ => "check the path",
    };
    remedy.to_owned()
}

/// What a file holds, without the white space around it and without the mark that some editors put at the start of UTF-8 text.
pub(super) fn value_in(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

/// The absolute path of the file that a text names, if it is one beside the configuration. Secrets have no dots or
/// slashes, and no file is called as a token.
fn file_beside(text: &str, source: &Source<'_>) -> Option<PathBuf> {
    let is_name = !text.is_empty() && text.len() < 256 && !text.contains(char::is_whitespace);
    if !is_name || matches!(secret_in(text), Some(SecretKind::SlackToken)) {
        return None;
    }
    let path = std::path::absolute(source.path.parent().unwrap_or(Path::new("")).join(text)).ok()?;
    (source.read)(&path).is_ok().then_some(path)
}

/// The least number of bytes that a signing secret may have.
const MIN_SIGNING_SECRET: usize = 16;

const WANT_BOT: &str =
    "the \"Bot User OAuth Token\" (xoxb-…) from \"OAuth & Permissions\" in your Slack app's settings";
const WANT_APP: &str = "an \"App-Level Token\" (xapp-…) with the scope connections:write from \"Basic Information\" \
                        in your Slack app's settings";
const WANT_SIGNING: &str = "the \"Signing Secret\" from \"Basic Information\" in your Slack app's settings";

/// The least number of bytes of a token that the operator makes.
const MIN_DIAGNOSTICS_TOKEN: usize = 20;

const WANT_DIAGNOSTICS: &str = "a long random text, such as `openssl rand -hex 32` prints";

/// What the key wants, and where it is shown.
fn want(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Bot => WANT_BOT,
        TokenKind::App => WANT_APP,
        TokenKind::Signing => WANT_SIGNING,
        TokenKind::Diagnostics => WANT_DIAGNOSTICS,
    }
}

const COPY_AGAIN: &str = "copy it again; it is a single line of letters, digits and hyphens";

/// Completes "this …" or "the file … …" with what is wrong, and says the remedy. Of a text in a file it says where to write
/// the right one.
fn check(kind: TokenKind, text: &str, is_in_file: bool) -> Result<(), (String, String)> {
    match Unseen::in_strict_text(text) {
        Some(unseen) if !is_of_another_kind(text) => {
            Err((format!("has what no token has: {unseen}"), COPY_AGAIN.to_owned()))
        }
        _ => check_kind(kind, text, is_in_file).map_err(|(cause, remedy)| (cause.to_owned(), remedy)),
    }
}

/// Whether it is a secret that no key of the configuration takes.
fn is_of_another_kind(text: &str) -> bool {
    use SecretKind::{Password, PrivateKey, WebToken, Webhook};
    matches!(secret_in(text), Some(Webhook | PrivateKey | WebToken | Password))
}

/// The same of a text that is all visible.
fn check_kind(kind: TokenKind, text: &str, is_in_file: bool) -> Result<(), (&'static str, String)> {
    let want = want(kind);
    let want = if is_in_file { format!("write {want} into this file") } else { format!("use {want}") };
    let or_file = if is_in_file { "" } else { ", or the absolute path of a file that holds it" };
    if text.is_empty() {
        return Err(("is empty", want));
    }
    if text.starts_with('$') {
        return Err(("is the name of a variable; variables are not filled in", want));
    }
    if is_of_another_kind(text) {
        return Err(("is a secret of another kind", want));
    }
    if is_wrapped(kind, text) {
        let remedy = match is_in_file {
            true => "leave the value alone in this file: without quotes, and without a name and = before it",
            false => "write the value alone: without quotes in it, and without a name and = before it",
        };
        return Err(("has a name or quotes around the value", remedy.to_owned()));
    }
    match (kind, prefix(text)) {
        // Base64 has slashes.
        (kind, Prefix::None)
            if looks_like_a_file(text) && !(is_in_file && kind == TokenKind::Diagnostics) =>
        {
            let remedy = "a file that holds it must be named by its absolute path".to_owned();
            return Err(("is not a token", if is_in_file { want } else { remedy }));
        }
        // A part of one, or a word that a person chose, could be guessed. The example's `...` is named for what it is.
        (TokenKind::Signing, Prefix::None)
            if text.len() < MIN_SIGNING_SECRET && text.contains(char::is_alphanumeric) =>
        {
            return Err(("is too short for a signing secret; Slack's have 32 characters", want));
        }
        // Each program that may look could sign clicks.
        (TokenKind::Diagnostics, Prefix::None) if secret_in(text) == Some(SecretKind::SigningSecret) => {
            return Err(("looks like a signing secret", want));
        }
        // Others can guess it as often as they like.
        (TokenKind::Diagnostics, Prefix::None) if text.len() < MIN_DIAGNOSTICS_TOKEN => {
            return Err(("is too short for a token; it needs 20 characters or more", want));
        }
        (TokenKind::Bot, Prefix::Bot)
        | (TokenKind::App, Prefix::App)
        | (TokenKind::Signing | TokenKind::Diagnostics, Prefix::None) => {}
        (TokenKind::Bot, Prefix::Rotating) => {
            let remedy =
                "rotation cannot be turned off again: make a Slack app without it and use its xoxb-… token";
            return Err(("is a token that rotates (xoxe.…), which is not supported", remedy.to_owned()));
        }
        (TokenKind::Bot, Prefix::App) => {
            return Err(("is an app-level token (xapp-…); that one belongs to review.app_token", want));
        }
        (_, Prefix::Bot) => return Err(("is a bot token (xoxb-…)", want)),
        (_, Prefix::User) => return Err(("is a user token (xoxp-…)", want)),
        (_, Prefix::App) => return Err(("is an app-level token (xapp-…)", want)),
        (_, Prefix::Rotating) => return Err(("is a token that rotates (xoxe.…)", want)),
        (TokenKind::Bot, Prefix::None) => {
            return Err(("is not a bot token; those start with xoxb-", want + or_file));
        }
        (TokenKind::App, Prefix::None) => {
            return Err(("is not an app-level token; those start with xapp-", want + or_file));
        }
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(("has spaces or other characters that no token has", COPY_AGAIN.to_owned()));
    }
    Ok(())
}

/// Whether the value stands in quotes or behind a name, as in a file for a shell or of settings.
fn is_wrapped(kind: TokenKind, text: &str) -> bool {
    let is_quoted = |quote: char| text.len() > 2 && text.starts_with(quote) && text.ends_with(quote);
    let is_name = |name: &str| {
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim_start();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let value_of = |mark: char| {
        let (name, value) = text.split_once(mark)?;
        is_name(name).then(|| value.trim().trim_start_matches(['"', '\'']))
    };
    let is_value = |value: &str| match kind {
        TokenKind::Bot | TokenKind::App => !matches!(prefix(value), Prefix::None),
        // Base64 ends with `=`.
        TokenKind::Signing | TokenKind::Diagnostics => value.bytes().any(|byte| byte.is_ascii_alphanumeric()),
    };
    is_quoted('"') || is_quoted('\'') || [value_of('='), value_of(':')].into_iter().flatten().any(is_value)
}

/// Whether it has signs that no secret has and names of files do. The example's `...` is none.
fn looks_like_a_file(text: &str) -> bool {
    text.contains(['/', '\\']) || text.contains('.') && text.contains(char::is_alphanumeric)
}

enum Prefix {
    Bot,
    User,
    App,
    Rotating,
    None,
}

fn prefix(text: &str) -> Prefix {
    match text {
        _ if text.starts_with("xoxb-") => Prefix::Bot,
        _ if text.starts_with("xoxp-") => Prefix::User,
        _ if text.starts_with("xapp-") => Prefix::App,
        _ if text.starts_with("xoxe.") || text.starts_with("xoxe-") => Prefix::Rotating,
        _ => Prefix::None,
    }
}
