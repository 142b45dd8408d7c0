//! What runs and how it ends: named tasks, workers with a limit, signals, and the wall clock.

pub mod clock;
pub(crate) mod worker_pool;
pub mod signals;
pub mod tasks;
