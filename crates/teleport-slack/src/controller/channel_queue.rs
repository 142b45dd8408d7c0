//! Who may post into a place when: one message at a time, in the order in which the requests were made; and one a
//! second after Slack said "too many" of that place.
//!
//! How many messages a channel takes at once Slack does not tell, so a place is served without delay until it says
//! so. Those who wait keep their place in the line, also while Slack is away. No clock of its own: `now` is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::record::Operation;
use jiff::Timestamp;
use tokio::time::Instant;

/// Slack's figure: one message a second into a channel.
const INTERVAL: Duration = Duration::from_secs(1);
/// A place where nobody waited for so long is served without delay again.
const RESET_AFTER: Duration = Duration::from_secs(10);
/// A call that takes longer no longer holds up those behind it.
const MAX_BLOCKING: Duration = Duration::from_secs(1);
/// Whoever does not come when it is their turn loses it after this time: another daemon did the errand, or nobody needs it
/// any more.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// Whoever waits for something else, such as the end of a pause, is waited for if that ends within this time.
const LOOKAHEAD: Duration = Duration::from_secs(1);
/// After so many failures in a row the next one is let past once: what is wrong may be the message, not the place.
const FAILURES_BEFORE_BYPASS: u32 = 3;
/// So many are at hand for their turn.
const MAX_PARKED: usize = 4;
/// Those who wait in one place, and are counted before another; more come again later.
const MAX_WAITERS: usize = 10_000;
const MAX_POSITION: usize = 1_000;
/// With more lines than this, those in which nobody waits are looked for and forgotten.
const MAX_QUEUES: usize = 1_000;

/// One message's place in the line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuedOperation {
    /// When its request was made.
    pub(super) created: Option<Timestamp>,
    /// The request.
    pub(super) id: RequestId,
    /// What of it.
    pub(super) operation: Operation,
}

/// The lines of all places where somebody posts or waits.
#[derive(Debug, Default)]
pub(super) struct ChannelQueues(HashMap<String, ChannelQueue>);

/// Those who wait for one place.
#[derive(Debug)]
struct ChannelQueue {
    /// Nobody begins earlier.
    not_before: Instant,
    /// Whether Slack asked to go slowly.
    is_throttled: bool,
    /// Who posts now, and since when.
    in_flight: Option<(QueuedOperation, Instant)>,
    waiters: BTreeMap<QueuedOperation, Waiter>,
    /// Who failed last, and how often in a row.
    last_failure: Option<(QueuedOperation, u32)>,
    /// Who lets others past.
    bypassed: Option<QueuedOperation>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    /// When it comes again.
    due: Instant,
    /// Whether it waits for nothing but its turn.
    is_ready: bool,
    /// Whether its visit stays until then, so that nobody need call it.
    is_parked: bool,
}

impl Waiter {
    /// Whether those behind it wait for it.
    fn is_blocking(self, now: Instant) -> bool {
        self.due + TURN_TIMEOUT > now && (self.is_ready || self.due <= now + LOOKAHEAD)
    }
}

impl ChannelQueue {
    fn new(now: Instant) -> Self {
        let (busy, waiting, failed, passed) = (None, BTreeMap::new(), None, None);
        Self {
            not_before: now,
            is_throttled: false,
            in_flight: busy,
            waiters: waiting,
            last_failure: failed,
            bypassed: passed,
        }
    }

    fn insert(&mut self, caller: &QueuedOperation, due: Instant, is_ready: bool) {
        if self.waiters.len() < MAX_WAITERS || self.waiters.contains_key(caller) {
            self.waiters.insert(caller.clone(), Waiter { due, is_ready, is_parked: false });
        }
    }

    /// How many are before it.
    fn position(&self, caller: &QueuedOperation, now: Instant) -> u32 {
        let before = self.waiters.range(..caller).take(MAX_POSITION);
        let count = before
            .filter(|(other, waiting)| waiting.is_blocking(now) && self.bypassed.as_ref() != Some(*other));
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    /// Those who are to come now, or to be at hand, and are not here.
    fn next_to_wake(&self, now: Instant) -> Vec<RequestId> {
        if self.not_before > now {
            return Vec::new();
        }
        let counts = |(caller, waiting): &(&QueuedOperation, &Waiter)| {
            waiting.is_blocking(now) && self.bypassed.as_ref() != Some(*caller)
        };
        let near = self.waiters.iter().filter(counts).take(if self.is_throttled { 1 } else { MAX_PARKED });
        near.filter(|(_, waiting)| !waiting.is_parked).map(|(caller, _)| caller.id.clone()).collect()
    }
}

impl ChannelQueues {
    /// `None` if it is the errand's turn; else how long it waits at most. Its place in the line is kept. Asking alone does
    /// not begin anything.
    pub(super) fn required_wait(
        &mut self,
        place: &str,
        caller: &QueuedOperation,
        now: Instant,
    ) -> Option<Duration> {
        let line = self.0.get_mut(place)?;
        let is_idle = line.in_flight.is_none() && line.waiters.is_empty();
        if is_idle && line.not_before + RESET_AFTER <= now {
            self.0.remove(place);
            return None;
        }
        let mut earliest = line.not_before;
        match &line.in_flight {
            Some((busy, _)) if busy == caller => {}
            Some((_, since)) => earliest = earliest.max(*since + MAX_BLOCKING),
            None => {}
        }
        let rank = line.position(caller, now);
        if rank == 0 && earliest <= now {
            return None;
        }
        let step = if line.is_throttled { INTERVAL } else { MAX_BLOCKING };
        let due = earliest.max(now) + step * rank;
        line.insert(caller, due, true);
        Some(due - now)
    }

    /// The errand begins to post.
    pub(super) fn begin(&mut self, place: &str, caller: &QueuedOperation, now: Instant) {
        if self.0.len() > MAX_QUEUES {
            self.evict_idle(now);
        }
        let line = self.0.entry(place.to_owned()).or_insert_with(|| ChannelQueue::new(now));
        line.waiters.remove(caller);
        line.waiters.retain(|_, waiting| waiting.due + TURN_TIMEOUT > now);
        line.in_flight = Some((caller.clone(), now));
    }

    /// One message leaves.
    pub(super) fn consume(&mut self, place: &str, now: Instant) {
        if let Some(line) = self.0.get_mut(place).filter(|line| line.is_throttled) {
            line.not_before = line.not_before.max(now + INTERVAL);
        }
    }

    /// Whether it is so near its turn that its visit may stay for it, and whether it is its turn.
    pub(super) fn try_park(&mut self, place: &str, caller: &QueuedOperation, now: Instant) -> Option<bool> {
        let line = self.0.get_mut(place)?;
        let rank = line.position(caller, now);
        let is_free = line.in_flight.as_ref().is_none_or(|(_, since)| *since + MAX_BLOCKING <= now)
            && line.not_before <= now;
        let is_near = !line.is_throttled && usize::try_from(rank).is_ok_and(|rank| rank < MAX_PARKED);
        let waiting = line.waiters.get_mut(caller)?;
        waiting.is_parked = is_near;
        is_near.then_some(rank == 0 && is_free)
    }

    /// Its visit does not stay any longer.
    pub(super) fn unpark(&mut self, place: &str, caller: &QueuedOperation) {
        if let Some(waiting) = self.0.get_mut(place).and_then(|line| line.waiters.get_mut(caller)) {
            waiting.is_parked = false;
        }
    }

    /// Whoever began has ended, whatever came of it. Returns who is to come now.
    pub(super) fn end(&mut self, place: &str, caller: &QueuedOperation, now: Instant) -> Vec<RequestId> {
        let Some(line) = self.0.get_mut(place) else { return Vec::new() };
        if line.in_flight.as_ref().is_none_or(|(busy, _)| busy != caller) {
            return Vec::new();
        }
        line.in_flight = None;
        if line.waiters.is_empty()
            && line.last_failure.is_none()
            && line.not_before <= now
            && !line.is_throttled
        {
            self.0.remove(place);
            return Vec::new();
        }
        line.next_to_wake(now)
    }

    /// The same for all that one request began.
    pub(super) fn end_all(&mut self, id: &RequestId, now: Instant) -> Vec<RequestId> {
        let is_its = |line: &ChannelQueue| line.in_flight.as_ref().is_some_and(|(busy, _)| busy.id == *id);
        let begun = self.0.iter().filter(|(_, line)| is_its(line));
        let begun: Vec<_> =
            begun.filter_map(|(place, line)| Some((place.clone(), line.in_flight.clone()?.0))).collect();
        begun.iter().flat_map(|(place, caller)| self.end(place, caller, now)).collect()
    }

    /// It comes again at `due`; until then it waits for something else, or for what all wait for (`is_ready`).
    pub(super) fn requeue(
        &mut self,
        place: &str,
        caller: &QueuedOperation,
        due: Instant,
        is_ready: bool,
        now: Instant,
    ) {
        self.0
            .entry(place.to_owned())
            .or_insert_with(|| ChannelQueue::new(now))
            .insert(caller, due, is_ready);
    }

    /// It waits for something that may take long, or for nothing.
    pub(super) fn remove(&mut self, place: &str, caller: &QueuedOperation) {
        if let Some(line) = self.0.get_mut(place) {
            line.waiters.remove(caller);
        }
    }

    /// The place took a message.
    pub(super) fn on_accepted(&mut self, place: &str, caller: &QueuedOperation) {
        if let Some(line) = self.0.get_mut(place) {
            line.last_failure = None;
            if line.bypassed.as_ref() == Some(caller) {
                line.bypassed = None;
            }
        }
    }

    /// Slack, or the way to it, failed for a while. Whoever met it comes again at `due`; those behind wait for it, but not
    /// for ever.
    pub(super) fn on_failure(&mut self, place: &str, caller: &QueuedOperation, due: Instant, now: Instant) {
        let line = self.0.entry(place.to_owned()).or_insert_with(|| ChannelQueue::new(now));
        line.insert(caller, due, false);
        let times = match &line.last_failure {
            Some((before, times)) if before == caller => times + 1,
            _ => 1,
        };
        line.last_failure = Some((caller.clone(), times));
        if times.is_multiple_of(FAILURES_BEFORE_BYPASS) {
            line.bypassed = Some(caller.clone());
            return;
        }
        // Another one failed, too, so it is the place: the first in the line tries it.
        let first =
            line.bypassed.take().and_then(|first| line.waiters.get(&first)).map_or(due, |first| first.due);
        line.not_before = line.not_before.max(first);
    }

    /// Slack asked to wait in `place` until `from`. Whoever met it keeps its place in the line, if it is in it.
    pub(super) fn throttle(
        &mut self,
        place: &str,
        caller: Option<&QueuedOperation>,
        from: Instant,
        now: Instant,
    ) {
        self.evict_idle(now);
        let line = self.0.entry(place.to_owned()).or_insert_with(|| ChannelQueue::new(now));
        (line.not_before, line.is_throttled) = (line.not_before.max(from), true);
        caller.inspect(|caller| line.insert(caller, from, true));
    }

    /// Forgets lines in which nobody waits any more.
    fn evict_idle(&mut self, now: Instant) {
        self.0.retain(|_, line| {
            line.waiters.retain(|_, waiting| waiting.due + TURN_TIMEOUT > now);
            line.in_flight.is_some() || !line.waiters.is_empty() || line.not_before + RESET_AFTER > now
        });
    }
}

#[cfg(test)]
mod tests;
