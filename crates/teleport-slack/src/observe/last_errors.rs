//! The last lines of the log at ERROR and WARN, for those who look at the daemon and not at its log.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tracing::Level;

/// How many are kept.
const CAPACITY: usize = 50;

/// A line of the log, as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoggedError {
    pub(crate) at: Timestamp,
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: Map<String, Value>,
}

/// The last ones; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct LastErrors(Arc<Mutex<VecDeque<LoggedError>>>);

impl LastErrors {
    /// Whether lines of this level are kept.
    pub(super) fn keeps(level: Level) -> bool {
        level <= Level::WARN
    }

    /// Keeps one, in the place of the oldest if there are many.
    pub(super) fn push(&self, error: LoggedError) {
        let mut kept = self.0.lock();
        if kept.len() == CAPACITY {
            kept.pop_front();
        }
        kept.push_back(error);
    }

    /// All that are kept, the newest first.
    pub(super) fn newest_first(&self) -> Vec<LoggedError> {
        self.0.lock().iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let last = LastErrors::default();
        let line = |n: usize| LoggedError {
            at: Timestamp::UNIX_EPOCH,
            level: Level::WARN,
            message: n.to_string(),
            fields: Map::new(),
        };
        (0..CAPACITY + 3).for_each(|n| last.push(line(n)));
        let kept: Vec<_> = last.newest_first().into_iter().map(|line| line.message).collect();
        let expected: Vec<_> = (3..CAPACITY + 3).rev().map(|n| n.to_string()).collect();
        assert_eq!(kept, expected);
        assert!(LastErrors::keeps(Level::ERROR) && !LastErrors::keeps(Level::INFO));
    }
}
