//! Applies decisions by votes that Teleport does not have yet, during a reconcile. The instance that took the deciding vote
//! may have died, Teleport may have been unavailable, or the last vote needed was a review in Teleport.

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::policy::{Mode, NextEvaluation, next_evaluation};
use access_core::record::Record;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::reconcile_error::{ReconcileError, retry_policy};
use super::retry_state::{DecisionRetry, RetryState, later};
use super::settings::{ReviewHandles, ReviewTerms};
use super::timings::ControllerTimings;
use crate::observe::log_once::SharedLogOnce;
use crate::review::resolver::{ResolveError, ResolveResult, Resolver};
use crate::review::voters::VoterSnapshot;
use crate::supervise::clock::Clock;
use access_core::domain::error_chain::{chain, seconds};
use teleport_client::decisions::DecideError;

/// The stage at which Teleport can fail beside reading and writing records.
const LOG_SCOPE: &str = "deciding";

/// The result of a pending decision.
pub(super) enum PendingDecision {
    /// Check again at this time, if at all.
    CheckAt(Option<Timestamp>),
    /// The record changed.
    RecordChanged,
}

/// When to evaluate the votes.
enum NextAttempt {
    Now(Attempt),
    /// At this time, if at all.
    At(Option<Timestamp>),
}

/// One evaluation of the votes.
struct Attempt {
    /// How many votes and reviews there are.
    counts: (usize, usize),
    /// How often this one will have failed in a row, if it fails.
    failures: u32,
}

impl Attempt {
    /// It failed, and comes again after the wait that this returns. `is_owed`: the votes decided, and Teleport did not take
    /// the decision.
    fn retry_after(self, backoff: Backoff, is_owed: bool, retry_state: &mut RetryState) -> Duration {
        let Self { counts, failures } = self;
        let delay = backoff.delay(failures, fastrand::u64(..));
        let retry_at = Instant::now() + delay;
        retry_state.decision_retry = Some(DecisionRetry { counts, failures, retry_at, is_owed });
        delay
    }
}

/// What reviews in Slack need to be displayed and applied.
#[derive(Clone, Debug)]
pub(super) struct ReviewContext {
    pub(super) terms: ReviewTerms,
    pub(super) resolver: Arc<Resolver>,
    pub(super) timings: ControllerTimings,
}

impl ReviewContext {
    pub(super) fn new(review: ReviewHandles, timings: ControllerTimings) -> Self {
        let ReviewHandles { rules, setting, can_submit, resolver, users: _ } = review;
        Self { terms: ReviewTerms { rules, setting, can_submit }, resolver, timings }
    }

    /// Applies what the votes decided, if Teleport does not have it yet.
    pub(super) async fn apply_pending_decision(
        &self,
        id: &RequestId,
        listed: Option<&AccessRequest>,
        record: &Record,
        (clock, log_once): (&Clock, &SharedLogOnce),
        retry_state: &mut RetryState,
    ) -> Result<PendingDecision, ReconcileError> {
        let attempt = match self.next_attempt(listed, record, clock.now(), retry_state) {
            NextAttempt::Now(attempt) => attempt,
            NextAttempt::At(at) => return Ok(PendingDecision::CheckAt(at)),
        };
        let delay = match self.resolver.resolve_if_pending(id, VoterSnapshot::empty()).await {
            Ok(ResolveResult::Applied(resolution)) => {
                log_once.clear(LOG_SCOPE);
                info!(request = %id, decision = resolution.decision.action_id(), teleport_user = %resolution.delegator, "Applied the decision of the votes in Slack");
                return Ok(PendingDecision::RecordChanged);
            }
            // The watcher will report it.
            Ok(ResolveResult::AlreadyResolved(_) | ResolveResult::Deleted) => {
                return Ok(PendingDecision::CheckAt(None));
            }
            Ok(ResolveResult::NeedsMoreVotes(_) | ResolveResult::Refused(_)) => {
                attempt.retry_after(self.timings.undecided, false, retry_state);
                return Ok(PendingDecision::RecordChanged);
            }
            Err(ResolveError::Record(error)) => return Err(ReconcileError::write(error)),
            Err(ResolveError::Unreadable(refusal)) => {
                let delay = attempt.retry_after(self.timings.undecided, false, retry_state);
                if log_once.should_log(id.as_str(), refusal.kind()) {
                    warn!(request = %id, reason = refusal.kind(), retry_in_s = seconds(delay), "Votes in Slack may have decided this request, and what that depends on cannot be read; nothing is decided until it can");
                }
                delay
            }
            // Meanwhile the messages stay up to date.
            Err(ResolveError::Decide(error)) => {
                let (backoff, scope, is_refusal) = self.decide_error_policy(id, &error);
                let delay = attempt.retry_after(backoff, true, retry_state);
                let is_news = log_once.should_log(scope, &error.to_string());
                log_decide_error(id, &error, delay, is_refusal, is_news);
                delay
            }
        };
        Ok(PendingDecision::CheckAt(Some(later(clock.now(), delay))))
    }

    /// Whether the votes are to be evaluated now.
    fn next_attempt(
        &self,
        listed: Option<&AccessRequest>,
        record: &Record,
        now: Timestamp,
        retry_state: &mut RetryState,
    ) -> NextAttempt {
        let last = retry_state.decision_retry.take();
        // Votes decide only where the rules do; elsewhere Teleport decides, whatever is in the record.
        let may_resolve = self.terms.mode() == Some(Mode::Resolver);
        let pending = listed.filter(|request| may_resolve && request.state == RequestState::Pending);
        let Some(waiting) = pending else { return NextAttempt::At(None) };
        match next_evaluation(record, waiting, &self.terms.rules, now) {
            NextEvaluation::Never => return NextAttempt::At(None),
            NextEvaluation::At(at) => {
                retry_state.decision_retry = last;
                return NextAttempt::At(Some(at));
            }
            NextEvaluation::Now => {}
        }
        let counts = (record.votes.count(), waiting.reviews.len());
        let last = last.filter(|last| last.counts == counts);
        if let Some(left) = last.as_ref().and_then(DecisionRetry::left) {
            retry_state.decision_retry = last;
            return NextAttempt::At(Some(later(now, left)));
        }
        let failures = last.map_or(1, |last| last.failures.saturating_add(1));
        NextAttempt::Now(Attempt { counts, failures })
    }

    /// How long to wait after the error, in which scope it is logged, and whether Teleport refused.
    fn decide_error_policy<'a>(&self, id: &'a RequestId, error: &DecideError) -> (Backoff, &'a str, bool) {
        match error {
            DecideError::Failed(error) => {
                let (backoff, is_refusal) = retry_policy(error.kind(), &self.timings);
                (backoff, LOG_SCOPE, is_refusal)
            }
            DecideError::Refused { .. } | DecideError::NotConfirmed { .. } => {
                (self.timings.teleport_denied, id.as_str(), true)
            }
        }
    }
}

fn log_decide_error(id: &RequestId, error: &DecideError, delay: Duration, is_refusal: bool, is_news: bool) {
    let (retry_in_s, cause) = (seconds(delay), chain(error));
    if !is_news {
        debug!(request = %id, retry_in_s, "{cause}");
    } else if is_refusal {
        error!(request = %id, retry_in_s, "Cannot apply the decision of the votes in Slack: {cause}");
    } else {
        warn!(request = %id, retry_in_s, "Cannot apply the decision of the votes in Slack yet: {cause}");
    }
}
