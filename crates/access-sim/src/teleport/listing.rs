//! Reading requests and users: filters, visibility, pages.

use std::collections::BTreeMap;

use teleport_proto::auth as pb;

use super::options::Era;
use super::refusal::Refusal;
use super::request::AccessRequest;
use super::rules::{ACCESS_REQUEST, Caller, USER};
use super::state::State;
use super::wire;
use super::world::User;

/// Page length when the client names none.
const DEFAULT_LIMIT: i32 = 1000;
/// Longest page.
const MAX_LIMIT: i32 = 16_000;

impl State {
    /// Requests that match the filter and that the caller may see, by id.
    pub(super) fn find_requests(
        &self,
        caller: &Caller,
        filter: &pb::AccessRequestFilter,
    ) -> Result<Vec<AccessRequest>, Refusal> {
        let verbs = ["list", "read"];
        for verb in verbs {
            if self.options.era == Era::Newest && self.forbids(caller, ACCESS_REQUEST, verb)? {
                let message = format!("access denied to perform action {verb:?} on {ACCESS_REQUEST:?}");
                return Err(Refusal::denied(message));
            }
        }
        let sees_all =
            self.may(caller, ACCESS_REQUEST, "list")? && self.may(caller, ACCESS_REQUEST, "read")?;
        let user = self.record(caller)?;
        let visible = |request: &AccessRequest| {
            sees_all || user.is_some_and(|user| user.name == request.user || self.may_review(user, request))
        };
        // From its end on a request is in no answer, though its DELETE may take long (15.3.1, 9).
        let gone = |request: &AccessRequest| self.options.era >= Era::V15_3 && request.expiry <= self.now;
        // A filter with an id names at most one.
        let matching = |request: &AccessRequest| {
            (filter.id.is_empty() || filter.id == request.id)
                && (filter.user.is_empty() || filter.user == request.user)
                && (filter.state == 0 || filter.state == wire::state_number(request.state))
        };
        let found = if filter.id.is_empty() { self.listed() } else { &self.requests };
        Ok(found
            .values()
            .filter(|request| matching(request) && visible(request) && !gone(request))
            .cloned()
            .collect())
    }

    /// One page of the same, and the key of the next.
    pub(super) fn list_requests(
        &self,
        caller: &Caller,
        list: &pb::ListAccessRequestsRequest,
    ) -> Result<(Vec<AccessRequest>, String), Refusal> {
        let limit = match list.limit {
            ..1 => DEFAULT_LIMIT,
            limit @ 1..=MAX_LIMIT => limit,
            limit => return Err(Refusal::bad_parameter(format!("page size of {limit} is too large"))),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let filter = list.filter.clone().unwrap_or_default();
        let mut sorted = BTreeMap::new();
        for request in self.find_requests(caller, &filter)? {
            // Keys are texts that sort like what they stand for; ids make them unique.
            let key = match list.sort {
                0 => request.id.clone(),
                1 => format!("{:032}/{}", request.created.as_nanosecond(), request.id),
                2 => format!("{}/{}", request.state.name(), request.id),
                3 => format!("{}/{}", request.user, request.id),
                other => return Err(Refusal::bad_parameter(format!("unsupported sort index {other}"))),
            };
            sorted.insert(key, request);
        }
        let start = &list.start_key;
        let mut page: Vec<(String, AccessRequest)> = if list.descending {
            sorted
                .into_iter()
                .rev()
                .filter(|(key, _)| start.is_empty() || key <= start)
                .take(limit + 1)
                .collect()
        } else {
            sorted.into_iter().filter(|(key, _)| key >= start).take(limit + 1).collect()
        };
        let next = if page.len() > limit { page.pop().map(|(key, _)| key) } else { None };
        Ok((page.into_iter().map(|(_, request)| request).collect(), next.unwrap_or_default()))
    }

    /// One user: oneself, or with the right to read users.
    pub(super) fn find_user(&self, caller: &Caller, name: &str, secrets: bool) -> Result<User, Refusal> {
        if !caller.is(name) {
            self.require(caller, &[USER], "read")?;
        }
        require_no_secrets(secrets)?;
        self.record(caller)?;
        let user = self.world.user(name, self.now);
        user.cloned().ok_or_else(|| Refusal::not_found(format!("user {name:?} not found")))
    }

    /// All users whose record has not expired.
    pub(super) fn find_users(&self, caller: &Caller, secrets: bool) -> Result<Vec<User>, Refusal> {
        self.require_all(caller, USER, &["list", "read"])?;
        require_no_secrets(secrets)?;
        Ok(self
            .world
            .users
            .iter()
            .filter(|user| self.world.user(&user.name, self.now).is_some())
            .cloned()
            .collect())
    }
}

/// Secrets of users are for the server's own machine.
fn require_no_secrets(secrets: bool) -> Result<(), Refusal> {
    if secrets {
        return Err(Refusal::denied("this request can be only executed by an admin"));
    }
    Ok(())
}
