//! Ready-made fixtures: the one that the golden vectors were taken from, and the one of the demo.

use std::time::Duration;

use super::fixture::{Conditions, Fixture, Impersonate, RequestConditions, Role, Rule, Threshold, User};

/// Plugin user with the rights that the guide gives it.
pub const PLUGIN_USER: &str = "access-plugin";
/// The caller that stands for `tctl` on the auth server's own machine: may do everything, is no user.
/// Known to the simulator's handle only; no certificate has this name's rights.
pub const TCTL: &str = "@tctl";

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn rule(resource: &str, verbs: &[&str]) -> Rule {
    Rule { resources: strings(&[resource]), verbs: strings(verbs) }
}

fn user(name: &str, roles: &[&str]) -> User {
    User { name: name.to_owned(), roles: strings(roles), ..User::default() }
}

fn role(name: &str, allow: Conditions) -> Role {
    Role { name: name.to_owned(), allow, ..Role::default() }
}

/// A role that is only ever requested.
fn target(name: &str) -> Role {
    role(name, Conditions::default())
}

fn may_request(roles: &[&str], thresholds: Vec<Threshold>) -> Conditions {
    let request = RequestConditions { roles: strings(roles), thresholds, ..RequestConditions::default() };
    Conditions { request, ..Conditions::default() }
}

fn may_review(roles: &[&str]) -> Conditions {
    Conditions { review: strings(roles), ..Conditions::default() }
}

fn counts(approve: u32, deny: u32) -> Threshold {
    Threshold { approve, deny, ..Threshold::default() }
}

/// What the guide gives the plugin's role: reading requests, updating plugin data, nothing else.
pub fn plugin_rules() -> Vec<Rule> {
    vec![rule("access_request", &["list", "read"]), rule("access_plugin_data", &["update"])]
}

fn plugin(name: &str, extra: &[Rule], impersonate: Impersonate) -> Role {
    let rules = [plugin_rules(), extra.to_vec()].concat();
    role(name, Conditions { rules, impersonate, ..Conditions::default() })
}

impl Fixture {
    /// The cluster of `vectors/teleport-6.2.1`: see `vectors/README.md`.
    pub fn golden() -> Self {
        let update = rule("access_request", &["update"]);
        let everyone = Impersonate { users: strings(&["*"]), roles: strings(&["*"]) };
        Self {
            cluster: "local-site".to_owned(),
            users: vec![
                user(PLUGIN_USER, &["access-plugin"]),
                user("access-plugin-rw", &["access-plugin-rw"]),
                user("access-plugin-imp", &["access-plugin-imp"]),
                user("alice@example.com", &["requester"]),
                user("carol@example.com", &["requester-two"]),
                user("bob@example.com", &["reviewer"]),
                user("dave@example.com", &["reviewer"]),
            ],
            roles: vec![
                plugin("access-plugin", &[], Impersonate::default()),
                plugin("access-plugin-rw", std::slice::from_ref(&update), Impersonate::default()),
                plugin("access-plugin-imp", &[update], everyone),
                role("requester", may_request(&["admin", "dba", "prod*"], Vec::new())),
                role("requester-two", may_request(&["admin"], vec![counts(2, 2)])),
                role("reviewer", may_review(&["admin", "dba", "prod*"])),
                target("admin"),
                target("dba"),
                target("prod-a"),
                target("root"),
            ],
            ..Self::default()
        }
    }

    /// The clusters of `vectors/teleport-15.1.9` and `vectors/teleport-15.3.1`, see the tables in their READMEs.
    /// Review rights, thresholds, longer access and single resources are for Enterprise alone.
    pub fn golden_15(cluster: &str, enterprise: bool) -> Self {
        let day = Duration::from_secs(24 * 3600);
        let update = rule("access_request", &["update"]);
        let users = |verbs: &[&str]| rule("user", verbs);
        let only =
            |verbs: &[&str]| vec![rule("access_request", verbs), rule("access_plugin_data", &["list"])];
        let with = |rules: Vec<Rule>| Conditions { rules, ..Conditions::default() };
        let plugin = |name: &str, extra: &[Rule]| plugin(name, extra, Impersonate::default());
        let thresholds = match enterprise {
            true => vec![Threshold { name: "two".to_owned(), ..counts(2, 1) }],
            false => Vec::new(),
        };
        let mut requester = may_request(&["dev", "dba", "prod", "short", "team-*"], Vec::new());
        let mut second = may_request(&["prod", "dba"], thresholds);
        let mut searcher = may_request(&[], Vec::new());
        let mut reviewer = Conditions::default();
        if enterprise {
            requester.request.max_duration = Some(4 * day);
            second.request.annotations.insert("team".to_owned(), strings(&["ops"]));
            searcher.request.search_as_roles = strings(&["dba", "prod"]);
            reviewer = may_review(&["dev", "dba", "prod", "short", "team-*"]);
        }
        let person = |name: &str, role: &str, slack: &str| User {
            traits: [("logins".to_owned(), strings(&["u"])), ("slack_uid".to_owned(), strings(&[slack]))]
                .into(),
            ..user(name, &[role])
        };
        let short = Role { max_session_ttl: Some(day / 24), ..target("short") };
        Self {
            cluster: cluster.to_owned(),
            users: vec![
                user(PLUGIN_USER, &["access-plugin"]),
                user("plugin-rw", &["plugin-rw"]),
                user("plugin-uread", &["plugin-uread"]),
                user("plugin-list", &["plugin-list"]),
                user("plugin-read", &["plugin-read"]),
                user("nobody", &["nobody"]),
                user("root@example.com", &["root"]),
                person("alice@example.com", "requester", "U0ALICE"),
                person("bob@example.com", "reviewer", "U0BOB"),
                person("carol@example.com", "reviewer", "U0CAROL"),
                person("erin@example.com", "requester-two", "U0ERIN"),
                person("gil@example.com", "searcher", "U0GIL"),
            ],
            roles: vec![
                plugin("access-plugin", &[]),
                plugin("plugin-rw", &[update, users(&["list", "read"])]),
                plugin("plugin-uread", &[users(&["read"])]),
                role("plugin-list", with(only(&["list"]))),
                role("plugin-read", with(only(&["read"]))),
                role("nobody", Conditions::default()),
                role("root", with(vec![rule("*", &["*"])])),
                role("requester", requester),
                role("requester-two", second),
                role("searcher", searcher),
                role("reviewer", reviewer),
                target("dev"),
                target("dba"),
                target("prod"),
                short,
                target("team-a"),
            ],
            resources: [("a1b2c3d4-0000-4000-8000-000000000001".to_owned(), strings(&["dba"]))].into(),
            ..Self::default()
        }
    }

    /// The cluster of the demo: alice and erin ask, bob and carol review.
    pub fn demo() -> Self {
        Self {
            cluster: "demo".to_owned(),
            users: vec![
                user(PLUGIN_USER, &["access-plugin"]),
                user("alice@example.com", &["requester", "requester-two-step"]),
                user("erin@example.com", &["requester", "requester-two-step"]),
                user("bob@example.com", &["reviewer"]),
                user("carol@example.com", &["reviewer"]),
            ],
            roles: vec![
                // Deciding in Slack takes one right more than the guide gives, and one to see whether the users are there.
                plugin(
                    "access-plugin",
                    &[rule("access_request", &["update"]), rule("user", &["read"])],
                    Impersonate::default(),
                ),
                // Thresholds belong to a role's whole list of requestable roles, so two of them take two roles.
                role("requester", may_request(&["dba"], Vec::new())),
                role("requester-two-step", may_request(&["admin", "prod-db"], vec![counts(2, 1)])),
                role("reviewer", may_review(&["admin", "dba", "prod-db"])),
                target("dba"),
                target("admin"),
                target("prod-db"),
            ],
            ..Self::default()
        }
    }
}
