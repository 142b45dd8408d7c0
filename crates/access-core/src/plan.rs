//! From how things are to what to do: the steps that bring Slack in line with Teleport for one request.
//!
//! Level-triggered and pure: the same situation gives the same plan, and the plan after a carried-out plan is
//! empty. Carrying out is `teleport-slack/src/runtime/reconciler.rs`, which decides nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::lifecycle::{Phase, next_change, phase};
use crate::domain::recipients::{Destination, Recipient, RecipientKey};
use crate::domain::request::{AccessRequest, RequestKind};
use crate::policy::{Mode, Rules, tally_votes};
use crate::record::claim::InDoubtPost;
use crate::record::{
    Delivery, DisplayedState, MAX_DELIVERIES, MAX_IN_DOUBT, Operation, Record, RepliesPosted, truncated,
};
use crate::render::Message;
use crate::render::request_message::{
    Controls, Edition, MessageInput, NoButtons, ReviewSection, fallback_message, request_message_with_review,
};
use crate::render::thread_reply::{review_reply, vote_reply};

/// No errand tells more reviews and votes than this at a time; the rest follows in the next plan.
const MAX_REPLIES: usize = 20;

/// A post to a channel's name is waited for if it is tried within this time.
const MAX_CHANNEL_NAME_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// The facts about one request.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The request as Teleport lists it now; `None` if it lists it no more.
    pub current: Option<&'a AccessRequest>,
    /// What is remembered of it.
    pub record: &'a Record,
    /// Where it is to be shown.
    pub destinations: &'a [Destination],
    /// The Teleport cluster's name, as shown.
    pub cluster: &'a str,
    /// How requests are decided in Teleport itself.
    pub edition: Edition<'a>,
    /// What can be decided in Slack; `None` if nothing.
    pub review: Option<ReviewDisplay<'a>>,
    /// Errands that failed, and when each may be tried again.
    pub retry_at: &'a BTreeMap<Operation, Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What deciding in Slack needs to know to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct ReviewDisplay<'a> {
    /// The mode in effect; `None` if nobody can decide in Slack although that is switched on.
    pub mode: Option<Mode>,
    /// The operator's rules.
    pub rules: &'a Rules,
    /// Recipients that are known to be the requester, by Slack id or other addresses. His address that equals
    /// his user name is known anyway.
    pub requester: &'a [RecipientKey],
}

impl<'a> ReviewDisplay<'a> {
    /// What a card offers those who are not the requester.
    fn controls(self, request: &'a AccessRequest) -> Controls<'a> {
        let terms = self.rules.effective_rule(request);
        let nobody_may = match self.mode {
            None => Some(NoButtons::NotPossible),
            Some(Mode::Reviewer) => None,
            Some(Mode::Resolver) if self.rules.0.is_empty() => {
                request.suggested_reviewers.is_empty().then_some(NoButtons::NoSuggestedReviewer)
            }
            Some(Mode::Resolver) => terms.uncovered_role().map(|role| match role {
                "" => NoButtons::NoRole,
                role => NoButtons::NoMatchingRule { role },
            }),
        };
        if request.kind == RequestKind::LongTerm {
            Controls::Link(NoButtons::LongTerm)
        } else if let RequestKind::Unknown(_) = request.kind {
            Controls::Link(NoButtons::UnknownKind)
        } else if terms.teleport_only {
            Controls::Link(NoButtons::TeleportOnly)
        } else if let Some(why) = nobody_may {
            Controls::Link(why)
        } else {
            Controls::Buttons { confirm: terms.confirm }
        }
    }
}

/// What to do about one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be written into the record before anything else: what Teleport says.
    pub request_to_record: Option<AccessRequest>,
    /// Independent of each other; the steps of each in order, stopping at the first that fails.
    pub operations: Vec<(Operation, Vec<Step>)>,
    /// When to look again although nothing happened.
    pub requeue_at: Option<Timestamp>,
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
        fallback: Message,
        /// What it then shows.
        displayed: DisplayedState,
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
        fallback: Message,
        /// What it then shows.
        displayed: DisplayedState,
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
        replies: RepliesPosted,
    },
    /// Look whether a post was made whose outcome nobody recorded.
    VerifyPost(HistoryQuery),
    /// Take a message back: its reader was told already.
    Delete {
        /// Where it is.
        channel: ChannelId,
        /// Which it is.
        ts: MessageTs,
    },
}

/// What to look for, whose outcome nobody recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// What is in doubt.
    pub in_doubt: InDoubtPost,
    /// Whether it is to be made if it was not.
    pub is_wanted: bool,
    /// Messages that are known to be others, where they are.
    pub known_messages: Vec<(ChannelId, MessageTs)>,
    /// Of a thread: the replies that it lacks as far as anybody knows, and what each tells.
    pub missing_replies: Vec<(Message, RepliesPosted)>,
}

impl Step {
    /// Where the step posts something new, if it does.
    fn posts_to(&self) -> Option<&str> {
        match self {
            Self::Post { post_to, .. } => Some(post_to),
            Self::Reply { channel, .. } => Some(channel.as_str()),
            Self::Update { .. } | Self::VerifyPost(_) | Self::Delete { .. } => None,
        }
    }
}

impl Plan {
    /// Whether there is nothing to do now.
    pub fn is_empty(&self) -> bool {
        self.request_to_record.is_none() && self.operations.is_empty()
    }

    /// The errands that post something new, and where.
    pub fn posts(&self) -> impl Iterator<Item = (Operation, String)> {
        self.operations.iter().filter_map(|(errand, steps)| {
            let place = steps.iter().find_map(Step::posts_to)?;
            Some((errand.clone(), place.to_owned()))
        })
    }
}

/// The plan for a situation.
pub fn plan(situation: &PlanInput<'_>) -> Plan {
    let PlanInput { current: listed, record, now, .. } = *situation;
    let phase = phase(listed, record.known.as_ref(), now);
    // With neither there is nothing to show and nobody who was told.
    let Some(subject) = listed.or(record.known.as_ref()) else { return Plan::default() };

    let view =
        MessageInput { request: subject, phase, cluster: situation.cluster, edition: situation.edition };
    // The copies differ in the buttons only.
    let look_for = |reader| {
        let message = request_message_with_review(&view, &review_section(situation, reader));
        let shown = DisplayedState { phase, digest: message.digest() };
        Rendered { message, fallback: fallback_message(&view), displayed: shown }
    };
    let [for_requester, for_unknown, for_others] =
        &[Audience::Requester, Audience::Unknown, Audience::Others].map(look_for);
    let look = |reader| match reader {
        Audience::Requester => for_requester,
        Audience::Unknown => for_unknown,
        Audience::Others => for_others,
    };
    let requester = requester_keys(situation, subject);
    let is_worth_telling = should_post(listed, record, phase);
    let mut waits_for_names = false;
    let mut errands = Vec::new();
    for (n, delivery) in record.deliveries.iter().enumerate() {
        let Delivery { channel, ts, key, is_unreachable: is_lost, .. } = delivery;
        if *is_lost {
            continue;
        }
        let mut steps = update_step(delivery, listed, look(audience_of(delivery, &requester)));
        // Two daemons that could not see each other may have told the same person: the first message stays.
        let is_told = |first: &Delivery| first.key == *key && !first.is_unreachable;
        if key.is_some() && record.deliveries[..n].iter().any(is_told) {
            steps.push(Step::Delete { channel: channel.clone(), ts: ts.clone() });
            errands.push((Operation::Update(channel.clone(), ts.clone()), steps));
            continue;
        }
        errands.push((Operation::Update(channel.clone(), ts.clone()), steps));
        let tell = Operation::Reply(channel.clone(), ts.clone());
        if !record.is_in_doubt(&tell) {
            errands.push((tell, missing_replies(delivery, listed, record)));
        }
    }
    for doubt in &record.in_doubt {
        let search = history_query(doubt, is_worth_telling, listed, record);
        if !(doubt.may_retry && search.is_wanted) {
            errands.push((doubt.operation.clone(), vec![Step::VerifyPost(search)]));
        }
    }
    if is_worth_telling {
        let deliver = |key: &RecipientKey| Operation::Post(key.clone());
        let is_open = |target: &&Destination| {
            !record.is_delivered(&target.recipient_keys)
                && !record.has_posted_to(&target.post_to)
                && !target.recipient_keys.iter().any(|key| record.is_in_doubt(&deliver(key)))
        };
        // What cannot be written down is not posted.
        let room = MAX_DELIVERIES.saturating_sub(record.deliveries.len());
        let open: Vec<_> = situation.destinations.iter().filter(is_open).take(room).collect();
        // A channel given by its name may be one that is given by its id, too. Slack answers the post to the name with the
        // id, so that goes first, unless it will be long in coming.
        let is_soon = |key: &RecipientKey| {
            situation.retry_at.get(&deliver(key)).is_none_or(|until| *until <= now + MAX_CHANNEL_NAME_WAIT)
        };
        let is_new = |doubt: &InDoubtPost| match &doubt.operation {
            Operation::Post(key) => key.is_channel_name() && !doubt.may_retry && doubt.final_at > now,
            Operation::Update(..) | Operation::Reply(..) => false,
        };
        let is_awaited = open.iter().any(|t| t.is_by_name() && t.recipient_keys.iter().all(is_soon))
            || record.in_doubt.iter().any(is_new);
        waits_for_names = is_awaited && open.iter().any(|t| t.is_channel());
        for target in open.into_iter().filter(|target| !(waits_for_names && target.is_channel())) {
            let again = target.recipient_keys.iter().find(|key| record.is_to_retry(&deliver(key)));
            // The name, if it has one: the id is known from the delivery itself.
            let name = target.recipient_keys.iter().find(|key| key.is_channel_name());
            let Some(key) = again.or(name).or(target.recipient_keys.first()) else { continue };
            let is_requester = target.recipient_keys.iter().any(|key| requester.contains(key));
            let reader = if is_requester { Audience::Requester } else { Audience::Others };
            let Rendered { message, fallback: short, displayed: shown } = look(reader).clone();
            let post = Step::Post {
                key: key.clone(),
                post_to: target.post_to.clone(),
                message,
                fallback: short,
                displayed: shown,
            };
            errands.push((Operation::Post(key.clone()), vec![post]));
        }
    }
    errands.retain(|(_, steps)| !steps.is_empty());

    let due = |errand: &Operation| situation.retry_at.get(errand).is_none_or(|until| *until <= now);
    let waiting =
        errands.iter().filter_map(|(errand, _)| situation.retry_at.get(errand)).filter(|until| **until > now);
    let look_again = waiting.copied().chain(next_change(listed).filter(|at| *at > now)).min();
    errands.retain(|(errand, _)| due(errand));
    // Nor is what could not be doubted; the rest follows in the next plan.
    let mut room = MAX_IN_DOUBT.saturating_sub(record.in_doubt.len());
    errands.retain(|(errand, steps)| {
        let is_new = steps.iter().any(|step| step.posts_to().is_some()) && !record.is_to_retry(errand);
        let fits = !is_new || room > 0;
        room = room.saturating_sub(usize::from(is_new));
        fits
    });

    // Remembered as soon as there is something to keep true, and kept current from then on.
    let latest = listed.map(truncated).filter(|latest| record.known.as_ref() != Some(latest));
    let remember = latest.filter(|_| !errands.is_empty() || !record.deliveries.is_empty());
    Plan { request_to_record: remember, operations: errands, requeue_at: look_again, waits_for_names }
}

/// How to look for what is in doubt.
fn history_query(
    doubt: &InDoubtPost,
    is_worth_telling: bool,
    listed: Option<&AccessRequest>,
    record: &Record,
) -> HistoryQuery {
    let others = record.deliveries.iter().map(|d| (d.channel.clone(), d.ts.clone())).collect();
    let (is_wanted, replies) = match &doubt.operation {
        Operation::Post(key) => {
            (is_worth_telling && !record.is_delivered(std::slice::from_ref(key)), Vec::new())
        }
        Operation::Update(channel, ts) | Operation::Reply(channel, ts) => {
            let delivery = record.deliveries.iter().find(|d| d.is_at(channel, ts) && !d.is_unreachable);
            let untold = delivery.map_or_else(Vec::new, |delivery| missing_replies(delivery, listed, record));
            let reply = |step| match step {
                Step::Reply { message, replies, .. } => Some((message, replies)),
                _ => None,
            };
            (!untold.is_empty(), untold.into_iter().filter_map(reply).collect())
        }
    };
    HistoryQuery { in_doubt: doubt.clone(), is_wanted, known_messages: others, missing_replies: replies }
}

/// Whether recipients who have no message are to get one.
///
/// Only of requests that Teleport still lists and that can still matter; whom the Go plugin told it does not
/// say, so where it told anybody, nobody is told again.
fn should_post(listed: Option<&AccessRequest>, record: &Record, phase: Phase) -> bool {
    listed.is_some() && !matches!(phase, Phase::Expired | Phase::Deleted) && !record.is_from_go_plugin()
}

/// For whom a card is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Requester,
    /// Perhaps the requester.
    Unknown,
    Others,
}

/// A card in its two lengths and what it shows.
#[derive(Clone)]
struct Rendered {
    message: Message,
    fallback: Message,
    displayed: DisplayedState,
}

/// What is drawn of deciding in Slack.
fn review_section<'a>(situation: &PlanInput<'a>, reader: Audience) -> ReviewSection<'a> {
    let votes = Some(&situation.record.votes);
    let untold = Some(&situation.record.unnotified);
    let (Some(review), Some(request)) = (situation.review, situation.current) else {
        return ReviewSection { votes, unnotified: untold, ..ReviewSection::default() };
    };
    let controls = match reader {
        Audience::Requester => Controls::Link(NoButtons::SelfReview),
        Audience::Unknown => Controls::Link(NoButtons::UnknownRecipient),
        Audience::Others => review.controls(request),
    };
    let tally = (review.mode == Some(Mode::Resolver))
        .then(|| tally_votes(review.rules, request, &situation.record.votes));
    ReviewSection { controls, tally, votes, unnotified: untold }
}

/// The recipients who are the requester.
fn requester_keys(situation: &PlanInput<'_>, request: &AccessRequest) -> Vec<RecipientKey> {
    let known = situation.review.map(|review| review.requester).unwrap_or_default();
    // A user name that is no address may be the name of a channel.
    let own = Recipient::parse(&request.user).ok().filter(|own| matches!(own, Recipient::Email(_)));
    known.iter().cloned().chain(own.map(|own| own.key())).collect()
}

/// For whom a message is. The Go plugin sent the requester one and did not note which it was, so any direct message of
/// its may be that one.
fn audience_of(delivery: &Delivery, requester: &[RecipientKey]) -> Audience {
    match &delivery.key {
        Some(key) if requester.contains(key) => Audience::Requester,
        None if delivery.channel.as_str().starts_with('D') => Audience::Unknown,
        Some(_) | None => Audience::Others,
    }
}

/// The step that makes a delivered message show what it should, if it does not.
fn update_step(delivery: &Delivery, listed: Option<&AccessRequest>, look: &Rendered) -> Vec<Step> {
    let is_true = match (&delivery.displayed, listed) {
        (None, _) => false,
        (Some(before), Some(_)) => *before == look.displayed,
        // Of a vanished request we may know less than the message shows: only a wrong phase is worth an edit.
        (Some(before), None) => before.phase == look.displayed.phase,
    };
    if is_true {
        return Vec::new();
    }
    let Delivery { channel, ts, .. } = delivery;
    let Rendered { message, fallback, displayed } = look.clone();
    let is_last = listed.is_none();
    vec![Step::Update { channel: channel.clone(), ts: ts.clone(), message, fallback, displayed, is_last }]
}

/// The replies that a delivered message's thread lacks, in their order.
fn missing_replies(delivery: &Delivery, listed: Option<&AccessRequest>, record: &Record) -> Vec<Step> {
    let Delivery { channel, ts, review_replies: replies, vote_replies: votes_told, .. } = delivery;
    let told = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let reviews = listed.map_or(&[][..], |request| &request.reviews);
    let reviews = reviews.iter().zip(1u32..).skip(told(*replies));
    let reviews = reviews.map(|(review, told)| (review_reply(review), RepliesPosted::Reviews(told)));
    let votes = record.votes.numbered().filter(|(number, _)| number > votes_told);
    let votes = votes.map(|(number, vote)| (vote_reply(vote), RepliesPosted::Votes(number)));
    let replies = reviews.chain(votes).take(MAX_REPLIES);
    let (channel, ts) = (channel.clone(), ts.clone());
    replies
        .map(|(message, replies)| Step::Reply { channel: channel.clone(), ts: ts.clone(), message, replies })
        .collect()
}

#[cfg(test)]
mod tests;
