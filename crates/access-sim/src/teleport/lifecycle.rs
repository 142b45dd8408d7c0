//! Resolving, deleting and expiring access requests.
//!
//! Making them is in `creation`, reviews are in `review`; who may see what is in `listing`.

use super::audit::AuditKind;
use super::caller::Caller;
use super::creation::new_id;
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::request::{AccessRequest, PromotedTo, RequestState, StateChange};
use super::rules::ACCESS_REQUEST;
use super::state::State;
use super::text::{require_reason_fits, text};

/// The answer to a state or a proposal of PROMOTED (`set-state-promoted`, `review-promoted`).
pub(super) const NOT_BY_PROMOTION: &str = "state promoted can be only set when promoting to access list";

impl State {
    /// Sets the state, past reviews and thresholds.
    pub(super) fn set_state(
        &mut self,
        caller: &Caller,
        id: &str,
        change: StateChange,
    ) -> Result<(), RpcError> {
        self.require(caller, &[ACCESS_REQUEST], "update")?;
        if change.state == RequestState::Promoted {
            return Err(RpcError::bad_parameter(NOT_BY_PROMOTION));
        }
        require_reason_fits(self.options.version, "access request resolve reason", &change.reason)?;
        let Some(request) = self.requests.get(id) else {
            return Err(RpcError::not_found(format!(
                "cannot set state of access request {id:?} (not found)"
            )));
        };
        let mut request = request.clone();
        if self.options.version == ServerVersion::V18 && caller.is(&request.user) {
            return Err(RpcError::denied("cannot set the state of one's own access request"));
        }
        if request.state == RequestState::Denied && change.state != RequestState::Denied {
            let state = change.state.name();
            return Err(RpcError::bad_parameter(format!(
                "cannot set request-state {state:?} (already denied)"
            )));
        }
        // An approval can be revoked, but without a reason (`set-state-back-to-pending`,
        // `set-state-pending-with-reason`; assumed of releases before 15).
        if change.state == RequestState::Pending && !change.reason.is_empty() {
            return Err(RpcError::bad_parameter("pending requests cannot include resolve reason"));
        }
        if !change.roles.is_empty() {
            if change.state != RequestState::Approved {
                let state = change.state.name();
                return Err(RpcError::bad_parameter(format!(
                    "cannot override roles when setting state: {state}"
                )));
            }
            if let Some(role) = change.roles.iter().find(|role| !request.roles.contains(role)) {
                return Err(RpcError::bad_parameter(format!(
                    "role {role:?} not in original request, overrides must be a subset of original role list"
                )));
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
        let mut line = self.audit_event(AuditKind::Update, caller, &request);
        line.delegator = Some(change.delegator).filter(|delegator| !delegator.is_empty());
        line.reason = text(&change.reason);
        line.annotations = change.annotations;
        self.put(request);
        self.push_audit(line);
        Ok(())
    }

    /// Deletes a request in whatever state.
    pub(super) fn delete(&mut self, caller: &Caller, id: &str) -> Result<(), RpcError> {
        self.require(caller, &[ACCESS_REQUEST], "delete")?;
        let Some(request) = self.remove(id) else {
            return Err(RpcError::not_found(format!("cannot delete access request {id:?} (not found)")));
        };
        if self.options.version != ServerVersion::V6 {
            let line = self.audit_event(AuditKind::Delete, caller, &request);
            self.push_audit(line);
        }
        Ok(())
    }

    /// Turns a pending request into membership of an access list.
    pub(super) fn promote(&mut self, id: &str, title: &str) -> Result<(), RpcError> {
        let request = self.requests.get(id);
        let Some(request) = request.filter(|request| request.state == RequestState::Pending) else {
            return Err(RpcError::not_found(format!("no pending access request {id:?}")));
        };
        let mut request = request.clone();
        request.state = RequestState::Promoted;
        request.promoted_to =
            Some(PromotedTo { name: new_id(self.now, ServerVersion::V6), title: title.to_owned() });
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
        if self.options.version == ServerVersion::V18 {
            let line = self.audit_event(AuditKind::Expire, &Caller::Tctl, &request);
            self.push_audit(line);
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
            self.mark_changed();
        }
        let requests = self.requests.values().map(|request| request.expiry + delay);
        self.next_expiry = requests.chain(self.plugin_data.values().map(|item| item.expires)).min();
    }
}
