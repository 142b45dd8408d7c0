//! Which operation may post into a channel, and when: one message at a time, in the order in which the requests were made,
//! and one a second after Slack rate-limited that channel.
//!
//! Slack does not document how many messages a channel takes at once, so a channel has no delay until Slack limits it.
//! Waiting operations keep their position, also during an outage of Slack. This file has no clock: `now` is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::record::Operation;
use jiff::Timestamp;
use tokio::time::Instant;

use super::timings::TurnTimings;

/// After this many failures in a row the next operation may pass once: the cause may be the message, not the channel.
const FAILURES_BEFORE_BYPASS: u32 = 3;
/// How many reconciles may stay and wait for their turn.
const MAX_PARKED: usize = 4;
/// Limits of the operations that wait for one channel, and of those counted before another; more come again later.
const MAX_WAITERS: usize = 10_000;
const MAX_POSITION: usize = 1_000;
/// With more queues than this, the idle ones are removed.
const MAX_QUEUES: usize = 1_000;

/// One message's position in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuedOperation {
    /// When its request was made.
    pub(super) created: Option<Timestamp>,
    /// Its request.
    pub(super) id: RequestId,
    /// The operation of that request.
    pub(super) operation: Operation,
}

impl QueuedOperation {
    /// Whether both post one request to a recipient, perhaps under two of the recipient's names.
    fn is_same_post(&self, other: &Self) -> bool {
        matches!((&self.operation, &other.operation), (Operation::Post(_), Operation::Post(_)))
            && self.id == other.id
    }
}

/// The queues of all channels with a post in flight or waiting.
#[derive(Debug)]
pub(super) struct ChannelQueues {
    by_channel: HashMap<String, ChannelQueue>,
    timings: TurnTimings,
}

/// The operations that wait for one channel.
#[derive(Debug)]
struct ChannelQueue {
    timings: TurnTimings,
    /// No post begins earlier.
    not_before: Instant,
    /// Whether Slack rate-limited the channel.
    is_throttled: bool,
    /// The operation that posts now, and since when.
    in_flight: Option<(QueuedOperation, Instant)>,
    waiters: BTreeMap<QueuedOperation, Waiter>,
    /// The operation that failed last, and how often in a row.
    last_failure: Option<(QueuedOperation, u32)>,
    /// The operation that lets others pass.
    bypassed: Option<QueuedOperation>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    /// When it comes again.
    due: Instant,
    /// Whether it waits for nothing but its turn.
    is_ready: bool,
    /// Whether its reconcile stays until then, so that it need not be woken.
    is_parked: bool,
}

impl Waiter {
    /// Whether the operations behind it wait for it.
    fn is_blocking(self, now: Instant, timings: &TurnTimings) -> bool {
        self.has_turn(now, timings) && (self.is_ready || self.due <= now + timings.lookahead)
    }

    /// Whether it did not miss its turn.
    fn has_turn(self, now: Instant, timings: &TurnTimings) -> bool {
        self.due + timings.turn_timeout > now
    }
}

impl ChannelQueue {
    fn new(now: Instant, timings: TurnTimings) -> Self {
        Self {
            timings,
            not_before: now,
            is_throttled: false,
            in_flight: None,
            waiters: BTreeMap::new(),
            last_failure: None,
            bypassed: None,
        }
    }

    fn insert(&mut self, caller: &QueuedOperation, due: Instant, is_ready: bool) {
        if self.waiters.len() < MAX_WAITERS || self.waiters.contains_key(caller) {
            self.waiters.insert(caller.clone(), Waiter { due, is_ready, is_parked: false });
        }
    }

    /// How many operations are before it.
    fn position(&self, caller: &QueuedOperation, now: Instant) -> u32 {
        let before = self.waiters.range(..caller).take(MAX_POSITION);
        let count = before.filter(|(other, waiting)| {
            waiting.is_blocking(now, &self.timings)
                && self.bypassed.as_ref() != Some(*other)
                && !caller.is_same_post(other)
        });
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    /// The requests to wake now, or to have ready, that are not parked here.
    fn next_to_wake(&self, now: Instant) -> Vec<RequestId> {
        if self.not_before > now {
            return Vec::new();
        }
        let counts = |(caller, waiting): &(&QueuedOperation, &Waiter)| {
            waiting.is_blocking(now, &self.timings) && self.bypassed.as_ref() != Some(*caller)
        };
        let near = self.waiters.iter().filter(counts).take(if self.is_throttled { 1 } else { MAX_PARKED });
        near.filter(|(_, waiting)| !waiting.is_parked).map(|(caller, _)| caller.id.clone()).collect()
    }
}

impl ChannelQueues {
    /// No operation waits yet.
    pub(super) fn new(timings: TurnTimings) -> Self {
        Self { by_channel: HashMap::new(), timings }
    }

    fn queue(&mut self, channel: &str, now: Instant) -> &mut ChannelQueue {
        let Self { by_channel, timings } = self;
        by_channel.entry(channel.to_owned()).or_insert_with(|| ChannelQueue::new(now, *timings))
    }

    /// `None` if it is the operation's turn; else how long it waits at most. It keeps its position. Asking alone does
    /// not begin anything.
    pub(super) fn required_wait(
        &mut self,
        channel: &str,
        caller: &QueuedOperation,
        now: Instant,
    ) -> Option<Duration> {
        let TurnTimings { interval, reset_after, max_blocking, .. } = self.timings;
        let queue = self.by_channel.get_mut(channel)?;
        let is_idle = queue.in_flight.is_none() && queue.waiters.is_empty();
        if is_idle && queue.not_before + reset_after <= now {
            self.by_channel.remove(channel);
            return None;
        }
        let mut earliest = queue.not_before;
        match &queue.in_flight {
            Some((busy, _)) if busy == caller => {}
            Some((_, since)) => earliest = earliest.max(*since + max_blocking),
            None => {}
        }
        let position = queue.position(caller, now);
        if position == 0 && earliest <= now {
            return None;
        }
        let step = if queue.is_throttled { interval } else { max_blocking };
        let due = earliest.max(now) + step * position;
        queue.insert(caller, due, true);
        Some(due - now)
    }

    /// These operations wait for their turn, although they have not asked yet. One that does not come loses its turn.
    pub(super) fn line_up(
        &mut self,
        channel: &str,
        callers: impl IntoIterator<Item = QueuedOperation>,
        now: Instant,
    ) {
        let queue = self.queue(channel, now);
        let in_flight = queue.in_flight.as_ref().map(|(busy, _)| busy.clone());
        for caller in callers {
            let is_in_flight = in_flight.as_ref().is_some_and(|busy| busy.is_same_post(&caller));
            if !is_in_flight && !queue.waiters.contains_key(&caller) {
                queue.insert(&caller, now, true);
            }
        }
    }

    /// The operation begins to post.
    pub(super) fn begin(&mut self, channel: &str, caller: &QueuedOperation, now: Instant) {
        if self.by_channel.len() > MAX_QUEUES {
            self.evict_idle(now);
        }
        let queue = self.queue(channel, now);
        queue.waiters.remove(caller);
        let timings = queue.timings;
        queue.waiters.retain(|other, waiting| waiting.has_turn(now, &timings) && !caller.is_same_post(other));
        queue.in_flight = Some((caller.clone(), now));
    }

    /// One message is sent.
    pub(super) fn consume(&mut self, channel: &str, now: Instant) {
        if let Some(queue) = self.by_channel.get_mut(channel).filter(|queue| queue.is_throttled) {
            queue.not_before = queue.not_before.max(now + queue.timings.interval);
        }
    }

    /// Whether the operation is so near its turn that its reconcile may stay, and whether its turn has come.
    pub(super) fn try_park(&mut self, channel: &str, caller: &QueuedOperation, now: Instant) -> Option<bool> {
        let queue = self.by_channel.get_mut(channel)?;
        let position = queue.position(caller, now);
        let is_free =
            queue.in_flight.as_ref().is_none_or(|(_, since)| *since + queue.timings.max_blocking <= now)
                && queue.not_before <= now;
        let is_near =
            !queue.is_throttled && usize::try_from(position).is_ok_and(|position| position < MAX_PARKED);
        let waiting = queue.waiters.get_mut(caller)?;
        waiting.is_parked = is_near;
        is_near.then_some(position == 0 && is_free)
    }

    /// Its reconcile does not stay any longer.
    pub(super) fn unpark(&mut self, channel: &str, caller: &QueuedOperation) {
        if let Some(waiting) =
            self.by_channel.get_mut(channel).and_then(|queue| queue.waiters.get_mut(caller))
        {
            waiting.is_parked = false;
        }
    }

    /// The operation that posts has ended, with any outcome. Returns the requests to wake now.
    pub(super) fn end(&mut self, channel: &str, caller: &QueuedOperation, now: Instant) -> Vec<RequestId> {
        let Some(queue) = self.by_channel.get_mut(channel) else { return Vec::new() };
        if queue.in_flight.as_ref().is_none_or(|(busy, _)| busy != caller) {
            return Vec::new();
        }
        queue.in_flight = None;
        if queue.waiters.is_empty()
            && queue.last_failure.is_none()
            && queue.not_before <= now
            && !queue.is_throttled
        {
            self.by_channel.remove(channel);
            return Vec::new();
        }
        queue.next_to_wake(now)
    }

    /// The same for all operations of one request.
    pub(super) fn end_all(&mut self, id: &RequestId, now: Instant) -> Vec<RequestId> {
        let is_its = |queue: &ChannelQueue| queue.in_flight.as_ref().is_some_and(|(busy, _)| busy.id == *id);
        let begun = self.by_channel.iter().filter(|(_, queue)| is_its(queue));
        let begun: Vec<_> = begun
            .filter_map(|(channel, queue)| Some((channel.clone(), queue.in_flight.clone()?.0)))
            .collect();
        begun.iter().flat_map(|(channel, caller)| self.end(channel, caller, now)).collect()
    }

    /// The operation comes again at `due`. Until then it waits for something else, or for what all wait for (`is_ready`).
    pub(super) fn requeue(
        &mut self,
        channel: &str,
        caller: &QueuedOperation,
        due: Instant,
        is_ready: bool,
        now: Instant,
    ) {
        self.queue(channel, now).insert(caller, due, is_ready);
    }

    /// The operation waits for something that may take long, or for nothing.
    pub(super) fn remove(&mut self, channel: &str, caller: &QueuedOperation) {
        if let Some(queue) = self.by_channel.get_mut(channel) {
            queue.waiters.remove(caller);
        }
    }

    /// The operation is not needed. Returns the requests to wake now.
    pub(super) fn leave(&mut self, caller: &QueuedOperation, now: Instant) -> Vec<RequestId> {
        let left =
            self.by_channel.values_mut().filter_map(|queue| queue.waiters.remove(caller).map(|_| queue));
        left.filter(|queue| queue.in_flight.is_none()).flat_map(|queue| queue.next_to_wake(now)).collect()
    }

    /// The channel accepted a message.
    pub(super) fn on_accepted(&mut self, channel: &str, caller: &QueuedOperation) {
        if let Some(queue) = self.by_channel.get_mut(channel) {
            queue.last_failure = None;
            if queue.bypassed.as_ref() == Some(caller) {
                queue.bypassed = None;
            }
        }
    }

    /// Slack, or the connection to it, failed for a while. The operation comes again at `due`; those behind wait for it, but
    /// not forever.
    pub(super) fn on_failure(&mut self, channel: &str, caller: &QueuedOperation, due: Instant, now: Instant) {
        let queue = self.queue(channel, now);
        queue.insert(caller, due, false);
        let times = match &queue.last_failure {
            Some((before, times)) if before == caller => times + 1,
            _ => 1,
        };
        queue.last_failure = Some((caller.clone(), times));
        if times.is_multiple_of(FAILURES_BEFORE_BYPASS) {
            queue.bypassed = Some(caller.clone());
            return;
        }
        // Another operation failed, too, so the cause is the channel: the first in the queue tries it.
        let first =
            queue.bypassed.take().and_then(|first| queue.waiters.get(&first)).map_or(due, |first| first.due);
        queue.not_before = queue.not_before.max(first);
    }

    /// Slack rate-limited `channel` until `from`. The caller keeps its position in the queue.
    pub(super) fn throttle(&mut self, channel: &str, caller: &QueuedOperation, from: Instant, now: Instant) {
        self.evict_idle(now);
        let queue = self.queue(channel, now);
        (queue.not_before, queue.is_throttled) = (queue.not_before.max(from), true);
        queue.insert(caller, from, true);
    }

    /// Forgets idle queues.
    fn evict_idle(&mut self, now: Instant) {
        let timings = self.timings;
        self.by_channel.retain(|_, queue| {
            queue.waiters.retain(|_, waiting| waiting.has_turn(now, &timings));
            let is_waited_for = queue.in_flight.is_some() || !queue.waiters.is_empty();
            is_waited_for || queue.not_before + timings.reset_after > now
        });
    }
}

#[cfg(test)]
mod tests;
