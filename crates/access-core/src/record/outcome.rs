//! The outcome of a step towards Slack, and how it is recorded.

use jiff::Timestamp;

use super::bounds::truncate_owed;
use super::claim::InDoubtPost;
use super::delivery::{Delivery, DisplayedState, Operation, RepliesPosted};
use super::{MAX_DELIVERIES, MAX_IN_DOUBT, Record, fits_go_format};
use crate::domain::ids::{ChannelId, MessageTs, SlackUserId};
use crate::domain::recipients::{Recipient, RecipientKey, UnnotifiedReviewers};

/// Something Slack confirmed, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message was posted.
    Posted {
        /// The recipient, as the record names it.
        key: RecipientKey,
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// What it shows; `None` if it was found rather than posted.
        displayed: Option<DisplayedState>,
        /// The account to which it was posted, if that is not the recipient's name.
        user: Option<SlackUserId>,
    },
    /// What became of an attempt to post, and of those before it, is known.
    Resolved {
        /// What it was part of.
        operation: Operation,
        /// When it was about to be made, which distinguishes one attempt from another.
        attempted_at: Timestamp,
    },
    /// An attempt to post was not made after all. The earlier attempts stay in doubt.
    NotAttempted {
        /// What it was part of.
        operation: Operation,
        /// When it was about to be made.
        attempted_at: Timestamp,
    },
    /// The history cannot show whether a post was made, and it is right to post once more.
    RetryAllowed {
        /// What it was part of.
        operation: Operation,
        /// When it was last about to be made.
        attempted_at: Timestamp,
    },
    /// An attempt to post has ended with an unknown outcome.
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
        /// Whether this is the first attempt of its message: an earlier in-doubt post was resolved in the same pass.
        is_first: bool,
    },
    /// A duplicate message was deleted.
    Deleted {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
    },
    /// A message cannot be updated any more.
    Unreachable {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
    },
    /// It is known which suggested reviewers could not be notified.
    Unnotified(UnnotifiedReviewers),
    /// The request is decided, and of its recipients only these lack a message. It counts once: what was noted before stays.
    Owed(Vec<RecipientKey>),
    /// Of those who lacked a message when the request was decided, these have one.
    NoLongerOwed(Vec<RecipientKey>),
    /// A message was edited.
    Updated {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// What it shows now.
        displayed: DisplayedState,
    },
    /// A review or a vote was posted in a message's thread.
    Replied {
        /// Where the message is.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// How many have been posted, this one included.
        replies: RepliesPosted,
    },
}

/// The account behind a message that was posted to `destination`, if it is a person's and the recipient is named otherwise.
pub fn user_behind(destination: &str, key: &RecipientKey) -> Option<SlackUserId> {
    let is_other =
        key.as_str() != destination && matches!(Recipient::parse(destination), Ok(Recipient::User(_)));
    is_other.then(|| SlackUserId::new(destination))
}

impl Record {
    /// Records what Slack confirmed. Doing it again changes nothing.
    pub fn apply(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Posted { key, channel, ts, displayed, user } => {
                if self.delivery_mut(channel, ts).is_none() && self.accepts(key, channel, ts) {
                    self.deliveries.push(Delivery {
                        key: Some(key.clone()),
                        channel: channel.clone(),
                        ts: ts.clone(),
                        displayed: displayed.clone(),
                        review_replies: 0,
                        vote_replies: 0,
                        is_unreachable: false,
                        user: user.clone(),
                    });
                }
            }
            Outcome::Resolved { operation, attempted_at } => {
                self.in_doubt
                    .retain(|post| post.operation != *operation || post.attempted_at != *attempted_at);
            }
            Outcome::NotAttempted { operation, attempted_at } => {
                self.in_doubt.retain_mut(|post| {
                    post.operation != *operation || post.attempted_at != *attempted_at || post.undo_attempt()
                });
            }
            Outcome::RetryAllowed { operation, attempted_at } => {
                if let Some(post) = self.find_in_doubt(operation, *attempted_at) {
                    post.may_retry = true;
                }
            }
            Outcome::InDoubt { operation, destination, attempted_at, final_at, is_accepted, is_first } => {
                if self.find_in_doubt(operation, *attempted_at).is_none()
                    && self.in_doubt.len() < MAX_IN_DOUBT
                {
                    // Another daemon looked for it while its own was frozen, and it may have arrived since.
                    self.in_doubt.push(InDoubtPost::new(
                        operation.clone(),
                        destination.clone(),
                        *attempted_at,
                        *final_at,
                    ));
                }
                if let Some(post) = self.find_in_doubt(operation, *attempted_at) {
                    post.final_at = *final_at;
                    post.is_accepted |= *is_accepted;
                    if *is_first {
                        (post.attempts, post.first_attempted_at) = (1, *attempted_at);
                    }
                }
            }
            Outcome::Unreachable { channel, ts } => {
                if let Some(delivery) = self.delivery_mut(channel, ts) {
                    delivery.is_unreachable = true;
                }
            }
            Outcome::Unnotified(unnotified) => self.unnotified.clone_from(unnotified),
            Outcome::Owed(lacking) => {
                // It may have been opened again since.
                if self.is_decided() && self.owed.is_none() {
                    let mut owed = lacking.clone();
                    // The requester chooses names among them; the first ones are kept.
                    truncate_owed(&mut owed);
                    self.owed = Some(owed);
                }
            }
            Outcome::NoLongerOwed(settled) => {
                self.owed.iter_mut().for_each(|owed| owed.retain(|name| !settled.contains(name)));
            }
            Outcome::Deleted { channel, ts } => self.remove_delivery(channel, ts),
            Outcome::Updated { channel, ts, displayed } => {
                if let Some(delivery) = self.delivery_mut(channel, ts) {
                    delivery.displayed = Some(displayed.clone());
                }
            }
            Outcome::Replied { channel, ts, replies } => {
                if let Some(delivery) = self.delivery_mut(channel, ts) {
                    match *replies {
                        RepliesPosted::Reviews(count) => {
                            delivery.review_replies = delivery.review_replies.max(count)
                        }
                        RepliesPosted::Votes(count) => {
                            delivery.vote_replies = delivery.vote_replies.max(count)
                        }
                    }
                }
            }
        }
    }

    /// The message that stays in a channel is from now on known by the name that led to the one that is gone: the
    /// channel's id is known from the message itself, and its name is not.
    fn remove_delivery(&mut self, channel: &ChannelId, ts: &MessageTs) {
        let Some(gone) = self.deliveries.iter().position(|delivery| delivery.is_at(channel, ts)) else {
            return;
        };
        let gone = self.deliveries.remove(gone);
        let Some(name) = gone.key.as_ref().filter(|key| key.is_channel_name()) else { return };
        if let Some(stays) = self.deliveries.iter_mut().find(|delivery| delivery.is_in_channel_of(&gone)) {
            stays.key = Some(name.clone());
        }
    }

    /// Whether a message with this address can be recorded as this recipient's. Not one that is another recipient's
    /// already, and none when the record is full: Slack's answer is wrong, or ours would be lost.
    pub fn accepts(&self, key: &RecipientKey, channel: &ChannelId, ts: &MessageTs) -> bool {
        fits_go_format(channel, ts)
            && match self.deliveries.iter().find(|delivery| delivery.is_at(channel, ts)) {
                Some(delivery) => delivery.key.as_ref() == Some(key),
                None => self.deliveries.len() < MAX_DELIVERIES,
            }
    }

    fn find_in_doubt(&mut self, operation: &Operation, attempted_at: Timestamp) -> Option<&mut InDoubtPost> {
        self.in_doubt
            .iter_mut()
            .find(|post| post.operation == *operation && post.attempted_at == attempted_at)
    }
}
