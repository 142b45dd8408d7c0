//! The start takes each step in order, and the log has the configured destination and format.

use std::process::Command;

use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat, WatchEnd};
use access_sim::teleport::fixture::Fixture;
use access_sim::teleport::{Options, ServerVersion};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

#[test]
fn each_step_waits_for_the_one_before() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let before = bed.create_request();
        let calls = |method| bed.teleport.call_log().count(method);

        // The watch waits for Slack's answer.
        bed.slack.stop().await;
        let daemon = bed.launch(&bed.config(TEAM));
        bed.until_logged(&daemon, "Slack does not answer").await;
        assert_eq!((calls(Method::WatchEvents), calls(Method::GetAccessRequests)), (0, 0));

        // The list waits for the live watch; otherwise the daemon would miss what happens in between.
        bed.teleport.faults().withhold_init(true);
        bed.slack.restart().await.unwrap();
        bed.until(&daemon, "the watch", || (calls(Method::WatchEvents) == 1).then_some(())).await;
        assert_eq!(calls(Method::GetAccessRequests), 0);
        assert!(daemon.find_logged("Watcher connected").is_none(), "{}", daemon.log());

        // The daemon is not ready before the list is complete.
        bed.teleport.faults().inject(Method::GetAccessRequests, Fault::Hang, Repeat::Next(1));
        bed.teleport.faults().withhold_init(false);
        bed.teleport.restart().await.unwrap();
        bed.until(&daemon, "the list", || (calls(Method::GetAccessRequests) == 1).then_some(())).await;
        assert!(daemon.find_logged("Ready").is_none(), "{}", daemon.log());
        assert!(bed.slack.all_messages().is_empty());

        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;
        let log = daemon.stop().await;
        let steps = [
            "Starting Teleport Access Slack",
            "Identity loaded",
            "Teleport answers",
            "Slack answers",
            "Starting a request watcher...",
            "Watcher connected",
            "Ready",
        ];
        let at = |step: &str| log.find(step).unwrap_or_else(|| panic!("{step:?} is not in\n{log}"));
        assert!(steps.is_sorted_by_key(|step| at(step)), "{log}");
    });
}

/// Runs the daemon until it is ready and stops it. Returns its stdout and its stderr.
async fn both_outputs(bed: &TestBed, log: &str, switches: &[&str]) -> (String, String) {
    let config = bed.config(TEAM).replace("severity = \"DEBUG\"", log);
    let [out, err] = ["stdout", "stderr"].map(|name| bed.dir.path().join(name));
    let lists = bed.teleport.call_log().count(Method::GetAccessRequests);
    let mut process = Command::new(program())
        .arg("start")
        .arg("-c")
        .arg(bed.write_config(&config))
        .args(switches)
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(std::fs::File::create(&err).unwrap())
        .spawn()
        .unwrap();
    poll_until("the list", bed.teleport.changes(), async || {
        (bed.teleport.call_log().count(Method::GetAccessRequests) > lists).then_some(())
    })
    .await;
    let asked = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(asked.success() && process.wait().unwrap().success());
    [out, err].map(|path| std::fs::read_to_string(path).unwrap()).into()
}

#[test]
fn the_log_has_the_configured_output_and_format() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let first = "INFO  Starting Teleport Access Slack ";

        let (out, err) = both_outputs(&bed, "", &[]).await;
        assert!(err.contains(first) && out.is_empty(), "{out}\n{err}");
        assert!(!err.contains(" DEBUG ") && !err.contains('\u{1b}'), "{err}");

        for switch in ["-d", "--debug"] {
            let (_, err) = both_outputs(&bed, "severity = \"ERROR\"", &[switch]).await;
            assert!(err.contains(first) && err.contains(" DEBUG "), "{err}");
        }
        // Only the signal is answered.
        let (out, err) = both_outputs(&bed, "severity = \"ERROR\"", &[]).await;
        let lines: Vec<_> = err.lines().filter_map(|line| line.split_once("INFO  ")).collect();
        assert_eq!(err.lines().count(), 2, "{err}");
        assert!(lines[0].1.starts_with("Stopping: SIGTERM received") && lines[1].1 == "Stopped", "{err}");
        assert_eq!(out, "");

        let (out, err) = both_outputs(&bed, "output = \"stdout\"\nformat = \"json\"", &[]).await;
        let lines: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let message = lines[0]["message"].as_str().unwrap();
        assert!(message.starts_with("Starting Teleport Access Slack ") && err.is_empty(), "{out}\n{err}");

        let file = bed.dir.path().join("slack.log");
        let (out, err) = both_outputs(&bed, &format!("output = {file:?}"), &[]).await;
        assert_eq!((out.as_str(), err.as_str()), ("", ""));
        assert!(std::fs::read_to_string(file).unwrap().contains(first));
    });
}

/// Starts the daemon at a server that is too old, so that it ends. Returns its stdout and its stderr.
fn both_outputs_on_failure(bed: &TestBed, log: &str) -> [String; 2] {
    let config = bed.config(TEAM).replace("severity = \"DEBUG\"", log);
    let output =
        Command::new(program()).arg("start").arg("-c").arg(bed.write_config(&config)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn the_last_error_is_in_the_log_and_on_stderr_if_these_differ() {
    run_in_process(async {
        let server_version = "6.0.2".to_owned();
        let options = Options {
            reported_version: server_version,
            ..Options::new(ServerVersion::V6, Fixture::golden())
        };
        let bed = TestBed::with_options(options, workspace()).await;
        const WORDS: &str =
            "the auth server's version is \"6.0.2\", but 6.1 or later is needed; upgrade Teleport";
        let line = format!(" ERROR The daemon ends: {WORDS}\n");
        let plain = format!("error: {WORDS}\n");
        let message = format!("The daemon ends: {WORDS}");

        // The same output: once, in the log's format.
        let [out, err] = both_outputs_on_failure(&bed, "");
        assert!(out.is_empty() && err.ends_with(&line) && err.matches(WORDS).count() == 1, "{err}");
        let json = |text: &str| -> serde_json::Value {
            let mut lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            lines.pop().unwrap()
        };
        let [out, err] = both_outputs_on_failure(&bed, "format = \"json\"");
        let last = json(&err);
        assert!(out.is_empty() && last["level"] == "ERROR", "{err}");
        assert_eq!(last["message"], format!("The daemon ends: {WORDS}"));
        // Another output: in both, at any severity.
        let [out, err] =
            both_outputs_on_failure(&bed, "output = \"stdout\"\nformat = \"json\"\nseverity = \"ERROR\"");
        assert_eq!(json(&out)["level"], "ERROR");
        // In the form that the file asks for.
        assert_eq!((err.lines().count(), &json(&err)["message"]), (1, &message.as_str().into()), "{err}");
        let file = bed.dir.path().join("slack.log");
        let [out, err] = both_outputs_on_failure(&bed, &format!("output = {file:?}"));
        assert_eq!((out.as_str(), err.as_str()), ("", plain.as_str()));
        assert!(std::fs::read_to_string(&file).unwrap().ends_with(&line));
        std::fs::remove_file(&file).unwrap();
        let [out, err] = both_outputs_on_failure(&bed, &format!("format = \"json\"\noutput = {file:?}"));
        assert_eq!((out.as_str(), &json(&err)["message"]), ("", &message.as_str().into()), "{err}");
        let last = json(&std::fs::read_to_string(&file).unwrap());
        assert_eq!(last["message"], format!("The daemon ends: {WORDS}"));
        // A full disk takes no last line, so the daemon writes it to stderr.
        let [_, err] = both_outputs_on_failure(&bed, "output = \"/dev/full\"");
        assert_eq!(err, plain);
        let [_, err] = both_outputs_on_failure(&bed, "format = \"json\"\noutput = \"/dev/full\"");
        assert_eq!((err.lines().count(), &json(&err)["message"]), (1, &message.as_str().into()), "{err}");
    });
}
