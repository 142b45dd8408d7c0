//! One connection from hello to its end: acknowledges, hands on, pings, notices silence.
//!
//! It does not know other connections: `supervisor` decides when to open and close them.

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connect::IoStream;
use super::dispatch::{AckDecision, AckPayload, Dispatcher};
use super::error::ConnectionError;
use super::frame::{self, DisconnectReason, Frame, Hello};
use super::timings::SocketModeTimings;
use access_core::domain::log_once::LogOnce;

/// Pings without an answer that end a connection.
const MAX_UNANSWERED_PINGS: u32 = 2;

/// An envelope's id and the answer that goes into its acknowledgement; `None` if it is not to be acknowledged.
type Acknowledgement = (String, Option<AckPayload>);

/// An open connection.
pub(super) struct Connection<S> {
    stream: WebSocketStream<S>,
    timings: SocketModeTimings,
    /// Acknowledgements that wait for their answer. As many as the dispatcher works on, at most.
    pending_acks: FuturesUnordered<Pin<Box<dyn Future<Output = Acknowledgement> + Send>>>,
    ping_interval: Interval,
    unanswered_pings: u32,
    /// Since Slack's first ping: when something other than an answer to our pings came last.
    last_received: Option<Instant>,
    is_disconnect_announced: bool,
    log_once: LogOnce,
    hello: Hello,
}

/// How serving a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Slack is about to end it. It still works: serve it again, beside the one that replaces it.
    Refresh,
    /// We left, as the caller asked.
    Closed,
    /// It is gone.
    Failed(ConnectionError),
}

impl<S: IoStream> Connection<S> {
    /// Waits for Slack's hello.
    pub(super) async fn await_hello(
        stream: WebSocketStream<S>,
        timings: SocketModeTimings,
    ) -> Result<Self, ConnectionError> {
        let mut pings = interval_at(Instant::now() + timings.ping, timings.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waiting = FuturesUnordered::new();
        let mut connection = Self {
            stream,
            timings,
            pending_acks: waiting,
            ping_interval: pings,
            unanswered_pings: 0,
            last_received: None,
            is_disconnect_announced: false,
            log_once: LogOnce::default(),
            hello: Hello::default(),
        };
        let due = Instant::now() + timings.hello;
        loop {
            let read = timeout_at(due, connection.stream.next()).await;
            let read =
                read.map_err(|_| ConnectionError::Timeout { what: "Slack's hello", limit: timings.hello })?;
            match connection.read(read)? {
                Some(Frame::Hello(hello)) => {
                    connection.hello = hello;
                    return Ok(connection);
                }
                Some(Frame::Disconnect(reason)) => {
                    return Err(disconnect_error(reason).unwrap_or(ConnectionError::Closed));
                }
                // Without an acknowledgement, it will come again.
                Some(Frame::Envelope(_) | Frame::Unknown) | None => {}
            }
        }
    }

    /// What Slack said of it.
    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Serves the connection until Slack announces its end (once), it ends, or `leave` is cancelled. It is then
    /// closed, after the acknowledgements that wait for an answer.
    pub(super) async fn serve(&mut self, dispatcher: &Dispatcher, leave: &CancellationToken) -> Ended {
        loop {
            let outcome = tokio::select! {
                biased;
                () = leave.cancelled() => {
                    self.close().await;
                    return Ended::Closed;
                }
                Some((id, answer)) = self.pending_acks.next() => match answer {
                    Some(answer) => self.ack(&id, answer.as_ref()).await,
                    None => Ok(()),
                },
                _ = self.ping_interval.tick() => self.ping().await,
                read = self.stream.next() => match self.read(read) {
                    Ok(Some(Frame::Envelope(envelope))) => self.handle_envelope(envelope, dispatcher).await,
                    Ok(Some(Frame::Disconnect(reason))) => match disconnect_error(reason) {
                        Some(error) => Err(error),
                        None if self.is_disconnect_announced => Ok(()),
                        None => {
                            self.is_disconnect_announced = true;
                            return Ended::Refresh;
                        }
                    },
                    Ok(Some(Frame::Hello(_) | Frame::Unknown) | None) => Ok(()),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = outcome {
                return Ended::Failed(error);
            }
        }
    }

    /// What came, if it is for us.
    fn read(
        &mut self,
        read: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<Option<Frame>, ConnectionError> {
        let message = match read {
            None => return Err(ConnectionError::Closed),
            Some(Err(error)) => return Err(ConnectionError::connection_lost(&error)),
            Some(Ok(message)) => message,
        };
        if matches!(message, Message::Pong(_)) {
            self.unanswered_pings = 0;
            return Ok(None);
        }
        if self.last_received.is_some() || matches!(message, Message::Ping(_)) {
            self.last_received = Some(Instant::now());
        }
        match message {
            Message::Text(text) => Ok(frame::parse(&text).map_err(|what| self.log_invalid_frame(what)).ok()),
            // Answered by the library.
            Message::Ping(_) | Message::Pong(_) => Ok(None),
            Message::Close(_) => Err(ConnectionError::Closed),
            Message::Binary(_) | Message::Frame(_) => Err(ConnectionError::NotText),
        }
    }

    /// A frame was ignored. Logged once per connection, as it may be every frame.
    fn log_invalid_frame(&mut self, what: &str) {
        if self.log_once.once("frames", "invalid") {
            warn!("Ignored an invalid Socket Mode frame (further ones are not logged): {what}");
        }
    }

    async fn handle_envelope(
        &mut self,
        envelope: frame::RawEnvelope,
        dispatcher: &Dispatcher,
    ) -> Result<(), ConnectionError> {
        let id = envelope.id.clone();
        match dispatcher.dispatch(envelope, Instant::now()) {
            AckDecision::Ack(answer) => self.ack(&id, answer.as_ref()).await,
            AckDecision::AckThenStart(job) => {
                let sent = self.ack(&id, None).await;
                // If it was not sent, the click comes again and is known by then.
                job.start();
                sent
            }
            AckDecision::AckLater(answer) => {
                self.pending_acks.push(Box::pin(answer.map(move |answer| (id, answer))));
                Ok(())
            }
            AckDecision::NoAck => Ok(()),
        }
    }

    async fn ack(&mut self, id: &str, answer: Option<&Value>) -> Result<(), ConnectionError> {
        self.send(Message::text(frame::ack(id, answer))).await
    }

    async fn ping(&mut self) -> Result<(), ConnectionError> {
        let is_silent = self.last_received.is_some_and(|heard| heard.elapsed() > self.timings.idle_timeout);
        if is_silent || self.unanswered_pings >= MAX_UNANSWERED_PINGS {
            return Err(ConnectionError::Unresponsive);
        }
        self.unanswered_pings += 1;
        self.send(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), ConnectionError> {
        let limit = self.timings.write;
        match timeout(limit, self.stream.send(message)).await {
            Ok(sent) => sent.map_err(|error| ConnectionError::connection_lost(&error)),
            Err(_) => Err(ConnectionError::Timeout { what: "sending a frame", limit }),
        }
    }

    /// Sends what is owed and says goodbye. Slack keeps the connection after its own goodbye, so that is not waited
    /// for beyond the limit.
    pub(super) async fn close(&mut self) {
        while let Some((id, answer)) = self.pending_acks.next().await {
            if let Some(answer) = answer
                && self.ack(&id, answer.as_ref()).await.is_err()
            {
                return;
            }
        }
        let goodbye = async {
            if self.stream.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // Whether Slack says goodbye too makes no difference.
        let _in_time = timeout(self.timings.close, goodbye).await;
    }
}

/// `None` for the routine end.
fn disconnect_error(reason: DisconnectReason) -> Option<ConnectionError> {
    match reason {
        DisconnectReason::Refresh => None,
        DisconnectReason::Disabled => Some(ConnectionError::Disabled),
        DisconnectReason::TooMany => Some(ConnectionError::TooManyConnections),
    }
}
