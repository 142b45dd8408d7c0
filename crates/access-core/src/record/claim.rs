//! Which daemon works on a request, and which posts are unconfirmed: so several daemons share the work.
//!
//! A claim stands in the request's record. A daemon acquires it by compare-and-swap, in the write before its calls to
//! Slack. The same write notes the posts that it is about to make. The write that records their outcomes releases the
//! claim. If the daemon dies between the two, its posts stay in the record as in-doubt posts. The next daemon looks for
//! them in Slack before it posts again (`plan`).
//!
//! Two machines' clocks need not agree. A claim expires when a daemon that watches it has seen no change for
//! [`ClaimTimings::timeout`] by its own clock. The holder starts no call later than [`ClaimTimings::budget`] after it acquired
//! the claim.
//! `claim/tests.rs` tries the protocol in every order of events.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::delivery::Operation;
use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::recipients::RecipientKey;

mod timings;
pub use timings::ClaimTimings;

/// Longer destinations are not ours, in bytes; channel names have at most 80 characters of four bytes, ids far fewer.
const MAX_DESTINATION_LEN: usize = 320;
/// Attempts at one post where the history cannot be read, before Slack shows that it answers there.
const MAX_UNVERIFIED_ATTEMPTS: u32 = 2;
/// The pauses before further attempts at a post that Slack accepted without its address. Only another post shows whether
/// Slack gives addresses again, and each may be one more copy: so there are few, and each pause is much longer.
const ACCEPTED_PAUSES: [SignedDuration; 4] = [
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(4),
    SignedDuration::from_mins(32),
    SignedDuration::from_hours(4),
];

/// The right to work on one request for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Which process holds it: a name that no other process has.
    #[serde(rename = "h")]
    pub holder: String,
    /// Another number each time that process takes a claim, so that a new one is not taken for an old one.
    #[serde(rename = "n")]
    pub generation: u64,
    /// When it was taken, by the holder's wall clock.
    #[serde(rename = "at")]
    pub acquired_at: Timestamp,
}

/// A post that may have been made: it was about to be, and its outcome is not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubtPost {
    /// What it was part of.
    pub operation: Operation,
    /// Where it went: a channel's id or name, or a person's id.
    pub destination: String,
    /// When it was about to be made, by that daemon's wall clock. It distinguishes one attempt from another.
    pub attempted_at: Timestamp,
    /// From when on the message is there or never will be. Before that, not finding it means nothing.
    pub final_at: Timestamp,
    /// When the first attempt with an unknown outcome was about to be made.
    pub first_attempted_at: Timestamp,
    /// How many attempts have an unknown outcome.
    pub attempts: u32,
    /// Whether Slack said of one of them that it is there, and not where.
    pub is_accepted: bool,
    /// Whether to post once more although the history could not be read.
    pub may_retry: bool,
}

/// The last answers of Slack to posts into one channel, as far as they leave nothing open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastResponses {
    /// When it last took a message and said where.
    pub posted_at: Option<Timestamp>,
    /// When it last refused one explicitly.
    pub refused_at: Option<Timestamp>,
}

impl InDoubtPost {
    /// About the first attempt at something.
    pub fn new(
        operation: Operation,
        destination: String,
        attempted_at: Timestamp,
        final_at: Timestamp,
    ) -> Self {
        Self {
            operation,
            destination,
            attempted_at,
            final_at,
            first_attempted_at: attempted_at,
            attempts: 1,
            is_accepted: false,
            may_retry: false,
        }
    }

    /// Whether to post once more where the history cannot be read: once in any case, and then only after Slack has given
    /// a complete answer in that channel. If Slack accepts messages without saying where they are, a refusal proves
    /// nothing; then a few more attempts follow after long pauses.
    pub fn should_retry(&self, answers: LastResponses, now: Timestamp) -> bool {
        let since = |at: Option<Timestamp>| at.is_some_and(|at| at > self.attempted_at);
        self.attempts < MAX_UNVERIFIED_ATTEMPTS
            || since(answers.posted_at)
            || (since(answers.refused_at) && !self.is_accepted)
            || self.next_attempt_at().is_some_and(|at| at <= now)
    }

    /// When to post once more although Slack gave no complete answer in that channel; `None` if never. It follows from
    /// the record alone, so neither a restart nor another daemon adds an attempt.
    pub fn next_attempt_at(&self) -> Option<Timestamp> {
        let made = usize::try_from(self.attempts.checked_sub(MAX_UNVERIFIED_ATTEMPTS)?).ok()?;
        let pause = ACCEPTED_PAUSES.get(made).filter(|_| self.is_accepted)?;
        self.attempted_at.checked_add(*pause).ok()
    }

    /// The last attempt was not made. Returns whether there is another that is in doubt.
    pub(crate) fn undo_attempt(&mut self) -> bool {
        self.attempts = self.attempts.saturating_sub(1);
        self.may_retry = true;
        self.attempts > 0
    }
}

/// An in-doubt post as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct InDoubtPostJson {
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    key: Option<RecipientKey>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    channel: Option<ChannelId>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    ts: Option<MessageTs>,
    #[serde(rename = "p")]
    destination: String,
    #[serde(rename = "s")]
    attempted_at: Timestamp,
    #[serde(rename = "r")]
    final_at: Timestamp,
    // Releases before these were added pass over them; each of them looks, and posts again where it cannot.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    first_attempted_at: Option<Timestamp>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    is_accepted: bool,
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    may_retry: bool,
}

impl From<&InDoubtPost> for InDoubtPostJson {
    fn from(post: &InDoubtPost) -> Self {
        let InDoubtPost {
            operation,
            destination,
            attempted_at,
            final_at,
            first_attempted_at,
            attempts,
            is_accepted,
            may_retry,
        } = post.clone();
        let (key, channel, ts) = match operation {
            Operation::Post(key) => (Some(key), None, None),
            Operation::Update(channel, ts) | Operation::Reply(channel, ts) => (None, Some(channel), Some(ts)),
        };
        let first_attempted_at = Some(first_attempted_at).filter(|first| *first != attempted_at);
        let attempts = Some(attempts).filter(|attempts| *attempts != 1);
        Self {
            key,
            channel,
            ts,
            destination,
            attempted_at,
            final_at,
            first_attempted_at,
            attempts,
            is_accepted,
            may_retry,
        }
    }
}

impl InDoubtPostJson {
    pub(crate) fn decode(self) -> Option<InDoubtPost> {
        let operation = match (self.key, self.channel, self.ts) {
            (Some(key), ..) => Operation::Post(key),
            (None, Some(channel), Some(ts)) => Operation::Reply(channel, ts),
            _ => return None,
        };
        let post = InDoubtPost {
            first_attempted_at: self.first_attempted_at.unwrap_or(self.attempted_at),
            attempts: self.attempts.unwrap_or(1),
            is_accepted: self.is_accepted,
            may_retry: self.may_retry,
            ..InDoubtPost::new(operation, self.destination, self.attempted_at, self.final_at)
        };
        (post.destination.len() <= MAX_DESTINATION_LEN).then_some(post)
    }
}

/// Whether to work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// No other daemon does.
    Free,
    /// Another daemon did, and has not renewed its claim for too long.
    Expired,
    /// Another daemon does: look again after this long.
    Wait(Duration),
}

/// Whether `me` may take the claim, having watched what is there without a change for `watched`.
pub fn may_acquire(
    claim: Option<&Claim>,
    me: &str,
    watched: Duration,
    now: Timestamp,
    timings: &ClaimTimings,
) -> Acquire {
    let is_stale = |claim: &Claim| {
        Duration::try_from(now.duration_since(claim.acquired_at)).is_ok_and(|age| age > timings.stale_after)
    };
    match claim {
        None => Acquire::Free,
        Some(claim) if claim.holder == me => Acquire::Free,
        Some(claim) if is_stale(claim) || watched >= timings.timeout => Acquire::Expired,
        Some(_) => Acquire::Wait(timings.timeout - watched),
    }
}

#[cfg(test)]
mod tests;
