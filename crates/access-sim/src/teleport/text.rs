//! Texts from outside: bytes that need not be UTF-8, and how long a reason may be.

use super::options::ServerVersion;
use super::refusal::RpcError;

/// Longest reason that servers take from 15.1.9 on, in bytes.
const MAX_REASON_BYTES: usize = 4096;

/// Refuses what is longer than servers take (`create-reason-too-long`, `set-state-reason-too-long`).
pub(super) fn require_reason_fits(version: ServerVersion, what: &str, reason: &[u8]) -> Result<(), RpcError> {
    if version < ServerVersion::V15 || reason.len() <= MAX_REASON_BYTES {
        return Ok(());
    }
    Err(RpcError::bad_parameter(format!("{what} is too long, max {MAX_REASON_BYTES} bytes")))
}

/// For the audit log and other places that hold text; what is not UTF-8 becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
