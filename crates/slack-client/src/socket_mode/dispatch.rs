//! From an envelope to the handler: what to acknowledge when, what is new, how much is worked on at a time.
//!
//! Shared by all connections. It sends nothing itself: it decides what the connection is to send.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use access_core::domain::log_once::LogOnce;
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::Envelope;
use super::acks::{AckState, EnvelopeAcks};
use super::frame::RawEnvelope;
use super::timings::SocketModeTimings;

/// Payloads whose handlers run at one time. Slack waits 3 s, so more would not be answered.
pub(super) const MAX_CONCURRENT: usize = 256;

/// What goes into an acknowledgement, if anything.
pub(super) type AckPayload = Option<Value>;
pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = Option<Value>> + Send>>;
pub(super) type Handler = Box<dyn Fn(Envelope) -> HandlerFuture + Send + Sync>;

/// What a connection is to do with an envelope.
pub(super) enum AckDecision {
    /// Acknowledge with this answer.
    Ack(Option<Value>),
    /// Acknowledge, then start this.
    AckThenStart(PendingWork),
    /// Acknowledge once the answer is there. If none is in time, do not: Slack then shows the person an error,
    /// and the modal stays open, which an acknowledgement would close as if it had been taken.
    AckLater(Pin<Box<dyn Future<Output = Option<AckPayload>> + Send>>),
    /// Do not acknowledge: Slack will send it again.
    NoAck,
}

/// Work that waits for its acknowledgement to leave.
pub(super) struct PendingWork {
    tasks: TaskTracker,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl PendingWork {
    pub(super) fn start(self) {
        self.tasks.spawn(self.work);
    }
}

/// Where envelopes go.
pub(super) struct Dispatcher {
    handler: Arc<Handler>,
    timings: SocketModeTimings,
    acks: Arc<Mutex<EnvelopeAcks>>,
    tasks: TaskTracker,
    cancelled: CancellationToken,
    log_once: Mutex<LogOnce>,
    started_at: Instant,
}

impl Dispatcher {
    pub(super) fn new(handler: Handler, timings: SocketModeTimings) -> Self {
        Self {
            handler: Arc::new(handler),
            timings,
            acks: Arc::new(Mutex::new(EnvelopeAcks::new(timings.acks_for))),
            tasks: TaskTracker::new(),
            cancelled: CancellationToken::new(),
            log_once: Mutex::default(),
            started_at: Instant::now(),
        }
    }

    /// Takes an envelope that arrived now.
    pub(super) fn dispatch(&self, envelope: RawEnvelope, now: Instant) -> AckDecision {
        let Some(payload) = envelope.payload else {
            debug!("An envelope without an interactive payload was acknowledged and dropped");
            return AckDecision::Ack(None);
        };
        let id = envelope.id;
        let mut acks = self.acks.lock();
        match acks.get(&id) {
            Some(AckState::Acked(answer)) => {
                debug!("An envelope came again and was only acknowledged");
                return AckDecision::Ack(answer.clone());
            }
            // The connection that it first came over will acknowledge it. If that one is gone, the next repetition
            // finds the answer.
            Some(AckState::Pending) => return AckDecision::NoAck,
            None => {}
        }
        if self.tasks.len() >= MAX_CONCURRENT {
            let age = now.saturating_duration_since(self.started_at);
            if let Some(suppressed) = self.log_once.lock().once_a_minute(age, "handlers", "full") {
                warn!(
                    working = MAX_CONCURRENT,
                    suppressed, "Left an interaction for Slack to send again: too many are in progress"
                );
            }
            return AckDecision::NoAck;
        }
        let is_asked =
            envelope.accepts_response && payload.get("type").is_some_and(|kind| kind == "view_submission");
        if !is_asked {
            acks.insert(&id, AckState::Acked(None), now);
            let work = self.run_handler(Envelope { payload, respond_by: None });
            let work = work.map(|_no_answer_is_due| ());
            return AckDecision::AckThenStart(PendingWork {
                tasks: self.tasks.clone(),
                work: Box::pin(work),
            });
        }
        acks.insert(&id, AckState::Pending, now);
        let answer_by = now + self.timings.respond_within;
        let (sender, receiver) = oneshot::channel();
        let work = self.run_handler(Envelope { payload, respond_by: Some(answer_by) });
        let acks = self.acks.clone();
        self.tasks.spawn(async move {
            let Some(answer) = work.await else { return };
            acks.lock().update(&id, AckState::Acked(answer.clone()));
            if sender.send(answer).is_err() {
                warn!("The answer to a modal came too late; Slack showed the person that it failed");
            }
        });
        AckDecision::AckLater(Box::pin(async move { timeout_at(answer_by, receiver).await.ok()?.ok() }))
    }

    /// What the handler answers; `None` if it fails, or its time is up.
    fn run_handler(&self, envelope: Envelope) -> impl Future<Output = Option<AckPayload>> + Send + 'static {
        let (handler, given_up, limit) =
            (self.handler.clone(), self.cancelled.clone(), self.timings.handler_timeout);
        async move {
            let handling = AssertUnwindSafe(async move { handler(envelope).await }).catch_unwind();
            match timeout(limit, given_up.run_until_cancelled(handling)).await {
                Ok(Some(Ok(answer))) => Some(answer),
                Ok(Some(Err(_panic))) => {
                    error!("Handling an interaction panicked; this is a bug; please report it");
                    None
                }
                Ok(None) => None,
                Err(_) => {
                    warn!("Canceled an interaction that was not handled within {limit:?}");
                    None
                }
            }
        }
    }

    /// Waits for the work in progress, up to its time limit, and then gives it up. Nothing more may be dispatched.
    pub(super) async fn drain(&self) {
        self.tasks.close();
        let limit = self.timings.drain;
        if timeout(limit, self.tasks.wait()).await.is_err() {
            warn!(
                left = self.tasks.len(),
                "Canceled the interactions that were not handled within {limit:?}"
            );
            self.cancelled.cancel();
        }
    }
}
