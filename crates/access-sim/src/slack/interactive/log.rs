//! The interaction log: what Slack sent to the app, which way, and what came of it, oldest first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::Warning;
use super::request::SignedRequest;

/// Interactions kept; older ones are forgotten.
pub const MAX_INTERACTIONS: usize = 10_000;
/// Bytes of payloads kept.
const MAX_BYTES: usize = 128 << 20;

/// Which way a payload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryRoute {
    /// The app is not set up for any.
    Nowhere,
    /// Posted to the request URL.
    Http {
        /// The request URL.
        url: String,
    },
    /// Over one of the app's sockets.
    Socket {
        /// The same for every delivery.
        envelope_id: String,
    },
}

/// How it stands for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The client shows that it is in progress.
    Pending,
    /// The app acknowledged in time.
    Acknowledged,
    /// The user sees a warning.
    Warned(Warning),
}

/// One payload that Slack sent.
#[derive(Debug, Clone, Serialize)]
pub struct Interaction {
    /// Counts up from 0 over the whole life of the simulator.
    pub seq: u64,
    /// `block_actions`, `view_submission` or `view_closed`.
    pub kind: &'static str,
    /// The id of the user who acted.
    pub user: String,
    /// The payload, with what a forgery says in it.
    pub payload: Value,
    /// Which way it went.
    pub way: DeliveryRoute,
    /// What was forged.
    pub forgery: Option<String>,
    /// How often it was sent; more than once only over sockets.
    pub deliveries: u32,
    /// When it was sent first, on tokio's clock.
    #[serde(skip)]
    pub at: Instant,
    /// When it was sent first, on the wall clock.
    pub time: Timestamp,
    /// How long the app took to acknowledge, in time or not.
    pub acknowledged_after: Option<Duration>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What came with the acknowledgement: null if nothing, a string if not JSON.
    pub response: Value,
    /// What the user sees.
    pub outcome: Outcome,
    #[serde(skip)]
    pub(super) request: Option<Arc<SignedRequest>>,
}

#[derive(Default)]
struct Entries {
    interactions: VecDeque<(Interaction, usize)>,
    bytes: usize,
    next_seq: u64,
}

/// The log, shared by all who act.
#[derive(Default)]
pub(in crate::slack) struct InteractionLog(Mutex<Entries>);

impl InteractionLog {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }

    /// Enters an interaction of about `bytes` bytes, whose number is set here. Returns the number.
    pub(super) fn begin(&self, mut interaction: Interaction, bytes: usize) -> u64 {
        let mut entries = self.entries();
        let seq = entries.next_seq;
        entries.next_seq += 1;
        interaction.seq = seq;
        entries.bytes += bytes;
        entries.interactions.push_back((interaction, bytes));
        while entries.interactions.len() > MAX_INTERACTIONS
            || (entries.bytes > MAX_BYTES && entries.interactions.len() > 1)
        {
            if let Some((_, bytes)) = entries.interactions.pop_front() {
                entries.bytes -= bytes;
            }
        }
        seq
    }

    /// Completes an interaction, if the log still holds it.
    pub(super) fn amend(&self, seq: u64, change: impl FnOnce(&mut Interaction)) {
        let mut entries = self.entries();
        if let Some((found, _)) = entries.interactions.iter_mut().rev().find(|(found, _)| found.seq == seq) {
            change(found);
        }
    }

    pub(super) fn find(&self, seq: u64) -> Option<Interaction> {
        self.entries().interactions.iter().find(|(found, _)| found.seq == seq).map(|(found, _)| found.clone())
    }

    pub(in crate::slack) fn all(&self) -> Vec<Interaction> {
        self.entries().interactions.iter().map(|(interaction, _)| interaction.clone()).collect()
    }
}
