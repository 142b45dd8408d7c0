//! `teleport-slack manifest`: the real binary, from a configuration to the Slack app that fits it.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const HEAD: &str = "[teleport]\naddr = \"auth.example.com:3025\"\nidentity = \"/nowhere/auth_id\"\n";
const SOCKET_MODE: &str =
    "[review]\nenabled = true\nslack_user_id_trait = \"slack_uid\"\napp_token = \"/nowhere/app_token\"\n";
const HTTP: &str =
    "[review]\nenabled = true\nslack_user_id_trait = \"slack_uid\"\nsigning_secret = \"...\"\n[http]\n";

/// Exit status, standard output, standard error.
fn manifest(config: &str, arguments: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    fs::write(&path, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_teleport-slack"));
    command.args(["manifest", "-c", path.to_str().unwrap()]).args(arguments).stdin(Stdio::null());
    // It needs nothing but the file.
    let output = command.env_clear().output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json_of(slack: &str, rest: &str) -> Value {
    let (status, shown, errors) = manifest(&format!("{HEAD}[slack]\n{slack}\n{rest}"), &["--format", "json"]);
    assert_eq!((status, errors.as_str()), (0, ""), "{slack} {rest}");
    serde_json::from_str(&shown).unwrap()
}

fn scopes(manifest: &Value) -> BTreeSet<&str> {
    manifest["oauth_config"]["scopes"]["bot"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap())
        .collect()
}

#[test]
fn the_example_gives_an_app_before_there_is_a_token() {
    let example = include_str!("../../src/config/example.toml");
    let (status, yaml, errors) = manifest(example, &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(yaml.starts_with("_metadata:\n  major_version: 1\n"), "{yaml}");
    assert!(yaml.contains("- \"channels:read\"\n") && !yaml.contains("groups:read"), "{yaml}");
    let (_, json, _) = manifest(example, &["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["settings"]["interactivity"], json!({ "is_enabled": false }));
}

#[test]
fn the_configuration_chooses_scopes_and_transport() {
    let of_people = json_of("recipients = [\"bob@example.com\", \"U0BOB\", \"D0BOB\"]", "");
    assert_eq!(
        scopes(&of_people),
        BTreeSet::from(["chat:write", "im:history", "im:write", "users:read", "users:read.email"])
    );
    let by_id = json_of("recipients = []", "[role_to_recipients]\n\"dba\" = \"C0DBA\"\n");
    assert!(scopes(&by_id).contains("groups:history"), "{by_id}");

    let group = "[[review.rule]]\nroles = [\"dba\"]\napprovers = [\"S0DBA\"]\n";
    let socket = json_of("token = \"xoxb-11xx\"", &format!("{SOCKET_MODE}{group}"));
    assert!(scopes(&socket).contains("usergroups:read"), "{socket}");
    assert_eq!(socket["settings"]["socket_mode_enabled"], json!(true));

    for (address, url) in [
        ("https://slack.example.com", "https://slack.example.com/slack/interactivity"),
        ("slack.example.com/", "https://slack.example.com/slack/interactivity"),
        ("https://slack.example.com/slack/interactivity", "https://slack.example.com/slack/interactivity"),
    ] {
        let http = json_of("token = \"\"", &format!("{HTTP}public_addr = \"{address}\"\n"));
        let expected = json!({ "is_enabled": true, "request_url": url });
        assert_eq!(http["settings"]["interactivity"], expected, "{address}");
        assert_eq!(http["settings"]["socket_mode_enabled"], json!(false));
    }
}

#[test]
fn a_mistake_is_refused_with_its_remedy() {
    let slack = "[slack]\ntoken = \"xoxb-11xx\"\n";
    for (config, status, words) in [
        (format!("{HEAD}{slack}{HTTP}"), 78, "http.public_addr is missing"),
        (format!("{HEAD}{slack}{HTTP}public_addr = \"http://a.example\"\n"), 78, "must begin with https://"),
        (format!("{HEAD}{slack}recipient = []\n"), 78, "slack.recipient"),
        (slack.to_owned(), 78, "teleport.addr"),
    ] {
        let (found, shown, errors) = manifest(&config, &[]);
        assert_eq!((found, shown.as_str()), (status, ""), "{config}");
        assert!(errors.contains(words), "{config}: {errors}");
        assert!(!errors.contains("xoxb-11xx"), "{errors}");
    }
    assert_eq!(manifest(HEAD, &["--format", "toml"]).0, 2);
}

#[test]
fn the_document_explains_each_scope() {
    let document = include_str!("../../../../docs/slack-app.md");
    let everything = json_of(
        "recipients = [\"team\", \"C0DBA\"]",
        &format!("{SOCKET_MODE}[[review.rule]]\nroles = [\"a\"]\napprovers = [\"S0A\"]\n"),
    );
    let rows: String = document.lines().filter(|line| line.starts_with("| `")).collect();
    for scope in scopes(&everything) {
        assert!(rows.contains(&format!("`{scope}`")), "{scope} is not in docs/slack-app.md");
    }
}
