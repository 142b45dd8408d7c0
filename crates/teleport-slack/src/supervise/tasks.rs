//! The long-lived tasks: each has a name and an owner, and none ends unnoticed. Some are started, or end, while the others
//! run: what a reload replaces.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// Tasks that a running daemon adds at once.
const ADDED_CAPACITY: usize = 16;

/// The long-lived tasks of the daemon. If one of them ends before its time, the daemon stops in order.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<()>,
    running: Vec<(Id, &'static str, CancellationToken)>,
    stop: CancellationToken,
    starter: TaskStarter,
    added: mpsc::Receiver<Task>,
}

/// A task that was not started yet.
pub struct Task {
    name: &'static str,
    until: CancellationToken,
    work: BoxFuture<'static, ()>,
}

impl Task {
    /// A task that runs until `until`, which the stop must cancel too.
    pub fn new(
        name: &'static str,
        until: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { name, until: until.clone(), work: work.boxed() }
    }

    /// The same for work that does not end by itself.
    pub fn endless(
        name: &'static str,
        until: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let ends = until.clone();
        Self::new(name, until, async move {
            ends.run_until_cancelled(work).await;
        })
    }
}

/// Starts tasks while the others run.
#[derive(Clone, Debug)]
pub struct TaskStarter(mpsc::Sender<Task>);

impl TaskStarter {
    /// Starts a task. After the stop none is started.
    pub fn start(&self, task: Task) -> impl Future<Output = ()> + Send + use<> {
        let starter = self.0.clone();
        async move {
            // Without a receiver the daemon has stopped.
            let _ = starter.send(task).await;
        }
    }
}

/// A task ended that should have gone on.
#[derive(Debug, thiserror::Error)]
#[error("the task {name:?} {how}; this is a bug in teleport-slack; please report it")]
pub struct TaskError {
    name: &'static str,
    how: &'static str,
}

impl Tasks {
    /// No tasks; they end when `stop` is canceled.
    pub fn new(stop: CancellationToken) -> Self {
        let (starter, added) = mpsc::channel(ADDED_CAPACITY);
        Self { set: JoinSet::new(), running: Vec::new(), stop, starter: TaskStarter(starter), added }
    }

    /// Starts a task that runs until the stop.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.add(Task::new(name, &self.stop.clone(), task));
    }

    /// Starts a task that ends at a time of its own.
    pub fn add(&mut self, Task { name, until, work }: Task) {
        let id = self.set.spawn(work).id();
        self.running.push((id, name, until));
    }

    /// What starts tasks later, during [`Tasks::run`].
    pub fn starter(&self) -> TaskStarter {
        self.starter.clone()
    }

    /// Waits until all tasks have ended.
    ///
    /// # Errors
    /// [`TaskError`] if one ends on its own or panics; the others are then stopped and awaited.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let mut outcome = Ok(());
        loop {
            let ended = tokio::select! {
                Some(task) = self.added.recv(), if !self.stop.is_cancelled() => {
                    self.add(task);
                    continue;
                }
                ended = self.set.join_next_with_id() => match ended {
                    Some(ended) => ended,
                    None => break,
                },
            };
            let (id, how) = match ended {
                Ok((id, ())) => (id, "ended"),
                Err(error) => (error.id(), if error.is_panic() { "panicked" } else { "was cancelled" }),
            };
            let known = self.running.iter().position(|(known, ..)| *known == id);
            let (name, until) = match known.map(|at| self.running.swap_remove(at)) {
                Some((_, name, until)) => (name, until),
                None => ("unnamed", self.stop.clone()),
            };
            if how == "ended" && until.is_cancelled() {
                continue;
            }
            self.stop.cancel();
            if outcome.is_ok() {
                outcome = Err(TaskError { name, how });
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_is_not_reported_as_a_task_failure() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        let until = stop.clone();
        tasks.start("waits", async move { until.cancelled().await });
        stop.cancel();
        assert!(tasks.run().await.is_ok());
    }

    #[tokio::test]
    async fn tasks_are_added_and_end_at_their_own_time_while_others_run() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        let (starter, own) = (tasks.starter(), stop.child_token());
        let (until, ends) = (stop.clone(), own.clone());
        tasks.start("adds", async move {
            starter.start(Task::new("added", &own.clone(), async move { own.cancelled().await })).await;
            ends.cancel();
            starter.start(Task::new("early", &until.clone(), async {})).await;
            until.cancelled().await;
        });
        let error = tasks.run().await.unwrap_err().to_string();
        assert!(error.starts_with("the task \"early\" ended"), "{error}");
    }

    #[tokio::test]
    async fn a_panic_stops_the_others_and_is_named() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        let until = stop.clone();
        tasks.start("waits", async move { until.cancelled().await });
        tasks.start("watcher", async { panic!("boom") });
        let error = tasks.run().await.unwrap_err().to_string();
        assert!(error.starts_with("the task \"watcher\" panicked"), "{error}");
        assert!(stop.is_cancelled());
    }
}
