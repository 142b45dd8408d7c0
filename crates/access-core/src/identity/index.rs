//! Finds, among all of Teleport's users, the few who can matter for one Slack account, so that only these have to be
//! read again for a decision.
//!
//! It may be a little out of date, so it says nothing by itself: who somebody is, [`super::identify`] tells from the
//! users as they are now.

use std::collections::HashMap;

use super::{Links, SlackProfile, TeleportUser, ids, in_table, slack_ids};

/// Users kept and returned for one account; two who fit are enough for a refusal.
const MAX_ALIKE: usize = 10;

/// All users, by what links lead to them.
#[derive(Clone, Debug, Default)]
pub struct UserIndex {
    /// By the Slack ids in the trait.
    by_slack_id: HashMap<String, Vec<String>>,
    /// By the name in small letters; empty unless e-mail addresses are links.
    by_name: HashMap<String, Vec<String>>,
}

/// The users who can matter for an account, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Whose trait names the account.
    by_trait: Vec<String>,
    /// Whom the table names.
    by_table: Vec<String>,
    /// Whose name is the e-mail address, in whatever capitals.
    by_email: Vec<String>,
}

impl UserIndex {
    /// Of all users.
    pub fn new(users: &[TeleportUser], links: &Links) -> Self {
        let mut index = Self::default();
        let add = |names: &mut Vec<String>, user: &TeleportUser| {
            if names.len() < MAX_ALIKE && !names.contains(&user.name) {
                names.push(user.name.clone());
            }
        };
        for user in users {
            for id in slack_ids(user, links) {
                add(index.by_slack_id.entry(id.to_owned()).or_default(), user);
            }
            if links.email_match {
                add(index.by_name.entry(user.name.to_lowercase()).or_default(), user);
            }
        }
        index
    }

    /// Those who can matter for the account.
    pub fn candidates(&self, profile: &SlackProfile, links: &Links) -> Candidates {
        let mut by_trait: Vec<String> = Vec::new();
        for name in ids(profile).filter_map(|id| self.by_slack_id.get(id.as_str())).flatten() {
            if !by_trait.contains(name) {
                by_trait.push(name.clone());
            }
        }
        let email = profile.email.as_ref().map(|email| email.to_lowercase());
        let alike = email.and_then(|email| self.by_name.get(&email)).cloned().unwrap_or_default();
        Candidates { by_trait, by_table: in_table(profile, links), by_email: alike }
    }
}

impl Candidates {
    /// Without an index, which the table and the e-mail address can do without.
    pub fn named(profile: &SlackProfile, links: &Links) -> Self {
        let email = profile.email.clone().filter(|email| links.email_match && !email.is_empty());
        Self {
            by_trait: Vec::new(),
            by_table: in_table(profile, links),
            by_email: email.into_iter().collect(),
        }
    }

    /// Their names, each once: to be read again.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> =
            self.by_trait.iter().chain(&self.by_table).chain(&self.by_email).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the users as they are now bear out what the index said: the table or a trait names somebody, the user
    /// is there, and each trait still names the account. Without this, an index that is out of date could have
    /// missed somebody, and must not be relied on.
    pub fn are_borne_out(&self, now: &[TeleportUser], profile: &SlackProfile, links: &Links) -> bool {
        let find = |name: &String| now.iter().find(|user| user.name == *name);
        let is_named = |user: &TeleportUser| {
            slack_ids(user, links).iter().any(|named| ids(profile).any(|id| id.as_str() == *named))
        };
        let is_stated = !self.by_trait.is_empty() || !self.by_table.is_empty();
        is_stated
            && self.by_trait.iter().all(|name| find(name).is_some_and(is_named))
            && self.by_table.iter().all(|name| find(name).is_some())
    }
}
