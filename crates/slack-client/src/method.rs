//! The Web API methods that this client calls: a closed list, so that it can label metrics.

use std::fmt;
use std::time::Duration;

use super::timings::CallTimings;

/// One Web API method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `auth.test`: whose token is this.
    AuthTest,
    /// `chat.postMessage`: a new message or reply.
    ChatPostMessage,
    /// `chat.update`: a message replaced.
    ChatUpdate,
    /// `chat.delete`: deletes a message.
    ChatDelete,
    /// `conversations.history`: what was posted in a conversation.
    ConversationsHistory,
    /// `conversations.replies`: what was posted in a thread.
    ConversationsReplies,
    /// `conversations.open`: the direct message with a person.
    ConversationsOpen,
    /// `conversations.list`: the channels there are.
    ConversationsList,
    /// `users.lookupByEmail`: a person by e-mail.
    UsersLookupByEmail,
    /// `users.info`: a person by id.
    UsersInfo,
    /// `conversations.info`: a channel by id.
    ConversationsInfo,
    /// `views.open`: a modal for the person who pressed a button.
    ViewsOpen,
    /// `chat.postEphemeral`: a message that one person sees.
    ChatPostEphemeral,
    /// An answer to a button press, sent to the address that came with it. Not a method of the Web API: it has no name
    /// there and takes no token.
    Respond,
    /// `usergroups.users.list`: the members of a user group.
    UsergroupsUsersList,
    /// `bots.info`: which app the bot belongs to.
    BotsInfo,
    /// `apps.connections.open`: an address for a Socket Mode connection.
    AppsConnectionsOpen,
    /// `blocks.validate`: whether Slack would show a layout.
    BlocksValidate,
    /// `chat.getPermalink`: the address of a message.
    ChatGetPermalink,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::AuthTest,
        Self::ChatPostMessage,
        Self::ChatUpdate,
        Self::ChatDelete,
        Self::ConversationsHistory,
        Self::ConversationsReplies,
        Self::ConversationsOpen,
        Self::ConversationsList,
        Self::UsersLookupByEmail,
        Self::UsersInfo,
        Self::ConversationsInfo,
        Self::ViewsOpen,
        Self::ChatPostEphemeral,
        Self::Respond,
        Self::UsergroupsUsersList,
        Self::BotsInfo,
        Self::AppsConnectionsOpen,
        Self::BlocksValidate,
        Self::ChatGetPermalink,
    ];

    /// Slack's name of it, which is also the last part of its URL (except for [`Method::Respond`]).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthTest => "auth.test",
            Self::ChatPostMessage => "chat.postMessage",
            Self::ChatUpdate => "chat.update",
            Self::ChatDelete => "chat.delete",
            Self::ConversationsHistory => "conversations.history",
            Self::ConversationsReplies => "conversations.replies",
            Self::ConversationsOpen => "conversations.open",
            Self::ConversationsList => "conversations.list",
            Self::UsersLookupByEmail => "users.lookupByEmail",
            Self::UsersInfo => "users.info",
            Self::ConversationsInfo => "conversations.info",
            Self::ViewsOpen => "views.open",
            Self::ChatPostEphemeral => "chat.postEphemeral",
            Self::Respond => "response_url",
            Self::UsergroupsUsersList => "usergroups.users.list",
            Self::BotsInfo => "bots.info",
            Self::AppsConnectionsOpen => "apps.connections.open",
            Self::BlocksValidate => "blocks.validate",
            Self::ChatGetPermalink => "chat.getPermalink",
        }
    }

    /// The scopes of which the token needs one for a call, by Slack's documents; empty if it needs none. Of several, the
    /// kind of the channel decides. That of `apps.connections.open` is one of the app-level token.
    pub fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::AuthTest
            | Self::ViewsOpen
            | Self::Respond
            | Self::BlocksValidate
            | Self::ChatGetPermalink => &[],
            Self::ChatPostMessage | Self::ChatUpdate | Self::ChatDelete | Self::ChatPostEphemeral => {
                &["chat:write"]
            }
            Self::ConversationsHistory | Self::ConversationsReplies => {
                &["channels:history", "groups:history", "im:history", "mpim:history"]
            }
            Self::ConversationsOpen => &["im:write"],
            // Public channels are listed.
            Self::ConversationsList => &["channels:read"],
            Self::ConversationsInfo => &["channels:read", "groups:read", "im:read", "mpim:read"],
            Self::UsersLookupByEmail => &["users:read.email"],
            Self::UsersInfo | Self::BotsInfo => &["users:read"],
            Self::UsergroupsUsersList => &["usergroups:read"],
            Self::AppsConnectionsOpen => &["connections:write"],
        }
    }

    /// Whether a call changes something in Slack, so that a lost answer leaves its outcome unknown.
    pub fn writes(self) -> bool {
        match self {
            Self::ChatPostMessage
            | Self::ChatUpdate
            | Self::ChatDelete
            | Self::ViewsOpen
            | Self::ChatPostEphemeral
            | Self::Respond => true,
            Self::AuthTest
            | Self::UsersLookupByEmail
            | Self::UsersInfo
            | Self::BotsInfo
            | Self::ConversationsInfo
            | Self::ConversationsHistory
            | Self::ConversationsReplies
            | Self::ConversationsOpen
            | Self::ConversationsList
            | Self::UsergroupsUsersList
            | Self::AppsConnectionsOpen
            | Self::BlocksValidate
            | Self::ChatGetPermalink => false,
        }
    }

    /// The most a call may take.
    pub(super) fn timeout(self, timings: &CallTimings) -> Duration {
        let limit = match self {
            Self::ViewsOpen => timings.modal,
            Self::ChatPostEphemeral
            | Self::Respond
            | Self::UsergroupsUsersList
            | Self::AppsConnectionsOpen => timings.prompt,
            Self::ChatPostMessage | Self::ChatUpdate | Self::ChatDelete => timings.message,
            Self::AuthTest
            | Self::UsersLookupByEmail
            | Self::UsersInfo
            | Self::BotsInfo
            | Self::ConversationsInfo
            | Self::ConversationsHistory
            | Self::ConversationsReplies
            | Self::ConversationsOpen
            | Self::ConversationsList
            | Self::BlocksValidate
            | Self::ChatGetPermalink => timings.call,
        };
        limit.min(timings.call)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
