//! Socket Mode against a scripted Slack: single connections in memory and on paused time (`one_link`), the whole over
//! real sockets (`whole`). Also against the simulated Slack, which counts real connections (`counted`).

mod counted;
mod names;
mod one_link;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::connect::IoStream;
use super::*;
use access_sim::captured::Captured;

/// No test waits longer for anything.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The payload of a click.
fn click(action_ts: &str) -> Value {
    json!({"type": "block_actions", "user": {"id": "U1"}, "container": {"message_ts": "1.5"},
        "actions": [{"action_id": "approve", "action_ts": action_ts}],
        "response_url": "https://hooks.slack.com/actions/T1/2/hunter2"})
}

/// The payload of a modal that was submitted.
fn submission(trigger: &str) -> Value {
    json!({"type": "view_submission", "user": {"id": "U1"}, "view": {"id": "V1"}, "trigger_id": trigger})
}

fn envelope(id: &str, payload: &Value) -> Value {
    json!({"type": "interactive", "envelope_id": id, "payload": payload, "accepts_response_payload": true})
}

/// Slack's end of a connection.
struct SlackSide<S>(WebSocketStream<S>);

impl<S: IoStream> SlackSide<S> {
    async fn send(&mut self, frame: Value) {
        self.raw(Message::text(frame.to_string())).await;
    }

    async fn raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// The next text, pings aside.
    async fn next_text(&mut self) -> Value {
        let text = timeout(TEST_TIMEOUT, async {
            loop {
                match self.0.next().await.unwrap().unwrap() {
                    Message::Text(text) => break text,
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("text expected: {other:?}"),
                }
            }
        });
        serde_json::from_str(&text.await.unwrap()).unwrap()
    }

    async fn expect_ack(&mut self, id: &str) {
        assert_eq!(self.next_text().await, json!({"envelope_id": id}));
    }

    /// Reads until the daemon says goodbye.
    async fn expect_close(&mut self) {
        timeout(TEST_TIMEOUT, async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(_))) | None => break,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("goodbye expected: {other:?}"),
                }
            }
        })
        .await
        .unwrap();
    }
}

/// What the handler was given.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Vec<Value>>>);

impl Handled {
    fn push(&self, envelope: Envelope) {
        self.0.lock().push(envelope.payload);
    }

    fn all(&self) -> Vec<Value> {
        self.0.lock().clone()
    }

    async fn wait_for_count(&self, count: usize) {
        timeout(TEST_TIMEOUT, async {
            while self.all().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
    }
}
