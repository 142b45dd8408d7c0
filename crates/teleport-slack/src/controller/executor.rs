//! Applies a plan's operations under a claim, and records each outcome as soon as it is known.
//!
//! The order matters: first the claim and the posts to make are recorded, then the calls are made, then the outcomes are
//! recorded and the claim is released. A crash in between leaves an in-doubt post on record, never an unknown one.

mod turns;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::lifecycle::{Phase, is_stale};
use access_core::domain::request::AccessRequest;
use access_core::plan::Step;
use access_core::record::claim::{Acquire, Claim, may_acquire};
use access_core::record::{Operation, Outcome, Record};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::channel_breaker::OpenCircuit;
use super::channel_queue::QueuedOperation;
use super::lease::{Holder, Lease};
use super::reconcile_error::{ReconcileError, STAGE_WRITE};
use super::retry_state::{Deferred, Effect, RetryState, later};
use super::sender::SlackSender;
use crate::observe::log_once::SharedLogOnce;
use crate::supervise::clock::Clock;
use teleport_client::error::ErrorKind;
use teleport_client::plugin_data::{Fields, modify_record};

/// The operations to apply, and the record that they were planned on.
pub(super) struct PlannedWrite<'a> {
    /// The record as it was read.
    pub(super) expected: &'a Fields,
    /// The request in Teleport, if it changed.
    pub(super) known: Option<&'a AccessRequest>,
    /// The operations to apply.
    pub(super) operations: Vec<(Operation, Vec<Step>)>,
    /// The posts among them, and their destinations.
    pub(super) posts: Vec<(Operation, String)>,
    /// When the request was made.
    pub(super) created: Option<Timestamp>,
    /// When Teleport last reported it.
    pub(super) observed_at: Option<Instant>,
}

/// Whether the claim was taken.
pub(super) enum ClaimResult {
    /// The claim is ours.
    Acquired(Lease),
    /// Another daemon works on the request; reconcile again at this time.
    HeldByOther(Timestamp),
    /// The record changed since it was read.
    RecordChanged,
    /// The request vanished and has no record.
    NoRecord,
}

impl PlannedWrite<'_> {
    /// Where the operation posts, if it does.
    fn destination(&self, operation: &Operation) -> Option<&str> {
        let mut posts = self.posts.iter();
        posts.find(|(post, _)| post == operation).map(|(_, destination)| destination.as_str())
    }
}

/// A request whose operations run under our claim.
struct Claimed<'a> {
    id: &'a RequestId,
    planned: PlannedWrite<'a>,
    /// Our copy, with the outcomes known so far.
    record: Record,
    lease: &'a Lease,
}

/// How an operation ended.
struct Ended {
    caller: QueuedOperation,
    outcomes: Vec<Outcome>,
    /// If it must be tried again.
    not_yet: Option<Deferred>,
}

/// Operations of one request in flight at once, of the sender's 16 calls: a request with a hundred recipients must not make
/// all others wait until the last recipient is notified.
const MAX_CONCURRENT_OPERATIONS: usize = 4;

/// Takes claims, applies operations under them and records the outcomes.
pub(super) struct Executor {
    teleport: teleport_client::Client,
    holder: Holder,
    sender: SlackSender,
    log_once: Arc<SharedLogOnce>,
    clock: Clock,
}

impl Executor {
    pub(super) fn new(
        teleport: teleport_client::Client,
        sender: SlackSender,
        holder: Holder,
        log_once: Arc<SharedLogOnce>,
        clock: Clock,
    ) -> Self {
        Self { teleport, holder, sender, log_once, clock }
    }

    /// Whether this process took the claim.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        claim.holder == self.holder.name()
    }

    /// How this process is called in claims.
    pub(super) fn holder_name(&self) -> &str {
        self.holder.name()
    }

    /// The channels that refuse.
    pub(super) fn open_circuits(&self) -> Vec<OpenCircuit> {
        self.sender.breaker().open()
    }

    /// Takes the claim, unless another daemon holds it or the record changed since it was read.
    pub(super) async fn acquire(
        &self,
        id: &RequestId,
        planned: &PlannedWrite<'_>,
        record: &Record,
        retry_state: &mut RetryState,
    ) -> Result<ClaimResult, ReconcileError> {
        let now = self.clock.now();
        let watched = retry_state.observe_claim(record.claim.as_ref());
        let acquire =
            may_acquire(record.claim.as_ref(), self.holder.name(), watched, now, &self.holder.timings);
        if let Acquire::Wait(left) = acquire {
            return Ok(ClaimResult::HeldByOther(later(now, left)));
        }
        let mut lease = self.holder.lease();
        let mut is_changed = false;
        let unrecorded = &retry_state.unrecorded;
        let written = modify_record(&self.teleport, id, |data| {
            is_changed = data != planned.expected;
            if is_changed {
                return None;
            }
            let mut record = Record::decode(id, data).0;
            if let Some(known) = planned.known {
                record.update_known(known);
            }
            unrecorded.iter().for_each(|outcome| record.apply(outcome));
            // The lease starts at the write, not at the read before it.
            lease = self.holder.lease();
            record.acquire(lease.claim.clone(), planned.posts.iter().cloned(), &self.holder.timings);
            Some(record.encode())
        })
        .await;
        match written {
            Ok(_) if is_changed => Ok(ClaimResult::RecordChanged),
            Ok(_) => {
                if acquire == Acquire::Expired {
                    self.sender.metrics.claim_taken_over(id);
                }
                debug!(request = %id, "Claimed the request");
                retry_state.unrecorded.clear();
                retry_state.observe_claim(None);
                if lease.may_start_call() {
                    self.log_once.clear(STAGE_WRITE);
                } else if self.log_once.should_log(STAGE_WRITE, "slow") {
                    warn!(request = %id, "Teleport took longer than {} s to write a record; nothing is sent to Slack until it is faster, because another daemon could be at work by then", self.holder.timings.budget.as_secs());
                }
                Ok(ClaimResult::Acquired(lease))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                retry_state.unrecorded.clear();
                Ok(ClaimResult::NoRecord)
            }
            Err(error) => {
                // It may have been written all the same; but nothing was posted.
                let since = lease.claim.acquired_at;
                let operations = planned.posts.iter().map(|(operation, _)| operation.clone());
                retry_state.unrecorded.extend(
                    operations.map(|operation| Outcome::NotAttempted { operation, attempted_at: since }),
                );
                Err(ReconcileError::write(error))
            }
        }
    }

    /// Runs operations concurrently, a few at a time, records each outcome as soon as it is known, and releases the claim.
    ///
    /// If Teleport cannot record, the other outcomes are still awaited and kept for the next reconcile.
    pub(super) async fn execute(
        &self,
        id: &RequestId,
        mut planned: PlannedWrite<'_>,
        record: Record,
        lease: &Lease,
        retry_state: &mut RetryState,
    ) -> Result<(), ReconcileError> {
        let mut waiting: VecDeque<_> = std::mem::take(&mut planned.operations).into();
        let mut claimed = Claimed { id, planned, record, lease };
        let mut running = FuturesUnordered::new();
        let first = waiting.drain(..waiting.len().min(MAX_CONCURRENT_OPERATIONS));
        running.extend(first.map(|operation| self.begin(&claimed, operation, retry_state)));
        let mut result = Ok(());
        while let Some(ended) = ready(&mut running).await {
            for ended in ended {
                self.on_ended(&mut claimed, ended, retry_state);
                running.extend(
                    waiting.pop_front().map(|operation| self.begin(&claimed, operation, retry_state)),
                );
            }
            let done = running.is_empty().then_some(&lease.claim);
            if result.is_ok() {
                result = self.record_outcomes(id, None, done, retry_state).await.map(|_| ());
            }
        }
        result
    }

    /// Begins one operation under the claim.
    fn begin<'a>(
        &'a self,
        claimed: &Claimed<'a>,
        (operation, steps): (Operation, Vec<Step>),
        retry_state: &RetryState,
    ) -> impl Future<Output = Ended> + use<'a> {
        let failures = retry_state.failures_of(&operation);
        let destination = claimed.planned.destination(&operation).map(str::to_owned);
        let (created, id) = (claimed.planned.created, claimed.id.clone());
        let caller = QueuedOperation { created, id, operation };
        self.execute_operation(caller, steps, destination, failures, claimed.lease)
    }

    async fn execute_operation(
        &self,
        caller: QueuedOperation,
        steps: Vec<Step>,
        destination: Option<String>,
        failures: u32,
        lease: &Lease,
    ) -> Ended {
        let mut outcomes = Vec::new();
        let mut not_yet = None;
        for step in steps {
            match self.sender.execute_step(&caller, step, failures, lease).await {
                Ok(more) => outcomes.extend(more),
                Err(error) => {
                    not_yet = Some(error);
                    break;
                }
            }
        }
        destination.inspect(|destination| self.sender.end(destination, &caller));
        // An earlier in-doubt post is resolved if this message, or an earlier one of the same thread, succeeded.
        let is_first = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Replied { .. }));
        let (operation, attempted_at) = (caller.operation.clone(), lease.claim.acquired_at);
        let outcome = match (not_yet.as_ref().map(|not_yet| &not_yet.effect), &caller.operation) {
            (Some(Effect::Unknown { final_at, destination, is_accepted }), _) => {
                let (destination, final_at, is_accepted) = (destination.clone(), *final_at, *is_accepted);
                Outcome::InDoubt { operation, destination, attempted_at, final_at, is_accepted, is_first }
            }
            // Perhaps two daemons replied. No record shows that of replies, so the thread is checked.
            (None, Operation::Reply(channel, _)) if lease.has_expired() => {
                let (destination, final_at, is_accepted) = (channel.to_string(), Timestamp::now(), false);
                Outcome::InDoubt { operation, destination, attempted_at, final_at, is_accepted, is_first }
            }
            (Some(Effect::NotApplied), _) if !is_first => Outcome::NotAttempted { operation, attempted_at },
            (Some(Effect::NotApplied) | None, _) => Outcome::Resolved { operation, attempted_at },
        };
        outcomes.push(outcome);
        Ended { caller, outcomes, not_yet }
    }

    /// Takes up how one operation ended, in our copy of the record and for the next reconcile.
    fn on_ended(&self, claimed: &mut Claimed<'_>, ended: Ended, retry_state: &mut RetryState) {
        let Ended { caller, outcomes, not_yet } = self.drop_unrecordable(claimed, ended, retry_state);
        if let Some(destination) = claimed.planned.destination(&caller.operation) {
            outcomes.iter().for_each(|outcome| self.sender.on_posted(destination, &caller, outcome));
        }
        if claimed.record.deliveries.is_empty() {
            self.measure_notification(&outcomes, claimed.planned.created, claimed.planned.observed_at);
        }
        outcomes.iter().for_each(|outcome| claimed.record.apply(outcome));
        outcomes.iter().for_each(|outcome| self.remember_channel_id(outcome));
        match not_yet {
            Some(not_yet) => retry_state.defer(caller.operation, &not_yet),
            None => retry_state.record_progress(&caller.operation, &outcomes),
        }
        retry_state.unrecorded.extend(outcomes);
    }

    /// Without the messages whose addresses cannot be recorded. If no other was posted, their conflict is the result.
    fn drop_unrecordable(&self, claimed: &Claimed<'_>, mut ended: Ended, retry_state: &RetryState) -> Ended {
        let is_unrecordable = |outcome: &mut Outcome| !can_be_recorded(&claimed.record, outcome);
        let dropped = ended.outcomes.extract_if(.., is_unrecordable).count();
        if dropped == 0 || ended.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Posted { .. })) {
            return ended;
        }
        let operation = &ended.caller.operation;
        let (outcomes, not_yet) = self.sender.on_address_conflict(
            claimed.id,
            operation,
            claimed.planned.destination(operation),
            claimed.lease.claim.acquired_at,
            retry_state.failures_of(operation),
        );
        Ended { caller: ended.caller, outcomes, not_yet: Some(not_yet) }
    }

    /// Records what Teleport said (with the record as it was read before) and what Slack confirmed, and releases a claim.
    /// Returns whether there is a record to write to: none if the request vanished and never had one.
    pub(super) async fn record_outcomes(
        &self,
        id: &RequestId,
        known: Option<(&AccessRequest, &Record)>,
        done: Option<&Claim>,
        retry_state: &mut RetryState,
    ) -> Result<bool, ReconcileError> {
        if known.is_none() && done.is_none() && retry_state.unrecorded.is_empty() {
            return Ok(true);
        }
        let unrecorded = &retry_state.unrecorded;
        let written = modify_record(&self.teleport, id, |data| {
            let mut record = Record::decode(id, data).0;
            // If another daemon displayed a decision since the read, our state is the stale one: the decision was not
            // revoked. Another reconcile follows.
            let is_good = |known: &AccessRequest, read: &Record| {
                read.is_decided() || !is_stale(known, record.known.as_ref())
            };
            if let Some((known, _)) = known.filter(|(known, read)| is_good(known, read)) {
                record.update_known(known);
            }
            unrecorded.iter().for_each(|outcome| record.apply(outcome));
            if let Some(claim) = done {
                record.release(claim);
            }
            Some(record.encode())
        })
        .await;
        let exists = match written {
            Ok(_) => {
                debug!(request = %id, is_released = done.is_some(), "Recorded the request");
                true
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                false
            }
            Err(error) => return Err(ReconcileError::write(error)),
        };
        retry_state.unrecorded.clear();
        self.log_once.clear(STAGE_WRITE);
        Ok(exists)
    }

    /// Measures how long the first message of a request took, if one was posted now and shows a pending request. A message that
    /// is found in the history was posted earlier.
    fn measure_notification(
        &self,
        outcomes: &[Outcome],
        created: Option<Timestamp>,
        observed_at: Option<Instant>,
    ) {
        let is_first_message = |outcome: &Outcome| matches!(outcome, Outcome::Posted { displayed: Some(shown), .. } if shown.phase == Phase::Pending);
        let created = created.filter(|_| outcomes.iter().any(is_first_message));
        if let (Some(created), Some(observed_at)) = (created, observed_at) {
            self.sender.metrics.request_notified(created, self.clock.now(), observed_at.elapsed());
        }
    }

    /// A post by channel name returns the channel's id; remembers it.
    fn remember_channel_id(&self, outcome: &Outcome) {
        if let Outcome::Posted { key, channel, .. } = outcome
            && let Some(name) = key.as_str().strip_prefix('#')
        {
            self.sender.directory.remember_channel_id(name, &ChannelId::new(channel.as_str()));
        }
    }
}

/// Waits for the next, and returns it with all that have ended by then; `None` if none is left.
async fn ready<F: Future>(running: &mut FuturesUnordered<F>) -> Option<Vec<F::Output>> {
    let mut ended = vec![running.next().await?];
    while let Poll::Ready(Some(next)) = poll!(running.next()) {
        ended.push(next);
    }
    Some(ended)
}

/// Whether a message's address can be recorded as that recipient's.
fn can_be_recorded(record: &Record, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Posted { key, channel, ts, .. } => record.accepts(key, channel, ts),
        _ => true,
    }
}
