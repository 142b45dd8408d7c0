//! One reconcile of one request: facts → plan → steps → record, until the plan is empty; then when to reconcile again.
//!
//! The input is an id and what Teleport lists under it, never an event. `access_core::plan` makes the choices;
//! `controller/mod.rs` schedules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::lifecycle::is_stale;
use access_core::domain::recipients::{Destination, Recipient, RecipientKey, Rules};
use access_core::domain::request::AccessRequest;
use access_core::plan::{Plan, PlanInput, ReviewDisplay, Step, plan};
use access_core::record::{Operation, Record, truncated};
use access_core::render::request_message::Edition;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::channel_queue::QueuedOperation;
use super::executor::{ClaimResult, Executor, PlannedWrite};
use super::pending_decision::{PendingDecision, ReviewContext};
use super::recipient_lookup::RecipientLookup;
use super::recipients::RequestRecipients;
use super::reconcile_error::{ReconcileError, STAGE_READ, retry_policy};
use super::refetch::{Presence, drop_unconfirmed, refetch_at, refetch_if_stale};
use super::retry_state::{Observed, RetryState, later};
use super::send_turns::Wait;
use super::start_order::StartOrder;
use super::timings::ControllerTimings;
use crate::observe::log_once::SharedLogOnce;
use crate::observe::metrics::{Metrics, ReconcileResult};
use crate::supervise::clock::Clock;
use access_core::domain::error_chain::seconds;
use slack_client::directory::Directory;

/// A reconcile ends after this many passes although there is more to do, so that a request that keeps changing does not
/// starve the others. It is queued again at once.
const MAX_PASSES: usize = 8;
/// How long a reconcile waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(1);
/// When to check for look-up results without a wake-up.
const LOOKUP_RECHECK: Duration = Duration::from_secs(60);
/// What every reconcile needs.
pub(super) struct Reconciler {
    pub(super) teleport: teleport_client::Client,
    pub(super) executor: Executor,
    pub(super) start_order: StartOrder,
    pub(super) directory: Directory,
    pub(super) recipient_lookup: RecipientLookup,
    pub(super) rules: Rules,
    pub(super) cluster: String,
    pub(super) is_enterprise: bool,
    pub(super) web_proxy: Option<String>,
    pub(super) log_once: Arc<SharedLogOnce>,
    pub(super) review: Option<ReviewContext>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) timings: ControllerTimings,
}

impl Reconciler {
    /// Brings Slack in line with Teleport for one request. Returns when to reconcile again.
    #[tracing::instrument(level = "debug", name = "reconcile", skip_all, fields(request = %id))]
    pub(super) async fn reconcile(
        &self,
        id: &RequestId,
        observed: &Observed,
        retry_state: &mut RetryState,
    ) -> Option<Timestamp> {
        let began = Instant::now();
        let result = self.run_passes(id, observed, retry_state).await;
        self.executor.sender.end_all(id);
        let took = began.elapsed();
        match result {
            Ok(next) => {
                self.metrics.reconcile_ended(ReconcileResult::Success, took);
                retry_state.failed_reconciles = 0;
                if next.is_none() {
                    retry_state.reset();
                }
                next
            }
            Err(failure) => {
                self.metrics.reconcile_ended(ReconcileResult::Error, took);
                retry_state.failed_reconciles += 1;
                Some(later(
                    self.clock.now(),
                    self.on_teleport_error(id, &failure, retry_state.failed_reconciles),
                ))
            }
        }
    }

    async fn run_passes(
        &self,
        id: &RequestId,
        observed: &Observed,
        retry_state: &mut RetryState,
    ) -> Result<Option<Timestamp>, ReconcileError> {
        let observation = match observed {
            Observed::Present(observation) => Some(observation),
            Observed::Deleted(_) | Observed::Unlisted(_) => None,
        };
        let listed = observation.map(|observation| &observation.request);
        let observed_at = observation.map(|observation| observation.observed_at);
        let created = listed.and_then(|request| request.created);
        let mut ahead = listed.map(|_| self.start_order.begin(created, id));
        for _ in 0..MAX_PASSES {
            let data = self.teleport.get_record(id).await.map_err(ReconcileError::read)?;
            self.log_once.clear(STAGE_READ);
            let (mut record, invalid) = Record::decode(id, &data);
            if !invalid.is_empty() && self.log_once.should_log(id.as_str(), "invalid") {
                warn!(request = %id, keys = ?invalid, "The record in Teleport's plugin data holds values that cannot be read; they are ignored and will be replaced");
            }
            retry_state.drop_resolved(&record);
            retry_state.unrecorded.iter().for_each(|outcome| record.apply(outcome));
            let presence =
                refetch_if_stale(&self.teleport, (&self.clock, &self.log_once), id, observed, &record)
                    .await?;
            let listed = presence.current();
            // The last observation of a deleted request may be newer than the record, or older.
            let last = presence.last_seen().map(truncated).filter(|_| !record.deliveries.is_empty());
            let last = last.filter(|last| record.known.as_ref() != Some(last));
            let last = last.filter(|last| !is_stale(last, record.known.as_ref()));
            if last.is_some() {
                record.known.clone_from(&last);
            }

            let resolve_at = match self.apply_pending_decision(id, listed, &record, retry_state).await? {
                PendingDecision::CheckAt(at) => at,
                PendingDecision::RecordChanged => continue,
            };
            let recipients = RequestRecipients::of(listed, &record, &self.rules);
            if !std::mem::replace(&mut retry_state.warned, true) {
                recipients.log_recipient_warnings(id);
            }
            let is_all_known = recipients
                .resolve(listed, &self.recipient_lookup, &self.rules, &self.log_once, retry_state)
                .await;
            let targets = recipients.destinations(&self.directory, &retry_state.resolved);
            if is_all_known && listed.is_some() && !(record.deliveries.is_empty() && targets.is_empty()) {
                recipients.record_unnotified_reviewers(&mut record, retry_state);
            }
            let requester: Vec<_> = retry_state.requester_keys.iter().cloned().collect();

            let kept = record.deliveries.iter().filter(|delivery| !delivery.is_unreachable);
            retry_state.messages =
                kept.map(|delivery| (delivery.channel.clone(), delivery.ts.clone())).collect();
            let replan = |retry_state: &RetryState| {
                let waits = retry_state.retry_times(self.clock.now());
                let mut plan = plan(&self.plan_input(listed, &record, &targets, &requester, &waits));
                if let Presence::Unconfirmed = presence {
                    drop_unconfirmed(&mut plan, record.known.as_ref(), self.clock.now());
                }
                plan.requeue_at =
                    plan.requeue_at.into_iter().chain(refetch_at(&presence, self.clock.now())).min();
                plan
            };
            let mut plan = replan(retry_state);
            if let Some(ahead) = &ahead {
                ahead.wait_for_earlier().await;
            }
            self.defer_or_wait_for_turn(id, created, &mut plan, retry_state).await;
            ahead = None;
            if plan.waits_for_names && plan.operations.is_empty() && retry_state.has_retries() {
                // The post by name waits longer than planned, so the others need not wait for it.
                plan = replan(retry_state);
                self.defer_blocked(id, created, &mut plan, retry_state);
            }
            let known = plan.request_to_record.as_ref().or(last.as_ref());
            if plan.operations.is_empty() {
                // A claim of ours that could not be released.
                let done = record.claim.as_ref().filter(|claim| claim.holder == self.executor.holder.name());
                if !self
                    .executor
                    .record_outcomes(id, known.map(|known| (known, &record)), done, retry_state)
                    .await?
                {
                    return Ok(None);
                }
                // Look-up results wake the request; until then others may run.
                let news = (!is_all_known).then(|| later(self.clock.now(), LOOKUP_RECHECK));
                let wanted = recipients.users_to_resolve(&self.rules, retry_state, |_| true);
                let next =
                    next_reconcile(plan.requeue_at, &wanted, &retry_state.retry_times(self.clock.now()));
                return Ok(next.into_iter().chain(resolve_at).chain(news).min());
            }
            self.executor.sender.wait_for_capacity().await;
            let posts = plan.posts().collect();
            let intent = PlannedWrite {
                expected: &data,
                known,
                operations: plan.operations,
                posts,
                created,
                observed_at,
            };
            let lease = match self.executor.acquire(id, &intent, &record, retry_state).await? {
                ClaimResult::Acquired(lease) => lease,
                ClaimResult::HeldByOther(until) => return Ok(Some(until)),
                ClaimResult::RecordChanged => continue,
                // A message now could never be updated. If the request is still listed, its deletion will be reported.
                ClaimResult::NoRecord => return Ok(None),
            };
            self.executor.execute(id, intent, record, &lease, retry_state).await?;
        }
        debug!(request = %id, "There is more to do; other requests first");
        Ok(Some(self.clock.now()))
    }

    async fn apply_pending_decision(
        &self,
        id: &RequestId,
        listed: Option<&AccessRequest>,
        record: &Record,
        retry_state: &mut RetryState,
    ) -> Result<PendingDecision, ReconcileError> {
        let Some(review) = &self.review else {
            retry_state.decision_retry = None;
            return Ok(PendingDecision::CheckAt(None));
        };
        review.apply_pending_decision(id, listed, record, (&self.clock, &self.log_once), retry_state).await
    }

    /// Removes operations from the plan that must wait for their turn in Slack. If none is left and one is near its turn, waits
    /// for it a moment, which is cheaper than another reconcile.
    async fn defer_or_wait_for_turn(
        &self,
        id: &RequestId,
        created: Option<Timestamp>,
        plan: &mut Plan,
        retry_state: &mut RetryState,
    ) {
        let until = Instant::now() + TURN_WAIT;
        let mut held = self.defer_blocked(id, created, plan, retry_state);
        while plan.operations.is_empty()
            && Instant::now() < until
            && self.executor.sender.wait_for_turn(id, created, &held, until).await
        {
            plan.operations = held;
            held = self.defer_blocked(id, created, plan, retry_state);
        }
    }

    /// Removes operations from the plan that must wait, and returns them.
    fn defer_blocked(
        &self,
        id: &RequestId,
        created: Option<Timestamp>,
        plan: &mut Plan,
        retry_state: &mut RetryState,
    ) -> Vec<(Operation, Vec<Step>)> {
        let now = self.clock.now();
        let mut first = plan.requeue_at;
        retry_state.queued.clear();
        let held = plan.operations.extract_if(.., |(operation, steps)| {
            let caller = QueuedOperation { created, id: id.clone(), operation: operation.clone() };
            let wait = steps.first().and_then(|step| self.executor.sender.reserve(&caller, step));
            if let Some(Wait { delay, is_queued }) = wait {
                let until = later(now, delay);
                if is_queued {
                    retry_state.queued.insert(operation.clone());
                } else {
                    retry_state.retry_after(operation.clone(), delay);
                }
                first = Some(first.map_or(until, |first| first.min(until)));
            }
            wait.is_some()
        });
        let held = held.collect();
        plan.requeue_at = first;
        held
    }

    fn plan_input<'a>(
        &'a self,
        listed: Option<&'a AccessRequest>,
        record: &'a Record,
        targets: &'a [Destination],
        requester: &'a [RecipientKey],
        waits: &'a BTreeMap<Operation, Timestamp>,
    ) -> PlanInput<'a> {
        let cluster = self.cluster.as_str();
        let web_proxy = self.web_proxy.as_deref();
        let edition = if self.is_enterprise { Edition::Enterprise { web_proxy } } else { Edition::Community };
        let look = |review: &'a ReviewContext| ReviewDisplay {
            mode: review.mode(),
            rules: &review.rules,
            requester,
        };
        let review = self.review.as_ref().map(look);
        let now = self.clock.now();
        PlanInput {
            current: listed,
            record,
            destinations: targets,
            cluster,
            edition,
            review,
            retry_at: waits,
            now,
        }
    }

    /// Whether the messages of a deleted request need a reconcile, by a record that was listed in bulk.
    pub(super) fn needs_reconcile(&self, id: &RequestId, data: &BTreeMap<String, String>) -> bool {
        let record = Record::decode(id, data).0;
        !plan(&self.plan_input(None, &record, &[], &[], &BTreeMap::new())).is_empty()
    }

    fn on_teleport_error(&self, id: &RequestId, failure: &ReconcileError, failures: u32) -> Duration {
        let ReconcileError { stage, source: error } = failure;
        let (backoff, is_refusal) = retry_policy(error.kind(), &self.timings);
        let delay = backoff.delay(failures, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        let cause = access_core::domain::error_chain::chain(error);
        if !self.log_once.should_log(stage, &error.to_string()) {
            debug!(request = %id, retry_in_s, "{cause}");
        } else if is_refusal {
            error!(request = %id, retry_in_s, "{cause}");
        } else {
            warn!(request = %id, retry_in_s, "{cause}");
        }
        delay
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
