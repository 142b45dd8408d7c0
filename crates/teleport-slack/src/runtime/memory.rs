//! What is known of one request between visits: what Teleport lists, and what failed.
//!
//! Lost with the process, and nothing is lost with it: what matters is in the record (`access_core::record`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use access_core::claim::Claim;
use access_core::ids::{ChannelId, MessageTs};
use access_core::plan::Errand;
use access_core::recipients::RecipientKey;
use access_core::record::{Outcome, Record};
use access_core::request::AccessRequest;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::audience::Located;
use super::finishing::Undecided;
use super::lookups::Looking;
use super::outbox::NotYet;

/// Nothing waits longer without being looked at.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What Teleport said of a request.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It told it, like this.
    Listed(Arc<Sighting>),
    /// It told that it is gone; before, if we saw it, it was like this.
    Deleted(Option<Arc<Sighting>>),
    /// A list lacks it, which may mean nothing; before, if we saw it, it was like this.
    Missing(Option<Arc<Sighting>>),
}

/// A request as Teleport told it, and when.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) request: AccessRequest,
    pub(super) at: Instant,
}

impl Sighting {
    /// Told this moment.
    pub(super) fn now(request: AccessRequest) -> Arc<Self> {
        Arc::new(Self { request, at: Instant::now() })
    }
}

/// What is remembered of one request between visits, and lost with the process: the record in Teleport holds
/// everything that matters.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Errands that failed, and when they may be tried again.
    waits: BTreeMap<Errand, Instant>,
    /// Errands that wait for their turn.
    pub(super) queued: BTreeSet<Errand>,
    /// How often they failed in a row.
    pub(super) failures: BTreeMap<Errand, u32>,
    /// What Slack confirmed and Teleport has not yet recorded.
    pub(super) unsaved: Vec<Outcome>,
    /// Votes that may have decided, and do not yet, or whose decision Teleport did not take.
    pub(super) undecided: Option<Undecided>,
    /// Failed visits in a row.
    pub(super) failed_visits: u32,
    /// Look-ups of people that are under way.
    pub(super) looking: Option<Looking>,
    /// Who was found by them so far.
    pub(super) located: Vec<Located>,
    /// Recipients who turned out to be the requester.
    pub(super) requester: BTreeSet<RecipientKey>,
    /// Suggested reviewers whom nobody goes by.
    pub(super) missing: BTreeSet<RecipientKey>,
    /// The messages that were there at the last look and can be kept true.
    pub(super) messages: Vec<(ChannelId, MessageTs)>,
    /// Whether the audience's oddities were told.
    pub(super) told_oddities: bool,
    /// The claim that somebody else held when we last looked, and since when we have seen it unchanged.
    watched: Option<(Claim, Instant)>,
}

impl Memory {
    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_behind() && self.watched.is_none() && self.undecided.is_none()
    }

    /// Whether something could not be done or recorded yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.waits.is_empty()
            || !self.queued.is_empty()
            || !self.unsaved.is_empty()
            || self.failed_visits > 0
            || self.undecided.as_ref().is_some_and(|undecided| undecided.is_owed)
    }

    /// Whether what is due failed at every recipient, or nothing could be done at all. Who has a message that is true
    /// was reached; that others were not is only an operation that failed at some.
    pub(super) fn is_stuck(&self) -> bool {
        let fails = |errand: &Errand| self.waits.contains_key(errand) && self.failures.contains_key(errand);
        let is_true = |(channel, ts): &(ChannelId, MessageTs)| {
            !fails(&Errand::Keep(channel.clone(), ts.clone()))
                && !fails(&Errand::Tell(channel.clone(), ts.clone()))
        };
        let has_failed = self.waits.keys().any(|errand| self.failures.contains_key(errand));
        self.failed_visits > 0 || has_failed && !self.messages.iter().any(is_true)
    }

    /// Errands that wait to be tried again or for their turn.
    pub(super) fn waiting(&self) -> i64 {
        i64::try_from(self.waits.len() + self.queued.len()).unwrap_or(i64::MAX)
    }

    /// The same by a wall clock that shows `now`: the waits themselves do not change when it is set.
    pub(super) fn waits(&self, now: Timestamp) -> BTreeMap<Errand, Timestamp> {
        let moment = Instant::now();
        let at = |at: &Instant| later(now, at.saturating_duration_since(moment));
        self.waits.iter().map(|(errand, until)| (errand.clone(), at(until))).collect()
    }

    /// Whether the errand does not wait, or not any more.
    pub(super) fn is_due(&self, errand: &Errand) -> bool {
        self.waits.get(errand).is_none_or(|until| *until <= Instant::now())
    }

    /// Whether any errand waits for its time.
    pub(super) fn has_waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Lets the errand wait.
    pub(super) fn wait(&mut self, errand: Errand, delay: Duration) {
        self.waits.insert(errand, Instant::now() + delay.min(LONGEST));
    }

    pub(super) fn postpone(&mut self, errand: Errand, not_yet: &NotYet) {
        if not_yet.is_failure {
            *self.failures.entry(errand.clone()).or_default() += 1;
        }
        if not_yet.is_queued {
            // Whoever is called and does not come holds up the line.
            self.waits.remove(&errand);
            self.queued.insert(errand);
        } else {
            self.wait(errand, not_yet.delay);
        }
    }

    /// Nothing is left to be done, so nothing waits, and whose claim there was does not matter any more.
    pub(super) fn settle(&mut self) {
        self.waits.clear();
        self.queued.clear();
        self.failures.clear();
        self.watched = None;
    }

    /// What failed may succeed now: nothing waits, and how often it failed still counts.
    pub(super) fn revive(&mut self) {
        self.waits.clear();
        self.undecided.iter_mut().for_each(Undecided::revive);
    }

    /// The errand was carried out, or is to be gone on with at once; only what was really done clears its failures.
    pub(super) fn went_on(&mut self, errand: &Errand, outcomes: &[Outcome]) {
        self.waits.remove(errand);
        let is_done =
            |outcome: &Outcome| !matches!(outcome, Outcome::Settled { .. } | Outcome::Repeat { .. });
        if outcomes.iter().any(is_done) {
            self.failures.remove(errand);
        }
    }

    /// Forgets what is settled anyway: while Teleport cannot record, every visit adds to it.
    pub(super) fn forget_settled(&mut self, record: &Record) {
        self.unsaved.retain(|outcome| match outcome {
            Outcome::Settled { errand, since } | Outcome::NotMade { errand, since } => {
                record.doubts.iter().any(|doubt| doubt.errand == *errand && doubt.since == *since)
            }
            _ => true,
        });
    }

    /// For how long this claim has been seen without a change.
    pub(super) fn watch(&mut self, claim: Option<&Claim>) -> Duration {
        let now = Instant::now();
        match (&self.watched, claim) {
            (Some((before, since)), Some(claim)) if before == claim => now - *since,
            _ => {
                self.watched = claim.map(|claim| (claim.clone(), now));
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
    use access_core::ids::{ChannelId, MessageTs};

    fn claim(holder: &str, turn: u64) -> Claim {
        Claim { holder: holder.into(), turn, taken: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_watched_from_its_last_change_on() {
        let mut memory = Memory::default();
        let second = Duration::from_secs(1);
        assert_eq!(memory.watch(Some(&claim("a", 1))), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(memory.watch(Some(&claim("a", 1))), second);
        tokio::time::advance(second).await;
        assert_eq!(memory.watch(Some(&claim("a", 1))), 2 * second);
        // Its holder lives, or somebody else took over.
        assert_eq!(memory.watch(Some(&claim("a", 2))), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(memory.watch(Some(&claim("b", 2))), Duration::ZERO);
        assert_eq!(memory.watch(None), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(memory.watch(Some(&claim("b", 2))), Duration::ZERO);
    }

    #[test]
    fn what_cannot_be_recorded_does_not_pile_up() {
        let errand = Errand::Deliver(RecipientKey::new("#team"));
        let since = |second| Timestamp::from_second(second).unwrap();
        let mut record = Record::default();
        let claim = Claim { taken: since(7), ..claim("us", 7) };
        record.take(claim, [(errand.clone(), "C0TEAM".to_owned())]);
        let mut memory = Memory::default();
        for second in 0..1_000 {
            memory.forget_settled(&record);
            memory.unsaved.push(Outcome::Settled { errand: errand.clone(), since: since(second) });
            assert!(memory.unsaved.len() <= 2, "{:?}", memory.unsaved);
        }
        memory.forget_settled(&record);
        memory.unsaved.iter().for_each(|outcome| record.apply(outcome));
        assert_eq!(record.doubts, [], "the one that stands in the record is kept");
    }

    #[test]
    fn a_doubt_that_was_looked_into_does_not_clear_the_failures() {
        let errand = Errand::Deliver(RecipientKey::new("#team"));
        let (since, shown) = (Timestamp::UNIX_EPOCH, None);
        let mut memory = Memory::default();
        for failures in 1..5 {
            memory.postpone(errand.clone(), &NotYet::failed(Duration::ZERO));
            memory.went_on(&errand, &[Outcome::Repeat { errand: errand.clone(), since }]);
            memory.went_on(&errand, &[Outcome::Settled { errand: errand.clone(), since }]);
            assert_eq!((memory.failures.get(&errand), memory.waits.len()), (Some(&failures), 0));
        }
        let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
        memory.went_on(&errand, &[Outcome::Posted { key: RecipientKey::new("#team"), channel, ts, shown }]);
        assert!(memory.failures.is_empty());
    }

    #[test]
    fn nothing_is_kept_of_a_request_that_somebody_else_finished() {
        let mut memory = Memory::default();
        memory.watch(Some(&claim("them", 1)));
        assert!(!memory.is_empty(), "a claim that is watched must not be forgotten");
        memory.settle();
        assert!(memory.is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_in_the_line_comes_when_called() {
        let errand = Errand::Deliver(RecipientKey::new("#a"));
        let mut memory = Memory::default();
        memory.postpone(errand.clone(), &NotYet::turn(Duration::from_secs(9)));
        assert!(!memory.is_due(&errand));
        memory.postpone(errand.clone(), &NotYet::queued(Duration::from_secs(9)));
        assert!(memory.is_due(&errand) && !memory.is_empty());
        assert_eq!(memory.waiting(), 1);
    }

    #[test]
    fn a_request_is_stuck_if_what_is_due_failed_at_every_recipient() {
        let at = |channel: &str| (ChannelId::new(channel), MessageTs::new("1.2"));
        let keep = |channel: &str| Errand::Keep(ChannelId::new(channel), MessageTs::new("1.2"));
        let deliver = |to: &str| Errand::Deliver(RecipientKey::new(to));
        let (failed, turn) = (NotYet::failed(Duration::from_secs(9)), NotYet::turn(Duration::from_secs(9)));
        let mut memory = Memory::default();
        let mut fails = |errand, not_yet: &NotYet, messages: &[&str]| {
            memory.postpone(errand, not_yet);
            memory.messages = messages.iter().map(|channel| at(channel)).collect();
            memory.is_stuck()
        };
        assert!(!fails(deliver("#a"), &turn, &[]), "its turn has not come");
        assert!(fails(deliver("#a"), &failed, &[]), "nobody was told");
        assert!(!fails(deliver("#a"), &failed, &["B"]), "#b was told");
        assert!(fails(keep("B"), &failed, &["B"]), "and what #b shows is not true any more");
        assert!(!fails(keep("C"), &turn, &["B", "C"]), "#c waits for its turn and has not failed");
        memory.settle();
        assert!(!memory.is_stuck());
        memory.failed_visits = 1;
        assert!(memory.is_stuck(), "Teleport's record could not be had");
    }
}
