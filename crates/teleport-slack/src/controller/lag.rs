//! Which requests are behind: something that is to be shown, recorded or decided could not be yet. For the metrics only.

use std::collections::{BTreeSet, HashMap};

use access_core::domain::ids::RequestId;
use tokio::time::Instant;

/// The requests that are behind, each with the end of the first visit that left it so.
#[derive(Debug, Default)]
pub(super) struct Lag {
    since: HashMap<RequestId, Instant>,
    order: BTreeSet<(Instant, RequestId)>,
}

impl Lag {
    /// What a visit that ended at `now` left.
    pub(super) fn record(&mut self, id: &RequestId, is_behind: bool, now: Instant) {
        if !is_behind {
            if let Some(since) = self.since.remove(id) {
                self.order.remove(&(since, id.clone()));
            }
        } else if !self.since.contains_key(id) {
            self.since.insert(id.clone(), now);
            self.order.insert((now, id.clone()));
        }
    }

    /// Since when the one is behind that is so for longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.order.first().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_told_until_it_caught_up() {
        let (mut behind, start) = (Lag::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let [a, b] = ["a", "b"].map(RequestId::new);
        assert_eq!(behind.oldest(), None);
        behind.record(&a, true, at(1));
        behind.record(&b, true, at(2));
        behind.record(&a, true, at(3));
        assert_eq!(behind.oldest(), Some(at(1)), "since the first failure");
        behind.record(&a, false, at(4));
        assert_eq!(behind.oldest(), Some(at(2)));
        behind.record(&a, true, at(5));
        behind.record(&b, false, at(6));
        assert_eq!(behind.oldest(), Some(at(5)), "it is behind anew");
        behind.record(&a, false, at(7));
        assert!(behind.since.is_empty() && behind.order.is_empty());
    }
}
