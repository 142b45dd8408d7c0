use std::collections::BTreeSet;
use std::time::Duration;

use access_core::domain::decision::Decision;
use access_core::domain::skew::Offset;
use access_core::policy::refusal::{AccountIneligible, Refusal};
use access_core::render::ephemeral::Accepted;
use jiff::SignedDuration;

use super::*;
use slack_client::error::Retry;

/// All samples, by series.
fn samples(metrics: &Metrics) -> Vec<(String, f64)> {
    let text = metrics.text();
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

#[test]
fn the_document_lists_every_name_and_no_other() {
    let metrics = Metrics::new();
    metrics.watch_opened();
    metrics.certificate_expires(Timestamp::now());
    metrics.observe_clock(Side::Slack, Offset::from_event(Timestamp::now(), Timestamp::now()));
    metrics.socket_mode_connections(2);
    TeleportObserver::call_ended(&metrics, Call::Ping, CallResult::OK, Duration::ZERO);
    let exported: BTreeSet<_> = samples(&metrics)
        .into_iter()
        .map(|(series, _)| series.split('{').next().unwrap().to_owned())
        .collect();
    let document = include_str!("../../../../../docs/metrics.md");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = document.split(|c| !is_name(c)).filter(|word| word.starts_with(PREFIX) && *word != PREFIX);
    let documented: BTreeSet<_> = words.map(str::to_owned).collect();
    assert_eq!(documented, exported);
}

#[test]
fn names_follow_the_conventions() {
    let metrics = Metrics::new();
    metrics.watch_opened();
    metrics.certificate_expires(Timestamp::now());
    metrics.observe_clock(Side::Slack, Offset::from_event(Timestamp::now(), Timestamp::now()));
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"));
    let mut counters = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(name.starts_with("teleport_slack_"), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is not explained");
        assert_eq!(
            ["_age_seconds", "_left_seconds", "_skew_seconds"].iter().any(|end| name.ends_with(end)),
            name.ends_with("_seconds")
        );
        if kind == "counter" {
            counters += 1;
            assert!(!name.ends_with("_total"), "{name}: its samples get the suffix");
        }
    }
    assert_eq!(counters, 13);
    let help: Vec<_> = text.lines().filter(|line| line.starts_with("# HELP")).collect();
    assert!(help.iter().all(|line| line.ends_with('.') && !line.ends_with("..")), "{help:?}");
}

/// A series and what makes it one.
type Step<'a> = (&'a str, &'a dyn Fn(&Metrics));

#[test]
fn what_happens_is_counted_where_it_belongs_and_nowhere_else() {
    let steps: [Step<'_>; 30] = [
        ("deliveries_total{result=\"posted\"}", &|m| m.operation_ended(OperationResult::Posted)),
        ("deliveries_total{result=\"updated\"}", &|m| m.operation_ended(OperationResult::Updated)),
        ("deliveries_total{result=\"replied\"}", &|m| m.operation_ended(OperationResult::Replied)),
        ("deliveries_total{result=\"failed\"}", &|m| {
            m.operation_ended(OperationResult::Failed(Retry::Backoff))
        }),
        ("deliveries_total{result=\"limited\"}", &|m| {
            m.operation_ended(OperationResult::Failed(Retry::After(Duration::from_secs(3))));
        }),
        ("deliveries_total{result=\"refused\"}", &|m| {
            m.operation_ended(OperationResult::Failed(Retry::Never))
        }),
        ("deliveries_total{result=\"unauthorised\"}", &|m| {
            m.operation_ended(OperationResult::Failed(Retry::NeedsOperator))
        }),
        ("retries_total", &Metrics::operation_retried),
        ("ambiguous_posts_total", &Metrics::post_in_doubt),
        ("settled_posts_total{history=\"found\"}", &|m| m.in_doubt_post_resolved(InDoubtResult::Found)),
        ("settled_posts_total{history=\"not_found\"}", &|m| {
            m.in_doubt_post_resolved(InDoubtResult::NotFound)
        }),
        ("possible_doubles_total", &Metrics::possible_duplicate),
        ("withdrawn_doubles_total", &Metrics::duplicate_deleted),
        ("claim_takeovers_total", &Metrics::claim_taken_over),
        ("visits_total{result=\"done\"}", &|m| m.reconcile_ended(ReconcileResult::Success)),
        ("visits_total{result=\"failed\"}", &|m| m.reconcile_ended(ReconcileResult::Error)),
        ("visits_total{result=\"panicked\"}", &|m| m.reconcile_ended(ReconcileResult::Panic)),
        ("clicks_total{verdict=\"done\",reason=\"resolved\"}", &|m| {
            m.interaction_ended(InteractionResult::Accepted(&Accepted::Resolved(Decision::Approve)));
        }),
        ("clicks_total{verdict=\"refused\",reason=\"own_request\"}", &|m| {
            m.interaction_ended(InteractionResult::Refused(&Refusal::SelfReview));
        }),
        ("clicks_total{verdict=\"asking\",reason=\"\"}", &|m| {
            m.interaction_ended(InteractionResult::ReasonRequested)
        }),
        ("clicks_total{verdict=\"forged\",reason=\"\"}", &|m| {
            m.interaction_ended(InteractionResult::InvalidSignature)
        }),
        ("clicks_total{verdict=\"done\",reason=\"not_carried_out\"}", &|m| {
            m.interaction_ended(InteractionResult::Accepted(&Accepted::NotApplied(Decision::Deny)));
        }),
        ("clicks_total{verdict=\"refused\",reason=\"guest\"}", &|m| {
            m.interaction_ended(InteractionResult::Refused(&Refusal::AccountIneligible(
                AccountIneligible::Guest,
            )));
        }),
        ("clicks_total{verdict=\"turned_away\",reason=\"\"}", &|m| {
            m.interaction_ended(InteractionResult::Overloaded)
        }),
        ("teleport_calls_total{method=\"Ping\",code=\"OK\"}", &|m| {
            TeleportObserver::call_ended(m, Call::Ping, CallResult::OK, Duration::ZERO)
        }),
        ("slack_calls_total{method=\"auth.test\",result=\"ok\"}", &|m| {
            SlackObserver::call_ended(m, Method::AuthTest, Ok(()), Duration::ZERO)
        }),
        ("slack_calls_total{method=\"chat.update\",result=\"refused\"}", &|m| {
            let error = SlackError::api_error(Method::ChatUpdate, "not_in_channel");
            SlackObserver::call_ended(m, Method::ChatUpdate, Err(&error), Duration::ZERO)
        }),
        ("slack_calls_total{method=\"chat.update\",result=\"limited\"}", &|m| {
            let error = SlackError::api_error(Method::ChatUpdate, "ratelimited");
            SlackObserver::call_ended(m, Method::ChatUpdate, Err(&error), Duration::ZERO)
        }),
        ("slack_calls_total{method=\"chat.update\",result=\"ambiguous\"}", &|m| {
            SlackObserver::call_ended(
                m,
                Method::ChatUpdate,
                Err(&SlackError::timed_out(Method::ChatUpdate, true)),
                Duration::ZERO,
            )
        }),
        ("waiting_errands", &|m| m.pending_operations_changed(1)),
    ];
    for (series, step) in steps {
        let (metrics, series) = (Metrics::new(), format!("teleport_slack_{series}"));
        let before = samples(&metrics);
        assert!(before.contains(&(series.clone(), 0.0)), "{series} is not there from the start");
        step(&metrics.clone());
        // An answer of Teleport also sets its time.
        let changed =
            samples(&metrics).into_iter().filter(|now| !before.contains(now) && !now.0.contains("_age_"));
        let changed: Vec<_> = changed.collect();
        assert_eq!(changed, [(series, 1.0)]);
    }
}

#[tokio::test(start_paused = true)]
async fn ages_are_those_of_the_moment_and_a_loss_counts_once_it_is_over() {
    let metrics = Metrics::new();
    let seconds = |name: &str| value(&metrics, &format!("teleport_slack_{name}_seconds"));
    let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));
    let reconnects = || value(&metrics, "teleport_slack_watch_reconnects_total");
    assert_eq!((seconds("watch_last_event_age"), seconds("certificate_left")), (None, None));
    metrics.watch_lost();
    metrics.watch_opened();
    assert_eq!(reconnects(), Some(0.0), "it was never open before");
    pass(7).await;
    assert_eq!(seconds("watch_last_event_age"), Some(7.0));
    metrics.watch_event();
    metrics.watch_lost();
    metrics.watch_lost();
    pass(2).await;
    assert_eq!(seconds("watch_last_event_age"), Some(2.0));
    metrics.watch_opened();
    metrics.watch_opened();
    assert_eq!(reconnects(), Some(1.0));

    assert_eq!(seconds("waiting_errands_oldest_age"), Some(0.0));
    assert_eq!(seconds("undelivered_oldest_age"), Some(0.0));
    let now = Instant::now();
    metrics.work_queue(3, 2, Some(now + Duration::from_secs(5)), Some(now), Some(now));
    assert_eq!(seconds("queue_oldest_due_age"), Some(0.0));
    pass(6).await;
    assert_eq!(seconds("queue_oldest_due_age"), Some(1.0));
    assert_eq!(seconds("waiting_errands_oldest_age"), Some(6.0));
    assert_eq!(seconds("undelivered_oldest_age"), Some(6.0));
    assert_eq!(value(&metrics, "teleport_slack_queued_requests"), Some(3.0));
    assert_eq!(value(&metrics, "teleport_slack_visiting_requests"), Some(2.0));

    metrics.certificate_expires(Timestamp::now() + SignedDuration::from_hours(1));
    let left = seconds("certificate_left").unwrap();
    assert!((3_500.0..=3_600.0).contains(&left), "{left}");
}

#[test]
fn open_connections_are_shown_only_with_socket_mode() {
    let metrics = Metrics::new();
    let open = || value(&metrics, "teleport_slack_socket_mode_connections");
    assert_eq!(open(), None);
    for connections in [0, 1, 2, 0] {
        metrics.socket_mode_connections(connections);
        assert_eq!(open(), u32::try_from(connections).ok().map(f64::from));
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
    metrics.certificate_expires(Timestamp::now());
    assert_eq!(ready(), Some(0.0));
}
