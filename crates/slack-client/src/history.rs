//! Finds our own messages again, to learn what became of an unconfirmed post, and deletes them.
//!
//! This needs scopes that posting does not: `channels:history`, `groups:history` or `im:history`, and `im:write` for
//! direct messages. Without them the post stays unconfirmed. The caller decides when to look.

use std::collections::{BTreeMap, BTreeSet};

use access_core::domain::ids::{ChannelId, MessageTs, SlackUserId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Client;
use super::error::{Affects, SlackError};
use super::method::Method;
use super::objects::{self, AuthTest, Conversation};
use super::wire::{self, Fields};

/// Slack's clock and ours may differ by this much.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Messages a page; Slack asks for no more than 200.
const PAGE_SIZE: &str = "200";
/// Pages read at most: far more than a channel holds of a quarter of an hour.
const MAX_PAGES: usize = 20;
/// Channels a page, the most that Slack gives; nearly 20,000 are looked through for a name.
const CHANNELS_PAGE_SIZE: &str = "999";

/// Whose messages are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    user: SlackUserId,
    bot: Option<String>,
}

impl From<&AuthTest> for Author {
    fn from(auth: &AuthTest) -> Self {
        Self { user: auth.user_id.clone(), bot: auth.bot_id.clone() }
    }
}

impl Author {
    fn is_author_of(&self, message: &Fields) -> bool {
        let is = |key: &str, id: &str| message.get(key).and_then(Value::as_str) == Some(id);
        match &self.bot {
            Some(bot) => is("bot_id", bot),
            None => is("user", self.user.as_str()),
        }
    }
}

/// Where to look, and for messages of which time.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The conversation's id: `C…`, `G…` or `D…`.
    pub channel: &'a ChannelId,
    /// The thread in it; `None` for the conversation itself.
    pub thread: Option<&'a MessageTs>,
    /// Not earlier than this, by our clock.
    pub from: Timestamp,
    /// Not later than this, by our clock.
    pub until: Timestamp,
}

/// A message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMessage {
    /// The message's `ts`, its id within the conversation.
    pub ts: MessageTs,
    /// Whether it is a reply in a thread.
    pub is_reply: bool,
    /// What it is for.
    pub tag: MessageTag,
}

/// What a message of ours is for, as far as Slack shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageTag {
    /// The payload of the mark that it was posted with, as far as it is text.
    Metadata(BTreeMap<String, String>),
    /// It has no metadata (any more): its text, and the texts in its blocks.
    Content {
        /// Beside the blocks, or instead of them.
        text: String,
        /// In the blocks, one by one.
        blocks: Vec<String>,
    },
}

impl Client {
    /// Our own messages with a mark of this type or without metadata (`conversations.history`,
    /// `conversations.replies`), oldest first. Needs `channels:history`, `groups:history` or `im:history`, and the bot
    /// in the channel.
    pub async fn own_messages(
        &self,
        author: &Author,
        event_type: &str,
        window: Window<'_>,
    ) -> Result<Vec<OwnMessage>, SlackError> {
        let method =
            if window.thread.is_some() { Method::ConversationsReplies } else { Method::ConversationsHistory };
        let seconds = |at: Timestamp| format!("{}.000000", at.as_second());
        let (oldest, latest) = (
            seconds(window.from.saturating_sub(MAX_CLOCK_SKEW).unwrap_or(window.from)),
            seconds(window.until.saturating_add(MAX_CLOCK_SKEW).unwrap_or(window.until)),
        );
        let mut fixed = vec![
            ("channel", window.channel.as_str()),
            ("oldest", &oldest),
            ("latest", &latest),
            ("limit", PAGE_SIZE),
            ("include_all_metadata", "true"),
        ];
        fixed.extend(window.thread.map(|ts| ("ts", ts.as_str())));
        let mut found = Vec::new();
        self.for_each_page(method, &fixed, |page| {
            let messages = page.get("messages").and_then(Value::as_array).into_iter().flatten();
            let ours = messages.filter_map(Value::as_object).filter(|message| author.is_author_of(message));
            found.extend(ours.filter_map(|message| parse_own_message(message, event_type)));
            true
        })
        .await?;
        found.sort_by(|a, b| a.ts.cmp(&b.ts));
        Ok(found)
    }

    /// The direct message with a person (`conversations.open`). Needs `im:write`.
    pub async fn open_direct_message(&self, user: &SlackUserId) -> Result<ChannelId, SlackError> {
        let method = Method::ConversationsOpen;
        let fields = self.json(method, &serde_json::json!({ "users": user })).await?;
        let channel = fields.get("channel").and_then(Value::as_object).map(objects::conversation_id);
        let channel = channel.unwrap_or_else(|| Err(wire::missing_field("channel")));
        channel.map_err(|failure| SlackError::new(method, failure))
    }

    /// The public channels of these names, without `#`, archived or not (`conversations.list`). Needs `channels:read`,
    /// and many calls where there are many channels.
    pub async fn channels_by_name(&self, names: &BTreeSet<String>) -> Result<Vec<Conversation>, SlackError> {
        let fixed = [("types", "public_channel"), ("limit", CHANNELS_PAGE_SIZE)];
        let mut found: Vec<Conversation> = Vec::new();
        self.for_each_page(Method::ConversationsList, &fixed, |page| {
            let channels = page.get("channels").and_then(Value::as_array).into_iter().flatten();
            let channels = channels.filter_map(Value::as_object);
            let channels = channels.filter_map(|channel| objects::conversation_fields(channel).ok());
            found.extend(channels.filter(|channel| names.contains(&channel.name)));
            found.len() < names.len()
        })
        .await?;
        Ok(found)
    }

    /// Deletes a message of ours (`chat.delete`). One that is not there any more counts as deleted.
    pub async fn delete_message(&self, channel: &ChannelId, ts: &MessageTs) -> Result<(), SlackError> {
        let body = serde_json::json!({ "channel": channel, "ts": ts });
        match self.json(Method::ChatDelete, &body).await {
            Err(error) if !error.is_missing(Affects::Message) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads page after page until `next` has seen enough or there is no more.
    async fn for_each_page(
        &self,
        method: Method,
        fixed: &[(&str, &str)],
        mut next: impl FnMut(&Fields) -> bool,
    ) -> Result<(), SlackError> {
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let mut pairs = fixed.to_vec();
            if !cursor.is_empty() {
                pairs.push(("cursor", &cursor));
            }
            let page = self.read(method, &pairs).await?;
            if !next(&page) {
                return Ok(());
            }
            cursor = objects::next_cursor(&page);
            if cursor.is_empty() {
                return Ok(());
            }
        }
        Err(SlackError::new(method, wire::missing_field("end of its pages")))
    }
}

/// A message of ours, unless its metadata is another program's.
pub fn parse_own_message(message: &Fields, event_type: &str) -> Option<OwnMessage> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = message.get("metadata").and_then(Value::as_object).filter(|metadata| !metadata.is_empty());
    let sign = match metadata {
        Some(metadata) if metadata.get("event_type")?.as_str()? == event_type => {
            let payload = metadata.get("event_payload")?.as_object()?;
            MessageTag::Metadata(
                payload.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect(),
            )
        }
        Some(_) => return None,
        None => {
            let mut blocks = Vec::new();
            collect_block_texts(message.get("blocks").unwrap_or(&Value::Null), &mut blocks);
            MessageTag::Content { text: message.get("text").and_then(text).unwrap_or_default(), blocks }
        }
    };
    let ts = objects::message_ts(message).ok()?;
    let thread = message.get("thread_ts").and_then(Value::as_str);
    let is_reply = thread.is_some_and(|thread| thread != ts.as_str());
    Some(OwnMessage { ts, is_reply, tag: sign })
}

/// Every `text` in blocks that is text, however deep; JSON that was read is not deep.
fn collect_block_texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_block_texts(value, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "text" => found.push(text.clone()),
                    _ => collect_block_texts(value, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn only_our_own_marked_messages_count() {
        let ours = Author { user: SlackUserId::new("U0BOT"), bot: Some("B0US".into()) };
        assert!(ours.is_author_of(&message(json!({"bot_id": "B0US", "user": "U0BOT"}))));
        assert!(!ours.is_author_of(&message(json!({"bot_id": "B0OTHER", "user": "U0BOT"}))));
        assert!(!ours.is_author_of(&message(json!({"user": "U0BOT"}))));
        assert!(!ours.is_author_of(&message(json!({"bot_id": ["B0US"]}))));
        let by_user = Author { bot: None, ..ours };
        assert!(by_user.is_author_of(&message(json!({"user": "U0BOT"}))));
        assert!(!by_user.is_author_of(&message(json!({"user": "U0ALICE"}))));
    }

    #[test]
    fn metadata_of_any_shape_is_read_or_ignored() {
        let mark =
            json!({"event_type": "t", "event_payload": {"request_id": "r", "n": 7, "deep": {"a": "b"}}});
        let found = parse_own_message(&message(json!({"ts": "1.2", "metadata": mark})), "t").unwrap();
        let payload = BTreeMap::from([("request_id".to_owned(), "r".to_owned())]);
        assert_eq!(
            found,
            OwnMessage { ts: MessageTs::new("1.2"), is_reply: false, tag: MessageTag::Metadata(payload) }
        );
        for bad in [
            json!({"ts": "1.2", "metadata": {"event_type": "other", "event_payload": {}}}),
            json!({"ts": "1.2", "metadata": {"event_type": "t"}}),
            json!({"ts": "1.2", "metadata": {"event_type": 7}}),
            json!({"ts": "1,2", "metadata": mark}),
            json!({"ts": "ts", "metadata": mark}),
            json!({"ts": 7, "metadata": mark}),
        ] {
            assert_eq!(parse_own_message(&message(bad), "t"), None);
        }
    }

    #[test]
    fn a_message_without_metadata_is_known_by_its_text() {
        for metadata in [json!(null), json!({}), json!("t")] {
            let blocks = json!([
                {"type": "section", "text": {"type": "mrkdwn", "text": "one"}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "two"}, {"text": 7}]},
            ]);
            let found = parse_own_message(
                &message(
                    json!({"ts": "1.2", "thread_ts": "1.1", "text": "all", "blocks": blocks, "metadata": metadata}),
                ),
                "t",
            );
            let blocks = vec!["one".to_owned(), "two".to_owned()];
            let tag = MessageTag::Content { text: "all".into(), blocks };
            assert_eq!(found, Some(OwnMessage { ts: MessageTs::new("1.2"), is_reply: true, tag }));
        }
        let head = parse_own_message(&message(json!({"ts": "1.2", "thread_ts": "1.2"})), "t").unwrap();
        assert!(!head.is_reply, "the head of a thread is no reply");
    }
}
