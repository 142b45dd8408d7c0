//! Identifiers, one type each, so that a channel is never taken for a request.
//!
//! They are opaque: the text is whatever Teleport or Slack said, unchecked and of any length.

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
