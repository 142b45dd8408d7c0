//! What came of a step towards Slack, and how it is written down.

use jiff::Timestamp;

use super::claim::InDoubtPost;
use super::delivery::{Delivery, DisplayedState, Operation, RepliesPosted};
use super::{MAX_DELIVERIES, MAX_IN_DOUBT, Record, fits_go_format};
use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::recipients::{RecipientKey, UnnotifiedReviewers};

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
        displayed: Option<DisplayedState>,
    },
    /// What became of an attempt to post, and of those before it, is known.
    Resolved {
        /// What it was part of.
        operation: Operation,
        /// When it was about to be made, which tells one attempt from another.
        attempted_at: Timestamp,
    },
    /// An attempt to post was not made after all. Of those before it nobody knows more than before.
    NotAttempted {
        /// What it was part of.
        operation: Operation,
        /// When it was about to be made.
        attempted_at: Timestamp,
    },
    /// Nobody can look whether a post was made, and it is right to make it once more.
    RetryAllowed {
        /// What it was part of.
        operation: Operation,
        /// When it was last about to be made.
        attempted_at: Timestamp,
    },
    /// An attempt to post has ended, and nobody knows how.
    InDoubt {
        /// What it was part of.
        operation: Operation,
        /// Where it went: a channel's id or name, or a person's id.
        destination: String,
        /// When it was about to be made.
        attempted_at: Timestamp,
        /// From when on it is there or never will be.
        final_at: Timestamp,
        /// Whether Slack said that it is there, and not where.
        is_accepted: bool,
        /// Whether what was in doubt before turned out well on the way, so that this is the first attempt of its message.
        is_first: bool,
    },
    /// A message that was one too many was taken back.
    Deleted {
        /// Where it was.
        channel: ChannelId,
        /// Which it was.
        ts: MessageTs,
    },
    /// A message cannot be kept true any more.
    Unreachable {
        /// Where it was.
        channel: ChannelId,
        /// Which it was.
        ts: MessageTs,
    },
    /// It is known which suggested reviewers could not be told.
    Unnotified(UnnotifiedReviewers),
    /// A message was edited.
    Updated {
        /// Where it is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// What it shows now.
        displayed: DisplayedState,
    },
    /// A review or a vote was told in a message's thread.
    Replied {
        /// Where the message is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// How many have been told, this one included.
        replies: RepliesPosted,
    },
}

impl Record {
    /// Writes down what Slack confirmed. Doing it again changes nothing.
    pub fn apply(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Posted { key, channel, ts, displayed: shown } => {
                if self.delivery_mut(channel, ts).is_none() && self.accepts(key, channel, ts) {
                    self.deliveries.push(Delivery {
                        key: Some(key.clone()),
                        channel: channel.clone(),
                        ts: ts.clone(),
                        displayed: shown.clone(),
                        review_replies: 0,
                        vote_replies: 0,
                        is_unreachable: false,
                    });
                }
            }
            Outcome::Resolved { operation: errand, attempted_at: since } => {
                self.in_doubt.retain(|doubt| doubt.operation != *errand || doubt.attempted_at != *since);
            }
            Outcome::NotAttempted { operation: errand, attempted_at: since } => {
                self.in_doubt.retain_mut(|doubt| {
                    doubt.operation != *errand || doubt.attempted_at != *since || doubt.undo_attempt()
                });
            }
            Outcome::RetryAllowed { operation: errand, attempted_at: since } => {
                if let Some(doubt) = self.find_in_doubt(errand, *since) {
                    doubt.may_retry = true;
                }
            }
            Outcome::InDoubt {
                operation: errand,
                destination: place,
                attempted_at: since,
                final_at: ripe,
                is_accepted,
                is_first,
            } => {
                if self.find_in_doubt(errand, *since).is_none() && self.in_doubt.len() < MAX_IN_DOUBT {
                    // Somebody looked for it while its daemon was frozen, and it may have arrived since.
                    self.in_doubt.push(InDoubtPost::new(errand.clone(), place.clone(), *since, *ripe));
                }
                if let Some(doubt) = self.find_in_doubt(errand, *since) {
                    doubt.final_at = *ripe;
                    doubt.is_accepted |= *is_accepted;
                    if *is_first {
                        (doubt.attempts, doubt.first_attempted_at) = (1, *since);
                    }
                }
            }
            Outcome::Unreachable { channel, ts } => {
                if let Some(delivery) = self.delivery_mut(channel, ts) {
                    delivery.is_unreachable = true;
                }
            }
            Outcome::Unnotified(untold) => self.unnotified.clone_from(untold),
            Outcome::Deleted { channel, ts } => self.deliveries.retain(|d| !d.is_at(channel, ts)),
            Outcome::Updated { channel, ts, displayed: shown } => {
                if let Some(delivery) = self.delivery_mut(channel, ts) {
                    delivery.displayed = Some(shown.clone());
                }
            }
            Outcome::Replied { channel, ts, replies } => {
                if let Some(delivery) = self.delivery_mut(channel, ts) {
                    match *replies {
                        RepliesPosted::Reviews(told) => {
                            delivery.review_replies = delivery.review_replies.max(told)
                        }
                        RepliesPosted::Votes(told) => delivery.vote_replies = delivery.vote_replies.max(told),
                    }
                }
            }
        }
    }

    /// Whether a message with this address can be written down as this recipient's. Not one that is another recipient's
    /// already, and none when the record is full: Slack's answer is wrong, or ours would be lost.
    pub fn accepts(&self, key: &RecipientKey, channel: &ChannelId, ts: &MessageTs) -> bool {
        fits_go_format(channel, ts)
            && match self.deliveries.iter().find(|delivery| delivery.is_at(channel, ts)) {
                Some(delivery) => delivery.key.as_ref() == Some(key),
                None => self.deliveries.len() < MAX_DELIVERIES,
            }
    }

    fn find_in_doubt(&mut self, errand: &Operation, since: Timestamp) -> Option<&mut InDoubtPost> {
        self.in_doubt.iter_mut().find(|doubt| doubt.operation == *errand && doubt.attempted_at == since)
    }
}
