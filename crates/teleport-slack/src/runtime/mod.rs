//! The shell around the decisions: it owns the tasks, the queue and the time.
//!
//! ```text
//!   Teleport ──stream──▶ watcher ──updates──▶ dispatcher ──(id, what is listed)──▶ visits (many at once, one an id)
//!                                              ▲   ▲                                 │
//!                                      sweep ──┘   └────── when to look again ◀──────┘──▶ Slack, the record
//! ```
//!
//! The dispatcher is the only owner of what Teleport lists, of the queue and of the memory between visits, so
//! nothing here is locked. Each update only wakes an id; the visit looks at what is (`reconciler`).

pub mod shutdown;
pub mod tasks;
pub(crate) mod tokens;
pub mod clicks;
pub mod clusters;
pub mod intake;
pub mod answering;
mod asked;
pub mod reading;
pub mod people;
pub mod submitting;
pub mod resolution;
mod audience;
mod behind;
mod carrying;
mod complaints;
mod doors;
mod finishing;
mod in_doubt;
pub mod clock;
mod lease;
mod lookups;
mod looking;
mod memory;
mod outbox;
mod pace;
mod places;
mod preparing;
mod queue;
mod reconciler;
mod settle;
mod shifts;
mod turns;
pub mod voters;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use access_core::ids::RequestId;
use access_core::policy::{self, ModeSetting, SubmitForUser};
use access_core::recipients::Rules;
use access_core::request::{AccessRequest, RequestState};
use access_core::skew::Offset;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::behind::Behind;
use self::clock::{Clock, LOOK, Pair};
use self::complaints::Complaints;
use self::lease::Holder;
use self::lookups::Lookups;
use self::memory::{Memory, Seen, Sighting};
use self::outbox::Outbox;
use self::people::People;
use self::queue::Queue;
use self::reconciler::{Deciding, Reconciler};
use self::resolution::Resolver;
use crate::observe::health::Stage;
use crate::observe::metrics::{self, Metrics};
use crate::observe::skew::Side;
use crate::slack::Standing;
use crate::slack::directory::Directory;
use crate::slack::history::Author;
use crate::teleport::listing::Extent;
use crate::teleport::rights::Sight;
use crate::teleport::watch::WatchUpdate;
use crate::{slack, teleport};

/// Requests about whose people there is news and who wait for their turn.
const NEWS: usize = 256;
/// Visits under way at once.
const MAX_VISITS: usize = 64;
/// Every request is looked at again this often although nothing woke it.
const SWEEP: Duration = Duration::from_secs(600);
/// How long visits under way may go on after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(15);
/// Requests whose turn it is, before the dispatcher takes them up; more come when their waits end.
const MAX_TURNS: usize = 1_000;
/// A visit that panicked is tried again after this long.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// What the dispatcher needs to work.
pub struct Surroundings {
    /// The way to Teleport's records.
    pub teleport: teleport::Client,
    /// The way to Slack.
    pub slack: slack::Client,
    /// Who we are there.
    pub author: Author,
    /// Slack's people and channels, cached.
    pub directory: Directory,
    /// Who is told.
    pub rules: Rules,
    /// The cluster's name.
    pub cluster: String,
    /// Whether requests can be reviewed in Teleport itself.
    pub is_enterprise: bool,
    /// Where the web UI is, if Teleport says it.
    pub web_proxy: Option<String>,
    /// Deciding in Slack, if that is on.
    pub review: Option<Review>,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
}

/// What the dispatcher needs to know of deciding in Slack.
#[derive(Debug)]
pub struct Review {
    /// Who may.
    pub rules: Arc<policy::Rules>,
    /// Which call carries a decision, as configured.
    pub setting: ModeSetting,
    /// What this Teleport was found to accept.
    pub submit: watch::Receiver<SubmitForUser>,
    /// Makes verdicts over votes and carries them out.
    pub resolver: Arc<Resolver>,
    /// Requests on which somebody voted.
    pub wakes: mpsc::Receiver<RequestId>,
    /// Who is who.
    pub people: Arc<People>,
}

/// The dispatcher: keeps every request's messages true.
pub struct Dispatcher {
    reconciler: Arc<Reconciler>,
    listed: HashMap<RequestId, Arc<Sighting>>,
    /// What is not listed any more, while its messages are not yet finished.
    vanished: HashMap<RequestId, Seen>,
    memories: HashMap<RequestId, Memory>,
    queue: Queue<RequestId>,
    behind: Behind,
    /// Those of which nobody is told what is so.
    stuck: Behind,
    visits: JoinSet<Visit>,
    visiting: HashMap<Id, RequestId>,
    ready: watch::Sender<bool>,
    wakes: mpsc::Receiver<RequestId>,
    /// Requests whose turn it is in Slack.
    called: mpsc::Receiver<RequestId>,
    news: mpsc::Receiver<RequestId>,
    submit: watch::Receiver<SubmitForUser>,
    /// Before everything that is due.
    began: Instant,
    /// Slack takes the token again, or another one is in use.
    standing: watch::Receiver<Standing>,
    /// Teleport lets the plugin in again.
    admitted: watch::Receiver<u64>,
    /// Requests that were being visited when that happened, and look at everything once more.
    revived: HashSet<RequestId>,
    turns: u64,
}

/// What comes back from a visit.
type Visit = (RequestId, Memory, Option<Timestamp>);

impl Dispatcher {
    /// A dispatcher that has seen nothing yet. `ready` turns true when all that Teleport listed at first was
    /// put on the queue.
    pub fn new(surroundings: Surroundings, ready: watch::Sender<bool>) -> Self {
        let Surroundings {
            teleport,
            slack,
            author,
            directory,
            rules,
            cluster,
            is_enterprise,
            web_proxy,
            review,
            metrics,
            clock,
        } = surroundings;
        let (tell_news, news) = mpsc::channel(NEWS);
        let people = review.as_ref().map(|review| Arc::clone(&review.people));
        let lookups = Lookups::new(directory.clone(), people, tell_news);
        // Without deciding in Slack nobody sends, and the receivers stay silent.
        let review = review.map(|r| {
            let submit = r.submit.clone();
            let deciding = Deciding { rules: r.rules, setting: r.setting, submit, resolver: r.resolver };
            (deciding, r.submit, r.wakes)
        });
        let (review, submit, wakes) = match review {
            Some((deciding, submit, wakes)) => (Some(deciding), submit, wakes),
            None => (None, watch::channel(SubmitForUser::default()).1, mpsc::channel(1).1),
        };
        let (mut standing, admitted) = (slack.standing(), teleport.admissions());
        let turns = standing.borrow_and_update().turns;
        let (called_tx, called) = mpsc::channel(MAX_TURNS);
        let outbox = Outbox::new(slack, directory.clone(), author, called_tx, metrics.clone());
        let complaints = Complaints::default();
        let reconciler = Reconciler {
            teleport,
            holder: Holder::new(),
            outbox,
            preparing: Default::default(),
            directory,
            lookups,
            rules,
            cluster,
            is_enterprise,
            web_proxy,
            complaints,
            review,
            metrics,
            clock,
        };
        Self {
            reconciler: Arc::new(reconciler),
            listed: HashMap::new(),
            vanished: HashMap::new(),
            memories: HashMap::new(),
            queue: Queue::new(),
            behind: Behind::default(),
            stuck: Behind::default(),
            visits: JoinSet::new(),
            visiting: HashMap::new(),
            ready,
            wakes,
            called,
            news,
            submit,
            began: Instant::now(),
            standing,
            admitted,
            revived: HashSet::new(),
            turns,
        }
    }

    /// Works until told to stop, then lets the visits under way finish, for at most 15 s.
    pub async fn run(mut self, mut updates: mpsc::Receiver<WatchUpdate>, stop: CancellationToken) {
        let mut sweep = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clocks = Pair::of(&self.reconciler.clock);
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_due();
            let next_due = self.queue.next_due();
            self.reconciler.metrics.queue(
                self.queue.len(),
                self.visits.len(),
                next_due,
                self.behind.oldest(),
                self.stuck.oldest(),
            );
            let next_due = next_due.filter(|_| self.visits.len() < MAX_VISITS);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(update) = updates.recv() => self.apply(update),
                Some(id) = self.wakes.recv() => self.queue.wake(id, Instant::now()),
                // Those behind wait for it.
                Some(id) = self.called.recv() => self.queue.wake(id, self.began),
                Some(id) = self.news.recv() => self.queue.wake(id, Instant::now()),
                // Another mode draws other cards.
                Ok(()) = self.submit.changed() => self.sweep(),
                Ok(()) = self.standing.changed() => {
                    let turns = self.standing.borrow_and_update().turns;
                    if turns != std::mem::replace(&mut self.turns, turns) {
                        self.revive();
                    }
                }
                Ok(()) = self.admitted.changed() => self.revive(),
                Some(ended) = self.visits.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now)), if next_due.is_some() => {}
                _ = sweep.tick() => self.sweep(),
                _ = look.tick() => self.look_at_clock(&mut clocks),
                // All senders gone: the watcher ended, and its owner reports that.
                else => break,
            }
        }
        self.drain().await;
    }

    fn apply(&mut self, update: WatchUpdate) {
        let now = Instant::now();
        match update {
            WatchUpdate::Snapshot { requests, extent, told } => {
                self.apply_list(requests, extent, &told);
            }
            WatchUpdate::Records(records) => {
                // Requests that are gone, and whose record still promises something.
                for (id, data) in records {
                    if !self.listed.contains_key(&id) && self.reconciler.needs_visit(&id, &data) {
                        self.queue.wake(id, now);
                    }
                }
            }
            WatchUpdate::Changed(request) => {
                let id = request.id.clone();
                self.note_time(&request);
                self.vanished.remove(&id);
                self.listed.insert(id.clone(), Sighting::now(*request));
                self.queue.wake(id, now);
            }
            WatchUpdate::Gone { id, last } => {
                let before = self.listed.remove(&id);
                let last = last.map(|last| Sighting::now(*last)).or(before);
                self.vanished.insert(id.clone(), Seen::Deleted(last));
                self.queue.wake(id, now);
            }
            // What is listed stays as it was; the watcher said why and tries again.
            WatchUpdate::Lost { .. } => {}
        }
    }

    /// A request that the open watch tells first was made after the list, so just now by Teleport's clock.
    fn note_time(&self, request: &AccessRequest) {
        let is_new = !self.listed.contains_key(&request.id) && !self.vanished.contains_key(&request.id);
        if let Some(created) = request.created.filter(|_| is_new && *self.ready.borrow()) {
            let offset = Offset::from_event(created, self.reconciler.clock.now());
            self.reconciler.metrics.clock_told(Side::Teleport, offset);
        }
    }

    /// Takes a list in. What it lacks is doubted if it is whole, and else nothing.
    fn apply_list(&mut self, mut requests: Vec<AccessRequest>, extent: Extent, told: &HashSet<RequestId>) {
        let now = Instant::now();
        let count = requests.len();
        let mut before = HashMap::new();
        if extent == Extent::Whole {
            before = std::mem::take(&mut self.listed);
            self.listed.extend(before.extract_if(|id, _| told.contains(id)));
        }
        if extent == Extent::Unknown {
            let listed: HashSet<_> = requests.iter().map(|request| &request.id).collect();
            let waits = |sighting: &Sighting| sighting.request.state == RequestState::Pending;
            let mut waiting = self.listed.iter().filter(|(_, sighting)| waits(sighting));
            if waiting.any(|(id, _)| !told.contains(id) && !listed.contains(id)) {
                self.reconciler.metrics.absence_unproven(&Sight::Unknown("the log says why".to_owned()));
            }
        }
        // In the order in which they were made.
        requests.sort_by_key(|request| request.created);
        for (request, n) in requests.into_iter().zip(0..) {
            let id = request.id.clone();
            before.remove(&id);
            self.vanished.remove(&id);
            self.listed.insert(id.clone(), Sighting::now(request));
            self.queue.wake(id, now + Duration::from_nanos(n));
        }
        for (id, sighting) in before {
            self.vanished.insert(id.clone(), Seen::Missing(Some(sighting)));
            self.queue.wake(id, now);
        }
        debug!(requests = count, ?extent, "Listed the access requests");
        if extent == Extent::Part {
            return;
        }
        self.reconciler.metrics.reached(Stage::Listed);
        if !self.ready.send_replace(true) {
            info!(requests = self.listed.len(), "Ready");
        }
    }

    fn start_due(&mut self) {
        while self.visits.len() < MAX_VISITS {
            let Some(id) = self.queue.start(Instant::now()) else { return };
            let mut memory = self.memories.remove(&id).unwrap_or_default();
            self.reconciler.metrics.waiting_errands(-memory.waiting());
            let seen = match self.listed.get(&id) {
                Some(sighting) => Seen::Listed(Arc::clone(sighting)),
                None => self.vanished.get(&id).cloned().unwrap_or(Seen::Missing(None)),
            };
            let reconciler = Arc::clone(&self.reconciler);
            let key = id.clone();
            let visit = self.visits.spawn(async move {
                let next = reconciler.visit(&id, &seen, &mut memory).await;
                (id, memory, next)
            });
            self.visiting.insert(visit.id(), key);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Visit), tokio::task::JoinError>) {
        match ended {
            Ok((task, (id, mut memory, next))) => {
                self.visiting.remove(&task);
                if self.revived.remove(&id) {
                    memory.revive();
                    self.queue.wake(id.clone(), Instant::now());
                }
                self.reconciler.metrics.waiting_errands(memory.waiting());
                self.behind.note(&id, memory.is_behind(), Instant::now());
                self.stuck.note(&id, memory.is_stuck(), Instant::now());
                if self.listed.contains_key(&id) || !memory.is_empty() {
                    self.memories.insert(id.clone(), memory);
                }
                if next.is_none() {
                    // Finished: either it is still listed, or its messages tell the end.
                    self.vanished.remove(&id);
                }
                self.queue.finish(id, next.map(|at| instant(at, self.reconciler.clock.now())));
            }
            Err(error) => {
                let Some(id) = self.visiting.remove(&error.id()) else { return };
                self.revived.remove(&id);
                self.reconciler.metrics.visit(metrics::Visit::Panicked);
                self.behind.note(&id, true, Instant::now());
                self.stuck.note(&id, true, Instant::now());
                error!(request = %id, retry_in_s = AFTER_PANIC.as_secs(), "A visit to this request panicked; this is a fault of teleport-slack, please report it");
                self.queue.finish(id, Some(Instant::now() + AFTER_PANIC));
            }
        }
    }

    /// What waits for a time waits for the wrong one if the clock was set.
    fn look_at_clock(&mut self, clocks: &mut Pair) {
        if let Some(by) = clocks.was_set(&self.reconciler.clock) {
            let way = if by.is_negative() { "back" } else { "forward" };
            warn!(
                "This machine's clock was set {way} by {} s (or the machine slept); every request is looked at again",
                by.as_secs().unsigned_abs()
            );
            self.reconciler.metrics.clock_set(by);
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        let known = self.listed.keys().chain(self.memories.keys()).cloned();
        let ids: HashSet<_> = known.chain(self.queue.keys()).collect();
        debug!(requests = ids.len(), "Looking at every request again");
        ids.into_iter().for_each(|id| self.queue.wake(id, now));
    }

    /// What was refused may succeed now, so nothing waits any longer.
    fn revive(&mut self) {
        self.reconciler.outbox.revive();
        for memory in self.memories.values_mut() {
            self.reconciler.metrics.waiting_errands(-memory.waiting());
            memory.revive();
        }
        self.revived.extend(self.visiting.values().cloned());
        self.sweep();
    }

    async fn drain(&mut self) {
        let left = self.visits.len();
        if left == 0 {
            return;
        }
        info!(visits = left, "Finishing what is under way");
        let finish = async { while self.visits.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, finish).await.is_err() {
            warn!(
                visits = self.visits.len(),
                "Not all was finished in time; the next start takes it up again"
            );
        }
    }
}

/// The instant at which the wall clock will show `at`; now if that has passed, at most a day ahead.
fn instant(at: Timestamp, now: Timestamp) -> Instant {
    let left = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
    Instant::now() + left.min(Duration::from_secs(86_400))
}
