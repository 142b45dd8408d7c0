//! What is counted and measured, and under which names: the only file that knows them. (Their labels: `labels`.)
//!
//! One [`Metrics`] is made at start, and a clone is given to whoever has something to count when it is made; nothing
//! is global. Labels are closed lists, so that no request, person or channel makes a series of its own. Ages are
//! worked out when they are asked for. What the figures tell an operator: `docs/metrics.md`.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::health::{Health, Stage, Watch};
use super::skew::Side;
use crate::slack::error::SlackError;
use crate::slack::method::Method;
use crate::teleport::error::{Call, CallEnd, TeleportError, unseen};
use crate::teleport::rights::Sight;
use labels::{fault, slack_results};

mod labels;

pub use labels::{Click, Delivery, List, Settled, Visit};

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
    failed_lists: Family<Labels<1>, Counter>,
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
            // The next watch has lists of its own.
            state.unlisted = None;
        });
    }

    /// A list was told in full.
    pub fn listed(&self, list: List) {
        if list == List::Requests {
            self.health.change(|state| state.unlisted = None);
        }
    }

    /// A list could not be made, or is not whole.
    pub fn list_failed(&self, list: List, error: &TeleportError) {
        count(&self.counted.failed_lists, [("list", list.name())]);
        // What is hidden is told by `sees`.
        if list == List::Requests && !matches!(error, TeleportError::Hidden { .. }) {
            self.health.change(|state| {
                let since = state.unlisted.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                state.unlisted = Some((since, error.to_string()));
            });
        }
    }

    /// What of the access requests we see. What cannot be known matters when something is missing.
    pub fn sees(&self, sight: &Sight) {
        match sight {
            Sight::All => self.health.change(|state| state.hidden = None),
            Sight::Part(_) => self.absence_unproven(sight),
            Sight::Unknown(_) => {}
        }
    }

    /// Something is not listed and may be there all the same.
    pub fn absence_unproven(&self, sight: &Sight) {
        self.health.change(|state| state.hidden = Some(unseen(sight)));
    }

    /// Clicks arrive over Socket Mode, and so many connections are open now.
    pub fn socket_mode(&self, open: usize) {
        self.health.change(|state| {
            state.sockets = Some(state.sockets.unwrap_or_default().with(open, Instant::now()))
        });
    }

    /// Whether Slack refuses the bot token.
    pub fn bot_token_refused(&self, is_refused: bool) {
        self.health.change(|state| state.token_refused = is_refused);
    }

    /// The certificate in use ends then.
    pub fn certificate_until(&self, until: Timestamp) {
        self.health.change(|state| state.certificate_until = Some(until));
    }

    /// How the queue of requests stands: how many are on it, how many are being visited, when the first of those
    /// on it is due, since when the one is behind that is so for longest, and since when the one failed at every
    /// recipient that did for longest.
    pub fn queue(
        &self,
        queued: usize,
        visiting: usize,
        next_due: Option<Instant>,
        behind_since: Option<Instant>,
        stuck_since: Option<Instant>,
    ) {
        set(&self.counted.queued, queued);
        set(&self.counted.visiting, visiting);
        self.health.change(|state| {
            state.next_due = next_due;
            state.behind_since = behind_since;
            state.stuck_since = stuck_since;
        });
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
        to.register(
            "failed_lists",
            "Lists from Teleport that failed or were not whole, and are made again",
            self.failed_lists.clone(),
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
        for delivery in Delivery::all() {
            show(&self.deliveries, [("result", delivery.label())]);
        }
        for settled in [Settled::Found, Settled::NotFound] {
            show(&self.settled_posts, [("history", settled.label())]);
        }
        for list in [List::Requests, List::Records] {
            show(&self.failed_lists, [("list", list.name())]);
        }
        for visit in [Visit::Done, Visit::Failed, Visit::Panicked] {
            show(&self.visits, [("result", visit.label())]);
        }
        for (verdict, reason) in Click::all() {
            show(&self.clicks, [("verdict", verdict), ("reason", reason)]);
        }
        for method in Method::ALL {
            for result in slack_results() {
                show(&self.slack_calls, [("method", method.as_str()), ("result", result)]);
            }
        }
        for call in Call::ALL {
            for end in CallEnd::all() {
                show(&self.teleport_calls, [("method", call.name()), ("code", end.name())]);
            }
        }
    }
}

/// Makes the series, if it is not there.
fn show<const N: usize>(family: &Family<Labels<N>, Counter>, labels: Labels<N>) {
    drop(family.get_or_create(&labels));
}

fn count<const N: usize>(family: &Family<Labels<N>, Counter>, labels: Labels<N>) {
    family.get_or_create(&labels).inc();
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
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
                "waiting_errands_oldest_age",
                "How long the request waits of which something could not be shown, recorded or decided for longest",
                age(state.behind_since).or(Some(0.0)),
            ),
            (
                "undelivered_oldest_age",
                "How long what was due has failed at every recipient, of the request for which that is longest",
                age(state.stuck_since).or(Some(0.0)),
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
        if let Some(sockets) = state.sockets {
            let open = u32::try_from(sockets.open).unwrap_or(u32::MAX);
            gauge(
                &mut encoder,
                "socket_mode_connections",
                "Connections over which clicks arrive",
                None,
                open.into(),
            )?;
        }
        let skews = Side::ALL.map(|side| (side, state.skews.of(side)));
        if skews.iter().any(|(_, skew)| skew.is_some()) {
            let name = "clock_skew";
            let help = "By how much the other side's clock is ahead of this machine's at the least.";
            let mut family =
                encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
            for (side, skew) in skews {
                if let Some(skew) = skew {
                    let labels = [("side", side.name())];
                    ConstGauge::new(skew.as_secs_f64()).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        gauge(
            &mut encoder,
            "requests_hidden",
            "Whether Teleport may not show all access requests: 1 or 0",
            None,
            f64::from(u8::from(state.hidden.is_some())),
        )?;
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
