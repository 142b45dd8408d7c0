//! Whether others hold connections of this Slack app too, by how many Slack counts when it says hello.
//!
//! Slack hands each interaction to any connection of the app. Further daemons of the same Teleport cluster are meant to
//! get their share. A daemon of another cluster, or another program, takes interactions away. A number does not say
//! which it is, so the warning names both and is logged once. The number may be too high for a while (a run before this
//! one, a connection that broke), so it must still be too high when a connection is opened some time later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

use access_core::domain::log_once::LogOnce;

/// What the warning is about, for [`LogOnce`].
const OTHERS: &str = "others";

/// What Slack counted, and what of it is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) connections: usize,
    pub(super) ours: usize,
}

/// What all connections of one daemon know of others.
#[derive(Debug)]
pub(super) struct Others {
    ours: Arc<AtomicUsize>,
    count: Mutex<Count>,
}

impl Others {
    /// `again`: how much later a number must still be too high.
    pub(super) fn new(again: Duration) -> Self {
        Self { ours: Arc::default(), count: Mutex::new(Count::new(again)) }
    }

    /// Counts a connection of ours from before Slack can know of it until this is dropped.
    pub(super) fn ours(&self) -> Ours {
        self.ours.fetch_add(1, Ordering::Relaxed);
        Ours(Arc::clone(&self.ours))
    }

    /// What to log, if anything, now that Slack said hello and counted so many.
    pub(super) fn hello(&self, connections: Option<usize>) -> Option<Excess> {
        let ours = self.ours.load(Ordering::Relaxed);
        let excess = connections.filter(|all| *all > ours).map(|connections| Excess { connections, ours });
        let is_news = self.count().hello(excess.is_some(), Instant::now());
        excess.filter(|_| is_news)
    }

    /// Ends when another hello is wanted, for one of all who wait.
    pub(super) async fn wanted(&self) {
        let due = self.count().due();
        if let Some(due) = due {
            sleep_until(due).await;
            if self.count().take_look(due) {
                return;
            }
        }
        std::future::pending().await
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock()
    }
}

/// A connection of ours.
#[derive(Debug)]
pub(super) struct Ours(Arc<AtomicUsize>);

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the hellos said so far.
#[derive(Debug)]
struct Count {
    again: Duration,
    /// Since when each hello counted too many.
    since: Option<Instant>,
    /// Whether a connection is being opened to see.
    is_looking: bool,
    log_once: LogOnce,
}

impl Count {
    fn new(again: Duration) -> Self {
        Self { again, since: None, is_looking: false, log_once: LogOnce::default() }
    }

    /// Whether to log it now.
    fn hello(&mut self, is_too_many: bool, now: Instant) -> bool {
        self.is_looking = false;
        if !is_too_many {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now >= since + self.again && self.log_once.once(OTHERS, "excess")
    }

    /// When to look again.
    fn due(&self) -> Option<Instant> {
        self.since.filter(|_| !self.log_once.has_logged(OTHERS)).map(|since| since + self.again)
    }

    /// Whether this caller is the one to look, at the time that [`Count::due`] gave.
    fn take_look(&mut self, due: Instant) -> bool {
        let is_due = self.due() == Some(due) && !self.is_looking;
        self.is_looking |= is_due;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: Duration = Duration::from_secs(120);

    fn count() -> Count {
        Count::new(AGAIN)
    }

    #[test]
    fn an_excess_is_logged_once_and_only_if_it_lasts() {
        let (mut count, start) = (count(), Instant::now());
        assert!(!count.hello(true, start));
        assert!(!count.hello(true, start + AGAIN / 2));
        // A connection of ours, or of a program that ended meanwhile.
        assert!(!count.hello(false, start + AGAIN));
        assert!(!count.hello(true, start + AGAIN * 2));
        assert!(count.hello(true, start + AGAIN * 3));
        assert!(!count.hello(true, start + AGAIN * 9));
        assert_eq!(count.due(), None);
    }

    #[test]
    fn only_one_connection_checks_again() {
        let (mut count, start) = (count(), Instant::now());
        assert_eq!(count.due(), None);
        count.hello(true, start);
        count.hello(true, start + AGAIN / 2);
        let due = count.due().unwrap();
        assert_eq!(due, start + AGAIN);
        assert!(count.take_look(due));
        assert!(!count.take_look(due));
        // What the check looks for is over.
        count.hello(false, due);
        assert!(!count.take_look(due));
        count.hello(true, due);
        assert!(!count.take_look(due));
        assert!(count.take_look(due + AGAIN));
    }

    #[test]
    fn no_excess_is_seen_without_a_higher_count_by_slack() {
        let others = Others::new(Duration::ZERO);
        let ours = [others.ours(), others.ours()];
        assert_eq!(others.hello(None), None);
        assert_eq!(others.hello(Some(0)), None);
        assert_eq!(others.hello(Some(2)), None);
        assert_eq!(others.hello(Some(3)), Some(Excess { connections: 3, ours: 2 }));
        drop(ours);
        assert_eq!(others.ours.load(Ordering::Relaxed), 0);
    }
}
