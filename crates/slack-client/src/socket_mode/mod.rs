//! Socket Mode: interactions arrive over WebSockets that the daemon opens, so nothing needs to reach it from outside.
//!
//! Two connections are kept, so that Slack always has one to send to. When Slack asks for a new one, it is opened
//! before the old one is closed (`supervisor`). Most envelopes are acknowledged before any work begins. Slack sends
//! again, on either connection, what it got no acknowledgement for. An envelope that comes again is acknowledged again, but not
//! handed on again (`dispatch`, `acks`). The connection was authenticated when it was opened, so payloads carry no
//! signature. The handler decides what they mean, and whether two envelopes carry the same interaction.
//!
//! `connect` opens connections, `connection` serves one, and `frame` reads what comes over it. `others` notices
//! connections of other programs, and `error` says what can go wrong.

pub mod frame;
mod connect;
mod dispatch;
mod supervisor;
mod connection;
mod acks;
mod error;
mod others;

use std::future::Future;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Client;
use access_core::domain::secret::Secret;
use dispatch::Dispatcher;
use supervisor::Supervisor;

/// A payload that Slack sent once, however often it arrived. It has no `Debug`: payloads hold addresses that
/// let any caller answer in the app's name.
pub struct Envelope {
    /// What a callback over HTTP carries in its form field `payload`.
    pub payload: Value,
    /// When the answer is due, if one can be given: with a `view_submission`. A later answer is dropped, and Slack
    /// shows the person that it failed.
    pub respond_by: Option<Instant>,
}

/// Receives interactions over Socket Mode.
#[derive(Debug)]
pub struct SocketMode {
    client: Client,
    app_token: watch::Receiver<Secret>,
    app_id: String,
    timing: Timing,
    connections: watch::Sender<usize>,
}

impl SocketMode {
    /// Makes no connection yet. `app_token` is the app-level token (`xapp-…`); when it is replaced, what waits for that
    /// is tried at once. `app_id` is the bot token's app: another app's connections carry none of our interactions.
    pub fn new(client: Client, app_token: watch::Receiver<Secret>, app_id: String) -> Self {
        Self { client, app_token, app_id, timing: Timing::default(), connections: watch::Sender::new(0) }
    }

    /// How many connections are open: 2 mostly, more for a moment when one is replaced. Receivers are notified when it
    /// changes. With 0, interactions do not arrive.
    pub fn connections(&self) -> watch::Receiver<usize> {
        self.connections.subscribe()
    }

    /// Receives until `stop` is cancelled, and then until the work in progress has ended (3 s at most). Connections
    /// that break or cannot be opened are opened again, after a growing pause; if that takes an operator, after five
    /// minutes.
    ///
    /// `handler` is called for each interactive payload, several at a time. Most are acknowledged before it is
    /// called, and its answer is dropped; it may take a minute, and is aborted after that. For a `view_submission`
    /// its answer goes into the acknowledgement (`response_action`, for instance), which leaves within 2 s or not at
    /// all: Slack then shows the person that it failed. The work is not cut short then. The same if it panics.
    ///
    /// While 256 handlers run, the client acknowledges no further payload, so that Slack sends it again.
    pub async fn run<H, F>(self, handler: H, stop: CancellationToken)
    where
        H: Fn(Envelope) -> F + Send + Sync + 'static,
        F: Future<Output = Option<Value>> + Send + 'static,
    {
        let handler = move |envelope| -> dispatch::HandlerFuture { Box::pin(handler(envelope)) };
        let dispatcher = Dispatcher::new(Box::new(handler), self.timing);
        let supervisor = Supervisor::new(
            self.client,
            (self.app_token, self.app_id),
            self.timing,
            self.connections,
            &dispatcher,
        );
        tokio::join!(supervisor.run(1, &stop), supervisor.run(2, &stop));
        dispatcher.drain().await;
    }
}

/// Deadlines and pauses, by what they are for.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// For name lookup, TCP, TLS and the WebSocket's handshake together.
    connect: Duration,
    /// From then until Slack says hello.
    hello: Duration,
    /// Between our pings. Two in a row without an answer end the connection.
    ping: Duration,
    /// Once Slack has pinged, it must not fall silent for longer; answers to our pings do not count.
    idle_timeout: Duration,
    /// For sending one frame.
    write: Duration,
    /// For an answer that goes into an acknowledgement. Slack gives up after 3 s.
    respond_within: Duration,
    /// For the work on one payload.
    handler_timeout: Duration,
    /// For Slack's part in closing a connection.
    close: Duration,
    /// For work that is in progress when the daemon stops.
    drain: Duration,
    /// Before a connection is opened again.
    backoff: Backoff,
    /// A connection that lasted as long as this makes the next loss a first one again.
    stable_after: Duration,
    /// Instead of `backoff`, if an operator has to do something first.
    operator_delay: Duration,
    /// How much later Slack must still count connections that are not ours: longer than a rolling restart takes, or
    /// Slack needs to notice that a connection is gone.
    recount: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            hello: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write: Duration::from_secs(5),
            respond_within: Duration::from_secs(2),
            handler_timeout: Duration::from_secs(60),
            close: Duration::from_secs(1),
            drain: Duration::from_secs(3),
            backoff: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) },
            stable_after: Duration::from_secs(30),
            operator_delay: Duration::from_secs(300),
            recount: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests;
