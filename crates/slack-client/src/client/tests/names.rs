//! Names, both families of addresses, and name servers that fail for a while.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use access_sim::name_table::{Answer, NameTable, SilentAddr};
use access_sim::slack::workspace::Workspace;
use access_sim::slack::{self, SlackSim};
use access_sim::tls_front::TlsFront;
use client_base::resolver::Resolver;
use tokio::time::Instant;

use super::*;

pub(crate) const NAME: &str = "slack.example";
pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Slack on one port of this machine.
pub(crate) async fn slack_at(address: IpAddr) -> SlackSim {
    let mut workspace = Workspace::empty();
    workspace.app.app_token = "xapp-hunter2".to_owned();
    workspace.app.socket_mode = true;
    let options =
        slack::Options { rate_limits: None, listen: (address, 0).into(), ..slack::Options::new(workspace) };
    SlackSim::start(options).await.unwrap()
}

/// A client that resolves by these names and trusts the certificates of these fronts.
pub(crate) fn client_by(
    names: &NameTable,
    sim: &SlackSim,
    api_url: &str,
    fronts: &[&TlsFront],
    timings: CallTimings,
) -> Client {
    let asked = names.clone();
    let resolver = Resolver::new(move |host, port| Box::pin(asked.clone().resolve(host.to_owned(), port)));
    let roots =
        fronts.iter().flat_map(|front| client_base::tls::roots_in(front.ca_pem().as_bytes()).unwrap());
    let outbound = Outbound { resolver, extra_roots: roots.collect(), ..Outbound::default() };
    let options = ClientOptions { api_url: api_url.to_owned(), timings, outbound, ..options(String::new()) };
    Client::new(ClientOptions { token: Secret::new(sim.token()), ..options }).unwrap()
}

#[tokio::test]
async fn calls_reach_ipv6_alone_by_address_and_by_name() {
    let sim = slack_at(V6).await;
    let plain = client_by(&NameTable::default(), &sim, &sim.api_url(), &[], CallTimings::default());
    plain.auth_test().await.unwrap();

    let front = TlsFront::start_at((V6, 0).into(), &[NAME, "::1"], sim.addr()).await.unwrap();
    let names = NameTable::default();
    names.lead(NAME, [front.addr()]);
    for host in [NAME.to_owned(), format!("[::1]:{}", front.addr().port())] {
        let url = format!("https://{host}/api/");
        let client = client_by(&names, &sim, &url, &[&front], CallTimings::default());
        client.auth_test().await.unwrap_or_else(|error| panic!("{host}: {}", chain(&error)));
    }
}

#[tokio::test]
async fn calls_heal_from_dead_families_moved_names_and_failing_name_servers() {
    let (one, two) = (slack_at(V4).await, slack_at(V6).await);
    let front = TlsFront::start(&[NAME], one.addr()).await.unwrap();
    let other = TlsFront::start_at((V6, 0).into(), &[NAME], two.addr()).await.unwrap();
    let dead = SilentAddr::start((V6, 0).into()).await.unwrap();
    let names = NameTable::default();
    let idle = Duration::from_millis(300);
    let timings = CallTimings { idle, connect: Duration::from_secs(4), ..CallTimings::default() };
    let client = client_by(&names, &one, &format!("https://{NAME}/api/"), &[&front, &other], timings);

    names.lead(NAME, [dead.addr(), front.addr()]);
    let started = Instant::now();
    client.auth_test().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());

    // The name moves. No idle connection leads to the old address for longer than its time.
    names.lead(NAME, [other.addr()]);
    tokio::time::sleep(idle + Duration::from_millis(200)).await;
    let before = one.calls().len();
    client.auth_test().await.unwrap();
    assert_eq!((one.calls().len(), two.calls().len()), (before, 1));

    // A connection that breaks is replaced at the new address at once.
    names.lead(NAME, [front.addr()]);
    drop(other);
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(error) = client.auth_test().await {
        assert!(Instant::now() < until, "{}", chain(&error));
    }
    assert_eq!(one.calls().len(), before + 1);

    // The name server fails for a while.
    for (answer, words) in [
        (Answer::Error, "no connection: the name does not resolve (Temporary failure in name resolution)"),
        (Answer::Silence, "no connection: no name server said within 4 s which addresses the name has"),
    ] {
        tokio::time::sleep(idle + Duration::from_millis(200)).await;
        names.set(NAME, answer);
        let error = client.auth_test().await.unwrap_err();
        assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Backoff, false));
        assert!(error.is_unavailable() && error.to_string().ends_with(words), "{}", chain(&error));
        let remedy = error.remedy().unwrap();
        assert!(remedy.text.contains("/etc/resolv.conf"), "{}", remedy.text);
        names.lead(NAME, [front.addr()]);
        client.auth_test().await.unwrap();
    }
}
