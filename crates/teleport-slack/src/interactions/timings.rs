//! How long interactions wait for a worker.

use std::time::Duration;

use access_core::domain::backoff::Backoff;

/// The waits of interactions; `app::timings` checks them with all others.
#[derive(Clone, Copy, Debug)]
pub struct InteractionTimings {
    /// An interaction that is already acknowledged waits this long for a free worker.
    pub enqueue: Duration,
    /// The same once the daemon stops: the user must still get a reply.
    pub enqueue_at_stop: Duration,
    /// How long before its deadline a modal submission without a free worker is answered.
    pub ack_margin: Duration,
    /// Between the tries to give a reply that Slack did not take.
    pub late_reply: Backoff,
    /// Such a reply is given up after this time: the user has looked at the message by then.
    pub late_reply_until: Duration,
    /// A reply that Slack did not confirm is shown within this time, or never.
    pub late_reply_settles: Duration,
    /// While Slack is away, one such reply is tried in this time, so that the failure of other calls alone does not hold all
    /// up. Not more often: Slack may show what it did not confirm, so the next try must wait until that is final.
    pub late_reply_while_away: Duration,
    /// Replies for which there is no room have one line in this time.
    pub late_replies_rejected: Duration,
}

impl Default for InteractionTimings {
    fn default() -> Self {
        Self {
            enqueue: Duration::from_secs(30),
            enqueue_at_stop: Duration::from_secs(1),
            ack_margin: Duration::from_millis(500),
            late_reply: Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(15) },
            late_reply_until: Duration::from_mins(10),
            late_reply_settles: Duration::from_secs(9),
            late_reply_while_away: Duration::from_mins(1),
            late_replies_rejected: Duration::from_mins(1),
        }
    }
}
