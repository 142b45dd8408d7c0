//! How long the controller waits: between tries, for a channel that refuses, for work in progress at the stop.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::record::claim::ClaimTimings;

use crate::supervise::shutdown;

/// The waits of the controller; `app::timings` checks them with all others.
#[derive(Clone, Copy, Debug)]
pub struct ControllerTimings {
    /// How long claims last.
    pub claim: ClaimTimings,
    /// After transient errors of Slack: again soon, then a few times a minute.
    pub transient: Backoff,
    /// After a post whose outcome is not known. It may be there already, so the retry need not hurry.
    pub ambiguous: Backoff,
    /// After refused credentials: an operator must act, so retry now and then.
    pub unauthorized: Backoff,
    /// Refused until a user changes something in Slack (invites the bot, unarchives the channel). That user sees the
    /// effect soon, and there is no tight retry loop.
    pub refused: Backoff,
    /// The least time between two probes of a channel that refuses every message. It is shorter than the first wait, so an
    /// operation that waited does not run into it.
    pub refused_probe_interval: Duration,
    /// How long after the next probe of such a channel the other operations come.
    pub refused_stagger: Duration,
    /// A post is in doubt, the bot cannot read the history, and Slack has not answered posts to that destination since.
    pub no_access: Backoff,
    /// The least time between two probes of such a destination.
    pub no_access_probe_interval: Duration,
    /// After a failed look-up of a recipient.
    pub lookup: Backoff,
    /// Teleport does not answer. The watcher retries at once when its connection is back.
    pub teleport_unavailable: Backoff,
    /// Teleport refuses. An operator must act.
    pub teleport_denied: Backoff,
    /// Something that a verdict depends on cannot be read, or the votes do not suffice after all.
    pub undecided: Backoff,
    /// When to check for the results of look-ups without a wake-up.
    pub lookup_recheck: Duration,
    /// After a look-up that found no user: a user who is not in Slack today may be tomorrow.
    pub unresolved: Duration,
    /// Every request is reconciled again this often although nothing woke it.
    pub resync: Duration,
    /// After a reconcile that panicked.
    pub after_panic: Duration,
    /// How long reconciles in progress may go on after the daemon is asked to stop.
    pub drain: Duration,
}

impl Default for ControllerTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let backoff = |first, cap| Backoff { first: seconds(first), cap: seconds(cap) };
        Self {
            claim: ClaimTimings::default(),
            transient: backoff(1, 20),
            ambiguous: backoff(2, 60),
            unauthorized: backoff(10, 600),
            refused: backoff(15, 600),
            refused_probe_interval: seconds(7),
            refused_stagger: seconds(1),
            no_access: backoff(2, 60),
            no_access_probe_interval: seconds(5),
            lookup: backoff(1, 60),
            teleport_unavailable: backoff(1, 20),
            teleport_denied: backoff(10, 300),
            undecided: backoff(5, 300),
            lookup_recheck: seconds(60),
            unresolved: seconds(600),
            resync: seconds(600),
            after_panic: seconds(60),
            drain: shutdown::WORK,
        }
    }
}
