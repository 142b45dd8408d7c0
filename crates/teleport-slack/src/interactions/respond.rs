//! Replies to the user of an interaction, visible to that user only: at its response URL, else next to the message, else in
//! a direct message. If Slack does not answer, the reply is given as soon as it does (`late_replies`).

use std::sync::Arc;
use std::time::Duration;

use access_core::interaction::Sender;
use access_core::policy::refusal::Refusal;
use access_core::render::late::Answer;

use super::command::DecisionCommand;
use super::replies::{Reply, ReplyResult};
use super::waiting_replies::WaitingReplies;
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
    /// Replies that wait for Slack.
    pub(crate) waiting: Arc<WaitingReplies>,
}

impl Responder {
    /// Replies with the reason why nothing was decided.
    pub(crate) async fn refuse(&self, sender: &Sender, refusal: &Refusal) {
        self.respond(sender, Answer::Refused(refusal.clone()), None).await;
    }

    /// Replies once, in the first way that works. If none does because Slack does not answer, the reply waits for it.
    /// `command`: what the user asked for, if that was read.
    pub(crate) async fn respond(&self, sender: &Sender, answer: Answer, command: Option<DecisionCommand>) {
        let mut reply = Reply::new(sender, answer, command);
        // A reader of a public channel who is no member sees nothing there; the app's direct message remains.
        let result = match reply.show_beside_message(&self.slack, None).await {
            true => ReplyResult::Sent,
            false => reply.send(&self.slack, &self.author, self.settles, None).await,
        };
        match result {
            ReplyResult::Sent => self.waiting.replied(&reply),
            ReplyResult::Deferred(error) => self.waiting.add(reply, error),
            ReplyResult::Failed(error) => reply.log_failed(&self.slack, &error),
        }
    }
}
