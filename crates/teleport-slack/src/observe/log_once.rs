//! Logs each cause once per scope (a channel, a recipient, …), until the scope works again.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Scopes remembered; beyond this all are forgotten and may be logged again.
const MAX_SCOPES: usize = 1_000;

/// Causes logged per scope; a scope whose cause always differs must not flood the log.
const MAX_CAUSES: usize = 20;

/// The causes that are in the log already, by scope; each is logged once until the scope works again.
#[derive(Debug, Default)]
pub(crate) struct LogOnce(Mutex<HashMap<String, Vec<String>>>);

impl LogOnce {
    /// Whether this is news.
    pub(crate) fn should_log(&self, scope: &str, cause: &str) -> bool {
        let mut open = self.0.lock();
        if open.len() >= MAX_SCOPES && !open.contains_key(scope) {
            open.clear();
        }
        let causes = open.entry(scope.to_owned()).or_default();
        let is_news = !causes.iter().any(|known| known == cause) && causes.len() < MAX_CAUSES;
        if is_news {
            causes.push(cause.to_owned());
        }
        is_news
    }

    /// The scope works again. Returns whether a cause was logged for it.
    pub(crate) fn clear(&self, scope: &str) -> bool {
        self.0.lock().remove(scope).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_until_the_scope_works() {
        let log_once = LogOnce::default();
        assert!(log_once.should_log("#team", "not_in_channel"));
        assert!(!log_once.should_log("#team", "not_in_channel"));
        assert!(log_once.should_log("#team", "is_archived"));
        assert!(log_once.should_log("#ops", "not_in_channel"));
        assert!(log_once.clear("#team"));
        assert!(!log_once.clear("#team"));
        assert!(log_once.should_log("#team", "not_in_channel"));
        for n in 0..3 * MAX_SCOPES {
            log_once.should_log(&format!("#c{n}"), "is_archived");
        }
        assert!(log_once.0.lock().len() <= MAX_SCOPES);
    }
}
