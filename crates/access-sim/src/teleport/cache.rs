//! What lists show and watches report: the store's content, on some releases a moment late.
//!
//! 15.3.1 serves both from a cache that asks its store for changes once a second; a request asked for by its id
//! is read from the store (`vectors/teleport-15-observed.md`, 5 to 9). Here each change reaches the
//! cache [`super::Options::list_lag`] after it was made, the worst case. That events wait like lists is what
//! makes "watch, then list" miss nothing, which was observed; how long they wait is assumed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use teleport_proto::auth as pb;

use super::request::AccessRequest;
use super::state::State;

/// A change on its way from the store to the cache.
#[derive(Debug)]
struct PendingChange {
    due: Timestamp,
    id: String,
    event: pb::Event,
    /// Content of a PUT; absent for a DELETE.
    request: Option<AccessRequest>,
}

/// The cache, and what it has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Cache {
    listed: BTreeMap<String, AccessRequest>,
    pending: VecDeque<PendingChange>,
}

impl Cache {
    /// When the next change arrives.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.pending.front().map(|change| change.due)
    }
}

impl State {
    /// The requests as a list finds them.
    pub(super) fn listed(&self) -> &BTreeMap<String, AccessRequest> {
        &self.cache.listed
    }

    /// Sends a change towards lists and watches; at once where the release does not lag.
    pub(super) fn publish(&mut self, id: &str, event: pb::Event, request: Option<AccessRequest>) {
        let due = self.now + self.options.list_lag;
        self.cache.pending.push_back(PendingChange { due, id: id.to_owned(), event, request });
        self.apply_due_changes();
    }

    /// Lets the cache see what is due.
    pub(super) fn apply_due_changes(&mut self) {
        while self.cache.next_due().is_some_and(|due| due <= self.now) {
            self.apply_next_change();
        }
    }

    /// Lets the cache see everything, as a server does that fills it again.
    pub(super) fn refresh_cache(&mut self) {
        while self.cache.next_due().is_some() {
            self.apply_next_change();
        }
    }

    /// Changes how long lists and watches lag behind; holds for what changes from now on.
    pub(super) fn set_list_lag(&mut self, lag: Duration) {
        self.options.list_lag = lag;
    }

    fn apply_next_change(&mut self) {
        let Some(PendingChange { id, event, request, .. }) = self.cache.pending.pop_front() else { return };
        let reached =
            if self.faults.drops_event() { 0 } else { self.watchers.publish(&event, request.as_ref()) };
        self.call_log.record_emission(&id, request.is_none(), reached);
        match request {
            Some(request) => self.cache.listed.insert(id, request),
            None => self.cache.listed.remove(&id),
        };
        self.mark_changed();
    }
}
