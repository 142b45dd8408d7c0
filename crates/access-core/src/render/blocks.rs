//! Block Kit as data. Constructors keep Slack's limits, so that what exists can be sent.

use serde::Serialize;

/// A whole Slack message: blocks, and the plain `text` that notifications and screen readers use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The fallback: escaped mrkdwn, never empty, at most 4,000 characters.
    pub text: String,
    /// The blocks; empty for a plain text message.
    pub blocks: Vec<Block>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// A paragraph.
    Section {
        /// What it says.
        text: Text,
    },
    /// Small print.
    Context {
        /// 1 to 10 texts.
        elements: Vec<Text>,
    },
}

/// A text object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Text {
    /// Slack's markup, already escaped where it holds foreign text.
    Mrkdwn {
        /// 1 to 3,000 characters.
        text: String,
        /// Always true: nothing is linked that we did not link.
        verbatim: bool,
    },
}
