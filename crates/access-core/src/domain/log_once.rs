//! Whether a line belongs in the log, or is there already: each cause once per scope (a channel, a recipient, a listener),
//! until the scope works again.
//!
//! Says *whether*, and how many lines were left out; who logs, and in which words, is the caller's business. So is
//! sharing it, and the time.

use std::collections::HashMap;
use std::time::Duration;

/// Scopes remembered; beyond this the one that was silent for longest is forgotten, and its causes may be logged again.
const MAX_SCOPES: usize = 1_000;

/// Causes distinguished per scope; further ones count as the last of these. A scope whose cause always differs must not flood
/// the log.
const MAX_CAUSES: usize = 20;

/// How often a line that could come many times a second is logged.
pub const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The causes that are in the log already, by scope.
#[derive(Debug, Default)]
pub struct LogOnce {
    scopes: HashMap<String, Scope>,
    /// Counts the calls; shows which scope was silent for longest.
    calls: u64,
}

#[derive(Debug, Default)]
struct Scope {
    causes: Vec<Cause>,
    last_call: u64,
}

#[derive(Debug)]
struct Cause {
    text: String,
    /// On the clock of the caller.
    logged_at: Duration,
    /// Lines left out since then.
    suppressed: u64,
}

impl LogOnce {
    /// Whether to log the cause, which is logged no second time before it ended.
    pub fn once(&mut self, scope: &str, cause: &str) -> bool {
        self.check(scope, cause, Duration::ZERO, |_| false).is_some()
    }

    /// Whether to log the cause, which is logged again when [`LOG_INTERVAL`] has passed. If so: how many lines about it were
    /// left out since the last one. `now` counts from any moment that stays the same.
    pub fn once_a_minute(&mut self, now: Duration, scope: &str, cause: &str) -> Option<u64> {
        self.check(scope, cause, now, |known| now.saturating_sub(known.logged_at) >= LOG_INTERVAL)
    }

    fn check(
        &mut self,
        scope: &str,
        cause: &str,
        now: Duration,
        is_due: impl Fn(&Cause) -> bool,
    ) -> Option<u64> {
        self.calls += 1;
        if !self.scopes.contains_key(scope) {
            self.make_room();
        }
        let scope = self.scopes.entry(scope.to_owned()).or_default();
        scope.last_call = self.calls;
        let is_full = scope.causes.len() >= MAX_CAUSES;
        let known = scope.causes.iter().position(|known| known.text == cause);
        let known = known.or(is_full.then_some(MAX_CAUSES - 1)).and_then(|at| scope.causes.get_mut(at));
        let Some(known) = known else {
            scope.causes.push(Cause { text: cause.to_owned(), logged_at: now, suppressed: 0 });
            return Some(0);
        };
        if !is_due(known) {
            known.suppressed += 1;
            return None;
        }
        known.logged_at = now;
        Some(std::mem::take(&mut known.suppressed))
    }

    /// Whether a cause of this scope is in the log and has not ended.
    pub fn has_logged(&self, scope: &str) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The scope works again: all its causes have ended. If any was logged: how many lines were left out since.
    pub fn clear(&mut self, scope: &str) -> Option<u64> {
        let ended = self.scopes.remove(scope)?;
        Some(ended.causes.iter().map(|cause| cause.suppressed).sum())
    }

    fn make_room(&mut self) {
        if self.scopes.len() < MAX_SCOPES {
            return;
        }
        let oldest = self.scopes.iter().min_by_key(|(_, scope)| scope.last_call);
        if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
            self.scopes.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
