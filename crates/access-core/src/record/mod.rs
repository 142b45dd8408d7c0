//! What is kept of a request in Teleport's plugin data, and its codec: readable by the Go plugin for the keys
//! it knows, and able to continue what the Go plugin left.
//!
//! Reading never fails: an invalid value costs its own key only. Where the record is read and written with
//! compare-and-swap: `teleport-client/src/plugin_data.rs`.

use std::collections::BTreeMap;

use crate::domain::ids::{ChannelId, MessageTs, RequestId};
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::{RecipientKey, UnnotifiedReviewers};
use crate::domain::request::{AccessRequest, RequestState};
use crate::domain::text::truncate;
use crate::record::claim::{Claim, InDoubtPost, InDoubtPostJson};
use crate::record::votes::Votes;

mod bounds;
mod delivery;
pub mod claim;
pub mod votes;
mod go;
mod outcome;

use bounds::MAX_TEXT;
pub use bounds::truncated;
use claim::ClaimTimings;
use delivery::DeliveryJson;
pub use delivery::{Delivery, DisplayedState, Operation, RepliesPosted};
pub use outcome::Outcome;

/// Our keys. All start with `x_`, so that they never meet a key of the Go plugin.
mod ours {
    /// The version of the keys below.
    pub(super) const VERSION: &str = "x_v";
    /// The request as Teleport last reported it, bounded: JSON of `AccessRequest`, without the reasons that stand under
    /// the Go plugin's keys. Earlier releases repeated them here.
    pub(super) const REQUEST: &str = "x_request";
    /// What was delivered where: JSON list.
    pub(super) const DELIVERY: &str = "x_delivery";
    /// The votes given in Slack: JSON of [`super::Votes`].
    pub(super) const VOTES: &str = "x_votes";
    /// Who works on the request now: JSON of [`super::Claim`].
    pub(super) const CLAIM: &str = "x_claim";
    /// Posts that may have been made: JSON list.
    pub(super) const IN_DOUBT: &str = "x_doubts";
    /// Suggested reviewers who could not be notified: JSON of [`super::UnnotifiedReviewers`].
    pub(super) const UNNOTIFIED: &str = "x_untold";
    /// That the request was decided and opened again while the votes were unreadable: how many reviews there were.
    pub(super) const REOPENED: &str = "x_reopened";
    pub(super) const ALL: [&str; 8] =
        [VERSION, REQUEST, DELIVERY, VOTES, CLAIM, IN_DOUBT, UNNOTIFIED, REOPENED];
}

/// The version this codec writes. A higher one is read as far as it is understood.
const VERSION: &str = "1";

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
    /// Keys that this version does not know; kept as they are. Votes that cannot be read are among them.
    pub other: BTreeMap<String, String>,
}

impl Record {
    /// Reads the plugin data of request `id`. The second value names the keys with invalid values.
    pub fn decode(id: &RequestId, data: &BTreeMap<String, String>) -> (Self, Vec<&'static str>) {
        let mut invalid_keys = Vec::new();
        let text = |key: &str| data.get(key).map_or("", String::as_str);
        let mut json = |key: &'static str, fails: bool| {
            if fails && !text(key).is_empty() {
                invalid_keys.push(key);
            }
        };

        let request: Option<AccessRequest> = serde_json::from_str(text(ours::REQUEST)).ok();
        json(ours::REQUEST, request.is_none());
        let listed: Option<Vec<DeliveryJson>> = serde_json::from_str(text(ours::DELIVERY)).ok();
        json(ours::DELIVERY, listed.is_none());
        let claim: Option<Claim> = serde_json::from_str(text(ours::CLAIM)).ok();
        json(ours::CLAIM, claim.is_none());
        let in_doubt: Option<Vec<InDoubtPostJson>> = serde_json::from_str(text(ours::IN_DOUBT)).ok();
        json(ours::IN_DOUBT, in_doubt.is_none());
        let in_doubt =
            in_doubt.into_iter().flatten().filter_map(InDoubtPostJson::decode).take(MAX_IN_DOUBT).collect();
        let unnotified: Option<UnnotifiedReviewers> = serde_json::from_str(text(ours::UNNOTIFIED)).ok();
        json(ours::UNNOTIFIED, unnotified.is_none());
        let unnotified = unnotified.map(UnnotifiedReviewers::truncated).unwrap_or_default();
        let reviews: Option<usize> = text(ours::REOPENED).parse().ok();
        json(ours::REOPENED, reviews.is_none());
        // Whatever it says, it was opened again.
        let mut reopened = (!text(ours::REOPENED).is_empty()).then(|| reviews.unwrap_or(0));
        let replies: Option<u32> = text(go::REVIEWS_COUNT).parse().ok();
        json(go::REVIEWS_COUNT, replies.is_none());
        let (pairs, torn) = go::message_pairs(text(go::MESSAGES));
        json(go::MESSAGES, torn);

        let replies = replies.unwrap_or(0);
        let mut deliveries: Vec<Delivery> = Vec::new();
        let ours = listed.into_iter().flatten().map(|d| Delivery {
            key: d.key,
            channel: d.channel,
            ts: d.ts,
            displayed: d.displayed,
            // If the Go plugin worked on the record since, it counted on.
            review_replies: d.review_replies.max(replies),
            vote_replies: d.vote_replies,
            is_unreachable: d.is_unreachable,
        });
        let old_pair = (text(go::CHANNEL_ID), text(go::TIMESTAMP));
        let theirs = pairs.into_iter().chain([old_pair]).map(|(channel, ts)| Delivery {
            key: None,
            channel: ChannelId::new(channel),
            ts: MessageTs::new(ts),
            displayed: None,
            review_replies: replies,
            vote_replies: 0,
            is_unreachable: false,
        });
        for delivery in ours.chain(theirs).take(MAX_DELIVERIES) {
            let is_new = !deliveries.iter().any(|d| d.is_at(&delivery.channel, &delivery.ts));
            if is_new && fits_go_format(&delivery.channel, &delivery.ts) {
                deliveries.push(delivery);
            }
        }

        let resolution = match text(go::RESOLUTION) {
            "APPROVED" => RequestState::Approved,
            "DENIED" => RequestState::Denied,
            "PROMOTED" => RequestState::Promoted,
            _ => RequestState::Pending,
        };
        let ours_is_missing = request.is_none();
        let mut known = request.map(|mut r| {
            for (own, key) in
                [(&mut r.reason, go::REQUEST_REASON), (&mut r.resolve_reason, go::RESOLVE_REASON)]
            {
                if own.is_empty() {
                    text(key).clone_into(own);
                }
            }
            AccessRequest { id: id.clone(), ..truncated(&r) }
        });
        if known.is_none() && (!deliveries.is_empty() || !text(go::USER).is_empty()) {
            known = Some(truncated(&go::from_keys(id, &text)));
        }
        // Unless it is what we wrote there of our own messages, which may lag behind: then the request says more.
        let is_news = ours_is_missing
            || displayed_everywhere(&deliveries).map_or("", self::resolution) != text(go::RESOLUTION);
        if let Some(known) =
            known.as_mut().filter(|k| k.state == RequestState::Pending && resolution != k.state && is_news)
        {
            known.state = resolution;
            known.resolve_reason = truncate(text(go::RESOLVE_REASON), MAX_TEXT);
        }

        let votes = Votes::decode(text(ours::VOTES));
        let unread = if votes.is_none() { ours::VOTES } else { "" };
        let has_unreadable_votes = !text(unread).is_empty();
        let mut votes = votes.unwrap_or_default();
        if let Some(reviews) = reopened.take_if(|_| !has_unreadable_votes) {
            votes.reopen(reviews);
        }
        let is_known = |key: &str| (go::ALL.contains(&key) || ours::ALL.contains(&key)) && key != unread;
        let other = data.iter().filter(|(key, value)| !is_known(key) && !value.is_empty());
        let other = other.map(|(key, value)| (key.clone(), value.clone())).collect();
        (Self { known, deliveries, votes, claim, in_doubt, unnotified, reopened, other }, invalid_keys)
    }

    /// The plugin data for this record; never holds an empty value.
    pub fn encode(&self) -> BTreeMap<String, String> {
        let mut data = self.other.clone();
        let mut put = |key: &str, value: String| {
            if !value.is_empty() {
                data.insert(key.to_owned(), value);
            }
        };
        put(ours::VERSION, VERSION.to_owned());
        let ended = displayed_everywhere(&self.deliveries).filter(|phase| !resolution(*phase).is_empty());
        if let Some(known) = &self.known {
            put(go::USER, known.user.clone());
            put(go::ROLES, known.roles.join(","));
            put(go::REQUEST_REASON, known.reason.clone());
            // Each reason once: a server sends all records in one message.
            let mut rest = AccessRequest { reason: String::new(), ..known.clone() };
            if ended.is_some() {
                rest.resolve_reason.clear();
            }
            put(ours::REQUEST, serde_json::to_string(&rest).expect("plain data has a JSON form"));
        }
        let replies = self.deliveries.iter().map(|d| d.review_replies).min().unwrap_or(0);
        if replies > 0 {
            put(go::REVIEWS_COUNT, replies.to_string());
        }
        let pairs: Vec<_> = self.deliveries.iter().map(|d| format!("{}/{}", d.channel, d.ts)).collect();
        put(go::MESSAGES, pairs.join(","));
        if !self.deliveries.is_empty() {
            let json: Vec<_> = self.deliveries.iter().take(MAX_DELIVERIES).map(DeliveryJson::from).collect();
            put(ours::DELIVERY, serde_json::to_string(&json).expect("plain data has a JSON form"));
        }
        put(ours::VOTES, self.votes.encode());
        if let Some(claim) = &self.claim {
            put(ours::CLAIM, serde_json::to_string(claim).expect("plain data has a JSON form"));
        }
        if !self.in_doubt.is_empty() {
            let json: Vec<_> = self.in_doubt.iter().take(MAX_IN_DOUBT).map(InDoubtPostJson::from).collect();
            put(ours::IN_DOUBT, serde_json::to_string(&json).expect("plain data has a JSON form"));
        }
        if !self.unnotified.is_empty() {
            put(
                ours::UNNOTIFIED,
                serde_json::to_string(&self.unnotified).expect("plain data has a JSON form"),
            );
        }
        if let Some(reviews) = self.reopened {
            put(ours::REOPENED, reviews.to_string());
        }
        if let Some(phase) = ended {
            put(go::RESOLUTION, resolution(phase).to_owned());
            let reason = self.known.as_ref().map_or("", |known| &known.resolve_reason);
            put(go::RESOLVE_REASON, reason.to_owned());
        }
        data
    }

    /// Records the request as Teleport reports it. If it was decided and is pending again, the decision was undone: the
    /// votes and reviews that led to it are of the past then, and no longer count.
    pub fn update_known(&mut self, request: &AccessRequest) {
        let reviews = self.known.as_ref().map_or(0, |known| known.reviews.len()).max(request.reviews.len());
        if self.is_decided() && request.state == RequestState::Pending {
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
        self.other.contains_key(ours::VOTES)
    }

    /// Whether a recipient was notified under one of these names.
    pub fn is_delivered(&self, keys: &[RecipientKey]) -> bool {
        self.deliveries.iter().any(|d| d.key.as_ref().is_some_and(|key| keys.contains(key)))
    }

    /// Whether a channel has a message that was posted to it by its name or its id. One that Slack placed there for a
    /// recipient elsewhere is none.
    pub(crate) fn has_posted_to(&self, channel: &str) -> bool {
        let is_for_it = |key: &RecipientKey| key.is_channel_name() || key.as_str() == channel;
        self.deliveries.iter().any(|d| d.channel.as_str() == channel && d.key.as_ref().is_some_and(is_for_it))
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

/// The phase that every reachable message shows, if they agree and there is one.
fn displayed_everywhere(deliveries: &[Delivery]) -> Option<Phase> {
    let mut kept = deliveries.iter().filter(|d| !d.is_unreachable).map(|d| Some(d.displayed.as_ref()?.phase));
    let phase = kept.next()??;
    kept.all(|other| other == Some(phase)).then_some(phase)
}

/// The Go plugin's word for a final phase; it has no word for deleted.
fn resolution(phase: Phase) -> &'static str {
    match phase {
        Phase::Approved => "APPROVED",
        Phase::Denied => "DENIED",
        Phase::Promoted => "PROMOTED",
        Phase::Expired | Phase::Deleted => "EXPIRED",
        Phase::Pending | Phase::Unknown => "",
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
