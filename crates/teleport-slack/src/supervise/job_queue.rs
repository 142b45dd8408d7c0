//! Works on incoming items, several at a time. After the stop it first finishes what was acknowledged.
//!
//! `interactions/handler.rs` does the work; `interactions/receiver.rs` receives and acknowledges the items.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::shutdown::ShutdownTimings;
use super::worker_pool::{CLICKS, WorkerPool};

/// What is done with each item.
pub(crate) trait JobHandler<T>: Clone {
    /// The user who waits for an answer.
    type ReplyTo: Send + 'static;

    /// The user who waits for the answer to this item.
    fn reply_to(&self, item: &T) -> Self::ReplyTo;

    /// Works on the item until it is answered.
    fn handle(self, item: T) -> impl Future<Output = ()> + Send + 'static;

    /// Replies that the work ended before its outcome was known.
    fn on_aborted(self, reply_to: Self::ReplyTo) -> impl Future<Output = ()> + Send + 'static;
}

/// Works on each of `items` until the stop, and then on those that still come, because items from a socket are
/// acknowledged by then. Ends when all senders are gone and all work is done, or [`ShutdownTimings::clicks`] after the stop.
/// The users who still wait then get a reply within [`ShutdownTimings::replies`]. The user of an item whose work panics gets one
/// too.
pub(crate) async fn run_jobs<T, H: JobHandler<T>>(
    mut items: mpsc::Receiver<T>,
    stop: CancellationToken,
    handler: H,
    timings: ShutdownTimings,
) {
    let replies = timings.replies;
    let jobs = Jobs { pool: WorkerPool::new(CLICKS), handler, replies, unnotified: Arc::default() };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(item) = jobs.next(&mut items) => jobs.start(item),
        }
    }
    let finish = async {
        while let Some(item) = jobs.next(&mut items).await {
            jobs.start(item);
        }
        jobs.pool.drain().await;
    };
    if timeout(timings.clicks, finish).await.is_err() {
        warn!(
            "Stopped before all clicks were handled; the users get a reply that asks them to look and to click again"
        );
        jobs.pool.abort();
        items.close();
        std::iter::from_fn(|| items.try_recv().ok()).for_each(|item| jobs.start(item));
        jobs.pool.drain().await;
        let users = jobs.unnotified.load(Ordering::Relaxed);
        if users > 0 {
            warn!(users, "Not every user whose click was not handled could be notified");
        }
    }
}

struct Jobs<H> {
    pool: WorkerPool,
    handler: H,
    /// How long a reply may take.
    replies: Duration,
    /// Users of aborted items whose reply took too long.
    unnotified: Arc<AtomicUsize>,
}

impl<H> Jobs<H> {
    /// The next item, once there is a worker for it: one that was taken out and waits would be lost at a time-out. Ends
    /// with `None` when all senders are gone.
    async fn next<T>(&self, items: &mut mpsc::Receiver<T>) -> Option<T> {
        self.pool.has_room().await;
        items.recv().await
    }

    fn start<T>(&self, item: T)
    where
        H: JobHandler<T>,
    {
        let reply_to = self.handler.reply_to(&item);
        let notifying = self.handler.clone().on_aborted(reply_to);
        let (replies, unnotified) = (self.replies, Arc::clone(&self.unnotified));
        self.pool.spawn_or(self.handler.clone().handle(item), async move {
            if timeout(replies, notifying).await.is_err() {
                unnotified.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use parking_lot::Mutex;
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;
    use crate::supervise::shutdown;

    const DRAIN: Duration = shutdown::WORK;
    const TIMINGS: fn() -> ShutdownTimings = ShutdownTimings::default;

    /// Does its work, and records the users who got the reply that theirs was not done.
    #[derive(Clone)]
    struct Test<F> {
        work: F,
        notified: Arc<Mutex<Vec<usize>>>,
    }

    impl<F, W> Test<F>
    where
        F: Fn(usize) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        fn new(work: F) -> Self {
            Self { work, notified: Arc::default() }
        }
    }

    impl<F, W> JobHandler<usize> for Test<F>
    where
        F: Fn(usize) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        type ReplyTo = usize;

        fn reply_to(&self, item: &usize) -> usize {
            *item
        }

        fn handle(self, item: usize) -> impl Future<Output = ()> + Send + 'static {
            (self.work)(item)
        }

        async fn on_aborted(self, user: usize) {
            self.notified.lock().push(user);
        }
    }

    /// Counts what was done, each after a second.
    fn counting(
        done: &Arc<AtomicUsize>,
    ) -> Test<impl Fn(usize) -> futures_util::future::BoxFuture<'static, ()> + Clone + Send + 'static> {
        let done = Arc::clone(done);
        Test::new(move |_| {
            let done = Arc::clone(&done);
            let work = async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                done.fetch_add(1, Ordering::Relaxed);
            };
            work.boxed()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledged_items_are_handled_even_after_the_stop() {
        let (bring, items) = mpsc::channel(1);
        let (stop, done) = (CancellationToken::new(), Arc::default());
        stop.cancel();
        let working = run_jobs(items, stop, counting(&done), TIMINGS());
        // A transport that stops too, and has more to hand on than there is room for.
        let bringing = async move {
            for number in 0..2 * CLICKS.max_running {
                bring.send(number).await.expect("it is still taken");
            }
        };
        tokio::join!(working, bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2 * CLICKS.max_running);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_items_are_handled_at_once_than_allowed() {
        let (bring, items) = mpsc::channel(4 * CLICKS.max_running);
        let (stop, done) = (CancellationToken::new(), Arc::default());
        for number in 0..=2 * CLICKS.max_running {
            bring.try_send(number).unwrap();
        }
        let working = run_jobs(items, stop.clone(), counting(&done), TIMINGS());
        let watching = async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert_eq!(done.load(Ordering::Relaxed), CLICKS.max_running);
            stop.cancel();
            drop(bring);
        };
        tokio::join!(working, watching);
        assert_eq!(done.load(Ordering::Relaxed), 2 * CLICKS.max_running + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_aborted_and_every_user_is_notified() {
        let waiting = 2 * CLICKS.max_running;
        let (bring, items) = mpsc::channel(waiting);
        let (stop, began) = (CancellationToken::new(), Instant::now());
        (0..waiting).for_each(|number| bring.try_send(number).unwrap());
        let never = Arc::new(Notify::new());
        let hanging = move |_| {
            let never = Arc::clone(&never);
            async move { never.notified().await }
        };
        stop.cancel();
        let handler = Test::new(hanging);
        run_jobs(items, stop, handler.clone(), TIMINGS()).await;
        assert_eq!(began.elapsed(), DRAIN);
        assert!(bring.try_send(0).is_err(), "and no sender can add more");
        let mut notified = handler.notified.lock().clone();
        notified.sort_unstable();
        assert_eq!(notified, (0..waiting).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_notifies_its_user_and_ends_nothing_else() {
        let (bring, items) = mpsc::channel(2);
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        let panicking = move |number: usize| {
            let done = Arc::clone(&counted);
            async move {
                assert_ne!(number, 0, "on purpose");
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let stop = CancellationToken::new();
        let bringing = async {
            for number in 0..3 {
                bring.send(number).await.unwrap();
            }
            stop.cancel();
            drop(bring);
        };
        let handler = Test::new(panicking);
        tokio::join!(run_jobs(items, stop.clone(), handler.clone(), TIMINGS()), bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2);
        assert_eq!(*handler.notified.lock(), [0], "the user of that item");
    }
}
