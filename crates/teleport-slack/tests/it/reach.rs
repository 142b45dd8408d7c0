//! The daemon where the address is not the auth server's own: behind a Teleport proxy.

use std::net::SocketAddr;
use std::process::Command;

use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::proxy::{Led, ProxyOptions, ProxySim, WebCertificate};
use access_sim::teleport::relay::{Relay, RelayKind};
use teleport_slack::check::report::ItemId;

use crate::harness::*;

pub(crate) const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

/// A request is posted, decided, and its message edited.
pub(crate) async fn one_request_through(bed: &TestBed, daemon: &Daemon) {
    let id = bed.create_request();
    bed.until_status(daemon, "C0TEAM", &id, "⏳ PENDING").await;
    bed.approve(&id);
    bed.until_status(daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
}

/// What `check` says of the server.
async fn server_line(bed: &TestBed, addr: SocketAddr) -> String {
    let path = bed.write_config(&bed.config_at(addr, TEAM));
    let report = crate::check_table::check(&path, false).await;
    report.items.into_iter().find(|item| item.id == ItemId::TeleportServer).unwrap().summary
}

#[test]
fn through_a_proxy_it_works_as_with_the_auth_server_and_survives_both() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let proxy = ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap();
        // One identity file; the other tests have three.
        let identity = bed.teleport.credentials(PLUGIN_USER, CertOptions::default()).identity_file();
        std::fs::write(bed.dir.path().join("auth_id"), identity).unwrap();
        let line = TcpProxy::start(proxy.web_addr()).await.unwrap();
        let config = bed.config_at(line.addr(), TEAM);
        let separate = config.lines().filter(|line| {
            ["client_key", "client_crt", "root_cas"].iter().all(|key| !line.trim_start().starts_with(key))
        });
        let config = separate.collect::<Vec<_>>().join("\n");
        let daemon = bed.launch(&config.replace("[teleport]", "[teleport]\nidentity = \"auth_id\""));
        bed.until_logged(&daemon, "Ready").await;
        one_request_through(&bed, &daemon).await;

        // The proxy goes and comes back; then the auth server behind it does.
        line.cut().await;
        bed.until_logged(&daemon, "Watcher lost").await;
        line.restore().await.unwrap();
        one_request_through(&bed, &daemon).await;
        bed.teleport.stop().await;
        bed.until_logged(&daemon, "its cluster is not the identity's and when its auth server is down").await;
        bed.teleport.restart().await.unwrap();
        one_request_through(&bed, &daemon).await;
        assert!(proxy.count(Led::ToAuth) > 2, "{:?}", proxy.led());
        daemon.stop().await;
    });
}

#[test]
fn check_says_how_the_auth_server_is_reached() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let proxy = ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap();
        let direct = server_line(&bed, bed.teleport.addr()).await;
        assert!(direct.contains("answers, reached directly at 127.0.0.1:"), "{direct}");
        let through = server_line(&bed, proxy.web_addr()).await;
        assert!(through.contains("answers, reached through the proxy at 127.0.0.1:"), "{through}");
    });
}

/// The program with `SSL_CERT_FILE`, in which the authority of the proxy's bought certificates stands.
pub(crate) fn trusting(bed: &TestBed, proxy: &ProxySim, command: &str) -> Command {
    let roots = bed.dir.path().join("roots.pem");
    std::fs::write(&roots, proxy.authority_pem()).unwrap();
    let mut program = Command::new(program());
    program.arg(command).arg("-c").arg(bed.dir.path().join("teleport-slack.toml"));
    program.env("SSL_CERT_FILE", roots);
    program
}

#[test]
fn where_something_ends_tls_a_connection_upgrade_is_used_and_logged() {
    run_test(async {
        let bed = TestBed::new().await;
        let options = ProxyOptions { certificate: WebCertificate::Bought, ..ProxyOptions::default() };
        let proxy = ProxySim::start(&bed.teleport, options).await.unwrap();
        let pair = proxy.bought(&["127.0.0.1"]).unwrap();
        let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: Some(proxy.authority_pem()) };
        let relay = Relay::start(kind, proxy.web_addr()).await.unwrap();
        bed.write_config(&bed.config_at(relay.addr(), TEAM));

        let daemon = Daemon::run(&mut trusting(&bed, &proxy, "start"), &bed.slack.token());
        bed.until_logged(&daemon, "Ready").await;
        one_request_through(&bed, &daemon).await;
        let logged = format!(
            "The auth server is reached through the proxy at {} by a connection upgrade",
            relay.addr()
        );
        assert_eq!(daemon.times_logged(&logged), 1, "{}", daemon.log());
        bed.teleport.stop().await;
        bed.until_logged(&daemon, "cannot reach its cluster's auth server").await;
        bed.teleport.restart().await.unwrap();
        one_request_through(&bed, &daemon).await;
        assert_eq!(daemon.times_logged(&logged), 1, "it is remembered: {}", daemon.log());

        let checked = trusting(&bed, &proxy, "check").output().unwrap();
        let checked = String::from_utf8(checked.stdout).unwrap();
        let expected =
            format!("answers, reached by a connection upgrade through the proxy at {}", relay.addr());
        assert!(checked.contains(&expected), "{checked}");
        daemon.stop().await;
    });
}

#[test]
fn an_untrusted_relay_that_opens_tls_is_waited_for_with_both_reasons() {
    run_test(async {
        let bed = TestBed::new().await;
        let (proxy, stranger) = (
            ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap(),
            ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap(),
        );
        let pair = stranger.bought(&["127.0.0.1"]).unwrap();
        let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: None };
        let relay = Relay::start(kind, proxy.web_addr()).await.unwrap();
        bed.write_config(&bed.config_at(relay.addr(), TEAM));
        let daemon = Daemon::run(&mut trusting(&bed, &proxy, "start"), &bed.slack.token());
        let line = bed.until_logged(&daemon, "cannot connect to the Teleport auth server").await;
        for words in [" ERROR ", "nothing before it opens TLS", "SSL_CERT_FILE"] {
            assert!(line.contains(words), "{words:?} is not in {line}");
        }
        assert_eq!(daemon.exit_status(), None);
        daemon.stop().await;
    });
}
