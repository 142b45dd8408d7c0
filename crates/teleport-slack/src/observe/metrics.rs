//! What is counted and measured, and under which names: the only file that knows them.
//!
//! One [`Metrics`] is made at start, and a clone is given to whoever has something to count when it is made; nothing
//! is global. Labels are closed lists, so that no request, person or channel makes a series of its own. Ages are
//! worked out when they are asked for. What the figures tell an operator: `docs/metrics.md`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use access_core::refusal::Refusal;
use access_core::render::answer::Done;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::health::{Health, Stage, Watch};
use crate::slack::error::{Kind as SlackKind, SlackError};
use crate::slack::method::Method;
use crate::teleport::error::{Call, CallEnd};

/// The beginning of every name.
const PREFIX: &str = "teleport_slack";

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted; clones count together.
#[derive(Clone)]
pub struct Metrics {
    counted: Arc<Counted>,
    health: Health,
}

/// What became of one step towards Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message was posted.
    Posted,
    /// A message was edited.
    Updated,
    /// A reply was posted in a thread.
    Replied,
    /// A message that was one too many was taken back.
    Withdrawn,
    /// It did not succeed, and this is how it goes on.
    Not(SlackKind),
}

/// What the channel's history says of a post whose outcome was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The message is there.
    Found,
    /// It is not.
    NotFound,
}

/// How one visit to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// All was done that could be done.
    Done,
    /// Teleport failed.
    Failed,
    /// It panicked.
    Panicked,
}

/// What became of one interaction.
#[derive(Clone, Copy, Debug)]
pub enum Click<'a> {
    /// It was carried out.
    Done(&'a Done),
    /// It changed nothing, and the person was told why.
    Refused(&'a Refusal),
    /// The person is asked for a reason; what they answer counts on its own.
    Asking,
    /// Its signature is not Slack's, or was used before.
    Forged,
    /// It cannot be read.
    Malformed,
    /// It was delivered before.
    Repeated,
    /// Too many wait already.
    TurnedAway,
}

/// Names and values of a series' labels; the values come from closed lists.
type Labels<const N: usize> = [(&'static str, &'static str); N];

#[derive(Default)]
struct Counted {
    registry: Registry,
    deliveries: Family<Labels<1>, Counter>,
    retries: Counter,
    ambiguous_posts: Counter,
    settled_posts: Family<Labels<1>, Counter>,
    possible_doubles: Counter,
    withdrawn_doubles: Counter,
    claim_takeovers: Counter,
    watch_reconnects: Counter,
    visits: Family<Labels<1>, Counter>,
    clicks: Family<Labels<2>, Counter>,
    slack_calls: Family<Labels<2>, Counter>,
    teleport_calls: Family<Labels<2>, Counter>,
    queued: Gauge,
    visiting: Gauge,
    waiting_errands: Gauge,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let (health, mut counted) = (Health::default(), Counted::default());
        let mut registry = Registry::with_prefix(PREFIX);
        counted.register(&mut registry);
        registry.register_collector(Box::new(Ages(health.clone())));
        counted.registry = registry;
        Self { counted: Arc::new(counted), health }
    }

    /// What stands between the daemon and its being ready.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// All of it as text, of the type [`MEDIA_TYPE`].
    pub fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.counted.registry).expect("writing to a string cannot fail");
        out
    }

    /// One step towards Slack ended.
    pub fn delivery(&self, delivery: Delivery) {
        count(&self.counted.deliveries, [("result", delivery.label())]);
    }

    /// A step that failed before is tried again.
    pub fn retry(&self) {
        self.counted.retries.inc();
    }

    /// Nobody knows whether a post succeeded.
    pub fn ambiguous_post(&self) {
        self.counted.ambiguous_posts.inc();
    }

    /// The history of a channel told about a post whose outcome was not known.
    pub fn settled(&self, settled: Settled) {
        count(&self.counted.settled_posts, [("history", settled.label())]);
    }

    /// Something is posted that may be there already, because nothing tells.
    pub fn possible_double(&self) {
        self.counted.possible_doubles.inc();
    }

    /// A message that turned out to be a second one was taken away.
    pub fn withdrew_double(&self) {
        self.counted.withdrawn_doubles.inc();
    }

    /// Another copy's claim had run out and was taken over.
    pub fn took_over_claim(&self) {
        self.counted.claim_takeovers.inc();
    }

    /// The start got so far.
    pub fn reached(&self, stage: Stage) {
        self.health.change(|state| state.stage = state.stage.max(stage));
    }

    /// The watch is open; counts as a reconnection if it was lost before.
    pub fn watch_opened(&self) {
        self.health.change(|state| {
            if let Watch::Lost(_) = std::mem::replace(&mut state.watch, Watch::Open) {
                self.counted.watch_reconnects.inc();
            }
            state.last_event = Some(Instant::now());
        });
    }

    /// The watch told something.
    pub fn watch_event(&self) {
        self.health.change(|state| state.last_event = Some(Instant::now()));
    }

    /// The watch is lost, or could not be opened again.
    pub fn watch_lost(&self) {
        self.health.change(|state| {
            if state.watch == Watch::Open {
                state.watch = Watch::Lost(Instant::now());
            }
        });
    }

    /// The certificate in use ends then.
    pub fn certificate_until(&self, until: Timestamp) {
        self.health.change(|state| state.certificate_until = Some(until));
    }

    /// How the queue of requests stands: how many are on it, how many are being visited, and when the first of
    /// those on it is due.
    pub fn queue(&self, queued: usize, visiting: usize, next_due: Option<Instant>) {
        set(&self.counted.queued, queued);
        set(&self.counted.visiting, visiting);
        self.health.change(|state| state.next_due = next_due);
    }

    /// So many more errands wait to be tried again or for their turn (fewer, if negative).
    pub fn waiting_errands(&self, change: i64) {
        self.counted.waiting_errands.inc_by(change);
    }

    /// A visit to a request ended.
    pub fn visit(&self, visit: Visit) {
        count(&self.counted.visits, [("result", visit.label())]);
    }

    /// An interaction was worked on or turned away.
    pub fn click(&self, click: Click<'_>) {
        let (verdict, reason) = click.labels();
        count(&self.counted.clicks, [("verdict", verdict), ("reason", reason)]);
    }

    /// A call of Slack's Web API ended.
    pub fn slack_call<T>(&self, method: Method, outcome: &Result<T, SlackError>) {
        let result = match outcome {
            Ok(_) => "ok",
            Err(error) if error.is_ambiguous() => "ambiguous",
            Err(error) => fault(error.kind()),
        };
        count(&self.counted.slack_calls, [("method", method.as_str()), ("result", result)]);
    }

    /// A call of Teleport's API ended.
    pub fn teleport_call(&self, call: Call, end: CallEnd) {
        count(&self.counted.teleport_calls, [("method", call.name()), ("code", end.name())]);
        if end.is_answer() {
            self.health.change(|state| state.last_answer = Some(Instant::now()));
        }
    }
}

impl Counted {
    fn register(&self, to: &mut Registry) {
        to.register("deliveries", "Steps towards Slack by what became of them", self.deliveries.clone());
        to.register("retries", "Steps towards Slack that were tried again", self.retries.clone());
        to.register(
            "ambiguous_posts",
            "Posts of which nobody knows whether they succeeded",
            self.ambiguous_posts.clone(),
        );
        to.register(
            "settled_posts",
            "Ambiguous posts about which the channel's history told",
            self.settled_posts.clone(),
        );
        to.register(
            "possible_doubles",
            "Messages posted although they may have been there already",
            self.possible_doubles.clone(),
        );
        to.register(
            "withdrawn_doubles",
            "Second messages that were taken away",
            self.withdrawn_doubles.clone(),
        );
        to.register(
            "claim_takeovers",
            "Claims of other copies of the daemon that had run out and were taken over",
            self.claim_takeovers.clone(),
        );
        to.register(
            "watch_reconnects",
            "How often the watch on Teleport was opened again after a loss",
            self.watch_reconnects.clone(),
        );
        to.register("visits", "Visits to requests by how they ended", self.visits.clone());
        to.register("clicks", "Interactions in Slack by what became of them", self.clicks.clone());
        to.register("slack_calls", "Calls of Slack's Web API by result", self.slack_calls.clone());
        to.register(
            "teleport_calls",
            "Calls of Teleport's API by gRPC status code",
            self.teleport_calls.clone(),
        );
        to.register("queued_requests", "Requests to be visited, now or later", self.queued.clone());
        to.register("visiting_requests", "Requests being visited", self.visiting.clone());
        to.register(
            "waiting_errands",
            "Messages that wait to be tried again or for their turn",
            self.waiting_errands.clone(),
        );
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("TELEPORT_SLACK_REVISION")),
            ("rustc", env!("TELEPORT_SLACK_RUSTC")),
        ];
        to.register("build", "What this program was built from", Info::new(build));
        self.show_zeros();
    }

    /// A counter that is first seen at one hides its first step from `rate`.
    fn show_zeros(&self) {
        let kinds = [
            SlackKind::Retry,
            SlackKind::RetryAfter(Duration::ZERO),
            SlackKind::Permanent,
            SlackKind::Unauthorised,
        ];
        let done = [Delivery::Posted, Delivery::Updated, Delivery::Replied];
        for delivery in done.into_iter().chain(kinds.map(Delivery::Not)) {
            drop(self.deliveries.get_or_create(&[("result", delivery.label())]));
        }
        for settled in [Settled::Found, Settled::NotFound] {
            drop(self.settled_posts.get_or_create(&[("history", settled.label())]));
        }
        for visit in [Visit::Done, Visit::Failed, Visit::Panicked] {
            drop(self.visits.get_or_create(&[("result", visit.label())]));
        }
    }
}

fn count<const N: usize>(family: &Family<Labels<N>, Counter>, labels: Labels<N>) {
    family.get_or_create(&labels).inc();
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// A failure towards Slack, in the words of the metrics.
fn fault(kind: SlackKind) -> &'static str {
    match kind {
        SlackKind::Retry => "failed",
        SlackKind::RetryAfter(_) => "limited",
        SlackKind::Permanent => "refused",
        SlackKind::Unauthorised => "unauthorised",
    }
}

impl Delivery {
    fn label(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Updated => "updated",
            Self::Replied => "replied",
            Self::Withdrawn => "withdrawn",
            Self::Not(kind) => fault(kind),
        }
    }
}

impl Settled {
    fn label(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
        }
    }
}

impl Visit {
    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
        }
    }
}

impl Click<'_> {
    fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Done(done) => ("done", done.kind()),
            Self::Refused(refusal) => ("refused", refusal.kind()),
            Self::Asking => ("asking", ""),
            Self::Forged => ("forged", ""),
            Self::Malformed => ("malformed", ""),
            Self::Repeated => ("repeated", ""),
            Self::TurnedAway => ("turned_away", ""),
        }
    }
}

/// What depends on the moment at which it is asked for.
#[derive(Debug)]
struct Ages(Health);

impl Collector for Ages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (now, time) = (Instant::now(), Timestamp::now());
        let (state, is_ready) = (self.0.state(), self.0.troubles(now, time).is_empty());
        let age = |since: Option<Instant>| since.map(|s| now.saturating_duration_since(s).as_secs_f64());
        let seconds = [
            (
                "watch_last_event_age",
                "Since the watch on Teleport was opened or told a change",
                age(state.last_event),
            ),
            (
                "teleport_last_answer_age",
                "Since Teleport last answered a call, however it did",
                age(state.last_answer),
            ),
            (
                "queue_oldest_due_age",
                "How late the visit is that is due for longest",
                age(state.next_due).or(Some(0.0)),
            ),
            (
                "certificate_left",
                "Until the certificate for Teleport expires, negative afterwards",
                state.certificate_left(time).map(|left| left.as_secs_f64()),
            ),
        ];
        for (name, help, value) in seconds {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, Some(&Unit::Seconds), value)?;
            }
        }
        gauge(
            &mut encoder,
            "ready",
            "Whether the daemon is ready: 1 or 0",
            None,
            f64::from(u8::from(is_ready)),
        )
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: f64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    // Registered metrics get their full stop from the registry.
    let help = format!("{help}.");
    gauge.encode(encoder.encode_descriptor(name, &help, unit, gauge.metric_type())?)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("health", &self.health).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
