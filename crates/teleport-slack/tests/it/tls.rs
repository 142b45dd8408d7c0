//! Unusable certificates, keys and servers: the start refuses each with the file or address, the cause and the remedy.

use std::path::Path;

use access_sim::teleport::certs::{Authorities, CertOptions, KeyKind, Subject};
use access_sim::teleport::presets::{PLUGIN_USER, plugin_rules};
use access_sim::teleport::{Options, ServerVersion, fixture::Fixture};
use jiff::{SignedDuration, Timestamp};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const RENEW_REMEDY: &str = "sign a new one with `tctl auth sign";

/// The start must end with `status` and log all of these words.
async fn assert_rejected(bed: &TestBed, config: &str, status: i32, words: &[&str]) {
    let (code, log) = bed.run_to_exit(config).await;
    assert_eq!(code, Some(status), "{log}");
    for words in words {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
    assert!(!log.contains("Ready"), "{log}");
    assert_eq!(bed.slack.calls().len(), 0, "Slack was asked before the identity was found good");
}

/// The start must wait, log all of these words in an ERROR, call Slack not once, and continue after `fix`.
async fn assert_waits(bed: &TestBed, words: &[&str], fix: impl FnOnce()) {
    let asked = bed.slack.calls().len();
    let daemon = bed.launch(&bed.config(TEAM));
    let is_logged = |log: &str| {
        let log = log.replace(bed.dir.path().to_str().unwrap(), "DIR");
        log.lines().any(|line| line.contains(" ERROR ") && words.iter().all(|words| line.contains(words)))
    };
    bed.until(&daemon, &format!("{words:?}"), || is_logged(&daemon.log()).then_some(())).await;
    assert_eq!(bed.slack.calls().len(), asked, "Slack was asked before the identity was found good");
    assert_eq!(daemon.exit_status(), None);
    fix();
    bed.until_logged(&daemon, "Ready").await;
    daemon.stop().await;
}

/// Corrupts the file `name`, and signs again afterwards so that the next case starts clean.
async fn assert_file_rejected(bed: &TestBed, name: &str, corrupt: impl FnOnce(&Path), words: &[&str]) {
    let path = bed.dir.path().join(name);
    corrupt(&path);
    let file = format!("DIR/{name}");
    let words: Vec<_> = words.iter().copied().chain([file.as_str()]).collect();
    assert_rejected(bed, &bed.config(TEAM), 77, &words).await;
    if path.is_dir() {
        std::fs::remove_dir(&path).unwrap();
    }
    bed.sign(CertOptions::default());
}

fn write(text: impl AsRef<[u8]>) -> impl FnOnce(&Path) {
    move |path| std::fs::write(path, text).unwrap()
}

/// A PEM frame around invalid bytes.
fn framed(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAAECAwQFBgcICQ==\n-----END {label}-----\n")
}

#[test]
fn unreadable_files_are_named() {
    run_in_process(async {
        let bed = TestBed::new().await;
        for name in ["auth.key", "auth.crt", "auth.cas"] {
            let remedy = "put the file there: `tctl auth sign --format=tls --user=access-plugin --out=auth \
                          --ttl=8760h` writes auth.key, auth.crt and auth.cas";
            let gone = |path: &Path| std::fs::remove_file(path).unwrap();
            assert_file_rejected(&bed, name, gone, &["cannot read", remedy, "No such file"]).await;
            let remedy =
                "name the file that `tctl auth sign` or tbot wrote, and let the daemon's user read it";
            let folder = |path: &Path| {
                std::fs::remove_file(path).unwrap();
                std::fs::create_dir(path).unwrap();
            };
            assert_file_rejected(&bed, name, folder, &["cannot read", remedy, "Is a directory"]).await;
            let large = write(vec![b'x'; 2 << 20]);
            assert_file_rejected(&bed, name, large, &["is larger than 1 MiB", "check the path"]).await;
        }
    });
}

#[test]
fn invalid_content_a_missing_part_and_a_wrong_kind_are_distinguished() {
    run_in_process(async {
        let bed = TestBed::new().await;
        for garbage in [&b""[..], b"not a key\n", b"\xff\xfe\x00\x01"] {
            assert_file_rejected(&bed, "auth.key", write(garbage), &["holds no private key", RENEW_REMEDY])
                .await;
        }
        assert_file_rejected(&bed, "auth.crt", write("garbage"), &["holds no certificate", RENEW_REMEDY])
            .await;
        assert_file_rejected(&bed, "auth.cas", write("garbage"), &["holds no CA certificate", RENEW_REMEDY])
            .await;

        let key = framed("PRIVATE KEY");
        assert_file_rejected(
            &bed,
            "auth.key",
            write(key),
            &["is damaged or neither RSA, ECDSA nor Ed25519", RENEW_REMEDY],
        )
        .await;
        let certificate = framed("CERTIFICATE");
        let damaged = ["certificate number 1", "is damaged", RENEW_REMEDY];
        assert_file_rejected(&bed, "auth.crt", write(&certificate), &damaged).await;
        assert_file_rejected(&bed, "auth.cas", write(&certificate), &damaged).await;

        let encrypted = framed("ENCRYPTED PRIVATE KEY");
        assert_file_rejected(
            &bed,
            "auth.key",
            write(encrypted),
            &["encrypted with a passphrase", RENEW_REMEDY],
        )
        .await;
        let ssh = framed("OPENSSH PRIVATE KEY");
        assert_file_rejected(&bed, "auth.key", write(ssh), &["OpenSSH's format", RENEW_REMEDY]).await;

        let two = std::fs::read_to_string(bed.dir.path().join("auth.crt")).unwrap().repeat(2);
        assert_file_rejected(&bed, "auth.crt", write(two), &["holds 2 certificates", "is it the CA file?"])
            .await;
    });
}

#[test]
fn a_key_of_another_certificate_is_rejected() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let other = bed.teleport.credentials(PLUGIN_USER, CertOptions::default());
        let words = ["the private key in DIR/auth.key does not belong to the certificate in DIR/auth.crt"];
        assert_file_rejected(&bed, "auth.key", write(&other.key_pem), &words).await;
        assert_file_rejected(&bed, "auth.crt", write(&other.cert_pem), &words).await;
    });
}

#[test]
fn swapped_files_in_the_configuration_are_reported_as_swapped() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let config = bed.config(TEAM);
        let (key, crt) = ("client_key = \"auth.key\"", "client_crt = \"auth.crt\"");
        let exchanged = "the paths of the private key and the certificate are probably exchanged";

        let key_is_crt = config.replace(key, "client_key = \"auth.crt\"");
        let both = key_is_crt.replace(crt, "client_crt = \"auth.key\"");
        for config in [both, key_is_crt] {
            let words = ["DIR/auth.crt holds no private key but a certificate", exchanged];
            assert_rejected(&bed, &config, 77, &words).await;
        }
        let crt_is_key = config.replace(crt, "client_crt = \"auth.key\"");
        let words = ["DIR/auth.key holds no certificate but a private key", exchanged];
        assert_rejected(&bed, &crt_is_key, 77, &words).await;
        let cas_are_key = config.replace("root_cas = \"auth.cas\"", "root_cas = \"auth.key\"");
        assert_rejected(
            &bed,
            &cas_are_key,
            77,
            &["DIR/auth.key holds a private key and no certificate of a CA"],
        )
        .await;
    });
}

#[test]
fn an_expired_certificate_and_a_future_one_are_distinguished() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let day = SignedDuration::from_hours(24);
        let now = Timestamp::now();
        bed.sign(CertOptions {
            not_before: Some(now - day - day),
            not_after: Some(now - day),
            ..CertOptions::default()
        });
        let renew = || bed.sign(CertOptions::default());
        assert_waits(&bed, &["the certificate in DIR/auth.crt expired at ", RENEW_REMEDY], renew).await;
        bed.sign(CertOptions {
            not_before: Some(now + day),
            not_after: Some(now + day + day),
            ..CertOptions::default()
        });
        let words = [
            "the certificate in DIR/auth.crt is valid only from ",
            "compare this machine's clock with the time",
        ];
        assert_waits(&bed, &words, renew).await;
    });
}

#[test]
fn files_that_are_half_written_while_the_daemon_waits_for_a_certificate_do_not_end_it() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let now = Timestamp::now();
        let hour = SignedDuration::from_hours(1);
        bed.sign(CertOptions {
            not_before: Some(now - hour - hour),
            not_after: Some(now - hour),
            ..CertOptions::default()
        });
        let daemon = bed.launch(&bed.config(TEAM));
        bed.until_logged(&daemon, "the certificate in ").await;
        // As `tctl auth sign` leaves them for a moment.
        std::fs::write(bed.dir.path().join("auth.crt"), "").unwrap();
        let line = bed.until_logged(&daemon, "auth.crt holds no").await;
        assert!(line.contains(" ERROR No identity for Teleport: "), "{line}");
        bed.sign(CertOptions::default());
        bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    });
}

#[test]
fn another_clusters_server_and_another_clusters_identity_are_refused() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let addr = bed.teleport.addr().to_string();
        let other = Authorities::new("other").unwrap();
        std::fs::write(bed.dir.path().join("auth.cas"), other.host_ca_pem()).unwrap();
        let words =
            [addr.as_str(), "its certificate is not from a CA of our identity", "of the right cluster"];
        let renew = || bed.sign(CertOptions::default());
        assert_waits(&bed, &words, renew).await;

        let who =
            Subject { user: PLUGIN_USER, role: "access-plugin", traits_json: "null", impersonator: None };
        let foreign = other.client(who, CertOptions::default()).unwrap();
        foreign.write_tls_files(bed.dir.path(), "auth").unwrap();
        std::fs::write(bed.dir.path().join("auth.cas"), bed.teleport.authorities().host_ca_pem()).unwrap();
        let words = [addr.as_str(), "it refuses the daemon's certificate", "`tctl auth sign`"];
        assert_waits(&bed, &words, renew).await;
    });
}

#[test]
fn every_kind_of_key_works_in_three_files_and_in_one() {
    run_in_process(async {
        let bed = TestBed::new().await;
        for key in [KeyKind::EcPkcs8, KeyKind::EcSec1, KeyKind::RsaPkcs1, KeyKind::RsaPkcs8] {
            let options = CertOptions { key, ..CertOptions::default() };
            bed.sign(options);
            let daemon = bed.start(TEAM).await;
            assert!(daemon.find_logged("user=access-plugin").is_some(), "{}", daemon.log());
            daemon.stop().await;

            let credentials = bed.teleport.credentials(PLUGIN_USER, options);
            let identity = credentials.identity_file();
            std::fs::write(bed.dir.path().join("auth_id"), &identity).unwrap();
            let config = identity_config(&bed);
            let daemon = bed.launch(&config);
            bed.until_logged(&daemon, "Ready").await;
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
            let log = daemon.stop().await;
            let secret = credentials.key_pem.lines().nth(1).unwrap();
            assert!(!log.contains(secret), "{log}");
        }
        // The error names the single file that lacks a part.
        let credentials = bed.teleport.credentials(PLUGIN_USER, CertOptions::default());
        let file = bed.dir.path().join("auth_id");
        for (text, words) in [
            (credentials.key_pem.clone(), "DIR/auth_id holds no certificate"),
            (credentials.cert_pem.clone() + &credentials.cas_pem, "DIR/auth_id holds no private key"),
            (credentials.key_pem + &credentials.cert_pem, "DIR/auth_id holds no CA certificate"),
        ] {
            std::fs::write(&file, text).unwrap();
            let (code, log) = bed.run_to_exit(&identity_config(&bed)).await;
            assert_eq!(code, Some(77), "{log}");
            assert!(log.contains(words) && log.contains(RENEW_REMEDY), "{log}");
        }
    });
}

fn identity_config(bed: &TestBed) -> String {
    let config = bed.config(TEAM).replace("client_key = \"auth.key\"", "identity = \"auth_id\"");
    config.replace("client_crt = \"auth.crt\"", "").replace("root_cas = \"auth.cas\"", "")
}

#[test]
fn a_server_that_is_too_old_or_names_no_version_is_refused() {
    run_in_process(async {
        for version in ["6.0.2", "garbage", ""] {
            let server_version = version.to_owned();
            let options = Options {
                reported_version: server_version,
                ..Options::new(ServerVersion::V6, Fixture::golden())
            };
            let bed = TestBed::with_options(options, workspace()).await;
            let found = format!("the auth server's version is {version:?}");
            let words = [found.as_str(), "6.1 or later is needed", "upgrade Teleport"];
            assert_rejected(&bed, &bed.config(TEAM), 1, &words).await;
        }
    });
}

#[test]
fn the_start_waits_for_a_deleted_user() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.teleport.edit_fixture(|fixture| fixture.users.retain(|user| user.name != PLUGIN_USER));
        // This release does not distinguish a lock from a deleted user.
        let words = ["PERMISSION_DENIED", "`tctl get locks`", "still there with `tctl get users`"];
        assert_waits(&bed, &words, || bed.teleport.edit_fixture(|fixture| *fixture = Fixture::golden()))
            .await;
    });
}

#[test]
fn a_user_without_permissions_makes_the_log_name_the_rule_until_it_is_granted() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.teleport.edit_fixture(|fixture| fixture.role_mut("access-plugin").unwrap().allow.rules.clear());
        let id = bed.create_request();
        let daemon = bed.launch(&bed.config(TEAM));
        let line = bed.until_warned(&daemon, "PERMISSION_DENIED").await;
        assert!(line.contains("ERROR"), "{line}");
        assert!(line.contains("{resources: ['access_request'], verbs: ['list', 'read']}"), "{line}");
        assert!(line.contains("WatchEvents"), "{line}");
        bed.teleport.edit_fixture(|fixture| {
            fixture.role_mut("access-plugin").unwrap().allow.rules = plugin_rules();
        });
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}
