//! Logs that are read slowly, late or never.

use std::io::{BufRead, BufReader, Read, pipe};
use std::sync::mpsc;
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
    let (reader, writer) = pipe().unwrap();
    let (sink, guard) = start(writer, owned_up).unwrap();
    // More than the pipe, the queue and what the writer has taken from it hold together; this loop ends only if
    // nobody waits.
    let line = format!("{}\n", "x".repeat(1023));
    let sent = 3 * MAX_QUEUED / line.len();
    for _ in 0..sent {
        sink.push(line.clone());
    }
    // Someone reads again: one more line, in front of which the loss is owned up to.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || BufReader::new(reader).lines().try_for_each(|line| tell.send(line.unwrap())));
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
        read.push(told.recv_timeout(Duration::from_secs(20)).expect("the log goes on afterwards"));
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
