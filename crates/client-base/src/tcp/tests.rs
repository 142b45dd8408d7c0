use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use access_sim::name_table::{Answer, NameTable, SilentAddr};
use tokio::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
/// What an address that swallows everything may cost: the moment, and the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(3);
const NAME: &str = "auth.example.com";

fn v4() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn v6() -> IpAddr {
    Ipv6Addr::LOCALHOST.into()
}

async fn listener(address: IpAddr) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn closed(address: IpAddr) -> SocketAddr {
    listener(address).await.1
}

fn resolver(names: &NameTable) -> Resolver {
    let names = names.clone();
    Resolver::new(move |host, port| Box::pin(names.clone().resolve(host.to_owned(), port)))
}

async fn connect_to(addresses: &[SocketAddr], limit: Duration) -> Result<SocketAddr, TcpError> {
    let names = NameTable::default();
    names.lead(NAME, addresses.iter().copied());
    let stream = connect(&resolver(&names), NAME, 3025, Deadline::after(limit)).await?;
    Ok(stream.peer_addr().unwrap())
}

#[tokio::test]
async fn an_address_that_swallows_everything_does_not_use_up_the_time() {
    let (dead4, dead6) = (
        SilentAddr::start((v4(), 0).into()).await.unwrap(),
        SilentAddr::start((v6(), 0).into()).await.unwrap(),
    );
    let ((_four, good4), (_six, good6)) = (listener(v4()).await, listener(v6()).await);
    for addresses in [
        vec![dead6.addr(), good4],
        vec![dead4.addr(), good6],
        // Within one family as well.
        vec![dead4.addr(), good4],
        vec![dead6.addr(), dead6.addr(), dead4.addr(), dead4.addr(), good4],
    ] {
        let started = Instant::now();
        let peer = connect_to(&addresses, LIMIT).await.unwrap();
        assert!(started.elapsed() < SOON, "{addresses:?}: {:?}", started.elapsed());
        assert!(peer == good4 || peer == good6);
    }
}

#[tokio::test]
async fn an_address_that_refuses_costs_nothing_and_order_counts() {
    let ((_four, good4), (_six, good6)) = (listener(v4()).await, listener(v6()).await);
    let (closed4, closed6) = (closed(v4()).await, closed(v6()).await);
    for (addresses, expected) in [
        (vec![good6, good4], good6),
        (vec![good4, good6], good4),
        (vec![closed6, closed4, good6], good6),
        (vec![good6], good6),
    ] {
        let started = Instant::now();
        assert_eq!(connect_to(&addresses, LIMIT).await.unwrap(), expected, "{addresses:?}");
        assert!(started.elapsed() < SOON);
    }
}

#[tokio::test]
async fn the_error_says_what_the_addresses_did_and_its_kind_what_says_most() {
    let dead = SilentAddr::start((v4(), 0).into()).await.unwrap();
    let refuses = closed(v6()).await;
    let limit = Duration::from_millis(600);
    let TcpError::Connect(attempts) = connect_to(&[dead.addr(), refuses], limit).await.unwrap_err() else {
        panic!("it was connected to");
    };
    assert_eq!(attempts.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(
        attempts.to_string(),
        "it was refused: nothing listens there, or a firewall refuses; no answer within 0.6 s"
    );
    let TcpError::Connect(attempts) = connect_to(&[dead.addr()], limit).await.unwrap_err() else {
        panic!("it was connected to");
    };
    assert_eq!(attempts.kind(), io::ErrorKind::TimedOut);
    // No way there is what says least: a machine without IPv6 has none to the other family.
    let unreachable = || io::Error::from(io::ErrorKind::NetworkUnreachable);
    let attempts = |failed: Vec<(SocketAddr, io::Error)>, silent| Attempts { failed, silent, limit: LIMIT };
    let (four, six) = ("192.0.2.1:443".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap());
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(
        attempts(vec![(six, unreachable()), (four, refused)], Vec::new()).kind(),
        io::ErrorKind::ConnectionRefused
    );
    let one_silent = attempts(vec![(six, unreachable())], vec![four]);
    assert_eq!(one_silent.kind(), io::ErrorKind::TimedOut);
    assert_eq!(one_silent.to_string(), "no answer within 10 s; network unreachable");
    let by_address = TcpError::Connect(one_silent).by_address();
    assert_eq!(by_address, "[2001:db8::1]:443: network unreachable; 192.0.2.1:443: no answer");
    assert_eq!(attempts(vec![(six, unreachable())], Vec::new()).kind(), io::ErrorKind::NetworkUnreachable);
}

#[tokio::test]
async fn names_that_fail_are_silent_or_have_no_address_have_their_words() {
    let names = NameTable::default();
    let limit = Duration::from_millis(200);
    let failure = async |name: &str| {
        let connected = connect(&resolver(&names), name, 443, Deadline::after(limit)).await;
        connected.unwrap_err().to_string()
    };
    assert_eq!(failure(NAME).await, "the name does not resolve (Name or service not known)");
    names.set(NAME, Answer::Error);
    assert_eq!(failure(NAME).await, "the name does not resolve (Temporary failure in name resolution)");
    names.set(NAME, Answer::Silence);
    assert_eq!(failure(NAME).await, "no name server said within 0.2 s which addresses the name has");
    names.lead(NAME, []);
    assert_eq!(failure(NAME).await, "the name has no address");
}

#[tokio::test]
async fn every_connection_asks_again() {
    let names = NameTable::default();
    let ((_one, first), (_two, second)) = (listener(v4()).await, listener(v6()).await);
    let resolver = resolver(&names);
    for (addr, times) in [(first, 1), (second, 2), (first, 3)] {
        names.lead(NAME, [addr]);
        let stream = connect(&resolver, NAME, 1, Deadline::after(LIMIT)).await.unwrap();
        assert_eq!((stream.peer_addr().unwrap(), *names.asked().borrow()), (addr, times));
    }
}

#[test]
fn the_families_take_turns_and_a_long_list_ends() {
    let parse = |list: &[&str]| list.iter().map(|addr| addr.parse().unwrap()).collect::<Vec<SocketAddr>>();
    let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
    assert_eq!(in_turn(found), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
    assert_eq!(in_turn(parse(&["1.1.1.1:1", "[::1]:1"])), parse(&["1.1.1.1:1", "[::1]:1"]));
    let many = (1..=200).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
    assert_eq!(in_turn(many).len(), MAX_ADDRESSES);
}
