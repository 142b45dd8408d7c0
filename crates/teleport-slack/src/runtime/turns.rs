//! Whose turn it is to call Slack: what a step must wait for, and who is told when that is over.
//!
//! The lines are `pace`'s, places that refuse everything are `doors`'; who calls is `outbox`.

use std::time::Duration;

use access_core::ids::RequestId;
use access_core::plan::{Errand, Step};
use access_core::record::Outcome;
use jiff::Timestamp;
use tokio::time::Instant;

use super::outbox::{Outbox, topic, whereto};
use super::pace::Caller;
use crate::slack::method::Method;

/// What a step must wait for, and how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) delay: Duration,
    /// Whether it is its turn in the line, which may come earlier; then the dispatcher is told.
    pub(super) is_turn: bool,
}

impl Outbox {
    /// What the step must wait for, if it must. Its place in the line is kept.
    pub(super) fn wait(&self, caller: &Caller, step: &Step) -> Option<Wait> {
        let (method, place) = whereto(step);
        let now = Instant::now();
        let is_post = method == Method::ChatPostMessage;
        if let Some(delay) = self.gate(method) {
            if is_post {
                self.pace().stay(&place, caller, now + delay, true, now);
            }
            return Some(Wait { delay, is_turn: false });
        }
        let ahead = is_post.then(|| self.pace().wait(&place, caller, now)).flatten();
        if let Some(delay) = ahead {
            return Some(Wait { delay, is_turn: true });
        }
        if !matches!(method, Method::ChatPostMessage | Method::ChatUpdate) {
            return None;
        }
        let delay = self.doors().wait(&topic(method, &place), &caller.id, &caller.errand, now)?;
        if is_post {
            self.pace().stay(&place, caller, now + delay, false, now);
        }
        Some(Wait { delay, is_turn: false })
    }

    /// The same, asked before the claim is taken, which would otherwise be taken for nothing: if there is nothing to wait
    /// for, those behind wait until [`Outbox::end`].
    pub(super) fn reserve(&self, caller: &Caller, step: &Step) -> Option<Wait> {
        let wait = self.wait(caller, step);
        let (method, place) = whereto(step);
        if wait.is_none() && method == Method::ChatPostMessage {
            self.pace().begin(&place, caller, Instant::now());
        }
        wait
    }

    /// Whoever posts there has ended; whose turn it is now is told.
    pub(super) fn end(&self, place: &str, caller: &Caller) {
        let next = self.pace().end(place, caller, Instant::now());
        self.call(next);
    }

    /// The same for whatever was reserved for a request and not used.
    pub(super) fn end_all(&self, id: &RequestId) {
        let next = self.pace().end_all(id, Instant::now());
        self.call(next);
    }

    fn call(&self, ids: Vec<RequestId>) {
        // If there are too many, the rest come when their waits end.
        ids.into_iter().for_each(|id| drop(self.turns.try_send(id)));
        self.ended.notify_waiters();
    }

    /// Stays until it may be the turn of one of these, if one is near, but not longer than `until`. Returns whether it is
    /// worth asking again.
    pub(super) async fn stay(
        &self,
        id: &RequestId,
        made: Option<Timestamp>,
        held: &[(Errand, Vec<Step>)],
        until: Instant,
    ) -> bool {
        let waits = held.iter().filter_map(|(errand, steps)| {
            let (method, place) = whereto(steps.first()?);
            let caller = Caller { made, id: id.clone(), errand: errand.clone() };
            (method == Method::ChatPostMessage).then_some((place, caller))
        });
        let waits: Vec<_> = waits.collect();
        let mut ended = std::pin::pin!(self.ended.notified());
        ended.as_mut().enable();
        let now = Instant::now();
        let near: Vec<_> =
            waits.iter().filter_map(|(place, who)| self.pace().stay_here(place, who, now)).collect();
        if near.contains(&false) && !near.contains(&true) {
            tokio::time::timeout_at(until, ended).await.ok();
        }
        waits.iter().for_each(|(place, who)| self.pace().go_away(place, who));
        !near.is_empty()
    }

    /// A post there went well and can be written down.
    pub(super) fn took(&self, place: &str, caller: &Caller, outcome: &Outcome) {
        self.places().took(place, outcome);
        if matches!(outcome, Outcome::Posted { .. } | Outcome::Replied { .. }) {
            self.pace().took(place, caller);
        }
    }
}
