//! Bringing a payload to the app: by socket in Socket Mode, else to the request URL, within Slack's time limit.
//!
//! Over HTTP there is one attempt. A socket's envelope that is not acknowledged is sent again, perhaps over another
//! socket, under the same id; the person has seen the warning by then.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::state::Moment;
use super::super::{Shared, SlackSim};
use super::forgery::Forgery;
use super::log::{Interaction, Outcome, Way};
use super::request::{Received, SignedRequest};
use super::{Warning, unguessable};

/// Slack's schedule is not documented; three deliveries are enough to find a client that counts one twice.
const MAX_DELIVERIES: u32 = 3;

/// A payload to be brought to the app.
pub(in crate::slack) struct Parcel {
    pub(in crate::slack) kind: &'static str,
    pub(in crate::slack) user: String,
    pub(in crate::slack) payload: Value,
    /// Whether the acknowledgement may carry something.
    pub(in crate::slack) takes_answer: bool,
    pub(in crate::slack) forgery: Forgery,
}

/// What became of it.
pub(in crate::slack) struct Delivered {
    pub(in crate::slack) seq: u64,
    /// What came with the acknowledgement (null if nothing), or what the person's client shows.
    pub(in crate::slack) result: Result<Value, Warning>,
}

enum Journey {
    Nowhere,
    Http { request: Arc<SignedRequest>, ca: Option<String> },
    Socket { envelope_id: String, text: String, takes_answer: bool },
}

impl Journey {
    fn way(&self) -> Way {
        match self {
            Journey::Nowhere => Way::Nowhere,
            Journey::Http { request, .. } => Way::Http { url: request.url.clone() },
            Journey::Socket { envelope_id, .. } => Way::Socket { envelope_id: envelope_id.clone() },
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Journey::Nowhere => 0,
            Journey::Http { request, .. } => request.body.len(),
            Journey::Socket { text, .. } => text.len(),
        }
    }
}

/// Brings a parcel to the app and waits for what the person sees; later deliveries go on by themselves.
pub(in crate::slack) async fn deliver(sim: &SlackSim, parcel: Parcel) -> Delivered {
    let now = Moment::now();
    let Parcel { kind, user, mut payload, takes_answer, forgery } = parcel;
    forgery.change(&mut payload);
    let journey = plan(&sim.shared, &payload, takes_answer, &forgery, now);
    start(sim, kind, user, payload, forgery.described(), journey, now).await
}

/// Sends the very bytes of an earlier HTTP request again; `None` if there was no such request.
pub(in crate::slack) async fn replay(sim: &SlackSim, seq: u64) -> Option<Delivered> {
    let earlier = sim.shared.interactions.find(seq)?;
    let ca = sim.shared.state().app.request_ca.clone();
    let journey = Journey::Http { request: earlier.request?, ca };
    let forgery = Some(format!("replay of {seq}"));
    let now = Moment::now();
    Some(start(sim, earlier.kind, earlier.user, earlier.payload, forgery, journey, now).await)
}

fn plan(shared: &Shared, payload: &Value, takes_answer: bool, forgery: &Forgery, now: Moment) -> Journey {
    let state = shared.state();
    let app = &state.app;
    if app.socket_mode {
        let envelope_id = unguessable();
        let payload = forgery.body().map_or_else(|| forgery.write(payload), str::to_owned);
        let text = format!(
            "{{\"envelope_id\":{},\"type\":\"interactive\",\"accepts_response_payload\":{takes_answer},\
             \"payload\":{payload}}}",
            json!(envelope_id)
        );
        return Journey::Socket { envelope_id, text, takes_answer };
    }
    match &app.request_url {
        Some(url) => {
            let request = SignedRequest::new(app, url, &forgery.write(payload), forgery, now.wall);
            Journey::Http { request: Arc::new(request), ca: app.request_ca.clone() }
        }
        None => Journey::Nowhere,
    }
}

async fn start(
    sim: &SlackSim,
    kind: &'static str,
    user: String,
    payload: Value,
    forgery: Option<String>,
    journey: Journey,
    now: Moment,
) -> Delivered {
    let request = match &journey {
        Journey::Http { request, .. } => Some(Arc::clone(request)),
        Journey::Nowhere | Journey::Socket { .. } => None,
    };
    let interaction = Interaction {
        seq: 0,
        kind,
        user,
        payload,
        way: journey.way(),
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
    let errand = Errand {
        shared: Arc::clone(&sim.shared),
        seq: sim.shared.interactions.begin(interaction, journey.bytes()),
        begun: now.instant,
    };
    let seq = errand.seq;
    sim.shared.changed();
    let (tell, told) = oneshot::channel();
    sim.errands.spawn(errand.run(journey, tell));
    // The errand tells before it ends, unless the simulator ends first.
    let result = told.await.unwrap_or(Err(Warning::TimedOut));
    Delivered { seq, result }
}

type Tell = oneshot::Sender<Result<Value, Warning>>;

/// One payload under way.
struct Errand {
    shared: Arc<Shared>,
    seq: u64,
    begun: Instant,
}

impl Errand {
    async fn run(self, journey: Journey, tell: Tell) {
        match journey {
            Journey::Nowhere => self.close(Err(Warning::NotConfigured), tell),
            Journey::Http { request, ca } => {
                self.sent();
                let sent = timeout(self.shared.times.ack, request.send(ca.as_deref())).await;
                let result = sent.unwrap_or(Err(Warning::TimedOut)).and_then(|got| self.received(got));
                self.close(result, tell);
            }
            Journey::Socket { envelope_id, text, takes_answer } => {
                let acknowledged = self.shared.sockets.expect_ack(&envelope_id, takes_answer);
                self.by_socket(&text, acknowledged, tell).await;
                self.shared.sockets.forget_ack(&envelope_id);
            }
        }
    }

    fn amend(&self, change: impl FnOnce(&mut Interaction)) {
        self.shared.interactions.amend(self.seq, change);
        self.shared.changed();
    }

    fn sent(&self) {
        self.amend(|interaction| interaction.deliveries += 1);
    }

    fn received(&self, got: Received) -> Result<Value, Warning> {
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

    /// Notes what the person sees, and tells them.
    fn close(&self, result: Result<Value, Warning>, tell: Tell) {
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
        // Whoever acted may have stopped waiting.
        let _ = tell.send(result);
    }

    async fn by_socket(&self, text: &str, mut acknowledged: oneshot::Receiver<Value>, tell: Tell) {
        let mut tell = Some(tell);
        for _ in 0..MAX_DELIVERIES {
            let limit = Instant::now() + self.shared.times.ack;
            if timeout_at(limit, self.shared.sockets.hand_over(text)).await.is_ok() {
                self.sent();
            }
            if let Ok(Ok(answer)) = timeout_at(limit, &mut acknowledged).await {
                self.amend(|interaction| {
                    interaction.response = answer.clone();
                    interaction.acknowledged_after = Some(self.begun.elapsed());
                });
                if let Some(tell) = tell.take() {
                    self.close(Ok(answer), tell);
                }
                return;
            }
            if let Some(tell) = tell.take() {
                self.close(Err(Warning::TimedOut), tell);
            }
        }
    }
}
