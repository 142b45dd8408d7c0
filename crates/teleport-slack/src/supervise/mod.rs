//! What runs and how it ends: named tasks, pools of work, signals, the budget of a stop, the wall clock, and what a service
//! manager wants: notifications and a PID file.

pub mod clock;
pub(crate) mod job_queue;
pub mod notify;
pub mod pid_file;
pub mod shutdown;
pub mod signals;
pub mod tasks;
pub(crate) mod worker_pool;
