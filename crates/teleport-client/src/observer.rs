//! What the client reports while it works, for metrics and health.
//!
//! The implementer must return at once: it is called between a call's answer and its caller.

use std::fmt::Debug;
use std::time::Duration;

use super::call::Call;
use super::error::{CallResult, TeleportError};
use super::visibility::Visibility;

/// Receives what a [`super::Client`] and its watcher do.
pub trait Observer: Debug + Send + Sync {
    /// A call ended, which took so long; of a stream, until it was open.
    fn call_ended(&self, call: Call, result: CallResult, took: Duration);

    /// The watch is open.
    fn watch_opened(&self);

    /// The watch delivered a change.
    fn watch_event(&self);

    /// The watch is lost, or could not be opened again. Returns whether the client is to log it above DEBUG; what a person must
    /// act upon, it logs in any case.
    fn watch_lost(&self, error: &TeleportError) -> bool;

    /// A list arrived in full.
    fn list_succeeded(&self, list: List);

    /// A list could not be made, or is not whole.
    fn list_failed(&self, list: List, error: &TeleportError);

    /// How much of the access requests Teleport shows us.
    fn visibility_found(&self, visibility: &Visibility);

    /// Something is not listed or not found, and may be there all the same.
    fn absence_unconfirmed(&self, visibility: &Visibility);
}

/// What is listed in bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The access requests.
    Requests,
    /// The plugin data of all requests.
    Records,
}

impl List {
    /// The name in log lines and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Records => "records",
        }
    }
}

/// Ignores everything.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn call_ended(&self, _: Call, _: CallResult, _: Duration) {}
    fn watch_opened(&self) {}
    fn watch_event(&self) {}
    fn watch_lost(&self, _: &TeleportError) -> bool {
        true
    }
    fn list_succeeded(&self, _: List) {}
    fn list_failed(&self, _: List, _: &TeleportError) {}
    fn visibility_found(&self, _: &Visibility) {}
    fn absence_unconfirmed(&self, _: &Visibility) {}
}
