//! All waits of the daemon as one value. Replicas must have the same ones, so no key configures them: production has
//! [`Timings::default`], and tests build shorter ones in their own process.

use std::ops::Deref;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::outage::OutageTimings;

use crate::controller::ControllerTimings;
use crate::http::HttpTimings;
use crate::interactions::InteractionTimings;
use crate::observe::file_watch::FileTimings;
use crate::observe::health::DEFAULT_UNREADY_AFTER;
use crate::observe::service_timings::ServiceTimings;
use crate::review::ReviewTimings;
use crate::supervise::shutdown::ShutdownTimings;
use slack_client::socket_mode::SocketModeTimings;
use teleport_client::{CallTimings, WatcherTimings};

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
    /// The configuration, and what it names while it is refused.
    pub configuration: FileTimings,
    /// How soon to ask whether Slack takes a refused token again.
    pub token_probe: Backoff,
    /// How soon to ask whether Slack, which is away, answers again.
    pub slack_probe: Backoff,
    /// A question that was asked while nothing got through may hang although Slack is back: it is given up after this.
    pub slack_probe_limit: Duration,
    /// Deciding in Slack: how long reads count, and how often to look what Teleport allows.
    pub review: ReviewTimings,
    /// Interactions that wait for a worker.
    pub interactions: InteractionTimings,
    /// The listeners.
    pub http: HttpTimings,
    /// The connections of Socket Mode.
    pub socket_mode: SocketModeTimings,
    /// The calls to Slack.
    pub slack: slack_client::CallTimings,
    /// The calls to Teleport.
    pub teleport: CallTimings,
    /// What is lost or fails for longer makes the daemon unready.
    pub unready_after: Duration,
    /// When the log speaks of Teleport or Slack as away.
    pub outage: OutageTimings,
    /// Reports to the service manager.
    pub service: ServiceTimings,
    /// How long clicks may go on after the daemon is asked to stop, and the log.
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
            configuration: FileTimings { poll: seconds(2), retry: seconds(10) },
            token_probe: Backoff { first: seconds(5), cap: seconds(60) },
            slack_probe: Backoff { first: seconds(1), cap: seconds(4) },
            slack_probe_limit: seconds(3),
            review: ReviewTimings::default(),
            interactions: InteractionTimings::default(),
            http: HttpTimings::default(),
            socket_mode: SocketModeTimings::default(),
            slack: slack_client::CallTimings::default(),
            teleport: CallTimings::default(),
            unready_after: DEFAULT_UNREADY_AFTER,
            outage: OutageTimings::default(),
            service: ServiceTimings::default(),
            shutdown: ShutdownTimings::default(),
        }
    }
}

/// The waits of a daemon, checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings(TimingValues);

/// How long the start waits between two tries, and when the log speaks again of what it waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartupWaits {
    pub(crate) backoff: Backoff,
    pub(crate) outage: OutageTimings,
}

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
        let parts = [
            values.controller.claim.check(),
            values.controller.turns.check(),
            values.http.check(),
            values.socket_mode.check(),
            values.slack.check(),
            values.teleport.check(),
        ];
        parts.into_iter().collect::<Result<(), _>>().map_err(TimingsError)?;
        let broken = Self::rules(&values).into_iter().find(|(holds, _)| !holds);
        match broken {
            Some((_, rule)) => Err(TimingsError(rule)),
            None => Ok(Self(values)),
        }
    }

    /// Whether each rule between the parts holds, and what it says.
    fn rules(values: &TimingValues) -> [(bool, &'static str); 10] {
        let TimingValues { controller, service, interactions, socket_mode, http, review, .. } = values;
        let claim = controller.claim;
        [
            (
                values.slack.message <= claim.call,
                "a message is given up within the time of a call under a claim, or it outlasts the claim",
            ),
            (
                controller.drain > claim.budget + claim.call,
                "the drain outlasts the budget of a claim and one call, or each stop leaves posts in doubt",
            ),
            (
                // The first wait has jitter: half of it at least.
                controller.refused_probe_interval < controller.refused.first / 2,
                "the probes of a refusing channel come sooner than its operations try again, or these wait twice",
            ),
            (
                http.drain.max(socket_mode.drain) < values.shutdown.clicks,
                "the listeners end before the work on clicks, or a click comes after the last worker has ended",
            ),
            (
                service.look < service.extension,
                "the daemon asks for more time before the last extension ends, or the service manager kills it",
            ),
            (
                controller.clock_check * 2 < service.shortest_watchdog,
                "the controller goes round twice before a watchdog bites, or it kills a daemon that works",
            ),
            (
                interactions.ack_margin < socket_mode.respond_within,
                "a modal without a worker is answered after it waited for one, or none ever gets one",
            ),
            (
                interactions.enqueue_at_stop < socket_mode.drain,
                "a click without a worker is answered before its connection ends, or its user gets no reply",
            ),
            (
                review.groups_max_age < review.voters_max_age,
                "a remembered user group is younger than what a verdict may be based on, or verdicts read it twice",
            ),
            (
                Self::pauses(values).all(|pause| !pause.is_zero()),
                "no wait between two tries is nothing, or the daemon spins",
            ),
        ]
    }

    /// What lies between two tries of anything.
    fn pauses(values: &TimingValues) -> impl Iterator<Item = Duration> {
        let controller = values.controller;
        let files = [values.identity_files, values.secret_files, values.configuration, values.http.files];
        let files = files.into_iter().flat_map(|FileTimings { poll, retry }| [poll, retry]);
        let others = [
            values.review.permission_poll,
            values.review.support_check,
            values.socket_mode.ping,
            values.watcher.probe_after,
            values.review.recheck,
            controller.lookup_recheck,
            controller.unresolved,
            controller.resync,
            controller.after_panic,
            controller.clock_check,
            values.service.look_at_start,
            values.http.accept_pause,
        ];
        let retries = Self::backoffs(values).map(|backoff| backoff.first);
        files.chain(others).chain(retries)
    }

    /// The waits of the start.
    pub(crate) fn startup_waits(&self) -> StartupWaits {
        StartupWaits { backoff: self.0.startup, outage: self.0.outage }
    }

    /// The longest that a stop takes, from the signal to the end of the process. A service manager that kills earlier
    /// (`TimeoutStopSec` of the unit in `deploy/`) cuts work short.
    pub fn longest_stop(&self) -> Duration {
        let ShutdownTimings { clicks, replies, log } = self.0.shutdown;
        let receivers = self.0.http.drain.max(self.0.socket_mode.drain);
        self.0.controller.drain.max(clicks + replies).max(receivers) + log
    }

    fn backoffs(values: &TimingValues) -> [Backoff; 17] {
        let TimingValues { controller, watcher, startup, token_probe, socket_mode, teleport, .. } = *values;
        let TimingValues { slack_probe, interactions, .. } = *values;
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
            slack_probe,
            interactions.late_reply,
            socket_mode.backoff,
            teleport.contended,
            teleport.list_retry,
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
        // The rules of each part have their own test beside it.
        assert_refused(|values| values.controller.claim.timeout = work, "two daemons call Slack");
        assert_refused(|values| values.controller.drain = work, "leaves posts in doubt");
        assert_refused(|values| values.slack.message = claim.call * 2, "outlasts the claim");
        assert_refused(|values| values.slack.connect = values.slack.call, "hides what failed");
        assert_refused(|values| values.controller.turns.park = Duration::ZERO, "leaves just before");
        assert_refused(|values| values.http.respond = values.http.drain * 2, "the user sees an error");
        assert_refused(|values| values.socket_mode.acks_for = Duration::ZERO, "the work is done twice");
        assert_refused(
            |values| values.service.look = values.service.extension,
            "the service manager kills it",
        );
        assert_refused(
            |values| values.controller.clock_check = values.service.shortest_watchdog,
            "kills a daemon that works",
        );
        assert_refused(
            |values| values.interactions.ack_margin = values.socket_mode.respond_within,
            "none ever gets one",
        );
        assert_refused(
            |values| values.interactions.enqueue_at_stop = values.socket_mode.drain,
            "its user gets no reply",
        );
        let half = ControllerTimings::default().refused.first / 2;
        assert_refused(|values| values.controller.refused_probe_interval = half, "these wait twice");
        assert_refused(
            |values| values.http.drain = values.shutdown.clicks,
            "after the last worker has ended",
        );
        assert_refused(
            |values| values.socket_mode.drain = values.shutdown.clicks,
            "after the last worker has ended",
        );
        assert_refused(|values| values.teleport.connect = values.teleport.call, "hides what failed");
        assert_refused(
            |values| values.review.groups_max_age = values.review.voters_max_age,
            "verdicts read it twice",
        );
        let zeros: [fn(&mut TimingValues); 16] = [
            |values| values.identity_files.poll = Duration::ZERO,
            |values| values.secret_files.retry = Duration::ZERO,
            |values| values.configuration.poll = Duration::ZERO,
            |values| values.http.files.retry = Duration::ZERO,
            |values| values.http.accept_pause = Duration::ZERO,
            |values| values.controller.clock_check = Duration::ZERO,
            |values| values.controller.unresolved = Duration::ZERO,
            |values| values.controller.resync = Duration::ZERO,
            |values| values.controller.after_panic = Duration::ZERO,
            |values| values.review.permission_poll = Duration::ZERO,
            |values| values.review.support_check = Duration::ZERO,
            |values| values.review.recheck = Duration::ZERO,
            |values| values.controller.lookup_recheck = Duration::ZERO,
            |values| values.teleport.list_retry.first = Duration::ZERO,
            |values| values.socket_mode.ping = Duration::ZERO,
            |values| values.socket_mode.backoff.first = Duration::ZERO,
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
        values.shutdown.log = seconds(2);
        assert_eq!(Timings::new(values).unwrap().longest_stop(), seconds(42));
    }
}
