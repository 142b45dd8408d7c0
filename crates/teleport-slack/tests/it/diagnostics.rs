//! Metrics that agree with what Slack and Teleport saw, and readiness.

use std::collections::BTreeMap;

use ::http::StatusCode;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::faults::WatchEnd;
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

/// The sum over all series of a metric that have these labels.
fn sum_of(metrics: &MetricValues, name: &str, label: &str) -> f64 {
    let wanted = |series: &str| {
        series.strip_prefix(name).is_some_and(|labels| labels.starts_with('{') && labels.contains(label))
    };
    metrics.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_agree_with_what_slack_and_teleport_saw() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
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
            ("deliveries_total{result=\"posted\"}", 6.0),
            ("deliveries_total{result=\"updated\"}", 2.0),
            ("deliveries_total{result=\"replied\"}", 2.0),
            ("deliveries_total{result=\"limited\"}", 1.0),
            ("deliveries_total{result=\"failed\"}", 0.0),
            ("slack_calls_total{method=\"chat.postMessage\",result=\"limited\"}", 1.0),
            ("slack_calls_total{method=\"chat.postMessage\",result=\"ok\"}", 8.0),
            ("slack_calls_total{method=\"chat.update\",result=\"ok\"}", 2.0),
            ("ambiguous_posts_total", 0.0),
            ("possible_doubles_total", 0.0),
            ("watch_reconnects_total", 1.0),
            ("visits_total{result=\"failed\"}", 0.0),
            ("visits_total{result=\"panicked\"}", 0.0),
            ("visiting_requests", 0.0),
            ("waiting_errands", 0.0),
            ("ready", 1.0),
        ]);
        // The last responses may still be in flight.
        let agree = async || {
            let metrics = daemon.metrics().await;
            let got = |name: &&str| metrics.get(*name).copied();
            let is_wanted = wanted.iter().all(|(name, value)| got(name) == Some(*value));
            let slack = SLACK_METHODS.iter().all(|method| {
                let seen = bed.slack.calls_of(method).len();
                sum_of(&metrics, "slack_calls_total", &format!("method=\"{method}\"")) == seen as f64
            });
            let teleport = TELEPORT_METHODS.iter().all(|(method, name)| {
                let seen = bed.teleport.call_log().count(*method);
                sum_of(&metrics, "teleport_calls_total", &format!("method=\"{name}\"")) == seen as f64
            });
            (is_wanted && slack && teleport).then_some(metrics)
        };
        let metrics = poll_until("the metrics", daemon.log_changes(), agree).await;

        assert!(metrics["watch_last_event_age_seconds"] < 30.0);
        assert!(metrics["queue_oldest_due_age_seconds"] < 5.0);
        assert!(metrics["certificate_left_seconds"] > 60.0);
        assert!(metrics["visits_total{result=\"done\"}"] >= 4.0);
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
    run_test(async {
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
        assert!(daemon.metrics().await["certificate_left_seconds"] <= 0.0);
        bed.sign(CertOptions::default());
        is(StatusCode::OK, "ready").await;
        daemon.stop().await;
    });
}

#[test]
fn readiness_reports_a_missing_socket_mode_connection() {
    run_test(async {
        let bed = TestBed::with_review().await;
        bed.slack.set_socket_mode(false);
        let config = bed.review_config(Transport::Socket, ANY_OF_THREE);
        let daemon = bed.launch(&format!("{config}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\""));
        bed.until_logged(&daemon, "Ready").await;
        let is = async |open: f64, answer: (StatusCode, &str)| {
            poll_until(answer.1, daemon.log_changes(), async || {
                let metrics = daemon.metrics().await;
                let values = (metrics.get("socket_mode_connections"), metrics["ready"] == 1.0);
                let (status, words) = daemon.get("/readyz").await;
                let is_current = values == (Some(&open), status == StatusCode::OK);
                (is_current && (status, words.trim_end()) == answer).then_some(())
            })
            .await;
        };
        let never = "not ready: no Socket Mode connection was opened yet, so clicks do not arrive here";
        is(0.0, (StatusCode::SERVICE_UNAVAILABLE, never)).await;
        assert_eq!(daemon.metrics().await["clicks_total{verdict=\"done\",reason=\"resolved\"}"], 0.0);
        daemon.stop().await;

        bed.slack.set_socket_mode(true);
        let daemon = bed.launch(&format!("{config}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\""));
        bed.until_logged(&daemon, "Ready").await;
        let two_and_ready = async || {
            let metrics = daemon.metrics().await;
            let both = metrics.get("socket_mode_connections") == Some(&2.0) && metrics["ready"] == 1.0;
            both.then_some(())
        };
        poll_until("two connections", daemon.log_changes(), two_and_ready).await;
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
    run_test(async {
        let bed = TestBed::new().await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let config = format!("{TEAM_AND_BOB}[diagnostics]\nlisten_addr = \"{address}\"");
        let (status, log) = bed.run_to_exit(&bed.config(&config)).await;
        assert_eq!(status, Some(1), "{log}");
        assert!(log.contains(&format!("cannot listen for questions about health on {address}")), "{log}");
        assert!(log.contains("diagnostics.listen_addr") && log.contains("in use"), "{log}");
        assert!(log.contains("another program") && log.contains("choose another port"), "{log}");
        assert_eq!(bed.slack.calls().len(), 0, "nothing was begun");
    });
}

#[test]
fn waiting_operations_are_counted_with_their_age() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics("recipients = [\"C0TEAM\"]").await;
        let metrics = async |is_wanted: fn(f64, f64) -> bool| {
            let poll = async || {
                let metrics = daemon.metrics().await;
                let got = (metrics["waiting_errands"], metrics["waiting_errands_oldest_age_seconds"]);
                is_wanted(got.0, got.1).then_some(got)
            };
            poll_until("the metrics", daemon.log_changes(), poll).await
        };
        metrics(|waiting, age| waiting == 0.0 && age == 0.0).await;
        bed.slack
            .faults()
            .add(FaultRule::new("chat.postMessage", Fault::RateLimited { retry_after: 3 }).times(1));
        let id = bed.create_request();
        metrics(|waiting, age| waiting == 1.0 && age > 0.0).await;
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        metrics(|waiting, age| waiting == 0.0 && age == 0.0).await;
        daemon.stop().await;
    });
}

#[test]
fn undelivered_age_grows_only_if_every_recipient_fails() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics("recipients = [\"C0TEAM\", \"C0DBA\"]").await;
        let age = async |is_wanted: fn(f64) -> bool| {
            let poll = async || {
                let metrics = daemon.metrics().await;
                is_wanted(metrics["undelivered_oldest_age_seconds"]).then_some(metrics)
            };
            poll_until("the age", daemon.log_changes(), poll).await
        };
        age(|age| age == 0.0).await;
        // One of two recipients cannot be notified.
        bed.slack.set_archived("C0DBA", true);
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_warned(&daemon, "is_archived").await;
        let metrics = age(|age| age == 0.0).await;
        assert!(metrics["ready"] == 1.0);
        // No recipient can be notified. How long that may last is tested with `observe/health`.
        bed.slack.set_archived("C0TEAM", true);
        bed.approve(&id);
        age(|age| age > 1.0).await;
        bed.slack.set_archived("C0TEAM", false);
        bed.until_within(std::time::Duration::from_secs(60), &daemon, "the edit", || {
            bed.message_about("C0TEAM", &id)
                .filter(|message| status_line(message).contains("APPROVED"))
                .map(|_| ())
        })
        .await;
        age(|age| age == 0.0).await;
        daemon.stop().await;
    });
}
