//! Gets log lines out. Whoever logs never waits: lines are queued, a thread of its own writes them, and what does
//! not fit is counted and owned up to once writing works again.
//!
//! A log that is full, closed or never read costs lines, not the daemon.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::time::Instant;

    use super::*;

    fn owned_up(count: u64) -> String {
        format!("lost {count}\n")
    }

    #[test]
    fn the_last_lines_are_written_before_the_guard_is_gone() {
        let (mut reader, writer) = pipe().unwrap();
        let (sink, guard) = start(writer, owned_up).unwrap();
        for number in 0..100 {
            sink.push(format!("{number}\n"));
        }
        drop(guard);
        sink.push("too late\n".to_owned());
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_log_that_nobody_reads_costs_lines_and_no_time() {
        let (mut reader, writer) = pipe().unwrap();
        let (sink, guard) = start(writer, owned_up).unwrap();
        // Far more than the pipe and the queue hold together; this loop ends only if nobody waits.
        let line = format!("{}\n", "x".repeat(1023));
        let sent = 2 * MAX_QUEUED / line.len();
        for _ in 0..sent {
            sink.push(line.clone());
        }
        assert!(sink.0.lock().lost > 0, "the queue is bounded");
        // Someone reads again: one more line, in front of which the loss is owned up to.
        let reading = thread::spawn(move || {
            let mut read = String::new();
            reader.read_to_string(&mut read).map(|_| read)
        });
        sink.push("after\n".to_owned());
        let limit = Instant::now() + Duration::from_secs(20);
        while sink.0.lock().bytes > 0 {
            assert!(Instant::now() < limit, "the queue does not get empty");
            thread::yield_now();
        }
        sink.push("last\n".to_owned());
        drop(guard);
        let read = reading.join().unwrap().unwrap();
        let written = read.lines().filter(|read| read.len() == 1023).count();
        let lost: usize =
            read.lines().filter_map(|line| line.strip_prefix("lost ")?.parse::<usize>().ok()).sum();
        let after = read.lines().filter(|line| *line == "after").count();
        assert_eq!(written + after + lost, sent + 1, "every line is written or counted");
        assert!(read.ends_with("last\n"), "it goes on afterwards");
    }

    #[test]
    fn a_closed_log_ends_nothing() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let (sink, guard) = start(writer, owned_up).unwrap();
        sink.push("nobody hears this\n".to_owned());
        drop(guard);
        assert_eq!(sink.0.lock().lost, 1);
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let (reader, writer) = pipe().unwrap();
        let (sink, mut guard) = start(writer, owned_up).unwrap();
        guard.grace = Duration::from_millis(10);
        for _ in 0..MAX_QUEUED / 1024 {
            sink.push("x".repeat(1024));
        }
        drop(guard);
        assert!(!sink.0.lock().ended, "the thread still hangs on the pipe");
        drop(reader);
    }

    #[test]
    fn a_log_that_is_writable_again_owns_up_to_what_is_missing() {
        struct Full(usize, Vec<u8>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0 > 0 {
                    self.0 -= 1;
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
                self.1.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Full(2, Vec::new());
        let lines = ["one\n", "two\n", "three\n", "four\n"].map(str::to_owned);
        assert_eq!(write_batch(&mut out, VecDeque::from(lines), 5, &owned_up), 0);
        assert_eq!(String::from_utf8_lossy(&out.1), "lost 7\nthree\nfour\n");
    }
}
