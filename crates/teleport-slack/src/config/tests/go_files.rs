//! What the Go plugin's loader takes: each row of the table in the documents.

use super::*;

/// The rows: what is in the file, and what becomes of it.
fn rows() -> Vec<(String, String)> {
    let document = include_str!("../../../../../docs/configuration.md");
    let (_, section) = document.split_once("\n## Files of the Go plugin\n").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let (written, here) = row.split_once("` | ").unwrap();
        (written.to_owned(), here.to_owned())
    })
    .collect()
}

/// A sound file with this line, in place of its own line for the same key.
fn with_line(written: &str) -> String {
    let (table, line) = written.split_once("] ").unwrap();
    let table = format!("{table}]");
    let mut text = with("");
    match line.split(" =").next().unwrap() {
        "auth_server" | "auth-server" => text = text.replace("addr = \"a\"", line),
        "recipients" | "Recipients" | "channel" => text = text.replace("recipients = [\"team\"]", line),
        _ if text.contains(&table) => text = text.replace(&table, &format!("{table}\n{line}")),
        _ => text += &format!("{table}\n{line}\n"),
    }
    text
}

#[test]
fn each_row_of_the_table_is_true() {
    let mut seen = 0;
    for (written, here) in rows() {
        let text = with_line(&written);
        let (config, warned) = (config(&text), warnings(&text));
        let team = [Recipient::ChannelName("team".into())];
        let log = |output, severity| LogConfig { output, severity, format: LogFormat::Text };
        let is_so = match here.as_str() {
            "`addr`" => config.teleport.addr.to_string() == "a:3025",
            "`addr`; any name with hyphens works" => warned.contains("write `addr`"),
            "as always here" => warned.is_empty(),
            "without effect, with a warning" => {
                warned.contains("this has no effect") && warned.contains("remove it")
            }
            "`api_url`" => config.slack.api_url.as_str() == "https://slack-gov.com/api/",
            "`api_url`; keys in any capitals work, with a warning" => {
                config.slack.api_url.as_str() == "https://slack-gov.com/api/"
                    && warned.contains("write `api_url`")
            }
            "`recipients`" | "one recipient" => config.slack.recipients == team,
            "no buttons, which is the default; with a warning" | "the same" => {
                config.review.is_none()
                    && warned.contains("remove it")
                    && !warned.contains("write `notify_only`")
            }
            "one recipient for roles that nothing else lists" => {
                config.role_to_recipients == [(RolePattern::parse("*").unwrap(), team.to_vec())]
            }
            "the recipients of exactly that role" => {
                let (role, recipients) = &config.role_to_recipients[0];
                role.matches("dba") && !role.matches("dba2") && recipients.len() == 2
            }
            "`listen_addr`" | "`public_addr`" => warned.contains(&format!("write {here}")),
            "ERROR" => config.log == log(LogOutput::Stderr, Severity::Error),
            "WARN" => config.log == log(LogOutput::Stderr, Severity::Warn),
            "INFO" => config.log == log(LogOutput::Stderr, Severity::Info),
            "DEBUG" => config.log == log(LogOutput::Stderr, Severity::Debug),
            "stderr" => config.log == log(LogOutput::Stderr, Severity::Info),
            "stdout" => config.log == log(LogOutput::Stdout, Severity::Info),
            "that file" => config.log.output == LogOutput::File("/var/lib/teleport/slack.log".into()),
            other => panic!("no test knows {other:?}"),
        };
        assert!(is_so, "{written}: {here}; {config:?}; {warned}");
        seen += 1;
    }
    assert_eq!(seen, 31, "rows are missing, or one was added without thought");
}

#[test]
fn a_key_in_two_spellings_is_one_setting() {
    let text = with("").replace("token =", "Token = \"xoxb-2\"\ntoken =");
    assert!(mistake(&text).contains("the same setting is in line"), "{}", mistake(&text));
}

#[test]
fn tables_in_any_capitals_or_with_hyphens_are_the_same_tables() {
    let text = format!("{}\n[Role-To-Recipients]\ndba = \"dba\"\n[LOG]\nSeverity = \"Err\"\n", with(""))
        .replace("[teleport]", "[Teleport]")
        .replace("[slack]", "[SLACK]");
    let loaded = config(&text);
    assert_eq!(loaded.slack.recipients, [Recipient::ChannelName("team".into())]);
    assert!(loaded.role_to_recipients[0].0.matches("dba"));
    assert_eq!(loaded.log.severity, Severity::Error);
    for name in ["teleport", "slack", "role_to_recipients", "log"] {
        assert!(warnings(&text).contains(&format!("write `{name}`")), "{name}: {}", warnings(&text));
    }
}

#[test]
fn an_interval_of_any_form_is_taken_and_a_secret_in_it_is_not() {
    for value in ["\"1m\"", "60", "1.5", "\"\""] {
        let text =
            with("").replace("identity =", &format!("refresh_identity_interval = {value}\nidentity ="));
        assert!(warnings(&text).contains("this has no effect"), "{value}");
    }
    let text = with("").replace("identity =", "refresh-identity-interval = \"xoxb-1-k9\"\nidentity =");
    let mistake = mistake(&text);
    assert!(mistake.contains("looks like a Slack token") && !mistake.contains("k9"), "{mistake}");
}
