//! The memory of what is in the log already, for all that log about the same scopes.

use access_core::domain::log_once::LogOnce;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A [`LogOnce`] that is shared and knows the time.
#[derive(Debug)]
pub(crate) struct SharedLogOnce {
    memory: Mutex<LogOnce>,
    began: Instant,
}

impl Default for SharedLogOnce {
    fn default() -> Self {
        Self { memory: Mutex::default(), began: Instant::now() }
    }
}

impl SharedLogOnce {
    /// As [`LogOnce::once`].
    pub(crate) fn should_log(&self, scope: &str, cause: &str) -> bool {
        self.memory.lock().once(scope, cause)
    }

    /// As [`LogOnce::once_a_minute`].
    pub(crate) fn once_a_minute(&self, scope: &str, cause: &str) -> Option<u64> {
        self.memory.lock().once_a_minute(self.began.elapsed(), scope, cause)
    }

    /// As [`LogOnce::clear`].
    pub(crate) fn clear(&self, scope: &str) -> Option<u64> {
        self.memory.lock().clear(scope)
    }
}
