//! What a request's handler may do with the connection that the request came on.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Lets a request's handler cut the connection it came on.
#[derive(Clone, Default)]
pub(super) struct ConnectionHandle(pub(super) CancellationToken);

impl ConnectionHandle {
    /// Resets the connection. Never returns: the connection's task drops the caller with the connection.
    pub(super) async fn reset(&self) -> ! {
        self.cut();
        std::future::pending().await
    }

    /// Has the connection end with a reset when its owner drops it.
    pub(super) fn cut(&self) {
        self.0.cancel();
    }
}

/// Lets a request's handler go on with the connection after the request, as sockets do.
#[derive(Clone)]
pub(super) struct ServerTasks {
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}
