//! Whether Teleport shows us all access requests. The daemon reads it from its own roles, because no list says so.
//!
//! A list is never refused. Without the right to see all, Teleport answers with what the caller asked for or may
//! review, for a plugin mostly nothing, and says OK; a request that is asked for by its id is not found either. So
//! an absence means something only together with the rights. Measured: `list` and `read` are needed, one's own roles
//! are shown without any right.

use teleport_proto::auth::{GetRoleRequest, RoleConditions, RoleV6, Rule};
use tonic::{Response, Status};

use super::client::Client;
use super::error::{Call, ErrorKind, TeleportError};
use super::events::ACCESS_REQUEST;
use super::visibility::Visibility;

/// The verbs that it takes to see all requests.
const READ_VERBS: [&str; 2] = ["list", "read"];

/// More roles than this are not looked at; then nothing is known.
const MAX_ROLES: usize = 1_000;

impl Client {
    /// Asks the server for our own roles. At most 15 s a call.
    ///
    /// # Errors
    /// If the server does not answer, or breaks off; what it refuses to show is [`Visibility::Unknown`].
    pub async fn visibility(&self) -> Result<Visibility, TeleportError> {
        let visibility = match self.own_roles().await {
            Ok(roles) => evaluate_roles(&roles, &READ_VERBS),
            Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
            Err(error) => Visibility::Unknown(error.to_string()),
        };
        self.observer().visibility_found(&visibility);
        Ok(visibility)
    }

    /// Whether our roles let us set the state of requests; `None` if that cannot be known. At most 15 s a call.
    ///
    /// # Errors
    /// If the server does not answer, or breaks off.
    pub async fn may_resolve(&self) -> Result<Option<bool>, TeleportError> {
        match self.own_roles().await {
            Ok(roles) => Ok(match evaluate_roles(&roles, &["update"]) {
                Visibility::All => Some(true),
                Visibility::Partial(_) => Some(false),
                Visibility::Unknown(_) => None,
            }),
            Err(error) if error.kind() == ErrorKind::Retry => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// That a request was not found means that it is gone only if we see all. Asked after the answer, so that a right
    /// that was taken away before it cannot be missed.
    ///
    /// # Errors
    /// [`TeleportError::NotVisible`] if we do not, or if it cannot be known.
    pub(super) async fn confirm_absence(&self) -> Result<(), TeleportError> {
        match self.visibility().await? {
            Visibility::All => Ok(()),
            visibility => {
                self.observer().absence_unconfirmed(&visibility);
                Err(TeleportError::NotVisible { visibility })
            }
        }
    }

    async fn own_roles(&self) -> Result<Vec<RoleV6>, TeleportError> {
        match self.run_call(Call::GetCurrentUserRoles, self.timings().call, self.current_roles()).await {
            Err(error) if error.kind() == ErrorKind::Unimplemented => self.certified_roles().await,
            answer => answer,
        }
    }

    async fn current_roles(&self) -> Result<Response<Vec<RoleV6>>, Status> {
        let mut stream = self.rpc().get_current_user_roles(()).await?.into_inner();
        let mut roles = Vec::new();
        while let Some(role) = stream.message().await? {
            if roles.len() == MAX_ROLES {
                return Err(too_many_roles());
            }
            roles.push(role);
        }
        Ok(Response::new(roles))
    }

    /// The roles that our certificate names, one by one: releases before about 12 have no other way.
    async fn certified_roles(&self) -> Result<Vec<RoleV6>, TeleportError> {
        let names = self.roles();
        if names.len() > MAX_ROLES {
            return Err(TeleportError::from_status(Call::GetRole, &too_many_roles()));
        }
        let mut roles = Vec::new();
        for name in names.iter().cloned() {
            let mut rpc = self.rpc();
            match self
                .run_call(Call::GetRole, self.timings().call, rpc.get_role(GetRoleRequest { name }))
                .await
            {
                Ok(role) => roles.push(role),
                // A role that was deleted gives no right.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(roles)
    }
}

fn too_many_roles() -> Status {
    Status::out_of_range(format!("the plugin's user has more than {MAX_ROLES} roles"))
}

/// What these roles let us do to all requests. A rule with a condition neither gives nor takes anything for certain.
fn evaluate_roles(roles: &[RoleV6], verbs: &[&'static str]) -> Visibility {
    let rules = |half: fn(&RoleV6) -> Option<&RoleConditions>| {
        roles.iter().filter_map(half).flat_map(|conditions| &conditions.rules).collect::<Vec<_>>()
    };
    let allow = rules(|role| role.spec.as_ref()?.allow.as_ref());
    let deny = rules(|role| role.spec.as_ref()?.deny.as_ref());
    let (mut missing, mut is_unsure) = (Vec::new(), false);
    for verb in verbs.iter().copied() {
        let [given, taken] = [&allow, &deny].map(|rules| strongest_grant(rules, verb));
        match (given, taken) {
            (Grant::Certain, Grant::None) => {}
            (Grant::None, _) | (_, Grant::Certain) => missing.push(verb),
            (Grant::Conditional, _) | (_, Grant::Conditional) => is_unsure = true,
        }
    }
    match missing.is_empty() {
        false => Visibility::Partial(missing),
        true if is_unsure => {
            Visibility::Unknown("a rule about access_request has a `where` condition".to_owned())
        }
        true => Visibility::All,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grant {
    None,
    Conditional,
    Certain,
}

fn strongest_grant(rules: &[&Rule], verb: &str) -> Grant {
    let has = |list: &[bytes::Bytes], wanted: &str| list.iter().any(|item| *item == wanted || *item == "*");
    let covering = rules.iter().filter(|rule| has(&rule.resources, ACCESS_REQUEST) && has(&rule.verbs, verb));
    let strength = |rule: &&Rule| if rule.r#where.is_empty() { Grant::Certain } else { Grant::Conditional };
    covering.map(strength).max().unwrap_or(Grant::None)
}

#[cfg(test)]
mod tests;
