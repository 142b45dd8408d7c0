//! Which of the planned operations may call Slack now. The others stay out of the plan until their turn comes.

use access_core::domain::ids::RequestId;
use access_core::plan::{Plan, SkipReason, Step};
use access_core::record::Operation;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Executor;
use crate::controller::channel_queue::QueuedOperation;
use crate::controller::retry_state::{Deferred, RetryState, later};
use crate::controller::send_turns::Wait;

impl Executor {
    /// Leaves out the operations that must wait for their turn in Slack. If none is left and one is near its turn, waits for
    /// it a moment, which is cheaper than another reconcile.
    pub(in crate::controller) async fn await_turns(
        &self,
        id: &RequestId,
        created: Option<Timestamp>,
        plan: &mut Plan,
        retry_state: &mut RetryState,
    ) {
        self.sender.line_up_lookups(id, created, &plan.operations, retry_state.ended_lookups());
        let until = Instant::now() + self.sender.timings.turns.park;
        let mut blocked = self.leave_out_blocked(id, created, plan, retry_state);
        while plan.operations.is_empty()
            && Instant::now() < until
            && self.sender.wait_for_turn(id, created, &blocked, until).await
        {
            plan.take_up(blocked);
            blocked = self.leave_out_blocked(id, created, plan, retry_state);
        }
    }

    /// Leaves out the operations that must wait, and returns them.
    pub(in crate::controller) fn leave_out_blocked(
        &self,
        id: &RequestId,
        created: Option<Timestamp>,
        plan: &mut Plan,
        retry_state: &mut RetryState,
    ) -> Vec<(Operation, Vec<Step>)> {
        let now = self.clock.now();
        let mut first = plan.requeue_at;
        retry_state.queued.clear();
        let blocked = plan.leave_out(|operation, steps| {
            let caller = QueuedOperation { created, id: id.clone(), operation: operation.clone() };
            let Wait { delay, is_queued } = self.sender.reserve(&caller, steps.first()?)?;
            let until = later(now, delay);
            first = Some(first.map_or(until, |first| first.min(until)));
            if is_queued {
                retry_state.defer(operation.clone(), &Deferred::queued(delay));
                Some(SkipReason::WaitsForTurn(until))
            } else {
                retry_state.retry_after(operation.clone(), delay);
                Some(SkipReason::RetryAt(until))
            }
        });
        plan.requeue_at = first;
        blocked
    }

    /// Gives up the turns that the request did not use.
    pub(in crate::controller) fn end_turns(&self, id: &RequestId) {
        self.sender.end_all(id);
    }

    /// Waits until a call could be made at once, so that the claim is not held for nothing.
    pub(in crate::controller) async fn await_capacity(&self) {
        self.sender.wait_for_capacity().await;
    }

    /// What Slack refused may succeed now.
    pub(in crate::controller) fn reset_breaker(&self) {
        self.sender.reset_breaker();
    }
}
