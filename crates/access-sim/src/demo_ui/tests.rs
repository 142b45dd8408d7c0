use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::*;
use crate::slack::workspace::Workspace;
use crate::{slack, teleport};

const LIMIT: Duration = Duration::from_secs(10);

/// The page over fresh simulators, on a real socket.
struct TestBed {
    simulators: DemoSimulators,
    addr: std::net::SocketAddr,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl TestBed {
    #[expect(clippy::disallowed_methods, reason = "the test owns the server task and joins it in `stop`")]
    async fn start() -> Self {
        let options = teleport::Options::demo();
        let teleport_version = options.reported_version.clone();
        let teleport = TeleportSim::start(options).await.unwrap();
        let slack = SlackSim::start(slack::Options::new(Workspace::demo())).await.unwrap();
        let simulators = DemoSimulators { teleport, teleport_version, slack };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, simulators.clone(), shutdown.clone()));
        Self { simulators, addr, shutdown, server }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LIMIT, self.server).await.unwrap().unwrap().unwrap();
    }

    async fn send(&self, request: http::Request<Body>) -> http::Response<hyper::body::Incoming> {
        self.send_to(self.addr, request).await
    }

    #[expect(clippy::disallowed_methods, reason = "the connection ends with the response")]
    async fn send_to(
        &self,
        addr: std::net::SocketAddr,
        request: http::Request<Body>,
    ) -> http::Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        tokio::time::timeout(LIMIT, sender.send_request(request)).await.unwrap().unwrap()
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        http::Request::builder().method(method).uri(path).header("host", self.addr.to_string())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        text_of(self.send(self.request("GET", path).body(Body::empty()).unwrap()).await).await
    }

    async fn teleport_action(&self, action: &str, body: Value) -> (StatusCode, Value) {
        self.post(&format!("/api/teleport/{action}"), body).await
    }

    async fn slack_action(&self, action: &str, body: Value) -> (StatusCode, Value) {
        self.post(&format!("/api/slack/{action}"), body).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request("POST", path);
        let request = request.header("content-type", "application/json");
        let (status, text) =
            text_of(self.send(request.body(Body::from(body.to_string())).unwrap()).await).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn state(&self) -> Value {
        let (status, text) = self.get("/api/state").await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str(&text).unwrap()
    }

    async fn create_request(&self) -> String {
        let body = json!({ "user": "alice@example.com", "roles": ["dba"], "reason": "disk full" });
        let (status, answer) = self.teleport_action("request", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["request"]["id"].as_str().unwrap().to_owned()
    }
}

async fn text_of(response: http::Response<hyper::body::Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body = tokio::time::timeout(LIMIT, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_page_comes_with_a_strict_policy() {
    let bed = TestBed::start().await;
    let response = bed.send(bed.request("GET", "/").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    drop(response);
    assert_eq!(bed.get("/no-such-file.js").await.0, StatusCode::NOT_FOUND);
    bed.stop().await;
}

#[tokio::test]
async fn actions_of_users_show_in_the_state() {
    let bed = TestBed::start().await;
    let before = bed.state().await;
    let id = bed.create_request().await;
    let (status, answer) = bed
        .teleport_action(
            "review",
            json!({ "author": "bob@example.com", "id": id, "approve": true, "reason": "ok" }),
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["request"]["state"], "APPROVED");
    let after = bed.state().await;
    assert_eq!(after["teleport"]["requests"][0]["reviews"][0]["author"], "bob@example.com");
    assert_eq!(after["teleport"]["audit"][1]["event"], "access_request.review");
    assert!(after["version"].as_u64() > before["version"].as_u64());
    assert_eq!(after["slack"]["team"]["name"], "Demo");
    let alice = &after["teleport"]["users"][0];
    assert_eq!((&alice["name"], &alice["can_review"]), (&json!("alice@example.com"), &json!(false)));
    assert!(alice["requestable"].as_array().unwrap().contains(&json!("dba")));
    let names =
        after["teleport"]["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap());
    assert!(names.into_iter().all(|name| name != teleport::presets::PLUGIN_USER), "the plugin is no person");
    bed.stop().await;
}

#[tokio::test]
async fn the_console_sets_deletes_and_expires() {
    let bed = TestBed::start().await;
    let id = bed.create_request().await;
    let (_, answer) =
        bed.teleport_action("state", json!({ "id": id, "approve": false, "reason": "no" })).await;
    assert_eq!(answer["request"]["state"], "DENIED");
    for action in ["delete", "expire"] {
        let id = bed.create_request().await;
        assert_eq!(
            bed.teleport_action(action, json!({ "id": id })).await,
            (StatusCode::OK, json!({ "request": null }))
        );
        assert!(bed.simulators.teleport.request(&id).is_none());
        assert_eq!(bed.teleport_action(action, json!({ "id": id })).await.0, StatusCode::NOT_FOUND);
    }
    bed.stop().await;
}

#[tokio::test]
async fn refusals_say_why_in_one_sentence() {
    let bed = TestBed::start().await;
    let ask = |extra: Value| {
        let mut body = json!({ "user": "alice@example.com", "roles": ["dba"] });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    for (action, body, status, part) in [
        ("request", ask(json!({ "roles": ["root"] })), 422, "can not request role"),
        ("request", ask(json!({ "user": "unknown" })), 404, "unknown"),
        ("request", ask(json!({ "resources": ["web-01"] })), 422, "/cluster/kind/name"),
        ("request", ask(json!({ "duration": "-4h" })), 422, "a number and a unit"),
        ("request", ask(json!({ "duration": "soon" })), 422, "a number and a unit"),
        ("request", ask(json!({ "nonsense": 1 })), 422, "nonsense"),
        ("request", json!([]), 422, "CreateBody"),
        ("review", json!({ "author": "bob@example.com", "id": "none", "approve": true }), 404, "not found"),
        ("expire", json!({ "id": "none" }), 404, "no such access request"),
    ] {
        let (got, answer) = bed.teleport_action(action, body.clone()).await;
        assert_eq!(got.as_u16(), status, "{action} {body}: {answer}");
        let sentence = answer["error"].as_str().unwrap();
        assert!(sentence.contains(part), "{sentence}");
    }
    let large = json!({ "id": "x".repeat(MAX_BODY_BYTES) });
    assert_eq!(bed.teleport_action("delete", large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    bed.stop().await;
}

/// The app posts a message with a button that asks first.
async fn post_button(bed: &TestBed) -> String {
    let text = |text: &str| json!({ "type": "plain_text", "text": text });
    let confirm = json!({ "title": text("Sure?"), "text": text("Really?"), "confirm": text("Yes"), "deny": text("No") });
    let button = json!({ "type": "button", "action_id": "go", "text": text("Go"), "confirm": confirm });
    let message =
        json!({ "channel": "C0DBA", "text": "x", "blocks": [{ "type": "actions", "elements": [button] }] });
    let slack = &bed.simulators.slack;
    let request = http::Request::post("/api/chat.postMessage")
        .header("host", slack.addr().to_string())
        .header("authorization", format!("Bearer {}", slack.token()))
        .header("content-type", "application/json; charset=utf-8")
        .body(Body::from(message.to_string()))
        .unwrap();
    let (_, answer) = text_of(bed.send_to(slack.addr(), request).await).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["ts"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn a_button_asks_first_and_then_says_what_became_of_the_click() {
    let bed = TestBed::start().await;
    let ts = post_button(&bed).await;
    let click = |user: &str, confirmed: bool| json!({ "user": user, "channel": "C0DBA", "ts": ts, "action_id": "go", "confirmed": confirmed });
    let (status, asked) = bed.slack_action("click", click("U0BOB", false)).await;
    assert_eq!((status, &asked["confirm"]["text"]), (StatusCode::OK, &json!("Really?")));
    assert!(bed.simulators.slack.interactions().is_empty(), "nothing was sent");
    let (status, shown) = bed.slack_action("click", click("U0BOB", true)).await;
    let warning = "This app is not configured to handle interactive responses.";
    assert_eq!((status, shown), (StatusCode::OK, json!({ "warning": warning })));
    // Who has no client, or does not see the channel, has nothing to press.
    for user in ["U0DAN", "U0GIL", "unknown"] {
        let (status, answer) = bed.slack_action("click", click(user, true)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{user}: {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with("Slack: "), "{answer}");
    }
    bed.stop().await;
}

#[tokio::test]
async fn actions_that_slack_does_not_allow_are_refused() {
    let bed = TestBed::start().await;
    let view = |extra: Value| {
        let mut body = json!({ "user": "U0BOB", "view_id": "V0" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let click = json!({ "user": "U0BOB", "channel": "C0DBA", "ts": "1.000001", "action_id": "go", "confirmed": true });
    for (action, body, status) in [
        ("click", click, 404),
        ("click", json!({}), 422),
        ("submit", view(json!({ "values": {} })), 404),
        ("submit", view(json!({ "values": { "reason": 1 } })), 422),
        ("close", view(json!({})), 404),
        ("close", view(json!({ "nonsense": 1 })), 422),
    ] {
        let (got, answer) = bed.slack_action(action, body.clone()).await;
        assert_eq!(got.as_u16(), status, "{action} {body}: {answer}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    bed.stop().await;
}

#[tokio::test]
async fn other_web_sites_are_kept_out() {
    let bed = TestBed::start().await;
    let rebound =
        http::Request::get("/api/state").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(bed.send(rebound).await.status(), StatusCode::MISDIRECTED_REQUEST);
    let id = bed.create_request().await;
    let forged = bed
        .request("POST", "/api/teleport/delete")
        .header("content-type", "application/json")
        .header("origin", "http://evil.example")
        .body(Body::from(json!({ "id": id }).to_string()))
        .unwrap();
    assert_eq!(bed.send(forged).await.status(), StatusCode::FORBIDDEN);
    assert!(bed.simulators.teleport.request(&id).is_some());
    bed.stop().await;
}

#[tokio::test]
async fn a_change_on_either_side_is_sent_and_the_stream_ends_with_the_page() {
    let bed = TestBed::start().await;
    let response = bed.send(bed.request("GET", "/api/events").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(LIMIT, stream.frame()).await.unwrap()?;
        Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
    };
    bed.create_request().await;
    let event = next().await.unwrap();
    assert!(event.contains("event: changed") && event.contains("{\"version\":"), "{event}");
    bed.simulators.slack.say("C0DBA", "U0BOB", "hello", None).unwrap();
    assert!(next().await.unwrap().contains("event: changed"));
    bed.shutdown.cancel();
    while next().await.is_some() {}
    bed.stop().await;
}
