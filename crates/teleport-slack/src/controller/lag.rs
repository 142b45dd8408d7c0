//! Which requests are behind: something could not be displayed, recorded or decided yet. For the metrics and `/status` only.

use std::collections::{BTreeSet, HashMap};

use access_core::domain::ids::RequestId;
use tokio::time::Instant;

/// The requests that are behind, each with the end of the first reconcile that left it so.
#[derive(Debug, Default)]
pub(super) struct Lag {
    since: HashMap<RequestId, Instant>,
    order: BTreeSet<(Instant, RequestId)>,
}

impl Lag {
    /// Records whether a reconcile that ended at `now` left the request behind.
    pub(super) fn record(&mut self, id: &RequestId, is_lagging: bool, now: Instant) {
        if !is_lagging {
            if let Some(since) = self.since.remove(id) {
                self.order.remove(&(since, id.clone()));
            }
        } else if !self.since.contains_key(id) {
            self.since.insert(id.clone(), now);
            self.order.insert((now, id.clone()));
        }
    }

    /// The requests that are behind, and since when, the longest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Instant, RequestId)> {
        self.order.iter()
    }

    /// The earliest time since when a request is behind.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.order.first().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_reported_until_it_caught_up() {
        let (mut behind, start) = (Lag::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let [a, b] = ["a", "b"].map(RequestId::new);
        assert_eq!(behind.oldest(), None);
        behind.record(&a, true, at(1));
        behind.record(&b, true, at(2));
        behind.record(&a, true, at(3));
        assert_eq!(behind.oldest(), Some(at(1)), "since the first failure");
        assert!(behind.iter().eq([&(at(1), a.clone()), &(at(2), b.clone())]));
        behind.record(&a, false, at(4));
        assert_eq!(behind.oldest(), Some(at(2)));
        behind.record(&a, true, at(5));
        behind.record(&b, false, at(6));
        assert_eq!(behind.oldest(), Some(at(5)), "it is behind again");
        behind.record(&a, false, at(7));
        assert!(behind.since.is_empty() && behind.order.is_empty());
    }
}
