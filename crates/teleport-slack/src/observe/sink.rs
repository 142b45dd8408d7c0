//! Writes log lines. Code that logs never waits: lines are queued, and a separate thread writes them. Lines that do not
//! fit are counted, and a notice reports them once writing works again.
//!
//! A log that is full, closed or never read costs lines, not the daemon. A line that could be written only in part is
//! ended before the next one, so that lines never run together.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

#[cfg(test)]
mod tests;

/// How much may wait to be written, in bytes: some ten thousand lines.
const MAX_QUEUED_BYTES: usize = 2 * 1024 * 1024;
/// What the thread has to do, in this order.
enum Job {
    Write(String),
    /// Write here from now on.
    SwitchTo(Box<dyn Write + Send>),
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    bytes: usize,
    dropped: u64,
    closed: bool,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or nothing will come any more.
    work_available: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half changed.
        self.state.lock()
    }
}

/// Where lines are handed in.
#[derive(Clone)]
pub(super) struct Sink(Arc<Shared>);

/// Writes out the last lines when it is dropped; keep it until the program ends.
#[must_use = "dropping it closes the log"]
pub(super) struct LogGuard {
    shared: Arc<Shared>,
    grace: Duration,
}

/// Starts the thread that writes to `out`. `dropped_notice` makes the line that reports how many lines were dropped.
/// `grace`: how long the end of the program waits for the last lines.
pub(super) fn start(
    out: Box<dyn Write + Send>,
    dropped_notice: impl Fn(u64) -> String + Send + 'static,
    grace: Duration,
) -> io::Result<(Sink, LogGuard)> {
    let shared = Arc::new(Shared::default());
    let theirs = Arc::clone(&shared);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        write_all(&theirs, Out { writer: out, has_partial_line: false }, &dropped_notice);
        theirs.lock().ended = true;
        theirs.ended.notify_all();
    })?;
    Ok((Sink(Arc::clone(&shared)), LogGuard { shared, grace }))
}

impl Sink {
    /// Queues a line, or counts it as dropped.
    pub(super) fn push(&self, line: String) {
        let mut state = self.0.lock();
        if state.closed || state.bytes.saturating_add(line.len()) > MAX_QUEUED_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.queue.push_back(Job::Write(line));
        drop(state);
        self.0.work_available.notify_one();
    }

    /// Lines handed in from now on go to `out`; those before still go where they were meant for.
    pub(super) fn switch_to(&self, out: Box<dyn Write + Send>) {
        self.0.lock().queue.push_back(Job::SwitchTo(out));
        self.0.work_available.notify_one();
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.work_available.notify_one();
        // If the log takes no more, the program still ends.
        let _ = self.shared.ended.wait_while_for(&mut state, |state| !state.ended, self.grace);
    }
}

/// Where lines go.
struct Out {
    writer: Box<dyn Write + Send>,
    /// The last line was written in part only.
    has_partial_line: bool,
}

impl Out {
    /// Writes a whole line, after the end of a torn one; whether it succeeded.
    fn write_line(&mut self, line: &str) -> bool {
        if self.has_partial_line && self.write(b"\n").1.is_err() {
            return false;
        }
        self.has_partial_line = false;
        let (written, outcome) = self.write(line.as_bytes());
        self.has_partial_line = outcome.is_err() && written > 0;
        outcome.is_ok()
    }

    /// `write_all` that also returns how many bytes it wrote.
    fn write(&mut self, mut bytes: &[u8]) -> (usize, io::Result<()>) {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.writer.write(bytes) {
                Ok(0) => return (whole - bytes.len(), Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (whole - bytes.len(), Err(error)),
            }
        }
        (whole, Ok(()))
    }
}

fn write_all(shared: &Shared, mut out: Out, dropped_notice: &impl Fn(u64) -> String) {
    loop {
        let mut state = shared.lock();
        while state.queue.is_empty() && !state.closed {
            shared.work_available.wait(&mut state);
        }
        if state.queue.is_empty() {
            return;
        }
        let jobs = std::mem::take(&mut state.queue);
        state.bytes = 0;
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        let unwritten = write_batch(&mut out, jobs, dropped, dropped_notice);
        shared.lock().dropped += unwritten;
    }
}

/// Writes lines. Returns how many were dropped, earlier ones included as long as no notice reports them.
fn write_batch(
    out: &mut Out,
    jobs: VecDeque<Job>,
    mut dropped: u64,
    dropped_notice: &impl Fn(u64) -> String,
) -> u64 {
    for job in jobs {
        let line = match job {
            Job::Write(line) => line,
            Job::SwitchTo(to) => {
                let _ = out.writer.flush();
                *out = Out { writer: to, has_partial_line: false };
                continue;
            }
        };
        // The notice stands before the first line that can be written again.
        if dropped > 0 && out.write_line(&dropped_notice(dropped)) {
            dropped = 0;
        }
        if dropped > 0 || !out.write_line(&line) {
            dropped += 1;
        }
    }
    let _ = out.writer.flush();
    dropped
}
