//! The simulator over a real socket, asked by a plain HTTP client that knows nothing of Slack.

mod transport;
mod posting;
mod editing;
mod reading;
mod users;
mod validating;
mod limited;
mod faulty;
mod golden;
mod app;
mod clicking;
mod delivering;
mod modals;
mod responding;
mod sdks;
mod sockets;

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::interactive::Timings;
use super::workspace::Workspace;
use super::{Options, SlackSim};
use app::App;

const LIMIT: Duration = Duration::from_secs(20);

/// A client for one simulator.
struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    base: String,
    token: String,
}

/// What came back.
#[derive(Debug)]
struct ApiReply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl ApiReply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Client {
    fn of(sim: &SlackSim) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Client { http, base: sim.api_url(), token: sim.token() }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<ApiReply, String> {
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| format!("request: {error:?}"))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("body: {error:?}"))?.to_bytes();
            Ok(ApiReply { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(LIMIT, exchange).await.expect("an answer in time")
    }

    fn request(
        &self,
        verb: &str,
        path: &str,
        content_type: Option<&str>,
        body: &str,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(verb).uri(format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        }
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(Full::from(body.to_owned())).unwrap()
    }

    async fn raw(&self, verb: &str, path: &str, content_type: Option<&str>, body: &str) -> ApiReply {
        self.send(self.request(verb, path, content_type, body)).await.unwrap()
    }

    async fn post(&self, method: &str, body: Value) -> ApiReply {
        self.raw("POST", method, Some("application/json; charset=utf-8"), &body.to_string()).await
    }

    /// Posts JSON and returns the answer, which must be a success.
    async fn ok(&self, method: &str, body: Value) -> Value {
        let got = self.post(method, body).await.json();
        assert_eq!(got["ok"], json!(true), "{method}: {got}");
        got
    }

    /// Posts JSON and returns the error code, which must be there.
    async fn error(&self, method: &str, body: Value) -> String {
        let got = self.post(method, body).await.json();
        assert_eq!(got["ok"], json!(false), "{method}: {got}");
        got["error"].as_str().unwrap().to_owned()
    }

    async fn form(&self, method: &str, pairs: &[(&str, &str)]) -> ApiReply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.raw("POST", method, Some("application/x-www-form-urlencoded"), &body).await
    }

    async fn get(&self, method: &str, pairs: &[(&str, &str)]) -> ApiReply {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.raw("GET", &format!("{method}?{query}"), None, "").await
    }
}

/// A simulator without rate limits, and a client of it.
async fn start(workspace: Workspace) -> (SlackSim, Client) {
    let options = Options { rate_limits: None, ..Options::new(workspace) };
    let sim = SlackSim::start(options).await.unwrap();
    let client = Client::of(&sim);
    (sim, client)
}

/// The same with an app that hears of clicks.
async fn start_with_app(workspace: Workspace, times: Timings) -> (SlackSim, Client, App) {
    let app = App::start().await;
    let workspace = workspace.with_request_url(&app.url());
    let options = Options { rate_limits: None, timings: times, ..Options::new(workspace) };
    let sim = SlackSim::start(options).await.unwrap();
    let client = Client::of(&sim);
    (sim, client, app)
}

/// A message with a button; returns its ts.
async fn post_button(client: &Client, channel: &str, button: Value) -> String {
    let blocks = json!([{ "type": "actions", "block_id": "decide", "elements": [button] }]);
    let got =
        client.ok("chat.postMessage", json!({ "channel": channel, "text": "x", "blocks": blocks })).await;
    got["ts"].as_str().unwrap().to_owned()
}

fn button(action_id: &str) -> Value {
    let text = json!({ "type": "plain_text", "text": "Approve" });
    json!({ "type": "button", "action_id": action_id, "text": text, "value": "req-1" })
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text })
}

/// A modal with one input for a reason.
fn reason_modal() -> Value {
    json!({
        "type": "modal",
        "callback_id": "deny",
        "private_metadata": "req-1",
        "title": plain("Deny"),
        "submit": plain("Deny"),
        "blocks": [{
            "type": "input",
            "block_id": "why",
            "label": plain("Reason"),
            "element": { "type": "plain_text_input", "action_id": "reason", "max_length": 100 },
        }],
    })
}

/// Waits until `holds`, looking again at every change.
async fn wait_until(sim: &SlackSim, holds: impl Fn(&SlackSim) -> bool) {
    let mut changes = sim.changes();
    let waiting = changes.wait_for(|_| holds(sim));
    tokio::time::timeout(LIMIT, waiting).await.expect("it holds in time").unwrap();
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}
