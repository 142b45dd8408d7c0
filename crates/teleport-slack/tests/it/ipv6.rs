//! Machines with IPv6 alone, and listeners for both families.

use std::net::Ipv6Addr;

use access_sim::slack::{self, SlackSim};
use access_sim::teleport::{self, TeleportSim};

use crate::harness::deciding::*;
use crate::harness::*;
use crate::reach::TEAM;

/// Both sides at `::1` and nowhere else.
pub(crate) async fn bed_without_ipv4() -> TestBed {
    let listen = (Ipv6Addr::LOCALHOST, 0).into();
    let cluster = teleport::Options { listen, ..teleport::Options::golden() };
    let slack = slack::Options { rate_limits: None, listen, ..slack::Options::new(full_workspace()) };
    let bed = TestBed {
        teleport: TeleportSim::start(cluster).await.unwrap(),
        slack: SlackSim::start(slack).await.unwrap(),
        dir: tempfile::tempdir().unwrap(),
    };
    bed.sign_as(PLUGIN_RW);
    bed
}

#[test]
fn with_ipv6_alone_a_request_is_decided_over_either_transport() {
    run_in_process(async {
        for transport in [Transport::Http, Transport::Socket] {
            let bed = bed_without_ipv4().await;
            bed.slack.set_socket_mode(transport == Transport::Socket);
            let config = bed.review_config(transport, ANY_OF_THREE).replace("127.0.0.1:0", "[::1]:0");
            assert!(!config.contains("127.0.0.1"), "{config}");
            let daemon = bed.launch_with_review(&config);
            bed.until_logged(&daemon, "Ready").await;
            if transport == Transport::Http {
                bed.slack.set_request_url(Some(&callback_url(&bed, &daemon).await));
            }
            let id = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            bed.assert_bob_can_approve(&daemon, &message, &id).await;
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
            daemon.stop().await;
        }
    });
}

#[test]
fn a_listener_on_every_address_takes_both_families() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let config = bed.config(&format!("{TEAM}\n[diagnostics]\nlisten_addr = \"[::]:0\""));
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        let line = daemon.find_logged("Serving health and metrics on http://[::]:").unwrap();
        let port = line.split_once("[::]:").unwrap().1.split_whitespace().next().unwrap().to_owned();
        for host in ["127.0.0.1", "[::1]"] {
            for path in ["/readyz", "/status"] {
                let (status, body) = http::get(&format!("http://{host}:{port}{path}")).await;
                assert!(status.is_success(), "{host} {path}: {status} {body}");
            }
        }
        daemon.stop().await;
    });
}
