//! Socket Mode, with a WebSocket client that knows nothing of Slack.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::super::faults::{Fault, FaultRule};
use super::super::interactive::forgery::{Alteration, Forgery};
use super::super::interactive::{Timings, Warning};
use super::super::socket::SocketSelector;
use super::super::users::submit::SubmitResult;
use super::super::workspace::Workspace;
use super::super::{Options, SlackSim};
use super::app::App;
use super::{ApiReply, Client, LIMIT, button, post_button, reason_modal, wait_until};

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// The next text, as JSON; answers pings meanwhile.
    async fn next(&mut self) -> Value {
        loop {
            match self.frame().await {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn frame(&mut self) -> tungstenite::Result<Message> {
        let next = tokio::time::timeout(LIMIT, self.0.next()).await.expect("a frame in time");
        next.unwrap_or(Err(tungstenite::Error::ConnectionClosed))
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn ack(&mut self, envelope: &Value) {
        self.send(json!({ "envelope_id": envelope["envelope_id"] })).await;
    }

    /// Nothing but pings comes for this long.
    async fn expect_silence(&mut self, pause: Duration) {
        let heard = async {
            loop {
                let frame = self.frame().await;
                if !matches!(frame, Ok(Message::Ping(_))) {
                    return frame;
                }
            }
        };
        let heard = tokio::time::timeout(pause, heard).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

fn fast_timings() -> Timings {
    Timings { ack: Duration::from_millis(300), linger: Duration::from_millis(200), ..Timings::default() }
}

/// For those who acknowledge, however busy the machine is.
fn slow_timings() -> Timings {
    Timings { ack: LIMIT, ..fast_timings() }
}

async fn start(times: Timings) -> (SlackSim, Client) {
    let workspace = Workspace::demo().with_socket_mode();
    let options = Options { rate_limits: None, timings: times, ..Options::new(workspace) };
    let sim = SlackSim::start(options).await.unwrap();
    let client = Client::of(&sim);
    (sim, client)
}

async fn open_with(client: &Client, token: &str) -> ApiReply {
    let client = Client { http: client.http.clone(), base: client.base.clone(), token: token.to_owned() };
    client.form("apps.connections.open", &[]).await
}

async fn address(sim: &SlackSim, client: &Client) -> String {
    let got = open_with(client, &sim.app().app_token).await.json();
    assert_eq!(got["ok"], json!(true), "{got}");
    got["url"].as_str().unwrap().to_owned()
}

async fn dial(sim: &SlackSim, url: &str) -> tungstenite::Result<Socket> {
    let stream = TcpStream::connect(sim.addr()).await.unwrap();
    client_async(url, stream).await.map(|(socket, _)| Socket(socket))
}

/// A socket that has heard hello.
async fn connect(sim: &SlackSim, client: &Client) -> Socket {
    let mut socket = dial(sim, &address(sim, client).await).await.unwrap();
    let hello = socket.next().await;
    assert_eq!(hello["type"], "hello", "{hello}");
    socket
}

#[tokio::test]
async fn an_address_is_for_the_app_token_by_post_only() {
    let (sim, client) = start(fast_timings()).await;
    let app_token = sim.app().app_token;
    for (token, code) in [
        ("", "not_authed"),
        ("xapp-wrong", "invalid_auth"),
        (client.token.as_str(), "not_allowed_token_type"),
    ] {
        assert_eq!(open_with(&client, token).await.json()["error"], code, "{token}");
    }
    let bare = Client { http: client.http.clone(), base: client.base.clone(), token: String::new() };
    let form = bare.form("apps.connections.open", &[("token", &app_token)]).await;
    assert_eq!(form.json()["error"], "not_authed", "the token counts only in the header");
    let app = Client { token: app_token.clone(), ..bare };
    assert_eq!(app.get("apps.connections.open", &[]).await.json()["error"], "insecure_request");
    assert_eq!(app.post("apps.connections.open", json!({})).await.json()["ok"], json!(true));
    assert_eq!(
        app.post("apps.connections.open", json!({ "x": 1 })).await.json()["error"],
        "invalid_arg_name"
    );
    let api = Client { token: app_token, ..Client::of(&sim) };
    assert_eq!(api.ok("auth.test", json!({})).await["app_id"], "A0BOT");
    let refused = api.post("chat.postMessage", json!({ "channel": "C0TEAM", "text": "x" })).await;
    assert_eq!(refused.json()["error"], "not_allowed_token_type");
}

#[tokio::test]
async fn a_ticket_lets_one_socket_in() {
    let (sim, client) = start(fast_timings()).await;
    let url = address(&sim, &client).await;
    let mut socket = dial(&sim, &url).await.unwrap();
    let hello = socket.next().await;
    assert_eq!(hello["num_connections"], 1);
    assert_eq!(hello["connection_info"]["app_id"], "A0BOT");
    assert_eq!(hello["debug_info"]["approximate_connection_time"], 3_600);
    for wrong in [url.clone(), format!("{url}0"), format!("ws://{}/link/", sim.addr())] {
        let Err(tungstenite::Error::Http(refused)) = dial(&sim, &wrong).await else { panic!("let in") };
        assert_eq!(refused.status(), 403);
    }
    let base = format!("http://{}/link/", sim.addr());
    let plain = Client { base, ..Client::of(&sim) };
    assert_eq!(plain.get("", &[]).await.status, 400, "a GET that is no handshake");
    assert_eq!(sim.sockets().count(), 1);
    drop(socket);
    wait_until(&sim, |sim| sim.sockets().count() == 0).await;
}

#[tokio::test]
async fn a_click_comes_over_the_socket_and_not_over_http() {
    let (sim, client) = start(slow_timings()).await;
    let app = App::start().await;
    sim.set_request_url(Some(&app.url()));
    let mut socket = connect(&sim, &client).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let click = sim.click("U0BOB", "C0DBA", &ts, "approve").into_future();
    let answer = async {
        let envelope = socket.next().await;
        socket.ack(&envelope).await;
        envelope
    };
    let (seen, envelope) = tokio::join!(click, answer);
    let seen = seen.unwrap();
    assert!(seen.acknowledged());
    assert_eq!(
        (&envelope["type"], &envelope["accepts_response_payload"]),
        (&json!("interactive"), &json!(false))
    );
    assert_eq!((envelope.get("retry_attempt"), envelope.get("retry_reason")), (None, None));
    let interaction = sim.interaction(seen.seq().unwrap()).unwrap();
    assert_eq!(interaction.payload, envelope["payload"]);
    assert_eq!((interaction.deliveries, interaction.status), (1, None));
    assert!(app.received().is_empty());
    assert_eq!(sim.sockets().protocol_errors(), Vec::<String>::new());
}

#[tokio::test]
async fn forged_payloads_come_over_the_socket_too() {
    let (sim, client) = start(slow_timings()).await;
    let mut socket = connect(&sim, &client).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    for (alteration, pointer, value) in [
        (Alteration::team("T0OTHER"), "/payload/team/id", json!("T0OTHER")),
        (Alteration::Body("7".to_owned()), "/payload", json!(7)),
        (Alteration::Padded(1 << 20), "/payload/padding", json!("x".repeat(1 << 20))),
    ] {
        let click = sim.click("U0BOB", "C0DBA", &ts, "approve").forged(Forgery::altered(alteration));
        let answer = async {
            let envelope = socket.next().await;
            socket.ack(&envelope).await;
            envelope
        };
        let (seen, envelope) = tokio::join!(click.into_future(), answer);
        assert!(seen.unwrap().acknowledged());
        assert_eq!(envelope.pointer(pointer), Some(&value), "{pointer}");
    }
}

#[tokio::test]
async fn an_unacknowledged_envelope_is_sent_again_with_the_same_id() {
    let (sim, client) = start(fast_timings()).await;
    let mut socket = connect(&sim, &client).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let (seen, first) =
        tokio::join!(sim.click("U0BOB", "C0DBA", &ts, "approve").into_future(), socket.next());
    let seen = seen.unwrap();
    assert_eq!(seen.warning(), Some(&Warning::TimedOut));
    let second = socket.next().await;
    assert_eq!(first, second);
    socket.ack(&second).await;
    socket.ack(&first).await;
    let seq = seen.seq().unwrap();
    wait_until(&sim, |sim| sim.interaction(seq).unwrap().acknowledged_after.is_some()).await;
    assert_eq!(sim.interaction(seq).unwrap().deliveries, 2);
    socket.expect_silence(Duration::from_millis(400)).await;
    assert_eq!(sim.sockets().protocol_errors(), Vec::<String>::new(), "a second acknowledgement is no error");
}

#[tokio::test]
async fn without_a_socket_the_person_is_warned_and_the_payload_comes_later() {
    let (sim, client) = start(fast_timings()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
    assert_eq!(seen.warning(), Some(&Warning::TimedOut));
    assert_eq!(sim.interaction(seen.seq().unwrap()).unwrap().deliveries, 0);
    let mut socket = connect(&sim, &client).await;
    let envelope = socket.next().await;
    assert_eq!(envelope["payload"]["type"], "block_actions");
}

#[tokio::test]
async fn payloads_are_spread_and_any_socket_may_acknowledge() {
    let (sim, client) = start(slow_timings()).await;
    let mut one = connect(&sim, &client).await;
    let mut two = connect(&sim, &client).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let (mut by_one, mut by_two) = (0, 0);
    for _ in 0..40 {
        let answer = async {
            tokio::select! {
                envelope = one.next() => {
                    by_one += 1;
                    two.ack(&envelope).await;
                }
                envelope = two.next() => {
                    by_two += 1;
                    one.ack(&envelope).await;
                }
            }
        };
        let (seen, ()) = tokio::join!(sim.click("U0BOB", "C0DBA", &ts, "approve").into_future(), answer);
        assert!(seen.unwrap().acknowledged());
    }
    assert!(by_one > 0 && by_two > 0, "{by_one} and {by_two}");
}

#[tokio::test]
async fn a_modal_is_answered_in_the_acknowledgement() {
    let (sim, client) = start(slow_timings()).await;
    let mut socket = connect(&sim, &client).await;
    let ts = post_button(&client, "C0DBA", button("deny")).await;
    let answer = async {
        let envelope = socket.next().await;
        socket.send(json!({ "envelope_id": envelope["envelope_id"], "payload": {} })).await;
        envelope["payload"]["trigger_id"].clone()
    };
    let (_, trigger) = tokio::join!(sim.click("U0BOB", "C0DBA", &ts, "deny").into_future(), answer);
    client.ok("views.open", json!({ "trigger_id": trigger, "view": reason_modal() })).await;
    let modal = sim.modal("U0BOB").unwrap();
    let mut submit = async |payload: Value| {
        let answer = async {
            let envelope = socket.next().await;
            assert_eq!(envelope["accepts_response_payload"], json!(true));
            assert_eq!(envelope["payload"]["type"], "view_submission");
            socket.send(json!({ "envelope_id": envelope["envelope_id"], "payload": payload })).await;
        };
        let submission = sim.submit_view("U0BOB", &modal.id, &[("reason", "x")]).into_future();
        tokio::join!(submission, answer).0.unwrap().result
    };
    let errors = json!({ "response_action": "errors", "errors": { "why": "More." } });
    assert!(matches!(submit(errors).await, SubmitResult::Errors(_)));
    assert!(matches!(submit(json!({})).await, SubmitResult::Closed));
}

#[tokio::test]
async fn an_eleventh_socket_is_refused() {
    let (sim, client) = start(fast_timings()).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(connect(&sim, &client).await);
    }
    let mut eleventh = dial(&sim, &address(&sim, &client).await).await.unwrap();
    let message = eleventh.next().await;
    assert_eq!((&message["type"], &message["reason"]), (&json!("disconnect"), &json!("too_many_websockets")));
    assert!(matches!(eleventh.frame().await, Ok(Message::Close(_))));
    sockets.pop();
    wait_until(&sim, |sim| sim.sockets().count() == 9).await;
    connect(&sim, &client).await;
}

#[tokio::test]
async fn sockets_are_asked_to_go_and_get_no_more_payloads() {
    let (sim, client) = start(slow_timings()).await;
    let mut old = connect(&sim, &client).await;
    sim.sockets().warn(SocketSelector::All);
    assert_eq!(old.next().await["reason"], "warning");
    assert_eq!(sim.sockets().count(), 1, "a warning changes nothing yet");
    let mut new = connect(&sim, &client).await;
    sim.sockets().refresh(SocketSelector::Oldest);
    assert_eq!(old.next().await["reason"], "refresh_requested");
    assert_eq!(sim.sockets().count(), 1);
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    for _ in 0..10 {
        let answer = async {
            let envelope = new.next().await;
            new.ack(&envelope).await;
        };
        tokio::join!(sim.click("U0BOB", "C0DBA", &ts, "approve").into_future(), answer).0.unwrap();
    }
    sim.set_socket_mode(false);
    assert_eq!(new.next().await["reason"], "link_disabled");
    assert_eq!(sim.sockets().count(), 0);
    let mut refused = dial(&sim, &address(&sim, &client).await).await.unwrap();
    assert_eq!(refused.next().await["reason"], "link_disabled", "hello is for those who may stay");
    let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
    assert_eq!(seen.warning(), Some(&Warning::NotConfigured));
}

#[tokio::test]
async fn a_socket_is_refreshed_at_the_end_of_its_life() {
    let (sim, client) = start(Timings { connection: Duration::from_millis(100), ..fast_timings() }).await;
    let mut socket = connect(&sim, &client).await;
    assert_eq!(socket.next().await["reason"], "refresh_requested");
    assert_eq!(sim.sockets().count(), 0);
}

#[tokio::test]
async fn both_sides_ping_and_a_dead_client_is_dropped() {
    let (sim, client) = start(Timings { ping: Duration::from_millis(150), ..fast_timings() }).await;
    let mut socket = connect(&sim, &client).await;
    socket.0.send(Message::Ping("mine".into())).await.unwrap();
    let (mut pinged, mut answered) = (0, false);
    while pinged < 5 || !answered {
        match socket.frame().await.unwrap() {
            Message::Ping(_) => pinged += 1,
            Message::Pong(payload) => answered = payload.as_ref() == b"mine",
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sim.sockets().count(), 1, "a client that answers pings stays");
    // From here on nothing is read, so no ping is answered.
    wait_until(&sim, |sim| sim.sockets().count() == 0).await;
}

#[tokio::test]
async fn a_silent_socket_swallows_payloads_and_pings() {
    let ping = Duration::from_millis(50);
    let (sim, client) = start(Timings { ping, ..fast_timings() }).await;
    let mut silent = connect(&sim, &client).await;
    sim.sockets().silence(SocketSelector::All);
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
    assert_eq!(seen.warning(), Some(&Warning::TimedOut));
    assert!(sim.interaction(seen.seq().unwrap()).unwrap().deliveries > 0, "it was given to the socket");
    silent.0.send(Message::Ping("anyone?".into())).await.unwrap();
    let heard =
        tokio::time::timeout(ping * 6, async { while let Ok(Message::Ping(_)) = silent.frame().await {} });
    assert!(heard.await.is_err(), "neither a pong nor a payload");
    assert_eq!(sim.sockets().count(), 1);
}

#[tokio::test]
async fn sockets_break_in_many_ways() {
    let (sim, client) = start(fast_timings()).await;
    let sockets = sim.sockets();
    let mut socket = connect(&sim, &client).await;
    sockets.send_text(SocketSelector::All, "[1]");
    assert_eq!(socket.next().await, json!([1]));
    sockets.send_binary(SocketSelector::All, b"\x00\xff");
    assert_eq!(socket.frame().await.unwrap(), Message::binary(&b"\x00\xff"[..]));
    sockets.send_huge(SocketSelector::All, 3 << 20);
    assert!(socket.next().await["padding"].as_str().unwrap().len() == 3 << 20);
    sockets.send_garbage(SocketSelector::All);
    assert!(matches!(socket.frame().await, Err(tungstenite::Error::Protocol(_))));
    drop(socket);
    wait_until(&sim, |sim| sim.sockets().count() == 0).await;

    let mut socket = connect(&sim, &client).await;
    sockets.reset(SocketSelector::Newest);
    let Err(tungstenite::Error::Io(error)) = socket.frame().await else { panic!("no reset") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let mut socket = connect(&sim, &client).await;
    sockets.close(SocketSelector::All);
    assert!(matches!(socket.frame().await, Ok(Message::Close(_))));
    let down = Fault::Status { status: 503, body: "down".to_owned() };
    sim.faults().add(FaultRule::new("link", down).times(1));
    let Err(tungstenite::Error::Http(refused)) = dial(&sim, &address(&sim, &client).await).await else {
        panic!("let in")
    };
    assert_eq!(refused.status(), 503);
    sim.faults().add(FaultRule::new("apps.connections.open", Fault::Error("internal_error".into())).times(1));
    assert_eq!(open_with(&client, &sim.app().app_token).await.json()["error"], "internal_error");
    sim.faults().add(FaultRule::new("link", Fault::Hang).times(1));
    let url = address(&sim, &client).await;
    let hung = tokio::time::timeout(Duration::from_millis(200), dial(&sim, &url)).await;
    assert!(hung.is_err(), "no answer to the handshake");
}

#[tokio::test]
async fn the_tcp_connection_outlives_the_closing_handshake() {
    let linger = Duration::from_millis(500);
    let (sim, client) = start(Timings { linger, ..fast_timings() }).await;
    let mut socket = connect(&sim, &client).await;
    let begun = tokio::time::Instant::now();
    socket.0.close(None).await.unwrap();
    while socket.frame().await.is_ok() {}
    // The client library ends its stream with the handshake only when the server has ended the connection.
    assert!(begun.elapsed() >= linger - Duration::from_millis(50), "{:?}", begun.elapsed());
    assert_eq!(sim.sockets().count(), 0);
}

#[tokio::test]
async fn hostile_clients_are_noted_and_dropped() {
    let (sim, client) = start(slow_timings()).await;
    let mut socket = connect(&sim, &client).await;
    for nonsense in ["", "not json", "[]", "{}", r#"{"envelope_id":7}"#, r#"{"envelope_id":"x"}"#] {
        socket.0.send(Message::text(nonsense)).await.unwrap();
    }
    socket.0.send(Message::text("[".repeat(100_000))).await.unwrap();
    socket.0.send(Message::binary(vec![0; 1000])).await.unwrap();
    wait_until(&sim, |sim| sim.sockets().protocol_errors().len() == 8).await;
    assert_eq!(sim.sockets().count(), 1, "that much is borne");
    // The server stops reading in the middle, so that sending may fail too.
    let _ = socket.0.send(Message::text("x".repeat(2 << 20))).await;
    wait_until(&sim, |sim| sim.sockets().count() == 0).await;
    let mut socket = connect(&sim, &client).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let answer = async {
        let envelope = socket.next().await;
        socket.send(json!({ "envelope_id": envelope["envelope_id"], "payload": { "text": "x" } })).await;
    };
    let (seen, ()) = tokio::join!(sim.click("U0BOB", "C0DBA", &ts, "approve").into_future(), answer);
    assert!(seen.unwrap().acknowledged());
    assert!(sim.sockets().protocol_errors().last().unwrap().contains("where none is accepted"));
}

#[tokio::test]
async fn sockets_end_with_the_server_and_come_back_after_it() {
    let (sim, client) = start(fast_timings()).await;
    let mut socket = connect(&sim, &client).await;
    sim.stop().await;
    assert!(socket.frame().await.is_err());
    assert_eq!(sim.sockets().count(), 0);
    sim.restart().await.unwrap();
    connect(&sim, &client).await;
}
