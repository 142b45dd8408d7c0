//! Where TLS does not get through to the proxy: the connection upgrade, and what stands in its way.

use std::net::SocketAddr;
use std::time::Duration;

use access_sim::captured::Captured;
use access_sim::teleport::TeleportSim;
use access_sim::teleport::proxy::{Led, ProxyOptions, ProxySim, WebCertificate};
use access_sim::teleport::relay::{Relay, RelayKind};
use client_base::outbound::Outbound;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::proxy::{cluster_named, identity};
use super::*;

const BOTH: [&str; 2] = ["localhost", "127.0.0.1"];

/// A cluster, its proxy with a bought certificate, and a balancer before it that ends TLS.
struct Setup {
    cluster: TeleportSim,
    proxy: ProxySim,
    relay: Relay,
}

fn bought() -> ProxyOptions {
    ProxyOptions { certificate: WebCertificate::Bought, ..ProxyOptions::default() }
}

impl Setup {
    async fn new(options: ProxyOptions) -> Self {
        Self::with_alpn(options, Vec::new()).await
    }

    /// With a balancer that agrees to these only.
    async fn with_alpn(options: ProxyOptions, alpn: Vec<Vec<u8>>) -> Self {
        let cluster = cluster_named("example.com").await;
        let proxy = ProxySim::start(&cluster, options.clone()).await.unwrap();
        let again = options.does_tls.then(|| proxy.authority_pem());
        let kind = RelayKind::EndsTls { pair: proxy.bought(&BOTH).unwrap(), alpn, again };
        let relay = Relay::start(kind, proxy.web_addr()).await.unwrap();
        Self { cluster, proxy, relay }
    }

    fn client(&self) -> Client {
        self.client_at(self.relay.addr(), &identity(&self.cluster))
    }

    fn client_at(&self, addr: SocketAddr, identity: &Identity) -> Client {
        client_at(&format!("localhost:{}", addr.port()), identity, &self.proxy, CallTimings::default())
    }
}

/// A client that trusts the authority of this proxy's bought certificates.
fn client_at(addr: &str, identity: &Identity, proxy: &ProxySim, timings: CallTimings) -> Client {
    let authority = CertificateDer::from_pem_slice(proxy.authority_pem().as_bytes()).unwrap();
    let outbound = Outbound { extra_roots: vec![authority], ..Outbound::default() };
    let destination = Destination { addr: TeleportAddr::parse(addr).unwrap(), outbound };
    Client::with_timings(destination, identity, Arc::new(NoObserver), timings)
}

#[tokio::test]
async fn where_something_ends_tls_the_upgrade_is_found_remembered_and_logged() {
    // As HAProxy, as nginx without and with HTTP/2.
    for alpn in [vec![], vec![b"http/1.1".to_vec()], vec![b"h2".to_vec(), b"http/1.1".to_vec()]] {
        let log = Captured::of_crate("teleport_client");
        let setup = Setup::with_alpn(bought(), alpn.clone()).await;
        let client = setup.client();
        client.ping().await.unwrap_or_else(|error| panic!("{alpn:?}: {error}"));
        assert_eq!(client.reach().await, Some(Reach::Upgraded));
        for _ in 0..2 {
            client.reconnect();
            client.ping().await.unwrap();
        }
        client.try_identity(&identity(&setup.cluster)).await.unwrap();
        assert_eq!(setup.proxy.count(Led::ThroughWebSocket), 4, "{:?}", setup.proxy.led());
        assert_eq!(setup.proxy.count(Led::ThroughOldForm), 0);
        assert_eq!(log.count("is reached through the proxy at localhost:"), 1, "{}", log.text());
        assert_eq!(log.count("by a connection upgrade (WebSocket)"), 1, "{}", log.text());
    }
}

#[tokio::test]
async fn the_older_form_comes_after_a_404_only_and_is_remembered() {
    let setup = Setup::new(ProxyOptions { knows_old_form_only: true, ..bought() }).await;
    let client = setup.client();
    client.ping().await.unwrap();
    client.reconnect();
    client.ping().await.unwrap();
    assert_eq!(setup.proxy.count(Led::ThroughOldForm), 2);
    let asked = setup.proxy.count(Led::ToWeb);
    assert_eq!(asked, 3, "once in the newer form: {:?}", setup.proxy.led());
}

#[tokio::test]
async fn a_balancer_that_routes_by_name_is_passed_by_an_upgrade() {
    let cluster = cluster_named("example.com").await;
    let proxy = ProxySim::start(&cluster, bought()).await.unwrap();
    let relay =
        Relay::start(RelayKind::RoutesByName("localhost".to_owned()), proxy.web_addr()).await.unwrap();
    let addr = format!("localhost:{}", relay.addr().port());
    let client = client_at(&addr, &identity(&cluster), &proxy, CallTimings::default());
    client.ping().await.unwrap();
    assert_eq!(proxy.count(Led::ThroughWebSocket), 1);
}

#[tokio::test]
async fn large_answers_and_pings_pass_a_tunnel_of_either_form() {
    for knows_old_form_only in [false, true] {
        let options = ProxyOptions { ping_every: Duration::from_millis(5), knows_old_form_only, ..bought() };
        let setup = Setup::new(options).await;
        for number in 0..300 {
            let reason = format!("{number} {}", "x".repeat(2000));
            let new = access_sim::teleport::request::NewRequest::roles(&["dba"], &reason);
            setup.cluster.request_access("alice@example.com", new).unwrap();
        }
        let client = setup.client();
        let listed = client.list_requests().await.unwrap();
        assert_eq!(listed.requests.len(), 300);
        if !knows_old_form_only {
            let answered = async {
                while setup.proxy.count(Led::ToAnswer) < 3 {
                    client.ping().await.unwrap();
                }
            };
            tokio::time::timeout(Duration::from_secs(20), answered).await.expect("pings are answered");
        }
    }
}

#[tokio::test]
async fn the_straight_way_is_found_again_when_the_balancer_is_gone() {
    let log = Captured::of_crate("teleport_client");
    let Setup { cluster, proxy, relay } = Setup::new(bought()).await;
    let addr = relay.addr();
    let client =
        client_at(&format!("localhost:{}", addr.port()), &identity(&cluster), &proxy, CallTimings::default());
    client.ping().await.unwrap();
    assert_eq!(client.reach().await, Some(Reach::Upgraded));
    relay.stop().await;
    // What answers there now lets TLS through.
    let passing =
        Relay::start_at(addr, RelayKind::RoutesByName("teleport.cluster.local".into()), proxy.web_addr());
    let _passing = passing.await.unwrap();
    client.reconnect();
    client.ping().await.unwrap();
    assert_eq!(client.reach().await, Some(Reach::Proxy));
    assert_eq!(log.count("without a connection upgrade again"), 1, "{}", log.text());
}

#[tokio::test]
async fn a_proxy_says_whether_its_cluster_is_another_or_its_auth_server_is_down() {
    let theirs = cluster_named("theirs.example.com").await;
    let setup = Setup::new(bought()).await;
    let other = setup.client_at(setup.relay.addr(), &identity(&theirs));
    let through_proxy = setup.client_at(setup.proxy.web_addr(), &identity(&theirs));
    for client in [other, through_proxy] {
        let error = connect_error(&client).await;
        assert_eq!(error.kind, ConnectErrorKind::OtherCluster, "{error}");
        assert_eq!(error.kind(), ErrorKind::Permanent);
        let text = error.to_string();
        assert!(text.contains("of \"example.com\", the identity of \"theirs.example.com\""), "{text}");
    }

    let own = identity(&setup.cluster);
    let straight = setup.client_at(setup.proxy.web_addr(), &own);
    straight.ping().await.unwrap();
    let upgraded = setup.client();
    setup.cluster.stop().await;
    let before = setup.proxy.count(Led::ThroughWebSocket);
    straight.reconnect();
    for client in [&straight, &upgraded] {
        let error = connect_error(client).await;
        assert_eq!(
            (error.kind, error.kind()),
            (ConnectErrorKind::AuthServerDown, ErrorKind::Retry),
            "{error}"
        );
    }
    // Where the straight way is known, no upgrade is tried.
    assert_eq!(setup.proxy.count(Led::ThroughWebSocket), before + 1);
    setup.cluster.restart().await.unwrap();
    straight.ping().await.unwrap();
    upgraded.ping().await.unwrap();
}

#[tokio::test]
async fn a_rotated_host_ca_is_named_behind_a_proxy() {
    // The same name, and new authorities.
    let (before, setup) = (cluster_named("example.com").await, Setup::new(bought()).await);
    for addr in [setup.relay.addr(), setup.proxy.web_addr()] {
        let error = connect_error(&setup.client_at(addr, &identity(&before))).await;
        assert_eq!(error.kind, ConnectErrorKind::HostCaRotated, "{error}");
        assert!(error.to_string().contains("sign the identity again"), "{error}");
    }
}

#[tokio::test]
async fn a_host_that_the_proxy_does_not_go_by_is_called_that() {
    let setup = Setup::new(ProxyOptions { public_host: Some("proxy.example.com".into()), ..bought() }).await;
    // This name is always taken; the certificate's other name is an address, which is taken too.
    setup.client().ping().await.unwrap();
    let pair = setup.proxy.bought(&["localhost.localdomain", "localhost"]).unwrap();
    let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: Some(setup.proxy.authority_pem()) };
    let relay = Relay::start(kind, setup.proxy.web_addr()).await.unwrap();
    let addr = format!("LOCALHOST:{}", relay.addr().port());
    let client = client_at(&addr, &identity(&setup.cluster), &setup.proxy, CallTimings::default());
    let error = connect_error(&client).await;
    assert_eq!(error.kind, ConnectErrorKind::OtherHost, "{error}");
    assert_eq!(setup.proxy.count(Led::Away), 1);
    assert!(error.to_string().contains("public_addr") && error.kind.is_wrong_address(), "{error}");
}

#[tokio::test]
async fn a_proxy_without_tls_agrees_and_then_says_nothing_within_one_limit() {
    let timings = CallTimings { connect: Duration::from_millis(1500), ..CallTimings::default() };
    let setup = Setup::new(ProxyOptions { does_tls: false, ..bought() }).await;
    let addr = format!("localhost:{}", setup.relay.addr().port());
    let begun = std::time::Instant::now();
    let error = connect_error(&client_at(&addr, &identity(&setup.cluster), &setup.proxy, timings)).await;
    assert_eq!((error.kind, error.kind()), (ConnectErrorKind::SilentProxy, ErrorKind::Retry), "{error}");
    assert!(begun.elapsed() < 2 * timings.connect, "all of it in one limit: {:?}", begun.elapsed());
}

#[tokio::test]
async fn where_the_upgrade_fails_too_both_reasons_are_in_the_message() {
    let cluster = cluster_named("example.com").await;
    let own = identity(&cluster);
    let proxy = ProxySim::start(&cluster, ProxyOptions::default()).await.unwrap();
    let message = async |pair: (String, String), target: SocketAddr| {
        let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: None };
        let relay = Relay::start(kind, target).await.unwrap();
        let addr = format!("localhost:{}", relay.addr().port());
        let error = connect_error(&client_at(&addr, &own, &proxy, CallTimings::default())).await;
        assert_eq!(error.kind, ConnectErrorKind::UnknownIssuer, "{error}");
        error.to_string()
    };
    let (plain, _tasks) = plain_server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let plain = plain.parse().unwrap();
    let text = message(proxy.bought(&BOTH).unwrap(), plain).await;
    assert!(
        text.contains("not from a CA of our identity") && text.contains("HTTP 404, as no Teleport"),
        "{text}"
    );
    let text = message(proxy.bought(&["elsewhere.example.com"]).unwrap(), plain).await;
    assert!(text.contains("failed too: its web certificate is not for this name"), "{text}");
    let stranger = ProxySim::start(&cluster, ProxyOptions::default()).await.unwrap();
    let text = message(stranger.bought(&BOTH).unwrap(), plain).await;
    assert!(
        text.contains("failed too: its web certificate is not from an authority")
            && text.contains("SSL_CERT_FILE"),
        "{text}"
    );

    // Another cluster's proxy that signed its own certificate cannot be asked, so both causes are named.
    let other = cluster_named("other.example.com").await;
    let signed_itself = ProxySim::start(&other, ProxyOptions::default()).await.unwrap();
    let addr = format!("localhost:{}", signed_itself.web_addr().port());
    let error = connect_error(&client_at(&addr, &own, &proxy, CallTimings::default())).await;
    let text = error.to_string();
    assert_eq!(error.kind, ConnectErrorKind::Closed, "{text}");
    assert!(text.contains("its web certificate signed itself") && !text.contains("clock"), "{text}");
}

#[tokio::test]
async fn what_a_balancer_does_to_the_request_is_named() {
    let cluster = cluster_named("example.com").await;
    let own = identity(&cluster);
    let proxy = ProxySim::start(&cluster, ProxyOptions::default()).await.unwrap();
    let dropped = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"error\": {\"message\": \"unsupported upgrade types: []\"}}";
    let down = b"HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<html>";
    let moved = b"HTTP/1.1 302 Found\r\nlocation: https://www.example.com/\r\nconnection: close\r\n\r\n";
    for (answer, kind, can_wait) in [
        (&dropped[..], ConnectErrorKind::HeadersDropped, ErrorKind::Retry),
        (down, ConnectErrorKind::ProxyDown, ErrorKind::Retry),
        (moved, ConnectErrorKind::UnknownIssuer, ErrorKind::Permanent),
    ] {
        let (plain, _tasks) = plain_server(answer).await;
        let pair = proxy.bought(&BOTH).unwrap();
        let relay = RelayKind::EndsTls { pair, alpn: Vec::new(), again: None };
        let relay = Relay::start(relay, plain.parse().unwrap()).await.unwrap();
        let addr = format!("localhost:{}", relay.addr().port());
        let error = connect_error(&client_at(&addr, &own, &proxy, CallTimings::default())).await;
        assert_eq!((error.kind, error.kind()), (kind, can_wait), "{error}");
    }
}
