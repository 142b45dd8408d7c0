//! The people and user groups who may decide: whether Slack knows them, and whether their accounts are such that may.

use access_core::interaction::AppInstallation;
use access_core::policy::Approver;
use access_core::policy::identity::{SlackProfile, check_account};
use access_core::policy::refusal::AccountIneligible;
use slack_client::error::SlackError;
use slack_client::lookup::Lookup;

use super::failure::slack_failure;
use super::scopes::SCOPE_REMEDY;
use crate::causes::Exit;
use crate::check::report::{Item, ItemId};
use crate::config::ReviewConfig;
use access_core::domain::ids::SlackUserId;

/// An item for each Slack account and each user group that `[review]` names.
pub(super) async fn items(
    slack: &slack_client::Client,
    review: &ReviewConfig,
    our: &AppInstallation,
) -> Vec<Item> {
    let mut items = Vec::new();
    for (account, user) in &review.users {
        let found = Lookup::from_option(slack.user_info(account).await);
        items.push(account_item(account, user, found, our));
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
    items
}

fn account_item(
    account: &SlackUserId,
    user: &str,
    found: Result<Lookup<SlackProfile>, SlackError>,
    our: &AppInstallation,
) -> Item {
    let id = ItemId::SlackApprovers;
    let item = match found {
        Ok(Lookup::Found(profile)) => match check_account(account, &profile, our) {
            None => Item::ok(id, format!("an active account, linked to the Teleport user {user}")),
            Some(ineligible) => {
                let remedy =
                    "name an active account of a full member, or remove the line from [review.users]";
                Item::failed(id, Exit::Configuration, "cannot decide", describe(ineligible), remedy)
            }
        },
        Ok(Lookup::Absent) => {
            let remedy =
                "copy the member ID from the person's Slack profile, or remove the line from [review.users]";
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

    #[test]
    fn only_an_account_that_may_decide_is_ok() {
        let our = AppInstallation {
            app_id: "A0BOT".to_owned(),
            team_id: "T0US".to_owned(),
            enterprise_id: None,
            is_org_install: false,
        };
        let cause = |change: fn(&mut SlackProfile)| {
            let mut profile = profile();
            change(&mut profile);
            let item = account_item(&SlackUserId::new("U0BOB"), "bob", Ok(Lookup::Found(profile)), &our);
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
    fn a_user_group_needs_members() {
        let status = |found| group_item("S0DBA", Ok(found)).status;
        assert_eq!(status(Lookup::Found(vec![SlackUserId::new("U0BOB")])), Status::Ok);
        assert_eq!(status(Lookup::Found(Vec::new())), Status::Failed);
        assert_eq!(status(Lookup::Absent), Status::Failed);
        assert_eq!(status(Lookup::MissingScope(vec!["usergroups:read".to_owned()])), Status::Warning);
    }
}
