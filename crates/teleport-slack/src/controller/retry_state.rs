//! What is known of one request between visits: what Teleport lists, and what failed.
//!
//! Lost with the process, and nothing is lost with it: what matters is in the record (`access_core::record`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::{ChannelId, MessageTs};
use access_core::domain::recipients::RecipientKey;
use access_core::domain::request::AccessRequest;
use access_core::record::claim::Claim;
use access_core::record::{Operation, Outcome, Record};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::recipient_lookup::{PendingLookups, ResolvedRecipient};

/// Nothing waits longer without being looked at.
const MAX_DELAY: Duration = Duration::from_secs(86_400);

/// What Teleport said of a request.
#[derive(Clone, Debug)]
pub(super) enum Observed {
    /// It told it, like this.
    Present(Arc<Observation>),
    /// It told that it is gone; before, if we saw it, it was like this.
    Deleted(Option<Arc<Observation>>),
    /// A list lacks it, which may mean nothing; before, if we saw it, it was like this.
    Unlisted(Option<Arc<Observation>>),
}

/// A request as Teleport told it, and when.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) request: AccessRequest,
    pub(super) observed_at: Instant,
}

impl Observation {
    /// Told this moment.
    pub(super) fn now(request: AccessRequest) -> Arc<Self> {
        Arc::new(Self { request, observed_at: Instant::now() })
    }
}

/// A step that did not succeed.
#[derive(Debug)]
pub(super) struct Deferred {
    /// How long to wait before the errand is tried again.
    pub(super) delay: Duration,
    /// Whether it was really tried, so that the next delay is longer.
    pub(super) is_failure: bool,
    /// Whether it waits for its turn in the line alone: it is called, perhaps before the delay is over.
    pub(super) is_queued: bool,
    /// Whether it may have been done all the same.
    pub(super) effect: Effect,
}

/// What is known of a step that did not succeed.
#[derive(Debug)]
pub(super) enum Effect {
    /// It was not done.
    NotApplied,
    /// It may have been done, and will not be after this time.
    Unknown {
        /// The time.
        final_at: Timestamp,
        /// Where it was posted.
        destination: String,
        /// Whether Slack said that it was done, and not how.
        is_accepted: bool,
    },
}

impl Deferred {
    /// It was not its turn yet.
    pub(super) fn not_attempted(delay: Duration) -> Self {
        Self { delay, is_failure: false, is_queued: false, effect: Effect::NotApplied }
    }

    /// Others come first; it keeps its place in the line.
    pub(super) fn queued(delay: Duration) -> Self {
        Self { is_queued: true, ..Self::not_attempted(delay) }
    }

    /// It was tried in vain and nothing was done.
    pub(super) fn failed(delay: Duration) -> Self {
        Self { delay, is_failure: true, is_queued: false, effect: Effect::NotApplied }
    }
}

/// Votes over which no verdict could be had, or not one that decides, or whose decision Teleport did not take.
#[derive(Debug)]
pub(super) struct DecisionRetry {
    /// How many votes and reviews there were; with others it is tried at once.
    pub(super) counts: (usize, usize),
    pub(super) failures: u32,
    pub(super) retry_at: Instant,
    /// Whether they decided, and Teleport did not take it.
    pub(super) is_owed: bool,
}

impl DecisionRetry {
    /// How long to wait until it is tried again; `None` if no longer.
    pub(super) fn left(&self) -> Option<Duration> {
        self.retry_at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// What failed may succeed now; how often it failed still counts.
    pub(super) fn revive(&mut self) {
        self.retry_at = Instant::now();
    }
}

/// What is remembered of one request between visits, and lost with the process: the record in Teleport holds
/// everything that matters.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    /// Errands that failed, and when they may be tried again.
    retry_at: BTreeMap<Operation, Instant>,
    /// Errands that wait for their turn.
    pub(super) queued: BTreeSet<Operation>,
    /// How often they failed in a row.
    pub(super) failures: BTreeMap<Operation, u32>,
    /// What Slack confirmed and Teleport has not yet recorded.
    pub(super) unrecorded: Vec<Outcome>,
    /// Votes that may have decided, and do not yet, or whose decision Teleport did not take.
    pub(super) decision_retry: Option<DecisionRetry>,
    /// Failed visits in a row.
    pub(super) failed_reconciles: u32,
    /// Look-ups of people that are under way.
    pub(super) pending_lookups: Option<PendingLookups>,
    /// Who was found by them so far.
    pub(super) resolved: Vec<ResolvedRecipient>,
    /// Recipients who turned out to be the requester.
    pub(super) requester_keys: BTreeSet<RecipientKey>,
    /// Suggested reviewers whom nobody goes by.
    pub(super) unresolved: BTreeSet<RecipientKey>,
    /// The messages that were there at the last look and can be kept true.
    pub(super) messages: Vec<(ChannelId, MessageTs)>,
    /// Whether the audience's oddities were told.
    pub(super) warned: bool,
    /// The claim that somebody else held when we last looked, and since when we have seen it unchanged.
    observed: Option<(Claim, Instant)>,
}

impl RetryState {
    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_lagging() && self.observed.is_none() && self.decision_retry.is_none()
    }

    /// Whether something could not be done or recorded yet.
    pub(super) fn is_lagging(&self) -> bool {
        !self.retry_at.is_empty()
            || !self.queued.is_empty()
            || !self.unrecorded.is_empty()
            || self.failed_reconciles > 0
            || self.decision_retry.as_ref().is_some_and(|undecided| undecided.is_owed)
    }

    /// Whether what is due failed at every recipient, or nothing could be done at all. Who has a message that is true
    /// was reached; that others were not is only an operation that failed at some.
    pub(super) fn is_stalled(&self) -> bool {
        let fails =
            |errand: &Operation| self.retry_at.contains_key(errand) && self.failures.contains_key(errand);
        let is_true = |(channel, ts): &(ChannelId, MessageTs)| {
            !fails(&Operation::Update(channel.clone(), ts.clone()))
                && !fails(&Operation::Reply(channel.clone(), ts.clone()))
        };
        let has_failed = self.retry_at.keys().any(|errand| self.failures.contains_key(errand));
        self.failed_reconciles > 0 || has_failed && !self.messages.iter().any(is_true)
    }

    /// Errands that wait to be tried again or for their turn.
    pub(super) fn pending_operations(&self) -> i64 {
        i64::try_from(self.retry_at.len() + self.queued.len()).unwrap_or(i64::MAX)
    }

    /// The same by a wall clock that shows `now`: the waits themselves do not change when it is set.
    pub(super) fn retry_times(&self, now: Timestamp) -> BTreeMap<Operation, Timestamp> {
        let moment = Instant::now();
        let at = |at: &Instant| later(now, at.saturating_duration_since(moment));
        self.retry_at.iter().map(|(errand, until)| (errand.clone(), at(until))).collect()
    }

    /// Whether the errand does not wait, or not any more.
    pub(super) fn is_due(&self, errand: &Operation) -> bool {
        self.retry_at.get(errand).is_none_or(|until| *until <= Instant::now())
    }

    /// Whether any errand waits for its time.
    pub(super) fn has_retries(&self) -> bool {
        !self.retry_at.is_empty()
    }

    /// Lets the errand wait.
    pub(super) fn retry_after(&mut self, errand: Operation, delay: Duration) {
        self.retry_at.insert(errand, Instant::now() + delay.min(MAX_DELAY));
    }

    pub(super) fn defer(&mut self, errand: Operation, not_yet: &Deferred) {
        if not_yet.is_failure {
            *self.failures.entry(errand.clone()).or_default() += 1;
        }
        if not_yet.is_queued {
            // Whoever is called and does not come holds up the line.
            self.retry_at.remove(&errand);
            self.queued.insert(errand);
        } else {
            self.retry_after(errand, not_yet.delay);
        }
    }

    /// Nothing is left to be done, so nothing waits, and whose claim there was does not matter any more.
    pub(super) fn reset(&mut self) {
        self.retry_at.clear();
        self.queued.clear();
        self.failures.clear();
        self.observed = None;
    }

    /// What failed may succeed now: nothing waits, and how often it failed still counts.
    pub(super) fn retry_now(&mut self) {
        self.retry_at.clear();
        self.decision_retry.iter_mut().for_each(DecisionRetry::revive);
    }

    /// The errand was carried out, or is to be gone on with at once; only what was really done clears its failures.
    pub(super) fn record_progress(&mut self, errand: &Operation, outcomes: &[Outcome]) {
        self.retry_at.remove(errand);
        let is_done =
            |outcome: &Outcome| !matches!(outcome, Outcome::Resolved { .. } | Outcome::RetryAllowed { .. });
        if outcomes.iter().any(is_done) {
            self.failures.remove(errand);
        }
    }

    /// Forgets what is settled anyway: while Teleport cannot record, every visit adds to it.
    pub(super) fn drop_resolved(&mut self, record: &Record) {
        self.unrecorded.retain(|outcome| match outcome {
            Outcome::Resolved { operation: errand, attempted_at: since }
            | Outcome::NotAttempted { operation: errand, attempted_at: since } => {
                record.in_doubt.iter().any(|doubt| doubt.operation == *errand && doubt.attempted_at == *since)
            }
            _ => true,
        });
    }

    /// For how long this claim has been seen without a change.
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
    use super::*;
    use access_core::domain::ids::{ChannelId, MessageTs};

    fn claim(holder: &str, turn: u64) -> Claim {
        Claim { holder: holder.into(), generation: turn, acquired_at: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_watched_from_its_last_change_on() {
        let mut memory = RetryState::default();
        let second = Duration::from_secs(1);
        assert_eq!(memory.observe_claim(Some(&claim("a", 1))), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(memory.observe_claim(Some(&claim("a", 1))), second);
        tokio::time::advance(second).await;
        assert_eq!(memory.observe_claim(Some(&claim("a", 1))), 2 * second);
        // Its holder lives, or somebody else took over.
        assert_eq!(memory.observe_claim(Some(&claim("a", 2))), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(memory.observe_claim(Some(&claim("b", 2))), Duration::ZERO);
        assert_eq!(memory.observe_claim(None), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(memory.observe_claim(Some(&claim("b", 2))), Duration::ZERO);
    }

    #[test]
    fn what_cannot_be_recorded_does_not_pile_up() {
        let errand = Operation::Post(RecipientKey::new("#team"));
        let since = |second| Timestamp::from_second(second).unwrap();
        let mut record = Record::default();
        let claim = Claim { acquired_at: since(7), ..claim("us", 7) };
        record.acquire(claim, [(errand.clone(), "C0TEAM".to_owned())]);
        let mut memory = RetryState::default();
        for second in 0..1_000 {
            memory.drop_resolved(&record);
            memory
                .unrecorded
                .push(Outcome::Resolved { operation: errand.clone(), attempted_at: since(second) });
            assert!(memory.unrecorded.len() <= 2, "{:?}", memory.unrecorded);
        }
        memory.drop_resolved(&record);
        memory.unrecorded.iter().for_each(|outcome| record.apply(outcome));
        assert_eq!(record.in_doubt, [], "the one that stands in the record is kept");
    }

    #[test]
    fn a_doubt_that_was_looked_into_does_not_clear_the_failures() {
        let errand = Operation::Post(RecipientKey::new("#team"));
        let (since, shown) = (Timestamp::UNIX_EPOCH, None);
        let mut memory = RetryState::default();
        for failures in 1..5 {
            memory.defer(errand.clone(), &Deferred::failed(Duration::ZERO));
            memory.record_progress(
                &errand,
                &[Outcome::RetryAllowed { operation: errand.clone(), attempted_at: since }],
            );
            memory.record_progress(
                &errand,
                &[Outcome::Resolved { operation: errand.clone(), attempted_at: since }],
            );
            assert_eq!((memory.failures.get(&errand), memory.retry_at.len()), (Some(&failures), 0));
        }
        let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
        memory.record_progress(
            &errand,
            &[Outcome::Posted { key: RecipientKey::new("#team"), channel, ts, displayed: shown }],
        );
        assert!(memory.failures.is_empty());
    }

    #[test]
    fn nothing_is_kept_of_a_request_that_somebody_else_finished() {
        let mut memory = RetryState::default();
        memory.observe_claim(Some(&claim("them", 1)));
        assert!(!memory.is_empty(), "a claim that is watched must not be forgotten");
        memory.reset();
        assert!(memory.is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_in_the_line_comes_when_called() {
        let errand = Operation::Post(RecipientKey::new("#a"));
        let mut memory = RetryState::default();
        memory.defer(errand.clone(), &Deferred::not_attempted(Duration::from_secs(9)));
        assert!(!memory.is_due(&errand));
        memory.defer(errand.clone(), &Deferred::queued(Duration::from_secs(9)));
        assert!(memory.is_due(&errand) && !memory.is_empty());
        assert_eq!(memory.pending_operations(), 1);
    }

    #[test]
    fn a_request_is_stuck_if_what_is_due_failed_at_every_recipient() {
        let at = |channel: &str| (ChannelId::new(channel), MessageTs::new("1.2"));
        let keep = |channel: &str| Operation::Update(ChannelId::new(channel), MessageTs::new("1.2"));
        let deliver = |to: &str| Operation::Post(RecipientKey::new(to));
        let (failed, turn) =
            (Deferred::failed(Duration::from_secs(9)), Deferred::not_attempted(Duration::from_secs(9)));
        let mut memory = RetryState::default();
        let mut fails = |errand, not_yet: &Deferred, messages: &[&str]| {
            memory.defer(errand, not_yet);
            memory.messages = messages.iter().map(|channel| at(channel)).collect();
            memory.is_stalled()
        };
        assert!(!fails(deliver("#a"), &turn, &[]), "its turn has not come");
        assert!(fails(deliver("#a"), &failed, &[]), "nobody was told");
        assert!(!fails(deliver("#a"), &failed, &["B"]), "#b was told");
        assert!(fails(keep("B"), &failed, &["B"]), "and what #b shows is not true any more");
        assert!(!fails(keep("C"), &turn, &["B", "C"]), "#c waits for its turn and has not failed");
        memory.reset();
        assert!(!memory.is_stalled());
        memory.failed_reconciles = 1;
        assert!(memory.is_stalled(), "Teleport's record could not be had");
    }

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
