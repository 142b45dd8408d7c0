//! How long to wait before trying again: doubling, capped, with jitter from a seed.
//!
//! Arithmetic only: who waits, and who draws the seed, is the caller's business.

use std::time::Duration;

/// A schedule of delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row (1 for the first). `seed` spreads it over the upper half:
    /// the result lies in `[full/2, full]`, where `full` doubles with each failure up to the cap.
    pub fn delay(self, failures: u32, seed: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.cap);
        let half = full / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(if spread == 0 { 0 } else { seed % (spread + 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEDULE: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };

    #[test]
    fn doubles_up_to_the_cap() {
        let longest = |failures| SCHEDULE.delay(failures, 500_000_000 * (1 << (failures - 1)));
        assert_eq!(longest(1), Duration::from_secs(1));
        assert_eq!(longest(2), Duration::from_secs(2));
        assert_eq!(longest(3), Duration::from_secs(4));
        assert_eq!(SCHEDULE.delay(u32::MAX, 0), Duration::from_secs(30));
    }

    proptest! {
        #[test]
        fn stays_between_half_and_full(failures: u32, seed: u64) {
            let delay = SCHEDULE.delay(failures, seed);
            prop_assert!(delay >= SCHEDULE.first / 2 && delay <= SCHEDULE.cap);
        }
    }
}
