//! The plan for one request: the steps that bring Slack in line with Teleport.
//!
//! Level-triggered and pure: the same input gives the same plan, and the plan after an applied plan is empty.
//! `teleport-slack/src/controller/reconciler.rs` executes plans and decides nothing.

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

/// No operation posts more reviews and votes than this at a time; the rest follows in the next plan.
const MAX_REPLIES: usize = 20;

/// A post to a channel's name is waited for if it is tried within this time.
const MAX_CHANNEL_NAME_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// The facts about one request.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The request as Teleport lists it now; `None` if it lists it no more.
    pub current: Option<&'a AccessRequest>,
    /// The record of the request.
    pub record: &'a Record,
    /// Where it is to be shown.
    pub destinations: &'a [Destination],
    /// The Teleport cluster's name, as shown.
    pub cluster: &'a str,
    /// How requests are decided in Teleport itself.
    pub edition: Edition<'a>,
    /// What can be decided in Slack; `None` if nothing.
    pub review: Option<ReviewDisplay<'a>>,
    /// Operations that failed, and when each may be tried again.
    pub retry_at: &'a BTreeMap<Operation, Timestamp>,
    /// The wall clock's time of this pass.
    pub now: Timestamp,
}

/// What deciding in Slack needs to know to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct ReviewDisplay<'a> {
    /// The mode in effect; `None` if no user can decide in Slack although that is switched on.
    pub mode: Option<Mode>,
    /// The rules of the configuration: `[[review.rule]]`.
    pub rules: &'a Rules,
    /// Recipients that are known to be the requester, by Slack id or other addresses. An address that equals the
    /// requester's user name is known anyway.
    pub requester: &'a [RecipientKey],
}

impl<'a> ReviewDisplay<'a> {
    /// The controls of a message to a user who is not the requester.
    fn controls(self, request: &'a AccessRequest) -> Controls<'a> {
        let terms = self.rules.effective_rule(request);
        let no_buttons = match self.mode {
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
        } else if let Some(why) = no_buttons {
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
        /// The recipient, as the record names it.
        key: RecipientKey,
        /// The `channel` argument: a channel's id or name, or a person's id.
        post_to: String,
        /// What Slack is to show.
        message: Message,
        /// The same without blocks, should Slack refuse them.
        fallback: Message,
        /// What it then shows.
        displayed: DisplayedState,
    },
    /// Edit a posted message.
    Update {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
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
    /// Post a review or a vote in a message's thread.
    Reply {
        /// Where the message is.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// What the reply says.
        message: Message,
        /// How many the thread then shows.
        replies: RepliesPosted,
    },
    /// Look in the channel history for a post without a recorded outcome.
    VerifyPost(HistoryQuery),
    /// Delete a duplicate: its recipient has another message.
    Delete {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
    },
}

/// What to look for in the channel history: a post without a recorded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The post whose outcome is not recorded.
    pub in_doubt: InDoubtPost,
    /// Whether to post it if it is not there.
    pub is_wanted: bool,
    /// Messages that are known to be others, where they are.
    pub known_messages: Vec<(ChannelId, MessageTs)>,
    /// Of a thread: the replies that it lacks as far as is known, and how many each makes.
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

    /// The operations that post something new, and where.
    pub fn posts(&self) -> impl Iterator<Item = (Operation, String)> {
        self.operations.iter().filter_map(|(operation, steps)| {
            let destination = steps.iter().find_map(Step::posts_to)?;
            Some((operation.clone(), destination.to_owned()))
        })
    }
}

/// The plan for a request.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let PlanInput { current, record, now, .. } = *input;
    let phase = phase(current, record.known.as_ref(), now);
    // With neither there is nothing to show, and no recipient was notified.
    let Some(subject) = current.or(record.known.as_ref()) else { return Plan::default() };

    let message_input =
        MessageInput { request: subject, phase, cluster: input.cluster, edition: input.edition };
    // The copies differ only in the buttons.
    let render = |audience| {
        let message = request_message_with_review(&message_input, &review_section(input, audience));
        let displayed = DisplayedState { phase, digest: message.digest() };
        Rendered { message, fallback: fallback_message(&message_input), displayed }
    };
    let [for_requester, for_unknown, for_others] =
        &[Audience::Requester, Audience::Unknown, Audience::Others].map(render);
    let rendered_for = |audience| match audience {
        Audience::Requester => for_requester,
        Audience::Unknown => for_unknown,
        Audience::Others => for_others,
    };
    let requester = requester_keys(input, subject);
    let is_wanted = should_post(current, record, phase);
    let mut waits_for_names = false;
    let mut operations = Vec::new();
    for (n, delivery) in record.deliveries.iter().enumerate() {
        let Delivery { channel, ts, key, is_unreachable, .. } = delivery;
        if *is_unreachable {
            continue;
        }
        let mut steps = update_step(delivery, current, rendered_for(audience_of(delivery, &requester)));
        // Two daemons that could not see each other may have notified the same recipient: the first message stays.
        let is_notified = |first: &Delivery| first.key == *key && !first.is_unreachable;
        if key.is_some() && record.deliveries[..n].iter().any(is_notified) {
            steps.push(Step::Delete { channel: channel.clone(), ts: ts.clone() });
            operations.push((Operation::Update(channel.clone(), ts.clone()), steps));
            continue;
        }
        operations.push((Operation::Update(channel.clone(), ts.clone()), steps));
        let reply = Operation::Reply(channel.clone(), ts.clone());
        if !record.is_in_doubt(&reply) {
            operations.push((reply, reply_steps(delivery, current, record)));
        }
    }
    for post in &record.in_doubt {
        let query = history_query(post, is_wanted, current, record);
        if !(post.may_retry && query.is_wanted) {
            operations.push((post.operation.clone(), vec![Step::VerifyPost(query)]));
        }
    }
    if is_wanted {
        let post_for = |key: &RecipientKey| Operation::Post(key.clone());
        let is_open = |destination: &&Destination| {
            !record.is_delivered(&destination.recipient_keys)
                && !record.has_posted_to(&destination.post_to)
                && !destination.recipient_keys.iter().any(|key| record.is_in_doubt(&post_for(key)))
        };
        // What cannot be recorded is not posted.
        let room = MAX_DELIVERIES.saturating_sub(record.deliveries.len());
        let open: Vec<_> = input.destinations.iter().filter(is_open).take(room).collect();
        // A channel given by its name may be one that is given by its id, too. Slack answers the post to the name with the
        // id, so that goes first, unless it will be long in coming.
        let is_soon = |key: &RecipientKey| {
            input.retry_at.get(&post_for(key)).is_none_or(|until| *until <= now + MAX_CHANNEL_NAME_WAIT)
        };
        let is_new = |post: &InDoubtPost| match &post.operation {
            Operation::Post(key) => key.is_channel_name() && !post.may_retry && post.final_at > now,
            Operation::Update(..) | Operation::Reply(..) => false,
        };
        let is_awaited = open.iter().any(|t| t.is_by_name() && t.recipient_keys.iter().all(is_soon))
            || record.in_doubt.iter().any(is_new);
        waits_for_names = is_awaited && open.iter().any(|t| t.is_channel());
        for destination in
            open.into_iter().filter(|destination| !(waits_for_names && destination.is_channel()))
        {
            let to_retry = destination.recipient_keys.iter().find(|key| record.is_to_retry(&post_for(key)));
            // The name, if it has one: the id is known from the delivery itself.
            let name = destination.recipient_keys.iter().find(|key| key.is_channel_name());
            let Some(key) = to_retry.or(name).or(destination.recipient_keys.first()) else { continue };
            let is_requester = destination.recipient_keys.iter().any(|key| requester.contains(key));
            let audience = if is_requester { Audience::Requester } else { Audience::Others };
            let Rendered { message, fallback, displayed } = rendered_for(audience).clone();
            let post = Step::Post {
                key: key.clone(),
                post_to: destination.post_to.clone(),
                message,
                fallback,
                displayed,
            };
            operations.push((Operation::Post(key.clone()), vec![post]));
        }
    }
    operations.retain(|(_, steps)| !steps.is_empty());

    let due = |operation: &Operation| input.retry_at.get(operation).is_none_or(|until| *until <= now);
    let waiting = operations
        .iter()
        .filter_map(|(operation, _)| input.retry_at.get(operation))
        .filter(|until| **until > now);
    let requeue_at = waiting.copied().chain(next_change(current).filter(|at| *at > now)).min();
    operations.retain(|(operation, _)| due(operation));
    // Nor is what could not be noted as in doubt; the rest follows in the next plan.
    let mut room = MAX_IN_DOUBT.saturating_sub(record.in_doubt.len());
    operations.retain(|(operation, steps)| {
        let is_new = steps.iter().any(|step| step.posts_to().is_some()) && !record.is_to_retry(operation);
        let fits = !is_new || room > 0;
        room = room.saturating_sub(usize::from(is_new));
        fits
    });

    // Recorded as soon as there is a message to update, and kept current from then on.
    let latest = current.map(truncated).filter(|latest| record.known.as_ref() != Some(latest));
    let request_to_record = latest.filter(|_| !operations.is_empty() || !record.deliveries.is_empty());
    Plan { request_to_record, operations, requeue_at, waits_for_names }
}

/// How to look for an in-doubt post.
fn history_query(
    post: &InDoubtPost,
    should_post: bool,
    current: Option<&AccessRequest>,
    record: &Record,
) -> HistoryQuery {
    let known_messages = record.deliveries.iter().map(|d| (d.channel.clone(), d.ts.clone())).collect();
    let (is_wanted, missing_replies) = match &post.operation {
        Operation::Post(key) => (should_post && !record.is_delivered(std::slice::from_ref(key)), Vec::new()),
        Operation::Update(channel, ts) | Operation::Reply(channel, ts) => {
            let delivery = record.deliveries.iter().find(|d| d.is_at(channel, ts) && !d.is_unreachable);
            let missing = delivery.map_or_else(Vec::new, |delivery| reply_steps(delivery, current, record));
            let reply = |step| match step {
                Step::Reply { message, replies, .. } => Some((message, replies)),
                _ => None,
            };
            (!missing.is_empty(), missing.into_iter().filter_map(reply).collect())
        }
    };
    HistoryQuery { in_doubt: post.clone(), is_wanted, known_messages, missing_replies }
}

/// Whether recipients who have no message are to get one.
///
/// Only of requests that Teleport still lists and that can still matter. The Go plugin does not record its recipients,
/// so where it notified any, no recipient is notified again.
fn should_post(current: Option<&AccessRequest>, record: &Record, phase: Phase) -> bool {
    current.is_some() && !matches!(phase, Phase::Expired | Phase::Deleted) && !record.is_from_go_plugin()
}

/// The recipients that a message is rendered for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Requester,
    /// Perhaps the requester.
    Unknown,
    Others,
}

/// A message in its two lengths and what it shows.
#[derive(Clone)]
struct Rendered {
    message: Message,
    fallback: Message,
    displayed: DisplayedState,
}

/// The part of a message about deciding in Slack.
fn review_section<'a>(input: &PlanInput<'a>, audience: Audience) -> ReviewSection<'a> {
    let votes = Some(&input.record.votes);
    let unnotified = Some(&input.record.unnotified);
    let (Some(review), Some(request)) = (input.review, input.current) else {
        return ReviewSection { votes, unnotified, ..ReviewSection::default() };
    };
    let controls = match audience {
        Audience::Requester => Controls::Link(NoButtons::SelfReview),
        Audience::Unknown => Controls::Link(NoButtons::UnknownRecipient),
        Audience::Others => review.controls(request),
    };
    let tally = (review.mode == Some(Mode::Resolver))
        .then(|| tally_votes(review.rules, request, &input.record.votes));
    ReviewSection { controls, tally, votes, unnotified }
}

/// The recipients who are the requester.
fn requester_keys(input: &PlanInput<'_>, request: &AccessRequest) -> Vec<RecipientKey> {
    let known = input.review.map(|review| review.requester).unwrap_or_default();
    // A user name that is no address may be the name of a channel.
    let own = Recipient::parse(&request.user).ok().filter(|own| matches!(own, Recipient::Email(_)));
    known.iter().cloned().chain(own.map(|own| own.key())).collect()
}

/// The audience of a delivered message. The Go plugin sent the requester one and did not record which, so any of its
/// direct messages may be that one.
fn audience_of(delivery: &Delivery, requester: &[RecipientKey]) -> Audience {
    match &delivery.key {
        Some(key) if requester.contains(key) => Audience::Requester,
        None if delivery.channel.as_str().starts_with('D') => Audience::Unknown,
        Some(_) | None => Audience::Others,
    }
}

/// The step that brings a delivered message up to date, if it is not.
fn update_step(delivery: &Delivery, current: Option<&AccessRequest>, wanted: &Rendered) -> Vec<Step> {
    let is_current = match (&delivery.displayed, current) {
        (None, _) => false,
        (Some(before), Some(_)) => *before == wanted.displayed,
        // The message may show more of a removed request than we know: only a wrong phase is worth an edit.
        (Some(before), None) => before.phase == wanted.displayed.phase,
    };
    if is_current {
        return Vec::new();
    }
    let Delivery { channel, ts, .. } = delivery;
    let Rendered { message, fallback, displayed } = wanted.clone();
    let is_last = current.is_none();
    vec![Step::Update { channel: channel.clone(), ts: ts.clone(), message, fallback, displayed, is_last }]
}

/// The replies that a delivered message's thread lacks, in their order.
fn reply_steps(delivery: &Delivery, current: Option<&AccessRequest>, record: &Record) -> Vec<Step> {
    let Delivery { channel, ts, review_replies, vote_replies, .. } = delivery;
    let reviews = current.map_or(&[][..], |request| &request.reviews);
    let posted = usize::try_from(*review_replies).unwrap_or(usize::MAX);
    let reviews = reviews.iter().zip(1u32..).skip(posted);
    let reviews = reviews.map(|(review, number)| (review_reply(review), RepliesPosted::Reviews(number)));
    let votes = record.votes.numbered().filter(|(number, _)| number > vote_replies);
    let votes = votes.map(|(number, vote)| (vote_reply(vote), RepliesPosted::Votes(number)));
    let replies = reviews.chain(votes).take(MAX_REPLIES);
    let (channel, ts) = (channel.clone(), ts.clone());
    replies
        .map(|(message, replies)| Step::Reply { channel: channel.clone(), ts: ts.clone(), message, replies })
        .collect()
}

#[cfg(test)]
mod tests;
