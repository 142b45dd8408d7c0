//! The plugin itself is not let in: its Teleport user is locked or deleted. Nothing is taken for gone, the log says what
//! helps, and all goes on when it is let in again.

use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::world::World;
use access_sim::teleport::{Era, Options};

use crate::support::*;
use crate::teleport_faults::{TEAM, ask_and_during_the_post, assert_told_once};

type Change = fn(&mut World);

/// How the plugin can be shut out, what the log says of it, and how it is let in again.
const WAYS: [(Change, &str, Change); 2] = [
    (
        |world| world.locked.push(PLUGIN_USER.to_owned()),
        "access denied; the plugin's Teleport user is shut out: look for a lock on it with `tctl get locks`",
        |world| world.locked.clear(),
    ),
    (
        |world| world.users.retain(|user| user.name != PLUGIN_USER),
        "user \"access-plugin\" not found; the plugin's Teleport user was deleted: make it again",
        |world| world.users = World::golden().users,
    ),
];

async fn new_bed() -> Bed {
    Bed::with(Options::new(Era::V15, World::golden()), workspace()).await
}

#[test]
fn what_was_posted_when_the_plugin_was_shut_out_is_recorded_afterwards() {
    story(async {
        for (shut_out, words, let_in) in WAYS {
            let bed = new_bed().await;
            let daemon = bed.start(TEAM).await;
            let id = ask_and_during_the_post(&bed, &daemon, || bed.teleport.edit_world(shut_out)).await;
            let line = bed.until_told(&daemon, words).await;
            assert!(line.contains("ERROR"), "{line}");
            assert_eq!(field(&bed.record(&id), "messages"), "");
            bed.teleport.edit_world(let_in);
            bed.until_recorded(&daemon, &id, |record| field(record, "messages").starts_with("C0TEAM/")).await;
            assert_told_once(&bed, &daemon, &id).await;
            let log = daemon.stop().await;
            assert!(!log.contains("The request is gone"), "{log}");
        }
    });
}

#[test]
fn a_server_that_is_too_old_later_is_waited_for() {
    story(async {
        let bed = new_bed().await;
        let daemon = bed.start_watched(TEAM).await;
        let before = bed.ask();
        bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;
        // Somebody restores an old release, or another server answers there.
        bed.teleport.set_server_version("6.0.2");
        bed.teleport.restart().await.unwrap();
        let line = bed.until_told(&daemon, "the auth server's version is \"6.0.2\"").await;
        assert!(
            line.contains(" ERROR ") && line.contains("6.1 or later is needed; upgrade Teleport"),
            "{line}"
        );
        bed.until_logged(&daemon, "Watcher still lost: the auth server's version").await;
        let id = bed.ask();
        // The remedy.
        bed.teleport.set_server_version("15.1.9");
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_told_once(&bed, &daemon, &id).await;
        assert_eq!(daemon.ask("/readyz").await.0, ::http::StatusCode::OK);
        assert_eq!(daemon.times_logged("ERROR Watcher lost"), 1);
        daemon.stop().await;
    });
}

#[test]
fn a_plugin_that_is_shut_out_at_start_waits_and_says_what_helps() {
    story(async {
        for (shut_out, words, let_in) in WAYS {
            let bed = new_bed().await;
            bed.teleport.edit_world(shut_out);
            let daemon = bed.launch(&bed.watched_config(TEAM));
            let line = bed.until_told(&daemon, words).await;
            assert!(
                line.contains(" ERROR Teleport does not let the plugin in, which is waited for: "),
                "{line}"
            );
            assert_eq!(daemon.ask("/readyz").await.1, "not ready: Teleport has not answered yet\n");
            bed.teleport.edit_world(let_in);
            bed.until_logged(&daemon, "Ready").await;
            daemon.stop().await;
        }
    });
}
