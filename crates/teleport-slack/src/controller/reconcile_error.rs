//! Failed calls to Teleport during a reconcile, and how long to wait after them.

use std::time::Duration;

use access_core::domain::backoff::Backoff;

use teleport_client::error::{ErrorKind, TeleportError};

/// Teleport does not answer. The watcher retries at once when its connection is back.
const TELEPORT_UNAVAILABLE_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(20) };
/// Teleport refuses. An operator must act.
pub(super) const TELEPORT_DENIED_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(300) };

/// The stages at which Teleport can fail; a success of one does not clear the errors of the other.
pub(super) const STAGE_READ: &str = "reading records";
pub(super) const STAGE_WRITE: &str = "writing records";

/// A call to Teleport that failed, and its stage.
pub(super) struct ReconcileError {
    pub(super) stage: &'static str,
    pub(super) source: TeleportError,
}

impl ReconcileError {
    pub(super) fn read(error: TeleportError) -> Self {
        Self { stage: STAGE_READ, source: error }
    }

    pub(super) fn write(error: TeleportError) -> Self {
        Self { stage: STAGE_WRITE, source: error }
    }
}

/// The backoff after a failed call to Teleport, and whether Teleport refuses, so that an operator must act.
pub(super) fn retry_policy(kind: ErrorKind) -> (Backoff, bool) {
    match kind {
        ErrorKind::Retry | ErrorKind::Conflict => (TELEPORT_UNAVAILABLE_BACKOFF, false),
        ErrorKind::Unauthorized | ErrorKind::NotFound | ErrorKind::Unimplemented | ErrorKind::Permanent => {
            (TELEPORT_DENIED_BACKOFF, true)
        }
    }
}
