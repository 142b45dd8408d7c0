//! A reply to one user, and the ways to give it: at the response URL, in the channel, in a direct message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::interaction::Sender;
use access_core::policy::CurrentState;
use access_core::render::Message;
use access_core::render::late::{Answer, Click};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::command::DecisionCommand;
use crate::config::slack_setting;
use slack_client::error::{Retry, SlackError};
use slack_client::history::{Author, MessageTag, Window};
use slack_client::{Metadata, PostMessage};

/// The metadata by which a reply is found again in the direct messages.
const EVENT_TYPE: &str = "teleport_access_reply";
const CLICK: &str = "click";

/// A reply to a click.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(super) sender: Sender,
    pub(super) answer: Answer,
    /// What the user asked for, if that was read.
    pub(super) command: Option<Arc<DecisionCommand>>,
    /// Distinguishes it from the other replies to this user.
    pub(super) click: String,
    pub(super) began: (Timestamp, Instant),
    /// Slack may have shown it in the direct messages although it did not say so: from when on that is final.
    pub(super) in_doubt: Option<Instant>,
    /// Slack may have shown it beside the message, where nothing can be looked for.
    may_be_shown: bool,
}

/// What became of a reply.
pub(crate) enum ReplyResult {
    Sent,
    /// Slack does not answer, so it comes later.
    Deferred(SlackError),
    /// It never will.
    Failed(SlackError),
}

impl Reply {
    pub(crate) fn new(sender: &Sender, answer: Answer, command: Option<DecisionCommand>) -> Self {
        Self {
            sender: sender.clone(),
            answer,
            command: command.map(Arc::new),
            click: format!("{:016x}", fastrand::u64(..)),
            began: (Timestamp::now(), Instant::now()),
            in_doubt: None,
            may_be_shown: false,
        }
    }

    /// Whether it is to the same user, about the same request.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (&self.sender.user, &self.sender.request) == (&other.sender.user, &other.sender.request)
    }

    /// What it says. `state`: how the request stands by now, if the reply is late.
    fn message(&self, state: Option<&CurrentState>) -> Message {
        let (request, may_be_answered) = (self.sender.request.as_ref(), self.may_be_shown);
        let click = Click { request, at: self.began.0, may_be_answered };
        match state {
            // The user must be able to distinguish it from an answer to another click.
            None if self.may_be_shown => self.answer.message_later(click, &CurrentState::Unread),
            None => self.answer.message(),
            Some(state) => self.answer.message_later(click, state),
        }
    }

    /// Gives it at the response URL, else in the channel. Returns whether one of them works.
    pub(super) async fn show_beside_message(
        &mut self,
        slack: &slack_client::Client,
        state: Option<&CurrentState>,
    ) -> bool {
        if let Some(url) = self.sender.response_url.clone() {
            match slack.respond(&url, &self.message(state)).await {
                Ok(()) => return true,
                Err(error) => self.note_failed(&error),
            }
        }
        if let Some(channel) = self.sender.channel.clone() {
            match slack.post_ephemeral(&channel, &self.sender.user, &self.message(state)).await {
                Ok(()) => return true,
                Err(error) => self.note_failed(&error),
            }
        }
        false
    }

    fn note_failed(&mut self, error: &SlackError) {
        self.may_be_shown |= error.is_ambiguous();
        debug!(slack_user = %self.sender.user, "Replying in another way: {error}");
    }

    /// Gives it in a direct message, unless it is there already.
    pub(crate) async fn send(
        &mut self,
        slack: &slack_client::Client,
        author: &Author,
        settles: Duration,
        state: Option<&CurrentState>,
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
        let (channel, message) = (self.sender.user.as_str(), &self.message(state));
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

    pub(super) fn request(&self) -> &str {
        self.sender.request.as_ref().map_or("", RequestId::as_str)
    }

    pub(super) fn log_sent(&self) {
        let (slack_user, waited) = (&self.sender.user, self.began.1.elapsed().as_secs());
        info!(%slack_user, request = self.request(), "The Slack user has the reply, which waited {waited} s for Slack");
    }

    /// Logs that the user gets no reply, because of this error.
    pub(crate) fn log_failed(&self, slack: &slack_client::Client, error: &SlackError) {
        self.log_given_up(slack, &format!(": {}", error.with_remedy(slack_setting)));
    }

    /// Logs that the user gets no reply. `why` follows the words at once.
    pub(super) fn log_given_up(&self, slack: &slack_client::Client, why: &str) {
        let (slack_user, request) = (&self.sender.user, self.request());
        let name = slack.known_name(slack_user);
        let again = doubt(self.in_doubt.is_some() || self.may_be_shown, why);
        warn!(%slack_user, name, request, "Cannot reply to the Slack user{why}{again}");
    }
}

/// What is to be added of a reply that Slack may have shown: nothing if the error of the last call says so already.
fn doubt(may_be_shown: bool, why: &str) -> &'static str {
    const ALL_THE_SAME: &str = "; Slack may have shown the reply all the same";
    match may_be_shown && !why.contains("; Slack may have ") {
        true => ALL_THE_SAME,
        false => "",
    }
}

/// Whether the same call may succeed within minutes.
fn is_passing(error: &SlackError) -> bool {
    error.refuses_token() || matches!(error.retry(), Retry::Backoff | Retry::After(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use slack_client::method::Method;

    #[test]
    fn that_slack_may_have_shown_a_reply_is_said_once() {
        let said = |code| SlackError::api_error(Method::ChatPostMessage, code).to_string();
        for (may_be_shown, why, is_added) in [
            (true, String::new(), true),
            (true, said("channel_not_found"), true),
            (true, said("internal_error"), false),
            (false, said("channel_not_found"), false),
            (false, String::new(), false),
        ] {
            assert_eq!(!doubt(may_be_shown, &why).is_empty(), is_added, "{may_be_shown} {why}");
        }
    }
}
