//! Against the simulated proxy: what is asked, and one sentence for each way in which it fails.

use std::time::Duration;

use access_sim::forward_proxy::{Answer, ForwardProxy};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls;

const LIMIT: Duration = Duration::from_secs(10);

fn dialer(proxy: &str, ca_pem: Option<&str>) -> Dialer {
    let proxy = Proxy::parse(proxy, "HTTPS_PROXY").unwrap();
    let proxies = Proxies { https: Some(proxy), ..Proxies::default() };
    let mut roots = RootCertStore::empty();
    let authorities = ca_pem.map(|pem| tls::roots_in(pem.as_bytes()).unwrap());
    roots.add_parsable_certificates(authorities.into_iter().flatten());
    Dialer::new(
        proxies,
        Resolver::default(),
        Arc::new(tls::client_config(roots).unwrap().with_no_client_auth()),
    )
}

async fn dial(dialer: &Dialer, limit: Duration) -> Result<Stream, DialError> {
    dialer.dial(&Target::new("slack.example", 443), Deadline::after(limit)).await
}

/// The error's text with its causes, and the remedy.
async fn failure(dialer: &Dialer, limit: Duration) -> (String, &'static str) {
    match dial(dialer, limit).await {
        Err(DialError::Proxy(error)) => {
            let texts: Vec<_> = crate::broken::causes(&error).map(ToString::to_string).collect();
            (texts.join(": "), error.remedy())
        }
        other => panic!("{other:?}"),
    }
}

async fn assert_joined(stream: &mut Stream, server: &TcpListener) {
    let (mut far, _) = server.accept().await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    stream.flush().await.unwrap();
    let mut read = [0; 4];
    far.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
    far.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"pong");
}

async fn server() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

#[tokio::test]
async fn the_proxy_is_asked_by_name_and_with_the_credentials_only_if_there_are_some() {
    let (proxy, server) = (ForwardProxy::start().await.unwrap(), server().await);
    proxy.lead("slack.example:443", server.local_addr().unwrap());
    for (credentials, sent) in
        [("", None), ("Aladdin:open%20sesame@", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))]
    {
        let dialer = dialer(&format!("http://{credentials}{}", proxy.addr()), None);
        let mut stream = dial(&dialer, LIMIT).await.unwrap();
        assert!(matches!(stream, Stream::Tcp(_)));
        assert_joined(&mut stream, &server).await;
        let asked = proxy.asked().pop().unwrap();
        assert_eq!(asked.line, "CONNECT slack.example:443 HTTP/1.1");
        assert_eq!(asked.host.as_deref(), Some("slack.example:443"));
        assert_eq!(asked.authorization.as_deref(), sent);
    }
}

#[tokio::test]
async fn this_machine_is_reached_without_the_proxy() {
    let (proxy, server) = (ForwardProxy::start().await.unwrap(), server().await);
    let dialer = dialer(&format!("http://{}", proxy.addr()), None);
    let target = Target::new("127.0.0.1", server.local_addr().unwrap().port());
    let mut stream = dialer.dial(&target, Deadline::after(LIMIT)).await.unwrap();
    assert_joined(&mut stream, &server).await;
    assert_eq!(proxy.asked(), []);
}

#[tokio::test]
async fn a_proxy_that_speaks_tls_is_checked_before_it_gets_the_credentials() {
    let (proxy, server) = (ForwardProxy::start_tls().await.unwrap(), server().await);
    proxy.lead("slack.example:443", server.local_addr().unwrap());
    let url = format!("https://bob:hunter2@{}", proxy.addr());
    let mut stream = dial(&dialer(&url, proxy.ca_pem()), LIMIT).await.unwrap();
    assert_joined(&mut stream, &server).await;
    assert_eq!(proxy.asked().len(), 1);

    let (text, remedy) = failure(&dialer(&url, None), LIMIT).await;
    assert!(text.starts_with(&format!("no TLS connection to the proxy {}: ", proxy.addr())), "{text}");
    assert!(
        text.ends_with("certificate is of no authority that is trusted")
            && remedy.contains("a file with the CA"),
        "{text}; {remedy}"
    );
    assert_eq!(proxy.asked().len(), 1, "a proxy that could be anybody was asked");

    let plain = dialer(&format!("http://bob:hunter2@{}", proxy.addr()), None);
    let (text, remedy) = failure(&plain, LIMIT).await;
    assert!(remedy.contains("must begin with https://"), "{text}; {remedy}");
}

#[tokio::test]
async fn each_failure_has_its_sentence_and_its_remedy() {
    let proxy = ForwardProxy::start().await.unwrap();
    let (open, bob) = (format!("http://{}", proxy.addr()), format!("http://bob:hunter2@{}", proxy.addr()));
    let head = |head: &str| Answer::Head(head.to_owned());
    let unauthorized = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: ";
    let negotiate = format!("{unauthorized}Negotiate\r\nProxy-Authenticate: NTLM realm=x");
    let basic = format!("{unauthorized}Negotiate\r\nProxy-Authenticate: basic realm=x");
    for (url, answer, words, remedy) in [
        (
            &open,
            head("HTTP/1.1 403 Forbidden"),
            "forbids connections to slack.example:443 (HTTP status 403)",
            "allow CONNECT",
        ),
        (&open, head("HTTP/1.0 403 Filtered"), "forbids connections to slack.example:443", "allow CONNECT"),
        (
            &open,
            head(&basic),
            "wants a user and a password (HTTP status 407)",
            "http://user:password@host:port",
        ),
        (
            &bob,
            head(&basic),
            "refuses the user or the password (HTTP status 407)",
            "correct user and password",
        ),
        (
            &bob,
            head("HTTP/1.1 401 x"),
            "refuses the user or the password (HTTP status 401)",
            "correct user and password",
        ),
        (&bob, head("HTTP/1.1 407 x"), "refuses the user or the password", "correct user and password"),
        (
            &bob,
            head(&negotiate),
            "only kind supported, but Negotiate, NTLM (HTTP status 407)",
            "with Basic authentication",
        ),
        (
            &open,
            head("HTTP/1.1 502 Bad Gateway"),
            "does not reach slack.example:443 (HTTP status 502)",
            "name resolves",
        ),
        (
            &open,
            head("HTTP/1.1 503 x"),
            "does not reach slack.example:443 (HTTP status 503)",
            "name resolves",
        ),
        (
            &open,
            head("HTTP/1.1 504 x"),
            "does not reach slack.example:443 (HTTP status 504)",
            "name resolves",
        ),
        (
            &open,
            head("HTTP/1.1 302 x\r\nLocation: http://login"),
            "it answers with HTTP status 302",
            "the proxy's log",
        ),
        (&open, head("HTTP/1.1 405 x"), "it answers with HTTP status 405", "allows CONNECT"),
        (&open, Answer::Close, "closed the connection without a whole answer", "begin with https://"),
        (&open, Answer::Cut, "closed the connection without a whole answer", "begin with https://"),
        (&open, Answer::Huge, "gives an answer that is too large", "an HTTP proxy listens"),
        (&open, Answer::Garbage, "does not speak HTTP", "an HTTP proxy listens"),
        (&open, Answer::Early, "does not speak HTTP", "an HTTP proxy listens"),
    ] {
        if answer == Answer::Early {
            proxy.lead("slack.example:443", proxy.addr());
        }
        proxy.answer(answer.clone());
        let (text, wanted) = failure(&dialer(url, None), LIMIT).await;
        assert!(text.contains(words) && text.contains(&proxy.addr().to_string()), "{answer:?}: {text}");
        assert!(wanted.contains(remedy), "{answer:?}: {wanted}");
        assert!(!text.contains("hunter2") && !text.contains("bob"), "{text}");
    }
    proxy.answer(Answer::Silence);
    let (text, remedy) = failure(&dialer(&bob, None), Duration::from_millis(200)).await;
    let words = "did not say within 0.2 s whether it reaches slack.example:443";
    assert!(text.contains(words) && remedy.contains("HTTP proxy"), "{text}; {remedy}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let closed = server().await;
    let addr = closed.local_addr().unwrap();
    drop(closed);
    let (text, remedy) = failure(&dialer(&format!("http://bob:hunter2@{addr}"), None), LIMIT).await;
    assert!(text.starts_with(&format!("no connection to the proxy {addr}: ")), "{text}");
    assert!(
        text.ends_with(": it was refused: nothing listens there, or a firewall refuses")
            && remedy.contains("that it runs")
            && !text.contains("hunter2"),
        "{text}"
    );
    let (text, _) = failure(&dialer("http://proxy.invalid:3128", None), LIMIT).await;
    assert!(
        text.starts_with("no connection to the proxy proxy.invalid:3128: the name does not resolve ("),
        "{text}"
    );
    assert!(!text.contains("dns error"), "{text}");
}

#[test]
fn only_words_of_a_list_of_authentications_are_shown() {
    let headers = |values: &[&str]| {
        let pairs = values.iter().map(|value| (PROXY_AUTHENTICATE, value.parse().unwrap()));
        pairs.collect::<HeaderMap>()
    };
    assert_eq!(offered(&headers(&[])), None);
    assert_eq!(offered(&headers(&["Digest realm=\"a\"", "Basic"])), None);
    assert_eq!(offered(&headers(&["<script>", "Digest realm=\"a\""])).as_deref(), Some("Digest"));
    assert_eq!(offered(&headers(&[&"a".repeat(500)])).map(|shown| shown.len()), Some(MAX_OFFERED_CHARS));
}
