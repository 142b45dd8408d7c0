//! `[[review.rule]]`: the roles a rule is for, and the people it names.
//!
//! What could never match or never decide is refused: beside `*`, a stricter rule that matches nothing leaves the
//! decision to the laxer one.

use access_core::domain::look_alike::{LookAlike, is_of_one_other_script};
use access_core::domain::recipients::is_slack_id;
use access_core::domain::role_pattern::RolePattern;
use access_core::policy::{Approver, ReasonPolicy, Rule};

use super::names::{
    is_user_group_id, looks_like_user_id, strip_mention, user_group_in_small_letters, user_name_problem,
    without_brackets,
};
use super::raw::{Entry, Field, TableReader};
use super::report::{Report, quote, quote_list};
use super::role::{PatternPosition, role_pattern};
use super::source::choice;
use super::unseen::report_unseen;
use super::users::MappingConfig;

/// More approvals than this is a typo.
const MAX_APPROVALS: i64 = 100;

/// One rule; `None` if something is wrong with it.
pub(super) fn rule(table: &mut TableReader<'_, '_>, mapping: &MappingConfig) -> Option<Rule> {
    let teleport_only = table.flag("teleport_only").given().is_some_and(|entry| entry.value);
    let roles = roles(table);
    let approvers = approvers(table, mapping, teleport_only);
    // How many people are in a group only Slack knows.
    let is_group = |approver: &Approver| matches!(approver, Approver::Group(_));
    let most = approvers.as_ref().filter(|all| !all.iter().any(is_group)).map(Vec::len);
    let approvals = votes(table, "approvals", most);
    let denials = votes(table, "denials", most);
    const POLICIES: [(&str, Option<ReasonPolicy>); 3] = [
        ("optional", Some(ReasonPolicy::Optional)),
        ("required", Some(ReasonPolicy::Required)),
        ("off", Some(ReasonPolicy::Off)),
    ];
    let reason = choice(table, "reason", &POLICIES).map(|chosen| chosen.unwrap_or(ReasonPolicy::Optional));
    let confirm = table.flag("confirm").given().is_some_and(|entry| entry.value);
    Some(Rule {
        roles: roles?,
        approvers: approvers?,
        approvals: approvals?,
        denials: denials?,
        reason: reason?,
        confirm,
        teleport_only,
    })
}

fn roles(table: &mut TableReader<'_, '_>) -> Option<Vec<RolePattern>> {
    let names = names(table, "roles", "name the roles it is for, such as [\"prod-*\"]")?;
    let report = table.report();
    let read: Vec<_> = names
        .iter()
        .map(|entry| role_pattern(&entry.value, PatternPosition::List, entry.line, &entry.key, report))
        .collect();
    read.into_iter().collect()
}

fn approvers(
    table: &mut TableReader<'_, '_>,
    mapping: &MappingConfig,
    teleport_only: bool,
) -> Option<Vec<Approver>> {
    let names = names(table, "approvers", "name the Teleport users who may approve")?;
    let report = table.report();
    warn_case_duplicates(&names, report);
    let read: Vec<_> = names.iter().map(|entry| approver(entry, mapping, teleport_only, report)).collect();
    read.into_iter().collect()
}

/// The approver that a rule names, if the text can be one and a Slack user can be that one.
fn approver(
    entry: &Entry<String>,
    mapping: &MappingConfig,
    teleport_only: bool,
    report: &mut Report,
) -> Option<Approver> {
    if report_unseen(report, entry.line, &entry.key, &entry.value) {
        return None;
    }
    if is_user_group_id(&entry.value) {
        return Some(Approver::Group(entry.value.clone()));
    }
    let wrong = approver_problem(&entry.value, mapping)
        .or_else(|| (!teleport_only).then(|| mapping.unmapped_problem(&entry.value)).flatten());
    match wrong {
        None => {
            warn_of_foreign_name(entry, mapping, report);
            let group = user_group_in_small_letters(&entry.value);
            if let Some(group) = group.filter(|_| !mapping.contains_user(&entry.value)) {
                let cause = format!("{} looks like a user group's id in small letters", quote(&entry.value));
                let remedy = format!("write {}, unless a Teleport user is called so", quote(&group));
                report.warn(Some(entry.line), &entry.key, cause, remedy);
            }
            Some(Approver::User(entry.value.clone()))
        }
        Some((cause, remedy)) => {
            report.error(Some(entry.line), &entry.key, format!("{}: {cause}", quote(&entry.value)), remedy);
            None
        }
    }
}

/// Warns of letters that look like others. A name of one other script is meant if `[review.users]` has it, too.
fn warn_of_foreign_name(entry: &Entry<String>, mapping: &MappingConfig, report: &mut Report) {
    let Some(found) = LookAlike::first_in(&entry.value) else { return };
    let is_of_one_script = is_of_one_other_script(&entry.value);
    if is_of_one_script && mapping.contains_user(&entry.value) {
        return;
    }
    let more = if is_of_one_script { "; if it has, link that user in [review.users], too" } else { "" };
    let remedy = format!("write {}, unless the name really has it{more}", quote(&found.seen));
    report.warn(Some(entry.line), &entry.key, format!("{}: {found}", quote(&entry.value)), remedy);
}

/// Why this is no approver's name, and what to write instead.
fn approver_problem(text: &str, mapping: &MappingConfig) -> Option<(&'static str, String)> {
    const NAMED: &str = "write the name of a Teleport user, or the id of a Slack user group (S…)";
    if let Some(mentioned) = strip_mention(text, "<!subteam^") {
        return Some(("this is how a message mentions a user group", format!("write {}", quote(mentioned))));
    }
    let slack_user = strip_mention(text, "<@").unwrap_or(text);
    if looks_like_user_id(slack_user) && !mapping.contains_user(text) {
        let remedy = match mapping.teleport_user_of(slack_user) {
            Some(user) => format!("write {}", quote(user)),
            None => "write the name of that person's Teleport user".to_owned(),
        };
        return Some(("this is a Slack account, and rules name Teleport users", remedy));
    }
    let inner = without_brackets(text).filter(|_| !text.starts_with('<') && !mapping.contains_user(text));
    if let Some(inner) = inner {
        let cause = "there are brackets or quotation marks around it, which no user's name has";
        let each: Vec<_> =
            inner.split([',', ';']).map(|name| without_brackets(name).unwrap_or(name.trim())).collect();
        let are_names = each.iter().all(|name| !name.is_empty() && approver_problem(name, mapping).is_none());
        let remedy = match each.as_slice() {
            [one] if are_names => format!("write {}", quote(one)),
            _ if are_names => format!("write {}", quote_list(&each)),
            _ => NAMED.to_owned(),
        };
        return Some((cause, remedy));
    }
    let several: Vec<_> = text.split([',', ';']).map(str::trim).filter(|name| !name.is_empty()).collect();
    if text.contains([',', ';']) {
        let are_names = several.iter().all(|name| approver_problem(name, mapping).is_none());
        let remedy = match are_names {
            true => format!("write {}", quote_list(&several)),
            false => "write each approver as a text of its own: [\"bob\", \"S012AB3CD\"]".to_owned(),
        };
        return Some(("this looks like several in one", remedy));
    }
    if text.contains(['*', '?']) || text.starts_with('^') && text.ends_with('$') {
        return Some(("patterns are for roles; an approver is named exactly", NAMED.to_owned()));
    }
    user_name_problem(text).or_else(|| {
        let is_channel = text.starts_with('#') || is_slack_id(text, &['C', 'G', 'D']) && text.len() >= 9;
        is_channel.then(|| ("this is a channel, and no channel decides", NAMED.to_owned()))
    })
}

/// Two spellings of one name may be one person, whose second vote never counts.
fn warn_case_duplicates(names: &[Entry<String>], report: &mut Report) {
    for (index, entry) in names.iter().enumerate() {
        let lower = entry.value.to_lowercase();
        let (before, _) = names.split_at(index);
        if let Some(other) = before.iter().find(|other| other.value.to_lowercase() == lower) {
            let cause =
                format!("{} and {} differ in capitals only", quote(&other.value), quote(&entry.value));
            report.warn(Some(entry.line), &entry.key, cause, "keep the one that `tctl users ls` shows");
        }
    }
}

/// A number of votes from 1 to `most`; 1 if it is not given.
fn votes(table: &mut TableReader<'_, '_>, name: &'static str, most: Option<usize>) -> Option<u32> {
    match table.number(name) {
        Field::Absent => Some(1),
        Field::Bad => None,
        Field::Given(entry) => {
            let named = most.and_then(|most| i64::try_from(most).ok()).unwrap_or(MAX_APPROVALS);
            let limit = named.min(MAX_APPROVALS);
            let range =
                if limit == 1 { "write 1".to_owned() } else { format!("write a number from 1 to {limit}") };
            let (cause, remedy) = match entry.value {
                ..1 => (format!("{name} must be at least 1"), range),
                value if value <= limit => return u32::try_from(value).ok(),
                _ if limit == MAX_APPROVALS => (format!("{name} can be {MAX_APPROVALS} at most"), range),
                _ => {
                    let approvers = if limit == 1 { "approver" } else { "approvers" };
                    let cause =
                        format!("the rule names {limit} {approvers}, so that many {name} can never be given");
                    (cause, range + ", or name more approvers")
                }
            };
            table.report().error(Some(entry.line), &entry.key, cause, remedy);
            None
        }
    }
}

/// A list of names, each once, that must not be empty, nor hold empty ones.
fn names(table: &mut TableReader<'_, '_>, name: &'static str, remedy: &str) -> Option<Vec<Entry<String>>> {
    let line = table.line();
    match table.texts(name) {
        Field::Bad => None,
        Field::Absent => {
            let key = table.name(name);
            table.report().error(line, &key, "this is missing in the rule", remedy);
            None
        }
        Field::Given(entry) => {
            if entry.value.is_empty() || entry.value.iter().any(|item| item.value.trim().is_empty()) {
                let cause = "this is empty, or an entry of it is";
                table.report().error(Some(entry.line), &entry.key, cause, remedy);
                return None;
            }
            let mut names: Vec<Entry<String>> = Vec::new();
            for item in entry.value {
                if !names.iter().any(|name| name.value == item.value) {
                    names.push(item);
                }
            }
            Some(names)
        }
    }
}
