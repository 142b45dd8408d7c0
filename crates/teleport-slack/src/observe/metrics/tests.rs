use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use access_core::domain::decision::Decision;
use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::skew::Offset;
use access_core::policy::refusal::{AccountIneligible, Refusal};
use access_core::render::ephemeral::Accepted;
use jiff::SignedDuration;

use super::*;
use crate::config;
use crate::observe::health::DEFAULT_UNREADY_AFTER;

mod published;

/// Configurations of which each can have other series: without deciding in Slack, and with it in each mode.
const CONFIGURATIONS: [(&str, &str); 5] = [
    ("notifications only", ""),
    (
        "reviewer, HTTP",
        "[review]\nenabled = true\nmode = \"reviewer\"\nsigning_secret = \"0123456789signing\"\nslack_user_id_trait = \"t\"\n[http]\nlisten_addr = \"127.0.0.1:0\"\n",
    ),
    (
        "resolver, HTTP",
        "[review]\nenabled = true\nmode = \"resolver\"\nsigning_secret = \"0123456789signing\"\nslack_user_id_trait = \"t\"\n[http]\nlisten_addr = \"127.0.0.1:0\"\n",
    ),
    (
        "auto without rules, Socket Mode",
        "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n",
    ),
    (
        "auto with a user group, Socket Mode",
        "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n[[review.rule]]\nroles = [\"*\"]\napprovers = [\"S0TEAM\"]\n",
    ),
];

/// The metrics of a daemon with these lines at the end of its configuration.
fn metrics_of(lines: &str) -> Metrics {
    let text = format!(
        "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\nrecipients = [\"team\"]\n{lines}"
    );
    let no_files = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    match config::parse(&text, Path::new("/etc/slack.toml"), &no_files) {
        Ok(loaded) => Metrics::with_scope(
            loaded.config.review.as_ref().into(),
            DEFAULT_UNREADY_AFTER,
            OutageTimings::default(),
        ),
        Err(error) => panic!("{error}"),
    }
}

/// With everything that appears later.
fn complete(lines: &str) -> Metrics {
    let metrics = metrics_of(lines);
    metrics.watch_opened();
    metrics.certificate_holds(Timestamp::MIN, Timestamp::now());
    for side in Side::ALL {
        metrics.observe_clock(side, Offset::from_event(Timestamp::now(), Timestamp::now()));
    }
    TeleportObserver::call_ended(&metrics, Call::Ping, CallResult::OK, Duration::ZERO);
    let now = Some(Instant::now());
    metrics.work_queue(0, 0, now, now, now);
    metrics
}

/// A call to which no answer came.
fn no_response() -> CallResult {
    CallResult::all().find(|result| !result.has_response()).unwrap()
}

/// All samples, by series.
fn samples(metrics: &Metrics) -> Vec<(String, f64)> {
    let text = metrics.text(Format::OpenMetrics);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The value of a series; `None` if it is not there.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    samples(metrics).into_iter().find(|(found, _)| found == series).map(|(_, value)| value)
}

/// A series as it is written in the text or in a query: its name, and its labels, each with a value or several.
fn parse_series(series: &str) -> (&str, Vec<(&str, Vec<&str>)>) {
    let Some((name, labels)) = series.trim_end_matches('}').split_once('{') else {
        return (series, Vec::new());
    };
    let label = |label| -> (&str, Vec<&str>) {
        let (name, value): (&str, &str) = str::trim(label).split_once('=').unwrap();
        let name = name.trim_end_matches('!');
        let values =
            value.trim_matches(|c| c == '~' || c == '"').split("\\|").flat_map(|values| values.split('|'));
        (name, values.collect())
    };
    (name, labels.split(',').map(label).collect())
}

/// Without what differs each time: what this program was built from, what the process uses, and since when it has its
/// configuration.
fn text_of(lines: &str) -> String {
    let text = metrics_of(lines).text(Format::OpenMetrics);
    let (process, ours) = text.split_at(text.find("# HELP teleport_slack_").unwrap());
    assert_eq!(process.matches("# TYPE process_").count(), 6, "{process}");
    let constant = |line: &str| {
        let is = |name: &str| line.starts_with(&format!("teleport_slack_{name}"));
        let line = match line.split_once(' ').unwrap() {
            _ if is("build_info{") => "teleport_slack_build_info{version,revision,rustc} 1".to_owned(),
            (name, _) if is("config_last_reload_success_timestamp_seconds ") => format!("{name} time"),
            _ => line.to_owned(),
        };
        format!("{line}\n")
    };
    ours.lines().map(constant).collect()
}

/// A change of a published name shows here. Names and labels are promised: docs/metrics.md.
#[test]
fn a_daemon_starts_with_these_series_and_no_others() {
    let plain = text_of(CONFIGURATIONS[0].1);
    insta::assert_snapshot!("notifications_only", plain);
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let mut before = lines(&plain);
    let mut changes = String::new();
    for (mode, configuration) in &CONFIGURATIONS[1..] {
        let text = text_of(configuration);
        let after = lines(&text);
        changes += &format!("{mode}:\n");
        let gone = before.difference(&after).map(|line| format!("- {line}\n"));
        let new = text.lines().filter(|line| !before.contains(*line)).map(|line| format!("+ {line}\n"));
        changes.extend(gone.chain(new));
        before = after;
    }
    insta::assert_snapshot!("each_mode_against_the_one_before", changes);
}

/// A word that is misspelled here would leave a series that cannot occur.
#[test]
fn each_reason_that_needs_something_is_one() {
    let all: BTreeSet<_> = labels::InteractionResult::all().map(|(_, reason)| reason).collect();
    let groups: [&[_]; 4] = [
        &scope::REASONS_OF_REVIEWS,
        &scope::REASONS_OF_RULES,
        &scope::REASONS_OF_GROUPS,
        &scope::REASONS_NOT_COUNTED,
    ];
    for reason in groups.concat() {
        assert!(all.contains(reason), "{reason}");
    }
}

#[test]
fn a_mode_has_only_the_reasons_that_it_can_give() {
    // Submitted reviews; rules that decide; a user group in a rule.
    let expected = [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, false, false),
        (true, true, true),
    ];
    for ((mode, lines), (reviews, rules, groups)) in CONFIGURATIONS.into_iter().zip(expected) {
        let text = metrics_of(lines).text(Format::OpenMetrics);
        for (reason, is_expected) in [
            ("reviewed", reviews),
            ("may_not_review", reviews),
            ("counted", rules),
            ("pending", rules),
            ("not_an_approver", rules),
            ("group_gone", groups),
            ("too_busy", false),
            ("resolved", reviews || rules),
            ("self_review", reviews || rules),
        ] {
            assert_eq!(text.contains(&format!("reason=\"{reason}\"")), is_expected, "{mode}: {reason}");
        }
    }
}

#[test]
fn names_come_in_order_and_so_do_labels() {
    for (mode, lines) in CONFIGURATIONS {
        let metrics = complete(lines);
        // Out of order, to show that the order is not that of the counting.
        for method in Method::ALL.into_iter().rev() {
            SlackObserver::call_ended(&metrics, method, Ok(()), Duration::ZERO);
        }
        let text = metrics.text(Format::OpenMetrics);
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
        assert!(names.len() > 25 && names.is_sorted(), "{mode}: {names:?}");
        let mut series = BTreeMap::<_, Vec<_>>::new();
        for (sample, _) in samples(&metrics) {
            let (name, mut labels) = parse_series(&sample);
            labels.retain(|(label, _)| *label != "le");
            let labels: Vec<_> =
                labels.iter().map(|(label, value)| format!("{label}={}", value[0])).collect();
            series.entry(name.to_owned()).or_default().push(labels);
        }
        for (name, labels) in series {
            assert!(labels.is_sorted(), "{mode}: {name} {labels:?}");
        }
    }
}

#[test]
fn names_follow_the_conventions() {
    for (mode, lines) in CONFIGURATIONS {
        let text = complete(lines).text(Format::OpenMetrics);
        assert!(text.ends_with("# EOF\n"));
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(name.starts_with("teleport_slack_") || name.starts_with("process_"), "{mode}: {name}");
            assert!(text.contains(&format!("# HELP {name} ")), "{mode}: {name} is not explained");
            assert!(!name.ends_with("_total"), "{mode}: {name}: the samples of a counter get the suffix");
            // The base unit, where there is one, and a time is a time and not an age.
            let has_unit = text.contains(&format!("# UNIT {name} seconds\n"));
            assert_eq!(name.ends_with("_seconds"), has_unit, "{mode}: {name}");
            let is_size = text.contains(&format!("# UNIT {name} bytes\n"));
            assert_eq!(name.ends_with("_bytes"), is_size, "{mode}: {name}");
            let ends = [
                "_timestamp_seconds",
                "_skew_seconds",
                "_duration_seconds",
                "_delay_seconds",
                "process_cpu_seconds",
                "process_start_time_seconds",
            ];
            assert_eq!(ends.iter().any(|end| name.ends_with(end)), has_unit, "{mode}: {name}");
            assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{mode}: {kind}");
        }
        let help: Vec<_> = text.lines().filter(|line| line.starts_with("# HELP")).collect();
        assert!(help.iter().all(|line| line.ends_with('.') && !line.ends_with("..")), "{help:?}");
        let series = samples(&complete(lines)).len();
        assert!(series < 1_000, "{mode} has {series} series");
    }
}

/// A series and what makes it one.
type Step<'a> = (&'a str, &'a dyn Fn(&Metrics));

#[test]
fn each_event_is_counted_in_its_series_only() {
    let steps: [Step<'_>; 31] = [
        ("slack_operations_total{operation=\"post\",result=\"ok\"}", &|m| {
            m.operation_ended(SlackOperation::Post, Ok(()));
        }),
        ("slack_operations_total{operation=\"update\",result=\"ok\"}", &|m| {
            m.operation_ended(SlackOperation::Update, Ok(()));
        }),
        ("slack_operations_total{operation=\"reply\",result=\"ok\"}", &|m| {
            m.operation_ended(SlackOperation::Reply, Ok(()));
        }),
        ("slack_operations_total{operation=\"delete\",result=\"transient\"}", &|m| {
            m.operation_ended(SlackOperation::Delete, Err(Retry::Backoff));
        }),
        ("slack_operations_total{operation=\"post\",result=\"rate_limited\"}", &|m| {
            m.operation_ended(SlackOperation::Post, Err(Retry::After(Duration::from_secs(3))));
        }),
        ("slack_operations_total{operation=\"reply\",result=\"rejected\"}", &|m| {
            m.operation_ended(SlackOperation::Reply, Err(Retry::Never));
        }),
        ("slack_operations_total{operation=\"update\",result=\"unauthorized\"}", &|m| {
            m.operation_ended(SlackOperation::Update, Err(Retry::NeedsOperator));
        }),
        ("slack_operation_retries_total", &Metrics::operation_retried),
        ("in_doubt_posts_total", &Metrics::post_in_doubt),
        ("in_doubt_posts_resolved_total{result=\"found\"}", &|m| {
            m.in_doubt_post_found(&RequestId::new("r1"), "C0TEAM");
        }),
        ("in_doubt_posts_resolved_total{result=\"not_found\"}", &|m| {
            m.in_doubt_post_not_found(&RequestId::new("r1"), "C0TEAM");
        }),
        ("possible_duplicates_total", &|m| {
            m.possible_duplicate(&RequestId::new("r1"), "C0TEAM", 1, "missing_scope")
        }),
        ("duplicates_deleted_total", &|m| {
            m.duplicate_deleted(&RequestId::new("r1"), &ChannelId::new("C0TEAM"))
        }),
        ("claim_takeovers_total", &|m| m.claim_taken_over(&RequestId::new("r1"))),
        ("reconcile_total{result=\"success\"}", &|m| {
            m.reconcile_ended(ReconcileResult::Success, Duration::ZERO)
        }),
        ("reconcile_total{result=\"error\"}", &|m| m.reconcile_ended(ReconcileResult::Error, Duration::ZERO)),
        ("reconcile_total{result=\"panic\"}", &|m| {
            m.reconcile_panicked(&RequestId::new("r1"), Duration::ZERO)
        }),
        ("request_notification_delay_seconds_count", &|m| {
            m.request_notified(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, Duration::ZERO);
        }),
        ("interactions_total{result=\"accepted\",reason=\"resolved\"}", &|m| {
            m.interaction_ended(InteractionResult::Accepted(&Accepted::Resolved(Decision::Approve)));
        }),
        ("interactions_total{result=\"refused\",reason=\"self_review\"}", &|m| {
            m.interaction_ended(InteractionResult::Refused(&Refusal::SelfReview));
        }),
        ("interactions_total{result=\"continued\",reason=\"asking_for_a_reason\"}", &|m| {
            m.interaction_ended(InteractionResult::ReasonRequested)
        }),
        ("interactions_total{result=\"rejected\",reason=\"invalid_signature\"}", &|m| {
            m.interaction_ended(InteractionResult::InvalidSignature)
        }),
        ("interactions_total{result=\"accepted\",reason=\"unconfirmed\"}", &|m| {
            m.interaction_ended(InteractionResult::Accepted(&Accepted::Unconfirmed(Decision::Deny)));
        }),
        ("interactions_total{result=\"refused\",reason=\"guest\"}", &|m| {
            m.interaction_ended(InteractionResult::Refused(&Refusal::AccountIneligible(
                AccountIneligible::Guest,
            )));
        }),
        ("interactions_total{result=\"rejected\",reason=\"overloaded\"}", &|m| {
            m.interaction_ended(InteractionResult::Overloaded)
        }),
        ("teleport_requests_total{method=\"Ping\",code=\"OK\"}", &|m| {
            TeleportObserver::call_ended(m, Call::Ping, CallResult::OK, Duration::ZERO)
        }),
        ("slack_requests_total{method=\"auth.test\",result=\"ok\"}", &|m| {
            SlackObserver::call_ended(m, Method::AuthTest, Ok(()), Duration::ZERO)
        }),
        ("slack_requests_total{method=\"chat.update\",result=\"rejected\"}", &|m| {
            let error = SlackError::api_error(Method::ChatUpdate, "not_in_channel");
            SlackObserver::call_ended(m, Method::ChatUpdate, Err(&error), Duration::ZERO)
        }),
        ("slack_requests_total{method=\"chat.update\",result=\"rate_limited\"}", &|m| {
            let error = SlackError::api_error(Method::ChatUpdate, "ratelimited");
            SlackObserver::call_ended(m, Method::ChatUpdate, Err(&error), Duration::ZERO)
        }),
        ("slack_requests_total{method=\"chat.update\",result=\"in_doubt\"}", &|m| {
            SlackObserver::call_ended(
                m,
                Method::ChatUpdate,
                Err(&SlackError::timed_out(Method::ChatUpdate, true)),
                Duration::ZERO,
            )
        }),
        ("pending_operations", &|m| m.pending_operations_changed(1)),
    ];
    for (series, step) in steps {
        let (metrics, series) = (metrics_of(CONFIGURATIONS[1].1), format!("teleport_slack_{series}"));
        let before = samples(&metrics);
        assert!(before.contains(&(series.clone(), 0.0)), "{series} is not there from the start");
        step(&metrics.clone());
        // What is counted is also measured, and an answer of Teleport also sets its time.
        let is_other = |name: &str| {
            name.starts_with("process_")
                || (name.contains("_seconds_") || name.contains("_timestamp_")) && !series.starts_with(name)
        };
        let changed = samples(&metrics).into_iter().filter(|now| !before.contains(now) && !is_other(&now.0));
        let changed: Vec<_> = changed.collect();
        assert_eq!(changed, [(series, 1.0)]);
    }
}

#[test]
fn durations_fall_into_their_buckets() {
    let metrics = Metrics::new();
    let millis = Duration::from_millis;
    SlackObserver::call_ended(&metrics, Method::ChatPostMessage, Ok(()), millis(300));
    TeleportObserver::call_ended(&metrics, Call::Ping, no_response(), millis(30_001));
    metrics.reconcile_ended(ReconcileResult::Error, millis(10));
    let created = Timestamp::now();
    metrics.request_notified(created, created + SignedDuration::from_secs(7), millis(1));
    for (metric, labels, below, at) in [
        ("slack_request_duration", ",method=\"chat.postMessage\"", "0.25", "0.5"),
        ("teleport_request_duration", ",method=\"Ping\"", "30.0", "+Inf"),
        ("reconcile_duration", "", "", "0.01"),
        ("request_notification_delay", "", "5.0", "10.0"),
    ] {
        let count = |le: &str| {
            value(&metrics, &format!("teleport_slack_{metric}_seconds_bucket{{le=\"{le}\"{labels}}}"))
        };
        assert_eq!(count(at), Some(1.0), "{metric} {at}");
        assert_eq!(count("+Inf"), Some(1.0), "{metric}");
        assert!(below.is_empty() || count(below) == Some(0.0), "{metric} {below}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_are_unix_times_and_absent_while_there_is_nothing() {
    let metrics = Metrics::new();
    // How long ago, by the clock on the wall.
    let age = |name: &str| {
        let found = value(&metrics, &format!("teleport_slack_{name}_timestamp_seconds"))?;
        Some((Timestamp::now().as_duration().as_secs_f64() - found).round())
    };
    let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));
    for name in [
        "certificate_expiration",
        "oldest_pending_operation",
        "oldest_stalled_request",
        "teleport_last_response",
        "watch_last_event",
        "workqueue_oldest_due",
    ] {
        assert_eq!(age(name), None, "{name}");
    }
    metrics.watch_opened();
    pass(7).await;
    assert_eq!(age("watch_last_event"), Some(7.0));
    metrics.watch_event();
    pass(2).await;
    assert_eq!(age("watch_last_event"), Some(2.0));
    TeleportObserver::call_ended(&metrics, Call::Ping, CallResult::OK, Duration::ZERO);
    pass(3).await;
    TeleportObserver::call_ended(&metrics, Call::Ping, no_response(), Duration::ZERO);
    assert_eq!(age("teleport_last_response"), Some(3.0), "no answer is none");

    let now = Instant::now();
    metrics.work_queue(3, 2, Some(now + Duration::from_secs(5)), Some(now), Some(now));
    assert_eq!(age("workqueue_oldest_due"), Some(-5.0));
    pass(6).await;
    assert_eq!(age("workqueue_oldest_due"), Some(1.0));
    assert_eq!(age("oldest_pending_operation"), Some(6.0));
    assert_eq!(age("oldest_stalled_request"), Some(6.0));
    assert_eq!(value(&metrics, "teleport_slack_workqueue_depth"), Some(3.0));
    assert_eq!(value(&metrics, "teleport_slack_active_reconciles"), Some(2.0));
    metrics.work_queue(0, 0, None, None, None);
    for name in ["workqueue_oldest_due", "oldest_pending_operation", "oldest_stalled_request"] {
        assert_eq!(age(name), None, "{name}");
    }
    metrics.certificate_holds(Timestamp::MIN, Timestamp::from_second(1_795_770_720).unwrap());
    let end = value(&metrics, "teleport_slack_certificate_expiration_timestamp_seconds");
    assert_eq!(end, Some(1_795_770_720.0));
}

#[test]
fn a_loss_of_the_watch_counts_once_it_is_open_again() {
    let metrics = Metrics::new();
    let reconnects = || value(&metrics, "teleport_slack_watch_reconnects_total");
    metrics.watch_lost(&TeleportError::WatchEnded);
    metrics.watch_opened();
    assert_eq!(reconnects(), Some(0.0), "it was never open before");
    metrics.watch_lost(&TeleportError::WatchEnded);
    metrics.watch_lost(&TeleportError::WatchEnded);
    assert_eq!(reconnects(), Some(0.0));
    metrics.watch_opened();
    metrics.watch_opened();
    assert_eq!(reconnects(), Some(1.0));
}

#[test]
fn open_connections_of_socket_mode_are_counted_where_there_are_to_be_some() {
    let metrics = Metrics::new();
    let name = "teleport_slack_socket_mode_connections";
    assert_eq!(value(&metrics, name), None);
    let metrics = metrics_of(CONFIGURATIONS[3].1);
    assert_eq!(value(&metrics, name), Some(0.0));
    for connections in [0, 1, 2, 0] {
        metrics.socket_mode_connections(connections);
        assert_eq!(value(&metrics, name), u32::try_from(connections).ok().map(f64::from));
    }
}

#[test]
fn ready_follows_health() {
    let metrics = Metrics::new();
    let ready = || value(&metrics, "teleport_slack_ready");
    assert_eq!(ready(), Some(0.0));
    metrics.stage_reached(Stage::Listed);
    assert_eq!(ready(), Some(1.0));
    metrics.stage_reached(Stage::List);
    assert_eq!(ready(), Some(1.0), "a later list does not undo the first");
    metrics.certificate_holds(Timestamp::MIN, Timestamp::now());
    assert_eq!(ready(), Some(0.0));
}
