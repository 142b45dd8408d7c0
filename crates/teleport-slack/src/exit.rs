//! How a command ends: the one place that turns an error into an exit status and prints it with its causes.
//!
//! Only `main` ends the process; everything else returns an [`ExitError`].

use std::error::Error;
use std::fmt;

use tracing::error;

pub use crate::causes::Exit;
use crate::causes::{Cause, ErrorPolicy};
use crate::config::{ConfigError, UNUSABLE_FILE};
use crate::supervise::journal;
use access_core::domain::text;

use access_core::domain::error_chain::chain;

/// A command that did not succeed: the error to print, and the exit status.
#[derive(Debug)]
pub struct ExitError {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    /// The mistakes in a configuration, if it is for these.
    mistakes: Vec<String>,
    /// The log went to standard error, so the error is there already.
    is_logged: bool,
}

impl ExitError {
    /// `error` may be a text, an error with sources, or an `anyhow::Error`.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), mistakes: Vec::new(), is_logged: false }
    }

    /// The end for a cause that ends the program.
    pub fn from_cause(cause: Cause, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        match [cause.at_start(), cause.while_running()].into_iter().find_map(|response| match response {
            ErrorPolicy::Ends(exit) => Some(exit),
            ErrorPolicy::Retries | ErrorPolicy::KeepsCurrent | ErrorPolicy::Impossible => None,
        }) {
            Some(exit) => Self::new(exit, error),
            None => Self::new(Exit::Failed, error),
        }
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The error and its causes on one line.
    pub fn line(&self) -> String {
        chain(&*self.error)
    }

    /// Logs why the daemon ends, each mistake in a line of its own. `print` stays silent then if the log goes to standard
    /// error.
    pub fn logged(mut self, log_is_stderr: bool) -> Self {
        self.log(log_is_stderr);
        self
    }

    /// The same.
    pub fn log(&mut self, log_is_stderr: bool) {
        for mistake in &self.mistakes {
            error!("Configuration: {mistake}");
        }
        match self.mistakes.as_slice() {
            [] => error!("The daemon ends: {}", chain(&*self.error)),
            _ if self.exit == Exit::Credentials => {
                error!("The daemon ends: {UNUSABLE_FILE}; the lines above say which one, why and what helps");
            }
            _ => error!(
                "The daemon ends: the configuration is not valid; correct the mistakes in the lines above"
            ),
        }
        self.is_logged = log_is_stderr;
    }

    /// Writes the error and its causes to stderr, unless the log wrote them there.
    pub fn print(&self) {
        if self.is_logged {
            return;
        }
        // Of the journal each line is an entry.
        match (journal::is_stderr(), self.mistakes.as_slice()) {
            (false, _) => journal::write_error(&Chain(&*self.error).to_string()),
            (true, []) => journal::write_error(&format!("error: {}\n", text::escape_line(&self.line()))),
            (true, mistakes) => mistakes.iter().for_each(|mistake| {
                journal::write_error(&format!("error: {}\n", text::escape_line(mistake)))
            }),
        }
    }
}

/// On one line, causes included.
impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.error))
    }
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> Self {
        let mistakes = if matches!(error, ConfigError::Invalid { .. }) { error.lines() } else { Vec::new() };
        Self { mistakes, ..Self::new(of_config(&error), error) }
    }
}

/// The exit status for a configuration that cannot be used.
pub(crate) fn of_config(error: &ConfigError) -> Exit {
    match error {
        ConfigError::Forbidden { .. } => Exit::Credentials,
        ConfigError::Invalid { findings, .. } if findings.are_of_named_files() => Exit::Credentials,
        ConfigError::Missing { .. }
        | ConfigError::Unreadable { .. }
        | ConfigError::TooLarge { .. }
        | ConfigError::NotText { .. }
        | ConfigError::Invalid { .. } => Exit::Configuration,
    }
}

impl From<anyhow::Error> for ExitError {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// Shows an error and what caused it, one per line:
///
/// ```text
/// error: cannot open the log file /var/log/slack.log
///   caused by: Permission denied (os error 13)
/// ```
///
/// Control characters are escaped, except line breaks, which the list of configuration mistakes needs.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", escape(&self.0.to_string()))?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            writeln!(f, "  caused by: {}", escape(&error.to_string()))?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Escapes all but line breaks, which the list of configuration mistakes needs.
fn escape(text: &str) -> String {
    text.trim_end().lines().map(text::escape_line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the log file /tmp/\u{1b}[2Jx")]
    struct Outer(#[source] io::Error);

    #[test]
    fn every_cause_gets_a_line_and_no_control_character_survives() {
        let error = Outer(io::Error::other("disk on fire\u{7}"));
        insta::assert_snapshot!(Chain(&error).to_string(), @r"
        error: cannot open the log file /tmp/\u{1b}[2Jx
          caused by: disk on fire\u{7}
        ");
    }
}
