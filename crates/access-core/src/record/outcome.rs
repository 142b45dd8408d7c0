//! What came of a step towards Slack, and how it is written down.

use jiff::Timestamp;

use super::{Delivery, MAX_DELIVERIES, MAX_DOUBTS, Record, Shown, is_storable};
use crate::claim::Doubt;
use crate::ids::{ChannelId, MessageTs};
use crate::plan::Errand;
use crate::recipients::{RecipientKey, Untold};

/// Something Slack confirmed, to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message was posted.
    Posted {
        /// Whom it is for.
        key: RecipientKey,
        /// Where it is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// What it shows; `None` if it was found rather than posted.
        shown: Option<Shown>,
    },
    /// What became of an attempt to post, and of those before it, is known.
    Settled {
        /// What it was part of.
        errand: Errand,
        /// When it was about to be made, which tells one attempt from another.
        since: Timestamp,
    },
    /// An attempt to post was not made after all. Of those before it nobody knows more than before.
    NotMade {
        /// What it was part of.
        errand: Errand,
        /// When it was about to be made.
        since: Timestamp,
    },
    /// Nobody can look whether a post was made, and it is right to make it once more.
    Repeat {
        /// What it was part of.
        errand: Errand,
        /// When it was last about to be made.
        since: Timestamp,
    },
    /// An attempt to post has ended, and nobody knows how.
    Unclear {
        /// What it was part of.
        errand: Errand,
        /// Where it went: a channel's id or name, or a person's id.
        place: String,
        /// When it was about to be made.
        since: Timestamp,
        /// From when on it is there or never will be.
        ripe: Timestamp,
        /// Whether Slack said that it is there, and not where.
        is_accepted: bool,
        /// Whether what was in doubt before turned out well on the way, so that this is the first attempt of its message.
        is_first: bool,
    },
    /// A message that was one too many was taken back.
    Withdrawn {
        /// Where it was.
        channel: ChannelId,
        /// Which it was.
        ts: MessageTs,
    },
    /// A message cannot be kept true any more.
    Lost {
        /// Where it was.
        channel: ChannelId,
        /// Which it was.
        ts: MessageTs,
    },
    /// It is known which suggested reviewers could not be told.
    Untold(Untold),
    /// A message was edited.
    Updated {
        /// Where it is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// What it shows now.
        shown: Shown,
    },
    /// A review or a vote was told in a message's thread.
    Replied {
        /// Where the message is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// How many have been told, this one included.
        replies: Told,
    },
}

/// What a thread has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// So many of the request's reviews.
    Reviews(u32),
    /// So many of the votes in Slack.
    Votes(u32),
}

impl Told {
    /// How many.
    pub fn count(self) -> u32 {
        match self {
            Self::Reviews(count) | Self::Votes(count) => count,
        }
    }
}

impl Record {
    /// Writes down what Slack confirmed. Doing it again changes nothing.
    pub fn apply(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Posted { key, channel, ts, shown } => {
                if self.find(channel, ts).is_none() && self.takes(key, channel, ts) {
                    self.deliveries.push(Delivery {
                        key: Some(key.clone()),
                        channel: channel.clone(),
                        ts: ts.clone(),
                        shown: shown.clone(),
                        replies: 0,
                        votes_told: 0,
                        is_lost: false,
                    });
                }
            }
            Outcome::Settled { errand, since } => {
                self.doubts.retain(|doubt| doubt.errand != *errand || doubt.since != *since);
            }
            Outcome::NotMade { errand, since } => {
                self.doubts.retain_mut(|doubt| {
                    doubt.errand != *errand || doubt.since != *since || doubt.take_back()
                });
            }
            Outcome::Repeat { errand, since } => {
                if let Some(doubt) = self.attempt(errand, *since) {
                    doubt.may_repeat = true;
                }
            }
            Outcome::Unclear { errand, place, since, ripe, is_accepted, is_first } => {
                if self.attempt(errand, *since).is_none() && self.doubts.len() < MAX_DOUBTS {
                    // Somebody looked for it while its daemon was frozen, and it may have arrived since.
                    self.doubts.push(Doubt::new(errand.clone(), place.clone(), *since, *ripe));
                }
                if let Some(doubt) = self.attempt(errand, *since) {
                    doubt.ripe = *ripe;
                    doubt.is_accepted |= *is_accepted;
                    if *is_first {
                        (doubt.attempts, doubt.first) = (1, *since);
                    }
                }
            }
            Outcome::Lost { channel, ts } => {
                if let Some(delivery) = self.find(channel, ts) {
                    delivery.is_lost = true;
                }
            }
            Outcome::Untold(untold) => self.untold.clone_from(untold),
            Outcome::Withdrawn { channel, ts } => self.deliveries.retain(|d| !d.is(channel, ts)),
            Outcome::Updated { channel, ts, shown } => {
                if let Some(delivery) = self.find(channel, ts) {
                    delivery.shown = Some(shown.clone());
                }
            }
            Outcome::Replied { channel, ts, replies } => {
                if let Some(delivery) = self.find(channel, ts) {
                    match *replies {
                        Told::Reviews(told) => delivery.replies = delivery.replies.max(told),
                        Told::Votes(told) => delivery.votes_told = delivery.votes_told.max(told),
                    }
                }
            }
        }
    }

    /// Whether a message with this address can be written down as this recipient's. Not one that is another recipient's
    /// already, and none when the record is full: Slack's answer is wrong, or ours would be lost.
    pub fn takes(&self, key: &RecipientKey, channel: &ChannelId, ts: &MessageTs) -> bool {
        is_storable(channel, ts)
            && match self.deliveries.iter().find(|delivery| delivery.is(channel, ts)) {
                Some(delivery) => delivery.key.as_ref() == Some(key),
                None => self.deliveries.len() < MAX_DELIVERIES,
            }
    }

    fn attempt(&mut self, errand: &Errand, since: Timestamp) -> Option<&mut Doubt> {
        self.doubts.iter_mut().find(|doubt| doubt.errand == *errand && doubt.since == since)
    }
}
