//! Rate limits as a client meets them; their arithmetic is tested in `rate.rs`.

use std::time::Duration;

use serde_json::json;

use super::super::rate::RateLimits;
use super::super::workspace::Workspace;
use super::super::{Options, SlackSim};
use super::{Client, start};

#[tokio::test]
async fn posting_too_fast_gets_429_with_whole_seconds_and_posts_nothing() {
    let sim = SlackSim::start(Options {
        rate_limits: Some(RateLimits { channel_burst: 2, channel_interval: Duration::from_secs(3_600) }),
        ..Options::new(Workspace::demo())
    })
    .await
    .unwrap();
    let client = Client::of(&sim);
    let post = |channel: &str| json!({ "channel": channel, "text": "x" });
    client.ok("chat.postMessage", post("C0REQUESTS")).await;
    client.ok("chat.postMessage", post("#access-requests")).await;
    let got = client.post("chat.postMessage", post("C0REQUESTS")).await;
    assert_eq!(got.status, 429);
    assert_eq!(got.json()["error"], "ratelimited");
    let seconds: u64 = got.header("retry-after").parse().unwrap();
    assert!((3_590..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(sim.messages("C0REQUESTS").len(), 2);
    client.ok("chat.postMessage", post("C0DBA")).await;
    client.ok("chat.postMessage", post("U0BOB")).await;
    client.ok("chat.postMessage", post("D0BOB")).await;
    assert_eq!(client.post("chat.postMessage", post("U0BOB")).await.status, 429, "a DM has one bucket");
    client.ok("auth.test", json!({})).await;
    sim.set_rate_limits(None);
    client.ok("chat.postMessage", post("C0REQUESTS")).await;
    let statuses: Vec<_> = sim.calls_of("chat.postMessage").iter().map(|call| call.status.unwrap()).collect();
    assert_eq!(statuses, [200, 200, 429, 200, 200, 200, 429, 200]);
}

#[tokio::test]
async fn each_method_has_its_own_minute() {
    let sim = SlackSim::start(Options::new(Workspace::demo())).await.unwrap();
    let client = Client::of(&sim);
    for _ in 0..20 {
        client.ok("conversations.list", json!({})).await;
    }
    let got = client.post("conversations.list", json!({})).await;
    assert_eq!(got.status, 429);
    let seconds: u64 = got.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    client.ok("conversations.info", json!({ "channel": "C0DBA" })).await;
}

#[tokio::test]
async fn switched_off_nothing_is_limited() {
    let (_sim, client) = start(Workspace::demo()).await;
    for _ in 0..30 {
        client.ok("chat.postMessage", json!({ "channel": "C0DBA", "text": "x" })).await;
        client.ok("conversations.list", json!({})).await;
    }
}
