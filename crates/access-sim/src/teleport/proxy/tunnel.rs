//! An upgraded connection: bytes in WebSocket messages, or in the older form behind four bytes of length. Inside is a TLS
//! connection that is routed as at the port.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::interval;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Front, Io, Led, Place};

/// What a tunnel holds for the other side, in bytes.
const BUFFER: usize = 64 * 1024;
/// What the real proxy writes into its pings.
const PING: &[u8] = b"teleport";

/// How bytes are wrapped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// In WebSocket messages.
    WebSocket {
        /// The subprotocol with pings was agreed.
        pings: bool,
    },
    /// As before 15.1.
    Old,
}

/// Begins the tunnel when the answer to the request was sent.
pub(super) fn begin(front: &Arc<Front>, request: Request<Incoming>, form: Form) {
    let shared = Arc::clone(front);
    front.tasks.spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let stream: Box<dyn Io> = Box::new(TokioIo::new(upgraded));
        if !shared.options.does_tls {
            // A proxy without TLS of its own agrees, and then passes nothing on.
            let mut stream = stream;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            return;
        }
        let (near, far) = tokio::io::duplex(BUFFER);
        let routed = (shared.route)(Arc::clone(&shared), Box::new(far), Place::Tunnel);
        let pumped = async {
            match form {
                Form::WebSocket { pings } => {
                    shared.note(Led::ThroughWebSocket);
                    pump_websocket(&shared, stream, near, pings).await;
                }
                Form::Old => {
                    shared.note(Led::ThroughOldForm);
                    pump_old(&shared, stream, near).await;
                }
            }
        };
        let (mut routed, mut pumped) = (std::pin::pin!(routed), std::pin::pin!(pumped));
        // The end of one ends the other, without a close frame; what the auth server said last still gets through.
        tokio::select! {
            () = &mut pumped => {}
            () = &mut routed => pumped.await,
        }
    });
}

async fn pump_websocket(front: &Front, stream: Box<dyn Io>, inner: DuplexStream, pings: bool) {
    let (mut sink, mut source) = WebSocketStream::from_raw_socket(stream, Role::Server, None).await.split();
    let (mut read, mut write) = tokio::io::split(inner);
    let out = async {
        let mut ping = interval(front.options.ping_every);
        ping.tick().await;
        let mut buffer = vec![0; BUFFER];
        loop {
            let message = tokio::select! {
                read = read.read(&mut buffer) => match read {
                    Ok(read) if read > 0 => Message::binary(buffer.get(..read).unwrap_or_default().to_vec()),
                    _ => return,
                },
                _ = ping.tick(), if pings => Message::Ping(PING.into()),
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Binary(bytes) => {
                    if write.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Message::Pong(payload) if payload == PING => front.note(Led::ToAnswer),
                // Nothing else belongs here.
                _ => return,
            }
        }
    };
    tokio::select! {
        () = out => {}
        () = back => {}
    }
}

async fn pump_old(front: &Front, stream: Box<dyn Io>, inner: DuplexStream) {
    let (near_read, near_write) = tokio::io::split(stream);
    let (read, write) = tokio::io::split(inner);
    tokio::select! {
        _ = wrap_old(front, read, near_write) => {}
        _ = unwrap_old(near_read, write) => {}
    }
}

async fn wrap_old(
    front: &Front,
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<Box<dyn Io>>,
) -> std::io::Result<()> {
    let mut ping = interval(front.options.ping_every);
    ping.tick().await;
    let mut buffer = vec![0; BUFFER];
    loop {
        let bytes = tokio::select! {
            read = from.read(&mut buffer) => match read? {
                0 => return Ok(()),
                read => buffer.get(..read).unwrap_or_default(),
            },
            // An empty message is a ping.
            _ = ping.tick() => &[],
        };
        to.write_u32(u32::try_from(bytes.len()).unwrap_or(0)).await?;
        to.write_all(bytes).await?;
        to.flush().await?;
    }
}

async fn unwrap_old(mut from: ReadHalf<Box<dyn Io>>, mut to: WriteHalf<DuplexStream>) -> std::io::Result<()> {
    loop {
        let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX).min(1 << 20);
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).await?;
        to.write_all(&bytes).await?;
    }
}
