//! The long-lived tasks: each has a name and an owner, and none ends unnoticed.

use std::future::Future;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// The long-lived tasks of the daemon. If one of them ends before the stop, the daemon stops in order.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<()>,
    names: Vec<(Id, &'static str)>,
    stop: CancellationToken,
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
        Self { set: JoinSet::new(), names: Vec::new(), stop }
    }

    /// Starts a task that runs until the stop.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.push((id, name));
    }

    /// Waits until all tasks have ended.
    ///
    /// # Errors
    /// [`TaskError`] if one ends on its own or panics; the others are then stopped and awaited.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let mut outcome = Ok(());
        while let Some(ended) = self.set.join_next_with_id().await {
            let (id, how) = match ended {
                Ok((id, ())) => (id, "ended"),
                Err(error) => (error.id(), if error.is_panic() { "panicked" } else { "was cancelled" }),
            };
            if how == "ended" && self.stop.is_cancelled() {
                continue;
            }
            let name = self.names.iter().find(|(known, _)| *known == id).map_or("unnamed", |(_, name)| name);
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
