//! What tests and the demo page see of the workspace. All of it is copied out, nothing can be changed through it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::effects::{Effects, Formatting};
use super::message::Message;
use super::state::{Conversation, State};
use super::users::elements::{self, Button};
use super::views::OpenView;
use super::workspace::{ChannelKind, Posting, SlackUser, SlackUserKind, Team, UserGroup};

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

/// A message with the replies to it.
#[derive(Debug, Clone, Serialize)]
pub struct ThreadView {
    /// The message.
    #[serde(flatten)]
    pub message: MessageView,
    /// Its replies, oldest first.
    pub replies: Vec<MessageView>,
}

/// A user.
#[derive(Debug, Clone, Serialize)]
pub struct SlackUserView {
    /// `U…` or `W…`.
    pub id: String,
    /// The handle.
    pub name: String,
    /// The full name.
    pub real_name: String,
    /// The e-mail address, if there is one.
    pub email: Option<String>,
    /// What sort of account.
    pub kind: SlackUserKind,
    /// What only they see, oldest first; each says in which channel.
    pub ephemerals: Vec<MessageView>,
    /// The modals before them, the lowest first.
    pub views: Vec<OpenView>,
}

/// A channel or direct conversation with what was said in it.
#[derive(Debug, Clone, Serialize)]
pub struct ConversationView {
    /// `C…`, `G…` or `D…`.
    pub id: String,
    /// Empty for direct conversations.
    pub name: String,
    /// A public or private channel, or a direct message.
    pub kind: ChannelKind,
    /// Whether the conversation is archived.
    pub archived: bool,
    /// Shared with another organization.
    pub ext_shared: bool,
    /// Who may post.
    pub posting: Posting,
    /// User ids, sorted.
    pub members: Vec<String>,
    /// Whether the bot is one of them.
    pub bot_is_member: bool,
    /// Oldest first.
    pub messages: Vec<ThreadView>,
}

/// The whole workspace.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The team.
    pub team: Team,
    /// The bot's user id.
    pub bot_user_id: String,
    /// All users, by id.
    pub people: Vec<SlackUserView>,
    /// User groups, by id.
    pub groups: Vec<UserGroup>,
    /// Channels first, then direct conversations, by id.
    pub conversations: Vec<ConversationView>,
}

impl Snapshot {
    pub(super) fn of(state: &State) -> Self {
        let mut conversations: Vec<ConversationView> =
            state.conversations.values().map(|found| conversation_view(state, found)).collect();
        conversations
            .sort_by_key(|found| matches!(found.kind, ChannelKind::Direct | ChannelKind::GroupDirect));
        Snapshot {
            team: state.team.clone(),
            bot_user_id: state.bot.user_id.clone(),
            people: state.users.values().map(|who| user_view(state, who)).collect(),
            groups: state.groups.values().cloned().collect(),
            conversations,
        }
    }
}

fn user_view(state: &State, person: &SlackUser) -> SlackUserView {
    let ephemerals = state.ephemerals.of(&person.id);
    SlackUserView {
        ephemerals: ephemerals.map(|ephemeral| ephemeral.view(&state.bot.user_id)).collect(),
        views: state.views.stack(&person.id).iter().map(|view| OpenView::of(&person.id, view)).collect(),
        id: person.id.clone(),
        name: person.name.clone(),
        real_name: person.real_name.clone(),
        email: person.email.clone(),
        kind: person.kind.clone(),
    }
}

fn conversation_view(state: &State, found: &Conversation) -> ConversationView {
    let channel = &found.channel;
    let view = |message: &Message| MessageView::of(&channel.id, &state.bot.user_id, message);
    let mut messages: Vec<ThreadView> = Vec::new();
    for message in &found.messages {
        match message.thread_ts {
            None => messages.push(ThreadView { message: view(message), replies: Vec::new() }),
            Some(parent) => {
                let parent = parent.to_string();
                if let Ok(at) = messages.binary_search_by(|thread| thread.message.ts.cmp(&parent))
                    && let Some(thread) = messages.get_mut(at)
                {
                    thread.replies.push(view(message));
                }
            }
        }
    }
    ConversationView {
        id: channel.id.clone(),
        name: channel.name.clone(),
        kind: channel.kind,
        archived: channel.archived,
        ext_shared: channel.ext_shared,
        posting: channel.posting,
        members: channel.members.iter().cloned().collect(),
        bot_is_member: state.bot_is_in(channel),
        messages,
    }
}
