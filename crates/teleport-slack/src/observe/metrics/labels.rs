//! The labels of what is counted: closed lists, so that all series are there from the start.
//!
//! What is counted under which name is `metrics`'.

use std::time::Duration;

use access_core::refusal::Refusal;
use access_core::render::answer::Done;

use crate::slack::error::Kind as SlackKind;

/// What became of one step towards Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message was posted.
    Posted,
    /// A message was edited.
    Updated,
    /// A reply was posted in a thread.
    Replied,
    /// A message that was one too many was taken back.
    Withdrawn,
    /// It did not succeed, and this is how it goes on.
    Not(SlackKind),
}

/// What the channel's history says of a post whose outcome was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The message is there.
    Found,
    /// It is not.
    NotFound,
}

/// What is listed in bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The access requests.
    Requests,
    /// The records that are kept of them.
    Records,
}

impl List {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Records => "records",
        }
    }

    /// What still works when it cannot be made, and what does not.
    pub(crate) fn effect(self) -> &'static str {
        match self {
            Self::Requests => "new requests and changes are shown as they come, those of before are not",
            Self::Records => {
                "requests are shown all the same, but a message whose request went away while the daemon was not watching stays as it is"
            }
        }
    }
}

/// How one visit to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// All was done that could be done.
    Done,
    /// Teleport failed.
    Failed,
    /// It panicked.
    Panicked,
}

/// What became of one interaction.
#[derive(Clone, Copy, Debug)]
pub enum Click<'a> {
    /// It was carried out.
    Done(&'a Done),
    /// It changed nothing, and the person was told why.
    Refused(&'a Refusal),
    /// The person is asked for a reason; what they answer counts on its own.
    Asking,
    /// Its signature is not Slack's, or was used before.
    Forged,
    /// It cannot be read.
    Malformed,
    /// It was delivered before.
    Repeated,
    /// Too many wait already.
    TurnedAway,
}

/// A failure towards Slack, in the words of the metrics.
pub(super) fn fault(kind: SlackKind) -> &'static str {
    match kind {
        SlackKind::Retry => "failed",
        SlackKind::RetryAfter(_) => "limited",
        SlackKind::Permanent => "refused",
        SlackKind::Unauthorised => "unauthorised",
    }
}

const DONE: &str = "done";
const REFUSED: &str = "refused";

/// How a call of Slack's Web API may end.
pub(super) fn slack_results() -> impl Iterator<Item = &'static str> {
    ["ok", "ambiguous"].into_iter().chain(SLACK_KINDS.map(fault))
}

const SLACK_KINDS: [SlackKind; 4] =
    [SlackKind::Retry, SlackKind::RetryAfter(Duration::ZERO), SlackKind::Permanent, SlackKind::Unauthorised];

impl Delivery {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let done = [Self::Posted, Self::Updated, Self::Replied, Self::Withdrawn];
        done.into_iter().chain(SLACK_KINDS.map(Self::Not))
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Updated => "updated",
            Self::Replied => "replied",
            Self::Withdrawn => "withdrawn",
            Self::Not(kind) => fault(kind),
        }
    }
}

impl Settled {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
        }
    }
}

impl Visit {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
        }
    }
}

impl Click<'_> {
    /// The labels of all.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        let others = [Self::Asking, Self::Forged, Self::Malformed, Self::Repeated, Self::TurnedAway];
        let done = Done::KINDS.map(|kind| (DONE, kind));
        let refused = Refusal::KINDS.map(|kind| (REFUSED, kind));
        done.into_iter().chain(refused).chain(others.map(Self::labels))
    }

    pub(super) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Done(done) => (DONE, done.kind()),
            Self::Refused(refusal) => (REFUSED, refusal.kind()),
            Self::Asking => ("asking", ""),
            Self::Forged => ("forged", ""),
            Self::Malformed => ("malformed", ""),
            Self::Repeated => ("repeated", ""),
            Self::TurnedAway => ("turned_away", ""),
        }
    }
}
