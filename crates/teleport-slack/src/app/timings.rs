//! All waits of the daemon as one value. Replicas must have the same ones, so no key configures them: production has
//! [`Timings::default`], and tests build shorter ones in their own process.

use std::ops::Deref;
use std::time::Duration;

use access_core::domain::backoff::Backoff;

use crate::controller::ControllerTimings;
use crate::observe::file_watch::FileTimings;
use crate::supervise::shutdown::{self, ShutdownTimings};
use teleport_client::watcher::WatcherTimings;

/// The waits, unchecked.
#[derive(Clone, Copy, Debug)]
pub struct TimingValues {
    /// Claims, retries, probes, and the drain of reconciles.
    pub controller: ControllerTimings,
    /// The watch of access requests.
    pub watcher: WatcherTimings,
    /// What is waited for at start is tried again soon, then each half minute.
    pub startup: Backoff,
    /// The certificate for Teleport: a user or a role may come later than the certificate.
    pub identity_files: FileTimings,
    /// Slack's secrets.
    pub secret_files: FileTimings,
    /// The key and certificate of the callback listener.
    pub listener_files: FileTimings,
    /// How soon to ask whether Slack takes a refused token again.
    pub token_probe: Backoff,
    /// How often to look whether a missing right to decide was granted.
    pub permission_poll: Duration,
    /// How long clicks and listeners may go on after the daemon is asked to stop.
    pub shutdown: ShutdownTimings,
}

impl Default for TimingValues {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            controller: ControllerTimings::default(),
            watcher: WatcherTimings::default(),
            startup: Backoff { first: seconds(1), cap: seconds(30) },
            // What two looks in a row see is used: a new token or certificate may end an outage, and a look costs little.
            identity_files: FileTimings { poll: seconds(2), retry: seconds(10) },
            secret_files: FileTimings { poll: seconds(2), retry: seconds(60) },
            listener_files: FileTimings { poll: seconds(2), retry: seconds(10) },
            token_probe: Backoff { first: seconds(5), cap: seconds(60) },
            permission_poll: seconds(15),
            shutdown: ShutdownTimings::default(),
        }
    }
}

/// The waits of a daemon, checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings(TimingValues);

/// Waits that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the timings do not go together: {0}")]
pub struct TimingsError(&'static str);

impl Timings {
    /// Takes values that go together.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn new(values: TimingValues) -> Result<Self, TimingsError> {
        let controller = values.controller;
        let ControllerTimings { claim, refused, refused_probe_interval, drain, .. } = controller;
        claim.check().map_err(TimingsError)?;
        if drain <= claim.budget + claim.call {
            return Err(TimingsError(
                "the drain outlasts the budget of a claim and one call, or each stop leaves posts in doubt",
            ));
        }
        // The first wait has jitter: half of it at least.
        if refused_probe_interval >= refused.first / 2 {
            return Err(TimingsError(
                "the probes of a refusing channel come sooner than its operations try again, or these wait twice",
            ));
        }
        if values.shutdown.listeners >= values.shutdown.clicks {
            return Err(TimingsError(
                "the listeners end before the work on clicks, or a click comes after the last worker has ended",
            ));
        }
        let files = [values.identity_files, values.secret_files, values.listener_files];
        let files = files.into_iter().flat_map(|FileTimings { poll, retry }| [poll, retry]);
        let others = [
            values.permission_poll,
            values.watcher.probe_after,
            controller.unresolved,
            controller.resync,
            controller.after_panic,
        ];
        let retries = Self::backoffs(&values).map(|backoff| backoff.first);
        if files.chain(others).chain(retries).any(|wait| wait.is_zero()) {
            return Err(TimingsError("no wait between two tries is nothing, or the daemon spins"));
        }
        Ok(Self(values))
    }

    /// The longest that a stop takes, from the signal to the end of the process. A service manager that kills earlier
    /// (`TimeoutStopSec` of the README's unit) cuts work short.
    pub fn longest_stop(&self) -> Duration {
        let ShutdownTimings { clicks, replies, listeners } = self.0.shutdown;
        self.0.controller.drain.max(clicks + replies).max(listeners) + shutdown::LOG
    }

    fn backoffs(values: &TimingValues) -> [Backoff; 12] {
        let TimingValues { controller, watcher, startup, token_probe, .. } = *values;
        [
            controller.transient,
            controller.ambiguous,
            controller.unauthorized,
            controller.refused,
            controller.no_access,
            controller.lookup,
            controller.teleport_unavailable,
            controller.teleport_denied,
            controller.undecided,
            watcher.backoff,
            startup,
            token_probe,
        ]
    }
}

impl Deref for Timings {
    type Target = TimingValues;

    fn deref(&self) -> &TimingValues {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_refused(change: impl FnOnce(&mut TimingValues), words: &str) {
        let mut values = TimingValues::default();
        change(&mut values);
        let refusal = Timings::new(values).unwrap_err().to_string();
        assert!(refusal.contains(words), "{refusal}");
    }

    #[test]
    fn timings_that_do_not_go_together_are_refused() {
        Timings::new(TimingValues::default()).unwrap();
        let claim = ControllerTimings::default().claim;
        let work = claim.budget + claim.call;
        // The rules of claims have their own test in `access_core`.
        assert_refused(|values| values.controller.claim.timeout = work, "two daemons call Slack");
        assert_refused(|values| values.controller.drain = work, "leaves posts in doubt");
        let half = ControllerTimings::default().refused.first / 2;
        assert_refused(|values| values.controller.refused_probe_interval = half, "these wait twice");
        assert_refused(
            |values| values.shutdown.listeners = values.shutdown.clicks,
            "after the last worker has ended",
        );
        let zeros: [fn(&mut TimingValues); 6] = [
            |values| values.identity_files.poll = Duration::ZERO,
            |values| values.secret_files.retry = Duration::ZERO,
            |values| values.listener_files.retry = Duration::ZERO,
            |values| values.controller.unresolved = Duration::ZERO,
            |values| values.controller.resync = Duration::ZERO,
            |values| values.controller.after_panic = Duration::ZERO,
        ];
        for zero in zeros {
            assert_refused(zero, "the daemon spins");
        }
        assert_refused(|values| values.controller.undecided.first = Duration::ZERO, "the daemon spins");
        assert_refused(|values| values.watcher.probe_after = Duration::ZERO, "the daemon spins");
    }

    #[test]
    fn a_stop_takes_as_long_as_its_slowest_part_and_the_log() {
        let seconds = Duration::from_secs;
        assert_eq!(Timings::default().longest_stop(), seconds(19));
        let mut values = TimingValues::default();
        values.controller.drain = seconds(40);
        assert_eq!(Timings::new(values).unwrap().longest_stop(), seconds(41));
    }
}
