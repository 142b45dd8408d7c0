//! What lists show and watches report: the store's content, on some releases a moment late.
//!
//! 15.3.1 serves both from a cache that asks its store for changes once a second; a request asked for by its id
//! is read from the store (`vectors/teleport-15-observed.md`, 5 to 9). Here each change reaches the
//! cache [`super::Options::list_lag`] after it was made, the worst case. That events wait like lists is what
//! makes "watch, then list" miss nothing, which was observed; how long they wait is assumed.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use teleport_proto::auth as pb;

use super::request::AccessRequest;

/// A change on its way from the store to the cache.
#[derive(Debug)]
pub(super) struct PendingChange {
    pub(super) due: Timestamp,
    pub(super) id: String,
    pub(super) event: pb::Event,
    /// Content of a PUT; absent for a DELETE.
    pub(super) request: Option<AccessRequest>,
}

/// The cache, and what it has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Cache {
    listed: BTreeMap<String, AccessRequest>,
    pending: VecDeque<PendingChange>,
}

impl Cache {
    /// The requests as a list finds them.
    pub(super) fn listed(&self) -> &BTreeMap<String, AccessRequest> {
        &self.listed
    }

    /// When the next change arrives.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.pending.front().map(|change| change.due)
    }

    /// Sends a change on its way.
    pub(super) fn push(&mut self, change: PendingChange) {
        self.pending.push_back(change);
    }

    /// The change that arrives next, due or not.
    pub(super) fn pop(&mut self) -> Option<PendingChange> {
        self.pending.pop_front()
    }

    /// From now on lists find this content; none, if the request is gone.
    pub(super) fn list(&mut self, id: String, request: Option<AccessRequest>) {
        match request {
            Some(request) => self.listed.insert(id, request),
            None => self.listed.remove(&id),
        };
    }
}
