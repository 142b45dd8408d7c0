//! How long a stop takes, from the signal to the end of the process: one budget.
//!
//! `signals` reads the signal, `cli/start.rs` cancels one token, and every part drains at the same time:
//!
//! | part | where | limit |
//! |---|---|---|
//! | reconciles | `controller/mod.rs` | `WORK` (`ControllerTimings::drain`) |
//! | clicks, then the replies to users whose clicks are given up | `job_queue` | [`ShutdownTimings::clicks`], then [`ShutdownTimings::replies`] |
//! | callbacks and connections of the listeners | `http/mod.rs` | `HttpTimings::drain` |
//! | Socket Mode | the crate `slack-client` | `SocketModeTimings::drain` |
//! | the log's last lines, after everything else | `observe/sink.rs` | [`ShutdownTimings::log`] |
//!
//! `app::timings` adds them up and checks them. Nothing is lost that takes longer: the next start resumes it.

use std::time::Duration;

/// Reconciles and clicks: longer than the budget of a claim and one call to Slack, so that what was begun is recorded.
pub(crate) const WORK: Duration = Duration::from_secs(15);

/// How long each part may go on after the stop.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownTimings {
    /// Work on clicks.
    pub clicks: Duration,
    /// The replies to users whose clicks are given up: one call.
    pub replies: Duration,
    /// The log's last lines, if the log takes any. The log is there before any other wait, and ends after it.
    pub log: Duration,
}

impl Default for ShutdownTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { clicks: WORK, replies: seconds(3), log: seconds(1) }
    }
}
