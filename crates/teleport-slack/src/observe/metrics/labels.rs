//! The labels of what is counted: closed lists, so that all series are there from the start.
//!
//! What is counted under which name is `metrics`'.

use std::time::Duration;

use access_core::policy::refusal::Refusal;
use access_core::render::ephemeral::Accepted;

use slack_client::error::Retry as SlackKind;

/// What became of one step towards Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationResult {
    /// A message was posted.
    Posted,
    /// A message was edited.
    Updated,
    /// A reply was posted in a thread.
    Replied,
    /// A duplicate was deleted.
    Deleted,
    /// It did not succeed, and this is how it goes on.
    Failed(SlackKind),
}

/// What the channel's history shows of an in-doubt post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDoubtResult {
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

/// A failure towards Slack, in the words of the metrics.
pub(super) fn failure_label(kind: SlackKind) -> &'static str {
    match kind {
        SlackKind::Backoff => "failed",
        SlackKind::After(_) => "limited",
        SlackKind::Never => "refused",
        SlackKind::NeedsOperator => "unauthorised",
    }
}

const ACCEPTED: &str = "done";
const REFUSED: &str = "refused";

/// How a call of Slack's Web API may end.
pub(super) fn slack_results() -> impl Iterator<Item = &'static str> {
    ["ok", "ambiguous"].into_iter().chain(SLACK_KINDS.map(failure_label))
}

const SLACK_KINDS: [SlackKind; 4] =
    [SlackKind::Backoff, SlackKind::After(Duration::ZERO), SlackKind::Never, SlackKind::NeedsOperator];

impl OperationResult {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let done = [Self::Posted, Self::Updated, Self::Replied, Self::Deleted];
        done.into_iter().chain(SLACK_KINDS.map(Self::Failed))
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Updated => "updated",
            Self::Replied => "replied",
            Self::Deleted => "withdrawn",
            Self::Failed(kind) => failure_label(kind),
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
            Self::Success => "done",
            Self::Error => "failed",
            Self::Panic => "panicked",
        }
    }
}

impl InteractionResult<'_> {
    /// The labels of all.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        let others = [
            Self::ReasonRequested,
            Self::InvalidSignature,
            Self::InvalidPayload,
            Self::Duplicate,
            Self::Overloaded,
        ];
        let done = Accepted::KINDS.map(|kind| (ACCEPTED, kind));
        let refused = Refusal::KINDS.map(|kind| (REFUSED, kind));
        done.into_iter().chain(refused).chain(others.map(Self::labels))
    }

    pub(super) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Accepted(done) => (ACCEPTED, done.kind()),
            Self::Refused(refusal) => (REFUSED, refusal.kind()),
            Self::ReasonRequested => ("asking", ""),
            Self::InvalidSignature => ("forged", ""),
            Self::InvalidPayload => ("malformed", ""),
            Self::Duplicate => ("repeated", ""),
            Self::Overloaded => ("turned_away", ""),
        }
    }
}
