//! How long a stop takes, from the signal to the end of the process: one budget.
//!
//! `signals` reads the signal, `cli/start.rs` cancels one token, and every part drains at the same time:
//!
//! | part | where | limit |
//! |---|---|---|
//! | reconciles | `controller/mod.rs` | [`WORK`] |
//! | clicks, then the replies to users whose clicks are given up | `job_queue` | [`WORK`] + [`NOTIFY`] |
//! | callbacks and connections of the listeners | `http/mod.rs` | [`TRANSPORT`] |
//! | Socket Mode | the crate `slack-client` | 3 s |
//! | the log's last lines, after everything else | `observe/sink.rs` | [`LOG`] |
//!
//! Nothing is lost that takes longer: the next start resumes it.

use std::time::Duration;

/// Reconciles and clicks: longer than the budget of a claim and one call to Slack, so that what was begun is recorded.
pub(crate) const WORK: Duration = Duration::from_secs(15);
/// The replies to users whose clicks are given up: one call.
pub(crate) const NOTIFY: Duration = Duration::from_secs(3);
/// What brings clicks: Slack waits no longer for an answer. Shorter than [`WORK`], which ends only after it.
pub(crate) const TRANSPORT: Duration = Duration::from_secs(3);
/// The log's last lines, if the log takes any.
pub(crate) const LOG: Duration = Duration::from_secs(1);

/// All of it. A service manager that kills earlier (`TimeoutStopSec` of the README's unit) cuts work short.
pub const TOTAL: Duration = WORK.saturating_add(NOTIFY).saturating_add(LOG);

const _: () = assert!(TRANSPORT.as_secs() < WORK.as_secs(), "no click comes after the last worker has ended");
