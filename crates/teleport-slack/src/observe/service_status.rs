//! What the daemon reports to the service manager, and when: the start is over, one line on how it goes, a sign of life.
//!
//! `supervise/notify.rs` sends it. The loop that takes signals calls [`ServiceStatus::tick`]. That the daemon works means
//! that its controller does: a controller that stands still is not reported as alive, and the manager starts the daemon again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::health::StreamState;
use super::metrics::Metrics;
use super::reload_state::ReloadStatus;
use super::service_timings::ServiceTimings;
use crate::supervise::notify::Notifier;

/// What was reported so far.
#[derive(Debug)]
pub struct ServiceStatus {
    notifier: Notifier,
    metrics: Metrics,
    has_watchdog: bool,
    timings: ServiceTimings,
    began_at: Instant,
    /// The manager knows that the start is over.
    is_started: Arc<AtomicBool>,
    is_stopping: bool,
    sent: Option<(Instant, String)>,
    /// The controller's round that was the last sign of life.
    reported_round: Option<Instant>,
}

impl ServiceStatus {
    /// Nothing is reported yet. `watchdog`: after how long without a word the manager restarts the daemon.
    pub fn new(
        notifier: Notifier,
        watchdog: Option<Duration>,
        metrics: Metrics,
        timings: ServiceTimings,
    ) -> Self {
        let shortest = timings.shortest_watchdog;
        if let Some(limit) = watchdog.filter(|limit| *limit < shortest) {
            warn!(
                "WatchdogSec={} of the unit is so short that a busy machine may let the daemon be killed; set {} or more",
                limit.as_secs_f64(),
                shortest.as_secs()
            );
        }
        let is_started = Arc::new(AtomicBool::new(false));
        // At once: a manager that waits for a reload counts on it.
        metrics.health().reload().listen({
            let (notifier, is_started) = (notifier.clone(), Arc::clone(&is_started));
            move |status| match (is_started.load(Ordering::Relaxed), status.is_reloading) {
                (true, true) => notifier.reloading(),
                (true, false) => notifier.ready(&reload_words(status, Timestamp::now()).unwrap_or_default()),
                (false, _) => {}
            }
        });
        Self {
            has_watchdog: watchdog.is_some(),
            timings,
            notifier,
            metrics,
            began_at: Instant::now(),
            is_started,
            is_stopping: false,
            sent: None,
            reported_round: None,
        }
    }

    /// Returns when the next [`Self::tick`] is due; never if no manager listens.
    pub async fn until_tick(&self) {
        if !self.notifier.is_connected() {
            std::future::pending().await
        }
        let ServiceTimings { look, look_at_start, .. } = self.timings;
        tokio::time::sleep(if self.is_started() { look } else { look_at_start }).await;
    }

    /// Reports what is new. `now` and `time` are the same moment by the two clocks.
    pub fn tick(&mut self, now: Instant, time: Timestamp) {
        if self.is_stopping {
            // The stop has limits of its own.
            self.notifier.watchdog();
            return;
        }
        let line = self.line(now, time);
        if !self.is_started() {
            let is_ready = self.metrics.health().unready_reasons(now, time).is_empty();
            if is_ready || now.saturating_duration_since(self.began_at) >= self.timings.ready_at_latest {
                self.is_started.store(true, Ordering::Relaxed);
                self.notifier.ready(&line);
                self.sent = Some((now, line));
            } else if self.is_due(now, &line) {
                self.notifier.extend_start(self.timings.extension, &line);
                self.sent = Some((now, line));
            }
        } else if self.sent.as_ref().is_none_or(|(_, sent)| *sent != line) {
            self.notifier.status(&line);
            self.sent = Some((now, line));
        }
        self.report_life();
    }

    /// The daemon was asked to stop.
    pub fn stopping(&mut self) {
        self.is_stopping = true;
        self.notifier.stopping("stopping: finishing what is in progress");
    }

    fn report_life(&mut self) {
        let round = self.metrics.health().state().controller_round;
        // Until there is a controller, the start runs in the same task as this.
        if self.has_watchdog && (round.is_none() || round != self.reported_round) {
            self.reported_round = round;
            self.notifier.watchdog();
        }
    }

    fn is_started(&self) -> bool {
        self.is_started.load(Ordering::Relaxed)
    }

    fn is_due(&self, now: Instant, line: &str) -> bool {
        self.sent
            .as_ref()
            .is_none_or(|(at, sent)| sent != line || now.saturating_duration_since(*at) >= self.timings.look)
    }

    /// What `systemctl status` shows.
    fn line(&self, now: Instant, time: Timestamp) -> String {
        let health = self.metrics.health();
        let (state, reasons) = (health.state(), health.unready_reasons(now, time));
        let mut parts: Vec<_> = reload_words(&health.reload().status(), time).into_iter().collect();
        if reasons.is_empty() {
            let watch = match state.watch {
                StreamState::Open(_) => "watching",
                StreamState::Never | StreamState::Lost(_) => "opening the watch on Teleport again",
            };
            let waiting = self.metrics.pending_operations();
            parts.push(format!("{watch}, {} open, {waiting} waiting", state.open_requests));
            parts.extend(health.warnings().iter().map(|warning| format!("but {warning}")));
        } else {
            parts.push(format!("not ready: {}", reasons.join("; ")));
        }
        parts.join("; ")
    }
}

/// Why what the configuration holds is not in use, if it is not.
fn reload_words(status: &ReloadStatus, time: Timestamp) -> Option<String> {
    let refusal = status.refusal.as_ref()?;
    let age = SignedDuration::try_from(status.loaded_at.elapsed()).unwrap_or_default();
    let since = time.saturating_sub(age).ok()?.strftime("%F %TZ");
    Some(format!("configuration refused ({}); the old one is in use since {since}", refusal.summary()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use teleport_client::observer::Observer;

    use super::super::health::Stage;
    use super::*;

    const LOOK: Duration = Duration::from_secs(1);

    /// The daemon's state, and the manager's end of the socket.
    struct TestBed {
        service: ServiceStatus,
        metrics: Metrics,
        manager: UnixDatagram,
        _dir: tempfile::TempDir,
    }

    impl TestBed {
        fn new(watchdog: Option<Duration>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notify");
            let manager = UnixDatagram::bind(&path).unwrap();
            manager.set_nonblocking(true).unwrap();
            let metrics = Metrics::new();
            let notifier = Notifier::new(Some(path.as_os_str())).unwrap();
            let service = ServiceStatus::new(notifier, watchdog, metrics.clone(), ServiceTimings::default());
            Self { service, metrics, manager, _dir: dir }
        }

        fn started() -> Self {
            let mut bed = Self::new(None);
            bed.connect();
            assert_eq!(bed.tick(), ["READY=1\nSTATUS=watching, 0 open, 0 waiting"]);
            bed
        }

        /// Both sides have answered, and the first list is here.
        fn connect(&self) {
            self.metrics.watch_opened();
            self.metrics.stage_reached(Stage::Listed);
        }

        fn controller_goes_round(&self) {
            self.metrics.work_queue(0, 0, None, None, None);
        }

        fn tick(&mut self) -> Vec<String> {
            self.service.tick(Instant::now(), Timestamp::now());
            self.received()
        }

        fn received(&self) -> Vec<String> {
            let mut bytes = [0; 8_192];
            let next = || {
                let length = self.manager.recv(&mut bytes).ok()?;
                Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
            };
            std::iter::from_fn(next).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_is_over_when_both_sides_have_answered() {
        let mut bed = TestBed::new(None);
        let waits = |side: &str| {
            format!("EXTEND_TIMEOUT_USEC=10000000\nSTATUS=not ready: {side} has not answered yet")
        };
        assert_eq!(bed.tick(), [waits("Teleport")]);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(bed.tick().is_empty(), "the same was just said");
        bed.metrics.stage_reached(Stage::Slack);
        assert_eq!(bed.tick(), [waits("Slack")]);
        // The manager's patience ends otherwise.
        tokio::time::advance(LOOK).await;
        assert_eq!(bed.tick(), [waits("Slack")]);
        bed.metrics.open_requests(12);
        bed.connect();
        assert_eq!(bed.tick(), ["READY=1\nSTATUS=watching, 12 open, 0 waiting"]);
        tokio::time::advance(LOOK).await;
        assert!(bed.tick().is_empty());
        bed.metrics.pending_operations_changed(3);
        assert_eq!(bed.tick(), ["STATUS=watching, 12 open, 3 waiting"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_is_away_does_not_hold_up_the_boot() {
        let mut bed = TestBed::new(None);
        let mut received = Vec::new();
        while received.iter().all(|datagram: &String| !datagram.starts_with("READY=1")) {
            received.extend(bed.tick());
            tokio::time::advance(LOOK).await;
        }
        assert_eq!(received.pop().unwrap(), "READY=1\nSTATUS=not ready: Teleport has not answered yet");
        assert_eq!(received.len(), 15, "{received:?}");
        bed.connect();
        assert_eq!(bed.tick(), ["STATUS=watching, 0 open, 0 waiting"]);
        bed.metrics.watch_lost(&teleport_client::error::TeleportError::WatchEnded);
        assert_eq!(bed.tick(), ["STATUS=opening the watch on Teleport again, 0 open, 0 waiting"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_stands_still_is_not_reported_as_alive() {
        let mut bed = TestBed::new(Some(Duration::from_secs(30)));
        assert!(bed.tick().contains(&"WATCHDOG=1".to_owned()), "the start is at work");
        bed.connect();
        bed.controller_goes_round();
        assert!(bed.tick().contains(&"WATCHDOG=1".to_owned()));
        for _ in 0..60 {
            tokio::time::advance(LOOK).await;
            assert!(bed.tick().is_empty(), "this loop lives, the controller does not");
        }
        bed.controller_goes_round();
        assert_eq!(bed.tick(), ["WATCHDOG=1"]);
        // The controller ends with a stop, and what is left has limits of its own.
        bed.service.stopping();
        assert_eq!(bed.received(), ["STOPPING=1\nSTATUS=stopping: finishing what is in progress"]);
        for _ in 0..3 {
            assert_eq!(bed.tick(), ["WATCHDOG=1"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_is_reported_at_once_and_a_refusal_stays_in_the_status() {
        let mut bed = TestBed::started();
        let reload = bed.metrics.health().reload();
        reload.reloading();
        let datagrams = bed.received();
        assert!(
            matches!(&datagrams[..], [one] if one.starts_with("RELOADING=1\nMONOTONIC_USEC=")),
            "{datagrams:?}"
        );
        reload.refused(vec!["/etc/teleport-slack.toml:7: no such key".to_owned()]);
        let datagrams = bed.received();
        let refused =
            "configuration refused (/etc/teleport-slack.toml:7: no such key); the old one is in use since 20";
        assert!(
            matches!(&datagrams[..], [one] if one.starts_with(&format!("READY=1\nSTATUS={refused}"))),
            "{datagrams:?}"
        );
        let status = bed.tick().remove(0);
        assert!(status.starts_with(&format!("STATUS={refused}")), "{status}");
        assert!(status.ends_with("Z; watching, 0 open, 0 waiting"), "{status}");
        reload.reloading();
        reload.reloaded();
        assert_eq!(bed.received().len(), 2);
        assert_eq!(bed.tick(), ["STATUS=watching, 0 open, 0 waiting"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_during_the_start_does_not_end_the_start() {
        let mut bed = TestBed::new(None);
        let reload = bed.metrics.health().reload();
        reload.reloading();
        reload.reloaded();
        assert!(bed.received().is_empty());
        bed.connect();
        assert_eq!(bed.tick(), ["READY=1\nSTATUS=watching, 0 open, 0 waiting"]);
    }
}
