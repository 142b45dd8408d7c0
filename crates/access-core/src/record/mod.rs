//! What is kept of a request in Teleport's plugin data. `codec` reads and writes it: readable by the Go plugin for the keys
//! it knows, and able to continue what the Go plugin left.
//!
//! Where the record is read and written with compare-and-swap: `teleport-client/src/plugin_data.rs`.

use std::collections::BTreeMap;

use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::recipients::{RecipientKey, RecipientList, UnnotifiedReviewers, is_direct_message};
use crate::domain::request::{AccessRequest, RequestState};
use crate::record::claim::{Claim, InDoubtPost};
use crate::record::votes::Votes;

mod bounds;
mod codec;
mod delivery;
pub mod claim;
pub mod votes;
mod go;
mod outcome;

pub use bounds::truncated;
use claim::ClaimTimings;
pub use delivery::{Delivery, DisplayedState, Operation, RepliesPosted};
pub use outcome::{Outcome, user_behind};

/// No more deliveries than this are kept: the limit of recipients, doubled for a changed configuration.
pub(crate) const MAX_DELIVERIES: usize = 2 * crate::domain::recipients::MAX_RECIPIENTS;

/// No more in-doubt posts than this are kept: what one plan may post.
pub(crate) const MAX_IN_DOUBT: usize = 2 * crate::domain::recipients::MAX_RECIPIENTS;

/// What is remembered of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The request as Teleport last reported it, bounded by [`truncated`]; less complete if the Go plugin wrote it.
    pub known: Option<AccessRequest>,
    /// The messages that were posted.
    pub deliveries: Vec<Delivery>,
    /// The decisions made in Slack, where the daemon counts them.
    pub votes: Votes,
    /// Which daemon works on the request now, if one does.
    pub claim: Option<Claim>,
    /// Posts that a daemon may have made without recording the outcome.
    pub in_doubt: Vec<InDoubtPost>,
    /// Suggested reviewers who could not be notified.
    pub unnotified: UnnotifiedReviewers,
    /// Whether the request was decided and opened again beside votes that this version cannot read: how many reviews
    /// are of the past. The version that reads the votes ends them, too.
    pub reopened: Option<usize>,
    /// Of a decided request, the recipients of then who have no message yet, each by name and, if it is known, by id; others get
    /// none. They stay while the configuration does not name them. `None` until the decision is noted.
    pub owed: Option<Vec<RecipientKey>>,
    /// Keys that this version does not know; kept as they are. Votes that cannot be read are among them.
    pub other: BTreeMap<String, String>,
}

impl Record {
    /// Records the request as Teleport reports it. If it was decided and is pending again, the decision was undone: the
    /// votes and reviews that led to it are of the past then, and no longer count.
    pub fn update_known(&mut self, request: &AccessRequest) {
        let reviews = self.known.as_ref().map_or(0, |known| known.reviews.len()).max(request.reviews.len());
        if self.is_decided() && request.state == RequestState::Pending {
            self.owed = None;
            if self.has_unreadable_votes() {
                self.reopened = Some(self.reopened.unwrap_or(0).max(reviews));
            } else {
                self.votes.reopen(reviews);
            }
        }
        self.known = Some(truncated(request));
    }

    /// The same of a request that was read by its id. That also shows whether it was decided and opened again, unseen,
    /// since the votes were given.
    pub fn note_by_id(&mut self, request: &AccessRequest) {
        if self.votes.are_outlived(request) {
            self.votes.reopen(request.reviews.len());
        }
        self.update_known(request);
    }

    /// Whether the request was decided when Teleport last reported it; an unknown state may be a decision.
    pub fn is_decided(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.state != RequestState::Pending)
    }

    /// Whether the Go plugin posted any of the messages. It does not record the recipients, so no recipient may be notified again.
    pub fn is_from_go_plugin(&self) -> bool {
        self.deliveries.iter().any(|d| d.key.is_none())
    }

    /// Whether there are votes that this version cannot read. None may be added then: the count would start over.
    pub fn has_unreadable_votes(&self) -> bool {
        self.other.contains_key(codec::ours::VOTES)
    }

    /// Whether a recipient was notified under one of these names.
    pub fn is_delivered(&self, keys: &[RecipientKey]) -> bool {
        self.deliveries.iter().any(|d| d.key.as_ref().is_some_and(|key| keys.contains(key)))
    }

    /// Whether a channel has a message by an id that is none of these recipients: one of them may be its name.
    pub fn has_channel_besides(&self, list: &RecipientList) -> bool {
        self.deliveries.iter().any(|delivery| {
            let id = delivery.channel.as_str();
            let is_by_id = delivery.key.as_ref().is_some_and(|key| key.is_channel() && key.as_str() == id);
            is_by_id && !list.recipients.iter().any(|recipient| recipient.key().as_str() == id)
        })
    }

    /// Whether a channel has a message that was posted to it by its name or its id, or a person has one, by whatever name. One that
    /// Slack placed there for a recipient elsewhere is none.
    pub(crate) fn has_posted_to(&self, destination: &str) -> bool {
        self.deliveries.iter().filter_map(|d| Some((d, d.key.as_ref()?))).any(|(delivery, key)| {
            let is_one_person = is_direct_message(destination);
            let is_there =
                delivery.channel.as_str() == destination && (key.is_channel_name() || is_one_person);
            let is_theirs = delivery.user.as_ref().is_some_and(|user| user.as_str() == destination);
            is_there || is_theirs || key.as_str() == destination
        })
    }

    /// The first message that may be in this destination, whichever recipient it was for.
    pub(crate) fn in_doubt_post_to(&self, destination: &str) -> Option<&InDoubtPost> {
        let is_post = |post: &&InDoubtPost| matches!(post.operation, Operation::Post(_));
        self.in_doubt.iter().filter(is_post).find(|post| post.destination == destination)
    }

    /// Sets the claim and notes the posts that are about to be made.
    pub fn acquire(
        &mut self,
        claim: Claim,
        posts: impl IntoIterator<Item = (Operation, String)>,
        timings: &ClaimTimings,
    ) {
        let attempted_at = claim.acquired_at;
        let final_at = attempted_at
            .saturating_add(timings.in_doubt_after_claim)
            .expect("a duration of seconds is no calendar span");
        for (operation, destination) in posts {
            match self.in_doubt.iter_mut().find(|post| post.operation == operation) {
                None => self.in_doubt.push(InDoubtPost::new(operation, destination, attempted_at, final_at)),
                Some(post) if post.may_retry => {
                    let attempts = post.attempts.saturating_add(1);
                    *post = InDoubtPost {
                        destination,
                        attempted_at,
                        final_at,
                        attempts,
                        may_retry: false,
                        ..post.clone()
                    };
                }
                // The plan looks for it first.
                Some(_) => {}
            }
        }
        self.claim = Some(claim);
    }

    /// Releases the claim, unless another daemon has taken it over.
    pub fn release(&mut self, claim: &Claim) {
        if self.claim.as_ref() == Some(claim) {
            self.claim = None;
        }
    }

    /// Whether a daemon may have done this operation without recording it, so that no daemon may do it now.
    pub fn is_in_doubt(&self, operation: &Operation) -> bool {
        self.in_doubt.iter().any(|post| post.operation == *operation && !post.may_retry)
    }

    /// Whether this operation is to be done once more.
    pub(crate) fn is_to_retry(&self, operation: &Operation) -> bool {
        self.in_doubt.iter().any(|post| post.operation == *operation && post.may_retry)
    }

    fn delivery_mut(&mut self, channel: &ChannelId, ts: &MessageTs) -> Option<&mut Delivery> {
        self.deliveries.iter_mut().find(|d| d.is_at(channel, ts))
    }
}

/// Whether a message's address survives the Go plugin's list: `/` and `,` separate there.
pub fn fits_go_format(channel: &ChannelId, ts: &MessageTs) -> bool {
    let clean =
        |text: &str| !text.is_empty() && !text.contains(|c: char| "/,".contains(c) || c.is_whitespace());
    clean(channel.as_str()) && clean(ts.as_str())
}

#[cfg(test)]
mod tests;
