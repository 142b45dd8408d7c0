//! The new messages of a plan: one for each destination that has none.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::copies::{Copies, Rendered};
use super::owed::Owed;
use super::skip::{SkipReason, Skipped, Unresolved};
use super::step::Step;
use super::{Plan, PlanInput};
use crate::domain::recipients::{Destination, Recipient, RecipientKey};
use crate::record::claim::InDoubtPost;
use crate::record::{MAX_DELIVERIES, Operation, Record};

/// A post to a channel's name is waited for if it is tried within this time.
const MAX_CHANNEL_NAME_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// Why recipients who have no message get none, if so.
#[derive(Clone, Debug)]
pub(super) struct Against<'a> {
    /// Against any post of the request.
    pub(super) request: Option<SkipReason>,
    /// If it was decided before, only these get one.
    pub(super) owed: Owed<'a>,
    pub(super) destinations: &'a [Destination],
}

impl Against<'_> {
    /// Against the post to this recipient, or to another one in the same place.
    pub(super) fn post_for(&self, key: &RecipientKey) -> Option<SkipReason> {
        let here = self.destinations.iter().find(|to| to.recipient_keys.contains(key));
        self.post_to(here.map_or(std::slice::from_ref(key), |to| &to.recipient_keys))
    }

    fn post_to(&self, keys: &[RecipientKey]) -> Option<SkipReason> {
        self.request.or_else(|| self.owed.against(keys))
    }
}

/// Plans the posts to the destinations that have no message yet, unless something is `against` it.
pub(super) fn plan_posts(plan: &mut Plan, input: &PlanInput<'_>, copies: &Copies, against: &Against<'_>) {
    let record = input.record;
    let mut open = Vec::new();
    for destination in input.destinations {
        let keys = &destination.recipient_keys;
        let against = against.post_to(keys);
        if record.is_delivered(keys) || keys.iter().any(|key| is_verified(record, key, against)) {
            continue;
        }
        // The other recipient who leads here need not be among the keys: the look-up may be due later.
        let in_doubt = record.in_doubt_post_to(&destination.post_to).filter(|post| !post.may_retry);
        if record.has_posted_to(&destination.post_to) {
            plan.skip(post_for(post_key(destination, record)), SkipReason::SharesDestination);
        } else if let Some(post) = in_doubt {
            plan.skip(post_for(post_key(destination, record)), SkipReason::VerifyAt(post.final_at));
        } else if let Some(reason) = against {
            plan.skip(post_for(post_key(destination, record)), reason);
        } else {
            open.push(destination);
        }
    }
    skip_unresolved(plan, input, against);
    if against.request.is_some() {
        return;
    }
    // What cannot be recorded is not posted.
    let room = MAX_DELIVERIES.saturating_sub(record.deliveries.len());
    for destination in open.split_off(room.min(open.len())) {
        plan.skip(post_for(post_key(destination, record)), SkipReason::RecordFull);
    }
    plan.waits_for_names = waits_for_names(input, &open);
    for destination in open {
        let mut key = post_key(destination, record);
        if let Some(repeated) = repeated_key(destination, input) {
            plan.skip(post_for(key), SkipReason::SharesDestination);
            key = repeated;
        }
        let operation = post_for(key.clone());
        if plan.waits_for_names && destination.is_channel() {
            plan.skip(operation, SkipReason::WaitsForNames);
            continue;
        }
        let Rendered { message, fallback, displayed } = copies.of_destination(destination).clone();
        let post_to = destination.post_to.clone();
        let post = Step::Post { key, post_to, message, fallback, displayed };
        plan.operations.push((operation, vec![post]));
    }
    skip_repeated(plan, input);
}

/// The recipients who lack a message and may still get one, by a plan that leaves out no operation yet; those of the
/// configuration come first. A suggested reviewer who is unknown in Slack is not waited for: the messages name them.
pub(super) fn lacking(plan: &Plan, input: &PlanInput<'_>) -> Vec<RecipientKey> {
    let recipients = &input.recipients.recipients;
    let is_reviewer = |key: &RecipientKey| {
        recipients.iter().any(|r| matches!(r, Recipient::Reviewer(_)) && r.key() == *key)
    };
    let is_lacking = |key: &RecipientKey, reason: SkipReason| match reason {
        SkipReason::Unresolved { why: Unresolved::Requester, .. } => false,
        SkipReason::Unresolved { why: Unresolved::NoSuchUser | Unresolved::Deactivated, .. } => {
            !is_reviewer(key)
        }
        SkipReason::Unresolved { .. } | SkipReason::RetryAt(_) | SkipReason::WaitsForNames => true,
        _ => false,
    };
    let planned = plan.operations.iter().filter_map(|(operation, steps)| {
        let Operation::Post(key) = operation else { return None };
        let post_to = steps.iter().find_map(|step| match step {
            Step::VerifyPost(query) => Some(query.in_doubt.destination.as_str()),
            step => step.posts_to(),
        });
        Some((key, post_to))
    });
    let skipped = plan.skipped.iter().filter_map(|Skipped { operation, reason }| match operation {
        Some(Operation::Post(key)) if is_lacking(key, *reason) => Some((key, None)),
        _ => None,
    });
    let mut lacking = BTreeSet::new();
    for (key, post_to) in planned.chain(skipped) {
        // The next plan may post for another recipient who leads there.
        let here =
            |to: &&Destination| Some(to.post_to.as_str()) == post_to || to.recipient_keys.contains(key);
        lacking.extend(input.destinations.iter().filter(here).flat_map(|to| &to.recipient_keys));
        lacking.insert(key);
    }
    let in_order: Vec<_> = recipients.iter().map(Recipient::key).filter(|key| lacking.remove(key)).collect();
    in_order.into_iter().chain(lacking.into_iter().cloned()).collect()
}

fn post_for(key: RecipientKey) -> Operation {
    Operation::Post(key)
}

/// The recipient under whose name the post is made and recorded.
fn post_key(destination: &Destination, record: &Record) -> RecipientKey {
    let Destination { post_to, recipient_keys } = destination;
    let to_retry = recipient_keys.iter().find(|key| record.is_to_retry(&post_for((*key).clone())));
    // The name, if it has one: the id is known from the delivery itself.
    let name = recipient_keys.iter().find(|key| key.is_channel_name());
    let key = to_retry.or(name).or(recipient_keys.first());
    key.cloned().unwrap_or_else(|| RecipientKey::new(post_to.as_str()))
}

/// The recipient under whose name the post to this destination is made again, if that one leads nowhere at present.
fn repeated_key(destination: &Destination, input: &PlanInput<'_>) -> Option<RecipientKey> {
    let post = input.record.in_doubt_post_to(&destination.post_to).filter(|post| post.may_retry)?;
    let Operation::Post(key) = &post.operation else { return None };
    let leads_here = |to: &Destination| to.recipient_keys.contains(key);
    let is_settled = input.record.is_delivered(std::slice::from_ref(key));
    (!is_settled && !input.destinations.iter().any(leads_here)).then(|| key.clone())
}

/// Whether posts to channels wait for those to channels' names.
///
/// A channel given by its name may be one that is given by its id, too. Slack answers the post to the name with the id, so
/// that goes first, unless it will be long in coming.
fn waits_for_names(input: &PlanInput<'_>, open: &[&Destination]) -> bool {
    let now = input.now;
    let is_soon = |key: &RecipientKey| {
        let retry_at = input.retry_at.get(&post_for(key.clone()));
        retry_at.is_none_or(|at| *at <= now + MAX_CHANNEL_NAME_WAIT)
    };
    let is_new = |post: &InDoubtPost| match &post.operation {
        Operation::Post(key) => key.is_channel_name() && !post.may_retry && post.final_at > now,
        Operation::Update(..) | Operation::Reply(..) => false,
    };
    let is_awaited = open.iter().any(|to| to.is_by_name() && to.recipient_keys.iter().all(is_soon))
        || input.record.in_doubt.iter().any(is_new);
    is_awaited && open.iter().any(|to| to.is_channel())
}

/// Names the recipients who lead to no destination.
fn skip_unresolved(plan: &mut Plan, input: &PlanInput<'_>, against: &Against<'_>) {
    for recipient in &input.recipients.recipients {
        let key = recipient.key();
        let operation = post_for(key.clone());
        let against = against.post_for(&key);
        let is_repeated = |to| repeated_key(to, input).as_ref() == Some(&key);
        if input.destinations.iter().any(|to| to.recipient_keys.contains(&key) || is_repeated(to))
            || input.record.is_delivered(std::slice::from_ref(&key))
            || is_verified(input.record, &key, against)
        {
            continue;
        }
        let retry_at = input.retry_at.get(&operation).copied().filter(|at| *at > input.now);
        let reason = match (input.unresolved.get(&key), retry_at) {
            // It was found, and the post waits.
            (None, Some(at)) => SkipReason::RetryAt(at),
            (why, retry_at) => {
                SkipReason::Unresolved { why: why.copied().unwrap_or(Unresolved::InProgress), retry_at }
            }
        };
        plan.skip(operation, against.unwrap_or(reason));
    }
}

/// Whether the plan looks for this post in Slack instead of making it.
fn is_verified(record: &Record, key: &RecipientKey, against: Option<SkipReason>) -> bool {
    let operation = post_for(key.clone());
    record.is_in_doubt(&operation) || against.is_some() && record.is_to_retry(&operation)
}

/// Names the posts that could be repeated and are not, because no recipient lacks them.
fn skip_repeated(plan: &mut Plan, input: &PlanInput<'_>) {
    let to_retry = input.record.in_doubt.iter().filter(|post| post.may_retry);
    for operation in to_retry.map(|post| &post.operation) {
        let Operation::Post(key) = operation else { continue };
        if plan.names(operation) {
            continue;
        }
        let has_destination = input.destinations.iter().any(|to| to.recipient_keys.contains(key));
        let reason =
            if has_destination { SkipReason::SharesDestination } else { SkipReason::NoLongerRecipient };
        plan.skip(operation.clone(), reason);
    }
}
