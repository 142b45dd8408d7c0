//! A reload that was refused ends when the files hold something else or what was in its way is gone, however soon that is and
//! whatever the daemon saw in between.

use std::path::{Path, PathBuf};

use crate::harness::deciding::*;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const TEAM_AND_DBA: &str = r#"recipients = ["C0TEAM", "C0DBA"]"#;
const IN_USE: &str = "The new configuration is in use";
const REFUSED: &str = "The new configuration is refused, so the one before stays in use";
const GOOD_AGAIN: &str = "The configuration and the files that it names are good again";

type Change = fn(&Path);

async fn until_times_logged(bed: &TestBed, daemon: &Daemon, words: &str, times: usize) {
    let logged = || (daemon.times_logged(words) >= times).then_some(());
    bed.until(daemon, &format!("{words:?} {times} times"), logged).await;
    assert_eq!(daemon.times_logged(words), times, "{words:?}\n{}", daemon.log());
}

/// Waits until the metric says whether the last reload succeeded: it changes after the line of the log.
async fn until_reload_is(daemon: &Daemon, successful: bool) {
    let value = f64::from(u8::from(successful));
    poll_until("the metric", daemon.log_changes(), async || {
        (daemon.metrics().await["config_last_reload_successful"] == value).then_some(())
    })
    .await;
}

/// A configuration with callbacks over TLS that names a file for every secret, written with its files.
fn write_with_files(bed: &TestBed) -> (String, PathBuf) {
    let path = |name: &str| bed.dir.path().join(name);
    let mut config = bed.review_config(Transport::Http, ANY_OF_THREE);
    for (name, secret) in [("token", bed.slack.token()), ("secret", bed.slack.app().signing_secret)] {
        std::fs::write(path(name), &secret).unwrap();
        config = config.replace(&format!("{secret:?}"), &format!("{:?}", path(name)));
    }
    for end in ["key", "crt"] {
        std::fs::copy(path(&format!("auth.{end}")), path(&format!("own.{end}"))).unwrap();
    }
    config.push_str("[diagnostics]\nlisten_addr = \"127.0.0.1:0\"\n");
    let tls = "\nhttps_key_file = \"own.key\"\nhttps_cert_file = \"own.crt\"\n";
    let config = config.replacen("[http]", &format!("[http]{tls}"), 1);
    let file = bed.write_config(&config);
    (config, file)
}

#[test]
fn what_is_put_back_right_after_a_refusal_ends_it_with_one_line() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let (_, config) = write_with_files(&bed);
        let daemon = Daemon::start(&config, &bed.slack.token());
        bed.until_logged(&daemon, "Ready").await;
        let cases = [
            ("teleport-slack.toml", "[[[", "teleport-slack.toml:1"),
            ("auth.key", "nonsense", "auth.key"),
            ("auth.crt", "nonsense", "auth.crt"),
            ("own.key", "nonsense", "own.key"),
            ("own.crt", "nonsense", "own.crt"),
            ("token", "nonsense", "is not a bot token"),
            ("token", "xoxb-3-unknown-4711", "is not used"),
            ("secret", "short", "is too short"),
        ];
        for (round, (name, wrong, words)) in (1..).zip(cases) {
            let path = bed.dir.path().join(name);
            let good = std::fs::read(&path).unwrap();
            std::fs::write(&path, wrong).unwrap();
            daemon.signal("HUP");
            until_times_logged(&bed, &daemon, REFUSED, round).await;
            std::fs::write(&path, good).unwrap();
            let last = daemon.log().lines().rfind(|line| line.contains(REFUSED)).unwrap().to_owned();
            assert!(last.contains(words), "{name}: {last}");
            until_times_logged(&bed, &daemon, GOOD_AGAIN, round).await;
            until_reload_is(&daemon, true).await;
        }
        assert_eq!(daemon.times_logged(IN_USE), 0, "{}", daemon.log());
        let log = daemon.stop().await;
        assert!(!log.contains("4711"), "{log}");
    });
}

#[test]
fn the_end_of_a_refusal_is_logged_whatever_the_severity() {
    run_in_process(async {
        for severity in ["WARN", "ERROR"] {
            let bed = TestBed::new().await;
            let daemon = bed.start_with_diagnostics(TEAM).await;
            let path = bed.dir.path().join("teleport-slack.toml");
            let before = std::fs::read_to_string(&path).unwrap();
            let good = before.replace("severity = \"DEBUG\"", &format!("severity = \"{severity}\""));
            assert_ne!(good, before);
            std::fs::write(&path, &good).unwrap();
            daemon.signal("HUP");
            until_times_logged(&bed, &daemon, IN_USE, 1).await;
            let other = good.replace(TEAM, TEAM_AND_DBA);
            for (round, (put, answer)) in (1..).zip([(&good, GOOD_AGAIN), (&other, IN_USE)]) {
                std::fs::write(&path, "[[[").unwrap();
                daemon.signal("HUP");
                until_times_logged(&bed, &daemon, REFUSED, round).await;
                std::fs::write(&path, put).unwrap();
                until_times_logged(&bed, &daemon, answer, round).await;
                until_reload_is(&daemon, true).await;
            }
            daemon.stop().await;
        }
    });
}

#[test]
fn a_file_that_is_removed_or_replaced_by_a_folder_or_a_pipe_is_found_again() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let path = bed.dir.path().join("teleport-slack.toml");
        let make_pipe: Change = |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        };
        let replacements: [(Change, Change); 3] = [
            (|_| {}, |_| {}),
            (|path| std::fs::create_dir(path).unwrap(), |path| std::fs::remove_dir(path).unwrap()),
            (make_pipe, |path| std::fs::remove_file(path).unwrap()),
        ];
        for (round, (put, take_away)) in (1..).zip(replacements) {
            let good = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            put(&path);
            daemon.signal("HUP");
            until_times_logged(&bed, &daemon, REFUSED, round).await;
            take_away(&path);
            std::fs::write(&path, good).unwrap();
            until_times_logged(&bed, &daemon, GOOD_AGAIN, round).await;
            until_reload_is(&daemon, true).await;
        }
        daemon.stop().await;
    });
}

#[test]
fn another_mistake_is_reported_once_and_a_new_good_configuration_is_taken_up() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        bed.write_config("[[[");
        daemon.signal("HUP");
        bed.until_logged(&daemon, REFUSED).await;
        // Without another signal.
        let good = bed.config_with_diagnostics(TEAM_AND_DBA);
        bed.write_config(&good.replace("recipients", "recipient"));
        bed.until_logged(&daemon, "slack.recipient").await;
        let lines = daemon.times_logged(REFUSED);
        bed.write_config(&good);
        bed.until_logged(&daemon, IN_USE).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        until_reload_is(&daemon, true).await;
        assert_eq!(daemon.times_logged(REFUSED), lines, "{}", daemon.log());
        assert_eq!(daemon.times_logged("slack.recipient:"), 1, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn what_a_signal_took_up_is_left_when_the_file_is_put_back_without_one() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.write_config(&bed.config(TEAM_AND_DBA));
        daemon.signal("HUP");
        bed.until_logged(&daemon, IN_USE).await;
        bed.write_config(&bed.config(TEAM));
        until_times_logged(&bed, &daemon, IN_USE, 2).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert!(bed.message_about("C0DBA", &id).is_none());
        daemon.stop().await;
    });
}

#[test]
fn an_address_that_another_program_had_is_taken_once_it_is_free() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        bed.write_config(&bed.config(&format!("{TEAM}\n[diagnostics]\nlisten_addr = \"{address}\"")));
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, REFUSED).await;
        assert!(line.contains(&address.to_string()), "{line}");
        drop(other);
        bed.until_logged(&daemon, IN_USE).await;
        bed.until_logged(&daemon, "Serving health and metrics on ").await;
        until_reload_is(&daemon, true).await;
        assert_eq!(daemon.times_logged(REFUSED), 1, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn a_port_that_the_daemon_itself_has_is_called_so() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let line = daemon.find_logged("Serving health and metrics on ").unwrap();
        let own = line.rsplit("http://").next().unwrap().trim().to_owned();
        let (_, port) = own.rsplit_once(':').unwrap();
        bed.write_config(&bed.config_with_diagnostics(TEAM).replace("127.0.0.1:0", &format!(":{port}")));
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, REFUSED).await;
        let words = format!("; this daemon itself listens at {own}: restart it, or choose another port");
        assert!(line.contains(&words) && !line.contains("another program"), "{line}");
        until_reload_is(&daemon, false).await;
        daemon.stop().await;
    });
}

#[test]
fn a_refusal_while_the_daemon_starts_ends_as_well() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let token = bed.slack.token();
        let config = bed.config_with_diagnostics(TEAM);
        bed.slack.set_token("xoxb-2-later");
        let daemon = bed.launch(&config);
        bed.until_warned(&daemon, "Slack refuses the bot token").await;
        bed.write_config("[[[");
        daemon.signal("HUP");
        bed.until_logged(&daemon, REFUSED).await;
        bed.write_config(&config);
        bed.until_logged(&daemon, GOOD_AGAIN).await;
        until_reload_is(&daemon, true).await;
        // One that stands when the start is over ends later.
        bed.write_config("[[[");
        daemon.signal("HUP");
        until_times_logged(&bed, &daemon, REFUSED, 2).await;
        bed.slack.set_token(&token);
        bed.until_logged(&daemon, "Ready").await;
        until_reload_is(&daemon, false).await;
        bed.write_config(&config);
        until_times_logged(&bed, &daemon, GOOD_AGAIN, 2).await;
        until_reload_is(&daemon, true).await;
        daemon.stop().await;
    });
}

#[test]
fn a_refused_token_in_a_file_is_logged_once() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let file = bed.dir.path().join("token");
        let token = bed.slack.token();
        std::fs::write(&file, &token).unwrap();
        let config = bed.config(TEAM).replace(&format!("{token:?}"), &format!("{file:?}"));
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        let asked = bed.slack.calls_of("auth.test").len();
        std::fs::write(&file, "xoxb-3-unknown-4711").unwrap();
        daemon.signal("HUP");
        // The reload asked, then who watches the file, then the reload again.
        let has_asked = || (bed.slack.calls_of("auth.test").len() >= asked + 3).then_some(());
        bed.until(&daemon, "three calls", has_asked).await;
        std::fs::write(&file, &token).unwrap();
        bed.until_logged(&daemon, GOOD_AGAIN).await;
        let log = daemon.stop().await;
        let logged = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
        let logged: Vec<_> = logged.filter(|line| line.contains("bot token")).collect();
        assert_eq!(logged.len(), 1, "{logged:#?}");
        assert!(logged[0].contains(REFUSED) && logged[0].contains(file.to_str().unwrap()), "{logged:?}");
    });
}

#[test]
fn the_port_that_was_given_may_be_written_in_the_place_of_port_0() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let config = bed.review_config(Transport::Http, ANY_OF_THREE);
        let with_diagnostics = format!("{config}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\"");
        bed.write_config(&with_diagnostics);
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, "Serving health and metrics on ").await;
        let diagnostics = line.rsplit("http://").next().unwrap().trim().to_owned();
        let url = callback_url(&bed, &daemon).await;
        let callbacks = url.trim_start_matches("http://").split('/').next().unwrap();
        let fixed = with_diagnostics.replacen("127.0.0.1:0", callbacks, 1);
        let fixed = fixed.replacen("127.0.0.1:0", &diagnostics, 1);
        bed.write_config(&fixed);
        daemon.signal("HUP");
        until_times_logged(&bed, &daemon, IN_USE, 2).await;
        for words in ["Serving health and metrics on ", "Starting insecure HTTP server on "] {
            assert_eq!(daemon.times_logged(words), 1, "{}", daemon.log());
        }
        until_reload_is(&daemon, true).await;
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        daemon.stop().await;
    });
}
