//! Who works on a request, and which posts nobody has confirmed: what lets several daemons share the work.
//!
//! A claim stands in the request's record. It is taken by compare-and-swap with the write that goes before the
//! calls to Slack, together with the posts that are about to be made, and given up with the write that records
//! what came of them. So a post whose outcome is not known stays on record as a doubt, whoever died, and is
//! looked for in Slack before it is made again (`plan`).
//!
//! Nothing here trusts two machines' clocks to agree: a claim lapses when whoever watches it has seen no change
//! for [`LAPSE`] by his own clock, and its holder begins nothing later than [`WORK`] after he took it. The
//! protocol is tried in every order of events in `claim/tests.rs`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::delivery::Operation;
use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::recipients::RecipientKey;

/// A claim that did not change for this long may be taken over.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(13);
/// How long after he began to write the claim its holder may begin a call to Slack. A call lasts [`CALL`] at
/// most, so everything has ended before anybody else begins. A Teleport that needs longer than this for one write
/// stops all work.
pub const CLAIM_BUDGET: Duration = Duration::from_secs(6);
/// The most that a call under a claim may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(6);
/// A post of which nobody knows more arrives within this time after its daemon took the claim, or never: [`WORK`]
/// and [`CALL`], and nearly as much again for clocks that differ and a Slack that is slow.
pub(super) const IN_DOUBT_AFTER_CLAIM: SignedDuration = SignedDuration::from_secs(20);
/// A post that got no answer arrives within this time after its daemon gave it up, or never.
pub const IN_DOUBT_AFTER_TIMEOUT: SignedDuration = SignedDuration::from_secs(9);
/// A claim this old by the wall clock is over without being watched: its daemon died long ago. Clocks of
/// replicas may differ by this much, less [`LAPSE`].
const STALE_CLAIM_AGE: SignedDuration = SignedDuration::from_secs(120);
/// Longer names of places are not ours, in bytes; channel names have at most 80 characters of four bytes, ids far fewer.
const MAX_DESTINATION_LEN: usize = 320;
/// Where nobody can look, a post of which nobody knows the outcome is made once more without further ado.
const MAX_UNVERIFIED_ATTEMPTS: u32 = 2;

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
    /// When it was about to be made, by that daemon's wall clock. It tells one attempt from another.
    pub attempted_at: Timestamp,
    /// From when on it is there or never will be. Before, that it is not found means nothing.
    pub final_at: Timestamp,
    /// When the first of the attempts was about to be made of which nobody knows what came.
    pub first_attempted_at: Timestamp,
    /// How many these are.
    pub attempts: u32,
    /// Whether Slack said of one of them that it is there, and not where.
    pub is_accepted: bool,
    /// Whether it is to be made once more although nobody could look.
    pub may_retry: bool,
}

/// What Slack last answered to posts into one place, as far as the answer leaves nothing open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastResponses {
    /// When it last took a message and said where.
    pub posted_at: Option<Timestamp>,
    /// When it last refused one in so many words.
    pub refused_at: Option<Timestamp>,
}

impl InDoubtPost {
    /// About the first attempt at something.
    pub fn new(errand: Operation, place: String, since: Timestamp, ripe: Timestamp) -> Self {
        let (attempts, is_accepted, may_repeat) = (1, false, false);
        Self {
            operation: errand,
            destination: place,
            attempted_at: since,
            final_at: ripe,
            first_attempted_at: since,
            attempts,
            is_accepted,
            may_retry: may_repeat,
        }
    }

    /// Whether the post is to be made once more where nobody can look: once in any case, and then only after Slack was
    /// seen to give a whole answer in that place. If it says that it takes messages and does not say where, a refusal
    /// proves nothing.
    pub fn should_retry(&self, answers: LastResponses) -> bool {
        let since = |at: Option<Timestamp>| at.is_some_and(|at| at > self.attempted_at);
        self.attempts < MAX_UNVERIFIED_ATTEMPTS
            || since(answers.posted_at)
            || (since(answers.refused_at) && !self.is_accepted)
    }

    /// The last attempt was not made. Returns whether there is another that is in doubt.
    pub(crate) fn undo_attempt(&mut self) -> bool {
        self.attempts = self.attempts.saturating_sub(1);
        self.may_retry = true;
        self.attempts > 0
    }
}

/// A doubt as JSON.
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
    fn from(doubt: &InDoubtPost) -> Self {
        let InDoubtPost {
            operation: errand,
            destination: place,
            attempted_at: since,
            final_at: ripe,
            first_attempted_at: first,
            attempts,
            is_accepted,
            may_retry: may_repeat,
        } = doubt.clone();
        let (key, channel, ts) = match errand {
            Operation::Post(key) => (Some(key), None, None),
            Operation::Update(channel, ts) | Operation::Reply(channel, ts) => (None, Some(channel), Some(ts)),
        };
        let first = Some(first).filter(|first| *first != since);
        let attempts = Some(attempts).filter(|attempts| *attempts != 1);
        Self {
            key,
            channel,
            ts,
            destination: place,
            attempted_at: since,
            final_at: ripe,
            first_attempted_at: first,
            attempts,
            is_accepted,
            may_retry: may_repeat,
        }
    }
}

impl InDoubtPostJson {
    pub(crate) fn decode(self) -> Option<InDoubtPost> {
        let errand = match (self.key, self.channel, self.ts) {
            (Some(key), ..) => Operation::Post(key),
            (None, Some(channel), Some(ts)) => Operation::Reply(channel, ts),
            _ => return None,
        };
        let doubt = InDoubtPost {
            first_attempted_at: self.first_attempted_at.unwrap_or(self.attempted_at),
            attempts: self.attempts.unwrap_or(1),
            is_accepted: self.is_accepted,
            may_retry: self.may_retry,
            ..InDoubtPost::new(errand, self.destination, self.attempted_at, self.final_at)
        };
        (doubt.destination.len() <= MAX_DESTINATION_LEN).then_some(doubt)
    }
}

/// Whether to work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// Nobody else does.
    Free,
    /// Somebody else did, and has not been heard of for too long.
    Expired,
    /// Somebody else does: look again after this long.
    Wait(Duration),
}

/// Whether `me` may take the claim, having watched what is there without a change for `watched`.
pub fn may_acquire(claim: Option<&Claim>, me: &str, watched: Duration, now: Timestamp) -> Acquire {
    match claim {
        None => Acquire::Free,
        Some(claim) if claim.holder == me => Acquire::Free,
        Some(claim)
            if now.duration_since(claim.acquired_at) > STALE_CLAIM_AGE || watched >= CLAIM_TIMEOUT =>
        {
            Acquire::Expired
        }
        Some(_) => Acquire::Wait(CLAIM_TIMEOUT - watched),
    }
}

#[cfg(test)]
mod tests;
