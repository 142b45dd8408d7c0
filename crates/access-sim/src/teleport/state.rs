//! The cluster's memory behind one lock, and how a change becomes an event, an audit line and a wake-up.
//!
//! The operations are in `lifecycle`, `review`, `plugin_data`, `listing` and `impersonate`.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use super::audit::{AuditEvent, AuditKind};
use super::cache::Cache;
use super::call_log::{CallLog, Changes};
use super::certs::Authorities;
use super::faults::Faults;
use super::fixture::Fixture;
use super::options::Options;
use super::plugin_data::PluginItem;
use super::request::AccessRequest;
use super::rules::Caller;
use super::watch::Watchers;
use super::wire;
use crate::call_sequence::CallSequence;

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
    pub(super) watchers: Watchers,
    pub(super) faults: Faults,
    pub(super) call_log: CallLog,
}

impl State {
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
}

/// The state and all that stands around it; shared by the server, its tasks and the handle.
pub(super) struct Cluster {
    state: Mutex<State>,
    pub(super) authorities: Authorities,
    pub(super) watchers: Watchers,
    pub(super) faults: Faults,
    pub(super) call_log: CallLog,
    pub(super) changes: Changes,
    pub(super) call_sequence: CallSequence,
    pub(super) clock_offset: SignedDuration,
}

impl Cluster {
    pub(super) fn new(options: Options) -> std::io::Result<Self> {
        let changes = Changes::new();
        let watchers = Watchers::new(changes.clone());
        let faults = Faults::new(watchers.clone());
        let journal = CallLog::default();
        let authorities = Authorities::new(&options.fixture.cluster)?;
        let order = options.call_sequence.clone();
        let clock_offset = options.clock_offset;
        let state = State {
            fixture: options.fixture.clone(),
            options,
            requests: BTreeMap::new(),
            plugin_data: BTreeMap::new(),
            cache: Cache::default(),
            audit: VecDeque::new(),
            now: Timestamp::now() + clock_offset,
            next_expiry: None,
            revision: 0,
            changed: false,
            watchers: watchers.clone(),
            faults: faults.clone(),
            call_log: journal.clone(),
        };
        Ok(Self {
            state: Mutex::new(state),
            authorities,
            watchers,
            faults,
            call_log: journal,
            changes,
            call_sequence: order,
            clock_offset,
        })
    }

    /// Runs one operation, after what expired meanwhile has been cleared away.
    pub(super) fn with<T>(&self, operation: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        // Never backwards, so that ids, revisions and expiries keep their order when the clock is set.
        state.now = state.now.max(Timestamp::now() + self.clock_offset);
        state.expire_due();
        state.apply_due_changes();
        let result = operation(&mut state);
        let changed = std::mem::take(&mut state.changed);
        drop(state);
        if changed {
            self.changes.bump();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
