//! A server that answers with scripted bytes, and keeps the requests it got.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What to do with one request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answer, and wait for the next request.
    Complete(Vec<u8>),
    /// Send this much, then close the connection.
    Truncated(Vec<u8>),
    /// Send this much, then nothing more.
    Stall(Vec<u8>),
}

impl Reply {
    /// HTTP 200 with JSON.
    pub(crate) fn json(body: &Value) -> Self {
        Self::http("200 OK", "content-type: application/json; charset=utf-8\r\n", body.to_string())
    }

    /// An answer with these header lines.
    pub(crate) fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
        Self::Complete([head.as_bytes(), body].concat())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) request_line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Log {
    replies: VecDeque<Reply>,
    received: Vec<Received>,
    connections: usize,
}

/// Stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers requests with these replies in turn; after the last one, connections are closed.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::listen(replies, None).await
    }

    pub(crate) async fn listen(replies: impl IntoIterator<Item = Reply>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log { replies: replies.into_iter().collect(), ..Log::default() }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, log.clone(), tls));
        Self { address, log, _tasks: tasks }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.log.lock().received.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.lock().connections
    }
}

async fn accept(listener: TcpListener, log: Arc<Mutex<Log>>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        log.lock().connections += 1;
        let (log, tls) = (log.clone(), tls.clone());
        // A connection that breaks is what some tests are about: the client's side is what they look at.
        connections.spawn(async move {
            let _outcome = match tls {
                None => serve(stream, &log).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &log).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, log: &Mutex<Log>) -> io::Result<()> {
    while let Some(request) = read_request(&mut stream).await? {
        let reply = {
            let mut log = log.lock();
            log.received.push(request);
            log.replies.pop_front()
        };
        match reply {
            Some(Reply::Complete(bytes)) => stream.write_all(&bytes).await?,
            Some(Reply::Truncated(bytes)) => {
                stream.write_all(&bytes).await?;
                break;
            }
            Some(Reply::Stall(bytes)) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                std::future::pending::<()>().await;
            }
            None => break,
        }
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// `None` at the end of the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Received>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (line, rest) = head.split_once("\r\n").unwrap();
    let headers: Vec<(String, String)> = rest
        .lines()
        .filter_map(|header| header.split_once(": "))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = bytes.split_off(end + 4);
    // A POST must say it, and a GET has no body.
    let length =
        headers.iter().find(|(key, _)| key == "content-length").map(|(_, length)| length.parse().unwrap());
    let length =
        length.unwrap_or_else(|| if line.starts_with("GET ") { 0 } else { panic!("no length: {head}") });
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Received { request_line: line.to_owned(), headers, body }))
}
