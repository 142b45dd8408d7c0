//! Who may post into a place when: one message at a time, in the order in which the requests were made; and one a
//! second after Slack said "too many" of that place.
//!
//! How many messages a channel takes at once Slack does not tell, so a place is served without delay until it says
//! so. Those who wait keep their place in the line, also while Slack is away. No clock of its own: `now` is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use access_core::ids::RequestId;
use access_core::plan::Errand;
use jiff::Timestamp;
use tokio::time::Instant;

/// Slack's figure: one message a second into a channel.
const INTERVAL: Duration = Duration::from_secs(1);
/// A place where nobody waited for so long is served without delay again.
const RELAXED: Duration = Duration::from_secs(10);
/// A call that takes longer no longer holds up those behind it.
const HOLD: Duration = Duration::from_secs(1);
/// Whoever does not come when it is their turn loses it after this time: another daemon did the errand, or nobody needs it
/// any more.
const GRACE: Duration = Duration::from_secs(2);
/// Whoever waits for something else, such as the end of a pause, is waited for if that ends within this time.
const SOON: Duration = Duration::from_secs(1);
/// After so many failures in a row the next one is let past once: what is wrong may be the message, not the place.
const PATIENCE: u32 = 3;
/// So many are at hand for their turn.
const NEAR: usize = 4;
/// Those who wait in one place, and are counted before another; more come again later.
const MAX_WAITING: usize = 10_000;
const MAX_COUNTED: usize = 1_000;
/// With more lines than this, those in which nobody waits are looked for and forgotten.
const MAX_LINES: usize = 1_000;

/// One message's place in the line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    /// When its request was made.
    pub(super) made: Option<Timestamp>,
    /// The request.
    pub(super) id: RequestId,
    /// What of it.
    pub(super) errand: Errand,
}

/// The lines of all places where somebody posts or waits.
#[derive(Debug, Default)]
pub(super) struct Pace(HashMap<String, Line>);

/// Those who wait for one place.
#[derive(Debug)]
struct Line {
    /// Nobody begins earlier.
    next: Instant,
    /// Whether Slack asked to go slowly.
    is_slow: bool,
    /// Who posts now, and since when.
    busy: Option<(Caller, Instant)>,
    waiting: BTreeMap<Caller, Waiting>,
    /// Who failed last, and how often in a row.
    failed: Option<(Caller, u32)>,
    /// Who lets others past.
    passed: Option<Caller>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When it comes again.
    due: Instant,
    /// Whether it waits for nothing but its turn.
    is_ready: bool,
    /// Whether its visit stays until then, so that nobody need call it.
    is_here: bool,
}

impl Waiting {
    /// Whether those behind it wait for it.
    fn counts(self, now: Instant) -> bool {
        self.due + GRACE > now && (self.is_ready || self.due <= now + SOON)
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        let (busy, waiting, failed, passed) = (None, BTreeMap::new(), None, None);
        Self { next: now, is_slow: false, busy, waiting, failed, passed }
    }

    fn put(&mut self, caller: &Caller, due: Instant, is_ready: bool) {
        if self.waiting.len() < MAX_WAITING || self.waiting.contains_key(caller) {
            self.waiting.insert(caller.clone(), Waiting { due, is_ready, is_here: false });
        }
    }

    /// How many are before it.
    fn rank(&self, caller: &Caller, now: Instant) -> u32 {
        let before = self.waiting.range(..caller).take(MAX_COUNTED);
        let count =
            before.filter(|(other, waiting)| waiting.counts(now) && self.passed.as_ref() != Some(*other));
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    /// Those who are to come now, or to be at hand, and are not here.
    fn called(&self, now: Instant) -> Vec<RequestId> {
        if self.next > now {
            return Vec::new();
        }
        let counts = |(caller, waiting): &(&Caller, &Waiting)| {
            waiting.counts(now) && self.passed.as_ref() != Some(*caller)
        };
        let near = self.waiting.iter().filter(counts).take(if self.is_slow { 1 } else { NEAR });
        near.filter(|(_, waiting)| !waiting.is_here).map(|(caller, _)| caller.id.clone()).collect()
    }
}

impl Pace {
    /// `None` if it is the errand's turn; else how long it waits at most. Its place in the line is kept. Asking alone does
    /// not begin anything.
    pub(super) fn wait(&mut self, place: &str, caller: &Caller, now: Instant) -> Option<Duration> {
        let line = self.0.get_mut(place)?;
        let is_idle = line.busy.is_none() && line.waiting.is_empty();
        if is_idle && line.next + RELAXED <= now {
            self.0.remove(place);
            return None;
        }
        let mut earliest = line.next;
        match &line.busy {
            Some((busy, _)) if busy == caller => {}
            Some((_, since)) => earliest = earliest.max(*since + HOLD),
            None => {}
        }
        let rank = line.rank(caller, now);
        if rank == 0 && earliest <= now {
            return None;
        }
        let step = if line.is_slow { INTERVAL } else { HOLD };
        let due = earliest.max(now) + step * rank;
        line.put(caller, due, true);
        Some(due - now)
    }

    /// The errand begins to post.
    pub(super) fn begin(&mut self, place: &str, caller: &Caller, now: Instant) {
        if self.0.len() > MAX_LINES {
            self.forget(now);
        }
        let line = self.0.entry(place.to_owned()).or_insert_with(|| Line::new(now));
        line.waiting.remove(caller);
        line.waiting.retain(|_, waiting| waiting.due + GRACE > now);
        line.busy = Some((caller.clone(), now));
    }

    /// One message leaves.
    pub(super) fn leaves(&mut self, place: &str, now: Instant) {
        if let Some(line) = self.0.get_mut(place).filter(|line| line.is_slow) {
            line.next = line.next.max(now + INTERVAL);
        }
    }

    /// Whether it is so near its turn that its visit may stay for it, and whether it is its turn.
    pub(super) fn stay_here(&mut self, place: &str, caller: &Caller, now: Instant) -> Option<bool> {
        let line = self.0.get_mut(place)?;
        let rank = line.rank(caller, now);
        let is_free = line.busy.as_ref().is_none_or(|(_, since)| *since + HOLD <= now) && line.next <= now;
        let is_near = !line.is_slow && usize::try_from(rank).is_ok_and(|rank| rank < NEAR);
        let waiting = line.waiting.get_mut(caller)?;
        waiting.is_here = is_near;
        is_near.then_some(rank == 0 && is_free)
    }

    /// Its visit does not stay any longer.
    pub(super) fn go_away(&mut self, place: &str, caller: &Caller) {
        if let Some(waiting) = self.0.get_mut(place).and_then(|line| line.waiting.get_mut(caller)) {
            waiting.is_here = false;
        }
    }

    /// Whoever began has ended, whatever came of it. Returns who is to come now.
    pub(super) fn end(&mut self, place: &str, caller: &Caller, now: Instant) -> Vec<RequestId> {
        let Some(line) = self.0.get_mut(place) else { return Vec::new() };
        if line.busy.as_ref().is_none_or(|(busy, _)| busy != caller) {
            return Vec::new();
        }
        line.busy = None;
        if line.waiting.is_empty() && line.failed.is_none() && line.next <= now && !line.is_slow {
            self.0.remove(place);
            return Vec::new();
        }
        line.called(now)
    }

    /// The same for all that one request began.
    pub(super) fn end_all(&mut self, id: &RequestId, now: Instant) -> Vec<RequestId> {
        let is_its = |line: &Line| line.busy.as_ref().is_some_and(|(busy, _)| busy.id == *id);
        let begun = self.0.iter().filter(|(_, line)| is_its(line));
        let begun: Vec<_> =
            begun.filter_map(|(place, line)| Some((place.clone(), line.busy.clone()?.0))).collect();
        begun.iter().flat_map(|(place, caller)| self.end(place, caller, now)).collect()
    }

    /// It comes again at `due`; until then it waits for something else, or for what all wait for (`is_ready`).
    pub(super) fn stay(&mut self, place: &str, caller: &Caller, due: Instant, is_ready: bool, now: Instant) {
        self.0.entry(place.to_owned()).or_insert_with(|| Line::new(now)).put(caller, due, is_ready);
    }

    /// It waits for something that may take long, or for nothing.
    pub(super) fn leave(&mut self, place: &str, caller: &Caller) {
        if let Some(line) = self.0.get_mut(place) {
            line.waiting.remove(caller);
        }
    }

    /// The place took a message.
    pub(super) fn took(&mut self, place: &str, caller: &Caller) {
        if let Some(line) = self.0.get_mut(place) {
            line.failed = None;
            if line.passed.as_ref() == Some(caller) {
                line.passed = None;
            }
        }
    }

    /// Slack, or the way to it, failed for a while. Whoever met it comes again at `due`; those behind wait for it, but not
    /// for ever.
    pub(super) fn failed(&mut self, place: &str, caller: &Caller, due: Instant, now: Instant) {
        let line = self.0.entry(place.to_owned()).or_insert_with(|| Line::new(now));
        line.put(caller, due, false);
        let times = match &line.failed {
            Some((before, times)) if before == caller => times + 1,
            _ => 1,
        };
        line.failed = Some((caller.clone(), times));
        if times.is_multiple_of(PATIENCE) {
            line.passed = Some(caller.clone());
            return;
        }
        // Another one failed, too, so it is the place: the first in the line tries it.
        let first =
            line.passed.take().and_then(|first| line.waiting.get(&first)).map_or(due, |first| first.due);
        line.next = line.next.max(first);
    }

    /// Slack asked to wait in `place` until `from`. Whoever met it keeps its place in the line, if it is in it.
    pub(super) fn slow_down(&mut self, place: &str, caller: Option<&Caller>, from: Instant, now: Instant) {
        self.forget(now);
        let line = self.0.entry(place.to_owned()).or_insert_with(|| Line::new(now));
        (line.next, line.is_slow) = (line.next.max(from), true);
        caller.inspect(|caller| line.put(caller, from, true));
    }

    /// Forgets lines in which nobody waits any more.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, line| {
            line.waiting.retain(|_, waiting| waiting.due + GRACE > now);
            line.busy.is_some() || !line.waiting.is_empty() || line.next + RELAXED > now
        });
    }
}

#[cfg(test)]
mod tests;
