//! The daemon's own certificate: renewed while it runs, expired, replaced; without a restart.

use access_sim::teleport::call_log::Method;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::PLUGIN_USER;
use jiff::{SignedDuration, Timestamp};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
/// Another user with the plugin's rights. The user that the server sees shows which certificate the daemon uses.
const RENEWED: &str = "access-plugin-rw";

#[test]
fn a_renewed_certificate_is_used_by_every_later_call_and_by_the_watch() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        let before = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;

        let renewed = bed.teleport.credentials(RENEWED, CertOptions::default());
        renewed.write_tls_files(bed.dir.path(), "auth").unwrap();
        bed.until_logged(&daemon, "The certificate was renewed and is in use").await;
        bed.until(&daemon, "the watch on the new connection", || {
            (daemon.times_logged("Watcher connected") == 2 && bed.teleport.watchers() == 1).then_some(())
        })
        .await;
        assert_eq!(last_user(&bed, Method::WatchEvents), RENEWED);

        // A decision and a new request arrive over it, and the daemon records them with it.
        bed.approve(&before);
        bed.until_status(&daemon, "C0TEAM", &before, "✅ APPROVED (looks fine)").await;
        let after = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &after, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &after, |record| record.contains_key("messages")).await;
        assert_eq!(last_user(&bed, Method::UpdatePluginData), RENEWED);
        let log = daemon.log();
        let (_, since) = log.split_once("The certificate was renewed").unwrap();
        assert!(!since.contains("WARN") && !since.contains("ERROR"), "a renewal is no error\n{log}");

        // Later connections use it too.
        bed.teleport.restart().await.unwrap();
        let later = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &later, "⏳ PENDING").await;
        assert_eq!(last_user(&bed, Method::WatchEvents), RENEWED);
        daemon.stop().await;
    });
}

#[test]
fn an_expired_certificate_is_logged_and_replacing_it_is_enough() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let end = Timestamp::now() + SignedDuration::from_secs(8);
        bed.sign(CertOptions { not_after: Some(end), ..CertOptions::default() });
        let daemon = bed.start(TEAM).await;
        let line = bed.until_logged(&daemon, "has expired and Teleport accepts no new connection").await;
        assert!(line.contains("ERROR") && line.contains("tctl auth sign"), "{line}");
        // Certificates end with a second: within its last one the server still takes it.
        let is_over = || (Timestamp::now() > end + SignedDuration::from_secs(1)).then_some(());
        bed.until(&daemon, "the second after the end", is_over).await;
        bed.teleport.restart().await.unwrap();
        bed.until_logged(&daemon, "it refuses the daemon's certificate").await;
        let missed = bed.create_request();

        bed.sign(CertOptions::default());
        bed.until_status(&daemon, "C0TEAM", &missed, "⏳ PENDING").await;
        assert_eq!(last_user(&bed, Method::WatchEvents), PLUGIN_USER);
        daemon.stop().await;
    });
}

#[test]
fn damaged_files_leave_the_certificate_in_use() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM).await;
        std::fs::write(bed.dir.path().join("auth.crt"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
        let line = bed.until_logged(&daemon, "cannot be used, so the identity in use stays").await;
        assert!(line.contains("WARN") && line.contains("auth.crt"), "{line}");
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}

/// The user of the daemon's last call of a method.
fn last_user(bed: &TestBed, method: Method) -> String {
    let calls = bed.teleport.call_log().calls();
    calls.into_iter().rfind(|call| call.method == method).unwrap().user.unwrap()
}
