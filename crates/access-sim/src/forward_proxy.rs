//! A forward proxy: it takes `CONNECT`, joins the caller to the target, and remembers who asked for what. It can refuse,
//! be silent, break off, and answer what no proxy should.
//!
//! The targets are a table, so names need not resolve, and what is not in it cannot be reached.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;

use crate::tasks::Tasks;
use crate::tls_front::{Certificate, accepting};

/// A request has no more lines than this.
const MAX_LINES: usize = 64;

/// How the proxy answers a request that it would otherwise grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// 200 and the tunnel.
    #[default]
    Tunnel,
    /// This head, such as `HTTP/1.1 403 Forbidden`, with further lines; then it closes.
    Head(String),
    /// Nothing; the connection stays open.
    Silence,
    /// It closes at once.
    Close,
    /// It closes within the first line of its answer.
    Cut,
    /// A head of a megabyte.
    Huge,
    /// What is not HTTP.
    Garbage,
    /// 200, and bytes that were not asked for.
    Early,
}

/// One request to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The first line: `CONNECT slack.com:443 HTTP/1.1`.
    pub line: String,
    /// The header of that name, if there was one.
    pub host: Option<String>,
    /// The header `Proxy-Authorization`, if there was one.
    pub authorization: Option<String>,
    /// Whether the tunnel was opened.
    pub is_granted: bool,
}

/// The proxy; dropping it closes every connection and the port.
#[derive(Debug)]
pub struct ForwardProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    ca_pem: Option<String>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Shared {
    targets: Mutex<BTreeMap<String, SocketAddr>>,
    answer: Mutex<Answer>,
    /// `Basic …`; without it every caller may ask.
    authorization: Mutex<Option<String>>,
    asked: Mutex<Vec<Asked>>,
    changes: watch::Sender<u64>,
}

impl ForwardProxy {
    /// Listens on a free port of 127.0.0.1, for plain HTTP.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same at this address of the machine; port 0 takes a free one.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_at(listen: SocketAddr) -> io::Result<Self> {
        Self::listen(listen, None).await
    }

    /// The same for HTTP over TLS, with a certificate for 127.0.0.1 of an authority of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_tls() -> io::Result<Self> {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), Some(Certificate::new(&["127.0.0.1"])?)).await
    }

    async fn listen(listen: SocketAddr, certificate: Option<Certificate>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let tasks = Tasks::default();
        let shared = Arc::new(Shared::default());
        let addr = listener.local_addr()?;
        let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        tasks.spawn(accept(listener, tls, Arc::clone(&shared), tasks.clone()));
        let ca_pem = certificate.map(|certificate| certificate.ca_pem);
        Ok(Self { addr, shared, ca_pem, _stop: tasks.cancel_on_drop() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The authority of its certificate, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Leads a target, `host:port`, to a server.
    pub fn lead(&self, target: &str, server: SocketAddr) {
        self.shared.targets.lock().insert(target.to_owned(), server);
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock() = answer;
    }

    /// Demands this header of every caller: `Basic …`.
    pub fn demand(&self, authorization: &str) {
        *self.shared.authorization.lock() = Some(authorization.to_owned());
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// A number that rises with every request.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>, tasks: Tasks) {
    accepting(listener, tls, tasks, move |stream| {
        let shared = Arc::clone(&shared);
        async move {
            // A connection that breaks is the caller's affair and shows in its own error.
            let _ = serve(BufReader::new(stream), &shared).await;
        }
    })
    .await;
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut caller: BufReader<S>,
    shared: &Shared,
) -> io::Result<()> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if caller.read_line(&mut line).await? == 0 || lines.len() == MAX_LINES {
            return Ok(());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |wanted: &str| {
        let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        headers
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
            .next()
    };
    let line = lines.first().cloned().unwrap_or_default();
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let server = target.and_then(|target| shared.targets.lock().get(target).copied());
    let authorization = header("proxy-authorization");
    let may_ask =
        shared.authorization.lock().as_ref().is_none_or(|wanted| authorization.as_ref() == Some(wanted));
    let answer = shared.answer.lock().clone();
    let far = match server.filter(|_| may_ask && matches!(answer, Answer::Tunnel | Answer::Early)) {
        Some(server) => TcpStream::connect(server).await.ok(),
        None => None,
    };
    let is_granted = far.is_some();
    shared.asked.lock().push(Asked { line: line.clone(), host: header("host"), authorization, is_granted });
    shared.changes.send_modify(|count| *count += 1);
    let refusal = match (&answer, target) {
        (_, None) => "HTTP/1.1 400 Bad Request".to_owned(),
        (Answer::Tunnel | Answer::Early, _) if !may_ask => {
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"proxy\""
                .to_owned()
        }
        (Answer::Tunnel | Answer::Early, _) => "HTTP/1.1 502 Bad Gateway".to_owned(),
        (Answer::Head(head), _) => head.clone(),
        (Answer::Silence, _) => std::future::pending().await,
        (Answer::Close, _) => return Ok(()),
        (Answer::Cut, _) => return caller.write_all(b"HTTP/1.1 200 Conn").await,
        (Answer::Huge, _) => format!("HTTP/1.1 200 OK\r\nX-Filler: {}", "x".repeat(1 << 20)),
        (Answer::Garbage, _) => return caller.write_all(b"220 mail.example.com ESMTP\r\n").await,
    };
    let Some(mut far) = far else {
        caller
            .write_all(format!("{refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        return caller.shutdown().await;
    };
    let early = if answer == Answer::Early { "hello" } else { "" };
    caller.write_all(format!("HTTP/1.1 200 Connection established\r\n\r\n{early}").as_bytes()).await?;
    caller.flush().await?;
    copy_bidirectional(&mut caller, &mut far).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn ask(proxy: &ForwardProxy, request: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { break };
            head.push(byte);
        }
        (stream, String::from_utf8(head).unwrap())
    }

    #[tokio::test]
    async fn only_the_table_is_reached_and_only_with_the_credentials() {
        let target = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = ForwardProxy::start().await.unwrap();
        proxy.lead("a.example:443", target.local_addr().unwrap());
        let connect =
            |host: &str, more: &str| format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let (mut near, head) = ask(&proxy, &connect("a.example:443", "")).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let (mut far, _) = target.accept().await.unwrap();
        near.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");

        for (request, status) in
            [(connect("b.example:443", ""), "502"), ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400")]
        {
            let (_, head) = ask(&proxy, &request).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
        proxy.demand("Basic Ym9i");
        let (_, head) = ask(&proxy, &connect("a.example:443", "")).await;
        assert!(head.starts_with("HTTP/1.1 407 ") && head.contains("Proxy-Authenticate: Basic"), "{head}");
        let (_, head) = ask(&proxy, &connect("a.example:443", "Proxy-Authorization: Basic Ym9i\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let granted: Vec<_> = proxy.asked().iter().map(|asked| asked.is_granted).collect();
        assert_eq!(granted, [true, false, false, false, true]);
        let last = proxy.asked().pop().unwrap();
        assert_eq!(last.line, "CONNECT a.example:443 HTTP/1.1");
        assert_eq!(
            (last.host.as_deref(), last.authorization.as_deref()),
            (Some("a.example:443"), Some("Basic Ym9i"))
        );
    }
}
