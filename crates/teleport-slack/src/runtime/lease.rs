//! This process's share of the claims (`access_core::claim`): its name, its turns, and how long one lasts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access_core::claim::{Claim, LAPSE, WORK};
use jiff::Timestamp;
use tokio::time::Instant;

/// This process, as claims name it.
#[derive(Debug)]
pub(super) struct Holder {
    name: String,
    turns: AtomicU64,
}

/// A claim that is being taken, and from when on its time runs.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) claim: Claim,
    began: Instant,
}

impl Holder {
    /// A name that no other process has.
    pub(super) fn new() -> Self {
        Self { name: format!("{:016x}", fastrand::u64(..)), turns: AtomicU64::new(0) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// To be called before the claim is written: the time runs from now on.
    pub(super) fn lease(&self) -> Lease {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let claim = Claim { holder: self.name.clone(), turn, taken: Timestamp::now() };
        Lease { claim, began: Instant::now() }
    }
}

impl Lease {
    /// Whether a call may still begin. Both clocks are asked: one of them stands still while a machine sleeps, the other
    /// while somebody sets it.
    pub(super) fn is_good(&self) -> bool {
        self.is_younger_than(WORK)
    }

    /// Whether somebody else may have taken the claim over since and done the same work.
    pub(super) fn has_lapsed(&self) -> bool {
        !self.is_younger_than(LAPSE)
    }

    fn is_younger_than(&self, age: Duration) -> bool {
        let by_wall = Timestamp::now().duration_since(self.claim.taken);
        self.began.elapsed() < age && by_wall.unsigned_abs() < age
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn no_two_claims_are_the_same() {
        let (one, two) = (Holder::new(), Holder::new());
        assert_ne!(one.name(), two.name());
        let [first, second, other] = [one.lease(), one.lease(), two.lease()].map(|lease| lease.claim);
        assert_eq!((first.holder.as_str(), other.holder.as_str()), (one.name(), two.name()));
        assert!(second.turn > first.turn);
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_ends_by_the_clock_that_nobody_sets() {
        let lease = Holder::new().lease();
        tokio::time::advance(WORK - TICK).await;
        assert!(lease.is_good());
        tokio::time::advance(TICK).await;
        assert!(!lease.is_good() && !lease.has_lapsed());
        tokio::time::advance(LAPSE - WORK).await;
        assert!(lease.has_lapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_ends_by_the_wall_clock_and_when_that_was_set_back() {
        let work = SignedDuration::try_from(WORK).unwrap();
        for (ago, is_good) in [(work / 2, true), (work, false), (-work / 2, true), (-work * 2, false)] {
            let mut lease = Holder::new().lease();
            lease.claim.taken -= ago;
            assert_eq!(lease.is_good(), is_good, "taken {ago:#} ago");
        }
    }
}
