//! Values that are still those of the example, which are not the operator's.

use super::report::{Item, ItemId};
use crate::causes::Exit;
use crate::config::{Parts, ReviewConfig, ReviewTransport};
use access_core::domain::recipients::Recipient;
use access_core::policy::Approver;

/// The documents' id of a person.
const EXAMPLE_PERSON: &str = "U012AB3CD";
/// What stands for a secret in the example and in the documents.
const EXAMPLE_SECRETS: [&str; 7] = ["xoxb-11xx", "xoxb-...", "xoxb-…", "xapp-...", "xapp-…", "...", "…"];

/// An item for each value that only an example can have.
pub(super) fn items(parts: &Parts) -> Vec<Item> {
    let mut found: Vec<(&str, String, &str)> = Vec::new();
    if let Some(addr) = parts.addr.as_ref().filter(|addr| is_example_host(addr.host())) {
        let remedy = "write the address of your auth server";
        found.push(("teleport.addr", format!("{addr} is the example's address"), remedy));
    }
    let is_example = |secret: &str| EXAMPLE_SECRETS.contains(&secret);
    if let Some(slack) = &parts.slack {
        if is_example(slack.token.expose()) {
            let remedy = "write the \"Bot User OAuth Token\" from \"OAuth & Permissions\" of your Slack app";
            found.push(("slack.token", "this is the example's token".to_owned(), remedy));
        }
        if names_example_person(&slack.recipients) {
            found.push(("slack.recipients", example_person(), PERSON_REMEDY));
        }
    }
    let by_role = parts.role_to_recipients.iter().flatten();
    if by_role.into_iter().any(|(_, recipients)| names_example_person(recipients)) {
        found.push(("role_to_recipients", example_person(), PERSON_REMEDY));
    }
    if let Some(review) = &parts.review {
        found.extend(of_review(review, is_example));
    }
    let item = |(key, cause, remedy): (&str, String, &str)| {
        Item::failed(ItemId::Placeholders, Exit::Configuration, "", cause, remedy).of(key)
    };
    found.into_iter().map(item).collect()
}

const PERSON_REMEDY: &str = "write the member ID from the person's Slack profile";

fn example_person() -> String {
    format!("{EXAMPLE_PERSON} is the example's person")
}

fn names_example_person(recipients: &[Recipient]) -> bool {
    recipients.iter().any(|recipient| recipient.key().as_str() == EXAMPLE_PERSON)
}

fn of_review(
    review: &ReviewConfig,
    is_example: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    match &review.transport {
        ReviewTransport::SocketMode { app_token } if is_example(app_token.expose()) => {
            let remedy = "write an \"App-Level Token\" from \"Basic Information\" of your Slack app";
            found.push(("review.app_token", "this is the example's token".to_owned(), remedy));
        }
        ReviewTransport::SocketMode { .. } => {}
        ReviewTransport::Http { signing_secret, listener } => {
            if is_example(signing_secret.expose()) {
                let remedy = "write the \"Signing Secret\" from \"Basic Information\" of your Slack app";
                found.push(("review.signing_secret", "this is the example's secret".to_owned(), remedy));
            }
            let uri = listener.public_addr.as_ref().and_then(|addr| addr.parse::<::http::Uri>().ok());
            if let Some(host) = uri.as_ref().and_then(::http::Uri::host).filter(|host| is_example_host(host))
            {
                let remedy = "write the address at which Slack reaches this machine or the proxy before it";
                found.push(("http.public_addr", format!("{host} is an example's host"), remedy));
            }
        }
    }
    if review.users.keys().any(|user| user.as_str() == EXAMPLE_PERSON) {
        found.push(("review.users", example_person(), PERSON_REMEDY));
    }
    let names_example_group =
        |approver: &Approver| matches!(approver, Approver::Group(group) if group == "S012AB3CD");
    if review.rules.0.iter().flat_map(|rule| &rule.approvers).any(names_example_group) {
        let remedy = "write the id of your user group, which Slack copies from the group's menu";
        found.push(("review.rule", "S012AB3CD is the example's user group".to_owned(), remedy));
    }
    found
}

/// Domains that are reserved for examples (RFC 2606).
fn is_example_host(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    ["example.com", "example.net", "example.org", "example"].iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn found(text: &str) -> Vec<String> {
        let loaded =
            config::parse(text, Path::new("/etc/a.toml"), &|_| Err(std::io::ErrorKind::NotFound.into()));
        let parts = Parts::from(&loaded.unwrap().config);
        let line = |item: &Item| format!("{}: {}", item.subject, item.problem.as_ref().unwrap().cause);
        items(&parts).iter().map(line).collect()
    }

    #[test]
    fn the_example_as_it_is_printed_is_found_out() {
        assert_eq!(
            found(config::EXAMPLE),
            [
                "teleport.addr: auth.example.com:3025 is the example's address",
                "slack.token: this is the example's token"
            ]
        );
    }

    #[test]
    fn each_untouched_value_of_a_full_file_is_found() {
        let text = r#"
            [teleport]
            addr = "AUTH.Example.org"
            identity = "id"
            [slack]
            token = "xoxb-…"
            recipients = ["U012AB3CD"]
            [role_to_recipients]
            dba = "U012AB3CD"
            [review]
            enabled = true
            signing_secret = "..."
            [review.users]
            U012AB3CD = "bob"
            [[review.rule]]
            roles = "dba"
            approvers = ["S012AB3CD"]
            [http]
            public_addr = "https://teleport-slack.example.com"
        "#;
        let subjects = found(&text.replace("xoxb-…", "xoxb-11xx"));
        let subjects: Vec<_> = subjects.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
        assert_eq!(
            subjects,
            [
                "teleport.addr",
                "slack.token",
                "slack.recipients",
                "role_to_recipients",
                "review.signing_secret",
                "http.public_addr",
                "review.users",
                "review.rule"
            ]
        );
    }

    #[test]
    fn names_that_only_look_alike_are_none() {
        for host in ["auth.myexample.com", "example.company", "examples", "127.0.0.1"] {
            assert!(!is_example_host(host), "{host}");
        }
    }
}
