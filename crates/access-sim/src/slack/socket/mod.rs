//! Socket Mode: the app's WebSockets, which payload goes over which, and what can be done to them.
//!
//! `tickets.rs` and `upgrade.rs` let sockets in, `connection.rs` runs one. What is sent, and how often, is decided in
//! `interactive/dispatch.rs`.

pub(super) mod tickets;
pub(super) mod upgrade;
mod connection;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

/// Sockets that one app may have open.
const MAX_SOCKETS: usize = 10;
/// Orders that wait for a socket which is slow to take them.
const MAX_COMMANDS: usize = 64;
/// Acknowledged envelopes remembered, so that an acknowledgement of a second delivery is not taken for an error.
const MAX_ACKNOWLEDGED: usize = 1_000;
const MAX_PROTOCOL_ERRORS: usize = 100;

/// Why the server asks a client to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DisconnectReason {
    /// The socket ends in about ten seconds.
    Warning,
    /// Open another one.
    Refresh,
    /// Socket Mode was switched off.
    LinkDisabled,
    /// There are ten already.
    TooMany,
}

impl DisconnectReason {
    fn as_str(self) -> &'static str {
        match self {
            DisconnectReason::Warning => "warning",
            DisconnectReason::Refresh => "refresh_requested",
            DisconnectReason::LinkDisabled => "link_disabled",
            DisconnectReason::TooMany => "too_many_websockets",
        }
    }
}

/// A command to a socket.
#[derive(Debug, Clone)]
enum Command {
    Text(String),
    Huge(usize),
    Binary(Bytes),
    /// Straight onto the TCP connection.
    RawBytes(Bytes),
    Disconnect(DisconnectReason),
    Silence,
    Close,
    Reset,
}

/// Which of the open sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketSelector {
    /// Every one.
    All,
    /// The one opened first.
    Oldest,
    /// The one opened last.
    Newest,
}

struct SocketHandle {
    id: u64,
    commands: mpsc::Sender<Command>,
    /// Asked to go; takes no payloads any more.
    draining: bool,
}

struct PendingAck {
    reply: oneshot::Sender<Value>,
    accepts_response: bool,
}

#[derive(Default)]
struct SocketTable {
    sockets: Vec<SocketHandle>,
    opened: u64,
    pending: HashMap<String, PendingAck>,
    acknowledged: VecDeque<String>,
    protocol_errors: VecDeque<String>,
}

struct Inner {
    table: Mutex<SocketTable>,
    changes: watch::Sender<u64>,
}

/// The app's sockets; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Sockets(Arc<Inner>);

impl Sockets {
    pub(super) fn new() -> Self {
        Sockets(Arc::new(Inner { table: Mutex::default(), changes: watch::Sender::new(0) }))
    }

    fn table(&self) -> MutexGuard<'_, SocketTable> {
        self.0.table.lock()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How many are open and were not asked to go.
    pub fn count(&self) -> usize {
        self.table().sockets.iter().filter(|link| !link.draining).count()
    }

    /// How many were ever opened.
    pub fn opened(&self) -> u64 {
        self.table().opened
    }

    /// What clients sent that makes no sense, the last hundred.
    pub fn protocol_errors(&self) -> Vec<String> {
        self.table().protocol_errors.iter().cloned().collect()
    }

    /// Warns that they end soon, which does not always happen.
    pub fn warn(&self, which: SocketSelector) {
        self.send_command(which, &Command::Disconnect(DisconnectReason::Warning));
    }

    /// Asks the client to open others instead; they close ten seconds later.
    pub fn refresh(&self, which: SocketSelector) {
        self.send_command(which, &Command::Disconnect(DisconnectReason::Refresh));
    }

    /// They say nothing any more and hear nothing, not even pings, but stay open and are still given payloads.
    pub fn silence(&self, which: SocketSelector) {
        self.send_command(which, &Command::Silence);
    }

    /// The server ends them in good order, without a word why.
    pub fn close(&self, which: SocketSelector) {
        self.send_command(which, &Command::Close);
    }

    /// The TCP connections are reset.
    pub fn reset(&self, which: SocketSelector) {
        self.send_command(which, &Command::Reset);
    }

    /// Sends any text.
    pub fn send_text(&self, which: SocketSelector, text: &str) {
        self.send_command(which, &Command::Text(text.to_owned()));
    }

    /// Sends a binary frame, which Slack never does.
    pub fn send_binary(&self, which: SocketSelector, bytes: &[u8]) {
        self.send_command(which, &Command::Binary(Bytes::copy_from_slice(bytes)));
    }

    /// Sends bytes that are no WebSocket frame: reserved bits and an unknown opcode.
    pub fn send_garbage(&self, which: SocketSelector) {
        self.send_command(which, &Command::RawBytes(Bytes::from_static(b"\xf3\x85junk!garbage")));
    }

    /// Sends a well-formed message of at least this many bytes.
    pub fn send_huge(&self, which: SocketSelector, bytes: usize) {
        self.send_command(which, &Command::Huge(bytes));
    }

    /// Informs all sockets that Socket Mode was switched off.
    pub(super) fn disable(&self) {
        self.send_command(SocketSelector::All, &Command::Disconnect(DisconnectReason::LinkDisabled));
    }

    fn send_command(&self, which: SocketSelector, order: &Command) {
        let mut table = self.table();
        let count = table.sockets.len();
        for (index, link) in table.sockets.iter_mut().enumerate() {
            let meant = match which {
                SocketSelector::All => true,
                SocketSelector::Oldest => index == 0,
                SocketSelector::Newest => index + 1 == count,
            };
            if meant {
                let leaves = matches!(
                    order,
                    Command::Disconnect(DisconnectReason::Refresh | DisconnectReason::LinkDisabled)
                );
                link.draining |= leaves;
                // A socket with so many orders ahead is stuck; nothing more is to be done to it.
                let _ = link.commands.try_send(order.clone());
            }
        }
        drop(table);
        self.changed();
    }

    /// Lets a socket in, as long as there are not too many.
    fn register(&self) -> Option<RegisteredSocket> {
        let mut table = self.table();
        if table.sockets.len() >= MAX_SOCKETS {
            return None;
        }
        let (sender, orders) = mpsc::channel(MAX_COMMANDS);
        table.opened += 1;
        let id = table.opened;
        table.sockets.push(SocketHandle { id, commands: sender, draining: false });
        let count = table.sockets.len();
        drop(table);
        self.changed();
        Some(RegisteredSocket { guard: SocketGuard { sockets: self.clone(), id }, commands: orders, count })
    }

    /// Says that a socket takes no payloads any more.
    fn mark_draining(&self, id: u64) {
        if let Some(link) = self.table().sockets.iter_mut().find(|link| link.id == id) {
            link.draining = true;
        }
        self.changed();
    }

    fn record_protocol_error(&self, text: String) {
        let mut table = self.table();
        table.protocol_errors.push_back(text);
        if table.protocol_errors.len() > MAX_PROTOCOL_ERRORS {
            table.protocol_errors.pop_front();
        }
    }

    /// Gets ready for the acknowledgement of an envelope.
    pub(super) fn expect_ack(&self, envelope_id: &str, takes_answer: bool) -> oneshot::Receiver<Value> {
        let (reply, acknowledged) = oneshot::channel();
        self.table()
            .pending
            .insert(envelope_id.to_owned(), PendingAck { reply, accepts_response: takes_answer });
        acknowledged
    }

    pub(super) fn forget_ack(&self, envelope_id: &str) {
        self.table().pending.remove(envelope_id);
    }

    /// Gives a payload to any one of the sockets, waiting for one if there is none.
    pub(super) async fn deliver(&self, text: &str) {
        let mut changes = self.0.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if self.try_deliver(text) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn try_deliver(&self, text: &str) -> bool {
        let table = self.table();
        let mut takers: Vec<&SocketHandle> = table.sockets.iter().filter(|link| !link.draining).collect();
        fastrand::shuffle(&mut takers);
        takers.iter().any(|link| link.commands.try_send(Command::Text(text.to_owned())).is_ok())
    }

    /// Takes what a client sent. Acknowledgements count whichever socket they come over.
    fn on_message(&self, text: &str) {
        match self.acknowledge(text) {
            Ok(()) => {}
            Err(text) => self.record_protocol_error(text),
        }
    }

    fn acknowledge(&self, text: &str) -> Result<(), String> {
        let message: Value =
            serde_json::from_str(text).map_err(|error| format!("a message that is not JSON: {error}"))?;
        let id = message.get("envelope_id").and_then(Value::as_str);
        let id = id.ok_or_else(|| "a message without envelope_id".to_owned())?;
        let answer = match message.get("payload") {
            None | Some(Value::Null) => Value::Null,
            Some(Value::Object(fields)) if fields.is_empty() => Value::Null,
            Some(payload) => payload.clone(),
        };
        let mut table = self.table();
        let Some(pending) = table.pending.remove(id) else {
            if table.acknowledged.iter().any(|known| known == id) {
                return Ok(());
            }
            let shown: String = id.chars().take(60).collect();
            return Err(format!("an acknowledgement of an envelope that was not sent: {shown}"));
        };
        table.acknowledged.push_back(id.to_owned());
        if table.acknowledged.len() > MAX_ACKNOWLEDGED {
            table.acknowledged.pop_front();
        }
        let refused = !pending.accepts_response && !answer.is_null();
        // The sender may have stopped waiting.
        let _ = pending.reply.send(if refused { Value::Null } else { answer });
        if refused { Err("a payload where none is accepted".to_owned()) } else { Ok(()) }
    }
}

/// A socket's place among the others, free again when dropped.
struct SocketGuard {
    sockets: Sockets,
    id: u64,
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.sockets.table().sockets.retain(|link| link.id != self.id);
        self.sockets.changed();
    }
}

struct RegisteredSocket {
    guard: SocketGuard,
    commands: mpsc::Receiver<Command>,
    /// How many there are, this one included.
    count: usize,
}
