//! Health, readiness and metrics over the wire.

use super::super::diagnostics::Diagnostics;
use super::status::Fixed;
use super::*;
use crate::observe::health::Stage;
use crate::observe::metrics::{Metrics, SlackOperation};

async fn start(metrics: &Metrics) -> Running {
    start_with(metrics, Fixed(None)).await
}

pub(super) async fn start_with(metrics: &Metrics, status: Fixed) -> Running {
    let listener = Diagnostics::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, stop) = (listener.address(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(metrics.clone(), Arc::new(status), stop.clone(), HttpTimings::default()));
    Running { address, stop, tasks }
}

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[tokio::test]
async fn each_path_has_its_answer() {
    let metrics = Metrics::new();
    let mut running = start(&metrics).await;
    let answer = running.exchange(ask("/healthz")).await;
    check_status(&answer, "200");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");

    let answer = running.exchange(ask("/readyz")).await;
    check_status(&answer, "503");
    assert!(answer.ends_with("\r\n\r\nnot ready: Teleport has not answered yet\n"), "{answer}");
    metrics.stage_reached(Stage::Listed);
    let answer = running.exchange(ask("/readyz")).await;
    check_status(&answer, "200");
    assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");

    metrics.operation_ended(SlackOperation::Post, Ok(()));
    let answer = running.exchange(ask("/metrics")).await;
    check_status(&answer, "200");
    assert!(
        answer.contains("\nteleport_slack_slack_operations_total{operation=\"post\",result=\"ok\"} 1\n"),
        "{answer}"
    );
    assert!(answer.contains("\nteleport_slack_build_info{version=\""), "{answer}");
    running.stop.cancel();
    running.stopped().await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_the_caller_asks_for() {
    let running = start(&Metrics::new()).await;
    let text = (
        "text/plain; version=0.0.4; charset=utf-8",
        "# TYPE teleport_slack_watch_reconnects_total counter\n",
    );
    let openmetrics = (
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "# TYPE teleport_slack_watch_reconnects counter\n",
    );
    for (accept, (media_type, line)) in [
        ("", text),
        ("Accept: */*\r\n", text),
        (
            "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
            openmetrics,
        ),
        // As two headers, the second of which is no text.
        (
            "Accept: text/plain;q=0.3\r\nAccept: application/openmetrics-text;q=0.4\r\nAccept: \u{e9}\r\n",
            openmetrics,
        ),
    ] {
        let answer = running.exchange(format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}\r\n")).await;
        check_status(&answer, "200");
        assert!(
            answer.contains(&format!("content-type: {media_type}\r\nvary: accept\r\n")),
            "{accept}: {answer}"
        );
        assert!(answer.contains(line), "{accept}: {answer}");
        assert_eq!(answer.ends_with("\n# EOF\n"), line == openmetrics.1, "{accept}: {answer}");
    }
}

#[tokio::test]
async fn other_paths_are_refused_and_no_caller_blocks_the_listener() {
    let running = start(&Metrics::new()).await;
    let body = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n";
    for (request, status) in [
        (ask("/"), "404"),
        (ask("/slack/interactivity"), "404"),
        (ask("/metrics/../etc/passwd"), "404"),
        (body.to_owned(), "405"),
        ("DELETE /readyz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "405"),
        (format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES)), "431"),
    ] {
        check_status(&running.exchange(request).await, status);
    }
}

#[tokio::test]
async fn health_is_answered_at_once_behind_any_number_of_slow_callers() {
    let running = start(&Metrics::new()).await;
    let mut slow = Vec::new();
    for _ in 0..120 {
        let mut caller = running.connect().await;
        caller.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await.unwrap();
        slow.push(caller);
    }
    for _ in 0..3 {
        let asked = Instant::now();
        check_status(&running.exchange(ask("/healthz")).await, "200");
        let took = asked.elapsed();
        // Those before hold their places for 2 s each.
        assert!(took < Duration::from_millis(500), "it took {took:?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let running = start(&Metrics::new()).await;
    let error = chain(&Diagnostics::bind(running.address).await.unwrap_err());
    assert!(
        error.contains(&running.address.to_string()) && error.contains("diagnostics.listen_addr"),
        "{error}"
    );
    assert!(error.contains("in use"), "{error}");
}
