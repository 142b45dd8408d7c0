//! The rules of turns, and the whole protocol tried in every order of events: replicas that are slow, freeze,
//! die and come back, writes that meet another writer, posts whose answer is lost.

use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::*;
use crate::record::Outcome;
use crate::record::Record;

fn claim(holder: &str, taken: i64) -> Claim {
    Claim { holder: holder.into(), generation: 1, acquired_at: Timestamp::from_second(taken).unwrap() }
}

#[test]
fn a_claim_is_respected_until_it_stops_changing() {
    let now = Timestamp::from_second(1_000).unwrap();
    let (seconds, timings) = (Duration::from_secs, ClaimTimings::default());
    let asks = |claim: Option<Claim>, unchanged| may_acquire(claim.as_ref(), "us", unchanged, now, &timings);
    assert_eq!(asks(None, seconds(0)), Acquire::Free);
    assert_eq!(asks(Some(claim("us", 999)), seconds(0)), Acquire::Free);
    assert_eq!(asks(Some(claim("them", 999)), seconds(0)), Acquire::Wait(timings.timeout));
    assert_eq!(asks(Some(claim("them", 999)), seconds(11)), Acquire::Wait(seconds(2)));
    assert_eq!(asks(Some(claim("them", 999)), timings.timeout), Acquire::Expired);
    // Their clock is ahead or a little behind: only what we watched counts.
    assert_eq!(asks(Some(claim("them", 5_000)), seconds(0)), Acquire::Wait(timings.timeout));
    assert_eq!(asks(Some(claim("them", 900)), seconds(0)), Acquire::Wait(timings.timeout));
    assert_eq!(asks(Some(claim("them", 880)), seconds(0)), Acquire::Wait(timings.timeout));
    assert_eq!(asks(Some(claim("them", 879)), seconds(0)), Acquire::Expired);
    // A daemon that died before we started is not waited for.
    assert_eq!(asks(Some(claim("them", 800)), seconds(0)), Acquire::Expired);
}

#[test]
fn timings_that_let_two_daemons_work_at_once_are_refused() {
    let production = ClaimTimings::default();
    assert_eq!(production.check(), Ok(()));
    let second = Duration::from_secs(1);
    let work = production.budget + production.call;
    let assert_refused = |timings: ClaimTimings, words: &str| {
        let refusal = timings.check().unwrap_err();
        assert!(refusal.contains(words), "{refusal}");
    };
    assert_refused(ClaimTimings { timeout: work, ..production }, "outlasts its budget and one call");
    assert_eq!(ClaimTimings { timeout: work + second / 1_000, ..production }.check(), Ok(()));
    assert_refused(ClaimTimings { call: 7 * second, ..production }, "outlasts its budget and one call");
    assert_refused(ClaimTimings { budget: 7 * second, ..production }, "outlasts its budget and one call");
    assert_refused(ClaimTimings { budget: Duration::ZERO, ..production }, "longer than nothing");
    assert_refused(ClaimTimings { call: Duration::ZERO, ..production }, "longer than nothing");
    assert_refused(ClaimTimings { in_doubt_after_claim: work, ..production }, "while it is on its way");
    assert_refused(
        ClaimTimings { in_doubt_after_timeout: Duration::ZERO, ..production },
        "it may still arrive",
    );
    assert_refused(
        ClaimTimings { stale_after: production.timeout, ..production },
        "before its age alone ends it",
    );
}

#[test]
fn a_claim_that_was_taken_over_is_not_released() {
    let mut record = Record::default();
    record.acquire(claim("us", 1), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    record.acquire(claim("them", 20), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    assert_eq!(
        record.in_doubt[0].attempted_at,
        claim("us", 1).acquired_at,
        "the oldest attempt is the one to look for"
    );
    record.release(&claim("us", 1));
    assert_eq!(record.claim, Some(claim("them", 20)));
    // What the first one learns of its own attempt says nothing about a later one.
    record.apply(&Outcome::Resolved {
        operation: post_operation(),
        attempted_at: claim("them", 20).acquired_at,
    });
    assert!(record.is_in_doubt(&post_operation()));
    record
        .apply(&Outcome::Resolved { operation: post_operation(), attempted_at: claim("us", 1).acquired_at });
    record.release(&claim("them", 20));
    assert_eq!(record, Record::default());
}

/// A record in which an attempt was begun at `taken` and ended without an answer.
fn unanswered_attempt(record: &mut Record, taken: i64) -> Timestamp {
    record.acquire(claim("us", taken), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    let since = claim("us", taken).acquired_at;
    record.apply(&in_doubt_outcome(since, since));
    record.release(&claim("us", taken));
    since
}

#[test]
fn an_in_doubt_post_is_repeated_once_and_again_only_after_an_answer() {
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    let (nothing, posted, refused) = (
        LastResponses::default(),
        |second| LastResponses { posted_at: at(second), ..LastResponses::default() },
        |second| LastResponses { refused_at: at(second), ..LastResponses::default() },
    );
    let mut record = Record::default();
    for (attempt, taken) in [(1, 10), (2, 20), (3, 30)] {
        let since = unanswered_attempt(&mut record, taken);
        let [post] = &record.in_doubt[..] else { panic!("{record:?}") };
        assert_eq!(
            (post.attempts, post.first_attempted_at, post.attempted_at),
            (attempt, at(10).unwrap(), since)
        );
        assert!(record.is_in_doubt(&post_operation()));
        let should_retry = |answers| post.should_retry(answers, Timestamp::MAX);
        assert_eq!(should_retry(nothing), attempt < 2);
        assert_eq!(should_retry(posted(taken)), attempt < 2, "that was before");
        assert!(should_retry(posted(taken + 1)) && should_retry(refused(taken + 1)));
        record.apply(&Outcome::RetryAllowed { operation: post_operation(), attempted_at: since });
        assert!(!record.is_in_doubt(&post_operation()) && record.is_to_retry(&post_operation()));
        // What is counted outlives the daemon.
        record = Record::decode(&crate::domain::ids::RequestId::new("r1"), &record.encode()).0;
    }
    // The next attempt is not made after all, twice; then it is, and goes well.
    for taken in [40, 41] {
        record.acquire(claim("us", taken), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
        record.apply(&Outcome::NotAttempted {
            operation: post_operation(),
            attempted_at: claim("us", taken).acquired_at,
        });
        assert_eq!(record.in_doubt[0].attempts, 3);
        assert!(record.is_to_retry(&post_operation()));
    }
    record.acquire(claim("us", 42), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    record
        .apply(&Outcome::Resolved { operation: post_operation(), attempted_at: claim("us", 42).acquired_at });
    assert_eq!(record.in_doubt, []);
}

#[test]
fn a_repeated_post_is_looked_for_where_it_went_and_not_before_it_can_be_there() {
    let mut record = Record::default();
    let since = unanswered_attempt(&mut record, 10);
    record.apply(&Outcome::RetryAllowed { operation: post_operation(), attempted_at: since });
    record.acquire(claim("us", 20), [(post_operation(), "C2".to_owned())], &ClaimTimings::default());
    let [post] = &record.in_doubt[..] else { panic!("{record:?}") };
    assert_eq!((post.destination.as_str(), post.attempted_at), ("C2", claim("us", 20).acquired_at));
    assert_eq!(post.final_at, claim("us", 20).acquired_at + ClaimTimings::default().in_doubt_after_claim);
}

#[test]
fn a_first_attempt_that_was_not_made_is_not_in_doubt() {
    let mut record = Record::default();
    record.acquire(claim("us", 10), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    record.apply(&Outcome::NotAttempted {
        operation: post_operation(),
        attempted_at: claim("us", 10).acquired_at,
    });
    assert_eq!(record.in_doubt, []);
}

#[test]
fn a_refusal_after_an_accepted_post_proves_nothing() {
    let mut record = Record::default();
    unanswered_attempt(&mut record, 10);
    let since = record.in_doubt[0].attempted_at;
    record.apply(&Outcome::RetryAllowed { operation: post_operation(), attempted_at: since });
    record.acquire(claim("us", 20), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    let since = claim("us", 20).acquired_at;
    record.apply(&Outcome::InDoubt {
        operation: post_operation(),
        destination: "C1".into(),
        attempted_at: since,
        final_at: since,
        is_accepted: true,
        is_first: false,
    });
    record = Record::decode(&crate::domain::ids::RequestId::new("r1"), &record.encode()).0;
    let later = Timestamp::from_second(21).unwrap();
    let should_retry = |refused_at, posted_at| {
        record.in_doubt[0].should_retry(LastResponses { refused_at, posted_at }, later)
    };
    assert!(!should_retry(Some(later), None) && should_retry(None, Some(later)));
}

#[test]
fn a_post_that_slack_accepts_without_an_address_is_repeated_four_times_at_most_after_growing_pauses() {
    let mut record = Record::default();
    let mut taken = 10;
    let mut pauses = Vec::new();
    for attempt in 1.. {
        record.acquire(claim("us", taken), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
        let since = claim("us", taken).acquired_at;
        let mut outcome = in_doubt_outcome(since, since);
        if let Outcome::InDoubt { is_accepted, .. } = &mut outcome {
            *is_accepted = true;
        }
        record.apply(&outcome);
        record.release(&claim("us", taken));
        // The daemon restarts, or another one continues.
        record = Record::decode(&crate::domain::ids::RequestId::new("r1"), &record.encode()).0;
        let post = &record.in_doubt[0];
        let should_retry =
            |second| post.should_retry(LastResponses::default(), Timestamp::from_second(second).unwrap());
        assert_eq!(post.attempts, attempt);
        if attempt > 1 {
            let Some(at) = post.next_attempt_at().map(Timestamp::as_second) else {
                assert!(!post.should_retry(LastResponses::default(), Timestamp::MAX));
                break;
            };
            pauses.push(at - taken);
            assert!(!should_retry(at - 1) && should_retry(at));
            taken = at;
        } else {
            assert_eq!((should_retry(taken), post.next_attempt_at()), (true, None));
            taken += 1;
        }
        record.apply(&Outcome::RetryAllowed { operation: post_operation(), attempted_at: since });
    }
    assert_eq!(pauses, [30, 240, 1_920, 14_400]);
}

#[test]
fn attempts_of_a_reply_after_a_posted_one_start_at_zero() {
    let mut record = Record::default();
    unanswered_attempt(&mut record, 10);
    record.apply(&Outcome::RetryAllowed {
        operation: post_operation(),
        attempted_at: claim("us", 10).acquired_at,
    });
    record.acquire(claim("us", 20), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    let since = claim("us", 20).acquired_at;
    record.apply(&Outcome::InDoubt {
        operation: post_operation(),
        destination: "C1".into(),
        attempted_at: since,
        final_at: since,
        is_accepted: false,
        is_first: true,
    });
    assert_eq!((record.in_doubt[0].attempts, record.in_doubt[0].first_attempted_at), (1, since));
}

#[test]
fn an_in_doubt_post_is_read_by_and_from_releases_that_do_not_count() {
    let theirs = r#"[{"k":"C1","p":"C1","s":"2026-11-22T16:00:00Z","r":"2026-11-22T16:00:20Z"}]"#;
    let data = std::collections::BTreeMap::from([("x_doubts".to_owned(), theirs.to_owned())]);
    let record = Record::decode(&crate::domain::ids::RequestId::new("r1"), &data).0;
    let post = &record.in_doubt[0];
    assert_eq!(
        (post.attempts, post.first_attempted_at, post.is_accepted, post.may_retry),
        (1, post.attempted_at, false, false)
    );
    assert_eq!(record.encode()["x_doubts"], theirs, "what is not needed is not written");
    // The longest name that a channel can have.
    let mut record = Record::default();
    record.acquire(claim("us", 1), [(post_operation(), "\u{10ffff}".repeat(80))], &ClaimTimings::default());
    assert_eq!(
        Record::decode(&crate::domain::ids::RequestId::new("r1"), &record.encode()).0.in_doubt,
        record.in_doubt
    );
}

fn post_operation() -> Operation {
    Operation::Post(RecipientKey::new("C1"))
}

fn in_doubt_outcome(attempted_at: Timestamp, final_at: Timestamp) -> Outcome {
    let (is_accepted, is_first) = (false, false);
    Outcome::InDoubt {
        operation: post_operation(),
        destination: "C1".into(),
        attempted_at,
        final_at,
        is_accepted,
        is_first,
    }
}

/// The model's clock ticks in steps of 5 s, and it is kept stricter than the daemon: calls begin in the tick in which
/// the claim was begun, last two ticks at most, and a claim expires after three, which are not less than [`ClaimTimings::timeout`].
const TICK: u8 = 5;
const CALL_TICKS: u8 = 2;

/// The state of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ReplicaState {
    /// Between two reconciliations.
    Idle,
    /// It is about to write its claim, since this time.
    Claiming {
        claim: Claim,
        began: u8,
        base: StoredRecord,
    },
    /// The claim is written.
    Claimed {
        claim: Claim,
        began: u8,
        step: Step,
    },
    /// It checked its time and is about to send; only where freezing there is allowed.
    Sending {
        claim: Claim,
    },
    /// Its post is in flight or there, and no answer has come.
    AwaitingReply {
        claim: Claim,
        sent: u8,
        ts: u8,
    },
    /// It knows what to record.
    Done {
        claim: Claim,
        outcomes: Vec<ModelOutcome>,
    },
    Crashed,
}

/// An outcome, as far as the model needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ModelOutcome {
    Posted(u8),
    Resolved(Timestamp),
    InDoubt(Timestamp, Timestamp),
    Deleted(u8),
}

impl ModelOutcome {
    fn outcome(&self) -> Outcome {
        let channel = ChannelId::new("C1");
        let ts = |n: &u8| MessageTs::new(format!("{n}.0"));
        match self {
            Self::Posted(n) => Outcome::Posted {
                key: RecipientKey::new("C1"),
                channel,
                ts: ts(n),
                displayed: None,
                user: None,
            },
            Self::Resolved(since) => Outcome::Resolved { operation: post_operation(), attempted_at: *since },
            Self::InDoubt(since, final_at) => in_doubt_outcome(*since, *final_at),
            Self::Deleted(n) => Outcome::Deleted { channel, ts: ts(n) },
        }
    }
}

/// The record, as far as the model changes it. Many states share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StoredRecord(Rc<Record>);

impl Hash for StoredRecord {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.claim.hash(state);
        self.0.in_doubt.iter().for_each(|post| (post.attempted_at, post.final_at).hash(state));
        self.0.deliveries.iter().for_each(|delivery| delivery.ts.hash(state));
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Replica {
    /// Changes when it is restarted.
    incarnation: u8,
    claims_taken: u8,
    state: ReplicaState,
    /// It does nothing before this time.
    idle_until: u8,
    /// The claim of another replica that it watches, and since when.
    watched: Option<(Claim, u8)>,
}

impl Replica {
    /// Whether it is as at the start of the model.
    fn is_new(&self) -> bool {
        let at_start = (0, 0, ReplicaState::Idle, 0, None);
        let is = (
            self.incarnation % 10,
            self.claims_taken,
            self.state.clone(),
            self.idle_until,
            self.watched.clone(),
        );
        is == at_start
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ModelState {
    now: u8,
    record: StoredRecord,
    /// Messages in Slack.
    slack: Vec<u8>,
    /// Posts in flight: when they were sent.
    in_flight: Vec<(u8, u8)>,
    next_ts: u8,
    replicas: Vec<Replica>,
    crashes_left: u8,
    lost_replies_left: u8,
}

/// How much may go wrong.
#[derive(Clone, Copy)]
struct FaultBudget {
    replicas: usize,
    crashes: u8,
    lost_replies: u8,
    ticks: u8,
    /// Whether a replica can freeze between its look at the clock and the first byte.
    freezes_while_sending: bool,
}

fn time(now: u8) -> Timestamp {
    Timestamp::from_second(1_000 + i64::from(now) * i64::from(TICK)).unwrap()
}

/// A time that no other claim has.
fn unique_time(now: u8, incarnation: u8, claims: u8) -> Timestamp {
    time(now) + SignedDuration::from_nanos(i64::from(incarnation) * 100 + i64::from(claims))
}

impl ModelState {
    fn new(budget: FaultBudget) -> Self {
        let replica = |n: usize| Replica {
            incarnation: u8::try_from(n).unwrap() * 10,
            claims_taken: 0,
            idle_until: 0,
            state: ReplicaState::Idle,
            watched: None,
        };
        Self {
            now: 0,
            record: StoredRecord::default(),
            slack: Vec::new(),
            in_flight: Vec::new(),
            next_ts: 1,
            replicas: (0..budget.replicas).map(replica).collect(),
            crashes_left: budget.crashes,
            lost_replies_left: budget.lost_replies,
        }
    }

    fn record(&self) -> &Record {
        &self.record.0
    }

    /// All states that may come next.
    fn next(&self, budget: FaultBudget) -> Vec<Self> {
        let mut states = Vec::new();
        if self.now < budget.ticks && self.in_flight.iter().all(|(_, sent)| self.now < sent + CALL_TICKS) {
            states.push(Self { now: self.now + 1, ..self.clone() });
        }
        for n in 0..self.in_flight.len() {
            let mut arrived = self.clone();
            let (ts, _) = arrived.in_flight.remove(n);
            if self.lost_replies_left > 0 {
                states.push(Self { lost_replies_left: self.lost_replies_left - 1, ..arrived.clone() });
            }
            arrived.slack.push(ts);
            states.push(arrived);
        }
        for n in 0..self.replicas.len() {
            // Replicas that did nothing yet are alike: it is enough that the first of them begins.
            if n > 0 && self.replicas[n - 1..=n].iter().all(Replica::is_new) {
                continue;
            }
            states.extend(self.replica_steps(n, budget));
            if self.crashes_left > 0
                && !matches!(self.replicas[n].state, ReplicaState::Crashed | ReplicaState::Idle)
            {
                let mut dead = Self { crashes_left: self.crashes_left - 1, ..self.clone() };
                dead.replicas[n].state = ReplicaState::Crashed;
                states.push(dead);
            }
        }
        states
    }

    /// What replica `n` may do next.
    fn replica_steps(&self, n: usize, budget: FaultBudget) -> Vec<Self> {
        let mut world = self.clone();
        let replica = &mut world.replicas[n];
        let me = replica.incarnation.to_string();
        match replica.state.clone() {
            ReplicaState::Crashed => {
                *replica = Replica {
                    incarnation: replica.incarnation + 1,
                    claims_taken: 0,
                    idle_until: 0,
                    state: ReplicaState::Idle,
                    watched: None,
                }
            }
            ReplicaState::Idle if self.now < replica.idle_until => return Vec::new(),
            ReplicaState::Idle => {
                let (base, record) = (self.record.clone(), self.record());
                if Step::of(record).is_none() {
                    *replica = Replica {
                        state: ReplicaState::Idle,
                        watched: None,
                        idle_until: self.now + 1,
                        ..replica.clone()
                    };
                    return vec![world];
                }
                let since = match (&replica.watched, &record.claim) {
                    (Some((before, since)), Some(now)) if before == now => *since,
                    _ => self.now,
                };
                replica.watched = record.claim.clone().map(|claim| (claim, since));
                let watched = Duration::from_secs(u64::from(self.now - since) * u64::from(TICK));
                if matches!(
                    may_acquire(
                        record.claim.as_ref(),
                        &me,
                        watched,
                        time(self.now),
                        &ClaimTimings::default()
                    ),
                    Acquire::Wait(_)
                ) {
                    (replica.state, replica.idle_until) = (ReplicaState::Idle, self.now + 1);
                    return vec![world];
                }
                replica.claims_taken += 1;
                let taken = unique_time(self.now, replica.incarnation, replica.claims_taken);
                let claim = Claim { holder: me, generation: replica.claims_taken.into(), acquired_at: taken };
                replica.state = ReplicaState::Claiming { claim, began: self.now, base };
            }
            ReplicaState::Claiming { claim, began, base } => {
                let mut record = Record::clone(&base.0);
                let step = Step::of(&record).unwrap();
                // The write lands only on what was read.
                if base != self.record {
                    replica.state = ReplicaState::Idle;
                    return vec![world];
                }
                record.acquire(
                    claim.clone(),
                    (step == Step::Post).then(|| (post_operation(), "C1".to_owned())),
                    &ClaimTimings::default(),
                );
                world.record = StoredRecord(Rc::new(record));
                replica.state = ReplicaState::Claimed { claim, began, step };
            }
            ReplicaState::Claimed { claim, began, step } => {
                return world.execute_step(n, claim, began, step, budget);
            }
            ReplicaState::Sending { claim } => return vec![world.send(n, claim)],
            ReplicaState::AwaitingReply { claim, sent, ts } => {
                let since = claim.acquired_at;
                let mut states = Vec::new();
                if self.slack.contains(&ts) {
                    let mut answered = world.clone();
                    let outcomes = vec![ModelOutcome::Posted(ts), ModelOutcome::Resolved(since)];
                    answered.replicas[n].state = ReplicaState::Done { claim: claim.clone(), outcomes };
                    states.push(answered);
                }
                let is_over = budget.lost_replies > 0 && self.now >= sent + CALL_TICKS;
                if is_over || (self.lost_replies_left > 0 && self.slack.contains(&ts)) {
                    // A broken answer ends it at once, none at all after a while.
                    world.lost_replies_left = world.lost_replies_left.saturating_sub(u8::from(!is_over));
                    let final_at = if is_over {
                        time(self.now) + ClaimTimings::default().in_doubt_after_timeout
                    } else {
                        time(self.now)
                    };
                    let outcomes = vec![ModelOutcome::InDoubt(since, final_at)];
                    world.replicas[n].state = ReplicaState::Done { claim, outcomes };
                    states.push(world);
                }
                return states;
            }
            ReplicaState::Done { claim, outcomes } => {
                let mut record = self.record().clone();
                outcomes.iter().for_each(|known| record.apply(&known.outcome()));
                record.release(&claim);
                world.record = StoredRecord(Rc::new(record));
                world.replicas[n].state = ReplicaState::Idle;
            }
        }
        vec![world]
    }

    /// The step itself. A look and a deletion are one event; a post is several.
    fn execute_step(
        mut self,
        n: usize,
        claim: Claim,
        began: u8,
        step: Step,
        budget: FaultBudget,
    ) -> Vec<Self> {
        let is_in_time = self.now == began;
        let since = claim.acquired_at;
        let outcomes = match step {
            // Too late: nothing was sent, and that is certain.
            Step::Post if !is_in_time => vec![ModelOutcome::Resolved(since)],
            Step::VerifyPost(..) | Step::Delete(_) if !is_in_time => vec![],
            Step::Post if budget.freezes_while_sending => {
                self.replicas[n].state = ReplicaState::Sending { claim };
                return vec![self];
            }
            Step::Post => return vec![self.send(n, claim)],
            Step::VerifyPost(since, final_at) => {
                let found: Vec<_> = self.slack.iter().map(|ts| ModelOutcome::Posted(*ts)).collect();
                let is_final = time(self.now) >= final_at;
                let resolved = (is_final || !found.is_empty()).then_some(ModelOutcome::Resolved(since));
                found.into_iter().chain(resolved).collect()
            }
            Step::Delete(ts) => {
                self.slack.retain(|posted| *posted != ts);
                vec![ModelOutcome::Deleted(ts)]
            }
        };
        // What did not succeed is tried again later.
        self.replicas[n].idle_until =
            self.now + u8::from(!outcomes.iter().any(|known| matches!(known, ModelOutcome::Posted(_))));
        self.replicas[n].state = ReplicaState::Done { claim, outcomes };
        vec![self]
    }

    fn send(mut self, n: usize, claim: Claim) -> Self {
        let ts = self.next_ts;
        self.next_ts += 1;
        self.in_flight.push((ts, self.now));
        self.replicas[n].state = ReplicaState::AwaitingReply { claim, sent: self.now, ts };
        self
    }

    /// The end state when no replica dies any more and each has time enough.
    fn run_to_quiescence(mut self) -> Self {
        (self.crashes_left, self.lost_replies_left) = (0, 0);
        let calm = FaultBudget { lost_replies: 0, freezes_while_sending: false, ..TWO_REPLICAS };
        for _ in 0..16 {
            for _ in 0..8 {
                while let Some((ts, _)) = self.in_flight.pop() {
                    self.slack.push(ts);
                }
                for n in 0..self.replicas.len() {
                    // An answer, where there is one; else the end of waiting.
                    let next = self
                        .replica_steps(n, calm)
                        .into_iter()
                        .next()
                        .or_else(|| self.replica_steps(n, TWO_REPLICAS).into_iter().next());
                    self = next.unwrap_or(self);
                }
                if Step::of(self.record()).is_none()
                    && self.replicas.iter().all(|r| r.state == ReplicaState::Idle)
                {
                    return self;
                }
            }
            self.now += 1;
        }
        self
    }
}

/// What the planner asks for: the same order as `plan`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    VerifyPost(Timestamp, Timestamp),
    Delete(u8),
    Post,
}

impl Step {
    fn of(record: &Record) -> Option<Self> {
        let number = |ts: &MessageTs| ts.as_str().trim_end_matches(".0").parse().unwrap();
        match (record.in_doubt.first(), &record.deliveries[..]) {
            (Some(post), _) => Some(Self::VerifyPost(post.attempted_at, post.final_at)),
            (None, []) => Some(Self::Post),
            (None, [_]) => None,
            (None, [_, second, ..]) => Some(Self::Delete(number(&second.ts))),
        }
    }
}

const TWO_REPLICAS: FaultBudget =
    FaultBudget { replicas: 2, crashes: 1, lost_replies: 1, ticks: 4, freezes_while_sending: false };

/// Tries everything; calls `check` for each state. Returns how many there were.
fn explore(budget: FaultBudget, check: impl Fn(&ModelState)) -> usize {
    let mut seen = HashSet::from([Rc::new(ModelState::new(budget))]);
    let mut open: VecDeque<_> = seen.iter().map(Rc::clone).collect();
    while let Some(world) = open.pop_front() {
        check(&world);
        for next in world.next(budget) {
            let next = Rc::new(next);
            if seen.insert(Rc::clone(&next)) {
                open.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn nothing_is_lost_or_duplicated_in_any_order_of_a_crash() {
    assert_nothing_lost_or_duplicated(FaultBudget { crashes: 1, lost_replies: 0, ..TWO_REPLICAS });
}

#[test]
fn nothing_is_lost_or_duplicated_in_any_order_of_a_lost_reply() {
    assert_nothing_lost_or_duplicated(FaultBudget { crashes: 0, lost_replies: 1, ticks: 3, ..TWO_REPLICAS });
}

#[test]
fn nothing_is_lost_or_duplicated_in_any_order_of_two_crashes_and_a_lost_reply() {
    let alone = FaultBudget { replicas: 1, crashes: 2, lost_replies: 1, ..TWO_REPLICAS };
    assert_nothing_lost_or_duplicated(alone);
}

fn assert_nothing_lost_or_duplicated(budget: FaultBudget) {
    let states = explore(budget, |world| {
        assert!(world.slack.len() + world.in_flight.len() <= 1, "notified twice: {world:#?}");
        // What is true of the last states is true of those that lead there.
        if world.now < budget.ticks {
            return;
        }
        let end = world.clone().run_to_quiescence();
        assert_eq!(end.slack.len(), 1, "lost or duplicated: {world:#?}\nends as {end:#?}");
        let record = end.record();
        assert_eq!(
            (record.deliveries.len(), &record.in_doubt[..]),
            (1, &[][..]),
            "{world:#?}\nends as {end:#?}"
        );
    });
    assert!(states > 100, "{states} states with {} replicas are no search", budget.replicas);
}

#[test]
fn a_post_that_others_resolved_and_that_ends_in_doubt_is_verified_again() {
    let mut record = Record::default();
    record.acquire(claim("frozen", 1), [(post_operation(), "C1".to_owned())], &ClaimTimings::default());
    record.apply(&Outcome::Resolved {
        operation: post_operation(),
        attempted_at: claim("frozen", 1).acquired_at,
    });
    let final_at = Timestamp::from_second(60).unwrap();
    let outcome = in_doubt_outcome(claim("frozen", 1).acquired_at, final_at);
    for _ in 0..2 {
        record.apply(&outcome);
        let post = InDoubtPost::new(post_operation(), "C1".into(), claim("frozen", 1).acquired_at, final_at);
        assert_eq!(record.in_doubt, [post]);
    }
}

#[test]
fn the_message_of_a_replica_that_froze_while_sending_is_deleted() {
    // The one moment that no claim covers: after its last look at the clock and before the first byte leaves.
    for losses in [0, 1] {
        let budget =
            FaultBudget { freezes_while_sending: true, crashes: 0, lost_replies: losses, ..TWO_REPLICAS };
        let end = after_a_freeze(budget);
        assert_eq!((end.slack.len(), end.record().deliveries.len()), (1, 1), "{end:#?}");
        assert_eq!(end.next_ts, 3, "two were posted, or this test shows nothing");
    }
}

/// The end state in which the first replica froze while sending, and then got its answer or lost it.
fn after_a_freeze(budget: FaultBudget) -> ModelState {
    let mut world = ModelState::new(budget);
    while !matches!(world.replicas[0].state, ReplicaState::Sending { .. }) {
        world = world.replica_steps(0, budget).remove(0);
    }
    // The other one watches, takes over, looks, posts and records.
    while world.record().deliveries.is_empty() {
        for _ in 0..8 {
            while let Some((ts, _)) = world.in_flight.pop() {
                world.slack.push(ts);
            }
            world = world.replica_steps(1, TWO_REPLICAS).into_iter().next().unwrap_or(world);
        }
        world.now += 1;
        assert!(world.now < 20, "{world:#?}");
    }
    assert_eq!(world.slack.len(), 1);
    // The first one thaws.
    world = world.replica_steps(0, budget).remove(0);
    while let Some((ts, _)) = world.in_flight.pop() {
        world.slack.push(ts);
    }
    let mut ends = world.replica_steps(0, budget);
    assert_eq!(ends.len(), 1 + usize::from(budget.lost_replies));
    ends.remove(ends.len() - 1).run_to_quiescence()
}
