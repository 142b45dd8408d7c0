//! A stored message, and how the Web API shows it.
//!
//! What was sent is kept as sent; `to_api` tidies it as Slack does, so that a client which compares
//! Slack's answer with what it sent is found out. Views for tests and the page are in `snapshot.rs`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::effects::Formatting;
use super::mrkdwn;
use super::ts::Ts;
use super::workspace::{Bot, Team};

/// A message as stored.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) ts: Ts,
    pub(super) thread_ts: Option<Ts>,
    /// The author's user id.
    pub(super) user: String,
    pub(super) text: String,
    /// Whether `text` was cut because it was too long.
    pub(super) truncated: bool,
    pub(super) blocks: Vec<Value>,
    pub(super) attachments: Vec<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) formatting: Formatting,
    pub(super) unfurl_links: Option<bool>,
    pub(super) unfurl_media: Option<bool>,
    pub(super) reply_broadcast: bool,
    pub(super) posted_at: Timestamp,
    /// On the clock that tests can pause, for the edit window.
    pub(super) posted: Instant,
    pub(super) edits: u32,
    pub(super) edited_at: Option<Timestamp>,
    /// Whether users see "(edited)": only after updates without blocks.
    pub(super) marked_edited: bool,
    /// A deleted message that stays as the head of its thread.
    pub(super) tombstone: bool,
}

/// What the API says of a thread in its first message.
pub(super) struct ThreadSummary {
    pub(super) replies: usize,
    pub(super) repliers: Vec<String>,
    pub(super) latest: Option<Ts>,
}

impl Message {
    /// The message as the Web API shows it. The payload of its metadata appears only on request.
    pub(super) fn to_api(&self, team: &Team, bot: &Bot, with_payload: bool) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("type", json!("message"));
        put("ts", json!(self.ts));
        put("team", json!(team.id));
        if let Some(thread) = self.thread_ts {
            put("thread_ts", json!(thread));
        }
        if self.tombstone {
            put("subtype", json!("tombstone"));
            put("user", json!(super::workspace::SLACKBOT));
            put("text", json!("This message was deleted."));
            return fields;
        }
        put("user", json!(self.user));
        put("text", json!(self.visible_text()));
        if self.user == bot.user_id {
            put("bot_id", json!(bot.bot_id));
            put("app_id", json!(bot.app_id));
            put("bot_profile", bot_profile(team, bot));
        }
        if self.reply_broadcast {
            put("subtype", json!("thread_broadcast"));
        }
        if !self.blocks.is_empty() {
            put("blocks", Value::Array(self.blocks_with_ids()));
        }
        if !self.attachments.is_empty() {
            put("attachments", Value::Array(self.attachments.clone()));
        }
        if let Some(metadata) = &self.metadata {
            let shown = if with_payload {
                metadata.clone()
            } else {
                json!({ "event_type": metadata.get("event_type") })
            };
            put("metadata", shown);
        }
        if let (true, Some(at)) = (self.marked_edited, self.edited_at) {
            put("edited", json!({ "user": self.user, "ts": Ts::after(None, at) }));
        }
        fields
    }

    /// The blocks with a `block_id` for each that was sent without one, as Slack adds them.
    pub(super) fn blocks_with_ids(&self) -> Vec<Value> {
        let mut blocks = self.blocks.clone();
        for (index, block) in blocks.iter_mut().enumerate() {
            if let Some(block) = block.as_object_mut() {
                block
                    .entry("block_id")
                    .or_insert_with(|| json!(format!("b{}.{}.{index}", self.ts, self.edits)));
            }
        }
        blocks
    }

    /// The text Slack gives back: bare links wrapped, and made from the blocks where none was sent.
    fn visible_text(&self) -> String {
        if self.text.is_empty() {
            let mut parts = Vec::new();
            collect_text(&Value::Array(self.blocks.clone()), &mut parts);
            return parts.join(" ");
        }
        if self.formatting.parse.as_deref() == Some("none") {
            return self.text.clone();
        }
        mrkdwn::wrap_links(&self.text)
    }
}

impl ThreadSummary {
    pub(super) fn add_to(&self, parent: Ts, fields: &mut Map<String, Value>) {
        fields.insert("thread_ts".to_owned(), json!(parent));
        fields.insert("reply_count".to_owned(), json!(self.replies));
        fields.insert("reply_users".to_owned(), json!(self.repliers));
        fields.insert("reply_users_count".to_owned(), json!(self.repliers.len()));
        fields.insert("latest_reply".to_owned(), json!(self.latest));
        fields.insert("is_locked".to_owned(), json!(false));
        fields.insert("subscribed".to_owned(), json!(false));
    }
}

fn bot_profile(team: &Team, bot: &Bot) -> Value {
    json!({
        "id": bot.bot_id,
        "app_id": bot.app_id,
        "user_id": bot.user_id,
        "name": bot.name,
        "team_id": team.id,
        "deleted": false,
        "icons": {},
        "updated": 0,
    })
}

/// The readable text in blocks, in order.
fn collect_text(value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_text(item, parts)),
        Value::Object(fields) => {
            for (name, inner) in fields {
                match (name.as_str(), inner) {
                    ("text", Value::String(text)) => parts.push(text.clone()),
                    (_, Value::Array(_) | Value::Object(_)) => collect_text(inner, parts),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}
