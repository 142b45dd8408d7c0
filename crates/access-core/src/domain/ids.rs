//! Identifiers, one type each, so that a channel is never taken for a request.
//!
//! They are opaque: the text is whatever Teleport or Slack said, unchecked and of any length. What Slack sends
//! in an interaction is held to [`is_id_charset`] before it becomes one.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it came.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as it came.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An access request's name in Teleport (a UUID today; treated as opaque).
    RequestId
}
id! {
    /// A Slack conversation as Slack answered it: `C…`, `G…` or `D…`.
    ChannelId
}
id! {
    /// A Slack message's `ts`, unique within its channel.
    MessageTs
}
id! {
    /// A Slack person: `U…` or `W…`.
    SlackUserId
}

/// The longest id that is taken as one word, in bytes. Teleport's and Slack's are shorter.
pub const MAX_ID_LEN: usize = 64;

impl RequestId {
    /// The id, if a shell, an address and a button take it as the one word that it is. Teleport's are UUIDs.
    pub fn as_token(&self) -> Option<&str> {
        let id = self.as_str();
        let is_word = id.len() <= MAX_ID_LEN
            && id.starts_with(|c: char| c.is_ascii_alphanumeric())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_word.then_some(id)
    }
}

/// Whether this has the characters and the length of an id or a `ts` of Slack's.
pub fn is_id_charset(text: &str) -> bool {
    (1..=MAX_ID_LEN).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
