//! The cluster's memory, and how a change becomes an event, an audit line and a wake-up.
//!
//! `cluster` keeps it behind a lock. The operations are in `creation`, `lifecycle`, `review`, `plugin_data`, `listing`,
//! `watch` and `impersonate`; `rules` says who may call them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use teleport_proto::auth as pb;

use super::audit::{AuditEvent, AuditKind};
use super::cache::{Cache, PendingChange};
use super::call_log::CallLog;
use super::caller::Caller;
use super::faults::Faults;
use super::fixture::Fixture;
use super::options::Options;
use super::plugin_item::PluginItem;
use super::request::AccessRequest;
use super::watchers::Watchers;
use super::wire;

/// Lines of audit kept; a demo may run for days.
const MAX_AUDIT_EVENTS: usize = 10_000;

/// Everything that the server remembers.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) fixture: Fixture,
    pub(super) requests: BTreeMap<String, AccessRequest>,
    pub(super) plugin_data: BTreeMap<String, PluginItem>,
    pub(super) cache: Cache,
    pub(super) audit: VecDeque<AuditEvent>,
    /// The time of the operation that is going on.
    pub(super) now: Timestamp,
    /// Nothing expires before; looking through everything for each call would make many requests slow.
    pub(super) next_expiry: Option<Timestamp>,
    revision: i64,
    changed: bool,
    watchers: Watchers,
    faults: Faults,
    call_log: CallLog,
}

impl State {
    pub(super) fn new(
        options: Options,
        now: Timestamp,
        watchers: Watchers,
        faults: Faults,
        call_log: CallLog,
    ) -> Self {
        Self {
            fixture: options.fixture.clone(),
            options,
            requests: BTreeMap::new(),
            plugin_data: BTreeMap::new(),
            cache: Cache::default(),
            audit: VecDeque::new(),
            now,
            next_expiry: None,
            revision: 0,
            changed: false,
            watchers,
            faults,
            call_log,
        }
    }

    /// The next revision: Teleport 6 uses the time in nanoseconds.
    pub(super) fn next_revision(&mut self) -> i64 {
        let now = i64::try_from(self.now.as_nanosecond()).unwrap_or(i64::MAX);
        self.revision = now.max(self.revision + 1);
        self.changed = true;
        self.revision
    }

    /// Stores a request and notifies the watchers.
    pub(super) fn put(&mut self, mut request: AccessRequest) {
        request.revision = self.next_revision();
        let event = wire::put_event(&request, self.options.version);
        self.expires_at(request.expiry + self.options.delete_delay);
        self.requests.insert(request.id.clone(), request.clone());
        self.publish(&request.id.clone(), event, Some(request));
    }

    /// Something expires then.
    pub(super) fn expires_at(&mut self, at: Timestamp) {
        self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
    }

    /// Forgets a request and notifies the watchers.
    pub(super) fn remove(&mut self, id: &str) -> Option<AccessRequest> {
        let request = self.requests.remove(id)?;
        self.changed = true;
        self.publish(id, wire::delete_event(id), None);
        Some(request)
    }

    /// A line of audit with what is the same for all kinds.
    pub(super) fn audit_event(
        &self,
        kind: AuditKind,
        caller: &Caller,
        request: &AccessRequest,
    ) -> AuditEvent {
        AuditEvent {
            time: self.now,
            kind,
            code: kind.code(),
            user: caller.name().unwrap_or_default().to_owned(),
            request_id: request.id.clone(),
            state: request.state,
            proposed_state: None,
            reviewer: None,
            submitted_by: None,
            delegator: None,
            reason: String::new(),
            roles: request.roles.clone(),
            annotations: BTreeMap::new(),
        }
    }

    /// When something happens by itself next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next_expiry.into_iter().chain(self.cache.next_due()).min()
    }

    /// Writes a line of audit.
    pub(super) fn push_audit(&mut self, line: AuditEvent) {
        if self.audit.len() == MAX_AUDIT_EVENTS {
            self.audit.pop_front();
        }
        self.audit.push_back(line);
        self.changed = true;
    }

    /// Marks a change that has no event.
    pub(super) fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// Whether anything changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Sends a change towards lists and watches; at once where the release does not lag.
    fn publish(&mut self, id: &str, event: pb::Event, request: Option<AccessRequest>) {
        let due = self.now + self.options.list_lag;
        self.cache.push(PendingChange { due, id: id.to_owned(), event, request });
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
        let Some(PendingChange { id, event, request, .. }) = self.cache.pop() else { return };
        let reached =
            if self.faults.drops_event() { 0 } else { self.watchers.publish(&event, request.as_ref()) };
        self.call_log.record_emission(&id, request.is_none(), reached);
        self.cache.list(id, request);
        self.mark_changed();
    }
}
