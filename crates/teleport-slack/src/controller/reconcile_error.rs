//! Failed calls to Teleport during a reconcile, and how long to wait after them.

use access_core::domain::backoff::Backoff;

use super::timings::ControllerTimings;
use teleport_client::error::{ErrorKind, TeleportError};

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
pub(super) fn retry_policy(kind: ErrorKind, timings: &ControllerTimings) -> (Backoff, bool) {
    match kind {
        ErrorKind::Retry | ErrorKind::Conflict => (timings.teleport_unavailable, false),
        ErrorKind::Unauthorized | ErrorKind::NotFound | ErrorKind::Unimplemented | ErrorKind::Permanent => {
            (timings.teleport_denied, true)
        }
    }
}
