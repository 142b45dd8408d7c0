//! Everything that can be made to go wrong on purpose, method by method and for the watch streams.
//!
//! Faults below gRPC (cut and frozen connections) are the [`crate::breaker`]'s.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic::Code;

use super::journal::Method;
use super::refusal::Refusal;
use super::watch::Watchers;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done; the answer is this.
    Answer(Refusal),
    /// Nothing is done and no answer comes, until the client gives up.
    Hang,
    /// The work is done after a while.
    Delay(Duration),
    /// The work is done, then the HTTP/2 stream is reset instead of an answer.
    LoseAnswer,
}

impl Fault {
    /// The usual passing failure.
    pub fn unavailable() -> Self {
        Self::Answer(Refusal::new(Code::Unavailable, "connection problem: the backend is away"))
    }
}

/// For how long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// That many calls or events.
    Next(u32),
    /// Until it is cleared.
    UntilCleared,
}

impl Times {
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

/// How watch streams are ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// With status OK, as a server does that shuts down.
    Clean,
    /// With an error.
    Error(Refusal),
}

#[derive(Debug)]
struct Plan {
    calls: BTreeMap<Method, VecDeque<(Fault, Times)>>,
    drop_events: Times,
    withhold_init: bool,
    refuse_connections: bool,
}

/// The script of faults. Clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    watchers: Watchers,
}

impl Faults {
    pub(super) fn new(watchers: Watchers) -> Self {
        let plan = Plan {
            calls: BTreeMap::new(),
            drop_events: Times::Next(0),
            withhold_init: false,
            refuse_connections: false,
        };
        Self { plan: Arc::new(Mutex::new(plan)), watchers }
    }

    /// Makes the next calls of a method go wrong; several scripts follow one another.
    pub fn script(&self, method: Method, fault: Fault, times: Times) {
        self.plan().calls.entry(method).or_default().push_back((fault, times));
    }

    /// The next `count` writes of plugin data meet another writer, whatever they expect.
    pub fn conflict_updates(&self, count: u32) {
        let refusal = Refusal::compare_failed("too many concurrent writes to plugin data, try again later");
        self.script(Method::UpdatePluginData, Fault::Answer(refusal), Times::Next(count));
    }

    /// Watch streams silently miss the next events.
    pub fn drop_events(&self, times: Times) {
        self.plan().drop_events = times;
    }

    /// New watch streams open but never say that they are live, as while a server fills its cache.
    pub fn withhold_init(&self, withhold: bool) {
        self.plan().withhold_init = withhold;
    }

    /// New connections are closed as soon as they are made.
    pub fn refuse_connections(&self, refuse: bool) {
        self.plan().refuse_connections = refuse;
    }

    /// Ends every watch stream that is open now.
    pub fn end_watches(&self, ending: &Ending) {
        self.watchers.end_all(ending);
    }

    /// Lets the calls of one method succeed again.
    pub fn clear_method(&self, method: Method) {
        self.plan().calls.remove(&method);
    }

    /// Takes every fault back.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.calls.clear();
        plan.drop_events = Times::Next(0);
        plan.withhold_init = false;
        plan.refuse_connections = false;
    }

    /// The fault that the call meets, if any; uses it up.
    pub(super) fn meet(&self, method: Method) -> Option<Fault> {
        let mut plan = self.plan();
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
        self.plan().drop_events.take()
    }

    pub(super) fn withholds_init(&self) -> bool {
        self.plan().withhold_init
    }

    pub(super) fn refuses_connections(&self) -> bool {
        self.plan().refuse_connections
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
