//! Slack's secrets in the configuration: which kind a token is, and reading it from a file.
//!
//! Messages here never show any part of the value beyond the prefix that tells its kind.

use std::io;
use std::path::{Path, PathBuf};

use super::raw::Entry;
use super::report::{Report, quote};
use crate::secret::Secret;

/// No token or secret is anywhere near this long, in bytes; it bounds what is read from a token file.
pub(super) const MAX_TOKEN_FILE: u64 = 16 * 1024;

/// What reading a token file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Its contents, as a secret of unknown form.
    pub text: Secret,
    /// Its permission bits, where the system has them.
    pub mode: Option<u32>,
}

/// How token files are read: from the disk in `load`, from a table in tests.
pub type ReadTokenFile<'a> = &'a dyn Fn(&Path) -> io::Result<TokenFile>;

/// Which secret a key must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `slack.token`.
    Bot,
    /// `review.app_token`.
    App,
    /// `review.signing_secret`.
    Signing,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bot => "bot token",
            Self::App => "app-level token",
            Self::Signing => "signing secret",
        }
    }
}

/// Reads and checks a token file again, for one that may have been replaced. Blocks.
///
/// # Errors
/// What is wrong, in words without any part of the contents.
pub fn reread(kind: Kind, path: &Path) -> Result<Secret, String> {
    let file = super::read_token_file(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let text = file.text.expose().trim();
    check(kind, text).map_err(|(cause, remedy)| format!("it {cause}; {remedy}"))?;
    Ok(Secret::from_file(text, path))
}

/// The secret that a key holds, or that the file named by it holds.
pub(super) fn resolve(
    kind: Kind,
    entry: &Entry<String>,
    read: ReadTokenFile<'_>,
    report: &mut Report,
) -> Option<Secret> {
    let line = Some(entry.line);
    let (text, place) = if entry.value.starts_with('/') {
        let path = PathBuf::from(&entry.value);
        let shown = quote(&entry.value);
        match read(&path) {
            Ok(file) => {
                if file.mode.is_some_and(is_exposed) {
                    report.warn(
                        line,
                        &entry.key,
                        format!("the file {shown} can be read or changed by others"),
                        "run chmod 0600 on it (or 0640 with a group of its own)",
                    );
                }
                (file.text.expose().trim().to_owned(), format!("the file {shown} "))
            }
            Err(error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::NotFound => "create the file, or write the value itself here",
                    io::ErrorKind::PermissionDenied => "let the user that runs teleport-slack read it",
                    io::ErrorKind::InvalidData => "it must hold one line of text: the value and nothing else",
                    _ => "check the path",
                };
                report.error(line, &entry.key, format!("cannot read the file {shown}: {error}"), remedy);
                return None;
            }
        }
    } else {
        (entry.value.trim().to_owned(), String::new())
    };
    match check(kind, &text) {
        Ok(()) if place.is_empty() => Some(Secret::new(text)),
        Ok(()) => Some(Secret::from_file(text, Path::new(&entry.value))),
        Err((cause, remedy)) => {
            let subject = if place.is_empty() { "this ".to_owned() } else { place };
            report.error(line, &entry.key, format!("{subject}{cause}"), remedy);
            None
        }
    }
}

/// Others may read it, or someone but the owner may change it. Group-readable is how a service user gets in.
pub(super) fn is_exposed(mode: u32) -> bool {
    mode & 0o027 != 0
}

const WANT_BOT: &str =
    "use the \"Bot User OAuth Token\" (xoxb-…) from \"OAuth & Permissions\" in your Slack app's settings";
const WANT_APP: &str = "use an \"App-Level Token\" (xapp-…) with the scope connections:write from \"Basic \
                        Information\" in your Slack app's settings";
const WANT_SIGNING: &str =
    "use the \"Signing Secret\" from \"Basic Information\" in your Slack app's settings";

/// Completes "this …" or "the file … …" with what is wrong.
fn check(kind: Kind, text: &str) -> Result<(), (&'static str, &'static str)> {
    let want = match kind {
        Kind::Bot => WANT_BOT,
        Kind::App => WANT_APP,
        Kind::Signing => WANT_SIGNING,
    };
    if text.is_empty() {
        return Err(("is empty", want));
    }
    if text.starts_with('$') {
        return Err(("is the name of a variable; variables are not filled in", want));
    }
    match (kind, prefix(text)) {
        (Kind::Bot, Prefix::Bot) | (Kind::App, Prefix::App) | (Kind::Signing, Prefix::None) => {}
        (Kind::Bot, Prefix::Rotating) => {
            return Err((
                "is a token that rotates (xoxe.…), which is not supported",
                "rotation cannot be turned off again: make a Slack app without it and use its xoxb-… token",
            ));
        }
        (Kind::Bot, Prefix::App) => {
            return Err(("is an app-level token (xapp-…); that one belongs to review.app_token", want));
        }
        (_, Prefix::Bot) => return Err(("is a bot token (xoxb-…)", want)),
        (_, Prefix::User) => return Err(("is a user token (xoxp-…)", want)),
        (_, Prefix::App) => return Err(("is an app-level token (xapp-…)", want)),
        (_, Prefix::Rotating) => return Err(("is a token that rotates (xoxe.…)", want)),
        (_, Prefix::None) if text.contains(['/', '\\']) => {
            return Err(("is not a token", "a file that holds it must be named by its absolute path"));
        }
        (Kind::Bot, Prefix::None) => return Err(("is not a bot token; those start with xoxb-", want)),
        (Kind::App, Prefix::None) => return Err(("is not an app-level token; those start with xapp-", want)),
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err((
            "has spaces, line breaks or other characters that no token has",
            "copy it again; it is a single line of letters, digits and hyphens",
        ));
    }
    Ok(())
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
