//! Whose turn it is to call Slack: what a step must wait for, and who is told when that is over.
//!
//! The lines are `pace`'s, places that refuse everything are `doors`'; who calls is `outbox`.

use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::plan::Step;
use access_core::record::{Operation, Outcome};
use jiff::Timestamp;
use tokio::time::Instant;

use super::channel_queue::QueuedOperation;
use super::sender::{SlackSender, log_scope, method_and_destination};
use crate::slack::method::Method;

/// What a step must wait for, and how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) delay: Duration,
    /// Whether it is its turn in the line, which may come earlier; then the dispatcher is told.
    pub(super) is_queued: bool,
}

impl SlackSender {
    /// What the step must wait for, if it must. Its place in the line is kept.
    pub(super) fn required_wait(&self, caller: &QueuedOperation, step: &Step) -> Option<Wait> {
        let (method, place) = method_and_destination(step);
        let now = Instant::now();
        let is_post = method == Method::ChatPostMessage;
        if let Some(delay) = self.blocked_for(method) {
            if is_post {
                self.queues().requeue(&place, caller, now + delay, true, now);
            }
            return Some(Wait { delay, is_queued: false });
        }
        let ahead = is_post.then(|| self.queues().required_wait(&place, caller, now)).flatten();
        if let Some(delay) = ahead {
            return Some(Wait { delay, is_queued: true });
        }
        if !matches!(method, Method::ChatPostMessage | Method::ChatUpdate) {
            return None;
        }
        let delay =
            self.breaker().required_wait(&log_scope(method, &place), &caller.id, &caller.operation, now)?;
        if is_post {
            self.queues().requeue(&place, caller, now + delay, false, now);
        }
        Some(Wait { delay, is_queued: false })
    }

    /// The same, asked before the claim is taken, which would otherwise be taken for nothing: if there is nothing to wait
    /// for, those behind wait until [`Outbox::end`].
    pub(super) fn reserve(&self, caller: &QueuedOperation, step: &Step) -> Option<Wait> {
        let wait = self.required_wait(caller, step);
        let (method, place) = method_and_destination(step);
        if wait.is_none() && method == Method::ChatPostMessage {
            self.queues().begin(&place, caller, Instant::now());
        }
        wait
    }

    /// Whoever posts there has ended; whose turn it is now is told.
    pub(super) fn end(&self, place: &str, caller: &QueuedOperation) {
        let next = self.queues().end(place, caller, Instant::now());
        self.notify_next(next);
    }

    /// The same for whatever was reserved for a request and not used.
    pub(super) fn end_all(&self, id: &RequestId) {
        let next = self.queues().end_all(id, Instant::now());
        self.notify_next(next);
    }

    fn notify_next(&self, ids: Vec<RequestId>) {
        // If there are too many, the rest come when their waits end.
        ids.into_iter().for_each(|id| drop(self.next_in_queue.try_send(id)));
        self.send_ended.notify_waiters();
    }

    /// Stays until it may be the turn of one of these, if one is near, but not longer than `until`. Returns whether it is
    /// worth asking again.
    pub(super) async fn wait_for_turn(
        &self,
        id: &RequestId,
        made: Option<Timestamp>,
        held: &[(Operation, Vec<Step>)],
        until: Instant,
    ) -> bool {
        let waits = held.iter().filter_map(|(errand, steps)| {
            let (method, place) = method_and_destination(steps.first()?);
            let caller = QueuedOperation { created: made, id: id.clone(), operation: errand.clone() };
            (method == Method::ChatPostMessage).then_some((place, caller))
        });
        let waits: Vec<_> = waits.collect();
        let mut ended = std::pin::pin!(self.send_ended.notified());
        ended.as_mut().enable();
        let now = Instant::now();
        let near: Vec<_> =
            waits.iter().filter_map(|(place, who)| self.queues().try_park(place, who, now)).collect();
        if near.contains(&false) && !near.contains(&true) {
            tokio::time::timeout_at(until, ended).await.ok();
        }
        waits.iter().for_each(|(place, who)| self.queues().unpark(place, who));
        !near.is_empty()
    }

    /// A post there went well and can be written down.
    pub(super) fn on_posted(&self, place: &str, caller: &QueuedOperation, outcome: &Outcome) {
        self.channels().on_posted(place, outcome);
        if matches!(outcome, Outcome::Posted { .. } | Outcome::Replied { .. }) {
            self.queues().on_accepted(place, caller);
        }
    }
}
