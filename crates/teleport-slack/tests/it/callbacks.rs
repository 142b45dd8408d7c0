//! Slack's callbacks over the daemon's own TLS, and its key and certificate replaced while it runs.

use std::path::PathBuf;

use access_sim::slack::interactive::Warning;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::ActionOutcome;
use access_sim::teleport::request::RequestState;

use crate::harness::deciding::*;
use crate::harness::*;

/// A key and its self-signed certificate.
struct PemPair {
    key: String,
    cert: String,
}

impl PemPair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self { key: made.signing_key.serialize_pem(), cert: made.cert.pem() }
    }
}

fn files(bed: &TestBed) -> [PathBuf; 2] {
    ["server.key", "server.crt"].map(|name| bed.dir.path().join(name))
}

/// Installs the files as certbot and cert-manager do: written whole, then moved into place.
fn install(bed: &TestBed, pair: &PemPair) {
    for (path, text) in files(bed).iter().zip([&pair.key, &pair.cert]) {
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, path).unwrap();
    }
}

/// Bob presses Approve while Slack trusts this certificate only.
async fn press(bed: &TestBed, message: &MessageView, trusted: &PemPair) -> ActionOutcome {
    bed.slack.set_app(|app| app.request_ca = Some(trusted.cert.clone()));
    bed.slack.click("U0BOB", &message.channel, &message.ts, "approve").await.unwrap()
}

/// Makes a new request, and asserts that bob's press approves it.
async fn assert_approved(bed: &TestBed, daemon: &Daemon, trusted: &PemPair) {
    let id = bed.create_request();
    let message = bed.until_clickable(daemon, "C0TEAM", &id).await;
    let seen = press(bed, &message, trusted).await;
    assert!(seen.acknowledged(), "{seen:?}\n{}", daemon.log());
    assert_eq!(reply_text(daemon, &seen).await, "The request is approved.");
    assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
}

#[test]
fn clicks_arrive_over_tls_and_a_new_certificate_needs_no_restart() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let (old, new) = (PemPair::new(), PemPair::new());
        install(&bed, &old);
        let listen = "listen_addr = \"127.0.0.1:0\"";
        let tls = format!("{listen}\nhttps_key_file = \"server.key\"\nhttps_cert_file = \"server.crt\"");
        let daemon = bed.launch(&bed.review_config(Transport::Http, ANY_OF_THREE).replace(listen, &tls));
        let line = bed.until_logged(&daemon, "Starting secure HTTPS server on ").await;
        let address = line.split_once("server on ").unwrap().1.split_whitespace().next().unwrap().to_owned();
        bed.slack.set_request_url(Some(&format!("https://{address}/slack/interactivity")));
        bed.until_logged(&daemon, "Ready").await;
        assert_approved(&bed, &daemon, &old).await;

        // A caller that does not trust the certificate, or speaks no TLS, decides nothing.
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let seen = press(&bed, &message, &new).await;
        assert!(matches!(seen.warning(), Some(Warning::Unreachable(_))), "{seen:?}");
        bed.slack.set_request_url(Some(&format!("http://{address}/slack/interactivity")));
        let seen = press(&bed, &message, &old).await;
        assert!(matches!(seen.warning(), Some(Warning::Unreachable(_))), "{seen:?}");
        bed.slack.set_request_url(Some(&format!("https://{address}/slack/interactivity")));
        bed.assert_untouched(&daemon, &id);

        // A renewal that went wrong: half of a certificate, and a key that does not belong to it.
        let [key, cert] = files(&bed);
        std::fs::write(&key, &new.key).unwrap();
        std::fs::write(&cert, &new.cert[..new.cert.len() / 2]).unwrap();
        let line = bed.until_logged(&daemon, "The callback listener keeps its old certificate").await;
        assert!(line.contains("ERROR") && line.contains("server.crt"), "{line}");
        assert_approved(&bed, &daemon, &old).await;

        // The renewal is repaired.
        install(&bed, &new);
        bed.until_logged(&daemon, "The callback listener uses the new certificate").await;
        assert_approved(&bed, &daemon, &new).await;
        let seen = press(&bed, &message, &old).await;
        assert!(matches!(seen.warning(), Some(Warning::Unreachable(_))), "{seen:?}");
        bed.assert_untouched(&daemon, &id);
        assert_eq!(daemon.times_logged("keeps its old certificate"), 1, "{}", daemon.log());
        let log = daemon.log();
        for pair in [&old, &new] {
            assert!(!log.contains(pair.key.lines().nth(1).unwrap()), "{log}");
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}
