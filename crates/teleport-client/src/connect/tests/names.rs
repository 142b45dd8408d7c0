//! Names, both families of addresses, and name servers that fail for a while, for each way to the auth server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use access_sim::forward_proxy::ForwardProxy;
use access_sim::name_table::{Answer, NameTable, SilentAddr};
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::TeleportSim;
use access_sim::teleport::proxy::{ProxyOptions, ProxySim, WebCertificate};
use access_sim::teleport::relay::{Relay, RelayKind};
use client_base::forward_proxy::{Proxies, Proxy};
use client_base::outbound::Outbound;
use client_base::resolver::Resolver;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::Instant;

use super::proxy::{cluster_named, identity};
use super::*;

const NAME: &str = "teleport.example.com";
const LIMIT: Duration = Duration::from_secs(20);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    AuthServer,
    Proxy,
    /// A proxy behind something that ends TLS.
    Upgrade,
    /// The forward proxy, which leads to the auth server.
    ForwardProxy,
}

/// A server, and what must live for as long.
struct FarEnd {
    cluster: TeleportSim,
    addr: SocketAddr,
    outbound: Outbound,
    _parts: (Option<ProxySim>, Option<Relay>, Option<ForwardProxy>),
}

impl Front {
    const ALL: [Self; 4] = [Self::AuthServer, Self::Proxy, Self::Upgrade, Self::ForwardProxy];

    /// Serves at this address of the machine.
    async fn serve(self, address: IpAddr, names: &NameTable) -> FarEnd {
        let cluster = cluster_named("example.com").await;
        let asked = names.clone();
        let resolver =
            Resolver::new(move |host, port| Box::pin(asked.clone().resolve(host.to_owned(), port)));
        let mut outbound = Outbound { resolver, ..Outbound::default() };
        let mut parts = (None, None, None);
        let addr = match self {
            Self::AuthServer => cluster.addr(),
            Self::ForwardProxy => {
                let proxy = ForwardProxy::start_at((address, 0).into()).await.unwrap();
                proxy.lead("auth.example.com:3025", cluster.addr());
                let url = format!("http://{NAME}:3128");
                let https = Some(Proxy::parse(&url, "network.proxy").unwrap());
                outbound.proxies = Proxies { https, ..Proxies::default() };
                let addr = proxy.addr();
                parts.2 = Some(proxy);
                addr
            }
            Self::Proxy | Self::Upgrade => {
                let certificate = WebCertificate::Bought;
                let options = ProxyOptions { address, certificate, ..ProxyOptions::default() };
                let proxy = ProxySim::start(&cluster, options).await.unwrap();
                let mut addr = proxy.web_addr();
                if self == Self::Upgrade {
                    let authority = proxy.authority_pem();
                    let pair = proxy.bought(&[NAME, "::1"]).unwrap();
                    let kind = RelayKind::EndsTls { pair, alpn: Vec::new(), again: Some(authority.clone()) };
                    let relay = Relay::start_at((address, 0).into(), kind, addr).await.unwrap();
                    outbound.extra_roots =
                        vec![CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()];
                    addr = relay.addr();
                    parts.1 = Some(relay);
                }
                parts.0 = Some(proxy);
                addr
            }
        };
        FarEnd { cluster, addr, outbound, _parts: parts }
    }

    /// The address of Teleport in the configuration.
    fn addr(self) -> &'static str {
        if self == Self::ForwardProxy { "auth.example.com:3025" } else { NAME }
    }
}

impl FarEnd {
    fn client(&self, addr: &str) -> Client {
        let destination =
            Destination { addr: TeleportAddr::parse(addr).unwrap(), outbound: self.outbound.clone() };
        let timings = CallTimings { connect: Duration::from_secs(10), ..CallTimings::default() };
        Client::with_timings(destination, &identity(&self.cluster), Arc::new(NoObserver), timings)
    }
}

/// Calls until one succeeds.
async fn until_it_answers(client: &Client, why: &str) {
    let until = Instant::now() + LIMIT;
    while let Err(error) = client.ping().await {
        assert!(Instant::now() < until, "{why}: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Calls until one fails with these words.
async fn until_it_says(client: &Client, words: &str) -> ConnectError {
    let until = Instant::now() + LIMIT;
    loop {
        let answered = client.ping().await;
        match answered {
            Err(TeleportError::Connect(error)) if error.to_string().contains(words) => return error,
            other => assert!(Instant::now() < until, "{words:?} is not said: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn each_way_heals_from_dead_families_moved_names_and_failing_name_servers() {
    for front in Front::ALL {
        let names = NameTable::default();
        let far = front.serve(V4, &names).await;
        let (one, two) = (
            TcpProxy::start(far.addr).await.unwrap(),
            TcpProxy::start_at((V6, 0).into(), far.addr).await.unwrap(),
        );
        let client = far.client(front.addr());

        // Two families, the first of which swallows everything.
        let dead = SilentAddr::start((V6, 0).into()).await.unwrap();
        names.lead(NAME, [dead.addr(), one.addr()]);
        let started = Instant::now();
        client.ping().await.unwrap_or_else(|error| panic!("{front:?}: {error}"));
        assert!(started.elapsed() < Duration::from_secs(4), "{front:?}: {:?}", started.elapsed());

        // The name moves: a connection that lives stays, and one that breaks goes to the new address.
        names.lead(NAME, [two.addr()]);
        let asked = *names.asked().borrow();
        client.ping().await.unwrap();
        assert_eq!(*names.asked().borrow(), asked, "{front:?}");
        one.cut().await;
        until_it_answers(&client, "at the new address").await;

        // The name server fails, and is then silent.
        names.set(NAME, Answer::Error);
        two.cut().await;
        let says = if front == Front::ForwardProxy {
            "the name does not resolve (Temporary failure in name resolution)"
        } else {
            "its name does not resolve; check the address and this machine's DNS (Temporary failure in name resolution)"
        };
        let error = until_it_says(&client, says).await;
        assert_eq!(error.kind(), ErrorKind::Retry, "{front:?}");
        names.lead(NAME, [two.addr()]);
        two.restore().await.unwrap();
        until_it_answers(&client, "after the name server came back").await;
    }
}

#[tokio::test]
async fn name_servers_that_say_nothing_have_their_own_sentence() {
    let names = NameTable::default();
    let far = Front::AuthServer.serve(V4, &names).await;
    names.set(NAME, Answer::Silence);
    let timings = CallTimings { connect: Duration::from_millis(200), ..CallTimings::default() };
    let destination =
        Destination { addr: TeleportAddr::parse(NAME).unwrap(), outbound: far.outbound.clone() };
    let client = Client::with_timings(destination, &identity(&far.cluster), Arc::new(NoObserver), timings);
    let error = connect_error(&client).await;
    assert_eq!((error.kind, error.kind()), (ConnectErrorKind::NameServerSilent, ErrorKind::Retry));
    let text = error.to_string();
    assert!(text.contains("/etc/resolv.conf") && text.contains("said within 0.2 s"), "{text}");
    names.lead(NAME, [far.addr]);
    until_it_answers(&client, "after the name server came back").await;
}

#[tokio::test]
async fn machines_with_ipv6_alone_reach_it_by_name_and_by_address() {
    let options = access_sim::teleport::Options::golden();
    let options = access_sim::teleport::Options { listen: (V6, 0).into(), ..options };
    let cluster = TeleportSim::start(options).await.unwrap();
    let client = Client::new(
        &TeleportAddr::parse(&cluster.addr().to_string()).unwrap(),
        &identity(&cluster),
        Arc::new(NoObserver),
    );
    client.ping().await.unwrap();
    assert_eq!(client.reach().await, Some(Reach::Direct));

    for (front, reach) in [(Front::Proxy, Reach::Proxy), (Front::Upgrade, Reach::Upgraded)] {
        let names = NameTable::default();
        let far = front.serve(V6, &names).await;
        names.lead(NAME, [far.addr]);
        // The certificate of the web port names both.
        for addr in [NAME.to_owned(), far.addr.to_string()] {
            let client = far.client(&addr);
            client.ping().await.unwrap_or_else(|error| panic!("{front:?} at {addr}: {error}"));
            assert_eq!(client.reach().await, Some(reach), "{addr}");
        }
    }
    let names = NameTable::default();
    let far = Front::ForwardProxy.serve(V6, &names).await;
    names.lead(NAME, [far.addr]);
    far.client(Front::ForwardProxy.addr()).ping().await.unwrap();
}
