//! This process's share of the claims (`access_core::record::claim`): its name, its generations, and how long one lasts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access_core::record::claim::{Claim, ClaimTimings};
use jiff::Timestamp;
use tokio::time::Instant;

/// This process, as claims name it.
#[derive(Debug)]
pub(super) struct Holder {
    name: String,
    next_generation: AtomicU64,
    pub(super) timings: ClaimTimings,
}

/// A claim that is being taken, and from when on its time runs.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) claim: Claim,
    started_at: Instant,
    timings: ClaimTimings,
}

impl Holder {
    /// A name that no other process has.
    pub(super) fn new(timings: ClaimTimings) -> Self {
        Self { name: format!("{:016x}", fastrand::u64(..)), next_generation: AtomicU64::new(0), timings }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// To be called before the claim is written: the time runs from now on.
    pub(super) fn lease(&self) -> Lease {
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        let claim = Claim { holder: self.name.clone(), generation, acquired_at: Timestamp::now() };
        Lease { claim, started_at: Instant::now(), timings: self.timings }
    }
}

impl Lease {
    /// Whether a call may still begin. Both clocks must agree: the monotonic clock stops while the machine sleeps, and the
    /// wall clock jumps when it is set.
    pub(super) fn may_start_call(&self) -> bool {
        self.is_younger_than(self.timings.budget)
    }

    /// Whether another daemon may have taken the claim over since and applied the same operations.
    pub(super) fn has_expired(&self) -> bool {
        !self.is_younger_than(self.timings.timeout)
    }

    fn is_younger_than(&self, age: Duration) -> bool {
        let by_wall = Timestamp::now().duration_since(self.claim.acquired_at);
        self.started_at.elapsed() < age && by_wall.unsigned_abs() < age
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn holder() -> Holder {
        Holder::new(ClaimTimings::default())
    }

    #[test]
    fn no_two_claims_are_the_same() {
        let (one, two) = (holder(), holder());
        assert_ne!(one.name(), two.name());
        let [first, second, other] = [one.lease(), one.lease(), two.lease()].map(|lease| lease.claim);
        assert_eq!((first.holder.as_str(), other.holder.as_str()), (one.name(), two.name()));
        assert!(second.generation > first.generation);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_by_the_monotonic_clock() {
        let lease = holder().lease();
        tokio::time::advance(lease.timings.budget - TICK).await;
        assert!(lease.may_start_call());
        tokio::time::advance(TICK).await;
        assert!(!lease.may_start_call() && !lease.has_expired());
        tokio::time::advance(lease.timings.timeout - lease.timings.budget).await;
        assert!(lease.has_expired());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_by_the_wall_clock_and_when_that_was_set_back() {
        let work = SignedDuration::try_from(ClaimTimings::default().budget).unwrap();
        for (ago, is_good) in [(work / 2, true), (work, false), (-work / 2, true), (-work * 2, false)] {
            let mut lease = holder().lease();
            lease.claim.acquired_at -= ago;
            assert_eq!(lease.may_start_call(), is_good, "taken {ago:#} ago");
        }
    }
}
