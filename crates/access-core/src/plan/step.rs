//! The calls to Slack that a plan consists of.

use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::recipients::RecipientKey;
use crate::record::claim::InDoubtPost;
use crate::record::{DisplayedState, RepliesPosted};
use crate::render::Message;

/// One call to Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Post a new message.
    Post {
        /// The recipient, as the record names it.
        key: RecipientKey,
        /// The `channel` argument: a channel's id or name, or a person's id.
        post_to: String,
        /// What Slack is to show.
        message: Message,
        /// The same without blocks, should Slack refuse them.
        fallback: Message,
        /// What it then shows.
        displayed: DisplayedState,
    },
    /// Edit a posted message.
    Update {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// What it is to say.
        message: Message,
        /// The same without blocks, should Slack refuse them.
        fallback: Message,
        /// What it then shows.
        displayed: DisplayedState,
        /// Whether the request is over, so that a refusal is not worth another try.
        is_last: bool,
    },
    /// Post a review or a vote in a message's thread.
    Reply {
        /// Where the message is.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// What the reply says.
        message: Message,
        /// How many the thread then shows.
        replies: RepliesPosted,
    },
    /// Look in the channel history for a post without a recorded outcome.
    VerifyPost(HistoryQuery),
    /// Delete a duplicate: its recipient has another message.
    Delete {
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
    },
}

/// What to look for in the channel history: a post without a recorded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The post whose outcome is not recorded.
    pub in_doubt: InDoubtPost,
    /// Whether to post it if it is not there.
    pub is_wanted: bool,
    /// Messages that are known to be others, where they are.
    pub known_messages: Vec<(ChannelId, MessageTs)>,
    /// Of a thread: the replies that it lacks as far as is known, and how many each makes.
    pub missing_replies: Vec<(Message, RepliesPosted)>,
}

impl Step {
    /// Where the step posts something new, if it does.
    pub(super) fn posts_to(&self) -> Option<&str> {
        match self {
            Self::Post { post_to, .. } => Some(post_to),
            Self::Reply { channel, .. } => Some(channel.as_str()),
            Self::Update { .. } | Self::VerifyPost(_) | Self::Delete { .. } => None,
        }
    }
}
