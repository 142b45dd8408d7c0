//! In each channel requests are shown in the order in which they were made, whatever held them up; and one channel's
//! trouble is no other's.

use access_sim::slack::call_log::Call;
use access_sim::slack::faults::{Fault, FaultRule};

use crate::harness::*;

const POST: &str = "chat.postMessage";
/// So many requests at once; in a channel that Slack slowed down they come one a second.
const BURST: usize = 12;

fn burst(bed: &TestBed) -> Vec<String> {
    (0..BURST).map(|_| bed.create_request()).collect()
}

/// The requests that a place tells of, in the order in which they were posted.
fn posted_ids(bed: &TestBed, place: &str) -> Vec<String> {
    let channel = if place.starts_with('U') { bed.slack.dm_with(place) } else { Some(place.to_owned()) };
    let mut messages = channel.map_or_else(Vec::new, |channel| bed.slack.messages(&channel));
    messages.sort_by(|a, b| a.ts.cmp(&b.ts));
    messages.iter().filter_map(request_id_of).collect()
}

async fn until_all_posted(bed: &TestBed, daemon: &Daemon, place: &str, ids: &[String]) {
    bed.until(daemon, &format!("all in {place}"), || {
        (posted_ids(bed, place).len() == ids.len()).then_some(())
    })
    .await;
}

async fn until_posted(bed: &TestBed, daemon: &Daemon, place: &str, ids: &[String]) {
    bed.until(daemon, &format!("all in {place}"), || {
        (posted_ids(bed, place).len() == ids.len()).then_some(())
    })
    .await;
    let numbers = |told: Vec<String>| -> Vec<_> {
        told.iter().map(|id| ids.iter().position(|asked| asked == id).unwrap()).collect()
    };
    assert_eq!(numbers(posted_ids(bed, place)), (0..ids.len()).collect::<Vec<_>>(), "in {place}");
}

#[test]
fn a_burst_comes_in_order_also_after_slack_asked_to_wait() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA"]"#).await;
        let limited = Fault::RateLimited { retry_after: 1 };
        bed.slack.faults().add(FaultRule::new(POST, limited).in_channel("C0TEAM").times(1));
        let ids = burst(&bed);
        until_posted(&bed, &daemon, "C0DBA", &ids).await;
        assert!(posted_ids(&bed, "C0TEAM").len() < BURST, "the other channel waited, too");
        until_posted(&bed, &daemon, "C0TEAM", &ids).await;
        daemon.stop().await;
    });
}

#[test]
fn requests_made_during_an_outage_come_in_order_when_it_is_over() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA", "bob@example.com"]"#).await;
        for (channel, fault) in [
            ("C0TEAM", Fault::Status { status: 503, body: String::new() }),
            ("C0DBA", Fault::Error("service_unavailable".into())),
        ] {
            bed.slack.faults().add(FaultRule::new(POST, fault).in_channel(channel));
        }
        let ids = burst(&bed);
        // Nobody else waits.
        until_all_posted(&bed, &daemon, "U0BOB", &ids).await;
        for channel in ["C0TEAM", "C0DBA"] {
            let tries = || {
                let calls = bed.slack.calls_of(POST);
                let struck = |call: &&Call| call.channel.as_deref() == Some(channel) && call.fault.is_some();
                calls.iter().filter(struck).count()
            };
            // The first one three times, and then another one: it is the channel, not the message.
            bed.until(&daemon, "four tries", || (tries() >= 4).then_some(())).await;
        }
        bed.slack.faults().clear();
        for channel in ["C0TEAM", "C0DBA"] {
            until_posted(&bed, &daemon, channel, &ids).await;
        }
        daemon.stop().await;
    });
}

#[test]
fn requests_made_while_the_daemon_was_down_come_in_order() {
    run_test(async {
        let bed = TestBed::new().await;
        let ids = burst(&bed);
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        until_posted(&bed, &daemon, "C0TEAM", &ids).await;
        until_all_posted(&bed, &daemon, "U0BOB", &ids).await;
        daemon.stop().await;
    });
}
