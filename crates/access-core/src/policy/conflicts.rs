//! Rules that cannot do what they say: their roles do not exist, or another rule for the same roles stands against them.
//!
//! All rules that match a request apply together ([`super::rules`]), so the order of the file hides none. Two can still
//! exclude each other: a user decides only if every matching rule names them. Pairs are compared, not larger sets, and
//! pairs in which a Slack user group could name the missing user are left to Slack.

use std::collections::BTreeSet;
use std::fmt;

use super::rules::{Approver, Rule, Rules};
use crate::domain::recipients;
use crate::domain::role_overlap::{TooComplicated, can_match, common_role, covers, matches_every_role};
use crate::domain::role_pattern::RolePattern;

/// What is wrong with a rule, or with two. Rules count from 1, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// No role can have a name that this pattern matches.
    NeverMatches {
        /// The pattern, as it was written.
        pattern: String,
        /// The rule that has it.
        rule: usize,
    },
    /// Two rules say the same of the same roles.
    Repeats {
        /// The first of them.
        first: usize,
        /// The one that adds nothing.
        second: usize,
    },
    /// All roles of a rule are also those of a rule that leaves them to Teleport.
    NeverDecides {
        /// The rule whose approvers never decide.
        rule: usize,
        /// The rule with `teleport_only`.
        teleport_only: usize,
    },
    /// Both rules match a role, and too few users are named by both.
    TooFewInCommon {
        /// One rule.
        first: usize,
        /// The other.
        second: usize,
        /// A role that both match.
        role: String,
        /// How many users both name.
        users: usize,
        /// How many approvals it takes.
        approvals: u32,
    },
    /// Patterns that take too much to compare.
    NotCompared {
        /// The rules that have them.
        rules: (usize, usize),
    },
}

impl fmt::Display for Conflict {
    /// What is wrong, as a sentence without the remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMatches { pattern, rule } => {
                write!(f, "no role can have a name that {pattern:?} of rule {rule} matches")
            }
            Self::Repeats { first, second } => write!(f, "rule {second} repeats rule {first}"),
            Self::NeverDecides { rule, teleport_only } => write!(
                f,
                "the approvers of rule {rule} never decide, because rule {teleport_only} (teleport_only) is for all of its \
                 roles"
            ),
            Self::TooFewInCommon { first, second, role, users: 0, .. } => write!(
                f,
                "no user can decide a request for the role {role:?}: rules {first} and {second} are both for it, and name no \
                 user in common"
            ),
            Self::TooFewInCommon { first, second, role, users, approvals } => write!(
                f,
                "no request for the role {role:?} can be approved: rules {first} and {second} are both for it, {approvals} \
                 approvals are needed, and the users in common are {users}"
            ),
            Self::NotCompared { rules: (first, second) } => {
                write!(f, "the roles of rules {first} and {second} are too complicated to be compared")
            }
        }
    }
}

impl Conflict {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NeverMatches { .. } => "correct the pattern, or remove it",
            Self::Repeats { .. } => "remove one of them",
            Self::NeverDecides { .. } => {
                "remove the rule, or take its roles out of the rule with teleport_only"
            }
            Self::TooFewInCommon { .. } => {
                "name the same approvers in both rules, or change the roles so that only one of them is for each"
            }
            Self::NotCompared { .. } => "compare them by hand, or write simpler patterns with * and ?",
        }
    }
}

/// What stands in the way of these rules.
pub fn conflicts(rules: &Rules) -> Vec<Conflict> {
    let numbered = || (1..).zip(&rules.0);
    let mut found = Vec::new();
    for (number, rule) in numbered() {
        let patterns = rule.roles.iter().filter(|pattern| can_match(pattern) == Ok(false));
        found.extend(
            patterns
                .map(|pattern| Conflict::NeverMatches { pattern: pattern.as_str().to_owned(), rule: number }),
        );
    }
    for (first, one) in numbered() {
        for (second, other) in numbered().skip(first) {
            found.extend(conflict((first, one), (second, other)));
        }
    }
    found
}

fn conflict((first, one): (usize, &Rule), (second, other): (usize, &Rule)) -> Option<Conflict> {
    if one == other {
        return Some(Conflict::Repeats { first, second });
    }
    let not_compared = |TooComplicated| Conflict::NotCompared { rules: (first, second) };
    match (one.teleport_only, other.teleport_only) {
        (true, true) => None,
        (true, false) => match covers_all(one, other) {
            Ok(is_covered) => {
                is_covered.then_some(Conflict::NeverDecides { rule: second, teleport_only: first })
            }
            Err(error) => Some(not_compared(error)),
        },
        (false, true) => match covers_all(other, one) {
            Ok(is_covered) => {
                is_covered.then_some(Conflict::NeverDecides { rule: first, teleport_only: second })
            }
            Err(error) => Some(not_compared(error)),
        },
        (false, false) => {
            let (users, approvals) = (users_in_common(one, other)?, one.approvals.max(other.approvals));
            if users >= approvals as usize {
                return None;
            }
            match role_in_common(one, other) {
                Ok(role) => Some(Conflict::TooFewInCommon { first, second, role: role?, users, approvals }),
                Err(error) => Some(not_compared(error)),
            }
        }
    }
}

/// How many users both rules name; `None` if a user group may add some.
fn users_in_common(one: &Rule, other: &Rule) -> Option<usize> {
    let users = |rule: &'_ Rule| {
        let names = rule.approvers.iter().map(|approver| match approver {
            Approver::User(name) => Some(name.clone()),
            Approver::Group(_) => None,
        });
        names.collect::<Option<BTreeSet<_>>>()
    };
    Some(users(one)?.intersection(&users(other)?).count())
}

/// A role that both rules are for.
fn role_in_common(one: &Rule, other: &Rule) -> Result<Option<String>, TooComplicated> {
    for pattern in &one.roles {
        for against in &other.roles {
            if let Some(role) = common_role(pattern, against)? {
                return Ok(Some(role));
            }
        }
    }
    Ok(None)
}

/// Whether each pattern of `narrow` is within one of `wide`.
fn covers_all(wide: &Rule, narrow: &Rule) -> Result<bool, TooComplicated> {
    for pattern in &narrow.roles {
        let mut is_covered = false;
        for against in &wide.roles {
            is_covered |= covers(against, pattern)?;
        }
        if !is_covered {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is wrong with an entry of `[role_to_recipients]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusedEntry {
    /// No role can have a name that this pattern matches.
    NeverMatches(String),
    /// The entry `*` is for roles that no other entry is for, and this one is for all.
    RestIsEmpty(String),
}

/// Entries under which no user is ever notified.
pub fn unused_entries(rules: &recipients::Rules) -> Vec<UnusedEntry> {
    let is_rest = |pattern: &RolePattern| pattern.as_str() == "*";
    let patterns = || rules.by_role.iter().map(|(pattern, _)| pattern);
    let never = patterns().filter(|pattern| can_match(pattern) == Ok(false));
    let mut found: Vec<_> =
        never.map(|pattern| UnusedEntry::NeverMatches(pattern.as_str().to_owned())).collect();
    if patterns().any(is_rest) {
        let all = patterns().find(|pattern| !is_rest(pattern) && matches_every_role(pattern) == Ok(true));
        found.extend(all.map(|pattern| UnusedEntry::RestIsEmpty(pattern.as_str().to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ReasonPolicy;

    fn rule(roles: &[&str], approvers: &[&str], approvals: u32) -> Rule {
        let approver = |name: &&str| match name.strip_prefix("group ") {
            Some(group) => Approver::Group(group.to_owned()),
            None => Approver::User((*name).to_owned()),
        };
        Rule {
            roles: roles.iter().map(|role| RolePattern::parse(role).unwrap()).collect(),
            approvers: approvers.iter().map(approver).collect(),
            approvals,
            denials: 1,
            reason: ReasonPolicy::Off,
            confirm: false,
            teleport_only: false,
        }
    }

    fn found(rules: Vec<Rule>) -> Vec<String> {
        conflicts(&Rules(rules)).iter().map(|conflict| format!("{conflict}; {}", conflict.remedy())).collect()
    }

    #[test]
    fn rules_that_exclude_each_other_are_found_with_a_role_for_example() {
        let db = rule(&["prod-*"], &["bob", "carol"], 2);
        assert_eq!(found(vec![db.clone(), rule(&["dev-*"], &["dave"], 1)]), [""; 0]);
        assert_eq!(found(vec![db.clone(), rule(&["*"], &["bob", "carol", "dave"], 1)]), [""; 0]);
        assert_eq!(
            found(vec![db.clone(), rule(&["*-db"], &["dave"], 1)]),
            [
                "no user can decide a request for the role \"prod-db\": rules 1 and 2 are both for it, and name no user in \
              common; name the same approvers in both rules, or change the roles so that only one of them is for each"
            ]
        );
        assert_eq!(
            found(vec![db.clone(), rule(&["prod-db"], &["bob", "dave"], 1)]),
            [
                "no request for the role \"prod-db\" can be approved: rules 1 and 2 are both for it, 2 approvals are needed, \
              and the users in common are 1; name the same approvers in both rules, or change the roles so that only one \
              of them is for each"
            ]
        );
        // Its members are Slack's to know.
        assert_eq!(found(vec![db, rule(&["prod-db"], &["group S0DBA"], 1)]), [""; 0]);
    }

    #[test]
    fn rules_without_any_effect_are_found() {
        let db = rule(&["prod-db"], &["bob"], 1);
        let teleport_only = Rule { teleport_only: true, ..rule(&["prod-*"], &["carol"], 1) };
        assert_eq!(found(vec![db.clone(), db.clone()]), ["rule 2 repeats rule 1; remove one of them"]);
        let never = "the approvers of rule 1 never decide, because rule 2 (teleport_only) is for all of its roles; remove \
                     the rule, or take its roles out of the rule with teleport_only";
        assert_eq!(found(vec![db.clone(), teleport_only.clone()]), [never]);
        let wider = rule(&["prod-db", "dev"], &["bob"], 1);
        assert_eq!(found(vec![teleport_only, wider]), [""; 0]);
        let nothing = rule(&["^[^\\x{0}-\\x{10FFFF}]$"], &["bob"], 1);
        assert_eq!(
            found(vec![nothing]),
            [
                r#"no role can have a name that "^[^\\x{0}-\\x{10FFFF}]$" of rule 1 matches; correct the pattern, or remove it"#
            ]
        );
        let huge = rule(&["^(a|b)*a(a|b){20}$"], &["bob"], 1);
        assert_eq!(
            found(vec![huge, rule(&["^(a|b)*b(a|b){20}$"], &["carol"], 1)]),
            [
                "the roles of rules 1 and 2 are too complicated to be compared; compare them by hand, or write simpler \
              patterns with * and ?"
            ]
        );
    }

    #[test]
    fn an_entry_for_the_rest_needs_a_rest() {
        let entries = |patterns: &[&str]| {
            let by_role = patterns.iter().map(|text| (RolePattern::parse(text).unwrap(), Vec::new()));
            unused_entries(&recipients::Rules { always: Vec::new(), by_role: by_role.collect() })
        };
        assert_eq!(entries(&["*", "prod-*"]), []);
        assert_eq!(entries(&["?*", "prod-*"]), []);
        assert_eq!(entries(&["*", "?*"]), [UnusedEntry::RestIsEmpty("?*".to_owned())]);
        assert_eq!(entries(&["^\\bprod\\B-db$"]), [UnusedEntry::NeverMatches("^\\bprod\\B-db$".to_owned())]);
    }
}
