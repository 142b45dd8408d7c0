//! What a client reports of its calls, for example to metrics.

use std::fmt::Debug;
use std::time::Duration;

use access_core::domain::skew::Offset;
use parking_lot::Mutex;

use super::error::SlackError;
use super::method::Method;

/// Gets a report of each call. It must not block.
pub trait Observer: Debug + Send + Sync {
    /// A call ended, which took so long. Calls that were not made, because Slack's wait lasts, are not reported.
    fn call_ended(&self, method: Method, result: Result<(), &SlackError>, took: Duration);

    /// An answer showed how far Slack's clock is from ours.
    fn clock_observed(&self, offset: Offset);
}

/// Ignores all reports.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn call_ended(&self, _: Method, _: Result<(), &SlackError>, _: Duration) {}

    fn clock_observed(&self, _: Offset) {}
}

/// Keeps what the last answer showed of Slack's clock, for a program that makes a few calls and reports.
#[derive(Debug, Default)]
pub struct ClockObserver(Mutex<Option<Offset>>);

impl ClockObserver {
    /// How far Slack's clock is from ours; `None` if no answer had a readable `Date`.
    pub fn offset(&self) -> Option<Offset> {
        *self.0.lock()
    }
}

impl Observer for ClockObserver {
    fn call_ended(&self, _: Method, _: Result<(), &SlackError>, _: Duration) {}

    fn clock_observed(&self, offset: Offset) {
        *self.0.lock() = Some(offset);
    }
}
