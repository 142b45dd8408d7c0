//! What runs and how it ends: named tasks, pools of work, signals, the budget of a stop, the wall clock, and what a service
//! manager wants: notifications, a PID file, and priorities in its journal.

pub mod clock;
pub(crate) mod job_queue;
pub mod journal;
pub mod notify;
pub mod pid_file;
pub mod shutdown;
pub mod signals;
pub mod tasks;
pub(crate) mod worker_pool;
