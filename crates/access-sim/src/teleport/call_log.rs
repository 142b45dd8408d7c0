//! What the simulated server was asked and what it sent, for tests that count and measure.
//!
//! Bounded: a demo may run for days. Counts are never cut.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::watch;

/// Calls and emissions kept; older ones are forgotten.
const MAX_KEPT: usize = 10_000;

/// The methods of `proto.AuthService` that exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Method {
    /// Who are you.
    Ping,
    /// The stream of changes.
    WatchEvents,
    /// The list in one message.
    GetAccessRequests,
    /// The list as a stream.
    GetAccessRequestsV2,
    /// The list in pages.
    ListAccessRequests,
    /// Reading plugin data.
    GetPluginData,
    /// Writing plugin data, with compare-and-swap.
    UpdatePluginData,
    /// Resolving a request.
    SetAccessRequestState,
    /// Reviewing a request.
    SubmitAccessReview,
    /// Making a request whose id the client picked.
    CreateAccessRequest,
    /// Making a request.
    CreateAccessRequestV2,
    /// Deleting a request.
    DeleteAccessRequest,
    /// One user.
    GetUser,
    /// All users.
    GetUsers,
    /// One user, by the newer service of users.
    UsersGetUser,
    /// Users in pages, by the same.
    ListUsers,
    /// One's own roles.
    GetCurrentUserRoles,
    /// One role.
    GetRole,
    /// A certificate, perhaps for another user.
    GenerateUserCerts,
    /// How users log in.
    GetAuthPreference,
}

/// One call that reached the server.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The user on the certificate; `None` without one.
    pub user: Option<String>,
    /// When it came.
    pub at: Timestamp,
}

/// What was put on the watch streams.
#[derive(Clone, Debug)]
pub struct Emission {
    /// The request.
    pub request_id: String,
    /// A DELETE; otherwise a PUT.
    pub delete: bool,
    /// When, for measuring.
    pub instant: Instant,
    /// When, for reading.
    pub at: Timestamp,
    /// How many watchers it went to.
    pub watchers: usize,
}

#[derive(Debug, Default)]
struct Entries {
    counts: BTreeMap<Method, u64>,
    calls: VecDeque<Call>,
    emissions: VecDeque<Emission>,
}

/// The log itself. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct CallLog(Arc<Mutex<Entries>>);

impl CallLog {
    /// How often a method was called, refused and failed calls included.
    pub fn count(&self, method: Method) -> u64 {
        self.entries().counts.get(&method).copied().unwrap_or(0)
    }

    /// The calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.entries().calls.iter().cloned().collect()
    }

    /// The events put on watch streams, oldest first.
    pub fn emissions(&self) -> Vec<Emission> {
        self.entries().emissions.iter().cloned().collect()
    }

    pub(super) fn record_call(&self, method: Method, user: Option<&str>) {
        let mut books = self.entries();
        *books.counts.entry(method).or_default() += 1;
        push(&mut books.calls, Call { method, user: user.map(str::to_owned), at: Timestamp::now() });
    }

    pub(super) fn record_emission(&self, request_id: &str, delete: bool, watchers: usize) {
        let (instant, at) = (Instant::now(), Timestamp::now());
        let emission = Emission { request_id: request_id.to_owned(), delete, instant, at, watchers };
        push(&mut self.entries().emissions, emission);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MAX_KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// A counter that grows with every change, so that users can wait for a state instead of for time.
#[derive(Clone, Debug)]
pub(super) struct Changes(Arc<watch::Sender<u64>>);

impl Changes {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(super) fn bump(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
