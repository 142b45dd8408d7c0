//! What runs and how it ends: named tasks, pools of work, signals, the budget of a stop, and the wall clock.

pub mod clock;
pub(crate) mod job_queue;
pub mod shutdown;
pub mod signals;
pub mod tasks;
pub(crate) mod worker_pool;
