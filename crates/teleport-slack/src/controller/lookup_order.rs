//! Which requests wait for the look-up of a recipient. The first to have the result puts all of them into the channel queue
//! (`channel_queue`), so that a person gets them in the order in which they were made.
//!
//! `recipient_lookup` looks up. It makes one look-up for all requests that wait for the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use access_core::domain::ids::RequestId;
use access_core::domain::recipients::RecipientKey;
use jiff::Timestamp;
use parking_lot::Mutex;

/// One look-up. Those of a requester wait for their turn, so they may end later than the configuration's of the same recipient.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LookupKey {
    /// Who is looked up.
    pub(super) recipient: RecipientKey,
    /// The requester who named the recipient; `None` if the configuration does.
    pub(super) requester: Option<String>,
}

/// When a request was made, and its id.
type Request = (Option<Timestamp>, RequestId);

/// The requests that wait for each look-up. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct LookupOrder(Arc<Mutex<HashMap<LookupKey, BTreeSet<Request>>>>);

/// One request that waits for one look-up; dropping it ends the wait.
#[derive(Debug)]
pub(super) struct LookupWaiter {
    order: LookupOrder,
    lookup: LookupKey,
    request: Request,
}

impl LookupOrder {
    /// A request begins to wait.
    pub(super) fn join(&self, lookup: LookupKey, created: Option<Timestamp>, id: &RequestId) -> LookupWaiter {
        let request = (created, id.clone());
        self.0.lock().entry(lookup.clone()).or_default().insert(request.clone());
        LookupWaiter { order: self.clone(), lookup, request }
    }
}

impl LookupWaiter {
    /// Who is looked up.
    pub(super) fn recipient(&self) -> &RecipientKey {
        &self.lookup.recipient
    }

    /// Ends the wait of all requests that wait for the same look-up, and returns them, the oldest first.
    pub(super) fn take_all(&self) -> impl Iterator<Item = Request> {
        self.order.0.lock().remove(&self.lookup).into_iter().flatten()
    }
}

impl Drop for LookupWaiter {
    fn drop(&mut self) {
        let mut order = self.order.0.lock();
        if let Some(requests) = order.get_mut(&self.lookup) {
            requests.remove(&self.request);
            if requests.is_empty() {
                order.remove(&self.lookup);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(requester: Option<&str>) -> LookupKey {
        let recipient = RecipientKey::new("bob@example.com");
        LookupKey { recipient, requester: requester.map(str::to_owned) }
    }

    fn join(order: &LookupOrder, requester: Option<&str>, second: i64) -> LookupWaiter {
        let id = RequestId::new(format!("r{second}"));
        order.join(lookup(requester), Timestamp::from_second(second).ok(), &id)
    }

    fn taken(waiter: &LookupWaiter) -> String {
        waiter.take_all().map(|(_, id)| id.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_first_with_the_result_takes_all_that_wait_for_the_same_look_up() {
        let order = LookupOrder::default();
        let [_three, one, two] = [3, 1, 2].map(|second| join(&order, None, second));
        let of_alice = join(&order, Some("alice"), 4);
        let of_zoe = join(&order, Some("zoe"), 5);
        drop(one);
        assert_eq!((taken(&two), taken(&two)), ("r2 r3".to_owned(), String::new()));
        assert_eq!(taken(&join(&order, None, 6)), "r6", "the others were taken");
        drop(of_zoe);
        assert_eq!(taken(&of_alice), "r4");
        drop(of_alice);
        assert!(order.0.lock().is_empty(), "nothing is kept of look-ups that ended");
    }
}
