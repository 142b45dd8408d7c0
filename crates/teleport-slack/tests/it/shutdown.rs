//! Signals: the first stop signal lets the daemon finish its work, a second one ends it at once. No other signal ends
//! the daemon unexpectedly.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault as TeleportFault, Repeat};

use crate::harness::daemon::signal;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

#[test]
fn work_in_progress_is_finished_and_recorded() {
    run_test(async {
        for signal in ["TERM", "INT"] {
            let bed = TestBed::new().await;
            let daemon = bed.start(TEAM).await;
            bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Delay(Duration::from_secs(2))));
            let id = bed.create_request();
            bed.until_recorded(&daemon, &id, |record| record.contains_key("x_request")).await;
            daemon.signal(signal);
            bed.until_logged(&daemon, "Draining ").await;
            let late = bed.create_request();
            let (status, log) = daemon.wait_for_exit().await;
            assert!(status.success(), "{status}\n{log}");
            assert!(
                bed.message_about("C0TEAM", &late).is_none() && bed.record(&late).is_empty(),
                "taken in\n{log}"
            );
            assert_eq!(bed.messages_about("C0TEAM", &id).len(), 1);
            assert!(bed.record(&id).contains_key("messages"), "posted but not recorded\n{log}");
        }
    });
}

#[test]
fn work_that_takes_too_long_is_left_to_the_next_start() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        // Each call stays within its limit; together they take longer than the drain.
        for method in [Method::GetPluginData, Method::UpdatePluginData] {
            let slow = TeleportFault::Delay(Duration::from_secs(12));
            bed.teleport.faults().inject(method, slow, Repeat::UntilCleared);
        }
        let reads = bed.teleport.call_log().count(Method::GetPluginData);
        let id = bed.create_request();
        bed.until(&daemon, "the record being read", || {
            (bed.teleport.call_log().count(Method::GetPluginData) > reads).then_some(())
        })
        .await;
        daemon.signal("TERM");
        let (status, log) = daemon.wait_for_exit().await;
        assert!(status.success(), "{status}\n{log}");
        assert!(
            log.contains("Stopped before all reconciliations finished; the next start resumes them"),
            "{log}"
        );

        bed.teleport.faults().clear();
        let daemon = bed.start(TEAM).await;
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}

#[test]
fn a_second_signal_ends_at_once_unless_it_repeats_the_first() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Hang));
        let id = bed.create_request();
        bed.until_recorded(&daemon, &id, |record| record.contains_key("x_request")).await;
        // `timeout` signals the process, and then its whole group.
        let twice = format!("kill -TERM {0}; sleep 0.02; kill -TERM {0}; kill -INT {0}", daemon.pid());
        assert!(Command::new("sh").args(["-c", &twice]).status().unwrap().success());
        bed.until_logged(&daemon, "Draining ").await;
        let first = Instant::now();
        let is_over = || (first.elapsed() >= Duration::from_secs(1)).then_some(());
        bed.until(&daemon, "another wish", is_over).await;
        assert_eq!(daemon.exit_status(), None, "{}", daemon.log());
        let asked = Instant::now();
        daemon.signal("TERM");
        let (status, log) = daemon.wait_for_exit().await;
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(" ERROR The daemon ends: SIGTERM received again"), "{log}");
        assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    });
}

#[test]
fn a_signal_during_start_is_handled() {
    run_test(async {
        let bed = TestBed::new().await;
        bed.teleport.stop().await;
        let daemon = bed.launch(&bed.config(TEAM));
        bed.until_logged(&daemon, "Teleport does not answer").await;
        daemon.stop().await;
    });
}

/// Waits until a process catches SIGHUP.
async fn until_sighup_handled(pid: u32) {
    let catches = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).ok()? & 1 == 1).then_some(())
    };
    poll_until("SIGHUP being caught", tokio::sync::watch::channel(0).1, async || catches()).await;
}

const HUP: &str =
    "SIGHUP received: the log is no file, so there was nothing to reopen; the configuration is read again";

#[test]
fn a_hangup_ends_the_daemon_at_no_stage_of_the_start() {
    run_test(async {
        let bed = TestBed::new().await;
        // Before the daemon has read the configuration: it comes from a pipe that is still empty.
        let mut process = Command::new(program())
            .args(["start", "-c", "/dev/stdin"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // `wait` would close it, and the daemon might see an empty configuration before the signal.
        let _stdin = process.stdin.take();
        until_sighup_handled(process.id()).await;
        signal(process.id(), "HUP");
        signal(process.id(), "TERM");
        assert!(process.wait().unwrap().success(), "the hangup ended it, or nothing did");

        bed.teleport.stop().await;
        bed.slack.stop().await;
        let daemon = bed.launch(&bed.config(TEAM));
        for (n, stage) in ["Teleport does not answer", "Slack does not answer", "Ready"].iter().enumerate() {
            bed.until_logged(&daemon, stage).await;
            daemon.signal("HUP");
            bed.until(&daemon, stage, || (daemon.times_logged(HUP) == n + 1).then_some(())).await;
            match n {
                0 => bed.teleport.restart().await.unwrap(),
                1 => bed.slack.restart().await.unwrap(),
                _ => {}
            }
        }
        // It keeps working; a hangup is no request to stop.
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(log.contains("SIGTERM received; a second signal"), "{log}");
    });
}

#[test]
fn other_signals_end_the_daemon_cleanly_or_not_at_all() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        daemon.signal("USR2");
        bed.until_logged(&daemon, "SIGUSR2 received: the log is no file").await;
        // The reader of the log has gone: that is no reason to end either.
        daemon.signal("PIPE");
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        // No core file: it would hold secrets.
        daemon.signal("QUIT");
        let (status, log) = daemon.wait_for_exit().await;
        assert!(status.success() && log.contains("Stopping: SIGQUIT received"), "{status}\n{log}");

        let daemon = bed.start(TEAM).await;
        daemon.signal("INT");
        let (status, log) = daemon.wait_for_exit().await;
        assert!(status.success() && log.contains("Stopping: SIGINT received"), "{status}\n{log}");
    });
}

#[test]
fn a_first_user_signal_logs_each_step_until_the_second() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.launch(&bed.config(TEAM).replace("DEBUG", "INFO"));
        bed.until_logged(&daemon, "Ready").await;
        let steps = || daemon.log().lines().filter(|line| line.contains(" DEBUG ")).count();
        let show = || async {
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
            id
        };
        show().await;
        assert_eq!(steps(), 0);
        daemon.signal("USR1");
        bed.until_logged(&daemon, "SIGUSR1 received: the log level is DEBUG until another SIGUSR1").await;
        show().await;
        bed.until(&daemon, "a step", || (steps() > 0).then_some(())).await;
        daemon.signal("USR1");
        let restored = "SIGUSR1 received: the log level is INFO again, as configured";
        bed.until_logged(&daemon, restored).await;
        let id = show().await;
        let log = daemon.stop().await;
        let is_step = |line: &str| line.contains(" DEBUG ") && line.contains(&id);
        assert!(log.contains("Stopped") && !log.lines().any(is_step), "{log}");
    });
}

#[test]
fn a_hangup_reopens_the_log_file() {
    run_test(async {
        let bed = TestBed::new().await;
        let [file, rotated] = ["slack.log", "slack.log.1"].map(|name| bed.dir.path().join(name));
        let daemon = bed.launch(&format!("{}output = {file:?}", bed.config(TEAM)));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        bed.until(&daemon, "the start", || read(&file).contains("Ready").then_some(())).await;
        std::fs::rename(&file, &rotated).unwrap();
        daemon.signal("HUP");
        let words =
            format!("INFO  SIGHUP received: the log file {} was reopened; the configuration", file.display());
        bed.until(&daemon, "the new file", || read(&file).contains(&words).then_some(())).await;
        // The log stays where it is if the daemon cannot create the file.
        std::fs::rename(&file, bed.dir.path().join("slack.log.2")).unwrap();
        std::fs::create_dir(&file).unwrap();
        daemon.signal("HUP");
        let is_logged =
            || read(&bed.dir.path().join("slack.log.2")).contains("ERROR SIGHUP received, but the log stays");
        bed.until(&daemon, "the old file", || is_logged().then_some(())).await;
        assert_eq!(daemon.stop().await, "", "nothing is on the other outputs");
        assert!(!read(&rotated).contains("SIGHUP"));
    });
}

#[test]
fn a_log_file_that_was_renamed_is_left_without_a_signal_and_a_refused_reload_reopens_it_too() {
    run_test(async {
        let bed = TestBed::new().await;
        let [file, rotated] = ["slack.log", "slack.log.1"].map(|name| bed.dir.path().join(name));
        let config = format!("{}output = {file:?}", bed.config(TEAM));
        let daemon = bed.launch(&config);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        bed.until(&daemon, "the start", || read(&file).contains("Ready").then_some(())).await;
        std::fs::rename(&file, &rotated).unwrap();
        // Its lines come at least a second after those of the start.
        bed.until(&daemon, "a line in the new file", || {
            bed.create_request();
            (!read(&file).is_empty()).then_some(())
        })
        .await;
        std::fs::rename(&file, &rotated).unwrap();
        bed.write_config("nonsense");
        daemon.signal("HUP");
        for words in ["was reopened; the configuration is read again", "The new configuration is refused"] {
            bed.until(&daemon, words, || read(&file).contains(words).then_some(())).await;
        }
        assert_eq!(daemon.stop().await, "", "nothing is on the other outputs");
    });
}

#[test]
fn process_1_of_a_container_obeys_the_same_signals() {
    run_test(async {
        const CONTAINER: [&str; 3] = ["--fork", "--pid", "--mount-proc"];
        let can = Command::new("unshare").args(CONTAINER).arg("true").output();
        if !can.is_ok_and(|tried| tried.status.success()) {
            return skip_test("needs unshare and root");
        }
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(TEAM));
        let mut command = Command::new("unshare");
        let command = command.args(CONTAINER).arg(program()).arg("start").arg("-c").arg(config);
        let daemon = Daemon::run(command, &bed.slack.token());
        bed.until_logged(&daemon, "Ready").await;
        let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
        let inner = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        signal(inner, "HUP");
        bed.until_logged(&daemon, HUP).await;
        signal(inner, "TERM");
        let (status, log) = daemon.wait_for_exit().await;
        assert!(status.success() && log.contains("Stopped"), "{status}\n{log}");
    });
}
