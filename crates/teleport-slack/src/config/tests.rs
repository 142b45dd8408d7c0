//! The configuration as a whole: files of every age load, mistakes are all shown, secrets never are.

use std::io;
use std::path::Path;

use access_core::domain::recipients::Recipient;
use access_core::policy::{self, Approver, ModeSetting, ReasonPolicy, Rule};
use proptest::prelude::*;

use super::*;
use crate::exit::{Exit, ExitError};

mod brackets;
mod diagnostics;
mod go_files;
mod meant;
mod modes;
mod outbound;
mod remedies;
mod rules;
mod secrets;
mod suggestions;
mod unseen;
mod written;

const SECRET: &str = "114711470815-Hj2kP9vQz7Lm";

fn no_files(_: &Path) -> io::Result<TokenFile> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn token_files(path: &Path) -> io::Result<TokenFile> {
    let file = |text: &str, mode| {
        Ok(TokenFile {
            text: Secret::new(text),
            permissions: Some(client_base::files::Permissions::of_mode(mode)),
        })
    };
    match path.to_str().unwrap_or_default() {
        "/run/token" => file(&format!("  xoxb-{SECRET}\n"), 0o600),
        "/run/open" => file("xoxb-1", 0o644),
        "/run/empty" => file("\n", 0o600),
        "/run/user" => file("xoxp-1", 0o600),
        "/run/two" => file("xoxb-1\nxoxb-2\n", 0o600),
        "/etc/ca.pem" | "/etc/ssl/proxy-ca.pem" => {
            file(&rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem(), 0o644)
        }
        "/run/denied" => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        _ => no_files(path),
    }
}

fn parsed(text: &str) -> Result<Loaded, ConfigError> {
    parse(text, Path::new("/etc/slack.toml"), &token_files)
}

fn config(text: &str) -> Config {
    match parsed(text) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{error}"),
    }
}

/// The mistakes as a person sees them.
fn mistakes(text: &str) -> String {
    match parsed(text) {
        Ok(loaded) => panic!("it loaded: {loaded:?}"),
        Err(error) => error.to_string(),
    }
}

/// The warnings, one per line.
fn warnings(text: &str) -> String {
    let loaded = match parsed(text) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}"),
    };
    let line = |finding: &Diagnostic| {
        let line = finding.line.map_or("-".to_owned(), |line| line.to_string());
        format!("{line} {}: {}; {}", finding.key, finding.cause, finding.remedy)
    };
    loaded.warnings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A sound file with more lines at its end.
fn with(more: &str) -> String {
    format!(
        "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\nrecipients = [\"team\"]\n{more}"
    )
}

/// The only mistake, as `line: cause; remedy`.
#[track_caller]
fn mistake(text: &str) -> String {
    let Err(ConfigError::Invalid { findings, .. }) = parsed(text) else { panic!("it loaded:\n{text}") };
    let [one] = findings.as_slice() else { panic!("one mistake was expected: {findings:?}") };
    format!("{}: {}; {}", one.line.unwrap_or(0), one.cause, one.remedy)
}

/// The first thing that a mistake's remedy says to write: a text or a list, as TOML has them.
#[track_caller]
fn advice(mistake: &str) -> String {
    let after = mistake.split_once("; ").and_then(|(_, remedy)| remedy.split_once("write "));
    let after = after.unwrap_or_else(|| panic!("{mistake}")).1;
    let mut escaped = false;
    let is_end = |(at, c): &(usize, char)| {
        let ends = if after.starts_with('[') { *c == ']' } else { *at > 0 && *c == '"' && !escaped };
        escaped = *c == '\\' && !escaped;
        ends
    };
    let (end, _) = after.char_indices().find(is_end).unwrap_or_else(|| panic!("{mistake}"));
    after.split_at(end + 1).0.to_owned()
}

/// The one configuration in the user's guide of 7.1.3, which shows it twice.
const GUIDE: &str = r##"# example slack plugin configuration TOML file

[teleport]
auth_server = "0.0.0.0:3025"           # Teleport Auth Server GRPC API address
client_key = "/var/lib/teleport/plugins/slack/auth.key" # Teleport GRPC client secret key
client_crt = "/var/lib/teleport/plugins/slack/auth.crt" # Teleport GRPC client certificate
root_cas = "/var/lib/teleport/plugins/slack/auth.cas"   # Teleport cluster CA certs

[slack]
token = "xoxb-11xx"             # Slack Bot OAuth token
# Optional Slack Rooms
recipients = ["team","devops"]

[log]
output = "stderr" # Logger output. Could be "stdout", "stderr" or "/var/lib/teleport/slack.log"
severity = "INFO" # Logger severity. Could be "INFO", "ERROR", "DEBUG" or "WARN".
"##;

#[test]
fn the_guide_loads_unchanged() {
    let name = |text: &str| Recipient::ChannelName(text.to_owned());
    let expected = Config {
        teleport: TeleportConfig {
            addr: TeleportAddr::parse("0.0.0.0:3025").unwrap(),
            credentials: Credentials::Files {
                client_key: "/var/lib/teleport/plugins/slack/auth.key".into(),
                client_crt: "/var/lib/teleport/plugins/slack/auth.crt".into(),
                root_cas: "/var/lib/teleport/plugins/slack/auth.cas".into(),
            },
        },
        slack: SlackConfig {
            token: Secret::new("xoxb-11xx"),
            recipients: vec![name("team"), name("devops")],
            api_url: ApiUrl::default(),
        },
        role_to_recipients: Vec::new(),
        review: None,
        diagnostics: None,
        network: NetworkConfig::default(),
        log: LogConfig::default(),
    };
    assert_eq!(config(GUIDE), expected);
    insta::assert_snapshot!(warnings(GUIDE), @"4 teleport.auth_server: this is an old name; write `addr`");
    assert_eq!(config(&GUIDE.replace('\n', "\r\n")), expected);
    assert_eq!(config(&format!("\u{feff}{GUIDE}")), expected);
}

#[test]
fn a_file_of_4_2_loads_with_warnings() {
    let text = r#"
[teleport]
auth-server = "example.com:3025"
client-key = "auth.key"
client-crt = "auth.crt"
root-cas = "auth.cas"
[slack]
token = "xoxb-1"
secret = "0123456789signing"
channel = "channel-name"
notify_only = false
[http]
listen = ":8081"
host = "example.com"
https-key-file = "server.key"
https-cert-file = "server.crt"
[log]
output = "stderr"
severity = "info"
"#;
    insta::assert_snapshot!(warnings(text), @r#"
    3 teleport.auth-server: this is an old name; write `addr`
    4 teleport.client-key: this is an old name; write `client_key`
    5 teleport.client-crt: this is an old name; write `client_crt`
    6 teleport.root-cas: this is an old name; write `root_cas`
    9 slack.secret: this is an old name; write signing_secret under [review]
    10 slack.channel: this is an old name; write it as recipients = ["…"]
    13 http.listen: this is an old name; write `listen_addr`
    14 http.host: this is an old name; write `public_addr`
    15 http.https-key-file: this is an old name; write `https_key_file`
    16 http.https-cert-file: this is an old name; write `https_cert_file`
    "#);
    let config = config(text);
    assert_eq!(config.slack.recipients, [Recipient::ChannelName("channel-name".into())]);
    let review = config.review.expect("its buttons worked");
    assert!(review.is_legacy && review.rules.0.is_empty() && review.users.is_empty());
    assert_eq!((review.mode, review.allow_email_username_match), (ModeSetting::Resolver, true));
    let ReviewTransport::Http { signing_secret, listener } = review.transport else {
        panic!("callbacks were the only way")
    };
    assert_eq!(signing_secret, Secret::new("0123456789signing"));
    assert_eq!(listener.listen_addr.port(), 8081);
    let Credentials::Files { client_key, .. } = config.teleport.credentials else {
        panic!("three files were given")
    };
    assert_eq!(client_key, Path::new("/etc/auth.key"), "relative paths start at the configuration file");
}

#[test]
fn an_old_file_has_buttons_only_where_it_had_them() {
    let slack = |more: &str| {
        with(&format!("{more}[http]\nlisten_addr = \":8081\""))
            .replace("recipients =", "secret = \"0123456789signing\"\nrecipients =")
    };
    assert!(config(&slack("")).review.expect("it had buttons").is_legacy);
    // notify_only, a [review] of its own, or no way for clicks.
    let notify_only =
        slack("").replace("secret = \"0123456789signing\"", "secret = \"s\"\nnotify_only = true");
    assert_eq!(config(&notify_only).review, None);
    for more in ["[review]\n", "[review]\nenabled = false\n"] {
        assert_eq!(config(&slack(more)).review, None, "{more}");
    }
    assert_eq!(config(&slack("").replace("[http]\nlisten_addr = \":8081\"", "")).review, None);
}

#[test]
fn a_file_of_2026_loads() {
    let text = r#"
[teleport]
addr = "teleport.example.com:443"
identity = "/opt/machine-id/identity"
refresh_identity = true
[slack]
token = "/run/token"
[review]
enabled = true
app_token = "xapp-1"
allow_email_username_match = false
slack_user_id_trait = "slack_uid"
[role_to_recipients]
"*" = "access-requests"
"access" = ["alice@example.com"]
[log]
output = "stdout"
severity = "INFO"
"#;
    let config = config(text);
    assert_eq!(config.slack.token.expose(), format!("xoxb-{SECRET}"), "read from the file and trimmed");
    let pattern = |text: &str| RolePattern::parse(text).unwrap();
    let expected = [
        (pattern("*"), vec![Recipient::ChannelName("access-requests".into())]),
        (pattern("access"), vec![Recipient::Email("alice@example.com".into())]),
    ];
    assert_eq!(config.role_to_recipients, expected);
    let review = config.review.expect("it is enabled");
    assert_eq!(review.transport, ReviewTransport::SocketMode { app_token: Secret::new("xapp-1") });
    assert_eq!(review.slack_user_id_trait.as_deref(), Some("slack_uid"));
    assert_eq!(config.log.output, LogOutput::Stdout);
}

#[test]
fn every_review_key_arrives() {
    let text = with(
        r#"
[review]
enabled = true
signing_secret = "8f742231b10e8888abcd99yyyzzz85a5"
mode = "resolver"
[review.users]
U012AB3CD = "bob"
U012AB3CE = "carol"
[[review.rule]]
roles = ["prod-*"]
approvers = ["bob", "carol", "bob"]
approvals = 2
reason = "required"
confirm = true
[[review.rule]]
roles = "dba"
approvers = "carol"
[http]
listen_addr = "127.0.0.1:8081"
public_addr = "https://slack.example.com/"
https_key_file = "k.pem"
https_cert_file = "c.pem"
[diagnostics]
listen_addr = "127.0.0.1:9091"
allow = ["10.0.0.0/8", "2001:db8::/32"]
token = "0123456789abcdef0123"
"#,
    );
    let config = config(&text);
    assert_eq!(config.diagnostics.as_ref().map(|diagnostics| diagnostics.listen_addr.port()), Some(9091));
    let tls = TlsFiles { key: "/etc/k.pem".into(), cert: "/etc/c.pem".into() };
    let patterns = |names: &[&str]| names.iter().map(|name| RolePattern::parse(name).unwrap()).collect();
    let people = |names: &[&str]| names.iter().map(|name| Approver::User((*name).to_owned())).collect();
    let expected = ReviewConfig {
        mode: ModeSetting::Resolver,
        transport: ReviewTransport::Http {
            signing_secret: Secret::new("8f742231b10e8888abcd99yyyzzz85a5"),
            listener: HttpConfig {
                listen_addr: "127.0.0.1:8081".parse().unwrap(),
                public_addr: Some("https://slack.example.com".into()),
                tls: Some(tls),
            },
        },
        users: [("U012AB3CD", "bob"), ("U012AB3CE", "carol")]
            .map(|(id, user)| (access_core::domain::ids::SlackUserId::new(id), user.to_owned()))
            .into(),
        slack_user_id_trait: None,
        allow_email_username_match: false,
        ignore_email_case: false,
        rules: policy::Rules(vec![
            Rule {
                roles: patterns(&["prod-*"]),
                approvers: people(&["bob", "carol"]),
                approvals: 2,
                denials: 1,
                teleport_only: false,
                reason: ReasonPolicy::Required,
                confirm: true,
            },
            Rule {
                roles: patterns(&["dba"]),
                approvers: people(&["carol"]),
                approvals: 1,
                denials: 1,
                teleport_only: false,
                reason: ReasonPolicy::Optional,
                confirm: false,
            },
        ]),
        is_legacy: false,
    };
    assert_eq!(config.review, Some(expected));
}

#[test]
fn hidden_characters_of_a_recipient_are_escaped() {
    let text = with("").replace("[\"team\"]", "[\"te\u{61c}am \u{200b}\u{202e}b\"]");
    let shown = crate::exit::Chain(&parsed(&text).unwrap_err()).to_string();
    assert!(shown.contains(r#""te\u{61c}am \u{200b}\u{202e}b""#), "{shown}");
    assert!(!shown.contains(['\u{61c}', '\u{200b}', '\u{202e}']), "{shown}");
}

#[test]
fn all_mistakes_are_shown_at_once_by_line() {
    let text = r#"
[teleport]
adr = "auth.example.com"
client_key = "auth.key"
identity = 7
[slak]
token = "x"
[slack]
token = "xoxp-1"
recipients = ["team", 3, "Dev Ops", ""]
app_token = "xapp-1"
[role_to_recipients]
dba = []
"prod db" = 1
[log]
severity = "LOUD"
output = "stdrr"
palette = true
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    the configuration is not valid:
      /etc/slack.toml:3: teleport.adr: there is no such key
          did you mean `addr`?
      /etc/slack.toml:5: teleport.identity: this is a number without quotes
          it must be a text in quotes
      /etc/slack.toml:6: slak: there is no such key
          did you mean [slack]?
      /etc/slack.toml:9: slack.token: this is a user token (xoxp-…)
          use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings
      /etc/slack.toml:10: slack.recipients: this is a number without quotes
          it must be a text in quotes or a list of them
      /etc/slack.toml:10: slack.recipients: "Dev Ops": a recipient has no spaces in it
          write the channel's name as Slack shows it, such as "access-requests"
      /etc/slack.toml:10: slack.recipients: this recipient is empty
          remove it, or write a channel or an e-mail address
      /etc/slack.toml:11: slack.app_token: there is no such key
          it belongs under [review]
      /etc/slack.toml:13: role_to_recipients.dba: this list is empty
          name at least one recipient, or remove the line so that "*" applies
      /etc/slack.toml:14: role_to_recipients."prod db": this is a number without quotes
          it must be a text in quotes or a list of them
      /etc/slack.toml:16: log.severity: "LOUD" is not one of its values
          write "DEBUG" or "INFO" or "WARN" or "WARNING" or "ERROR" or "ERR"
      /etc/slack.toml:17: log.output: "stdrr" is neither stdout, stderr nor a path
          write "stdout", "stderr", or "./stdrr" for a file beside this one
      /etc/slack.toml:18: log.palette: there is no such key
          known here: output, severity, format
    "#);
}

#[test]
fn an_empty_file_names_all_that_is_needed() {
    insta::assert_snapshot!(mistakes(""), @r#"
    the configuration is not valid:
      /etc/slack.toml: teleport.addr: this is missing
          add the address of the auth server or of a proxy, such as "auth.example.com:3025"
      /etc/slack.toml: teleport: there are no credentials
          add identity (tctl auth sign --format=file), or client_key, client_crt and root_cas (tctl auth sign --format=tls)
      /etc/slack.toml: slack.token: this is missing
          add the "Bot User OAuth Token" (xoxb-…), or the absolute path of a file that holds it
    "#);
}

#[test]
fn broken_toml_is_located() {
    insta::assert_snapshot!(mistakes("[teleport]\naddr = \"a\n[slack]\ntoken = xoxb-1\naddr\n"), @r#"
    the configuration is not valid:
      /etc/slack.toml:2: not valid TOML, column 10: invalid basic string, expected `"`
          look for a missing quote, bracket or comma here or in the line before
      /etc/slack.toml:4: not valid TOML, column 9: string values must be quoted, expected literal string
          put the text in double quotes
      /etc/slack.toml:5: not valid TOML, column 5: key with no value, expected `=`
          write key = "value", or start the line with # if it is a comment
    "#);
    insta::assert_snapshot!(mistakes("[slack]\n[log]\n[slack]\n"), @r"
    the configuration is not valid:
      /etc/slack.toml:3: not valid TOML, column 2: duplicate key
          the same table begins in line 1; write all its keys below one line [slack]
    ");
    insta::assert_snapshot!(mistakes("[släck\n"), @r"
    the configuration is not valid:
      /etc/slack.toml:1: not valid TOML, column 4: invalid unquoted key, expected letters, numbers, `-`, `_`
          put the key in double quotes if it has other signs than letters, digits, - and _
    ");
}

#[test]
fn tables_of_the_wrong_shape_are_named_once() {
    insta::assert_snapshot!(mistakes("teleport = \"a:1\"\nslack = []\nreview.rule = 1\nlog.output = false\n"), @r"
    the configuration is not valid:
      /etc/slack.toml:1: teleport: this is a text in quotes
          it must be a table
      /etc/slack.toml:2: slack: this is a list
          it must be a table
      /etc/slack.toml:3: review.rule: this is a number without quotes
          it must be a table in double brackets, [[review.rule]]
      /etc/slack.toml:4: log.output: this is true or false without quotes
          it must be a text in quotes
    ");
}

#[test]
fn keys_under_the_wrong_header_or_twice_are_refused_with_their_place() {
    let text = format!(
        "token = \"xoxb-1\"\n{}",
        with("APIURL = \"https://a/\"\napi_url = \"https://b/\"\n[http]\nenabled = 1\n")
    );
    insta::assert_snapshot!(mistakes(&text), @r"
    the configuration is not valid:
      /etc/slack.toml:1: token: there is no such key
          it belongs under [slack]
      /etc/slack.toml:9: slack.api_url: the same setting is in line 8 as `slack.APIURL`
          keep one of them
      /etc/slack.toml:11: http.enabled: there is no such key
          it belongs under [review]
    ");
}

#[test]
fn credentials_are_one_kind_and_complete() {
    let check =
        |lines: &str| mistakes(&format!("[slack]\ntoken = \"xoxb-1\"\n[teleport]\naddr = \"a\"\n{lines}"));
    insta::assert_snapshot!(check("client_crt = \"c\""), @r"
    the configuration is not valid:
      /etc/slack.toml:5: teleport.client_crt: client_key and root_cas must come with it
          tctl auth sign --format=tls writes three files: .key, .crt and .cas
    ");
    insta::assert_snapshot!(check("root_cas = \"c\"\nidentity = \"i\""), @r"
    the configuration is not valid:
      /etc/slack.toml:6: teleport.identity: `teleport.root_cas` in line 5 is given as well
          keep either identity, or client_key, client_crt and root_cas
    ");
    insta::assert_snapshot!(check("identity = \"\""), @r"
    the configuration is not valid:
      /etc/slack.toml:3: teleport: there are no credentials
          add identity (tctl auth sign --format=file), or client_key, client_crt and root_cas (tctl auth sign --format=tls)
    ");
}

#[test]
fn each_wrong_token_gets_its_own_answer() {
    let mistake_of = |token: &str| {
        let text = format!("[teleport]\naddr = \"a\"\nidentity = \"i\"\n[slack]\ntoken = \"{token}\"");
        let shown = mistakes(&text);
        shown.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" | ")
    };
    let tokens = [
        "xoxp-1",
        "xapp-1",
        "xoxe.xoxb-1",
        "xoxe-1",
        "api-token",
        "",
        "./token",
        "bot.tok",
        "$TOKEN",
        "xoxb-a b",
        "/run/nothing",
        "/run/denied",
        "/run/empty",
        "/run/user",
        "/run/two",
    ];
    let shown = tokens.map(|token| format!("{token:?}: {}", mistake_of(token))).join("\n");
    insta::assert_snapshot!(shown, @r#"
    "xoxp-1": /etc/slack.toml:5: slack.token: this is a user token (xoxp-…) | use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings
    "xapp-1": /etc/slack.toml:5: slack.token: this is an app-level token (xapp-…); that one belongs to review.app_token | use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings
    "xoxe.xoxb-1": /etc/slack.toml:5: slack.token: this is a token that rotates (xoxe.…), which is not supported | rotation cannot be turned off again: make a Slack app without it and use its xoxb-… token
    "xoxe-1": /etc/slack.toml:5: slack.token: this is a token that rotates (xoxe.…), which is not supported | rotation cannot be turned off again: make a Slack app without it and use its xoxb-… token
    "api-token": /etc/slack.toml:5: slack.token: this is not a bot token; those start with xoxb- | use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings, or the absolute path of a file that holds it
    "": /etc/slack.toml:5: slack.token: this is empty | use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings
    "./token": /etc/slack.toml:5: slack.token: this is not a token | a file that holds it must be named by its absolute path
    "bot.tok": /etc/slack.toml:5: slack.token: this is not a token | a file that holds it must be named by its absolute path
    "$TOKEN": /etc/slack.toml:5: slack.token: this is the name of a variable; variables are not filled in | use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings
    "xoxb-a b": /etc/slack.toml:5: slack.token: this has spaces or other characters that no token has | copy it again; it is a single line of letters, digits and hyphens
    "/run/nothing": /etc/slack.toml:5: slack.token: cannot read the file "/run/nothing": entity not found | create the file with nothing in it but the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings; or write that itself here
    "/run/denied": /etc/slack.toml:5: slack.token: cannot read the file "/run/denied": permission denied | let the user that runs teleport-slack read it
    "/run/empty": /etc/slack.toml:5: slack.token: the file "/run/empty" is empty | write the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings into this file
    "/run/user": /etc/slack.toml:5: slack.token: the file "/run/user" is a user token (xoxp-…) | write the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings into this file
    "/run/two": /etc/slack.toml:5: slack.token: the file "/run/two" has what no token has: character 7 is U+000A, a line break | copy it again; it is a single line of letters, digits and hyphens
    "#);
}

#[test]
fn tokens_that_others_can_read_are_warned_of() {
    let text = with("").replace("xoxb-1", "/run/open");
    insta::assert_snapshot!(warnings(&text), @r#"5 slack.token: the file "/run/open" can be read by others; run chmod o-r "/run/open""#);
}

#[test]
fn review_settings_that_contradict_are_refused() {
    let on = "[review]\nenabled = true\n";
    let cases = [
        with(on),
        with(&format!(
            "{on}app_token = \"xapp-1\"\nsigning_secret = \"0123456789signing\"\nslack_user_id_trait = \"t\""
        )),
        with(&format!("{on}app_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n[http]\n")),
        with(&format!(
            "notify_only = true\n{on}app_token = \"xoxb-1\"\nmode = \"resolver\"\nslack_user_id_trait = \"t\""
        )),
        with(&format!(
            "secret = \"0123456789signing\"\n{on}signing_secret = \"xoxb-1\"\n[http]\nhttps_key_file = \"k\"\nlisten_addr = \"x\""
        )),
        with(&format!(
            "{on}app_token = \"xapp-1\"\nmode = \"fast\"\n[review.users]\nbob = \"U1\"\nU012 = [\"a\"]"
        )),
        with(
            "[[review.rule]]\napprovals = 3\napprovers = [\"a\"]\n[[review.rule]]\nroles = []\napprovers = [\"\"]\nreason = \"no\"\nrole = 1",
        ),
    ];
    insta::assert_snapshot!(cases.map(|text| mistakes(&text)).join("\n\n"), @r#"
    the configuration is not valid:
      /etc/slack.toml:8: review: no user could be recognized: no link from a Slack user to a Teleport user is configured
          add slack_user_id_trait, [review.users], or allow_email_username_match = true
      /etc/slack.toml:8: review: there is no way for clicks to arrive
          add app_token (Socket Mode), or signing_secret and [http] (callbacks)

    the configuration is not valid:
      /etc/slack.toml:10: review.signing_secret: there is also `review.app_token` in line 9; clicks arrive in one way only
          choose: app_token for Socket Mode, or the signing secret with [http] for callbacks

    the configuration is not valid:
      /etc/slack.toml:11: http: there is also `review.app_token` in line 9; clicks arrive in one way only
          choose: remove [http], or use a signing secret for callbacks

    the configuration is not valid:
      /etc/slack.toml:7: slack.notify_only: it contradicts `review.enabled` in line 9
          remove notify_only
      /etc/slack.toml:10: review.app_token: this is a bot token (xoxb-…)
          use an "App-Level Token" (xapp-…) with the scope connections:write from "Basic Information" in your Slack app's settings

    the configuration is not valid:
      /etc/slack.toml:7: slack.secret: the same setting is in line 10 as `review.signing_secret`
          keep one of them
      /etc/slack.toml:9: review: no user could be recognized: no link from a Slack user to a Teleport user is configured
          add slack_user_id_trait, [review.users], or allow_email_username_match = true
      /etc/slack.toml:12: http.https_key_file: the certificate to this key is missing
          add https_cert_file
      /etc/slack.toml:13: http.listen_addr: "x" does not work: the port is missing
          write it as "127.0.0.1:9091", or ":9091" for all

    the configuration is not valid:
      /etc/slack.toml:10: review.mode: "fast" is not one of its values
          write "auto" or "reviewer" or "resolver"
      /etc/slack.toml:12: review.users.bob: this is not the id of a Slack person
          write the member ID from the person's Slack profile, such as U012AB3CD
      /etc/slack.toml:13: review.users.U012: this is not one Teleport user
          write the user's name, such as "bob"

    the configuration is not valid:
      /etc/slack.toml:7: review.rule[1].roles: this is missing in the rule
          name the roles it is for, such as ["prod-*"]
      /etc/slack.toml:8: review.rule[1].approvals: the rule names 1 approver, so that many approvals can never be given
          write 1, or name more approvers
      /etc/slack.toml:11: review.rule[2].roles: this is empty, or an entry of it is
          name the roles it is for, such as ["prod-*"]
      /etc/slack.toml:12: review.rule[2].approvers: this is empty, or an entry of it is
          name the Teleport users who may approve
      /etc/slack.toml:13: review.rule[2].reason: "no" is not one of its values
          write "optional" or "required" or "off"
      /etc/slack.toml:14: review.rule[2].role: there is no such key
          did you mean `roles`?
    "#);
}

#[test]
fn dubious_settings_are_warned_of() {
    let text = r##"
[teleport]
addr = "a"
identity = "i"
refresh_identity = false
[slack]
token = "xoxb-1"
notify_only = true
[role_to_recipients]
dba = ["DBA", "#dba", "dba"]
"##;
    insta::assert_snapshot!(warnings(text), @r#"
    5 teleport.refresh_identity: this has no effect: changed certificate files are noticed within ten seconds; remove it
    8 slack.notify_only: this is the default now, and the key is gone; remove it
    10 role_to_recipients.dba: "DBA" is taken for a Slack id; if it is a channel's name, write "dba"
    10 role_to_recipients.dba: "dba" is in the list already; remove one of them
    - role_to_recipients: of requests for roles that are not listed only suggested reviewers are notified; add slack.recipients, or "*" under [role_to_recipients]
    "#);
    insta::assert_snapshot!(warnings(&with("").replace("recipients = [\"team\"]", "")), @r#"- slack.recipients: there are no recipients: only the reviewers that a request suggests are notified; add slack.recipients, or "*" under [role_to_recipients]"#);
}

#[test]
fn severities_are_read_in_any_case() {
    let cases = [
        ("debug", Severity::Debug),
        ("Info", Severity::Info),
        ("WARNING", Severity::Warn),
        ("error", Severity::Error),
    ];
    for (text, expected) in cases {
        assert_eq!(config(&with(&format!("[log]\nseverity = \"{text}\""))).log.severity, expected);
    }
}

#[test]
fn the_documents_name_each_severity_that_the_message_names() {
    let shown = mistakes(&with("[log]\nseverity = \"LOUD\""));
    let remedy = shown.lines().find_map(|line| line.trim().strip_prefix("write ")).unwrap();
    let named = |text: &str| -> Vec<_> {
        let words = text.split('"').skip(1).step_by(2).filter(|word| word.chars().all(char::is_uppercase));
        words.map(str::to_owned).collect()
    };
    let expected = ["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "ERR"];
    assert_eq!(named(remedy), expected);
    let row = |text: &'static str, begins: &str| {
        text.lines().find_map(|line| line.strip_prefix(begins)).unwrap().to_owned()
    };
    let document = row(include_str!("../../../../docs/configuration.md"), "| `severity` | `\"INFO\"` | ");
    assert_eq!(named(document.split_once("in any case").unwrap().0), expected);
    assert_eq!(named(&row(EXAMPLE, "severity = \"INFO\" # ")), expected);
}

#[test]
fn the_example_is_sound_and_explains_every_key() {
    let loaded = parsed(EXAMPLE).expect("the example is a valid file");
    assert_eq!(loaded.warnings, []);
    // The optional lines must be right too: with the comment signs taken off, only the choices contradict.
    let choices = [
        "# identity =",
        "# refresh_identity",
        "# signing_secret",
        "# [http]",
        "# listen_addr = \"0",
        "# public_addr",
        "# https_",
        "# token =",
    ];
    let full: Vec<_> = EXAMPLE
        .lines()
        .filter(|line| !choices.iter().any(|choice| line.starts_with(choice)))
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") && !rest.contains("tctl") => rest,
            _ => line,
        })
        .collect();
    let full = config(&full.join("\n"));
    assert!(
        full.review.is_some() && full.diagnostics.is_some() && full.role_to_recipients.len() == 2,
        "{full:?}"
    );

    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    for table in schema::TABLES.iter().chain([&&schema::ROOT]) {
        for key in table.keys {
            let retired =
                ["channel", "secret", "notify_only", "refresh_identity_interval"].contains(&key.name);
            let header = format!("[{}", key.name);
            let in_example = EXAMPLE.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{} =", key.name))
                    || line.starts_with(&header)
                    || line.contains(&format!("review.{}]", key.name))
            });
            assert!(in_example || retired, "{} is not in example.toml", key.name);
            let names = std::iter::once(&key.name).chain(key.aliases);
            for name in names {
                assert!(
                    docs.contains(&format!("`{name}`")) || docs.contains(&format!("`[{name}]`")),
                    "{name} is not in docs/configuration.md"
                );
            }
        }
    }
}

#[test]
fn load_distinguishes_how_a_file_can_fail() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let error = load(&dir.path().join("none.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("teleport-slack configure"), "{error}");
    assert_eq!(ExitError::from(error).exit(), Exit::Configuration);
    let error = load(dir.path()).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    let error = load(&at("big.toml", &vec![b'#'; 1024 * 1024 + 1])).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
    let error = load(&at("latin1.toml", b"a = 1\nb = \"\xe4\"\n")).unwrap_err();
    assert!(matches!(error, ConfigError::NotText { .. }), "{error}");
    let error = load(&at("empty.toml", b"")).unwrap_err();
    assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
    let forbidden =
        ConfigError::Forbidden { path: "x".into(), source: io::Error::from(io::ErrorKind::PermissionDenied) };
    assert_eq!(ExitError::from(forbidden).exit(), Exit::Credentials);

    let token = at("token", b"xoxb-from-file\n");
    let text = with("").replace("xoxb-1", token.to_str().unwrap());
    let loaded = load(&at("good.toml", text.as_bytes())).unwrap();
    assert_eq!(loaded.config.slack.token.expose(), "xoxb-from-file");
    let Credentials::Identity(identity) = loaded.config.teleport.credentials else {
        panic!("an identity was given")
    };
    assert_eq!(identity, dir.path().join("id"));
}

/// A file that uses everything and whose secrets hold [`SECRET`].
fn secretive() -> String {
    let text = with(
        "[review]\nenabled = true\napp_token = \"xapp-SECRET\"\nslack_user_id_trait = \"t\"\n[review.users]\nU012 = \"bob\"\n\
         [[review.rule]]\nroles = [\"a\"]\napprovers = [\"b\"]\n[role_to_recipients]\na = [\"b\", 'c@d']\n[log]\nformat = \"json\"\n",
    );
    text.replace("xoxb-1", &format!("xoxb-{SECRET}")).replace("SECRET", SECRET)
}

#[derive(Clone, Debug)]
enum Mutation {
    Remove(usize, usize),
    Insert(usize, String),
    SwapLines(usize, usize),
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut text = text.to_owned();
    for mutation in mutations {
        match mutation {
            Mutation::Remove(at, length) => {
                let count = text.chars().count().max(1);
                let at = at % count;
                text = text
                    .chars()
                    .enumerate()
                    .filter(|(i, _)| *i < at || *i >= at + length)
                    .map(|(_, c)| c)
                    .collect();
            }
            Mutation::Insert(at, piece) => {
                let at = at % (text.chars().count() + 1);
                let byte = text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
                text.insert_str(byte, piece);
            }
            Mutation::SwapLines(one, other) => {
                let mut lines: Vec<_> = text.lines().collect();
                if !lines.is_empty() {
                    let count = lines.len();
                    lines.swap(one % count, other % count);
                }
                text = lines.join("\n");
            }
        }
    }
    text
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop_oneof![
        "[\\PC\n\"'=\\[\\]#{}.,]{1,4}",
        Just("\n[slack]\n".to_owned()),
        Just("\ntoken = ".to_owned()),
        Just("\nrecipients = ".to_owned()),
        Just("\u{0}".to_owned()),
    ];
    prop_oneof![
        (any::<usize>(), 1..12_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<usize>(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
    ]
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "(?s).{0,200}|[a-z\\[\\]=\".\n#, {}0-9]{0,200}") {
        if let Err(error) = parsed(&text) {
            let ConfigError::Invalid { findings, .. } = &error else { panic!("{error}") };
            prop_assert!(!findings.as_slice().is_empty(), "refused without a reason");
        }
    }

    #[test]
    fn a_damaged_file_gets_an_answer_without_its_secrets(mutations in prop::collection::vec(mutation(), 1..4)) {
        let text = mutate(&secretive(), &mutations);
        let shown = match parsed(&text) {
            Ok(loaded) => format!("{loaded:?}"),
            Err(error) => {
                let ConfigError::Invalid { findings, .. } = &error else { panic!("{error}") };
                prop_assert!(!findings.as_slice().is_empty(), "refused without a reason");
                format!("{error}\n{error:?}")
            }
        };
        // Half of it is enough for an error.
        let (half, _) = SECRET.split_at(SECRET.len() / 2);
        prop_assert!(!shown.contains(half), "a secret is shown in {shown}\nfor {text}");
    }
}

#[test]
fn a_direct_message_is_a_recipient_like_a_person() {
    let text = with("").replace("[\"team\"]", "[\"D0BOB\", \"U0BOB\", \"C0TEAM\"]");
    assert_eq!(warnings(&text), "");
}
