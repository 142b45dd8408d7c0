//! What is remembered of one request between reconciles: what Teleport lists, and what failed.
//!
//! It ends with the process without harm: everything that matters is in the record (`access_core::record`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::recipients::{RecipientKey, UnnotifiedReviewers};
use access_core::domain::request::AccessRequest;
use access_core::plan::{Skipped, Unresolved};
use access_core::record::claim::Claim;
use access_core::record::{Delivery, Operation, Outcome, Record};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::lookup_order::LookupWaiter;
use super::recipient_lookup::{PendingLookups, ResolvedRecipient};
use super::timings::MAX_WAIT;

/// What the watcher observed of a request.
#[derive(Clone, Debug)]
pub(super) enum Observed {
    /// Teleport reported it.
    Present(Arc<Observation>),
    /// Teleport reported its deletion, with its last state, if seen.
    Deleted(Option<Arc<Observation>>),
    /// A list lacks it, which may prove nothing; with its last state, if seen.
    Unlisted(Option<Arc<Observation>>),
}

/// A request as Teleport reported it, and when.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) request: AccessRequest,
    pub(super) observed_at: Instant,
}

impl Observation {
    /// Reported at this moment.
    pub(super) fn now(request: AccessRequest) -> Arc<Self> {
        Arc::new(Self { request, observed_at: Instant::now() })
    }
}

/// A step that did not succeed.
#[derive(Debug)]
pub(super) struct Deferred {
    /// How long to wait before the operation is tried again.
    pub(super) delay: Duration,
    /// Whether it was attempted, so that the next delay is longer.
    pub(super) is_failure: bool,
    /// Whether it waits for its turn in the queue alone: it is woken, perhaps before the delay is over.
    pub(super) is_queued: bool,
    /// Whether it may have been applied all the same.
    pub(super) effect: Effect,
}

/// What is known of a step that did not succeed.
#[derive(Debug)]
pub(super) enum Effect {
    /// It was not applied.
    NotApplied,
    /// It may have been applied, and cannot be applied after this time.
    Unknown {
        /// From when on the post is there or never will be.
        final_at: Timestamp,
        /// Where it was sent.
        destination: String,
        /// Whether Slack confirmed it without its address.
        is_accepted: bool,
    },
}

impl Deferred {
    /// Its turn has not come yet.
    pub(super) fn not_attempted(delay: Duration) -> Self {
        Self { delay, is_failure: false, is_queued: false, effect: Effect::NotApplied }
    }

    /// Others come first; it keeps its position in the queue.
    pub(super) fn queued(delay: Duration) -> Self {
        Self { is_queued: true, ..Self::not_attempted(delay) }
    }

    /// It was attempted without success, and nothing was applied.
    pub(super) fn failed(delay: Duration) -> Self {
        Self { delay, is_failure: true, is_queued: false, effect: Effect::NotApplied }
    }
}

/// The retry of a pending decision: there was no verdict, it did not decide, or Teleport did not take the decision.
#[derive(Debug)]
pub(super) struct DecisionRetry {
    /// How many votes and reviews there were; other counts are tried at once.
    pub(super) counts: (usize, usize),
    pub(super) failures: u32,
    pub(super) retry_at: Instant,
    /// Whether the votes decided, and Teleport did not take the decision.
    pub(super) is_owed: bool,
}

impl DecisionRetry {
    /// How long to wait until the next try; `None` if it is due.
    pub(super) fn left(&self) -> Option<Duration> {
        self.retry_at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// What failed may succeed now; how often it failed still counts.
    pub(super) fn revive(&mut self) {
        self.retry_at = Instant::now();
    }
}

/// What is remembered of one request between reconciles. It ends with the process: the record in Teleport holds everything
/// that matters.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    /// Operations that failed, and when they may be tried again.
    retry_at: BTreeMap<Operation, Instant>,
    /// Operations that wait for their turn.
    pub(super) queued: BTreeSet<Operation>,
    /// How often they failed in a row.
    pub(super) failures: BTreeMap<Operation, u32>,
    /// What Slack confirmed and Teleport has not yet recorded.
    pub(super) unrecorded: Vec<Outcome>,
    /// A pending decision that is to be tried again.
    pub(super) decision_retry: Option<DecisionRetry>,
    /// Failed reconciles in a row.
    pub(super) failed_reconciles: u32,
    /// Look-ups of recipients in progress.
    pub(super) pending_lookups: Vec<PendingLookups>,
    /// Their results so far.
    pub(super) resolved: Vec<ResolvedRecipient>,
    /// The same look-ups, for the order among requests that wait for them.
    pub(super) lookup_waiters: Vec<LookupWaiter>,
    /// Recipients who turned out to be the requester.
    pub(super) requester_keys: BTreeSet<RecipientKey>,
    /// Recipients that the last look-up did not find, and why.
    pub(super) unresolved: BTreeMap<RecipientKey, Unresolved>,
    /// Suggested reviewers without an active user in Slack. A requester named them, so no operator is to act: they count
    /// neither as pending nor as stalled.
    pub(super) missing_reviewers: BTreeSet<RecipientKey>,
    /// Those that the log named last.
    pub(super) logged_unnotified: UnnotifiedReviewers,
    /// The messages that existed at the last reconcile.
    pub(super) deliveries: Arc<[Delivery]>,
    /// Whether warnings about the recipients were logged.
    pub(super) warned: bool,
    /// What plans left out, by the kind of reason, as far as the log says it.
    logged_skips: BTreeSet<(Option<Operation>, &'static str)>,
    /// The claim that another daemon held at the last reconcile, and since when it is unchanged.
    observed: Option<(Claim, Instant)>,
}

impl RetryState {
    /// The look-ups of recipients that have ended.
    pub(super) fn ended_lookups(&mut self) -> Vec<LookupWaiter> {
        let Self { lookup_waiters, pending_lookups, resolved, .. } = self;
        let is_known = |key: &RecipientKey| resolved.iter().any(|(recipient, _)| recipient.key() == *key);
        let has_ended =
            |waiter: &mut LookupWaiter| pending_lookups.is_empty() || is_known(waiter.recipient());
        lookup_waiters.extract_if(.., has_ended).collect()
    }

    /// Whether it can be forgotten without loss.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_lagging()
            && self.retry_at.is_empty()
            && self.observed.is_none()
            && self.decision_retry.is_none()
    }

    /// Whether something could not be applied or recorded yet.
    pub(super) fn is_lagging(&self) -> bool {
        self.waiting().next().is_some()
            || !self.unrecorded.is_empty()
            || self.failed_reconciles > 0
            || self.decision_retry.as_ref().is_some_and(|undecided| undecided.is_owed)
    }

    /// Whether every recipient's operation failed, or nothing could be done at all. A recipient with an up-to-date message
    /// was reached; then failures at other recipients do not count.
    pub(super) fn is_stalled(&self) -> bool {
        let fails = |operation: &Operation| {
            self.failures.contains_key(operation) && self.waiting().any(|waiting| waiting == operation)
        };
        let is_current = |Delivery { channel, ts, is_unreachable, .. }: &Delivery| {
            !is_unreachable
                && !fails(&Operation::Update(channel.clone(), ts.clone()))
                && !fails(&Operation::Reply(channel.clone(), ts.clone()))
        };
        let has_failed = self.failures.keys().any(fails);
        self.failed_reconciles > 0 || has_failed && !self.deliveries.iter().any(is_current)
    }

    /// How many operations wait to be tried again or for their turn.
    pub(super) fn pending_operations(&self) -> i64 {
        i64::try_from(self.waiting().count()).unwrap_or(i64::MAX)
    }

    /// The operations that wait to be tried again or for their turn.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Operation> {
        let is_missing = |operation: &Operation| matches!(operation, Operation::Post(key) if self.missing_reviewers.contains(key));
        self.retry_at.keys().chain(&self.queued).filter(move |operation| !is_missing(operation))
    }

    /// The retry times by a wall clock that shows `now`. Setting that clock does not change the waits.
    pub(super) fn retry_times(&self, now: Timestamp) -> BTreeMap<Operation, Timestamp> {
        let moment = Instant::now();
        let at = |at: &Instant| later(now, at.saturating_duration_since(moment));
        self.retry_at.iter().map(|(operation, until)| (operation.clone(), at(until))).collect()
    }

    /// When the operation is tried again; `None` if it waits for its turn.
    pub(super) fn retry_of(&self, operation: &Operation) -> Option<Instant> {
        self.retry_at.get(operation).copied()
    }

    /// The claim that another daemon held at the last reconcile.
    pub(super) fn observed_claim(&self) -> Option<&Claim> {
        self.observed.as_ref().map(|(claim, _)| claim)
    }

    /// Whether the operation need not wait.
    pub(super) fn is_due(&self, operation: &Operation) -> bool {
        self.retry_at.get(operation).is_none_or(|until| *until <= Instant::now())
    }

    /// Whether any operation waits to be tried again.
    pub(super) fn has_retries(&self) -> bool {
        !self.retry_at.is_empty()
    }

    /// Lets the operation wait.
    pub(super) fn retry_after(&mut self, operation: Operation, delay: Duration) {
        self.retry_at.insert(operation, Instant::now() + delay.min(MAX_WAIT));
    }

    pub(super) fn defer(&mut self, operation: Operation, not_yet: &Deferred) {
        if not_yet.is_failure {
            *self.failures.entry(operation.clone()).or_default() += 1;
        }
        if not_yet.is_queued {
            // An operation that is woken and does not start blocks the queue.
            self.retry_at.remove(&operation);
            self.queued.insert(operation);
        } else {
            self.retry_after(operation, not_yet.delay);
        }
    }

    /// Nothing is left to do, so nothing waits, and the observed claim does not matter any more.
    pub(super) fn reset(&mut self) {
        self.retry_at.clear();
        self.queued.clear();
        self.failures.clear();
        self.observed = None;
    }

    /// What failed may succeed now: nothing waits for a time, but the failure counts stay. Returns by how much this changes
    /// the number of pending operations: those that wait for their turn still do.
    pub(super) fn retry_now(&mut self) -> i64 {
        let before = self.pending_operations();
        self.retry_at.clear();
        self.decision_retry.iter_mut().for_each(DecisionRetry::revive);
        self.pending_operations() - before
    }

    /// How often the operation failed in a row.
    pub(super) fn failures_of(&self, operation: &Operation) -> u32 {
        self.failures.get(operation).copied().unwrap_or(0)
    }

    /// The operation was applied, or continues at once; only an applied operation clears its failures.
    pub(super) fn record_progress(&mut self, operation: &Operation, outcomes: &[Outcome]) {
        self.retry_at.remove(operation);
        let is_done =
            |outcome: &Outcome| !matches!(outcome, Outcome::Resolved { .. } | Outcome::RetryAllowed { .. });
        if outcomes.iter().any(is_done) {
            self.failures.remove(operation);
        }
    }

    /// Takes what the last plan left out, and returns what is new of it. Times do not make a reason new: they move at each
    /// reconcile.
    pub(super) fn new_skips<'a>(&mut self, skipped: &'a [Skipped]) -> Vec<&'a Skipped> {
        let name = |skipped: &Skipped| (skipped.operation.clone(), skipped.reason.kind());
        let before = std::mem::replace(&mut self.logged_skips, skipped.iter().map(name).collect());
        skipped.iter().filter(|skipped| !before.contains(&name(skipped))).collect()
    }

    /// Forgets outcomes of in-doubt posts that the record does not have: while Teleport cannot record, every reconcile adds
    /// some.
    pub(super) fn drop_resolved(&mut self, record: &Record) {
        self.unrecorded.retain(|outcome| match outcome {
            Outcome::Resolved { operation, attempted_at: since }
            | Outcome::NotAttempted { operation, attempted_at: since } => record
                .in_doubt
                .iter()
                .any(|in_doubt| in_doubt.operation == *operation && in_doubt.attempted_at == *since),
            _ => true,
        });
    }

    /// How long this claim has been observed without a change.
    pub(super) fn observe_claim(&mut self, claim: Option<&Claim>) -> Duration {
        let now = Instant::now();
        match (&self.observed, claim) {
            (Some((before, since)), Some(claim)) if before == claim => now - *since,
            _ => {
                self.observed = claim.map(|claim| (claim.clone(), now));
                Duration::ZERO
            }
        }
    }
}

/// `now + delay`, or the end of time.
pub(super) fn later(now: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use access_core::record::claim::ClaimTimings;

    use super::*;
    use access_core::domain::ids::{ChannelId, MessageTs};
    use access_core::plan::SkipReason;

    fn claim(holder: &str, generation: u64) -> Claim {
        Claim { holder: holder.into(), generation, acquired_at: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_watched_from_its_last_change_on() {
        let mut retry_state = RetryState::default();
        let second = Duration::from_secs(1);
        assert_eq!(retry_state.observe_claim(Some(&claim("a", 1))), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(retry_state.observe_claim(Some(&claim("a", 1))), second);
        tokio::time::advance(second).await;
        assert_eq!(retry_state.observe_claim(Some(&claim("a", 1))), 2 * second);
        // Its holder is alive, or another daemon took over.
        assert_eq!(retry_state.observe_claim(Some(&claim("a", 2))), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(retry_state.observe_claim(Some(&claim("b", 2))), Duration::ZERO);
        assert_eq!(retry_state.observe_claim(None), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(retry_state.observe_claim(Some(&claim("b", 2))), Duration::ZERO);
    }

    #[test]
    fn outcomes_that_cannot_be_recorded_do_not_pile_up() {
        let operation = Operation::Post(RecipientKey::new("#team"));
        let since = |second| Timestamp::from_second(second).unwrap();
        let mut record = Record::default();
        let claim = Claim { acquired_at: since(7), ..claim("us", 7) };
        record.acquire(claim, [(operation.clone(), "C0TEAM".to_owned())], &ClaimTimings::default());
        let mut retry_state = RetryState::default();
        for second in 0..1_000 {
            retry_state.drop_resolved(&record);
            retry_state
                .unrecorded
                .push(Outcome::Resolved { operation: operation.clone(), attempted_at: since(second) });
            assert!(retry_state.unrecorded.len() <= 2, "{:?}", retry_state.unrecorded);
        }
        retry_state.drop_resolved(&record);
        retry_state.unrecorded.iter().for_each(|outcome| record.apply(outcome));
        assert_eq!(record.in_doubt, [], "the one in the record is kept");
    }

    #[test]
    fn a_resolved_in_doubt_post_does_not_clear_the_failures() {
        let operation = Operation::Post(RecipientKey::new("#team"));
        let (since, shown) = (Timestamp::UNIX_EPOCH, None);
        let mut retry_state = RetryState::default();
        for failures in 1..5 {
            retry_state.defer(operation.clone(), &Deferred::failed(Duration::ZERO));
            retry_state.record_progress(
                &operation,
                &[Outcome::RetryAllowed { operation: operation.clone(), attempted_at: since }],
            );
            retry_state.record_progress(
                &operation,
                &[Outcome::Resolved { operation: operation.clone(), attempted_at: since }],
            );
            assert_eq!(
                (retry_state.failures.get(&operation), retry_state.retry_at.len()),
                (Some(&failures), 0)
            );
        }
        let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
        retry_state.record_progress(
            &operation,
            &[Outcome::Posted { key: RecipientKey::new("#team"), channel, ts, displayed: shown, user: None }],
        );
        assert!(retry_state.failures.is_empty());
    }

    #[test]
    fn what_is_left_out_is_news_once_for_each_reason() {
        let skipped =
            |reason| Skipped { operation: Some(Operation::Post(RecipientKey::new("#team"))), reason };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut retry_state = RetryState::default();
        let first = [skipped(SkipReason::RetryAt(at(1)))];
        assert_eq!(retry_state.new_skips(&first), [&first[0]]);
        let later = [skipped(SkipReason::RetryAt(at(9)))];
        assert!(retry_state.new_skips(&later).is_empty(), "only the time differs");
        retry_state.reset();
        assert!(retry_state.new_skips(&later).is_empty(), "it is in the log");
        let other = [skipped(SkipReason::RecordFull), later[0].clone()];
        assert_eq!(retry_state.new_skips(&other), [&other[0]]);
        assert!(retry_state.new_skips(&[]).is_empty());
        assert_eq!(retry_state.new_skips(&first), [&first[0]], "it was done in between");
        assert!(retry_state.is_empty(), "lines in the log are no reason to keep a request");
    }

    #[test]
    fn nothing_is_kept_of_a_request_that_another_daemon_finished() {
        let mut retry_state = RetryState::default();
        retry_state.observe_claim(Some(&claim("them", 1)));
        assert!(!retry_state.is_empty(), "a claim that is watched must not be forgotten");
        retry_state.reset();
        assert!(retry_state.is_empty());
    }

    #[test]
    fn a_queued_operation_runs_when_it_is_woken() {
        let operation = Operation::Post(RecipientKey::new("#a"));
        let mut retry_state = RetryState::default();
        retry_state.defer(operation.clone(), &Deferred::not_attempted(Duration::from_secs(9)));
        assert!(!retry_state.is_due(&operation));
        retry_state.defer(operation.clone(), &Deferred::queued(Duration::from_secs(9)));
        assert!(retry_state.is_due(&operation) && !retry_state.is_empty());
        assert_eq!(retry_state.pending_operations(), 1);
        assert!(!retry_state.is_stalled(), "nothing has failed");
    }

    #[test]
    fn a_failed_operation_that_waits_for_its_turn_still_stalls_its_request() {
        let operation = Operation::Post(RecipientKey::new("#a"));
        let mut retry_state = RetryState::default();
        retry_state.defer(operation.clone(), &Deferred::failed(Duration::from_secs(9)));
        retry_state.defer(operation, &Deferred::queued(Duration::from_secs(9)));
        assert!(retry_state.is_stalled());
    }

    #[test]
    fn a_request_is_stalled_if_the_operations_of_every_recipient_failed() {
        let at = |channel: &str| Delivery {
            key: None,
            channel: ChannelId::new(channel),
            ts: MessageTs::new("1.2"),
            displayed: None,
            review_replies: 0,
            vote_replies: 0,
            is_unreachable: false,
            user: None,
        };
        let keep = |channel: &str| Operation::Update(ChannelId::new(channel), MessageTs::new("1.2"));
        let deliver = |to: &str| Operation::Post(RecipientKey::new(to));
        let (failed, waiting) =
            (Deferred::failed(Duration::from_secs(9)), Deferred::not_attempted(Duration::from_secs(9)));
        let mut retry_state = RetryState::default();
        let mut fails = |operation, not_yet: &Deferred, messages: &[&str]| {
            retry_state.defer(operation, not_yet);
            retry_state.deliveries = messages.iter().map(|channel| at(channel)).collect();
            retry_state.is_stalled()
        };
        assert!(!fails(deliver("#a"), &waiting, &[]), "its turn has not come");
        assert!(fails(deliver("#a"), &failed, &[]), "no recipient was notified");
        assert!(!fails(deliver("#a"), &failed, &["B"]), "#b was notified");
        assert!(fails(keep("B"), &failed, &["B"]), "and the message in #b is out of date");
        assert!(!fails(keep("C"), &waiting, &["B", "C"]), "#c waits for its turn and has not failed");
        retry_state.reset();
        assert!(!retry_state.is_stalled());
        retry_state.failed_reconciles = 1;
        assert!(retry_state.is_stalled(), "Teleport's record could not be read");
    }

    #[test]
    fn an_operation_that_waits_for_its_turn_stays_pending_when_others_are_retried() {
        let post = |to: &str| Operation::Post(RecipientKey::new(to));
        let mut retry_state = RetryState::default();
        retry_state.defer(post("#a"), &Deferred::failed(Duration::from_secs(9)));
        retry_state.defer(post("#b"), &Deferred::queued(Duration::from_secs(9)));
        assert_eq!(retry_state.pending_operations(), 2);
        assert_eq!(retry_state.retry_now(), -1);
        assert_eq!(retry_state.pending_operations(), 1);
    }

    #[test]
    fn a_suggested_reviewer_who_is_missing_is_neither_pending_nor_stalled() {
        let post = |to: &str| Operation::Post(RecipientKey::new(to));
        let failed = Deferred::failed(Duration::from_secs(600));
        let mut retry_state = RetryState::default();
        retry_state.missing_reviewers.insert(RecipientKey::new("nobody@example.com"));
        retry_state.defer(post("nobody@example.com"), &failed);
        assert_eq!(retry_state.pending_operations(), 0);
        assert!(!retry_state.is_lagging() && !retry_state.is_stalled());
        assert!(!retry_state.is_empty(), "the time of the next look-up is kept");
        // The same of a recipient of the configuration is for an operator.
        retry_state.defer(post("bob@example.com"), &failed);
        assert_eq!(retry_state.pending_operations(), 1);
        assert!(retry_state.is_lagging() && retry_state.is_stalled());
        retry_state.missing_reviewers.clear();
        assert_eq!(retry_state.pending_operations(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pending_decision_waits_by_the_monotonic_clock_and_can_be_revived() {
        let seconds = Duration::from_secs;
        let retry_at = Instant::now() + seconds(20);
        let mut undecided = DecisionRetry { counts: (1, 0), failures: 3, retry_at, is_owed: true };
        assert_eq!(undecided.left(), Some(seconds(20)));
        tokio::time::advance(seconds(19)).await;
        assert_eq!(undecided.left(), Some(seconds(1)));
        tokio::time::advance(seconds(1)).await;
        assert_eq!(undecided.left(), None);
        undecided.retry_at += seconds(300);
        let mut retry_state = RetryState { decision_retry: Some(undecided), ..RetryState::default() };
        assert!(
            retry_state.is_lagging() && !retry_state.is_stalled(),
            "it is owed, and the messages are up to date"
        );
        retry_state.retry_now();
        let undecided = retry_state.decision_retry.unwrap();
        assert_eq!((undecided.left(), undecided.failures), (None, 3));
    }
}
