//! Where a TLS connection leads, by the first entry of its ALPN list that the proxy knows.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::web;
use super::{Front, Io, Led, Place};

/// A connection that says nothing for so long is closed.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What the list of a client asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Auth,
    Web,
    Host,
    Nothing,
}

/// Takes a connection to its end.
pub(super) async fn route(front: Arc<Front>, mut stream: Box<dyn Io>, place: Place) {
    let Ok(Some(first)) = timeout(HANDSHAKE_LIMIT, first_message(&mut *stream)).await else { return };
    let seen = first.bytes;
    match wanted(&first.alpn, &front.cluster, place) {
        Wanted::Nothing => front.note(Led::Nowhere),
        Wanted::Auth => {
            let Ok(mut auth) = TcpStream::connect(front.auth).await else {
                front.note(Led::Nowhere);
                return;
            };
            front.note(Led::ToAuth);
            if auth.set_nodelay(true).is_ok() && auth.write_all(&seen).await.is_ok() {
                // However it ends, both sides see it.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut auth).await;
            }
        }
        Wanted::Web => {
            front.note(Led::ToWeb);
            let Ok(tls) = front.web_tls.accept(again(seen, stream)).await else { return };
            let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            Box::pin(web::serve(front, Box::new(tls), is_http2)).await;
        }
        Wanted::Host => {
            front.note(Led::ToHost);
            refuse_calls(&front, again(seen, stream)).await;
        }
    }
}

/// The SSH port: over TLS, the proxy's host certificate, and no ALPN is agreed.
pub(super) async fn ssh_port(front: &Front, mut stream: TcpStream) {
    let Ok(Some(first)) = timeout(HANDSHAKE_LIMIT, first_message(&mut stream)).await else { return };
    front.note(Led::ToHost);
    let Ok(mut tls) = front.ssh_tls.accept(again(first.bytes, stream)).await else { return };
    let _ = tls.read(&mut [0; 64]).await;
}

/// The proxy with its own host certificate: it knows no call.
async fn refuse_calls(front: &Front, stream: impl Io + 'static) {
    let Ok(tls) = front.host_tls.accept(stream).await else { return };
    let service = hyper::service::service_fn(async |_| {
        let mut refused = http::Response::new(String::new());
        *refused.status_mut() = http::StatusCode::FORBIDDEN;
        Ok::<_, std::convert::Infallible>(refused)
    });
    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = http2.serve_connection(TokioIo::new(tls), service).await;
}

/// The stream as it was before something was read from it.
fn again(seen: Vec<u8>, stream: impl Io) -> impl Io {
    let (read, write) = tokio::io::split(stream);
    tokio::io::join(Cursor::new(seen).chain(read), write)
}

/// A client's first message.
pub(in super::super) struct FirstMessage {
    /// As it came.
    pub(in super::super) bytes: Vec<u8>,
    /// The ALPN list in it.
    pub(in super::super) alpn: Vec<Vec<u8>>,
    /// The host asked for.
    pub(in super::super) server_name: Option<String>,
}

/// Reads it; nothing if it is no TLS.
pub(in super::super) async fn first_message(stream: &mut (impl Io + ?Sized)) -> Option<FirstMessage> {
    let (mut acceptor, mut bytes) = (Acceptor::default(), Vec::new());
    loop {
        let mut chunk = [0; 2048];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        let mut rest = chunk.get(..read)?;
        bytes.extend_from_slice(rest);
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest).ok()?;
        }
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let alpn = hello.alpn().map(|list| list.map(<[u8]>::to_vec).collect()).unwrap_or_default();
            let server_name = hello.server_name().map(str::to_owned);
            return Some(FirstMessage { bytes, alpn, server_name });
        }
    }
}

fn wanted(alpn: &[Vec<u8>], cluster: &str, place: Place) -> Wanted {
    let web = if place == Place::Tunnel { Wanted::Host } else { Wanted::Web };
    let Some(first) = alpn.first() else { return web };
    if let Some(rest) = first.strip_prefix(b"teleport-auth@") {
        let name = rest.strip_suffix(b".teleport.cluster.local").and_then(from_hex);
        return if name.is_some_and(|name| name == cluster.as_bytes()) {
            Wanted::Auth
        } else {
            Wanted::Nothing
        };
    }
    for entry in alpn {
        match entry.as_slice() {
            b"teleport-proxy-ssh" | b"teleport-proxy-ssh-grpc" => return Wanted::Host,
            b"http/1.1" | b"h2" | b"teleport-reversetunnel" | b"teleport-proxy-grpc" => return web,
            // A route counts in the first place only.
            entry if entry.starts_with(b"teleport-auth@") => return Wanted::Nothing,
            _ => {}
        }
    }
    Wanted::Nothing
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let pairs = text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    if text.is_empty() || !text.len().is_multiple_of(2) { None } else { pairs.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_is_known_decides() {
        const ROUTE: &str = "teleport-auth@6578616d706c652e636f6d.teleport.cluster.local";
        let led = |list: &[&str], place| {
            let list: Vec<_> = list.iter().map(|entry| entry.as_bytes().to_vec()).collect();
            wanted(&list, "example.com", place)
        };
        for (list, outside) in [
            (&[ROUTE, "h2"][..], Wanted::Auth),
            (&["teleport-auth@6578616D706C652E636F6D.teleport.cluster.local", "h2"], Wanted::Auth),
            (&["teleport-auth@6578616d706c652e636f6e.teleport.cluster.local", "h2"], Wanted::Nothing),
            (&["teleport-auth@6578616d706c652e636f6d", "h2"], Wanted::Nothing),
            (&["teleport-auth@xy.teleport.cluster.local", "h2"], Wanted::Nothing),
            (&["teleport-auth@.teleport.cluster.local"], Wanted::Nothing),
            (&["unknown", ROUTE, "h2"], Wanted::Nothing),
            (&["h2", ROUTE], Wanted::Web),
            (&["unknown", "h2"], Wanted::Web),
            (&["unknown"], Wanted::Nothing),
            (&["teleport-proxy-ssh"], Wanted::Host),
            (&[], Wanted::Web),
        ] {
            assert_eq!(led(list, Place::Outside), outside, "{list:?}");
        }
        assert_eq!(led(&[ROUTE, "h2"], Place::Tunnel), Wanted::Auth);
        assert_eq!(led(&["h2"], Place::Tunnel), Wanted::Host);
        assert_eq!(led(&[], Place::Tunnel), Wanted::Host);
    }
}
