//! Clears up what is in doubt: looks for a post whose outcome nobody recorded, and says whether it is made once more
//! where nobody can look.
//!
//! How the look is done: `settle`. When a blind repetition is right: `access_core::record::claim`.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::ids::RequestId;
use access_core::plan::HistoryQuery;
use access_core::record::{Operation, Outcome};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::channel_queue::QueuedOperation;
use super::history_check::{self, HistoryResult};
use super::lease::Lease;
use super::retry_state::{Deferred, Effect};
use super::sender::SlackSender;
use crate::observe::metrics::InDoubtResult;
use crate::observe::seconds;
use crate::slack::error::Retry;
use crate::slack::method::Method;

/// Nobody can look, and Slack was not seen to answer in that place since.
const NO_ACCESS_BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// What to grant so that the bot can look.
const HISTORY_SCOPES: &str = "channels:history, groups:history, im:history and im:write";

impl SlackSender {
    /// Looks whether a post was made whose outcome nobody recorded.
    pub(super) async fn verify_post(
        &self,
        caller: &QueuedOperation,
        search: &HistoryQuery,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, Deferred> {
        let id = &caller.id;
        let (errand, place) = (&search.in_doubt.operation, &search.in_doubt.destination);
        let settled =
            Outcome::Resolved { operation: errand.clone(), attempted_at: search.in_doubt.attempted_at };
        match history_check::check_history(&self.slack, &self.directory, &self.author, id, search).await {
            Ok(HistoryResult::Found(mut outcomes)) => {
                self.metrics.in_doubt_post_resolved(InDoubtResult::Found);
                info!(request = %id, %place, "Slack had carried out a post whose answer was lost; it is not made again");
                outcomes.push(settled);
                Ok(outcomes)
            }
            Ok(HistoryResult::Duplicates(channel, doubles)) => {
                for ts in doubles {
                    if !lease.may_start_call() {
                        return Err(Deferred::not_attempted(Duration::ZERO));
                    }
                    let withdrawn = self.delete(id, channel.clone(), ts).await;
                    withdrawn.map_err(|error| self.on_error(caller, place, &error, failures))?;
                }
                // The next look finds the rest.
                Err(Deferred::not_attempted(Duration::ZERO))
            }
            Ok(HistoryResult::NotFound) => {
                let left = search.in_doubt.final_at.duration_since(Timestamp::now());
                let left = Duration::try_from(left).unwrap_or_default();
                if !left.is_zero() {
                    debug!(request = %id, %place, look_again_in_s = left.as_secs_f32(), "A post whose answer was lost is not there yet");
                    return Err(Deferred::not_attempted(left));
                }
                self.metrics.in_doubt_post_resolved(InDoubtResult::NotFound);
                info!(request = %id, %place, "A post whose answer was lost never arrived; it is made again");
                let now = Instant::now();
                self.queues().requeue(place, caller, now, true, now);
                Ok(vec![settled])
            }
            Ok(HistoryResult::ThreadDeleted(lost)) => {
                self.metrics.in_doubt_post_resolved(InDoubtResult::NotFound);
                info!(request = %id, %place, "Somebody deleted the message, so it is not kept current any more");
                Ok(vec![lost, settled])
            }
            Ok(HistoryResult::NoAccess(reason)) if !search.is_wanted => {
                debug!(request = %id, %place, "Nobody needs a post any more whose answer was lost: {reason}");
                Ok(vec![settled])
            }
            Ok(HistoryResult::NoAccess(reason)) => {
                self.on_no_access(caller, search, &reason, failures, lease).await
            }
            Err(error) => {
                let Deferred { delay, is_failure, .. } = self.on_error(caller, place, &error, failures);
                let now = Instant::now();
                self.queues().requeue(place, caller, now + delay, false, now);
                Err(Deferred { delay, is_failure, is_queued: false, effect: Effect::NotApplied })
            }
        }
    }

    /// Nobody can look: whether the post is made once more.
    async fn on_no_access(
        &self,
        caller: &QueuedOperation,
        search: &HistoryQuery,
        reason: &str,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, Deferred> {
        let (id, doubt) = (&caller.id, &search.in_doubt);
        let (place, attempts) = (&doubt.destination, doubt.attempts);
        let is_worth_it = || doubt.should_retry(self.channels().last_responses(place));
        // Where nothing else is posted, nothing else would ever show that Slack answers again.
        let is_open = self.blocked_for(Method::ChatPostMessage).is_none() && lease.may_start_call();
        if !is_worth_it() && !doubt.is_accepted && is_open && self.channels().may_probe(place) {
            self.probe(place).await;
        }
        if is_worth_it() {
            self.metrics.possible_duplicate();
            warn!(request = %id, %place, attempts, "A message is posted once more although it may be there already, because the bot cannot look; grant the scopes {HISTORY_SCOPES} to rule doubles out: {reason}");
            let operation = doubt.operation.clone();
            return Ok(vec![Outcome::RetryAllowed { operation, attempted_at: doubt.attempted_at }]);
        }
        let delay = NO_ACCESS_BACKOFF.delay(failures.max(attempts) + 1, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        match self.channels().should_log(place) {
            Some(times) => {
                warn!(request = %id, %place, attempts, times, retry_in_s, "A message may be there several times or not at all: Slack does not say what became of it, and the bot cannot look; it is posted again when Slack is seen to answer there; grant the scopes {HISTORY_SCOPES} so that the bot can look: {reason}");
            }
            None => {
                debug!(request = %id, %place, attempts, retry_in_s, "A message is still in doubt: {reason}");
            }
        }
        self.queues().remove(place, caller);
        Err(Deferred::failed(delay))
    }

    /// A message was posted or found whose address is another message's, or cannot be written down: it stays in doubt.
    /// `place` is where it was posted, if it was; a doubt that was looked into is left as it was.
    pub(super) fn on_address_conflict(
        &self,
        id: &RequestId,
        errand: &Operation,
        place: Option<&str>,
        since: Timestamp,
        failures: u32,
    ) -> (Vec<Outcome>, Deferred) {
        let delay = NO_ACCESS_BACKOFF.delay(failures + 1, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        warn!(request = %id, place, retry_in_s, "Slack names another message's address for a message, so it cannot be kept current; please report this together with what answers at slack.api_url");
        let unclear = place.map(|place| Outcome::InDoubt {
            operation: errand.clone(),
            destination: place.to_owned(),
            attempted_at: since,
            final_at: Timestamp::now(),
            is_accepted: true,
            is_first: false,
        });
        (unclear.into_iter().collect(), Deferred::failed(delay))
    }

    /// Asks whether Slack gives whole answers to posts into a place.
    async fn probe(&self, place: &str) {
        let Some(error) = self.slack.probe_post(place).await else { return };
        debug!(%place, "Asked Slack whether it answers: {error}");
        if let Retry::After(delay) = error.retry() {
            self.block_until(Method::ChatPostMessage, Instant::now() + delay);
        }
        self.record_refusal(place, &error);
    }
}
