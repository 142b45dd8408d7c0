//! What the log says while a side is away: of the side, and not of each call or try.

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

/// Lines that an operator sees at INFO with these words.
fn shown<'a>(log: &'a str, words: &str) -> Vec<&'a str> {
    log.lines().filter(|line| !line.contains(" DEBUG ") && line.contains(words)).collect()
}

#[test]
fn slack_away_is_logged_at_once_reminded_of_and_counted_at_its_end() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start("recipients = [\"C0TEAM\", \"bob@example.com\"]").await;
        bed.slack.stop().await;
        let ids = [bed.create_request(), bed.create_request(), bed.create_request()];
        bed.until_logged(&daemon, "Slack does not answer").await;
        // Harness: reminders after 0.6 and 1.5 s.
        let reminders = || daemon.times_logged("WARN  Slack still does not answer: ");
        bed.until(&daemon, "two reminders", || (reminders() == 2).then_some(())).await;
        bed.slack.restart().await.unwrap();
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        bed.until_logged(&daemon, "Slack answers again: away for ").await;
        let log = daemon.stop().await;
        let end = shown(&log, "Slack answers again")[0];
        assert!(end.contains(" INFO ") && !end.contains(" 0 messages waited"), "{end}");
        let failed = shown(&log, "failed");
        assert_eq!(failed.len(), 3, "the outage and its reminders name the cause: {failed:#?}");
        let is_of_side = |line: &&str| line.contains(" does not answer") && !line.contains("request=");
        assert!(failed.iter().all(is_of_side), "{failed:#?}");
        assert!(failed[0].contains("remedy: check name resolution"), "{}", failed[0]);
        assert!(shown(&log, " ERROR ").is_empty(), "{log}");
    });
}

#[test]
fn teleport_away_is_logged_at_once_reminded_of_and_counted_at_its_end() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.teleport.stop().await;
        bed.until_logged(&daemon, "Watcher lost").await;
        let reminders = || daemon.times_logged("WARN  The watch on Teleport still does not work: ");
        bed.until(&daemon, "two reminders", || (reminders() == 2).then_some(())).await;
        let meanwhile = [bed.create_request(), bed.create_request()];
        bed.teleport.restart().await.unwrap();
        for id in &meanwhile {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        let end = bed.until_logged(&daemon, "The watch on Teleport works again: away for ").await;
        let log = daemon.stop().await;
        assert!(end.contains(" INFO ") && end.ends_with(" requests waited"), "{end}");
        assert_eq!(shown(&log, "Watcher lost").len(), 1, "{log}");
        assert!(shown(&log, " ERROR ").is_empty(), "{log}");
    });
}
