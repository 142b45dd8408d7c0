//! Finds, among all of Teleport's users, the few who can matter for one Slack account, so that only these have to be
//! read again for a decision.
//!
//! It may be a little out of date, so it says nothing by itself: [`super::identity::identify`] says who a person is, from the
//! users as they are now.

use std::collections::HashMap;

use super::identity::{SlackProfile, TeleportUser, UserMapping, by_explicit, slack_ids};
use crate::domain::ids::SlackUserId;

/// Users kept and returned for one account; two who fit are enough for a refusal.
const MAX_PER_KEY: usize = 10;

/// All users, by what links lead to them.
#[derive(Clone, Debug, Default)]
pub struct UserIndex {
    /// By the Slack ids in the trait.
    by_slack_id: HashMap<String, Vec<String>>,
    /// By the name in small letters.
    by_name: HashMap<String, Vec<String>>,
    /// The Slack ids in the trait, by the name.
    accounts: HashMap<String, Vec<String>>,
}

/// The users who can matter for an account, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Whose trait names the account.
    by_trait: Vec<String>,
    /// The users that the table names.
    by_explicit: Vec<String>,
    /// The e-mail address, if it is a link.
    by_email: Vec<String>,
    /// Whose name is one of these, in whatever capitals.
    case_variants: Vec<String>,
}

impl UserIndex {
    /// Of all users.
    pub fn new(users: &[TeleportUser], links: &UserMapping) -> Self {
        let mut index = Self::default();
        let add = |names: &mut Vec<String>, user: &TeleportUser| {
            if names.len() < MAX_PER_KEY && !names.contains(&user.name) {
                names.push(user.name.clone());
            }
        };
        for user in users {
            let ids = slack_ids(user, links);
            if !ids.is_empty() {
                let ids = ids.iter().take(MAX_PER_KEY).map(|id| (*id).to_owned()).collect();
                index.accounts.insert(user.name.clone(), ids);
            }
            for id in slack_ids(user, links) {
                add(index.by_slack_id.entry(id.to_owned()).or_default(), user);
            }
            add(index.by_name.entry(user.name.to_lowercase()).or_default(), user);
        }
        index
    }

    /// The Slack accounts that the trait of the user with this name gives: good enough to notify them.
    pub fn accounts(&self, user: &str) -> impl Iterator<Item = SlackUserId> {
        self.accounts.get(user).into_iter().flatten().map(SlackUserId::new)
    }

    /// Those who can matter for the account.
    pub fn candidates(&self, profile: &SlackProfile, links: &UserMapping) -> Candidates {
        let mut by_trait: Vec<String> = Vec::new();
        for name in profile.ids().filter_map(|id| self.by_slack_id.get(id.as_str())).flatten() {
            if !by_trait.contains(name) {
                by_trait.push(name.clone());
            }
        }
        let named = Candidates::named(profile, links);
        let alike = named.names().into_iter().filter_map(|name| self.by_name.get(&name.to_lowercase()));
        let alike = alike.flatten().cloned().collect();
        Candidates { by_trait, case_variants: alike, ..named }
    }
}

impl Candidates {
    /// Without an index, which the table and the e-mail address can do without.
    pub fn named(profile: &SlackProfile, links: &UserMapping) -> Self {
        let email = profile.email.clone().filter(|email| links.email_match && !email.is_empty());
        Self {
            by_trait: Vec::new(),
            by_explicit: by_explicit(profile, links),
            by_email: email.into_iter().collect(),
            case_variants: Vec::new(),
        }
    }

    /// Whether a user who was not found may be meant: no found user has the name from the table or the e-mail address, or
    /// case is ignored. Then only a list of all users settles it.
    pub fn is_incomplete(&self, found: &[TeleportUser], links: &UserMapping) -> bool {
        let is_found = |name: &String| found.iter().any(|user| user.name == *name);
        let is_by_email = self.by_explicit.is_empty() && !self.by_email.is_empty();
        !self.by_explicit.iter().all(is_found)
            || is_by_email && (links.ignore_email_case || !self.by_email.iter().all(is_found))
    }

    /// Their names, each once: to be read again.
    pub fn names(&self) -> Vec<&str> {
        let all = [&self.by_trait, &self.by_explicit, &self.by_email, &self.case_variants];
        let mut names: Vec<_> = all.into_iter().flatten().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the users as they are now confirm what the index said: the table or a trait names a user, the user is
    /// there, and each trait still names the account. Otherwise the index may be out of date and have missed a user, and
    /// must not be relied on.
    pub fn are_confirmed_by(
        &self,
        now: &[TeleportUser],
        profile: &SlackProfile,
        links: &UserMapping,
    ) -> bool {
        let find = |name: &String| now.iter().find(|user| user.name == *name);
        let is_named = |user: &TeleportUser| {
            slack_ids(user, links).iter().any(|named| profile.ids().any(|id| id.as_str() == *named))
        };
        let is_stated = !self.by_trait.is_empty() || !self.by_explicit.is_empty();
        is_stated
            && self.by_trait.iter().all(|name| find(name).is_some_and(is_named))
            && self.by_explicit.iter().all(|name| find(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::identity::tests::{bob, installation};
    use crate::policy::identity::{Users, identify};

    fn name() -> impl Strategy<Value = String> {
        proptest::sample::select(vec!["bob@x", "Bob@x", "carol@x", "dave@x"]).prop_map(str::to_owned)
    }

    fn slack_id() -> impl Strategy<Value = String> {
        proptest::sample::select(vec!["U0BOB", "W0BOB", "U0EVE", ""]).prop_map(str::to_owned)
    }

    fn users() -> impl Strategy<Value = Vec<TeleportUser>> {
        let user = (name(), proptest::collection::vec(slack_id(), 0..3)).prop_map(|(name, ids)| {
            TeleportUser { name, traits: [("slack".to_owned(), ids)].into(), expires: None }
        });
        proptest::collection::vec(user, 0..6).prop_map(|mut users| {
            users.sort_by(|a, b| a.name.cmp(&b.name));
            users.dedup_by(|a, b| a.name == b.name);
            users
        })
    }

    fn mapping() -> impl Strategy<Value = UserMapping> {
        (proptest::option::of(name()), any::<(bool, bool, bool)>()).prop_map(
            |(table, (id_trait, email_match, case))| UserMapping {
                explicit: table.map(|name| (SlackUserId::new("U0BOB"), name)).into_iter().collect(),
                id_trait: id_trait.then(|| "slack".to_owned()),
                email_match,
                ignore_email_case: case,
            },
        )
    }

    fn read(candidates: &Candidates, users: &[TeleportUser]) -> Vec<TeleportUser> {
        users.iter().filter(|user| candidates.names().contains(&user.name.as_str())).cloned().collect()
    }

    proptest! {
        #[test]
        fn the_index_finds_every_user_who_matters(users in users(), links in mapping(), email in proptest::option::of(name())) {
            let profile = SlackProfile {
                enterprise_user_id: Some(SlackUserId::new("W0BOB")),
                email,
                ..bob()
            };
            let who = |users: &[TeleportUser]| {
                identify(&profile.id, &profile, &installation(), &links, Users::Listed(users), Timestamp::UNIX_EPOCH)
            };
            let found = UserIndex::new(&users, &links).candidates(&profile, &links);
            prop_assert_eq!(who(&read(&found, &users)), who(&users));
            // Without the trait, the names alone do, unless they leave something open.
            let named = Candidates::named(&profile, &links);
            let by_name = read(&named, &users);
            let is_enough = links.id_trait.is_none() && !named.is_incomplete(&by_name, &links);
            if is_enough && who(&users).is_ok() {
                prop_assert_eq!(who(&by_name), who(&users));
            }
        }

        #[test]
        fn an_old_index_identifies_no_user_by_an_outdated_mapping(before in users(), after in users(), links in mapping()) {
            let profile = SlackProfile { email: Some("bob@x".to_owned()), ..bob() };
            let found = UserIndex::new(&before, &links).candidates(&profile, &links);
            let now = read(&found, &after);
            // About one case in five is.
            if !found.are_confirmed_by(&now, &profile, &links) {
                return Ok(());
            }
            let listed = Users::Listed(now.as_slice());
            if let Ok(person) = identify(&profile.id, &profile, &installation(), &links, listed, Timestamp::UNIX_EPOCH) {
                // The table or the user's own trait says so now, and no e-mail address stood in for them.
                let user = after.iter().find(|user| user.name == person.user).unwrap();
                let by_trait = slack_ids(user, &links).contains(&"U0BOB");
                prop_assert!(by_trait || links.explicit.values().any(|name| *name == person.user));
            }
        }
    }

    #[test]
    fn accounts_are_found_by_name() {
        let links = UserMapping { id_trait: Some("slack".to_owned()), ..UserMapping::default() };
        let user = |name: &str, ids: &[&str]| TeleportUser {
            name: name.to_owned(),
            traits: [("slack".to_owned(), ids.iter().map(|id| (*id).to_owned()).collect())].into(),
            expires: None,
        };
        let users = [user("bob", &["U0BOB", "W0BOB"]), user("carol", &[""]), user("Bob", &[])];
        let index = UserIndex::new(&users, &links);
        let of = |name: &str| index.accounts(name).map(|id| id.to_string()).collect::<Vec<_>>();
        assert_eq!(of("bob"), ["U0BOB", "W0BOB"]);
        assert!(of("carol").is_empty() && of("Bob").is_empty() && of("unknown").is_empty());
    }

    #[test]
    fn one_id_for_all_users_stays_small() {
        let links = UserMapping { id_trait: Some("slack".to_owned()), ..UserMapping::default() };
        let user = |number: usize| TeleportUser {
            name: format!("user-{number}"),
            traits: [("slack".to_owned(), vec!["U0BOB".to_owned()])].into(),
            expires: None,
        };
        let users: Vec<_> = (0..1_000).map(user).collect();
        let found = UserIndex::new(&users, &links).candidates(&bob(), &links);
        assert_eq!(found.names().len(), MAX_PER_KEY);
    }
}
