//! The events that operators alert on: each function counts one and writes its line of the log.

use std::time::Duration;

use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::skew::Offset;
use jiff::SignedDuration;
use tracing::{debug, error, info, warn};

use super::Metrics;
use super::labels::{InDoubtResult, ReconcileResult};
use crate::observe::skew::{Side, describe};

impl Metrics {
    /// The claim of another instance expired, and this one took it over.
    pub fn claim_taken_over(&self, request: &RequestId) {
        self.counters.claim_takeovers.inc();
        info!(%request, "The claim of another instance (or of an earlier run) expired; taking over this request");
    }

    /// The daemon deleted a duplicate message.
    pub fn duplicate_deleted(&self, request: &RequestId, channel: &ChannelId) {
        self.counters.duplicates_deleted.inc();
        warn!(%request, %channel, "Two instances notified the same recipient; deleted the duplicate");
    }

    /// The history of the channel shows an in-doubt post.
    pub fn in_doubt_post_found(&self, request: &RequestId, destination: &str) {
        self.in_doubt_post_resolved(InDoubtResult::Found);
        info!(%request, destination, "Found an unconfirmed message in the channel history; not posting again");
    }

    /// The history of the channel shows that an in-doubt post never arrived.
    /// After an outage each message is one: a line for all of them at first, then one a minute.
    pub fn in_doubt_post_not_found(&self, request: &RequestId, destination: &str) {
        self.in_doubt_post_resolved(InDoubtResult::NotFound);
        match self.log_once.once_a_minute("in doubt", "not found") {
            Some(suppressed) => {
                let times = suppressed + 1;
                info!(%request, destination, times, "Unconfirmed message not found in the channel history; posting again");
            }
            None => {
                debug!(%request, destination, "Unconfirmed message not found in the channel history; posting again");
            }
        }
    }

    /// The thread of an in-doubt reply is gone with its message.
    pub fn in_doubt_thread_deleted(&self, request: &RequestId, destination: &str) {
        self.in_doubt_post_resolved(InDoubtResult::NotFound);
        info!(%request, destination, "A user deleted the message, so it is not updated any more");
    }

    fn in_doubt_post_resolved(&self, result: InDoubtResult) {
        self.counters.in_doubt_posts_resolved.increment([("result", result.label())]);
    }

    /// A message is posted that may be there already, because nothing shows whether it is.
    pub fn possible_duplicate(&self, request: &RequestId, destination: &str, attempts: u32, reason: &str) {
        self.counters.possible_duplicates.inc();
        warn!(%request, destination, attempts, "Posting a message again although it may be there already, because the bot cannot read the history; {reason}");
    }

    /// A reconciliation of a request panicked.
    pub fn reconcile_panicked(&self, request: &RequestId, retry_in: Duration) {
        self.counters.reconciles.increment([("result", ReconcileResult::Panic.label())]);
        error!(%request, retry_in_s = retry_in.as_secs(), "A reconcile of this request panicked; this is a bug in teleport-slack; please report it");
    }

    /// An answer of the other side showed what its clock shows.
    pub fn observe_clock(&self, side: Side, offset: Offset) {
        let skew = offset.least();
        let mut before = None;
        self.health().update(|state| before = state.skews.set(side, skew));
        let was_logged = before.is_some_and(|before| describe(side, before).is_some());
        match describe(side, skew) {
            Some(words) if !was_logged => {
                warn!("{}{}", words[..1].to_uppercase(), &words[1..]);
            }
            None if was_logged => info!("This machine's clock agrees with {}'s again", side.name()),
            _ => {}
        }
    }

    /// This machine's clock was set forward by this much.
    pub fn on_clock_jump(&self, by: SignedDuration) {
        self.health().update(|state| state.skews.shift(by));
    }
}
