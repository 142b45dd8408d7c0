//! What the daemon tells about itself: log lines.
//!
//! `logs.rs` sets logging up, `line.rs` is the form of a line, `sink.rs` gets lines out without ever holding up
//! whoever logs.

mod line;
mod logs;
mod sink;

pub use self::logs::{LogError, init};
pub use self::sink::LogGuard;
