//! Metrics that agree with what Slack and Teleport saw, and readiness.

use std::collections::BTreeMap;

use ::http::StatusCode;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::faults::WatchEnd;
use access_sim::teleport::request::NewRequest;
use jiff::{SignedDuration, Timestamp};

use crate::harness::daemon::MetricValues;
use crate::harness::deciding::*;
use crate::harness::*;

const TEAM_AND_BOB: &str = "recipients = [\"team\", \"bob@example.com\"]\n";

/// The methods whose calls are compared: those that the simulator saw, and those that the daemon counted.
const SLACK_METHODS: [&str; 4] = ["auth.test", "chat.postMessage", "chat.update", "users.lookupByEmail"];
const TELEPORT_METHODS: [(Method, &str); 5] = [
    (Method::Ping, "Ping"),
    (Method::WatchEvents, "WatchEvents"),
    (Method::GetAccessRequests, "GetAccessRequests"),
    (Method::GetPluginData, "GetPluginData"),
    (Method::UpdatePluginData, "UpdatePluginData"),
];

fn unix_now() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}

/// The series that are there whatever happens: times and the skew of clocks are absent while there are none.
fn lasting(metrics: &MetricValues) -> Vec<&str> {
    let is_lasting = |name: &&str| !name.contains("_timestamp_seconds") && !name.starts_with("clock_skew");
    metrics.keys().map(String::as_str).filter(is_lasting).collect()
}

/// The sum over all series of a metric that have these labels.
fn sum_of(metrics: &MetricValues, name: &str, label: &str) -> f64 {
    let wanted = |series: &str| {
        series.strip_prefix(name).is_some_and(|labels| labels.starts_with('{') && labels.contains(label))
    };
    metrics.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_agree_with_what_slack_and_teleport_saw() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        let before = daemon.metrics().await;
        let limited = Fault::RateLimited { retry_after: 1 };
        bed.slack.faults().add(FaultRule::new("chat.postMessage", limited).times(1));
        let [approved, pending] = [bed.create_request(), bed.create_request()];
        for id in [&approved, &pending] {
            for destination in ["C0TEAM", "U0BOB"] {
                bed.until_status(&daemon, destination, id, "⏳ PENDING").await;
            }
        }
        bed.approve(&approved);
        for destination in ["C0TEAM", "U0BOB"] {
            let message = bed.until_status(&daemon, destination, &approved, "✅ APPROVED (looks fine)").await;
            bed.until_replies(&daemon, &message, 1).await;
        }
        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        let last = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &last, "⏳ PENDING").await;
        bed.until_status(&daemon, "U0BOB", &last, "⏳ PENDING").await;

        let wanted = BTreeMap::from([
            ("slack_operations_total{operation=\"post\",result=\"ok\"}", 6.0),
            ("slack_operations_total{operation=\"update\",result=\"ok\"}", 2.0),
            ("slack_operations_total{operation=\"reply\",result=\"ok\"}", 2.0),
            ("slack_operations_total{operation=\"post\",result=\"rate_limited\"}", 1.0),
            ("slack_operations_total{operation=\"post\",result=\"transient\"}", 0.0),
            ("slack_requests_total{method=\"chat.postMessage\",result=\"rate_limited\"}", 1.0),
            ("slack_requests_total{method=\"chat.postMessage\",result=\"ok\"}", 8.0),
            ("slack_requests_total{method=\"chat.update\",result=\"ok\"}", 2.0),
            ("in_doubt_posts_total", 0.0),
            ("possible_duplicates_total", 0.0),
            ("watch_reconnects_total", 1.0),
            ("reconcile_total{result=\"error\"}", 0.0),
            ("reconcile_total{result=\"panic\"}", 0.0),
            ("active_reconciles", 0.0),
            ("pending_operations", 0.0),
            ("ready", 1.0),
        ]);
        // The last responses may still be in flight.
        let agree = async || {
            let metrics = daemon.metrics().await;
            let got = |name: &&str| metrics.get(*name).copied();
            let is_wanted = wanted.iter().all(|(name, value)| got(name) == Some(*value));
            let slack = SLACK_METHODS.iter().all(|method| {
                let seen = bed.slack.calls_of(method).len();
                sum_of(&metrics, "slack_requests_total", &format!("method=\"{method}\"")) == seen as f64
            });
            let teleport = TELEPORT_METHODS.iter().all(|(method, name)| {
                let seen = bed.teleport.call_log().count(*method);
                sum_of(&metrics, "teleport_requests_total", &format!("method=\"{name}\"")) == seen as f64
            });
            (is_wanted && slack && teleport).then_some(metrics)
        };
        let metrics = poll_until("the metrics", daemon.log_changes(), agree).await;

        assert_eq!(lasting(&metrics), lasting(&before), "each series is there from the start");
        let age = |name: &str| unix_now() - metrics[&format!("{name}_timestamp_seconds")];
        assert!((0.0..30.0).contains(&age("watch_last_event")));
        assert!((0.0..30.0).contains(&age("teleport_last_response")));
        assert!(age("workqueue_oldest_due") < 5.0);
        assert!(age("certificate_expiration") < -60.0);
        assert!(metrics["reconcile_total{result=\"success\"}"] >= 4.0);
        assert_eq!(
            sum_of(&metrics, "build_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))),
            1.0
        );
        for series in metrics.keys() {
            let names_request = [&approved, &pending, &last].iter().any(|id| series.contains(id.as_str()));
            assert!(!names_request && !series.contains("C0TEAM") && !series.contains("bob"), "{series}");
        }
        daemon.stop().await;
    });
}

#[test]
fn readiness_says_what_is_missing() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let end = Timestamp::now() + SignedDuration::from_secs(25);
        bed.sign(CertOptions { not_after: Some(end), ..CertOptions::default() });
        bed.teleport.stop().await;
        bed.slack.stop().await;
        let daemon = bed.launch(&bed.config_with_diagnostics(TEAM_AND_BOB));
        let is = async |status, words: &str| {
            poll_until(words, daemon.log_changes(), async || {
                let answer = daemon.get("/readyz").await;
                (answer == (status, format!("{words}\n"))).then_some(())
            })
            .await;
        };
        bed.until_logged(&daemon, "Serving health and metrics on").await;
        is(StatusCode::SERVICE_UNAVAILABLE, "not ready: Teleport has not answered yet").await;
        assert_eq!(daemon.get("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
        bed.teleport.restart().await.unwrap();
        is(StatusCode::SERVICE_UNAVAILABLE, "not ready: Slack has not answered yet").await;
        bed.slack.restart().await.unwrap();
        is(StatusCode::OK, "ready").await;
        is(StatusCode::SERVICE_UNAVAILABLE, "not ready: the certificate for Teleport has expired").await;
        assert!(daemon.metrics().await["certificate_expiration_timestamp_seconds"] <= unix_now());
        bed.sign(CertOptions::default());
        is(StatusCode::OK, "ready").await;
        daemon.stop().await;
    });
}

#[test]
fn readiness_reports_a_missing_socket_mode_connection() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        bed.slack.set_socket_mode(false);
        let config = bed.review_config(Transport::Socket, ANY_OF_THREE);
        let daemon = bed.launch(&format!("{config}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\""));
        bed.until_logged(&daemon, "Ready").await;
        let is = async |open: f64, answer: (StatusCode, &str)| {
            poll_until(answer.1, daemon.log_changes(), async || {
                let metrics = daemon.metrics().await;
                let values = (metrics["socket_mode_connections"], metrics["ready"] == 1.0);
                let (status, words) = daemon.get("/readyz").await;
                let is_current = values == (open, status == StatusCode::OK);
                (is_current && (status, words.trim_end()) == answer).then_some(())
            })
            .await;
        };
        let never = "not ready: no Socket Mode connection was opened yet, so clicks do not arrive here";
        is(0.0, (StatusCode::SERVICE_UNAVAILABLE, never)).await;
        assert_eq!(
            daemon.metrics().await["interactions_total{result=\"accepted\",reason=\"resolved\"}"],
            0.0
        );
        daemon.stop().await;

        bed.slack.set_socket_mode(true);
        let daemon = bed.launch(&format!("{config}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\""));
        bed.until_logged(&daemon, "Serving health and metrics on").await;
        let before = daemon.metrics().await;
        bed.until_logged(&daemon, "Ready").await;
        let two_and_ready = async || {
            let metrics = daemon.metrics().await;
            let both = metrics["socket_mode_connections"] == 2.0 && metrics["ready"] == 1.0;
            both.then_some(metrics)
        };
        let metrics = poll_until("two connections", daemon.log_changes(), two_and_ready).await;
        assert_eq!(lasting(&metrics), lasting(&before), "each series is there from the start");
        bed.slack.stop().await;
        poll_until("no connection", daemon.log_changes(), async || {
            (daemon.metrics().await["socket_mode_connections"] == 0.0).then_some(())
        })
        .await;
        // A short outage of Slack keeps the daemon ready.
        assert_eq!(daemon.get("/readyz").await.0, StatusCode::OK);
        daemon.stop().await;
    });
}

#[test]
fn a_taken_diagnostics_port_ends_the_start() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let config = format!("{TEAM_AND_BOB}[diagnostics]\nlisten_addr = \"{address}\"");
        let (status, log) = bed.run_to_exit(&bed.config(&config)).await;
        assert_eq!(status, Some(1), "{log}");
        assert!(log.contains(&format!("cannot listen for diagnostics on {address}")), "{log}");
        assert!(log.contains("diagnostics.listen_addr") && log.contains("in use"), "{log}");
        assert!(log.contains("another program") && log.contains("choose another port"), "{log}");
        assert_eq!(bed.slack.calls().len(), 0, "nothing was begun");
    });
}

#[test]
fn pending_operations_are_counted_and_have_a_time_while_there_are_some() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics("recipients = [\"C0TEAM\"]").await;
        let metrics = async |is_wanted: fn(f64, Option<f64>) -> bool| {
            let poll = async || {
                let metrics = daemon.metrics().await;
                let since = metrics.get("oldest_pending_operation_timestamp_seconds").copied();
                is_wanted(metrics["pending_operations"], since).then_some(since)
            };
            poll_until("the metrics", daemon.log_changes(), poll).await
        };
        metrics(|pending, since| pending == 0.0 && since.is_none()).await;
        bed.slack
            .faults()
            .add(FaultRule::new("chat.postMessage", Fault::RateLimited { retry_after: 3 }).times(1));
        let id = bed.create_request();
        let is_recent = |since: f64| (0.0..30.0).contains(&(unix_now() - since));
        let since = metrics(|pending, since| pending == 1.0 && since.is_some()).await;
        assert!(since.is_some_and(is_recent), "{since:?}");
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        metrics(|pending, since| pending == 0.0 && since.is_none()).await;
        daemon.stop().await;
    });
}

/// The metrics as soon as so many operations are pending and no reconcile is in progress.
async fn until_pending(daemon: &Daemon, pending: f64) -> MetricValues {
    let poll = async || {
        let metrics = daemon.metrics().await;
        let is_wanted = metrics["active_reconciles"] == 0.0 && metrics["pending_operations"] == pending;
        is_wanted.then_some(metrics)
    };
    poll_until("the metrics", daemon.log_changes(), poll).await
}

#[test]
fn a_suggested_reviewer_who_is_missing_is_for_no_operator_and_a_configured_recipient_is() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics("[role_to_recipients]\nadmin = \"gone@example.com\"").await;
        let misspelled = NewRequest {
            suggested_reviewers: vec!["nobody@example.com".to_owned()],
            ..NewRequest::roles(&["dba"], "")
        };
        let id = bed.create_request_with(misspelled);
        // No message can name the reviewer, so the log does.
        for words in ["No recipients for this request", "could not be notified: nobody@example.com;"] {
            let line = bed.until_warned(&daemon, words).await;
            assert!(line.contains(&id), "{line}");
        }
        let times =
            ["oldest_pending_operation_timestamp_seconds", "oldest_stalled_request_timestamp_seconds"];
        let idle = until_pending(&daemon, 0.0).await;
        assert!(times.iter().all(|time| !idle.contains_key(*time)), "{idle:?}");
        // An operator can correct the name of this one.
        bed.create_request_with(NewRequest::roles(&["admin"], ""));
        let is_error = |line: &&str| line.contains(" ERROR ") && line.contains("recipient=gone@example.com");
        bed.until(&daemon, "the error", || daemon.log().lines().find(is_error).map(drop)).await;
        let waiting = until_pending(&daemon, 1.0).await;
        assert!(times.iter().all(|time| waiting.contains_key(*time)), "{waiting:?}");
        let log = daemon.stop().await;
        assert_eq!(log.matches("could not be notified").count(), 1, "{log}");
    });
}

#[test]
fn a_request_is_stalled_only_if_every_recipient_fails() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics("recipients = [\"C0TEAM\", \"C0DBA\"]").await;
        let stalled = async |is_wanted: fn(Option<f64>) -> bool| {
            let poll = async || {
                let metrics = daemon.metrics().await;
                let since = metrics.get("oldest_stalled_request_timestamp_seconds").copied();
                is_wanted(since).then_some(metrics)
            };
            poll_until("the time", daemon.log_changes(), poll).await
        };
        stalled(|since| since.is_none()).await;
        // One of two recipients cannot be notified.
        bed.slack.set_archived("C0DBA", true);
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_warned(&daemon, "is_archived").await;
        let metrics = stalled(|since| since.is_none()).await;
        assert!(metrics["ready"] == 1.0);
        // No recipient can be notified. How long that may last is tested with `observe/health`.
        bed.slack.set_archived("C0TEAM", true);
        bed.approve(&id);
        stalled(|since| since.is_some_and(|since| unix_now() - since > 1.0)).await;
        bed.slack.set_archived("C0TEAM", false);
        bed.until_within(std::time::Duration::from_secs(60), &daemon, "the edit", || {
            bed.message_about("C0TEAM", &id)
                .filter(|message| status_line(message).contains("APPROVED"))
                .map(|_| ())
        })
        .await;
        stalled(|since| since.is_none()).await;
        daemon.stop().await;
    });
}

/// The first message of a pending request is measured, once, by the daemon that posted it.
#[test]
fn the_delay_of_notifications_is_measured_once_for_each_request_that_was_pending() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let measured = async |daemon: &Daemon, count: f64| {
            let poll = async || {
                let metrics = daemon.metrics().await;
                let is_idle = metrics["active_reconciles"] == 0.0 && metrics["pending_operations"] == 0.0;
                (is_idle && metrics["request_notification_delay_seconds_count"] == count).then_some(metrics)
            };
            poll_until("the metrics", daemon.log_changes(), poll).await
        };
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        measured(&daemon, 0.0).await;
        let limited = Fault::RateLimited { retry_after: 2 };
        bed.slack.faults().add(FaultRule::new("chat.postMessage", limited).times(2));
        let id = bed.create_request();
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        let metrics = measured(&daemon, 1.0).await;
        let sum = metrics["request_notification_delay_seconds_sum"];
        assert!((1.0..60.0).contains(&sum), "{sum}: one of two messages, and Slack asked to wait");
        // Edits and replies are no notifications.
        bed.approve(&id);
        let message = bed.until_status(&daemon, "U0BOB", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        measured(&daemon, 1.0).await;
        daemon.stop().await;

        // Decided while no daemon ran: there is nothing left to wait for. The pending one was waited for all the time.
        let decided = bed.create_request();
        bed.approve(&decided);
        let pending = bed.create_request();
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_status(&daemon, "C0TEAM", &pending, "⏳ PENDING").await;
        measured(&daemon, 1.0).await;
        daemon.stop().await;
    });
}
