//! Teleport behind a forward proxy: nothing but that proxy knows where `teleport.corp` is.

use std::process::Command;

use access_sim::forward_proxy::{Answer, ForwardProxy};
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::proxy::{Led, ProxyOptions, ProxySim, WebCertificate};
use access_sim::teleport::relay::{Relay, RelayKind};

use crate::forward_proxy::all_proxies;
use crate::harness::*;
use crate::reach::{TEAM, one_request_through};

const ADDR: &str = "teleport.corp:3025";
const CONNECT: &str = "CONNECT teleport.corp:3025 HTTP/1.1";

/// No output may have it.
const PASSWORD: &str = "hunter2k9";
const BASIC: &str = "Basic Ym9iOmh1bnRlcjJrOQ==";

struct BehindBed {
    bed: TestBed,
    proxy: ForwardProxy,
}

impl BehindBed {
    async fn new() -> Self {
        let (bed, proxy) = (TestBed::new().await, ForwardProxy::start().await.unwrap());
        proxy.lead(ADDR, bed.teleport.addr());
        Self { bed, proxy }
    }

    fn config_at(&self, addr: &str, network: &str) -> String {
        let config = self.bed.config(TEAM).replace(&self.bed.teleport.addr().to_string(), addr);
        format!("{config}\n[network]\n{network}\n")
    }

    fn config(&self, more: &str) -> String {
        self.config_at(ADDR, &format!("{}\n{more}", network(&self.proxy)))
    }

    /// What `check` prints, and its exit status.
    fn check(&self, config: &str) -> (Option<i32>, String) {
        let path = self.bed.write_config(config);
        let out = Command::new(program()).arg("check").arg("-c").arg(path).env_clear().output().unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert!(!text.contains(PASSWORD), "{text}");
        (out.status.code(), text)
    }
}

fn network(proxy: &ForwardProxy) -> String {
    format!("proxy = \"http://bob:{PASSWORD}@{}\"\nproxy_for_teleport = true", proxy.addr())
}

#[test]
fn every_connection_to_teleport_goes_through_the_forward_proxy_and_heals() {
    run_test(async {
        let behind = BehindBed::new().await;
        let bed = &behind.bed;
        behind.proxy.demand(BASIC);
        let daemon = bed.launch(&behind.config(""));
        bed.until_logged(&daemon, "Ready").await;
        one_request_through(bed, &daemon).await;
        let way = format!("through the proxy {} (network.proxy)", behind.proxy.addr());
        let line = daemon.find_logged("Teleport answers").unwrap();
        assert!(line.contains(&format!("reached=\"{way}\"")), "{line}");

        behind.proxy.answer(Answer::Head("HTTP/1.1 403 Forbidden".to_owned()));
        bed.teleport.stop().await;
        bed.teleport.restart().await.unwrap();
        let line = bed.until_logged(&daemon, "forbids connections to teleport.corp:3025").await;
        assert!(line.contains("allow CONNECT") && line.contains("(network.proxy)"), "{line}");
        behind.proxy.answer(Answer::Tunnel);
        one_request_through(bed, &daemon).await;
        for asked in behind.proxy.asked() {
            assert_eq!((asked.line.as_str(), asked.authorization.as_deref()), (CONNECT, Some(BASIC)));
        }
        assert!(!daemon.stop().await.contains(PASSWORD));

        let (status, text) = behind.check(&behind.config(""));
        assert_eq!(status, Some(0), "{text}");
        let words = format!("reached directly at {ADDR} (connections there go {way})");
        assert!(text.contains(&words), "{text}");
    });
}

#[test]
fn real_forward_proxies_carry_the_watch_as_the_simulated_one_does() {
    run_test(async {
        let (simulated, proxies) = all_proxies().await;
        for proxy in proxies {
            let bed = TestBed::new().await;
            // A line of its own, so that a tunnel can break.
            let line = TcpProxy::start(bed.teleport.addr()).await.unwrap();
            let addr = format!("teleport.corp:{}", line.addr().port());
            simulated.lead(&addr, line.addr());
            let config = bed.config(TEAM).replace(&bed.teleport.addr().to_string(), &addr);
            let network = format!("proxy = \"http://bob:{PASSWORD}@{proxy}\"\nproxy_for_teleport = true");
            let daemon = bed.launch(&format!("{config}\n[network]\n{network}\n"));
            bed.until_logged(&daemon, "Ready").await;
            one_request_through(&bed, &daemon).await;
            line.cut().await;
            bed.until_logged(&daemon, &format!("the proxy {proxy} does not reach {addr}")).await;
            line.restore().await.unwrap();
            one_request_through(&bed, &daemon).await;
            assert!(!daemon.stop().await.contains(PASSWORD));
        }
    });
}

/// A Teleport proxy that is called `teleport.corp`, and what ends TLS before it. The authority of both certificates is in `ca.pem`.
pub(crate) async fn ends_tls_before(bed: &TestBed) -> (ProxySim, Relay) {
    let options = ProxyOptions {
        certificate: WebCertificate::Bought,
        public_host: Some("teleport.corp".to_owned()),
        ..ProxyOptions::default()
    };
    let web = ProxySim::start(&bed.teleport, options).await.unwrap();
    let pair = web.bought(&["teleport.corp"]).unwrap();
    let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: Some(web.authority_pem()) };
    let relay = Relay::start(kind, web.web_addr()).await.unwrap();
    std::fs::write(bed.dir.path().join("ca.pem"), web.authority_pem()).unwrap();
    (web, relay)
}

#[test]
fn a_connection_upgrade_goes_through_it_too_and_trusts_the_configured_authorities() {
    run_test(async {
        let behind = BehindBed::new().await;
        let bed = &behind.bed;
        let (web, relay) = ends_tls_before(bed).await;
        behind.proxy.lead("teleport.corp:443", relay.addr());
        let network = network(&behind.proxy);
        let config = behind.config_at("teleport.corp:443", &format!("{network}\nca_file = \"ca.pem\""));
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        one_request_through(bed, &daemon).await;
        assert!(daemon.log().contains("at teleport.corp:443 by a connection upgrade"), "{}", daemon.log());
        // `/webapi/find` goes there too.
        bed.teleport.stop().await;
        bed.until_logged(&daemon, "cannot reach its cluster's auth server").await;
        bed.teleport.restart().await.unwrap();
        one_request_through(bed, &daemon).await;
        daemon.stop().await;
        assert!(web.count(Led::ToAuth) > 1, "{:?}", web.led());
        let (status, text) = behind.check(&config);
        assert_eq!(status, Some(0), "{text}");
        let words = format!(
            "by a connection upgrade through the proxy at teleport.corp:443 (connections there go through the proxy {}",
            behind.proxy.addr()
        );
        assert!(text.contains(&words), "{text}");
    });
}

#[test]
fn the_start_says_what_the_forward_proxy_does_and_waits() {
    run_in_process(async {
        let behind = BehindBed::new().await;
        let bed = &behind.bed;
        let head = |text: &str| Answer::Head(text.to_owned());
        for (answer, cause, remedy) in [
            (head("HTTP/1.1 403 Forbidden"), "forbids connections to teleport.corp:3025", "allow CONNECT"),
            (head("HTTP/1.1 407 x"), "refuses the user or the password", "correct user and password"),
            (head("HTTP/1.1 502 x"), "does not reach teleport.corp:3025", "the host's name resolves"),
            (Answer::Silence, "did not say within ", "check that this is an HTTP proxy"),
            (Answer::Cut, "closed the connection without a whole answer", "an HTTP proxy listens"),
        ] {
            behind.proxy.answer(answer);
            let (status, text) = behind.check(&behind.config(""));
            assert_eq!(status, Some(1), "{text}");
            let shown: Vec<_> =
                text.lines().skip_while(|line| !line.starts_with("✗ teleport-server")).collect();
            let [_, shown_cause, shown_remedy, ..] = shown.as_slice() else { panic!("{text}") };
            assert!(shown_cause.contains(cause), "{cause:?} is no cause in {text}");
            assert!(shown_remedy.contains(remedy) && shown_remedy.contains("(network.proxy)"), "{text}");
            let daemon = bed.launch(&behind.config(""));
            let line = bed.until_logged(&daemon, "cannot connect to the Teleport auth server").await;
            for words in [cause, remedy, "(network.proxy)"] {
                assert!(line.contains(words), "{words:?} is not in {line}");
            }
            assert_eq!(daemon.exit_status(), None);
            behind.proxy.answer(Answer::Tunnel);
            bed.until_logged(&daemon, "Ready").await;
            daemon.stop().await;
        }
    });
}

#[test]
fn an_exempt_teleport_is_tried_directly_and_without_a_proxy_the_key_is_a_mistake() {
    run_test(async {
        let behind = BehindBed::new().await;
        // Exempt, and not asked for: both times nothing knows the name.
        let exempt = behind.config("no_proxy = \"*.corp\"");
        let not_asked_for = behind.config("").replace("proxy_for_teleport = true", "");
        for config in [&exempt, &not_asked_for] {
            let daemon = behind.bed.launch(config);
            behind.bed.until_logged(&daemon, "its name does not resolve").await;
            daemon.stop().await;
        }
        assert_eq!(behind.proxy.asked(), []);
        let config = behind.config_at(ADDR, "proxy_for_teleport = true");
        let (status, log) = behind.bed.run_to_exit(&config).await;
        assert_eq!(status, Some(78), "{log}");
        assert!(
            log.contains("network.proxy_for_teleport: Teleport is to be reached through a proxy"),
            "{log}"
        );
    });
}

#[test]
fn a_reload_takes_another_forward_proxy_that_leads_to_teleport_and_keeps_the_old_one_otherwise() {
    run_in_process(async {
        let behind = BehindBed::new().await;
        let bed = &behind.bed;
        let daemon = bed.launch(&behind.config(""));
        bed.until_logged(&daemon, "Ready").await;
        let other = ForwardProxy::start().await.unwrap();
        bed.write_config(&behind.config_at(ADDR, &network(&other)));
        daemon.signal("HUP");
        let line = bed.until_logged(&daemon, "The new configuration is refused").await;
        let cause = format!("the proxy {} does not reach {ADDR}", other.addr());
        assert!(line.contains("[network] is not used: ") && line.contains(&cause), "{line}");
        one_request_through(bed, &daemon).await;

        other.lead(ADDR, bed.teleport.addr());
        daemon.signal("HUP");
        bed.until_logged(&daemon, "The new configuration is in use changed=network").await;
        let asked = behind.proxy.asked().len();
        one_request_through(bed, &daemon).await;
        assert_eq!(behind.proxy.asked().len(), asked, "the old proxy was asked");

        // And the address itself, without a proxy.
        bed.write_config(&bed.config(TEAM));
        daemon.signal("HUP");
        bed.until_logged(&daemon, "The new configuration is in use changed=\"teleport, network\"").await;
        let asked = other.asked().len();
        one_request_through(bed, &daemon).await;
        assert_eq!(other.asked().len(), asked);
        daemon.stop().await;
    });
}
