//! The operator's rules, and what they come to for one request: the strictest of all that match.

use crate::request::AccessRequest;

/// Who may decide what in Slack, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<Rule>);

/// One `[[review.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The roles it is for; `*` stands for any text.
    pub roles: Vec<String>,
    /// Who may decide.
    pub approvers: Vec<Approver>,
    /// Approvals needed.
    pub approvals: u32,
    /// Denials needed.
    pub denials: u32,
    /// Whether a reason is asked for.
    pub reason: ReasonPolicy,
    /// Whether Slack asks "are you sure?".
    pub confirm: bool,
    /// Whether it is decided in Teleport only.
    pub teleport_only: bool,
}

/// Somebody whom a rule names.
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
pub struct Terms<'a> {
    /// The rules that match any of its roles.
    matching: Vec<&'a Rule>,
    /// The first of its roles that no rule matches.
    uncovered: Option<&'a str>,
    /// The strictest of the matching rules.
    pub reason: ReasonPolicy,
    /// Whether any of the matching rules asks "are you sure?".
    pub confirm: bool,
    /// Whether any of the matching rules leaves it to Teleport.
    pub teleport_only: bool,
}

impl Rules {
    /// What they come to for `request`.
    pub fn terms<'a>(&'a self, request: &'a AccessRequest) -> Terms<'a> {
        let matching: Vec<_> =
            self.0.iter().filter(|rule| request.roles.iter().any(|role| rule.matches(role))).collect();
        let is_covered = |role: &&String| matching.iter().any(|rule| rule.matches(role));
        let uncovered = request.roles.iter().find(|role| !is_covered(role)).map(String::as_str);
        Terms {
            reason: matching.iter().map(|rule| rule.reason).max().unwrap_or_default(),
            confirm: matching.iter().any(|rule| rule.confirm),
            teleport_only: matching.iter().any(|rule| rule.teleport_only),
            // A request for no role is covered by nothing.
            uncovered: if request.roles.is_empty() { Some("") } else { uncovered },
            matching,
        }
    }

    /// The Slack user groups whose members matter for `request`: to be asked for before a decision.
    pub fn groups<'a>(&'a self, request: &'a AccessRequest) -> Vec<&'a str> {
        let mut groups = Vec::new();
        for approver in self.terms(request).matching.iter().flat_map(|rule| &rule.approvers) {
            if let Approver::Group(id) = approver
                && !groups.contains(&id.as_str())
            {
                groups.push(id.as_str());
            }
        }
        groups
    }

    /// Whether `user`, a member of `groups`, is among those who decide on `request` where the daemon guards:
    /// named by every rule that matches any of the roles, and each role matched. Without any rule, the
    /// suggested reviewers decide.
    pub fn allow(&self, request: &AccessRequest, user: &str, groups: &[String]) -> Result<(), NotAllowed> {
        if request.roles.is_empty() {
            return Err(NotAllowed::NotCovered { role: String::new() });
        }
        if self.0.is_empty() {
            let is_suggested = request.suggested_reviewers.iter().any(|suggested| suggested == user);
            let named = || request.suggested_reviewers.iter().take(MAX_NAMED).cloned().collect();
            return if is_suggested { Ok(()) } else { Err(NotAllowed::NotSuggested { named: named() }) };
        }
        let terms = self.terms(request);
        if let Some(role) = terms.uncovered {
            return Err(NotAllowed::NotCovered { role: role.to_owned() });
        }
        match terms.matching.iter().find(|rule| !rule.names(user, groups)) {
            None => Ok(()),
            Some(rule) => {
                let role = request.roles.iter().find(|role| rule.matches(role)).cloned().unwrap_or_default();
                let named = rule.approvers.iter().take(MAX_NAMED).map(Approver::name).collect();
                Err(NotAllowed::NotNamed { role, named })
            }
        }
    }
}

/// No refusal names more people than this.
const MAX_NAMED: usize = 20;

/// Why somebody is not among those who decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// No rule matches this role; empty if none is asked for.
    NotCovered {
        /// The role.
        role: String,
    },
    /// A rule for this role names others.
    NotNamed {
        /// The role.
        role: String,
        /// The others.
        named: Vec<String>,
    },
    /// There are no rules and others are suggested.
    NotSuggested {
        /// The others.
        named: Vec<String>,
    },
}

impl<'a> Terms<'a> {
    /// The first of the roles that no rule matches; empty if there is no role, `None` if each is matched.
    pub fn uncovered(&self) -> Option<&'a str> {
        self.uncovered
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
        self.roles.iter().any(|pattern| matches(pattern, role))
    }

    fn names(&self, user: &str, groups: &[String]) -> bool {
        self.approvers.iter().any(|approver| match approver {
            Approver::User(name) => name == user,
            Approver::Group(id) => groups.contains(id),
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

/// Whether `text` is `pattern`, where `*` stands for any text; capitals matter. Takes time in proportion to the
/// product of the lengths at most.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::sample;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in [
            ("dba", "dba"),
            ("*", ""),
            ("*", "anything"),
            ("prod-*", "prod-"),
            ("prod-*", "prod-db"),
            ("*-admin", "db-admin"),
            ("p*d*b", "prod-db"),
            ("**", "x"),
            ("a*a", "aa"),
            ("a*b*c", "abbc"),
            ("*ß*", "straße"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("dba", "dbaa"),
            ("dba", "xdba"),
            ("dba", "DBA"),
            ("", "x"),
            ("prod-*", "preprod-db"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*-admin", "db-admins"),
            ("prod-.", "prod-x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    fn slow_matches(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| slow_matches(rest, &text[n..])),
            Some((c, rest)) => text.first() == Some(c) && slow_matches(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), slow_matches(&chars(&pattern), &chars(&text)));
        }
    }

    fn rule(roles: &[&str], approvers: &[&str]) -> Rule {
        let approver = |name: &&str| match name.strip_prefix('@') {
            Some(group) => Approver::Group(group.to_owned()),
            None => Approver::User((*name).to_owned()),
        };
        Rule {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
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
        let allow = |roles: &[&str], user: &str| rules.allow(&request(roles), user, &[]);
        assert_eq!(allow(&["dba"], "bob"), Ok(()));
        assert_eq!(allow(&["dba", "prod-db"], "bob"), Ok(()));
        assert_eq!(allow(&["prod-db"], "carol"), Ok(()));
        let not_named = NotAllowed::NotNamed { role: "dba".into(), named: vec!["bob".into()] };
        assert_eq!(allow(&["prod-db", "dba"], "carol"), Err(not_named));
        assert_eq!(allow(&["dba", "root"], "bob"), Err(NotAllowed::NotCovered { role: "root".into() }));
        assert_eq!(allow(&[], "bob"), Err(NotAllowed::NotCovered { role: String::new() }));
        assert!(allow(&["dba"], "BOB").is_err() && allow(&["dba"], "").is_err());
    }

    #[test]
    fn of_several_rules_for_a_role_each_must_name_the_person() {
        let rules = Rules(vec![rule(&["*"], &["bob", "carol"]), rule(&["prod-*"], &["carol", "dave"])]);
        let allow = |user: &str| rules.allow(&request(&["prod-db"]), user, &[]);
        assert_eq!(allow("carol"), Ok(()));
        assert!(allow("bob").is_err() && allow("dave").is_err());
        assert_eq!(rules.allow(&request(&["dba"]), "bob", &[]), Ok(()));
    }

    #[test]
    fn members_of_a_group_are_named_by_it() {
        let rules = Rules(vec![rule(&["dba"], &["@S0DBA", "bob"]), rule(&["web"], &["@S0WEB", "@S0DBA"])]);
        let member = |groups: &[&str]| groups.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(rules.allow(&request(&["dba"]), "erin", &member(&["S0DBA"])), Ok(()));
        let named = vec!["user group S0DBA".into(), "bob".into()];
        let refused = Err(NotAllowed::NotNamed { role: "dba".into(), named });
        assert_eq!(rules.allow(&request(&["dba"]), "erin", &member(&["S0WEB"])), refused);
        // A user whose name is that of a group is no member of it.
        assert!(rules.allow(&request(&["dba"]), "S0DBA", &[]).is_err());
        assert_eq!(rules.groups(&request(&["dba", "web"])), ["S0DBA", "S0WEB"]);
        assert!(rules.groups(&request(&["x"])).is_empty());
    }

    #[test]
    fn without_rules_the_suggested_reviewers_decide() {
        let request =
            AccessRequest { suggested_reviewers: vec!["bob".into(), "carol".into()], ..request(&["dba"]) };
        assert_eq!(Rules::default().allow(&request, "bob", &[]), Ok(()));
        let named = vec!["bob".into(), "carol".into()];
        assert_eq!(Rules::default().allow(&request, "dave", &[]), Err(NotAllowed::NotSuggested { named }));
        let none = AccessRequest { roles: vec![], ..request };
        assert!(Rules::default().allow(&none, "bob", &[]).is_err());
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
        let terms = rules.terms(&both);
        assert_eq!((terms.approvals(), terms.denials(), terms.reason), (3, 1, ReasonPolicy::Required));
        assert!(terms.confirm && terms.teleport_only && terms.uncovered.is_none());
        let dba = request(&["dba"]);
        let terms = rules.terms(&dba);
        assert_eq!((terms.approvals(), terms.denials(), terms.reason), (2, 1, ReasonPolicy::Optional));
        assert!(!terms.confirm && !terms.teleport_only);
        let terms = Rules::default();
        let terms = terms.terms(&dba);
        assert_eq!((terms.approvals(), terms.denials(), terms.reason), (1, 1, ReasonPolicy::Off));
    }
}
