//! The listener against raw TCP clients, well-behaved and not.

mod diagnostics;
mod status;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::interactivity::MAX_BODY_BYTES;
use super::server::{MAX_HEAD_BYTES, MAX_HEADERS};
use super::*;
use crate::observe::file_watch::FileTimings;
use crate::supervise::worker_pool::Work;
use access_core::domain::error_chain::chain;
use access_sim::captured::Captured;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// No test lasts until the files are looked at.
const NEVER: FileTimings = FileTimings { poll: PATIENCE, retry: PATIENCE };

const SIGNED: &str = "X-Slack-Request-Timestamp: 1531420618\r\nx-slack-signature: v0=a2114d57\r\n";

/// Production's waits, but for the files.
fn timings(files: FileTimings) -> HttpTimings {
    HttpTimings { files, ..HttpTimings::default() }
}

/// A listener that runs until it is dropped.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(SignatureHeaders, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = CallbackResponse> + Send + 'static,
    {
        Self::serve(
            Listener::bind("127.0.0.1:0".parse().unwrap(), None, timings(NEVER)).await.unwrap(),
            handler,
        )
    }

    fn serve<H, F>(listener: Listener, handler: H) -> Self
    where
        H: Fn(SignatureHeaders, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = CallbackResponse> + Send + 'static,
    {
        let (address, stop) = (listener.address(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.run(handler, stop.clone()));
        Self { address, stop, tasks }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads until the listener closes the connection.
    async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        exchange(&mut self.connect().await, request).await
    }

    async fn stopped(&mut self) {
        timeout(PATIENCE, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
    }
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: impl AsRef<[u8]>) -> String {
    stream.write_all(request.as_ref()).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// What is answered before the end; a reset, because more was on its way, is an end too.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    if let Err(error) = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap() {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    String::from_utf8(answer).unwrap()
}

fn callback(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{SIGNED}Content-Length: {}\r\n\r\n{body}", body.len())
}

async fn ack(_: SignatureHeaders, _: Bytes) -> CallbackResponse {
    CallbackResponse::Ack
}

/// Refuses to be called.
async fn never(_: SignatureHeaders, _: Bytes) -> CallbackResponse {
    panic!("the handler was called");
}

fn check_status(answer: &str, status: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status} expected: {answer}");
}

#[tokio::test]
async fn the_handler_gets_the_bytes_as_they_came() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let running = Running::start(move |headers: SignatureHeaders, body| {
        log.lock().push((headers.timestamp, headers.signature, body));
        async { CallbackResponse::Ack }
    })
    .await;
    let raw = b"payload=%7B \xff\x00\r\n+";
    let mut requests = vec![];
    for path in ["/", "/slack/interactivity", "/?x=1"] {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\n{SIGNED}Content-Length: {}\r\n\r\n", raw.len());
        requests.push([head.as_bytes(), raw].concat());
    }
    let chunked = format!("POST / HTTP/1.1\r\nHost: x\r\n{SIGNED}Transfer-Encoding: chunked\r\n\r\n3\r\n");
    requests.push([chunked.as_bytes(), &raw[..3], b"\r\ne\r\n", &raw[3..], b"\r\n0\r\n\r\n"].concat());
    for request in &requests {
        let answer = running.exchange(request).await;
        check_status(&answer, "200");
        assert!(answer.contains("connection: close") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    let seen = seen.lock();
    let expected = ("1531420618".to_owned(), "v0=a2114d57".to_owned(), Bytes::from_static(raw));
    assert_eq!(*seen, vec![expected; requests.len()]);
}

#[tokio::test]
async fn answers_are_what_the_handler_says() {
    let running = Running::start(|_, body: Bytes| async move {
        match &*body {
            b"json" => CallbackResponse::AckWith(json!({"response_action": "errors"})),
            b"unauthorized" => CallbackResponse::Unauthorized,
            b"bad" => CallbackResponse::BadRequest,
            b"busy" => CallbackResponse::Unavailable,
            _ => CallbackResponse::Ack,
        }
    })
    .await;
    let answer = running.exchange(callback("json")).await;
    check_status(&answer, "200");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"response_action\":\"errors\"}"), "{answer}");
    for (body, status) in [("unauthorized", "401"), ("bad", "400"), ("busy", "503"), ("", "200")] {
        let answer = running.exchange(callback(body)).await;
        check_status(&answer, status);
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn other_requests_do_not_reach_the_handler() {
    let running = Running::start(never).await;
    let time = "X-Slack-Request-Timestamp: 1\r\n";
    let signature = "X-Slack-Signature: v0=1\r\n";
    for (request_line, headers, status) in [
        ("GET / HTTP/1.1", SIGNED, "405"),
        ("PUT /slack/interactivity HTTP/1.1", SIGNED, "405"),
        ("DELETE / HTTP/1.1", "", "405"),
        ("POST /hunter2 HTTP/1.1", SIGNED, "404"),
        ("POST /slack/interactivity/../hunter2 HTTP/1.1", SIGNED, "404"),
        ("POST //hunter2/ HTTP/1.1", SIGNED, "404"),
        ("POST / HTTP/1.1", "", "401"),
        ("POST / HTTP/1.1", time, "401"),
        ("POST / HTTP/1.1", signature, "401"),
        ("POST / HTTP/1.1", &format!("{SIGNED}{time}"), "401"),
        ("POST / HTTP/1.1", &format!("{SIGNED}{signature}"), "401"),
        ("POST / HTTP/1.1", &format!("{time}X-Slack-Signature: v0=\u{e9}\r\n"), "401"),
    ] {
        let answer = running.exchange(format!("{request_line}\r\nHost: x\r\n{headers}\r\n")).await;
        check_status(&answer, status);
        assert!(!answer.contains("hunter2"), "{answer}");
    }
}

#[tokio::test]
async fn garbage_does_not_stop_the_listener() {
    let running = Running::start(ack).await;
    let nested = "[".repeat(200_000);
    let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEADERS + 1));
    check_status(&running.exchange(callback(&nested)).await, "200");
    check_status(&running.exchange(long).await, "431");
    check_status(&running.exchange(many).await, "431");
    for (garbage, status) in [
        (b"\xff\xfe\x00\x00\r\n\r\n".as_slice(), "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
    ] {
        let answer = running.exchange(garbage).await;
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    // A chunk that is none, and a client that hangs up half-way.
    let broken = format!("POST / HTTP/1.1\r\n{SIGNED}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    check_status(&running.exchange(broken).await, "400");
    running.connect().await.write_all(b"POST / HT").await.unwrap();
    check_status(&running.exchange(callback("x")).await, "200");
}

#[tokio::test]
async fn large_bodies_are_refused_without_reading_them() {
    let running =
        Running::start(|_, body: Bytes| async move { CallbackResponse::AckWith(json!(body.len())) }).await;
    let head = |length| format!("POST / HTTP/1.1\r\nHost: x\r\n{SIGNED}{length}\r\n\r\n");
    let answer = running.exchange(head("Content-Length: 20000000")).await;
    check_status(&answer, "413");
    let chunk = "x".repeat(MAX_BODY_BYTES / 2);
    let chunks = format!("{:x}\r\n{chunk}\r\n", chunk.len()).repeat(2);
    let endless = head("Transfer-Encoding: chunked") + &chunks + "1\r\nx\r\n";
    check_status(&running.exchange(endless).await, "413");
    let answer = running.exchange(head("Transfer-Encoding: chunked") + &chunks + "0\r\n\r\n").await;
    assert!(answer.ends_with("262144"), "{answer}");
}

#[tokio::test]
async fn slow_requests_are_cut_off() {
    let running = Running::start(never).await;
    // A drop now and then keeps nothing alive.
    let send_slowly = |head: &'static str, body: &'static str| {
        let connecting = running.connect();
        async move {
            let begun = Instant::now();
            let (mut reader, mut writer) = connecting.await.into_split();
            writer.write_all(head.as_bytes()).await.unwrap();
            let dripping = async {
                loop {
                    sleep(Duration::from_millis(100)).await;
                    if writer.write_all(body.as_bytes()).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                answer = rest(&mut reader) => (answer, begun.elapsed()),
                () = dripping => unreachable!("it goes on until the answer"),
            }
        }
    };
    let head = "POST / HTTP/1.1\r\nX-Slack-Request-Timestamp: 1\r\nX-Slack-Signature: 1\r\nContent-Length: 9999\r\n\r\n";
    let ((silent, after_1), (in_head, after_2), (in_body, after_3)) = tokio::join!(
        send_slowly("", ""),
        send_slowly("POST / HTTP/1.1\r\n", "X: 1\r\n"),
        send_slowly(head, "x")
    );
    assert_eq!((silent.as_str(), in_head.as_str()), ("", ""));
    check_status(&in_body, "408");
    for after in [after_1, after_2, after_3] {
        assert!(after < Duration::from_secs(10), "before the connection's own limit: {after:?}");
    }
}

#[tokio::test]
async fn a_panic_is_answered_and_the_listener_goes_on() {
    let log = Captured::start();
    let running = Running::start(|_, body: Bytes| {
        assert_ne!(body, "early", "as planned");
        async move {
            assert_ne!(body, "late", "as planned");
            CallbackResponse::Ack
        }
    })
    .await;
    for body in ["early", "late"] {
        check_status(&running.exchange(callback(body)).await, "500");
    }
    check_status(&running.exchange(callback("")).await, "200");
    assert_eq!(log.count("Handling a callback panicked"), 2, "{}", log.text());
}

#[tokio::test]
async fn a_slow_handler_is_not_cut_short() {
    let log = Captured::start();
    let done = Arc::new((Notify::new(), AtomicUsize::new(0)));
    let finished = done.clone();
    let running = Running::start(move |_, _| {
        let done = finished.clone();
        async move {
            sleep(HttpTimings::default().respond + Duration::from_millis(200)).await;
            done.1.fetch_add(1, Ordering::SeqCst);
            done.0.notify_one();
            CallbackResponse::Ack
        }
    })
    .await;
    let mut hung_up = running.connect().await;
    hung_up.write_all(callback("").as_bytes()).await.unwrap();
    hung_up.shutdown().await.unwrap();
    let answers = tokio::join!(running.exchange(callback("")), running.exchange(callback("")));
    check_status(&answers.0, "503");
    check_status(&answers.1, "503");
    assert_eq!(log.count("A callback took longer than"), 1, "{}", log.text());
    drop(hung_up);
    timeout(PATIENCE, async {
        while done.1.load(Ordering::SeqCst) < 3 {
            done.0.notified().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stopping_listener_answers_the_requests_it_has_begun() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (started, waiting) = (begun.clone(), go_on.clone());
    let mut running = Running::start(move |_, _| {
        let (begun, go_on) = (started.clone(), waiting.clone());
        async move {
            begun.notify_one();
            go_on.notified().await;
            CallbackResponse::AckWith(json!("done"))
        }
    })
    .await;
    let mut idle = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(callback("").as_bytes()).await.unwrap();
    timeout(PATIENCE, begun.notified()).await.unwrap();
    running.stop.cancel();
    assert_eq!(answer(&mut idle).await, "", "a connection without a request is closed at once");
    let refused = timeout(PATIENCE, async { while TcpStream::connect(running.address).await.is_ok() {} });
    refused.await.unwrap();
    go_on.notify_one();
    assert!(answer(&mut busy).await.ends_with("\"done\""));
    running.stopped().await;
}

#[tokio::test]
async fn a_handler_that_hangs_does_not_hold_up_the_end() {
    let begun = Arc::new(Notify::new());
    let started = begun.clone();
    let dropped = Arc::new(());
    let held = dropped.clone();
    let mut running = Running::start(move |_, _| {
        let (begun, held) = (started.clone(), held.clone());
        async move {
            begun.notify_one();
            std::future::pending::<()>().await;
            drop(held);
            CallbackResponse::Ack
        }
    })
    .await;
    let mut stream = running.connect().await;
    stream.write_all(callback("").as_bytes()).await.unwrap();
    timeout(PATIENCE, begun.notified()).await.unwrap();
    running.stop.cancel();
    running.stopped().await;
    timeout(PATIENCE, async {
        while Arc::strong_count(&dropped) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let log = Captured::start();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (started, waiting) = (begun.clone(), go_on.clone());
    let handler = move |_, _| {
        let (begun, go_on) = (started.clone(), waiting.clone());
        async move {
            begun.notify_one();
            go_on.acquire().await.unwrap().forget();
            CallbackResponse::Ack
        }
    };
    let (socket, address) = bind("127.0.0.1:0".parse().unwrap(), "tests", "none").await.unwrap();
    let connections = Work { max_running: 2, ..CALLBACK_CONNECTIONS };
    let small = ListenerLimits { connections, ..callback_limits(HttpTimings::default()) };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let router =
            interactivity::router(handler, Handlers::new(WorkerPool::new(CALLBACKS), HttpTimings::default()));
        server::serve(socket, small, || None, router, &CancellationToken::new()).await;
    });
    let mut asking = Vec::new();
    for number in 1..=3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(callback("").as_bytes()).await.unwrap();
        asking.push(stream);
        if number <= connections.max_running {
            timeout(PATIENCE, begun.notified()).await.unwrap();
        }
    }
    assert_eq!(log.count("listener is full"), 1, "{}", log.text());
    assert!(begun.notified().now_or_never().is_none(), "the third is not at work yet");
    go_on.add_permits(asking.len());
    for mut stream in asking {
        check_status(&answer(&mut stream).await, "200");
    }
    assert_eq!(log.count("listener is full"), 1, "logged once: {}", log.text());
}

#[tokio::test]
async fn a_plain_listener_says_what_the_guide_shows() {
    let log = Captured::start();
    let running = Running::start(ack).await;
    check_status(&running.exchange(callback("")).await, "200");
    assert_eq!(log.count(&format!("Starting insecure HTTP server on {}", running.address)), 1);
    let error = Listener::bind(running.address, None, timings(NEVER)).await.unwrap_err();
    assert!(error.to_string().contains("http.listen_addr"), "{error}");
    assert!(chain(&error).contains("in use"), "{}", chain(&error));
}
