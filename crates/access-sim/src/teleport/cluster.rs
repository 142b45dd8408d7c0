//! The simulated cluster: its state behind one lock, and what the server, its tasks and the handle share beside it.

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use super::call_log::{CallLog, Changes};
use super::certs::Authorities;
use super::faults::Faults;
use super::options::Options;
use super::state::State;
use super::watchers::Watchers;
use crate::call_sequence::CallSequence;

/// The state and all that stands around it; shared by the server, its tasks and the handle.
pub(super) struct Cluster {
    state: Mutex<State>,
    pub(super) authorities: Authorities,
    pub(super) watchers: Watchers,
    pub(super) faults: Faults,
    pub(super) call_log: CallLog,
    pub(super) changes: Changes,
    pub(super) call_sequence: CallSequence,
    pub(super) clock_offset: SignedDuration,
}

impl Cluster {
    pub(super) fn new(options: Options) -> std::io::Result<Self> {
        let changes = Changes::new();
        let watchers = Watchers::new(changes.clone());
        let faults = Faults::new(watchers.clone());
        let call_log = CallLog::default();
        let authorities = Authorities::new(&options.fixture.cluster)?;
        let call_sequence = options.call_sequence.clone();
        let clock_offset = options.clock_offset;
        let now = Timestamp::now() + clock_offset;
        let state = State::new(options, now, watchers.clone(), faults.clone(), call_log.clone());
        Ok(Self {
            state: Mutex::new(state),
            authorities,
            watchers,
            faults,
            call_log,
            changes,
            call_sequence,
            clock_offset,
        })
    }

    /// Runs one operation, after what expired meanwhile has been cleared away.
    pub(super) fn with<T>(&self, operation: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        // Never backwards, so that ids, revisions and expiries keep their order when the clock is set.
        state.now = state.now.max(Timestamp::now() + self.clock_offset);
        state.expire_due();
        state.apply_due_changes();
        let result = operation(&mut state);
        let changed = state.take_changed();
        drop(state);
        if changed {
            self.changes.bump();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
