//! How long interactions wait for a worker.

use std::time::Duration;

/// The waits of interactions; `app::timings` checks them with all others.
#[derive(Clone, Copy, Debug)]
pub struct InteractionTimings {
    /// An interaction that is already acknowledged waits this long for a free worker.
    pub enqueue: Duration,
    /// The same once the daemon stops: the user must still get a reply.
    pub enqueue_at_stop: Duration,
    /// How long before its deadline a modal submission without a free worker is answered.
    pub ack_margin: Duration,
}

impl Default for InteractionTimings {
    fn default() -> Self {
        Self {
            enqueue: Duration::from_secs(30),
            enqueue_at_stop: Duration::from_secs(1),
            ack_margin: Duration::from_millis(500),
        }
    }
}
