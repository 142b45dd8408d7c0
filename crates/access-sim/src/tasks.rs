//! The owner of every task that a simulator starts, so that none outlives it unseen.
//!
//! Dropping a [`Tasks`] ends nothing, because it is cloned into accept loops. The handle that people hold (`TeleportSim`, `TcpProxy`) cancels on drop.

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A group of tasks that are cancelled, and waited for, together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Tasks {
    /// A group of its own that also ends when this one is cancelled.
    pub(crate) fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), token: self.token.child_token() }
    }

    /// A part of this group that can be cancelled on its own; waiting for the group waits for it too.
    pub(crate) fn part(&self) -> Self {
        Self { tracker: self.tracker.clone(), token: self.token.child_token() }
    }

    /// Runs `task` until it ends or the group is cancelled. Must be called within a Tokio runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        self.tracker.spawn(async move {
            token.run_until_cancelled_owned(task).await;
        });
    }

    /// Cancels the group when the guard is dropped.
    pub(crate) fn cancel_on_drop(&self) -> DropGuard {
        self.token.clone().drop_guard()
    }

    /// Cancels the group and waits until the last task is gone.
    pub(crate) async fn stop(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
