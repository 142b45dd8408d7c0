//! Reading requests and users: filters, visibility, pages.

use std::collections::BTreeMap;

use teleport_proto::auth as pb;

use super::caller::Caller;
use super::fixture::User;
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::request::{AccessRequest, RequestState};
use super::rules::{ACCESS_REQUEST, USER};
use super::state::State;
use super::wire;

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
    ) -> Result<Vec<AccessRequest>, RpcError> {
        let verbs = ["list", "read"];
        for verb in verbs {
            if self.options.version == ServerVersion::V18 && self.forbids(caller, ACCESS_REQUEST, verb)? {
                let message = format!("access denied to perform action {verb:?} on {ACCESS_REQUEST:?}");
                return Err(RpcError::denied(message));
            }
        }
        let sees_all =
            self.may(caller, ACCESS_REQUEST, "list")? && self.may(caller, ACCESS_REQUEST, "read")?;
        let user = self.user_record(caller)?;
        let visible = |request: &AccessRequest| {
            sees_all || user.is_some_and(|user| user.name == request.user || self.may_review(user, request))
        };
        // From its end on a request is in no answer, though its DELETE may take long (15.3.1, 9; assumed of earlier
        // releases, whose DELETE was never seen to be late).
        let gone = |request: &AccessRequest| request.expiry <= self.now;
        // A filter with an id names at most one.
        let matching = |request: &AccessRequest| {
            (filter.id.is_empty() || filter.id == request.id)
                && (filter.user.is_empty() || filter.user == request.user)
                && (filter.state == 0 || filter.state == wire::state_number(request.state))
                && (self.options.version < ServerVersion::V15_3 || in_scope(caller, request, filter))
        };
        let found = if filter.id.is_empty() { self.cache.listed() } else { &self.requests };
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
    ) -> Result<(Vec<AccessRequest>, String), RpcError> {
        let filter = list.filter.clone().unwrap_or_default();
        if !filter.id.is_empty() {
            // Then nothing else is looked at (`page-id-ignores-the-rest`).
            return Ok((self.find_requests(caller, &filter)?, String::new()));
        }
        let limit = match list.limit {
            ..1 => DEFAULT_LIMIT,
            limit @ 1..=MAX_LIMIT => limit,
            limit => return Err(RpcError::bad_parameter(format!("page size of {limit} is too large"))),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if !(0..=3).contains(&list.sort) {
            return Err(unknown_sort(list.sort));
        }
        let mut sorted = BTreeMap::new();
        for request in self.find_requests(caller, &filter)? {
            // Keys are texts that sort like what they stand for; ids make them unique.
            let key = match list.sort {
                0 => request.id.clone(),
                1 => format!("{}/{}", request.created.strftime("%Y-%m-%dT%H:%M:%SZ"), request.id),
                2 => format!("{}/{}", request.state.name(), request.id),
                3 => format!("{}/{}", request.user, request.id),
                _ => return Err(unknown_sort(list.sort)),
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
    pub(super) fn find_user(&self, caller: &Caller, name: &str, secrets: bool) -> Result<User, RpcError> {
        if !caller.is(name) {
            self.require(caller, &[USER], "read")?;
        }
        require_no_secrets(secrets)?;
        self.user_record(caller)?;
        let user = self.fixture.user(name, self.now);
        user.cloned().ok_or_else(|| RpcError::not_found(format!("user {name:?} not found")))
    }

    /// All users whose record has not expired.
    pub(super) fn find_users(&self, caller: &Caller, secrets: bool) -> Result<Vec<User>, RpcError> {
        self.require_all(caller, USER, &["list", "read"])?;
        require_no_secrets(secrets)?;
        Ok(self
            .fixture
            .users
            .iter()
            .filter(|user| self.fixture.user(&user.name, self.now).is_some())
            .cloned()
            .collect())
    }
}

/// Keywords and scope of a filter (`page-search`, `page-mine`, `page-needs-review`, `page-reviewed`). That all
/// keywords must be found is assumed.
fn in_scope(caller: &Caller, request: &AccessRequest, filter: &pb::AccessRequestFilter) -> bool {
    let names = || [&request.id, &request.user].into_iter().chain(&request.roles);
    let found = |keyword: &bytes::Bytes| {
        let keyword = String::from_utf8_lossy(keyword).to_lowercase();
        names().any(|name| name.to_lowercase().contains(&keyword))
    };
    let own = caller.is(&request.user);
    let reviewed = request.reviews.iter().any(|review| caller.is(&review.author));
    filter.search_keywords.iter().all(found)
        && match filter.scope() {
            pb::AccessRequestScope::Default => true,
            pb::AccessRequestScope::MyRequests => own,
            pb::AccessRequestScope::NeedsReview => {
                !own && !reviewed && request.state == RequestState::Pending
            }
            pb::AccessRequestScope::Reviewed => reviewed,
        }
}

/// Longest page of users, and what 0 stands for (read in 15.3.1).
const USER_PAGE: usize = 1000;

/// One page of users in order of name, and the token of the next: the last name and a digit that sorts behind
/// everything that a name could go on with (`list-users-page`).
pub(super) fn page_of_users(mut users: Vec<User>, size: i32, token: &str) -> (Vec<User>, String) {
    let size = usize::try_from(size).ok().filter(|size| (1..=USER_PAGE).contains(size)).unwrap_or(USER_PAGE);
    users.sort_by(|a, b| a.name.cmp(&b.name));
    let after = token.strip_suffix('0').unwrap_or_default();
    users.retain(|user| user.name.as_str() > after);
    let more = users.len() > size;
    users.truncate(size);
    let next = users.last().filter(|_| more).map(|user| format!("{}0", user.name));
    (users, next.unwrap_or_default())
}

fn unknown_sort(sort: i32) -> RpcError {
    RpcError::bad_parameter(format!("unsupported access request sort index '{sort}'"))
}

/// Secrets of users are for the server's own machine.
fn require_no_secrets(secrets: bool) -> Result<(), RpcError> {
    if secrets {
        return Err(RpcError::denied("this request can be only executed by an admin"));
    }
    Ok(())
}
