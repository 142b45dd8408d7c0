//! Which parts of the configuration a reload changed, for the log: by the names that stand in the file.
//!
//! Both sides are taken apart to the last field, so that a new one is not forgotten here.

use crate::config::{Config, ReviewConfig, ReviewTransport, SlackConfig};

/// The tables and keys that differ, each once, in the order of the example; none if the configurations are equal. A table counts
/// as changed when a file that it names holds something else, as far as the configuration has the contents.
pub(super) fn changed_parts(old: &Config, new: &Config) -> Vec<&'static str> {
    let Config { teleport, slack, role_to_recipients, review, diagnostics, network, log } = old;
    let SlackConfig { token, recipients, api_url } = slack;
    let mut parts = vec![
        ("teleport", *teleport != new.teleport),
        ("slack.token", *token != new.slack.token),
        ("slack.api_url", *api_url != new.slack.api_url),
        ("slack.recipients", *recipients != new.slack.recipients),
        ("role_to_recipients", *role_to_recipients != new.role_to_recipients),
    ];
    match (review, &new.review) {
        (Some(old), Some(new)) => parts.extend(parts_of_review(old, new)),
        (old, new) => parts.push(("review", old.is_some() != new.is_some())),
    }
    parts.extend([
        ("diagnostics", *diagnostics != new.diagnostics),
        ("network", *network != new.network),
        ("log", *log != new.log),
    ]);
    parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

fn parts_of_review(old: &ReviewConfig, new: &ReviewConfig) -> Vec<(&'static str, bool)> {
    use ReviewTransport::{Http, SocketMode};
    let ReviewConfig {
        mode,
        transport,
        users,
        slack_user_id_trait,
        allow_email_username_match,
        ignore_email_case,
        rules,
        is_legacy,
    } = old;
    let settings = *mode != new.mode
        || *slack_user_id_trait != new.slack_user_id_trait
        || *allow_email_username_match != new.allow_email_username_match
        || *ignore_email_case != new.ignore_email_case
        || *is_legacy != new.is_legacy;
    let mut parts = vec![("review", settings)];
    match (transport, &new.transport) {
        (SocketMode { app_token: old }, SocketMode { app_token: new }) => {
            parts.push(("review.app_token", old != new));
        }
        (Http { signing_secret, listener }, Http { signing_secret: new_secret, listener: new_listener }) => {
            parts.push(("review.signing_secret", signing_secret != new_secret));
            parts.push(("http", listener != new_listener));
        }
        (SocketMode { .. }, Http { .. }) | (Http { .. }, SocketMode { .. }) => {
            parts.extend([("review.app_token", true), ("review.signing_secret", true), ("http", true)]);
        }
    }
    parts.extend([("review.users", *users != new.users), ("review.rule", *rules != new.rules)]);
    parts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const CALLBACKS: &str = "\
[teleport]
addr = \"auth.corp.net:3025\"
identity = \"/a/auth_id\"
[slack]
token = \"xoxb-1-1\"
recipients = [\"team\"]
[role_to_recipients]
dba = \"team\"
[review]
enabled = true
mode = \"resolver\"
signing_secret = \"0123456789abcdef\"
[review.users]
U0BOB = \"bob@example.com\"
[[review.rule]]
roles = \"dba\"
approvers = [\"bob@example.com\"]
[http]
https_key_file = \"/a/web.key\"
https_cert_file = \"/a/web.crt\"
[diagnostics]
listen_addr = \"127.0.0.1:9091\"
[log]
severity = \"INFO\"
";

    fn parse(text: &str) -> Config {
        let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        config::parse(text, Path::new("/a/c.toml"), &no_file).unwrap().config
    }

    fn changed(old: &str, new: &str) -> String {
        changed_parts(&parse(old), &parse(new)).join(" ")
    }

    #[test]
    fn each_part_has_the_name_that_stands_in_the_file() {
        for (what, with, named) in [
            ("team\"]", "team\"]", ""),
            ("corp.net", "corp.org", "teleport"),
            ("auth_id", "new_id", "teleport"),
            ("xoxb-1-1", "xoxb-1-2", "slack.token"),
            ("recipients = [", "api_url = \"http://127.0.0.1:1/\"\nrecipients = [", "slack.api_url"),
            ("[\"team\"]", "[\"ops\"]", "slack.recipients"),
            ("dba = \"team\"", "dba = \"ops\"", "role_to_recipients"),
            ("\"resolver\"", "\"auto\"", "review"),
            ("mode =", "allow_email_username_match = true\nmode =", "review"),
            ("9abcdef", "9abcdff", "review.signing_secret"),
            ("U0BOB =", "U0ROB =", "review.users"),
            ("roles = \"dba\"", "roles = \"dbo\"", "review.rule"),
            ("web.key", "new.key", "http"),
            ("web.crt", "new.crt", "http"),
            ("[http]", "[http]\nlisten_addr = \":8082\"", "http"),
            ("[http]", "[http]\npublic_addr = \"https://a.corp.net\"", "http"),
            (":9091\"", ":9092\"", "diagnostics"),
            (":9091\"", ":9091\"\nallow = [\"10.0.0.0/8\"]", "diagnostics"),
            ("[log]", "[network]\nproxy = \"http://proxy.corp.net:3128\"\n[log]", "network"),
            ("\"INFO\"", "\"DEBUG\"", "log"),
            ("enabled = true", "enabled = false", "review"),
        ] {
            assert!(CALLBACKS.contains(what), "{what}");
            assert_eq!(changed(CALLBACKS, &CALLBACKS.replace(what, with)), named, "{what}: {with}");
        }
        let several = CALLBACKS.replace("web.", "new.").replace("U0BOB", "U0ROB").replace("INFO", "WARN");
        assert_eq!(changed(CALLBACKS, &several), "http review.users log");
    }

    #[test]
    fn another_way_for_clicks_names_the_keys_of_both_ways() {
        let secret = "signing_secret = \"0123456789abcdef\"";
        let socket = CALLBACKS.replace(secret, "app_token = \"xapp-1-A0-1\"");
        let (before, after) = socket.split_once("[http]").unwrap();
        let socket = format!("{before}[diagnostics]{}", after.split_once("[diagnostics]").unwrap().1);
        assert_eq!(changed(CALLBACKS, &socket), "review.app_token review.signing_secret http");
        assert_eq!(changed(&socket, CALLBACKS), "review.app_token review.signing_secret http");
        assert_eq!(changed(&socket, &socket.replace("A0-1", "A0-2")), "review.app_token");
    }
}
