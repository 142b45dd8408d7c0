//! Replies to the user of an interaction, visible to that user only: at its response URL, else next to the message, else in
//! a direct message.

use access_core::interaction::Sender;
use access_core::policy::refusal::Refusal;
use access_core::render::Message;
use access_core::render::ephemeral::refused;
use tracing::{debug, warn};

use crate::config::slack_setting;
use slack_client::error::SlackError;
use slack_client::{self, PostMessage};

/// Sends replies to users.
#[derive(Clone, Debug)]
pub struct Responder(slack_client::Client);

impl Responder {
    /// Replies with this client.
    pub fn new(slack: slack_client::Client) -> Self {
        Self(slack)
    }

    /// Replies with the reason why nothing was decided.
    pub(crate) async fn refuse(&self, sender: &Sender, refusal: &Refusal) {
        self.respond(sender, &refused(refusal)).await;
    }

    /// Replies once, in the first way that works. Logs it if none does.
    pub(crate) async fn respond(&self, sender: &Sender, message: &Message) {
        let user = &sender.user;
        if let Some(url) = &sender.response_url {
            match self.0.respond(url, message).await {
                Ok(()) => return,
                Err(error) => debug!(slack_user = %user, "Replying in another way: {error}"),
            }
        }
        if let Some(channel) = &sender.channel {
            match self.0.post_ephemeral(channel, user, message).await {
                Ok(()) => return,
                Err(error) => debug!(slack_user = %user, "Replying in another way: {error}"),
            }
        }
        // A reader of a public channel who is no member sees nothing there; the app's direct message remains.
        if let Err(error) = self.send_direct_message(sender, message).await {
            warn!(slack_user = %user, name = self.0.known_name(user), "Cannot reply to the Slack user: {}", error.with_remedy(slack_setting));
        }
    }

    async fn send_direct_message(&self, sender: &Sender, message: &Message) -> Result<(), SlackError> {
        let post = PostMessage { channel: sender.user.as_str(), message, thread_ts: None, metadata: None };
        self.0.post_message(post).await.map(drop)
    }
}
