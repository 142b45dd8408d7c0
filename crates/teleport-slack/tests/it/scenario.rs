//! One scenario through every way that leads to either side: a request, its message, Approve in Slack, approved in Teleport. The gate
//! runs it with the released program, and the same script with each package; `docs/installing.md` has the table.

use std::any::Any;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use access_sim::demo_ui::{self, DemoSimulators};
use access_sim::forward_proxy::ForwardProxy;
use access_sim::teleport::proxy::{Led, ProxyOptions, ProxySim};
use access_sim::tls_front::TlsFront;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::balancers::{Setup, ends_tls, passes_tls_on};
use crate::forward_proxy::real_proxies;
use crate::harness::deciding::*;
use crate::harness::*;
use crate::ipv6::bed_without_ipv4;
use crate::reach::trusting;
use crate::rules::repository_root;
use crate::teleport_behind::ends_tls_before;

/// Buttons over Socket Mode, and a reason that may be given: what the script does.
fn config(bed: &TestBed) -> String {
    let config = bed.review_config(Transport::Socket, &with_reason_policy("optional"));
    config.replace("[\"team\", ", "[\"dba-approvers\", ")
}

fn command(path: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("start").arg("-c").arg(path);
    command
}

/// Runs `.ci/scenario` between the bed and a daemon, and prints the row of the table.
#[expect(clippy::print_stdout, reason = "the gate reads the row")]
async fn run_scenario(name: &str, ran: &str, bed: &TestBed, mut command: Command) -> Daemon {
    bed.slack.set_socket_mode(true);
    let daemon = Daemon::run(&mut command, &bed.slack.token());
    bed.until_logged(&daemon, "Ready").await;
    let sockets = bed.slack.sockets();
    bed.until(&daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let simulators = DemoSimulators {
        teleport: bed.teleport.clone(),
        teleport_version: String::new(),
        slack: bed.slack.clone(),
    };
    let page = demo_ui::serve(listener, simulators, CancellationToken::new());
    let mut scenario = Command::new(repository_root().join(".ci/scenario"));
    scenario.arg(port.to_string());
    let scenario = tokio::task::spawn_blocking(move || scenario.output().unwrap());
    let ended = tokio::select! {
        ended = scenario => ended.unwrap(),
        page = page => panic!("the page ended: {page:?}"),
    };
    assert!(ended.status.success(), "{name}: {}\n{}", String::from_utf8_lossy(&ended.stderr), daemon.log());
    println!("SCENARIO | {name} | {ran} | passed |");
    daemon
}

/// Says that the whole test is skipped, and each of its rows.
fn skip_rows(rows: &[&str], why: &str) {
    for row in rows {
        skip(&format!("scenario: {row}"), why);
    }
    skip_test(why);
}

#[test]
fn directly_through_the_web_port_of_a_proxy_and_with_ipv6_alone() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let path = bed.write_config(&config(&bed));
        run_scenario("Teleport directly", "TLS with the auth server", &bed, command(&path))
            .await
            .stop()
            .await;

        let bed = TestBed::with_review().await;
        let proxy = ProxySim::start(&bed.teleport, ProxyOptions::default()).await.unwrap();
        let config_there =
            config(&bed).replace(&bed.teleport.addr().to_string(), &proxy.web_addr().to_string());
        let path = bed.write_config(&config_there);
        let ran = "one TLS connection, routed by ALPN";
        run_scenario("Teleport through its proxy's web port", ran, &bed, command(&path)).await.stop().await;
        assert!(proxy.count(Led::ToAuth) > 0 && proxy.count(Led::ToWeb) == 0, "{:?}", proxy.led());

        let bed = bed_without_ipv4().await;
        let config = config(&bed);
        assert!(!config.contains("127.0.0.1"), "{config}");
        let path = bed.write_config(&config);
        run_scenario("IPv6 alone", "Teleport and Slack at `[::1]`", &bed, command(&path)).await.stop().await;
    });
}

#[test]
fn through_balancers_that_pass_tls_on_and_that_end_it() {
    run_test(async {
        const ROWS: [(&str, &str, bool); 4] = [
            ("Teleport through nginx that passes TLS on", "nginx", false),
            ("Teleport through nginx that ends TLS", "nginx", true),
            ("Teleport through HAProxy that passes TLS on", "haproxy", false),
            ("Teleport through HAProxy that ends TLS", "haproxy", true),
        ];
        for (row, name, ends) in ROWS {
            let Some(setup) = Setup::between(TestBed::with_review().await).await else {
                return skip_rows(&ROWS.map(|(row, ..)| row), "needs nginx and HAProxy (.ci/balancers)");
            };
            let text = if ends { ends_tls(name) } else { passes_tls_on(name) };
            let balancer = setup.start(name, &text).await;
            let bed = &setup.bed;
            let at = config(bed).replace(&bed.teleport.addr().to_string(), &balancer.addr.to_string());
            bed.write_config(&at);
            let ran = if ends { "a connection upgrade" } else { "one TLS connection, routed by ALPN" };
            let daemon = run_scenario(row, ran, bed, trusting(bed, &setup.proxy, "start")).await;
            assert_eq!(setup.proxy.count(Led::ThroughWebSocket) > 0, ends, "{}", daemon.log());
            daemon.stop().await;
        }
    });
}

/// A side behind a forward proxy, which alone knows its name.
struct OneSide {
    bed: TestBed,
    path: PathBuf,
    /// `host:port`, and where that leads.
    target: (String, SocketAddr),
    _front: Box<dyn Any>,
}

const CREDENTIALS: &str = "bob:hunter2k9";
const BASIC: &str = "Basic Ym9iOmh1bnRlcjJrOQ==";

/// `network` may name a proxy, and `authority` is trusted beside that of Slack's certificate.
async fn slack_behind(network: &str, authority: &str) -> OneSide {
    let bed = TestBed::with_review().await;
    let front = TlsFront::start(&["slack.example"], bed.slack.addr()).await.unwrap();
    let target = format!("slack.example:{}", front.addr().port());
    bed.slack.set_public_url(&format!("https://{target}"));
    std::fs::write(bed.dir.path().join("ca.pem"), [front.ca_pem(), authority].concat()).unwrap();
    let config = config(&bed).replace(&bed.slack.api_url(), &format!("https://{target}/api/"));
    let path = bed.write_config(&format!("{config}\n[network]\nca_file = \"ca.pem\"\n{network}\n"));
    OneSide { bed, path, target: (target, front.addr()), _front: Box::new(front) }
}

async fn teleport_behind(proxy: &str) -> OneSide {
    let bed = TestBed::with_review().await;
    let addr = bed.teleport.addr();
    let target = format!("teleport.corp:{}", addr.port());
    let config = config(&bed).replace(&addr.to_string(), &target);
    let network = format!("proxy = \"http://{CREDENTIALS}@{proxy}\"\nproxy_for_teleport = true");
    let path = bed.write_config(&format!("{config}\n[network]\n{network}\n"));
    OneSide { bed, path, target: (target, addr), _front: Box::new(()) }
}

#[test]
fn through_forward_proxies_that_want_a_password() {
    run_test(async {
        const ROWS: [&str; 4] = [
            "Slack through Squid",
            "Teleport through Squid",
            "Slack through tinyproxy",
            "Teleport through tinyproxy",
        ];
        let proxies = real_proxies();
        if proxies.is_empty() {
            return skip_rows(&ROWS, "needs Squid and tinyproxy (.ci/proxies)");
        }
        for ([to_slack, to_teleport], proxy) in ROWS.as_chunks().0.iter().zip(proxies) {
            let there = slack_behind(&format!("proxy = \"http://{CREDENTIALS}@{proxy}\""), "").await;
            let ran = "calls and WebSockets by `CONNECT`, with a password";
            run_scenario(to_slack, ran, &there.bed, command(&there.path)).await.stop().await;
            let there = teleport_behind(&proxy).await;
            let ran = "one TLS connection by `CONNECT`, with a password";
            run_scenario(to_teleport, ran, &there.bed, command(&there.path)).await.stop().await;
        }
    });
}

/// Something before a Teleport proxy ends TLS, and nothing but the forward proxy knows where it is.
async fn upgraded_behind(proxy: &ForwardProxy) -> (OneSide, ProxySim) {
    let bed = TestBed::with_review().await;
    let (web, relay) = ends_tls_before(&bed).await;
    let config = config(&bed).replace(&bed.teleport.addr().to_string(), "teleport.corp:443");
    let network = format!("proxy = \"http://{CREDENTIALS}@{}\"\nproxy_for_teleport = true", proxy.addr());
    let path = bed.write_config(&format!("{config}\n[network]\nca_file = \"ca.pem\"\n{network}\n"));
    let target = ("teleport.corp:443".to_owned(), relay.addr());
    (OneSide { bed, path, target, _front: Box::new(relay) }, web)
}

#[test]
fn through_a_forward_proxy_with_an_upgrade_from_the_environment_and_with_tls() {
    run_test(async {
        let proxy = ForwardProxy::start().await.unwrap();
        proxy.demand(BASIC);
        let lead = |proxy: &ForwardProxy, there: &OneSide| proxy.lead(&there.target.0, there.target.1);
        let granted = |proxy: &ForwardProxy| proxy.asked().iter().filter(|asked| asked.is_granted).count();

        let (there, web) = upgraded_behind(&proxy).await;
        lead(&proxy, &there);
        let row = "Teleport through a forward proxy and what ends TLS";
        let ran = "a connection upgrade by `CONNECT`, with a password";
        run_scenario(row, ran, &there.bed, command(&there.path)).await.stop().await;
        assert!(web.count(Led::ThroughWebSocket) > 0, "{:?}", web.led());
        let teleports = granted(&proxy);
        assert!(teleports > 0, "{:?}", proxy.asked());

        let there = slack_behind("", "").await;
        lead(&proxy, &there);
        let mut start = command(&there.path);
        let address = format!("http://{CREDENTIALS}@{}", proxy.addr());
        start.env_clear().env("HTTPS_PROXY", address);
        let row = "Slack through the forward proxy of `HTTPS_PROXY`";
        let ran = "calls and WebSockets by `CONNECT`, with a password";
        run_scenario(row, ran, &there.bed, start).await.stop().await;
        // Calls, and two WebSockets beside them.
        assert!(granted(&proxy) >= teleports + 3, "{:?}", proxy.asked());

        let proxy = ForwardProxy::start_tls().await.unwrap();
        proxy.demand(BASIC);
        let network = format!("proxy = \"https://{CREDENTIALS}@{}\"", proxy.addr());
        let there = slack_behind(&network, proxy.ca_pem().unwrap()).await;
        lead(&proxy, &there);
        let ran = "the same in TLS with the proxy (`https://`)";
        run_scenario("Slack through a forward proxy that does TLS", ran, &there.bed, command(&there.path))
            .await
            .stop()
            .await;
        assert!(granted(&proxy) >= 3, "{:?}", proxy.asked());
    });
}
