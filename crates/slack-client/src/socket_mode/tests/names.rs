//! Names, both families of addresses, and name servers that fail for a while.

use access_sim::name_table::{Answer, NameTable, SilentAddr};
use access_sim::slack::socket::SocketSelector;
use access_sim::tls_front::TlsFront;

use super::whole::*;
use super::*;
use crate::client::tests::names::{NAME, V4, V6, client_by, slack_at};
use crate::timings::CallTimings;

#[tokio::test]
async fn sockets_open_where_there_is_ipv6_alone() {
    let sim = slack_at(V6).await;
    let client = client_by(&NameTable::default(), &sim, &sim.api_url(), &[], CallTimings::default());
    let mut daemon = Running::start(client, fast_timing());
    daemon.wait_for_connections(2).await;
    assert_eq!(sim.sockets().count(), 2);
}

#[tokio::test]
async fn sockets_heal_from_dead_families_moved_names_and_failing_name_servers() {
    let log = Captured::start();
    let sim = slack_at(V4).await;
    sim.set_public_url(&format!("https://{NAME}"));
    let one = TlsFront::start(&[NAME], sim.addr()).await.unwrap();
    let two = TlsFront::start_at((V6, 0).into(), &[NAME], sim.addr()).await.unwrap();
    let dead = SilentAddr::start((V6, 0).into()).await.unwrap();
    let names = NameTable::default();
    names.lead(NAME, [dead.addr(), one.addr()]);
    let url = format!("https://{NAME}/api/");
    let timings = CallTimings { idle: Duration::from_millis(1), ..CallTimings::default() };
    let client = client_by(&names, &sim, &url, &[&one, &two], timings);
    let mut daemon = Running::start(client, fast_timing());
    daemon.wait_for_connections(2).await;

    // The name moves: what is open stays open, and what breaks goes to the new address.
    names.lead(NAME, [two.addr()]);
    assert_eq!(sim.sockets().opened(), 2);
    drop(one);
    until(|| sim.sockets().opened() == 4).await;
    daemon.wait_for_connections(2).await;
    let before = log.count("WARN");

    // The name server fails, and comes back after many tries.
    names.set(NAME, Answer::Error);
    let asked = *names.asked().borrow();
    sim.sockets().close(SocketSelector::All);
    until(|| *names.asked().borrow() >= asked + 10).await;
    daemon.wait_for_connections(0).await;
    names.lead(NAME, [two.addr()]);
    daemon.wait_for_connections(2).await;
    until(|| log.count("Clicks in Slack arrive over Socket Mode again") >= 1).await;
    let failed = "the name does not resolve (Temporary failure in name resolution)";
    let warned: Vec<_> = log.text().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
    let of_names: Vec<_> = warned.iter().filter(|line| line.contains(failed)).collect();
    assert_eq!((of_names.len(), warned.len() - before), (1, 1), "{}", log.text());
    assert!(of_names[0].contains("/etc/resolv.conf"), "{}", of_names[0]);
}
