//! Addresses, ways and machines between that do not lead to Teleport or Slack: what `check` and the start say of each, and that the
//! start goes on by itself where waiting can help. The forward proxies' own refusals are in `forward_proxy` and `teleport_behind`.

use std::any::Any;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use access_sim::name_table::SilentAddr;
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::proxy::{ProxyOptions, ProxySim, WebCertificate};
use access_sim::teleport::relay::{Relay, RelayKind};
use access_sim::teleport::{Options, ServerVersion, TeleportSim, fixture::Fixture};
use access_sim::tls_front::TlsFront;
use teleport_slack::check::report::{ItemId, Status};

use crate::harness::*;
use crate::reach::TEAM;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A set-up with one mistake.
struct Scene {
    bed: TestBed,
    config: String,
    /// What must go on running.
    _holds: Box<dyn Any>,
}

impl Scene {
    /// The bed, with another address for Teleport, and this authority trusted.
    fn at(bed: TestBed, addr: impl ToString, authority: Option<String>, holds: impl Any) -> Self {
        let mut config = bed.config(TEAM).replace(&bed.teleport.addr().to_string(), &addr.to_string());
        if let Some(authority) = authority {
            std::fs::write(bed.dir.path().join("ca.pem"), authority).unwrap();
            config += "\n[network]\nca_file = \"ca.pem\"\n";
        }
        Self { bed, config, _holds: Box::new(holds) }
    }

    /// The same of Slack.
    fn with_slack_at(bed: TestBed, api_url: &str, holds: impl Any) -> Self {
        let config = bed.config(TEAM).replace(&bed.slack.api_url(), api_url);
        Self { bed, config, _holds: Box::new(holds) }
    }

    /// `check` has one line of this item with these words, and leads to this status.
    async fn assert_checked(&self, id: ItemId, said: &Said) {
        let path = self.bed.write_config(&self.config);
        let report = crate::check_table::check(&path, false).await;
        let item = report.items.iter().find(|item| item.id == id && item.status == Status::Failed);
        let problem = item.and_then(|item| item.problem.as_ref());
        let problem = problem.unwrap_or_else(|| panic!("{id:?} is well: {:#?}", report.items));
        let shown = format!("{problem:#?}");
        assert!(problem.cause.contains(said.cause), "{:?} is no cause in {shown}", said.cause);
        assert!(problem.remedy.contains(said.remedy), "{:?} is no remedy in {shown}", said.remedy);
        assert!(!(problem.cause.clone() + &problem.remedy).contains(['\n', '\r']), "{shown}");
        assert_eq!(i32::from(problem.exit.code()), said.exit, "{shown}");
    }

    /// The start says the same in one line, and waits.
    async fn assert_started(&self, said: &Said) -> Daemon {
        let is_said = |log: &str| {
            log.lines().any(|line| {
                let is_warning = line.contains(" WARN ") || line.contains(" ERROR ");
                is_warning && line.contains(said.cause) && line.contains(said.remedy)
            })
        };
        let daemon = self.bed.launch(&self.config);
        self.bed.until(&daemon, said.cause, || is_said(&daemon.log()).then_some(())).await;
        assert_eq!(daemon.exit_status(), None, "{}", daemon.log());
        daemon
    }

    async fn assert_both(&self, id: ItemId, said: &Said) -> Daemon {
        self.assert_checked(id, said).await;
        self.assert_started(said).await
    }

    async fn assert_waits(&self, id: ItemId, said: &Said) {
        self.assert_both(id, said).await.stop().await;
    }

    /// The same, and it is ready once the line leads to this server.
    async fn assert_waits_until_led(&self, id: ItemId, said: &Said, line: &TcpProxy, server: SocketAddr) {
        let lead = async { line.lead_to(server).await.unwrap() };
        self.assert_waits_for(id, said, lead).await;
    }

    /// The same, and it is ready once this is done.
    async fn assert_waits_for(&self, id: ItemId, said: &Said, cure: impl Future<Output = ()>) {
        let daemon = self.assert_both(id, said).await;
        cure.await;
        self.bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    }
}

/// What `check` and the start say.
struct Said {
    cause: &'static str,
    remedy: &'static str,
    /// That of `check`.
    exit: i32,
}

const fn waits(cause: &'static str, remedy: &'static str, exit: i32) -> Said {
    Said { cause, remedy, exit }
}

use ItemId::{SlackBotToken as SLACK, TeleportServer as TELEPORT};

/// A cluster of this name.
async fn bed_of(cluster: &str) -> TestBed {
    let fixture = Fixture { cluster: cluster.to_owned(), ..Fixture::golden() };
    TestBed::with_options(Options::new(ServerVersion::V15, fixture), workspace()).await
}

fn bought() -> ProxyOptions {
    ProxyOptions { certificate: WebCertificate::Bought, ..ProxyOptions::default() }
}

/// A balancer that ends TLS with this proxy's bought certificate.
async fn ends_tls(proxy: &ProxySim, target: SocketAddr, again: bool) -> Relay {
    let again = again.then(|| proxy.authority_pem());
    let kind = RelayKind::EndsTls { pair: proxy.bought(&NAMES).unwrap(), alpn: Vec::new(), again };
    Relay::start(kind, target).await.unwrap()
}

/// The certificate of an authority that signed itself, and its key.
fn authority() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A server that gives this answer to everything until the test's process ends.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut heard = [0; 4_096];
            if stream.read(&mut heard).is_ok() {
                // The client may have hung up already.
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    addr
}

#[test]
fn an_address_that_is_not_teleports_is_named() {
    run_in_process(async {
        let scene = Scene::at(TestBed::new().await, "gone.invalid:3025", None, ());
        let said = waits("its name does not resolve", "check the address and this machine's DNS", 1);
        scene.assert_waits(TELEPORT, &said).await;

        let scene = Scene::at(TestBed::new().await, "127.0.0.1:1", None, ());
        let said = waits("the connection was refused", "is this its port (usually 3025)?", 1);
        scene.assert_waits(TELEPORT, &said).await;

        let bed = TestBed::new().await;
        let line = TcpProxy::start(answering("HTTP/1.1 400 Bad Request\r\n\r\n")).await.unwrap();
        let scene = Scene::at(bed, line.addr(), None, ());
        let said = waits("it does not speak TLS", "check host and port", 78);
        let auth = scene.bed.teleport.addr();
        scene.assert_waits_until_led(TELEPORT, &said, &line, auth).await;

        let bed = TestBed::new().await;
        let front = TlsFront::start(&NAMES, bed.slack.addr()).await.unwrap();
        let scene = Scene::at(bed, front.addr(), None, front);
        let said = waits(
            "its certificate is not from a CA of our identity",
            "check that this is an auth server",
            77,
        );
        scene.assert_waits(TELEPORT, &said).await;
    });
}

#[test]
fn what_a_proxy_cannot_lead_to_is_named() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let options = ProxyOptions { has_separate_ports: true, ..ProxyOptions::default() };
        let proxy = ProxySim::start(&bed.teleport, options).await.unwrap();
        let line = TcpProxy::start(proxy.ssh_addr().unwrap()).await.unwrap();
        let web = proxy.web_addr();
        let scene = Scene::at(bed, line.addr(), None, proxy);
        let said =
            waits("a Teleport proxy answered in the auth server's place", "name the proxy's web port", 78);
        scene.assert_waits_until_led(TELEPORT, &said, &line, web).await;

        let bed = bed_of(&"x".repeat(110)).await;
        let proxy = ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap();
        let line = TcpProxy::start(proxy.web_addr()).await.unwrap();
        let scene = Scene::at(bed, line.addr(), None, proxy);
        let said = waits("longer than 109 bytes", "name the auth server's own address (port 3025)", 78);
        let auth = scene.bed.teleport.addr();
        scene.assert_waits_until_led(TELEPORT, &said, &line, auth).await;

        let bed = TestBed::new().await;
        let options = ProxyOptions { public_host: Some("proxy.example.com".to_owned()), ..bought() };
        let proxy = ProxySim::start(&bed.teleport, options).await.unwrap();
        let pair = proxy.bought(&["localhost"]).unwrap();
        let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: Some(proxy.authority_pem()) };
        let relay = Relay::start(kind, proxy.web_addr()).await.unwrap();
        let line = TcpProxy::start(relay.addr()).await.unwrap();
        let addr = format!("LOCALHOST:{}", line.addr().port());
        let web = proxy.web_addr();
        let scene = Scene::at(bed, addr, Some(proxy.authority_pem()), (proxy, relay));
        let said =
            waits("the Teleport proxy there has another public address", "proxy_service.public_addr", 78);
        scene.assert_waits_until_led(TELEPORT, &said, &line, web).await;

        // Its certificate signed itself, so it cannot be asked why; no clock is to blame.
        let bed = TestBed::new().await;
        let proxy = ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap();
        bed.teleport.stop().await;
        let scene = Scene::at(bed, proxy.web_addr(), None, proxy);
        let said =
            waits("it closed the connection during the TLS handshake", "when its auth server is down", 1);
        let daemon = scene.assert_both(TELEPORT, &said).await;
        let log = daemon.log();
        assert!(log.contains("its web certificate signed itself") && !log.contains("clock"), "{log}");
        scene.bed.teleport.restart().await.unwrap();
        scene.bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;

        let bed = TestBed::new().await;
        let proxy = ProxySim::start(&bed.teleport, bought()).await.unwrap();
        bed.teleport.stop().await;
        let scene = Scene::at(bed, proxy.web_addr(), Some(proxy.authority_pem()), proxy);
        let said = waits("cannot reach its cluster's auth server", "look whether the auth server runs", 1);
        let restart = async { scene.bed.teleport.restart().await.unwrap() };
        scene.assert_waits_for(TELEPORT, &said, restart).await;

        let bed = TestBed::new().await;
        let other = bed_of("other.example.com").await;
        let proxy = ProxySim::start(&other.teleport, bought()).await.unwrap();
        let scene = Scene::at(bed, proxy.web_addr(), Some(proxy.authority_pem()), (proxy, other));
        let said =
            waits("is of another cluster than the identity", "name the proxy of the identity's cluster", 77);
        scene.assert_waits(TELEPORT, &said).await;
    });
}

#[test]
fn a_rotated_host_ca_is_waited_for_until_the_identity_is_signed_again() {
    run_in_process(async {
        for through_proxy in [false, true] {
            let bed = TestBed::new().await;
            // The same name, and the authorities of before.
            let before = TeleportSim::start(Options::golden()).await.unwrap();
            before
                .credentials(PLUGIN_USER, CertOptions::default())
                .write_tls_files(bed.dir.path(), "auth")
                .unwrap();
            let proxy = ProxySim::start(&bed.teleport, bought()).await.unwrap();
            let authority = proxy.authority_pem();
            let (addr, cause) = match through_proxy {
                false => (bed.teleport.addr(), "its certificate is not from a CA of our identity"),
                true => (proxy.web_addr(), "so the cluster's host CA was rotated"),
            };
            let scene = Scene::at(bed, addr, Some(authority), (proxy, before));
            let said = waits(cause, "sign the identity again", 77);
            let sign = async { scene.bed.sign(CertOptions::default()) };
            scene.assert_waits_for(TELEPORT, &said, sign).await;
        }
    });
}

#[test]
fn what_stands_before_a_proxy_and_stops_the_upgrade_is_named() {
    run_in_process(async {
        for (answer, cause, remedy) in [
            (
                "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"error\": {\"message\": \"unsupported upgrade types: []\"}}",
                "drops the headers that ask for a connection upgrade",
                "let it pass Upgrade and Connection on",
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<html>",
                "the balancer there does not reach the Teleport proxy",
                "look whether the proxy runs",
            ),
        ] {
            let bed = TestBed::new().await;
            let proxy = ProxySim::start(&bed.teleport, bought()).await.unwrap();
            let relay = ends_tls(&proxy, answering(answer), false).await;
            let scene = Scene::at(bed, relay.addr(), Some(proxy.authority_pem()), (proxy, relay));
            scene.assert_waits(TELEPORT, &waits(cause, remedy, 1)).await;
        }

        // A relay of an authority that is not trusted yet.
        let relayed = async |alpn: Vec<Vec<u8>>| {
            let bed = TestBed::new().await;
            let proxy = ProxySim::start(&bed.teleport, bought()).await.unwrap();
            let stranger = ProxySim::start(&bed.teleport, bought()).await.unwrap();
            let (ours, theirs) = (proxy.authority_pem(), stranger.authority_pem());
            let pair = stranger.bought(&NAMES).unwrap();
            let kind = RelayKind::EndsTls { pair, alpn, again: Some(ours.clone()) };
            let relay = Relay::start(kind, proxy.web_addr()).await.unwrap();
            let scene = Scene::at(bed, relay.addr(), Some(ours), (proxy, stranger, relay));
            (scene, theirs)
        };
        let (scene, theirs) = relayed(Vec::new()).await;
        let said = waits("its certificate is not from a CA of our identity", "in network.ca_file", 77);
        let file = scene.bed.dir.path().join("ca.pem");
        let trust = async { std::fs::write(file, theirs).unwrap() };
        scene.assert_waits_for(TELEPORT, &said, trust).await;
    });
}

/// What opens TLS before a proxy can be taken away there, and the daemon goes on without a hand on its own machine.
#[test]
fn what_opens_tls_before_a_proxy_is_waited_for_until_it_is_gone() {
    run_in_process(async {
        let stranger = async |bed: &TestBed| ProxySim::start(&bed.teleport, bought()).await.unwrap();
        let http_1 = || vec![b"http/1.1".to_vec()];
        for (signed_itself, alpn, cause, remedy, exit) in [
            // Of an authority that is not trusted, whichever protocols it takes.
            (
                false,
                Vec::new(),
                "its certificate is not from a CA of our identity",
                "that nothing before it opens TLS",
                77,
            ),
            // Its certificate is an authority's.
            (
                true,
                Vec::new(),
                "its certificate is none that a Teleport auth server has",
                "it must pass through unopened",
                78,
            ),
            // It takes none of the protocols of the daemon's list.
            (false, http_1(), "it does not offer HTTP/2", "that nothing before it opens TLS", 78),
            (true, http_1(), "it does not offer HTTP/2", "that nothing before it opens TLS", 78),
        ] {
            let bed = TestBed::new().await;
            let proxy = ProxySim::start(&bed.teleport, bought()).await.unwrap();
            let stranger = stranger(&bed).await;
            let pair = if signed_itself { authority() } else { stranger.bought(&NAMES).unwrap() };
            let ours = proxy.authority_pem();
            let kind = RelayKind::EndsTls { pair, alpn, again: Some(ours.clone()) };
            let relay = Relay::start(kind, proxy.web_addr()).await.unwrap();
            let line = TcpProxy::start(relay.addr()).await.unwrap();
            let web = proxy.web_addr();
            let scene = Scene::at(bed, line.addr(), Some(ours), (proxy, stranger, relay));
            let said = waits(cause, remedy, exit);
            scene.assert_waits_until_led(TELEPORT, &said, &line, web).await;
        }

        // It takes the daemon's list away, and its certificate is trusted; but it passes no upgrade on.
        let bed = TestBed::new().await;
        let proxy = ProxySim::start(&bed.teleport, bought()).await.unwrap();
        let page = answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>Sign in</html>");
        let relay = ends_tls(&proxy, page, false).await;
        let line = TcpProxy::start(relay.addr()).await.unwrap();
        let web = proxy.web_addr();
        let scene = Scene::at(bed, line.addr(), Some(proxy.authority_pem()), (proxy, relay));
        let said = waits(
            "its certificate is not from a CA of our identity",
            "it answers HTTP 200, as no Teleport proxy does",
            77,
        );
        scene.assert_waits_until_led(TELEPORT, &said, &line, web).await;
    });
}

#[test]
fn silence_is_given_up_and_named() {
    run_in_process(async {
        let silent = SilentAddr::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let scene = Scene::at(TestBed::new().await, silent.addr(), None, silent);
        scene.assert_waits(TELEPORT, &waits("no answer in time", "the firewalls in between", 1)).await;
    });
}

#[test]
fn a_proxy_whose_own_tls_is_off_is_named() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let proxy =
            ProxySim::start(&bed.teleport, ProxyOptions { does_tls: false, ..bought() }).await.unwrap();
        let relay = ends_tls(&proxy, proxy.web_addr(), false).await;
        let addr = format!("localhost:{}", relay.addr().port());
        let scene = Scene::at(bed, addr, Some(proxy.authority_pem()), (proxy, relay));
        let said =
            waits("upgraded the connection and then said nothing", "look whether it does TLS itself", 1);
        scene.assert_waits(TELEPORT, &said).await;
    });
}

#[test]
fn an_address_that_is_not_slacks_is_named() {
    run_in_process(async {
        let html = answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>Sign in</html>");
        let moved = answering("HTTP/1.1 302 Found\r\nlocation: /login\r\nconnection: close\r\n\r\n");
        let forbidden = answering("HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\nask the service desk");
        for (api_url, said) in [
            ("https://gone.invalid/api/".to_owned(), waits("does not resolve", "slack.api_url", 1)),
            ("http://127.0.0.1:1/api/".to_owned(), waits("refused", "slack.api_url", 1)),
            (format!("https://{html}/api/"), waits("TLS", "slack.api_url", 1)),
        ] {
            let scene = Scene::with_slack_at(TestBed::new().await, &api_url, ());
            scene.assert_waits(SLACK, &said).await;
        }
        // A page to sign in at, or a filter, that lets the daemon through later.
        for (page, said) in [
            (html, waits("the answer is not Slack's", "slack.api_url", 1)),
            (moved, waits("HTTP status 302", "slack.api_url", 78)),
            (forbidden, waits("HTTP status 403", "slack.api_url", 78)),
        ] {
            let line = TcpProxy::start(page).await.unwrap();
            let scene =
                Scene::with_slack_at(TestBed::new().await, &format!("http://{}/api/", line.addr()), ());
            let slack = scene.bed.slack.addr();
            scene.assert_waits_until_led(SLACK, &said, &line, slack).await;
        }
        for (names, cause) in [
            (&NAMES[..], "certificate is of no authority that is trusted"),
            (&["elsewhere.example"], "certificate"),
        ] {
            let bed = TestBed::new().await;
            let front = TlsFront::start(names, bed.slack.addr()).await.unwrap();
            let scene = Scene::with_slack_at(bed, &format!("https://{}/api/", front.addr()), front);
            scene.assert_waits(SLACK, &waits(cause, "network.ca_file", 1)).await;
        }
    });
}

#[test]
fn a_trust_store_that_is_named_and_not_there_is_named_by_both() {
    run_test(async {
        let bed = TestBed::new().await;
        let front = TlsFront::start(&NAMES, bed.slack.addr()).await.unwrap();
        let config =
            bed.config(TEAM).replace(&bed.slack.api_url(), &format!("https://{}/api/", front.addr()));
        let path = bed.write_config(&config);
        for command in ["start", "check"] {
            let out = Command::new(program())
                .arg(command)
                .arg("-c")
                .arg(&path)
                .env("SSL_CERT_FILE", "/nowhere/roots.pem")
                .env_remove("SSL_CERT_DIR")
                .output()
                .unwrap();
            let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
            assert_eq!(out.status.code(), Some(1), "{text}");
            for words in [
                "SSL_CERT_FILE or SSL_CERT_DIR is set and leads to no trusted certificate",
                "name a PEM file",
            ] {
                assert!(text.contains(words), "{words}\n{text}");
            }
        }
    });
}

#[test]
fn a_forward_proxy_that_is_not_there_is_named() {
    run_in_process(async {
        let cause = "auth.test failed: no connection to the proxy 127.0.0.1:1";
        let remedy = "check the proxy's address, that it runs";
        let network = "\n[network]\nproxy = \"http://127.0.0.1:1\"\n";
        let mut scene = Scene::with_slack_at(TestBed::new().await, "https://slack.example/api/", ());
        scene.config += network;
        scene.assert_waits(SLACK, &waits(cause, remedy, 1)).await;

        let mut scene = Scene::at(TestBed::new().await, "teleport.corp:3025", None, ());
        scene.config += &format!("{network}proxy_for_teleport = true\n");
        scene.assert_waits(TELEPORT, &waits("no connection to the proxy 127.0.0.1:1", remedy, 1)).await;
    });
}
