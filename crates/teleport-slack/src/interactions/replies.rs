//! The ways to reply to one user: at the response URL, in the channel, in a direct message.

use std::collections::BTreeMap;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::interaction::Sender;
use access_core::render::Message;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::config::slack_setting;
use slack_client::error::{Retry, SlackError};
use slack_client::history::{Author, MessageTag, Window};
use slack_client::{Metadata, PostMessage};

/// The metadata by which a reply is found again in the direct messages.
const EVENT_TYPE: &str = "teleport_access_reply";
const CLICK: &str = "click";

/// A reply in a direct message.
#[derive(Debug)]
pub(crate) struct DirectReply {
    pub(super) sender: Sender,
    pub(super) message: Message,
    /// Distinguishes it from the other replies to this user.
    click: String,
    pub(super) began: (Timestamp, Instant),
    /// Slack may have shown it although it did not say so: from when on that is final.
    pub(super) in_doubt: Option<Instant>,
}

/// What became of a reply.
pub(crate) enum ReplyResult {
    Sent,
    /// Slack does not answer, so it comes later.
    Deferred(SlackError),
    /// It never will.
    Failed(SlackError),
}

impl DirectReply {
    pub(crate) fn new(sender: &Sender, message: &Message) -> Self {
        let click = format!("{:016x}", fastrand::u64(..));
        let began = (Timestamp::now(), Instant::now());
        Self { sender: sender.clone(), message: message.clone(), click, began, in_doubt: None }
    }

    /// Posts it, unless it is there already.
    pub(crate) async fn send(
        &mut self,
        slack: &slack_client::Client,
        author: &Author,
        settles: Duration,
    ) -> ReplyResult {
        if self.in_doubt.is_some() {
            match self.is_there(slack, author).await {
                Ok(true) => return ReplyResult::Sent,
                Ok(false) => self.in_doubt = None,
                Err(error) if is_passing(&error) => return ReplyResult::Deferred(error),
                // A second copy is worse than none: the message shows what counts.
                Err(error) => return ReplyResult::Failed(error),
            }
        }
        let metadata = Metadata {
            event_type: EVENT_TYPE.to_owned(),
            payload: BTreeMap::from([(CLICK.to_owned(), self.click.clone())]),
        };
        let (channel, message) = (self.sender.user.as_str(), &self.message);
        let post = PostMessage { channel, message, thread_ts: None, metadata: Some(metadata) };
        match slack.post_message(post).await {
            Ok(_) => ReplyResult::Sent,
            Err(error) if error.is_accepted() => ReplyResult::Sent,
            Err(error) if is_passing(&error) => {
                if error.is_ambiguous() {
                    let wait = if error.has_response() { Duration::ZERO } else { settles };
                    self.in_doubt = Some(Instant::now() + wait);
                }
                ReplyResult::Deferred(error)
            }
            Err(error) => ReplyResult::Failed(error),
        }
    }

    async fn is_there(&self, slack: &slack_client::Client, author: &Author) -> Result<bool, SlackError> {
        let channel = slack.open_direct_message(&self.sender.user).await?;
        let (from, until) = (self.began.0, Timestamp::now());
        let window = Window { channel: &channel, thread: None, from, until };
        let own = slack.own_messages(author, EVENT_TYPE, window).await?;
        Ok(own.iter().any(|own| match &own.tag {
            MessageTag::Metadata(metadata) => metadata.get(CLICK) == Some(&self.click),
            MessageTag::Content { .. } => false,
        }))
    }

    /// Replies in another way. Returns whether that works.
    pub(super) async fn is_shown_beside_message(&self, slack: &slack_client::Client) -> bool {
        reply_beside_message(slack, &self.sender, &self.message).await
    }

    fn request(&self) -> &str {
        self.sender.request.as_ref().map_or("", RequestId::as_str)
    }

    pub(super) fn log_sent(&self) {
        let (slack_user, waited) = (&self.sender.user, self.began.1.elapsed().as_secs());
        info!(%slack_user, request = self.request(), "The Slack user has the reply, which waited {waited} s for Slack");
    }

    /// Logs that the user gets no reply.
    pub(crate) fn log_failed(&self, slack: &slack_client::Client, error: Option<&SlackError>) {
        let (slack_user, request) = (&self.sender.user, self.request());
        let name = slack.known_name(slack_user);
        let again = doubt(self.in_doubt.is_some(), error);
        match error {
            Some(error) => {
                let cause = error.with_remedy(slack_setting);
                warn!(%slack_user, name, request, "Cannot reply to the Slack user: {cause}{again}");
            }
            None => {
                warn!(%slack_user, name, request, "Cannot reply to the Slack user before the stop{again}")
            }
        }
    }
}

/// What is to be added of a reply that Slack may have shown: nothing if the error of the last call says so already.
fn doubt(is_in_doubt: bool, error: Option<&SlackError>) -> &'static str {
    match is_in_doubt && !error.is_some_and(SlackError::is_ambiguous) {
        true => "; Slack may have shown the reply all the same",
        false => "",
    }
}

/// Whether the same call may succeed within minutes.
fn is_passing(error: &SlackError) -> bool {
    error.refuses_token() || matches!(error.retry(), Retry::Backoff | Retry::After(_))
}

/// Replies at the response URL, else in the channel. Returns whether one of them works.
pub(super) async fn reply_beside_message(
    slack: &slack_client::Client,
    sender: &Sender,
    message: &Message,
) -> bool {
    let user = &sender.user;
    if let Some(url) = &sender.response_url {
        match slack.respond(url, message).await {
            Ok(()) => return true,
            Err(error) => debug!(slack_user = %user, "Replying in another way: {error}"),
        }
    }
    if let Some(channel) = &sender.channel {
        match slack.post_ephemeral(channel, user, message).await {
            Ok(()) => return true,
            Err(error) => debug!(slack_user = %user, "Replying in another way: {error}"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use slack_client::method::Method;

    #[test]
    fn that_slack_may_have_shown_a_reply_is_said_once() {
        let error = |code| SlackError::api_error(Method::ChatPostMessage, code);
        for (is_in_doubt, error, is_said_twice) in [
            (true, None, false),
            (true, Some(error("channel_not_found")), false),
            (true, Some(error("internal_error")), true),
            (false, Some(error("channel_not_found")), true),
            (false, None, true),
        ] {
            assert_eq!(
                doubt(is_in_doubt, error.as_ref()).is_empty(),
                is_said_twice,
                "{is_in_doubt} {error:?}"
            );
        }
    }
}
