//! Carries out a plan's errands under a claim, and records what came of each as soon as it is there.
//!
//! The order that keeps every promise: the claim and the posts that are about to be made are written, then the calls
//! are made, then what came of them is written and the claim given up. Whatever dies in between leaves a doubt on
//! record, never a secret.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::lifecycle::is_stale;
use access_core::domain::request::AccessRequest;
use access_core::plan::Step;
use access_core::record::claim::{Acquire, CLAIM_BUDGET, Claim, may_acquire};
use access_core::record::{Operation, Outcome, Record};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::channel_queue::QueuedOperation;
use super::lease::{Holder, Lease};
use super::reconcile_error::{ReconcileError, STAGE_WRITE};
use super::retry_state::{Deferred, Effect, RetryState, later};
use super::sender::SlackSender;
use crate::observe::log_once::LogOnce;
use crate::observe::metrics::Metrics;
use crate::slack::directory::Directory;
use crate::supervise::clock::Clock;
use crate::teleport;
use crate::teleport::error::ErrorKind;
use crate::teleport::plugin_data::{Fields, modify_record};

/// What is about to be done, and on what knowledge.
pub(super) struct PlannedWrite<'a> {
    /// The record as it was read.
    pub(super) expected: &'a Fields,
    /// What Teleport says, if that is news.
    pub(super) known: Option<&'a AccessRequest>,
    /// What is about to be done.
    pub(super) operations: Vec<(Operation, Vec<Step>)>,
    /// The posts among it, and where.
    pub(super) posts: Vec<(Operation, String)>,
    /// When the request was made.
    pub(super) created: Option<Timestamp>,
}

/// Whether the claim was taken.
pub(super) enum ClaimResult {
    /// It was.
    Acquired(Lease),
    /// Somebody else works on the request; look again then.
    HeldByOther(Timestamp),
    /// The record is not what it was.
    RecordChanged,
    /// The request vanished and has no record.
    NoRecord,
}

/// Errands of one request that are under way at once, of the outbox's 16 calls: a request with a hundred recipients must
/// not make all others wait until the last of them is told.
const MAX_CONCURRENT_OPERATIONS: usize = 4;

/// Takes claims, applies operations under them and records the outcomes.
pub(super) struct Executor {
    pub(super) teleport: teleport::Client,
    pub(super) holder: Holder,
    pub(super) sender: SlackSender,
    pub(super) directory: Directory,
    pub(super) log_once: Arc<LogOnce>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
}

impl Executor {
    /// Takes the claim, unless somebody else holds it or the record changed since it was read.
    pub(super) async fn acquire(
        &self,
        id: &RequestId,
        intent: &PlannedWrite<'_>,
        record: &Record,
        memory: &mut RetryState,
    ) -> Result<ClaimResult, ReconcileError> {
        let now = self.clock.now();
        let watched = memory.observe_claim(record.claim.as_ref());
        let acquire = may_acquire(record.claim.as_ref(), self.holder.name(), watched, now);
        if let Acquire::Wait(left) = acquire {
            return Ok(ClaimResult::HeldByOther(later(now, left)));
        }
        let mut lease = self.holder.lease();
        let mut is_changed = false;
        let unsaved = &memory.unrecorded;
        let written = modify_record(&self.teleport, id, |data| {
            is_changed = data != intent.expected;
            if is_changed {
                return None;
            }
            let mut record = Record::decode(id, data).0;
            if let Some(known) = intent.known {
                record.update_known(known);
            }
            unsaved.iter().for_each(|outcome| record.apply(outcome));
            // Its time runs from the write, not from the read before it.
            lease = self.holder.lease();
            record.acquire(lease.claim.clone(), intent.posts.iter().cloned());
            Some(record.encode())
        })
        .await;
        match written {
            Ok(_) if is_changed => Ok(ClaimResult::RecordChanged),
            Ok(_) => {
                if acquire == Acquire::Expired {
                    self.metrics.claim_taken_over();
                    info!(request = %id, "Whoever worked on this request (another teleport-slack, or an earlier run of this one) has not been heard of; taking over");
                }
                memory.unrecorded.clear();
                memory.observe_claim(None);
                if lease.may_start_call() {
                    self.log_once.clear(STAGE_WRITE);
                } else if self.log_once.should_log(STAGE_WRITE, "slow") {
                    warn!(request = %id, "Teleport took longer than {} s to write a record; nothing is sent to Slack until it is faster, because another daemon could be at work by then", CLAIM_BUDGET.as_secs());
                }
                Ok(ClaimResult::Acquired(lease))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                memory.unrecorded.clear();
                Ok(ClaimResult::NoRecord)
            }
            Err(error) => {
                // It may have been written all the same; but nothing was posted.
                let since = lease.claim.acquired_at;
                let errands = intent.posts.iter().map(|(errand, _)| errand.clone());
                memory.unrecorded.extend(
                    errands.map(|errand| Outcome::NotAttempted { operation: errand, attempted_at: since }),
                );
                Err(ReconcileError::write(error))
            }
        }
    }

    /// Runs errands side by side, a few at a time, records each outcome as soon as it is there, and gives the claim up.
    ///
    /// If Teleport cannot record, the rest is still awaited and kept for the next visit.
    pub(super) async fn execute(
        &self,
        id: &RequestId,
        intent: PlannedWrite<'_>,
        mut record: Record,
        lease: &Lease,
        memory: &mut RetryState,
    ) -> Result<(), ReconcileError> {
        let mut waiting: VecDeque<_> = intent.operations.into();
        let mut running = FuturesUnordered::new();
        let posts = &intent.posts;
        let begin = |(errand, steps), memory: &RetryState| {
            let failures = memory.failures.get(&errand).copied().unwrap_or(0);
            let place = posts.iter().find(|(post, _)| *post == errand).map(|(_, place)| place.clone());
            let caller = QueuedOperation { created: intent.created, id: id.clone(), operation: errand };
            self.execute_operation(caller, steps, place, failures, lease)
        };
        let first = waiting.drain(..waiting.len().min(MAX_CONCURRENT_OPERATIONS));
        running.extend(first.map(|errand| begin(errand, memory)));
        let mut result = Ok(());
        while let Some(first) = running.next().await {
            let mut ended = vec![first];
            while let Poll::Ready(Some(next)) = poll!(running.next()) {
                ended.push(next);
            }
            for (caller, mut outcomes, mut not_yet) in ended {
                let errand = caller.operation.clone();
                let place = posts.iter().find(|(post, _)| *post == errand).map(|(_, place)| place.as_str());
                let misfits = outcomes.extract_if(.., |outcome| !can_be_recorded(&record, outcome)).count();
                if misfits > 0 && !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Posted { .. })) {
                    let failures = memory.failures.get(&errand).copied().unwrap_or(0);
                    let misplaced = self.sender.on_address_conflict(
                        id,
                        &errand,
                        place,
                        lease.claim.acquired_at,
                        failures,
                    );
                    (outcomes, not_yet) = (misplaced.0, Some(misplaced.1));
                }
                if let Some(place) = place {
                    outcomes.iter().for_each(|outcome| self.sender.on_posted(place, &caller, outcome));
                }
                outcomes.iter().for_each(|outcome| record.apply(outcome));
                outcomes.iter().for_each(|outcome| self.remember_channel_id(outcome));
                match not_yet {
                    Some(not_yet) => memory.defer(errand, &not_yet),
                    None => memory.record_progress(&errand, &outcomes),
                }
                memory.unrecorded.extend(outcomes);
                running.extend(waiting.pop_front().map(|errand| begin(errand, memory)));
            }
            let done = running.is_empty().then_some(&lease.claim);
            if result.is_ok() {
                result = self.record_outcomes(id, None, done, memory).await.map(|_| ());
            }
        }
        result
    }

    async fn execute_operation(
        &self,
        caller: QueuedOperation,
        steps: Vec<Step>,
        place: Option<String>,
        failures: u32,
        lease: &Lease,
    ) -> (QueuedOperation, Vec<Outcome>, Option<Deferred>) {
        let mut outcomes = Vec::new();
        let mut not_yet = None;
        let since = lease.claim.acquired_at;
        for step in steps {
            match self.sender.execute_step(&caller, step, failures, lease).await {
                Ok(more) => outcomes.extend(more),
                Err(error) => {
                    not_yet = Some(error);
                    break;
                }
            }
        }
        let tried = caller.operation.clone();
        place.inspect(|place| self.sender.end(place, &caller));
        // What was in doubt before is not, if this message went well or an earlier one of the same thread.
        let is_first = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Replied { .. }));
        outcomes.push(match (not_yet.as_ref().map(|not_yet| &not_yet.effect), &caller.operation) {
            (Some(Effect::Unknown { final_at: ripe, destination: place, is_accepted }), _) => {
                let (place, ripe, is_accepted) = (place.clone(), *ripe, *is_accepted);
                Outcome::InDoubt {
                    operation: tried,
                    destination: place,
                    attempted_at: since,
                    final_at: ripe,
                    is_accepted,
                    is_first,
                }
            }
            // Told by two, perhaps. No record shows that of replies, so the thread is looked at.
            (None, Operation::Reply(channel, _)) if lease.has_expired() => {
                let (place, ripe, is_accepted) = (channel.to_string(), Timestamp::now(), false);
                Outcome::InDoubt {
                    operation: tried,
                    destination: place,
                    attempted_at: since,
                    final_at: ripe,
                    is_accepted,
                    is_first,
                }
            }
            (Some(Effect::NotApplied), _) if !is_first => {
                Outcome::NotAttempted { operation: tried, attempted_at: since }
            }
            (Some(Effect::NotApplied) | None, _) => {
                Outcome::Resolved { operation: tried, attempted_at: since }
            }
        });
        (caller, outcomes, not_yet)
    }

    /// Writes down what Teleport said (with the record as it was read before) and what Slack confirmed, and gives a
    /// claim up. Returns whether there is a
    /// record to write to: none if the request vanished and never had one.
    pub(super) async fn record_outcomes(
        &self,
        id: &RequestId,
        known: Option<(&AccessRequest, &Record)>,
        done: Option<&Claim>,
        memory: &mut RetryState,
    ) -> Result<bool, ReconcileError> {
        if known.is_none() && done.is_none() && memory.unrecorded.is_empty() {
            return Ok(true);
        }
        let unsaved = &memory.unrecorded;
        let written = modify_record(&self.teleport, id, |data| {
            let mut record = Record::decode(id, data).0;
            // If somebody was told of a decision since we looked, it is ours that is old: not the decision was taken
            // back. Another visit follows.
            let is_good = |known: &AccessRequest, read: &Record| {
                read.is_decided() || !is_stale(known, record.known.as_ref())
            };
            if let Some((known, _)) = known.filter(|(known, read)| is_good(known, read)) {
                record.update_known(known);
            }
            unsaved.iter().for_each(|outcome| record.apply(outcome));
            if let Some(claim) = done {
                record.release(claim);
            }
            Some(record.encode())
        })
        .await;
        let exists = match written {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                false
            }
            Err(error) => return Err(ReconcileError::write(error)),
        };
        memory.unrecorded.clear();
        self.log_once.clear(STAGE_WRITE);
        Ok(exists)
    }

    /// A post by channel name returns the channel's id; remembers it.
    fn remember_channel_id(&self, outcome: &Outcome) {
        if let Outcome::Posted { key, channel, .. } = outcome
            && let Some(name) = key.as_str().strip_prefix('#')
        {
            self.directory.remember_channel_id(name, &ChannelId::new(channel.as_str()));
        }
    }
}

/// Whether a message's address can be written down as that recipient's.
fn can_be_recorded(record: &Record, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Posted { key, channel, ts, .. } => record.accepts(key, channel, ts),
        _ => true,
    }
}
