//! Slack's secrets change while the daemon runs, or are wrong at start. The daemon waits, logs the remedy, and loads
//! new secrets from their files without help.

use std::path::PathBuf;
use std::time::Duration;

use ::http::StatusCode;
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::workspace::TokenState;

use crate::harness::deciding::*;
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

/// A configuration that names a file for its secret, and that file.
fn in_file(bed: &TestBed, config: &str, secret: &str) -> (String, PathBuf) {
    let file = bed.dir.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    assert!(config.contains(&format!("{secret:?}")), "{config}");
    (config.replace(&format!("{secret:?}"), &format!("{file:?}")), file)
}

fn calls(bed: &TestBed, method: &str) -> usize {
    bed.slack.calls_of(method).len()
}

#[test]
fn the_start_waits_on_a_refused_token_and_uses_a_new_one() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let (config, file) = in_file(&bed, &bed.config_with_diagnostics(TEAM), &bed.slack.token());
        std::fs::write(&file, "xoxb-wrong-4711").unwrap();
        let daemon = bed.launch(&config);
        let line = bed.until_warned(&daemon, "Slack refuses the bot token").await;
        for words in [
            " ERROR ",
            "auth.test",
            "invalid_auth",
            "the token is wrong",
            "remedy: check the bot token",
            "(setting: slack.token)",
        ] {
            assert!(line.contains(words), "{line}");
        }
        let remedy = format!("a new one in {} is used within seconds, without a restart", file.display());
        assert!(line.contains(&remedy) && !line.contains("4711"), "{line}");
        let answer = daemon.get("/readyz").await;
        let words = "not ready: Slack has not answered yet; Slack refuses the bot token\n";
        assert_eq!(answer, (StatusCode::SERVICE_UNAVAILABLE, words.to_owned()));
        // An empty file and one of the wrong kind change nothing; the log names each cause once.
        for wrong in ["", "xapp-1-A-1"] {
            std::fs::write(&file, wrong).unwrap();
            let holds = if wrong.is_empty() { "it is empty" } else { "it is an app-level token" };
            let line = bed.until_warned(&daemon, holds).await;
            assert!(line.contains(" WARN ") && line.contains("holds no usable bot token"), "{line}");
        }
        std::fs::write(&file, bed.slack.token()).unwrap();
        bed.until_logged(&daemon, "Ready").await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_eq!(daemon.get("/readyz").await.0, StatusCode::OK);
        assert_eq!(daemon.times_logged("Slack refuses the bot token, so the daemon can show nothing"), 1);
        daemon.stop().await;
    });
}

#[test]
fn a_revoked_token_is_replaced_without_help() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let old = bed.slack.token();
        let (config, file) = in_file(&bed, &bed.config_with_diagnostics(TEAM), &old);
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        bed.slack.set_token("xoxb-2-new-4711");
        let id = bed.create_request();
        let line =
            bed.until_warned(&daemon, "Slack refuses the bot token, so the daemon can show nothing").await;
        assert!(line.contains(" ERROR ") && line.contains("invalid_auth"), "{line}");
        let answer = daemon.get("/readyz").await;
        assert_eq!(answer.1, "not ready: Slack refuses the bot token\n");
        assert!(bed.messages_about("C0TEAM", &id).is_empty());
        std::fs::write(&file, "xoxb-2-new-4711\n").unwrap();
        // The daemon retries refused calls at once, not after their back-off.
        let limit = Duration::from_secs(15);
        bed.until_within(limit, &daemon, "the message", || bed.message_about("C0TEAM", &id)).await;
        assert_eq!(daemon.get("/readyz").await.0, StatusCode::OK);
        let log = daemon.stop().await;
        assert!(log.contains("INFO  A new bot token was found in") && !log.contains("4711"), "{log}");
    });
}

#[test]
fn a_token_of_another_bot_is_not_used() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let own = bed.slack.token();
        let (config, file) = in_file(&bed, &bed.config_with_diagnostics(TEAM), &own);
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        for (field, value) in [("user_id", "U0OTHERBOT"), ("team_id", "T0OTHER")] {
            // Slack's answers for the token of another app, and for one of another workspace.
            let altered = Fault::Altered(vec![(field.to_owned(), Some(value.into()))]);
            bed.slack.faults().add(FaultRule::new("auth.test", altered));
            let other = format!("xoxb-2-{field}-4711");
            bed.slack.set_token(&other);
            let before = daemon.times_logged("is not used: it is of another app or workspace");
            std::fs::write(&file, &other).unwrap();
            let refused = || daemon.times_logged("is not used: it is of another app or workspace") > before;
            bed.until(&daemon, "the refusal", || refused().then_some(())).await;
            bed.slack.set_token(&own);
            bed.slack.faults().clear();
        }
        let line = bed.until_logged(&daemon, "is not used: it is of another app or workspace").await;
        assert!(line.contains(" WARN ") && line.contains("restart the daemon if that is meant"), "{line}");
        // The one in use stays.
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(!log.contains("is in use") && !log.contains("4711"), "{log}");
    });
}

#[test]
fn a_refused_token_in_the_configuration_itself_is_tried_again() {
    run_in_process(async {
        let bed = TestBed::new().await;
        for (state, code) in [
            (TokenState::Revoked, "token_revoked"),
            (TokenState::AccountInactive, "account_inactive"),
            (TokenState::Expired, "token_expired"),
        ] {
            bed.slack.set_token_state(state);
            let asked = calls(&bed, "auth.test");
            let daemon = bed.launch(&bed.config(TEAM));
            let line = bed.until_warned(&daemon, code).await;
            let remedy = "a new one in the configuration is used within seconds, without a restart";
            assert!(line.contains(" ERROR ") && line.contains(remedy), "{line}");
            // The daemon retries the same token with pauses, in case Slack accepts it again.
            bed.until(&daemon, "another try", || (calls(&bed, "auth.test") >= asked + 2).then_some(())).await;
            bed.slack.set_token_state(TokenState::Valid);
            bed.until_logged(&daemon, "Slack takes the bot token again").await;
            bed.until_logged(&daemon, "Ready").await;
            daemon.stop().await;
        }
    });
}

#[test]
fn a_refused_app_level_token_is_replaced_without_help() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let old = bed.slack.app().app_token;
        let (config, file) = in_file(&bed, &bed.review_config(Transport::Socket, ANY_OF_THREE), &old);
        bed.slack.set_socket_mode(true);
        bed.slack.set_app(|app| app.app_token = "xapp-1-A0BOT-4711".to_owned());
        let daemon = bed.launch(&config);
        let line = bed.until_warned(&daemon, "No Socket Mode connection").await;
        assert!(line.contains(" ERROR ") && line.contains("apps.connections.open"), "{line}");
        // The daemon does not use another app's token.
        std::fs::write(&file, "xapp-1-A0OTHER-1").unwrap();
        bed.until_warned(&daemon, "it is of another Slack app").await;
        std::fs::write(&file, "xapp-1-A0BOT-4711").unwrap();
        let sockets = bed.slack.sockets();
        bed.until(&daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;
        let log = daemon.stop().await;
        assert!(!log.contains("4711"), "{log}");
    });
}

#[test]
fn a_new_signing_secret_counts_for_the_next_callback() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let old = bed.slack.app().signing_secret;
        let (config, file) = in_file(&bed, &bed.review_config(Transport::Http, ANY_OF_THREE), &old);
        let daemon = bed.launch_with_review(&config);
        bed.until_logged(&daemon, "Ready").await;
        bed.slack.set_request_url(Some(&callback_url(&bed, &daemon).await));
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        bed.slack.set_app(|app| app.signing_secret = "0123456789abcdef0123456789abcdef".to_owned());
        std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
        bed.until_logged(&daemon, "A new signing secret was found in").await;
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        daemon.stop().await;
    });
}
