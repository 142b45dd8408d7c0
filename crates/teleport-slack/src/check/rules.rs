//! Rules that can never apply, or that exclude each other.

use super::report::{Item, ItemId};
use crate::causes::Exit;
use crate::config::ReviewConfig;
use access_core::domain::recipients;
use access_core::policy::ModeSetting;
use access_core::policy::conflicts::{Conflict, UnusedEntry, conflicts, unused_entries};

/// An item for each entry of `[role_to_recipients]` under which no user is ever notified.
pub(super) fn notification_items(rules: &recipients::Rules) -> Vec<Item> {
    let item = |entry| {
        let (pattern, cause, remedy) = match entry {
            UnusedEntry::NeverMatches(pattern) => {
                let remedy = "correct the pattern, or remove the entry";
                (pattern, "no role can have a name that this pattern matches".to_owned(), remedy)
            }
            UnusedEntry::RestIsEmpty(all) => {
                let cause =
                    format!("\"*\" is for roles without another entry, and {all:?} is for every role");
                ("*".to_owned(), cause, "remove one of the two entries, or make the other one narrower")
            }
        };
        let subject = format!("role_to_recipients.{pattern:?}");
        Item::warning(ItemId::NotificationRules, Exit::Configuration, "", cause, remedy).of(subject)
    };
    unused_entries(rules).into_iter().map(item).collect()
}

/// An item for each rule, or pair of rules, that cannot do what it says.
pub(super) fn review_items(review: &ReviewConfig) -> Vec<Item> {
    let teleport_judges = review.mode == ModeSetting::Reviewer;
    // The approvers of rules are not asked for there.
    let matters =
        |conflict: &Conflict| !teleport_judges || !matches!(conflict, Conflict::TooFewInCommon { .. });
    let item = |conflict: Conflict| {
        let (id, exit, remedy) = (ItemId::ReviewRules, Exit::Configuration, conflict.remedy());
        Item::warning(id, exit, "", conflict.to_string(), remedy).of(subject(&conflict))
    };
    conflicts(&review.rules).into_iter().filter(matters).map(item).collect()
}

/// The item if there is nothing of the kind.
pub(super) fn sound_item(review: &ReviewConfig) -> Item {
    match (review.mode, review.rules.0.len()) {
        (ModeSetting::Resolver, 0) => Item::warning(
            ItemId::ReviewRules,
            Exit::Configuration,
            "there are none",
            "without any [[review.rule]] only a request's suggested reviewers may decide in Slack",
            "add rules that name approvers",
        ),
        (_, 0) => {
            Item::ok(ItemId::ReviewRules, "there are none: Teleport judges each review, or no user decides")
        }
        (_, _) => Item::ok(ItemId::ReviewRules, "each rule can apply, and none excludes another"),
    }
}

fn subject(conflict: &Conflict) -> String {
    match conflict {
        Conflict::NeverMatches { rule, .. } | Conflict::NeverDecides { rule, .. } => format!("rule {rule}"),
        Conflict::Repeats { first, second }
        | Conflict::TooFewInCommon { first, second, .. }
        | Conflict::NotCompared { rules: (first, second) } => format!("rules {first} and {second}"),
    }
}
