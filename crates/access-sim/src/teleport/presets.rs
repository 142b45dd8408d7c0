//! Ready-made worlds: the one that the golden vectors were taken from, and the one of the demo.

use super::world::{Conditions, Impersonate, RequestConditions, Role, Rule, Threshold, User, World};

/// Plugin user with the rights that the guide gives it.
pub const PLUGIN_USER: &str = "access-plugin";
/// The caller that stands for `tctl` on the auth server's own machine: may do everything, is nobody's user.
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

impl World {
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
            locked: Vec::new(),
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
                // Deciding in Slack takes one right more than the guide gives.
                plugin("access-plugin", &[rule("access_request", &["update"])], Impersonate::default()),
                // Thresholds belong to a role's whole list of requestable roles, so two of them take two roles.
                role("requester", may_request(&["dba"], Vec::new())),
                role("requester-two-step", may_request(&["admin", "prod-db"], vec![counts(2, 1)])),
                role("reviewer", may_review(&["admin", "dba", "prod-db"])),
                target("dba"),
                target("admin"),
                target("prod-db"),
            ],
            locked: Vec::new(),
        }
    }
}
