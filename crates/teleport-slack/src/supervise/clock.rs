//! The wall clock, and whether it was set.
//!
//! Times from outside (a request's end) are on the wall clock, but the daemon sleeps by a monotonic clock. When the two
//! part, every wait that was computed from the wall clock is wrong.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Less than this is the usual keeping of a clock, or a moment in which this program did not run.
const MIN_JUMP: SignedDuration = SignedDuration::from_secs(1);

/// Where the time comes from; clones share it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// One of a test's own.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish()
    }
}

/// Both clocks at the same moment.
#[derive(Debug)]
pub(crate) struct ClockPair {
    wall: Timestamp,
    monotonic: Instant,
}

impl ClockPair {
    pub(crate) fn of(clock: &Clock) -> Self {
        Self { wall: clock.now(), monotonic: Instant::now() }
    }

    /// By how much the wall clock was set forward since (negative: back), if it was. Compares with this moment next time.
    pub(crate) fn detect_jump(&mut self, clock: &Clock) -> Option<SignedDuration> {
        let before = std::mem::replace(self, Self::of(clock));
        let passed =
            SignedDuration::try_from(self.monotonic - before.monotonic).unwrap_or(SignedDuration::MAX);
        let by = self.wall.duration_since(before.wall).saturating_sub(passed);
        (by.abs() > MIN_JUMP).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_once_and_one_that_runs_is_not() {
        let offset = Arc::new(AtomicI64::new(0));
        let (start, began, seconds) = (Timestamp::UNIX_EPOCH, Instant::now(), Arc::clone(&offset));
        let clock = Clock::new(move || {
            start + began.elapsed() + SignedDuration::from_secs(seconds.load(Ordering::Relaxed))
        });
        let mut pair = ClockPair::of(&clock);
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(pair.detect_jump(&clock), None);
        for (total, by) in [(10_800, 10_800), (0, -10_800), (-5, -5)] {
            offset.store(total, Ordering::Relaxed);
            tokio::time::advance(Duration::from_secs(2)).await;
            assert_eq!(pair.detect_jump(&clock), Some(SignedDuration::from_secs(by)));
            assert_eq!(pair.detect_jump(&clock), None);
        }
    }
}
