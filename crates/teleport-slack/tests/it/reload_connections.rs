//! What a reload once left to a restart: the log, and the addresses of both sides.

use access_sim::slack::{self, SlackSim};
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport;

use crate::harness::deciding::*;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const IN_USE: &str = "The new configuration is in use";
const REFUSED: &str = "The new configuration is refused, so the one before stays in use";

/// A configuration with another table `[log]`.
fn with_log(config: &str, log: &str) -> String {
    let (before, _) = config.split_once("[log]").unwrap();
    format!("{before}[log]\n{log}\n")
}

async fn until_file_holds(bed: &TestBed, daemon: &Daemon, name: &str, words: &str) -> String {
    let path = bed.dir.path().join(name);
    let read = || std::fs::read_to_string(&path).ok().filter(|text| text.contains(words));
    bed.until(daemon, &format!("{words:?} in {name}"), read).await
}

#[test]
fn the_log_goes_to_a_new_place_in_a_new_form_and_from_a_new_severity_on() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let [first, second] = ["first.log", "second.log"].map(|name| bed.dir.path().join(name));
        let config = bed.config(TEAM);
        let reload = |log: String| {
            bed.write_config(&with_log(&config, &log));
            daemon.signal("HUP");
        };
        // One that cannot be opened changes nothing.
        reload("output = \"absent/slack.log\"\nseverity = \"ERROR\"".to_owned());
        let line = bed.until_logged(&daemon, REFUSED).await;
        assert!(line.contains("absent/slack.log") && line.contains("log.output"), "{line}");
        let before = bed.create_request();
        bed.until_logged(&daemon, " DEBUG ").await;
        // What is in progress may still log while the log changes its place, and then its level.
        let is_done =
            |record: &_| !field(record, "messages").is_empty() && field(record, "x_claim").is_empty();
        bed.until_recorded(&daemon, &before, is_done).await;

        reload(format!("output = {first:?}\nseverity = \"INFO\"\nformat = \"json\""));
        let words = format!("The log continues in {}", first.display());
        bed.until_logged(&daemon, &words).await;
        let text = until_file_holds(&bed, &daemon, "first.log", IN_USE).await;
        assert!(text.contains(r#""changed":"log""#), "{text}");
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let text = until_file_holds(&bed, &daemon, "first.log", &id).await;
        assert!(text.lines().all(|line| line.starts_with('{')), "{text}");
        assert!(!text.contains("DEBUG"), "{text}");
        assert!(!daemon.log().contains(&id), "{}", daemon.log());

        // In the same file only the form and the level change.
        reload(format!("output = {first:?}\nseverity = \"DEBUG\"\nformat = \"text\""));
        until_file_holds(&bed, &daemon, "first.log", " DEBUG ").await;
        reload(format!("output = {second:?}"));
        let text = until_file_holds(&bed, &daemon, "second.log", IN_USE).await;
        assert!(!text.contains(" DEBUG "), "{text}");
        daemon.stop().await;
        assert!(std::fs::read_to_string(&second).unwrap().contains("Stopped"));
    });
}

#[test]
fn signals_are_answered_whatever_the_severity() {
    run_test(async {
        let bed = TestBed::new().await;
        let [first, second] = ["first.log", "second.log"].map(|name| bed.dir.path().join(name));
        let config = bed.config(TEAM);
        let log = |path: &std::path::Path| format!("output = {path:?}\nseverity = \"ERROR\"");
        let daemon = bed.start(TEAM).await;
        bed.write_config(&with_log(&config, &log(&first)));
        daemon.signal("HUP");
        let answer = async |name: &str, words: &str| until_file_holds(&bed, &daemon, name, words).await;
        answer("first.log", IN_USE).await;
        daemon.signal("USR1");
        answer("first.log", "SIGUSR1 received: the log level is DEBUG until another SIGUSR1").await;
        daemon.signal("USR1");
        answer("first.log", "SIGUSR1 received: the log level is ERROR again, as configured").await;
        daemon.signal("HUP");
        answer("first.log", "SIGHUP received: the log file ").await;
        answer("first.log", "The configuration was read again; nothing in it changed").await;
        daemon.signal("USR2");
        answer("first.log", "SIGUSR2 received: the log file ").await;
        bed.write_config(&with_log(&config, &log(&second)));
        daemon.signal("HUP");
        answer("second.log", IN_USE).await;
        assert!(answer("first.log", "The log continues in ").await.trim_end().ends_with("says"));
        daemon.stop().await;
        let text = std::fs::read_to_string(&second).unwrap();
        assert!(text.contains("Stopping: SIGTERM received") && text.contains("Stopped"), "{text}");
        assert!(text.lines().all(|line| line.contains(" INFO ")), "{text}");
        assert_eq!(text.lines().count(), 3, "only answers: {text}");
    });
}

#[test]
fn a_configuration_that_comes_during_the_start_changes_the_log_too() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let config = bed.config(TEAM);
        let daemon = bed.launch(&config.replace(&bed.slack.token(), "xoxb-wrong-4711"));
        bed.until_warned(&daemon, "Slack refuses the bot token").await;
        daemon.signal("HUP");
        bed.until_logged(&daemon, "The configuration was read again; nothing in it changed").await;
        let file = bed.dir.path().join("slack.log");
        bed.write_config(&with_log(&config, &format!("output = {file:?}")));
        daemon.signal("HUP");
        until_file_holds(&bed, &daemon, "slack.log", "Ready").await;
        daemon.stop().await;
    });
}

#[test]
fn a_signal_that_reopens_the_log_and_a_reload_that_moves_it_agree() {
    run_test(async {
        let bed = TestBed::new().await;
        let [first, second] = ["first.log", "second.log"].map(|name| bed.dir.path().join(name));
        let config = bed.config(TEAM);
        let daemon = bed.launch(&with_log(&config, &format!("output = {first:?}")));
        until_file_holds(&bed, &daemon, "first.log", "Ready").await;
        bed.write_config(&with_log(&config, &format!("output = {second:?}")));
        daemon.signal("HUP");
        until_file_holds(&bed, &daemon, "second.log", IN_USE).await;
        daemon.signal("USR2");
        let words = format!("SIGUSR2 received: the log file {} was reopened", second.display());
        until_file_holds(&bed, &daemon, "second.log", &words).await;
        bed.write_config("nonsense");
        daemon.signal("HUP");
        until_file_holds(&bed, &daemon, "second.log", REFUSED).await;
        daemon.stop().await;
        assert!(!std::fs::read_to_string(&first).unwrap().contains(REFUSED));
    });
}

/// Writes another configuration, sends SIGHUP, and waits until it is in use.
async fn reload(bed: &TestBed, daemon: &Daemon, config: &str) {
    let before = daemon.times_logged(IN_USE);
    bed.write_config(config);
    daemon.signal("HUP");
    bed.until(daemon, IN_USE, || (daemon.times_logged(IN_USE) > before).then_some(())).await;
}

#[test]
fn the_watch_and_all_calls_move_to_another_address_of_teleport() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let old = TcpProxy::start(bed.teleport.addr()).await.unwrap();
        let direct = bed.review_config(Transport::Socket, ANY_OF_THREE);
        let (addr, through_old) = (bed.teleport.addr().to_string(), old.addr().to_string());
        bed.slack.set_socket_mode(true);
        let daemon = bed.launch_with_review(&direct.replace(&addr, &through_old));
        bed.until_logged(&daemon, "Ready").await;
        let first = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &first).await;
        reload(&bed, &daemon, &direct).await;
        let is_moved = || (daemon.times_logged("Watcher connected") == 2).then_some(());
        bed.until(&daemon, "the watch at the new address", is_moved).await;
        old.cut().await;
        let second = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &second, "⏳ PENDING").await;
        bed.assert_bob_can_approve(&daemon, &message, &first).await;
        for (id, status) in [(&first, "✅ APPROVED"), (&second, "⏳ PENDING")] {
            for destination in ["C0TEAM", "U0BOB"] {
                bed.until_status(&daemon, destination, id, status).await;
            }
        }
        assert_eq!(daemon.times_logged("Watcher connected"), 2, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn another_cluster_and_an_address_that_does_not_answer_are_refused() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let mut options = teleport::Options::golden();
        options.fixture.cluster = "two.example.com".to_owned();
        let other = TestBed::with_options(options, workspace()).await;
        let daemon = bed.start(TEAM).await;
        let config = bed.config(TEAM);
        let addr = bed.teleport.addr().to_string();
        bed.write_config(&config.replace(&addr, "127.0.0.1:1"));
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, "teleport.addr = 127.0.0.1:1 is not used").await;
        assert!(line.contains(REFUSED) && line.contains("refused; is the auth server running"), "{line}");
        let mut elsewhere = config.replace(&addr, &other.teleport.addr().to_string());
        for name in ["auth.key", "auth.crt", "auth.cas"] {
            let path = other.dir.path().join(name);
            elsewhere = elsewhere.replace(&format!("{name:?}"), &format!("{path:?}"));
        }
        bed.write_config(&elsewhere);
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, "leads to the cluster two.example.com").await;
        assert!(line.contains(REFUSED) && line.contains("restart the daemon if that is meant"), "{line}");
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert!(other.teleport.audit().is_empty());
        daemon.stop().await;
    });
}

#[test]
fn calls_and_sockets_move_to_another_address_of_slack() {
    run_in_process(async {
        let (bed, daemon, first, message) = start_with_pending(Transport::Socket, ANY_OF_THREE).await;
        let new = TcpProxy::start(bed.slack.addr()).await.unwrap();
        let opened = bed.slack.calls_of("apps.connections.open").len();
        let config = bed.review_config(Transport::Socket, ANY_OF_THREE);
        let (old_url, new_url) = (bed.slack.addr().to_string(), new.addr().to_string());
        reload(&bed, &daemon, &config.replace(&old_url, &new_url)).await;
        let sockets = bed.slack.sockets();
        let has_moved = || {
            let calls = bed.slack.calls_of("apps.connections.open").len() >= opened + 2;
            (calls && sockets.count() == 2).then_some(())
        };
        bed.until(&daemon, "two new sockets and no old one", has_moved).await;
        // Nothing goes to the old address, and nothing is lost meanwhile.
        new.cut().await;
        let second = bed.create_request();
        bed.until_logged(&daemon, "chat.postMessage failed: no connection").await;
        assert!(bed.message_about("C0TEAM", &second).is_none());
        new.restore().await.unwrap();
        bed.until_status(&daemon, "C0TEAM", &second, "⏳ PENDING").await;
        // Its reply goes to an address at the host of before.
        bed.assert_bob_can_approve(&daemon, &message, &first).await;
        for (id, status) in [(&first, "✅ APPROVED"), (&second, "⏳ PENDING")] {
            for destination in ["C0TEAM", "U0BOB"] {
                bed.until_status(&daemon, destination, id, status).await;
            }
        }
        daemon.stop().await;
    });
}

#[test]
fn another_workspace_is_refused() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let mut elsewhere = workspace();
        elsewhere.team.id = "T0OTHER".to_owned();
        let other = SlackSim::start(slack::Options::new(elsewhere)).await.unwrap();
        other.set_token(&bed.slack.token());
        let daemon = bed.start(TEAM).await;
        bed.write_config(&bed.config(TEAM).replace(&bed.slack.api_url(), &other.api_url()));
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, "is of another app or workspace").await;
        assert!(line.contains(REFUSED) && line.contains("slack.api_url = "), "{line}");
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert!(other.all_messages().is_empty());
        daemon.stop().await;
    });
}

#[test]
fn a_refused_address_is_no_outage_of_the_slack_in_use() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.write_config(&bed.config(TEAM).replace(&bed.slack.api_url(), "http://127.0.0.1:1/api/"));
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, "slack.api_url = http://127.0.0.1:1/api/ is not used").await;
        assert!(line.contains(REFUSED), "{line}");
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(!log.contains("what is due there waits") && !log.contains("Slack answers again"), "{log}");
    });
}
