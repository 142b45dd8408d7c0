//! Slack sends invalid answers, answers slowly or not at all, or asks to wait. Nothing is lost, nothing else waits, and
//! the log names each cause once.

use std::time::Duration;

use access_sim::slack::call_log::Call;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::rate::RateLimits;
use access_sim::slack::workspace::TokenState;
use access_sim::teleport::Options;
use access_sim::teleport::request::NewRequest;

use crate::harness::daemon::MetricValues;
use crate::harness::deciding::*;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const POST: &str = "chat.postMessage";
/// The log's addition when it is unknown whether Slack posted.
const IN_DOUBT: &str = "Slack may have carried it out all the same";

/// Every way in which one post can fail: the fault, the words in the log, and whether Slack posted nevertheless.
fn failures() -> Vec<(FaultRule, &'static str, bool)> {
    let post = |fault| FaultRule::new(POST, fault);
    let status = |status| Fault::Status { status, body: "<html>oops</html>".into() };
    let error = |code: &str| Fault::Error(code.into());
    vec![
        (post(Fault::NotJson), "the answer is not Slack's: no valid JSON", false),
        (post(Fault::NotAnObject), "the answer is not Slack's: not a JSON object", false),
        (post(Fault::NoOk), "the answer is not Slack's: no boolean `ok`", false),
        (post(Fault::Oversized(50 << 20)), "the answer is larger than 1048576 bytes", false),
        (post(Fault::WrongContentType), "content of text/html", true),
        (post(Fault::HalfBody), "the connection broke", true),
        (post(Fault::Reset), "the connection broke", false),
        (post(Fault::Reset).after_work(), "the connection broke", true),
        (post(status(500)), "HTTP status 500", false),
        (post(status(403)), "HTTP status 403", false),
        (post(Fault::Redirect("http://127.0.0.1:9/login".into())), "redirects are not followed", false),
        (post(error("fatal_error")), "fatal_error (Slack failed while carrying it out)", false),
        (post(error("service_unavailable")), "Slack is not available for the moment", false),
    ]
}

/// Posts one request into a channel per failure. `copies` says how many messages each channel has in the end. Returns
/// the log and the metrics.
async fn notified_through_failures(
    scopes: Option<&[&str]>,
    copies: impl Fn(bool) -> usize,
) -> (String, MetricValues) {
    let failures = failures();
    let channels: Vec<_> = (0..failures.len()).map(|n| format!("C0F{n}")).collect();
    let mut workspace = workspace();
    for (n, channel) in channels.iter().enumerate() {
        workspace = workspace.add_channel(channel, &format!("f{n}"));
    }
    if let Some(scopes) = scopes {
        workspace = workspace.with_scopes(scopes);
    }
    let bed = TestBed::with_options(Options::golden(), workspace).await;
    let daemon = bed.start_with_diagnostics(&format!("recipients = {channels:?}")).await;
    for ((rule, ..), channel) in failures.iter().zip(&channels) {
        bed.slack.faults().add(rule.clone().in_channel(channel).times(1));
    }
    let id = bed.create_request();
    for ((_, words, was_done), channel) in failures.iter().zip(&channels) {
        let what = format!("{words:?} of {channel} in the log");
        let named = |line: &&str| line.contains(words) && line.contains(&format!("destination={channel} "));
        let line = bed.until(&daemon, &what, || daemon.log().lines().find(named).map(str::to_owned)).await;
        assert!(line.contains("chat.postMessage") && line.contains("retry_in_s="), "{line}");
        assert!(!was_done || line.contains(IN_DOUBT), "{line}");
        let recorded = format!("{channel}/");
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains(&recorded)).await;
        assert_eq!(bed.messages_about(channel, &id).len(), copies(*was_done), "{words}");
    }
    bed.approve(&id);
    for channel in &channels {
        bed.until(&daemon, &format!("the approval in {channel}"), || {
            let messages = bed.messages_about(channel, &id);
            messages.iter().find(|message| status_line(message).contains("APPROVED")).map(|_| ())
        })
        .await;
    }
    let figures = daemon.metrics().await;
    let log = daemon.stop().await;
    for ((_, words, was_done), channel) in failures.iter().zip(&channels) {
        assert_eq!(bed.messages_about(channel, &id).len(), copies(*was_done), "{words}");
    }
    let in_doubt =
        log.lines().filter(|line| line.contains("destination=") && line.contains(IN_DOUBT)).count();
    assert_eq!(figures["in_doubt_posts_total"], in_doubt as f64, "{log}");
    assert!(figures["slack_operation_retries_total"] >= failures.len() as f64, "{figures:?}");
    (log, figures)
}

/// The metrics of in-doubt posts: found, not found, and posted again unverified.
fn in_doubt_counts(figures: &MetricValues) -> [f64; 3] {
    [
        "in_doubt_posts_resolved_total{result=\"found\"}",
        "in_doubt_posts_resolved_total{result=\"not_found\"}",
        "possible_duplicates_total",
    ]
    .map(|name| figures[name])
}

#[test]
fn every_failing_post_is_logged_and_ends_as_one_message() {
    run_in_process(async {
        let (log, figures) = notified_through_failures(None, |_| 1).await;
        assert_eq!(in_doubt_counts(&figures), [3.0, figures["in_doubt_posts_total"] - 3.0, 0.0]);
        assert_eq!(log.matches("Found an unconfirmed message in the channel history").count(), 3, "{log}");
        assert!(!log.contains("Posting a message again although"), "{log}");
    });
}

#[test]
fn without_the_history_scopes_a_post_in_doubt_is_repeated_and_logged() {
    run_in_process(async {
        let scopes = ["chat:write", "users:read", "users:read.email"];
        let copies = |was_done| if was_done { 2 } else { 1 };
        let (log, figures) = notified_through_failures(Some(&scopes), copies).await;
        assert_eq!(in_doubt_counts(&figures), [0.0, 0.0, figures["in_doubt_posts_total"]]);
        let said = log.lines().find(|line| line.contains("Posting a message again although")).unwrap();
        assert!(
            said.contains("grant the scopes channels:history") && said.contains("missing_scope"),
            "{said}"
        );
    });
}

#[test]
fn an_outage_and_its_end_are_each_logged_once() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let outage = Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(FaultRule::new("*", outage).times(3));
        let ids = [bed.create_request(), bed.create_request()];
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        let over = bed.until_logged(&daemon, "Slack answers again: away for ").await;
        assert!(over.contains(" INFO ") && over.contains(" waited"), "{over}");
        let line = daemon.find_logged("Slack does not answer").unwrap();
        assert!(line.contains(" WARN ") && line.contains("failed: HTTP status 503"), "{line}");
        assert_eq!(daemon.times_logged("WARN  Slack does not answer"), 1, "{}", daemon.log());
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 2);
    });
}

#[test]
fn a_hanging_call_delays_no_other_message() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0DBA", "C0TEAM"]"#).await;
        bed.slack.faults().add(FaultRule::new(POST, Fault::Hang).in_channel("C0DBA").times(1));
        let hung = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &hung, "⏳ PENDING").await;
        let other = bed.create_request();
        for destination in ["C0TEAM", "C0DBA"] {
            bed.until_status(&daemon, destination, &other, "⏳ PENDING").await;
        }
        assert!(
            bed.message_about("C0DBA", &hung).is_none() && daemon.find_logged("no full answer").is_none()
        );
        let line = bed.until_logged(&daemon, "no full answer within 6s").await;
        assert!(line.contains("destination=C0DBA") && line.contains(IN_DOUBT), "{line}");
        bed.until_status(&daemon, "C0DBA", &hung, "⏳ PENDING").await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 4);
    });
}

#[test]
fn failing_look_ups_and_edits_are_logged_and_delay_no_other_message() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let recipients = r#"recipients = ["C0TEAM", "C0DBA", "bob@example.com", "U0DAVE"]"#;
        for (fault, words) in [
            (Fault::NotJson, "the answer is not Slack's: no valid JSON"),
            (Fault::Oversized(50 << 20), "the answer is larger than 1048576 bytes"),
            (Fault::Hang, "no full answer within "),
        ] {
            // A daemon of its own, because the daemon caches what it finds.
            let methods = ["users.lookupByEmail", "users.info"];
            let calls = || methods.map(|method| bed.slack.calls_of(method).len());
            let before = calls();
            let daemon = bed.start(recipients).await;
            // The check of the recipients at the start must not meet the faults.
            let is_checked = || calls().iter().zip(before).all(|(now, before)| *now > before);
            bed.until(&daemon, "the check of the recipients", || is_checked().then_some(())).await;
            for method in methods {
                bed.slack.faults().add(FaultRule::new(method, fault.clone()).times(1));
            }
            let id = bed.create_request();
            for destination in ["C0TEAM", "C0DBA"] {
                bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            }
            for (method, who) in [("users.lookupByEmail", "bob@example.com"), ("users.info", "U0DAVE")] {
                let named = format!("Slack's {method} failed: {words}");
                let ours = format!("recipient={who} ");
                let of_it = |line: &&str| line.contains(&named) && line.contains(&ours);
                let find = || daemon.log().lines().find(of_it).map(str::to_owned);
                let line = bed.until(&daemon, &named, find).await;
                assert!(line.contains("retry_in_s="), "{line}");
            }
            for destination in ["U0BOB", "U0DAVE"] {
                bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            }

            let edit = FaultRule::new("chat.update", fault.clone()).in_channel("C0DBA");
            bed.slack.faults().add(edit.times(1));
            bed.approve(&id);
            for destination in ["C0TEAM", "U0BOB", "U0DAVE"] {
                bed.until_status(&daemon, destination, &id, "✅ APPROVED (looks fine)").await;
            }
            let line = bed.until_logged(&daemon, &format!("Slack's chat.update failed: {words}")).await;
            assert!(line.contains("destination=C0DBA") && line.contains("retry_in_s="), "{line}");
            bed.until_status(&daemon, "C0DBA", &id, "✅ APPROVED (looks fine)").await;
            daemon.stop().await;
        }
    });
}

/// The calls made during the wait that the faulty answer asked for, and the first call after it.
fn calls_after_rate_limit(calls: &[Call], wait: Duration) -> (Vec<&Call>, Option<&Call>) {
    let limited = calls.iter().find(|call| call.fault.is_some()).unwrap();
    let mut later = calls.iter().filter(|call| call.at > limited.at);
    let too_soon = later.clone().filter(|call| call.at < limited.at + wait).collect();
    (too_soon, later.find(|call| call.at >= limited.at + wait))
}

#[test]
fn retry_after_is_obeyed_for_its_method_and_stops_no_other() {
    run_in_process(async {
        let wait = Duration::from_secs(3);
        let bed = TestBed::new().await;
        let rules = "recipients = [\"C0TEAM\"]\n[role_to_recipients]\n\"admin\" = \"bob@example.com\"";
        let daemon = bed.start(rules).await;
        let before = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;
        bed.slack.faults().add(FaultRule::new(POST, Fault::RateLimited { retry_after: 3 }).times(1));
        let limited = bed.create_request();
        let line = bed.until_logged(&daemon, "Slack asks to wait 3 s").await;
        assert!(line.contains("chat.postMessage") && line.contains("destination=C0TEAM"), "{line}");
        assert!(line.contains(" INFO "), "no user need act: {line}");
        // More posts become due meanwhile, and work for other methods.
        let other = bed.create_request_with(NewRequest::roles(&["admin"], "meanwhile"));
        bed.approve(&before);
        let edited = bed.until_status(&daemon, "C0TEAM", &before, "✅ APPROVED (looks fine)").await;
        bed.until(&daemon, "the look-up", || {
            (!bed.slack.calls_of("users.lookupByEmail").is_empty()).then_some(())
        })
        .await;
        assert_eq!(bed.slack.all_messages().len(), 1, "chat.update and look-ups do not wait");
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &other, "⏳ PENDING").await;
        }
        bed.until_status(&daemon, "C0TEAM", &limited, "⏳ PENDING").await;
        bed.until_replies(&daemon, &edited, 1).await;
        daemon.stop().await;
        let posts = bed.slack.calls_of(POST);
        let (too_soon, next) = calls_after_rate_limit(&posts, wait);
        assert!(too_soon.is_empty() && next.is_some(), "{too_soon:#?}");
        assert_eq!(bed.slack.all_messages().len(), 5);
    });
}

#[test]
fn retry_after_is_obeyed_for_look_ups_too() {
    run_in_process(async {
        let wait = Duration::from_secs(2);
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let lookup = "users.lookupByEmail";
        bed.slack.faults().add(FaultRule::new(lookup, Fault::RateLimited { retry_after: 2 }).times(1));
        let first = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &first, "⏳ PENDING").await;
        let line = bed.until_logged(&daemon, "Slack asks to wait 2 s").await;
        assert!(line.contains(lookup) && line.contains("recipient=bob@example.com"), "{line}");
        assert!(line.contains(" INFO "), "no user need act: {line}");
        let suggested_reviewers = vec![DAVE.to_owned(), "carol@example.com".to_owned()];
        let second =
            bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") });
        bed.until_status(&daemon, "C0TEAM", &second, "⏳ PENDING").await;
        for destination in ["U0BOB", "U0DAVE", "U0CAROL"] {
            bed.until_status(&daemon, destination, &second, "⏳ PENDING").await;
        }
        bed.until_status(&daemon, "U0BOB", &first, "⏳ PENDING").await;
        daemon.stop().await;
        let calls = bed.slack.calls_of(lookup);
        let (too_soon, next) = calls_after_rate_limit(&calls, wait);
        assert!(too_soon.is_empty() && next.is_some(), "{too_soon:#?}");
    });
}

#[test]
fn button_presses_during_slacks_wait_make_no_call_and_one_log_line() {
    run_in_process(async {
        let (bed, daemon, _, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let before = bed.slack.calls_of("users.info").len();
        bed.slack.faults().add(FaultRule::new("users.info", Fault::RateLimited { retry_after: 120 }));
        for _ in 0..150 {
            let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert!(reply.contains("nothing was decided"), "{reply}");
        }
        bed.until_interactions(&daemon, 150).await;
        assert_eq!(bed.slack.calls_of("users.info").len() - before, 1);
        let log = daemon.log();
        let is_warning = |line: &&str| line.contains(" WARN ") && line.contains("Slack asks to wait 120 s");
        assert_eq!(log.lines().filter(is_warning).count(), 1, "{log}");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_burst_into_one_channel_respects_slacks_limits_and_shows_every_request_once() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.set_rate_limits(Some(RateLimits::default()));
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let ids: Vec<_> = (0..30).map(|_| bed.create_request()).collect();
        let shown = || ids.iter().filter(|id| bed.message_about("C0TEAM", id).is_some()).count();
        bed.until_within(Duration::from_secs(60), &daemon, "30 messages", || (shown() == 30).then_some(()))
            .await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 30);
        let refused = bed.slack.calls_of(POST).iter().filter(|call| !call.succeeded()).count();
        assert!(refused < 30, "Slack had to refuse {refused} posts for 30 messages");
    });
}

#[test]
fn a_wait_for_updates_holds_up_no_post_into_the_same_channel() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let shown = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &shown, "⏳ PENDING").await;
        // Longer than this test waits for anything.
        let limit = Fault::RateLimited { retry_after: 120 };
        bed.slack.faults().add(FaultRule::new("chat.update", limit).times(1));
        bed.approve(&shown);
        bed.until_logged(&daemon, "Slack asks to wait 120 s").await;
        let other = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &other, "⏳ PENDING").await;
        let edits = bed.slack.calls_of("chat.update").len();
        assert_eq!(edits, 1, "the wait is obeyed");
        daemon.stop().await;
    });
}

#[test]
fn requests_that_wait_for_a_users_turn_are_not_reconciled_in_a_loop() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.set_rate_limits(Some(RateLimits::default()));
        let daemon = bed.start_with_diagnostics(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let ids: Vec<_> = (0..20).map(|_| bed.create_request()).collect();
        let shown = || ids.iter().filter(|id| bed.message_about("U0BOB", id).is_some()).count();
        bed.until_within(Duration::from_secs(60), &daemon, "20 messages", || (shown() == 20).then_some(()))
            .await;
        let reconciled = daemon.metrics().await[r#"reconcile_total{result="success"}"#];
        assert!(reconciled < 20.0 * 15.0, "{reconciled} reconciliations for 20 requests");
        daemon.stop().await;
    });
}

#[test]
fn a_refusing_channel_is_logged_once_while_others_are_served() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0DBA", "C0TEAM", "bob@example.com"]"#).await;
        let refusal = Fault::Error("restricted_action".into());
        bed.slack.faults().add(FaultRule::new(POST, refusal).in_channel("C0DBA"));
        for _ in 0..3 {
            let id = bed.create_request();
            for destination in ["C0TEAM", "U0BOB"] {
                bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            }
            bed.until_recorded(&daemon, &id, |record| field(record, "messages").split(',').count() == 2)
                .await;
            bed.approve(&id);
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        }
        let log = daemon.stop().await;
        let named: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert_eq!(named.len(), 1, "{log}");
        for words in ["destination=C0DBA", "restricted_action", "remedy: let the app post there"] {
            assert!(named[0].contains(words), "{named:?}");
        }
        assert!(bed.slack.messages("C0DBA").is_empty());
    });
}

#[test]
fn a_token_revoked_while_running_delays_messages_until_it_is_accepted_again() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let before = bed.create_request();
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &before, "⏳ PENDING").await;
        }
        bed.slack.set_token_state(TokenState::Revoked);
        let id = bed.create_request();
        let line = bed.until_warned(&daemon, "token_revoked").await;
        assert!(line.contains("ERROR") && line.contains("remedy: install the app again"), "{line}");
        bed.approve(&before);
        bed.until(&daemon, "the refused edit", || {
            bed.slack.calls_of("chat.update").iter().find(|call| !call.succeeded()).map(|_| ())
        })
        .await;
        bed.slack.set_token_state(TokenState::Valid);
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            bed.until_status(&daemon, destination, &before, "✅ APPROVED (looks fine)").await;
        }
        daemon.stop().await;
    });
}

#[test]
fn refused_blocks_are_replaced_by_a_plain_message() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let refusal = Fault::Error("invalid_blocks".into());
        bed.slack.faults().add(FaultRule::new(POST, refusal).times(1));
        let id = bed.create_request();
        let plain = |phase: &str| {
            let all = bed.slack.messages("C0TEAM");
            let found = all.into_iter().find(|m| m.blocks.is_empty() && m.text.contains(&id));
            found.filter(|message| message.text.starts_with(phase))
        };
        let posted = bed.until(&daemon, "the plain message", || plain("⏳ PENDING")).await;
        let lines: Vec<_> = posted.text.lines().collect();
        assert!(
            lines[0].contains("alice@example.com for dba") && lines[0].contains("nightly restore"),
            "{lines:?}"
        );
        assert_eq!(lines[1], format!("*Approve*: `tctl request approve {id}`"));
        bed.until_logged(&daemon, "it is sent as plain text; please report this").await;

        let too_long = Fault::Error("msg_blocks_too_long".into());
        bed.slack.faults().add(FaultRule::new("chat.update", too_long).times(1));
        bed.approve(&id);
        let decided = bed.until(&daemon, "the plain decision", || plain("✅ APPROVED")).await;
        assert_eq!(decided.ts, posted.ts);
        bed.until_replies(&daemon, &decided, 1).await;
        daemon.stop().await;
    });
}

#[test]
fn the_start_waits_for_slack_and_for_what_else_answers_there() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.faults().add(FaultRule::new("auth.test", Fault::NotJson).times(1));
        let daemon = bed.launch(&bed.config(TEAM));
        let line = bed.until_logged(&daemon, "Slack does not answer").await;
        assert!(line.contains("auth.test failed: the answer is not Slack's"), "{line}");
        assert!(
            line.contains("remedy: check what answers at Slack's API address (setting: slack.api_url)"),
            "{line}"
        );
        bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;

        let elsewhere = Fault::Redirect("http://127.0.0.1:9/login".into());
        bed.slack.faults().add(FaultRule::new("auth.test", elsewhere).times(2));
        let daemon = bed.launch(&bed.config(TEAM));
        let line = bed.until_logged(&daemon, "What answers is not Slack, so the daemon waits").await;
        assert!(
            line.contains("HTTP status 302")
                && line.contains("no proxy stands in between (setting: slack.api_url)"),
            "{line}"
        );
        bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    });
}

#[test]
fn a_transient_fault_does_not_end_the_start_of_reviews() {
    run_in_process(async {
        let bed = TestBed::new().await;
        for fault in [
            Fault::Status { status: 503, body: "<html>".into() },
            Fault::Reset,
            Fault::Error("internal_error".into()),
            Fault::RateLimited { retry_after: 1 },
            Fault::NotJson,
        ] {
            let calls_before = bed.slack.calls_of("bots.info").len();
            bed.slack.faults().add(FaultRule::new("bots.info", fault).times(2));
            let daemon = bed
                .launch_with_review(&bed.review_config(Transport::Http, "allow_email_username_match = true"));
            bed.until_logged(&daemon, "Ready").await;
            assert_eq!(bed.slack.calls_of("bots.info").len(), calls_before + 3);
            daemon.stop().await;
        }
        let refused = FaultRule::new("bots.info", Fault::Error("missing_scope".into()));
        bed.slack.faults().add(refused);
        let daemon =
            bed.launch_with_review(&bed.review_config(Transport::Http, "allow_email_username_match = true"));
        let line = bed.until_warned(&daemon, "bots.info failed: missing_scope").await;
        assert!(line.contains(" ERROR ") && line.contains("the daemon waits"), "{line}");
        bed.slack.faults().clear();
        bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    });
}
