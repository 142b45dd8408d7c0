//! What is counted and measured, and under which names: the only file that knows them. (Their labels: `labels`.)
//!
//! One [`Metrics`] is made at start, and each component that counts gets a clone; nothing is global. Labels are closed
//! lists, so that no request, user or channel makes a series of its own. Ages are computed on each request.
//! `docs/metrics.md` explains the metrics to operators.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::skew::Offset;
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

use super::health::{Health, Stage, StreamState};
use super::skew::Side;
use labels::{failure_label, slack_results};
use slack_client::error::SlackError;
use slack_client::method::Method;
use slack_client::observer::Observer as SlackObserver;
use teleport_client::error::{Call, CallResult, TeleportError};
use teleport_client::observer::{List, Observer as TeleportObserver};
use teleport_client::visibility::{Visibility, describe_visibility};

mod clock;
mod labels;

pub use labels::{InDoubtResult, InteractionResult, OperationResult, ReconcileResult};

/// The beginning of every name.
const PREFIX: &str = "teleport_slack";

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted; clones count together.
#[derive(Clone)]
pub struct Metrics {
    counters: Arc<Counters>,
    health: Health,
}

/// Names and values of a series' labels; the values come from closed lists.
type Labels<const N: usize> = [(&'static str, &'static str); N];

#[derive(Default)]
struct Counters {
    registry: Registry,
    operations: Family<Labels<1>, Counter>,
    retries: Counter,
    in_doubt_posts: Counter,
    in_doubt_posts_resolved: Family<Labels<1>, Counter>,
    possible_duplicates: Counter,
    duplicates_deleted: Counter,
    claim_takeovers: Counter,
    watch_reconnects: Counter,
    failed_lists: Family<Labels<1>, Counter>,
    reconciles: Family<Labels<1>, Counter>,
    interactions: Family<Labels<2>, Counter>,
    slack_requests: Family<Labels<2>, Counter>,
    teleport_requests: Family<Labels<2>, Counter>,
    workqueue_depth: Gauge,
    active_reconciles: Gauge,
    pending_operations: Gauge,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let (health, mut counters) = (Health::default(), Counters::default());
        let mut registry = Registry::with_prefix(PREFIX);
        counters.register(&mut registry);
        registry.register_collector(Box::new(HealthCollector(health.clone())));
        counters.registry = registry;
        Self { counters: Arc::new(counters), health }
    }

    /// The state of the daemon, which decides whether it is ready.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// All of it as text, of the type [`MEDIA_TYPE`].
    pub fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.counters.registry).expect("writing to a string cannot fail");
        out
    }

    /// One step towards Slack ended.
    pub fn operation_ended(&self, result: OperationResult) {
        increment(&self.counters.operations, [("result", result.label())]);
    }

    /// A step that failed before is tried again.
    pub fn operation_retried(&self) {
        self.counters.retries.inc();
    }

    /// A post ended without an answer, so its outcome is unknown.
    pub fn post_in_doubt(&self) {
        self.counters.in_doubt_posts.inc();
    }

    /// The history of a channel resolved a post whose outcome was unknown.
    pub fn in_doubt_post_resolved(&self, result: InDoubtResult) {
        increment(&self.counters.in_doubt_posts_resolved, [("history", result.label())]);
    }

    /// A message is posted that may be there already, because nothing shows whether it is.
    pub fn possible_duplicate(&self) {
        self.counters.possible_duplicates.inc();
    }

    /// A duplicate message was deleted.
    pub fn duplicate_deleted(&self) {
        self.counters.duplicates_deleted.inc();
    }

    /// The claim of another instance expired and was taken over.
    pub fn claim_taken_over(&self) {
        self.counters.claim_takeovers.inc();
    }

    /// The start got so far.
    pub fn stage_reached(&self, stage: Stage) {
        self.health.update(|state| state.stage = state.stage.max(stage));
    }

    /// Something is not listed and may be there all the same.
    pub fn absence_unconfirmed(&self, sight: &Visibility) {
        self.health.update(|state| state.hidden = Some(describe_visibility(sight)));
    }

    /// Interactions arrive over Socket Mode, and this many connections are open.
    pub fn socket_mode_connections(&self, open: usize) {
        self.health.update(|state| {
            state.sockets = Some(state.sockets.unwrap_or_default().with_open(open, Instant::now()))
        });
    }

    /// Whether Slack refuses the bot token.
    pub fn bot_token_rejected(&self, is_refused: bool) {
        self.health.update(|state| state.token_rejected = is_refused);
    }

    /// The certificate in use ends then.
    pub fn certificate_expires(&self, until: Timestamp) {
        self.health.update(|state| state.certificate_expires = Some(until));
    }

    /// The state of the work queue: its length, how many reconciles are active, when the next one is due, since when the
    /// longest lagging request lags, and since when the longest stalled one failed at every recipient.
    pub fn work_queue(
        &self,
        queued: usize,
        active: usize,
        next_due: Option<Instant>,
        lagging_since: Option<Instant>,
        stalled_since: Option<Instant>,
    ) {
        set(&self.counters.workqueue_depth, queued);
        set(&self.counters.active_reconciles, active);
        self.health.update(|state| {
            state.next_due = next_due;
            state.lagging_since = lagging_since;
            state.stalled_since = stalled_since;
        });
    }

    /// This many more operations wait for a retry or for their turn (fewer, if negative).
    pub fn pending_operations_changed(&self, change: i64) {
        self.counters.pending_operations.inc_by(change);
    }

    /// A reconcile of a request ended.
    pub fn reconcile_ended(&self, result: ReconcileResult) {
        increment(&self.counters.reconciles, [("result", result.label())]);
    }

    /// An interaction was handled or rejected.
    pub fn interaction_ended(&self, interaction: InteractionResult<'_>) {
        let (verdict, reason) = interaction.labels();
        increment(&self.counters.interactions, [("verdict", verdict), ("reason", reason)]);
    }
}

impl TeleportObserver for Metrics {
    fn call_ended(&self, call: Call, result: CallResult, _: Duration) {
        increment(&self.counters.teleport_requests, [("method", call.name()), ("code", result.name())]);
        if result.has_response() {
            self.health.update(|state| state.last_response = Some(Instant::now()));
        }
    }

    fn watch_opened(&self) {
        self.health.update(|state| {
            // Counts as a reconnection if it was lost before.
            if let StreamState::Lost(_) = std::mem::replace(&mut state.watch, StreamState::Open) {
                self.counters.watch_reconnects.inc();
            }
            state.last_event = Some(Instant::now());
        });
    }

    fn watch_event(&self) {
        self.health.update(|state| state.last_event = Some(Instant::now()));
    }

    fn watch_lost(&self) {
        self.health.update(|state| {
            if state.watch == StreamState::Open {
                state.watch = StreamState::Lost(Instant::now());
            }
            // The next watch has lists of its own.
            state.list_failing = None;
        });
    }

    fn list_succeeded(&self, list: List) {
        if list == List::Requests {
            self.health.update(|state| state.list_failing = None);
        }
    }

    fn list_failed(&self, list: List, error: &TeleportError) {
        increment(&self.counters.failed_lists, [("list", list.name())]);
        // `visibility_found` keeps what is hidden.
        if list == List::Requests && !matches!(error, TeleportError::NotVisible { .. }) {
            self.health.update(|state| {
                let since = state.list_failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                state.list_failing = Some((since, error.to_string()));
            });
        }
    }

    fn visibility_found(&self, visibility: &Visibility) {
        match visibility {
            Visibility::All => self.health.update(|state| state.hidden = None),
            Visibility::Partial(_) => self.absence_unconfirmed(visibility),
            Visibility::Unknown(_) => {}
        }
    }

    fn absence_unconfirmed(&self, visibility: &Visibility) {
        Self::absence_unconfirmed(self, visibility);
    }
}

impl SlackObserver for Metrics {
    fn call_ended(&self, method: Method, result: Result<(), &SlackError>, _: Duration) {
        let result = match result {
            Ok(()) => "ok",
            Err(error) if error.is_ambiguous() => "ambiguous",
            Err(error) => failure_label(error.retry()),
        };
        increment(&self.counters.slack_requests, [("method", method.as_str()), ("result", result)]);
    }

    fn clock_observed(&self, offset: Offset) {
        self.observe_clock(Side::Slack, offset);
    }
}

impl Counters {
    fn register(&self, to: &mut Registry) {
        to.register("deliveries", "Steps towards Slack by what became of them", self.operations.clone());
        to.register("retries", "Steps towards Slack that were tried again", self.retries.clone());
        to.register(
            "ambiguous_posts",
            "Posts of which nobody knows whether they succeeded",
            self.in_doubt_posts.clone(),
        );
        to.register(
            "settled_posts",
            "Ambiguous posts about which the channel's history told",
            self.in_doubt_posts_resolved.clone(),
        );
        to.register(
            "possible_doubles",
            "Messages posted although they may have been there already",
            self.possible_duplicates.clone(),
        );
        to.register(
            "withdrawn_doubles",
            "Second messages that were taken away",
            self.duplicates_deleted.clone(),
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
        to.register("visits", "Visits to requests by how they ended", self.reconciles.clone());
        to.register("clicks", "Interactions in Slack by what became of them", self.interactions.clone());
        to.register("slack_calls", "Calls of Slack's Web API by result", self.slack_requests.clone());
        to.register(
            "teleport_calls",
            "Calls of Teleport's API by gRPC status code",
            self.teleport_requests.clone(),
        );
        to.register("queued_requests", "Requests to be visited, now or later", self.workqueue_depth.clone());
        to.register("visiting_requests", "Requests being visited", self.active_reconciles.clone());
        to.register(
            "waiting_errands",
            "Messages that wait to be tried again or for their turn",
            self.pending_operations.clone(),
        );
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("TELEPORT_SLACK_REVISION")),
            ("rustc", env!("TELEPORT_SLACK_RUSTC")),
        ];
        to.register("build", "What this program was built from", Info::new(build));
        self.init_series();
    }

    /// A counter that is first seen at one hides its first step from `rate`.
    fn init_series(&self) {
        for result in OperationResult::all() {
            ensure_series(&self.operations, [("result", result.label())]);
        }
        for result in [InDoubtResult::Found, InDoubtResult::NotFound] {
            ensure_series(&self.in_doubt_posts_resolved, [("history", result.label())]);
        }
        for list in [List::Requests, List::Records] {
            ensure_series(&self.failed_lists, [("list", list.name())]);
        }
        for result in [ReconcileResult::Success, ReconcileResult::Error, ReconcileResult::Panic] {
            ensure_series(&self.reconciles, [("result", result.label())]);
        }
        for (verdict, reason) in InteractionResult::all() {
            ensure_series(&self.interactions, [("verdict", verdict), ("reason", reason)]);
        }
        for method in Method::ALL {
            for result in slack_results() {
                ensure_series(&self.slack_requests, [("method", method.as_str()), ("result", result)]);
            }
        }
        for call in Call::ALL {
            for end in CallResult::all() {
                ensure_series(&self.teleport_requests, [("method", call.name()), ("code", end.name())]);
            }
        }
    }
}

/// Makes the series, if it is not there.
fn ensure_series<const N: usize>(family: &Family<Labels<N>, Counter>, labels: Labels<N>) {
    drop(family.get_or_create(&labels));
}

fn increment<const N: usize>(family: &Family<Labels<N>, Counter>, labels: Labels<N>) {
    family.get_or_create(&labels).inc();
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// The metrics that are computed on each request.
#[derive(Debug)]
struct HealthCollector(Health);

impl Collector for HealthCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (now, time) = (Instant::now(), Timestamp::now());
        let (state, is_ready) = (self.0.state(), self.0.unready_reasons(now, time).is_empty());
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
                age(state.last_response),
            ),
            (
                "queue_oldest_due_age",
                "How late the visit is that is due for longest",
                age(state.next_due).or(Some(0.0)),
            ),
            (
                "waiting_errands_oldest_age",
                "How long the request waits of which something could not be shown, recorded or decided for longest",
                age(state.lagging_since).or(Some(0.0)),
            ),
            (
                "undelivered_oldest_age",
                "How long what was due has failed at every recipient, of the request for which that is longest",
                age(state.stalled_since).or(Some(0.0)),
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
