//! Block Kit as data. What can be built is within Slack's limits, so what exists can be sent.
//!
//! The wording is in [`super::request_message`] and its neighbors; text and its escaping in [`super::mrkdwn`]; what can be
//! pressed or filled in, in [`super::elements`].

use std::fmt::Write;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use sha2::{Digest, Sha256};

use super::elements::{Actions, Button, Input};
use super::mrkdwn::{EMPTY, Mrkdwn};

const MAX_BLOCKS: usize = 50;
const MAX_CONTEXT_ELEMENTS: usize = 10;

/// A whole Slack message: blocks, and the plain `text` that notifications and screen readers use.
///
/// Serializes to the `text` and `blocks` arguments of `chat.postMessage` and `chat.update`. `blocks` is sent
/// even when empty: without it an update would leave the old blocks in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    text: Mrkdwn,
    blocks: Vec<Block>,
}

impl Message {
    /// A message of blocks (the first 50) with its fallback text.
    pub fn new(text: Mrkdwn, mut blocks: Vec<Block>) -> Self {
        blocks.truncate(MAX_BLOCKS);
        Self { text: not_empty(text), blocks }
    }

    /// A message without blocks.
    pub fn plain(text: Mrkdwn) -> Self {
        Self::new(text, Vec::new())
    }

    /// The fallback: escaped, never empty, at most 3,000 UTF-16 units.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// The same as markup.
    pub(super) fn markup(&self) -> &Mrkdwn {
        &self.text
    }

    /// The blocks; empty for a plain message.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What distinguishes one content from another: 16 hexadecimal digits of the SHA-256 of the JSON.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("texts and lists always serialize");
        Sha256::digest(&json).iter().take(8).fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes any text");
            hex
        })
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Message", 2)?;
        object.serialize_field("text", self.text.as_str())?;
        object.serialize_field("blocks", &self.blocks)?;
        object.end()
    }
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// A paragraph.
    Section(Section),
    /// Small print.
    Context(Context),
    /// A row of buttons.
    Actions(Actions),
    /// A field to fill in; in modals only.
    Input(Input),
}

/// A paragraph of 1 to 3,000 UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Section {
    text: Mrkdwn,
}

/// One to ten short texts, set small and side by side.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Context {
    elements: Vec<Mrkdwn>,
}

impl Block {
    /// A paragraph; a dash if `text` is empty.
    pub fn section(text: Mrkdwn) -> Self {
        Self::Section(Section { text: not_empty(text) })
    }

    /// Small print: the first ten texts that are not empty; a dash if there is none.
    pub fn context(elements: Vec<Mrkdwn>) -> Self {
        let mut elements: Vec<_> =
            elements.into_iter().filter(|text| !text.is_empty()).take(MAX_CONTEXT_ELEMENTS).collect();
        if elements.is_empty() {
            elements.push(not_empty(Mrkdwn::default()));
        }
        Self::Context(Context { elements })
    }

    /// A row of the first 25 buttons; `None` without any.
    pub fn actions(buttons: Vec<Button>) -> Option<Self> {
        Actions::new(buttons).map(Self::Actions)
    }
}

fn not_empty(mut text: Mrkdwn) -> Mrkdwn {
    if text.is_empty() {
        text.trusted(EMPTY);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(words: &'static str) -> Mrkdwn {
        let mut text = Mrkdwn::default();
        text.trusted(words);
        text
    }

    #[test]
    fn a_message_serializes_as_slack_expects() {
        let message = Message::new(
            text_of("fallback"),
            vec![Block::section(text_of("*hello*")), Block::context(vec![text_of("a"), text_of("b")])],
        );
        insta::assert_snapshot!(serde_json::to_string(&message).unwrap(), @r#"{"text":"fallback","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*hello*","verbatim":true}},{"type":"context","elements":[{"type":"mrkdwn","text":"a","verbatim":true},{"type":"mrkdwn","text":"b","verbatim":true}]}]}"#);
    }

    #[test]
    fn a_plain_message_clears_earlier_blocks() {
        insta::assert_snapshot!(serde_json::to_string(&Message::plain(text_of("hi"))).unwrap(), @r#"{"text":"hi","blocks":[]}"#);
    }

    #[test]
    fn no_block_is_empty_and_no_list_is_too_long() {
        let none =
            Message::new(Mrkdwn::default(), vec![Block::section(Mrkdwn::default()), Block::context(vec![])]);
        insta::assert_snapshot!(serde_json::to_string(&none).unwrap(), @r#"{"text":"—","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"—","verbatim":true}},{"type":"context","elements":[{"type":"mrkdwn","text":"—","verbatim":true}]}]}"#);

        let many = Message::new(text_of("x"), vec![Block::context(vec![text_of("y"); 11]); 51]);
        assert_eq!(many.blocks().len(), 50);
        let Block::Context(context) = &many.blocks()[0] else { panic!("a context went in") };
        assert_eq!(context.elements.len(), 10);
    }

    #[test]
    fn digest_follows_content() {
        let message = Message::plain(text_of("hi"));
        assert_eq!(message.digest(), message.clone().digest());
        assert_eq!(message.digest().len(), 16);
        assert!(message.digest().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(message.digest(), Message::plain(text_of("ho")).digest());
        assert_ne!(
            message.digest(),
            Message::new(text_of("hi"), vec![Block::section(text_of("hi"))]).digest()
        );
    }
}
