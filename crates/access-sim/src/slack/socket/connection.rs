//! One open socket: hello, pings, payloads out, acknowledgements in, and one of many ends.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use super::super::Shared;
use super::super::handles::ConnectionHandle;
use super::{Command, DisconnectReason, RegisteredSocket, SocketGuard};

/// Acknowledgements are small; a view is at most 250 kB.
const MAX_MESSAGE: usize = 1 << 20;
/// For a client that does not take what it is sent.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Between the warning and the request to refresh, and between that and the end.
const DISCONNECT_NOTICE: Duration = Duration::from_secs(10);
/// For the client's part of the closing handshake.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
const MAX_UNANSWERED_PINGS: u32 = 3;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How a socket ends.
enum ConnectionEnd {
    /// The closing handshake, begun by either side; the TCP connection stays a while.
    Closed,
    /// The TCP connection is reset.
    Reset,
    /// It broke, or the client broke the protocol.
    Broken,
}

/// Runs a socket from the end of the HTTP handshake to its own end.
pub(super) async fn run(
    upgrading: OnUpgrade,
    shared: Arc<Shared>,
    line: ConnectionHandle,
    stop: CancellationToken,
    enabled: bool,
) {
    let whole_life = async {
        let Ok(upgraded) = upgrading.await else { return };
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let mut socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let end = match (enabled, shared.sockets.register()) {
            (true, Some(entered)) => Connection::new(&shared, entered).serve(&mut socket).await,
            (true, None) => reject(&mut socket, DisconnectReason::TooMany).await,
            (false, _) => reject(&mut socket, DisconnectReason::LinkDisabled).await,
        };
        shared.changed();
        match end {
            ConnectionEnd::Closed => linger(socket, shared.timings.linger).await,
            ConnectionEnd::Reset => line.cut(),
            ConnectionEnd::Broken => {}
        }
    };
    stop.run_until_cancelled(whole_life).await;
}

/// Informs a client that it cannot stay.
async fn reject(socket: &mut Socket, reason: DisconnectReason) -> ConnectionEnd {
    match send(socket, Message::text(disconnect(reason))).await {
        ControlFlow::Continue(()) => close(socket).await,
        ControlFlow::Break(end) => end,
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    guard: SocketGuard,
    commands: tokio::sync::mpsc::Receiver<Command>,
    count: usize,
    silent: bool,
    unanswered: u32,
    /// When the server ends it.
    closes_at: Option<Instant>,
}

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared, entered: RegisteredSocket) -> Self {
        let RegisteredSocket { guard: place, commands: orders, count } = entered;
        Connection {
            shared,
            guard: place,
            commands: orders,
            count,
            silent: false,
            unanswered: 0,
            closes_at: None,
        }
    }

    async fn serve(mut self, socket: &mut Socket) -> ConnectionEnd {
        let begun = Instant::now();
        let times = &self.shared.timings;
        if let ControlFlow::Break(end) = send(socket, Message::text(self.hello())).await {
            return end;
        }
        self.shared.changed();
        let mut pings = interval_at(begun + times.ping, times.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Sockets too short-lived for a warning get none; Slack does not always send one either.
        let mut warning = times.connection.checked_sub(DISCONNECT_NOTICE).map(|life| begun + life);
        let mut refresh = Some(begun + times.connection);
        loop {
            let flow = tokio::select! {
                order = self.commands.recv() => match order {
                    Some(order) => self.run_command(socket, order).await,
                    None => ControlFlow::Break(ConnectionEnd::Broken),
                },
                heard = socket.next(), if !self.silent => self.on_frame(heard),
                _ = pings.tick(), if !self.silent => self.ping(socket).await,
                () = sleep_until_some(warning) => {
                    warning = None;
                    self.run_command(socket, Command::Disconnect(DisconnectReason::Warning)).await
                }
                () = sleep_until_some(refresh) => {
                    refresh = None;
                    self.run_command(socket, Command::Disconnect(DisconnectReason::Refresh)).await
                }
                () = sleep_until_some(self.closes_at) => ControlFlow::Break(close(socket).await),
            };
            if let ControlFlow::Break(end) = flow {
                return end;
            }
        }
    }

    fn hello(&self) -> String {
        let app_id = self.shared.state().bot.app_id.clone();
        json!({
            "type": "hello",
            "num_connections": self.count,
            "debug_info": {
                "host": HOST,
                "build_number": 1,
                "approximate_connection_time": self.shared.timings.connection.as_secs(),
            },
            "connection_info": { "app_id": app_id },
        })
        .to_string()
    }

    async fn run_command(&mut self, socket: &mut Socket, order: Command) -> ControlFlow<ConnectionEnd> {
        match order {
            Command::Reset => return ControlFlow::Break(ConnectionEnd::Reset),
            Command::Silence => self.silent = true,
            // A silent socket swallows every other command.
            _ if self.silent => {}
            Command::Text(text) => return send(socket, Message::text(text)).await,
            Command::Binary(bytes) => return send(socket, Message::binary(bytes)).await,
            Command::Huge(bytes) => {
                let text = json!({ "type": "huge", "padding": "x".repeat(bytes) }).to_string();
                return send(socket, Message::text(text)).await;
            }
            Command::RawBytes(bytes) => return write(socket, &bytes).await,
            Command::Close => return ControlFlow::Break(close(socket).await),
            Command::Disconnect(reason) => {
                send(socket, Message::text(disconnect(reason))).await?;
                if reason != DisconnectReason::Warning {
                    self.guard.sockets.mark_draining(self.guard.id);
                    self.closes_at.get_or_insert_with(|| Instant::now() + DISCONNECT_NOTICE);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn on_frame(&mut self, heard: Option<tungstenite::Result<Message>>) -> ControlFlow<ConnectionEnd> {
        match heard {
            Some(Ok(Message::Text(text))) => self.guard.sockets.on_message(&text),
            Some(Ok(Message::Binary(_))) => {
                self.guard.sockets.record_protocol_error("a binary message".to_owned())
            }
            Some(Ok(Message::Pong(_))) => self.unanswered = 0,
            // The library answers pings, and the client's closing frame, by itself.
            Some(Ok(Message::Ping(_) | Message::Close(_) | Message::Frame(_))) => {}
            Some(Err(tungstenite::Error::ConnectionClosed)) | None => {
                return ControlFlow::Break(ConnectionEnd::Closed);
            }
            // A connection that breaks may be no side's fault.
            Some(Err(
                tungstenite::Error::Io(_)
                | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            )) => return ControlFlow::Break(ConnectionEnd::Broken),
            Some(Err(error)) => {
                self.guard.sockets.record_protocol_error(format!("a broken WebSocket: {error}"));
                return ControlFlow::Break(ConnectionEnd::Broken);
            }
        }
        self.shared.changed();
        ControlFlow::Continue(())
    }

    async fn ping(&mut self, socket: &mut Socket) -> ControlFlow<ConnectionEnd> {
        if self.unanswered >= MAX_UNANSWERED_PINGS {
            return ControlFlow::Break(ConnectionEnd::Broken);
        }
        self.unanswered += 1;
        send(socket, Message::Ping(Bytes::from_static(b"Ping from the simulator"))).await
    }
}

const HOST: &str = "applink-simulated";

fn disconnect(reason: DisconnectReason) -> String {
    json!({ "type": "disconnect", "reason": reason.as_str(), "debug_info": { "host": HOST } }).to_string()
}

/// Never, or then.
async fn sleep_until_some(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn send(socket: &mut Socket, message: Message) -> ControlFlow<ConnectionEnd> {
    match timeout(SEND_LIMIT, socket.send(message)).await {
        Ok(Ok(())) => ControlFlow::Continue(()),
        // The client has begun to close; its closing frame is still to be read.
        Ok(Err(tungstenite::Error::Protocol(_) | tungstenite::Error::ConnectionClosed)) => {
            ControlFlow::Continue(())
        }
        Ok(Err(_)) | Err(_) => ControlFlow::Break(ConnectionEnd::Broken),
    }
}

async fn write(socket: &mut Socket, bytes: &[u8]) -> ControlFlow<ConnectionEnd> {
    let writing = async {
        socket.get_mut().write_all(bytes).await?;
        socket.get_mut().flush().await
    };
    match timeout(SEND_LIMIT, writing).await {
        Ok(Ok(())) => ControlFlow::Continue(()),
        Ok(Err(_)) | Err(_) => ControlFlow::Break(ConnectionEnd::Broken),
    }
}

/// The closing handshake, begun by the server.
async fn close(socket: &mut Socket) -> ConnectionEnd {
    let handshake = async {
        socket.close(None).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<(), tungstenite::Error>(())
    };
    match timeout(CLOSE_LIMIT, handshake).await {
        Ok(Ok(()) | Err(tungstenite::Error::ConnectionClosed)) => ConnectionEnd::Closed,
        Ok(Err(_)) | Err(_) => ConnectionEnd::Broken,
    }
}

/// Slack does not end the TCP connection after the handshake; a client that waits for that waits a while.
async fn linger(socket: Socket, limit: Duration) {
    let mut stream = socket.into_inner();
    let mut ignored = [0; 1024];
    let ended = async { while stream.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {} };
    // Either the client ended it, or the time is over.
    let _ = timeout(limit, ended).await;
}
