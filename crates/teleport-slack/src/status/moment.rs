//! One moment by both clocks: what a part of the daemon remembers by one of them is shown by the other.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) time: Timestamp,
}

impl Moment {
    /// What the wall clock shows at this instant, to the millisecond.
    pub(super) fn at(self, instant: Instant) -> Timestamp {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let past = signed(self.now.saturating_duration_since(instant));
        let left = signed(instant.saturating_duration_since(self.now));
        let shifted = self.time.saturating_sub(past).and_then(|time| time.saturating_add(left));
        rounded(shifted.unwrap_or(self.time))
    }

    /// How long ago that was, in seconds.
    pub(super) fn seconds_since(self, instant: Instant) -> u64 {
        self.now.saturating_duration_since(instant).as_secs()
    }
}

/// To the millisecond.
pub(super) fn rounded(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
