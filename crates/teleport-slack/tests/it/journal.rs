//! What systemd's journal gets: the priority of each line, and no time of the daemon's own.

use std::io::{PipeReader, Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

use access_sim::teleport::fixture::Fixture;
use access_sim::teleport::{Options, ServerVersion};

use crate::harness::{TestBed, program, run_in_process, workspace};

/// What ends the daemon here.
const WORDS: &str = "the auth server's version is \"6.0.2\", but 6.1 or later is needed; upgrade Teleport";

async fn bed_with_old_server() -> TestBed {
    let options = Options {
        reported_version: "6.0.2".to_owned(),
        ..Options::new(ServerVersion::V6, Fixture::golden())
    };
    TestBed::with_options(options, workspace()).await
}

/// Runs the program with standard error as the journal, or as what only looks like it. Returns its standard output and
/// error.
fn run(arguments: &[&str], is_journal: bool) -> [String; 2] {
    let (mut reader, writer) = pipe().unwrap();
    let stream = std::fs::File::from(OwnedFd::from(writer.try_clone().unwrap())).metadata().unwrap();
    let inode = if is_journal { stream.ino() } else { stream.ino() + 1 };
    let mut command = Command::new(program());
    command.args(arguments).env("JOURNAL_STREAM", format!("{}:{inode}", stream.dev())).stderr(writer);
    let Output { stdout, .. } = command.output().unwrap();
    // Its end of the pipe.
    drop(command);
    [String::from_utf8(stdout).unwrap(), read(&mut reader)]
}

fn read(reader: &mut PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// Runs the daemon with these lines under `[log]`, until it ends by itself.
fn start(bed: &TestBed, log: &str, is_journal: bool) -> [String; 2] {
    let config = bed.write_config(&format!("{}{log}", bed.config("recipients = [\"C0TEAM\"]")));
    run(&["start", "-c", config.to_str().unwrap()], is_journal)
}

#[test]
fn the_log_has_priorities_only_in_the_journal() {
    run_in_process(async {
        let bed = bed_with_old_server().await;
        let [_, log] = start(&bed, "", true);
        assert!(log.lines().all(|line| line.starts_with(['<']) && &line[2..3] == ">"), "{log}");
        assert!(
            log.starts_with("<6>INFO  Starting Teleport Access Slack ") && log.contains("\n<7>DEBUG "),
            "{log}"
        );
        assert!(log.ends_with(&format!("<3>ERROR The daemon ends: {WORDS}\n")), "{log}");

        let [_, log] = start(&bed, "format = \"json\"", true);
        for line in log.lines() {
            let (priority, object) = line.split_at(3);
            let object: serde_json::Value = serde_json::from_str(object).unwrap();
            let level = match priority {
                "<3>" => "ERROR",
                "<4>" => "WARN",
                "<6>" => "INFO",
                "<7>" => "DEBUG",
                other => panic!("{other}: {log}"),
            };
            assert_eq!(object["level"], level, "{log}");
        }
        assert!(log.lines().last().unwrap().starts_with("<3>"), "{log}");

        // A stream that was redirected since systemd named it, a log elsewhere.
        let [_, log] = start(&bed, "", false);
        assert!(!log.contains('<') && log.starts_with("20"), "{log}");
        let [log, error] = start(&bed, "output = \"stdout\"", true);
        assert!(!log.contains('<') && log.starts_with("20"), "{log}");
        assert_eq!(error, format!("<3>error: {WORDS}\n"));
        let file = bed.dir.path().join("slack.log");
        let [_, error] = start(&bed, &format!("output = {file:?}"), true);
        let log = std::fs::read_to_string(file).unwrap();
        assert!(
            !log.contains('<') && log.starts_with("20") && log.contains(" ERROR The daemon ends: "),
            "{log}"
        );
        assert_eq!(error, format!("<3>error: {WORDS}\n"));
    });
}

#[test]
fn what_is_wrong_before_there_is_a_log_has_its_priority_in_each_line() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let config = bed.write_config(&format!("{}no_such_key = 1\nnor_this = 2", bed.config("")));
        let [_, error] = run(&["start", "-c", config.to_str().unwrap()], true);
        assert!(error.lines().count() == 3 && error.contains("no_such_key"), "{error}");
        assert!(error.lines().all(|line| line.starts_with("<3>ERROR ")), "{error}");
        // Where the log is cannot be known: an entry for each mistake.
        let config = bed.write_config("[teleport\n");
        let [_, error] = run(&["start", "-c", config.to_str().unwrap()], true);
        assert!(error.starts_with("<3>error: ") && error.contains(":1: not valid TOML"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let config = format!("{}no_such_key = 1\nformat = \"json\"\n", bed.config(""));
        let config = bed.write_config(&config);
        let [_, error] = run(&["start", "-c", config.to_str().unwrap()], true);
        assert!(error.lines().count() == 2 && error.lines().all(|line| line.starts_with("<3>{")), "{error}");
        let [_, usage] = run(&["start", "--no-such-switch"], true);
        assert!(usage.contains("--no-such-switch"), "{usage}");
        assert!(usage.lines().all(|line| line.starts_with("<3>") && !line.contains('\u{1b}')), "{usage}");
        let [_, usage] = run(&["start", "--no-such-switch"], false);
        assert!(usage.starts_with("error: "), "{usage}");
    });
}
