//! Each channel shows requests in the order of their creation, whatever delayed them. An error in one channel delays
//! no other.

use std::time::{Duration, Instant};

use access_sim::slack::call_log::Call;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault as TeleportFault, Repeat};
use access_sim::teleport::fixture::User;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::NewRequest;

use crate::harness::*;

const POST: &str = "chat.postMessage";
/// Requests created at once; a channel that Slack slowed down gets one a second.
const BURST: usize = 12;

fn burst(bed: &TestBed) -> Vec<String> {
    (0..BURST).map(|_| bed.create_request()).collect()
}

/// The requests that a destination shows, in the order of their messages.
fn posted_ids(bed: &TestBed, destination: &str) -> Vec<String> {
    let channel = if destination.starts_with('U') {
        bed.slack.dm_with(destination)
    } else {
        Some(destination.to_owned())
    };
    let mut messages = channel.map_or_else(Vec::new, |channel| bed.slack.messages(&channel));
    messages.sort_by(|a, b| a.ts.cmp(&b.ts));
    messages.iter().filter_map(request_id_of).collect()
}

async fn until_all_posted(bed: &TestBed, daemon: &Daemon, destination: &str, ids: &[String]) {
    bed.until(daemon, &format!("all in {destination}"), || {
        (posted_ids(bed, destination).len() == ids.len()).then_some(())
    })
    .await;
}

async fn until_posted(bed: &TestBed, daemon: &Daemon, destination: &str, ids: &[String]) {
    until_all_posted(bed, daemon, destination, ids).await;
    let numbers = |posted: Vec<String>| -> Vec<_> {
        posted.iter().map(|id| ids.iter().position(|asked| asked == id).unwrap()).collect()
    };
    let are = numbers(posted_ids(bed, destination));
    assert_eq!(are, (0..ids.len()).collect::<Vec<_>>(), "in {destination}\n{}", daemon.log());
}

#[test]
fn a_burst_is_posted_in_order_even_after_slack_asks_to_wait() {
    run_in_process(async {
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
fn requests_made_during_an_outage_are_posted_in_order_afterwards() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "C0DBA", "bob@example.com"]"#).await;
        for (channel, fault) in [
            ("C0TEAM", Fault::Status { status: 503, body: String::new() }),
            ("C0DBA", Fault::Error("service_unavailable".into())),
        ] {
            // The first message fails three times, then another one: the channel fails, not the message.
            bed.slack.faults().add(FaultRule::new(POST, fault).in_channel(channel).times(4));
        }
        let ids = burst(&bed);
        // No other channel waits.
        until_posted(&bed, &daemon, "U0BOB", &ids).await;
        for channel in ["C0TEAM", "C0DBA"] {
            until_posted(&bed, &daemon, channel, &ids).await;
            let calls = bed.slack.calls_of(POST);
            let struck = |call: &&Call| call.channel.as_deref() == Some(channel) && call.fault.is_some();
            assert_eq!(calls.iter().filter(struck).count(), 4, "tries in {channel}");
        }
        daemon.stop().await;
    });
}

#[test]
fn requests_made_while_the_daemon_was_down_are_posted_in_order() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let ids = burst(&bed);
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        until_posted(&bed, &daemon, "C0TEAM", &ids).await;
        until_posted(&bed, &daemon, "U0BOB", &ids).await;
        daemon.stop().await;
    });
}

/// Delays every look-up of a user by their address.
fn slow_lookups(bed: &TestBed, by: Duration) {
    bed.slack.faults().add(FaultRule::new("users.lookupByEmail", Fault::Delay(by)));
}

#[test]
fn direct_messages_keep_the_order_of_requests_that_waited_for_the_same_lookup() {
    run_test(async {
        let bed = TestBed::new().await;
        slow_lookups(&bed, Duration::from_secs(3));
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let suggested_reviewers = vec!["carol@example.com".to_owned()];
        let new = NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") };
        let ids: Vec<_> = (0..BURST).map(|_| bed.create_request_with(new.clone())).collect();
        until_posted(&bed, &daemon, "C0TEAM", &ids).await;
        for id in &ids {
            bed.until_recorded(&daemon, id, |record| {
                record.contains_key("messages") && !record.contains_key("x_claim")
            })
            .await;
        }
        assert_eq!(posted_ids(&bed, "U0CAROL").len(), 0, "the look-up lasts");
        // Of the requests that the look-up wakes, the first to read their records are the last to go on.
        let slow = TeleportFault::Delay(Duration::from_millis(900));
        bed.teleport.faults().inject(Method::GetPluginData, slow, Repeat::Next(6));
        until_posted(&bed, &daemon, "U0CAROL", &ids).await;
        daemon.stop().await;
    });
}

#[test]
fn a_request_that_needs_no_message_after_the_lookup_delays_no_other() {
    run_test(async {
        let bed = TestBed::new().await;
        slow_lookups(&bed, Duration::from_secs(3));
        let daemon = bed.start(r#"recipients = ["C0TEAM", "carol@example.com"]"#).await;
        // Carol is the first one's requester, and the second one is deleted before carol is found.
        let carol = "carol@example.com";
        bed.teleport.edit_fixture(|fixture| {
            let alice = fixture.user_mut(ALICE).unwrap().clone();
            fixture.users.retain(|user| user.name != carol);
            fixture.users.push(User { name: carol.to_owned(), ..alice });
        });
        let own = bed.teleport.request_access(carol, NewRequest::roles(&["dba"], "why")).unwrap();
        let deleted = bed.create_request();
        let ids: Vec<_> = (0..3).map(|_| bed.create_request()).collect();
        bed.until_status(&daemon, "C0TEAM", &deleted, "⏳ PENDING").await;
        bed.teleport.delete(TCTL, &deleted).unwrap();
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;
        assert_eq!(posted_ids(&bed, "U0CAROL").len(), 0, "the look-up lasts");
        bed.until(&daemon, "the first message", || (posted_ids(&bed, "U0CAROL").len() == 1).then_some(()))
            .await;
        let began = Instant::now();
        until_posted(&bed, &daemon, "U0CAROL", &ids).await;
        assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());
        bed.until_status(&daemon, "C0TEAM", &own, "⏳ PENDING").await;
        daemon.stop().await;
    });
}
