//! Prints roles, users and configurations of tbot as JSON lines, each beside the data that it must say, so that another
//! reader of YAML can compare them (`conformance/run`).

use std::io::{self, Write};

use serde_json::json;
use teleport_client::resources::{
    Decisions, Features, NAME, RoleVersion, TbotServer, rights, role_yaml, tbot_yaml, user_yaml,
};

/// Names and paths with which a text in YAML could end or begin something else.
const HOSTILE: &str = "a\"b\\c'd: #e\n- f\t\u{85}\u{2028}\u{feff}é💥{}[]&*!|>%@`";

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let names = ["bob@example.com", "yes", "1.5", "null", "", HOSTILE].map(str::to_owned);
    let decisions = [
        None,
        Some(Decisions::SetState),
        Some(Decisions::SubmitReviews(None)),
        Some(Decisions::SubmitReviews(Some(names.into()))),
    ];
    for decisions in decisions {
        for lists_users in [false, true] {
            let features = Features { decisions: decisions.clone(), lists_users, names_users: true };
            let rights = rights(&features);
            let rules: Vec<_> = rights
                .rules
                .iter()
                .map(|rule| json!({ "resources": [rule.resource], "verbs": rule.verbs }))
                .collect();
            for version in [RoleVersion::V3, RoleVersion::V4, RoleVersion::V7] {
                let line = json!({
                    "yaml": format!("{}---\n{}", role_yaml(&features, version), user_yaml()),
                    "name": NAME,
                    "version": version.as_str(),
                    "rules": rules,
                    "submit_for_users": rights.submit_for_users,
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    for text in ["auth.example.com:3025", HOSTILE] {
        for server in [TbotServer::Auth(text), TbotServer::Proxy(text)] {
            let version = if matches!(server, TbotServer::Proxy(_)) { "tbot by a proxy" } else { "tbot" };
            let line =
                json!({ "yaml": tbot_yaml(server, text), "name": NAME, "version": version, "text": text });
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
