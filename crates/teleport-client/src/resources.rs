//! What an operator gives Teleport before the daemon can work: the plugin's role and user for `tctl create -f`, and the
//! configuration with which `tbot` keeps a certificate valid.
//!
//! Pure: from the features in use to the fewest rights ([`rights`]), and to YAML. What each call needs was measured, or read
//! where that is said: see [`super::right_probes`]. The right to update access requests includes updating plugin data, only for
//! compatibility: so `access_plugin_data` is asked for by its own name too.

use std::fmt::Write;

use access_core::domain::role_pattern::RolePattern;

/// The name of the role, of the user, and of the bot.
pub const NAME: &str = "access-plugin";
/// Where the files for Teleport are unless the configuration says otherwise.
pub const DIRECTORY: &str = "/var/lib/teleport/plugins/slack";
/// The file that `tbot` writes into the directory of an output of the type `identity`.
pub const TBOT_FILE: &str = "identity";

/// What an installation uses of Teleport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// How decisions made in Slack reach Teleport; `None` if none are made there.
    pub decisions: Option<Decisions>,
    /// All Teleport users are listed: to find those with a trait, or one whose name differs in capitals.
    pub lists_users: bool,
    /// The configuration names Teleport users: each is read before it decides, so that one who is gone decides nothing.
    pub names_users: bool,
}

/// The call that carries a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decisions {
    /// `SetAccessRequestState`.
    SetState,
    /// `SubmitAccessReview` in the name of users; `None` if any user may decide.
    SubmitReviews(Option<Vec<String>>),
}

/// A rule of a role: these verbs on resources of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kind of resource, such as `access_request`.
    pub resource: &'static str,
    /// The verbs, in the order in which Teleport's own documents write them.
    pub verbs: &'static [&'static str],
}

/// The rights of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// `allow.rules`.
    pub rules: Vec<Rule>,
    /// `allow.review_requests.submit_for_users`: names, or patterns as Teleport reads them.
    pub submit_for_users: Vec<String>,
}

/// The fewest rights with which these features work.
pub fn rights(features: &Features) -> Rights {
    let requests: &[&str] = match features.decisions {
        Some(Decisions::SetState) => &["list", "read", "update"],
        Some(Decisions::SubmitReviews(_)) | None => &["list", "read"],
    };
    let mut rules = vec![
        Rule { resource: "access_request", verbs: requests },
        Rule { resource: "access_plugin_data", verbs: &["update"] },
    ];
    if features.lists_users {
        rules.push(Rule { resource: "user", verbs: &["list", "read"] });
    } else if features.names_users {
        rules.push(Rule { resource: "user", verbs: &["read"] });
    }
    let submit_for_users = match &features.decisions {
        Some(Decisions::SubmitReviews(Some(users))) => users.iter().map(|user| exact(user)).collect(),
        Some(Decisions::SubmitReviews(None)) => vec!["*".to_owned()],
        Some(Decisions::SetState) | None => Vec::new(),
    };
    Rights { rules, submit_for_users }
}

/// The pattern for the user of exactly this name. Teleport takes `*` for any text, and `^…$` for a regular expression.
fn exact(user: &str) -> String {
    match user.contains('*') || user.starts_with('^') {
        true => RolePattern::literal(user),
        false => user.to_owned(),
    }
}

/// Which version of the resource "role" a cluster knows, by its release. A newer one reads the older ones too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleVersion {
    /// Of Teleport 6. What a role of this version does not name it allows: all servers, applications, Kubernetes
    /// clusters and databases (Teleport's access control reference, "Role versions").
    V3,
    /// Since Teleport 7, and read by all releases from then on.
    #[default]
    V4,
    /// The default since Teleport 14.
    V7,
}

impl RoleVersion {
    /// For a cluster of this major release.
    pub fn of_release(major: u32) -> Self {
        match major {
            ..7 => Self::V3,
            7..14 => Self::V4,
            14.. => Self::V7,
        }
    }

    /// As the resource says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "v3",
            Self::V4 => "v4",
            Self::V7 => "v7",
        }
    }
}

/// The role, in YAML.
pub fn role_yaml(features: &Features, version: RoleVersion) -> String {
    let Rights { rules, submit_for_users } = rights(features);
    let mut out = format!(
        "kind: role\nversion: {}\nmetadata:\n  name: {NAME}\nspec:\n  allow:\n    rules:\n",
        version.as_str()
    );
    for Rule { resource, verbs } in rules {
        if resource == "user" && !features.lists_users {
            out.push_str(
                "      # With it the daemon refuses users who are gone or whose login has expired; users of single sign-on must log in to\n      \
                 # Teleport again. Without it they can decide in Slack all the same, and `check` cannot see whether users exist.\n",
            );
        }
        let _ = writeln!(
            out,
            "      - resources: ['{resource}']\n        verbs: ['{verbs}']",
            verbs = verbs.join("', '")
        );
    }
    if !submit_for_users.is_empty() {
        let users: Vec<_> = submit_for_users.iter().map(|user| quoted(user)).collect();
        let _ = writeln!(
            out,
            "    # In whose names the plugin may submit reviews; of Teleport Enterprise, release 18 or later.\n    \
             review_requests:\n      submit_for_users: [{}]",
            users.join(", ")
        );
    }
    if version != RoleVersion::V7 {
        let _ = writeln!(
            out,
            "    # Older servers sign no certificate for a user without a login.\n    logins: ['{NAME}-not-used']"
        );
    }
    if version == RoleVersion::V3 {
        out.push_str("  deny:\n    # A role of version v3 allows what it does not name.\n");
        for kind in ["node", "app", "kubernetes", "db"] {
            let _ = writeln!(out, "    {kind}_labels: {{'*': '*'}}");
        }
    }
    out
}

/// The user whose certificate `tctl auth sign` signs, in YAML. Teleport 15 refuses a user whose role is not there yet.
pub fn user_yaml() -> String {
    format!("kind: user\nversion: v2\nmetadata:\n  name: {NAME}\nspec:\n  roles: ['{NAME}']\n")
}

/// To which server `tbot` connects: `host:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TbotServer<'a> {
    /// The auth server, which `tbot` knows by a pin.
    Auth(&'a str),
    /// A proxy, which `tbot` knows by its web certificate.
    Proxy(&'a str),
}

/// The configuration of `tbot` that keeps a certificate in this directory valid: of release 14 or later, for a proxy 15.
pub fn tbot_yaml(server: TbotServer<'_>, directory: &str) -> String {
    let directory = quoted(directory);
    let (server, secrets) = match server {
        TbotServer::Auth(addr) => (
            format!("auth_server: {}\n", quoted(addr)),
            format!(
                "  # Both are printed by: tctl bots add {NAME} --roles={NAME}\n  token: \"...\"\n  ca_pins: [\"...\"]\n"
            ),
        ),
        TbotServer::Proxy(addr) => (
            format!(
                "# A proxy, by its usual port. For an auth server write auth_server, and ca_pins below; tbot before release 15\n\
                 # knows auth_server only.\nproxy_server: {}\n",
                quoted(addr)
            ),
            format!("  # Printed by: tctl bots add {NAME} --roles={NAME}\n  token: \"...\"\n"),
        ),
    };
    format!(
        "version: v2\n\
         {server}\
         onboarding:\n  \
           join_method: token\n\
         {secrets}\
         storage:\n  \
           # Must be there, and belong to the user that runs tbot.\n  \
           type: directory\n  \
           path: /var/lib/teleport/bot\n\
         # A certificate lasts an hour. tbot writes a new one this often, and teleport-slack takes it up within ten seconds.\n\
         renewal_interval: 20m\n\
         outputs:\n  \
           - type: identity\n    \
             roles: ['{NAME}']\n    \
             destination:\n      \
               type: directory\n      \
               path: {directory}\n"
    )
}

/// The text in double quotes, as YAML reads it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            // Some readers refuse, or read as a line break, what is not printable.
            c => drop(write!(out, "\\U{:08X}", u32::from(c))),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Call;

    fn features(decisions: Option<Decisions>, lists_users: bool) -> Features {
        Features { decisions, lists_users, names_users: false }
    }

    #[test]
    fn a_role_that_notifies_reads_requests_and_writes_notes() {
        insta::assert_snapshot!(role_yaml(&Features::default(), RoleVersion::V4), @r"
        kind: role
        version: v4
        metadata:
          name: access-plugin
        spec:
          allow:
            rules:
              - resources: ['access_request']
                verbs: ['list', 'read']
              - resources: ['access_plugin_data']
                verbs: ['update']
            # Older servers sign no certificate for a user without a login.
            logins: ['access-plugin-not-used']
        ");
        insta::assert_snapshot!(user_yaml(), @r"
        kind: user
        version: v2
        metadata:
          name: access-plugin
        spec:
          roles: ['access-plugin']
        ");
    }

    #[test]
    fn deciding_adds_one_right_and_users_another() {
        let names = ["bob@example.com".to_owned(), "^ops*$".to_owned(), "o\"x".to_owned()];
        let reviews = features(Some(Decisions::SubmitReviews(Some(names.into()))), true);
        insta::assert_snapshot!(role_yaml(&reviews, RoleVersion::V7), @r#"
        kind: role
        version: v7
        metadata:
          name: access-plugin
        spec:
          allow:
            rules:
              - resources: ['access_request']
                verbs: ['list', 'read']
              - resources: ['access_plugin_data']
                verbs: ['update']
              - resources: ['user']
                verbs: ['list', 'read']
            # In whose names the plugin may submit reviews; of Teleport Enterprise, release 18 or later.
            review_requests:
              submit_for_users: ["bob@example.com", "^\\^ops\\*\\$$", "o\"x"]
        "#);
        let anyone = features(Some(Decisions::SubmitReviews(None)), false);
        assert_eq!(rights(&anyone).submit_for_users, ["*"]);
        insta::assert_snapshot!(role_yaml(&features(Some(Decisions::SetState), false), RoleVersion::V3), @r"
        kind: role
        version: v3
        metadata:
          name: access-plugin
        spec:
          allow:
            rules:
              - resources: ['access_request']
                verbs: ['list', 'read', 'update']
              - resources: ['access_plugin_data']
                verbs: ['update']
            # Older servers sign no certificate for a user without a login.
            logins: ['access-plugin-not-used']
          deny:
            # A role of version v3 allows what it does not name.
            node_labels: {'*': '*'}
            app_labels: {'*': '*'}
            kubernetes_labels: {'*': '*'}
            db_labels: {'*': '*'}
        ");
    }

    #[test]
    fn named_users_are_read_and_not_listed() {
        let named = Features { names_users: true, ..features(Some(Decisions::SetState), false) };
        insta::assert_snapshot!(role_yaml(&named, RoleVersion::V7), @r"
        kind: role
        version: v7
        metadata:
          name: access-plugin
        spec:
          allow:
            rules:
              - resources: ['access_request']
                verbs: ['list', 'read', 'update']
              - resources: ['access_plugin_data']
                verbs: ['update']
              # With it the daemon refuses users who are gone or whose login has expired; users of single sign-on must log in to
              # Teleport again. Without it they can decide in Slack all the same, and `check` cannot see whether users exist.
              - resources: ['user']
                verbs: ['read']
        ");
        let listed = role_yaml(&Features { lists_users: true, ..named }, RoleVersion::V4);
        assert!(!listed.contains("# Who is gone"), "{listed}");
        assert_eq!(listed.matches("['user']").count(), 1, "{listed}");
    }

    /// What a refusal asks the operator to add is what the role has.
    #[test]
    fn every_rule_is_one_that_a_call_asks_for() {
        let all = features(Some(Decisions::SetState), true);
        let asked: Vec<_> = Call::ALL.into_iter().filter_map(Call::required_permission).collect();
        for Rule { resource, verbs } in rights(&all).rules {
            for verb in verbs {
                let is_it = |text: &&str| text.contains(&format!("['{resource}']")) && text.contains(verb);
                assert!(asked.iter().any(is_it), "{resource}: {verb}");
            }
        }
    }

    #[test]
    fn the_release_chooses_the_version() {
        let versions = [6, 7, 13, 14, 18, 99].map(|major| RoleVersion::of_release(major).as_str());
        assert_eq!(versions, ["v3", "v4", "v4", "v7", "v7", "v7"]);
    }

    #[test]
    fn no_text_ends_its_quotes_or_its_line() {
        assert_eq!(
            quoted("a\"\\\n\u{85}\u{2028}\u{feff}é"),
            r#""a\"\\\U0000000A\U00000085\U00002028\U0000FEFFé""#
        );
    }

    #[test]
    fn tbot_renews_into_the_daemons_directory() {
        insta::assert_snapshot!(tbot_yaml(TbotServer::Auth("auth.example.com:3025"), DIRECTORY), @r#"
        version: v2
        auth_server: "auth.example.com:3025"
        onboarding:
          join_method: token
          # Both are printed by: tctl bots add access-plugin --roles=access-plugin
          token: "..."
          ca_pins: ["..."]
        storage:
          # Must be there, and belong to the user that runs tbot.
          type: directory
          path: /var/lib/teleport/bot
        # A certificate lasts an hour. tbot writes a new one this often, and teleport-slack takes it up within ten seconds.
        renewal_interval: 20m
        outputs:
          - type: identity
            roles: ['access-plugin']
            destination:
              type: directory
              path: "/var/lib/teleport/plugins/slack"
        "#);
    }

    #[test]
    fn tbot_reaches_a_proxy_by_its_own_setting_and_without_a_pin() {
        let yaml = tbot_yaml(TbotServer::Proxy("teleport.example.com:443"), DIRECTORY);
        assert!(yaml.contains("\nproxy_server: \"teleport.example.com:443\"\nonboarding:\n"), "{yaml}");
        assert!(!yaml.contains("\nauth_server:") && !yaml.contains("  ca_pins:"), "{yaml}");
        assert!(
            yaml.contains("  join_method: token\n  # Printed by: tctl")
                && yaml.contains("\n  token: \"...\"\nstorage:")
        );
    }
}
