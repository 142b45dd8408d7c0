//! Characters that a reader does not see, in every text of the file: refused, named, and never taken for another name.

use super::*;

/// Each as it stands in a TOML string, how messages name it, and whether it leaves a blank.
const CHARACTERS: [(&str, &str, bool); 16] = [
    ("\u{200b}", "U+200B", false),
    ("\u{200d}", "U+200D", false),
    ("\u{2060}", "U+2060", false),
    ("\u{feff}", "U+FEFF", false),
    ("\u{ad}", "U+00AD", false),
    ("\u{202e}", "U+202E", false),
    ("\u{fe0f}", "U+FE0F", false),
    ("\u{e0061}", "U+E0061", false),
    ("\u{a0}", "U+00A0", true),
    ("\u{3000}", "U+3000", true),
    ("\u{2800}", "U+2800", true),
    ("\u{2028}", "U+2028", true),
    (r"\n", "U+000A", true),
    (r"\t", "U+0009", true),
    (r"\u0000", "U+0000", false),
    (r"\u0085", "U+0085", true),
];

/// Every text that a file can hold, as it is written, by the setting that messages name.
const SOCKET_MODE: &[(&str, &str)] = &[
    ("teleport.addr", "auth.corp:3025"),
    ("teleport.client_key", "auth.key"),
    ("teleport.client_crt", "auth.crt"),
    ("teleport.root_cas", "auth.cas"),
    ("teleport.refresh_identity_interval", "5m"),
    ("slack.token", "xoxb-11"),
    ("slack.recipients", "devops"),
    ("slack.recipients", "carol@example.com"),
    ("slack.recipients", "C0TEAM"),
    ("slack.channel", "general"),
    ("slack.api_url", "https://slack-gov.com/api/"),
    ("role_to_recipients", "prod-db"),
    ("role_to_recipients", "^web-[a-z]+$"),
    ("role_to_recipients.prod-db", "db-team"),
    ("review.app_token", "xapp-22"),
    ("review.slack_user_id_trait", "slack_uid"),
    ("review.mode", "resolver"),
    ("review.users", "U0BOB"),
    ("review.users.U0BOB", "bobby"),
    ("review.rule[1].roles", "dba"),
    ("review.rule[1].roles", "staging-*"),
    ("review.rule[1].roles", "^(dev|test)$"),
    ("review.rule[1].approvers", "dave@corp.example"),
    ("review.rule[1].approvers", "S0DBA"),
    ("review.rule[1].reason", "required"),
    ("diagnostics.listen_addr", "127.0.0.1:9091"),
    ("diagnostics.allow", "192.0.2.0/24"),
    ("diagnostics.token", "0123456789abcdefghij"),
    ("network.proxy", "proxy.corp:3128"),
    ("network.no_proxy", "intranet.corp"),
    ("network.ca_file", "ca.pem"),
    ("log.output", "/var/log/slack.log"),
    ("log.severity", "DEBUG"),
    ("log.format", "json"),
];

const CALLBACKS: &[(&str, &str)] = &[
    ("teleport.identity", "identity"),
    ("slack.token", "/run/token"),
    ("review.signing_secret", "0123456789signing"),
    ("http.listen_addr", ":8081"),
    ("http.public_addr", "https://slack.corp.net"),
    ("http.https_key_file", "server.key"),
    ("http.https_cert_file", "server.crt"),
];

const SECRET_OF_0X: &[(&str, &str)] = &[("slack.secret", "0123456789signing")];

const SOCKET_MODE_FILE: &str = r#"
[teleport]
addr = "auth.corp:3025"
client_key = "auth.key"
client_crt = "auth.crt"
root_cas = "auth.cas"
refresh_identity_interval = "5m"
[slack]
token = "xoxb-11"
recipients = ["devops", "carol@example.com", "C0TEAM"]
channel = "general"
api_url = "https://slack-gov.com/api/"
[role_to_recipients]
"prod-db" = "db-team"
"^web-[a-z]+$" = ["web-team"]
[review]
enabled = true
app_token = "xapp-22"
slack_user_id_trait = "slack_uid"
mode = "resolver"
[review.users]
"U0BOB" = "bobby"
[[review.rule]]
roles = ["dba", "staging-*", "^(dev|test)$"]
approvers = ["dave@corp.example", "S0DBA"]
reason = "required"
[diagnostics]
listen_addr = "127.0.0.1:9091"
allow = ["192.0.2.0/24"]
token = "0123456789abcdefghij"
[network]
proxy = "proxy.corp:3128"
no_proxy = ["intranet.corp"]
ca_file = "ca.pem"
[log]
output = "/var/log/slack.log"
severity = "DEBUG"
format = "json"
"#;

const CALLBACKS_FILE: &str = r#"
[teleport]
addr = "a"
identity = "identity"
[slack]
token = "/run/token"
[review]
enabled = true
signing_secret = "0123456789signing"
allow_email_username_match = true
[http]
listen_addr = ":8081"
public_addr = "https://slack.corp.net"
https_key_file = "server.key"
https_cert_file = "server.crt"
"#;

const FILE_OF_0X: &str = r#"
[teleport]
addr = "a"
identity = "i"
[slack]
token = "xoxb-1"
secret = "0123456789signing"
[http]
"#;

/// The value with the character before its first, behind its first and behind its last character, and which character of
/// it that is.
fn spoiled(value: &str, character: &str) -> [(String, usize); 3] {
    let (first, rest) = value.split_at(1);
    [
        (format!("{character}{value}"), 1),
        (format!("{first}{character}{rest}"), 2),
        (format!("{value}{character}"), value.len() + 1),
    ]
}

#[test]
fn each_setting_names_the_character_and_its_place() {
    let files = [(SOCKET_MODE_FILE, SOCKET_MODE), (CALLBACKS_FILE, CALLBACKS), (FILE_OF_0X, SECRET_OF_0X)];
    for (good, settings) in files {
        config(good);
        for (n, (setting, value)) in settings.iter().enumerate() {
            let is_secret = ["token", "secret"].iter().any(|secret| setting.ends_with(secret));
            for (m, (character, name, is_blank)) in CHARACTERS.into_iter().enumerate() {
                // White space around a secret is left away, in files too.
                let is_trimmed = is_blank && name != "U+2800" && !value.starts_with('/');
                // Each setting meets each character and each place, not all of each.
                for (spoiled, place) in spoiled(value, character).into_iter().skip((n + m) % 3).take(1) {
                    let text = good.replacen(&format!("\"{value}\""), &format!("\"{spoiled}\""), 1);
                    if is_secret && is_trimmed && place != 2 {
                        config(&text);
                        continue;
                    }
                    assert_ne!(text, good, "{setting}");
                    let Err(ConfigError::Invalid { findings, .. }) = parsed(&text) else {
                        panic!("{setting}: {name} as character {place} was accepted\n{text}")
                    };
                    let found = findings
                        .as_slice()
                        .iter()
                        .find(|finding| finding.key.starts_with(setting) && finding.cause.contains(name));
                    let Some(found) = found else {
                        panic!("{setting}: {name} as character {place} is not named: {findings:?}")
                    };
                    assert!(
                        found.cause.contains(&format!("character {place} ")),
                        "{setting}, {place}: {found}"
                    );
                    assert_eq!(findings.as_slice().len(), 1, "{setting}: {findings:?}");
                    let shown = found.to_string();
                    assert!(
                        !shown.contains(['\u{200b}', '\u{202e}', '\u{a0}', '\n', '\t', '\0']),
                        "{shown:?}"
                    );
                    // The remedy gives the value back that was meant, unless it is a secret.
                    if !is_blank && !is_secret {
                        assert!(
                            found.remedy.starts_with(&format!("write \"{value}\"")),
                            "{setting}, {name}: {found}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_table_above_has_every_text_of_the_schema() {
    let no_text = [
        "enabled",
        "allow_email_username_match",
        "ignore_email_case",
        "confirm",
        "teleport_only",
        "approvals",
        "denials",
        "refresh_identity",
        "proxy_for_teleport",
        "notify_only",
        "users",
        "rule",
    ];
    let all: Vec<_> = [SOCKET_MODE, CALLBACKS, SECRET_OF_0X].concat();
    for table in schema::TABLES {
        for key in table.keys.iter().filter(|key| !no_text.contains(&key.name)) {
            let setting = format!("{}.{}", table.path, key.name).replace("review.rule.", "review.rule[1].");
            assert!(all.iter().any(|(known, _)| **known == setting), "{setting} is missing here");
        }
    }
}

#[test]
fn a_role_whose_name_has_such_a_character_can_still_be_named() {
    let rule = |role: &str| {
        with(&format!(
            "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n[[review.rule]]\nroles = {role}\napprovers = \"bob\"\n"
        ))
    };
    for (role, name) in [
        ("\"dba\u{200b}\"", "dba\u{200b}"),
        ("\"db\u{a0}a\"", "db\u{a0}a"),
        ("\"^dba\u{200b}$\"", "dba\u{200b}"),
        ("\"prod-[x]\u{ad}\"", "prod-[x]\u{ad}"),
        ("\"می\u{200c}خواهم\"", "می\u{200c}خواهم"),
    ] {
        let mistake = mistake(&rule(role));
        let (_, literal) = mistake.rsplit_once(", or write ").unwrap_or_else(|| panic!("{mistake}"));
        let (literal, rest) = literal.split_once("\" ").unwrap();
        assert_eq!(rest, "if the role's name really has it", "{mistake}");
        let review = config(&rule(&format!("{literal}\""))).review.unwrap();
        let matches =
            |name: &str| review.rules.0.iter().any(|rule| rule.roles.iter().any(|role| role.matches(name)));
        assert!(matches(name) && !matches("dba"), "{mistake}");
    }
    // A pattern with stars has no such form to copy.
    let mistake = mistake(&rule("\"dba-\u{200b}*\""));
    assert!(
        mistake.ends_with(
            r#"write "dba-*", or write a regular expression with \x{200B} in it if the role's name really has it"#
        ),
        "{mistake}"
    );
    for escaped in [r"'^dba\x{200B}$'", r"'^dba\x{200b}?$'"] {
        assert_eq!(warnings(&rule(escaped)), "", "{escaped}");
    }
}

#[test]
fn honest_names_in_any_language_are_accepted() {
    for name in ["zugänge-prod_1", "アクセス申請", "हिन्दी", "دسترسی\u{200c}ها", "доступ"]
    {
        let text = with(&format!(
            "[role_to_recipients]\n\"rôle-アクセス\" = \"ops\"\n\"доступ к базе\" = \"{name}\"\n"
        ));
        assert_eq!(config(&text).role_to_recipients.len(), 2, "{name}");
    }
    let users = with(
        "[review]\nenabled = true\napp_token = \"xapp-1\"\n[review.users]\nU0A = \"Zoë 👩\u{200d}💻\"\nU0B = \"می\u{200c}خواهم\"\n",
    );
    assert_eq!(config(&users).review.unwrap().users.len(), 2);
}

#[test]
fn a_letter_that_looks_like_another_is_warned_of() {
    let file = |role: &str, approver: &str, recipient: &str| {
        with(&format!(
            "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n[review.users]\nU0A = {approver}\n\
             [[review.rule]]\nroles = {role}\napprovers = {approver}\n[role_to_recipients]\n{role} = {recipient}\n"
        ))
    };
    insta::assert_snapshot!(warnings(&file("\"db\u{430}\"", "\"b\u{43e}b\"", "\"t\u{435}am\"")), @r#"
    12 review.users.U0A: "bоb": character 2 is U+043E, which looks like the Latin letter o; write "bob", unless the name really has it
    14 review.rule[1].roles: "dbа": character 3 is U+0430, which looks like the Latin letter a; write "dba", or write "^db\\x{430}$" if the role's name really has it
    15 review.rule[1].approvers: "bоb": character 2 is U+043E, which looks like the Latin letter o; write "bob", unless the name really has it
    17 role_to_recipients."dbа": "dbа": character 3 is U+0430, which looks like the Latin letter a; write "dba", or write "^db\\x{430}$" if the role's name really has it
    17 role_to_recipients."dbа": "tеam": character 2 is U+0435, which looks like the Latin letter e; write "team", unless the name really has it
    "#);
    for role in ["\"db\u{430}-*\"", "\"^(db\u{430}|x)$\"", "\"db\u{430}.x\""] {
        let found = warnings(&file(role, "\"bob\"", "\"team\""));
        assert_eq!(found.lines().count(), 2, "{role}: {found}");
        let written: Vec<_> =
            found.lines().next().unwrap().split_once("write ").unwrap().1.split(", or write ").collect();
        assert_eq!(warnings(&file(written[0], "\"bob\"", "\"team\"")), "", "{found}");
        let (escaped, _) = written[1].split_once(" if the role's").unwrap();
        if escaped.starts_with('"') {
            assert_eq!(warnings(&file(escaped, "\"bob\"", "\"team\"")), "", "{found}");
            assert_ne!(
                matching(
                    &file(escaped, "\"bob\"", "\"team\""),
                    if role.contains(".x") { "db\u{430}.x" } else { "db\u{430}" }
                ),
                0
            );
        }
    }
    assert_eq!(warnings(&file("\"база-dba\"", "\"боб\"", "\"доступ\"")), "");
}

/// The warnings of a rule for this role.
fn of_role(role: &str) -> String {
    let text = with(&format!(
        "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n\
         [[review.rule]]\nroles = [{role}]\napprovers = \"bob\"\n"
    ));
    warnings(&text).lines().map(|line| line.split_once("roles: ").unwrap().1.to_owned() + "\n").collect()
}

#[test]
fn a_role_that_looks_like_another_as_a_whole_is_warned_of_once_with_what_to_write() {
    for (role, written) in [
        ("ｄｂａ", "\"dba\""),
        ("ＰＲＯＤ－１", "\"PROD-1\""),
        ("＊", "\"*\" if it is for every role"),
        ("𝐝𝐛𝐚", "\"dba\""),
        ("ᵈᵇᵃ", "\"dba\""),
        ("\u{43e}\u{440}\u{455}", "\"ops\""),
        ("e\u{301}quipe", "\"équipe\""),
        ("＾prod＄", "\"^prod$\""),
        ("「dba」", "\"dba\""),
        ("‘dba’", "\"dba\""),
        ("‚dba‘", "\"dba\""),
        ("″dba″", "\"dba\""),
        ("＂dba＂", "\"dba\""),
        ("o’brien", "\"obrien\""),
        ("admin、dba", "[\"admin\", \"dba\"]"),
        ("admin+dba", "[\"admin\", \"dba\"]"),
        ("admin＋dba", "[\"admin\", \"dba\"]"),
        ("admin；dba", "[\"admin\", \"dba\"]"),
        ("admin，dba", "[\"admin\", \"dba\"]"),
        ("admin‚dba", "[\"admin\", \"dba\"]"),
        ("admin｜dba", "[\"admin\", \"dba\"]"),
        ("admin∣dba", "[\"admin\", \"dba\"]"),
        ("admin·dba", "[\"admin\", \"dba\"]"),
        ("admin and dba", "[\"admin\", \"dba\"]"),
    ] {
        let found = of_role(&format!("\"{role}\""));
        assert_eq!(found.lines().count(), 1, "{role}: {found}");
        let (_, remedy) =
            found.trim_end().split_once("; write ").unwrap_or_else(|| panic!("{role}: {found}"));
        let (first, literal) = remedy.split_once(", or write ").unwrap_or_else(|| panic!("{role}: {found}"));
        assert_eq!(first, written, "{found}");
        // Both remedies are accepted as they stand, and the other means the role of this very name.
        let value = first.trim_matches(['[', ']']).trim_end_matches(" if it is for every role");
        assert_eq!(of_role(value), "", "{found}");
        let literal = literal.trim_end_matches(" if the role's name really has it");
        assert_eq!(of_role(literal), "", "{found}");
        let pattern: toml::Table = format!("it = {literal}").parse().unwrap();
        let pattern = access_core::domain::role_pattern::RolePattern::parse(pattern["it"].as_str().unwrap());
        assert!(pattern.unwrap().matches(role), "{found}");
    }
    for honest in ["c++-dev", "col·lectiu", "équipe", "base-データ", "プロダクション・アクセス"]
    {
        assert_eq!(of_role(&format!("\"{honest}\"")), "", "{honest}");
    }
    insta::assert_snapshot!(of_role("\"ｄｂａ\", \"e\u{301}quipe\", \"admin、dba\""), @r#"
    "ｄｂａ": character 1 is U+FF44, which looks like the Latin letter d; write "dba", or write "^\\x{FF44}\\x{FF42}\\x{FF41}$" if the role's name really has it
    "équipe": character 2 is U+0301, a mark written apart from its letter; write "équipe", or write "^e\\x{301}quipe$" if the role's name really has it
    "admin、dba": these look like several roles in one text; write ["admin", "dba"], or write "^admin\\x{3001}dba$" if the role's name really has it
    "#);
}

/// How many rules are for the role.
fn matching(text: &str, role: &str) -> usize {
    let rules = config(text).review.unwrap().rules.0;
    rules.iter().filter(|rule| rule.roles.iter().any(|pattern| pattern.matches(role))).count()
}
