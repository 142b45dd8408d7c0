//! What is counted and measured. The names are in `names`, the values of labels in `labels`; `events` counts what operators
//! alert on and logs it.
//!
//! One [`Metrics`] is made at start, and each component that counts gets a clone; nothing is global. Labels are closed
//! lists, so that no request, user or channel makes a series of its own; `scope` says which of them this configuration can
//! have. `computed` has what follows from the state of the daemon, `process` what the process uses, `format` how it is written.
//! `docs/metrics.md` explains the metrics to operators.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::outage::OutageTimings;
use access_core::domain::skew::Offset;
use jiff::Timestamp;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::health::{DEFAULT_UNREADY_AFTER, Health, Sockets, Stage, StreamState, WaitingReply};
use super::outages::Outages;
use super::skew::Side;
use crate::config::{Config, slack_setting};
use computed::notification_delay;
use labels::{IN_DOUBT, slack_result};
use names::Counters;
use slack_client::error::{Retry, SlackError};
use slack_client::method::Method;
use slack_client::observer::Observer as SlackObserver;
use teleport_client::error::{Call, CallResult, ErrorKind, TeleportError};
use teleport_client::observer::{List, Observer as TeleportObserver};
use teleport_client::visibility::{Visibility, describe_visibility};

mod computed;
pub mod events;
mod family;
mod format;
mod labels;
mod names;
mod process;
mod scope;
mod text_format;

pub use format::Format;
pub use labels::{InteractionResult, ReconcileResult, SlackOperation};
pub use scope::Scope;

/// Everything that is counted; clones count together.
#[derive(Clone)]
pub struct Metrics {
    process: Arc<Registry>,
    registry: Arc<Registry>,
    counters: Counters,
    health: Health,
    outages: Outages,
}

impl Metrics {
    /// Nothing counted yet, without deciding in Slack.
    pub fn new() -> Self {
        Self::with_scope(Scope::default(), DEFAULT_UNREADY_AFTER, OutageTimings::default())
    }

    /// Nothing counted yet. `unready_after`: as for [`DEFAULT_UNREADY_AFTER`].
    pub fn with_scope(scope: Scope, unready_after: Duration, outage: OutageTimings) -> Self {
        let (health, counters) = (Health::new(unready_after), Counters::new(scope));
        if scope.is_socket_mode() {
            health.update(|state| state.sockets = Some(Sockets::default()));
        }
        let registry = Arc::new(counters.registry(&health));
        let process = Arc::new(names::process_registry());
        Self { process, registry, counters, health, outages: Outages::new(outage) }
    }

    /// Nothing counted yet, and nothing that this configuration cannot have. `unready_after`: as for [`DEFAULT_UNREADY_AFTER`].
    pub fn of(config: &Config, unready_after: Duration, outage: OutageTimings) -> Self {
        Self::with_scope(config.review.as_ref().into(), unready_after, outage)
    }

    /// Another configuration is in use. Series of the one before stay.
    pub fn apply_scope(&self, scope: Scope) {
        self.counters.add_series(scope);
        self.health.update(|state| {
            let sockets = state.sockets.take().unwrap_or_default();
            state.sockets = scope.is_socket_mode().then_some(sockets);
        });
    }

    /// The state of the daemon, which decides whether it is ready.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What the log says while a side is away.
    pub(crate) fn outages(&self) -> &Outages {
        &self.outages
    }

    /// All of it as text.
    pub fn text(&self, format: Format) -> String {
        let mut out = String::new();
        encode_registry(&mut out, &self.process)
            .and_then(|()| encode(&mut out, &self.registry))
            .expect("writing to a string cannot fail");
        match format {
            Format::OpenMetrics => out,
            Format::Text => text_format::from_openmetrics(&out),
        }
    }

    /// One operation in Slack ended; `Err` says what is done about its failure.
    pub fn operation_ended(&self, operation: SlackOperation, result: Result<(), Retry>) {
        let labels = [("operation", operation.label()), ("result", slack_result(result))];
        self.counters.operations.increment(labels);
    }

    /// An operation that failed before is tried again.
    pub fn operation_retried(&self) {
        self.counters.retries.inc();
    }

    /// A post ended without an answer, so its outcome is unknown.
    pub fn post_in_doubt(&self) {
        self.counters.in_doubt_posts.inc();
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

    /// The certificate in use holds from then until then.
    pub fn certificate_holds(&self, from: Timestamp, until: Timestamp) {
        self.health.update(|state| {
            (state.certificate_from, state.certificate_expires) = (Some(from), Some(until));
        });
    }

    /// The state of the work queue: its length, how many reconciles are active, when the next one is due, since when the
    /// longest lagging request lags, and since when the longest stalled one failed at every recipient. The controller says so
    /// each time it goes round, so this is also its sign of life.
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
            state.controller_round = Some(Instant::now());
            state.next_due = next_due;
            state.lagging_since = lagging_since;
            state.stalled_since = stalled_since;
        });
    }

    /// This many more operations wait for a retry or for their turn (fewer, if negative).
    pub fn pending_operations_changed(&self, change: i64) {
        self.counters.pending_operations.inc_by(change);
    }

    /// So many operations of this request wait for a retry or for their turn.
    pub fn operations_wait(&self, id: &RequestId, count: i64) {
        self.pending_operations_changed(count);
        self.outages.waits_for_slack(id, usize::try_from(count).unwrap_or(0));
    }

    /// How many operations wait.
    pub(crate) fn pending_operations(&self) -> i64 {
        self.counters.pending_operations.get()
    }

    /// These replies to clicks wait for Slack, the oldest first.
    pub(crate) fn replies_wait(&self, waiting: Arc<[WaitingReply]>) {
        self.health.update(|state| state.waiting_replies = waiting);
    }

    /// This many requests wait for a decision.
    pub fn open_requests(&self, count: usize) {
        self.health.update(|state| state.open_requests = count);
    }

    /// A reconciliation of a request ended, which took so long.
    pub fn reconcile_ended(&self, result: ReconcileResult, took: Duration) {
        self.counters.reconciles.increment([("result", result.label())]);
        self.counters.reconcile_duration.observe(took.as_secs_f64());
    }

    /// Slack confirmed at `now` the first message about a request, which this daemon knew for so long.
    pub fn request_notified(&self, created: Timestamp, now: Timestamp, known_for: Duration) {
        let delay = notification_delay(created, now, known_for);
        self.counters.notification_delay.observe(delay.as_secs_f64());
    }

    /// An interaction was handled or rejected.
    pub fn interaction_ended(&self, interaction: InteractionResult<'_>) {
        let (result, reason) = interaction.labels();
        self.counters.interactions.increment([("result", result), ("reason", reason)]);
    }
}

impl TeleportObserver for Metrics {
    fn call_ended(&self, call: Call, result: CallResult, took: Duration) {
        let method = ("method", call.name());
        self.counters.teleport_requests.increment([method, ("code", result.name())]);
        self.counters.teleport_request_duration.get([method]).observe(took.as_secs_f64());
        if result.has_response() {
            self.health.update(|state| state.last_response = Some(Instant::now()));
        }
    }

    fn watch_opened(&self) {
        self.health.update(|state| {
            // Counts as a reconnection if it was lost before.
            let open = StreamState::Open(Instant::now());
            if let StreamState::Lost(_) = std::mem::replace(&mut state.watch, open) {
                self.counters.watch_reconnects.inc();
            }
            state.last_event = Some(Instant::now());
        });
    }

    fn watch_event(&self) {
        self.health.update(|state| state.last_event = Some(Instant::now()));
    }

    fn watch_lost(&self, error: &TeleportError) -> bool {
        let is_spoken =
            self.outages.teleport_fails(error.to_string(), error.kind() == ErrorKind::Unauthorized);
        self.health.update(|state| {
            if matches!(state.watch, StreamState::Open(_)) {
                state.watch = StreamState::Lost(Instant::now());
            }
            // The next watch has lists of its own.
            state.list_failing = None;
        });
        is_spoken
    }

    fn list_succeeded(&self, list: List) {
        if list == List::Requests {
            self.health.update(|state| {
                state.list_failing = None;
                state.last_list = Some(Instant::now());
            });
        }
    }

    fn list_failed(&self, list: List, error: &TeleportError) {
        self.counters.list_failures.increment([("list", list.name())]);
        // `visibility_found` keeps what is hidden.
        if list == List::Requests && !matches!(error, TeleportError::NotVisible { .. }) {
            self.health.update(|state| {
                let since = state.list_failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                state.list_failing = Some((since, error.to_string()));
            });
            self.outages.teleport_fails(error.to_string(), error.kind() == ErrorKind::Unauthorized);
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
    fn call_ended(&self, method: Method, result: Result<(), &SlackError>, took: Duration) {
        match result {
            // Until both sides have answered, the start says what it waits for.
            Err(error) if error.is_unavailable() && self.health.stage() >= Stage::List => {
                // A connection that breaks says something of this moment, silence of all the time before.
                let silence = if error.is_timeout() { took } else { Duration::ZERO };
                self.outages.slack_fails(error.with_remedy(slack_setting).to_string(), silence);
            }
            Err(error) if error.is_unavailable() => {}
            Ok(()) | Err(_) => self.outages.slack_answers(),
        }
        let result = match result {
            Err(error) if error.is_ambiguous() => IN_DOUBT,
            result => slack_result(result.map_err(SlackError::retry)),
        };
        let method = ("method", method.as_str());
        self.counters.slack_requests.increment([method, ("result", result)]);
        self.counters.slack_request_duration.get([method]).observe(took.as_secs_f64());
    }

    fn clock_observed(&self, offset: Offset) {
        self.observe_clock(Side::Slack, offset);
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
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
