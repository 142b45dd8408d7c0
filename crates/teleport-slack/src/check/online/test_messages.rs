//! `--send-test`: a marked message to each recipient, removed at once.

use access_core::render::Message;
use access_core::render::mrkdwn::Mrkdwn;
use slack_client::PostMessage;
use slack_client::error::SlackError;

use super::failure::slack_failure;
use super::recipients::{RecipientState, Resolved};
use crate::check::report::{Item, ItemId};

/// Posts to each recipient that was found, and removes the message.
pub(super) async fn items(slack: &slack_client::Client, recipients: &[Resolved]) -> Vec<Item> {
    let mut text = Mrkdwn::default();
    text.trusted("This is a test of `teleport-slack check --send-test`. No user has to do anything; it is removed at once.");
    let message = Message::plain(text);
    let mut items = Vec::new();
    for resolved in recipients {
        let destination = match &resolved.finding {
            RecipientState::Channel(channel) => channel.id.as_str().to_owned(),
            RecipientState::Person(profile) => profile.id.as_str().to_owned(),
            RecipientState::Absent | RecipientState::MissingScope(_) | RecipientState::Failed(_) => continue,
        };
        let post = PostMessage { channel: &destination, message: &message, thread_ts: None, metadata: None };
        let item = match slack.post_message(post).await {
            Ok(posted) => removed_item(slack.delete_message(&posted.channel, &posted.ts).await),
            Err(error) => slack_failure(ItemId::SlackTestMessages, &error, true),
        };
        items.push(item.of(resolved.recipient.to_string()));
    }
    items
}

fn removed_item(outcome: Result<(), SlackError>) -> Item {
    const ID: ItemId = ItemId::SlackTestMessages;
    let Err(error) = outcome else { return Item::ok(ID, "a message arrived and was removed") };
    let mut item = slack_failure(ID, &error, true);
    item.summary = "a message arrived and is still there".to_owned();
    if let Some(problem) = &mut item.problem {
        // The daemon itself deletes nothing, so that nothing else is to be done.
        "delete it in Slack by hand".clone_into(&mut problem.remedy);
    }
    item
}
