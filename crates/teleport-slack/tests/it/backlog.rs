//! Very many requests at once: made while the daemon was down, and while it is up. Everything is shown, once.
//!
//! A thousand in the ordinary run; `BACKLOG=10000 cargo test --test it backlog -- --nocapture` is the whole measure.
//! Time and memory are printed for people and judged only by the limits of a wait.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use access_sim::teleport::request::NewRequest;

use crate::figures::resident_kib;
use crate::harness::*;

/// How many, unless the environment says so.
const REQUESTS: usize = 1_000;

/// A busy machine and a build without optimisation have their time.
const LIMIT: Duration = Duration::from_secs(1_800);

const TEAM: &str = "recipients = [\"C0TEAM\"]";

fn create_requests(bed: &TestBed) -> BTreeSet<String> {
    let count = std::env::var("BACKLOG").map_or(REQUESTS, |count| count.parse().unwrap());
    let ask = |n| bed.create_request_with(NewRequest::roles(&["dba"], &format!("number {n}")));
    (0..count).map(ask).collect()
}

/// Waits until the daemon has posted all of them, stops it, and compares with what Slack shows. Returns what it took.
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
fn a_backlog_from_while_it_was_down_is_shown_once() {
    run_test(async {
        let bed = TestBed::new().await;
        let ids = create_requests(&bed);
        let daemon = bed.start(TEAM).await;
        println!("Made while it was down: {}", assert_all_posted(&bed, daemon, &ids).await);
    });
}

#[test]
fn a_burst_is_shown_once() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let ids = create_requests(&bed);
        println!("In a burst: {}", assert_all_posted(&bed, daemon, &ids).await);
    });
}

#[test]
fn a_list_of_many_megabytes_is_taken_in() {
    run_test(async {
        // In the oldest releases everything comes in one answer; gRPC's own limit is 4 MiB.
        let bed = TestBed::new().await;
        let reason = "why? ".repeat(20_000);
        let ids: Vec<_> =
            (0..60).map(|_| bed.create_request_with(NewRequest::roles(&["dba"], &reason))).collect();
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        daemon.stop().await;
    });
}
