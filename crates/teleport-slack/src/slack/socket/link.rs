//! One connection from hello to its end: acknowledges, hands on, pings, notices silence.
//!
//! It does not know other connections: when to open and close them is `keeper`'s business.

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

use super::Timing;
use super::dial::Wire;
use super::frame::{self, Frame, Hello, Reason};
use super::intake::{Answer, Intake, Taken};
use super::trouble::Trouble;

/// Pings without an answer that end a connection.
const MAX_UNANSWERED: u32 = 2;

/// An envelope's id and the answer that goes into its acknowledgement; `None` if it is not to be acknowledged.
type Acknowledgement = (String, Option<Answer>);

/// An open connection.
pub(super) struct Link<S> {
    stream: WebSocketStream<S>,
    timing: Timing,
    /// Acknowledgements that wait for their answer. As many as the intake works on, at most.
    waiting: FuturesUnordered<Pin<Box<dyn Future<Output = Acknowledgement> + Send>>>,
    pings: Interval,
    unanswered: u32,
    /// Since Slack's first ping: when something other than an answer to our pings came last.
    heard: Option<Instant>,
    is_ending: bool,
    has_grumbled: bool,
    hello: Hello,
}

/// How serving a connection ended.
#[derive(Debug)]
pub(super) enum Served {
    /// Slack is about to end it. It still works: serve it again, beside the one that replaces it.
    Refresh,
    /// We left, as told.
    Left,
    /// It is gone.
    Ended(Trouble),
}

impl<S: Wire> Link<S> {
    /// Waits for Slack's hello.
    pub(super) async fn greet(stream: WebSocketStream<S>, timing: Timing) -> Result<Self, Trouble> {
        let mut pings = interval_at(Instant::now() + timing.ping, timing.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waiting = FuturesUnordered::new();
        let mut link = Self {
            stream,
            timing,
            waiting,
            pings,
            unanswered: 0,
            heard: None,
            is_ending: false,
            has_grumbled: false,
            hello: Hello::default(),
        };
        let due = Instant::now() + timing.hello;
        loop {
            let read = timeout_at(due, link.stream.next()).await;
            let read = read.map_err(|_| Trouble::TooSlow { what: "Slack's hello", limit: timing.hello })?;
            match link.read(read)? {
                Some(Frame::Hello(hello)) => {
                    link.hello = hello;
                    return Ok(link);
                }
                Some(Frame::Disconnect(reason)) => return Err(trouble(reason).unwrap_or(Trouble::Closed)),
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
    pub(super) async fn serve(&mut self, intake: &Intake, leave: &CancellationToken) -> Served {
        loop {
            let outcome = tokio::select! {
                biased;
                () = leave.cancelled() => {
                    self.close().await;
                    return Served::Left;
                }
                Some((id, answer)) = self.waiting.next() => match answer {
                    Some(answer) => self.ack(&id, answer.as_ref()).await,
                    None => Ok(()),
                },
                _ = self.pings.tick() => self.ping().await,
                read = self.stream.next() => match self.read(read) {
                    Ok(Some(Frame::Envelope(sealed))) => self.take(sealed, intake).await,
                    Ok(Some(Frame::Disconnect(reason))) => match trouble(reason) {
                        Some(trouble) => Err(trouble),
                        None if self.is_ending => Ok(()),
                        None => {
                            self.is_ending = true;
                            return Served::Refresh;
                        }
                    },
                    Ok(Some(Frame::Hello(_) | Frame::Unknown) | None) => Ok(()),
                    Err(trouble) => Err(trouble),
                },
            };
            if let Err(trouble) = outcome {
                return Served::Ended(trouble);
            }
        }
    }

    /// What came, if it is for us.
    fn read(&mut self, read: Option<Result<Message, tungstenite::Error>>) -> Result<Option<Frame>, Trouble> {
        let message = match read {
            None => return Err(Trouble::Closed),
            Some(Err(error)) => return Err(Trouble::broken(&error)),
            Some(Ok(message)) => message,
        };
        if matches!(message, Message::Pong(_)) {
            self.unanswered = 0;
            return Ok(None);
        }
        if self.heard.is_some() || matches!(message, Message::Ping(_)) {
            self.heard = Some(Instant::now());
        }
        match message {
            Message::Text(text) => Ok(frame::parse(&text).map_err(|what| self.grumble(what)).ok()),
            // Answered by the library.
            Message::Ping(_) | Message::Pong(_) => Ok(None),
            Message::Close(_) => Err(Trouble::Closed),
            Message::Binary(_) | Message::Frame(_) => Err(Trouble::NotText),
        }
    }

    /// A frame was passed over. Said once per connection, as it may be every frame.
    fn grumble(&mut self, what: &str) {
        if !self.has_grumbled {
            self.has_grumbled = true;
            warn!("A frame from Slack was passed over, as further ones may be: {what}");
        }
    }

    async fn take(&mut self, sealed: frame::Sealed, intake: &Intake) -> Result<(), Trouble> {
        let id = sealed.id.clone();
        match intake.take(sealed, Instant::now()) {
            Taken::Ack(answer) => self.ack(&id, answer.as_ref()).await,
            Taken::AckThenStart(job) => {
                let sent = self.ack(&id, None).await;
                // If it was not sent, the click comes again and is known by then.
                job.start();
                sent
            }
            Taken::AckLater(answer) => {
                self.waiting.push(Box::pin(answer.map(move |answer| (id, answer))));
                Ok(())
            }
            Taken::Leave => Ok(()),
        }
    }

    async fn ack(&mut self, id: &str, answer: Option<&Value>) -> Result<(), Trouble> {
        self.send(Message::text(frame::ack(id, answer))).await
    }

    async fn ping(&mut self) -> Result<(), Trouble> {
        let is_silent = self.heard.is_some_and(|heard| heard.elapsed() > self.timing.silence);
        if is_silent || self.unanswered >= MAX_UNANSWERED {
            return Err(Trouble::Silent);
        }
        self.unanswered += 1;
        self.send(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Trouble> {
        let limit = self.timing.write;
        match timeout(limit, self.stream.send(message)).await {
            Ok(sent) => sent.map_err(|error| Trouble::broken(&error)),
            Err(_) => Err(Trouble::TooSlow { what: "sending a frame", limit }),
        }
    }

    /// Sends what is owed and says goodbye. Slack keeps the connection after its own goodbye, so that is not waited
    /// for beyond the limit.
    pub(super) async fn close(&mut self) {
        while let Some((id, answer)) = self.waiting.next().await {
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
        let _in_time = timeout(self.timing.close, goodbye).await;
    }
}

/// `None` for the routine end.
fn trouble(reason: Reason) -> Option<Trouble> {
    match reason {
        Reason::Refresh => None,
        Reason::Disabled => Some(Trouble::Disabled),
        Reason::TooMany => Some(Trouble::TooMany),
    }
}
