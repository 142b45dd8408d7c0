//! The calls of both simulators, numbered in the order in which they arrive, and the switch that makes the n-th hang.
//!
//! Give clones of one [`Order`] to both simulators. From the n-th call on nothing gets through until the switch is
//! released, so that whoever is told can end the client between two calls of its choice. Other faults are each
//! simulator's own. A call that is reset before it is read has no number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

/// Calls kept; older ones are forgotten, their numbers are not used again.
const KEPT: usize = 20_000;

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
pub enum Stop {
    /// Before anything is done.
    Before,
    /// When it is done, instead of the answer.
    After,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// Counts from 1.
    pub n: u64,
    /// When it came.
    pub time: Timestamp,
    /// To whom.
    pub side: Side,
    /// The method's name.
    pub method: String,
    /// The request's id or the channel, if it is about one.
    pub subject: String,
    /// Whether it hangs, and whether its work was done.
    pub held: Option<Stop>,
}

impl std::fmt::Display for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n, time, side, method, subject, held } = self;
        let side = match side {
            Side::Teleport => "Teleport",
            Side::Slack { .. } => "Slack",
        };
        let held = match held {
            None => "",
            Some(Stop::Before) => "  <- hangs, not done",
            Some(Stop::After) => "  <- hangs, done",
        };
        write!(f, "{n:>4} {time:.3} {side:<8} {method} {subject}{held}")
    }
}

#[derive(Debug, Default)]
struct Book {
    last: u64,
    calls: VecDeque<Numbered>,
    switch: Option<(u64, Stop)>,
}

/// The counter and the switch; clones share them.
#[derive(Clone, Debug)]
pub struct Order {
    book: Arc<Mutex<Book>>,
    stopped: Arc<watch::Sender<bool>>,
}

impl Default for Order {
    fn default() -> Self {
        Self { book: Arc::default(), stopped: Arc::new(watch::Sender::new(false)) }
    }
}

impl Order {
    /// Makes call `n` hang, counted from 1, and every call after it before anything is done.
    pub fn hang_at(&self, n: u64, stop: Stop) {
        self.book().switch = Some((n, stop));
        self.stopped.send_replace(false);
    }

    /// Lets new calls through. Those that hang hang on until their client goes away.
    pub fn release(&self) {
        self.book().switch = None;
    }

    /// Waits until the call of [`Order::hang_at`] hangs.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // Cannot fail: the sender lives as long as `self`.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Whether the call of [`Order::hang_at`] hangs.
    pub fn has_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// How many calls there were.
    pub fn count(&self) -> u64 {
        self.book().last
    }

    /// The calls, oldest first.
    pub fn calls(&self) -> Vec<Numbered> {
        self.book().calls.iter().cloned().collect()
    }

    /// Numbers a call; does not return if it must hang before its work is done.
    pub(crate) async fn enter(&self, side: Side, method: &str, subject: &str) -> Pass {
        let (n, held) = {
            let mut book = self.book();
            book.last += 1;
            let n = book.last;
            let held = book.switch.and_then(|(at, stop)| match n.cmp(&at) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(stop),
                std::cmp::Ordering::Greater => Some(Stop::Before),
            });
            let is_it = book.switch.is_some_and(|(at, _)| at == n);
            if book.calls.len() == KEPT {
                book.calls.pop_front();
            }
            let (method, subject) = (method.to_owned(), subject.to_owned());
            book.calls.push_back(Numbered { n, time: Timestamp::now(), side, method, subject, held });
            (is_it.then_some(n), held)
        };
        let pass = Pass { order: self.clone(), holds: held.is_some(), is_it: n.is_some() };
        if held == Some(Stop::Before) {
            pass.hang().await;
        }
        pass
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call whose work may be done.
#[derive(Debug)]
#[must_use = "the call may have to hang after its work"]
pub(crate) struct Pass {
    order: Order,
    holds: bool,
    is_it: bool,
}

impl Pass {
    /// Returns if the answer may be given.
    pub(crate) async fn leave(self) {
        if self.holds {
            self.hang().await;
        }
    }

    async fn hang(&self) {
        if self.is_it {
            self.order.stopped.send_replace(true);
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a call gets through, and whether its work is done.
    async fn call(order: &Order) -> (bool, bool) {
        let mut done = false;
        let whole = async {
            let pass = order.enter(Side::Teleport, "Ping", "").await;
            done = true;
            pass.leave().await;
        };
        let through = tokio::select! { biased; () = whole => true, () = std::future::ready(()) => false };
        (through, done)
    }

    #[tokio::test]
    async fn the_nth_call_hangs_and_nothing_gets_past_it_until_it_is_released() {
        for (stop, done) in [(Stop::Before, false), (Stop::After, true)] {
            let order = Order::default();
            order.hang_at(2, stop);
            assert_eq!(call(&order).await, (true, true));
            assert!(!order.has_stopped());
            assert_eq!(call(&order).await, (false, done));
            order.stopped().await;
            assert_eq!(call(&order).await, (false, false));
            order.release();
            assert_eq!(call(&order).await, (true, true));
            let held: Vec<_> = order.calls().iter().map(|call| (call.n, call.held)).collect();
            assert_eq!(held, [(1, None), (2, Some(stop)), (3, Some(Stop::Before)), (4, None)]);
        }
    }
}
