//! What a reload once left to a restart: the log, and the addresses of both sides.

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
        bed.create_request();
        bed.until_logged(&daemon, " DEBUG ").await;

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
fn a_configuration_that_comes_during_the_start_changes_the_log_too() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let config = bed.config(TEAM);
        let daemon = bed.launch(&config.replace(&bed.slack.token(), "xoxb-wrong-4711"));
        bed.until_warned(&daemon, "Slack refuses the bot token").await;
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
