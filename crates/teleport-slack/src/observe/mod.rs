//! What the daemon tells about itself: log lines, figures, and whether it is well.
//!
//! `logs.rs` sets logging up, `line.rs` is the form of a line, `sink.rs` gets lines out without ever holding up
//! whoever logs. `metrics.rs` counts, `health.rs` knows how the daemon is; both are served by `http`.

pub mod health;
pub mod metrics;
mod line;
mod logs;
mod sink;

pub use self::logs::{LogError, init};
pub use self::sink::LogGuard;
