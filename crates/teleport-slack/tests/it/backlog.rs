//! Very many requests at once, made while the daemon was down and while it is up. Each is shown once.
//!
//! The ordinary run makes hundreds; `BACKLOG=10000 cargo test --test it backlog -- --nocapture` measures fully.
//! Time and memory are printed for people. Only the limit of the wait is asserted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use access_sim::teleport::request::NewRequest;

use crate::figures::resident_kib;
use crate::harness::*;

/// How many requests are made while the daemon is down, unless the environment sets another number: more than two pages of
/// Teleport's list.
const WHILE_DOWN: usize = 250;

/// How many are made at once while it is up: more than any queue between the watch and the controller takes.
const BURST: usize = 450;

/// Long enough for a busy machine and an unoptimized build.
const LIMIT: Duration = Duration::from_secs(1_800);

const TEAM: &str = "recipients = [\"C0TEAM\"]";

fn create_requests(bed: &TestBed, usual: usize) -> BTreeSet<String> {
    let count = std::env::var("BACKLOG").map_or(usual, |count| count.parse().unwrap());
    let ask = |n| bed.create_request_with(NewRequest::roles(&["dba"], &format!("number {n}")));
    (0..count).map(ask).collect()
}

/// Waits until the daemon has posted all of them, stops it, and compares with what Slack shows. Returns the figures.
async fn assert_all_posted(bed: &TestBed, daemon: Daemon, ids: &BTreeSet<String>) -> String {
    let (count, begun) = (ids.len(), Instant::now());
    let mut largest = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        largest = largest.max(resident_kib(daemon.pid()));
        let posted = daemon.times_logged("Posted the request");
        if posted >= count {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{posted} of {count} after {LIMIT:?}\n{}", daemon.log_tail());
    }
    let took = begun.elapsed().as_secs_f64();
    let opened = daemon.stop().await.matches("Watcher connected").count();
    let mut shown = BTreeSet::new();
    for message in bed.slack.messages("C0TEAM") {
        let metadata = message.metadata.unwrap();
        let id = metadata["event_payload"]["request_id"].as_str().unwrap().to_owned();
        assert!(shown.insert(id), "{metadata} was posted twice");
    }
    assert!(shown == *ids, "{} of {count} are shown", shown.len());
    format!(
        "{count} requests: all shown after {took:.1} s, {:.0} a second, at most {:.1} MiB resident, the watch opened {opened} times",
        count as f64 / took,
        f64::from(largest) / 1024.0
    )
}

#[test]
fn requests_made_while_the_daemon_was_down_are_shown_once() {
    run_test(async {
        let bed = TestBed::new().await;
        let ids = create_requests(&bed, WHILE_DOWN);
        let daemon = bed.start(TEAM).await;
        println!("Made while it was down: {}", assert_all_posted(&bed, daemon, &ids).await);
    });
}

#[test]
fn a_burst_of_requests_is_shown_once() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let ids = create_requests(&bed, BURST);
        println!("In a burst: {}", assert_all_posted(&bed, daemon, &ids).await);
    });
}

#[test]
fn a_list_of_many_megabytes_is_read() {
    run_test(async {
        // The oldest releases send everything in one response; gRPC's own limit is 4 MiB.
        let bed = TestBed::new().await;
        let reason = "why? ".repeat(108_000);
        let ids: Vec<_> =
            (0..9).map(|_| bed.create_request_with(NewRequest::roles(&["dba"], &reason))).collect();
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let are_shown = || ids.iter().all(|id| bed.message_about("C0TEAM", id).is_some()).then_some(());
        bed.until_within(LIMIT, &daemon, "all messages", are_shown).await;
        daemon.stop().await;
    });
}
