//! What the log was told already: each cause once a place, until the place works again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Complaints remembered; beyond this the stories are forgotten and may be told again.
const MAX_SCOPES: usize = 1_000;

/// What was already complained about, by place; each cause is told once until the place works again.
#[derive(Debug, Default)]
pub(crate) struct LogOnce(Mutex<HashMap<String, Vec<String>>>);

impl LogOnce {
    /// Whether this is news.
    pub(crate) fn should_log(&self, place: &str, cause: &str) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_SCOPES && !open.contains_key(place) {
            open.clear();
        }
        let causes = open.entry(place.to_owned()).or_default();
        let is_news = !causes.iter().any(|known| known == cause) && causes.len() < 20;
        if is_news {
            causes.push(cause.to_owned());
        }
        is_news
    }

    /// The place works; whether there were complaints about it.
    pub(crate) fn clear(&self, place: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(place).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_until_the_place_works() {
        let complaints = LogOnce::default();
        assert!(complaints.should_log("#team", "not_in_channel"));
        assert!(!complaints.should_log("#team", "not_in_channel"));
        assert!(complaints.should_log("#team", "is_archived"));
        assert!(complaints.should_log("#ops", "not_in_channel"));
        assert!(complaints.clear("#team"));
        assert!(!complaints.clear("#team"));
        assert!(complaints.should_log("#team", "not_in_channel"));
        for n in 0..3 * MAX_SCOPES {
            complaints.should_log(&format!("#c{n}"), "is_archived");
        }
        assert!(complaints.0.lock().unwrap().len() <= MAX_SCOPES);
    }
}
