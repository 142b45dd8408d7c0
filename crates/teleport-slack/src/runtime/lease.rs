//! This process's share of the claims (`access_core::claim`): its name, its turns, and how long one lasts.

use std::sync::atomic::{AtomicU64, Ordering};

use access_core::claim::{Claim, WORK};
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
        let by_wall = Timestamp::now().duration_since(self.claim.taken);
        self.began.elapsed() < WORK && by_wall.unsigned_abs() < WORK
    }
}
