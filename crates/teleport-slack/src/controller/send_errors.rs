//! What follows from an error of Slack: when the operation comes again, what the channel's queue does meanwhile, what is
//! logged, and whether the message may be there.

use std::time::Duration;

use access_core::domain::error_chain::seconds;
use access_core::domain::ids::{MessageTs, RequestId};
use access_core::record::Outcome;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::app_refusals::RefusalNews;
use super::channel_queue::QueuedOperation;
use super::retry_state::{Deferred, Effect};
use super::sender::{SlackSender, TargetMessage, log_scope};
use crate::config::slack_setting;
use crate::observe::skew::Side;
use slack_client::error::{Affects, Retry, SlackError};
use slack_client::method::Method;

impl SlackSender {
    /// Slack did not do the step that `caller` began. `target`: the message that it was to update.
    pub(super) fn on_refused_step(
        &self,
        caller: &QueuedOperation,
        destination: &str,
        target: Option<TargetMessage>,
        error: &SlackError,
        failures: u32,
    ) -> Result<Vec<Outcome>, Deferred> {
        self.record_refusal(destination, error);
        if error.retry() == Retry::Never && error.affects() != Affects::Channel {
            // The cause is the message, so the channel takes others.
            self.breaker().close(&log_scope(error.method(), destination));
        }
        match target.filter(|target| is_unreachable(error, target.is_last)) {
            Some(TargetMessage { channel, ts, .. }) => {
                self.log_unreachable(&caller.id, destination, &ts, error);
                Ok(vec![Outcome::Unreachable { channel, ts }])
            }
            None => Err(self.on_error(caller, destination, error, failures)),
        }
    }

    /// Remembers a certain refusal of a post.
    pub(super) fn record_refusal(&self, destination: &str, error: &SlackError) {
        let is_certain = error.retry() == Retry::Never && error.code().is_some();
        if error.method() == Method::ChatPostMessage && is_certain {
            self.channels().on_refused(destination);
        }
    }

    /// The operation comes again.
    pub(super) fn on_error(
        &self,
        caller: &QueuedOperation,
        destination: &str,
        error: &SlackError,
        failures: u32,
    ) -> Deferred {
        let effect = self.effect(destination, error);
        let delay = self.retry_delay(destination, error, failures);
        if error.method() == Method::ChatPostMessage {
            self.requeue_post(caller, destination, error, delay);
        }
        self.log_retry(&caller.id, destination, error, failures, delay);
        Deferred { delay, is_failure: !matches!(error.retry(), Retry::After(_)), is_queued: false, effect }
    }

    /// Whether the message may be there.
    fn effect(&self, destination: &str, error: &SlackError) -> Effect {
        if !is_in_doubt(error) {
            return Effect::NotApplied;
        }
        self.metrics.post_in_doubt();
        let now = Timestamp::now();
        // With an answer, the message is there or will never be.
        let wait = self.timings.claim.in_doubt_after_timeout;
        let final_at = if error.has_response() { now } else { now.saturating_add(wait).unwrap_or(now) };
        Effect::Unknown { final_at, destination: destination.to_owned(), is_accepted: error.is_accepted() }
    }

    /// When the operation comes again.
    fn retry_delay(&self, destination: &str, error: &SlackError, failures: u32) -> Duration {
        let seed = fastrand::u64(..);
        match error.retry() {
            Retry::Backoff if is_in_doubt(error) => self.timings.ambiguous.delay(failures + 1, seed),
            Retry::Backoff => self.timings.transient.delay(failures + 1, seed),
            Retry::After(delay) => delay,
            Retry::NeedsOperator => self.timings.unauthorized.delay(failures + 1, seed),
            // Not Slack's word but that of something in between, which may be out of the way soon.
            Retry::Never if error.code().is_none() => self.timings.transient.delay(failures + 1, seed),
            Retry::Never if error.affects() == Affects::Channel => {
                let delay = |failures| self.timings.refused.delay(failures, seed);
                self.breaker().on_refused(&log_scope(error.method(), destination), Instant::now(), delay)
            }
            Retry::Never => self.timings.refused.delay(failures + 1, seed),
        }
    }

    /// What a failed post means for those that wait behind it. The queue is of posts: a wait for another method does not hold
    /// them up.
    fn requeue_post(&self, caller: &QueuedOperation, destination: &str, error: &SlackError, delay: Duration) {
        let now = Instant::now();
        let due = now + delay;
        match error.retry() {
            Retry::After(_) if error.was_sent() => self.queues().throttle(destination, caller, due, now),
            // Slack's wait is about another channel.
            Retry::After(_) => self.queues().requeue(destination, caller, due, true, now),
            // One that may still arrive is not waited for.
            Retry::Backoff if !is_in_doubt(error) || error.has_response() => {
                self.queues().on_failure(destination, caller, due, now);
            }
            Retry::Backoff | Retry::NeedsOperator | Retry::Never => {}
        }
    }

    /// Logs each cause once for a destination, louder the less it ends by itself.
    fn log_retry(
        &self,
        id: &RequestId,
        destination: &str,
        error: &SlackError,
        failures: u32,
        delay: Duration,
    ) {
        let retry_in_s = seconds(delay);
        let about = error.about(destination);
        let text = about.with_remedy(slack_setting);
        let news = error
            .refuses_app()
            .then(|| self.app_refusals().on_refused(error.method(), &error.class(), destination));
        // The log says so of Slack as a whole.
        let is_of_side = || match news {
            Some(news) => news == RefusalNews::Logged,
            None => {
                let covers = || self.metrics.outages().covers(Side::Slack, failures);
                error.refuses_token() || error.is_unavailable() && covers()
            }
        };
        let is_news = error.was_sent()
            && !is_of_side()
            && (news == Some(RefusalNews::App)
                || self.log_once.should_log(&log_scope(error.method(), destination), &error.class()));
        match error.retry() {
            _ if is_news && news == Some(RefusalNews::App) => {
                error!(retry_in_s, "Slack refuses this to the app, for any destination: {text}");
            }
            _ if !is_news => debug!(request = %id, %destination, retry_in_s, "{text}"),
            Retry::Never | Retry::NeedsOperator => error!(request = %id, %destination, retry_in_s, "{text}"),
            // The message comes later without an operator.
            Retry::After(_) => info!(request = %id, %destination, retry_in_s, "{text}"),
            Retry::Backoff => warn!(request = %id, %destination, retry_in_s, "{text}"),
        }
    }

    /// Logs that a message cannot be updated: a deleted one each time, a cause that an operator can fix once a channel.
    fn log_unreachable(&self, id: &RequestId, destination: &str, ts: &MessageTs, error: &SlackError) {
        let is_deleted = is_unreachable(error, false);
        if is_deleted && error.method() == Method::ChatUpdate {
            info!(request = %id, %destination, %ts, "A user deleted the message, so it is not updated any more");
        } else if !is_deleted
            && self.log_once.should_log(&log_scope(error.method(), destination), &error.to_string())
        {
            error!(request = %id, %destination, %ts, "Cannot update the message any more: {}", error.about(destination).with_remedy(slack_setting));
        } else {
            debug!(request = %id, %destination, %ts, "Cannot update the message any more: {error}");
        }
    }
}

/// Whether a post may be there although the call failed.
fn is_in_doubt(error: &SlackError) -> bool {
    error.is_ambiguous() && error.method() == Method::ChatPostMessage
}

/// Whether the message can never be updated: it was deleted, or it may not be edited and the request is over, so retries
/// until the workspace's rules change make no sense.
pub(super) fn is_unreachable(error: &SlackError, is_last: bool) -> bool {
    let is_refused = error.retry() == Retry::Never && error.affects() == Affects::Message;
    is_refused && (is_last || error.is_missing(Affects::Message))
}
