//! Works on incoming items, several at a time. After the stop it first finishes what was acknowledged.
//!
//! `interactions/handler.rs` does the work; `interactions/receiver.rs` receives and acknowledges the items.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Items worked on at once.
const MAX_CONCURRENT: usize = 64;
/// How long the replies to the users of aborted items may then take.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(3);

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
/// acknowledged by then. Ends when all senders are gone and all work is done, or `drain` after the stop. The users who still
/// wait then get a reply within 3 s. The user of an item whose work panics gets one too.
pub(crate) async fn run_worker_pool<T, H: JobHandler<T>>(
    mut items: mpsc::Receiver<T>,
    stop: CancellationToken,
    handler: H,
    drain: Duration,
) {
    let mut work = WorkerPool { handler, tasks: JoinSet::new(), reply_to: HashMap::new() };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = work.tasks.join_next_with_id() => work.on_ended(ended),
            Some(item) = items.recv(), if work.tasks.len() < MAX_CONCURRENT => work.spawn(item),
        }
    }
    let finish = async {
        loop {
            // A free worker first: an item that was taken out and waits for one would be lost at the time-out.
            while work.tasks.len() >= MAX_CONCURRENT {
                let ended = work.tasks.join_next_with_id().await;
                ended.into_iter().for_each(|ended| work.on_ended(ended));
            }
            let Some(item) = items.recv().await else { break };
            work.spawn(item);
        }
        while let Some(ended) = work.tasks.join_next_with_id().await {
            work.on_ended(ended);
        }
    };
    if timeout(drain, finish).await.is_err() {
        warn!(
            "Stopped before all clicks were handled; the users get a reply that asks them to look and to click again"
        );
        items.close();
        let left = std::iter::from_fn(|| items.try_recv().ok()).collect();
        if timeout(NOTIFY_TIMEOUT, work.abort(left)).await.is_err() {
            warn!("Not every user whose click was not handled could be notified");
        }
    }
}

struct WorkerPool<H: JobHandler<T>, T> {
    handler: H,
    tasks: JoinSet<()>,
    reply_to: HashMap<Id, H::ReplyTo>,
}

impl<H: JobHandler<T>, T> WorkerPool<H, T> {
    fn spawn(&mut self, item: T) {
        let reply_to = self.handler.reply_to(&item);
        let task = self.tasks.spawn(self.handler.clone().handle(item));
        self.reply_to.insert(task.id(), reply_to);
    }

    fn on_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let reply_to = self.reply_to.remove(&id);
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!("Working on a click panicked; this is a bug in teleport-slack; please report it");
            if let Some(reply_to) = reply_to {
                self.tasks.spawn(self.handler.clone().on_aborted(reply_to));
            }
        }
    }

    /// Ends the work, and replies to the users who wait for it or for an item that was `left`.
    async fn abort(mut self, left: Vec<T>) {
        self.tasks.shutdown().await;
        let waiting = left.iter().map(|item| self.handler.reply_to(item)).chain(self.reply_to.into_values());
        let mut replies: JoinSet<()> =
            waiting.map(|reply_to| self.handler.clone().on_aborted(reply_to)).collect();
        while replies.join_next().await.is_some() {}
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

    const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

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
        let working = run_worker_pool(items, stop, counting(&done), DRAIN_TIMEOUT);
        // A transport that stops too, and has more to hand on than there is room for.
        let bringing = async move {
            for number in 0..2 * MAX_CONCURRENT {
                bring.send(number).await.expect("it is still taken");
            }
        };
        tokio::join!(working, bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2 * MAX_CONCURRENT);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_items_are_handled_at_once_than_allowed() {
        let (bring, items) = mpsc::channel(4 * MAX_CONCURRENT);
        let (stop, done) = (CancellationToken::new(), Arc::default());
        for number in 0..=2 * MAX_CONCURRENT {
            bring.try_send(number).unwrap();
        }
        let working = run_worker_pool(items, stop.clone(), counting(&done), DRAIN_TIMEOUT);
        let watching = async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert_eq!(done.load(Ordering::Relaxed), MAX_CONCURRENT);
            stop.cancel();
            drop(bring);
        };
        tokio::join!(working, watching);
        assert_eq!(done.load(Ordering::Relaxed), 2 * MAX_CONCURRENT + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_aborted_and_every_user_is_notified() {
        let waiting = 2 * MAX_CONCURRENT;
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
        run_worker_pool(items, stop, handler.clone(), DRAIN_TIMEOUT).await;
        assert_eq!(began.elapsed(), DRAIN_TIMEOUT);
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
        tokio::join!(run_worker_pool(items, stop.clone(), handler.clone(), DRAIN_TIMEOUT), bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2);
        assert_eq!(*handler.notified.lock(), [0], "the user of that item");
    }
}
