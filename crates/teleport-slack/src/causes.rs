//! Which causes end the program and for which the daemon waits. A test compares this table with `docs/operations.md`.
//!
//! The daemon waits for what an operator can fix from outside, also where another machine answers in the place of Teleport or
//! Slack: that can be put right there. A service manager would restart it every few seconds, or give up after five
//! attempts. What needs another configuration or another program ends it.

use std::process::ExitCode;

/// Why the process ends with a status other than 0.
///
/// The statuses follow `sysexits.h` where it has one. A service manager can so distinguish "fix the configuration" from
/// "try again".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It failed while running: 1.
    Failed,
    /// The command line is wrong: 2.
    Usage,
    /// A file cannot be read or used: 77 (`EX_NOPERM`).
    Credentials,
    /// The configuration is wrong: 78 (`EX_CONFIG`).
    Configuration,
}

impl Exit {
    /// The status that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Credentials => 77,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why the daemon cannot go on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The command line.
    Usage,
    /// The configuration file.
    Configuration,
    /// A file that the configuration names cannot be read or used.
    UnreadableFile,
    /// Something else answers at the address of Teleport or Slack.
    Address,
    /// The auth server is too old.
    Unsupported,
    /// The tokens are of two Slack apps.
    TwoApps,
    /// An address to listen at cannot be had, or the machine lacks something.
    Environment,
    /// Teleport or Slack is away, or asks to wait.
    Unavailable,
    /// Slack refuses the bot token or the app token.
    Token,
    /// The Slack app lacks what nothing works without.
    Scope,
    /// The certificate, ours or the server's, is not accepted, has expired or is not valid yet.
    Certificate,
    /// Teleport does not let the plugin in: a right, a lock, a deleted user.
    Permissions,
    /// A task died.
    Bug,
    /// A second signal.
    SecondSignal,
}

/// What the daemon does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// The program ends.
    Ends(Exit),
    /// The daemon logs it at once, with the remedy, and tries again with back-off.
    Retries,
    /// What is in use stays in use; the daemon logs it and checks again.
    KeepsCurrent,
    /// It cannot happen any more.
    Impossible,
}

impl Cause {
    /// All of them, in the order of the document.
    pub const ALL: [Self; 14] = [
        Self::Usage,
        Self::Configuration,
        Self::UnreadableFile,
        Self::Address,
        Self::Unsupported,
        Self::TwoApps,
        Self::Environment,
        Self::Unavailable,
        Self::Token,
        Self::Scope,
        Self::Certificate,
        Self::Permissions,
        Self::Bug,
        Self::SecondSignal,
    ];

    /// The beginning of its row in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "the command line is wrong",
            Self::Configuration => "the configuration is wrong",
            Self::UnreadableFile => "a file cannot be read or used",
            Self::Address => "something else answers at the address of Teleport or Slack",
            Self::Unsupported => "the auth server is too old",
            Self::TwoApps => "the tokens are of two Slack apps",
            Self::Environment => {
                "an address to listen at is taken, or the trusted certificates cannot be read"
            }
            Self::Unavailable => "Teleport or Slack is away, or asks to wait",
            Self::Token => "Slack refuses the bot token or the app-level token",
            Self::Scope => "the Slack app lacks a scope that nothing works without",
            Self::Certificate => "a certificate is not accepted, has expired or is not valid yet",
            Self::Permissions => "the plugin lacks a right in Teleport, is locked or deleted",
            Self::Bug => "a task of the daemon died",
            Self::SecondSignal => "a second signal to stop",
        }
    }

    /// What the daemon does about it until both sides have answered for the first time.
    pub fn at_start(self) -> ErrorPolicy {
        match self {
            Self::Usage => ErrorPolicy::Ends(Exit::Usage),
            Self::Configuration | Self::TwoApps => ErrorPolicy::Ends(Exit::Configuration),
            Self::UnreadableFile => ErrorPolicy::Ends(Exit::Credentials),
            Self::Unsupported | Self::Environment | Self::Bug | Self::SecondSignal => {
                ErrorPolicy::Ends(Exit::Failed)
            }
            Self::Address
            | Self::Unavailable
            | Self::Token
            | Self::Scope
            | Self::Certificate
            | Self::Permissions => ErrorPolicy::Retries,
        }
    }

    /// What the daemon does about it afterwards.
    pub fn while_running(self) -> ErrorPolicy {
        match self {
            Self::Usage | Self::Configuration | Self::Environment => ErrorPolicy::Impossible,
            Self::UnreadableFile | Self::TwoApps => ErrorPolicy::KeepsCurrent,
            Self::Address
            | Self::Unsupported
            | Self::Unavailable
            | Self::Token
            | Self::Scope
            | Self::Certificate
            | Self::Permissions => ErrorPolicy::Retries,
            Self::Bug | Self::SecondSignal => ErrorPolicy::Ends(Exit::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(response: ErrorPolicy) -> String {
        match response {
            ErrorPolicy::Ends(_) => "ends".to_owned(),
            ErrorPolicy::Retries => "waits".to_owned(),
            ErrorPolicy::KeepsCurrent => "keeps what is in use".to_owned(),
            ErrorPolicy::Impossible => "–".to_owned(),
        }
    }

    #[test]
    fn the_document_has_this_table() {
        let document = include_str!("../../../docs/operations.md");
        let rows: Vec<_> = document
            .lines()
            .skip_while(|line| !line.starts_with("| cause |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let expected: Vec<_> = Cause::ALL
            .into_iter()
            .map(|cause| {
                let exit =
                    [cause.at_start(), cause.while_running()].into_iter().find_map(
                        |response| match response {
                            ErrorPolicy::Ends(exit) => Some(exit.code().to_string()),
                            _ => None,
                        },
                    );
                let exit = exit.unwrap_or_else(|| "–".to_owned());
                format!(
                    "| {} | {} | {} | {exit} |",
                    cause.name(),
                    cell(cause.at_start()),
                    cell(cause.while_running())
                )
            })
            .collect();
        assert_eq!(rows, expected, "{}", expected.join("\n"));
    }

    #[test]
    fn the_statuses_are_the_documented_ones() {
        let codes = [Exit::Failed, Exit::Usage, Exit::Credentials, Exit::Configuration].map(Exit::code);
        assert_eq!(codes, [1, 2, 77, 78]);
    }
}
