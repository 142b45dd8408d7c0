use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::KeyPair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::address::TeleportAddr;
use crate::client::Client;
use crate::error::TeleportError;
use crate::identity::Identity;
use crate::kind::ErrorKind;
use crate::observer::NoObserver;
use crate::tests::scripted_server::{
    LeafParams, Reply, Responder, SERVER_NAME, ScriptedServer, TestCa, identity_of,
};

fn unused() -> Responder {
    Arc::new(|_, _| Reply::Status(2, "no call should get this far"))
}

mod names;
mod proxy;
mod upgrade;

/// Why a call cannot connect.
async fn connect_error(client: &Client) -> ConnectError {
    match client.ping().await.unwrap_err() {
        TeleportError::Connect(error) => error,
        other => panic!("not a connection problem: {other:?}"),
    }
}

async fn connect_error_at(addr: &str, identity: &Identity) -> ConnectError {
    connect_error(&Client::new(&TeleportAddr::parse(addr).unwrap(), identity, Arc::new(NoObserver))).await
}

/// A client whose certificate was valid only until the start of 2021, as its owner did not notice.
fn expired(authority: &TestCa) -> Identity {
    let leaf = LeafParams { common_name: "access-plugin", dns_names: &[], years: (2020, 2021) };
    let pair = authority.sign(&leaf, &KeyPair::generate().unwrap());
    identity_of(&pair, &authority.pem, "2020-06-01T00:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = connect_error_at(&addr, &TestCa::new("c").identity("u")).await;
    assert_eq!(error.kind, ConnectErrorKind::Refused);
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains(&addr), "{error}");
}

#[tokio::test]
async fn a_closed_web_port_speaks_of_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let refused = TcpStream::connect(closed).await.unwrap_err();
    for (addr, kind) in [
        ("teleport.example.com:443", ConnectErrorKind::RefusedByWebPort),
        ("teleport.example.com:3080", ConnectErrorKind::RefusedByWebPort),
        ("auth.example.com", ConnectErrorKind::Refused),
    ] {
        assert_eq!(tcp::error_kind(refused.kind(), &TeleportAddr::parse(addr).unwrap()), kind);
    }
    assert_eq!(ConnectErrorKind::RefusedByWebPort.to_string().matches("proxy").count(), 1);
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let error = connect_error_at("does-not-exist.invalid", &TestCa::new("c").identity("u")).await;
    assert_eq!(error.kind, ConnectErrorKind::Resolve, "{error}");
}

#[tokio::test]
async fn a_server_of_another_cluster() {
    let server = ScriptedServer::start(&TestCa::new("theirs"), unused()).await;
    let error = connect_error(&server.client(&TestCa::new("ours").identity("u"))).await;
    assert_eq!(error.kind, ConnectErrorKind::UnknownIssuer, "{error}");
}

#[tokio::test]
async fn a_server_whose_ca_was_rotated() {
    // The new CA has the old one's name.
    let server = ScriptedServer::start(&TestCa::new("local-site"), unused()).await;
    let error = connect_error(&server.client(&TestCa::new("local-site").identity("u"))).await;
    assert_eq!(error.kind, ConnectErrorKind::UnknownIssuer, "{error}");
}

#[tokio::test]
async fn a_server_with_another_name() {
    let authority = TestCa::new("local-site");
    let server = ScriptedServer::start_with(authority.server_config("www.example.com"), unused()).await;
    let error = connect_error(&server.client(&authority.identity("u"))).await;
    assert_eq!(error.kind, ConnectErrorKind::ServerName, "{error}");
}

/// TLS with this certificate and key.
fn tls_with(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> rustls::ServerConfig {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(client_base::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test]
async fn a_proxy_that_opens_tls_with_a_certificate_that_signed_itself() {
    let key = KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let server = ScriptedServer::start_with(tls_with(certificate, &key), unused()).await;
    let error = connect_error(&server.client(&TestCa::new("local-site").identity("u"))).await;
    assert_eq!(error.kind, ConnectErrorKind::UnexpectedCertificate, "{error}");
    let text = error.to_string();
    assert!(text.contains("opens TLS") && !text.contains("clock") && !text.contains("OtherError"), "{text}");
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired() {
    let (authority, key) = (TestCa::new("local-site"), KeyPair::generate().unwrap());
    let leaf = LeafParams { common_name: "0000.cluster", dns_names: &[SERVER_NAME], years: (2020, 2021) };
    let pem = authority.sign(&leaf, &key).crt;
    let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
    let server = ScriptedServer::start_with(tls_with(certificate, &key), unused()).await;
    let error = connect_error(&server.client(&authority.identity("u"))).await;
    assert_eq!(error.kind, ConnectErrorKind::ServerCertificate, "{error}");
    assert!(error.to_string().contains("check both machines' clocks"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_the_server_refuses() {
    let authority = TestCa::new("local-site");
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let server =
            ScriptedServer::start_with(authority.server_config_of(SERVER_NAME, versions), unused()).await;

        let error = connect_error(&server.client(&expired(&authority))).await;
        assert_eq!(error.kind, ConnectErrorKind::ClientCertificateRejected, "{error}");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(error.detail.contains("CertificateExpired"), "the alert's name is kept: {error}");

        let foreign = TestCa::new("other-site").client_pair("u");
        let foreign = identity_of(&foreign, &authority.pem, Timestamp::now());
        let error = connect_error(&server.client(&foreign)).await;
        assert_eq!(error.kind, ConnectErrorKind::ClientCertificateRejected, "{error}");
    }
}

#[tokio::test]
async fn a_server_without_http2() {
    let authority = TestCa::new("local-site");
    for offered in [vec![b"http/1.1".to_vec()], vec![]] {
        let mut config = authority.server_config(SERVER_NAME);
        config.alpn_protocols = offered;
        let server = ScriptedServer::start_with(config, unused()).await;
        let error = connect_error(&server.client(&authority.identity("u"))).await;
        assert_eq!(error.kind, ConnectErrorKind::NotHttp2, "{error}");
    }
}

/// A server that is not TLS: reads a little, answers this, hangs up.
async fn plain_server(answer: &'static [u8]) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.read(&mut [0; 4096]).await;
            let _ = tcp.write_all(answer).await;
        }
    });
    (addr, tasks)
}

#[tokio::test]
async fn a_server_without_tls() {
    let (addr, _tasks) = plain_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = connect_error_at(&addr, &TestCa::new("c").identity("u")).await;
    assert_eq!(error.kind, ConnectErrorKind::NotTls, "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up() {
    let (addr, _tasks) = plain_server(b"").await;
    let error = connect_error_at(&addr, &TestCa::new("c").identity("u")).await;
    assert_eq!(error.kind, ConnectErrorKind::Closed, "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let error = connect_error_at(&addr, &TestCa::new("c").identity("u")).await;
    assert_eq!(error.kind, ConnectErrorKind::TimedOut, "{error}");
    assert!(error.detail.contains("10 s"), "{error}");
}

#[test]
fn a_connection_problem_names_the_server_the_cause_and_the_remedy() {
    let error = ConnectError {
        addr: "auth.example.com:3025".into(),
        kind: ConnectErrorKind::Refused,
        detail: "Connection refused (os error 111)".into(),
        upgrade: None,
    };
    insta::assert_snapshot!(error, @"cannot connect to the Teleport auth server at auth.example.com:3025: the connection was refused; is the auth server running, and is this its port (usually 3025)? (Connection refused (os error 111))");
}

/// Reads one HTTP/2 frame: its type, its flags and what it carries; none at the end of the stream.
async fn frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], payload))
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_pinged_once_a_minute_and_closed_without_an_answer() {
    const PING: u8 = 6;
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let mut near = Some(TokioIo::new(near));
    let connector = tower::service_fn(move |_| {
        let near = near.take().ok_or_else(|| io::Error::other("there is one connection only"));
        async move { near }
    });
    let begun = Instant::now();
    let server = async {
        let mut preface = [0; 24];
        far.read_exact(&mut preface).await.unwrap();
        // Empty settings, and the client's are accepted.
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
        let mut asked = Vec::new();
        while let Some((kind, flags, payload)) = frame(&mut far).await {
            if kind == PING && flags == 0 {
                asked.push(begun.elapsed().as_secs());
                if asked.len() == 1 {
                    far.write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0], &payload[..]].concat()).await.unwrap();
                }
            }
        }
        (asked, begun.elapsed().as_secs())
    };
    let endpoint = endpoint(&CallTimings::default());
    let channel = endpoint.connect_with_connector(connector);
    let (channel, (asked, given_up)) = tokio::join!(channel, server);
    assert!(channel.is_ok(), "{channel:?}");
    assert_eq!((asked, given_up), (vec![60, 120], 140));
}
