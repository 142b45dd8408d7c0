//! Socket Mode over real sockets: opening, replacing, closing, and what the log says about it.

use std::net::SocketAddr;

use access_core::domain::outage::OutageTimings;
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;

use super::*;
use crate::ClientOptions;
use crate::client::tests::server::{Reply, Server};
use crate::error::Setting;

/// Short, so that tests are; what must not happen by itself is far away.
pub(super) fn fast_timing() -> SocketModeTimings {
    let soon = Duration::from_millis(10);
    SocketModeTimings {
        backoff: Backoff { first: soon, cap: soon },
        stable_after: Duration::ZERO,
        operator_delay: Duration::from_secs(3_600),
        ..SocketModeTimings::default()
    }
}

/// Slack: an API that gives out the address of a listener, and that listener.
pub(super) struct ScriptedSlack {
    api: Server,
    sockets: TcpListener,
    url: String,
}

impl ScriptedSlack {
    pub(super) async fn start() -> Self {
        Self::with("ws", |url| vec![Reply::json(&json!({"ok": true, "url": url})); 100]).await
    }

    async fn with(scheme: &str, replies: impl FnOnce(&str) -> Vec<Reply>) -> Self {
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/link/?ticket=hunter2&app_id=A1", sockets.local_addr().unwrap());
        Self { api: Server::start(replies(&url)).await, sockets, url }
    }

    pub(super) fn client(&self) -> Client {
        let api_url = format!("http://{}/api/", self.api.address);
        let setting_names = |setting| if setting == Setting::AppToken { "app_token" } else { "" };
        let options = ClientOptions::new(Secret::new("xoxb-1"));
        Client::new(ClientOptions { api_url, setting_names, ..options }).unwrap()
    }

    async fn accept(&self) -> TcpStream {
        timeout(TEST_TIMEOUT, self.sockets.accept()).await.unwrap().unwrap().0
    }

    /// The next connection, without a hello.
    pub(super) async fn accept_silent(&self) -> SlackSide<TcpStream> {
        SlackSide(accept_async(self.accept().await).await.unwrap())
    }

    /// The next connection.
    async fn next(&self) -> SlackSide<TcpStream> {
        let mut far = self.accept_silent().await;
        far.send(json!({"type": "hello", "num_connections": 1})).await;
        far
    }
}

/// The daemon's side; stops when dropped.
pub(super) struct Running {
    pub(super) handled: Handled,
    connections: watch::Receiver<usize>,
    pub(super) stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    pub(super) fn start(client: Client, timings: SocketModeTimings) -> Self {
        let app_token = watch::channel(Secret::new("xapp-hunter2")).1;
        let mode = SocketMode::new(client, app_token, "A0BOT".to_owned(), timings);
        let (given, connections, stop) = (Handled::default(), mode.connections(), CancellationToken::new());
        let kept = given.clone();
        let handler = move |envelope| {
            kept.push(envelope);
            async { None }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(mode.run(handler, stop.clone()));
        Self { handled: given, connections, stop, tasks }
    }

    pub(super) async fn wait_for_connections(&mut self, connections: usize) {
        let reached = self.connections.wait_for(|open| *open == connections);
        timeout(TEST_TIMEOUT, reached).await.unwrap().unwrap();
    }

    pub(super) async fn stop_and_wait(&mut self) {
        timeout(TEST_TIMEOUT, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
    }
}

pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(TEST_TIMEOUT, met).await.unwrap();
}

#[tokio::test]
async fn two_connections_are_kept_and_closed_in_the_end() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let mut daemon = Running::start(slack.client(), fast_timing());
    let (mut one, mut two) = (slack.next().await, slack.next().await);
    daemon.wait_for_connections(2).await;
    for (far, id) in [(&mut one, "e1"), (&mut two, "e2")] {
        far.send(envelope(id, &click(id))).await;
        far.expect_ack(id).await;
    }
    daemon.handled.wait_for_count(2).await;

    // One breaks and is replaced; the other goes on.
    drop(one);
    let mut one = slack.next().await;
    daemon.wait_for_connections(2).await;
    one.send(envelope("e2", &click("e2"))).await;
    one.expect_ack("e2").await;
    until(|| log.count("Clicks in Slack arrive over Socket Mode again") == 1).await;

    daemon.stop.cancel();
    tokio::join!(one.expect_close(), two.expect_close());
    daemon.stop_and_wait().await;
    assert_eq!(*daemon.connections.borrow(), 0);
    assert_eq!(daemon.handled.all(), [click("e1"), click("e2")]);

    assert_eq!(log.count("Clicks in Slack arrive over Socket Mode"), 2, "{}", log.text());
    // A gap of a moment needs no operator.
    assert_eq!(log.count("WARN") + log.count("ERROR"), 0, "{}", log.text());
    assert_eq!(log.count("INFO One Socket Mode connection less"), 1, "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
    let request = &slack.api.received()[0];
    assert_eq!(request.header("authorization"), Some("Bearer xapp-hunter2"));
}

#[tokio::test]
async fn the_new_connection_is_open_before_the_old_one_is_closed() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let mut daemon = Running::start(slack.client(), fast_timing());
    let (mut old, mut other) = (slack.next().await, slack.next().await);
    daemon.wait_for_connections(2).await;
    old.send(json!({"type": "disconnect", "reason": "warning"})).await;
    let mut new = slack.accept_silent().await;
    // Slack has not said hello on the new one yet: the old one works.
    old.send(json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    old.send(envelope("e1", &click("1"))).await;
    old.expect_ack("e1").await;
    assert_eq!(*daemon.connections.borrow(), 2);
    new.send(json!({"type": "hello"})).await;
    old.expect_close().await;
    drop(old);
    for (far, id) in [(&mut new, "e2"), (&mut other, "e3")] {
        far.send(envelope(id, &click(id))).await;
        far.expect_ack(id).await;
    }
    daemon.wait_for_connections(2).await;
    daemon.handled.wait_for_count(3).await;
    assert_eq!(log.count("WARN") + log.count("ERROR"), 0, "routine is not worth a word: {}", log.text());
}

#[tokio::test]
async fn an_old_connection_that_dies_early_is_replaced_all_the_same() {
    let slack = ScriptedSlack::start().await;
    let mut daemon = Running::start(slack.client(), fast_timing());
    let (mut old, _other) = (slack.next().await, slack.next().await);
    daemon.wait_for_connections(2).await;
    old.send(json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    let mut new = slack.accept_silent().await;
    drop(old);
    daemon.wait_for_connections(1).await;
    new.send(json!({"type": "hello"})).await;
    daemon.wait_for_connections(2).await;
}

#[tokio::test]
async fn socket_mode_switched_off_is_logged_once_and_tried_rarely() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    // The usual pause would never end, so only the operator's leads to another try.
    let never = Duration::from_secs(3_600);
    let backoff = Backoff { first: never, cap: never };
    let stable_after = Duration::from_millis(500);
    let timings = SocketModeTimings {
        backoff,
        stable_after,
        operator_delay: Duration::from_millis(20),
        ..fast_timing()
    };
    let mut daemon = Running::start(slack.client(), timings);
    for _ in 0..6 {
        let mut far = slack.next().await;
        far.send(json!({"type": "disconnect", "reason": "link_disabled"})).await;
        while let Some(Ok(_)) = far.0.next().await {}
    }
    until(|| log.count("Still no Socket Mode connection") >= 5).await;
    daemon.wait_for_connections(0).await;
    assert_eq!(log.count("ERROR"), 1, "{}", log.text());
    assert!(log.text().contains("remedy: switch on Socket Mode in the settings"), "{}", log.text());

    // Switched on again.
    let _back = (slack.next().await, slack.next().await);
    daemon.wait_for_connections(2).await;
    until(|| log.count("Clicks in Slack arrive over Socket Mode again") == 1).await;
}

#[tokio::test]
async fn a_refused_token_is_logged_once_and_tried_rarely() {
    let log = Captured::start();
    let refusal = Reply::json(&json!({"ok": false, "error": "invalid_auth"}));
    let slack = ScriptedSlack::with("ws", |url| {
        let mut replies = vec![refusal; 10];
        replies.extend(vec![Reply::json(&json!({"ok": true, "url": url})); 2]);
        replies
    })
    .await;
    let never = Duration::from_secs(3_600);
    let timings = SocketModeTimings {
        backoff: Backoff { first: never, cap: never },
        operator_delay: Duration::from_millis(5),
        ..fast_timing()
    };
    let mut daemon = Running::start(slack.client(), timings);
    let _mended = (slack.next().await, slack.next().await);
    daemon.wait_for_connections(2).await;
    assert_eq!(slack.api.received().len(), 12);
    assert_eq!(log.count("ERROR"), 1, "{}", log.text());
    assert!(log.text().contains("as the app-level token (setting: app_token)"), "{}", log.text());
    until(|| log.count("Clicks in Slack arrive over Socket Mode again") == 1).await;
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn a_time_without_connections_is_reminded_of_and_its_length_logged() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let ms = Duration::from_millis;
    let timings = SocketModeTimings {
        backoff: Backoff { first: ms(5), cap: ms(5) },
        // Of several that a busy machine misses one is left, so more follow.
        outage: OutageTimings { reminders: [ms(50), ms(100), ms(150)], ..OutageTimings::default() },
        ..fast_timing()
    };
    let mut daemon = Running::start(slack.client(), timings);
    let reminders = || log.count(" WARN Still no Socket Mode connection: ");
    while reminders() < 2 {
        // It breaks before Slack says hello.
        drop(slack.accept_silent().await);
    }
    let _open = (slack.next().await, slack.next().await);
    daemon.wait_for_connections(2).await;
    until(|| log.count("Clicks in Slack arrive over Socket Mode again: away for 0 s") == 1).await;
    assert_eq!(
        log.count("INFO No Socket Mode connection"),
        1,
        "one line, whatever the tries: {}",
        log.text()
    );
    assert_eq!(log.count("ERROR"), 0, "{}", log.text());
}

#[tokio::test]
async fn too_many_connections_lead_to_a_pause() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    // Otherwise the open connection would now and then count as the end of the error.
    let timings = SocketModeTimings { stable_after: Duration::from_secs(3_600), ..fast_timing() };
    let mut daemon = Running::start(slack.client(), timings);
    let _one = slack.next().await;
    daemon.wait_for_connections(1).await;
    for _ in 0..5 {
        let mut far = slack.accept_silent().await;
        far.send(json!({"type": "disconnect", "reason": "too_many_websockets"})).await;
        while let Some(Ok(_)) = far.0.next().await {}
    }
    until(|| log.count("Still no Socket Mode connection") >= 4).await;
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
    assert!(log.text().contains("Slack allows ten per app"), "{}", log.text());
}

#[tokio::test]
async fn refreshes_in_quick_succession_lead_to_a_pause() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let timings = SocketModeTimings { stable_after: Duration::from_secs(3_600), ..fast_timing() };
    let mut daemon = Running::start(slack.client(), timings);
    let _other = slack.next().await;
    for _ in 0..3 {
        let mut far = slack.next().await;
        far.send(json!({"type": "disconnect", "reason": "refresh_requested"})).await;
        daemon.wait_for_connections(2).await;
    }
    until(|| log.count("in quick succession") >= 1).await;
}

#[tokio::test]
async fn a_server_that_does_not_take_part_is_given_up() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let timings = SocketModeTimings { connect: Duration::from_millis(50), ..fast_timing() };
    let _daemon = Running::start(slack.client(), timings);
    // Two connections that are never answered, and then another try.
    let _silent = (slack.accept().await, slack.accept().await);
    let _again = slack.accept().await;
    until(|| log.count("opening the connection was not done within 50ms") >= 1).await;
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn a_server_that_refuses_is_named_without_the_ticket() {
    let log = Captured::start();
    let slack = ScriptedSlack::start().await;
    let _daemon = Running::start(slack.client(), fast_timing());
    let mut stream = slack.accept().await;
    let mut head = [0; 2_048];
    let read = stream.read(&mut head).await.unwrap();
    assert!(
        String::from_utf8_lossy(&head[..read]).starts_with("GET /link/?ticket=hunter2&app_id=A1 HTTP/1.1")
    );
    let page = "HTTP/1.1 403 hunter2\r\nx: hunter2\r\ncontent-length: 7\r\n\r\nhunter2";
    stream.write_all(page.as_bytes()).await.unwrap();
    until(|| log.count("no connection to 127.0.0.1: HTTP error: 403") >= 1).await;
    assert!(log.text().contains("remedy: check that the firewall"), "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn addresses_that_leave_the_machine_unencrypted_are_refused() {
    let log = Captured::start();
    for url in ["ws://evil.example/?ticket=hunter2", "http://127.0.0.1/?ticket=hunter2", "hunter2 \n"] {
        let slack =
            ScriptedSlack::with("ws", |_| vec![Reply::json(&json!({"ok": true, "url": url})); 100]).await;
        let _daemon = Running::start(slack.client(), fast_timing());
        until(|| slack.api.received().len() >= 4).await;
    }
    assert_eq!(log.count("WARN No Socket Mode connection"), 3, "{}", log.text());
    assert!(!log.text().contains("evil.example"), "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

fn acceptor(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn trusting(api: SocketAddr, roots: RootCertStore) -> Client {
    let base = format!("http://{api}/api/");
    let options = ClientOptions { api_url: base.clone(), ..ClientOptions::new(Secret::new("xoxb-1")) };
    Client::with_roots(options, base, roots).unwrap()
}

#[tokio::test]
async fn slacks_certificate_is_checked() {
    let log = Captured::start();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let acceptor = acceptor(&made);
    let slack =
        ScriptedSlack::with("wss", |url| vec![Reply::json(&json!({"ok": true, "url": url})); 100]).await;
    assert!(slack.url.starts_with("wss://"));

    let untrusting = Running::start(trusting(slack.api.address, RootCertStore::empty()), fast_timing());
    assert!(acceptor.accept(slack.accept().await).await.is_err());
    until(|| log.count("the server's certificate is of no authority that is trusted") >= 1).await;
    drop(untrusting);
    assert!(!log.text().contains("hunter2"), "{}", log.text());

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut daemon = Running::start(trusting(slack.api.address, roots), fast_timing());
    // Connections of the first client may still be in the queue.
    let stream = loop {
        if let Ok(stream) = acceptor.accept(slack.accept().await).await {
            break stream;
        }
    };
    let mut far = SlackSide(accept_async(stream).await.unwrap());
    far.send(json!({"type": "hello"})).await;
    daemon.wait_for_connections(1).await;
    far.send(envelope("e1", &click("1"))).await;
    far.expect_ack("e1").await;
    daemon.handled.wait_for_count(1).await;
}
