//! Making, resolving, deleting and expiring access requests.
//!
//! Reviews are in `review`; who may see what is in `listing`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tonic::Code;

use super::audit::AuditKind;
use super::options::Era;
use super::refusal::Refusal;
use super::request::{AccessRequest, NewRequest, PromotedTo, RequestState};
use super::rules::{ACCESS_REQUEST, Caller};
use super::state::State;
use super::world::{Labels, RequestConditions, Threshold, any_matches};

/// Longest reason that newer servers take, in bytes.
const REASON_LIMIT: usize = 4096;
/// Most resources in one request.
const RESOURCE_LIMIT: usize = 300;
/// How far ahead the access may start.
const ASSUME_START_LIMIT: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Longest access on newest servers.
const MAX_DURATION: Duration = Duration::from_secs(14 * 24 * 3600);
/// Longest session on newest servers unless a role says less.
const SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

/// A change of state as the API carries it.
#[derive(Clone, Debug)]
pub(super) struct StateChange {
    pub(super) state: RequestState,
    pub(super) reason: Vec<u8>,
    pub(super) delegator: String,
    pub(super) annotations: Labels,
    /// Only with an approval: the roles granted, empty for all.
    pub(super) roles: Vec<String>,
    pub(super) assume_start: Option<Timestamp>,
}

impl State {
    /// Checks a request and completes it, without storing it.
    pub(super) fn draft(
        &self,
        caller: &Caller,
        user: &str,
        id: String,
        new: NewRequest,
    ) -> Result<AccessRequest, Refusal> {
        if !caller.is(user) {
            self.require(caller, &[ACCESS_REQUEST], "create")?;
        }
        let person = self.world.user(user, self.now);
        let person = person.ok_or_else(|| Refusal::not_found(format!("user {user:?} not found")))?;
        let modern = self.options.era == Era::Newest;
        if modern && new.reason.len() > REASON_LIMIT {
            return Err(Refusal::bad_parameter(format!(
                "access request reason is longer than {REASON_LIMIT} bytes"
            )));
        }
        if new.resources.len() > RESOURCE_LIMIT {
            return Err(Refusal::bad_parameter(format!(
                "access request names more than {RESOURCE_LIMIT} resources"
            )));
        }
        if new.assume_start.is_some_and(|start| start > self.now + ASSUME_START_LIMIT) {
            return Err(Refusal::bad_parameter("assume start time is too far in the future"));
        }

        let requestable: Vec<&RequestConditions> =
            self.world.roles_of(person).map(|role| &role.allow.request).collect();
        let denied: Vec<&RequestConditions> =
            self.world.roles_of(person).map(|role| &role.deny.request).collect();
        let may = |role: &str| {
            requestable.iter().any(|conditions| any_matches(&conditions.roles, role))
                && !denied.iter().any(|conditions| any_matches(&conditions.roles, role))
        };
        let mut roles = new.roles;
        if roles == ["*"] || (roles.is_empty() && !new.resources.is_empty()) {
            roles = self.world.roles.iter().map(|role| role.name.clone()).filter(|role| may(role)).collect();
        }
        if roles.is_empty() {
            return Err(Refusal::bad_parameter("at least one role must be specified"));
        }
        let mut longest = self.options.access_ttl;
        for role in &roles {
            if !may(role) {
                return Err(Refusal::bad_parameter(format!("user {user:?} can not request role {role:?}")));
            }
            let role = self.world.role(role);
            let role = role.ok_or_else(|| Refusal::not_found("a requested role is not found"))?;
            longest = longest.min(role.max_session_ttl.unwrap_or(longest));
        }

        let (thresholds, role_thresholds) = thresholds(&roles, &requestable);
        let relevant = requestable.iter().filter(|c| roles.iter().any(|role| any_matches(&c.roles, role)));
        let mut suggested_reviewers = new.suggested_reviewers;
        let mut system_annotations = Labels::new();
        let suggest = suggested_reviewers.is_empty();
        for conditions in relevant {
            if suggest {
                suggested_reviewers.extend(conditions.suggested_reviewers.iter().cloned());
            }
            for (key, values) in &conditions.annotations {
                system_annotations.entry(key.clone()).or_default().extend(values.iter().cloned());
            }
        }

        let access_ttl = new.access_ttl.map_or(longest, |ttl| ttl.min(longest));
        let pending_ttl = new.pending_ttl.unwrap_or(self.options.pending_ttl).min(access_ttl);
        let max_duration = new.max_duration.map_or(access_ttl, |longest| longest.min(MAX_DURATION));
        let access_expiry = self.now + access_ttl;
        Ok(AccessRequest {
            id,
            user: user.to_owned(),
            roles,
            state: RequestState::Pending,
            created: self.now,
            access_expiry,
            expiry: self.now + pending_ttl,
            request_reason: new.reason,
            resolve_reason: Vec::new(),
            resolve_annotations: Labels::new(),
            system_annotations,
            thresholds,
            role_thresholds,
            reviews: Vec::new(),
            suggested_reviewers,
            resources: new.resources,
            promoted_to: None,
            assume_start: new.assume_start,
            max_duration: modern.then_some(self.now + max_duration),
            session_ttl: modern.then(|| access_expiry.min(self.now + SESSION_TTL)),
            long_term: modern && new.long_term,
            revision: 0,
        })
    }

    /// Makes a request.
    pub(super) fn create(
        &mut self,
        caller: &Caller,
        user: &str,
        id: String,
        new: NewRequest,
    ) -> Result<AccessRequest, Refusal> {
        let request = self.draft(caller, user, id, new)?;
        let id = &request.id;
        if self.requests.contains_key(id) {
            return Err(Refusal::new(Code::AlreadyExists, format!("access request {id:?} already exists")));
        }
        let mut line = self.audit_line(AuditKind::Create, caller, &request);
        line.reason = text(&request.request_reason);
        line.annotations = request.system_annotations.clone();
        self.put(request.clone());
        self.log(line);
        Ok(request)
    }

    /// Sets the state, past reviews and thresholds.
    pub(super) fn set_state(
        &mut self,
        caller: &Caller,
        id: &str,
        change: StateChange,
    ) -> Result<(), Refusal> {
        self.require(caller, &[ACCESS_REQUEST], "update")?;
        let Some(request) = self.requests.get(id) else {
            return Err(Refusal::not_found(format!("cannot set state of access request {id:?} (not found)")));
        };
        let mut request = request.clone();
        if change.state == RequestState::Promoted {
            return Err(Refusal::bad_parameter(
                "state promoted can be only set when promoting to an access list",
            ));
        }
        if self.options.era == Era::Newest && caller.is(&request.user) {
            return Err(Refusal::denied("cannot set the state of one's own access request"));
        }
        if request.state == RequestState::Denied && change.state != RequestState::Denied {
            let state = change.state.name();
            return Err(Refusal::bad_parameter(format!(
                "cannot set request-state {state:?} (already denied)"
            )));
        }
        // An approval can be taken back, but without a word (`set-state-back-to-pending`,
        // `set-state-pending-with-reason`; assumed of releases before 15).
        if change.state == RequestState::Pending && !change.reason.is_empty() {
            return Err(Refusal::bad_parameter("pending requests cannot include resolve reason"));
        }
        if !change.roles.is_empty() {
            if change.state != RequestState::Approved {
                return Err(Refusal::bad_parameter(
                    "cannot override roles when setting state to anything but approved",
                ));
            }
            if let Some(role) = change.roles.iter().find(|role| !request.roles.contains(role)) {
                return Err(Refusal::bad_parameter(format!("role {role:?} was not requested")));
            }
            request.roles.clone_from(&change.roles);
        }
        request.state = change.state;
        // What is not given empties what was there (`set-state-approved-again`; assumed of releases before 15).
        request.resolve_reason.clone_from(&change.reason);
        request.resolve_annotations.clone_from(&change.annotations);
        request.assume_start = change.assume_start.or(request.assume_start);
        if request.state == RequestState::Approved {
            request.expiry = request.access_expiry;
        }
        let mut line = self.audit_line(AuditKind::Update, caller, &request);
        line.delegator = Some(change.delegator).filter(|delegator| !delegator.is_empty());
        line.reason = text(&change.reason);
        line.annotations = change.annotations;
        self.put(request);
        self.log(line);
        Ok(())
    }

    /// Deletes a request in whatever state.
    pub(super) fn delete(&mut self, caller: &Caller, id: &str) -> Result<(), Refusal> {
        self.require(caller, &[ACCESS_REQUEST], "delete")?;
        let Some(request) = self.remove(id) else {
            return Err(Refusal::not_found(format!("cannot delete access request {id:?} (not found)")));
        };
        if self.options.era != Era::Old {
            let line = self.audit_line(AuditKind::Delete, caller, &request);
            self.log(line);
        }
        Ok(())
    }

    /// Turns a pending request into membership of an access list.
    pub(super) fn promote(&mut self, id: &str, title: &str) -> Result<(), Refusal> {
        let request = self.requests.get(id);
        let Some(request) = request.filter(|request| request.state == RequestState::Pending) else {
            return Err(Refusal::not_found(format!("no pending access request {id:?}")));
        };
        let mut request = request.clone();
        request.state = RequestState::Promoted;
        request.promoted_to = Some(PromotedTo { name: new_id(self.now, Era::Old), title: title.to_owned() });
        self.put(request);
        Ok(())
    }

    /// Moves a request's expiry to now, as if time had flown, and lets it expire; false if there is none.
    pub(super) fn expire_early(&mut self, id: &str) -> bool {
        let Some(request) = self.requests.get(id) else { return false };
        self.put(AccessRequest { expiry: self.now, ..request.clone() });
        self.expire(id)
    }

    /// Clears a request away that has expired; false if there is none.
    fn expire(&mut self, id: &str) -> bool {
        let Some(request) = self.remove(id) else { return false };
        if self.options.era == Era::Newest {
            let line = self.audit_line(AuditKind::Expire, &Caller::Tctl, &request);
            self.log(line);
        }
        true
    }

    /// Clears away what has expired.
    pub(super) fn expire_due(&mut self) {
        let (now, delay) = (self.now, self.options.delete_delay);
        if self.next_expiry.is_none_or(|next| next > now) {
            return;
        }
        let due = |request: &&AccessRequest| request.expiry + delay <= now;
        let due: Vec<String> = self.requests.values().filter(due).map(|request| request.id.clone()).collect();
        for id in due {
            self.expire(&id);
        }
        let before = self.plugin_data.len();
        self.plugin_data.retain(|_, item| item.expires > now);
        if self.plugin_data.len() != before {
            self.touch();
        }
        let requests = self.requests.values().map(|request| request.expiry + delay);
        self.next_expiry = requests.chain(self.plugin_data.values().map(|item| item.expires)).min();
    }
}

/// The thresholds of the request and, for each role, which of them belong to it.
fn thresholds(
    roles: &[String],
    requestable: &[&RequestConditions],
) -> (Vec<Threshold>, BTreeMap<String, Vec<Vec<u32>>>) {
    let standard = [Threshold { approve: 1, deny: 1, ..Threshold::default() }];
    let mut all: Vec<Threshold> = Vec::new();
    let mut mapping = BTreeMap::new();
    for role in roles {
        let matching = requestable.iter().filter(|conditions| any_matches(&conditions.roles, role));
        let mut lists: Vec<&[Threshold]> = matching
            .map(|conditions| conditions.thresholds.as_slice())
            .filter(|list| !list.is_empty())
            .collect();
        if lists.is_empty() {
            lists.push(&standard);
        }
        let mut sets = Vec::new();
        for list in lists {
            let mut set = Vec::new();
            for threshold in list {
                let known = (0u32..).zip(&all).find(|(_, known)| *known == threshold).map(|(index, _)| index);
                set.push(known.unwrap_or_else(|| {
                    all.push(threshold.clone());
                    u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
                }));
            }
            sets.push(set);
        }
        mapping.insert(role.clone(), sets);
    }
    (all, mapping)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request id: UUIDv4, from 15.3.1 on UUIDv7.
pub(super) fn new_id(now: Timestamp, era: Era) -> String {
    let random = fastrand::u128(..);
    let (value, version) = match era {
        Era::V15_3 | Era::Newest => {
            let millis = u128::try_from(now.as_millisecond()).unwrap_or(0);
            (millis << 80 | random >> 48, 7u128)
        }
        Era::Old | Era::Middle | Era::V15 => (random, 4),
    };
    let value = value & !(0xf << 76) & !(0x3 << 62) | version << 76 | 0x2 << 62;
    let hex = format!("{value:032x}");
    let mut id = String::with_capacity(36);
    for (i, digit) in hex.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}
