//! The labels of what is counted: closed lists, so that all series are there from the start.
//!
//! What is counted under which name is `metrics`'.

use std::iter;
use std::time::Duration;

use access_core::policy::refusal::Refusal;
use access_core::render::ephemeral::Accepted;

use slack_client::error::Retry;

/// What one operation changes in Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlackOperation {
    /// Posts the message about a request.
    Post,
    /// Edits it.
    Update,
    /// Posts a reply in its thread.
    Reply,
    /// Deletes a duplicate.
    Delete,
}

/// What the channel's history shows of an in-doubt post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InDoubtResult {
    /// The message is there.
    Found,
    /// It is not.
    NotFound,
}

/// How one reconcile of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// All was done that could be done.
    Success,
    /// Teleport failed.
    Error,
    /// It panicked.
    Panic,
}

/// What became of one interaction.
#[derive(Clone, Copy, Debug)]
pub enum InteractionResult<'a> {
    /// The daemon applied it.
    Accepted(&'a Accepted),
    /// It changed nothing, and the user got the reason.
    Refused(&'a Refusal),
    /// The user is asked for a reason; the submitted form counts on its own.
    ReasonRequested,
    /// Its signature is not Slack's, or was used before.
    InvalidSignature,
    /// It cannot be read.
    InvalidPayload,
    /// It was delivered before.
    Duplicate,
    /// Too many wait already.
    Overloaded,
}

/// How something in Slack ended: `Err` says what to do about the failure.
pub(super) fn slack_result(result: Result<(), Retry>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Retry::After(_)) => "rate_limited",
        Err(Retry::Backoff) => "transient",
        Err(Retry::Never) => "rejected",
        Err(Retry::NeedsOperator) => "unauthorized",
    }
}

/// All of [`slack_result`].
pub(super) fn slack_results() -> impl Iterator<Item = &'static str> {
    let failures = [Retry::After(Duration::ZERO), Retry::Backoff, Retry::Never, Retry::NeedsOperator];
    iter::once(Ok(())).chain(failures.map(Err)).map(slack_result)
}

/// How a call to a method that writes ended, if it may have been applied although it failed.
pub(super) const IN_DOUBT: &str = "in_doubt";

impl SlackOperation {
    pub(super) const ALL: [Self; 4] = [Self::Post, Self::Update, Self::Reply, Self::Delete];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Update => "update",
            Self::Reply => "reply",
            Self::Delete => "delete",
        }
    }
}

impl InDoubtResult {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
        }
    }
}

impl ReconcileResult {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Panic => "panic",
        }
    }
}

const ACCEPTED: &str = "accepted";
const REFUSED: &str = "refused";
const REJECTED: &str = "rejected";
/// The reason that only signed HTTP requests have.
pub(super) const INVALID_SIGNATURE: &str = "invalid_signature";

impl InteractionResult<'_> {
    /// The labels of all, in any configuration.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        let accepted = Accepted::KINDS.map(|kind| (ACCEPTED, kind));
        let refused = Refusal::KINDS.map(|kind| (REFUSED, kind));
        let others = [
            Self::ReasonRequested,
            Self::InvalidPayload,
            Self::Duplicate,
            Self::Overloaded,
            Self::InvalidSignature,
        ];
        accepted.into_iter().chain(refused).chain(others.map(Self::labels))
    }

    /// What became of it, and why: the labels `result` and `reason`, and fields of the log with these names.
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Accepted(accepted) => (ACCEPTED, accepted.kind()),
            Self::Refused(refusal) => (REFUSED, refusal.kind()),
            Self::ReasonRequested => ("continued", "asking_for_a_reason"),
            Self::InvalidSignature => (REJECTED, INVALID_SIGNATURE),
            Self::InvalidPayload => (REJECTED, "invalid_payload"),
            Self::Duplicate => (REJECTED, "duplicate"),
            Self::Overloaded => (REJECTED, "overloaded"),
        }
    }
}
