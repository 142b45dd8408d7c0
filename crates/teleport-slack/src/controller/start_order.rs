//! Lets reconciles that began earlier, of requests that were made earlier, join the channel queue first.
//!
//! Reads take different times, and the channel queue (`channel_queue`) decides who posts first.

use std::collections::BTreeMap;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

type Key = (Option<Timestamp>, RequestId);

/// The reconciles that have not joined the queue yet.
#[derive(Debug, Default)]
pub(super) struct StartOrder {
    in_progress: Mutex<InProgress>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct InProgress {
    /// By the age of the request; the number shows which reconcile began first.
    reconciles: BTreeMap<Key, u64>,
    next_number: u64,
}

/// One reconcile that has not joined the queue yet; dropping the guard means that it has.
#[derive(Debug)]
pub(super) struct OrderGuard<'a> {
    order: &'a StartOrder,
    key: Key,
    number: u64,
}

impl StartOrder {
    /// A reconcile begins, of a request made at `created`.
    pub(super) fn begin(&self, created: Option<Timestamp>, id: &RequestId) -> OrderGuard<'_> {
        let key = (created, id.clone());
        let mut in_progress = self.lock();
        let number = in_progress.next_number;
        in_progress.next_number += 1;
        in_progress.reconciles.insert(key.clone(), number);
        drop(in_progress);
        OrderGuard { order: self, key, number }
    }

    fn lock(&self) -> MutexGuard<'_, InProgress> {
        self.in_progress.lock()
    }
}

impl OrderGuard<'_> {
    /// Waits for the earlier reconciles, but no longer than `limit`.
    pub(super) async fn wait_for_earlier(&self, limit: Duration) {
        let wait = async {
            loop {
                let changed = self.order.changed.notified();
                if !self.has_earlier() {
                    return;
                }
                changed.await;
            }
        };
        // A late reconcile may still be first if no post is in flight.
        tokio::time::timeout(limit, wait).await.ok();
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

    const LIMIT: Duration = Duration::from_millis(500);

    fn made(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_waits_only_for_older_requests_that_began_earlier() {
        let all = StartOrder::default();
        let id = RequestId::new;
        let [one, three, two] =
            [(1, "1"), (3, "3"), (2, "2")].map(|(at, name)| all.begin(made(at), &id(name)));
        let mut waits = std::pin::pin!(three.wait_for_earlier(LIMIT));
        assert_eq!(poll!(&mut waits), Poll::Pending);
        drop(one);
        assert_eq!(poll!(&mut waits), Poll::Ready(()), "the second began later");
        assert!(!two.has_earlier());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_an_earlier_reconcile_is_short() {
        let all = StartOrder::default();
        let _slow = all.begin(made(1), &RequestId::new("1"));
        let other = all.begin(made(2), &RequestId::new("2"));
        let begun = Instant::now();
        other.wait_for_earlier(LIMIT).await;
        assert_eq!(begun.elapsed(), LIMIT);
    }
}
