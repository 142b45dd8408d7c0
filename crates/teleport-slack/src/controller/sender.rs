//! Applies single steps in Slack: at their turn (`send_turns`), and no more at a time than Slack takes.
//!
//! `access_core::plan` decides what to do, `send_errors` what follows from an error.

use std::time::Duration;

use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::domain::recipients::RecipientKey;
use access_core::plan::{HistoryQuery, Step};
use access_core::record::{DisplayedState, Operation, Outcome, RepliesPosted, user_behind};
use access_core::render::Message;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::app_refusals::AppRefusals;
use super::channel_breaker::ChannelBreaker;
use super::channel_outcomes::ChannelStates;
use super::channel_queue::{ChannelQueues, QueuedOperation};
use super::history_check::{message_metadata, reply_metadata};
use super::lease::Lease;
use super::retry_state::Deferred;
use super::timings::ControllerTimings;
use crate::config::slack_setting;
use crate::observe::log_once::SharedLogOnce;
use crate::observe::metrics::{Metrics, SlackOperation};
use slack_client::directory::Directory;
use slack_client::error::{Affects, SlackError};
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
    app_refusals: Mutex<AppRefusals>,
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

/// The message that a step updates.
pub(super) struct TargetMessage {
    pub(super) channel: ChannelId,
    pub(super) ts: MessageTs,
    /// Whether the step puts it into its final state.
    pub(super) is_last: bool,
}

impl TargetMessage {
    fn of(step: &Step) -> Option<Self> {
        let (channel, ts, is_last) = match step {
            Step::Update { channel, ts, is_last, .. } => (channel, ts, *is_last),
            Step::Reply { channel, ts, .. } => (channel, ts, false),
            Step::Post { .. } | Step::VerifyPost(_) | Step::Delete { .. } => return None,
        };
        Some(Self { channel: channel.clone(), ts: ts.clone(), is_last })
    }
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
            app_refusals: Mutex::default(),
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
        let (method, destination) = method_and_destination(&step);
        let _permit = self.call_permits.acquire().await.expect("the semaphore is never closed");
        self.check_turn(caller, &step, lease)?;
        if method == Method::ChatPostMessage {
            let now = Instant::now();
            self.queues().begin(&destination, caller, now);
            self.queues().consume(&destination, now);
        }
        if failures > 0 {
            self.metrics.operation_retried();
        }
        let target = TargetMessage::of(&step);
        let (operation, outcome) = match step {
            Step::VerifyPost(search) => return self.verify_post(caller, &search, failures, lease).await,
            Step::Post { key, post_to, message, fallback: short, displayed: shown } => {
                let posted = self.post(&caller.id, &key, &post_to, [&message, &short], shown, lease).await;
                (SlackOperation::Post, posted)
            }
            Step::Update { channel, ts, message, fallback: short, displayed: shown, .. } => {
                let updated = self.update(&caller.id, (channel, ts), [&message, &short], shown, lease).await;
                (SlackOperation::Update, updated)
            }
            Step::Reply { channel, ts, message, replies } => {
                (SlackOperation::Reply, self.reply(&caller.id, channel, ts, &message, replies).await)
            }
            Step::Delete { channel, ts } => {
                let deleted = self.delete(&caller.id, channel, ts).await;
                (SlackOperation::Delete, deleted.map_err(SendError::from))
            }
        };
        match outcome {
            Ok(outcome) => {
                self.metrics.operation_ended(operation, Ok(()));
                self.on_accepted(method, &destination);
                Ok(vec![outcome])
            }
            Err(SendError::LeaseExpired) => Err(Deferred::not_attempted(Duration::ZERO)),
            Err(SendError::Slack(error)) => {
                self.metrics.operation_ended(operation, Err(error.retry()));
                self.on_refused_step(caller, &destination, target, &error, failures)
            }
        }
    }

    /// Whether the call may be made now.
    fn check_turn(&self, caller: &QueuedOperation, step: &Step, lease: &Lease) -> Result<(), Deferred> {
        match self.required_wait(caller, step) {
            Some(wait) if wait.is_queued => Err(Deferred::queued(wait.delay)),
            Some(wait) => Err(Deferred::not_attempted(wait.delay)),
            None if !lease.may_start_call() => Err(Deferred::not_attempted(Duration::ZERO)),
            None => Ok(()),
        }
    }

    /// The destination takes such calls, perhaps again.
    fn on_accepted(&self, method: Method, destination: &str) {
        let scope = log_scope(method, destination);
        self.breaker().close(&scope);
        if self.app_refusals().on_accepted(method, destination) {
            info!("Slack takes {method} from the app again");
        }
        let Some(suppressed) = self.log_once.clear(&scope) else { return };
        if method == Method::ChatUpdate {
            info!(%destination, suppressed, "Slack accepts edits to messages in this destination again");
        } else {
            info!(%destination, suppressed, "Slack accepts messages for this destination again");
        }
    }

    async fn post(
        &self,
        id: &RequestId,
        key: &RecipientKey,
        destination: &str,
        [message, short]: [&Message; 2],
        shown: DisplayedState,
        lease: &Lease,
    ) -> Result<Outcome, SendError> {
        let metadata = Some(message_metadata(id, key));
        let post = |message| PostMessage {
            channel: destination,
            message,
            thread_ts: None,
            metadata: metadata.clone(),
        };
        let posted = match self.slack.post_message(post(message)).await {
            Err(error) if error.affects() == Affects::Layout => {
                self.allow_fallback(id, &error, lease)?;
                self.slack.post_message(post(short)).await?
            }
            posted => posted?,
        };
        let name = self.slack.known_name(&SlackUserId::new(destination));
        info!(request = %id, recipient = %key, name, channel = %posted.channel, phase = shown.phase.as_str(), "Posted the request");
        let slack_client::objects::Posted { channel, ts } = posted;
        let user = user_behind(destination, key);
        Ok(Outcome::Posted { key: key.clone(), channel, ts, displayed: Some(shown), user })
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
        info!(request = %id, %channel, phase = shown.phase.as_str(), "Updated the message");
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

    pub(super) fn queues(&self) -> MutexGuard<'_, ChannelQueues> {
        self.queues.lock()
    }

    pub(super) fn app_refusals(&self) -> MutexGuard<'_, AppRefusals> {
        self.app_refusals.lock()
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, ChannelBreaker> {
        self.breaker.lock()
    }

    pub(super) fn channels(&self) -> MutexGuard<'_, ChannelStates> {
        self.channels.lock()
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

#[cfg(test)]
mod tests;
