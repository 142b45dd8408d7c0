//! The names of all metrics, and which series there are from the start.
//!
//! Operators rely on them: `docs/metrics.md` says what may change. The sentences are for people who read `/metrics`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::computed::{ClockSkew, Computed, Ready, unix_time};
use super::family::Family;
use super::labels::{
    IN_DOUBT, InDoubtResult, InteractionResult, ReconcileResult, SlackOperation, slack_results,
};
use super::process::Process;
use super::scope::Scope;
use crate::observe::health::{Health, State};
use teleport_client::error::CallResult;
use teleport_client::observer::List;

/// The beginning of every name but those of the process.
const PREFIX: &str = "teleport_slack";

/// Calls to Slack end within 10 s, those of a reconciliation within 5.
const SLACK_REQUEST_BUCKETS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Calls to Teleport end within 15 s, opening the watch within 30, lists within minutes.
const TELEPORT_REQUEST_BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];
/// A reconciliation waits a second for its turn; its claim covers less than a minute.
const RECONCILE_BUCKETS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a delay that no user notices to one for which an approver on call asks.
const NOTIFICATION_BUCKETS: [f64; 13] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// What is counted; clones count together.
#[derive(Clone)]
pub(super) struct Counters {
    pub(super) operations: Family<2, Counter>,
    pub(super) retries: Counter,
    pub(super) in_doubt_posts: Counter,
    pub(super) in_doubt_posts_resolved: Family<1, Counter>,
    pub(super) possible_duplicates: Counter,
    pub(super) duplicates_deleted: Counter,
    pub(super) claim_takeovers: Counter,
    pub(super) watch_reconnects: Counter,
    pub(super) list_failures: Family<1, Counter>,
    pub(super) reconciles: Family<1, Counter>,
    pub(super) reconcile_duration: Histogram,
    pub(super) notification_delay: Histogram,
    pub(super) interactions: Family<2, Counter>,
    pub(super) slack_requests: Family<2, Counter>,
    pub(super) slack_request_duration: Family<1, Histogram>,
    pub(super) teleport_requests: Family<2, Counter>,
    pub(super) teleport_request_duration: Family<1, Histogram>,
    pub(super) workqueue_depth: Gauge,
    pub(super) active_reconciles: Gauge,
    pub(super) pending_operations: Gauge,
}

impl Counters {
    /// Nothing counted yet, with every series that this configuration can have.
    pub(super) fn new(scope: Scope) -> Self {
        let counters = Self {
            operations: Family::counters(),
            retries: Counter::default(),
            in_doubt_posts: Counter::default(),
            in_doubt_posts_resolved: Family::counters(),
            possible_duplicates: Counter::default(),
            duplicates_deleted: Counter::default(),
            claim_takeovers: Counter::default(),
            watch_reconnects: Counter::default(),
            list_failures: Family::counters(),
            reconciles: Family::counters(),
            reconcile_duration: Histogram::new(RECONCILE_BUCKETS),
            notification_delay: Histogram::new(NOTIFICATION_BUCKETS),
            interactions: Family::counters(),
            slack_requests: Family::counters(),
            slack_request_duration: Family::new(|| Histogram::new(SLACK_REQUEST_BUCKETS)),
            teleport_requests: Family::counters(),
            teleport_request_duration: Family::new(|| Histogram::new(TELEPORT_REQUEST_BUCKETS)),
            workqueue_depth: Gauge::default(),
            active_reconciles: Gauge::default(),
            pending_operations: Gauge::default(),
        };
        counters.add_series(scope);
        counters
    }

    /// Adds every series that this configuration can have and that is not there yet.
    pub(super) fn add_series(&self, scope: Scope) {
        for operation in SlackOperation::ALL {
            let labels = |result| [("operation", operation.label()), ("result", result)];
            self.operations.init(slack_results().map(labels));
        }
        let found = [InDoubtResult::Found, InDoubtResult::NotFound];
        self.in_doubt_posts_resolved.init(found.map(|found| [("result", found.label())]));
        self.list_failures.init([List::Requests, List::Records].map(|list| [("list", list.name())]));
        let results = [ReconcileResult::Success, ReconcileResult::Error, ReconcileResult::Panic];
        self.reconciles.init(results.map(|result| [("result", result.label())]));
        let endings = InteractionResult::all().filter(|(_, reason)| scope.can_end_with(reason));
        self.interactions.init(endings.map(|(result, reason)| [("result", result), ("reason", reason)]));
        for method in scope.slack_methods() {
            let results = slack_results().chain(method.writes().then_some(IN_DOUBT));
            let method = ("method", method.as_str());
            self.slack_requests.init(results.map(|result| [method, ("result", result)]));
            self.slack_request_duration.init([[method]]);
        }
        for call in scope.teleport_calls() {
            let method = ("method", call.name());
            self.teleport_requests.init(CallResult::all().map(|end| [method, ("code", end.name())]));
            self.teleport_request_duration.init([[method]]);
        }
    }

    /// All metrics in the order of their names, which is that of the text.
    pub(super) fn registry(&self, health: &Health) -> Registry {
        let mut to = Registry::with_prefix(PREFIX);
        let computed = |value: fn(&State) -> Option<f64>| Computed { health: health.clone(), value };
        to.register("active_reconciles", "Requests being reconciled", self.active_reconciles.clone());
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("TELEPORT_SLACK_REVISION")),
            ("rustc", env!("TELEPORT_SLACK_RUSTC")),
        ];
        to.register("build", "What this program was built from", Info::new(build));
        to.register_with_unit(
            "certificate_expiration_timestamp",
            "When the certificate for Teleport expires",
            Unit::Seconds,
            computed(|state| Some(state.certificate_expires?.as_duration().as_secs_f64())),
        );
        to.register(
            "claim_takeovers",
            "Expired claims of other instances that were taken over",
            self.claim_takeovers.clone(),
        );
        to.register_with_unit(
            "clock_skew",
            "By how much the other side's clock is ahead of this machine's at the least",
            Unit::Seconds,
            ClockSkew(health.clone()),
        );
        to.register_with_unit(
            "config_last_reload_success_timestamp",
            "When the configuration in use was taken up",
            Unit::Seconds,
            computed(|state| Some(unix_time(state.reload.status().loaded_at))),
        );
        to.register(
            "config_last_reload_successful",
            "Whether the last reload took up what the files held: 1 or 0",
            computed(|state| Some(u8::from(state.reload.status().refusal.is_none()).into())),
        );
        to.register(
            "duplicates_deleted",
            "Duplicate messages that were deleted",
            self.duplicates_deleted.clone(),
        );
        to.register(
            "in_doubt_posts",
            "Posts to which Slack gave no clear answer",
            self.in_doubt_posts.clone(),
        );
        to.register(
            "in_doubt_posts_resolved",
            "In-doubt posts that the history of the channel resolved",
            self.in_doubt_posts_resolved.clone(),
        );
        to.register("interactions", "Button presses and modals by result", self.interactions.clone());
        to.register_with_unit(
            "oldest_pending_operation_timestamp",
            "Since when the request waits that waits longest",
            Unit::Seconds,
            computed(|state| state.lagging_since.map(unix_time)),
        );
        to.register_with_unit(
            "oldest_stalled_request_timestamp",
            "Since when all fails at every recipient of the request for which that is longest",
            Unit::Seconds,
            computed(|state| state.stalled_since.map(unix_time)),
        );
        to.register(
            "pending_operations",
            "Operations that wait for a retry or for their turn",
            self.pending_operations.clone(),
        );
        to.register(
            "pending_replies",
            "Replies to clicks that wait for Slack",
            computed(|state| Some(u32::try_from(state.waiting_replies.len()).unwrap_or(u32::MAX).into())),
        );
        to.register(
            "possible_duplicates",
            "Messages posted although they may have been there already",
            self.possible_duplicates.clone(),
        );
        to.register("ready", "Whether the daemon is ready: 1 or 0", Ready(health.clone()));
        to.register("reconcile", "Reconciliations of requests by result", self.reconciles.clone());
        to.register_with_unit(
            "reconcile_duration",
            "How long reconciliations took",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        to.register_with_unit(
            "request_notification_delay",
            "From a request's creation until Slack confirmed its first message",
            Unit::Seconds,
            self.notification_delay.clone(),
        );
        to.register(
            "slack_operation_retries",
            "Operations in Slack that were tried again",
            self.retries.clone(),
        );
        to.register("slack_operations", "Operations in Slack by result", self.operations.clone());
        to.register_with_unit(
            "slack_request_duration",
            "How long calls to Slack's Web API took",
            Unit::Seconds,
            self.slack_request_duration.clone(),
        );
        to.register("slack_requests", "Calls to Slack's Web API by result", self.slack_requests.clone());
        to.register(
            "socket_mode_connections",
            "Open connections over which interactions arrive",
            computed(|state| Some(u32::try_from(state.sockets?.open).unwrap_or(u32::MAX).into())),
        );
        to.register_with_unit(
            "teleport_last_response_timestamp",
            "When Teleport last answered a call, with or without success",
            Unit::Seconds,
            computed(|state| state.last_response.map(unix_time)),
        );
        to.register(
            "teleport_list_failures",
            "Lists from Teleport that failed or were incomplete",
            self.list_failures.clone(),
        );
        to.register_with_unit(
            "teleport_request_duration",
            "How long calls to Teleport's API took",
            Unit::Seconds,
            self.teleport_request_duration.clone(),
        );
        to.register(
            "teleport_requests",
            "Calls to Teleport's API by gRPC status code",
            self.teleport_requests.clone(),
        );
        to.register(
            "teleport_visibility_incomplete",
            "Whether Teleport may not show all access requests: 1 or 0",
            computed(|state| Some(u8::from(state.hidden.is_some()).into())),
        );
        to.register_with_unit(
            "watch_last_event_timestamp",
            "When the watcher's stream was opened or last brought a change",
            Unit::Seconds,
            computed(|state| state.last_event.map(unix_time)),
        );
        to.register(
            "watch_reconnects",
            "How often the watcher opened its stream again after a loss",
            self.watch_reconnects.clone(),
        );
        to.register(
            "workqueue_depth",
            "Requests to be reconciled, now or later",
            self.workqueue_depth.clone(),
        );
        to.register_with_unit(
            "workqueue_oldest_due_timestamp",
            "When the reconciliation is or was due that is due first",
            Unit::Seconds,
            computed(|state| state.next_due.map(unix_time)),
        );
        to
    }
}

/// What every program that Prometheus reads has under the same names, so without our prefix.
pub(super) fn process_registry() -> Registry {
    let mut to = Registry::default();
    to.register_collector(Box::new(Process::new("/proc/self")));
    to
}
