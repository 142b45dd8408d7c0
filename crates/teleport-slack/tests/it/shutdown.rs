//! Signals: the first finishes what is under way, the second ends at once.

use std::time::{Duration, Instant};

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::faults::{Fault as TeleportFault, Times};
use access_sim::teleport::journal::Method;

use crate::support::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

#[test]
fn what_is_under_way_is_finished_and_recorded() {
    story(async {
        for signal in ["TERM", "INT"] {
            let bed = Bed::new().await;
            let daemon = bed.start(TEAM).await;
            bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Delay(Duration::from_secs(2))));
            let id = bed.ask();
            bed.until_recorded(&daemon, &id, |record| record.contains_key("x_request")).await;
            daemon.signal(signal);
            bed.until_logged(&daemon, "Finishing what is under way").await;
            let late = bed.ask();
            let (status, log) = daemon.ended().await;
            assert!(status.success(), "{status}\n{log}");
            assert!(bed.card("C0TEAM", &late).is_none() && bed.record(&late).is_empty(), "taken in\n{log}");
            assert_eq!(bed.cards("C0TEAM", &id).len(), 1);
            assert!(bed.record(&id).contains_key("messages"), "posted but not recorded\n{log}");
        }
    });
}

#[test]
fn what_takes_too_long_is_left_to_the_next_start() {
    story(async {
        let bed = Bed::new().await;
        let daemon = bed.start(TEAM).await;
        // No call takes longer than it may, but together they take longer than the end waits.
        for method in [Method::GetPluginData, Method::UpdatePluginData] {
            let slow = TeleportFault::Delay(Duration::from_secs(12));
            bed.teleport.faults().script(method, slow, Times::UntilCleared);
        }
        let reads = bed.teleport.journal().count(Method::GetPluginData);
        let id = bed.ask();
        bed.until(&daemon, "the record being read", || {
            (bed.teleport.journal().count(Method::GetPluginData) > reads).then_some(())
        })
        .await;
        daemon.signal("TERM");
        let (status, log) = daemon.ended().await;
        assert!(status.success(), "{status}\n{log}");
        assert!(log.contains("Not all was finished in time; the next start takes it up again"), "{log}");

        bed.teleport.faults().clear();
        let daemon = bed.start(TEAM).await;
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}

#[test]
fn a_second_signal_ends_at_once() {
    story(async {
        let bed = Bed::new().await;
        let daemon = bed.start(TEAM).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Hang));
        let id = bed.ask();
        bed.until_recorded(&daemon, &id, |record| record.contains_key("x_request")).await;
        daemon.signal("TERM");
        bed.until_logged(&daemon, "Finishing what is under way").await;
        let asked = Instant::now();
        daemon.signal("TERM");
        let (status, log) = daemon.ended().await;
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    });
}

#[test]
fn a_signal_during_start_is_heard() {
    story(async {
        let bed = Bed::new().await;
        bed.teleport.stop().await;
        let daemon = bed.launch(&bed.config(TEAM));
        bed.until_logged(&daemon, "Teleport does not answer").await;
        daemon.stop().await;
    });
}
