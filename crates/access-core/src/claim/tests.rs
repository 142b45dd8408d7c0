//! The rules of turns, and the whole protocol tried in every order of events: replicas that are slow, freeze,
//! die and come back, writes that meet another writer, posts whose answer is lost.

use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::*;
use crate::record::Outcome;

fn claim(holder: &str, taken: i64) -> Claim {
    Claim { holder: holder.into(), turn: 1, taken: Timestamp::from_second(taken).unwrap() }
}

#[test]
fn a_claim_is_respected_until_it_shows_no_life() {
    let now = Timestamp::from_second(1_000).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(turn(None, "us", seconds(0), now), Turn::Free);
    assert_eq!(turn(Some(&claim("us", 999)), "us", seconds(0), now), Turn::Free);
    assert_eq!(turn(Some(&claim("them", 999)), "us", seconds(0), now), Turn::Wait(LAPSE));
    assert_eq!(turn(Some(&claim("them", 999)), "us", seconds(11), now), Turn::Wait(seconds(2)));
    assert_eq!(turn(Some(&claim("them", 999)), "us", LAPSE, now), Turn::Lapsed);
    // Their clock is ahead or a little behind: only what we watched counts.
    assert_eq!(turn(Some(&claim("them", 5_000)), "us", seconds(0), now), Turn::Wait(LAPSE));
    assert_eq!(turn(Some(&claim("them", 900)), "us", seconds(0), now), Turn::Wait(LAPSE));
    assert_eq!(turn(Some(&claim("them", 880)), "us", seconds(0), now), Turn::Wait(LAPSE));
    assert_eq!(turn(Some(&claim("them", 879)), "us", seconds(0), now), Turn::Lapsed);
    // A daemon that died before we started is not waited for.
    assert_eq!(turn(Some(&claim("them", 800)), "us", seconds(0), now), Turn::Lapsed);
}

#[test]
fn whatever_was_begun_has_ended_before_anybody_else_begins() {
    assert!(WORK + CALL < LAPSE);
}

#[test]
fn a_claim_that_was_taken_over_is_not_given_up() {
    let mut record = Record::default();
    record.take(claim("us", 1), [(deliver(), "C1".to_owned())]);
    record.take(claim("them", 20), [(deliver(), "C1".to_owned())]);
    assert_eq!(record.doubts[0].since, claim("us", 1).taken, "the oldest attempt is the one to look for");
    record.give_up(&claim("us", 1));
    assert_eq!(record.claim, Some(claim("them", 20)));
    // What the first one learns of its own attempt says nothing about a later one.
    record.apply(&Outcome::Settled { errand: deliver(), since: claim("them", 20).taken });
    assert!(record.is_in_doubt(&deliver()));
    record.apply(&Outcome::Settled { errand: deliver(), since: claim("us", 1).taken });
    record.give_up(&claim("them", 20));
    assert_eq!(record, Record::default());
}

/// A record in which an attempt was begun at `taken` and ended without an answer.
fn attempted(record: &mut Record, taken: i64) -> Timestamp {
    record.take(claim("us", taken), [(deliver(), "C1".to_owned())]);
    let since = claim("us", taken).taken;
    record.apply(&unclear(since, since));
    record.give_up(&claim("us", taken));
    since
}

#[test]
fn a_post_in_doubt_is_repeated_once_and_then_when_slack_was_seen_to_answer() {
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    let (nothing, posted, refused) = (
        Answers::default(),
        |second| Answers { posted: at(second), ..Answers::default() },
        |second| Answers { refused: at(second), ..Answers::default() },
    );
    let mut record = Record::default();
    for (attempt, taken) in [(1, 10), (2, 20), (3, 30)] {
        let since = attempted(&mut record, taken);
        let [doubt] = &record.doubts[..] else { panic!("{record:?}") };
        assert_eq!((doubt.attempts, doubt.first, doubt.since), (attempt, at(10).unwrap(), since));
        assert!(record.is_in_doubt(&deliver()));
        assert_eq!(doubt.is_worth_repeating(nothing), attempt < 2);
        assert_eq!(doubt.is_worth_repeating(posted(taken)), attempt < 2, "that was before");
        assert!(doubt.is_worth_repeating(posted(taken + 1)) && doubt.is_worth_repeating(refused(taken + 1)));
        record.apply(&Outcome::Repeat { errand: deliver(), since });
        assert!(!record.is_in_doubt(&deliver()) && record.is_to_repeat(&deliver()));
        // What is counted outlives the daemon.
        record = Record::decode(&crate::ids::RequestId::new("r1"), &record.encode()).0;
    }
    // The next attempt is not made after all, twice; then it is, and goes well.
    for taken in [40, 41] {
        record.take(claim("us", taken), [(deliver(), "C1".to_owned())]);
        record.apply(&Outcome::NotMade { errand: deliver(), since: claim("us", taken).taken });
        assert_eq!(record.doubts[0].attempts, 3);
        assert!(record.is_to_repeat(&deliver()));
    }
    record.take(claim("us", 42), [(deliver(), "C1".to_owned())]);
    record.apply(&Outcome::Settled { errand: deliver(), since: claim("us", 42).taken });
    assert_eq!(record.doubts, []);
}

#[test]
fn a_repeated_post_is_looked_for_where_it_went_and_not_before_it_can_be_there() {
    let mut record = Record::default();
    let since = attempted(&mut record, 10);
    record.apply(&Outcome::Repeat { errand: deliver(), since });
    record.take(claim("us", 20), [(deliver(), "C2".to_owned())]);
    let [doubt] = &record.doubts[..] else { panic!("{record:?}") };
    assert_eq!((doubt.place.as_str(), doubt.since), ("C2", claim("us", 20).taken));
    assert_eq!(doubt.ripe, claim("us", 20).taken + ARRIVAL);
}

#[test]
fn a_first_attempt_that_was_not_made_leaves_no_doubt() {
    let mut record = Record::default();
    record.take(claim("us", 10), [(deliver(), "C1".to_owned())]);
    record.apply(&Outcome::NotMade { errand: deliver(), since: claim("us", 10).taken });
    assert_eq!(record.doubts, []);
}

#[test]
fn where_slack_says_that_it_took_a_post_a_refusal_proves_nothing() {
    let mut record = Record::default();
    attempted(&mut record, 10);
    let since = record.doubts[0].since;
    record.apply(&Outcome::Repeat { errand: deliver(), since });
    record.take(claim("us", 20), [(deliver(), "C1".to_owned())]);
    let since = claim("us", 20).taken;
    record.apply(&Outcome::Unclear {
        errand: deliver(),
        place: "C1".into(),
        since,
        ripe: since,
        is_accepted: true,
        is_first: false,
    });
    record = Record::decode(&crate::ids::RequestId::new("r1"), &record.encode()).0;
    let later = Timestamp::from_second(21).ok();
    assert!(!record.doubts[0].is_worth_repeating(Answers { refused: later, posted: None }));
    assert!(record.doubts[0].is_worth_repeating(Answers { refused: None, posted: later }));
}

#[test]
fn a_reply_that_follows_one_that_went_well_is_counted_anew() {
    let mut record = Record::default();
    attempted(&mut record, 10);
    record.apply(&Outcome::Repeat { errand: deliver(), since: claim("us", 10).taken });
    record.take(claim("us", 20), [(deliver(), "C1".to_owned())]);
    let since = claim("us", 20).taken;
    record.apply(&Outcome::Unclear {
        errand: deliver(),
        place: "C1".into(),
        since,
        ripe: since,
        is_accepted: false,
        is_first: true,
    });
    assert_eq!((record.doubts[0].attempts, record.doubts[0].first), (1, since));
}

#[test]
fn a_doubt_is_read_by_and_from_releases_that_do_not_count() {
    let theirs = r#"[{"k":"C1","p":"C1","s":"2026-11-22T16:00:00Z","r":"2026-11-22T16:00:20Z"}]"#;
    let data = std::collections::BTreeMap::from([("x_doubts".to_owned(), theirs.to_owned())]);
    let record = Record::decode(&crate::ids::RequestId::new("r1"), &data).0;
    let doubt = &record.doubts[0];
    assert_eq!(
        (doubt.attempts, doubt.first, doubt.is_accepted, doubt.may_repeat),
        (1, doubt.since, false, false)
    );
    assert_eq!(record.encode()["x_doubts"], theirs, "what is not needed is not written");
    // The longest name that a channel can have.
    let mut record = Record::default();
    record.take(claim("us", 1), [(deliver(), "\u{10ffff}".repeat(80))]);
    assert_eq!(Record::decode(&crate::ids::RequestId::new("r1"), &record.encode()).0.doubts, record.doubts);
}

fn deliver() -> Errand {
    Errand::Deliver(RecipientKey::new("C1"))
}

fn unclear(since: Timestamp, ripe: Timestamp) -> Outcome {
    let (is_accepted, is_first) = (false, false);
    Outcome::Unclear { errand: deliver(), place: "C1".into(), since, ripe, is_accepted, is_first }
}

/// The model's clock ticks in steps of 5 s, and it is kept stricter than the daemon: calls begin in the tick in which
/// the claim was begun, last two ticks at most, and a claim lapses after three, which are not less than [`LAPSE`].
const TICK: u8 = 5;
const CALL_TICKS: u8 = 2;

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    /// Between two visits.
    Idle,
    /// It is about to write its claim, since this time.
    Claiming {
        claim: Claim,
        began: u8,
        base: Box<Written>,
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
    /// Its post is on the way or there, and no answer has come.
    Waiting {
        claim: Claim,
        sent: u8,
        ts: u8,
    },
    /// It knows what to record.
    Done {
        claim: Claim,
        outcomes: Vec<Known>,
    },
    Dead,
}

/// An outcome, as far as the model needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Known {
    Posted(u8),
    Settled(Timestamp),
    Unclear(Timestamp, Timestamp),
    Withdrawn(u8),
}

impl Known {
    fn outcome(&self) -> Outcome {
        let channel = ChannelId::new("C1");
        let ts = |n: &u8| MessageTs::new(format!("{n}.0"));
        match self {
            Self::Posted(n) => {
                Outcome::Posted { key: RecipientKey::new("C1"), channel, ts: ts(n), shown: None }
            }
            Self::Settled(since) => Outcome::Settled { errand: deliver(), since: *since },
            Self::Unclear(since, ripe) => unclear(*since, *ripe),
            Self::Withdrawn(n) => Outcome::Withdrawn { channel, ts: ts(n) },
        }
    }
}

/// The record, as far as the model changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Written(Record);

impl Hash for Written {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.claim.hash(state);
        self.0.doubts.iter().for_each(|doubt| (doubt.since, doubt.ripe).hash(state));
        self.0.deliveries.iter().for_each(|delivery| delivery.ts.hash(state));
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Replica {
    /// Changes when it is started anew.
    life: u8,
    turns: u8,
    at: At,
    /// It does nothing before this time.
    rests: u8,
    /// The claim of somebody else it watches, and since when.
    watched: Option<(Claim, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    record: Written,
    /// Messages in Slack.
    slack: Vec<u8>,
    /// Posts on the way: when they were sent.
    on_the_way: Vec<(u8, u8)>,
    next_ts: u8,
    replicas: Vec<Replica>,
    deaths_left: u8,
    losses_left: u8,
}

/// How hard the world is.
#[derive(Clone, Copy)]
struct Hardship {
    replicas: usize,
    deaths: u8,
    losses: u8,
    ticks: u8,
    /// Whether a replica can freeze between its look at the clock and the first byte.
    freezes_while_sending: bool,
}

fn time(now: u8) -> Timestamp {
    Timestamp::from_second(1_000 + i64::from(now) * i64::from(TICK)).unwrap()
}

/// A time that no other claim has.
fn stamp(now: u8, life: u8, turns: u8) -> Timestamp {
    time(now) + SignedDuration::from_nanos(i64::from(life) * 100 + i64::from(turns))
}

impl World {
    fn new(hardship: Hardship) -> Self {
        let replica = |n: usize| Replica {
            life: u8::try_from(n).unwrap() * 10,
            turns: 0,
            rests: 0,
            at: At::Idle,
            watched: None,
        };
        Self {
            now: 0,
            record: Written::default(),
            slack: Vec::new(),
            on_the_way: Vec::new(),
            next_ts: 1,
            replicas: (0..hardship.replicas).map(replica).collect(),
            deaths_left: hardship.deaths,
            losses_left: hardship.losses,
        }
    }

    fn record(&self) -> Record {
        self.record.0.clone()
    }

    /// All worlds that may come next.
    fn next(&self, hardship: Hardship) -> Vec<Self> {
        let mut worlds = Vec::new();
        if self.now < hardship.ticks && self.on_the_way.iter().all(|(_, sent)| self.now < sent + CALL_TICKS) {
            worlds.push(Self { now: self.now + 1, ..self.clone() });
        }
        for n in 0..self.on_the_way.len() {
            let mut arrived = self.clone();
            let (ts, _) = arrived.on_the_way.remove(n);
            if self.losses_left > 0 {
                worlds.push(Self { losses_left: self.losses_left - 1, ..arrived.clone() });
            }
            arrived.slack.push(ts);
            worlds.push(arrived);
        }
        for n in 0..self.replicas.len() {
            worlds.extend(self.act(n, hardship));
            if self.deaths_left > 0 && !matches!(self.replicas[n].at, At::Dead | At::Idle) {
                let mut dead = Self { deaths_left: self.deaths_left - 1, ..self.clone() };
                dead.replicas[n].at = At::Dead;
                worlds.push(dead);
            }
        }
        worlds
    }

    /// What replica `n` may do next.
    fn act(&self, n: usize, hardship: Hardship) -> Vec<Self> {
        let mut world = self.clone();
        let replica = &mut world.replicas[n];
        let me = replica.life.to_string();
        match replica.at.clone() {
            At::Dead => {
                *replica = Replica { life: replica.life + 1, turns: 0, rests: 0, at: At::Idle, watched: None }
            }
            At::Idle if self.now < replica.rests => return Vec::new(),
            At::Idle => {
                let (base, record) = (Box::new(self.record.clone()), self.record());
                if Step::of(&record).is_none() {
                    *replica =
                        Replica { at: At::Idle, watched: None, rests: self.now + 1, ..replica.clone() };
                    return vec![world];
                }
                let since = match (&replica.watched, &record.claim) {
                    (Some((before, since)), Some(now)) if before == now => *since,
                    _ => self.now,
                };
                replica.watched = record.claim.clone().map(|claim| (claim, since));
                let watched = Duration::from_secs(u64::from(self.now - since) * u64::from(TICK));
                if matches!(turn(record.claim.as_ref(), &me, watched, time(self.now)), Turn::Wait(_)) {
                    (replica.at, replica.rests) = (At::Idle, self.now + 1);
                    return vec![world];
                }
                replica.turns += 1;
                let taken = stamp(self.now, replica.life, replica.turns);
                let claim = Claim { holder: me, turn: replica.turns.into(), taken };
                replica.at = At::Claiming { claim, began: self.now, base };
            }
            At::Claiming { claim, began, base } => {
                let mut record = base.0.clone();
                let step = Step::of(&record).unwrap();
                // The write lands only on what was read.
                if *base != self.record {
                    replica.at = At::Idle;
                    return vec![world];
                }
                record.take(claim.clone(), (step == Step::Post).then(|| (deliver(), "C1".to_owned())));
                world.record = Written(record);
                replica.at = At::Claimed { claim, began, step };
            }
            At::Claimed { claim, began, step } => return world.carry_out(n, claim, began, step, hardship),
            At::Sending { claim } => return vec![world.send(n, claim)],
            At::Waiting { claim, sent, ts } => {
                let since = claim.taken;
                let mut worlds = Vec::new();
                if self.slack.contains(&ts) {
                    let mut answered = world.clone();
                    let outcomes = vec![Known::Posted(ts), Known::Settled(since)];
                    answered.replicas[n].at = At::Done { claim: claim.clone(), outcomes };
                    worlds.push(answered);
                }
                let is_over = hardship.losses > 0 && self.now >= sent + CALL_TICKS;
                if is_over || (self.losses_left > 0 && self.slack.contains(&ts)) {
                    // A broken answer ends it at once, none at all after a while.
                    world.losses_left = world.losses_left.saturating_sub(u8::from(!is_over));
                    let ripe = if is_over { time(self.now) + LATE } else { time(self.now) };
                    let outcomes = vec![Known::Unclear(since, ripe)];
                    world.replicas[n].at = At::Done { claim, outcomes };
                    worlds.push(world);
                }
                return worlds;
            }
            At::Done { claim, outcomes } => {
                let mut record = self.record();
                outcomes.iter().for_each(|known| record.apply(&known.outcome()));
                record.give_up(&claim);
                world.record = Written(record);
                world.replicas[n].at = At::Idle;
            }
        }
        vec![world]
    }

    /// The step itself. A look and a withdrawal are one event; a post is several.
    fn carry_out(mut self, n: usize, claim: Claim, began: u8, step: Step, hardship: Hardship) -> Vec<Self> {
        let is_in_time = self.now == began;
        let since = claim.taken;
        let outcomes = match step {
            // Too late: nothing was sent, and that is certain.
            Step::Post if !is_in_time => vec![Known::Settled(since)],
            Step::Settle(..) | Step::Withdraw(_) if !is_in_time => vec![],
            Step::Post if hardship.freezes_while_sending => {
                self.replicas[n].at = At::Sending { claim };
                return vec![self];
            }
            Step::Post => return vec![self.send(n, claim)],
            Step::Settle(since, ripe) => {
                let found: Vec<_> = self.slack.iter().map(|ts| Known::Posted(*ts)).collect();
                let is_ripe = time(self.now) >= ripe;
                let settled = (is_ripe || !found.is_empty()).then_some(Known::Settled(since));
                found.into_iter().chain(settled).collect()
            }
            Step::Withdraw(ts) => {
                self.slack.retain(|posted| *posted != ts);
                vec![Known::Withdrawn(ts)]
            }
        };
        // What did not succeed is tried again later.
        self.replicas[n].rests =
            self.now + u8::from(!outcomes.iter().any(|known| matches!(known, Known::Posted(_))));
        self.replicas[n].at = At::Done { claim, outcomes };
        vec![self]
    }

    fn send(mut self, n: usize, claim: Claim) -> Self {
        let ts = self.next_ts;
        self.next_ts += 1;
        self.on_the_way.push((ts, self.now));
        self.replicas[n].at = At::Waiting { claim, sent: self.now, ts };
        self
    }

    /// What is left when nobody dies any more and everybody has time enough.
    fn settled(mut self) -> Self {
        (self.deaths_left, self.losses_left) = (0, 0);
        let calm = Hardship { losses: 0, freezes_while_sending: false, ..TWO };
        for _ in 0..16 {
            for _ in 0..8 {
                while let Some((ts, _)) = self.on_the_way.pop() {
                    self.slack.push(ts);
                }
                for n in 0..self.replicas.len() {
                    // An answer, where there is one; else the end of waiting.
                    let next =
                        self.act(n, calm).into_iter().next().or_else(|| self.act(n, TWO).into_iter().next());
                    self = next.unwrap_or(self);
                }
                if Step::of(&self.record()).is_none() && self.replicas.iter().all(|r| r.at == At::Idle) {
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
    Settle(Timestamp, Timestamp),
    Withdraw(u8),
    Post,
}

impl Step {
    fn of(record: &Record) -> Option<Self> {
        let number = |ts: &MessageTs| ts.as_str().trim_end_matches(".0").parse().unwrap();
        match (record.doubts.first(), &record.deliveries[..]) {
            (Some(doubt), _) => Some(Self::Settle(doubt.since, doubt.ripe)),
            (None, []) => Some(Self::Post),
            (None, [_]) => None,
            (None, [_, second, ..]) => Some(Self::Withdraw(number(&second.ts))),
        }
    }
}

const TWO: Hardship = Hardship { replicas: 2, deaths: 1, losses: 1, ticks: 4, freezes_while_sending: false };

/// Tries everything; calls `check` for each world. Returns how many there were.
fn explore(hardship: Hardship, check: impl Fn(&World)) -> usize {
    let mut seen = HashSet::from([World::new(hardship)]);
    let mut open: VecDeque<_> = seen.iter().cloned().collect();
    while let Some(world) = open.pop_front() {
        check(&world);
        for next in world.next(hardship) {
            if seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn nothing_is_lost_or_doubled_in_any_order_of_events() {
    let hardships = [
        Hardship { deaths: 1, losses: 0, ..TWO },
        Hardship { deaths: 0, losses: 1, ticks: 3, ..TWO },
        Hardship { replicas: 1, deaths: 2, losses: 1, ..TWO },
    ];
    for hardship in hardships {
        let worlds = explore(hardship, |world| {
            assert!(world.slack.len() + world.on_the_way.len() <= 1, "told twice: {world:#?}");
            // What is true of the last worlds is true of those that lead there.
            if world.now < hardship.ticks {
                return;
            }
            let end = world.clone().settled();
            assert_eq!(end.slack.len(), 1, "lost or doubled: {world:#?}\nends as {end:#?}");
            let record = end.record();
            assert_eq!((record.deliveries.len(), record.doubts), (1, vec![]), "{world:#?}\nends as {end:#?}");
        });
        assert!(worlds > 100, "{worlds} worlds with {} replicas are no search", hardship.replicas);
    }
}

#[test]
fn a_post_that_was_settled_by_others_and_ends_unclear_is_looked_for_again() {
    let mut record = Record::default();
    record.take(claim("frozen", 1), [(deliver(), "C1".to_owned())]);
    record.apply(&Outcome::Settled { errand: deliver(), since: claim("frozen", 1).taken });
    let ripe = Timestamp::from_second(60).unwrap();
    let outcome = unclear(claim("frozen", 1).taken, ripe);
    for _ in 0..2 {
        record.apply(&outcome);
        let doubt = Doubt::new(deliver(), "C1".into(), claim("frozen", 1).taken, ripe);
        assert_eq!(record.doubts, [doubt]);
    }
}

#[test]
fn a_replica_that_froze_while_sending_has_its_message_taken_back() {
    // The one moment that no claim covers: after its last look at the clock and before the first byte leaves.
    for losses in [0, 1] {
        let hardship = Hardship { freezes_while_sending: true, deaths: 0, losses, ..TWO };
        let end = after_a_freeze(hardship);
        assert_eq!((end.slack.len(), end.record().deliveries.len()), (1, 1), "{end:#?}");
        assert_eq!(end.next_ts, 3, "two were posted, or this test shows nothing");
    }
}

/// How a world ends in which the first replica froze while sending, and then got its answer or lost it.
fn after_a_freeze(hardship: Hardship) -> World {
    let mut world = World::new(hardship);
    while !matches!(world.replicas[0].at, At::Sending { .. }) {
        world = world.act(0, hardship).remove(0);
    }
    // The other one watches, takes over, looks, posts and records.
    while world.record().deliveries.is_empty() {
        for _ in 0..8 {
            while let Some((ts, _)) = world.on_the_way.pop() {
                world.slack.push(ts);
            }
            world = world.act(1, TWO).into_iter().next().unwrap_or(world);
        }
        world.now += 1;
        assert!(world.now < 20, "{world:#?}");
    }
    assert_eq!(world.slack.len(), 1);
    // The first one thaws.
    world = world.act(0, hardship).remove(0);
    while let Some((ts, _)) = world.on_the_way.pop() {
        world.slack.push(ts);
    }
    let mut ends = world.act(0, hardship);
    assert_eq!(ends.len(), 1 + usize::from(hardship.losses));
    ends.remove(ends.len() - 1).settled()
}
