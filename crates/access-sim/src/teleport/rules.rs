//! Who may do what: callers against the roles of the fixture.
//!
//! Roles are looked up in the fixture at each call, not in the certificate, so that a test may change them.

use tonic::Code;

use super::call_log::Method;
use super::caller::Caller;
use super::certs::host_name;
use super::fixture::{Conditions, Role, SecondFactor, User, any_matches};
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::request::AccessRequest;
use super::state::State;

pub(super) const ACCESS_REQUEST: &str = "access_request";
pub(super) const PLUGIN_DATA: &str = "access_plugin_data";
pub(super) const USER: &str = "user";
const ROLE: &str = "role";

impl State {
    /// The caller's own record; `None` for `tctl`, which has none.
    ///
    /// From 15.1.9 on an unknown user is NotFound and not PermissionDenied (`ping-user-deleted`,
    /// `list-without-certificate`), a locked user is refused everything, Ping included (`ping-locked`). That
    /// earlier releases lock in the same way is assumed.
    pub(super) fn user_record(&self, caller: &Caller) -> Result<Option<&User>, RpcError> {
        let unknown = |message: String| match self.options.version >= ServerVersion::V15 {
            true => RpcError::not_found(message),
            false => RpcError::denied("access denied"),
        };
        match caller {
            Caller::Tctl => Ok(None),
            Caller::Anonymous => Err(unknown("user \"Nop\" not found".to_owned())),
            Caller::User { name, .. } if self.fixture.locked.contains(name) => {
                Err(RpcError::denied("access denied"))
            }
            Caller::User { name, .. } => match self.fixture.user(name, self.now) {
                Some(user) => Ok(Some(user)),
                None => Err(unknown(format!("access denied\n\tuser {name:?} not found"))),
            },
        }
    }

    /// Whether the caller may use `verb` on `resource`.
    pub(super) fn may(&self, caller: &Caller, resource: &str, verb: &str) -> Result<bool, RpcError> {
        let Some(user) = self.user_record(caller)? else { return Ok(true) };
        let mut allowed = false;
        for role in self.fixture.roles_of(user) {
            if covers(&role.deny, resource, verb) {
                return Ok(false);
            }
            allowed |= covers(&role.allow, resource, verb);
        }
        Ok(allowed)
    }

    /// Refuses unless the caller may use `verb` on one of the resources; the last one is named in the refusal.
    pub(super) fn require(&self, caller: &Caller, resources: &[&str], verb: &str) -> Result<(), RpcError> {
        let mut refusal = RpcError::denied("access denied");
        for resource in resources {
            if self.may(caller, resource, verb)? {
                return Ok(());
            }
            refusal = RpcError::denied(missing(resource, verb));
        }
        Err(refusal)
    }

    /// Refuses unless the caller may use all the verbs on the resource; one message names all that are missing,
    /// as users and roles have it (observed on 15.1.9).
    pub(super) fn require_all(
        &self,
        caller: &Caller,
        resource: &str,
        verbs: &[&str],
    ) -> Result<(), RpcError> {
        let mut lacking = Vec::new();
        for verb in verbs {
            if !self.may(caller, resource, verb)? {
                lacking.push(missing(resource, verb));
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        Err(RpcError::denied(lacking.join(", ")))
    }

    /// Whether a role explicitly forbids the verb.
    pub(super) fn forbids(&self, caller: &Caller, resource: &str, verb: &str) -> Result<bool, RpcError> {
        let user = self.user_record(caller)?;
        Ok(user
            .is_some_and(|user| self.fixture.roles_of(user).any(|role| covers(&role.deny, resource, verb))))
    }

    /// One role: one that the caller holds, or with the right to read roles.
    pub(super) fn find_role(&self, caller: &Caller, name: &str) -> Result<&Role, RpcError> {
        let own = self.user_record(caller)?.is_some_and(|user| user.roles.iter().any(|role| role == name));
        if !own {
            self.require(caller, &[ROLE], "read")?;
        }
        self.fixture.role(name).ok_or_else(|| RpcError::not_found(format!("role {name} is not found")))
    }

    /// The caller's own roles, as far as they exist; needs no right.
    pub(super) fn own_roles(&self, caller: &Caller) -> Result<Vec<&Role>, RpcError> {
        Ok(self.user_record(caller)?.map(|user| self.fixture.roles_of(user).collect()).unwrap_or_default())
    }

    /// Refuses an administrative action without a second factor where the cluster has WebAuthn only, as from 15 on.
    /// No call of ours carries one. Spared are bots and certificates that a bot or the auth host signed; measured on
    /// 15.1.9 for the host and for a person, assumed for bots. Where in the order of checks it comes is assumed.
    pub(super) fn require_second_factor(&self, caller: &Caller) -> Result<(), RpcError> {
        let Caller::User { name, impersonator } = caller else { return Ok(()) };
        if self.options.version < ServerVersion::V15 || self.fixture.second_factor != SecondFactor::WebAuthn {
            return Ok(());
        }
        let is_bot = |name: &str| self.fixture.users.iter().any(|user| user.bot && user.name == name);
        let is_spared = match impersonator {
            Some(signer) => is_bot(signer) || *signer == self.host(),
            None => false,
        };
        if is_spared || is_bot(name) {
            return Ok(());
        }
        Err(RpcError::denied("admin-level API request requires MFA verification"))
    }

    /// The auth server's own name, which its `tctl auth sign` puts into certificates.
    pub(super) fn host(&self) -> String {
        host_name(&self.fixture.cluster)
    }

    /// Whether any role lets the user review anything.
    pub(super) fn reviews_at_all(&self, user: &User) -> bool {
        self.fixture.roles_of(user).any(|role| !role.allow.review.is_empty())
    }

    /// Whether the user may review all roles of the request, which must not be their own.
    pub(super) fn may_review(&self, user: &User, request: &AccessRequest) -> bool {
        request.user != user.name
            && request.roles.iter().all(|role| {
                let side = |side: fn(&Role) -> &Conditions| {
                    self.fixture.roles_of(user).any(|held| any_matches(&side(held).review, role))
                };
                side(|held| &held.allow) && !side(|held| &held.deny)
            })
    }

    /// Whether the caller may send reviews in the name of `author`.
    pub(super) fn may_submit_for(&self, caller: &Caller, author: &str) -> Result<bool, RpcError> {
        let Some(user) = self.user_record(caller)? else { return Ok(true) };
        let side = |side: fn(&Role) -> &Conditions| {
            self.fixture.roles_of(user).any(|role| any_matches(&side(role).submit_for_users, author))
        };
        Ok(side(|role| &role.allow) && !side(|role| &role.deny))
    }

    /// Refuses methods that the release does not have.
    pub(super) fn require_method(version: ServerVersion, method: Method) -> Result<(), RpcError> {
        if version.serves(method) {
            return Ok(());
        }
        let message = match (method, version) {
            // Refused by hand there (`create-old-method`); of 18 it is assumed that the method is gone.
            (Method::CreateAccessRequest, ServerVersion::V15 | ServerVersion::V15_3) => {
                "access request creation API has changed, please update your client to v14 or newer"
                    .to_owned()
            }
            (Method::UsersGetUser | Method::ListUsers, _) => {
                "unknown service teleport.users.v1.UsersService".to_owned()
            }
            _ => format!("unknown method {method:?} for service proto.AuthService"),
        };
        Err(RpcError::new(Code::Unimplemented, message))
    }
}

fn missing(resource: &str, verb: &str) -> String {
    format!("access denied to perform action {verb:?} on {resource:?}")
}

fn covers(conditions: &Conditions, resource: &str, verb: &str) -> bool {
    let has = |list: &[String], wanted: &str| list.iter().any(|item| item == wanted || item == "*");
    conditions.rules.iter().any(|rule| has(&rule.resources, resource) && has(&rule.verbs, verb))
}
