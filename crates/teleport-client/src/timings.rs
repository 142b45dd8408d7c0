//! How long the client waits for a server.

use std::time::Duration;

use access_core::domain::backoff::Backoff;

/// The most that each kind of call may take, which is also the number of seconds that its error names, and the pauses between
/// tries.
#[derive(Clone, Copy, Debug)]
pub struct CallTimings {
    /// An attempt to connect: name, TCP and TLS together.
    pub connect: Duration,
    /// A small call. Longer than an attempt to connect, which may happen inside it and whose own error says more.
    pub call: Duration,
    /// The answer that shows that the server is there.
    pub liveness: Duration,
    /// From opening a watch until the server says that it watches.
    pub watch: Duration,
    /// A list of users or of plugin data with all its pages, and one piece of the list of requests: a page, or the next
    /// message of a stream. One message may be the whole list.
    pub list: Duration,
    /// The list of requests with all its pages. The watcher reports changes meanwhile.
    pub all_requests: Duration,
    /// Before a write that lost to another writer is tried again.
    pub contended: Backoff,
    /// Before a list that failed or was not complete is made again.
    pub list_retry: Backoff,
}

impl Default for CallTimings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            call: Duration::from_secs(15),
            liveness: Duration::from_secs(8),
            watch: Duration::from_secs(30),
            list: Duration::from_secs(60),
            all_requests: Duration::from_secs(600),
            contended: Backoff { first: Duration::from_millis(25), cap: Duration::from_millis(500) },
            list_retry: Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(60) },
        }
    }
}
