//! How a Slack user is mapped to a Teleport user: `[review.users]`, the trait, the e-mail address.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use access_core::domain::ids::SlackUserId;
use access_core::domain::look_alike::{LookAlike, is_of_one_other_script};
use access_core::domain::unseen::as_seen;

use super::names::{
    is_user_group_id, is_written_like_a_slack_id, looks_like_user_id, user_group_in_small_letters,
    user_name_problem,
};
use super::raw::{Field, FreeEntry, TableReader};
use super::recipient::is_user_id;
use super::report::{Report, quote};
use super::unseen::{report_unseen, warn_of_look_alike};

/// The mappings that are configured.
#[derive(Clone, Debug, Default)]
pub(super) struct MappingConfig {
    /// The table `[review.users]`: Slack ids, and the Teleport user of each.
    pub(super) explicit: BTreeMap<SlackUserId, String>,
    /// The Teleport user trait that holds the Slack id.
    pub(super) id_trait: Option<String>,
    /// Whether an e-mail address that equals the user name is one.
    pub(super) email_match: bool,
    /// Whether rules need them: users decide in Slack, and the rules judge. Also `false` if the trait is not known for a
    /// mistake in it.
    pub(super) is_needed: bool,
}

impl MappingConfig {
    /// Whether the table names this Teleport user.
    pub(super) fn contains_user(&self, user: &str) -> bool {
        self.explicit.values().any(|named| named == user)
    }

    /// The Teleport user of a Slack account in the table.
    pub(super) fn teleport_user_of(&self, slack_user: &str) -> Option<&str> {
        self.explicit.get(&SlackUserId::new(slack_user)).map(String::as_str)
    }

    /// The line of the table that names nearly the same Teleport user.
    fn nearly_linked(&self, user: &str) -> Option<(&SlackUserId, &String)> {
        /// A typing error or two, in a name that is much longer.
        const MAX_ERRORS: usize = 2;
        const LENGTHS: RangeInclusive<usize> = 6..=100;
        self.explicit.iter().find(|(_, named)| {
            LENGTHS.contains(&named.len())
                && LENGTHS.contains(&user.len())
                && strsim::osa_distance(named, user) <= MAX_ERRORS
        })
    }

    /// If no Slack user can ever be mapped to this Teleport user: that, and what to do. Which user a trait names only
    /// Teleport knows.
    pub(super) fn unmapped_problem(&self, user: &str) -> Option<(&'static str, String)> {
        let is_address = user.split_once('@').is_some_and(|(name, at)| !name.is_empty() && !at.is_empty());
        let may_lead = self.id_trait.is_some() || self.contains_user(user) || self.email_match && is_address;
        if !self.is_needed || may_lead {
            return None;
        }
        let cause = "no configured link leads from a Slack user to this Teleport user, so no click could count as theirs";
        let seen = |name: &str| LookAlike::first_in(name).map_or_else(|| name.to_owned(), |found| found.seen);
        let alike =
            self.explicit.values().find(|named| seen(named).to_lowercase() == seen(user).to_lowercase());
        let nearly = self.nearly_linked(user).map_or_else(String::new, |(id, named)| {
            let named = quote(named);
            format!("if the line {id} = {named} of [review.users] is for this user, write the same name in both; else ")
        });
        let remedy = match alike {
            Some(named) if seen(named) == seen(user) => match LookAlike::first_in(named) {
                Some(found) => format!("write it in plain characters in [review.users], too: there, {found}"),
                None => format!(
                    "write {}, as in [review.users]: here, {}",
                    quote(named),
                    LookAlike::first_in(user).map(|found| found.to_string()).unwrap_or_default()
                ),
            },
            Some(named) => format!("write {}, as in [review.users]; capitals count", quote(named)),
            None if is_address => format!(
                "{nearly}add a line such as U012AB3CD = {} to [review.users], or allow_email_username_match = true to [review] if this \
                 is the address in Slack too",
                quote(user)
            ),
            None => match user_group_in_small_letters(user) {
                Some(group) => {
                    format!("write {}: ids of user groups are in capitals", quote(&group))
                }
                // No Teleport user is called like a workspace, a bot, a channel or a person of Slack.
                None if is_written_like_a_slack_id(user) => {
                    "write the name of a Teleport user, as `tctl users ls` shows it, or the id of a Slack user group (S…)".to_owned()
                }
                None => format!("{nearly}add a line such as U012AB3CD = {} to [review.users]", quote(user)),
            },
        };
        Some((cause, remedy))
    }
}

/// The table: Slack users and the Teleport users they are.
pub(super) fn users(table: &mut TableReader<'_, '_>) -> BTreeMap<SlackUserId, String> {
    let entries = table.free_table("users").given().map(|entry| entry.value).unwrap_or_default();
    let report = table.report();
    let mut users = BTreeMap::new();
    for entry in entries {
        let line = Some(entry.texts.line);
        let key = &entry.texts.key;
        if let Some(id) = exchanged_id(&entry) {
            let cause = "the two sides of this line are exchanged";
            report.error(line, key, cause, format!("write {id} = {}", quote(&entry.name)));
            users.insert(SlackUserId::new(id), as_seen(&entry.name));
            continue;
        }
        if !report_unseen(report, entry.texts.line, key, &entry.name) && !is_user_id(&entry.name) {
            let remedy = "write the member ID from the person's Slack profile, such as U012AB3CD";
            report.error(line, key, "this is not the id of a Slack person", remedy);
        }
        let user = match entry.texts.value.as_slice() {
            [one] if !entry.is_list && !one.value.trim().is_empty() => &one.value,
            _ => {
                let remedy = "write the user's name, such as \"bob\"";
                report.error(line, key, "this is not one Teleport user", remedy);
                continue;
            }
        };
        check_user_name(user, entry.texts.line, key, report);
        // As the operator meant it, so that no rule is said to name an unknown user on top of it.
        users.insert(SlackUserId::new(as_seen(&entry.name)), as_seen(user));
    }
    users
}

/// The Slack id on the right, if that of a Teleport user stands on the left.
fn exchanged_id(entry: &FreeEntry) -> Option<&str> {
    match entry.texts.value.as_slice() {
        [id] if !entry.is_list && is_user_id(&id.value) && !is_user_id(&as_seen(&entry.name)) => {
            Some(id.value.as_str()).filter(|_| user_name_problem(&entry.name).is_none())
        }
        _ => None,
    }
}

/// Reports why no Teleport user is called so, or that a Slack account may be meant.
fn check_user_name(user: &str, line: usize, key: &str, report: &mut Report) {
    if report_unseen(report, line, key, user) {
        return;
    }
    // It is only ever compared with the names in rules, which are warned of if they differ from it.
    if !is_of_one_other_script(user) {
        warn_of_look_alike(report, line, key, user);
    }
    if let Some((cause, remedy)) = user_name_problem(user) {
        report.error(Some(line), key, format!("{}: {cause}", quote(user)), remedy);
    } else if is_user_group_id(user) || looks_like_user_id(user) {
        let cause = format!("{} has the form of a Slack id, and this is for a Teleport user", quote(user));
        let remedy = "if no Teleport user is called so, write the name that `tctl users ls` shows";
        report.warn(Some(line), key, cause, remedy);
    }
}

/// The name of the trait. Templates of roles write it longer.
pub(super) fn id_trait(table: &mut TableReader<'_, '_>) -> Field<String> {
    let field = table.text("slack_user_id_trait").unless_empty();
    let Field::Given(entry) = &field else { return field };
    let bare = entry.value.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
    let bare = ["external.", "internal."].iter().find_map(|prefix| bare.strip_prefix(prefix)).unwrap_or(bare);
    if bare == entry.value {
        warn_of_look_alike(table.report(), entry.line, &entry.key, &entry.value);
        return field;
    }
    let cause = format!("{} is not the bare name of a trait", quote(&entry.value));
    let remedy = match bare {
        bare if bare.is_empty() || bare.contains(['{', '}', ' ']) => {
            "write the trait's name, such as \"slack_uid\"".to_owned()
        }
        bare => format!("write {}", quote(bare)),
    };
    table.report().error(Some(entry.line), &entry.key, cause, remedy);
    Field::Bad
}
