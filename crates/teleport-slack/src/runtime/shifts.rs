//! Works on what comes in, several at a time; told to stop, it first finishes what was acknowledged.
//!
//! What the work is, `clicks` says; what comes in and is acknowledged, `intake`.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Clicks worked on at once.
const MAX_AT_WORK: usize = 64;
/// How long what was begun may go on after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// Does `work` on each of `items` until told to stop, and then on those that still come, because what came over a
/// socket is acknowledged by then. Ends when nobody can bring more and all is done, or 15 s after it was told to.
pub(super) async fn work_on<T, Work>(
    mut items: mpsc::Receiver<T>,
    stop: CancellationToken,
    work: impl Fn(T) -> Work,
) where
    Work: Future<Output = ()> + Send + 'static,
{
    let mut at_work = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = at_work.join_next() => report(ended),
            Some(item) = items.recv(), if at_work.len() < MAX_AT_WORK => {
                at_work.spawn(work(item));
            }
        }
    }
    let finish = async {
        while let Some(item) = items.recv().await {
            if at_work.len() >= MAX_AT_WORK {
                at_work.join_next().await.into_iter().for_each(report);
            }
            at_work.spawn(work(item));
        }
        while let Some(ended) = at_work.join_next().await {
            report(ended);
        }
    };
    if timeout(DRAIN, finish).await.is_err() {
        warn!("Clicks were still being worked on and are given up; those who clicked must click again");
    }
}

fn report(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("Working on a click panicked; this is a fault of teleport-slack, please report it");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;

    /// Counts what was done, each after a second.
    fn counting(done: &Arc<AtomicUsize>) -> impl Fn(usize) -> futures_util::future::BoxFuture<'static, ()> {
        let done = Arc::clone(done);
        move |_| {
            let done = Arc::clone(&done);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                done.fetch_add(1, Ordering::Relaxed);
            })
        }
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
    async fn work_that_does_not_end_and_those_who_bring_more_are_not_waited_for_forever() {
        let (bring, items) = mpsc::channel(1);
        let (stop, began) = (CancellationToken::new(), Instant::now());
        bring.try_send(0).unwrap();
        let never = Arc::new(Notify::new());
        let hanging = |_| {
            let never = Arc::clone(&never);
            async move { never.notified().await }
        };
        stop.cancel();
        work_on(items, stop, hanging).await;
        assert_eq!(began.elapsed(), DRAIN);
        drop(bring);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_nothing_else() {
        let (bring, items) = mpsc::channel(2);
        let done = Arc::new(AtomicUsize::new(0));
        let panicking = |number: usize| {
            let done = Arc::clone(&done);
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
        tokio::join!(work_on(items, stop.clone(), panicking), bringing);
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}
