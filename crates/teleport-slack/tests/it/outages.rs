//! What the log says while a side is away: of the side, and not of each call or try.

use access_sim::slack::faults::{Fault, FaultRule};

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

#[test]
fn a_second_short_outage_is_not_logged_for_each_destination() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA", "bob@example.com"]"#).await;
        let until_all = async |ids: &[String]| {
            for id in ids {
                for destination in ["C0TEAM", "C0DBA", "U0BOB"] {
                    bed.until_status(&daemon, destination, id, "⏳ PENDING").await;
                }
            }
        };
        until_all(&[bed.create_request()]).await;
        for round in 1..=2 {
            bed.slack.stop().await;
            let ids = [bed.create_request(), bed.create_request()];
            // Each destination fails, and then nothing has been answered since.
            let failed = |destination: &str| {
                let words = format!("destination={destination} ");
                daemon.log().lines().filter(|line| line.contains("failed") && line.contains(&words)).count()
            };
            let have_failed = || ["C0TEAM", "C0DBA", "U0BOB"].iter().all(|to| failed(to) >= round);
            bed.until(&daemon, "a failure everywhere", || have_failed().then_some(())).await;
            bed.slack.restart().await.unwrap();
            until_all(&ids).await;
        }
        let log = daemon.stop().await;
        assert_eq!(shown(&log, "Slack does not answer").len(), 1, "{log}");
        let failed: Vec<_> =
            shown(&log, "failed").into_iter().filter(|line| line.contains("destination=")).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(shown(&log, "accepts messages").is_empty(), "{log}");
    });
}

#[test]
fn what_slack_refuses_to_the_app_has_one_line_for_all_destinations() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA", "U0BOB", "U0CAROL"]"#).await;
        let destinations = ["C0TEAM", "C0DBA", "U0BOB", "U0CAROL"];
        let mut lines = 0;
        for code in ["token_revoked", "account_inactive", "team_access_not_granted", "missing_scope"] {
            for method in ["chat.postMessage", "auth.test"] {
                bed.slack.faults().add(FaultRule::new(method, Fault::Error(code.to_owned())));
            }
            let ids = [bed.create_request(), bed.create_request()];
            let tried = |destination: &&str| {
                let words = format!("failed: {code}");
                let ours = format!("destination={destination} ");
                daemon.log().lines().any(|line| line.contains(&words) && line.contains(&ours))
            };
            bed.until(&daemon, "a try everywhere", || destinations.iter().all(tried).then_some(())).await;
            bed.slack.faults().clear();
            for (id, destination) in ids.iter().flat_map(|id| destinations.map(|to| (id, to))) {
                bed.until_status(&daemon, destination, id, "⏳ PENDING").await;
            }
            lines += 1;
            let log = daemon.log();
            let errors = shown(&log, " ERROR ");
            assert_eq!(errors.len(), lines, "{code}: {errors:#?}");
            assert!(!errors[lines - 1].contains("destination="), "{}", errors[lines - 1]);
            let over = shown(&log, "Slack takes ");
            assert_eq!(over.len(), lines, "{code}: {over:#?}");
        }
        let log = daemon.stop().await;
        assert!(shown(&log, "accepts messages").is_empty(), "{log}");
    });
}

#[test]
fn a_look_up_that_fails_for_an_outage_is_a_step() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        bed.until(&daemon, "the check", || bed.slack.calls_of("users.lookupByEmail").pop()).await;
        bed.slack.stop().await;
        let id = bed.create_request();
        let words = "Cannot look the recipient up: Slack's users.lookupByEmail failed";
        let line = bed.until_logged(&daemon, words).await;
        assert!(line.contains(" DEBUG ") && line.contains("recipient=bob@example.com"), "{line}");
        bed.slack.restart().await.unwrap();
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(shown(&log, words).is_empty(), "{log}");
    });
}

#[test]
fn recipients_that_a_reload_cannot_look_at_have_one_line_with_their_number() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.slack.stop().await;
        bed.write_config(&bed.config(r##"recipients = ["#team", "C0DBA", "U0BOB", "carol@example.com"]"##));
        daemon.signal("HUP");
        let words = "4 recipients cannot be looked at for the new configuration: Slack's ";
        bed.until_warned(&daemon, words).await;
        bed.slack.restart().await.unwrap();
        let id = bed.create_request();
        for destination in ["C0TEAM", "C0DBA", "U0BOB", "U0CAROL"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        let log = daemon.stop().await;
        assert_eq!(shown(&log, "be looked at").len(), 1, "{log}");
        assert!(!log.contains("when starting"), "{log}");
    });
}

#[test]
fn a_second_short_loss_of_the_watch_has_no_line() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        for lost in 1..=2 {
            bed.teleport.stop().await;
            let losses =
                || daemon.times_logged("Watcher lost: ") + daemon.times_logged("Watcher still lost: ");
            bed.until(&daemon, "the loss", || (losses() >= lost).then_some(())).await;
            bed.teleport.restart().await.unwrap();
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        }
        let log = daemon.stop().await;
        let lost = shown(&log, "Watcher lost");
        assert_eq!(lost.len(), 1, "{log}");
        for stray in ["h2 ", "close_notify", "protocol error"] {
            assert!(!lost[0].contains(stray), "words of a library: {}", lost[0]);
        }
    });
}

#[test]
fn what_answers_in_slacks_place_has_one_line_for_all_destinations() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        let destinations = ["C0TEAM", "C0DBA"];
        bed.slack.faults().add(FaultRule::new("*", Fault::NotJson));
        let ids = [bed.create_request(), bed.create_request()];
        let tried = |destination: &&str| {
            let ours = format!("destination={destination} ");
            daemon.log().lines().any(|line| line.contains("no valid JSON") && line.contains(&ours))
        };
        bed.until(&daemon, "a try everywhere", || destinations.iter().all(tried).then_some(())).await;
        bed.slack.faults().clear();
        for (id, destination) in ids.iter().flat_map(|id| destinations.map(|to| (id, to))) {
            bed.until_status(&daemon, destination, id, "⏳ PENDING").await;
        }
        let log = daemon.stop().await;
        let not_slacks: Vec<_> = shown(&log, "no valid JSON");
        let (side, others): (Vec<&str>, Vec<_>) = not_slacks.into_iter().partition(|line| {
            line.contains(" still does not answer") || line.contains("Slack does not answer, and")
        });
        assert!(others.is_empty(), "{others:#?}");
        let first = side
            .iter()
            .filter(|line| line.contains("WARN  Slack does not answer, and what is due there waits: "));
        assert_eq!(first.count(), 1, "{side:#?}");
        assert!(shown(&log, "accepts messages").is_empty(), "{log}");
        // Each was in doubt, and looked for.
        let again = shown(&log, "Unconfirmed message not found");
        assert!(again.len() == 1 && again[0].contains("times=1"), "{again:#?}");
    });
}

#[test]
fn a_rate_limit_has_one_line_for_all_destinations() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA", "U0BOB"]"#).await;
        let destinations = ["C0TEAM", "C0DBA", "U0BOB"];
        let id = bed.create_request();
        for destination in destinations {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        for channel in ["C0TEAM", "C0DBA", "D0BOB"] {
            let limited = Fault::RateLimited { retry_after: 1 };
            bed.slack.faults().add(FaultRule::new("chat.update", limited).in_channel(channel).times(1));
        }
        bed.approve(&id);
        for destination in destinations {
            bed.until_status(&daemon, destination, &id, "✅ APPROVED (looks fine)").await;
        }
        assert_eq!(bed.slack.faults().pending(), 0);
        let log = daemon.stop().await;
        let limited = log.lines().filter(|line| line.contains("too many calls")).count();
        assert!(limited > 1, "{log}");
        let lines = shown(&log, "too many calls");
        assert!(lines.len() == 1 && lines[0].contains(" INFO "), "{lines:#?}");
        assert!(shown(&log, "accepts edits").is_empty(), "{log}");
    });
}

#[test]
fn a_refused_token_has_one_error_also_for_those_who_click() {
    use crate::harness::deciding::*;
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        // No other call shows that Slack takes the token.
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        for method in ["users.info", "auth.test"] {
            bed.slack.faults().add(FaultRule::new(method, Fault::Error("token_revoked".to_owned())));
        }
        let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(reply.contains("Slack"), "{reply}");
        bed.until_logged(&daemon, "Slack refuses the bot token").await;
        let log = daemon.log();
        assert_eq!(shown(&log, " ERROR ").len(), 1, "{log}");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_end_of_an_outage_is_noticed_although_nothing_waits() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.slack.stop().await;
        // A look that is not repeated.
        bed.write_config(&bed.config(r#"recipients = ["C0DBA"]"#));
        daemon.signal("HUP");
        bed.until_warned(&daemon, "Slack does not answer").await;
        bed.until_logged(&daemon, "The new configuration is in use").await;
        bed.slack.restart().await.unwrap();
        bed.until_logged(&daemon, "Slack answers again: away for ").await;
        daemon.stop().await;
    });
}
