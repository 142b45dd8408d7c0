//! Faults on order, as a client meets them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::faults::{Fault, FaultRule};
use super::super::workspace::Workspace;
use super::super::{Options, SlackSim};
use super::{Client, start, wait_until};

const METHOD: &str = "chat.postMessage";

fn post() -> serde_json::Value {
    json!({ "channel": "C0REQUESTS", "text": "x" })
}

fn rule(fault: Fault) -> FaultRule {
    FaultRule::new(METHOD, fault).times(1)
}

async fn attempt(client: &Client) -> Result<super::ApiReply, String> {
    client.send(client.request("POST", METHOD, Some("application/json"), &post().to_string())).await
}

#[tokio::test]
async fn answers_that_are_errors_leave_nothing_done_and_pass() {
    let (sim, client) = start(Workspace::demo()).await;
    let cases = [
        (Fault::Error("fatal_error".to_owned()), 200, r#"{"error":"fatal_error","ok":false}"#),
        (Fault::Status { status: 503, body: "try later".to_owned() }, 503, "try later"),
        (Fault::RateLimited { retry_after: 7 }, 429, r#"{"ok":false,"error":"ratelimited"}"#),
        (Fault::NotJson, 200, "<!DOCTYPE html><title>Slack</title>"),
        (Fault::NotAnObject, 200, r#"["ok", true]"#),
        (Fault::NoOk, 200, "{}"),
        (Fault::Redirect("http://127.0.0.1:1/".to_owned()), 302, ""),
    ];
    for (fault, status, body) in cases {
        sim.faults().add(rule(fault.clone()));
        let got = client.post(METHOD, post()).await;
        assert_eq!((got.status.as_u16(), got.body.as_ref()), (status, body.as_bytes()), "{fault:?}");
        match fault {
            Fault::RateLimited { .. } => assert_eq!(got.header("retry-after"), "7"),
            Fault::Redirect(target) => assert_eq!(got.header("location"), target),
            _ => {}
        }
        assert!(sim.all_messages().is_empty(), "nothing is done");
    }
    client.ok(METHOD, post()).await;
    assert_eq!(sim.faults().pending(), 0);
    let calls = sim.calls_of(METHOD);
    assert_eq!(calls.len(), 8);
    assert!(calls.iter().take(7).all(|call| call.fault.is_some() && !call.succeeded()));
    assert!(calls[7].fault.is_none() && calls[7].succeeded());
}

#[tokio::test]
async fn a_reset_before_does_nothing_and_a_reset_after_has_done_it() {
    let (sim, client) = start(Workspace::demo()).await;
    sim.faults().add(rule(Fault::Reset));
    assert!(attempt(&client).await.unwrap_err().starts_with("request:"));
    assert!(sim.all_messages().is_empty());
    sim.faults().add(rule(Fault::Reset).in_channel("C0REQUESTS"));
    attempt(&client).await.unwrap_err();
    assert!(sim.all_messages().is_empty());
    sim.faults().add(rule(Fault::Reset).after_work());
    attempt(&client).await.unwrap_err();
    assert_eq!(sim.all_messages().len(), 1, "done, but the answer was lost");
    let calls = sim.calls_of(METHOD);
    let seen: Vec<_> = calls.iter().map(|call| (call.status, call.succeeded())).collect();
    assert_eq!(seen, [(None, false), (None, false), (None, true)]);
}

#[tokio::test]
async fn corrupted_bodies_hide_an_answer_whose_work_is_done() {
    let (sim, client) = start(Workspace::demo()).await;
    sim.faults().add(rule(Fault::WrongContentType));
    let got = attempt(&client).await.unwrap();
    assert_eq!(got.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(got.json()["ok"], json!(true));

    sim.faults().add(rule(Fault::HalfBody));
    assert!(attempt(&client).await.unwrap_err().starts_with("body:"));

    sim.faults().add(rule(Fault::Slow(Duration::from_millis(20))));
    let started = Instant::now();
    assert_eq!(attempt(&client).await.unwrap().json()["ok"], json!(true));
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(sim.all_messages().len(), 3);

    sim.faults().add(rule(Fault::Oversized(50 << 20)));
    let got = attempt(&client).await.unwrap();
    assert!(got.body.len() > 50 << 20);
    assert_eq!(got.json()["ok"], json!(true));
    assert_eq!(sim.all_messages().len(), 3);
}

#[tokio::test]
async fn every_error_may_hide_work_that_was_done() {
    let (sim, client) = start(Workspace::demo()).await;
    for (n, fault) in [
        Fault::Error("internal_error".to_owned()),
        Fault::Status { status: 502, body: "<html>".to_owned() },
        Fault::NotJson,
    ]
    .into_iter()
    .enumerate()
    {
        sim.faults().add(rule(fault.clone()).after_work());
        let got = client.post(METHOD, post()).await;
        assert!(!String::from_utf8_lossy(&got.body).contains("\"ok\":true"), "{fault:?}");
        assert_eq!(sim.all_messages().len(), n + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_may_lack_a_field_or_hold_another_value() {
    let (sim, client) = start(Workspace::demo()).await;
    let altered = |value| Fault::Altered(vec![("ts".to_owned(), value)]);
    for value in [None, Some(json!("1.2")), Some(json!(7))] {
        sim.faults().add(rule(altered(value.clone())));
        let got = client.post(METHOD, post()).await.json();
        assert_eq!((got["ok"].as_bool(), got.get("ts").cloned()), (Some(true), value));
    }
    assert_eq!(sim.all_messages().len(), 3, "the work is done");
    sim.faults().add(rule(altered(None)));
    assert_eq!(client.error(METHOD, json!({ "channel": "C0REQUESTS" })).await, "no_text");
}

#[tokio::test]
async fn delays_come_before_or_after_the_work() {
    let (sim, client) = start(Workspace::demo()).await;
    let pause = Duration::from_millis(100);
    let started = Instant::now();
    sim.faults().add(rule(Fault::Delay(pause)));
    attempt(&client).await.unwrap();
    assert!(started.elapsed() >= pause);

    sim.faults().add(rule(Fault::Delay(Duration::from_secs(3_600))));
    tokio::select! {
        _ = attempt(&client) => panic!("the call is delayed"),
        () = wait_until(&sim, |sim| sim.faults().pending() == 0) => {}
    }
    assert_eq!(sim.all_messages().len(), 1, "the delayed call was not applied");
    sim.faults().add(rule(Fault::Delay(Duration::from_secs(3_600))).after_work());
    tokio::select! {
        _ = attempt(&client) => panic!("the answer is delayed"),
        () = wait_until(&sim, |sim| sim.all_messages().len() == 2) => {}
    }
}

#[tokio::test]
async fn a_hanging_call_is_seen_and_ends_with_the_server() {
    let (sim, client) = start(Workspace::demo()).await;
    sim.faults().add(rule(Fault::Hang));
    let (attempted, ()) = tokio::join!(attempt(&client), async {
        wait_until(&sim, |sim| sim.calls().iter().any(|call| call.fault.is_some())).await;
        sim.stop().await;
    });
    attempted.unwrap_err();
    assert_eq!(sim.calls()[0].status, None);
    assert!(sim.all_messages().is_empty());
}

#[tokio::test]
async fn rules_match_method_and_channel_until_used_up_or_cleared() {
    let (sim, client) = start(Workspace::demo()).await;
    let faults = sim.faults();
    let fail = |code: &str| Fault::Error(code.to_owned());
    let to = |channel: &str| json!({ "channel": channel, "text": "x" });
    faults.add(FaultRule::new(METHOD, fail("internal_error")).in_channel("C0DBA").times(2));
    client.ok(METHOD, to("C0REQUESTS")).await;
    client.ok("auth.test", json!({})).await;
    assert_eq!(client.error(METHOD, to("C0DBA")).await, "internal_error");
    assert_eq!(client.error(METHOD, to("#dba-approvers")).await, "internal_error");
    client.ok(METHOD, to("C0DBA")).await;

    client.ok(METHOD, to("U0BOB")).await;
    let id = faults.add(FaultRule::new(METHOD, fail("fatal_error")).in_channel("D0BOB"));
    assert_eq!(client.error(METHOD, to("U0BOB")).await, "fatal_error");
    assert_eq!(client.error(METHOD, to("D0BOB")).await, "fatal_error");
    faults.remove(id);
    client.ok(METHOD, to("U0BOB")).await;

    faults.add(FaultRule::new("*", fail("service_unavailable")));
    for _ in 0..3 {
        assert_eq!(client.error("auth.test", json!({})).await, "service_unavailable");
    }
    faults.clear();
    client.ok("auth.test", json!({})).await;
}

#[tokio::test]
async fn latency_is_added_to_every_call() {
    let latency = Duration::from_millis(80);
    let sim = SlackSim::start(Options { latency, ..Options::new(Workspace::demo()) }).await.unwrap();
    let client = Client::of(&sim);
    let started = Instant::now();
    client.ok("auth.test", json!({})).await;
    assert!(started.elapsed() >= latency);
}
