//! The updates and replies of posted messages, and the checks of posts that are in doubt.

use super::copies::{Copies, Rendered};
use super::posts::Against;
use super::skip::SkipReason;
use super::step::{HistoryQuery, Step};
use super::{Plan, PlanInput};
use crate::domain::request::AccessRequest;
use crate::record::claim::InDoubtPost;
use crate::record::{Delivery, Operation, Record, RepliesPosted};
use crate::render::thread_reply::{review_reply, vote_reply};

/// No operation posts more reviews and votes than this at a time; the rest follows in the next plan.
const MAX_REPLIES: usize = 20;

/// Plans what the posted messages and their threads lack.
pub(super) fn plan_updates(plan: &mut Plan, input: &PlanInput<'_>, copies: &Copies) {
    let PlanInput { current, record, .. } = *input;
    for (n, delivery) in record.deliveries.iter().enumerate() {
        let Delivery { channel, ts, key, is_unreachable, .. } = delivery;
        let (update, reply) =
            (Operation::Update(channel.clone(), ts.clone()), Operation::Reply(channel.clone(), ts.clone()));
        let mut steps = update_step(delivery, current, copies.of_delivery(delivery));
        let replies = reply_steps(delivery, current, record);
        // Two daemons that could not see each other may have notified the same recipient, or the configuration named a channel by its
        // id and then by a name that Slack does not look up: the first message stays.
        let is_notified = |first: &Delivery| {
            !first.is_unreachable && (first.key == *key || first.is_in_channel_of(delivery))
        };
        let is_duplicate = key.is_some() && record.deliveries[..n].iter().any(is_notified);
        let is_verified = record.is_in_doubt(&reply) || *is_unreachable && record.is_to_retry(&reply);
        if *is_unreachable {
            if !steps.is_empty() {
                plan.skip(update, SkipReason::Unreachable);
            }
            if !replies.is_empty() && !is_verified {
                plan.skip(reply, SkipReason::Unreachable);
            }
        } else if is_duplicate {
            steps.push(Step::Delete { channel: channel.clone(), ts: ts.clone() });
            plan.operations.push((update, steps));
            if !replies.is_empty() && !is_verified {
                plan.skip(reply, SkipReason::Duplicate);
            }
        } else {
            plan.operations.push((update, steps));
            if !is_verified {
                plan.operations.push((reply, replies));
            }
        }
    }
}

/// Plans to look for the posts that are in doubt, unless they are simply made again.
pub(super) fn plan_verifications(plan: &mut Plan, input: &PlanInput<'_>, against: &Against<'_>) {
    for post in &input.record.in_doubt {
        let query = history_query(post, against, input.current, input.record);
        if !(post.may_retry && query.is_wanted) {
            plan.operations.push((post.operation.clone(), vec![Step::VerifyPost(query)]));
        }
    }
}

/// How to look for an in-doubt post.
fn history_query(
    post: &InDoubtPost,
    against: &Against<'_>,
    current: Option<&AccessRequest>,
    record: &Record,
) -> HistoryQuery {
    let known_messages = record.deliveries.iter().map(|d| (d.channel.clone(), d.ts.clone())).collect();
    let (is_wanted, missing_replies) = match &post.operation {
        Operation::Post(key) => {
            let is_lacking = !record.is_delivered(std::slice::from_ref(key));
            (is_lacking && against.post_for(key).is_none(), Vec::new())
        }
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
