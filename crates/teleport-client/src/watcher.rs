//! Keeps watching: connects, watches, lists and reports the changes; reports any end and begins again.
//!
//! It needs no memory of what it reported before: after each opening it reports a list of all requests (`listing.rs`), and
//! the receiver compares. The stream goes on whatever a list does. The watcher never waits for a slow receiver while a
//! stream is open, because the server keeps only 64 events for us: it keeps what the receiver has not taken, the newest
//! per request. When the identity is renewed, it opens the next watch on the new connection before it leaves the present
//! one. A silent stream proves nothing, and HTTP/2 may ping only once a minute, so the watcher makes small calls meanwhile.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::ids::RequestId;
use access_core::domain::log_once::LogOnce;
use access_core::domain::request::AccessRequest;
use futures_util::future::OptionFuture;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch as latest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::error::{ErrorKind, TeleportError};
use super::events::{Event, EventStream};
use super::listing::{Completeness, ListStep, list_steps};
use super::observer::Observer;
use super::plugin_data::Fields;
use super::timings::WatcherTimings;

/// The most requests with changes that the receiver has not taken. Beyond it a full list is cheaper.
const MAX_PENDING: usize = 10_000;

/// So many watches in a row that were cut at the same age show that something between has a time-out.
const SAME_CUTS: u32 = 3;

/// What is logged about, for [`LogOnce`].
const WATCH: &str = "watch";

/// What a watcher reports.
#[derive(Debug)]
pub enum WatchUpdate {
    /// A list of all access requests.
    Snapshot {
        /// Those that are listed.
        requests: Vec<AccessRequest>,
        /// Whether a request that was reported before and is not in here is gone.
        completeness: Completeness,
        /// The list leaves these out: the watcher reported their changes while the list was made, or just before.
        already_reported: HashSet<RequestId>,
    },
    /// All records, those of requests that are gone included.
    Records(Vec<(RequestId, Fields)>),
    /// A request was made or changed.
    Changed(Box<AccessRequest>),
    /// A request was deleted or expired.
    Removed {
        /// The id of the request that Teleport deleted.
        id: RequestId,
        /// How it changed just before, where that was not reported on its own.
        last_change: Option<Box<AccessRequest>>,
    },
    /// The connection is lost or could not be made; the next update is a snapshot or another loss.
    Disconnected {
        /// Why the stream ended.
        error: TeleportError,
    },
}

/// Watches the access requests of a cluster.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    timings: WatcherTimings,
}

impl Watcher {
    /// A watcher that has not begun.
    pub fn new(client: Client, timings: WatcherTimings) -> Self {
        Self { client, timings }
    }

    /// Watches until it is cancelled or the receiver is gone.
    pub async fn run(self, sink: Sender<WatchUpdate>, cancel: CancellationToken) {
        let Self { client, timings } = self;
        let open = || {
            let client = client.clone();
            async move {
                let opened = client.watch().await;
                if let Err(TeleportError::Deadline { .. }) = opened {
                    // A dead connection would be tried again and again.
                    client.reconnect();
                }
                // The server may not be the one of the start; an older one may also refuse the watch in its own way.
                if opened.as_ref().map_or_else(|error| error.kind() != ErrorKind::Retry, |_| true) {
                    client.check_release().await?;
                }
                let watch = opened?;
                client.observer().watch_opened();
                let events = events(watch, Arc::clone(client.observer()));
                Ok((events, list_steps(client)))
            }
        };
        tracing::info!("Starting a request watcher...");
        let probe = || {
            let client = client.clone();
            async move { client.check_liveness().await }
        };
        let lost = |error: &TeleportError| client.observer().watch_lost(error);
        let between = || client.forward_proxy();
        let watching =
            watch_forever(open, probe, lost, between, client.connection_renewals(), timings, &sink);
        cancel.run_until_cancelled(watching).await;
    }
}

fn events(
    watch: EventStream,
    observer: Arc<dyn Observer>,
) -> impl Stream<Item = Result<Event, TeleportError>> {
    let next = |mut watch: EventStream| async move { Ok(watch.next().await?.map(|event| (event, watch))) };
    stream::try_unfold(watch, next).inspect_ok(move |_| observer.watch_event())
}

/// One watch after the other; ends when the receiver is gone. `open` returns an open stream of events, and the lists
/// that are to be made after it was opened; after each change of `renewed` it does so on a new connection.
/// `probe` fails if the connection is dead; `lost` is called at each loss, and says whether to log it; `between` names the
/// forward proxy that carries the connection, if one does.
async fn watch_forever<Opening, Probing, Events, Lists>(
    open: impl Fn() -> Opening,
    probe: impl Fn() -> Probing,
    lost: impl Fn(&TeleportError) -> bool,
    between: impl Fn() -> Option<String>,
    mut renewed: latest::Receiver<u64>,
    timings: WatcherTimings,
    sink: &Sender<WatchUpdate>,
) where
    Opening: Future<Output = Result<(Events, Lists), TeleportError>>,
    Probing: Future<Output = Result<(), TeleportError>>,
    Events: Stream<Item = Result<Event, TeleportError>>,
    Lists: Stream<Item = ListStep>,
{
    let mut outage = Outage::default();
    let mut replacement = None;
    let silence = || connection_lost(&probe, timings.probe_after);
    loop {
        let watch = match replacement.take() {
            Some(watch) => Ok(watch),
            None => {
                renewed.mark_unchanged();
                // A server may take long until it is ready to watch; a dead connection is not waited for as long.
                tokio::select! {
                    opened = open() => opened,
                    error = silence() => Err(error),
                }
            }
        };
        let error = match watch {
            Ok((events, lists)) => {
                outage.log_connected();
                let began = Instant::now();
                let watch = (events, lists.inspect(|step| outage.on_list_step(step)));
                let pending = PendingLists::new(timings.list_staleness);
                let ended = watch_once(watch, pending, &open, silence, &mut renewed, sink).await;
                if began.elapsed() >= timings.stable_after {
                    outage.losses = 0;
                }
                match ended {
                    Ended::NoReceiver => return,
                    Ended::Replaced(watch) => {
                        replacement = Some(watch);
                        continue;
                    }
                    Ended::Lost(error) => {
                        outage.on_cut(&error, began.elapsed(), timings.backoff.first, &between);
                        error
                    }
                }
            }
            Err(error) => error,
        };
        let is_spoken = lost(&error);
        let wait = outage.on_lost(&error, is_spoken, timings.backoff);
        if sink.send(WatchUpdate::Disconnected { error }).await.is_err() {
            return;
        }
        // A renewed identity may be just what was missing.
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = identity_renewed(&mut renewed) => {}
        }
    }
}

/// What the watcher remembers of an outage of Teleport.
#[derive(Default)]
struct Outage {
    /// Losses in a row.
    losses: u32,
    /// Each kind of error is logged loudly once, until there was a list.
    log_once: LogOnce,
    /// The age of the last watch that was cut, and how many in a row were about as old.
    cuts: (Duration, u32),
    /// The log does not speak of the last loss.
    is_unspoken: bool,
}

impl Outage {
    fn log_connected(&self) {
        if self.is_unspoken {
            tracing::debug!("Watcher connected");
        } else {
            tracing::info!("Watcher connected");
        }
    }

    /// An open watch broke at this age. Names what cuts it, once so many were about as old: a time-out of something between.
    /// `pause`: before a lost watch is opened again; ages may differ by it, and what breaks after a few of them has another cause.
    fn on_cut(
        &mut self,
        error: &TeleportError,
        age: Duration,
        pause: Duration,
        between: impl Fn() -> Option<String>,
    ) {
        let (last, count) = self.cuts;
        let is_cut = error.kind() == ErrorKind::Retry && matches!(error, TeleportError::Call { .. });
        let is_same = age.abs_diff(last) <= (last / 10).max(pause);
        self.cuts = match is_cut && age >= 3 * pause {
            false => Default::default(),
            true if is_same && count > 0 => (last, count.saturating_add(1)),
            true => (age, 1),
        };
        if self.cuts.1 == SAME_CUTS {
            let what = match between() {
                Some(proxy) => format!("the forward proxy {proxy}, or what is behind it,"),
                None => "a proxy or a load balancer between this machine and Teleport".to_owned(),
            };
            tracing::warn!(
                "The watch was cut {SAME_CUTS} times in a row when it was about {} s old: {what} has an idle time-out of that length, or lets no connection live longer; set the time-out well above 15 s, and no limit; nothing is lost, because the daemon opens the watch again each time",
                last.as_secs()
            );
        }
    }

    fn on_list_step(&mut self, step: &ListStep) {
        if let ListStep::Requests(..) = step {
            self.log_once.clear(WATCH);
        }
    }

    /// Logs why the watch is lost, above DEBUG if it `is_spoken` or a person must act. Returns how long to wait before the next.
    fn on_lost(&mut self, error: &TeleportError, is_spoken: bool, backoff: Backoff) -> Duration {
        self.losses = self.losses.saturating_add(1);
        let wait = backoff.delay(self.losses, fastrand::u64(..));
        let is_news = self.log_once.once(WATCH, &format!("{:?}", error.kind()));
        self.is_unspoken = !is_spoken && !needs_person(error);
        log_watch_failure(error, wait, is_news && !self.is_unspoken && self.cuts.1 < SAME_CUTS);
        wait
    }
}

/// Checks now and then whether the connection lives; ends when it does not.
async fn connection_lost<Probing>(probe: impl Fn() -> Probing, every: Duration) -> TeleportError
where
    Probing: Future<Output = Result<(), TeleportError>>,
{
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = probe().await {
            return error;
        }
    }
}

async fn identity_renewed(renewed: &mut latest::Receiver<u64>) {
    if renewed.changed().await.is_err() {
        // No client is left that could renew anything.
        std::future::pending().await
    }
}

/// Logs why the watch is lost: loudly if this kind of error is new.
fn log_watch_failure(error: &TeleportError, wait: Duration, is_news: bool) {
    let seconds = wait.as_secs_f64();
    if !is_news {
        tracing::debug!("Watcher still lost: {error}; trying again in {seconds:.1} s");
    } else if needs_person(error) {
        tracing::error!("Watcher lost: {error}; trying again in {seconds:.1} s");
    } else {
        tracing::warn!("Watcher lost: {error}; trying again in {seconds:.1} s");
    }
}

fn needs_person(error: &TeleportError) -> bool {
    error.kind() == ErrorKind::Unauthorized || matches!(error, TeleportError::ServerVersion { .. })
}

/// How a watch ended.
enum Ended<Watch> {
    /// The receiver is gone.
    NoReceiver,
    /// The identity was renewed, and this watch is open in its place.
    Replaced(Watch),
    Lost(TeleportError),
}

/// One watch, to its end.
///
/// It reports events from the first moment, whatever becomes of the lists. An event that came while a list was in flight
/// may be in it already, or be newer, so the list leaves its request out. What it has not reported when the watch is
/// replaced is in the next watch's list. `silence` begins again with each event.
async fn watch_once<Opening, Watch, Silence>(
    (events, list_steps): (impl Stream<Item = Result<Event, TeleportError>>, impl Stream<Item = ListStep>),
    mut lists: PendingLists,
    open: impl Fn() -> Opening,
    silence: impl Fn() -> Silence,
    renewed: &mut latest::Receiver<u64>,
    sink: &Sender<WatchUpdate>,
) -> Ended<Watch>
where
    Opening: Future<Output = Result<Watch, TeleportError>>,
    Silence: Future<Output = TeleportError>,
{
    let mut events = pin!(events);
    let mut list_steps = pin!(list_steps.fuse());
    let mut waiting = Coalescer::default();
    let mut next = pin!(OptionFuture::from(None));
    let mut silent = pin!(silence());
    loop {
        let has_updates = lists.has_pending() || !waiting.is_empty();
        let lost = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    silent.set(silence());
                    lists.record_change(event.id());
                    waiting.add(event);
                    if waiting.len() <= MAX_PENDING {
                        continue;
                    }
                    TeleportError::WatchOverflow { limit: MAX_PENDING }
                }
                Some(Err(error)) => error,
                None => TeleportError::WatchEnded,
            },
            Some(step) = list_steps.next() => {
                lists.add(step);
                continue;
            }
            room = sink.reserve(), if has_updates => {
                let Ok(room) = room else { return Ended::NoReceiver };
                if let Some(update) = lists.pop().or_else(|| waiting.pop()) {
                    room.send(update);
                }
                continue;
            }
            error = &mut silent => error,
            () = sink.closed(), if !has_updates => return Ended::NoReceiver,
            () = identity_renewed(renewed) => {
                next.set(Some(open()).into());
                continue;
            }
            Some(opened) = &mut next => return match opened {
                Ok(watch) => Ended::Replaced(watch),
                Err(error) => Ended::Lost(error),
            },
        };
        // The server may end the old connection while the new one is being made.
        return match next.await {
            Some(Ok(watch)) => Ended::Replaced(watch),
            Some(Err(error)) => Ended::Lost(error),
            None => Ended::Lost(lost),
        };
    }
}

/// Lists that were not reported yet, the newest of each kind; and which requests changed since the present one began.
struct PendingLists {
    /// A change that came so long before a list began may be newer than the list.
    staleness: Duration,
    snapshot: Option<WatchUpdate>,
    records: Option<WatchUpdate>,
    changed: HashMap<RequestId, Instant>,
    is_listing: bool,
}

impl PendingLists {
    fn new(staleness: Duration) -> Self {
        Self { staleness, snapshot: None, records: None, changed: HashMap::new(), is_listing: false }
    }

    fn record_change(&mut self, id: &RequestId) {
        if !self.is_listing && self.changed.len() >= MAX_PENDING {
            self.drop_stale();
        }
        self.changed.insert(id.clone(), Instant::now());
    }

    /// Forgets old changes; not while a list is in flight, when all that changed is remembered.
    fn drop_stale(&mut self) {
        let staleness = self.staleness;
        self.changed.retain(|_, at| at.elapsed() < staleness);
    }

    fn add(&mut self, step: ListStep) {
        match step {
            ListStep::Started => {
                self.is_listing = true;
                self.drop_stale();
            }
            ListStep::Requests(mut requests, completeness) => {
                self.is_listing = false;
                let already_reported: HashSet<_> = self.changed.keys().cloned().collect();
                requests.retain(|request| !already_reported.contains(&request.id));
                self.snapshot = Some(WatchUpdate::Snapshot { requests, completeness, already_reported });
            }
            ListStep::Records(records) => self.records = Some(WatchUpdate::Records(records)),
        }
    }

    fn has_pending(&self) -> bool {
        self.snapshot.is_some() || self.records.is_some()
    }

    fn pop(&mut self) -> Option<WatchUpdate> {
        self.snapshot.take().or_else(|| self.records.take())
    }
}

/// Changes that were not reported yet: the newest per request (a deletion with the change before it), in the order in which
/// the requests first changed.
#[derive(Default)]
struct Coalescer {
    order: VecDeque<RequestId>,
    newest: HashMap<RequestId, WatchUpdate>,
}

impl Coalescer {
    fn add(&mut self, event: Event) {
        let id = event.id();
        let before = self.newest.remove(id);
        if before.is_none() {
            self.order.push_back(id.clone());
        }
        let (id, update) = match event {
            Event::Put(request) => (request.id.clone(), WatchUpdate::Changed(request)),
            Event::Delete(id) => {
                let last = match before {
                    Some(WatchUpdate::Changed(request)) => Some(request),
                    Some(WatchUpdate::Removed { last_change: last, .. }) => last,
                    Some(
                        WatchUpdate::Snapshot { .. }
                        | WatchUpdate::Records(_)
                        | WatchUpdate::Disconnected { .. },
                    )
                    | None => None,
                };
                (id.clone(), WatchUpdate::Removed { id, last_change: last })
            }
        };
        self.newest.insert(id, update);
    }

    fn pop(&mut self) -> Option<WatchUpdate> {
        let id = self.order.pop_front()?;
        self.newest.remove(&id)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests;
