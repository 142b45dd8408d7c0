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
const MAX_AT_WORK: usize = 64;
/// How long what was begun may go on after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(15);
/// How long it may then take to tell those whose clicks are given up.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is done with each item.
pub(super) trait Shift<T>: Clone {
    /// Who waits for an answer.
    type Who: Send + 'static;

    /// Who waits for this one.
    fn who(&self, item: &T) -> Self::Who;

    /// Works on it, to the answer.
    fn work(self, item: T) -> impl Future<Output = ()> + Send + 'static;

    /// Says that the work ended before its outcome was known.
    fn sorry(self, who: Self::Who) -> impl Future<Output = ()> + Send + 'static;
}

/// Works on each of `items` until told to stop, and then on those that still come, because what came over a
/// socket is acknowledged by then. Ends when nobody can bring more and all is done, or 15 s after it was told to; those
/// who still wait are then told so, within 3 s, as is whoever's work panicked.
pub(super) async fn work_on<T, S: Shift<T>>(mut items: mpsc::Receiver<T>, stop: CancellationToken, shift: S) {
    let mut work = AtWork { shift, tasks: JoinSet::new(), who: HashMap::new() };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = work.tasks.join_next_with_id() => work.ended(ended),
            Some(item) = items.recv(), if work.tasks.len() < MAX_AT_WORK => work.begin(item),
        }
    }
    let finish = async {
        loop {
            // A place first: an item that was taken out and waits for one would be lost when the time is up.
            while work.tasks.len() >= MAX_AT_WORK {
                let ended = work.tasks.join_next_with_id().await;
                ended.into_iter().for_each(|ended| work.ended(ended));
            }
            let Some(item) = items.recv().await else { break };
            work.begin(item);
        }
        while let Some(ended) = work.tasks.join_next_with_id().await {
            work.ended(ended);
        }
    };
    if timeout(DRAIN, finish).await.is_err() {
        warn!(
            "Clicks were still being worked on and are given up; those who clicked are told to look and to click again"
        );
        items.close();
        let left = std::iter::from_fn(|| items.try_recv().ok()).collect();
        if timeout(FAREWELL, work.give_up(left)).await.is_err() {
            warn!("Not all of those who clicked could be told");
        }
    }
}

struct AtWork<S: Shift<T>, T> {
    shift: S,
    tasks: JoinSet<()>,
    who: HashMap<Id, S::Who>,
}

impl<S: Shift<T>, T> AtWork<S, T> {
    fn begin(&mut self, item: T) {
        let who = self.shift.who(&item);
        let task = self.tasks.spawn(self.shift.clone().work(item));
        self.who.insert(task.id(), who);
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let who = self.who.remove(&id);
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!(
                "Working on a click panicked; this is a fault of teleport-slack, please report it"
            );
            if let Some(who) = who {
                self.tasks.spawn(self.shift.clone().sorry(who));
            }
        }
    }

    /// Ends what is being worked on, and tells those who wait for it or for what was `left`.
    async fn give_up(mut self, left: Vec<T>) {
        self.tasks.shutdown().await;
        let waiting = left.iter().map(|item| self.shift.who(item)).chain(self.who.into_values());
        let mut telling: JoinSet<()> = waiting.map(|who| self.shift.clone().sorry(who)).collect();
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

    impl<F, W> Shift<usize> for Test<F>
    where
        F: Fn(usize) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        type Who = usize;

        fn who(&self, item: &usize) -> usize {
            *item
        }

        fn work(self, item: usize) -> impl Future<Output = ()> + Send + 'static {
            (self.work)(item)
        }

        async fn sorry(self, who: usize) {
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
        let working = work_on(items, stop, counting(&done));
        // A transport that stops too, and has more to hand on than there is room for.
        let bringing = async move {
            for number in 0..2 * MAX_AT_WORK {
                bring.send(number).await.expect("it is still taken");
            }
        };
        tokio::join!(working, bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2 * MAX_AT_WORK);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_begun_at_once_than_may_be() {
        let (bring, items) = mpsc::channel(4 * MAX_AT_WORK);
        let (stop, done) = (CancellationToken::new(), Arc::default());
        for number in 0..=2 * MAX_AT_WORK {
            bring.try_send(number).unwrap();
        }
        let working = work_on(items, stop.clone(), counting(&done));
        let watching = async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert_eq!(done.load(Ordering::Relaxed), MAX_AT_WORK);
            stop.cancel();
            drop(bring);
        };
        tokio::join!(working, watching);
        assert_eq!(done.load(Ordering::Relaxed), 2 * MAX_AT_WORK + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_not_waited_for_forever_and_everybody_is_told() {
        let waiting = 2 * MAX_AT_WORK;
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
        work_on(items, stop, shift.clone()).await;
        assert_eq!(began.elapsed(), DRAIN);
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
        tokio::join!(work_on(items, stop.clone(), shift.clone()), bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2);
        assert_eq!(*shift.told.lock().unwrap(), [0], "whoever's work it was is told");
    }
}
