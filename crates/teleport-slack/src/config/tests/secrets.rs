//! A secret where none belongs is refused and never shown, whichever place it was pasted into.

use super::*;

/// Every text that a file may hold, and no secret: each is replaced by one in turn.
const FILE: &str = r#"
[teleport]
addr = "a1"
client_key = "a2"
client_crt = "a3"
root_cas = "a4"
[slack]
token = "xoxb-1"
recipients = ["b1", "b2"]
channel = "b3"
api_url = "https://b4/"
[role_to_recipients]
"c1" = ["c2", "c3"]
"*" = "c4"
[review]
enabled = true
signing_secret = "0123456789signing"
slack_user_id_trait = "d1"
mode = "auto"
[review.users]
U0BOB = "d3"
"U012" = "d4"
[[review.rule]]
roles = ["e1", "e2"]
approvers = ["e3", "e4"]
reason = "off"
[[review.rule]]
roles = "e6"
approvers = "e7"
[http]
listen_addr = "127.0.0.1:1"
public_addr = "https://f2"
https_key_file = "f3"
https_cert_file = "f4"
[diagnostics]
listen_addr = "127.0.0.1:2"
allow = ["192.0.2.0/24", "192.0.2.9"]
token = "0123456789abcdefghij"
[log]
output = "./g1"
severity = "INFO"
format = "text"
"#;

/// The part that distinguishes them from everything else in a message.
const MARK: &str = "k9MarkerQ7";

/// One secret of each kind, with the marker in it.
fn secrets() -> Vec<String> {
    vec![
        format!("xoxb-1234-{MARK}"),
        format!("xoxp-1234-{MARK}"),
        format!("xapp-1-A0-{MARK}"),
        format!("xoxe.xoxb-1-{MARK}"),
        format!("xwfp-{MARK}"),
        format!("https://hooks.slack.com/services/T0/B0/{MARK}"),
        format!("https://bob:{MARK}@example.com/"),
        format!("wss://{MARK}@example.com/"),
        format!("-----BEGIN PRIVATE KEY-----\\n{MARK}\\n-----END PRIVATE KEY-----\\n"),
        format!("-----BEGIN RSA PRIVATE KEY-----\\n{MARK}\\n"),
        format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0{MARK}.{MARK}"),
    ]
}

/// The texts in quotes, as ranges without the quotes.
fn quoted(text: &str) -> Vec<std::ops::Range<usize>> {
    let marks: Vec<_> = text.match_indices('"').map(|(at, _)| at).collect();
    marks.chunks(2).map(|pair| pair[0] + 1..pair[1]).collect()
}

fn replaced(text: &str, range: &std::ops::Range<usize>, by: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(range.clone(), by);
    text
}

/// Refused, and neither the message nor the error's own parts hold the marker.
#[track_caller]
fn check_hidden(text: &str, mark: &str) -> String {
    let Err(error) = parsed(text) else { panic!("it loaded:\n{text}") };
    let message = error.to_string();
    let shown = format!("{error}\n{error:?}\n{}", crate::exit::Chain(&error));
    assert!(!shown.contains(mark), "{shown}\nfor {text}");
    assert_eq!(ExitError::from(error).exit(), Exit::Configuration);
    message
}

#[test]
fn the_file_without_secrets_is_valid() {
    config(FILE);
}

#[test]
fn a_secret_in_any_text_or_key_is_refused_and_not_shown() {
    for secret in secrets() {
        for range in quoted(FILE) {
            let own = &FILE[range.clone()];
            for text in
                [secret.clone(), format!("{own}{secret}"), format!("{own} {secret} x"), format!("#{secret}")]
            {
                // A token of the right kind in its own place is what the place is for.
                if own == "xoxb-1" && text.starts_with("xoxb-")
                    || ["0123456789signing", "0123456789abcdefghij"].contains(&own) && !text.contains("://")
                {
                    continue;
                }
                check_hidden(&replaced(FILE, &range, &text), MARK);
            }
        }
    }
}

#[test]
fn a_secret_in_an_unknown_key_or_a_comment_is_not_shown() {
    for secret in secrets() {
        for line in [
            format!("\"{secret}\" = 1"),
            format!("\"{secret}\" = \"x\""),
            format!("color = \"{secret}\""),
            format!("[\"{secret}\"]"),
            format!("[log.\"{secret}\"]"),
            format!("[[\"{secret}\"]]"),
            format!("color = [{{ a = \"{secret}\" }}]"),
        ] {
            check_hidden(&format!("{FILE}{line}\n"), MARK);
        }
        // Beside another mistake.
        check_hidden(&format!("{FILE}color = 1 # {secret}\n"), MARK);
    }
}

#[test]
fn a_secret_in_broken_toml_is_not_shown() {
    for secret in secrets() {
        for line in [
            format!("output = {secret}"),
            format!("output = \"{secret}"),
            secret.clone(),
            format!("{secret} = 1"),
            format!("[{secret}"),
            format!("output = [\"{secret}\", {secret}]"),
            format!("\"{secret}\" = 1\n\"{secret}\" = 2"),
            format!("output = '{secret}\n'"),
            format!("output = \"\\{secret}\""),
        ] {
            check_hidden(&format!("{FILE}{line}\n"), MARK);
        }
    }
}

#[test]
fn a_signing_secret_is_known_by_its_form() {
    let secret = "8f742231b10e8888abcd99ccceee85a5";
    for range in quoted(FILE) {
        if !["0123456789signing", "xoxb-1"].contains(&&FILE[range.clone()]) {
            let shown = check_hidden(&replaced(FILE, &range, secret), secret);
            assert!(shown.contains("this looks like a signing secret"), "{shown}");
        }
    }
}

#[test]
fn a_signing_secret_that_could_be_guessed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signing");
    let file = path.to_str().unwrap();
    for (written, is_refused) in
        [("hunter2", true), ("8f742231b10e888", true), ("8f742231b10e8888abcd99yyyzzz85a5", false)]
    {
        std::fs::write(&path, written).unwrap();
        let reread = crate::config::token::reread(crate::config::token::TokenKind::Signing, &path);
        assert_eq!(reread.is_err(), is_refused, "{written}");
        for given in [written, file] {
            let text = FILE.replace("0123456789signing", given);
            std::fs::write(dir.path().join("c.toml"), text).unwrap();
            let shown =
                load(&dir.path().join("c.toml")).map_err(|error| error.to_string()).err().unwrap_or_default();
            assert_eq!(shown.contains("is too short for a signing secret"), is_refused, "{written}: {shown}");
            assert!(!shown.contains(written), "{shown}");
        }
    }
}

#[test]
fn each_kind_of_secret_is_named_with_its_remedy() {
    let output = quoted(FILE).into_iter().find(|range| &FILE[range.clone()] == "./g1").unwrap();
    let shown: Vec<_> = secrets().iter().map(|secret| mistake(&replaced(FILE, &output, secret))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    40: this looks like a Slack token, which does not belong here; remove it here; slack.token takes the bot token, review.app_token the app-level token, or the path of a file that holds it
    40: this looks like a Slack token, which does not belong here; remove it here; slack.token takes the bot token, review.app_token the app-level token, or the path of a file that holds it
    40: this looks like a Slack token, which does not belong here; remove it here; slack.token takes the bot token, review.app_token the app-level token, or the path of a file that holds it
    40: this looks like a Slack token, which does not belong here; remove it here; slack.token takes the bot token, review.app_token the app-level token, or the path of a file that holds it
    40: this looks like a Slack token, which does not belong here; remove it here; slack.token takes the bot token, review.app_token the app-level token, or the path of a file that holds it
    40: this looks like the address of a Slack webhook, which does not belong here; remove it; no webhook is needed: name the channel, such as "access-requests"
    40: this looks like an address with a password in it, which does not belong here; write the address without user and password
    40: this looks like an address with a password in it, which does not belong here; write the address without user and password
    40: this looks like a private key, which does not belong here; write the path of the file that holds it
    40: this looks like a private key, which does not belong here; write the path of the file that holds it
    40: this looks like a signed token (JWT), which does not belong here; remove it; nothing here takes one
    "#);
}

proptest! {
    #[test]
    fn a_secret_pasted_anywhere_is_never_shown(at in any::<prop::sample::Index>(), which in any::<prop::sample::Index>()) {
        let secrets = secrets();
        let secret = which.get(&secrets);
        let places: Vec<_> = FILE.char_indices().map(|(at, _)| at).collect();
        let text = replaced(FILE, &(*at.get(&places)..*at.get(&places)), secret);
        match parsed(&text) {
            // In its own place, or in the line of a key that is a comment now.
            Ok(loaded) => prop_assert!(!format!("{loaded:?}").contains(MARK), "{text}"),
            Err(error) => prop_assert!(!format!("{error}{error:?}").contains(MARK), "{error}\nfor {text}"),
        }
    }
}

#[test]
fn a_value_in_quotes_or_behind_a_name_is_said_and_not_shown() {
    let bot = format!("xoxb-1234-{MARK}");
    let app = format!("xapp-1-A0-{MARK}");
    let hex = format!("{MARK}0123456789abcdef");
    for (kind, value) in [
        (TokenKind::Bot, &bot),
        (TokenKind::App, &app),
        (TokenKind::Signing, &hex),
        (TokenKind::Diagnostics, &hex),
    ] {
        for text in [
            format!("\"{value}\""),
            format!("'{value}'\n"),
            format!("SLACK_TOKEN={value}"),
            format!("export SLACK_TOKEN=\"{value}\"\n"),
            format!("token = \"{value}\""),
            format!("token: {value}"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secret");
            std::fs::write(&path, &text).unwrap();
            let refused = reread(kind, &path).unwrap_err();
            assert!(!refused.contains(MARK), "{refused}");
            let words = "it has a name or quotes around the value; leave the value alone in this file";
            assert!(refused.starts_with(words), "{kind:?} {text:?}: {refused}");
            std::fs::write(&path, value).unwrap();
            assert_eq!(reread(kind, &path).unwrap().expose(), value);
        }
    }
    let base64 = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEg==";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, base64).unwrap();
    assert_eq!(reread(TokenKind::Diagnostics, &path).unwrap().expose(), base64);
}
