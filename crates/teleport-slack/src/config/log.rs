//! `[log]`: where log lines go, how many and in which form. What is made of it is in `observe/logs.rs`.

use std::path::PathBuf;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// Standard output, standard error, or a file.
    pub output: LogOutput,
    /// Lines below this are left out.
    pub severity: Severity,
    /// Whether a line is text or a JSON object.
    pub format: LogFormat,
}

/// Where log lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    #[default]
    Stderr,
    /// The end of a file, made if it is not there.
    File(PathBuf),
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Each step.
    Debug,
    /// What happened.
    #[default]
    Info,
    /// It went on, but not as it should.
    Warn,
    /// A person should act.
    Error,
}

impl Severity {
    /// As lines of the log and the configuration write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
