//! What the daemon reports about itself: log lines, metrics, and its health; and what it notices of files.
//!
//! `logs.rs` sets logging up, `log_level.rs` says which lines there are, `last_errors.rs` keeps some, `line.rs` is the form of a line, and `sink.rs` writes lines without ever making the code that
//! logs wait. `metrics.rs` counts, `health.rs` holds the state of the daemon, `reload_state.rs` that of its configuration; `http` serves
//! them. `file_watch.rs` notices files that changed. `outages.rs` logs that a side is away.

pub(crate) mod expiry;
pub mod file_watch;
pub mod health;
pub(crate) mod log_once;
pub mod metrics;
pub mod reload_state;
pub mod service_status;
pub mod service_timings;
pub mod skew;
mod current_log;
mod last_errors;
mod line;
mod log_file;
pub(crate) mod outages;
mod log_level;
mod logs;
mod sink;

pub use self::current_log::{CurrentLog, LogError, OpenedLog, try_file};
pub(crate) use self::last_errors::LoggedError;
pub(crate) use self::log_level::ANSWER;
pub use self::log_level::LogLevel;
pub use self::logs::{Log, dispatcher, init, log_apart, log_panics};
