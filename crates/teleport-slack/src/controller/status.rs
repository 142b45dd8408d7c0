//! What the controller knows at one moment, for those who only look: a copy, made between two rounds of its loop.
//!
//! What a message shows is of the last reconcile; nothing is read for this.

use std::sync::Arc;

use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::policy::Mode;
use access_core::record::{Delivery, Operation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Controller;
use super::channel_breaker::OpenCircuit;
use super::retry_state::RetryState;

/// Requests and operations that a copy names, each; it counts the others. So the controller is held up for a moment only,
/// however many there are.
pub const MAX_LISTED: usize = 100;
/// Copies that are asked for at once.
const CAPACITY: usize = 4;

/// Asks the controller for a copy.
#[derive(Clone, Debug)]
pub struct StatusHandle(mpsc::Sender<oneshot::Sender<ControllerStatus>>);

/// The controller's end of a [`StatusHandle`].
#[derive(Debug)]
pub struct StatusQueries(pub(super) mpsc::Receiver<oneshot::Sender<ControllerStatus>>);

/// What the controller knows.
#[derive(Clone, Debug)]
pub struct ControllerStatus {
    /// How this process is called in the claims.
    pub holder: String,
    /// How decisions are applied; `None` if nothing can be decided in Slack.
    pub mode: Option<Mode>,
    /// Requests that wait for a decision.
    pub open_total: usize,
    /// The oldest of them, at most [`MAX_LISTED`].
    pub open: Vec<OpenRequest>,
    /// Operations that wait.
    pub waiting_total: usize,
    /// Those that wait the longest, at most [`MAX_LISTED`].
    pub waiting: Vec<WaitingOperation>,
    /// The channels that refuse.
    pub circuits: Vec<OpenCircuit>,
}

/// A request that waits for a decision.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// As Teleport lists it. It holds the request's reason, which is not to be shown.
    pub request: AccessRequest,
    /// Its messages, as of the last reconcile.
    pub copies: Arc<[Delivery]>,
    /// What waits of it, by message or recipient.
    pub waiting: Vec<Operation>,
    /// Whether it is being reconciled.
    pub is_in_progress: bool,
    /// The other daemon that holds its claim.
    pub claimed_by: Option<String>,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// An operation in Slack.
    Slack(Operation),
    /// The decision that the votes came to.
    Decision,
    /// The request's record in Teleport could not be read or written.
    Record,
}

/// Something that waits to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingOperation {
    /// Whose.
    pub id: RequestId,
    /// What.
    pub what: Waiting,
    /// Since when the request is behind.
    pub since: Instant,
    /// When it is tried again; `None` if it waits for its turn, or is due.
    pub until: Option<Instant>,
    /// How often it was tried without success.
    pub attempts: u32,
}

/// What is kept of a request's retry state while it is being reconciled.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    copies: Arc<[Delivery]>,
    waiting: Vec<(Waiting, Option<Instant>, u32)>,
    claimed_by: Option<String>,
}

impl StatusHandle {
    /// A handle, and what the controller needs to answer.
    pub fn new() -> (Self, StatusQueries) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(sender), StatusQueries(receiver))
    }

    /// A copy. `None` if there is no controller yet or any more; does not end while the controller stands still.
    pub async fn ask(&self) -> Option<ControllerStatus> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(sender).await.ok()?;
        receiver.await.ok()
    }
}

impl RetryState {
    /// What a look at the request shows.
    pub(super) fn remembered(&self) -> Remembered {
        let slack = self.waiting().map(|operation| {
            let wait = (self.retry_of(operation), self.failures_of(operation));
            (Waiting::Slack(operation.clone()), wait.0, wait.1)
        });
        let owed = self.decision_retry.as_ref().filter(|decision| decision.is_owed);
        let decision = owed.map(|owed| (Waiting::Decision, Some(owed.retry_at), owed.failures));
        let record = (self.failed_reconciles > 0 || !self.unrecorded.is_empty()).then_some((
            Waiting::Record,
            None,
            self.failed_reconciles,
        ));
        Remembered {
            copies: Arc::clone(&self.deliveries),
            waiting: slack.chain(decision).chain(record).collect(),
            claimed_by: self.observed_claim().map(|claim| claim.holder.clone()),
        }
    }
}

impl Controller {
    /// A copy of what there is.
    pub(super) fn status(&self) -> ControllerStatus {
        let pending = |state| state == RequestState::Pending;
        let mut open: Vec<_> = self
            .current
            .values()
            .map(|seen| &seen.request)
            .filter(|request| pending(request.state))
            .collect();
        let open_total = open.len();
        open.sort_by_key(|request| (request.created, &request.id));
        open.truncate(MAX_LISTED);
        let open = open.into_iter().map(|request| self.open_request(request)).collect();
        let mut listed = Vec::new();
        let mut waiting_total = 0;
        for (since, id) in self.lag.iter() {
            let remembered = self.remembered(id);
            waiting_total += remembered.waiting.len();
            let room = MAX_LISTED - listed.len();
            listed.extend(remembered.waiting.into_iter().take(room).map(|(what, until, attempts)| {
                let until = until.filter(|at| *at > Instant::now());
                WaitingOperation { id: id.clone(), what, since: *since, until, attempts }
            }));
        }
        ControllerStatus {
            holder: self.reconciler.executor.holder_name().to_owned(),
            mode: self.reconciler.planner.review.as_ref().and_then(|review| review.mode()),
            open_total,
            open,
            waiting_total,
            waiting: listed,
            circuits: self.reconciler.executor.open_circuits(),
        }
    }

    fn open_request(&self, request: &AccessRequest) -> OpenRequest {
        let Remembered { copies, waiting, claimed_by } = self.remembered(&request.id);
        let in_slack = |(what, ..): (Waiting, Option<Instant>, u32)| match what {
            Waiting::Slack(operation) => Some(operation),
            Waiting::Decision | Waiting::Record => None,
        };
        OpenRequest {
            request: request.clone(),
            copies,
            waiting: waiting.into_iter().filter_map(in_slack).collect(),
            is_in_progress: self.started.contains_key(&request.id),
            claimed_by,
        }
    }

    fn remembered(&self, id: &RequestId) -> Remembered {
        match (self.started.get(id), self.retry_states.get(id)) {
            (Some(remembered), _) => remembered.clone(),
            (None, Some(retry_state)) => retry_state.remembered(),
            (None, None) => Remembered::default(),
        }
    }
}
