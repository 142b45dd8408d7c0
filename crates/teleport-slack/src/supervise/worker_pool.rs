//! Work that is started while the daemon runs: so much at a time, each panic logged once, and an end that can be waited
//! for or forced.
//!
//! The tasks that live as long as the daemon are in `tasks`. How long each pool may drain: `shutdown`.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// What is done, as the start of "… panicked".
    pub(crate) name: &'static str,
    /// How much at a time.
    pub(crate) max_running: usize,
}

/// Requests reconciled at a time. Most of them wait for one of the sender's 16 calls to Slack; four for each keep it busy.
pub(crate) const MAX_RECONCILES: usize = 64;
/// Clicks handled at a time. Each makes a handful of calls that take a second in all, so a burst of a few hundred is done
/// before its users stop waiting.
pub(crate) const CLICKS: Work = Work { name: "Handling a click", max_running: 64 };
/// Callbacks at a time: those whose clicks are handled, and three times as many that only wait for a place among them.
/// Slack waits 3 s, so no more would be answered. Socket Mode has the same number.
pub(crate) const CALLBACKS: Work = Work { name: "Handling a callback", max_running: 4 * CLICKS.max_running };
/// Connections to the callback listener at a time: each brings one callback.
pub(crate) const CALLBACK_CONNECTIONS: Work =
    Work { name: "A connection of the callback listener", max_running: CALLBACKS.max_running };
/// Connections to the diagnostics listener at a time: a few programs ask every few seconds.
pub(crate) const DIAGNOSTICS_CONNECTIONS: Work =
    Work { name: "A connection of the diagnostics listener", max_running: 32 };

/// Why work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkError {
    /// It panicked, which is in the log.
    Panicked,
    /// The pool was aborted.
    Aborted,
}

/// Work of one kind in progress; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct WorkerPool {
    work: Work,
    running: watch::Sender<usize>,
    aborted: CancellationToken,
}

impl WorkerPool {
    /// A pool without work.
    pub(crate) fn new(work: Work) -> Self {
        Self { work, running: watch::Sender::new(0), aborted: CancellationToken::new() }
    }

    /// How much is in progress.
    pub(crate) fn len(&self) -> usize {
        *self.running.borrow()
    }

    /// Whether no more may be started.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.work.max_running
    }

    /// Waits until more may be started.
    pub(crate) async fn has_room(&self) {
        self.wait_until(|running| running < self.work.max_running).await;
    }

    /// Waits until nothing is in progress.
    pub(crate) async fn drain(&self) {
        self.wait_until(|running| running == 0).await;
    }

    async fn wait_until(&self, is_met: impl Fn(usize) -> bool) {
        // It fails only without a sender, and there is one in `self`.
        let _ = self.running.subscribe().wait_for(|running| is_met(*running)).await;
    }

    /// Ends all work wherever it is, and what is started from now on before it begins.
    pub(crate) fn abort(&self) {
        self.aborted.cancel();
    }

    /// Starts work. It does not wait for room: the caller asks first. The work goes on if the handle is dropped.
    pub(crate) fn spawn<W>(&self, work: W) -> JoinHandle<Result<W::Output, WorkError>>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        self.start(self.clone().run(work))
    }

    /// Starts work. If it panics or is aborted, `otherwise` is done in its place, which cannot be aborted.
    pub(crate) fn spawn_or<W, O>(&self, work: W, otherwise: O)
    where
        W: Future<Output = ()> + Send + 'static,
        O: Future<Output = ()> + Send + 'static,
    {
        let run = self.clone().run(work);
        self.start(async move {
            if run.await.is_err() {
                otherwise.await;
            }
        });
    }

    async fn run<W: Future>(self, work: W) -> Result<W::Output, WorkError> {
        let work = AssertUnwindSafe(self.aborted.run_until_cancelled(work));
        match work.catch_unwind().await {
            Ok(Some(result)) => Ok(result),
            Ok(None) => Err(WorkError::Aborted),
            Err(_) => {
                error!("{} panicked; this is a bug in teleport-slack; please report it", self.work.name);
                Err(WorkError::Panicked)
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the pool is the owner: it counts, waits and ends")]
    fn start<W>(&self, work: W) -> JoinHandle<W::Output>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        let running = Running::new(&self.running);
        tokio::spawn(async move {
            let _running = running;
            work.await
        })
    }
}

/// Counts work until it is dropped, however it ends.
struct Running(watch::Sender<usize>);

impl Running {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|running| *running += 1);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access_sim::captured::Captured;
    use tokio::time::{sleep, timeout};

    use super::*;

    const TEST: Work = Work { name: "The test", max_running: 2 };

    #[tokio::test(start_paused = true)]
    async fn it_is_full_until_some_work_ends() {
        let pool = WorkerPool::new(TEST);
        let first = pool.spawn(sleep(Duration::from_secs(1)));
        assert!(!pool.is_full());
        pool.spawn(sleep(Duration::from_secs(9)));
        assert!(pool.is_full() && pool.len() == 2);
        assert!(timeout(Duration::from_millis(900), pool.has_room()).await.is_err());
        pool.has_room().await;
        assert_eq!((first.await.unwrap(), pool.len()), (Ok(()), 1));
        pool.drain().await;
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test]
    async fn a_panic_is_logged_once_and_what_is_done_in_its_place_is_waited_for() {
        let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
        let pool = WorkerPool::new(TEST);
        let (replied_tx, mut replied) = watch::channel(false);
        pool.spawn_or(async { panic!("on purpose") }, async move {
            replied_tx.send_replace(true);
        });
        let result: Result<(), _> = pool.spawn(async { panic!("on purpose") }).await.unwrap();
        assert_eq!(result, Err(WorkError::Panicked));
        pool.drain().await;
        assert!(*replied.borrow_and_update());
        assert_eq!(log.count("The test panicked; this is a bug"), 2, "{}", log.text());
    }

    #[tokio::test]
    async fn an_aborted_pool_ends_what_is_in_progress_and_begins_nothing() {
        let pool = WorkerPool::new(TEST);
        let hanging = pool.spawn(std::future::pending::<()>());
        let aborted = pool.spawn(std::future::pending::<()>());
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        pool.has_room().await;
        pool.abort();
        assert_eq!(hanging.await.unwrap(), Err(WorkError::Aborted));
        let result: Result<(), _> = pool.spawn(async { panic!("it began") }).await.unwrap();
        assert_eq!(result, Err(WorkError::Aborted));
        pool.drain().await;
    }
}
