//! The plan for one request: the steps that bring Slack in line with Teleport.
//!
//! Level-triggered and pure: the same input gives the same plan, and the plan after an applied plan is empty.
//! `teleport-slack/src/controller/reconciler.rs` executes plans and decides nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::known_ids::KnownIds;
use crate::domain::lifecycle::{Phase, expires_at, next_change, phase};
use crate::domain::recipients::{Destination, RecipientKey, RecipientList};
use crate::domain::request::{AccessRequest, RequestState};
use crate::record::{MAX_IN_DOUBT, Operation, Outcome, Record, truncated};
use crate::render::request_message::Edition;

mod copies;
mod messages;
mod owed;
mod posts;
mod skip;
mod step;

pub use copies::{Audience, Copies, ReviewDisplay};
pub use owed::owed_elsewhere;
pub use skip::{SkipReason, Skipped, Unresolved};
pub use step::{HistoryQuery, Step};

use owed::Owed;
use posts::Against;

/// The facts about one request.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The request as Teleport lists it now; `None` if it lists it no more.
    pub current: Option<&'a AccessRequest>,
    /// The record of the request.
    pub record: &'a Record,
    /// Whether Teleport's rights prove that a request which it does not list was deleted.
    pub is_absence_proved: bool,
    /// The recipients to notify.
    pub recipients: &'a RecipientList,
    /// Where they are, as far as they were found.
    pub destinations: &'a [Destination],
    /// Why the others were not found; those that are missing here are being looked up.
    pub unresolved: &'a BTreeMap<RecipientKey, Unresolved>,
    /// Which names are known to lead to the same place.
    pub known_ids: &'a KnownIds,
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

/// What to do about one request, and what not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// To be written into the record before anything else: what Teleport says.
    pub request_to_record: Option<AccessRequest>,
    /// Independent of each other; the steps of each in order, stopping at the first that fails.
    pub operations: Vec<(Operation, Vec<Step>)>,
    /// What is left out, and why. Of what is up to date nothing is said.
    pub skipped: Vec<Skipped>,
    /// When to look again although nothing happened.
    pub requeue_at: Option<Timestamp>,
    /// Whether posts wait for those to channels given by name.
    pub waits_for_names: bool,
    /// Which recipients of a decided request lack a message, if the record says otherwise: to be recorded.
    pub owed: Option<Outcome>,
}

impl Plan {
    /// Whether there is nothing to do now.
    pub fn is_empty(&self) -> bool {
        self.request_to_record.is_none() && self.operations.is_empty() && self.owed.is_none()
    }

    /// The operations that post something new, and where.
    pub fn posts(&self) -> impl Iterator<Item = (Operation, String)> {
        self.operations.iter().filter_map(|(operation, steps)| {
            let destination = steps.iter().find_map(Step::posts_to)?;
            Some((operation.clone(), destination.to_owned()))
        })
    }

    /// Leaves out the operations that `reason` is against, and returns them.
    pub fn leave_out(
        &mut self,
        mut reason: impl FnMut(&Operation, &[Step]) -> Option<SkipReason>,
    ) -> Vec<(Operation, Vec<Step>)> {
        let Self { operations, skipped, .. } = self;
        let left_out = operations.extract_if(.., |(operation, steps)| {
            let reason = reason(operation, steps);
            skipped.extend(reason.map(|reason| Skipped { operation: Some(operation.clone()), reason }));
            reason.is_some()
        });
        left_out.collect()
    }

    /// Takes up operations again that were left out.
    pub fn take_up(&mut self, left_out: Vec<(Operation, Vec<Step>)>) {
        self.skipped.retain(|skipped| {
            !left_out.iter().any(|(operation, _)| skipped.operation.as_ref() == Some(operation))
        });
        self.operations.extend(left_out);
    }

    /// Whether it plans or leaves out this operation.
    fn names(&self, operation: &Operation) -> bool {
        self.operations.iter().any(|(planned, _)| planned == operation)
            || self.skipped.iter().any(|skipped| skipped.operation.as_ref() == Some(operation))
    }

    fn skip(&mut self, operation: Operation, reason: SkipReason) {
        self.skipped.push(Skipped { operation: Some(operation), reason });
    }

    fn skip_request(&mut self, reason: SkipReason) {
        self.skipped.push(Skipped { operation: None, reason });
    }
}

/// The phase of a request and its messages; `None` if neither Teleport nor the record has it.
pub fn copies(input: &PlanInput<'_>) -> Option<(Phase, Copies)> {
    let PlanInput { current, record, now, .. } = *input;
    let subject = current.or(record.known.as_ref())?;
    let phase = phase(current, record.known.as_ref(), now);
    Some((phase, Copies::render(input, subject, phase)))
}

/// The plan for a request.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let PlanInput { current, record, .. } = *input;
    let mut plan = Plan::default();
    // Without either there is nothing to show, and no recipient was notified.
    let Some((phase, copies)) = copies(input) else {
        skip_unknown(&mut plan, record);
        return plan;
    };
    let against = against_posts(input, phase);
    messages::plan_updates(&mut plan, input, &copies);
    messages::plan_verifications(&mut plan, input, &against);
    skip_recipients(&mut plan, input, &against);
    posts::plan_posts(&mut plan, input, &copies, &against);
    plan.operations.retain(|(_, steps)| !steps.is_empty());
    if current.is_some_and(is_decided) && !record.is_from_go_plugin() {
        plan.owed = against.owed.change(record, || posts::lacking(&plan, input));
    }
    leave_out_retries(&mut plan, input);
    leave_out_in_doubt(&mut plan, record);

    // Recorded as soon as there is a message to update, and kept current from then on.
    let latest = current.map(truncated).filter(|latest| record.known.as_ref() != Some(latest));
    let is_recorded = !plan.operations.is_empty()
        || !record.deliveries.is_empty()
        || plan.owed.is_some()
        || record.owed.is_some();
    plan.request_to_record = latest.filter(|_| is_recorded);
    if !input.is_absence_proved {
        leave_out_unproved(&mut plan, input);
    }
    plan
}

/// Why recipients who have no message get none, if so.
///
/// Only of requests that Teleport still lists and that can still matter. The Go plugin does not record its recipients,
/// so where it notified any, no recipient is notified again. Who becomes a recipient after the decision has nothing to do
/// about it; but a message that was late then is still posted.
fn against_posts<'a>(input: &PlanInput<'a>, phase: Phase) -> Against<'a> {
    let PlanInput { current, record, destinations, .. } = *input;
    let request = if current.is_none() || matches!(phase, Phase::Expired | Phase::Deleted) {
        Some(SkipReason::NotListed(phase))
    } else if record.is_from_go_plugin() {
        Some(SkipReason::NotifiedByGoPlugin)
    } else {
        None
    };
    Against { request, owed: Owed::of(input), destinations }
}

fn is_decided(request: &AccessRequest) -> bool {
    request.state != RequestState::Pending
}

/// Everything that the record holds waits until Teleport says what the request is.
fn skip_unknown(plan: &mut Plan, record: &Record) {
    plan.skip_request(SkipReason::NothingKnown);
    let messages = record.deliveries.iter().map(|d| Operation::Update(d.channel.clone(), d.ts.clone()));
    let in_doubt = record.in_doubt.iter().map(|post| post.operation.clone());
    messages.chain(in_doubt).for_each(|operation| plan.skip(operation, SkipReason::NothingKnown));
}

/// What keeps every new message of the request back, and the recipients who have no name.
fn skip_recipients(plan: &mut Plan, input: &PlanInput<'_>, against: &Against<'_>) {
    let RecipientList { recipients, unaddressable, omitted, requester } = input.recipients;
    let is_shown = !input.record.deliveries.is_empty();
    match against.request {
        Some(SkipReason::NotifiedByGoPlugin) => plan.skip_request(SkipReason::NotifiedByGoPlugin),
        Some(reason) if !is_shown => plan.skip_request(reason),
        Some(_) => {}
        None => {
            if recipients.is_empty() && input.destinations.is_empty() && !is_shown {
                plan.skip_request(SkipReason::NoRecipients);
            }
            if let Some(requester) = requester {
                let reason = SkipReason::Unresolved { why: Unresolved::Requester, retry_at: None };
                plan.skip(Operation::Post(requester.clone()), reason);
            }
            if *omitted > 0 {
                plan.skip_request(SkipReason::TooManyRecipients { omitted: *omitted });
            }
            if !unaddressable.is_empty() {
                let count = unaddressable.names().len() + unaddressable.more();
                plan.skip_request(SkipReason::InvalidReviewers { count });
            }
        }
    }
}

/// Leaves out what failed and is not due yet.
fn leave_out_retries(plan: &mut Plan, input: &PlanInput<'_>) {
    let retry_at =
        |operation: &Operation| input.retry_at.get(operation).copied().filter(|at| *at > input.now);
    let waiting = plan.operations.iter().filter_map(|(operation, _)| retry_at(operation));
    plan.requeue_at = waiting.chain(next_change(input.current).filter(|at| *at > input.now)).min();
    plan.leave_out(|operation, steps| {
        let at = retry_at(operation)?;
        let is_check = matches!(steps, [Step::VerifyPost(_)]);
        Some(if is_check { SkipReason::VerifyAt(at) } else { SkipReason::RetryAt(at) })
    });
}

/// Leaves out the posts that could not be noted as in doubt; they follow in the next plan.
fn leave_out_in_doubt(plan: &mut Plan, record: &Record) {
    let mut room = MAX_IN_DOUBT.saturating_sub(record.in_doubt.len());
    plan.leave_out(|operation, steps| {
        let is_new = steps.iter().any(|step| step.posts_to().is_some()) && !record.is_to_retry(operation);
        let fits = !is_new || room > 0;
        room = room.saturating_sub(usize::from(is_new));
        (!fits).then_some(SkipReason::TooManyInDoubt)
    });
}

/// Leaves out the operations that would show the request as deleted, which is not proved: until it expires, only in-doubt
/// posts are looked for.
fn leave_out_unproved(plan: &mut Plan, input: &PlanInput<'_>) {
    let known = input.record.known.as_ref().filter(|known| known.state == RequestState::Pending);
    let Some(known) = known.filter(|_| input.current.is_none()) else { return };
    let expires = expires_at(known);
    if expires.is_some_and(|at| at <= input.now) {
        return;
    }
    plan.leave_out(|_, steps| {
        let is_check = matches!(steps, [Step::VerifyPost(_)]);
        (!is_check).then_some(SkipReason::DeletionUnconfirmed(expires))
    });
    plan.requeue_at = plan.requeue_at.into_iter().chain(expires).min();
}

#[cfg(test)]
mod tests;
