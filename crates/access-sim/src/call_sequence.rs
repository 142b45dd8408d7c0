//! The calls of both simulators, numbered in the order in which they arrive, and the switch that makes the n-th hang.
//!
//! Give clones of one [`CallSequence`] to both simulators. From the n-th call on nothing gets through until the switch is
//! released, so that the test that is notified can end the client between two calls of its choice. Other faults are each
//! simulator's own. A call that is reset before it is read has no number.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// Calls kept; older ones are forgotten, their numbers are not used again.
const MAX_KEPT_CALLS: usize = 20_000;

/// Which simulator was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The auth server; watch streams count when they are opened.
    Teleport,
    /// The workspace.
    Slack {
        /// The call's number in the workspace's own log.
        seq: u64,
    },
}

/// When the n-th call hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangAt {
    /// Before anything is done.
    Before,
    /// When it is done, instead of the answer.
    After,
}

/// One call.
#[derive(Clone, Debug)]
pub struct NumberedCall {
    /// Counts from 1.
    pub n: u64,
    /// The wall clock's time when it came.
    pub time: Timestamp,
    /// To which side.
    pub side: Side,
    /// The method's name.
    pub method: String,
    /// The request's id or the channel, if it is about one.
    pub subject: String,
    /// Whether it hangs, and whether its work was done.
    pub hang: Option<HangAt>,
}

impl std::fmt::Display for NumberedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n, time, side, method, subject, hang: held } = self;
        let side = match side {
            Side::Teleport => "Teleport",
            Side::Slack { .. } => "Slack",
        };
        let held = match held {
            None => "",
            Some(HangAt::Before) => "  <- hangs, not done",
            Some(HangAt::After) => "  <- hangs, done",
        };
        write!(f, "{n:>4} {time:.3} {side:<8} {method} {subject}{held}")
    }
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    calls: VecDeque<NumberedCall>,
    hang_at: Option<(u64, HangAt)>,
}

/// The counter and the switch; clones share them.
#[derive(Clone, Debug)]
pub struct CallSequence {
    entries: Arc<Mutex<Entries>>,
    hanging: Arc<watch::Sender<bool>>,
}

impl Default for CallSequence {
    fn default() -> Self {
        Self { entries: Arc::default(), hanging: Arc::new(watch::Sender::new(false)) }
    }
}

impl CallSequence {
    /// Makes call `n` hang, counted from 1, and every call after it before anything is done.
    pub fn hang_at(&self, n: u64, stop: HangAt) {
        self.entries().hang_at = Some((n, stop));
        self.hanging.send_replace(false);
    }

    /// Lets new calls through. Those that hang hang on until their client goes away.
    pub fn release(&self) {
        self.entries().hang_at = None;
    }

    /// Waits until the call of [`CallSequence::hang_at`] hangs.
    pub async fn until_hanging(&self) {
        let mut stopped = self.hanging.subscribe();
        // Cannot fail: the sender lives as long as `self`.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Whether the call of [`CallSequence::hang_at`] hangs.
    pub fn is_hanging(&self) -> bool {
        *self.hanging.borrow()
    }

    /// How many calls there were.
    pub fn count(&self) -> u64 {
        self.entries().last
    }

    /// The calls, oldest first.
    pub fn calls(&self) -> Vec<NumberedCall> {
        self.entries().calls.iter().cloned().collect()
    }

    /// Numbers a call; does not return if it must hang before its work is done.
    pub(crate) async fn begin(&self, side: Side, method: &str, subject: &str) -> CallPermit {
        let (n, held) = {
            let mut book = self.entries();
            book.last += 1;
            let n = book.last;
            let held = book.hang_at.and_then(|(at, stop)| match n.cmp(&at) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(stop),
                std::cmp::Ordering::Greater => Some(HangAt::Before),
            });
            let is_it = book.hang_at.is_some_and(|(at, _)| at == n);
            if book.calls.len() == MAX_KEPT_CALLS {
                book.calls.pop_front();
            }
            let (method, subject) = (method.to_owned(), subject.to_owned());
            book.calls.push_back(NumberedCall {
                n,
                time: Timestamp::now(),
                side,
                method,
                subject,
                hang: held,
            });
            (is_it.then_some(n), held)
        };
        let pass = CallPermit { sequence: self.clone(), must_hang: held.is_some(), is_chosen: n.is_some() };
        if held == Some(HangAt::Before) {
            pass.hang().await;
        }
        pass
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}

/// A call whose work may be done.
#[derive(Debug)]
#[must_use = "the call may have to hang after its work"]
pub(crate) struct CallPermit {
    sequence: CallSequence,
    must_hang: bool,
    is_chosen: bool,
}

impl CallPermit {
    /// Returns if the answer may be given.
    pub(crate) async fn finish(self) {
        if self.must_hang {
            self.hang().await;
        }
    }

    async fn hang(&self) {
        if self.is_chosen {
            self.sequence.hanging.send_replace(true);
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a call gets through, and whether its work is done.
    async fn call(order: &CallSequence) -> (bool, bool) {
        let mut done = false;
        let whole = async {
            let pass = order.begin(Side::Teleport, "Ping", "").await;
            done = true;
            pass.finish().await;
        };
        let through = tokio::select! { biased; () = whole => true, () = std::future::ready(()) => false };
        (through, done)
    }

    #[tokio::test]
    async fn the_nth_call_hangs_and_nothing_gets_past_it_until_it_is_released() {
        for (stop, done) in [(HangAt::Before, false), (HangAt::After, true)] {
            let order = CallSequence::default();
            order.hang_at(2, stop);
            assert_eq!(call(&order).await, (true, true));
            assert!(!order.is_hanging());
            assert_eq!(call(&order).await, (false, done));
            order.until_hanging().await;
            assert_eq!(call(&order).await, (false, false));
            order.release();
            assert_eq!(call(&order).await, (true, true));
            let held: Vec<_> = order.calls().iter().map(|call| (call.n, call.hang)).collect();
            assert_eq!(held, [(1, None), (2, Some(stop)), (3, Some(HangAt::Before)), (4, None)]);
        }
    }
}
