//! From how things are to what to do: the steps that bring Slack in line with Teleport for one request.
//!
//! Level-triggered and pure: the same situation gives the same plan, and the plan after a carried-out plan is
//! empty. Carrying out is `teleport-slack/src/runtime/reconciler.rs`, which decides nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::claim::Doubt;
use crate::ids::{ChannelId, MessageTs};
use crate::lifecycle::{Phase, next_change, phase};
use crate::policy::{Mode, Rules, standing};
use crate::recipients::{Recipient, RecipientKey, Target};
use crate::record::{Delivery, MAX_DELIVERIES, MAX_DOUBTS, Record, Shown, Told, bounded};
use crate::render::Message;
use crate::render::card::{CardView, Deciding, Edition, NoButtons, Offer, card_with, short_card};
use crate::render::reply::{review_reply, vote_reply};
use crate::request::{AccessRequest, RequestKind};

/// No errand tells more reviews and votes than this at a time; the rest follows in the next plan.
const MAX_REPLIES: usize = 20;

/// A post to a channel's name is waited for if it is tried within this time.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

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
    /// How requests are decided in Teleport itself.
    pub edition: Edition<'a>,
    /// What can be decided in Slack; `None` if nothing.
    pub review: Option<ReviewLook<'a>>,
    /// Errands that failed, and when each may be tried again.
    pub waits: &'a BTreeMap<Errand, Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What deciding in Slack needs to know to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct ReviewLook<'a> {
    /// The mode in effect; `None` if nobody can decide in Slack although that is switched on.
    pub mode: Option<Mode>,
    /// The operator's rules.
    pub rules: &'a Rules,
    /// Recipients that are known to be the requester, by Slack id or other addresses. His address that equals
    /// his user name is known anyway.
    pub requester: &'a [RecipientKey],
}

impl<'a> ReviewLook<'a> {
    /// What a card offers those who are not the requester.
    fn offer(self, request: &'a AccessRequest) -> Offer<'a> {
        let terms = self.rules.terms(request);
        let nobody_may = match self.mode {
            None => Some(NoButtons::NotPossible),
            Some(Mode::Reviewer) => None,
            Some(Mode::Resolver) if self.rules.0.is_empty() => {
                request.suggested_reviewers.is_empty().then_some(NoButtons::NoSuggestedReviewer)
            }
            Some(Mode::Resolver) => terms.uncovered().map(|role| match role {
                "" => NoButtons::NoRole,
                role => NoButtons::NoRule { role },
            }),
        };
        if request.kind == RequestKind::LongTerm {
            Offer::Link(NoButtons::LongTerm)
        } else if let RequestKind::Unknown(_) = request.kind {
            Offer::Link(NoButtons::UnknownKind)
        } else if terms.teleport_only {
            Offer::Link(NoButtons::TeleportOnly)
        } else if let Some(why) = nobody_may {
            Offer::Link(why)
        } else {
            Offer::Buttons { confirm: terms.confirm }
        }
    }
}

/// One message's share of the work; its name while it waits to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errand {
    /// Bring a message to somebody who has none.
    Deliver(RecipientKey),
    /// Keep a delivered message true.
    Keep(ChannelId, MessageTs),
    /// Tell reviews and votes in a delivered message's thread.
    Tell(ChannelId, MessageTs),
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
    /// Whether posts wait for those to channels given by name.
    pub waits_for_names: bool,
}

/// One call to Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Post a new message.
    Post {
        /// Whom it is for.
        key: RecipientKey,
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
        /// Whether the request is over, so that a refusal is not worth another try.
        is_last: bool,
    },
    /// Tell a review or a vote in a message's thread.
    Reply {
        /// Where the message is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
        /// What the reply says.
        message: Message,
        /// How many the thread then tells.
        replies: Told,
    },
    /// Look whether a post was made whose outcome nobody recorded.
    Settle(Search),
    /// Take a message back: its reader was told already.
    Withdraw {
        /// Where it is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
    },
}

/// What to look for, whose outcome nobody recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// What is in doubt.
    pub doubt: Doubt,
    /// Whether it is to be made if it was not.
    pub is_wanted: bool,
    /// Messages that are known to be others, where they are.
    pub others: Vec<(ChannelId, MessageTs)>,
    /// Of a thread: the replies that it lacks as far as anybody knows, and what each tells.
    pub replies: Vec<(Message, Told)>,
}

impl Step {
    /// Where the step posts something new, if it does.
    fn posts_to(&self) -> Option<&str> {
        match self {
            Self::Post { post_to, .. } => Some(post_to),
            Self::Reply { channel, .. } => Some(channel.as_str()),
            Self::Update { .. } | Self::Settle(_) | Self::Withdraw { .. } => None,
        }
    }
}

impl Plan {
    /// Whether there is nothing to do now.
    pub fn is_empty(&self) -> bool {
        self.remember.is_none() && self.errands.is_empty()
    }

    /// The errands that post something new, and where.
    pub fn posts(&self) -> impl Iterator<Item = (Errand, String)> {
        self.errands.iter().filter_map(|(errand, steps)| {
            let place = steps.iter().find_map(Step::posts_to)?;
            Some((errand.clone(), place.to_owned()))
        })
    }
}

/// The plan for a situation.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let Situation { listed, record, now, .. } = *situation;
    let phase = phase(listed, record.known.as_ref(), now);
    // With neither there is nothing to show and nobody who was told.
    let Some(subject) = listed.or(record.known.as_ref()) else { return Plan::default() };

    let view = CardView { request: subject, phase, cluster: situation.cluster, edition: situation.edition };
    // The copies differ in the buttons only.
    let look_for = |reader| {
        let message = card_with(&view, &deciding(situation, reader));
        let shown = Shown { phase, digest: message.digest() };
        Look { message, short: short_card(&view), shown }
    };
    let [for_requester, for_unknown, for_others] =
        &[Reader::Requester, Reader::Unknown, Reader::Other].map(look_for);
    let look = |reader| match reader {
        Reader::Requester => for_requester,
        Reader::Unknown => for_unknown,
        Reader::Other => for_others,
    };
    let requester = requester_keys(situation, subject);
    let is_worth_telling = is_worth_telling(listed, record, phase);
    let mut waits_for_names = false;
    let mut errands = Vec::new();
    for (n, delivery) in record.deliveries.iter().enumerate() {
        let Delivery { channel, ts, key, is_lost, .. } = delivery;
        if *is_lost {
            continue;
        }
        let mut steps = keep(delivery, listed, look(reader_of(delivery, &requester)));
        // Two daemons that could not see each other may have told the same person: the first message stays.
        let is_told = |first: &Delivery| first.key == *key && !first.is_lost;
        if key.is_some() && record.deliveries[..n].iter().any(is_told) {
            steps.push(Step::Withdraw { channel: channel.clone(), ts: ts.clone() });
            errands.push((Errand::Keep(channel.clone(), ts.clone()), steps));
            continue;
        }
        errands.push((Errand::Keep(channel.clone(), ts.clone()), steps));
        let tell = Errand::Tell(channel.clone(), ts.clone());
        if !record.is_in_doubt(&tell) {
            errands.push((tell, untold(delivery, listed, record)));
        }
    }
    for doubt in &record.doubts {
        let search = search(doubt, is_worth_telling, listed, record);
        if !(doubt.may_repeat && search.is_wanted) {
            errands.push((doubt.errand.clone(), vec![Step::Settle(search)]));
        }
    }
    if is_worth_telling {
        let deliver = |key: &RecipientKey| Errand::Deliver(key.clone());
        let is_open = |target: &&Target| {
            !record.is_delivered(&target.keys)
                && !record.is_told(&target.post_to)
                && !target.keys.iter().any(|key| record.is_in_doubt(&deliver(key)))
        };
        // What cannot be written down is not posted.
        let room = MAX_DELIVERIES.saturating_sub(record.deliveries.len());
        let open: Vec<_> = situation.targets.iter().filter(is_open).take(room).collect();
        // A channel given by its name may be one that is given by its id, too. Slack answers the post to the name with the
        // id, so that goes first, unless it will be long in coming.
        let is_soon = |key: &RecipientKey| {
            situation.waits.get(&deliver(key)).is_none_or(|until| *until <= now + PATIENCE)
        };
        let is_new = |doubt: &Doubt| match &doubt.errand {
            Errand::Deliver(key) => key.is_name() && !doubt.may_repeat && doubt.ripe > now,
            Errand::Keep(..) | Errand::Tell(..) => false,
        };
        let is_awaited = open.iter().any(|t| t.is_by_name() && t.keys.iter().all(is_soon))
            || record.doubts.iter().any(is_new);
        waits_for_names = is_awaited && open.iter().any(|t| t.is_channel());
        for target in open.into_iter().filter(|target| !(waits_for_names && target.is_channel())) {
            let again = target.keys.iter().find(|key| record.is_to_repeat(&deliver(key)));
            // The name, if it has one: the id is known from the delivery itself.
            let name = target.keys.iter().find(|key| key.is_name());
            let Some(key) = again.or(name).or(target.keys.first()) else { continue };
            let is_requester = target.keys.iter().any(|key| requester.contains(key));
            let reader = if is_requester { Reader::Requester } else { Reader::Other };
            let Look { message, short, shown } = look(reader).clone();
            let post =
                Step::Post { key: key.clone(), post_to: target.post_to.clone(), message, short, shown };
            errands.push((Errand::Deliver(key.clone()), vec![post]));
        }
    }
    errands.retain(|(_, steps)| !steps.is_empty());

    let due = |errand: &Errand| situation.waits.get(errand).is_none_or(|until| *until <= now);
    let waiting =
        errands.iter().filter_map(|(errand, _)| situation.waits.get(errand)).filter(|until| **until > now);
    let look_again = waiting.copied().chain(next_change(listed).filter(|at| *at > now)).min();
    errands.retain(|(errand, _)| due(errand));
    // Nor is what could not be doubted; the rest follows in the next plan.
    let mut room = MAX_DOUBTS.saturating_sub(record.doubts.len());
    errands.retain(|(errand, steps)| {
        let is_new = steps.iter().any(|step| step.posts_to().is_some()) && !record.is_to_repeat(errand);
        let fits = !is_new || room > 0;
        room = room.saturating_sub(usize::from(is_new));
        fits
    });

    // Remembered as soon as there is something to keep true, and kept current from then on.
    let latest = listed.map(bounded).filter(|latest| record.known.as_ref() != Some(latest));
    let remember = latest.filter(|_| !errands.is_empty() || !record.deliveries.is_empty());
    Plan { remember, errands, look_again, waits_for_names }
}

/// How to look for what is in doubt.
fn search(doubt: &Doubt, is_worth_telling: bool, listed: Option<&AccessRequest>, record: &Record) -> Search {
    let others = record.deliveries.iter().map(|d| (d.channel.clone(), d.ts.clone())).collect();
    let (is_wanted, replies) = match &doubt.errand {
        Errand::Deliver(key) => {
            (is_worth_telling && !record.is_delivered(std::slice::from_ref(key)), Vec::new())
        }
        Errand::Keep(channel, ts) | Errand::Tell(channel, ts) => {
            let delivery = record.deliveries.iter().find(|d| d.is(channel, ts) && !d.is_lost);
            let untold = delivery.map_or_else(Vec::new, |delivery| untold(delivery, listed, record));
            let reply = |step| match step {
                Step::Reply { message, replies, .. } => Some((message, replies)),
                _ => None,
            };
            (!untold.is_empty(), untold.into_iter().filter_map(reply).collect())
        }
    };
    Search { doubt: doubt.clone(), is_wanted, others, replies }
}

/// Whether recipients who have no message are to get one.
///
/// Only of requests that Teleport still lists and that can still matter; whom the Go plugin told it does not
/// say, so where it told anybody, nobody is told again.
fn is_worth_telling(listed: Option<&AccessRequest>, record: &Record, phase: Phase) -> bool {
    listed.is_some() && !matches!(phase, Phase::Expired | Phase::Deleted) && !record.is_adopted()
}

/// For whom a card is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Requester,
    /// Perhaps the requester.
    Unknown,
    Other,
}

/// A card in its two lengths and what it shows.
#[derive(Clone)]
struct Look {
    message: Message,
    short: Message,
    shown: Shown,
}

/// What is drawn of deciding in Slack.
fn deciding<'a>(situation: &Situation<'a>, reader: Reader) -> Deciding<'a> {
    let votes = Some(&situation.record.votes);
    let untold = Some(&situation.record.untold);
    let (Some(review), Some(request)) = (situation.review, situation.listed) else {
        return Deciding { votes, untold, ..Deciding::default() };
    };
    let offer = match reader {
        Reader::Requester => Offer::Link(NoButtons::OwnRequest),
        Reader::Unknown => Offer::Link(NoButtons::UnknownReader),
        Reader::Other => review.offer(request),
    };
    let standing = (review.mode == Some(Mode::Resolver))
        .then(|| standing(review.rules, request, &situation.record.votes));
    Deciding { offer, standing, votes, untold }
}

/// The recipients who are the requester.
fn requester_keys(situation: &Situation<'_>, request: &AccessRequest) -> Vec<RecipientKey> {
    let known = situation.review.map(|review| review.requester).unwrap_or_default();
    // A user name that is no address may be the name of a channel.
    let own = Recipient::parse(&request.user).ok().filter(|own| matches!(own, Recipient::Email(_)));
    known.iter().cloned().chain(own.map(|own| own.key())).collect()
}

/// For whom a message is. The Go plugin sent the requester one and did not note which it was, so any direct message of
/// its may be that one.
fn reader_of(delivery: &Delivery, requester: &[RecipientKey]) -> Reader {
    match &delivery.key {
        Some(key) if requester.contains(key) => Reader::Requester,
        None if delivery.channel.as_str().starts_with('D') => Reader::Unknown,
        Some(_) | None => Reader::Other,
    }
}

/// The step that makes a delivered message show what it should, if it does not.
fn keep(delivery: &Delivery, listed: Option<&AccessRequest>, look: &Look) -> Vec<Step> {
    let is_true = match (&delivery.shown, listed) {
        (None, _) => false,
        (Some(before), Some(_)) => *before == look.shown,
        // Of a vanished request we may know less than the message shows: only a wrong phase is worth an edit.
        (Some(before), None) => before.phase == look.shown.phase,
    };
    if is_true {
        return Vec::new();
    }
    let Delivery { channel, ts, .. } = delivery;
    let Look { message, short, shown } = look.clone();
    let is_last = listed.is_none();
    vec![Step::Update { channel: channel.clone(), ts: ts.clone(), message, short, shown, is_last }]
}

/// The replies that a delivered message's thread lacks, in their order.
fn untold(delivery: &Delivery, listed: Option<&AccessRequest>, record: &Record) -> Vec<Step> {
    let Delivery { channel, ts, replies, votes_told, .. } = delivery;
    let told = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let reviews = listed.map_or(&[][..], |request| &request.reviews);
    let reviews = reviews.iter().zip(1u32..).skip(told(*replies));
    let reviews = reviews.map(|(review, told)| (review_reply(review), Told::Reviews(told)));
    let votes = record.votes.numbered().filter(|(number, _)| number > votes_told);
    let votes = votes.map(|(number, vote)| (vote_reply(vote), Told::Votes(number)));
    let replies = reviews.chain(votes).take(MAX_REPLIES);
    let (channel, ts) = (channel.clone(), ts.clone());
    replies
        .map(|(message, replies)| Step::Reply { channel: channel.clone(), ts: ts.clone(), message, replies })
        .collect()
}

#[cfg(test)]
mod tests;
