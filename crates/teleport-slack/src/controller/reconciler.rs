//! One reconcile of one request, in passes of five stages: read, refresh, resolve, plan, execute. It ends when the plan is
//! empty, and says when to reconcile again.
//!
//! The input is an id and what Teleport lists under it, never an event. `planner` has the stages before the last;
//! `controller/mod.rs` schedules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::recipients::Recipient;
use access_core::plan::{Plan, SkipReason, Skipped};
use access_core::record::Operation;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::Context;
use super::executor::{ClaimResult, Executor, PlannedWrite};
use super::lease::Holder;
use super::pending_decision::{PendingDecision, ReviewContext};
use super::planner::{Facts, Planner, Targets};
use super::recipient_lookup::RecipientLookup;
use super::reconcile_error::{ReconcileError, retry_policy};
use super::retry_state::{Observation, Observed, RetryState, later};
use super::sender::SlackSender;
use super::settings::Settings;
use super::start_order::StartOrder;
use super::timings::ControllerTimings;
use crate::observe::log_once::SharedLogOnce;
use crate::observe::metrics::{Metrics, ReconcileResult};
use crate::observe::skew::Side;
use access_core::domain::error_chain::seconds;
use teleport_client::error::ErrorKind;

/// A reconcile ends after this many passes although there is more to do, so that a request that keeps changing does not
/// starve the others. It is queued again at once.
const MAX_PASSES: usize = 8;

/// What every reconcile needs.
#[derive(Clone)]
pub(super) struct Reconciler {
    pub(super) planner: Planner,
    pub(super) executor: Arc<Executor>,
    pub(super) start_order: Arc<StartOrder>,
    pub(super) review: Option<ReviewContext>,
    pub(super) metrics: Metrics,
    pub(super) timings: ControllerTimings,
}

/// When to reconcile a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// At this time, if nothing wakes it earlier.
    RequeueAt(Timestamp),
    /// When something changes: the request is listed, and its messages are up to date.
    AwaitChange,
    /// Never: the request is gone, and its messages say so.
    Done,
}

impl Reconciler {
    /// A reconciler that goes by `settings`. It sends requests whose look-ups ended to `lookup_updates`, and those whose turn
    /// in Slack it is to `next_in_queue`.
    pub(super) fn new(
        context: &Context,
        settings: Settings,
        lookup_updates: mpsc::Sender<RequestId>,
        next_in_queue: mpsc::Sender<RequestId>,
    ) -> Self {
        let Context { teleport, slack, author, directory, metrics, clock, timings, .. } = context;
        let Settings { rules, review } = settings;
        let users = review.as_ref().map(|review| Arc::clone(&review.users));
        let review = review.map(|review| ReviewContext::new(review, *timings));
        let log_once = Arc::new(SharedLogOnce::default());
        let sender = SlackSender::new(
            slack.clone(),
            directory.clone(),
            author.clone(),
            next_in_queue,
            metrics.clone(),
            *timings,
        );
        let executor = Executor::new(
            teleport.clone(),
            sender,
            Holder::new(timings.claim),
            Arc::clone(&log_once),
            clock.clone(),
        );
        let outages = metrics.outages().clone();
        let recipient_lookup =
            RecipientLookup::new(directory.clone(), users, lookup_updates, outages, timings);
        let planner = Planner {
            teleport: teleport.clone(),
            directory: directory.clone(),
            recipient_lookup,
            rules,
            review: review.as_ref().map(|review| review.terms.clone()),
            cluster: context.cluster.clone(),
            is_enterprise: context.is_enterprise,
            web_proxy: context.web_proxy.clone(),
            log_once,
            clock: clock.clone(),
        };
        Self {
            planner,
            executor: Arc::new(executor),
            start_order: Arc::default(),
            review,
            metrics: metrics.clone(),
            timings: *timings,
        }
    }

    /// The same with other settings: what was learned and what is in progress is shared.
    pub(super) fn with_settings(&self, Settings { rules, review }: Settings) -> Self {
        let users = review.as_ref().map(|review| Arc::clone(&review.users));
        let recipient_lookup = self.planner.recipient_lookup.with_users(users);
        let review = review.map(|review| ReviewContext::new(review, self.timings));
        let terms = review.as_ref().map(|review| review.terms.clone());
        let planner = Planner { rules, review: terms, recipient_lookup, ..self.planner.clone() };
        Self { planner, review, ..self.clone() }
    }

    /// Brings Slack in line with Teleport for one request. Returns when to reconcile again.
    #[tracing::instrument(level = "debug", name = "reconcile", skip_all, fields(request = %id))]
    pub(super) async fn reconcile(
        &self,
        id: &RequestId,
        observed: &Observed,
        retry_state: &mut RetryState,
    ) -> Action {
        let began = Instant::now();
        let result = self.run_passes(id, observed, retry_state).await;
        self.executor.end_turns(id);
        let took = began.elapsed();
        match result {
            Ok(action) => {
                self.metrics.reconcile_ended(ReconcileResult::Success, took);
                retry_state.failed_reconciles = 0;
                if !matches!(action, Action::RequeueAt(_)) {
                    retry_state.reset();
                }
                action
            }
            Err(failure) => {
                self.metrics.reconcile_ended(ReconcileResult::Error, took);
                retry_state.failed_reconciles += 1;
                let delay = self.on_teleport_error(id, &failure, retry_state.failed_reconciles);
                Action::RequeueAt(later(self.planner.clock.now(), delay))
            }
        }
    }

    /// Read, refresh, decide, resolve, plan, execute, until there is nothing to do.
    async fn run_passes(
        &self,
        id: &RequestId,
        observed: &Observed,
        retry_state: &mut RetryState,
    ) -> Result<Action, ReconcileError> {
        let observation = match observed {
            Observed::Present(observation) => Some(observation),
            Observed::Deleted(_) | Observed::Unlisted(_) => None,
        };
        let created = observation.and_then(|observation| observation.request.created);
        let mut position = observation.map(|_| self.start_order.begin(created, id));
        for _ in 0..MAX_PASSES {
            let (data, record) = self.planner.read(id, retry_state).await?;
            let mut facts = self.planner.refresh(id, observed, data, record).await?;
            let decide_at = match self.apply_pending_decision(id, &facts, retry_state).await? {
                PendingDecision::CheckAt(at) => at,
                PendingDecision::RecordChanged => continue,
            };
            let targets = self.planner.resolve(id, &mut facts, retry_state).await;
            let mut plan = self.planner.plan(&facts, &targets, retry_state);
            if let Some(owed) = plan.owed.clone()
                && !retry_state.unrecorded.contains(&owed)
            {
                retry_state.unrecorded.push(owed);
            }
            if let Some(position) = &position {
                position.wait_for_earlier(self.timings.turns.start_order).await;
            }
            self.executor.await_turns(id, created, &mut plan, retry_state).await;
            position = None;
            if plan.waits_for_names && plan.operations.is_empty() && retry_state.has_retries() {
                // The post by name waits longer than planned, so the others need not wait for it.
                plan = self.planner.plan(&facts, &targets, retry_state);
                self.executor.leave_out_blocked(id, created, &mut plan, retry_state);
            }
            if plan.operations.is_empty() {
                return self.finish(id, &facts, (&targets, decide_at), plan, retry_state).await;
            }
            if let Some(action) = self.execute(id, observation, facts, plan, retry_state).await? {
                return Ok(action);
            }
        }
        debug!(request = %id, "There is more to do; other requests first");
        Ok(Action::RequeueAt(self.planner.clock.now()))
    }

    /// Executes the plan under a claim. Returns what follows, or nothing if another pass does.
    async fn execute(
        &self,
        id: &RequestId,
        observation: Option<&Arc<Observation>>,
        facts: Facts,
        mut plan: Plan,
        retry_state: &mut RetryState,
    ) -> Result<Option<Action>, ReconcileError> {
        self.executor.await_capacity().await;
        let at_rest = at_rest(&facts);
        let Facts { data, record, last_seen, .. } = facts;
        let posts = plan.posts().collect();
        let known = plan.request_to_record.as_ref().or(last_seen.as_ref());
        let operations = std::mem::take(&mut plan.operations);
        let created = observation.and_then(|observation| observation.request.created);
        let observed_at = observation.map(|observation| observation.observed_at);
        let planned = PlannedWrite { expected: &data, known, operations, posts, created, observed_at };
        match self.executor.acquire(id, &planned, &record, retry_state).await? {
            ClaimResult::Acquired(lease) => {
                self.executor.execute(id, planned, record, &lease, retry_state).await?;
                Ok(None)
            }
            ClaimResult::HeldByOther(until) => {
                plan.operations = planned.operations;
                plan.leave_out(|_, _| Some(SkipReason::ClaimedByOther(until)));
                log_skipped(id, &plan, retry_state);
                Ok(Some(Action::RequeueAt(until)))
            }
            ClaimResult::RecordChanged => Ok(None),
            // A message now could never be updated. If the request is still listed, its deletion will be reported.
            ClaimResult::NoRecord => Ok(Some(at_rest)),
        }
    }

    /// Nothing is to be done now: records what is left to record, and says when to reconcile again.
    async fn finish(
        &self,
        id: &RequestId,
        facts: &Facts,
        (targets, decide_at): (&Targets, Option<Timestamp>),
        plan: Plan,
        retry_state: &mut RetryState,
    ) -> Result<Action, ReconcileError> {
        let record = &facts.record;
        let known = plan.request_to_record.as_ref().or(facts.last_seen.as_ref());
        // A claim of ours that could not be released.
        let done = record.claim.as_ref().filter(|claim| self.executor.holds(claim));
        let known = known.map(|known| (known, record));
        let has_record = self.executor.record_outcomes(id, known, done, retry_state).await?;
        log_skipped(id, &plan, retry_state);
        if !has_record {
            return Ok(at_rest(facts));
        }
        let now = self.planner.clock.now();
        // Look-up results wake the request; until then others may run.
        let lookup_check = (!targets.is_all_known).then(|| later(now, self.timings.lookup_recheck));
        let wanted = targets.recipients.users_to_resolve(&self.planner.rules, retry_state, |_| true);
        let next = next_reconcile(plan.requeue_at, &wanted, &retry_state.retry_times(now));
        let next = next.into_iter().chain(decide_at).chain(lookup_check).min();
        Ok(next.map_or_else(|| at_rest(facts), Action::RequeueAt))
    }

    async fn apply_pending_decision(
        &self,
        id: &RequestId,
        facts: &Facts,
        retry_state: &mut RetryState,
    ) -> Result<PendingDecision, ReconcileError> {
        let Some(review) = &self.review else {
            retry_state.decision_retry = None;
            return Ok(PendingDecision::CheckAt(None));
        };
        review
            .apply_pending_decision(
                id,
                facts.listed(),
                &facts.record,
                (&self.planner.clock, &self.planner.log_once),
                retry_state,
            )
            .await
    }

    fn on_teleport_error(&self, id: &RequestId, failure: &ReconcileError, failures: u32) -> Duration {
        let ReconcileError { stage, source: error } = failure;
        let (backoff, is_refusal) = retry_policy(error.kind(), &self.timings);
        let delay = backoff.delay(failures, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        let cause = access_core::domain::error_chain::chain(error);
        self.metrics.outages().waits_for_teleport(id);
        // The log says so of Teleport as a whole; the watch may notice the loss later than the first call.
        let is_first = failures <= 1;
        let covers = || self.metrics.outages().covers(Side::Teleport, failures);
        let is_away = error.kind() == ErrorKind::Retry && (is_first || covers());
        if is_away || !self.planner.log_once.should_log(stage, &error.class()) {
            debug!(request = %id, retry_in_s, "{cause}");
        } else if is_refusal {
            error!(request = %id, retry_in_s, "{cause}");
        } else {
            warn!(request = %id, retry_in_s, "{cause}");
        }
        delay
    }
}

/// What follows if there is nothing to do and nothing to wait for.
fn at_rest(facts: &Facts) -> Action {
    if facts.listed().is_some() { Action::AwaitChange } else { Action::Done }
}

/// Logs what the plan leaves out and why, once for each reason.
fn log_skipped(id: &RequestId, plan: &Plan, retry_state: &mut RetryState) {
    for Skipped { operation, reason } in retry_state.new_skips(&plan.skipped) {
        let (operation, destination) = match operation {
            Some(Operation::Post(key)) => ("post", key.as_str()),
            Some(Operation::Update(channel, _)) => ("update", channel.as_str()),
            Some(Operation::Reply(channel, _)) => ("reply", channel.as_str()),
            None => ("all posts", ""),
        };
        debug!(request = %id, operation, destination, %reason, "Left out of the plan");
    }
}

/// The earliest of the plan's own time and the look-ups to repeat.
fn next_reconcile(
    planned: Option<Timestamp>,
    wanted: &[(Recipient, bool)],
    waits: &BTreeMap<Operation, Timestamp>,
) -> Option<Timestamp> {
    let lookups = wanted.iter().filter_map(|(r, _)| waits.get(&Operation::Post(r.key()))).copied();
    lookups.chain(planned).min()
}
