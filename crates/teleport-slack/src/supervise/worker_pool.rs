//! Works on what comes in, several at a time; told to stop, it first finishes what was acknowledged.
//!
//! What the work is, `clicks` says; what comes in and is acknowledged, `intake`.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Clicks worked on at once.
const MAX_CONCURRENT: usize = 64;
/// How long what was begun may go on after the daemon was told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may then take to tell those whose clicks are given up.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(3);

/// What is done with each item.
pub(crate) trait JobHandler<T>: Clone {
    /// Who waits for an answer.
    type ReplyTo: Send + 'static;

    /// Who waits for this one.
    fn reply_to(&self, item: &T) -> Self::ReplyTo;

    /// Works on it, to the answer.
    fn handle(self, item: T) -> impl Future<Output = ()> + Send + 'static;

    /// Says that the work ended before its outcome was known.
    fn on_aborted(self, who: Self::ReplyTo) -> impl Future<Output = ()> + Send + 'static;
}

/// Works on each of `items` until told to stop, and then on those that still come, because what came over a
/// socket is acknowledged by then. Ends when nobody can bring more and all is done, or 15 s after it was told to; those
/// who still wait are then told so, within 3 s, as is whoever's work panicked.
pub(crate) async fn run_worker_pool<T, S: JobHandler<T>>(
    mut items: mpsc::Receiver<T>,
    stop: CancellationToken,
    shift: S,
) {
    let mut work = WorkerPool { handler: shift, tasks: JoinSet::new(), reply_to: HashMap::new() };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = work.tasks.join_next_with_id() => work.on_ended(ended),
            Some(item) = items.recv(), if work.tasks.len() < MAX_CONCURRENT => work.spawn(item),
        }
    }
    let finish = async {
        loop {
            // A place first: an item that was taken out and waits for one would be lost when the time is up.
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
    if timeout(DRAIN_TIMEOUT, finish).await.is_err() {
        warn!(
            "Clicks were still being worked on and are given up; those who clicked are told to look and to click again"
        );
        items.close();
        let left = std::iter::from_fn(|| items.try_recv().ok()).collect();
        if timeout(NOTIFY_TIMEOUT, work.abort(left)).await.is_err() {
            warn!("Not all of those who clicked could be told");
        }
    }
}

struct WorkerPool<S: JobHandler<T>, T> {
    handler: S,
    tasks: JoinSet<()>,
    reply_to: HashMap<Id, S::ReplyTo>,
}

impl<S: JobHandler<T>, T> WorkerPool<S, T> {
    fn spawn(&mut self, item: T) {
        let who = self.handler.reply_to(&item);
        let task = self.tasks.spawn(self.handler.clone().handle(item));
        self.reply_to.insert(task.id(), who);
    }

    fn on_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let who = self.reply_to.remove(&id);
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!(
                "Working on a click panicked; this is a fault of teleport-slack, please report it"
            );
            if let Some(who) = who {
                self.tasks.spawn(self.handler.clone().on_aborted(who));
            }
        }
    }

    /// Ends what is being worked on, and tells those who wait for it or for what was `left`.
    async fn abort(mut self, left: Vec<T>) {
        self.tasks.shutdown().await;
        let waiting = left.iter().map(|item| self.handler.reply_to(item)).chain(self.reply_to.into_values());
        let mut telling: JoinSet<()> = waiting.map(|who| self.handler.clone().on_aborted(who)).collect();
        while telling.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;

    /// Does its work and counts what was done; those who were told that theirs was not are noted.
    #[derive(Clone)]
    struct Test<F> {
        work: F,
        told: Arc<Mutex<Vec<usize>>>,
    }

    impl<F, W> Test<F>
    where
        F: Fn(usize) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        fn new(work: F) -> Self {
            Self { work, told: Arc::default() }
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

        async fn on_aborted(self, who: usize) {
            self.told.lock().unwrap().push(who);
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
    async fn what_was_acknowledged_is_done_although_it_comes_after_the_stop() {
        let (bring, items) = mpsc::channel(1);
        let (stop, done) = (CancellationToken::new(), Arc::default());
        stop.cancel();
        let working = run_worker_pool(items, stop, counting(&done));
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
    async fn no_more_is_begun_at_once_than_may_be() {
        let (bring, items) = mpsc::channel(4 * MAX_CONCURRENT);
        let (stop, done) = (CancellationToken::new(), Arc::default());
        for number in 0..=2 * MAX_CONCURRENT {
            bring.try_send(number).unwrap();
        }
        let working = run_worker_pool(items, stop.clone(), counting(&done));
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
    async fn work_that_does_not_end_is_not_waited_for_forever_and_everybody_is_told() {
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
        let shift = Test::new(hanging);
        run_worker_pool(items, stop, shift.clone()).await;
        assert_eq!(began.elapsed(), DRAIN_TIMEOUT);
        assert!(bring.try_send(0).is_err(), "and nobody can bring more");
        let mut told = shift.told.lock().unwrap().clone();
        told.sort_unstable();
        assert_eq!(told, (0..waiting).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_and_ends_nothing_else() {
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
        let shift = Test::new(panicking);
        tokio::join!(run_worker_pool(items, stop.clone(), shift.clone()), bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2);
        assert_eq!(*shift.told.lock().unwrap(), [0], "whoever's work it was is told");
    }
}
