//! The record as plugin data and back: our keys, and the Go plugin's.
//!
//! Reading never fails: an invalid value costs its own key only.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounds::{MAX_TEXT, truncate_owed, truncated};
use super::claim::{Claim, InDoubtPost, InDoubtPostJson};
use super::delivery::{Delivery, DeliveryJson};
use super::votes::Votes;
use super::{MAX_DELIVERIES, MAX_IN_DOUBT, Record, fits_go_format, go};
use crate::domain::ids::{ChannelId, MessageTs, RequestId};
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::{RecipientKey, UnnotifiedReviewers};
use crate::domain::request::{AccessRequest, RequestState};
use crate::domain::text::truncate;

/// Our keys. All start with `x_`, so that they never meet a key of the Go plugin.
pub(super) mod ours {
    /// The version of the keys below.
    pub(in crate::record) const VERSION: &str = "x_v";
    /// The request as Teleport last reported it, bounded: JSON of `AccessRequest`, without the reasons that stand under
    /// the Go plugin's keys. Earlier releases repeated them here.
    pub(in crate::record) const REQUEST: &str = "x_request";
    /// What was delivered where: JSON list.
    pub(in crate::record) const DELIVERY: &str = "x_delivery";
    /// The votes given in Slack: JSON of [`super::Votes`].
    pub(in crate::record) const VOTES: &str = "x_votes";
    /// Who works on the request now: JSON of [`super::Claim`].
    pub(in crate::record) const CLAIM: &str = "x_claim";
    /// Posts that may have been made: JSON list.
    pub(in crate::record) const IN_DOUBT: &str = "x_doubts";
    /// Suggested reviewers who could not be notified: JSON of [`super::UnnotifiedReviewers`].
    pub(in crate::record) const UNNOTIFIED: &str = "x_untold";
    /// That the request was decided and opened again while the votes were unreadable: how many reviews there were.
    pub(in crate::record) const REOPENED: &str = "x_reopened";
    /// That every recipient had a message when the request was decided, or since: `1`.
    pub(in crate::record) const COMPLETE: &str = "x_complete";
    /// The recipients who had none when it was decided, and have none since: JSON list.
    pub(in crate::record) const OWED: &str = "x_owed";
    pub(in crate::record) const ALL: [&str; 10] =
        [VERSION, REQUEST, DELIVERY, VOTES, CLAIM, IN_DOUBT, UNNOTIFIED, REOPENED, COMPLETE, OWED];
}

/// The version this codec writes. A higher one is read as far as it is understood.
const VERSION: &str = "1";

/// Plugin data that is being read.
struct Reader<'a> {
    data: &'a BTreeMap<String, String>,
    /// The keys with invalid values so far.
    invalid_keys: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Empty if the key is missing, which means the same.
    fn text(&self, key: &str) -> &'a str {
        self.data.get(key).map_or("", String::as_str)
    }

    /// `None` if the value is missing or invalid; notes an invalid one.
    fn value<T>(&mut self, key: &'static str, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        let text = self.text(key);
        let value = parse(text);
        if value.is_none() && !text.is_empty() {
            self.invalid_keys.push(key);
        }
        value
    }

    fn json<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.value(key, |text| serde_json::from_str(text).ok())
    }

    fn in_doubt(&mut self) -> Vec<InDoubtPost> {
        let posts: Vec<InDoubtPostJson> = self.json(ours::IN_DOUBT).unwrap_or_default();
        posts.into_iter().filter_map(InDoubtPostJson::decode).take(MAX_IN_DOUBT).collect()
    }

    fn unnotified(&mut self) -> UnnotifiedReviewers {
        self.json(ours::UNNOTIFIED).map(UnnotifiedReviewers::truncated).unwrap_or_default()
    }

    fn owed(&mut self) -> Option<Vec<RecipientKey>> {
        let is_complete = self.value(ours::COMPLETE, |text| (text == "1").then_some(())).is_some();
        let mut owed = self.json::<Vec<RecipientKey>>(ours::OWED);
        owed.iter_mut().for_each(truncate_owed);
        if is_complete { Some(Vec::new()) } else { owed }
    }

    /// How many reviews there were when the request was opened again. Whatever the value says, it was.
    fn reopened(&mut self) -> Option<usize> {
        let reviews = self.value(ours::REOPENED, |text| text.parse().ok());
        (!self.text(ours::REOPENED).is_empty()).then(|| reviews.unwrap_or(0))
    }

    /// Our messages, and those of the Go plugin that are not among them.
    fn deliveries(&mut self) -> Vec<Delivery> {
        let listed: Vec<DeliveryJson> = self.json(ours::DELIVERY).unwrap_or_default();
        let replies: u32 = self.value(go::REVIEWS_COUNT, |text| text.parse().ok()).unwrap_or(0);
        let (pairs, torn) = go::message_pairs(self.text(go::MESSAGES));
        self.value(go::MESSAGES, |_| (!torn).then_some(()));
        let ours = listed.into_iter().map(|d| Delivery {
            key: d.key,
            channel: d.channel,
            ts: d.ts,
            displayed: d.displayed,
            // If the Go plugin worked on the record since, it counted on.
            review_replies: d.review_replies.max(replies),
            vote_replies: d.vote_replies,
            is_unreachable: d.is_unreachable,
            user: d.user,
        });
        let old_pair = (self.text(go::CHANNEL_ID), self.text(go::TIMESTAMP));
        let theirs = pairs.into_iter().chain([old_pair]).map(|(channel, ts)| Delivery {
            key: None,
            channel: ChannelId::new(channel),
            ts: MessageTs::new(ts),
            displayed: None,
            review_replies: replies,
            vote_replies: 0,
            is_unreachable: false,
            user: None,
        });
        let mut deliveries: Vec<Delivery> = Vec::new();
        for delivery in ours.chain(theirs).take(MAX_DELIVERIES) {
            let is_new = !deliveries.iter().any(|d| d.is_at(&delivery.channel, &delivery.ts));
            if is_new && fits_go_format(&delivery.channel, &delivery.ts) {
                deliveries.push(delivery);
            }
        }
        deliveries
    }

    /// What is known of the request: from our key, completed by the Go plugin's keys, else from these alone.
    fn known(
        &self,
        id: &RequestId,
        ours: Option<AccessRequest>,
        deliveries: &[Delivery],
    ) -> Option<AccessRequest> {
        let ours_is_missing = ours.is_none();
        let is_there = !deliveries.is_empty() || !self.text(go::USER).is_empty();
        let mut known = match ours {
            Some(request) => AccessRequest { id: id.clone(), ..truncated(&self.with_reasons(request)) },
            None if is_there => truncated(&go::from_keys(id, &|key| self.text(key))),
            None => return None,
        };
        let state = go::state(self.text(go::RESOLUTION));
        // Unless it is what we wrote there of our own messages, which may lag behind: then the request says more.
        let is_news = ours_is_missing
            || displayed_everywhere(deliveries).map_or("", go::resolution) != self.text(go::RESOLUTION);
        if known.state == RequestState::Pending && state != RequestState::Pending && is_news {
            known.state = state;
            known.resolve_reason = truncate(self.text(go::RESOLVE_REASON), MAX_TEXT);
        }
        Some(known)
    }

    /// Takes the reasons that our key leaves out from the Go plugin's keys.
    fn with_reasons(&self, mut request: AccessRequest) -> AccessRequest {
        for (own, key) in
            [(&mut request.reason, go::REQUEST_REASON), (&mut request.resolve_reason, go::RESOLVE_REASON)]
        {
            if own.is_empty() {
                self.text(key).clone_into(own);
            }
        }
        request
    }

    /// The values of keys that this version does not know, or cannot read (`unread`).
    fn other(&self, unread: Option<&str>) -> BTreeMap<String, String> {
        let is_known =
            |key: &str| (go::ALL.contains(&key) || ours::ALL.contains(&key)) && unread != Some(key);
        let other = self.data.iter().filter(|(key, value)| !is_known(key) && !value.is_empty());
        other.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Record {
    /// Reads the plugin data of request `id`. The second value names the keys with invalid values.
    pub fn decode(id: &RequestId, data: &BTreeMap<String, String>) -> (Self, Vec<&'static str>) {
        let mut reader = Reader { data, invalid_keys: Vec::new() };
        let request: Option<AccessRequest> = reader.json(ours::REQUEST);
        let deliveries = reader.deliveries();
        let known = reader.known(id, request, &deliveries);
        let claim: Option<Claim> = reader.json(ours::CLAIM);
        let (in_doubt, unnotified) = (reader.in_doubt(), reader.unnotified());
        let mut reopened = reader.reopened();
        // Votes that cannot be read are kept as they are, and the reopening with them.
        let votes = Votes::decode(reader.text(ours::VOTES));
        let unread = votes.is_none().then_some(ours::VOTES).filter(|key| !reader.text(key).is_empty());
        let mut votes = votes.unwrap_or_default();
        if let Some(reviews) = reopened.take_if(|_| unread.is_none()) {
            votes.reopen(reviews);
        }
        let other = reader.other(unread);
        let owed = reader.owed();
        let mut record =
            Self { known, deliveries, votes, claim, in_doubt, unnotified, reopened, owed, other };
        // An earlier release that opened it again knows only one of the keys.
        if !record.is_decided() {
            record.owed = None;
        }
        (record, reader.invalid_keys)
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
        let ended = displayed_everywhere(&self.deliveries).filter(|phase| !go::resolution(*phase).is_empty());
        if let Some(known) = &self.known {
            put(go::USER, known.user.clone());
            put(go::ROLES, known.roles.join(","));
            put(go::REQUEST_REASON, known.reason.clone());
            // Each reason once: a server sends all records in one message.
            let mut rest = AccessRequest { reason: String::new(), ..known.clone() };
            if ended.is_some() {
                rest.resolve_reason.clear();
            }
            put(ours::REQUEST, to_json(&rest));
        }
        let replies = self.deliveries.iter().map(|d| d.review_replies).min().unwrap_or(0);
        if replies > 0 {
            put(go::REVIEWS_COUNT, replies.to_string());
        }
        let pairs: Vec<_> = self.deliveries.iter().map(|d| format!("{}/{}", d.channel, d.ts)).collect();
        put(go::MESSAGES, pairs.join(","));
        if !self.deliveries.is_empty() {
            let json: Vec<_> = self.deliveries.iter().take(MAX_DELIVERIES).map(DeliveryJson::from).collect();
            put(ours::DELIVERY, to_json(&json));
        }
        put(ours::VOTES, self.votes.encode());
        if let Some(claim) = &self.claim {
            put(ours::CLAIM, to_json(claim));
        }
        if !self.in_doubt.is_empty() {
            let json: Vec<_> = self.in_doubt.iter().take(MAX_IN_DOUBT).map(InDoubtPostJson::from).collect();
            put(ours::IN_DOUBT, to_json(&json));
        }
        if !self.unnotified.is_empty() {
            put(ours::UNNOTIFIED, to_json(&self.unnotified));
        }
        if let Some(reviews) = self.reopened {
            put(ours::REOPENED, reviews.to_string());
        }
        match self.owed.as_deref() {
            None => {}
            Some([]) => put(ours::COMPLETE, "1".to_owned()),
            Some(owed) => put(ours::OWED, to_json(owed)),
        }
        if let Some(phase) = ended {
            put(go::RESOLUTION, go::resolution(phase).to_owned());
            let reason = self.known.as_ref().map_or("", |known| &known.resolve_reason);
            put(go::RESOLVE_REASON, reason.to_owned());
        }
        data
    }
}

/// The phase that every reachable message shows, if they agree and there is one.
fn displayed_everywhere(deliveries: &[Delivery]) -> Option<Phase> {
    let mut kept = deliveries.iter().filter(|d| !d.is_unreachable).map(|d| Some(d.displayed.as_ref()?.phase));
    let phase = kept.next()??;
    kept.all(|other| other == Some(phase)).then_some(phase)
}

fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}
