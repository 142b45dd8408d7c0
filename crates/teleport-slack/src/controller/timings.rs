//! How long the controller waits: between tries, for a channel that refuses, for work in progress at the stop.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::record::claim::ClaimTimings;

use crate::supervise::shutdown;

/// No wait is longer: an instant holds no time that is much further away.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(86_400);

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
    /// Which operation may post into a channel, and when.
    pub turns: TurnTimings,
    /// What is known of a channel without use is forgotten after this time.
    pub forget_channel_after: Duration,
    /// When to check for the results of look-ups without a wake-up.
    pub lookup_recheck: Duration,
    /// After a look-up that found no user: a user who is not in Slack today may be tomorrow.
    pub unresolved: Duration,
    /// Every request is reconciled again this often although nothing woke it.
    pub resync: Duration,
    /// How often to compare the wall clock with the monotonic one.
    pub clock_check: Duration,
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
            turns: TurnTimings::default(),
            forget_channel_after: seconds(3_600),
            lookup_recheck: seconds(60),
            unresolved: seconds(600),
            resync: seconds(600),
            clock_check: seconds(2),
            after_panic: seconds(60),
            drain: shutdown::WORK,
        }
    }
}

/// The waits of operations that post into one channel.
#[derive(Clone, Copy, Debug)]
pub struct TurnTimings {
    /// Between two messages after Slack rate-limited the channel. Slack's figure is one message a second.
    pub interval: Duration,
    /// A channel where no operation waited for this long has no delay again.
    pub reset_after: Duration,
    /// A call that takes longer no longer blocks the operations behind it.
    pub max_blocking: Duration,
    /// An operation that does not start at its turn loses the turn after this time: another daemon applied it, or it is not
    /// needed any more.
    pub turn_timeout: Duration,
    /// An operation that waits for something else, such as the end of a pause, blocks the others only if that ends within
    /// this time.
    pub lookahead: Duration,
    /// How long a reconcile that is near its turn stays for it.
    pub park: Duration,
    /// How long a reconcile waits for one of an older request to join the queue; Teleport may be slow to return a record.
    pub start_order: Duration,
}

impl Default for TurnTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            interval: seconds(1),
            reset_after: seconds(10),
            max_blocking: seconds(1),
            turn_timeout: seconds(2),
            lookahead: seconds(1),
            park: seconds(1),
            start_order: Duration::from_millis(500),
        }
    }
}

impl TurnTimings {
    /// Whether the waits go together.
    ///
    /// # Errors
    /// A sentence about the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.reset_after <= self.interval {
            return Err(
                "a rate-limited channel is remembered between two messages, or its limit has no effect",
            );
        }
        if self.park < self.max_blocking {
            return Err(
                "a reconcile stays for as long as a call may block its turn, or it leaves just before",
            );
        }
        if self.turn_timeout <= self.start_order {
            return Err("a turn outlasts the wait for older requests, or that wait loses it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_turns_that_do_not_go_together_are_refused() {
        let good = TurnTimings::default();
        assert_eq!(good.check(), Ok(()));
        let bad = [
            (TurnTimings { reset_after: good.interval, ..good }, "has no effect"),
            (TurnTimings { park: good.max_blocking / 2, ..good }, "just before"),
            (TurnTimings { turn_timeout: good.start_order, ..good }, "loses it"),
        ];
        for (timings, words) in bad {
            let refusal = timings.check().unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
