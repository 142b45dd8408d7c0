//! Carries out a plan's errands under a claim, and records what came of each as soon as it is there.
//!
//! The order that keeps every promise: the claim and the posts that are about to be made are written, then the calls
//! are made, then what came of them is written and the claim given up. Whatever dies in between leaves a doubt on
//! record, never a secret.

use std::collections::VecDeque;
use std::task::Poll;

use access_core::claim::{Claim, Turn, WORK, turn};
use access_core::ids::RequestId;
use access_core::lifecycle::is_behind;
use access_core::plan::{Errand, Step};
use access_core::record::{Outcome, Record};
use access_core::request::AccessRequest;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::lease::Lease;
use super::memory::{Memory, later};
use super::outbox::{Fate, NotYet};
use super::pace::Caller;
use super::reconciler::{Reconciler, Trouble, WRITING};
use crate::teleport::error::Kind;
use crate::teleport::record::{Fields, modify_record};

/// What is about to be done, and on what knowledge.
pub(super) struct Intent<'a> {
    /// The record as it was read.
    pub(super) read: &'a Fields,
    /// What Teleport says, if that is news.
    pub(super) known: Option<&'a AccessRequest>,
    /// What is about to be done.
    pub(super) errands: Vec<(Errand, Vec<Step>)>,
    /// The posts among it, and where.
    pub(super) posts: Vec<(Errand, String)>,
    /// When the request was made.
    pub(super) made: Option<Timestamp>,
}

/// Whether the claim was taken.
pub(super) enum Taken {
    /// It was.
    Ours(Lease),
    /// Somebody else works on the request; look again then.
    Theirs(Timestamp),
    /// The record is not what it was.
    Changed,
    /// The request vanished and has no record.
    NoRecord,
}

/// Errands of one request that are under way at once, of the outbox's 16 calls: a request with a hundred recipients must
/// not make all others wait until the last of them is told.
const SIDE_BY_SIDE: usize = 4;

impl Reconciler {
    /// Takes the claim, unless somebody else holds it or the record changed since it was read.
    pub(super) async fn take(
        &self,
        id: &RequestId,
        intent: &Intent<'_>,
        record: &Record,
        memory: &mut Memory,
    ) -> Result<Taken, Trouble> {
        let now = self.clock.now();
        let watched = memory.watch(record.claim.as_ref());
        let turn = turn(record.claim.as_ref(), self.holder.name(), watched, now);
        if let Turn::Wait(left) = turn {
            return Ok(Taken::Theirs(later(now, left)));
        }
        let mut lease = self.holder.lease();
        let mut is_changed = false;
        let unsaved = &memory.unsaved;
        let written = modify_record(&self.teleport, id, |data| {
            is_changed = data != intent.read;
            if is_changed {
                return None;
            }
            let mut record = Record::decode(id, data).0;
            if let Some(known) = intent.known {
                record.note(known);
            }
            unsaved.iter().for_each(|outcome| record.apply(outcome));
            // Its time runs from the write, not from the read before it.
            lease = self.holder.lease();
            record.take(lease.claim.clone(), intent.posts.iter().cloned());
            Some(record.encode())
        })
        .await;
        match written {
            Ok(_) if is_changed => Ok(Taken::Changed),
            Ok(_) => {
                if turn == Turn::Lapsed {
                    self.metrics.took_over_claim();
                    info!(request = %id, "Whoever worked on this request (another teleport-slack, or an earlier run of this one) has not been heard of; taking over");
                }
                memory.unsaved.clear();
                memory.watch(None);
                if lease.is_good() {
                    self.complaints.settle(WRITING);
                } else if self.complaints.open(WRITING, "slow") {
                    warn!(request = %id, "Teleport took longer than {} s to write a record; nothing is sent to Slack until it is faster, because another daemon could be at work by then", WORK.as_secs());
                }
                Ok(Taken::Ours(lease))
            }
            Err(error) if error.kind() == Kind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                memory.unsaved.clear();
                Ok(Taken::NoRecord)
            }
            Err(error) => {
                // It may have been written all the same; but nothing was posted.
                let since = lease.claim.taken;
                let errands = intent.posts.iter().map(|(errand, _)| errand.clone());
                memory.unsaved.extend(errands.map(|errand| Outcome::NotMade { errand, since }));
                Err(Trouble::writing(error))
            }
        }
    }

    /// Runs errands side by side, a few at a time, records each outcome as soon as it is there, and gives the claim up.
    ///
    /// If Teleport cannot record, the rest is still awaited and kept for the next visit.
    pub(super) async fn run(
        &self,
        id: &RequestId,
        intent: Intent<'_>,
        mut record: Record,
        lease: &Lease,
        memory: &mut Memory,
    ) -> Result<(), Trouble> {
        let mut waiting: VecDeque<_> = intent.errands.into();
        let mut running = FuturesUnordered::new();
        let posts = &intent.posts;
        let begin = |(errand, steps), memory: &Memory| {
            let failures = memory.failures.get(&errand).copied().unwrap_or(0);
            let place = posts.iter().find(|(post, _)| *post == errand).map(|(_, place)| place.clone());
            let caller = Caller { made: intent.made, id: id.clone(), errand };
            self.run_errand(caller, steps, place, failures, lease)
        };
        let first = waiting.drain(..waiting.len().min(SIDE_BY_SIDE));
        running.extend(first.map(|errand| begin(errand, memory)));
        let mut result = Ok(());
        while let Some(first) = running.next().await {
            let mut ended = vec![first];
            while let Poll::Ready(Some(next)) = poll!(running.next()) {
                ended.push(next);
            }
            for (caller, mut outcomes, mut not_yet) in ended {
                let errand = caller.errand.clone();
                let place = posts.iter().find(|(post, _)| *post == errand).map(|(_, place)| place.as_str());
                let misfits = outcomes.extract_if(.., |outcome| !fits(&record, outcome)).count();
                if misfits > 0 && !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Posted { .. })) {
                    let failures = memory.failures.get(&errand).copied().unwrap_or(0);
                    let misplaced = self.outbox.misplaced(id, &errand, place, lease.claim.taken, failures);
                    (outcomes, not_yet) = (misplaced.0, Some(misplaced.1));
                }
                if let Some(place) = place {
                    outcomes.iter().for_each(|outcome| self.outbox.took(place, &caller, outcome));
                }
                outcomes.iter().for_each(|outcome| record.apply(outcome));
                outcomes.iter().for_each(|outcome| self.learn(outcome));
                match not_yet {
                    Some(not_yet) => memory.postpone(errand, &not_yet),
                    None => memory.went_on(&errand, &outcomes),
                }
                memory.unsaved.extend(outcomes);
                running.extend(waiting.pop_front().map(|errand| begin(errand, memory)));
            }
            let done = running.is_empty().then_some(&lease.claim);
            if result.is_ok() {
                result = self.save(id, None, done, memory).await.map(|_| ());
            }
        }
        result
    }

    async fn run_errand(
        &self,
        caller: Caller,
        steps: Vec<Step>,
        place: Option<String>,
        failures: u32,
        lease: &Lease,
    ) -> (Caller, Vec<Outcome>, Option<NotYet>) {
        let mut outcomes = Vec::new();
        let mut not_yet = None;
        let since = lease.claim.taken;
        for step in steps {
            match self.outbox.carry_out(&caller, step, failures, lease).await {
                Ok(more) => outcomes.extend(more),
                Err(error) => {
                    not_yet = Some(error);
                    break;
                }
            }
        }
        let tried = caller.errand.clone();
        place.inspect(|place| self.outbox.end(place, &caller));
        // What was in doubt before is not, if this message went well or an earlier one of the same thread.
        let is_first = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Replied { .. }));
        outcomes.push(match (not_yet.as_ref().map(|not_yet| &not_yet.fate), &caller.errand) {
            (Some(Fate::Unclear { ripe, place, is_accepted }), _) => {
                let (place, ripe, is_accepted) = (place.clone(), *ripe, *is_accepted);
                Outcome::Unclear { errand: tried, place, since, ripe, is_accepted, is_first }
            }
            // Told by two, perhaps. No record shows that of replies, so the thread is looked at.
            (None, Errand::Tell(channel, _)) if lease.has_lapsed() => {
                let (place, ripe, is_accepted) = (channel.to_string(), Timestamp::now(), false);
                Outcome::Unclear { errand: tried, place, since, ripe, is_accepted, is_first }
            }
            (Some(Fate::NotDone), _) if !is_first => Outcome::NotMade { errand: tried, since },
            (Some(Fate::NotDone) | None, _) => Outcome::Settled { errand: tried, since },
        });
        (caller, outcomes, not_yet)
    }

    /// Writes down what Teleport said (with the record as it was read before) and what Slack confirmed, and gives a
    /// claim up. Returns whether there is a
    /// record to write to: none if the request vanished and never had one.
    pub(super) async fn save(
        &self,
        id: &RequestId,
        known: Option<(&AccessRequest, &Record)>,
        done: Option<&Claim>,
        memory: &mut Memory,
    ) -> Result<bool, Trouble> {
        if known.is_none() && done.is_none() && memory.unsaved.is_empty() {
            return Ok(true);
        }
        let unsaved = &memory.unsaved;
        let written = modify_record(&self.teleport, id, |data| {
            let mut record = Record::decode(id, data).0;
            // If somebody was told of a decision since we looked, it is ours that is old: not the decision was taken
            // back. Another visit follows.
            let is_good = |known: &AccessRequest, read: &Record| {
                read.is_decided() || !is_behind(known, record.known.as_ref())
            };
            if let Some((known, _)) = known.filter(|(known, read)| is_good(known, read)) {
                record.note(known);
            }
            unsaved.iter().for_each(|outcome| record.apply(outcome));
            if let Some(claim) = done {
                record.give_up(claim);
            }
            Some(record.encode())
        })
        .await;
        let exists = match written {
            Ok(_) => true,
            Err(error) if error.kind() == Kind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                false
            }
            Err(error) => return Err(Trouble::writing(error)),
        };
        memory.unsaved.clear();
        self.complaints.settle(WRITING);
        Ok(exists)
    }
}

/// Whether a message's address can be written down as that recipient's.
fn fits(record: &Record, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Posted { key, channel, ts, .. } => record.takes(key, channel, ts),
        _ => true,
    }
}
