//! What can go wrong between us and Teleport, and what a caller may do about it: [`TeleportError::kind`].
//!
//! The texts are whole: they carry the server's own words (shortened, without control characters) and have
//! no source to print after them. `connect.rs` distinguishes connection errors, `identity.rs` errors
//! of the identity's files.

use std::error::Error;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use tonic::{Code, Status};

use super::broken;
pub use super::call::Call;
use super::connect::{ConnectError, ConnectErrorKind};
use super::denied::AccessDenied;
pub use super::kind::ErrorKind;
use super::text::quote;
use super::visibility::{Visibility, describe_visibility};

/// The largest message we accept. Old servers send every access request, and all servers every record, in
/// one message; tonic's own 4 MiB would be too small for a busy cluster.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How tonic begins to say that a message is larger than we accept.
const TONIC_TOO_LARGE: &str = "Error, decoded message length too large";

/// How a call ended, for metrics; from a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallResult(CallOutcome);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CallOutcome {
    Response(Code),
    ConnectFailed,
    Timeout,
}

impl CallResult {
    /// It was answered, and not refused.
    pub const OK: Self = Self(CallOutcome::Response(Code::Ok));

    /// No answer came in time.
    pub(super) const TIMEOUT: Self = Self(CallOutcome::Timeout);

    /// The name of the gRPC status code of the answer; of an answer that did not come, what stood in its way.
    pub fn name(self) -> &'static str {
        match self.0 {
            CallOutcome::Response(code) => code_name(code),
            CallOutcome::ConnectFailed => "NO_CONNECTION",
            CallOutcome::Timeout => "NO_ANSWER",
        }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let answered = (0..=16).map(|code| CallOutcome::Response(Code::from_i32(code)));
        answered.chain([CallOutcome::ConnectFailed, CallOutcome::Timeout]).map(Self)
    }

    /// Whether the server said something.
    pub fn has_response(self) -> bool {
        matches!(self.0, CallOutcome::Response(_))
    }

    pub(super) fn from_result<T>(answer: &Result<T, Status>) -> Self {
        answer.as_ref().map_or_else(Self::from_status, |_| Self::OK)
    }

    pub(super) fn from_status(status: &Status) -> Self {
        // A status with a source was made on our side, from a broken connection.
        Self(if status.source().is_some() {
            CallOutcome::ConnectFailed
        } else {
            CallOutcome::Response(status.code())
        })
    }
}

/// A failed conversation with Teleport.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TeleportError {
    /// No connection.
    #[error(transparent)]
    Connect(ConnectError),

    /// The call was answered with an error, or broke off.
    #[error("Teleport call {call} failed with {code}: {message}{}", remedy(*.call, *.denied))]
    Call {
        /// The gRPC method that was called.
        call: Call,
        /// The gRPC status code's name.
        code: &'static str,
        /// What a caller can do.
        kind: ErrorKind,
        /// Why the plugin was not let in, if that was it.
        denied: Option<AccessDenied>,
        /// The server's words, shortened.
        message: String,
    },

    /// No answer in time.
    #[error(
        "Teleport call {call} had no answer within {} s; the auth server or the network is overloaded or hangs",
        .limit.as_secs()
    )]
    Deadline {
        /// The gRPC method that was called.
        call: Call,
        /// How long we waited.
        limit: Duration,
    },

    /// The answer makes no sense.
    #[error("Teleport call {call} was answered with {what}; is this a Teleport auth server?")]
    InvalidResponse {
        /// The gRPC method that was called.
        call: Call,
        /// What was wrong with the answer.
        what: &'static str,
    },

    /// The answer is longer than anything we expect.
    #[error("Teleport call {call} lists more than {limit} items; {}", .call.reduce_hint())]
    TooManyItems {
        /// The gRPC method that was called.
        call: Call,
        /// The most that we accept.
        limit: usize,
    },

    /// One message of the answer is larger than we accept.
    #[error("Teleport call {call} is answered with a message of more than {} MiB; {}", .limit / 1_048_576, .call.reduce_size_hint())]
    ResponseTooLarge {
        /// The gRPC method that was called.
        call: Call,
        /// The most that we accept, in bytes.
        limit: usize,
    },

    /// What is not listed and not found may be there all the same.
    #[error("{}", describe_visibility(.visibility))]
    NotVisible {
        /// What the plugin's roles let it list and read.
        visibility: Visibility,
    },

    /// The server ended the watch.
    #[error(
        "the auth server ended the request watcher's stream (it restarts, or the watcher was too slow for it)"
    )]
    WatchEnded,

    /// More changes waited for our own side than we hold.
    #[error("more than {limit} changed requests wait for the daemon; it starts over with a full list")]
    WatchOverflow {
        /// The most that we hold.
        limit: usize,
    },

    /// The record was changed by others between each of our reads and writes.
    #[error(
        "plugin data of request {id} changed under each of {attempts} attempts to write it; do too many copies of the plugin run?"
    )]
    Contended {
        /// The id of the request, a UUID.
        id: RequestId,
        /// How often we tried.
        attempts: u32,
    },

    /// The server is too old, or did not say what it is.
    #[error("the auth server's version is {found:?}, but {}.{} or later is needed; upgrade Teleport", .oldest.0, .oldest.1)]
    ServerVersion {
        /// The version that the server named.
        found: String,
        /// The oldest that will do: major, minor.
        oldest: (u32, u32),
    },
}

impl TeleportError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Call { kind, .. } => *kind,
            Self::Deadline { .. } | Self::WatchEnded | Self::WatchOverflow { .. } => ErrorKind::Retry,
            Self::InvalidResponse { .. } => ErrorKind::Retry,
            Self::Contended { .. } => ErrorKind::Conflict,
            Self::NotVisible { .. } => ErrorKind::Unauthorized,
            Self::TooManyItems { .. } | Self::ResponseTooLarge { .. } | Self::ServerVersion { .. } => {
                ErrorKind::Permanent
            }
        }
    }

    /// What distinguishes its cause from others. The words about a connection that broke change from try to try.
    pub fn class(&self) -> String {
        match self {
            Self::Connect(error) if error.kind != ConnectErrorKind::ForwardProxy => error.kind.to_string(),
            Self::Call { call, kind: ErrorKind::Retry, .. } => call.to_string(),
            error => error.to_string(),
        }
    }

    /// Why the plugin was not let in, if that was it and a server said so.
    pub fn denied(&self) -> Option<AccessDenied> {
        match self {
            Self::Call { denied, .. } => *denied,
            _ => None,
        }
    }

    pub(super) fn server_version(found: &str, oldest: (u32, u32)) -> Self {
        Self::ServerVersion { found: quote(found), oldest }
    }

    /// What a gRPC status means. tonic keeps the reason of a broken connection in the status's chain of
    /// sources, often several layers down.
    pub(super) fn from_status(call: Call, status: &Status) -> Self {
        if status.code() == Code::OutOfRange && status.message().starts_with(TONIC_TOO_LARGE) {
            return Self::ResponseTooLarge { call, limit: MAX_MESSAGE_BYTES };
        }
        let mut next = status.source();
        while let Some(error) = next {
            if let Some(connect) = error.downcast_ref::<ConnectError>() {
                return Self::Connect(connect.clone());
            }
            next = error.source();
        }
        let message = broken::status_message(status);
        let denied = AccessDenied::classify(status.code(), status.message());
        let kind = denied.map_or_else(|| error_kind(status.code()), |_| ErrorKind::Unauthorized);
        Self::Call { call, code: code_name(status.code()), kind, denied, message }
    }
}

/// What a status means that says nothing about the plugin itself.
fn error_kind(code: Code) -> ErrorKind {
    match code {
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Unauthorized,
        Code::FailedPrecondition | Code::AlreadyExists => ErrorKind::Conflict,
        Code::NotFound => ErrorKind::NotFound,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::InvalidArgument | Code::OutOfRange | Code::DataLoss => ErrorKind::Permanent,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => ErrorKind::Retry,
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The end of a message about a refusal.
fn remedy(call: Call, denied: Option<AccessDenied>) -> String {
    denied.map_or_else(String::new, |denied| format!("; {}", denied.remedy(call)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_kind() {
        let kind = |code, message: &str| {
            TeleportError::from_status(Call::GetPluginData, &Status::new(code, message)).kind()
        };
        for (code, expected) in [
            (Code::Cancelled, ErrorKind::Retry),
            (Code::Unknown, ErrorKind::Retry),
            (Code::InvalidArgument, ErrorKind::Permanent),
            (Code::DeadlineExceeded, ErrorKind::Retry),
            (Code::NotFound, ErrorKind::NotFound),
            (Code::AlreadyExists, ErrorKind::Conflict),
            (Code::PermissionDenied, ErrorKind::Unauthorized),
            (Code::ResourceExhausted, ErrorKind::Retry),
            (Code::FailedPrecondition, ErrorKind::Conflict),
            (Code::Aborted, ErrorKind::Retry),
            (Code::OutOfRange, ErrorKind::Permanent),
            (Code::Unimplemented, ErrorKind::Unimplemented),
            (Code::Internal, ErrorKind::Retry),
            (Code::Unavailable, ErrorKind::Retry),
            (Code::DataLoss, ErrorKind::Permanent),
            (Code::Unauthenticated, ErrorKind::Unauthorized),
        ] {
            assert_eq!(kind(code, "watcher closed"), expected, "{code:?}");
        }
        // Of the plugin itself, whatever the code: what is refused is not gone.
        let gone = "access denied\n\tuser \"access-plugin\" not found";
        assert_eq!(kind(Code::NotFound, gone), ErrorKind::Unauthorized);
        assert_eq!(kind(Code::Unavailable, "access denied"), ErrorKind::Unauthorized);
    }

    #[test]
    fn the_innermost_reason_is_kept() {
        let io = std::io::Error::other("the cable was cut");
        let status = Status::from_error(Box::new(io));
        let error = TeleportError::from_status(Call::WatchEvents, &status);
        assert_eq!(error.to_string(), "Teleport call WatchEvents failed with UNKNOWN: the cable was cut");
        assert!(error.source().is_none(), "the text is whole");
    }

    #[test]
    fn a_refused_write_names_the_rule_for_writing() {
        let status = Status::permission_denied("access denied to perform action \"update\"");
        let text = TeleportError::from_status(Call::UpdatePluginData, &status).to_string();
        assert!(text.contains("{resources: ['access_plugin_data'], verbs: ['update']}"), "{text}");
        let text = TeleportError::from_status(Call::Ping, &status).to_string();
        assert!(text.contains("does not accept the plugin's certificate"), "{text}");
    }

    #[test]
    fn foreign_texts_are_shortened_and_have_no_control_characters() {
        let hostile = format!("one\ntwo\u{1b}[31m{}", "🔥".repeat(10_000));
        let text = TeleportError::from_status(Call::Ping, &Status::unknown(hostile)).to_string();
        assert!(text.contains("one two[31m🔥"), "{text}");
        assert!(text.chars().count() < 500 && text.ends_with('…'));
    }
}
