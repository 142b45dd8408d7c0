//! Secrets in the wrong place: the program ends and neither prints nor sends them.

use std::process::{Command, Stdio};

use crate::harness::deciding::*;
use crate::harness::*;

const MARK: &str = "k9MarkerQ7";

#[test]
fn a_misplaced_secret_in_the_file_is_rejected_and_neither_printed_nor_sent() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let sound = bed.review_config(Transport::Socket, ANY_OF_THREE);
        let key = format!("\"\"\"-----BEGIN PRIVATE KEY-----\n{MARK}\n\"\"\"");
        for (place, secret) in [
            ("[\"team\", ", format!("[\"xoxb-1-{MARK}\", ")),
            ("bob@example.com\"]", format!("bob:{MARK}@example.com\"]")),
            ("\"auth.key\"", key),
            ("\"auth.crt\"", format!("\"https://ca:{MARK}@example.com/auth.crt\"")),
            ("mode = \"resolver\"", format!("mode = \"xapp-1-A0-{MARK}\"")),
            ("severity = \"DEBUG\"", format!("severity = \"DEBUG\"\noutput = \"./xoxp-1-{MARK}\"")),
            ("U0BOB = \"bob@example.com\"", format!("U0BOB = \"xoxe-1-{MARK}\"")),
            ("[log]", format!("[diagnostics]\nlisten_addr = \"xoxb-1-{MARK}\"\n[log]")),
            ("[log]", format!("[\"xoxb-1-{MARK}\"]\n[log]")),
            ("roles = [\"*\"]", format!("roles = [\"xoxb-1-{MARK}\"]")),
        ] {
            assert!(sound.contains(place), "{place}");
            let (code, log) = bed.run_to_exit(&sound.replacen(place, &secret, 1)).await;
            assert_eq!(code, Some(78), "{secret}: {log}");
            assert!(!log.contains(MARK) && log.contains("teleport-slack.toml:"), "{log}");
        }
        assert_eq!(bed.slack.calls().len(), 0);
        assert!(std::fs::read_dir(bed.dir.path()).unwrap().all(|file| {
            let path = file.unwrap().path();
            path.ends_with("teleport-slack.toml") || !std::fs::read_to_string(path).unwrap().contains(MARK)
        }));
    });
}

#[test]
fn a_secret_on_the_command_line_is_rejected_and_not_printed() {
    let token = format!("xoxb-1-{MARK}");
    for arguments in [
        vec!["start", "-c", &token],
        vec!["start", "--config", &token],
        vec!["start", &format!("--config={token}")],
        vec!["start", &format!("-c{token}")],
        vec!["start", &token],
        vec!["start", "-c8f742231b10e8888abcd99ccceee85a5"],
        vec![&token],
        vec![&format!("--{token}")],
        vec!["demo", "--sandbox", &token],
        vec!["start", "-c", &format!("https://bob:{MARK}@example.com/c.toml")],
        vec!["start", "-c", &format!("-----BEGIN PRIVATE KEY-----\n{MARK}\n")],
    ] {
        let output = Command::new(program()).args(&arguments).stdin(Stdio::null()).output().unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(!shown.contains(MARK) && shown.contains("argument "), "{shown}");
    }
}
