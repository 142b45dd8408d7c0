//! `teleport-slack check` as operators and service managers run it: the built program, its output, and its exit status.

use std::path::Path;
use std::process::Command;

use ::http::StatusCode;
use access_core::domain::secret::Secret;
use slack_client::callback_probe::probe_callback;
use teleport_slack::check::report::{Item, ItemId, Status};

use crate::check_table;
use crate::harness::*;

/// The exit status and standard output of `check`, which writes nothing to standard error.
fn check(config: &Path, more: &[&str]) -> (Option<i32>, String) {
    let out =
        Command::new(program()).arg("check").arg("-c").arg(config).args(more).env_clear().output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    (out.status.code(), String::from_utf8(out.stdout).unwrap())
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn offline_it_calls_neither_side_and_needs_no_environment() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(r#"recipients = ["C0TEAM"]"#));
        write_private(&config, &std::fs::read_to_string(&config).unwrap());
        let (status, text) = check(&config, &["--offline"]);
        assert_eq!(status, Some(0), "{text}");
        assert!(
            text.contains("✓ in-force: 1 recipient, 0 roles mapped, deciding in Slack is off\n"),
            "{text}"
        );
        // `auth_server` is an old name.
        assert!(
            text.contains("! config-keys: teleport.auth_server: line 3\n    cause: this is an old name\n"),
            "{text}"
        );
        assert!(text.ends_with("1 to look at, 12 ok; exit status 0\n"), "{text}");
        assert_eq!(check(&config, &["--offline", "--strict"]).0, Some(78));
        assert_eq!(bed.slack.calls().len(), 0);
        assert_eq!(bed.teleport.call_log().calls().len(), 0);
    });
}

/// A list of authorities that leads nowhere is no reason to trust others.
#[test]
fn without_trusted_certificates_slack_is_not_asked() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.config(r#"recipients = ["C0TEAM"]"#);
        let config = bed.write_config(&config.replace(&bed.slack.api_url(), "https://127.0.0.1:1/api/"));
        let mut command = Command::new(program());
        command.arg("check").arg("-c").arg(&config).env_clear().env("SSL_CERT_FILE", "/nowhere/roots.pem");
        let out = command.output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let line = "✗ slack-bot-token: not asked\n    \
                    cause: SSL_CERT_FILE or SSL_CERT_DIR is set and leads to no trusted certificate: ";
        assert!(text.contains(line), "{text}");
        let remedy = "\n    remedy: name a PEM file of them, or unset it to use those of this machine\n";
        assert!(text.split(line).nth(1).unwrap().contains(remedy), "{text}");
        assert!(text.contains("Slack cannot be called"), "{text}");
        assert_eq!(out.status.code(), Some(1), "{text}");
        assert_eq!(bed.slack.calls().len(), 0);
    });
}

#[test]
fn json_says_the_same_to_programs() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config("recipients = [\"C0TEAM\"]\nsecre = \"\""));
        let (status, text) = check(&config, &["--offline", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &report["exit_status"]), (Some(78), &serde_json::json!(78)));
        let items = report["items"].as_array().unwrap();
        let failed: Vec<_> = items.iter().filter(|item| item["status"] == "failed").collect();
        let [one] = failed.as_slice() else { panic!("{text}") };
        assert_eq!((&one["id"], &one["subject"]), (&"config-keys".into(), &"slack.secre".into()));
        assert!(one["remedy"].as_str().unwrap().contains("did you mean"), "{text}");
    });
}

#[test]
fn the_daemon_logs_at_its_start_what_check_would_say() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let rules =
            "recipients = [\"C0TEAM\"]\n[role_to_recipients]\n\"*\" = \"C0TEAM\"\n\"?*\" = \"C0TEAM\"\n";
        let daemon = bed.launch(&bed.config(rules));
        bed.until_logged(&daemon, "Ready").await;
        let line = daemon.find_logged("Check: ").unwrap();
        assert!(
            line.contains(" WARN ") && line.contains("is for every role; remove one of the two entries"),
            "{line}"
        );
        assert!(line.contains("check=notification-rules"), "{line}");
        assert_eq!(daemon.times_logged("Check: "), 1);
        daemon.stop().await;
    });
}

#[test]
fn exchanged_key_and_certificate_files_end_the_start_before_any_call() {
    run_test(async {
        let bed = TestBed::new().await;
        let review = "recipients = [\"C0TEAM\"]\n[review]\nenabled = true\nallow_email_username_match = true\nsigning_secret = \"0123456789abcdef\"\n\
            [http]\nhttps_key_file = \"auth.crt\"\nhttps_cert_file = \"auth.key\"\n";
        let (status, log) = bed.run_to_exit(&bed.config(review)).await;
        assert_eq!(status, Some(77), "{log}");
        assert!(log.contains("auth.key holds a private key and no certificate"), "{log}");
        assert!(log.contains("https_key_file and https_cert_file are probably exchanged"), "{log}");
        assert_eq!(bed.teleport.call_log().calls().len() + bed.slack.calls().len(), 0);
    });
}

#[test]
fn the_sandbox_of_the_demo_is_green_and_test_messages_are_removed() {
    run_test(async {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(program());
        command.args(["demo", "--port", "0", "--sandbox"]).arg(dir.path());
        let demo = Daemon::run(&mut command, "");
        demo.until_logged("The page for both sides is at ").await;
        let (status, text) = check(&dir.path().join("teleport-slack.toml"), &["--send-test"]);
        assert_eq!(status, Some(0), "{text}");
        assert!(!text.contains('✗'), "{text}");
        assert!(text.contains("✓ in-force: 3 recipients, 2 roles mapped, 2 rules, Socket Mode\n"), "{text}");
        assert!(text.contains("✓ slack-same-app: both tokens are of the app "), "{text}");
        assert_eq!(text.matches("✓ slack-test-messages: ").count(), 3, "{text}");
        demo.stop().await;
    });
}

#[test]
fn it_opens_no_socket_mode_connection_and_changes_nothing() {
    run_test(async {
        let bed =
            TestBed::with_options(access_sim::teleport::Options::golden(), workspace().with_socket_mode())
                .await;
        let review = format!(
            "recipients = [\"C0TEAM\", \"bob@example.com\"]\n[review]\nenabled = true\napp_token = \"{}\"\n\
             [review.users]\nU0BOB = \"bob@example.com\"\n[[review.rule]]\nroles = \"dba\"\napprovers = [\"bob@example.com\"]\n",
            bed.slack.app().app_token
        );
        let id = bed.create_request();
        let before = bed.record(&id);
        let (_, text) = check(&bed.write_config(&bed.config(&review)), &[]);
        assert!(text.contains("✓ slack-app-token: "), "{text}");
        assert_eq!(bed.slack.sockets().opened(), 0, "{text}");
        let changing = ["chat.", "views.", "response_url"];
        let calls = bed.slack.calls();
        let changed: Vec<_> =
            calls.iter().filter(|call| changing.iter().any(|name| call.method.starts_with(name))).collect();
        assert!(changed.is_empty(), "{changed:?}");
        assert_eq!(bed.record(&id), before);
        assert_eq!(bed.slack.dm_with("U0BOB"), None, "no direct message was opened");
    });
}

#[test]
fn a_side_that_is_away_and_a_refused_token_have_their_own_statuses() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.config(r#"recipients = ["C0TEAM"]"#);
        let away = config.replace(&bed.teleport.addr().to_string(), "127.0.0.1:1");
        let (status, text) = check(&bed.write_config(&away), &[]);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains("✗ teleport-server: ") && text.contains("✓ slack-bot-token: "), "{text}");
        assert!(text.contains("! teleport-rights: not looked at\n"), "{text}");
        bed.slack.set_token_state(access_sim::slack::workspace::TokenState::Revoked);
        let (status, text) = check(&bed.write_config(&away), &[]);
        assert_eq!(status, Some(77), "{text}");
        assert!(
            text.contains("✗ slack-bot-token: failed\n    cause: Slack's auth.test failed: token_revoked"),
            "{text}"
        );
        let hidden = "! slack-scopes, slack-recipients, slack-layouts, slack-clock: not looked at\n";
        assert!(text.contains(hidden), "{text}");
        assert!(!text.contains(&bed.slack.token()), "{text}");
        let (_, json) = check(&bed.write_config(&away), &["--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        let items = report["items"].as_array().unwrap();
        let ids: Vec<_> = items.iter().filter_map(|item| item["id"].as_str()).collect();
        for id in ["teleport-rights", "slack-scopes", "slack-recipients", "slack-layouts", "slack-clock"] {
            assert!(ids.contains(&id), "{id}: {json}");
        }
    });
}

#[test]
fn waits_that_slack_asks_for_are_kept() {
    run_test(async {
        use access_sim::slack::faults::{Fault, FaultRule};
        let bed = TestBed::new().await;
        let limited = FaultRule::new("blocks.validate", Fault::RateLimited { retry_after: 1 }).times(1);
        bed.slack.faults().add(limited);
        let (status, text) = check(&bed.write_config(&bed.config(r#"recipients = ["C0TEAM"]"#)), &[]);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("✓ slack-layouts: Slack would show each of 13 kinds"), "{text}");
        assert_eq!(
            bed.slack.calls_of("blocks.validate").len(),
            13 + 1,
            "each kind once, and the refused call again"
        );
    });
}

#[test]
fn test_messages_are_marked_posted_once_and_removed() {
    run_test(async {
        use access_sim::slack::faults::{Fault, FaultRule};
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(r#"recipients = ["C0TEAM", "bob@example.com"]"#));
        let (status, text) = check(&config, &["--send-test"]);
        assert_eq!(status, Some(0), "{text}");
        let posts = bed.slack.calls_of("chat.postMessage");
        let marked =
            posts.iter().filter(|call| format!("{:?}", call.arguments).contains("This is a test of"));
        assert_eq!((posts.len(), marked.count(), bed.slack.calls_of("chat.delete").len()), (2, 2, 2));
        assert!(bed.slack.all_messages().is_empty(), "{:?}", bed.slack.all_messages());
        // One that cannot be removed is shown, with its recipient.
        let refused = Fault::Error("cant_delete_message".to_owned());
        bed.slack.faults().add(FaultRule::new("chat.delete", refused).times(1));
        let (status, text) = check(&config, &["--send-test"]);
        assert_ne!(status, Some(0), "{text}");
        assert!(
            text.contains("✗ slack-test-messages: C0TEAM: a message arrived and is still there\n"),
            "{text}"
        );
        assert!(text.contains("\n    remedy: delete it in Slack by hand\n"), "{text}");
        assert!(
            text.contains("cant_delete_message") && text.contains("✓ slack-test-messages: bob@"),
            "{text}"
        );
    });
}

/// Until the system refuses connections. A process that another test starts has, until it runs its program, a copy of what
/// this process had open: as long the port outlives its listener, and then it resets the connections that it took.
async fn until_closed(bed: &TestBed, url: &str) {
    let address = url.split('/').nth(2).unwrap();
    let connect = || std::net::TcpStream::connect(address).err();
    let is_refused = || connect().filter(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    let closed = bed.holds_within(std::time::Duration::from_secs(30), None, is_refused).await;
    closed.expect("the port stays open");
}

#[test]
fn the_ports_of_a_running_daemon_are_its_own() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let [diagnostics, callbacks] = [0, 1].map(|_| {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            taken.local_addr().unwrap()
        });
        let config = bed.config(&format!(
            "recipients = [\"C0TEAM\"]\n[review]\nenabled = true\nallow_email_username_match = true\n\
             signing_secret = \"0123456789abcdef\"\n[http]\nlisten_addr = \"{callbacks}\"\nhttps_key_file = \"auth.key\"\n\
             https_cert_file = \"auth.crt\"\n[diagnostics]\nlisten_addr = \"{diagnostics}\""
        ));
        let path = bed.write_config(&config);
        let listeners_of = async |path: &Path| {
            let report = check_table::check(path, false).await;
            let items = report.items.into_iter().filter(|item| item.id == ItemId::ListenAddresses);
            let words =
                |item: &Item| item.problem.as_ref().map_or(item.summary.clone(), |it| it.cause.clone());
            items.map(|item| (item.status, format!("{} {}", item.subject, words(&item)))).collect::<Vec<_>>()
        };
        let listeners = async || listeners_of(&path).await;
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        let found = listeners().await;
        let words = "is in use by the teleport-slack that runs with this configuration";
        let [(Status::Ok, one), (Status::Ok, two)] = found.as_slice() else { panic!("{found:?}") };
        assert!(one.starts_with(&format!("diagnostics.listen_addr {diagnostics} {words}")), "{one}");
        assert!(two.starts_with(&format!("http.listen_addr {callbacks} {words}")), "{two}");
        // The same file by another name.
        let link = bed.dir.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let folder = bed.dir.path().file_name().unwrap();
        let winding = bed.dir.path().join("..").join(folder).join(path.file_name().unwrap());
        for same in [&link, &winding] {
            let found = listeners_of(same).await;
            assert!(matches!(found.as_slice(), [(Status::Ok, _), (Status::Ok, _)]), "{same:?}: {found:?}");
        }
        // Another file of the same text: its daemon could not have the ports.
        let copy = bed.dir.path().join("copy.toml");
        std::fs::copy(&path, &copy).unwrap();
        let found = listeners_of(&copy).await;
        let [(Status::Warning, one), (Status::Warning, two)] = found.as_slice() else { panic!("{found:?}") };
        for words in [one, two] {
            let path = path.display();
            let expected = format!("a running teleport-slack whose configuration is another file: {path}");
            assert!(words.contains(&expected), "{words}");
        }
        daemon.stop().await;
        let _other = std::net::TcpListener::bind(diagnostics).unwrap();
        let found = listeners().await;
        assert!(matches!(found.as_slice(), [(Status::Warning, _), (Status::Ok, _)]), "{found:?}");
    });
}

#[test]
fn public_addr_is_called_as_slack_would_call_it_and_nothing_changes() {
    run_in_process(async {
        use crate::harness::deciding::*;
        let bed = TestBed::with_review().await;
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let url = callback_url(&bed, &daemon).await;
        let config = bed.review_config(Transport::Http, ANY_OF_THREE);
        let config = config.replace("[http]\n", &format!("[http]\npublic_addr = \"{url}\"\n"));
        let secret = bed.slack.app().signing_secret;
        let look = async |config: &str| {
            let path = bed.dir.path().join("look.toml");
            std::fs::write(&path, config).unwrap();
            let report = crate::check_table::check(&path, false).await;
            let item = report.items.into_iter().find(|item| item.id == ItemId::CallbackAddress).unwrap();
            assert_eq!(item.subject, url);
            (item.status, item.problem.unwrap().cause)
        };
        let (status, cause) = look(&config).await;
        let words = "the daemon answers, but not over TLS, and Slack calls https:// only (from this machine)";
        assert_eq!((status, cause.as_str()), (Status::Warning, words), "{}", daemon.log());
        // Each call has a signature of its own, or one of two within a second would be taken for a replay.
        let signing = Secret::new(secret.clone());
        let (one, other) = {
            let direct = client_base::outbound::Outbound::default();
            let probe = || probe_callback(&url, &signing, &direct);
            tokio::join!(probe(), probe())
        };
        assert_eq!((one.unwrap().signed, other.unwrap().signed), (StatusCode::OK, StatusCode::OK));
        assert!(daemon.find_logged(" WARN  A callback").is_none(), "{}", daemon.log());
        assert_eq!(daemon.times_logged("Handled an interaction"), 0);
        let (status, cause) = look(&config.replace(&secret, "0123456789abcdef0123456789abcdef")).await;
        let words = "a correctly signed call is refused (from this machine)";
        assert_eq!((status, cause.as_str()), (Status::Failed, words));
        bed.stop_and_check_secrets(daemon).await;
        until_closed(&bed, &url).await;
        let (status, cause) = look(&config).await;
        assert_eq!((status, cause.as_str()), (Status::Warning, "nothing listens there (from this machine)"));
    });
}
