//! Tells one person what became of what they did, and nobody else: at the address that came with it, else beside the
//! message, else in a direct message.

use access_core::interaction::Sender;
use access_core::policy::refusal::Refusal;
use access_core::render::Message;
use access_core::render::ephemeral::refused;
use tracing::{debug, warn};

use crate::slack::error::SlackError;
use crate::slack::{self, PostMessage};
use access_core::domain::secret::Secret;

/// The ways to a person.
#[derive(Clone, Debug)]
pub struct Responder(slack::Client);

impl Responder {
    /// Through this client.
    pub fn new(slack: slack::Client) -> Self {
        Self(slack)
    }

    /// Says why nothing was decided.
    pub(crate) async fn refuse(&self, sender: &Sender, refusal: &Refusal) {
        self.respond(sender, &refused(refusal)).await;
    }

    /// Says it once, by the first way that leads to the person. That none did is for the log.
    pub(crate) async fn respond(&self, sender: &Sender, message: &Message) {
        let user = &sender.user;
        if let Some(url) = &sender.response_url {
            match self.0.respond(&Secret::new(url.as_str()), message).await {
                Ok(()) => return,
                Err(error) => debug!(slack_user = %user, "Answering another way: {error}"),
            }
        }
        if let Some(channel) = &sender.channel {
            match self.0.post_ephemeral(channel, user, message).await {
                Ok(()) => return,
                Err(error) => debug!(slack_user = %user, "Answering another way: {error}"),
            }
        }
        // Who reads a public channel without being in it sees nothing there; the app's direct message remains.
        if let Err(error) = self.send_direct_message(sender, message).await {
            warn!(slack_user = %user, "The person could not be answered: {}", error.with_remedy());
        }
    }

    async fn send_direct_message(&self, sender: &Sender, message: &Message) -> Result<(), SlackError> {
        let post = PostMessage { channel: sender.user.as_str(), message, thread_ts: None, metadata: None };
        self.0.post_message(post).await.map(drop)
    }
}
