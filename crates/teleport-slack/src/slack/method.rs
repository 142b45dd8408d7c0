//! The Web API methods this daemon calls: a closed list, so that it can label metrics.

use std::fmt;

/// One Web API method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `auth.test`: whose token is this.
    AuthTest,
    /// `chat.postMessage`: a new message or reply.
    ChatPostMessage,
    /// `chat.update`: a message shown anew.
    ChatUpdate,
    /// `users.lookupByEmail`: a person by e-mail.
    UsersLookupByEmail,
    /// `users.info`: a person by id.
    UsersInfo,
    /// `conversations.info`: a channel by id.
    ConversationsInfo,
}

impl Method {
    /// Slack's name of it, which is also the last part of its URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthTest => "auth.test",
            Self::ChatPostMessage => "chat.postMessage",
            Self::ChatUpdate => "chat.update",
            Self::UsersLookupByEmail => "users.lookupByEmail",
            Self::UsersInfo => "users.info",
            Self::ConversationsInfo => "conversations.info",
        }
    }

    /// Whether a call changes something in Slack, so that a lost answer leaves a doubt.
    pub fn writes(self) -> bool {
        match self {
            Self::ChatPostMessage | Self::ChatUpdate => true,
            Self::AuthTest | Self::UsersLookupByEmail | Self::UsersInfo | Self::ConversationsInfo => false,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
