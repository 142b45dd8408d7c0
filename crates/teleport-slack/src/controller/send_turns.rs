//! Which operation may call Slack next: what a step must wait for, and which request is woken when that is over.
//!
//! `channel_queue` keeps the queues, `channel_breaker` the channels that refuse everything; `sender` calls.

use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::plan::Step;
use access_core::record::{Operation, Outcome};
use jiff::Timestamp;
use tokio::time::Instant;

use super::channel_queue::QueuedOperation;
use super::lookup_order::LookupWaiter;
use super::sender::{SlackSender, log_scope, method_and_destination};
use slack_client::method::Method;

/// What a step must wait for, and how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) delay: Duration,
    /// Whether it waits for its turn in the queue, which may come earlier; then the controller is notified.
    pub(super) is_queued: bool,
}

impl SlackSender {
    /// What the step must wait for, if anything. It keeps its position in the queue.
    pub(super) fn required_wait(&self, caller: &QueuedOperation, step: &Step) -> Option<Wait> {
        let (method, destination) = method_and_destination(step);
        let now = Instant::now();
        let is_post = method == Method::ChatPostMessage;
        if let Some(delay) = self.slack.blocked_for(method) {
            if is_post {
                self.queues().requeue(&destination, caller, now + delay, true, now);
            }
            return Some(Wait { delay, is_queued: false });
        }
        let ahead = is_post.then(|| self.queues().required_wait(&destination, caller, now)).flatten();
        if let Some(delay) = ahead {
            return Some(Wait { delay, is_queued: true });
        }
        if !matches!(method, Method::ChatPostMessage | Method::ChatUpdate) {
            return None;
        }
        let delay = self.breaker().required_wait(
            &log_scope(method, &destination),
            &caller.id,
            &caller.operation,
            now,
        )?;
        if is_post {
            self.queues().requeue(&destination, caller, now + delay, false, now);
        }
        Some(Wait { delay, is_queued: false })
    }

    /// The same before the claim is taken, which would otherwise be taken for nothing. If there is nothing to wait for, the
    /// operations behind it wait until [`SlackSender::end`].
    pub(super) fn reserve(&self, caller: &QueuedOperation, step: &Step) -> Option<Wait> {
        let wait = self.required_wait(caller, step);
        let (method, destination) = method_and_destination(step);
        if wait.is_none() && method == Method::ChatPostMessage {
            self.queues().begin(&destination, caller, Instant::now());
        }
        wait
    }

    /// The post into `destination` has ended; wakes the requests whose turn it is now.
    pub(super) fn end(&self, destination: &str, caller: &QueuedOperation) {
        let next = self.queues().end(destination, caller, Instant::now());
        self.notify_next(next);
    }

    /// The same for everything that was reserved for a request and not used.
    pub(super) fn end_all(&self, id: &RequestId) {
        let next = self.queues().end_all(id, Instant::now());
        self.notify_next(next);
    }

    /// After look-ups ended: all requests that waited for the same look-up wait for their turn at its recipient, too, so
    /// that they keep their order. A request that does not post there after all leaves the queue.
    pub(super) fn line_up_lookups(
        &self,
        id: &RequestId,
        created: Option<Timestamp>,
        operations: &[(Operation, Vec<Step>)],
        ended: Vec<LookupWaiter>,
    ) {
        let now = Instant::now();
        for waiter in ended {
            let operation = Operation::Post(waiter.recipient().clone());
            let step = operations.iter().find(|(planned, _)| *planned == operation);
            match step.and_then(|(_, steps)| steps.first()) {
                Some(step @ Step::Post { .. }) => {
                    let (_, destination) = method_and_destination(step);
                    let callers = waiter.take_all().map(|(created, id)| QueuedOperation {
                        created,
                        id,
                        operation: operation.clone(),
                    });
                    self.queues().line_up(&destination, callers, now);
                }
                _ => {
                    let next =
                        self.queues().leave(&QueuedOperation { created, id: id.clone(), operation }, now);
                    self.notify_next(next);
                }
            }
        }
    }

    fn notify_next(&self, ids: Vec<RequestId>) {
        // If there are too many, the rest come when their waits end.
        ids.into_iter().for_each(|id| drop(self.next_in_queue.try_send(id)));
        self.send_ended.notify_waiters();
    }

    /// Waits until one of these may have its turn, if one is near, but not longer than `until`. Returns whether to ask
    /// again. What waits for something else, such as Slack's `Retry-After`, has no turn before that is over.
    pub(super) async fn wait_for_turn(
        &self,
        id: &RequestId,
        created: Option<Timestamp>,
        held: &[(Operation, Vec<Step>)],
        until: Instant,
    ) -> bool {
        let waits = held.iter().filter_map(|(operation, steps)| {
            let step = steps.first()?;
            let (method, destination) = method_and_destination(step);
            let caller = QueuedOperation { created, id: id.clone(), operation: operation.clone() };
            let waits_for_turn = method == Method::ChatPostMessage
                && self.required_wait(&caller, step).is_none_or(|wait| wait.is_queued);
            waits_for_turn.then_some((destination, caller))
        });
        let waits: Vec<_> = waits.collect();
        let mut ended = std::pin::pin!(self.send_ended.notified());
        ended.as_mut().enable();
        let now = Instant::now();
        let near: Vec<_> = waits
            .iter()
            .filter_map(|(destination, who)| self.queues().try_park(destination, who, now))
            .collect();
        if near.contains(&false) && !near.contains(&true) {
            tokio::time::timeout_at(until, ended).await.ok();
        }
        waits.iter().for_each(|(destination, who)| self.queues().unpark(destination, who));
        !near.is_empty()
    }

    /// A post into `destination` succeeded and can be recorded.
    pub(super) fn on_posted(&self, destination: &str, caller: &QueuedOperation, outcome: &Outcome) {
        self.channels().on_posted(destination, outcome);
        if matches!(outcome, Outcome::Posted { .. } | Outcome::Replied { .. }) {
            self.queues().on_accepted(destination, caller);
        }
    }
}
