//! The proxy against what a real one was seen to do.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use super::*;
use crate::teleport::proxy::{Led, ProxyOptions, ProxySim, WebCertificate};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/teleport-proxy-15.1.9");

fn vector(name: &str) -> String {
    std::fs::read_to_string(format!("{VECTORS}/{name}")).unwrap()
}

async fn start(options: ProxyOptions) -> (TeleportSim, ProxySim) {
    let cluster = start_version(ServerVersion::V15).await;
    let proxy = ProxySim::start(&cluster, options).await.unwrap();
    (cluster, proxy)
}

fn bought() -> ProxyOptions {
    ProxyOptions {
        certificate: WebCertificate::Bought,
        public_host: Some("proxy.example.com".to_owned()),
        ..ProxyOptions::default()
    }
}

/// A browser's connection.
async fn browse(proxy: &ProxySim) -> TlsStream<TcpStream> {
    let mut config = client_tls(&proxy.authority_pem(), None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(proxy.web_addr()).await.unwrap();
    let name = ServerName::try_from("proxy.example.com").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Sends a request and reads the head of the answer, with the body as far as it came.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed before it answered");
        }
    };
    tokio::time::timeout(LIMIT, read).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The requests of the capture and the answers to them, by the title above them.
fn captured(title: &str) -> (String, String) {
    let text = vector("upgrade-heads.txt");
    let section = text.split("\n== ").find(|section| section.starts_with(title)).unwrap();
    let (request, answer) = section.split_once("--- answer\n").unwrap();
    let request = request.split_once("--- request\n").map_or("", |(_, request)| request);
    let wire = |lines: &str| format!("{}\r\n\r\n", lines.trim_end().replace('\n', "\r\n"));
    (wire(request), answer.to_owned())
}

#[tokio::test]
async fn captured_upgrades_get_the_captured_answers() {
    let (_cluster, proxy) = start(bought()).await;
    for title in ["default of the 15.1 client", "WebSocket form only", "old form only"] {
        let (request, expected) = captured(title);
        let answer = ask(&mut browse(&proxy).await, &request).await.to_ascii_lowercase();
        for line in expected.lines().filter(|line| !line.is_empty()) {
            assert!(answer.contains(&line.to_ascii_lowercase()), "{title}: {line:?} is not in\n{answer}");
        }
    }
    let (request, _) = captured("WebSocket form only");
    for (changed, status, led) in [
        (request.replace("Upgrade: websocket\r\n", ""), " 404 ", None),
        (request.replace("Sec-Websocket-Version: 13\r\n", ""), " 400 ", None),
        (request.replace("GET ", "POST "), " 501 ", None),
        (request.replace("Host: proxy", "Host: other"), " 302 ", Some(Led::Away)),
        (request.replace("Host: proxy.example.com", "Host: PROXY.example.com"), " 302 ", Some(Led::Away)),
        (request.replace("Host: proxy.example.com:443", "Host: 192.0.2.1"), " 101 ", None),
    ] {
        let before = proxy.led().len();
        let answer = ask(&mut browse(&proxy).await, &changed).await;
        assert!(answer.lines().next().unwrap().contains(status), "{changed}\n{answer}");
        if let Some(led) = led {
            assert!(proxy.led()[before..].contains(&led), "{:?}", proxy.led());
            assert!(answer.contains("location: https://proxy.example.com/web/launch/"), "{answer}");
        }
    }
    let both = request.replace("alpn-ping", "alpn-ping, alpn");
    let answer = ask(&mut browse(&proxy).await, &both).await;
    assert!(answer.contains("sec-websocket-protocol: alpn\r\n"), "{answer}");
}

#[tokio::test]
async fn it_says_who_it_is_as_the_real_one_does_also_without_its_auth_server() {
    let (cluster, proxy) = start(bought()).await;
    let request =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: proxy.example.com\r\nConnection: close\r\n\r\n");
    let body = async |path: &str| {
        let mut stream = browse(&proxy).await;
        let mut answer = ask(&mut stream, &request(path)).await;
        // The end comes without close_notify.
        let _ = stream.read_to_string(&mut answer).await;
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let real: Value = serde_json::from_str(&vector("find-public-addr.json")).unwrap();
    let ours: Value = serde_json::from_str(&body("/webapi/find").await).unwrap();
    for place in ["/cluster_name", "/server_version", "/min_client_version", "/proxy/tls_routing_enabled"] {
        let (ours, real) = (ours.pointer(place).unwrap(), real.pointer(place).unwrap());
        assert_eq!((ours.is_string(), ours.is_boolean()), (real.is_string(), real.is_boolean()), "{place}");
    }
    assert_eq!(ours["cluster_name"], Value::from(cluster.fixture().cluster));
    cluster.stop().await;
    assert!(body("/webapi/find").await.contains("cluster_name"));
    assert!(ask(&mut browse(&proxy).await, &request("/webapi/ping")).await.contains(" 504 "));
}

#[tokio::test]
async fn plain_text_sent_to_it_is_closed_without_a_byte() {
    let (_cluster, proxy) = start(ProxyOptions::default()).await;
    let mut stream = TcpStream::connect(proxy.web_addr()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset counts as well.
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"");
}
