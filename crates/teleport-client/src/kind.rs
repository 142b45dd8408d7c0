//! What a caller can do about a failure, whatever failed.

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Try again later; the outcome of a call that writes is not known.
    Retry,
    /// The identity is refused or lacks a permission: a person has to act.
    Unauthorized,
    /// What is stored is not what we expected: read it and decide again.
    Conflict,
    /// There is no such thing.
    NotFound,
    /// The server does not have this method.
    Unimplemented,
    /// Trying again will not help.
    Permanent,
}
