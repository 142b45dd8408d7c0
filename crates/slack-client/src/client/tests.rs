//! The client against a server that sends scripted bytes over a real socket.

mod answers;
mod limits;
mod lookups;
pub(crate) mod names;
mod validating;
pub(crate) mod server;

use std::error::Error;

use access_core::render::blocks::{Block, Message};
use access_core::render::mrkdwn::Mrkdwn;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::directory::{Directory, Priority};
use crate::error::{Retry, Setting};
use server::{Received, Reply, Server};

const TOKEN: &str = "xoxb-12-secret";

fn options(api_url: String) -> ClientOptions {
    ClientOptions { api_url, ..ClientOptions::new(Secret::new(TOKEN)) }
}

fn client(server: &Server) -> Client {
    Client::new(options(format!("http://{}/api", server.address))).unwrap()
}

/// A client that trusts these certificates instead of the machine's.
fn client_with(options: ClientOptions, roots: RootCertStore) -> Client {
    let base = parse_base(&options.api_url).unwrap();
    Client::with_roots(options, base, roots).unwrap()
}

fn sample_message() -> Message {
    let mut text = Mrkdwn::default();
    text.trusted("*alice* wants `dba`");
    Message::new(sample_text(), vec![Block::section(text)])
}

fn text_message() -> Message {
    Message::plain(sample_text())
}

fn sample_text() -> Mrkdwn {
    let mut text = Mrkdwn::default();
    text.trusted("alice wants dba");
    text
}

fn post<'a>(message: &'a Message) -> PostMessage<'a> {
    PostMessage { channel: "C1", message, thread_ts: None, metadata: None }
}

fn posted() -> Value {
    json!({"ok": true, "channel": "C1", "ts": "1.000001", "message": {"text": "…"}})
}

fn assert_request(request: &Received, method: &str, content_type: &str) {
    assert_eq!(request.request_line, format!("POST /api/{method} HTTP/1.1"));
    assert_eq!(request.header("authorization"), Some("Bearer xoxb-12-secret"));
    assert_eq!(request.header("content-type"), Some(content_type));
    assert_eq!(request.header("content-length"), Some(request.body.len().to_string().as_str()));
    assert!(request.header("user-agent").unwrap().starts_with("teleport-slack/"));
}

fn assert_read(request: &Received, method: &str, query: &str) {
    assert_eq!(request.request_line, format!("GET /api/{method}?{query} HTTP/1.1"));
    assert_eq!(request.header("authorization"), Some("Bearer xoxb-12-secret"));
    assert_eq!((request.header("content-type"), request.body.as_slice()), (None, &b""[..]));
    assert!(request.header("user-agent").unwrap().starts_with("teleport-slack/"));
}

#[tokio::test]
async fn a_post_is_sent_as_json() {
    let server = Server::start([Reply::json(&posted())]).await;
    let message = sample_message();
    let ts = MessageTs::new("0.5");
    let payload = BTreeMap::from([("request_id".to_owned(), "r1".to_owned())]);
    let metadata = Some(Metadata { event_type: "access_request".into(), payload });
    let post = PostMessage { thread_ts: Some(&ts), metadata, ..post(&message) };
    let answer = client(&server).post_message(post).await.unwrap();
    assert_eq!(answer, Posted { channel: ChannelId::new("C1"), ts: MessageTs::new("1.000001") });

    let [request] = server.received().try_into().unwrap();
    assert_request(&request, "chat.postMessage", "application/json; charset=utf-8");
    let expected = json!({
        "channel": "C1", "text": "alice wants dba", "blocks": message.blocks(), "thread_ts": "0.5",
        "metadata": {"event_type": "access_request", "event_payload": {"request_id": "r1"}},
        "unfurl_links": false, "unfurl_media": false, "parse": "none",
    });
    assert_eq!(request.json(), expected);
}

#[tokio::test]
async fn a_plain_post_leaves_out_what_it_does_not_have() {
    let server = Server::start([Reply::json(&posted())]).await;
    client(&server).post_message(post(&text_message())).await.unwrap();
    let expected = json!({
        "channel": "C1", "text": "alice wants dba", "unfurl_links": false, "unfurl_media": false, "parse": "none",
    });
    assert_eq!(server.received()[0].json(), expected);
}

#[tokio::test]
async fn an_update_always_sends_blocks() {
    let ok = Reply::json(&json!({"ok": true}));
    let server = Server::start([ok.clone(), ok]).await;
    let client = client(&server);
    let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.5"));
    client.update_message(&channel, &ts, &sample_message()).await.unwrap();
    client.update_message(&channel, &ts, &text_message()).await.unwrap();

    let [with_blocks, without] = server.received().try_into().unwrap();
    assert_request(&with_blocks, "chat.update", "application/json; charset=utf-8");
    let expected = |blocks| json!({"channel": "C1", "ts": "1.5", "text": "alice wants dba", "blocks": blocks, "parse": "none"});
    assert_eq!(with_blocks.json(), expected(json!(sample_message().blocks())));
    assert_eq!(without.json(), expected(json!([])));
    assert_eq!(server.connections(), 1, "a connection is used again");
}

#[tokio::test]
async fn reads_are_sent_as_queries() {
    let user = Reply::json(&json!({"ok": true, "user": {"id": "U1"}}));
    let channel = Reply::json(&json!({"ok": true, "channel": {"id": "C1", "name": "team"}}));
    let server = Server::start([user.clone(), user.clone(), channel, user]).await;
    let client = client(&server);
    let bob = client.lookup_by_email("bob+x@example.com").await.unwrap().unwrap();
    assert_eq!(bob.id.as_str(), "U1");
    assert_eq!(client.user_info(&bob.id).await.unwrap().unwrap(), bob);
    assert_eq!(client.conversation_info(&ChannelId::new("C1 &")).await.unwrap().name, "team");

    // What fits into no URL is a form.
    let long = format!("{}@example.com", "x".repeat(100_000));
    client.lookup_by_email(&long).await.unwrap().unwrap();

    let [by_email, by_id, info, as_form] = server.received().try_into().unwrap();
    for (request, method, query) in [
        (by_email, "users.lookupByEmail", "email=bob%2Bx%40example.com"),
        (by_id, "users.info", "user=U1"),
        (info, "conversations.info", "channel=C1+%26"),
    ] {
        assert_read(&request, method, query);
    }
    assert_request(&as_form, "users.lookupByEmail", "application/x-www-form-urlencoded");
    assert_eq!(as_form.body.len(), "email=%40example.com".len() + 100_000);
}

#[tokio::test]
async fn auth_test_says_whose_token_it_is() {
    let body = json!({"ok": true, "url": "https://t.slack.com/", "team": "T", "team_id": "T1", "user": "bot",
        "user_id": "UB", "bot_id": "B1", "app_id": "A1", "enterprise_id": null, "is_enterprise_install": false});
    let headers = "content-type: application/json\r\nx-oauth-scopes: chat:write,users:read\r\n";
    let server = Server::start([Reply::http("200 OK", headers, body.to_string())]).await;
    let identity = client(&server).auth_test().await.unwrap();
    let expected = AuthTest {
        team_id: "T1".into(),
        team: "T".into(),
        url: "https://t.slack.com/".into(),
        user_id: SlackUserId::new("UB"),
        user_name: "bot".to_owned(),
        bot_id: Some("B1".into()),
        app_id: Some("A1".into()),
        enterprise_id: None,
        is_enterprise_install: false,
        scopes: Some(["chat:write", "users:read"].map(String::from).into()),
    };
    assert_eq!(identity, expected);
    assert_request(&server.received()[0], "auth.test", "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn an_absent_person_is_not_an_error() {
    let codes = ["users_not_found", "user_not_found", "user_not_visible", "missing_scope"];
    let server = Server::start(codes.map(|code| Reply::json(&json!({"ok": false, "error": code})))).await;
    let (client, id) = (client(&server), SlackUserId::new("U1"));
    assert_eq!(client.lookup_by_email("x@example.com").await.unwrap(), None);
    assert_eq!(client.user_info(&id).await.unwrap(), None);
    assert_eq!(client.user_info(&id).await.unwrap(), None);
    let error = client.user_info(&id).await.unwrap_err();
    assert_eq!((error.retry(), error.code()), (Retry::NeedsOperator, Some("missing_scope")));
}

/// Posts to a server that does this, and returns the failure.
async fn failed_call(reply: Reply) -> SlackError {
    let server = Server::start([reply]).await;
    let error = client(&server).post_message(post(&text_message())).await.unwrap_err();
    assert_eq!(server.received().len(), 1, "a request that may have been received is not repeated");
    error
}

async fn assert_failure(reply: Reply, kind: Retry, ambiguous: bool, text: &str) {
    let error = failed_call(reply).await;
    let shown = error.to_string();
    assert!(shown.contains(text), "{shown} lacks {text}");
    assert_eq!((error.retry(), error.is_ambiguous()), (kind, ambiguous), "{shown}");
}

#[tokio::test]
async fn http_statuses_are_distinguished() {
    let html = "content-type: text/html\r\n";
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let limited =
        |header| Reply::http("429 Too Many Requests", header, r#"{"ok":false,"error":"ratelimited"}"#);
    assert_failure(limited("retry-after: 7\r\n"), after(7), false, "wait 7 s").await;
    assert_failure(limited(""), after(30), false, "no such call for 30 s").await;
    assert_failure(Reply::http("500 Oh", html, "<h1>"), Retry::Backoff, true, "500").await;
    assert_failure(Reply::http("503 Oh", html, ""), Retry::Backoff, true, "503").await;
    assert_failure(Reply::http("404 No", html, ""), Retry::Never, false, "404").await;
    let elsewhere = Reply::http("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    assert_failure(elsewhere, Retry::Never, false, "redirects are not followed").await;
}

#[tokio::test]
async fn a_refusal_by_slack_names_its_code() {
    let refused = |code| Reply::json(&json!({"ok": false, "error": code}));
    assert_failure(refused("not_in_channel"), Retry::Never, false, "not_in_channel (the app").await;
    assert_failure(refused("fatal_error"), Retry::Backoff, true, "fatal_error").await;
    assert_failure(refused("brand_new"), Retry::Never, false, "brand_new").await;
    let limited = Reply::http(
        "200 OK",
        "content-type: application/json\r\nretry-after: 9\r\n",
        r#"{"ok":false,"error":"ratelimited"}"#,
    );
    assert_failure(limited, Retry::After(Duration::from_secs(9)), false, "ratelimited").await;
    let blocks = json!({"ok": false, "error": "invalid_blocks",
        "response_metadata": {"messages": ["[ERROR] must be less than 3001 characters"]}});
    assert_failure(Reply::json(&blocks), Retry::Never, false, "must be less than 3001").await;
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_ambiguous() {
    let json = "content-type: application/json\r\n";
    let page = Reply::http("200 OK", "content-type: text/html\r\n", "<html>Log in</html>");
    assert_failure(page, Retry::Backoff, true, "text/html, not JSON: <html>Log in</html>").await;
    assert_failure(Reply::http("200 OK", json, "{\"ok\":tr"), Retry::Backoff, true, "no valid JSON").await;
    assert_failure(Reply::http("200 OK", json, "[]"), Retry::Backoff, true, "not a JSON object").await;
    assert_failure(Reply::http("200 OK", json, r#"{"ok":"true"}"#), Retry::Backoff, true, "no boolean `ok`")
        .await;
    assert_failure(Reply::json(&json!({"ok": true})), Retry::Backoff, true, "usable `channel`").await;

    let padding = "x".repeat(crate::transport::MAX_BODY_BYTES);
    let large = Reply::json(&json!({"ok": true, "channel": "C1", "ts": "1.1", "padding": padding}));
    assert_failure(large, Retry::Backoff, true, "larger than 1048576 bytes").await;
    let endless = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("40000\r\n{}\r\n", " ".repeat(0x40000)).repeat(5);
    let endless = Reply::Stall([endless.as_slice(), chunk.as_bytes()].concat());
    assert_failure(endless, Retry::Backoff, true, "larger than 1048576 bytes").await;
}

#[tokio::test]
async fn broken_connections_are_ambiguous() {
    assert_failure(Reply::Truncated(vec![]), Retry::Backoff, true, "the connection broke").await;
    assert_failure(Reply::Truncated(b"SSH-2.0-x\r\n".to_vec()), Retry::Backoff, true, "the connection broke")
        .await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"ok\":true"
        .to_vec();
    assert_failure(Reply::Truncated(head), Retry::Backoff, true, "the connection broke").await;
}

/// Gives a server that falls silent a second, which is ample for the request to get there.
async fn assert_silence_fails(sent: &[u8]) {
    let server = Server::start([Reply::Stall(sent.to_vec())]).await;
    let options = ClientOptions {
        timings: CallTimings { call: Duration::from_secs(1), ..CallTimings::default() },
        ..options(format!("http://{}", server.address))
    };
    let error = Client::new(options).unwrap().post_message(post(&text_message())).await.unwrap_err();
    assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Backoff, true), "{error}");
    assert!(error.to_string().contains("no full answer within 1s"), "{error}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    tokio::join!(assert_silence_fails(b""), assert_silence_fails(head));
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(options(api_url)).unwrap().post_message(post(&text_message())).await.unwrap_err();
    assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Backoff, false));
    assert!(error.remedy().unwrap().text.contains("firewall"));
}

/// Posts to a server that never takes part in the TLS handshake.
async fn assert_no_handshake(connect: Duration, call: Duration, text: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api_url = format!("https://{}", listener.local_addr().unwrap());
    let timings = CallTimings { connect, call, ..CallTimings::default() };
    let options = ClientOptions { timings, ..options(api_url) };
    let client = client_with(options, RootCertStore::empty());
    let error = client.post_message(post(&text_message())).await.unwrap_err();
    assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Backoff, false));
    assert!(chain(&error).contains(text), "{}", chain(&error));
}

#[tokio::test]
async fn without_a_handshake_nothing_was_sent() {
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(60));
    assert_no_handshake(short, long, "no connection in 100ms").await;
    assert_no_handshake(long, short, "no full answer within 100ms").await;
}

fn acceptor(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// To name it in a file of authorities does not help, so that is not what is said.
#[tokio::test]
async fn an_authority_in_a_servers_place_is_no_unknown_one() {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    for is_trusted in [false, true] {
        let server = Server::listen([Reply::json(&posted())], Some(acceptor(&authority, &key))).await;
        let mut roots = RootCertStore::empty();
        if is_trusted {
            roots.add(authority.der().clone()).unwrap();
        }
        let client = client_with(options(format!("https://{}/api", server.address)), roots);
        let error = client.post_message(post(&text_message())).await.unwrap_err();
        let remedy = error.remedy().unwrap();
        assert_eq!(remedy.setting, Some(Setting::CaFile));
        assert!(remedy.text.contains("a certificate that its CA signed"), "{}", remedy.text);
    }
}

#[tokio::test]
async fn slacks_certificate_is_checked() {
    let ours = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let acceptor = acceptor(&ours.cert, &ours.signing_key);
    let server = Server::listen([Reply::json(&posted())], Some(acceptor)).await;
    let client = |roots| client_with(options(format!("https://{}/api", server.address)), roots);

    let error = client(RootCertStore::empty()).post_message(post(&text_message())).await.unwrap_err();
    assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Backoff, false));
    assert!(
        chain(&error).contains("the server's certificate is of no authority that is trusted"),
        "{}",
        chain(&error)
    );
    assert_eq!(error.remedy().unwrap().setting, Some(Setting::CaFile));
    assert!(server.received().is_empty());

    let mut roots = RootCertStore::empty();
    roots.add(ours.cert.der().clone()).unwrap();
    client(roots).post_message(post(&text_message())).await.unwrap();
    assert_request(&server.received()[0], "chat.postMessage", "application/json; charset=utf-8");
}

/// Everything an error can show.
fn chain(error: &SlackError) -> String {
    let mut text = format!("{error:?} {error:#?} {error} {}", error.with_remedy(no_names));
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let options = options("http://127.0.0.1:1/".into());
    let shown = format!("{options:?} {options:#?} {:?}", Client::new(options.clone()).unwrap());
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(!shown.contains("Bearer"), "{shown}");

    // A server that says everything it heard wherever it can.
    let echo = "authorization: Bearer xoxb-12-secret";
    let json = "content-type: application/json\r\n";
    let refusal = json!({"ok": false, "error": TOKEN, "needed": TOKEN, "provided": echo,
        "response_metadata": {"messages": [echo]}});
    let replies = [
        Reply::http("500 xoxb-12-secret", "content-type: text/html\r\n", echo),
        Reply::http("302 xoxb-12-secret", "location: http://h/xoxb-12-secret\r\n", echo),
        Reply::http("200 OK", "content-type: text/xoxb-12-secret\r\n", echo),
        Reply::http("200 OK", json, echo),
        Reply::http("200 OK", json, json!([echo]).to_string()),
        Reply::http("200 OK", json, json!({"x": echo}).to_string()),
        Reply::http("200 OK", json, json!({"ok": true, TOKEN: TOKEN}).to_string()),
        Reply::http("200 OK", json, refusal.to_string()),
        Reply::Truncated(echo.as_bytes().to_vec()),
    ];
    for reply in replies {
        let shown = chain(&failed_call(reply).await);
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

#[tokio::test]
async fn directory_asks_once_and_learns_names() {
    let answers = [
        json!({"ok": true, "user": {"id": "U1"}}),
        json!({"ok": false, "error": "users_not_found"}),
        json!({"ok": false, "error": "fatal_error"}),
        json!({"ok": true, "user": {"id": "U2"}}),
        json!({"ok": true, "channel": {"id": "C1", "name": "team"}}),
        json!({"ok": false, "error": "channel_not_found"}),
    ];
    let server = Server::start(answers.iter().map(Reply::json)).await;
    let directory = Directory::new(client(&server));
    for _ in 0..2 {
        assert_eq!(
            directory.by_email("bob@example.com", Priority::Operator).await.unwrap().unwrap().id.as_str(),
            "U1"
        );
    }
    for _ in 0..2 {
        assert_eq!(directory.by_email("eve@example.com", Priority::Operator).await.unwrap(), None);
    }
    let (u2, team, gone) = (SlackUserId::new("U2"), ChannelId::new("C1"), ChannelId::new("C9"));
    assert_eq!(directory.by_id(&u2, Priority::Operator).await.unwrap_err().retry(), Retry::Backoff);
    for _ in 0..2 {
        assert_eq!(directory.by_id(&u2, Priority::Operator).await.unwrap().unwrap().id, u2);
    }
    assert_eq!(directory.cached_channel_id("team"), None);
    for _ in 0..2 {
        assert_eq!(directory.conversation(&team).await.unwrap().unwrap().name, "team");
        assert_eq!(directory.conversation(&gone).await.unwrap(), None);
    }
    assert_eq!(directory.cached_channel_id("#team"), Some(team));
    directory.remember_channel_id("#ops", &gone);
    assert_eq!(directory.cached_channel_id("ops"), Some(gone));

    let huge = "x".repeat(1_000_000);
    assert_eq!(directory.by_email(&huge, Priority::Operator).await.unwrap(), None);
    assert_eq!(directory.by_email("", Priority::Operator).await.unwrap(), None);
    assert_eq!(directory.by_id(&SlackUserId::new(huge), Priority::Operator).await.unwrap(), None);
    assert_eq!(server.received().len(), answers.len());
}

#[tokio::test]
async fn one_list_answers_for_all_names_and_is_remembered() {
    let page = |channels: Value, next: &str| json!({"ok": true, "channels": channels, "response_metadata": {"next_cursor": next}});
    let answers = [
        page(
            json!([{"id": "C1", "name": "team"}, {"id": "C2", "name": "other"}, {"id": "C/3", "name": "ops"}]),
            "more",
        ),
        page(json!([{"id": "C3", "name": "ops"}, 7]), "even more"),
        page(json!([{"id": "C4", "name": "new"}]), ""),
        page(json!([]), ""),
    ];
    let server = Server::start(answers.iter().map(Reply::json)).await;
    let directory = Directory::new(client(&server));
    let found = directory.channels_by_name(&["team", "ops"].into()).await.unwrap();
    assert_eq!(found.iter().map(|channel| channel.id.as_str()).collect::<Vec<_>>(), ["C1", "C3"]);
    let asked = ["#team", "ops", "team", "new", "new"].map(|name| directory.channel_by_name(name));
    let found = futures_util::future::join_all(asked).await;
    let found: Vec<_> = found.into_iter().map(|found| found.unwrap().unwrap().to_string()).collect();
    assert_eq!(found, ["C1", "C3", "C1", "C4", "C4"]);
    for _ in 0..2 {
        assert_eq!(directory.channel_by_name("nowhere").await.unwrap(), None);
    }
    assert_eq!(server.received().len(), answers.len(), "all that was asked for was listed once");
}

fn assert_url(api_url: &str, expected: &str) {
    let outcome = parse_base(api_url).unwrap_or_else(|error| error.to_string());
    assert!(outcome.contains(expected), "{api_url}: {outcome}");
    assert!(!outcome.contains("hunter2"), "{outcome}");
}

#[test]
fn the_api_address_is_checked() {
    assert_eq!(parse_base(DEFAULT_API_URL).unwrap(), DEFAULT_API_URL);
    assert_eq!(parse_base("https://slack-gov.com/api").unwrap(), "https://slack-gov.com/api/");
    assert_eq!(parse_base("http://127.0.0.1:80").unwrap(), "http://127.0.0.1:80/");
    assert_url("", "Slack's API address is not a URL");
    assert_url("slack.com/api", "is not a URL");
    assert_url("slack.com", "must start with https://");
    assert_url("/api", "must start with https://");
    assert_url("ftp://slack.com/", "must start with https://");
    assert_url("https://me:hunter2@slack.com/api/", "user or password");
    assert_url("https://slack.com/api?token=hunter2", "query");
    assert_url("https://slack.com/api#hunter2", "fragment");
    assert_url("https:///api", "is not a URL");
    assert_url(&format!("https://slack.com/{}", "a".repeat(3_000)), "too long");
}

#[test]
fn the_token_is_checked_and_not_quoted() {
    let url = String::from("http://127.0.0.1:1");
    for (token, expected) in [("", "is empty"), ("xoxb-1\n", "line break"), ("xoxb ö", "line break")] {
        let options = ClientOptions { token: Secret::new(token), ..options(url.clone()) };
        let error = Client::new(options).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("xoxb-1"));
    }
}
