//! Replies to the user of an interaction, visible to that user only: at its response URL, else next to the message, else in
//! a direct message. If Slack does not answer, the reply is given as soon as it does (`late_replies`).

use std::sync::Arc;
use std::time::Duration;

use access_core::interaction::Sender;
use access_core::policy::refusal::Refusal;
use access_core::render::Message;
use access_core::render::ephemeral::refused;
use tokio::sync::mpsc;

use super::replies::{DirectReply, ReplyResult, reply_beside_message};
use slack_client::error::SlackError;
use slack_client::history::Author;

/// Sends replies to users.
#[derive(Clone, Debug)]
pub struct Responder {
    /// Makes the calls of Slack's Web API.
    pub slack: slack_client::Client,
    /// Whose messages are ours.
    pub author: Arc<Author>,
    /// A reply that Slack did not confirm is shown within this time, or never.
    pub settles: Duration,
    /// Replies that wait for Slack, and why.
    pub(crate) late: mpsc::Sender<(DirectReply, SlackError)>,
}

impl Responder {
    /// Replies with the reason why nothing was decided.
    pub(crate) async fn refuse(&self, sender: &Sender, refusal: &Refusal) {
        self.respond(sender, &refused(refusal)).await;
    }

    /// Replies once, in the first way that works. If none does because Slack does not answer, the reply waits for it.
    pub(crate) async fn respond(&self, sender: &Sender, message: &Message) {
        if reply_beside_message(&self.slack, sender, message).await {
            return;
        }
        // A reader of a public channel who is no member sees nothing there; the app's direct message remains.
        let mut reply = DirectReply::new(sender, message);
        match reply.send(&self.slack, &self.author, self.settles).await {
            ReplyResult::Sent => {}
            ReplyResult::Deferred(error) => {
                if let Err(refused) = self.late.try_send((reply, error)) {
                    let (reply, error) = refused.into_inner();
                    reply.log_failed(&self.slack, Some(&error));
                }
            }
            ReplyResult::Failed(error) => reply.log_failed(&self.slack, Some(&error)),
        }
    }
}
