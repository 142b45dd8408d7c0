//! Resolves in-doubt posts: looks for a post whose outcome was not recorded, and decides whether to post again if the bot
//! cannot read the history.
//!
//! `history_check` searches. `access_core::record::claim` decides when posting again without a search is right.

use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::plan::HistoryQuery;
use access_core::record::{Operation, Outcome};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::channel_queue::QueuedOperation;
use super::history_check::{self, HistoryResult};
use super::lease::Lease;
use super::retry_state::{Deferred, Effect};
use super::sender::SlackSender;
use crate::observe::metrics::SlackOperation;
use access_core::domain::error_chain::seconds;
use slack_client::error::SlackError;
use slack_client::method::Method;

/// The cause of log lines about in-doubt messages.
const IN_DOUBT: &str = "in doubt";

impl SlackSender {
    /// Looks for a post whose outcome was not recorded.
    pub(super) async fn verify_post(
        &self,
        caller: &QueuedOperation,
        search: &HistoryQuery,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, Deferred> {
        let id = &caller.id;
        let (operation, destination) = (&search.in_doubt.operation, &search.in_doubt.destination);
        let resolved =
            Outcome::Resolved { operation: operation.clone(), attempted_at: search.in_doubt.attempted_at };
        match history_check::check_history(&self.slack, &self.directory, &self.author, id, search).await {
            Ok(HistoryResult::Found(mut outcomes)) => {
                self.metrics.in_doubt_post_found(id, destination);
                outcomes.push(resolved);
                Ok(outcomes)
            }
            Ok(HistoryResult::Duplicates(channel, duplicates)) => {
                for ts in duplicates {
                    if !lease.may_start_call() {
                        return Err(Deferred::not_attempted(Duration::ZERO));
                    }
                    let deleted = self.delete(id, channel.clone(), ts).await;
                    let result = deleted.as_ref().map(drop).map_err(SlackError::retry);
                    self.metrics.operation_ended(SlackOperation::Delete, result);
                    deleted.map_err(|error| self.on_error(caller, destination, &error, failures))?;
                }
                // The next check finds the rest.
                Err(Deferred::not_attempted(Duration::ZERO))
            }
            Ok(HistoryResult::NotFound) => {
                let left = until(search.in_doubt.final_at, Timestamp::now());
                if !left.is_zero() {
                    debug!(request = %id, %destination, retry_in_s = left.as_secs_f32(), "The channel history does not show an unconfirmed message yet");
                    return Err(Deferred::not_attempted(left));
                }
                self.metrics.in_doubt_post_not_found(id, destination);
                let now = Instant::now();
                self.queues().requeue(destination, caller, now, true, now);
                Ok(vec![resolved])
            }
            Ok(HistoryResult::ThreadDeleted(lost)) => {
                self.metrics.in_doubt_thread_deleted(id, destination);
                Ok(vec![lost, resolved])
            }
            Ok(HistoryResult::NoAccess(reason)) if !search.is_wanted => {
                debug!(request = %id, %destination, "An unconfirmed message is not needed any more: {reason}");
                Ok(vec![resolved])
            }
            Ok(HistoryResult::NoAccess(reason)) => {
                self.on_no_access(caller, search, &reason, failures, lease).await
            }
            Err(error) => {
                let Deferred { delay, is_failure, .. } = self.on_error(caller, destination, &error, failures);
                let now = Instant::now();
                self.queues().requeue(destination, caller, now + delay, false, now);
                Err(Deferred { delay, is_failure, is_queued: false, effect: Effect::NotApplied })
            }
        }
    }

    /// The bot cannot read the history: decides whether to post again.
    async fn on_no_access(
        &self,
        caller: &QueuedOperation,
        search: &HistoryQuery,
        reason: &str,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, Deferred> {
        let (id, in_doubt) = (&caller.id, &search.in_doubt);
        let (destination, attempts) = (&in_doubt.destination, in_doubt.attempts);
        let now = Timestamp::now();
        let should_retry = || in_doubt.should_retry(self.channels().last_responses(destination), now);
        // Without other posts to this destination, only a probe can show that Slack answers again. Where Slack accepts
        // posts without their addresses, its refusal shows nothing.
        let is_open = self.slack.blocked_for(Method::ChatPostMessage).is_none() && lease.may_start_call();
        if !should_retry() && !in_doubt.is_accepted && is_open && self.channels().may_probe(destination) {
            self.probe(destination).await;
        }
        if should_retry() {
            self.metrics.possible_duplicate(id, destination, attempts, reason);
            let operation = in_doubt.operation.clone();
            return Ok(vec![Outcome::RetryAllowed { operation, attempted_at: in_doubt.attempted_at }]);
        }
        let next_attempt = in_doubt.next_attempt_at().map(|at| until(at, now));
        let delay = self.timings.no_access.delay(failures.max(attempts) + 1, fastrand::u64(..));
        let delay = next_attempt.map_or(delay, |next| delay.min(next));
        let retry_in_s = seconds(delay);
        match self.log_once.once_a_minute(destination, IN_DOUBT) {
            Some(suppressed) => {
                let times = suppressed + 1;
                let when = match next_attempt {
                    _ if !in_doubt.is_accepted => "when Slack answers there".to_owned(),
                    Some(next) => {
                        format!("in {} s, or when Slack answers there with an address", next.as_secs())
                    }
                    None => "when Slack answers there with an address".to_owned(),
                };
                warn!(request = %id, %destination, attempts, times, retry_in_s, "A message may be there several times or not at all: Slack did not confirm it, and the bot cannot read the history; it is posted again {when}; {reason}");
            }
            None => {
                debug!(request = %id, %destination, attempts, retry_in_s, "A message is still in doubt: {reason}");
            }
        }
        self.queues().remove(destination, caller);
        Err(Deferred::failed(delay))
    }

    /// Slack returned the address of another message, or one that cannot be recorded: the post stays in doubt. `destination` is its
    /// destination if it was just posted; an in-doubt post that was only searched for stays as it was.
    pub(super) fn on_address_conflict(
        &self,
        id: &RequestId,
        operation: &Operation,
        destination: Option<&str>,
        since: Timestamp,
        failures: u32,
    ) -> (Vec<Outcome>, Deferred) {
        let delay = self.timings.no_access.delay(failures + 1, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        warn!(request = %id, destination, retry_in_s, "Slack names another message's address for a message, so it cannot be kept current; please report this together with what answers at slack.api_url");
        let unclear = destination.map(|destination| Outcome::InDoubt {
            operation: operation.clone(),
            destination: destination.to_owned(),
            attempted_at: since,
            final_at: Timestamp::now(),
            is_accepted: true,
            is_first: false,
        });
        (unclear.into_iter().collect(), Deferred::failed(delay))
    }

    /// Checks whether Slack answers posts to a destination.
    async fn probe(&self, destination: &str) {
        let Some(error) = self.slack.probe_post(destination).await else { return };
        debug!(%destination, "Asked Slack whether it answers: {error}");
        self.record_refusal(destination, &error);
    }
}

/// How long it is from `now` until `at`; nothing if that has passed.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.duration_since(now).try_into().unwrap_or_default()
}
