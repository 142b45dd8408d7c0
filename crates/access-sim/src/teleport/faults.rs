//! Everything that can be made to go wrong on purpose, method by method and for the watch streams.
//!
//! Faults below gRPC (cut and frozen connections) are the [`crate::tcp_proxy`]'s.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tonic::Code;

use super::call_log::Method;
use super::refusal::RpcError;
pub use super::watchers::WatchEnd;
use super::watchers::Watchers;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done; the answer is this.
    Error(RpcError),
    /// Nothing is done and no answer comes, until the client gives up.
    Hang,
    /// The work is done after a while.
    Delay(Duration),
    /// The work is done, then the HTTP/2 stream is reset instead of an answer.
    LoseResponse,
}

impl Fault {
    /// The usual passing failure.
    pub fn unavailable() -> Self {
        Self::Error(RpcError::new(Code::Unavailable, "connection problem: the backend is away"))
    }
}

/// For how long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// That many calls or events.
    Next(u32),
    /// Until it is cleared.
    UntilCleared,
}

impl Repeat {
    /// Uses one up; false if none was left.
    fn take(&mut self) -> bool {
        match self {
            Self::Next(0) => false,
            Self::Next(left) => {
                *left -= 1;
                true
            }
            Self::UntilCleared => true,
        }
    }
}

#[derive(Debug)]
struct Script {
    calls: BTreeMap<Method, VecDeque<(Fault, Repeat)>>,
    drop_events: Repeat,
    withhold_init: bool,
    refuse_connections: bool,
}

/// The script of faults. Clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    scripted: Arc<Mutex<Script>>,
    watchers: Watchers,
}

impl Faults {
    pub(super) fn new(watchers: Watchers) -> Self {
        let plan = Script {
            calls: BTreeMap::new(),
            drop_events: Repeat::Next(0),
            withhold_init: false,
            refuse_connections: false,
        };
        Self { scripted: Arc::new(Mutex::new(plan)), watchers }
    }

    /// Makes the next calls of a method go wrong; several scripts follow one another.
    pub fn inject(&self, method: Method, fault: Fault, times: Repeat) {
        self.scripted().calls.entry(method).or_default().push_back((fault, times));
    }

    /// The next `count` writes of plugin data meet another writer, whatever they expect.
    pub fn conflict_updates(&self, count: u32) {
        let refusal = RpcError::compare_failed("too many concurrent writes to plugin data, try again later");
        self.inject(Method::UpdatePluginData, Fault::Error(refusal), Repeat::Next(count));
    }

    /// Watch streams silently miss the next events.
    pub fn drop_events(&self, times: Repeat) {
        self.scripted().drop_events = times;
    }

    /// New watch streams open but never say that they are live, as while a server fills its cache.
    pub fn withhold_init(&self, withhold: bool) {
        self.scripted().withhold_init = withhold;
    }

    /// New connections are closed as soon as they are made.
    pub fn refuse_connections(&self, refuse: bool) {
        self.scripted().refuse_connections = refuse;
    }

    /// Ends every watch stream that is open now.
    pub fn end_watches(&self, ending: &WatchEnd) {
        self.watchers.end_all(ending);
    }

    /// Lets the calls of one method succeed again.
    pub fn clear_method(&self, method: Method) {
        self.scripted().calls.remove(&method);
    }

    /// Takes every fault back.
    pub fn clear(&self) {
        let mut plan = self.scripted();
        plan.calls.clear();
        plan.drop_events = Repeat::Next(0);
        plan.withhold_init = false;
        plan.refuse_connections = false;
    }

    /// The fault that the call meets, if any; uses it up.
    pub(super) fn next_fault(&self, method: Method) -> Option<Fault> {
        let mut plan = self.scripted();
        let scripts = plan.calls.get_mut(&method)?;
        while let Some((fault, times)) = scripts.front_mut() {
            if times.take() {
                return Some(fault.clone());
            }
            scripts.pop_front();
        }
        None
    }

    pub(super) fn drops_event(&self) -> bool {
        self.scripted().drop_events.take()
    }

    pub(super) fn withholds_init(&self) -> bool {
        self.scripted().withhold_init
    }

    pub(super) fn refuses_connections(&self) -> bool {
        self.scripted().refuse_connections
    }

    fn scripted(&self) -> MutexGuard<'_, Script> {
        self.scripted.lock()
    }
}
