//! Bringing a payload to the app: by socket in Socket Mode, else to the request URL, within Slack's time limit.
//!
//! Over HTTP there is one attempt. A socket's envelope that is not acknowledged is sent again, perhaps over another
//! socket, under the same id; the user has seen the warning by then.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::state::Moment;
use super::super::{Shared, SlackSim};
use super::forgery::Forgery;
use super::log::{DeliveryRoute, Interaction, Outcome};
use super::request::{Received, SignedRequest};
use super::{Warning, random_token};

/// Slack's schedule is not documented; three deliveries are enough to find a client that counts one twice.
const MAX_DELIVERIES: u32 = 3;

/// A payload to be brought to the app.
pub(in crate::slack) struct Delivery {
    pub(in crate::slack) kind: &'static str,
    pub(in crate::slack) user: String,
    pub(in crate::slack) payload: Value,
    /// Whether the acknowledgement may carry something.
    pub(in crate::slack) accepts_response: bool,
    pub(in crate::slack) forgery: Forgery,
}

/// What became of it.
pub(in crate::slack) struct DeliveryResult {
    pub(in crate::slack) seq: u64,
    /// What came with the acknowledgement (null if nothing), or what the user's client shows.
    pub(in crate::slack) result: Result<Value, Warning>,
}

enum Route {
    NotConfigured,
    Http { request: Arc<SignedRequest>, ca: Option<String> },
    Socket { envelope_id: String, text: String, accepts_response: bool },
}

impl Route {
    fn to_log(&self) -> DeliveryRoute {
        match self {
            Route::NotConfigured => DeliveryRoute::Nowhere,
            Route::Http { request, .. } => DeliveryRoute::Http { url: request.url.clone() },
            Route::Socket { envelope_id, .. } => DeliveryRoute::Socket { envelope_id: envelope_id.clone() },
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Route::NotConfigured => 0,
            Route::Http { request, .. } => request.body.len(),
            Route::Socket { text, .. } => text.len(),
        }
    }
}

/// Brings a parcel to the app and waits for what the user sees; later deliveries go on by themselves.
pub(in crate::slack) async fn deliver(sim: &SlackSim, parcel: Delivery) -> DeliveryResult {
    let now = Moment::now();
    let Delivery { kind, user, mut payload, accepts_response: takes_answer, forgery } = parcel;
    forgery.change(&mut payload);
    let journey = choose_route(&sim.shared, &payload, takes_answer, &forgery, now);
    start_delivery(sim, kind, user, payload, forgery.described(), journey, now).await
}

/// Sends the very bytes of an earlier HTTP request again; `None` if there was no such request.
pub(in crate::slack) async fn replay(sim: &SlackSim, seq: u64) -> Option<DeliveryResult> {
    let earlier = sim.shared.interactions.find(seq)?;
    let ca = sim.shared.state().app.request_ca.clone();
    let journey = Route::Http { request: earlier.request?, ca };
    let forgery = Some(format!("replay of {seq}"));
    let now = Moment::now();
    Some(start_delivery(sim, earlier.kind, earlier.user, earlier.payload, forgery, journey, now).await)
}

fn choose_route(
    shared: &Shared,
    payload: &Value,
    takes_answer: bool,
    forgery: &Forgery,
    now: Moment,
) -> Route {
    let state = shared.state();
    let app = &state.app;
    if app.socket_mode {
        let envelope_id = random_token();
        let payload = forgery.body().map_or_else(|| forgery.write(payload), str::to_owned);
        let text = format!(
            "{{\"envelope_id\":{},\"type\":\"interactive\",\"accepts_response_payload\":{takes_answer},\
             \"payload\":{payload}}}",
            json!(envelope_id)
        );
        return Route::Socket { envelope_id, text, accepts_response: takes_answer };
    }
    match &app.request_url {
        Some(url) => {
            let request = SignedRequest::new(app, url, &forgery.write(payload), forgery, now.wall);
            Route::Http { request: Arc::new(request), ca: app.request_ca.clone() }
        }
        None => Route::NotConfigured,
    }
}

async fn start_delivery(
    sim: &SlackSim,
    kind: &'static str,
    user: String,
    payload: Value,
    forgery: Option<String>,
    journey: Route,
    now: Moment,
) -> DeliveryResult {
    let request = match &journey {
        Route::Http { request, .. } => Some(Arc::clone(request)),
        Route::NotConfigured | Route::Socket { .. } => None,
    };
    let interaction = Interaction {
        seq: 0,
        kind,
        user,
        payload,
        way: journey.to_log(),
        forgery,
        deliveries: 0,
        at: now.instant,
        time: now.wall,
        acknowledged_after: None,
        status: None,
        response: Value::Null,
        outcome: Outcome::Pending,
        request,
    };
    let task = DeliveryTask {
        shared: Arc::clone(&sim.shared),
        seq: sim.shared.interactions.begin(interaction, journey.bytes()),
        begun: now.instant,
    };
    let seq = task.seq;
    sim.shared.changed();
    let (sender, received) = oneshot::channel();
    sim.deliveries.spawn(task.run(journey, sender));
    // The task sends its result before it ends, unless the simulator ends first.
    let result = received.await.unwrap_or(Err(Warning::TimedOut));
    DeliveryResult { seq, result }
}

type ResultSender = oneshot::Sender<Result<Value, Warning>>;

/// One payload in flight.
struct DeliveryTask {
    shared: Arc<Shared>,
    seq: u64,
    begun: Instant,
}

impl DeliveryTask {
    async fn run(self, journey: Route, sender: ResultSender) {
        match journey {
            Route::NotConfigured => self.finish(Err(Warning::NotConfigured), sender),
            Route::Http { request, ca } => {
                self.record_attempt();
                let sent = timeout(self.shared.timings.ack, request.send(ca.as_deref())).await;
                let result = sent.unwrap_or(Err(Warning::TimedOut)).and_then(|got| self.record_response(got));
                self.finish(result, sender);
            }
            Route::Socket { envelope_id, text, accepts_response: takes_answer } => {
                let acknowledged = self.shared.sockets.expect_ack(&envelope_id, takes_answer);
                self.deliver_by_socket(&text, acknowledged, sender).await;
                self.shared.sockets.forget_ack(&envelope_id);
            }
        }
    }

    fn amend(&self, change: impl FnOnce(&mut Interaction)) {
        self.shared.interactions.amend(self.seq, change);
        self.shared.changed();
    }

    fn record_attempt(&self) {
        self.amend(|interaction| interaction.deliveries += 1);
    }

    fn record_response(&self, got: Received) -> Result<Value, Warning> {
        let Received { status, body } = got;
        let response = match serde_json::from_slice(&body) {
            Ok(json) => json,
            Err(_) if body.is_empty() => Value::Null,
            Err(_) => Value::String(String::from_utf8_lossy(&body).into_owned()),
        };
        self.amend(|interaction| {
            interaction.status = Some(status);
            interaction.response = response.clone();
        });
        if status == 200 { Ok(response) } else { Err(Warning::Status(status)) }
    }

    /// Notes what the user sees, and sends them the result.
    fn finish(&self, result: Result<Value, Warning>, sender: ResultSender) {
        let outcome = match &result {
            Ok(_) => Outcome::Acknowledged,
            Err(warning) => Outcome::Warned(warning.clone()),
        };
        self.amend(|interaction| {
            interaction.outcome = outcome;
            if result.is_ok() {
                interaction.acknowledged_after = Some(self.begun.elapsed());
            }
        });
        // The caller may have stopped waiting.
        let _ = sender.send(result);
    }

    async fn deliver_by_socket(
        &self,
        text: &str,
        mut acknowledged: oneshot::Receiver<Value>,
        sender: ResultSender,
    ) {
        let mut sender = Some(sender);
        for _ in 0..MAX_DELIVERIES {
            let limit = Instant::now() + self.shared.timings.ack;
            if timeout_at(limit, self.shared.sockets.deliver(text)).await.is_ok() {
                self.record_attempt();
            }
            if let Ok(Ok(answer)) = timeout_at(limit, &mut acknowledged).await {
                self.amend(|interaction| {
                    interaction.response = answer.clone();
                    interaction.acknowledged_after = Some(self.begun.elapsed());
                });
                if let Some(sender) = sender.take() {
                    self.finish(Ok(answer), sender);
                }
                return;
            }
            if let Some(sender) = sender.take() {
                self.finish(Err(Warning::TimedOut), sender);
            }
        }
    }
}
