//! How other parts of the daemon wake a request.

use access_core::domain::ids::RequestId;
use tokio::sync::mpsc;

/// Requests that wait to be queued.
const CAPACITY: usize = 1_024;

/// Wakes requests, from anywhere.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<RequestId>);

/// The controller's end of a [`Handle`].
#[derive(Debug)]
pub struct Enqueued(pub(super) mpsc::Receiver<RequestId>);

impl Handle {
    /// A handle, and what the controller needs to follow it.
    pub fn new() -> (Self, Enqueued) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(sender), Enqueued(receiver))
    }

    /// The controller reconciles the request soon. Does not wait: with 1,024 requests before this one it is left out, and the
    /// watch leads to it, or the resync.
    pub fn enqueue(&self, id: RequestId) {
        drop(self.0.try_send(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_beyond_the_capacity_waits_for_nothing_and_is_left_out() {
        let (handle, Enqueued(mut enqueued)) = Handle::new();
        for n in 0..=CAPACITY {
            handle.enqueue(RequestId::new(n.to_string()));
        }
        let taken = std::iter::from_fn(|| enqueued.try_recv().ok());
        let expected = (0..CAPACITY).map(|n| RequestId::new(n.to_string()));
        assert!(taken.eq(expected));
    }
}
