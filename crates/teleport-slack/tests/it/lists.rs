//! Lists that fail, say nothing, or say less than there is: the stream goes on, and an absence is no end.

use std::collections::BTreeMap;
use std::time::Duration;

use access_sim::teleport::faults::{Ending, Fault, Times};
use access_sim::teleport::journal::Method;
use access_sim::teleport::presets::{TCTL, plugin_rules};
use access_sim::teleport::refusal::Refusal;
use access_sim::teleport::request::{NewRequest, RequestState};
use access_sim::teleport::world::{Rule, World};
use access_sim::teleport::{Era, Options};
use futures_util::future;
use tonic::Code;

use crate::support::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const PENDING: &str = "⏳ PENDING";
const APPROVED: &str = "✅ APPROVED (ok)";
const MIB: usize = 1024 * 1024;

async fn bed_of(era: Era) -> Bed {
    let options = Options {
        list_lag: Duration::ZERO,
        delete_delay: Duration::from_secs(3_600),
        ..Options::new(era, World::golden())
    };
    Bed::with(options, workspace()).await
}

/// The rights of the plugin's role over access requests.
fn set_verbs(bed: &Bed, verbs: &[&str]) {
    let mut rules = plugin_rules();
    rules[0].verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    // Records stay readable, which the right over plugin data gives as well.
    let all = ["list", "read", "update"].map(str::to_owned).to_vec();
    rules[1] = Rule { verbs: all, ..rules[1].clone() };
    bed.teleport.edit_world(|world| world.role_mut("access-plugin").unwrap().allow.rules = rules);
}

/// `tctl request approve`, in every edition.
fn approve(bed: &Bed, id: &str) {
    bed.teleport.set_state(TCTL, id, RequestState::Approved, "ok", "").unwrap();
}

async fn until_logged_times(bed: &Bed, daemon: &Daemon, words: &str, times: usize) {
    bed.until(daemon, &format!("{times} lines with {words:?}"), || {
        (daemon.times_logged(words) >= times).then_some(())
    })
    .await;
}

#[test]
fn more_records_than_one_message_holds_make_nobody_deaf() {
    story(async {
        let bed = Bed::new().await;
        // Of requests that are gone, as an hour of them is kept.
        for _ in 0..5 {
            let id = bed.ask();
            let notes = BTreeMap::from([(b"x_note".to_vec(), vec![b'x'; 14 * MIB])]);
            bed.teleport.set_plugin_data(&id, "slack", notes).unwrap();
            bed.teleport.delete(TCTL, &id).unwrap();
        }
        let before = bed.ask();
        let daemon = bed.start_watched(TEAM).await;
        let after = bed.ask();
        for id in [&before, &after] {
            bed.until_status(&daemon, "C0TEAM", id, PENDING).await;
        }
        until_logged_times(&bed, &daemon, "Listing records failed", 2).await;
        let line = daemon.logged("Listing records failed").unwrap();
        assert!(line.contains("ERROR") && line.contains("more than 64 MiB"), "{line}");
        assert!(
            line.contains("retry_in_s=") && line.contains("an hour after its access was to end"),
            "{line}"
        );
        let figures = daemon.figures().await;
        assert!(figures["failed_lists_total{list=\"records\"}"] >= 2.0, "{figures:?}");
        assert_eq!(figures["failed_lists_total{list=\"requests\"}"], 0.0);
        assert_eq!(figures["ready"], 1.0);
        approve(&bed, &after);
        bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
        assert_eq!(daemon.times_logged("Watcher connected"), 1, "{}", daemon.log_tail());
        daemon.stop().await;
    });
}

#[test]
fn more_requests_than_one_message_holds_hide_no_new_one() {
    story(async {
        let bed = Bed::new().await;
        let hostile: Vec<_> =
            (0..5).map(|_| bed.ask_for(NewRequest::roles(&["dba"], &"x".repeat(14 * MIB)))).collect();
        let before = bed.ask();
        let daemon = bed.launch(&bed.watched_config(TEAM));
        until_logged_times(&bed, &daemon, "Listing requests failed", 2).await;
        let line = daemon.logged("Listing requests failed").unwrap();
        assert!(line.contains("more than 64 MiB") && line.contains("tctl request rm"), "{line}");
        let after = bed.ask();
        bed.until_status(&daemon, "C0TEAM", &after, PENDING).await;
        let (status, text) = daemon.ask("/readyz").await;
        assert!(status == 503 && text.contains("listing the access requests fails for"), "{status} {text}");
        assert!(bed.cards("C0TEAM", &before).is_empty());
        // The pending ones alone fit again.
        for id in &hostile[..4] {
            bed.teleport.set_state(TCTL, id, RequestState::Denied, "", "").unwrap();
        }
        bed.until_status(&daemon, "C0TEAM", &before, PENDING).await;
        bed.until_status(&daemon, "C0TEAM", &hostile[4], PENDING).await;
        assert_eq!(daemon.times_logged("Watcher connected"), 1, "{}", daemon.log_tail());
        // What the short list lacks is not taken for gone.
        approve(&bed, &after);
        bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
        for id in &hostile[..4] {
            bed.teleport.delete(TCTL, id).unwrap();
        }
        bed.until(&daemon, "the whole list", || daemon.logged("extent=Whole")).await;
        bed.until_logged(&daemon, "Ready").await;
        bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
        daemon.stop().await;
    });
}

#[test]
fn a_list_that_is_refused_fails_or_hangs_is_made_again_beside_the_stream() {
    story(async {
        for (era, method) in [
            (Era::Old, Method::GetAccessRequests),
            (Era::V15, Method::GetAccessRequestsV2),
            (Era::Newest, Method::ListAccessRequests),
        ] {
            let bed = bed_of(era).await;
            let before = bed.ask();
            let refused = Fault::Answer(Refusal::new(Code::PermissionDenied, "access denied"));
            let faults = bed.teleport.faults();
            for (fault, times) in [(Fault::Hang, Times::Next(1)), (refused, Times::UntilCleared)] {
                // Slower than any list, and not in the way of anything.
                faults.script(method, fault, times);
            }
            let daemon = bed.launch(&bed.watched_config(TEAM));
            bed.until_logged(&daemon, "Watcher connected").await;
            let after = bed.ask();
            bed.until_status(&daemon, "C0TEAM", &after, PENDING).await;
            approve(&bed, &after);
            bed.until_status(&daemon, "C0TEAM", &after, APPROVED).await;
            faults.clear();
            // The call that hangs is a minute's; a new watch does not wait for it.
            bed.teleport.faults().end_watches(&Ending::Clean);
            bed.until_status(&daemon, "C0TEAM", &before, PENDING).await;
            faults.script(method, Fault::unavailable(), Times::Next(3));
            bed.teleport.faults().end_watches(&Ending::Clean);
            until_logged_times(&bed, &daemon, "Listing requests failed", 3).await;
            let line = daemon.logged("Listing requests failed").unwrap();
            assert!(line.contains("WARN") && line.contains("are shown as they come"), "{line}");
            bed.until(&daemon, "the next list", || (daemon.times_logged("extent=Whole") >= 2).then_some(()))
                .await;
            assert_eq!(daemon.figures().await["ready"], 1.0);
            daemon.stop().await;
        }
    });
}

#[test]
fn an_empty_list_for_want_of_a_right_ends_no_message_in_any_era() {
    story(async {
        let all = Era::ALL.into_iter().flat_map(|era| ["list", "read"].map(|missing| (era, missing)));
        future::join_all(all.map(|(era, missing)| keeps_its_messages_without(era, missing))).await;
    });
}

async fn keeps_its_messages_without(era: Era, missing: &str) {
    let bed = bed_of(era).await;
    let daemon = bed.start_watched(TEAM).await;
    let [kept, deleted, removed] = [bed.ask(), bed.ask(), bed.ask()];
    let short = NewRequest { pending_ttl: Some(Duration::from_secs(6)), ..NewRequest::roles(&["dba"], "") };
    let over = bed.ask_for(short);
    for id in [&kept, &deleted, &removed, &over] {
        bed.until_status(&daemon, "C0TEAM", id, PENDING).await;
    }
    let has = ["list", "read"].into_iter().find(|verb| *verb != missing).unwrap();
    set_verbs(&bed, &[has]);
    if missing == "list" {
        // A watch needs `read` alone.
        bed.teleport.faults().end_watches(&Ending::Clean);
        let line = bed.until_logged(&daemon, "lacks the verb list on access_request").await;
        assert!(line.contains("ERROR") && line.contains("verbs: ['list', 'read']"), "{line}");
        let (status, text) = daemon.ask("/readyz").await;
        assert!(status == 503 && text.contains("lacks the verb list"), "{era:?} {status} {text}");
        assert_eq!(daemon.figures().await["requests_hidden"], 1.0);
        bed.teleport.delete(TCTL, &deleted).unwrap();
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;
    }
    // A start, which saw none of them pending.
    daemon.stop().await;
    bed.teleport.delete(TCTL, &removed).unwrap();
    let daemon = bed.launch(&bed.watched_config(TEAM));
    bed.until(&daemon, "the missing right", || daemon.logged("access_request")).await;
    let asked = bed.teleport.journal().count(Method::GetPluginData);
    bed.until(&daemon, "the records", || {
        (missing == "read" || bed.teleport.journal().count(Method::GetPluginData) > asked).then_some(())
    })
    .await;
    if missing == "list" {
        bed.until_status(&daemon, "C0TEAM", &over, "⌛ EXPIRED").await;
    }
    bed.until_status(&daemon, "C0TEAM", &kept, PENDING).await;
    bed.until_status(&daemon, "C0TEAM", &removed, PENDING).await;
    assert!(daemon.logged("INFO Ready").is_none(), "{}", daemon.log_tail());
    set_verbs(&bed, &["list", "read"]);
    bed.until_logged(&daemon, "Ready").await;
    bed.until_deleted(&daemon, "C0TEAM", &removed).await;
    bed.until_status(&daemon, "C0TEAM", &over, "⌛ EXPIRED").await;
    bed.until_status(&daemon, "C0TEAM", &kept, PENDING).await;
    assert_eq!(daemon.figures().await["requests_hidden"], 0.0);
    daemon.stop().await;
}

#[test]
fn rights_that_cannot_be_asked_for_end_no_message_either() {
    story(async {
        for (era, method) in [(Era::Old, Method::GetRole), (Era::V15, Method::GetCurrentUserRoles)] {
            let bed = bed_of(era).await;
            let daemon = bed.start_watched(TEAM).await;
            let id = bed.ask();
            bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
            let refused = Fault::Answer(Refusal::new(Code::PermissionDenied, "access denied"));
            bed.teleport.faults().script(method, refused, Times::UntilCleared);
            set_verbs(&bed, &["read"]);
            bed.teleport.faults().end_watches(&Ending::Clean);
            let line = bed.until_logged(&daemon, "extent=Unknown").await;
            let told = daemon.logged("cannot be known").unwrap_or_default();
            assert!(told.contains("WARN") && told.contains("verbs: ['list', 'read']"), "{told} {line}");
            let (status, text) = daemon.ask("/readyz").await;
            assert!(status == 503 && text.contains("cannot be known"), "{status} {text}");
            bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
            bed.teleport.delete(TCTL, &id).unwrap();
            bed.until_deleted(&daemon, "C0TEAM", &id).await;
            daemon.stop().await;
        }
    });
}
