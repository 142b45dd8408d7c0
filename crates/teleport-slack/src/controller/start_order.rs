//! Lets visits that began earlier to requests that were made earlier get in line first: reading takes now longer, now
//! shorter, and who posts first is decided by who is in line (`pace`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_core::domain::ids::RequestId;
use jiff::Timestamp;
use tokio::sync::Notify;

/// Nobody is waited for longer, such as one whose record Teleport is slow to give.
const MAX_WAIT: Duration = Duration::from_millis(500);

type Key = (Option<Timestamp>, RequestId);

/// The visits that have not yet got in line.
#[derive(Debug, Default)]
pub(super) struct StartOrder {
    in_progress: Mutex<InProgress>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct InProgress {
    /// By the age of the request; the number tells which visit began first.
    reconciles: BTreeMap<Key, u64>,
    next_number: u64,
}

/// One visit that has not yet got in line; it has when this is dropped.
#[derive(Debug)]
pub(super) struct OrderGuard<'a> {
    order: &'a StartOrder,
    key: Key,
    number: u64,
}

impl StartOrder {
    /// A visit begins to a request that was made then.
    pub(super) fn begin(&self, made: Option<Timestamp>, id: &RequestId) -> OrderGuard<'_> {
        let key = (made, id.clone());
        let mut under_way = self.lock();
        let number = under_way.next_number;
        under_way.next_number += 1;
        under_way.reconciles.insert(key.clone(), number);
        drop(under_way);
        OrderGuard { order: self, key, number }
    }

    fn lock(&self) -> MutexGuard<'_, InProgress> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OrderGuard<'_> {
    /// Waits for those who are before it, but not for long.
    pub(super) async fn wait_for_earlier(&self) {
        let wait = async {
            loop {
                let changed = self.order.changed.notified();
                if !self.has_earlier() {
                    return;
                }
                changed.await;
            }
        };
        // Whoever is late may still come first if nothing is under way.
        tokio::time::timeout(MAX_WAIT, wait).await.ok();
    }

    fn has_earlier(&self) -> bool {
        self.order.lock().reconciles.range(..&self.key).any(|(_, number)| *number < self.number)
    }
}

impl Drop for OrderGuard<'_> {
    fn drop(&mut self) {
        self.order.lock().reconciles.remove(&self.key);
        self.order.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use tokio::time::Instant;

    use super::*;

    fn made(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[tokio::test(start_paused = true)]
    async fn only_older_requests_that_were_begun_earlier_are_waited_for() {
        let all = StartOrder::default();
        let id = RequestId::new;
        let [one, three, two] =
            [(1, "1"), (3, "3"), (2, "2")].map(|(at, name)| all.begin(made(at), &id(name)));
        let mut waits = std::pin::pin!(three.wait_for_earlier());
        assert_eq!(poll!(&mut waits), Poll::Pending);
        drop(one);
        assert_eq!(poll!(&mut waits), Poll::Ready(()), "the second began later");
        assert!(!two.has_earlier());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_for_long() {
        let all = StartOrder::default();
        let _slow = all.begin(made(1), &RequestId::new("1"));
        let other = all.begin(made(2), &RequestId::new("2"));
        let begun = Instant::now();
        other.wait_for_earlier().await;
        assert_eq!(begun.elapsed(), MAX_WAIT);
    }
}
