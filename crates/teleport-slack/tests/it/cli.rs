//! The real binary: what it prints where, and its exit statuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn teleport_slack() -> Command {
    Command::new(env!("CARGO_BIN_EXE_teleport-slack"))
}

fn run(arguments: &[&str]) -> Output {
    teleport_slack().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes a configuration and checks how `start` refuses it.
fn run_with_config(dir: &TempDir, config: &[u8]) -> (i32, String) {
    let path = dir.path().join("c.toml");
    fs::write(&path, config).unwrap();
    let output = run(&["start", "-c", path.to_str().unwrap()]);
    assert_eq!(text(&output.stdout), "", "mistakes go to stderr");
    let shown = text(&output.stderr).replace(dir.path().to_str().unwrap(), "DIR");
    (output.status.code().unwrap(), shown)
}

#[test]
fn configure_prints_the_example_byte_for_byte() {
    let output = run(&["configure"]);
    assert!(output.status.success());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/example.toml");
    assert_eq!(output.stdout, fs::read(example).unwrap());
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_closed_stdout_is_not_a_failure() {
    for command in ["configure", "version", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = teleport_slack().arg(command).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{command}");
    }
}

#[test]
fn version_begins_with_name_and_version() {
    let output = run(&["version"]);
    let shown = text(&output.stdout);
    let words: Vec<_> = shown.split_whitespace().take(2).collect();
    assert_eq!(words, ["teleport-slack", concat!("v", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(shown.lines().count(), 1);
    assert!(shown.trim_end().ends_with(')') && shown.contains(" (rustc 1."), "{shown}");
    // A debug build may be older than the last commit, so only the form is checked.
    let is_checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.git").exists();
    let git = Command::new("git").args(["rev-parse", "HEAD"]).output();
    if is_checkout && git.is_ok_and(|git| git.status.success()) {
        let revision = shown.split_whitespace().find_map(|word| word.strip_prefix("git:")).unwrap();
        assert!(revision.len() >= 12 && revision.chars().all(|c| c.is_ascii_hexdigit()), "{shown}");
    }
}

#[test]
fn every_form_of_help_exits_with_0() {
    for (asked, words) in [
        (&["help"][..], "Exit status:"),
        (&["--help"], "Exit status:"),
        (&["-h"], "Exit status:"),
        (&["help", "start"], "--insecure-no-tls"),
        (&["start", "--help"], "--insecure-no-tls"),
        (&["help", "configure"], "install -m 0640"),
    ] {
        let output = run(asked);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{asked:?}");
        assert!(text(&output.stdout).contains(words), "{asked:?}: {}", text(&output.stdout));
    }
    assert_eq!(run(&["help", "strat"]).status.code(), Some(2));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let output = run(&["strat"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("start"), "it suggests what was meant");
}

const MISTAKES: &str = "[teleport]\nadr = \"a\"\n[slack]\ntoken = \"xoxp-not-to-be-shown\"\n";

#[test]
fn a_wrong_configuration_exits_with_78_and_all_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let (status, shown) = run_with_config(&dir, MISTAKES.as_bytes());
    assert_eq!(status, 78);
    let without_time: Vec<_> =
        shown.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim())).collect();
    insta::assert_snapshot!(without_time.join("\n"), @r#"
    ERROR Configuration: DIR/c.toml:1: teleport: there are no credentials; add identity (tctl auth sign --format=file), or client_key, client_crt and root_cas (tctl auth sign --format=tls)
    ERROR Configuration: DIR/c.toml:2: teleport.adr: there is no such key; did you mean `addr`?
    ERROR Configuration: DIR/c.toml:4: slack.token: this is a user token (xoxp-…); use the "Bot User OAuth Token" (xoxb-…) from "OAuth & Permissions" in your Slack app's settings
    ERROR The daemon ends: the configuration is not valid; correct the mistakes in the lines above
    "#);
    // Whether the log is in another format is not known.
    let (status, shown) = run_with_config(&dir, b"[teleport\n");
    assert_eq!(status, 78);
    assert!(
        shown.starts_with("error: the configuration is not valid:\n  DIR/c.toml:1: not valid TOML"),
        "{shown}"
    );
    let (status, shown) = run_with_config(&dir, b"\xff");
    assert_eq!(status, 78);
    insta::assert_snapshot!(shown, @"error: the configuration file DIR/c.toml is not UTF-8 text: there is the byte 0xFF in line 1, column 1; save the file as UTF-8");
}

#[test]
fn a_valid_configuration_whose_token_file_is_missing_is_not_called_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("none");
    let config = format!(
        "[teleport]\naddr = \"a\"\nidentity = \"i\"\n[slack]\ntoken = {token:?}\nrecipients = [\"team\"]\n"
    );
    let (status, shown) = run_with_config(&dir, config.as_bytes());
    assert_eq!(status, 77);
    assert!(!shown.contains("not valid"), "{shown}");
    assert!(
        shown.contains(
            "The daemon ends: a file that the configuration names cannot be used; the lines above say which one, why and what helps"
        ),
        "{shown}"
    );
    let path = dir.path().join("c.toml");
    let output = run(&["explain", "-c", path.to_str().unwrap(), "4f2d8c0e-8a4e-4c3a-9d53-0c8b8a9b5c11"]);
    assert_eq!(output.status.code(), Some(77));
    let shown = text(&output.stderr);
    assert!(shown.starts_with("error: a file that the configuration names cannot be used:\n"), "{shown}");
}

#[test]
fn mistakes_in_the_configuration_are_lines_of_the_log_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = |log: &str| run_with_config(&dir, format!("{MISTAKES}[log]\n{log}").as_bytes());
    let messages = |lines: &str| -> Vec<String> {
        let objects = lines.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        let message = |object: serde_json::Value| {
            assert_eq!(object["level"], "ERROR", "{object}");
            object["message"].as_str().unwrap().replace(dir.path().to_str().unwrap(), "DIR")
        };
        objects.map(message).collect()
    };
    let assert_all = |lines: &str| {
        let messages = messages(lines);
        assert_eq!(messages.len(), 4, "{lines}");
        assert!(
            messages[1]
                .starts_with("Configuration: DIR/c.toml:2: teleport.adr: there is no such key; did you"),
            "{lines}"
        );
        assert!(messages[3].starts_with("The daemon ends: the configuration is not valid; "), "{lines}");
    };
    let (status, shown) = run("output = \"./log.json\"\nformat = \"json\"\n");
    assert_eq!(status, 78);
    // Standard error is another place.
    assert_all(&shown);
    assert_all(&std::fs::read_to_string(dir.path().join("log.json")).unwrap());
    let (_, shown) = run("format = \"json\"\n");
    assert_all(&shown);
    // A full disk takes none of them.
    let (_, shown) = run("output = \"/dev/full\"\nformat = \"json\"\n");
    assert_all(&shown);
    // Where the log is cannot be known, or it cannot be there; its format is known.
    let (_, shown) = run("output = \"none/x.log\"\nformat = \"json\"\n");
    assert_all(&shown);
    let (_, shown) = run("output = \"nowhere\"\nformat = \"json\"\n");
    assert_eq!(messages(&shown).len(), 5, "{shown}");
    let (_, shown) = run("output = \"./x.log\"\nformat = \"yaml\"\n");
    assert!(shown.starts_with("error: the configuration is not valid:\n"), "{shown}");
    assert!(!dir.path().join("x.log").exists());
}

#[test]
fn a_missing_configuration_exits_with_78_and_a_remedy() {
    let output = run(&["start", "-c", "/nonexistent/teleport-slack.toml"]);
    assert_eq!(output.status.code(), Some(78));
    insta::assert_snapshot!(text(&output.stderr), @"error: there is no configuration file /nonexistent/teleport-slack.toml; make one with `teleport-slack configure > teleport-slack.toml`, edit it, and name it with -c or move it there");
}

#[test]
fn a_log_that_cannot_be_opened_exits_with_77_and_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\n[log]\noutput = \"none/x.log\"\n";
    let (status, shown) = run_with_config(&dir, config.as_bytes());
    assert_eq!(status, 77);
    insta::assert_snapshot!(shown, @r"
    error: cannot open the log file DIR/none/x.log; name a file in a folder that is there, let the user that runs teleport-slack write it, or change log.output
      caused by: No such file or directory (os error 2)
    ");
    let (status, shown) = run_with_config(&dir, (config.to_owned() + "format = \"json\"\n").as_bytes());
    assert_eq!((status, shown.lines().count()), (77, 1), "{shown}");
    let line: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let message = line["message"].as_str().unwrap();
    assert!(
        message.starts_with("The daemon ends: cannot open the log file DIR/none/x.log; name a file"),
        "{message}"
    );
}
