//! A visit's part in decisions by votes: carries out what was decided and nobody told Teleport, because whoever took
//! the deciding vote died, Teleport was away, or the last that was needed is a review in Teleport.

use std::time::Duration;

use access_core::domain::backoff::{Backoff, seconds};
use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::policy::{Mode, NextEvaluation, next_evaluation};
use access_core::record::Record;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::reconciler::{ReconcileError, Reconciler, TELEPORT_DENIED_BACKOFF, patience};
use super::retry_state::{RetryState, later};
use crate::review::resolver::{ResolveError, ResolveResult};
use crate::review::voters::VoterSnapshot;
use crate::teleport::decisions::DecideError;

/// Something that a verdict depends on cannot be read, or the votes do not suffice after all.
const UNDECIDED_BACKOFF: Backoff = Backoff { first: Duration::from_secs(5), cap: Duration::from_secs(300) };

/// Where Teleport can fail us beside reading and writing records.
const DECIDING: &str = "deciding";

/// What came of it.
pub(super) enum PendingDecision {
    /// Look again then, if at all.
    CheckAt(Option<Timestamp>),
    /// The record is not what it was.
    RecordChanged,
}

/// Votes over which no verdict could be had, or not one that decides, or whose decision Teleport did not take.
#[derive(Debug)]
pub(super) struct DecisionRetry {
    /// How many votes and reviews there were; with others it is tried at once.
    counts: (usize, usize),
    failures: u32,
    retry_at: Instant,
    /// Whether they decided, and Teleport did not take it.
    pub(super) is_owed: bool,
}

impl DecisionRetry {
    /// How long to wait until it is tried again; `None` if no longer.
    fn left(&self) -> Option<Duration> {
        self.retry_at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// What failed may succeed now; how often it failed still counts.
    pub(super) fn revive(&mut self) {
        self.retry_at = Instant::now();
    }
}

impl Reconciler {
    pub(super) async fn apply_pending_decision(
        &self,
        id: &RequestId,
        listed: Option<&AccessRequest>,
        record: &Record,
        memory: &mut RetryState,
    ) -> Result<PendingDecision, ReconcileError> {
        // Votes decide only where the rules do; elsewhere Teleport judges, whatever is in the record.
        let may_resolve = self.review.as_ref().is_some_and(|review| review.mode() == Some(Mode::Resolver));
        let waiting = listed.filter(|request| request.state == RequestState::Pending);
        let (Some(review), Some(waiting)) = (self.review.as_ref().filter(|_| may_resolve), waiting) else {
            memory.decision_retry = None;
            return Ok(PendingDecision::CheckAt(None));
        };
        let now = self.clock.now();
        match next_evaluation(record, waiting, &review.rules, now) {
            NextEvaluation::Never => {
                memory.decision_retry = None;
                return Ok(PendingDecision::CheckAt(None));
            }
            NextEvaluation::At(at) => return Ok(PendingDecision::CheckAt(Some(at))),
            NextEvaluation::Now => {}
        }
        let seen = (record.votes.count(), waiting.reviews.len());
        let last = memory.decision_retry.take().filter(|last| last.counts == seen);
        if let Some(left) = last.as_ref().and_then(DecisionRetry::left) {
            memory.decision_retry = last;
            return Ok(PendingDecision::CheckAt(Some(later(now, left))));
        }
        let failures = last.map_or(1, |last| last.failures.saturating_add(1));
        let mut again = |backoff: Backoff, is_owed| {
            let delay = backoff.delay(failures, fastrand::u64(..));
            memory.decision_retry =
                Some(DecisionRetry { counts: seen, failures, retry_at: Instant::now() + delay, is_owed });
            (delay, PendingDecision::CheckAt(Some(later(self.clock.now(), delay))))
        };
        match review.resolver.resolve_if_pending(id, VoterSnapshot::empty()).await {
            Ok(ResolveResult::Applied(resolution)) => {
                self.log_once.clear(DECIDING);
                info!(request = %id, decision = resolution.decision.action_id(), by = %resolution.delegator, "Carried out what votes in Slack had decided");
                Ok(PendingDecision::RecordChanged)
            }
            // The news of it is on its way to us.
            Ok(ResolveResult::AlreadyResolved(_) | ResolveResult::Deleted) => {
                Ok(PendingDecision::CheckAt(None))
            }
            Ok(ResolveResult::NeedsMoreVotes(_) | ResolveResult::Refused(_)) => {
                again(UNDECIDED_BACKOFF, false);
                Ok(PendingDecision::RecordChanged)
            }
            Err(ResolveError::Unreadable(refusal)) => {
                let (delay, next) = again(UNDECIDED_BACKOFF, false);
                if self.log_once.should_log(id.as_str(), refusal.kind()) {
                    warn!(request = %id, why = refusal.kind(), retry_in_s = seconds(delay), "Votes in Slack may have decided this request, and what that depends on cannot be read; nothing is decided until it can");
                }
                Ok(next)
            }
            Err(ResolveError::Record(error)) => Err(ReconcileError::write(error)),
            // Meanwhile the messages are kept true.
            Err(ResolveError::Decide(error)) => {
                let (backoff, place, is_refusal) = match &error {
                    DecideError::Failed(error) => {
                        let (backoff, is_refusal) = patience(error.kind());
                        (backoff, DECIDING, is_refusal)
                    }
                    DecideError::Refused { .. } | DecideError::NotConfirmed { .. } => {
                        (TELEPORT_DENIED_BACKOFF, id.as_str(), true)
                    }
                };
                let (delay, next) = again(backoff, true);
                let (retry_in_s, cause) = (seconds(delay), crate::exit::chain(&error));
                if !self.log_once.should_log(place, &error.to_string()) {
                    debug!(request = %id, retry_in_s, "{cause}");
                } else if is_refusal {
                    error!(request = %id, retry_in_s, "What votes in Slack decided cannot be carried out: {cause}");
                } else {
                    warn!(request = %id, retry_in_s, "What votes in Slack decided cannot be carried out yet: {cause}");
                }
                Ok(next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_not_decided_waits_by_no_wall_clock_and_is_revived() {
        let seconds = Duration::from_secs;
        let retry_at = Instant::now() + seconds(20);
        let mut undecided = DecisionRetry { counts: (1, 0), failures: 3, retry_at, is_owed: true };
        assert_eq!(undecided.left(), Some(seconds(20)));
        tokio::time::advance(seconds(19)).await;
        assert_eq!(undecided.left(), Some(seconds(1)));
        tokio::time::advance(seconds(1)).await;
        assert_eq!(undecided.left(), None);
        undecided.retry_at += seconds(300);
        let mut memory = RetryState::default();
        memory.decision_retry = Some(undecided);
        assert!(memory.is_lagging() && !memory.is_stalled(), "it is owed, and the messages are true");
        memory.retry_now();
        let undecided = memory.decision_retry.unwrap();
        assert_eq!((undecided.left(), undecided.failures), (None, 3));
    }
}
