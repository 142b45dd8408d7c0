//! Gets log lines out. Whoever logs never waits: lines are queued, a thread of its own writes them, and what does
//! not fit is counted and owned up to once writing works again.
//!
//! A log that is full, closed or never read costs lines, not the daemon.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How much may wait to be written, in bytes: some ten thousand lines.
const MAX_QUEUED: usize = 2 * 1024 * 1024;
/// How long the end of the program waits for the last lines.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    queue: VecDeque<String>,
    bytes: usize,
    lost: u64,
    closed: bool,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or nothing will come any more.
    wake: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where lines are handed in.
#[derive(Clone)]
pub(super) struct Sink(Arc<Shared>);

/// Writes out the last lines when it is dropped; keep it until the program ends.
#[must_use = "dropping it closes the log"]
pub struct LogGuard {
    shared: Arc<Shared>,
    grace: Duration,
}

/// Starts the thread that writes to `out`. `owned_up` makes the line that tells how many lines were lost.
pub(super) fn start(
    out: impl Write + Send + 'static,
    owned_up: impl Fn(u64) -> String + Send + 'static,
) -> io::Result<(Sink, LogGuard)> {
    let shared = Arc::new(Shared::default());
    let theirs = Arc::clone(&shared);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        write_all(&theirs, out, &owned_up);
        theirs.lock().ended = true;
        theirs.ended.notify_all();
    })?;
    Ok((Sink(Arc::clone(&shared)), LogGuard { shared, grace: GRACE }))
}

impl Sink {
    /// Queues a line, or counts it as lost.
    pub(super) fn push(&self, line: String) {
        let mut state = self.0.lock();
        if state.closed || state.bytes.saturating_add(line.len()) > MAX_QUEUED {
            state.lost += 1;
            return;
        }
        state.bytes += line.len();
        state.queue.push_back(line);
        drop(state);
        self.0.wake.notify_one();
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.wake.notify_one();
        // If the log takes no more, the program still ends.
        let _ = self.shared.ended.wait_timeout_while(state, self.grace, |state| !state.ended);
    }
}

fn write_all(shared: &Shared, mut out: impl Write, owned_up: &impl Fn(u64) -> String) {
    loop {
        let mut state = shared.lock();
        while state.queue.is_empty() && !state.closed {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.queue.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut state.queue);
        state.bytes = 0;
        let lost = std::mem::take(&mut state.lost);
        drop(state);
        let unwritten = write_batch(&mut out, lines, lost, owned_up);
        shared.lock().lost += unwritten;
    }
}

/// Writes lines and says how many could not be, those lost before included as long as nobody was told.
fn write_batch(
    out: &mut impl Write,
    lines: VecDeque<String>,
    mut lost: u64,
    owned_up: &impl Fn(u64) -> String,
) -> u64 {
    for line in lines {
        // Lost lines are owned up to in front of the first line that can be written again.
        if lost > 0 && out.write_all(owned_up(lost).as_bytes()).is_ok() {
            lost = 0;
        }
        if lost > 0 || out.write_all(line.as_bytes()).is_err() {
            lost += 1;
        }
    }
    let _ = out.flush();
    lost
}
