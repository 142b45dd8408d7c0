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
mod timings;
mod connect;
mod dispatch;
mod supervisor;
mod connection;
mod acks;
mod error;
mod others;

use std::future::Future;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Client;
use access_core::domain::secret::Secret;
use dispatch::Dispatcher;
use supervisor::Supervisor;
pub use timings::SocketModeTimings;

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
    timings: SocketModeTimings,
    connections: watch::Sender<usize>,
}

impl SocketMode {
    /// Makes no connection yet. `app_token` is the app-level token (`xapp-…`); when it is replaced, what waits for that
    /// is tried at once. `app_id` is the bot token's app: another app's connections carry none of our interactions.
    pub fn new(
        client: Client,
        app_token: watch::Receiver<Secret>,
        app_id: String,
        timings: SocketModeTimings,
    ) -> Self {
        Self { client, app_token, app_id, timings, connections: watch::Sender::new(0) }
    }

    /// How many connections are open: 2 mostly, more for a moment when one is replaced. Receivers are notified when it
    /// changes. With 0, interactions do not arrive.
    pub fn connections(&self) -> watch::Receiver<usize> {
        self.connections.subscribe()
    }

    /// Receives until `stop` is cancelled, and then until the work in progress has ended, for at most
    /// [`SocketModeTimings::drain`]. Connections
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
        let dispatcher = Dispatcher::new(Box::new(handler), self.timings);
        let supervisor = Supervisor::new(
            self.client,
            (self.app_token, self.app_id),
            self.timings,
            self.connections,
            &dispatcher,
        );
        tokio::join!(supervisor.run(1, &stop), supervisor.run(2, &stop));
        dispatcher.drain().await;
    }
}

#[cfg(test)]
mod tests;
