//! What the daemon tells about itself: log lines, figures, and whether it is well.
//!
//! `logs.rs` sets logging up, `line.rs` is the form of a line, `sink.rs` gets lines out without ever holding up
//! whoever logs. `metrics.rs` counts, `health.rs` knows how the daemon is; both are served by `http`.

pub mod health;
#[cfg(test)]
pub(crate) mod captured;
pub(crate) mod log_once;
pub mod metrics;
pub mod skew;
mod line;
mod logs;
mod sink;

pub(crate) use access_core::domain::error_chain::seconds;

pub use self::logs::{Log, LogError, LogReopener, init, log_panics};
