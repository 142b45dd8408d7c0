//! The call log: what clients asked and the answers, oldest first.
//!
//! A call enters when it has been read and is completed when it is answered, so a test sees calls that hang.

use std::collections::VecDeque;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::arguments::{Arguments, Encoding};
use super::state::Moment;

/// Calls kept; older ones are forgotten.
pub const MAX_CALLS: usize = 100_000;
/// Bytes of requests kept, so that a hostile client cannot fill the memory with large ones.
const MAX_BYTES: usize = 256 << 20;

/// One call of the Web API, or one POST to a `response_url`. The token is never kept.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Counts up from 0 over the whole life of the simulator.
    pub seq: u64,
    /// Such as `chat.postMessage`, or `response_url`; cut if absurdly long.
    pub method: String,
    /// As read; empty if the request could not be read.
    pub arguments: Arguments,
    /// How the arguments came; absent if the request could not be read.
    pub encoding: Option<Encoding>,
    /// The `channel` argument as given, or the channel that a `response_url` belongs to.
    pub channel: Option<String>,
    /// Of a POST to a `response_url`: who acted on which message.
    pub answers: Option<ResponseTarget>,
    /// When the call arrived, on tokio's clock.
    #[serde(skip)]
    pub at: Instant,
    /// When the call arrived, on the wall clock.
    pub time: Timestamp,
    /// The HTTP status sent; absent while the call is in flight, or if the connection was cut instead.
    pub status: Option<u16>,
    /// What the workspace answered; null while in flight and when nothing was done. A fault may have kept the
    /// client from seeing it.
    pub answer: Value,
    /// The fault that hit this call.
    pub fault: Option<String>,
}

/// The act that a `response_url` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResponseTarget {
    /// The id of the user: `U…` or `W…`.
    pub user: String,
    /// The message's `ts`.
    pub ts: String,
}

impl Call {
    /// Whether the workspace did what was asked, whatever the client got to see.
    pub fn succeeded(&self) -> bool {
        self.answer.get("ok") == Some(&Value::Bool(true))
    }

    /// The error code in the answer, if there is one.
    pub fn error(&self) -> Option<&str> {
        self.answer.get("error").and_then(Value::as_str)
    }
}

#[derive(Default)]
struct Entries {
    calls: VecDeque<(Call, usize)>,
    bytes: usize,
    next_seq: u64,
}

/// The log, shared by all connections.
#[derive(Default)]
pub(super) struct CallLog(Mutex<Entries>);

impl CallLog {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }

    /// Enters a call; `bytes` is the size of the request. Returns its number.
    pub(super) fn begin(
        &self,
        method: &str,
        arguments: Arguments,
        encoding: Option<Encoding>,
        bytes: usize,
        now: Moment,
    ) -> u64 {
        let mut entries = self.entries();
        let seq = entries.next_seq;
        entries.next_seq += 1;
        let channel = arguments.get("channel").and_then(Value::as_str).map(str::to_owned);
        let call = Call {
            seq,
            method: method.chars().take(100).collect(),
            arguments,
            encoding,
            channel,
            answers: None,
            at: now.instant,
            time: now.wall,
            status: None,
            answer: Value::Null,
            fault: None,
        };
        entries.bytes += bytes;
        entries.calls.push_back((call, bytes));
        while entries.calls.len() > MAX_CALLS || (entries.bytes > MAX_BYTES && entries.calls.len() > 1) {
            if let Some((_, bytes)) = entries.calls.pop_front() {
                entries.bytes -= bytes;
            }
        }
        seq
    }

    /// Completes a call, if the log still holds it.
    pub(super) fn amend(&self, seq: u64, change: impl FnOnce(&mut Call)) {
        let mut entries = self.entries();
        let first = entries.calls.front().map_or(0, |(call, _)| call.seq);
        let found = seq
            .checked_sub(first)
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| entries.calls.get_mut(offset));
        if let Some((call, _)) = found {
            change(call);
        }
    }

    pub(super) fn all(&self) -> Vec<Call> {
        self.entries().calls.iter().map(|(call, _)| call.clone()).collect()
    }

    pub(super) fn of(&self, method: &str) -> Vec<Call> {
        self.entries()
            .calls
            .iter()
            .filter(|(call, _)| call.method == method)
            .map(|(call, _)| call.clone())
            .collect()
    }
}
