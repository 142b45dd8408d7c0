//! The scopes of the bot token, and what each missing one costs.

use std::collections::BTreeSet;

use access_core::domain::recipients::{self, Recipient};
use access_core::policy::{self, Approver};

use crate::causes::Exit;
use crate::check::report::{Item, ItemId, Status};
use crate::config::ReviewConfig;

/// Where a scope is added.
pub(crate) const SCOPE_REMEDY: &str =
    "add it under OAuth & Permissions of the Slack app and install the app again";

/// A scope that the configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) scope: &'static str,
    /// How serious it is if it is missing.
    pub(crate) status: Status,
    /// What it costs.
    pub(crate) costs: &'static str,
}

/// What nothing works without.
pub(crate) const POST: Need =
    Need { scope: "chat:write", status: Status::Failed, costs: "nothing can be posted" };

/// For the recipients.
pub(crate) fn for_recipients(rules: &recipients::Rules) -> Vec<Need> {
    let costs = "recipients and suggested reviewers named by e-mail cannot be notified";
    let names_people = rules.named().any(|recipient| matches!(recipient, Recipient::Email(_)));
    let need = |scope| Need { scope, status: Status::Warning, costs };
    if names_people { ["users:read", "users:read.email"].map(need).to_vec() } else { Vec::new() }
}

/// For deciding in Slack.
pub(crate) fn for_review(rules: &policy::Rules) -> Vec<Need> {
    let names_group =
        rules.0.iter().flat_map(|rule| &rule.approvers).any(|a| matches!(a, Approver::Group(_)));
    let need = |scope, costs| Need { scope, status: Status::Failed, costs };
    let users =
        need("users:read", "no user can decide in Slack, because the user who clicks cannot be looked up");
    let groups =
        need("usergroups:read", "the members of the user groups that rules name cannot decide in Slack");
    std::iter::once(users).chain(names_group.then_some(groups)).collect()
}

/// What helps besides: with it less is left open after a crash, and more can be looked at.
fn helpful(rules: &recipients::Rules, review: Option<&ReviewConfig>) -> Vec<Need> {
    // A channel's name does not say that it is private, so the manifest asks for these scopes only beside an id.
    let names_ids = rules.named().any(|r| matches!(r, Recipient::ChannelId(_)));
    let names_channels = names_ids || rules.named().any(|r| matches!(r, Recipient::ChannelName(_)));
    let names_direct = rules.named().any(|r| matches!(r, Recipient::DirectMessage(_)));
    let matches_email = review.is_some_and(|review| review.allow_email_username_match);
    let again = "a message in a public channel whose outcome is not known is posted once more";
    let again_privately = "a message in a private channel whose outcome is not known is posted once more";
    let again_direct = "a direct message whose outcome is not known is posted once more";
    [
        (matches_email, "users:read.email", "no user can be recognized by the e-mail address"),
        (
            names_channels,
            "channels:read",
            "public channels cannot be looked at before a message is posted there",
        ),
        (names_ids, "groups:read", "private channels cannot be looked at before a message is posted there"),
        (names_channels, "channels:history", again),
        (names_ids, "groups:history", again_privately),
        (true, "im:history", again_direct),
        (!names_direct, "im:write", again_direct),
        (
            names_direct,
            "im:write",
            "it is not known whose direct messages (D…) are, so messages there have no buttons, and a person who is a recipient \
             under another name, too, gets two",
        ),
    ]
    .into_iter()
    .filter(|(is_needed, ..)| *is_needed)
    .map(|(_, scope, costs)| Need { scope, status: Status::Warning, costs })
    .collect()
}

/// Those that are not granted.
pub(crate) fn missing(granted: &BTreeSet<String>, needs: Vec<Need>) -> impl Iterator<Item = Need> {
    needs.into_iter().filter(|need| !granted.contains(need.scope))
}

/// An item for each missing scope.
pub(super) fn items(
    granted: Option<&BTreeSet<String>>,
    rules: &recipients::Rules,
    review: Option<&ReviewConfig>,
) -> Vec<Item> {
    let id = ItemId::SlackScopes;
    let Some(granted) = granted else {
        let remedy =
            "see OAuth & Permissions of the Slack app; Slack itself lists the scopes with each answer";
        let cause = "what answers does not say which scopes the token has";
        return vec![Item::not_looked_at(id, Exit::Credentials, cause, remedy)];
    };
    let needs = all(rules, review);
    let count = needs.len();
    let item = |need: Need| {
        let make = if need.status == Status::Failed { Item::failed } else { Item::warning };
        make(id, Exit::Credentials, "missing", need.costs, SCOPE_REMEDY).of(need.scope)
    };
    let items: Vec<_> = missing(granted, needs).map(item).collect();
    match items.is_empty() {
        true => vec![Item::ok(id, format!("the token has all {count} that the configuration can use"))],
        false => items,
    }
}

/// All that the configuration can use, each once. An app that the manifest made for it has them.
pub(crate) fn all(rules: &recipients::Rules, review: Option<&ReviewConfig>) -> Vec<Need> {
    let mut needs = vec![POST];
    needs.extend(review.into_iter().flat_map(|review| for_review(&review.rules)));
    needs.extend(for_recipients(rules));
    needs.extend(helpful(rules, review));
    let mut seen = BTreeSet::new();
    needs.retain(|need| seen.insert(need.scope));
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_scope_is_listed_once_with_what_it_costs() {
        let rules = recipients::Rules {
            always: vec![Recipient::parse("bob@example.com").unwrap(), Recipient::parse("C0TEAM").unwrap()],
            by_role: Vec::new(),
        };
        let shown = |granted: &[&str]| {
            let granted = granted.iter().map(|scope| (*scope).to_owned()).collect();
            let items = items(Some(&granted), &rules, None);
            items.iter().map(|item| format!("{:?} {}", item.status, item.subject)).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&[]),
            [
                "Failed chat:write",
                "Warning users:read",
                "Warning users:read.email",
                "Warning channels:read",
                "Warning groups:read",
                "Warning channels:history",
                "Warning groups:history",
                "Warning im:history",
                "Warning im:write"
            ]
        );
        let all = [
            "chat:write",
            "users:read",
            "users:read.email",
            "channels:read",
            "groups:read",
            "channels:history",
            "groups:history",
            "im:history",
            "im:write",
        ];
        assert_eq!(shown(&all), ["Ok "]);
        assert_eq!(items(None, &rules, None).first().unwrap().status, Status::Warning);
    }
}
