//! What Slack's hello says of the app and its connections, and what the log makes of it.

use access_sim::slack::workspace::Workspace;
use access_sim::slack::{Options, SlackSim, socket::SocketSelector};

use super::whole::*;
use super::*;
use crate::ClientOptions;

const OTHERS: &str = "Others hold connections of this Slack app";

/// Slack, whose app-level token is the one of these tests.
async fn simulated() -> (SlackSim, Client) {
    let mut workspace = Workspace::empty();
    workspace.app.app_token = "xapp-hunter2".to_owned();
    workspace.app.socket_mode = true;
    let sim = SlackSim::start(Options { rate_limits: None, ..Options::new(workspace) }).await.unwrap();
    let options = ClientOptions { api_url: sim.api_url(), ..ClientOptions::new(Secret::new(sim.token())) };
    (sim, Client::new(options).unwrap())
}

/// With another look so soon that a test can wait for it.
fn soon() -> SocketModeTimings {
    SocketModeTimings { recount: Duration::from_millis(300), ..fast_timing() }
}

#[tokio::test]
async fn connections_of_others_that_stay_are_logged_once_by_each() {
    let log = Captured::start();
    let (sim, client) = simulated().await;
    let mut one = Running::start(client.clone(), soon());
    one.wait_for_connections(2).await;
    let mut two = Running::start(client, soon());
    two.wait_for_connections(2).await;
    // The second looks again by itself; the first had nothing to look for.
    until(|| log.count(OTHERS) == 1).await;
    assert!(log.text().contains("ours=3") && log.text().contains("connections=5"), "{}", log.text());
    assert!(log.text().contains("a daemon of another Teleport cluster"), "{}", log.text());
    assert_eq!(sim.sockets().opened(), 5);
    // Slack asks for new ones, as it does every few hours.
    sim.sockets().refresh(SocketSelector::Oldest);
    until(|| log.count(OTHERS) == 2).await;
    sim.sockets().refresh(SocketSelector::All);
    until(|| sim.sockets().opened() >= 11).await;
    one.wait_for_connections(2).await;
    two.wait_for_connections(2).await;
    assert_eq!((log.count(OTHERS), log.count("WARN") + log.count("ERROR")), (2, 2), "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn a_rolling_restart_and_new_connections_of_our_own_are_no_alarm() {
    let log = Captured::start();
    let (sim, client) = simulated().await;
    // Longer than the old one takes to end, however crowded the machine is.
    let timings = SocketModeTimings { recount: Duration::from_secs(2), ..fast_timing() };
    let mut old = Running::start(client.clone(), timings);
    old.wait_for_connections(2).await;
    for opened in [3, 4] {
        sim.sockets().refresh(SocketSelector::Newest);
        until(|| sim.sockets().opened() == opened).await;
        old.wait_for_connections(2).await;
    }
    let mut new = Running::start(client, timings);
    new.wait_for_connections(2).await;
    old.stop.cancel();
    old.stop_and_wait().await;
    // It looks once more, and is content.
    until(|| sim.sockets().opened() == 7).await;
    new.wait_for_connections(2).await;
    until(|| sim.sockets().count() == 2).await;
    assert_eq!(log.count("WARN") + log.count("ERROR"), 0, "{}", log.text());
}

#[tokio::test]
async fn connections_of_another_app_are_not_kept() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let never = Duration::from_secs(3_600);
    let timings = SocketModeTimings {
        backoff: Backoff { first: never, cap: never },
        operator_delay: Duration::from_millis(5),
        ..fast_timing()
    };
    let mut daemon = Running::start(slack.client(), timings);
    let hello =
        |app: &str| json!({"type": "hello", "num_connections": 1, "connection_info": {"app_id": app}});
    for _ in 0..4 {
        let mut far = slack.accept_silent().await;
        far.send(hello("A0OTHER")).await;
        // An interaction of the other app: it is not acknowledged, so that Slack hands it to that app.
        far.send(envelope("e1", &click("1"))).await;
        far.expect_close().await;
    }
    assert!(daemon.handled.all().is_empty());
    assert_eq!(log.count("ERROR"), 1, "{}", log.text());
    let expected = "the bot token belongs to the Slack app A0BOT and the app-level token to the app \"A0OTHER\", so no click would ever be taken; remedy: copy both tokens from the pages of one app";
    assert!(log.text().contains(expected), "{}", log.text());
    // Fixed.
    let mut open = Vec::new();
    while open.len() < 2 {
        let mut far = slack.accept_silent().await;
        far.send(hello("A0BOT")).await;
        open.push(far);
    }
    daemon.wait_for_connections(2).await;
    until(|| log.count("Clicks in Slack arrive over Socket Mode again") == 1).await;
}
