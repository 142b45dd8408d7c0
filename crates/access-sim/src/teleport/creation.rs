//! Making access requests: what may be asked for, how long it lasts, which thresholds decide it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tonic::Code;

use super::audit::AuditKind;
use super::caller::Caller;
use super::fixture::{Labels, RequestConditions, Threshold, User, any_matches};
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::request::{AccessRequest, NewRequest, Raw, RequestState, Resource};
use super::rules::ACCESS_REQUEST;
use super::state::State;
use super::text::{require_reason_fits, text};

/// Most resources in one request.
const RESOURCE_LIMIT: usize = 300;
/// How far ahead the access may start, on the newest servers.
const ASSUME_START_LIMIT: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Longest access that may be asked for from 15.1.9 on.
const MAX_DURATION: Duration = Duration::from_secs(14 * 24 * 3600);
/// Longest time that a request may be pending from 15.3.1 on.
const MAX_PENDING: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest session on the newest servers unless a role says less.
const SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

/// How long a request lasts in each sense, from now.
struct RequestTimes {
    access: Duration,
    pending: Duration,
    max_duration: Option<Duration>,
    session: Option<Duration>,
}

impl State {
    /// Checks a request and completes it, without storing it.
    pub(super) fn draft(
        &self,
        caller: &Caller,
        user: &str,
        id: String,
        new: NewRequest,
    ) -> Result<AccessRequest, RpcError> {
        if !caller.is(user) {
            self.require(caller, &[ACCESS_REQUEST], "create")?;
        }
        let person = self.fixture.user(user, self.now);
        let person = person.ok_or_else(|| RpcError::not_found(format!("user {user:?} not found")))?;
        let version = self.options.version;
        require_reason_fits(version, "access request reason", &new.reason)?;
        if new.resources.len() > RESOURCE_LIMIT {
            return Err(RpcError::bad_parameter(format!(
                "access request names more than {RESOURCE_LIMIT} resources"
            )));
        }

        let requestable: Vec<&RequestConditions> =
            self.fixture.roles_of(person).map(|role| &role.allow.request).collect();
        let roles = self.requested_roles(person, &requestable, &new)?;
        let mut longest = self.options.access_ttl;
        for name in &roles {
            let Some(role) = self.fixture.role(name) else {
                // As observed (T18); the words and the code of earlier releases are assumed.
                return Err(match version >= ServerVersion::V15 {
                    true => RpcError::bad_parameter(format!("invalid request TTL: role {name} is not found")),
                    false => RpcError::not_found("a requested role is not found"),
                });
            };
            longest = longest.min(role.max_session_ttl.unwrap_or(longest));
        }
        let times = self.times(&new, longest, &requestable)?;
        self.require_start_in_time(new.assume_start, times.access)?;

        let (thresholds, role_thresholds) = thresholds(&roles, &requestable, version);
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
        Ok(AccessRequest {
            id,
            user: user.to_owned(),
            roles,
            state: RequestState::Pending,
            created: self.now,
            access_expiry: self.now + times.access,
            expiry: self.now + times.pending,
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
            max_duration: times.max_duration.map(|time| self.now + time),
            session_ttl: times.session.map(|time| self.now + time),
            long_term: version == ServerVersion::V18 && new.long_term,
            raw: Raw::default(),
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
    ) -> Result<AccessRequest, RpcError> {
        let request = self.draft(caller, user, id, new)?;
        let id = &request.id;
        if self.requests.contains_key(id) {
            return Err(RpcError::new(Code::AlreadyExists, format!("access request {id:?} already exists")));
        }
        let mut line = self.audit_event(AuditKind::Create, caller, &request);
        line.reason = text(&request.request_reason);
        line.annotations = request.system_annotations.clone();
        self.put(request.clone());
        self.push_audit(line);
        Ok(request)
    }

    /// The roles that the request comes to: those named, each once, or those that the star or resources stand for
    /// (`create-wildcard`, `create-wildcard-and-role`, `create-no-roles`, `create-resource`).
    fn requested_roles(
        &self,
        person: &User,
        requestable: &[&RequestConditions],
        new: &NewRequest,
    ) -> Result<Vec<String>, RpcError> {
        let user = &person.name;
        let denied: Vec<&RequestConditions> =
            self.fixture.roles_of(person).map(|role| &role.deny.request).collect();
        let may = |role: &str| {
            requestable.iter().any(|conditions| conditions.allows(role))
                && !denied.iter().any(|conditions| conditions.allows(role))
        };
        let mut roles = Vec::new();
        for role in &new.roles {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        if roles.is_empty() && !new.resources.is_empty() && self.options.version >= ServerVersion::V15 {
            roles = self.roles_for_resources(user, requestable, &new.resources)?;
        } else if roles == ["*"] || (roles.is_empty() && !new.resources.is_empty()) {
            roles =
                self.fixture.roles.iter().map(|role| role.name.clone()).filter(|role| may(role)).collect();
            roles.sort();
        }
        if roles.is_empty() {
            return Err(RpcError::bad_parameter("access request does not specify any roles or resources"));
        }
        match roles.iter().find(|role| !may(role)) {
            Some(role) => {
                Err(RpcError::bad_parameter(format!("user {user:?} can not request role {role:?}")))
            }
            None => Ok(roles),
        }
    }

    /// Which of the `search_as_roles` give access to what is asked for (`create-resource`,
    /// `create-resource-missing`, `create-resource-not-allowed`).
    fn roles_for_resources(
        &self,
        user: &str,
        requestable: &[&RequestConditions],
        resources: &[Resource],
    ) -> Result<Vec<String>, RpcError> {
        let mut usable: Vec<String> = Vec::new();
        for role in requestable.iter().flat_map(|conditions| &conditions.search_as_roles) {
            if !usable.contains(role) {
                usable.push(role.clone());
            }
        }
        if usable.is_empty() {
            return Err(RpcError::denied(format!(
                "Resource Access Requests require usable \"search_as_roles\", none found for user {user:?}"
            )));
        }
        let opens = |role: &String| {
            resources.iter().any(|resource| {
                let all = self.fixture.resources.is_empty();
                all || self.fixture.resources.get(&resource.name).is_some_and(|roles| roles.contains(role))
            })
        };
        let roles: Vec<String> = usable.iter().filter(|role| opens(role)).cloned().collect();
        if roles.is_empty() {
            let id = |resource: &Resource| {
                format!("\"/{}/{}/{}\"", resource.cluster, resource.kind, resource.name)
            };
            let resources: Vec<String> = resources.iter().map(id).collect();
            return Err(RpcError::bad_parameter(format!(
                "no roles configured in the \"search_as_roles\" for this user allow access to any requested \
                 resources. The user may already have access to all requested resources with their existing \
                 roles. resources: [{}] roles: [{}] login: \"\"",
                resources.join(","),
                usable.join(" ")
            )));
        }
        Ok(roles)
    }

    /// How long everything lasts; `longest` is the longest session that the roles allow.
    fn times(
        &self,
        new: &NewRequest,
        longest: Duration,
        requestable: &[&RequestConditions],
    ) -> Result<RequestTimes, RpcError> {
        let version = self.options.version;
        let wished = new.access_ttl.map_or(longest, |ttl| ttl.min(longest));
        let pending = |access: Duration| new.pending_ttl.unwrap_or(self.options.pending_ttl).min(access);
        if version < ServerVersion::V15 {
            return Ok(RequestTimes {
                access: wished,
                pending: pending(wished),
                max_duration: None,
                session: None,
            });
        }
        if version == ServerVersion::V18 {
            return Ok(RequestTimes {
                access: wished,
                pending: pending(wished),
                // That it is cut and not refused is assumed.
                max_duration: Some(new.max_duration.unwrap_or(wished).min(MAX_DURATION)),
                session: Some(wished.min(SESSION_TTL)),
            });
        }
        if new.max_duration.is_some_and(|asked| asked > MAX_DURATION) {
            let limit = go_duration(MAX_DURATION);
            return Err(RpcError::bad_parameter(format!(
                "max_duration must be less than or equal to {limit}"
            )));
        }
        // T16 and `create-max-duration*`: a wish counts as far as a role allows it; on 15.3.1 one below the
        // session's length counts without any (11).
        let allowed = requestable.iter().filter_map(|conditions| conditions.max_duration).max();
        let access = match (new.max_duration, allowed) {
            (Some(asked), Some(allowed)) => asked.min(allowed),
            (Some(asked), None) if version == ServerVersion::V15_3 && asked < wished => asked,
            _ => wished,
        };
        // T16, `create-pending-too-long`, `create-pending-beyond-access`.
        let limits = [(version == ServerVersion::V15_3).then_some(MAX_PENDING), Some(access)];
        for limit in limits.into_iter().flatten() {
            if let Some(asked) = new.pending_ttl.filter(|asked| *asked > limit) {
                return Err(RpcError::bad_parameter(format!(
                    "invalid request TTL: {} greater than maximum allowed ({})",
                    go_duration(asked),
                    go_duration(limit)
                )));
            }
        }
        Ok(RequestTimes {
            access,
            pending: pending(access),
            max_duration: Some(access),
            session: Some(wished.min(access)),
        })
    }

    fn require_start_in_time(&self, start: Option<Timestamp>, access: Duration) -> Result<(), RpcError> {
        let Some(start) = start else { return Ok(()) };
        let end = self.now + access;
        // `create-assume-too-late`; that earlier releases say nothing is assumed, they do not know the field.
        if self.options.version >= ServerVersion::V15 && start > end {
            return Err(RpcError::bad_parameter(format!(
                "assume start time must be prior to access expiry time at {}",
                end.strftime("%Y-%m-%dT%H:%M:%SZ")
            )));
        }
        if start > self.now + ASSUME_START_LIMIT {
            return Err(RpcError::bad_parameter("assume start time is too far in the future"));
        }
        Ok(())
    }
}

/// A duration as Go prints it: `30h0m0s`, `47h59m59.5s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let fraction = format!(".{:09}", duration.subsec_nanos());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{}h{}m{}{fraction}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The thresholds of the request and, for each role, which of them belong to it.
fn thresholds(
    roles: &[String],
    requestable: &[&RequestConditions],
    version: ServerVersion,
) -> (Vec<Threshold>, BTreeMap<String, Vec<Vec<u32>>>) {
    // From 15.1.9 on it has a name (`create`).
    let name = if version >= ServerVersion::V15 { "default".to_owned() } else { String::new() };
    let standard = [Threshold { name, approve: 1, deny: 1, ..Threshold::default() }];
    let or_standard = |list| if <[Threshold]>::is_empty(list) { standard.as_slice() } else { list };
    let mut all: Vec<Threshold> = Vec::new();
    let mut mapping = BTreeMap::new();
    for role in roles {
        let mut lists: Vec<&[Threshold]> = Vec::new();
        for conditions in requestable {
            let list = conditions.thresholds.as_slice();
            if any_matches(&conditions.roles, role) && !list.is_empty() {
                lists.push(list);
            }
            // What may be searched as brings the role in a second time (`create-resource`).
            if conditions.search_as_roles.contains(role) {
                lists.extend([or_standard(list); 2]);
            }
        }
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

/// A request id: UUIDv4, from 15.3.1 on UUIDv7, whose order is that of creation to the quarter of a microsecond.
pub(super) fn new_id(now: Timestamp, version: ServerVersion) -> String {
    let random = fastrand::u128(..);
    let (value, uuid_version) = match version {
        ServerVersion::V15_3 | ServerVersion::V18 => {
            let nanos = u128::try_from(now.as_nanosecond()).unwrap_or(0);
            let (millis, rest) = (nanos / 1_000_000, nanos % 1_000_000);
            let fraction = (rest << 12) / 1_000_000;
            (millis << 80 | fraction << 64 | random >> 64, 7u128)
        }
        ServerVersion::V6 | ServerVersion::V13 | ServerVersion::V15 => (random, 4),
    };
    let value = value & !(0xf << 76) & !(0x3 << 62) | uuid_version << 76 | 0x2 << 62;
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
