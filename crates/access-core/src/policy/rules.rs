//! The operator's rules, and what they come to for one request: the strictest of all that match.

use super::identity::eq_ignore_case;
use crate::domain::request::AccessRequest;
use crate::domain::role_pattern::RolePattern;
use crate::record::votes::MAX_GROUPS;

/// Who may decide what in Slack, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<Rule>);

/// One `[[review.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The roles it is for.
    pub roles: Vec<RolePattern>,
    /// Those who may decide: Teleport users and Slack user groups.
    pub approvers: Vec<Approver>,
    /// How many approvals it takes; at least 1.
    pub approvals: u32,
    /// How many denials it takes; at least 1.
    pub denials: u32,
    /// Whether a reason is asked for.
    pub reason: ReasonPolicy,
    /// Whether Slack asks "are you sure?".
    pub confirm: bool,
    /// Whether it is decided in Teleport only.
    pub teleport_only: bool,
}

/// A user or user group that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approver {
    /// A Teleport user, by the exact name.
    User(String),
    /// The members of a Slack user group, by its id (`S…`).
    Group(String),
}

/// Whether a decision in Slack carries a reason; the later, the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonPolicy {
    /// Not asked for.
    #[default]
    Off,
    /// Asked for, may be left out.
    Optional,
    /// Without one nothing is decided.
    Required,
}

/// What the rules come to for one request.
#[derive(Clone, Debug)]
pub struct EffectiveRule<'a> {
    /// The rules that match any of its roles.
    matching: Vec<&'a Rule>,
    /// The first of its roles that no rule matches.
    uncovered_role: Option<&'a str>,
    /// The strictest of the matching rules.
    pub reason: ReasonPolicy,
    /// Whether any of the matching rules asks "are you sure?".
    pub confirm: bool,
    /// Whether any of the matching rules leaves it to Teleport.
    pub teleport_only: bool,
}

impl Rules {
    /// What they come to for `request`.
    pub fn effective_rule<'a>(&'a self, request: &'a AccessRequest) -> EffectiveRule<'a> {
        let matching: Vec<_> = self.matching(request).map(|(_, rule)| rule).collect();
        let is_covered = |role: &&String| matching.iter().any(|rule| rule.matches(role));
        let uncovered = request.roles.iter().find(|role| !is_covered(role)).map(String::as_str);
        EffectiveRule {
            reason: matching.iter().map(|rule| rule.reason).max().unwrap_or_default(),
            confirm: matching.iter().any(|rule| rule.confirm),
            teleport_only: matching.iter().any(|rule| rule.teleport_only),
            // A request for no role is covered by nothing.
            uncovered_role: if request.roles.is_empty() { Some("") } else { uncovered },
            matching,
        }
    }

    /// The rules that match any of its roles, each with its number in the configuration, from 1.
    pub fn matching<'a>(&'a self, request: &'a AccessRequest) -> impl Iterator<Item = (usize, &'a Rule)> {
        (1..).zip(&self.0).filter(|(_, rule)| request.roles.iter().any(|role| rule.matches(role)))
    }

    /// The Slack user groups on which it depends whether `user` may decide `request`: those of the matching rules
    /// that do not name the user. None if there is a rule that names no group: nothing helps then.
    pub fn groups_to_check<'a>(&'a self, request: &'a AccessRequest, user: &str) -> Vec<&'a str> {
        let mut groups = Vec::new();
        for rule in self.effective_rule(request).matching.iter().filter(|rule| !rule.names(user, &[])) {
            let of_rule: Vec<_> = rule.groups().collect();
            if of_rule.is_empty() {
                return Vec::new();
            }
            for group in of_rule {
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// Of the `groups` that the user is in, one for each matching rule that needs it, so that what is noted beside a
    /// vote stays short.
    pub(crate) fn matching_groups(
        &self,
        request: &AccessRequest,
        user: &str,
        groups: &[String],
    ) -> Vec<String> {
        let mut naming: Vec<String> = Vec::new();
        for rule in self.effective_rule(request).matching.iter().filter(|rule| !rule.names(user, &[])) {
            let is_noted = naming.iter().any(|noted| rule.groups().any(|group| group == noted));
            let found = rule.groups().find(|group| groups.iter().any(|own| own == group));
            naming.extend(found.filter(|_| !is_noted).map(str::to_owned));
        }
        naming.truncate(MAX_GROUPS);
        naming
    }

    /// Whether a rule for one of the roles names this user, in whatever capitals; without any rule, whether the request
    /// suggests it.
    pub(super) fn mentions_user(&self, request: &AccessRequest, user: &str) -> bool {
        let is_user = |name: &String| eq_ignore_case(name, user);
        let mut named = self.effective_rule(request).matching.into_iter().flat_map(|rule| &rule.approvers);
        let is_named = named.any(|approver| matches!(approver, Approver::User(name) if is_user(name)));
        is_named || (self.0.is_empty() && request.suggested_reviewers.iter().any(is_user))
    }

    /// Whether the rules say of each role who decides it; without any rule, the suggested reviewers do.
    pub(super) fn check_coverage(&self, request: &AccessRequest) -> Result<(), RuleRefusal> {
        let terms = self.effective_rule(request);
        match terms.uncovered_role.filter(|role| !self.0.is_empty() || role.is_empty()) {
            Some(role) => Err(RuleRefusal::NoMatchingRule { role: role.to_owned() }),
            None => Ok(()),
        }
    }

    /// Whether `user`, a member of `groups`, is among those who decide on `request` where the daemon guards:
    /// named by every rule that matches any of the roles, and each role matched. Without any rule, the
    /// suggested reviewers decide.
    pub fn check_approver(
        &self,
        request: &AccessRequest,
        user: &str,
        groups: &[String],
    ) -> Result<(), RuleRefusal> {
        self.check_coverage(request)?;
        if self.0.is_empty() {
            let suggested = &request.suggested_reviewers;
            if suggested.iter().any(|suggested| suggested == user) {
                return Ok(());
            }
            let alike = suggested.iter().find(|suggested| eq_ignore_case(suggested, user));
            return Err(match alike {
                Some(named) => RuleRefusal::case_mismatch("", named, user),
                None => {
                    RuleRefusal::NotSuggested { named: suggested.iter().take(MAX_NAMED).cloned().collect() }
                }
            });
        }
        match self.effective_rule(request).matching.iter().find(|rule| !rule.names(user, groups)) {
            None => Ok(()),
            Some(rule) => {
                let role = request.roles.iter().find(|role| rule.matches(role)).cloned().unwrap_or_default();
                let alike = rule.approvers.iter().find_map(|approver| match approver {
                    Approver::User(name) => Some(name).filter(|name| eq_ignore_case(name, user)),
                    Approver::Group(_) => None,
                });
                if let Some(named) = alike {
                    return Err(RuleRefusal::case_mismatch(&role, named, user));
                }
                let named = rule.approvers.iter().take(MAX_NAMED).map(Approver::name).collect();
                Err(RuleRefusal::NotAnApprover { role, named })
            }
        }
    }
}

/// No refusal names more people than this.
const MAX_NAMED: usize = 20;

/// Why a person is not an approver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleRefusal {
    /// No rule matches this role; empty if none is asked for.
    NoMatchingRule {
        /// The name of the role.
        role: String,
    },
    /// A rule for this role names others.
    NotAnApprover {
        /// The name of the role.
        role: String,
        /// The approvers that it names instead: Teleport users and Slack user groups.
        named: Vec<String>,
    },
    /// There are no rules and others are suggested.
    NotSuggested {
        /// The approvers that it names instead: Teleport users and Slack user groups.
        named: Vec<String>,
    },
    /// The rule names the person in other capitals.
    CaseMismatch {
        /// The role whose rule it is; empty if it is a suggested reviewer.
        role: String,
        /// How it is written there.
        named: String,
        /// The person's Teleport user.
        user: String,
    },
}

impl RuleRefusal {
    fn case_mismatch(role: &str, named: &str, user: &str) -> Self {
        Self::CaseMismatch { role: role.to_owned(), named: named.to_owned(), user: user.to_owned() }
    }
}

impl<'a> EffectiveRule<'a> {
    /// The first of the roles that no rule matches; empty if there is no role, `None` if each is matched.
    pub fn uncovered_role(&self) -> Option<&'a str> {
        self.uncovered_role
    }

    /// Approvals that the rules need; 1 without rules.
    pub(super) fn approvals(&self) -> u32 {
        self.matching.iter().map(|rule| rule.approvals).max().unwrap_or(1).max(1)
    }

    /// Denials that the rules need; 1 without rules. Here the strictest rule is the one that refuses soonest.
    pub(super) fn denials(&self) -> u32 {
        self.matching.iter().map(|rule| rule.denials).min().unwrap_or(1).max(1)
    }
}

impl Rule {
    fn matches(&self, role: &str) -> bool {
        self.roles.iter().any(|pattern| pattern.matches(role))
    }

    fn names(&self, user: &str, groups: &[String]) -> bool {
        self.approvers.iter().any(|approver| match approver {
            Approver::User(name) => name == user,
            Approver::Group(id) => groups.contains(id),
        })
    }

    fn groups(&self) -> impl Iterator<Item = &str> {
        self.approvers.iter().filter_map(|approver| match approver {
            Approver::Group(id) => Some(id.as_str()),
            Approver::User(_) => None,
        })
    }
}

impl Approver {
    fn name(&self) -> String {
        match self {
            Self::User(name) => name.clone(),
            Self::Group(id) => format!("user group {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::sample;

    fn rule(roles: &[&str], approvers: &[&str]) -> Rule {
        let approver = |name: &&str| match name.strip_prefix('@') {
            Some(group) => Approver::Group(group.to_owned()),
            None => Approver::User((*name).to_owned()),
        };
        Rule {
            roles: roles.iter().map(|role| RolePattern::parse(role).unwrap()).collect(),
            approvers: approvers.iter().map(approver).collect(),
            approvals: 1,
            denials: 1,
            reason: ReasonPolicy::Off,
            confirm: false,
            teleport_only: false,
        }
    }

    fn request(roles: &[&str]) -> AccessRequest {
        AccessRequest { roles: roles.iter().map(|role| (*role).to_owned()).collect(), ..sample() }
    }

    #[test]
    fn every_role_must_be_covered_by_a_rule_that_names_the_person() {
        let rules = Rules(vec![rule(&["dba"], &["bob"]), rule(&["prod-*"], &["bob", "carol"])]);
        let allow = |roles: &[&str], user: &str| rules.check_approver(&request(roles), user, &[]);
        assert_eq!(allow(&["dba"], "bob"), Ok(()));
        assert_eq!(allow(&["dba", "prod-db"], "bob"), Ok(()));
        assert_eq!(allow(&["prod-db"], "carol"), Ok(()));
        let not_named = RuleRefusal::NotAnApprover { role: "dba".into(), named: vec!["bob".into()] };
        assert_eq!(allow(&["prod-db", "dba"], "carol"), Err(not_named));
        assert_eq!(allow(&["dba", "root"], "bob"), Err(RuleRefusal::NoMatchingRule { role: "root".into() }));
        assert_eq!(allow(&[], "bob"), Err(RuleRefusal::NoMatchingRule { role: String::new() }));
        assert!(allow(&["dba"], "BOB").is_err() && allow(&["dba"], "").is_err());
    }

    #[test]
    fn every_rule_for_a_role_must_name_the_person() {
        let rules = Rules(vec![rule(&["*"], &["bob", "carol"]), rule(&["prod-*"], &["carol", "dave"])]);
        let allow = |user: &str| rules.check_approver(&request(&["prod-db"]), user, &[]);
        assert_eq!(allow("carol"), Ok(()));
        assert!(allow("bob").is_err() && allow("dave").is_err());
        assert_eq!(rules.check_approver(&request(&["dba"]), "bob", &[]), Ok(()));
    }

    #[test]
    fn members_of_a_group_are_named_by_it() {
        let rules = Rules(vec![rule(&["dba"], &["@S0DBA", "bob"]), rule(&["web"], &["@S0WEB", "@S0DBA"])]);
        let member = |groups: &[&str]| groups.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(rules.check_approver(&request(&["dba"]), "erin", &member(&["S0DBA"])), Ok(()));
        let named = vec!["user group S0DBA".into(), "bob".into()];
        let refused = Err(RuleRefusal::NotAnApprover { role: "dba".into(), named });
        assert_eq!(rules.check_approver(&request(&["dba"]), "erin", &member(&["S0WEB"])), refused);
        // A user whose name is that of a group is no member of it.
        assert!(rules.check_approver(&request(&["dba"]), "S0DBA", &[]).is_err());
        let in_doubt = |roles: &[&str], user: &str| {
            let request = request(roles);
            rules.groups_to_check(&request, user).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(in_doubt(&["dba", "web"], "erin"), ["S0DBA", "S0WEB"]);
        assert_eq!(in_doubt(&["dba"], "bob"), [""; 0], "named by name");
        assert_eq!(in_doubt(&["web", "dba"], "bob"), ["S0WEB", "S0DBA"], "but by one of the two rules only");
        assert_eq!(in_doubt(&["x"], "erin"), [""; 0]);
    }

    #[test]
    fn without_rules_the_suggested_reviewers_decide() {
        let request =
            AccessRequest { suggested_reviewers: vec!["bob".into(), "carol".into()], ..request(&["dba"]) };
        assert_eq!(Rules::default().check_approver(&request, "bob", &[]), Ok(()));
        let named = vec!["bob".into(), "carol".into()];
        assert_eq!(
            Rules::default().check_approver(&request, "dave", &[]),
            Err(RuleRefusal::NotSuggested { named })
        );
        let none = AccessRequest { roles: vec![], ..request };
        assert!(Rules::default().check_approver(&none, "bob", &[]).is_err());
    }

    #[test]
    fn a_name_in_other_capitals_is_no_approver_and_the_refusal_says_so() {
        let rules = Rules(vec![rule(&["dba"], &["@S0DBA", "Carol@Example.com"])]);
        let said =
            |role: &str| Err(RuleRefusal::case_mismatch(role, "Carol@Example.com", "carol@example.com"));
        assert_eq!(rules.check_approver(&request(&["dba"]), "carol@example.com", &[]), said("dba"));
        assert_eq!(
            rules.check_approver(&request(&["dba"]), "carol@example.com", &["S0DBA".to_owned()]),
            Ok(())
        );
        let suggested_reviewers = vec!["bob".into(), "Carol@Example.com".into()];
        let request = AccessRequest { suggested_reviewers, ..request(&["dba"]) };
        assert_eq!(Rules::default().check_approver(&request, "carol@example.com", &[]), said(""));
        assert_eq!(Rules::default().check_approver(&request, "Carol@Example.com", &[]), Ok(()));
    }

    #[test]
    fn a_stricter_rule_beside_the_star_counts_however_its_roles_are_written() {
        for pattern in ["prod-db", "prod-*", "prod-??", "^prod-.*$", "^prod-[a-z]+$", "^(prod-db|admin)$"] {
            let strict = Rule { approvals: 2, ..rule(&[pattern], &["carol", "dave"]) };
            let rules = Rules(vec![rule(&["*"], &["bob", "carol", "dave"]), strict]);
            let request = request(&["prod-db"]);
            assert_eq!(rules.effective_rule(&request).approvals(), 2, "{pattern}");
            assert!(rules.check_approver(&request, "bob", &[]).is_err(), "{pattern}");
            assert_eq!(rules.check_approver(&request, "carol", &[]), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn the_strictest_of_each_wins() {
        let strict = Rule {
            approvals: 3,
            denials: 2,
            reason: ReasonPolicy::Required,
            confirm: true,
            teleport_only: true,
            ..rule(&["prod-*"], &["bob"])
        };
        let lax = Rule { approvals: 2, reason: ReasonPolicy::Optional, ..rule(&["*"], &["bob"]) };
        let rules = Rules(vec![strict, lax]);
        let both = request(&["prod-db", "dba"]);
        let terms = rules.effective_rule(&both);
        assert_eq!((terms.approvals(), terms.denials(), terms.reason), (3, 1, ReasonPolicy::Required));
        assert!(terms.confirm && terms.teleport_only && terms.uncovered_role.is_none());
        let dba = request(&["dba"]);
        let terms = rules.effective_rule(&dba);
        assert_eq!((terms.approvals(), terms.denials(), terms.reason), (2, 1, ReasonPolicy::Optional));
        assert!(!terms.confirm && !terms.teleport_only);
        let terms = Rules::default();
        let terms = terms.effective_rule(&dba);
        assert_eq!((terms.approvals(), terms.denials(), terms.reason), (1, 1, ReasonPolicy::Off));
    }
}
