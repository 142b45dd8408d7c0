//! The people and user groups who may decide: whether Slack knows them, and whether their accounts are such that may.
//!
//! An approver is looked up by the same links as the daemon follows: the table, the trait, the address.

use std::collections::BTreeSet;

use access_core::interaction::AppInstallation;
use access_core::policy::Approver;
use access_core::policy::identity::{SlackProfile, TeleportUser, check_account};
use access_core::policy::refusal::AccountIneligible;
use slack_client::error::SlackError;
use slack_client::lookup::Lookup;

use super::failure::slack_failure;
use super::scopes::SCOPE_REMEDY;
use crate::causes::Exit;
use crate::check::report::{Item, ItemId};
use crate::config::ReviewConfig;
use access_core::domain::ids::SlackUserId;

/// An item for each Slack account and each user group that `[review]` names, and for each account that a link leads to. `users`:
/// those that Teleport showed.
pub(super) async fn items(
    slack: &slack_client::Client,
    review: &ReviewConfig,
    our: &AppInstallation,
    users: &[TeleportUser],
) -> Vec<Item> {
    let mut items = Vec::new();
    for (account, user) in &review.users {
        let found = Lookup::from_option(slack.user_info(account).await);
        let link = Link::Table { is_known: users.iter().any(|known| known.name == *user) };
        items.push(account_item(account, user, &link, found, our));
    }
    let approvers = review.rules.0.iter().flat_map(|rule| &rule.approvers);
    let mut groups: Vec<&String> = approvers
        .filter_map(|approver| match approver {
            Approver::Group(group) => Some(group),
            Approver::User(_) => None,
        })
        .collect();
    groups.sort();
    groups.dedup();
    for group in groups {
        items.push(group_item(group, Lookup::from_result(slack.usergroup_members(group).await)));
    }
    items.extend(linked_items(slack, review, our, users).await);
    items
}

/// How an account and a Teleport user are linked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    /// By `[review.users]`; whether Teleport showed that it has the user.
    Table { is_known: bool },
    /// By the trait of this name.
    Trait(String),
}

impl Link {
    /// What to do about a wrong one.
    fn remedy(&self) -> String {
        match self {
            Self::Table { .. } => "remove the line from [review.users]".to_owned(),
            Self::Trait(name) => format!("correct the user's trait {name:?} in Teleport"),
        }
    }
}

/// An item for each account that the trait or an e-mail address links to a user that a rule names. The trait of a user is
/// known only if Teleport showed the user.
async fn linked_items(
    slack: &slack_client::Client,
    review: &ReviewConfig,
    our: &AppInstallation,
    users: &[TeleportUser],
) -> Vec<Item> {
    let mapping = review.user_mapping();
    let mut items = Vec::new();
    for name in named_elsewhere(review) {
        let user = users.iter().find(|user| user.name == name);
        let accounts = user.map(|user| mapping.trait_accounts(user).collect::<Vec<_>>());
        let by_trait = mapping.id_trait.as_ref().zip(accounts);
        match by_trait {
            Some((id_trait, accounts)) if !accounts.is_empty() => {
                let link = Link::Trait(id_trait.clone());
                for account in accounts {
                    let found = Lookup::from_option(slack.user_info(&account).await);
                    items.push(account_item(&account, name, &link, found, our));
                }
            }
            _ if mapping.email_match && name.contains('@') => {
                let found = Lookup::from_option(slack.lookup_by_email(name).await);
                items.push(address_item(name, mapping.ignore_email_case, found, our));
            }
            Some((id_trait, _)) => items.push(no_account_item(name, id_trait)),
            // Why the user's trait is not known, another item says.
            None => {}
        }
    }
    items
}

/// The users that rules name and the table does not.
fn named_elsewhere(review: &ReviewConfig) -> BTreeSet<&str> {
    let approvers = review.rules.0.iter().flat_map(|rule| &rule.approvers);
    let names = approvers.filter_map(|approver| match approver {
        Approver::User(name) => Some(name.as_str()),
        Approver::Group(_) => None,
    });
    names.filter(|name| !review.users.values().any(|user| user == name)).collect()
}

/// A user whose name is an e-mail address, by which Slack was asked.
fn address_item(
    name: &str,
    ignore_case: bool,
    found: Result<Lookup<SlackProfile>, SlackError>,
    our: &AppInstallation,
) -> Item {
    let id = ItemId::SlackApprovers;
    const REMEDY: &str = "correct the name in the rule, or link the user's account in [review.users]";
    let item = match found {
        Ok(Lookup::Found(profile)) => match (check_account(&profile.id, &profile, our), &profile.email) {
            (Some(ineligible), _) => {
                Item::failed(id, Exit::Configuration, "cannot decide", describe(ineligible), REMEDY)
            }
            (None, Some(address)) if address != name && !ignore_case => {
                let cause = format!("Slack writes the address as {address:?}, and capitals count");
                let remedy = "set review.ignore_email_case = true, or link the account in [review.users]";
                Item::failed(id, Exit::Configuration, "cannot decide", cause, remedy)
            }
            (None, _) => {
                Item::ok(id, format!("the active account {}{}, by its address", profile.id, named(&profile)))
            }
        },
        Ok(Lookup::Absent) => {
            Item::failed(id, Exit::Configuration, "", "no account in Slack has this address", REMEDY)
        }
        Ok(Lookup::MissingScope(scopes)) => missing_scope(&scopes),
        Err(error) => slack_failure(id, &error, false),
    };
    item.of(name)
}

/// How Slack shows the person, as it stands behind the id.
pub(super) fn named(profile: &SlackProfile) -> String {
    profile.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
}

/// The same with the address, by which a wrong link shows.
fn known_as(profile: &SlackProfile) -> String {
    let known: Vec<_> = profile.name.iter().chain(&profile.email).map(String::as_str).collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

/// The account's address, if the name in the table differs from it by a letter or two, and Teleport did not show such a user.
fn misspelt<'a>(user: &str, link: &Link, profile: &'a SlackProfile) -> Option<&'a str> {
    /// One letter twice, left out, exchanged with its neighbor: all of these are one.
    const MOST_CHANGES: usize = 2;
    let address = profile.email.as_deref().filter(|_| *link == Link::Table { is_known: false })?;
    let (one, other) = (user.to_lowercase(), address.to_lowercase());
    let is_near = || (1..=MOST_CHANGES).contains(&strsim::osa_distance(&one, &other));
    (user.contains('@') && user.len() <= 320 && address.len() <= 320 && is_near()).then_some(address)
}

fn no_account_item(name: &str, id_trait: &str) -> Item {
    let cause = format!("the user's trait {id_trait:?} holds no Slack id, so no click could count as theirs");
    let remedy = "set the trait to the member ID from the person's Slack profile";
    Item::warning(ItemId::SlackApprovers, Exit::Configuration, "", cause, remedy).of(name)
}

fn account_item(
    account: &SlackUserId,
    user: &str,
    link: &Link,
    found: Result<Lookup<SlackProfile>, SlackError>,
    our: &AppInstallation,
) -> Item {
    let id = ItemId::SlackApprovers;
    let item = match found {
        Ok(Lookup::Found(profile)) => match check_account(account, &profile, our) {
            None if let Some(address) = misspelt(user, link, &profile) => {
                let cause = format!(
                    "the line links it to {user:?}, and Slack writes its address as {address:?}; Teleport did not show that it has \
                     such a user"
                );
                let remedy = "correct the line in [review.users] if the name has a typing error: decisions would be in a name that \
                              no user has";
                Item::warning(id, Exit::Configuration, "", cause, remedy)
            }
            None => Item::ok(
                id,
                format!("an active account{}, linked to the Teleport user {user}", known_as(&profile)),
            ),
            Some(ineligible) => {
                let remedy = format!("name an active account of a full member, or {}", link.remedy());
                Item::failed(id, Exit::Configuration, "cannot decide", describe(ineligible), remedy)
            }
        },
        Ok(Lookup::Absent) => {
            let remedy = format!("copy the member ID from the person's Slack profile, or {}", link.remedy());
            Item::failed(id, Exit::Configuration, "", "Slack knows no such account", remedy)
        }
        Ok(Lookup::MissingScope(scopes)) => missing_scope(&scopes),
        Err(error) => slack_failure(id, &error, false),
    };
    item.of(account.as_str())
}

fn group_item(group: &str, found: Result<Lookup<Vec<SlackUserId>>, SlackError>) -> Item {
    let id = ItemId::SlackApprovers;
    let item = match found {
        Ok(Lookup::Found(members)) if members.is_empty() => {
            let remedy = "add members to the user group in Slack, or name another approver";
            Item::failed(id, Exit::Configuration, "", "the user group has no members", remedy)
        }
        Ok(Lookup::Found(members)) => Item::ok(id, format!("a user group, members: {}", members.len())),
        Ok(Lookup::Absent) => {
            let remedy = "copy the id (S…) from the group's menu in Slack, or enable the group there";
            Item::failed(
                id,
                Exit::Configuration,
                "",
                "Slack knows no such user group, or it is disabled",
                remedy,
            )
        }
        Ok(Lookup::MissingScope(scopes)) => missing_scope(&scopes),
        Err(error) => slack_failure(id, &error, false),
    };
    item.of(group)
}

fn missing_scope(scopes: &[String]) -> Item {
    let cause = format!("the token lacks a scope that would show it: {}", scopes.join(" or "));
    Item::not_looked_at(ItemId::SlackApprovers, Exit::Credentials, cause, SCOPE_REMEDY)
}

fn describe(ineligible: AccountIneligible) -> &'static str {
    match ineligible {
        AccountIneligible::IdMismatch => "Slack reports a different account",
        AccountIneligible::Deactivated => "the account is deactivated",
        AccountIneligible::Slackbot
        | AccountIneligible::WorkflowBot
        | AccountIneligible::ConnectorBot
        | AccountIneligible::Bot => "the account is a bot's",
        AccountIneligible::SingleChannelGuest | AccountIneligible::Guest => "the account is a guest's",
        AccountIneligible::External | AccountIneligible::OtherWorkspace => {
            "the account is of another workspace or organization"
        }
        AccountIneligible::NeverSignedIn => "the person was invited, and never signed in",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Status;

    fn profile() -> SlackProfile {
        SlackProfile { team_id: Some("T0US".to_owned()), ..SlackProfile::bare(SlackUserId::new("U0BOB")) }
    }

    fn our() -> AppInstallation {
        AppInstallation {
            app_id: "A0BOT".to_owned(),
            team_id: "T0US".to_owned(),
            enterprise_id: None,
            is_org_install: false,
        }
    }

    #[test]
    fn an_address_must_be_written_alike_unless_capitals_do_not_count() {
        let shown = |found, ignore_case| address_item("Bob@example.com", ignore_case, Ok(found), &our());
        let with = |address: &str| SlackProfile { email: Some(address.to_owned()), ..profile() };
        let item = shown(Lookup::Found(with("Bob@example.com")), false);
        assert_eq!(item.summary, "the active account U0BOB, by its address");
        let named = SlackProfile { name: Some("Bob B".to_owned()), ..with("Bob@example.com") };
        let item = shown(Lookup::Found(named), false);
        assert_eq!(item.summary, "the active account U0BOB (Bob B), by its address");
        let item = shown(Lookup::Found(with("bob@example.com")), false);
        assert_eq!(item.status, Status::Failed);
        assert!(item.problem.unwrap().cause.contains("capitals count"));
        assert_eq!(shown(Lookup::Found(with("bob@example.com")), true).status, Status::Ok);
        let gone = SlackProfile { deleted: true, ..with("Bob@example.com") };
        assert_eq!(shown(Lookup::Found(gone), false).problem.unwrap().cause, "the account is deactivated");
        assert_eq!(shown(Lookup::Absent, false).status, Status::Failed);
        let hidden = Lookup::MissingScope(vec!["users:read.email".to_owned()]);
        assert_eq!(shown(hidden, false).status, Status::Warning);
    }

    #[test]
    fn only_an_account_that_may_decide_is_ok() {
        let our = our();
        let cause = |change: fn(&mut SlackProfile)| {
            let mut profile = profile();
            change(&mut profile);
            let item = account_item(
                &SlackUserId::new("U0BOB"),
                "bob",
                &Link::Table { is_known: true },
                Ok(Lookup::Found(profile)),
                &our,
            );
            item.problem.map(|problem| problem.cause)
        };
        assert_eq!(cause(|_| {}), None);
        assert_eq!(cause(|p| p.deleted = true).unwrap(), "the account is deactivated");
        assert_eq!(cause(|p| p.is_restricted = true).unwrap(), "the account is a guest's");
        assert_eq!(cause(|p| p.is_bot = true).unwrap(), "the account is a bot's");
        assert_eq!(
            cause(|p| p.team_id = Some("T0OTHER".to_owned())).unwrap(),
            "the account is of another workspace or organization"
        );
    }

    #[test]
    fn a_name_that_is_nearly_the_accounts_address_is_asked_about_unless_teleport_has_it() {
        let shown = |user: &str, is_known| {
            let profile = SlackProfile {
                email: Some("bob@example.com".to_owned()),
                name: Some("Bob".to_owned()),
                ..profile()
            };
            let link = Link::Table { is_known };
            account_item(&SlackUserId::new("U0BOB"), user, &link, Ok(Lookup::Found(profile)), &our())
        };
        for typo in ["bbo@example.com", "bob@exmaple.com", "bob@example.co", "Bobb@example.com"] {
            let item = shown(typo, false);
            assert_eq!(item.status, Status::Warning, "{typo}");
            assert!(item.problem.unwrap().remedy.contains("[review.users]"));
            assert_eq!(shown(typo, true).status, Status::Ok, "{typo}");
        }
        // What the table is for.
        for other in ["bob@example.com", "BOB@example.com", "bob", "b.obertson@corp.example.com"] {
            let item = shown(other, false);
            let words =
                format!("an active account (Bob, bob@example.com), linked to the Teleport user {other}");
            assert_eq!(item.summary, words);
        }
    }

    #[test]
    fn a_user_group_needs_members() {
        let status = |found| group_item("S0DBA", Ok(found)).status;
        assert_eq!(status(Lookup::Found(vec![SlackUserId::new("U0BOB")])), Status::Ok);
        assert_eq!(status(Lookup::Found(Vec::new())), Status::Failed);
        assert_eq!(status(Lookup::Absent), Status::Failed);
        assert_eq!(status(Lookup::MissingScope(vec!["usergroups:read".to_owned()])), Status::Warning);
    }
}
