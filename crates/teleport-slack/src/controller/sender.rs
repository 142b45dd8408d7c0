//! Applies single steps in Slack and decides when a failed one may be tried again.
//!
//! It slows down for the channel of a `Retry-After` (`channel_queue`; the client holds the method's), limits the calls in
//! flight, and logs each cause once. `access_core::plan` decides what to do.

use std::time::Duration;

use access_core::domain::ids::{ChannelId, MessageTs, RequestId};
use access_core::domain::recipients::RecipientKey;
use access_core::plan::{HistoryQuery, Step};
use access_core::record::{DisplayedState, Operation, Outcome, RepliesPosted};
use access_core::render::Message;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::channel_breaker::ChannelBreaker;
use super::channel_outcomes::ChannelStates;
use super::channel_queue::{ChannelQueues, QueuedOperation};
use super::history_check::{message_metadata, reply_metadata};
use super::lease::Lease;
use super::retry_state::{Deferred, Effect};
use super::timings::ControllerTimings;
use crate::config::slack_setting;
use crate::observe::log_once::SharedLogOnce;
use crate::observe::metrics::{Metrics, SlackOperation};
use crate::observe::skew::Side;
use access_core::domain::error_chain::seconds;
use slack_client::directory::Directory;
use slack_client::error::{Affects, Retry, SlackError};
use slack_client::history::Author;
use slack_client::method::Method;
use slack_client::{self, PostMessage};

/// Calls to Slack in flight at once: well below Slack's limits for a second, and enough that one slow channel does not block
/// the others.
const MAX_CONCURRENT_CALLS: usize = 16;

/// Sends messages to Slack.
#[derive(Debug)]
pub(super) struct SlackSender {
    pub(super) slack: slack_client::Client,
    pub(super) directory: Directory,
    pub(super) author: Author,
    call_permits: Semaphore,
    queues: Mutex<ChannelQueues>,
    breaker: Mutex<ChannelBreaker>,
    channels: Mutex<ChannelStates>,
    pub(super) log_once: SharedLogOnce,
    /// Requests whose turn it is.
    pub(super) next_in_queue: mpsc::Sender<RequestId>,
    /// Notified when a post ended.
    pub(super) send_ended: Notify,
    pub(super) metrics: Metrics,
    pub(super) timings: ControllerTimings,
}

/// Why a call was not made, or failed.
enum SendError {
    Slack(SlackError),
    /// The lease of the claim expired.
    LeaseExpired,
}

impl From<SlackError> for SendError {
    fn from(error: SlackError) -> Self {
        Self::Slack(error)
    }
}

impl SlackSender {
    /// `turns` receives the requests whose turn it is.
    pub(super) fn new(
        slack: slack_client::Client,
        directory: Directory,
        author: Author,
        turns: mpsc::Sender<RequestId>,
        metrics: Metrics,
        timings: ControllerTimings,
    ) -> Self {
        Self {
            slack,
            directory,
            author,
            call_permits: Semaphore::new(MAX_CONCURRENT_CALLS),
            queues: Mutex::new(ChannelQueues::new(timings.turns)),
            breaker: Mutex::new(ChannelBreaker::new(&timings)),
            channels: Mutex::new(ChannelStates::new(&timings)),
            log_once: SharedLogOnce::default(),
            next_in_queue: turns,
            send_ended: Notify::new(),
            metrics,
            timings,
        }
    }

    /// Refusing channels may accept messages now.
    pub(super) fn reset_breaker(&self) {
        *self.breaker() = ChannelBreaker::new(&self.timings);
    }

    /// Waits until a call could be made at once, so that the lease is not spent in a queue.
    pub(super) async fn wait_for_capacity(&self) {
        drop(self.call_permits.acquire().await.expect("the semaphore is never closed"));
    }

    /// Makes one call. `failures` counts the failures of this operation in a row.
    pub(super) async fn execute_step(
        &self,
        caller: &QueuedOperation,
        step: Step,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, Deferred> {
        let id = &caller.id;
        let (method, destination) = method_and_destination(&step);
        let _permit = self.call_permits.acquire().await.expect("the semaphore is never closed");
        if let Some(wait) = self.required_wait(caller, &step) {
            return Err(if wait.is_queued {
                Deferred::queued(wait.delay)
            } else {
                Deferred::not_attempted(wait.delay)
            });
        }
        if !lease.may_start_call() {
            return Err(Deferred::not_attempted(Duration::ZERO));
        }
        if method == Method::ChatPostMessage {
            let now = Instant::now();
            self.queues().begin(&destination, caller, now);
            self.queues().consume(&destination, now);
        }
        if failures > 0 {
            self.metrics.operation_retried();
        }
        let kept = message_of(&step);
        let (operation, outcome) = match step {
            Step::VerifyPost(search) => return self.verify_post(caller, &search, failures, lease).await,
            Step::Post { key, post_to, message, fallback: short, displayed: shown } => {
                let posted = self.post(id, &key, &post_to, [&message, &short], shown, lease).await;
                (SlackOperation::Post, posted)
            }
            Step::Update { channel, ts, message, fallback: short, displayed: shown, .. } => {
                let updated = self.update(id, (channel, ts), [&message, &short], shown, lease).await;
                (SlackOperation::Update, updated)
            }
            Step::Reply { channel, ts, message, replies } => {
                (SlackOperation::Reply, self.reply(id, channel, ts, &message, replies).await)
            }
            Step::Delete { channel, ts } => {
                (SlackOperation::Delete, self.delete(id, channel, ts).await.map_err(SendError::from))
            }
        };
        match outcome {
            Ok(outcome) => {
                self.metrics.operation_ended(operation, Ok(()));
                self.breaker().close(&log_scope(method, &destination));
                if let Some(suppressed) = self.log_once.clear(&log_scope(method, &destination)) {
                    match method {
                        Method::ChatUpdate => {
                            info!(%destination, suppressed, "Slack accepts edits to messages in this destination again")
                        }
                        _ => {
                            info!(%destination, suppressed, "Slack accepts messages for this destination again")
                        }
                    }
                }
                Ok(vec![outcome])
            }
            Err(SendError::LeaseExpired) => Err(Deferred::not_attempted(Duration::ZERO)),
            Err(SendError::Slack(error)) => {
                self.metrics.operation_ended(operation, Err(error.retry()));
                self.record_refusal(&destination, &error);
                if error.retry() == Retry::Never && error.affects() != Affects::Channel {
                    // The cause is the message, so the channel takes others.
                    self.breaker().close(&log_scope(method, &destination));
                }
                if let Some((channel, ts, _)) = kept.filter(|(.., is_last)| is_unreachable(&error, *is_last))
                {
                    self.log_unreachable(id, &destination, &ts, &error);
                    return Ok(vec![Outcome::Unreachable { channel, ts }]);
                }
                Err(self.on_error(caller, &destination, &error, failures))
            }
        }
    }

    async fn post(
        &self,
        id: &RequestId,
        key: &RecipientKey,
        channel: &str,
        [message, short]: [&Message; 2],
        shown: DisplayedState,
        lease: &Lease,
    ) -> Result<Outcome, SendError> {
        let metadata = Some(message_metadata(id, key));
        let post = |message| PostMessage { channel, message, thread_ts: None, metadata: metadata.clone() };
        let posted = match self.slack.post_message(post(message)).await {
            Err(error) if error.affects() == Affects::Layout => {
                self.allow_fallback(id, &error, lease)?;
                self.slack.post_message(post(short)).await?
            }
            posted => posted?,
        };
        info!(request = %id, recipient = %key, channel = %posted.channel, phase = ?shown.phase, "Posted the request");
        let slack_client::objects::Posted { channel, ts } = posted;
        Ok(Outcome::Posted { key: key.clone(), channel, ts, displayed: Some(shown) })
    }

    async fn update(
        &self,
        id: &RequestId,
        (channel, ts): (ChannelId, MessageTs),
        [message, short]: [&Message; 2],
        shown: DisplayedState,
        lease: &Lease,
    ) -> Result<Outcome, SendError> {
        match self.slack.update_message(&channel, &ts, message).await {
            Err(error) if error.affects() == Affects::Layout => {
                self.allow_fallback(id, &error, lease)?;
                self.slack.update_message(&channel, &ts, short).await?;
            }
            updated => updated?,
        }
        info!(request = %id, %channel, phase = ?shown.phase, "Updated the message");
        Ok(Outcome::Updated { channel, ts, displayed: shown })
    }

    async fn reply(
        &self,
        id: &RequestId,
        channel: ChannelId,
        ts: MessageTs,
        message: &Message,
        replies: RepliesPosted,
    ) -> Result<Outcome, SendError> {
        let metadata = Some(reply_metadata(id, replies));
        let post = PostMessage { channel: channel.as_str(), message, thread_ts: Some(&ts), metadata };
        match self.slack.post_message(post).await {
            // The record keeps only the number of replies, so the address does not matter.
            Err(error) if error.is_accepted() => {
                debug!(request = %id, %channel, "Slack took the reply: {error}");
            }
            posted => drop(posted?),
        }
        info!(request = %id, %channel, review = replies.count(), "Posted the review as a thread reply");
        Ok(Outcome::Replied { channel, ts, replies })
    }

    pub(super) async fn delete(
        &self,
        id: &RequestId,
        channel: ChannelId,
        ts: MessageTs,
    ) -> Result<Outcome, SlackError> {
        self.slack.delete_message(&channel, &ts).await?;
        self.metrics.duplicate_deleted(id, &channel);
        Ok(Outcome::Deleted { channel, ts })
    }

    /// Logs that Slack refuses the layout; the short message follows if the lease has time left.
    fn allow_fallback(&self, id: &RequestId, error: &SlackError, lease: &Lease) -> Result<(), SendError> {
        warn!(request = %id, "Slack refuses the message's blocks, so it is sent as plain text; please report this: {}", error.with_remedy(slack_setting));
        if lease.may_start_call() { Ok(()) } else { Err(SendError::LeaseExpired) }
    }

    /// Logs that a message cannot be updated: a deleted one each time, a cause that an operator can fix once a channel.
    fn log_unreachable(&self, id: &RequestId, destination: &str, ts: &MessageTs, error: &SlackError) {
        let is_deleted = is_unreachable(error, false);
        if is_deleted && error.method() == Method::ChatUpdate {
            info!(request = %id, %destination, %ts, "A user deleted the message, so it is not updated any more");
        } else if !is_deleted
            && self.log_once.should_log(&log_scope(error.method(), destination), &error.to_string())
        {
            error!(request = %id, %destination, %ts, "Cannot update the message any more: {}", error.with_remedy(slack_setting));
        } else {
            debug!(request = %id, %destination, %ts, "Cannot update the message any more: {error}");
        }
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, ChannelQueues> {
        self.queues.lock()
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, ChannelBreaker> {
        self.breaker.lock()
    }

    pub(super) fn channels(&self) -> MutexGuard<'_, ChannelStates> {
        self.channels.lock()
    }

    /// Remembers a certain refusal of a post.
    pub(super) fn record_refusal(&self, destination: &str, error: &SlackError) {
        let is_certain = error.retry() == Retry::Never && error.code().is_some();
        if error.method() == Method::ChatPostMessage && is_certain {
            self.channels().on_refused(destination);
        }
    }

    pub(super) fn on_error(
        &self,
        caller: &QueuedOperation,
        destination: &str,
        error: &SlackError,
        failures: u32,
    ) -> Deferred {
        let id = &caller.id;
        let is_unclear = error.is_ambiguous() && error.method() == Method::ChatPostMessage;
        if is_unclear {
            self.metrics.post_in_doubt();
        }
        let seed = fastrand::u64(..);
        let delay = match error.retry() {
            Retry::Backoff if is_unclear => self.timings.ambiguous.delay(failures + 1, seed),
            Retry::Backoff => self.timings.transient.delay(failures + 1, seed),
            Retry::After(delay) => {
                let now = Instant::now();
                // The queue is of posts: a wait for another method does not hold them up.
                let is_post = error.method() == Method::ChatPostMessage;
                if is_post && error.was_sent() {
                    self.queues().throttle(destination, caller, now + delay, now);
                } else if is_post {
                    // Slack's wait is about another channel.
                    self.queues().requeue(destination, caller, now + delay, true, now);
                }
                delay
            }
            Retry::NeedsOperator => self.timings.unauthorized.delay(failures + 1, seed),
            // Not Slack's word but that of something in between, which may be out of the way soon.
            Retry::Never if error.code().is_none() => self.timings.transient.delay(failures + 1, seed),
            Retry::Never if error.affects() == Affects::Channel => {
                let delay = |failures| self.timings.refused.delay(failures, seed);
                self.breaker().on_refused(&log_scope(error.method(), destination), Instant::now(), delay)
            }
            Retry::Never => self.timings.refused.delay(failures + 1, seed),
        };
        // One that may still arrive is not waited for.
        let is_over = !is_unclear || error.has_response();
        if error.retry() == Retry::Backoff && error.method() == Method::ChatPostMessage && is_over {
            let now = Instant::now();
            self.queues().on_failure(destination, caller, now + delay, now);
        }
        let again = seconds(delay);
        // The log says so of Slack as a whole.
        let is_away = error.is_unavailable() && self.metrics.outages().is_logged(Side::Slack);
        if !error.was_sent()
            || is_away
            || !self.log_once.should_log(&log_scope(error.method(), destination), &error.to_string())
        {
            debug!(request = %id, %destination, retry_in_s = again, "{}", error.with_remedy(slack_setting));
        } else if matches!(error.retry(), Retry::Never | Retry::NeedsOperator) {
            error!(request = %id, %destination, retry_in_s = again, "{}", error.with_remedy(slack_setting));
        } else if matches!(error.retry(), Retry::After(_)) {
            // The message comes later without an operator.
            info!(request = %id, %destination, retry_in_s = again, "{}", error.with_remedy(slack_setting));
        } else {
            warn!(request = %id, %destination, retry_in_s = again, "{}", error.with_remedy(slack_setting));
        }
        let effect = if is_unclear {
            let now = Timestamp::now();
            let final_at = if error.has_response() {
                now
            } else {
                now.saturating_add(self.timings.claim.in_doubt_after_timeout).unwrap_or(now)
            };
            Effect::Unknown {
                final_at,
                destination: destination.to_owned(),
                is_accepted: error.is_accepted(),
            }
        } else {
            Effect::NotApplied
        };
        Deferred { delay, is_failure: !matches!(error.retry(), Retry::After(_)), is_queued: false, effect }
    }
}

/// The method that a step begins with, and its destination.
pub(super) fn method_and_destination(step: &Step) -> (Method, String) {
    match step {
        Step::Post { post_to, .. } => (Method::ChatPostMessage, post_to.clone()),
        Step::Reply { channel, .. } => (Method::ChatPostMessage, channel.to_string()),
        Step::Update { channel, .. } => (Method::ChatUpdate, channel.to_string()),
        Step::Delete { channel, .. } => (Method::ChatDelete, channel.to_string()),
        Step::VerifyPost(HistoryQuery { in_doubt: doubt, .. }) => {
            let method = match doubt.operation {
                Operation::Post(_) => Method::ConversationsHistory,
                Operation::Update(..) | Operation::Reply(..) => Method::ConversationsReplies,
            };
            (method, doubt.destination.clone())
        }
    }
}

/// The scope of log lines: a channel that takes messages may still refuse edits.
pub(super) fn log_scope(method: Method, destination: &str) -> String {
    match method {
        Method::ChatUpdate => format!("edits in {destination}"),
        _ => destination.to_owned(),
    }
}

/// The message that the step updates, and whether this is its final state.
fn message_of(step: &Step) -> Option<(ChannelId, MessageTs, bool)> {
    match step {
        Step::Update { channel, ts, is_last, .. } => Some((channel.clone(), ts.clone(), *is_last)),
        Step::Reply { channel, ts, .. } => Some((channel.clone(), ts.clone(), false)),
        Step::Post { .. } | Step::VerifyPost(_) | Step::Delete { .. } => None,
    }
}

/// Whether the message can never be updated: it was deleted, or it may not be edited and the request is over, so retries
/// until the workspace's rules change make no sense.
fn is_unreachable(error: &SlackError, is_last: bool) -> bool {
    let is_refused = error.retry() == Retry::Never && error.affects() == Affects::Message;
    is_refused && (is_last || error.is_missing(Affects::Message))
}

#[cfg(test)]
mod tests;
