//! Who lives in the simulated cluster: users, roles and what the roles allow, as plain data.
//!
//! Names in Teleport's words, so that a fixture reads like the role YAML it stands for. What the data means is
//! in `rules`; ready-made fixtures are in [`super::presets`].

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// Labels, traits and annotations: each name has several values.
pub type Labels = BTreeMap<String, Vec<String>>;

/// A cluster's users and roles.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fixture {
    /// Name of the cluster.
    pub cluster: String,
    /// All users, the plugin's own included.
    pub users: Vec<User>,
    /// Every role, those that are only requested included.
    pub roles: Vec<Role>,
    /// Names of users that a lock keeps out: every call is refused, open streams live on.
    pub locked: Vec<String>,
    /// Single resources that exist, by name, with the roles that give access. If none is listed, every resource
    /// exists and any role gives access.
    pub resources: BTreeMap<String, Vec<String>>,
    /// What users log in with beside their password.
    pub second_factor: SecondFactor,
}

/// `second_factor` of the cluster's authentication preference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum SecondFactor {
    /// `off`.
    #[default]
    Off,
    /// `on`: one-time codes or WebAuthn.
    On,
    /// `webauthn` only, with which administrative actions ask for it again.
    WebAuthn,
}

/// A person or a program.
#[derive(Clone, Debug, Default, Serialize)]
pub struct User {
    /// The name, for people usually an e-mail address.
    pub name: String,
    /// Names of roles.
    pub roles: Vec<String>,
    /// Traits, for instance a Slack user id.
    pub traits: Labels,
    /// For people from single sign-on: when the record goes away.
    pub expires: Option<Timestamp>,
    /// Came through single sign-on, so cannot be impersonated.
    pub sso: bool,
    /// A Machine ID bot, so cannot be the author of a review that another user sends.
    pub bot: bool,
}

/// A role.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Role {
    /// The name.
    pub name: String,
    /// What it permits.
    pub allow: Conditions,
    /// What it forbids; wins over every `allow`.
    pub deny: Conditions,
    /// Upper limit of a session, and so of access through a request.
    pub max_session_ttl: Option<Duration>,
}

/// One half of a role. Patterns may hold `*`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Conditions {
    /// Resources and verbs.
    pub rules: Vec<Rule>,
    /// Roles that may be requested.
    pub request: RequestConditions,
    /// `review_requests.roles`: patterns of roles whose requests may be reviewed.
    pub review: Vec<String>,
    /// `review_requests.submit_for_users`: patterns of users for whose requests a plugin may submit reviews.
    pub submit_for_users: Vec<String>,
    /// Who may be impersonated.
    pub impersonate: Impersonate,
}

/// Verbs on resources.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rule {
    /// Kinds of resources, for instance `access_request`; `*` means all.
    pub resources: Vec<String>,
    /// Verbs, for instance `list`; `*` means all.
    pub verbs: Vec<String>,
}

/// `request` of a role.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RequestConditions {
    /// Patterns of roles.
    pub roles: Vec<String>,
    /// Roles with which single resources may be searched for, and so asked for.
    pub search_as_roles: Vec<String>,
    /// Longest access that may be asked for, beyond the length of a session.
    pub max_duration: Option<Duration>,
    /// Alternative ways to a decision; without any, one approval or one denial decides.
    pub thresholds: Vec<Threshold>,
    /// Who is suggested when the requester names no reviewer.
    pub suggested_reviewers: Vec<String>,
    /// Annotations that the server puts on the request.
    pub annotations: Labels,
}

/// So many approvals or denials decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Threshold {
    /// A name for people; may be empty.
    pub name: String,
    /// Only reviews of people with this role count.
    pub reviewer_role: Option<String>,
    /// Approvals needed; 0 means that approvals never decide.
    pub approve: u32,
    /// Denials needed; 0 means that denials never decide.
    pub deny: u32,
}

impl RequestConditions {
    /// Whether the role may be requested.
    pub(super) fn allows(&self, role: &str) -> bool {
        any_matches(&self.roles, role) || self.search_as_roles.iter().any(|name| name == role)
    }
}

impl Threshold {
    /// The predicate, as the server shows it.
    pub(super) fn filter(&self) -> String {
        match &self.reviewer_role {
            Some(role) => format!("contains(reviewer.roles, {role:?})"),
            None => String::new(),
        }
    }
}

/// `impersonate` of a role; needs both lists.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Impersonate {
    /// Patterns of users.
    pub users: Vec<String>,
    /// Patterns that must cover every role of the user.
    pub roles: Vec<String>,
}

impl Fixture {
    /// The user of that name, unless the record has expired by `now`.
    pub fn user(&self, name: &str, now: Timestamp) -> Option<&User> {
        self.users.iter().find(|user| user.name == name && user.expires.is_none_or(|expires| expires > now))
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The same user to be changed, expired or not.
    pub fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name == name)
    }

    /// The same role to be changed.
    pub fn role_mut(&mut self, name: &str) -> Option<&mut Role> {
        self.roles.iter_mut().find(|role| role.name == name)
    }

    /// The roles of a user that exist.
    pub(super) fn roles_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Role> {
        user.roles.iter().filter_map(|name| self.role(name))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any number of characters.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = tail.split('*').collect();
    // `split` gives at least one part, and the last one must end the text.
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether any of the patterns matches.
pub(super) fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("dba", "dba", true),
            ("dba", "dbas", false),
            ("prod*", "prod-a", true),
            ("prod*", "prod", true),
            ("prod*", "preprod", false),
            ("*", "", true),
            ("*-db-*", "prod-db-1", true),
            ("*-db-*", "prod-db", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
