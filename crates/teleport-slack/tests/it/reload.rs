//! The configuration changes while the daemon runs, with SIGHUP and without: the new whole counts for the next click and the
//! next reconciliation, or nothing of it does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ::http::StatusCode;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::Options;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::faults::{Repeat, WatchEnd};
use access_sim::teleport::presets::PLUGIN_USER;

use crate::harness::deciding::*;
use crate::harness::*;

/// A channel that refuses is tried again after up to this time.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const TEAM_AND_DBA: &str = r#"recipients = ["C0TEAM", "C0DBA"]"#;

#[test]
fn a_new_recipient_gets_open_requests_and_none_that_were_decided_before() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let decided = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &decided, "⏳ PENDING").await;
        bed.approve(&decided);
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        // Decided before the daemon saw it, and shown all the same.
        bed.teleport.faults().drop_events(Repeat::UntilCleared);
        let late = bed.create_request();
        bed.approve(&late);
        bed.teleport.faults().clear();
        bed.teleport.faults().end_watches(&WatchEnd::Clean);
        bed.until_status(&daemon, "C0TEAM", &late, "✅ APPROVED (looks fine)").await;
        let open = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &open, "⏳ PENDING").await;
        for id in [&decided, &late] {
            bed.until_recorded(&daemon, id, |record| field(record, "x_complete") == "1").await;
        }
        assert_eq!(field(&bed.record(&open), "x_complete"), "");
        reload(&bed, &daemon, &bed.config(TEAM_AND_DBA)).await;
        bed.until_status(&daemon, "C0DBA", &open, "⏳ PENDING").await;
        let left_out = |id: &String| {
            let words = format!(
                "request={id} operation=post destination=C0DBA reason=\"when the request was decided, no message to this recipient was due"
            );
            daemon.find_logged(&words)
        };
        for id in [&decided, &late] {
            bed.until(&daemon, "the reason", || left_out(id)).await;
        }
        daemon.stop().await;
        // The same after a restart.
        let daemon = bed.start(TEAM_AND_DBA).await;
        bed.approve(&open);
        bed.until_status(&daemon, "C0DBA", &open, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
        assert_eq!(bed.slack.messages("C0DBA").iter().filter(|m| m.thread_ts.is_none()).count(), 1);
    });
}

#[test]
fn a_channel_without_the_bot_lets_no_new_recipient_have_decided_requests() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.kick_bot("C0DBA");
        let daemon = bed.start(TEAM_AND_DBA).await;
        let decided = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &decided, "⏳ PENDING").await;
        bed.until_logged(&daemon, "not_in_channel").await;
        bed.approve(&decided);
        bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_recorded(&daemon, &decided, |record| field(record, "x_owed") == r#"["C0DBA"]"#).await;
        let open = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &open, "⏳ PENDING").await;
        reload(&bed, &daemon, &bed.config(r#"recipients = ["C0TEAM", "C0DBA", "U0BOB"]"#)).await;
        bed.until_status(&daemon, "U0BOB", &open, "⏳ PENDING").await;
        let words = format!(
            "request={decided} operation=post destination=U0BOB reason=\"when the request was decided, no message to this recipient was due"
        );
        bed.until_logged(&daemon, &words).await;
        // The one that was missing then still gets its message.
        bed.slack.invite_bot("C0DBA");
        for (id, status) in [(&decided, "✅ APPROVED (looks fine)"), (&open, "⏳ PENDING")] {
            let shown = || bed.message_about("C0DBA", id).filter(|m| status_line(m).contains(status));
            bed.until_within(RECOVERY_TIMEOUT, &daemon, status, shown).await;
        }
        bed.until_recorded(&daemon, &decided, |record| field(record, "x_complete") == "1").await;
        daemon.stop().await;
        assert!(bed.messages_about("U0BOB", &decided).is_empty());
    });
}

#[test]
fn a_recipient_who_was_owed_a_decided_request_gets_it_under_any_name() {
    run_in_process(async {
        let others = [
            ("dba-approvers", "C0DBA", "C0DBA"),
            ("C0DBA", "#dba-approvers", "C0DBA"),
            ("U0BOB", "bob@example.com", "U0BOB"),
            ("bob@example.com", "U0BOB", "U0BOB"),
        ];
        for (before, after, destination) in others {
            let bed = TestBed::new().await;
            let refusal = FaultRule::new("chat.postMessage", Fault::Error("channel_not_found".into()));
            for name in [before, destination] {
                bed.slack.faults().add(refusal.clone().in_channel(name));
            }
            let recipients = |name: &str| format!("recipients = [\"C0TEAM\", \"{name}\"]");
            let daemon = bed.start(&recipients(before)).await;
            let decided = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &decided, "⏳ PENDING").await;
            bed.until_logged(&daemon, "channel_not_found").await;
            bed.approve(&decided);
            bed.until_status(&daemon, "C0TEAM", &decided, "✅ APPROVED (looks fine)").await;
            let name = before.replace("dba-approvers", "#dba-approvers");
            let is_owed = |record: &BTreeMap<String, String>| field(record, "x_owed").contains(&name);
            bed.until_recorded(&daemon, &decided, is_owed).await;
            // It is out of the configuration for a moment, and another recipient is there.
            reload(&bed, &daemon, &bed.config(r#"recipients = ["C0TEAM", "U0CAROL"]"#)).await;
            let open = bed.create_request();
            bed.until_status(&daemon, "U0CAROL", &open, "⏳ PENDING").await;
            bed.slack.faults().clear();
            reload(&bed, &daemon, &bed.config(&recipients(after))).await;
            bed.until_status(&daemon, destination, &open, "⏳ PENDING").await;
            bed.until_status(&daemon, destination, &decided, "✅ APPROVED (looks fine)").await;
            daemon.stop().await;
            assert_eq!(bed.messages_about(destination, &decided).len(), 1, "{before} {after}");
            assert!(bed.messages_about("U0CAROL", &decided).is_empty(), "{before} {after}");
        }
    });
}

#[test]
fn where_slack_shows_no_names_a_decided_request_waits_for_the_name_that_was_owed_it() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace().with_scopes(&["chat:write"])).await;
        bed.slack.kick_bot("C0DBA");
        let recipients = |name: &str| format!("recipients = [\"C0TEAM\", \"{name}\"]");
        let daemon = bed.start(&recipients("dba-approvers")).await;
        let decided = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &decided, "⏳ PENDING").await;
        bed.until_logged(&daemon, "not_in_channel").await;
        bed.approve(&decided);
        bed.until_recorded(&daemon, &decided, |record| field(record, "x_owed") == r##"["#dba-approvers"]"##)
            .await;
        bed.slack.invite_bot("C0DBA");
        reload(&bed, &daemon, &bed.config(&recipients("C0DBA"))).await;
        let words = "destination=C0DBA reason=\"when the request was decided, a message was due to a recipient of another name";
        bed.until_logged(&daemon, words).await;
        reload(&bed, &daemon, &bed.config(&recipients("dba-approvers"))).await;
        bed.until_status(&daemon, "C0DBA", &decided, "✅ APPROVED (looks fine)").await;
        bed.until_recorded(&daemon, &decided, |record| field(record, "x_complete") == "1").await;
        daemon.stop().await;
        assert_eq!(bed.messages_about("C0DBA", &decided).len(), 1);
    });
}

#[test]
fn a_request_without_recipients_is_not_shown_to_new_ones_after_its_decision() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let rules = "[role_to_recipients]\n\"other\" = [\"C0TEAM\"]";
        let daemon = bed.start(rules).await;
        let (decided, open) = (bed.create_request(), bed.create_request());
        bed.approve(&decided);
        bed.until_recorded(&daemon, &decided, |record| field(record, "x_complete") == "1").await;
        reload(&bed, &daemon, &bed.config(TEAM)).await;
        bed.until_status(&daemon, "C0TEAM", &open, "⏳ PENDING").await;
        bed.until_logged(
            &daemon,
            "destination=C0TEAM reason=\"when the request was decided, no message to this recipient was due",
        )
        .await;
        daemon.stop().await;
        assert!(bed.messages_about("C0TEAM", &decided).is_empty());
    });
}
const IN_USE: &str = "The new configuration is in use";
const REFUSED: &str = "The new configuration is refused, so the one before stays in use";

/// Writes another configuration, sends SIGHUP, and waits until it is in use.
async fn reload(bed: &TestBed, daemon: &Daemon, config: &str) {
    let before = daemon.times_logged(IN_USE);
    bed.write_config(config);
    daemon.signal("HUP");
    bed.until(daemon, IN_USE, || (daemon.times_logged(IN_USE) > before).then_some(())).await;
}

/// Writes the configuration as a rename does.
fn replace_config(bed: &TestBed, config: &str) -> PathBuf {
    let (new, path) = (bed.dir.path().join("new.toml"), bed.dir.path().join("teleport-slack.toml"));
    std::fs::write(&new, config).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path
}

#[test]
fn a_click_after_a_reload_is_verified_with_the_new_signing_secret() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let new = "0123456789abcdef0123456789abcdef";
        let config = bed.review_config(Transport::Http, ANY_OF_THREE);
        let config = config.replace(&bed.slack.app().signing_secret, new);
        bed.slack.set_app(|app| app.signing_secret = new.to_owned());
        reload(&bed, &daemon, &config).await;
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        // The listener is the one of before.
        assert_eq!(daemon.times_logged("Starting insecure HTTP server on"), 1);
        daemon.stop().await;
    });
}

#[test]
fn a_click_after_a_reload_is_judged_by_the_new_rule() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Socket, ANY_OF_THREE).await;
        let opened = bed.slack.calls_of("apps.connections.open").len();
        let without_bob = ANY_OF_THREE.replace("approvers = [\"bob@example.com\", ", "approvers = [");
        reload(&bed, &daemon, &bed.review_config(Transport::Socket, &without_bob)).await;
        let seen = bed.press("U0BOB", &message, "approve").await;
        let reply = reply_text(&daemon, &seen).await;
        assert!(reply.starts_with("You may not decide on role “dba” in Slack"), "{reply}");
        bed.assert_untouched(&daemon, &id);
        reload(&bed, &daemon, &bed.review_config(Transport::Socket, ANY_OF_THREE)).await;
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        assert_eq!(bed.slack.calls_of("apps.connections.open").len(), opened, "the connections stay");
        let log = daemon.stop().await;
        assert_eq!(log.matches("Watcher connected").count(), 1, "so does the watch: {log}");
    });
}

#[test]
fn a_click_after_a_reload_is_answered_with_the_new_token() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Socket, ANY_OF_THREE).await;
        bed.slack.set_token("xoxb-2-new-4711");
        reload(&bed, &daemon, &bed.review_config(Transport::Socket, ANY_OF_THREE)).await;
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        let log = daemon.stop().await;
        assert!(log.contains("slack.token") && !log.contains("4711"), "{log}");
    });
}

#[test]
fn open_requests_follow_new_recipients_with_a_signal_and_without() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        reload(&bed, &daemon, &bed.config(&TEAM_AND_DBA.replace("C0DBA", "bob@example.com"))).await;
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        // Without a signal: the file is replaced, and its contents count.
        replace_config(&bed, &bed.config(TEAM_AND_DBA));
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        assert_eq!(bed.messages_about("C0TEAM", &id).len(), 1);
        daemon.stop().await;
    });
}

#[test]
fn a_refused_configuration_changes_nothing_and_is_reported() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let metrics = daemon.metrics().await;
        assert_eq!(metrics["config_last_reload_successful"], 1.0);
        let loaded_at = metrics["config_last_reload_success_timestamp_seconds"];
        // A good part and two mistakes: nothing of it is taken up.
        let wrong = bed.config_with_diagnostics(&format!("{TEAM_AND_DBA}\nrecipient = 3"));
        let wrong = wrong.replace("client_key = \"auth.key\"", "client_key = 7");
        bed.write_config(&wrong);
        daemon.signal("HUP");
        let lines = ["teleport-slack.toml:4: teleport.client_key", "slack.recipient"];
        for words in lines {
            let line = bed.until_logged(&daemon, words).await;
            assert!(line.contains("ERROR") && line.contains(REFUSED), "{line}");
        }
        let metrics = daemon.metrics().await;
        assert_eq!(metrics["config_last_reload_successful"], 0.0);
        assert!((metrics["config_last_reload_success_timestamp_seconds"] - loaded_at).abs() < 1.0);
        assert_eq!(daemon.get("/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        // The same refusal by another signal is not logged again, and a good one ends it.
        let refused = daemon.times_logged(REFUSED);
        reload(&bed, &daemon, &bed.config_with_diagnostics(TEAM_AND_DBA)).await;
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        assert_eq!((refused, daemon.times_logged(REFUSED)), (2, 2));
        assert_eq!(daemon.metrics().await["config_last_reload_successful"], 1.0);
        daemon.stop().await;
    });
}

#[test]
fn a_good_configuration_with_a_bad_file_or_token_is_refused_as_a_whole() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let config = bed.config(TEAM_AND_DBA);
        let cases = [
            (config.replace("auth.key", "absent.key"), "absent.key"),
            (config.replace(&bed.slack.token(), "xoxb-3-unknown-4711"), "the bot token is not used"),
        ];
        for (config, words) in cases {
            bed.write_config(&config);
            daemon.signal("HUP");
            let line = bed.until_logged(&daemon, words).await;
            assert!(line.contains(REFUSED), "{line}");
        }
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(!log.contains("4711"), "{log}");
    });
}

#[test]
fn a_file_that_returns_to_what_was_taken_up_ends_the_refusal_with_a_line() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let good = bed.config(TEAM);
        replace_config(&bed, &good.replace("recipients", "recipient"));
        bed.until_logged(&daemon, REFUSED).await;
        replace_config(&bed, &good);
        bed.until_logged(&daemon, "are good again").await;
        assert_eq!(daemon.times_logged("nothing in it changed"), 0, "{}", daemon.log());
        daemon.stop().await;
    });
}

#[test]
fn deciding_is_switched_off_and_on_and_moves_to_another_transport() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Socket, ANY_OF_THREE).await;
        let has_buttons = |wanted| {
            let message = bed.message_about("C0TEAM", &id);
            message.filter(|message| button_ids(message).is_empty() != wanted)
        };
        assert!(has_buttons(true).is_some());
        reload(&bed, &daemon, &bed.config("recipients = [\"team\", \"bob@example.com\"]")).await;
        bed.until(&daemon, "no buttons", || has_buttons(false)).await;
        let sockets = bed.slack.sockets();
        bed.until(&daemon, "no sockets", || (sockets.count() == 0).then_some(())).await;
        bed.slack.set_socket_mode(false);
        reload(&bed, &daemon, &bed.review_config(Transport::Http, ANY_OF_THREE)).await;
        bed.slack.set_request_url(Some(&callback_url(&bed, &daemon).await));
        bed.until(&daemon, "buttons", || has_buttons(true)).await;
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        daemon.stop().await;
    });
}

#[test]
fn a_listener_moves_to_its_new_address() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let first = daemon.find_logged("Serving health and metrics on ").unwrap();
        let first = first.rsplit("http://").next().unwrap().trim().to_owned();
        // An address that cannot be had changes nothing.
        let elsewhere = bed.config(&format!("{TEAM_AND_DBA}\n[diagnostics]\nlisten_addr = \"192.0.2.1:9\""));
        bed.write_config(&elsewhere);
        daemon.signal("HUP");
        bed.until_logged(&daemon, "192.0.2.1:9").await;
        assert_eq!(daemon.get("/readyz").await.0, StatusCode::OK);
        let moved = bed.config(&format!("{TEAM}\n[diagnostics]\nlisten_addr = \"127.0.0.2:0\""));
        reload(&bed, &daemon, &moved).await;
        let line = bed.until_logged(&daemon, "Serving health and metrics on http://127.0.0.2:").await;
        let second = line.rsplit("http://").next().unwrap().trim().to_owned();
        let (status, _) = http::get(&format!("http://{second}/readyz")).await;
        assert_eq!(status, StatusCode::OK);
        let closed = || std::net::TcpStream::connect(&first).is_err();
        bed.until(&daemon, "the end of the first", || closed().then_some(())).await;
        daemon.stop().await;
    });
}

#[test]
fn the_start_begins_again_with_a_configuration_that_came_meanwhile() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let good = bed.config_with_diagnostics(TEAM);
        let daemon = bed.launch(&good.replace(&bed.slack.token(), "xoxb-wrong-4711"));
        bed.until_warned(&daemon, "Slack refuses the bot token").await;
        // A wrong one does not disturb what waits.
        bed.write_config("nonsense");
        daemon.signal("HUP");
        bed.until_logged(&daemon, REFUSED).await;
        reload(&bed, &daemon, &good).await;
        bed.until_logged(&daemon, "Ready").await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(!log.contains("4711"), "{log}");
    });
}

#[test]
fn a_swap_of_the_whole_directory_takes_up_configuration_token_and_certificate() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let mount = bed.dir.path().join("mount");
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, mount.join(name)).unwrap();
        let old = bed.slack.token();
        // As the kubelet lays out a mounted secret. The certificate has another path in each version.
        let write_version = |version: &str, recipients: &str, certificate: &str, token: &str| {
            let folder = mount.join(version);
            std::fs::create_dir_all(&folder).unwrap();
            let credentials = bed.teleport.credentials(PLUGIN_USER, CertOptions::default());
            credentials.write_tls_files(&folder, certificate).unwrap();
            std::fs::write(folder.join("token"), token).unwrap();
            let config = bed.config(recipients).replace("\"auth.", &format!("\"{certificate}."));
            let config = config.replace(&format!("{old:?}"), &format!("{:?}", mount.join("token")));
            std::fs::write(folder.join("teleport-slack.toml"), config).unwrap();
        };
        write_version("..v1", TEAM, "first", &old);
        link("..v1", "..data");
        let certificates =
            ["first", "second"].map(|name| ["key", "crt", "cas"].map(|end| format!("{name}.{end}")));
        for name in
            certificates.as_flattened().iter().map(String::as_str).chain(["token", "teleport-slack.toml"])
        {
            link(&format!("..data/{name}"), name);
        }
        let daemon = Daemon::start(&mount.join("teleport-slack.toml"), &old);
        bed.until_logged(&daemon, "Ready").await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;

        write_version("..v2", TEAM_AND_DBA, "second", "xoxb-2-new-4711");
        bed.slack.set_token("xoxb-2-new-4711");
        link("..v2", "..new");
        std::fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
        std::fs::remove_dir_all(mount.join("..v1")).unwrap();
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_logged(&daemon, "The certificate was renewed and is in use").await;
        let log = daemon.stop().await;
        assert!(log.contains(IN_USE) && !log.contains("4711"), "{log}");
    });
}
