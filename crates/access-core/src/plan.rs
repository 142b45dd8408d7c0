//! From how things are to what to do: the steps that bring Slack in line with Teleport for one request.
//!
//! Level-triggered and pure: the same situation gives the same plan, and the plan after a carried-out plan is
//! empty. Carrying out is `teleport-slack/src/runtime/reconciler.rs`, which decides nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::{ChannelId, MessageTs};
use crate::lifecycle::{Phase, next_change, phase};
use crate::recipients::{RecipientKey, Target};
use crate::record::{Delivery, Record, Shown, bounded};
use crate::render::Message;
use crate::render::card::{CardView, card, short_card};
use crate::render::reply::review_reply;
use crate::request::AccessRequest;

/// No errand tells more reviews than this at a time; the rest follows in the next plan.
const MAX_REPLIES: usize = 20;

/// The facts about one request.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The request as Teleport lists it now; `None` if it lists it no more.
    pub listed: Option<&'a AccessRequest>,
    /// What is remembered of it.
    pub record: &'a Record,
    /// Where it is to be shown.
    pub targets: &'a [Target],
    /// The Teleport cluster's name, as shown.
    pub cluster: &'a str,
    /// The web proxy's public address, where it serves access requests (Enterprise).
    pub web_proxy: Option<&'a str>,
    /// Errands that failed, and when each may be tried again.
    pub waits: &'a BTreeMap<Errand, Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// One message's share of the work; its name while it waits to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errand {
    /// Bring a message to somebody who has none.
    Deliver(RecipientKey),
    /// Keep a delivered message and its thread true.
    Keep(ChannelId, MessageTs),
}

/// What to do about one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be written into the record before anything else: what Teleport says.
    pub remember: Option<AccessRequest>,
    /// Independent of each other; the steps of each in order, stopping at the first that fails.
    pub errands: Vec<(Errand, Vec<Step>)>,
    /// When to look again although nothing happened.
    pub look_again: Option<Timestamp>,
}

/// One call to Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Post a new message.
    Post {
        /// The `channel` argument: a channel's id or name, or a person's id.
        post_to: String,
        /// What it says.
        message: Message,
        /// The same without blocks, should Slack refuse them.
        short: Message,
        /// What it then shows.
        shown: Shown,
    },
    /// Edit a posted message.
    Update {
        /// Where it is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// What it is to say.
        message: Message,
        /// The same without blocks, should Slack refuse them.
        short: Message,
        /// What it then shows.
        shown: Shown,
    },
    /// Tell a review in a message's thread.
    Reply {
        /// Where the message is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// What the reply says.
        message: Message,
        /// How many reviews the thread then tells.
        replies: u32,
    },
}

impl Plan {
    /// Whether there is nothing to do now.
    pub fn is_empty(&self) -> bool {
        self.remember.is_none() && self.errands.is_empty()
    }
}

/// The plan for a situation.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let Situation { listed, record, now, .. } = *situation;
    let phase = phase(listed, record.known.as_ref(), now);
    // With neither there is nothing to show and nobody who was told.
    let Some(subject) = listed.or(record.known.as_ref()) else { return Plan::default() };

    let view =
        CardView { request: subject, phase, cluster: situation.cluster, web_proxy: situation.web_proxy };
    let (message, short) = (card(&view), short_card(&view));
    let shown = Shown { phase, digest: message.digest() };
    let mut errands = Vec::new();
    for delivery in &record.deliveries {
        let steps = keep(delivery, listed, (&message, &short), &shown);
        errands.push((Errand::Keep(delivery.channel.clone(), delivery.ts.clone()), steps));
    }
    if is_worth_telling(listed, record, phase) {
        for target in situation.targets.iter().filter(|target| !record.is_delivered(&target.keys)) {
            let Some(key) = target.keys.first() else { continue };
            let post = Step::Post {
                post_to: target.post_to.clone(),
                message: message.clone(),
                short: short.clone(),
                shown: shown.clone(),
            };
            errands.push((Errand::Deliver(key.clone()), vec![post]));
        }
    }
    errands.retain(|(_, steps)| !steps.is_empty());

    let due = |errand: &Errand| situation.waits.get(errand).is_none_or(|until| *until <= now);
    let waiting =
        errands.iter().filter_map(|(errand, _)| situation.waits.get(errand)).filter(|until| **until > now);
    let look_again = waiting.copied().chain(next_change(listed).filter(|at| *at > now)).min();
    errands.retain(|(errand, _)| due(errand));

    // Remembered as soon as there is something to keep true, and kept current from then on.
    let latest = listed.map(bounded).filter(|latest| record.known.as_ref() != Some(latest));
    let remember = latest.filter(|_| !errands.is_empty() || !record.deliveries.is_empty());
    Plan { remember, errands, look_again }
}

/// Whether recipients who have no message are to get one.
///
/// Only of requests that Teleport still lists and that can still matter; whom the Go plugin told it does not
/// say, so where it told anybody, nobody is told again.
fn is_worth_telling(listed: Option<&AccessRequest>, record: &Record, phase: Phase) -> bool {
    listed.is_some() && !matches!(phase, Phase::Expired | Phase::Deleted) && !record.is_adopted()
}

/// The steps that keep one delivered message true: first what it shows, then its thread.
fn keep(
    delivery: &Delivery,
    listed: Option<&AccessRequest>,
    (message, short): (&Message, &Message),
    shown: &Shown,
) -> Vec<Step> {
    let Delivery { channel, ts, replies, .. } = delivery;
    let is_true = match (&delivery.shown, listed) {
        (None, _) => false,
        (Some(before), Some(_)) => before == shown,
        // Of a vanished request we may know less than the message shows: only a wrong phase is worth an edit.
        (Some(before), None) => before.phase == shown.phase,
    };
    let mut steps = Vec::new();
    if !is_true {
        steps.push(Step::Update {
            channel: channel.clone(),
            ts: ts.clone(),
            message: message.clone(),
            short: short.clone(),
            shown: shown.clone(),
        });
    }
    let told = usize::try_from(*replies).unwrap_or(usize::MAX);
    let reviews = listed.map_or(&[][..], |request| &request.reviews);
    for (review, replies) in reviews.iter().zip(1u32..).skip(told).take(MAX_REPLIES) {
        let message = review_reply(review);
        steps.push(Step::Reply { channel: channel.clone(), ts: ts.clone(), message, replies });
    }
    steps
}

#[cfg(test)]
mod tests;
