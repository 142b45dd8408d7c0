//! Logs that are read slowly, late or never.

use std::io::{BufRead, BufReader, Read, pipe};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

fn dropped_notice(count: u64) -> String {
    format!("lost {count}\n")
}

#[test]
fn the_last_lines_are_written_before_the_guard_is_gone() {
    let (mut reader, writer) = pipe().unwrap();
    let (sink, guard) = start(Box::new(writer), dropped_notice, Duration::from_secs(1)).unwrap();
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
fn a_log_without_a_reader_costs_lines_and_no_time() {
    let (reader, writer) = pipe().unwrap();
    let (sink, guard) = start(Box::new(writer), dropped_notice, Duration::from_secs(1)).unwrap();
    // More than the pipe, the queue and what the writer has taken from it hold together; this loop ends only if
    // `push` never waits.
    let line = format!("{}\n", "x".repeat(1023));
    let sent = 3 * MAX_QUEUED_BYTES / line.len();
    for _ in 0..sent {
        sink.push(line.clone());
    }
    // The reader reads again: the notice about the dropped lines stands before the next line.
    let (send, received) = mpsc::channel();
    thread::spawn(move || BufReader::new(reader).lines().try_for_each(|line| send.send(line.unwrap())));
    sink.push("after\n".to_owned());
    let limit = Instant::now() + Duration::from_secs(20);
    while sink.0.lock().bytes > 0 {
        assert!(Instant::now() < limit, "the queue does not get empty");
        thread::yield_now();
    }
    sink.push("last\n".to_owned());
    // Everything is awaited before the guard goes, which itself waits for a second only.
    let mut read = Vec::new();
    while read.last().is_none_or(|line| line != "last") {
        read.push(received.recv_timeout(Duration::from_secs(20)).expect("the log goes on afterwards"));
    }
    drop(guard);
    let written = read.iter().filter(|line| line.len() == 1023).count();
    let lost: usize = read.iter().filter_map(|line| line.strip_prefix("lost ")?.parse::<usize>().ok()).sum();
    let after = read.iter().filter(|line| *line == "after").count();
    assert!(lost > 0, "the queue is bounded");
    assert_eq!(written + after + lost, sent + 1, "every line is written or counted");
}

#[test]
fn a_closed_log_ends_nothing() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let (sink, guard) = start(Box::new(writer), dropped_notice, Duration::from_secs(1)).unwrap();
    sink.push("not written\n".to_owned());
    drop(guard);
    assert_eq!(sink.0.lock().dropped, 1);
}

#[test]
fn the_end_does_not_wait_forever() {
    let (reader, writer) = pipe().unwrap();
    let (sink, mut guard) = start(Box::new(writer), dropped_notice, Duration::from_secs(1)).unwrap();
    guard.grace = Duration::from_millis(10);
    for _ in 0..MAX_QUEUED_BYTES / 1024 {
        sink.push("x".repeat(1024));
    }
    drop(guard);
    assert!(!sink.0.lock().ended, "the thread still hangs on the pipe");
    drop(reader);
}

/// A disk that takes so many bytes each time it is asked, and says "full" when it takes none.
struct Disk {
    takes: VecDeque<usize>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let takes = self.takes.pop_front().unwrap_or(bytes.len()).min(bytes.len());
        if takes == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.written.lock().extend_from_slice(&bytes[..takes]);
        Ok(takes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is in the log after these lines, and how many dropped lines are still to be reported.
fn written(takes: &[usize], lines: &[&str], lost: u64) -> (String, u64) {
    let written = Arc::default();
    let disk = Disk { takes: takes.iter().copied().collect(), written: Arc::clone(&written) };
    let jobs = lines.iter().map(|line| Job::Write(format!("{line}\n"))).collect();
    let lost = write_batch(
        &mut Out { writer: Box::new(disk), has_partial_line: false },
        jobs,
        lost,
        &dropped_notice,
    );
    let text = String::from_utf8(written.lock().clone()).unwrap();
    (text, lost)
}

#[test]
fn a_log_that_is_writable_again_reports_the_dropped_lines() {
    let lines = ["one", "two", "three", "four"];
    assert_eq!(written(&[0, 0], &lines, 5), ("lost 7\nthree\nfour\n".to_owned(), 0));
    assert_eq!(written(&[0; 9], &lines, 0), (String::new(), 4));
}

#[test]
fn lines_on_a_full_disk_do_not_run_together() {
    let lines = ["one", "two", "three"];
    // A short write is gone on with.
    assert_eq!(written(&[1, 2], &lines, 0), ("one\ntwo\nthree\n".to_owned(), 0));
    // Full after two bytes, still full, then not: the end of the first line is lost, not the beginning of the next.
    assert_eq!(written(&[2, 0, 0], &lines, 0), ("on\nlost 2\nthree\n".to_owned(), 0));
    // Even the notice is written in part only.
    assert_eq!(written(&[2, 0, 1, 3, 0], &lines, 0), ("on\nlos\nlost 2\nthree\n".to_owned(), 0));
    assert_eq!(written(&[2, 0, 1, 0, 0], &lines[..2], 0), ("on\n".to_owned(), 2));
}

#[test]
fn each_line_goes_where_it_was_meant_for() {
    let [old, new] = [Arc::default(), Arc::default()];
    let disk = |written: &Arc<_>| Box::new(Disk { takes: VecDeque::new(), written: Arc::clone(written) });
    let (sink, guard) = start(disk(&old), dropped_notice, Duration::from_secs(1)).unwrap();
    sink.push("before\n".to_owned());
    sink.switch_to(disk(&new));
    sink.push("after\n".to_owned());
    drop(guard);
    let text = |written: Arc<Mutex<Vec<u8>>>| String::from_utf8(written.lock().clone()).unwrap();
    assert_eq!((text(old), text(new)), ("before\n".to_owned(), "after\n".to_owned()));
}
