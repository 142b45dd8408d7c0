//! The controller: it owns the tasks, the queue and the clock of the reconciles.
//!
//! ```text
//!   Teleport ──stream──▶ watcher ──updates──▶ controller ──(id, observed)──▶ reconciles (many at once, one an id)
//!                                              ▲   ▲                              │
//!                                     resync ──┘   └── when to reconcile again ◀──┘──▶ Slack, the record
//! ```
//!
//! The controller alone owns what Teleport lists, the queue and the retry states, so nothing here is locked. Each update
//! only enqueued an id; the reconcile reads the current state (`reconciler`).

mod in_doubt;
mod recipients;
mod lag;
mod executor;
mod app_refusals;
mod channel_breaker;
mod pending_decision;
mod planner;
mod refetch;
mod recipient_lookup;
mod retry_state;
mod send_errors;
mod sender;
mod channel_queue;
mod channel_outcomes;
mod start_order;
mod handle;
mod settings;
mod lookup_order;
mod work_queue;
mod history_check;
mod send_turns;
mod lease;
mod reconcile_error;
mod reconciler;
pub mod status;
mod timings;
pub(crate) mod view;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::domain::skew::Offset;
use access_core::policy::CanSubmitForUsers;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, info, warn};

pub use self::channel_breaker::OpenCircuit;
pub use self::handle::{Enqueued, Handle};
use self::reconciler::{Action, Reconciler};
use self::settings::can_submit;
pub use self::settings::{ReviewHandles, Settings};
use self::timings::MAX_WAIT;
pub use self::timings::{ControllerTimings, TurnTimings};
use crate::controller::lag::Lag;
use crate::controller::retry_state::{Observation, Observed, RetryState};
use crate::controller::status::{ControllerStatus, Remembered, StatusQueries};
use crate::controller::work_queue::WorkQueue;
use crate::observe::health::Stage;
use crate::observe::metrics::Metrics;
use crate::observe::skew::Side;
use crate::supervise::clock::{Clock, ClockPair};
use crate::supervise::worker_pool::MAX_RECONCILES;
use slack_client::TokenStatus;
use slack_client::directory::Directory;
use slack_client::history::Author;
use teleport_client::listing::Completeness;
use teleport_client::visibility::Visibility;
use teleport_client::watcher::WatchUpdate;

/// Requests with look-up results that the controller has not queued yet.
const LOOKUP_UPDATES_CAPACITY: usize = 256;
/// Requests whose turn it is, before the controller queues them; more come when their waits end.
const NEXT_IN_QUEUE_CAPACITY: usize = 1_000;

/// What the controller needs.
pub struct Context {
    /// Reads requests, records and users, and writes decisions.
    pub teleport: teleport_client::Client,
    /// Makes the calls of Slack's Web API.
    pub slack: slack_client::Client,
    /// This app as the author of messages.
    pub author: Author,
    /// Slack's users and channels, cached.
    pub directory: Directory,
    /// What the configuration says; the next reconciles go by a new value.
    pub settings: watch::Receiver<Settings>,
    /// Requests with new votes.
    pub enqueued: Enqueued,
    /// Who asks what the controller knows.
    pub status: StatusQueries,
    /// The name of the Teleport cluster, as messages show it.
    pub cluster: String,
    /// Whether requests can be reviewed in Teleport itself.
    pub is_enterprise: bool,
    /// The address of the web UI, if Teleport reports it.
    pub web_proxy: Option<String>,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Gives the wall clock's time.
    pub clock: Clock,
    /// How long to wait.
    pub timings: ControllerTimings,
}

/// Keeps every request's messages up to date.
pub struct Controller {
    reconciler: Arc<Reconciler>,
    current: HashMap<RequestId, Arc<Observation>>,
    /// Requests that are not listed any more and whose messages are not final yet.
    removed: HashMap<RequestId, Observed>,
    retry_states: HashMap<RequestId, RetryState>,
    queue: WorkQueue<RequestId>,
    lag: Lag,
    /// Requests without any up-to-date message.
    stalled: Lag,
    in_progress: JoinMap<RequestId, Reconciled>,
    /// What was known of the requests in progress before.
    started: HashMap<RequestId, Remembered>,
    ready: watch::Sender<bool>,
    enqueued: mpsc::Receiver<RequestId>,
    status: mpsc::Receiver<oneshot::Sender<ControllerStatus>>,
    /// Requests whose turn it is in Slack.
    next_in_queue: mpsc::Receiver<RequestId>,
    lookup_updates: mpsc::Receiver<RequestId>,
    settings: watch::Receiver<Settings>,
    can_submit: watch::Receiver<CanSubmitForUsers>,
    /// A time before everything that is due: first in the queue.
    started_at: Instant,
    /// Slack takes the token again, or another one is in use.
    token_status: watch::Receiver<TokenStatus>,
    /// Teleport lets the plugin in again.
    readmissions: watch::Receiver<u64>,
    /// Requests whose reconcile was in progress at that moment, and that retry everything after it.
    retry_when_done: HashSet<RequestId>,
    token_recoveries: u64,
}

/// The result of a reconcile.
type Reconciled = (RetryState, Action);

impl Controller {
    /// A controller that has observed nothing yet. `ready` turns true when all requests of the first list are queued.
    pub fn new(context: Context, ready: watch::Sender<bool>) -> Self {
        let (lookup_updates_tx, lookup_updates) = mpsc::channel(LOOKUP_UPDATES_CAPACITY);
        let (next_in_queue_tx, next_in_queue) = mpsc::channel(NEXT_IN_QUEUE_CAPACITY);
        let mut settings = context.settings.clone();
        let first = settings.borrow_and_update().clone();
        let can_submit = can_submit(first.review.as_ref());
        let (mut token_status, readmissions) =
            (context.slack.token_status(), context.teleport.readmissions());
        let token_recoveries = token_status.borrow_and_update().recoveries;
        let reconciler = Reconciler::new(&context, first, lookup_updates_tx, next_in_queue_tx);
        let (Enqueued(enqueued), StatusQueries(status)) = (context.enqueued, context.status);
        Self {
            reconciler: Arc::new(reconciler),
            current: HashMap::new(),
            removed: HashMap::new(),
            retry_states: HashMap::new(),
            queue: WorkQueue::new(),
            lag: Lag::default(),
            stalled: Lag::default(),
            in_progress: JoinMap::new(),
            started: HashMap::new(),
            ready,
            enqueued,
            status,
            next_in_queue,
            lookup_updates,
            settings,
            can_submit,
            started_at: Instant::now(),
            token_status,
            readmissions,
            retry_when_done: HashSet::new(),
            token_recoveries,
        }
    }

    /// Runs until `stop`, then lets the reconciles in progress finish, for at most [`ControllerTimings::drain`].
    pub async fn run(mut self, mut updates: mpsc::Receiver<WatchUpdate>, stop: CancellationToken) {
        let timings = self.reconciler.timings;
        let mut resync = tokio::time::interval_at(Instant::now() + timings.resync, timings.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clocks = ClockPair::of(&self.reconciler.planner.clock);
        let mut clock_check =
            tokio::time::interval_at(Instant::now() + timings.clock_check, timings.clock_check);
        clock_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_ready();
            let next_due = self.queue.next_due();
            self.reconciler.metrics.work_queue(
                self.queue.len(),
                self.in_progress.len(),
                next_due,
                self.lag.oldest(),
                self.stalled.oldest(),
            );
            let next_due = next_due.filter(|_| self.in_progress.len() < MAX_RECONCILES);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(update) = updates.recv() => self.apply(update),
                // Who asks may have gone meanwhile.
                Some(asked) = self.status.recv() => drop(asked.send(self.status())),
                Some(id) = self.enqueued.recv() => self.queue.enqueue_at(id, Instant::now()),
                // The operations behind it wait.
                Some(id) = self.next_in_queue.recv() => self.queue.enqueue_at(id, self.started_at),
                Some(id) = self.lookup_updates.recv() => self.queue.enqueue_at(id, Instant::now()),
                Ok(()) = self.settings.changed() => self.apply_settings(),
                // Another mode renders other messages.
                Ok(()) = self.can_submit.changed() => self.resync(),
                Ok(()) = self.token_status.changed() => {
                    let recoveries = self.token_status.borrow_and_update().recoveries;
                    if recoveries != std::mem::replace(&mut self.token_recoveries, recoveries) {
                        self.retry_all_now();
                    }
                }
                Ok(()) = self.readmissions.changed() => self.retry_all_now(),
                Some((id, ended)) = self.in_progress.join_next() => self.on_reconciled(id, ended),
                () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now)), if next_due.is_some() => {}
                _ = resync.tick() => self.resync(),
                _ = clock_check.tick() => {
                    self.check_clock(&mut clocks);
                    self.count_open();
                }
                // All senders gone: the watcher ended, and its owner reports that.
                else => break,
            }
        }
        self.drain().await;
    }

    fn apply(&mut self, update: WatchUpdate) {
        let now = Instant::now();
        match update {
            WatchUpdate::Snapshot { requests, completeness, already_reported } => {
                self.apply_list(requests, completeness, &already_reported);
            }
            WatchUpdate::Records(records) => {
                // Deleted requests whose record still needs work.
                for (id, data) in records {
                    if !self.current.contains_key(&id) && self.reconciler.planner.needs_reconcile(&id, &data)
                    {
                        self.queue.enqueue_at(id, now);
                    }
                }
            }
            WatchUpdate::Changed(request) => {
                let id = request.id.clone();
                debug!(request = %id, state = ?request.state, "Received the request from the watch");
                self.observe_creation(&request);
                self.removed.remove(&id);
                self.current.insert(id.clone(), Observation::now(*request));
                self.queue.enqueue_at(id, now);
            }
            WatchUpdate::Removed { id, last_change: last } => {
                let before = self.current.remove(&id);
                let last = last.map(|last| Observation::now(*last)).or(before);
                self.removed.insert(id.clone(), Observed::Deleted(last));
                self.queue.enqueue_at(id, now);
            }
            // The list stays as it was; the watcher logs the cause and reconnects.
            WatchUpdate::Disconnected { .. } => {}
        }
    }

    /// A request that the open watch reports first was created after the list, so just now by Teleport's clock.
    fn observe_creation(&self, request: &AccessRequest) {
        let is_new = !self.current.contains_key(&request.id) && !self.removed.contains_key(&request.id);
        if let Some(created) = request.created.filter(|_| is_new && *self.ready.borrow()) {
            let offset = Offset::from_event(created, self.reconciler.planner.clock.now());
            self.reconciler.metrics.observe_clock(Side::Teleport, offset);
        }
    }

    /// Applies a list. Requests that a complete list lacks are checked; an incomplete list proves nothing.
    fn apply_list(
        &mut self,
        mut requests: Vec<AccessRequest>,
        completeness: Completeness,
        already_reported: &HashSet<RequestId>,
    ) {
        let (now, count) = (Instant::now(), requests.len());
        let outages = self.reconciler.metrics.outages().clone();
        let mut before = HashMap::new();
        if completeness == Completeness::Complete {
            before = std::mem::take(&mut self.current);
            self.current.extend(before.extract_if(|id, _| already_reported.contains(id)));
        }
        if completeness == Completeness::Unknown {
            let listed: HashSet<_> = requests.iter().map(|request| &request.id).collect();
            let waits = |observation: &Observation| observation.request.state == RequestState::Pending;
            let mut waiting = self.current.iter().filter(|(_, observation)| waits(observation));
            if waiting.any(|(id, _)| !already_reported.contains(id) && !listed.contains(id)) {
                self.reconciler
                    .metrics
                    .absence_unconfirmed(&Visibility::Unknown("the log says why".to_owned()));
            }
        }
        // In the order in which they were made.
        requests.sort_by_key(|request| request.created);
        for (request, n) in requests.into_iter().zip(0..) {
            let id = request.id.clone();
            let is_known = |known: &Arc<Observation>| known.request == request;
            if !before.remove(&id).as_ref().or(self.current.get(&id)).is_some_and(is_known) {
                outages.waits_for_teleport(&id);
                debug!(request = %id, "Received the request in a list");
            }
            self.removed.remove(&id);
            self.current.insert(id.clone(), Observation::now(request));
            self.queue.enqueue_at(id, now + Duration::from_nanos(n));
        }
        for (id, observation) in before {
            outages.waits_for_teleport(&id);
            self.removed.insert(id.clone(), Observed::Unlisted(Some(observation)));
            self.queue.enqueue_at(id, now);
        }
        debug!(requests = count, ?completeness, "Listed the access requests");
        outages.teleport_answers();
        if completeness == Completeness::Partial {
            return;
        }
        self.reconciler.metrics.stage_reached(Stage::Listed);
        self.count_open();
        if !self.ready.send_replace(true) {
            info!(requests = self.current.len(), "Ready");
        }
    }

    fn count_open(&self) {
        let requests = self.current.values().map(|observation| observation.request.state);
        let open = requests.filter(|state| *state == RequestState::Pending).count();
        self.reconciler.metrics.open_requests(open);
    }

    fn start_ready(&mut self) {
        while self.in_progress.len() < MAX_RECONCILES {
            let Some(id) = self.queue.pop_due(Instant::now()) else { return };
            let mut retry_state = self.retry_states.remove(&id).unwrap_or_default();
            self.reconciler.metrics.pending_operations_changed(-retry_state.pending_operations());
            let seen = match self.current.get(&id) {
                Some(observation) => Observed::Present(Arc::clone(observation)),
                None => self.removed.get(&id).cloned().unwrap_or(Observed::Unlisted(None)),
            };
            let reconciler = Arc::clone(&self.reconciler);
            self.started.insert(id.clone(), retry_state.remembered());
            // No id is reconciled twice at once: the queue gives out none that is not done.
            self.in_progress.spawn(id.clone(), async move {
                let action = reconciler.reconcile(&id, &seen, &mut retry_state).await;
                (retry_state, action)
            });
        }
    }

    fn on_reconciled(&mut self, id: RequestId, ended: Result<Reconciled, JoinError>) {
        self.started.remove(&id);
        match ended {
            Ok((mut retry_state, action)) => {
                if self.retry_when_done.remove(&id) {
                    retry_state.retry_now();
                    retry_state.pending_lookups.clear();
                    self.queue.enqueue_at(id.clone(), Instant::now());
                }
                self.reconciler.metrics.operations_wait(&id, retry_state.pending_operations());
                self.lag.record(&id, retry_state.is_lagging(), Instant::now());
                self.stalled.record(&id, retry_state.is_stalled(), Instant::now());
                if self.current.contains_key(&id) || !retry_state.is_empty() {
                    self.retry_states.insert(id.clone(), retry_state);
                }
                let next = match action {
                    Action::RequeueAt(at) => Some(to_instant(at, self.reconciler.planner.clock.now())),
                    Action::AwaitChange => None,
                    Action::Done => {
                        // What was reported meanwhile is for the next reconcile.
                        if !self.queue.is_queued(&id) {
                            self.removed.remove(&id);
                        }
                        None
                    }
                };
                self.queue.done(id, next);
            }
            Err(_) => {
                self.retry_when_done.remove(&id);
                let pause = self.reconciler.timings.after_panic;
                self.reconciler.metrics.reconcile_panicked(&id, pause);
                self.lag.record(&id, true, Instant::now());
                self.stalled.record(&id, true, Instant::now());
                self.queue.done(id, Some(Instant::now() + pause));
            }
        }
    }

    /// After the clock was set, every wait for a time is wrong.
    fn check_clock(&mut self, clocks: &mut ClockPair) {
        if let Some(by) = clocks.detect_jump(&self.reconciler.planner.clock) {
            let way = if by.is_negative() { "back" } else { "forward" };
            warn!(
                "This machine's clock was set {way} by {} s (or the machine slept); every request is reconciled again",
                by.as_secs().unsigned_abs()
            );
            self.reconciler.metrics.on_clock_jump(by);
            self.resync();
        }
    }

    /// Lets every later reconcile go by the new settings; those in progress end by the old ones and begin again.
    fn apply_settings(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        self.can_submit = can_submit(settings.review.as_ref());
        self.reconciler = Arc::new(self.reconciler.with_settings(settings));
        for retry_state in self.retry_states.values_mut() {
            // They were for the recipients of before.
            retry_state.pending_lookups.clear();
        }
        self.retry_all_now();
    }

    fn resync(&mut self) {
        let now = Instant::now();
        let known = self.current.keys().chain(self.retry_states.keys()).cloned();
        let ids: HashSet<_> = known.chain(self.queue.keys()).collect();
        debug!(requests = ids.len(), "Reconciling every request again");
        ids.into_iter().for_each(|id| self.queue.enqueue_at(id, now));
    }

    /// Refused operations may succeed now, so nothing waits any longer.
    fn retry_all_now(&mut self) {
        self.reconciler.executor.reset_breaker();
        for retry_state in self.retry_states.values_mut() {
            self.reconciler.metrics.pending_operations_changed(retry_state.retry_now());
        }
        self.retry_when_done.extend(self.in_progress.keys().cloned());
        self.resync();
    }

    async fn drain(&mut self) {
        let left = self.in_progress.len();
        if left == 0 {
            return;
        }
        info!("Draining {left} reconciliations");
        let finish = async { while self.in_progress.join_next().await.is_some() {} };
        if tokio::time::timeout(self.reconciler.timings.drain, finish).await.is_err() {
            warn!(
                left = self.in_progress.len(),
                "Stopped before all reconciliations finished; the next start resumes them"
            );
        }
    }
}

/// The instant at which the wall clock will show `at`; now if that has passed.
fn to_instant(at: Timestamp, now: Timestamp) -> Instant {
    let left = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
    Instant::now() + left.min(MAX_WAIT)
}
