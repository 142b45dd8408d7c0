//! A message as tests and the demo page see it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::effects::{Effects, Formatting};
use super::message::Message;
use super::users::elements::{self, Button};

/// A message, as sent.
#[derive(Debug, Clone, Serialize)]
pub struct MessageView {
    /// The channel's id.
    pub channel: String,
    /// The message's name within the channel.
    pub ts: String,
    /// The head of its thread, for replies.
    pub thread_ts: Option<String>,
    /// The author's user id.
    pub author: String,
    /// Whether the app under test wrote it.
    pub from_bot: bool,
    /// Empty if none was sent.
    pub text: String,
    /// Whether the text was cut at 40,000 characters.
    pub truncated: bool,
    /// The blocks, verbatim; empty if none were sent.
    pub blocks: Vec<Value>,
    /// The attachments, verbatim.
    pub attachments: Vec<Value>,
    /// The whole metadata.
    pub metadata: Option<Value>,
    /// How the text is to be treated.
    pub formatting: Formatting,
    /// The argument `unfurl_links`, if it was sent.
    pub unfurl_links: Option<bool>,
    /// The argument `unfurl_media`, if it was sent.
    pub unfurl_media: Option<bool>,
    /// Whether a reply also shows in the channel.
    pub reply_broadcast: bool,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// How often it was edited.
    pub edits: u32,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// Whether users see "(edited)".
    pub marked_edited: bool,
    /// A deleted message that its thread keeps in place.
    pub tombstone: bool,
    /// The buttons in its blocks, with the ids of blocks that Slack made up where none were sent.
    pub buttons: Vec<Button>,
}

impl MessageView {
    pub(super) fn of(channel: &str, bot: &str, message: &Message) -> Self {
        MessageView {
            channel: channel.to_owned(),
            ts: message.ts.to_string(),
            thread_ts: message.thread_ts.map(|ts| ts.to_string()),
            author: message.user.clone(),
            from_bot: message.user == bot,
            text: message.text.clone(),
            truncated: message.truncated,
            blocks: message.blocks.clone(),
            attachments: message.attachments.clone(),
            metadata: message.metadata.clone(),
            formatting: message.formatting.clone(),
            unfurl_links: message.unfurl_links,
            unfurl_media: message.unfurl_media,
            reply_broadcast: message.reply_broadcast,
            posted_at: message.posted_at,
            edits: message.edits,
            edited_at: message.edited_at,
            marked_edited: message.marked_edited,
            tombstone: message.tombstone,
            buttons: elements::buttons(&message.blocks_with_ids()),
        }
    }

    /// Which users the message mentions, what it links and which dates it shows.
    pub fn effects(&self) -> Effects {
        Effects::of(&self.text, &self.formatting, &self.blocks, &self.attachments)
    }
}
