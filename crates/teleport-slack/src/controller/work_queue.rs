//! The keyed schedule: which request to reconcile, and when.
//!
//! The same key twice keeps the earlier time; a key that is being worked on is held back until that run ends.
//! No clock and no task of its own: `now` is an argument, so every property is tested without waiting.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::Hash;

use tokio::time::Instant;

/// Superseded times that are not worth clearing away.
const COMPACTION_SLACK: usize = 64;

/// Keys and the times at which they are due. Holds each key once: bounded by the number of requests.
#[derive(Debug)]
pub(super) struct WorkQueue<K> {
    due: HashMap<K, Instant>,
    /// May hold times that were superseded; `due` has the last word.
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    running: HashSet<K>,
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    pub(super) fn new() -> Self {
        Self { due: HashMap::new(), heap: BinaryHeap::new(), running: HashSet::new() }
    }

    /// Makes `key` due at `at`, or earlier if it already is.
    pub(super) fn enqueue_at(&mut self, key: K, at: Instant) {
        if self.due.get(&key).is_some_and(|before| *before <= at) {
            return;
        }
        self.due.insert(key.clone(), at);
        if !self.running.contains(&key) {
            self.push(at, key);
        }
    }

    /// Superseded times would stay until they have come, which may be days; once they are the greater part, they go.
    fn push(&mut self, at: Instant, key: K) {
        self.heap.push(Reverse((at, key)));
        if self.heap.len() > 2 * self.due.len() + COMPACTION_SLACK {
            let waiting = self.due.iter().filter(|(key, _)| !self.running.contains(*key));
            self.heap = waiting.map(|(key, at)| Reverse((*at, key.clone()))).collect();
        }
    }

    /// The next key that is due and not being worked on; it counts as being worked on until [`WorkQueue::done`].
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        while let Some(Reverse((at, key))) = self.heap.peek().cloned() {
            if self.is_superseded(at, &key) {
                self.heap.pop();
                continue;
            }
            if at > now {
                return None;
            }
            self.heap.pop();
            self.due.remove(&key);
            self.running.insert(key.clone());
            return Some(key);
        }
        None
    }

    /// The run of `key` ended; it may be due again.
    pub(super) fn done(&mut self, key: K, again: Option<Instant>) {
        self.running.remove(&key);
        if let Some(at) = again {
            self.enqueue_at(key.clone(), at);
        }
        if let Some(at) = self.due.get(&key).copied() {
            self.push(at, key);
        }
    }

    /// Whether `key` is due now or later.
    pub(super) fn is_queued(&self, key: &K) -> bool {
        self.due.contains_key(key)
    }

    /// The keys that are due now or later.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        self.due.keys().cloned()
    }

    /// How many keys are due now or later.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// When the next key is due that is not being worked on.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, key))) = self.heap.peek() {
            if !self.is_superseded(*at, key) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    fn is_superseded(&self, at: Instant, key: &K) -> bool {
        self.running.contains(key) || self.due.get(key) != Some(&at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn drain(queue: &mut WorkQueue<u8>, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop_due(now)).collect()
    }

    #[test]
    fn the_earlier_time_wins_and_each_key_runs_once() {
        let (mut queue, start) = (WorkQueue::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        queue.enqueue_at(1, at(5));
        queue.enqueue_at(1, at(9));
        queue.enqueue_at(2, at(4));
        queue.enqueue_at(2, at(3));
        assert_eq!(queue.next_due(), Some(at(3)));
        assert_eq!(drain(&mut queue, at(3)), [2]);
        assert_eq!(queue.next_due(), Some(at(5)));
        assert_eq!(drain(&mut queue, at(60)), [1]);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn times_that_were_superseded_do_not_pile_up() {
        let (mut queue, start) = (WorkQueue::new(), Instant::now());
        let expiry = start + Duration::from_secs(86_400);
        for round in 0..10_000 {
            let now = start + Duration::from_millis(round);
            for key in 0..10 {
                queue.enqueue_at(key, now);
            }
            for key in drain(&mut queue, now) {
                queue.done(key, Some(expiry));
            }
            assert!(queue.heap.len() <= 2 * queue.due.len() + COMPACTION_SLACK, "{}", queue.heap.len());
        }
        assert_eq!(queue.next_due(), Some(expiry));
        assert_eq!(drain(&mut queue, expiry).len(), 10);
    }

    #[test]
    fn a_running_key_is_held_back_and_runs_again() {
        let (mut queue, now) = (WorkQueue::new(), Instant::now());
        queue.enqueue_at(1, now);
        assert_eq!(queue.pop_due(now), Some(1));
        queue.enqueue_at(1, now);
        assert_eq!((queue.pop_due(now), queue.next_due()), (None, None));
        queue.done(1, Some(now + Duration::from_secs(9)));
        assert_eq!(queue.pop_due(now), Some(1));
        queue.done(1, None);
        assert_eq!((queue.pop_due(now), queue.next_due()), (None, None));
    }

    proptest! {
        /// Whatever the order of wakes, starts and finishes: no key runs twice at once, no wake is lost.
        #[test]
        fn no_wake_is_lost_and_no_key_runs_twice(steps in proptest::collection::vec((0..3u8, 0..4u8, 0..9u64), 0..60)) {
            let (mut queue, mut now) = (WorkQueue::new(), Instant::now());
            let mut running: HashSet<u8> = HashSet::new();
            let mut owed: HashSet<u8> = HashSet::new();
            for (action, key, seconds) in steps {
                match action {
                    0 => {
                        queue.enqueue_at(key, now + Duration::from_secs(seconds));
                        owed.insert(key);
                    }
                    1 => {
                        now += Duration::from_secs(seconds);
                        while let Some(key) = queue.pop_due(now) {
                            prop_assert!(running.insert(key), "{} ran twice at once", key);
                            owed.remove(&key);
                        }
                    }
                    _ if running.remove(&key) => queue.done(key, None),
                    _ => {}
                }
            }
            for key in running {
                queue.done(key, None);
            }
            let rest: HashSet<u8> = std::iter::from_fn(|| queue.pop_due(now + Duration::from_secs(10))).collect();
            prop_assert_eq!(rest, owed);
        }
    }
}
