//! Through a Teleport proxy, as the simulator has it.

use std::net::SocketAddr;

use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::proxy::{Led, ProxyOptions, ProxySim};
use access_sim::teleport::{Options, ServerVersion, TeleportSim, fixture::Fixture};

use super::*;

pub(super) async fn cluster_named(name: &str) -> TeleportSim {
    let fixture = Fixture { cluster: name.to_owned(), ..Fixture::golden() };
    TeleportSim::start(Options::new(ServerVersion::V15, fixture)).await.unwrap()
}

async fn proxy_of(cluster: &TeleportSim) -> ProxySim {
    ProxySim::start(cluster, ProxyOptions::default()).await.unwrap()
}

pub(super) fn identity(cluster: &TeleportSim) -> Identity {
    let signed = cluster.credentials(PLUGIN_USER, CertOptions::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth_id");
    std::fs::write(&path, signed.identity_file()).unwrap();
    Identity::load(&crate::credentials::Credentials::Identity(path), Timestamp::now()).unwrap()
}

fn client_at(addr: SocketAddr, identity: &Identity) -> Client {
    Client::new(&TeleportAddr::parse(&addr.to_string()).unwrap(), identity, Arc::new(NoObserver))
}

#[tokio::test]
async fn one_list_reaches_the_auth_server_of_every_release_directly_and_through_a_proxy() {
    for version in ServerVersion::ALL {
        let cluster = TeleportSim::start(Options::new(version, Fixture::golden())).await.unwrap();
        let own = identity(&cluster);
        let direct = client_at(cluster.addr(), &own);
        direct.ping().await.unwrap();
        assert_eq!(direct.reach().await, Some(Reach::Direct), "{version:?}");

        for has_separate_ports in [false, true] {
            let options = ProxyOptions { has_separate_ports, ..ProxyOptions::default() };
            let proxy = ProxySim::start(&cluster, options).await.unwrap();
            let client = client_at(proxy.web_addr(), &own);
            let pong = client.ping().await.unwrap();
            assert_eq!(Some(pong.cluster_name.as_str()), own.cluster(), "{version:?}");
            assert_eq!(proxy.led(), [Led::ToAuth]);
            assert_eq!(client.reach().await, Some(Reach::Proxy), "{version:?}");
        }
    }
}

#[tokio::test]
async fn no_way_is_named_when_nothing_answers() {
    let cluster = cluster_named("example.com").await;
    let client = client_at(cluster.addr(), &identity(&cluster));
    cluster.stop().await;
    assert_eq!(client.reach().await, None);
}

#[tokio::test]
async fn a_proxy_of_another_cluster_and_one_without_its_auth_server_end_the_handshake() {
    let (ours, theirs) = (cluster_named("ours.example.com").await, cluster_named("theirs.example.com").await);
    let (our_proxy, their_proxy) = (proxy_of(&ours).await, proxy_of(&theirs).await);
    let own = identity(&ours);
    let client = client_at(our_proxy.web_addr(), &own);
    ours.stop().await;
    for client in [&client, &client_at(their_proxy.web_addr(), &own)] {
        let error = connect_error(client).await;
        assert_eq!((error.kind, error.kind()), (ConnectErrorKind::Closed, ErrorKind::Retry), "{error}");
        let text = error.to_string();
        assert!(text.contains("its cluster is not the identity's") && text.contains("is down"), "{text}");
    }
    ours.restart().await.unwrap();
    client.ping().await.unwrap();
}

#[tokio::test]
async fn the_ssh_port_of_a_proxy_is_called_that() {
    let cluster = cluster_named("example.com").await;
    let options = ProxyOptions { has_separate_ports: true, ..ProxyOptions::default() };
    let proxy = ProxySim::start(&cluster, options).await.unwrap();
    let error = connect_error(&client_at(proxy.ssh_addr().unwrap(), &identity(&cluster))).await;
    assert_eq!(error.kind, ConnectErrorKind::EndsAtProxy, "{error}");
    assert!(error.kind.is_wrong_address(), "{error}");
}

#[tokio::test]
async fn a_name_that_is_too_long_for_a_proxy_works_directly_only() {
    let cluster = cluster_named(&"x".repeat(LONGEST_NAME + 1)).await;
    let own = identity(&cluster);
    client_at(cluster.addr(), &own).ping().await.unwrap();
    let proxy = proxy_of(&cluster).await;
    let error = connect_error(&client_at(proxy.web_addr(), &own)).await;
    assert_eq!(error.kind, ConnectErrorKind::NotRoutable, "{error}");
    assert!(error.to_string().contains("longer than 109 bytes"), "{error}");

    let cluster = cluster_named(&"x".repeat(LONGEST_NAME)).await;
    let proxy = proxy_of(&cluster).await;
    client_at(proxy.web_addr(), &identity(&cluster)).ping().await.unwrap();
}

#[tokio::test]
async fn a_clusters_name_is_asked_for_as_it_is_written() {
    let cluster = cluster_named("Büro Example").await;
    let proxy = proxy_of(&cluster).await;
    client_at(proxy.web_addr(), &identity(&cluster)).ping().await.unwrap();
    assert_eq!(proxy.count(Led::ToAuth), 1);
}
