//! The open watch streams: which requests each wants, one bounded queue each, nothing replayed.
//!
//! A watcher that does not keep up is thrown out, as in Teleport 6; it must list again after reconnecting.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream;
use parking_lot::{Mutex, MutexGuard};
use teleport_proto::auth as pb;
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status};

use super::call_log::Changes;
use super::refusal::RpcError;
use super::request::{AccessRequest, RequestState};

/// Events that a watcher may lag behind, Teleport 6's number for plugins.
const QUEUE: usize = 64;

pub(super) type EventStream = Pin<Box<dyn Stream<Item = Result<pb::Event, Status>> + Send>>;

/// Which requests' PUT events a watcher wants; DELETE events pass always.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    id: Option<String>,
    user: Option<String>,
    state: Option<String>,
}

/// A watch that may be opened: what its stream sends, and what INIT says of it.
#[derive(Debug)]
pub(super) struct GrantedWatch {
    pub(super) filters: Vec<Filter>,
    pub(super) init: pb::Event,
}

/// How watch streams are ended.
#[derive(Clone, Debug)]
pub enum WatchEnd {
    /// With status OK, as a server does that shuts down.
    Clean,
    /// With an error.
    Error(RpcError),
}

impl Filter {
    /// Reads one kind of a watch.
    pub(super) fn parse(kind: &pb::WatchKind) -> Result<Self, RpcError> {
        let mut filter = Self::default();
        for entry in &kind.filter {
            let value = String::from_utf8_lossy(&entry.value).into_owned();
            let states =
                [RequestState::Pending, RequestState::Approved, RequestState::Denied, RequestState::Promoted];
            match entry.key.as_ref() {
                b"id" => filter.id = Some(value),
                b"user" => filter.user = Some(value),
                b"state" if states.iter().any(|state| state.name() == value) => filter.state = Some(value),
                b"state" => return Err(RpcError::bad_parameter(format!("unknown request state: {value:?}"))),
                other => {
                    let key = String::from_utf8_lossy(other);
                    return Err(RpcError::bad_parameter(format!("unknown filter key: {key:?}")));
                }
            }
        }
        Ok(filter)
    }

    fn wants(&self, request: &AccessRequest) -> bool {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.id, &request.id) && is(&self.user, &request.user) && is(&self.state, request.state.name())
    }
}

#[derive(Debug)]
struct Watcher {
    filters: Vec<Filter>,
    queue: mpsc::Sender<pb::Event>,
    end: oneshot::Sender<WatchEnd>,
}

#[derive(Debug, Default)]
struct WatcherList {
    next: u64,
    watchers: BTreeMap<u64, Watcher>,
}

/// All open watch streams. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Watchers {
    list: Arc<Mutex<WatcherList>>,
    changes: Changes,
}

impl Watchers {
    pub(super) fn new(changes: Changes) -> Self {
        Self { list: Arc::default(), changes }
    }

    pub(super) fn count(&self) -> usize {
        self.list().watchers.len()
    }

    /// Opens a stream whose first event is INIT.
    pub(super) fn open(&self, granted: GrantedWatch) -> EventStream {
        let GrantedWatch { filters, init } = granted;
        let (queue, events) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        // An empty queue takes one event.
        let _ = queue.try_send(init);
        let mut list = self.list();
        let id = list.next;
        list.next += 1;
        list.watchers.insert(id, Watcher { filters, queue, end });
        drop(list);
        self.changes.bump();
        let seat = WatcherGuard { id, watchers: self.clone() };
        Box::pin(stream::unfold(Some((events, ended, seat)), |open| async move {
            let (mut events, mut ended, seat) = open?;
            let ending = tokio::select! {
                biased;
                ending = &mut ended => ending,
                event = events.recv() => match event {
                    Some(event) => return Some((Ok(event), Some((events, ended, seat)))),
                    None => ended.await,
                },
            };
            match ending {
                Ok(WatchEnd::Error(refusal)) => Some((Err(refusal.into()), None)),
                Ok(WatchEnd::Clean) | Err(_) => None,
            }
        }))
    }

    /// Puts an event on the streams that want it; `request` is the new content of a PUT. Returns how many.
    pub(super) fn publish(&self, event: &pb::Event, request: Option<&AccessRequest>) -> usize {
        let mut list = self.list();
        let mut reached = 0;
        let mut late = Vec::new();
        for (id, watcher) in &list.watchers {
            if request.is_none_or(|request| watcher.filters.iter().any(|filter| filter.wants(request))) {
                match watcher.queue.try_send(event.clone()) {
                    Ok(()) => reached += 1,
                    Err(_) => late.push(*id),
                }
            }
        }
        for id in late {
            if let Some(watcher) = list.watchers.remove(&id) {
                // Fails only when the stream is gone already.
                let _ = watcher.end.send(WatchEnd::Error(RpcError::new(Code::Unknown, "watcher closed")));
            }
        }
        reached
    }

    pub(super) fn end_all(&self, ending: &WatchEnd) {
        for (_, watcher) in std::mem::take(&mut self.list().watchers) {
            // Fails only when the stream is gone already.
            let _ = watcher.end.send(ending.clone());
        }
        self.changes.bump();
    }

    fn list(&self) -> MutexGuard<'_, WatcherList> {
        self.list.lock()
    }
}

/// A watcher's place; gives it up when the stream is dropped.
struct WatcherGuard {
    id: u64,
    watchers: Watchers,
}

impl Drop for WatcherGuard {
    fn drop(&mut self) {
        self.watchers.list().watchers.remove(&self.id);
        self.watchers.changes.bump();
    }
}
