//! Makes foreign text fit for an error message: printable, short, without tokens.
//!
//! Error codes, validation messages and whole pages come from whatever answered at the API address. A proxy
//! that echoes our request would otherwise put the token into the log.

use access_core::domain::secret::Secret;
use access_core::domain::text;

/// What stands where a token stood.
const PLACEHOLDER: &str = "[secret]";

/// The beginnings of Slack tokens of every kind (`xoxb-`, `xoxp-`, `xoxe.xoxb-`, `xapp-`, `xwfp-`), and of the
/// addresses of WebSockets, which hold a ticket.
const TOKEN_PREFIXES: [&str; 7] = ["xox", "xapp-", "xwfp-", "ws:/", "wss:/", "ws:\\/", "wss:\\/"];

/// Cleans foreign text. Knows the secrets in use, to recognize them in any form.
#[derive(Clone, Debug)]
pub(super) struct Redactor {
    secrets: Vec<Secret>,
}

impl Redactor {
    pub(super) fn new(token: Secret) -> Self {
        Self { secrets: vec![token] }
    }

    /// One that knows further secrets.
    pub(super) fn with(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self { secrets: self.secrets.iter().cloned().chain(more).collect() }
    }

    /// The text on one line, without invisible characters and tokens, cut to `max` characters.
    pub(super) fn redact(&self, raw: &str, max: usize) -> String {
        // Characters first: a token with a zero-width space inside must not slip through the search below.
        let mut line = text::one_line(raw);
        for secret in self.secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
            line = line.replace(secret, PLACEHOLDER);
        }
        text::truncate(&redact_tokens(&line), max)
    }
}

/// Replaces anything that looks like a Slack token.
fn redact_tokens(line: &str) -> String {
    let mut clean = String::new();
    let mut rest = line;
    while let Some(start) = TOKEN_PREFIXES.iter().filter_map(|prefix| rest.find(prefix)).min() {
        let (before, token) = rest.split_at(start);
        let is_end: fn(char) -> bool = match token.starts_with('w') {
            true => |c| c.is_whitespace() || "\"'<>".contains(c),
            false => |c| !c.is_ascii_alphanumeric() && !"-._".contains(c),
        };
        let end = token.find(is_end).unwrap_or(token.len());
        clean.push_str(before);
        clean.push_str(PLACEHOLDER);
        rest = token.split_at(end).1;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_redacted(raw: &str, max: usize, expected: &str) {
        assert_eq!(Redactor::new(Secret::new("s3cr3t")).redact(raw, max), expected);
    }

    #[test]
    fn text_is_one_printable_line() {
        assert_redacted(" a\r\n\tb\u{0}\u{202e}c\u{200b} ", 60, "a bc");
        assert_redacted("äöüß", 3, "äö…");
        assert_redacted("äöü", 3, "äöü");
        assert_redacted("", 3, "");
    }

    #[test]
    fn tokens_are_removed_before_the_cut() {
        assert_redacted("Bearer s3cr3t.", 60, "Bearer [secret].");
        assert_redacted("s3c\u{200b}r3t", 60, "[secret]");
        assert_redacted("a s3cr3t", 6, "a [se…");
        assert_redacted("t=xoxb-1-2&u=xapp-1 xoxe.xoxb-9", 60, "t=[secret]&u=[secret] [secret]");
        assert_redacted("xox", 60, "[secret]");
        assert_redacted(r#"{"url":"wss:\/\/h\/link?ticket=a%2Fb&x=y"}"#, 60, r#"{"url":"[secret]"}"#);
        assert_redacted("ws://127.0.0.1/?ticket=1 gone", 60, "[secret] gone");
    }

    #[test]
    fn further_secrets_are_removed_too() {
        let redactor = Redactor::new(Secret::new("s3cr3t")).with([Secret::new("hunter2"), Secret::new("")]);
        assert_eq!(redactor.redact("s3cr3t hunter2 x", 60), "[secret] [secret] x");
    }
}
