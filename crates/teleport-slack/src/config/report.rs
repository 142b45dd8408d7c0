//! What was found wrong in a configuration file: collected while reading, shown together.
//!
//! Nothing here knows the keys; see `schema.rs` for those and `validate.rs` for the rules.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::secret_shape::may_be_shown;
use access_core::domain::text;

/// No list of mistakes is longer; a file with more of them is not a configuration file.
const MAX_SHOWN: usize = 50;
/// Values are quoted up to this many characters, enough to find them in the file.
const MAX_QUOTED: usize = 60;
/// A path in a command that is to be copied is whole: Linux has none that is longer.
const MAX_PATH: usize = 4096;

/// One mistake, or one thing worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line in the file, from 1; `None` if it concerns something that is not there.
    pub line: Option<usize>,
    /// The key, with its table: `slack.token`. Empty for a mistake in the TOML itself, and for what is about the whole file. The
    /// path of a folder, if the warning is about that.
    pub key: String,
    /// What is wrong, in words without the key and the place.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
    /// What it is about.
    pub topic: Topic,
}

/// What a diagnostic is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// How the file is written: its TOML, and which keys there are.
    Keys,
    /// What a key's value says.
    Values,
    /// A file that a key names cannot be used; the configuration itself is sound so far.
    NamedFile,
    /// What others may do to a file.
    Access,
}

impl Diagnostic {
    /// On one line, with the file: `/etc/teleport-slack.toml:3: teleport.auth_server: …`.
    pub(super) fn in_file(&self, path: &Path) -> String {
        let line = self.line.map_or_else(String::new, |line| format!("{line}:"));
        let key = if self.key.is_empty() { String::new() } else { format!(" {}:", self.key) };
        format!("{}:{line}{key} {}; {}", path.display(), self.cause, self.remedy)
    }
}

impl fmt::Display for Diagnostic {
    /// On one line, without the file: `line 3: teleport.auth_server: this is an old name; write …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// Nothing is wrong but a file that the configuration names.
pub(crate) const UNUSABLE_FILE: &str = "a file that the configuration names cannot be used";

/// The mistakes of one file, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// The mistakes, by line; those without a line come last.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.0
    }

    /// Whether nothing is wrong but files that the configuration names.
    pub(crate) fn are_of_named_files(&self) -> bool {
        self.0.iter().all(|finding| finding.topic == Topic::NamedFile)
    }

    /// What is wrong, in a few words: the configuration, or files that it names.
    pub(crate) fn summary(&self) -> &'static str {
        if self.are_of_named_files() { UNUSABLE_FILE } else { "the configuration is not valid" }
    }

    /// Writes them one by one, each with the file's name and line.
    pub(super) fn write(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.0.iter().take(MAX_SHOWN) {
            write!(f, "\n  {file}:")?;
            if let Some(line) = finding.line {
                write!(f, "{line}:")?;
            }
            if !finding.key.is_empty() {
                write!(f, " {}:", finding.key)?;
            }
            write!(f, " {}\n      {}", finding.cause, finding.remedy)?;
        }
        match self.0.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  … and {more} more"),
        }
    }
}

/// Collects what is found while a file is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Keys whose secret stands in the configuration itself.
    secrets: Vec<String>,
    /// Files that the configuration names, with their keys.
    files: Vec<(PathBuf, String)>,
}

impl Report {
    /// This key's secret stands in the configuration itself.
    pub(super) fn note_secret(&mut self, key: &str) {
        self.secrets.push(key.to_owned());
    }

    /// The keys of which that was noted.
    pub(super) fn noted_secrets(&self) -> &[String] {
        &self.secrets
    }

    /// This key names a file.
    pub(super) fn note_file(&mut self, path: &Path, key: &str) {
        self.files.push((path.to_owned(), key.to_owned()));
    }

    /// The files of which that was noted, with their keys.
    pub(super) fn noted_files(&self) -> &[(PathBuf, String)] {
        &self.files
    }

    pub(super) fn error(
        &mut self,
        line: Option<usize>,
        key: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.errors.push(finding(Topic::Values, line, key, cause, remedy));
    }

    /// Like [`Report::error`], of how the file is written or which keys are in it.
    pub(super) fn key_error(
        &mut self,
        line: Option<usize>,
        key: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.errors.push(finding(Topic::Keys, line, key, cause, remedy));
    }

    /// Like [`Report::error`], of what is wrong with a file that the key names.
    pub(super) fn file_error(
        &mut self,
        line: Option<usize>,
        key: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.errors.push(finding(Topic::NamedFile, line, key, cause, remedy));
    }

    pub(super) fn warn(
        &mut self,
        line: Option<usize>,
        key: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(finding(Topic::Values, line, key, cause, remedy));
    }

    /// Like [`Report::warn`], of the names of keys.
    pub(super) fn key_warn(
        &mut self,
        line: Option<usize>,
        key: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(finding(Topic::Keys, line, key, cause, remedy));
    }

    /// Like [`Report::warn`], of a file that is open to others.
    pub(super) fn access_warn(
        &mut self,
        line: Option<usize>,
        key: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(finding(Topic::Access, line, key, cause, remedy));
    }

    /// Whether a mistake was found in this setting, or in one below it.
    pub(super) fn has_error_in(&self, setting: &str) -> bool {
        self.errors.iter().any(|finding| finding.key.starts_with(setting))
    }

    /// The mistakes and the warnings, each by line; those without a line come last.
    pub(super) fn finish(mut self) -> (Diagnostics, Vec<Diagnostic>) {
        self.errors.sort_by_key(|finding| finding.line.unwrap_or(usize::MAX));
        self.warnings.sort_by_key(|finding| finding.line.unwrap_or(usize::MAX));
        (Diagnostics(self.errors), self.warnings)
    }
}

fn finding(
    topic: Topic,
    line: Option<usize>,
    key: &str,
    cause: impl Into<String>,
    remedy: impl Into<String>,
) -> Diagnostic {
    Diagnostic { line, key: key.to_owned(), cause: cause.into(), remedy: remedy.into(), topic }
}

/// Shows a value from the file in a message: in quotes, on one line, cut. What might be a token or a signing
/// secret is not shown, wherever it was pasted.
pub(super) fn quote(text: &str) -> String {
    if !may_be_shown(text) {
        return "(not shown: it looks like a secret)".to_owned();
    }
    in_quotes(text, MAX_QUOTED, &['"', '\\'])
}

/// A file's path as one word of a shell command, whole, for messages with a command to copy. A shell replaces nothing in it.
pub(super) fn quote_for_shell(path: &Path) -> String {
    in_quotes(&path.display().to_string(), MAX_PATH, &['"', '\\', '$', '`'])
}

/// In quotes and on one line, up to so many characters, with a backslash before these.
fn in_quotes(text: &str, limit: usize, escaped: &[char]) -> String {
    let mut out = String::from("\"");
    for (index, (character, needs_escape)) in text::with_escapes(text).enumerate() {
        if index == limit {
            out.push('…');
            break;
        }
        match character {
            c if escaped.contains(&c) => out.extend(['\\', c]),
            // A space that is none would be taken for one.
            c => text::push(&mut out, c, needs_escape || c != ' ' && text::is_blank(c)),
        }
    }
    out.push('"');
    out
}

/// The same for what an operator is to copy: `None` if it would be cut or not be shown.
pub(super) fn quote_whole(text: &str) -> Option<String> {
    (text.chars().count() <= MAX_QUOTED && may_be_shown(text)).then(|| quote(text))
}

/// Several as a TOML list.
pub(super) fn quote_list(items: &[&str]) -> String {
    format!("[{}]", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_keeps_a_message_on_one_line_and_secrets_out() {
        const HIDDEN: &str = "(not shown: it looks like a secret)";
        let cases = [
            ("team", "\"team\""),
            ("a\nb\u{1b}[2J", "\"a\\nb\\u{1b}[2J\""),
            ("te\u{61c}am \u{200b}\u{202e}b", "\"te\\u{61c}am \\u{200b}\\u{202e}b\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("my xoxb-12-34", HIDDEN),
            ("XAPP-1-A", HIDDEN),
            ("appapp-114711470815-Hj2kP9slack_user_id_trait", HIDDEN),
            ("8f742231b10e8888abcd99yyyzzz85a5", HIDDEN),
            ("access-requests-2026-prod", "\"access-requests-2026-prod\""),
            ("firstname.lastname1984@example.com", "\"firstname.lastname1984@example.com\""),
        ];
        for (given, shown) in cases {
            assert_eq!(quote(given), shown);
        }
        assert_eq!(quote(&"ü".repeat(100)).chars().count(), MAX_QUOTED + 3);
    }

    #[test]
    fn a_path_in_a_command_is_whole_and_one_word() {
        let long = format!("/run/{}/a \"b\" $HOME `id`", "x".repeat(200));
        let shown = quote_for_shell(Path::new(&long));
        let echoed =
            std::process::Command::new("sh").args(["-c", &format!("printf %s {shown}")]).output().unwrap();
        assert_eq!(String::from_utf8(echoed.stdout).unwrap(), long);
        assert_eq!(quote_for_shell(Path::new("/a\nb")), "\"/a\\nb\"");
        assert_eq!(quote_for_shell(Path::new(&"x".repeat(5000))).chars().count(), MAX_PATH + 3);
    }

    #[test]
    fn diagnostics_come_by_line_and_many_are_cut() {
        let mut report = Report::default();
        report.error(None, "slack", "missing", "add it");
        for line in (1..=60).rev() {
            report.error(Some(line), "k", "wrong", "fix it");
        }
        let (findings, _) = report.finish();
        struct Shown(Diagnostics);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write("f.toml", f)
            }
        }
        assert_eq!(findings.as_slice().first().and_then(|finding| finding.line), Some(1));
        assert_eq!(findings.as_slice().last().and_then(|finding| finding.line), None);
        let shown = Shown(findings).to_string();
        assert!(shown.starts_with("\n  f.toml:1: k: wrong\n      fix it\n  f.toml:2: k:"), "{shown}");
        assert!(shown.ends_with("… and 11 more"), "{shown}");
    }
}
