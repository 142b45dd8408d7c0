//! What a message does to the users who see it: which users it notifies, what it links, which dates it shows.
//!
//! For tests that say "no user was mentioned and nothing was linked except …", whatever an external user wrote into a
//! request. The reading of mrkdwn itself is in `mrkdwn.rs`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::mrkdwn::{self, Automatic};

/// How Slack was asked to treat the top-level text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Formatting {
    /// `none` switches off automatic links, `full` makes names into mentions.
    pub parse: Option<String>,
    /// Whether names of user groups become mentions.
    pub link_names: Option<bool>,
    /// Whether the text is marked up at all.
    pub mrkdwn: Option<bool>,
}

/// Everything found in one message, in reading order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Effects {
    /// `channel`, `here` or `everyone`.
    pub broadcasts: Vec<String>,
    /// User ids.
    pub users: Vec<String>,
    /// User group ids.
    pub usergroups: Vec<String>,
    /// Channel ids, or `#name` where Slack would find the name by itself.
    pub channels: Vec<String>,
    /// Links, images and buttons that open a page.
    pub links: Vec<Link>,
    /// Dates shown in the reader's zone.
    pub dates: Vec<Date>,
    /// Angle brackets that mean nothing to Slack: text that should have been escaped.
    pub unrecognized: Vec<String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The address that the link leads to.
    pub url: String,
    /// What users read instead, if anything; it can lie.
    pub label: Option<String>,
    /// How it came to be one.
    pub kind: LinkKind,
}

impl Link {
    pub(super) fn new(url: &str, label: Option<&str>, kind: LinkKind) -> Self {
        Link { url: url.to_owned(), label: label.map(str::to_owned), kind }
    }
}

/// How a link came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// The sender wrote it as a link.
    Written,
    /// Slack found it in the text by itself.
    Automatic,
    /// A button or menu entry.
    Button,
    /// An image that is fetched.
    Image,
}

/// A date that each reader sees in their own zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Date {
    /// Seconds since 1970.
    pub timestamp: i64,
    /// Slack's token string.
    pub format: String,
    /// What old clients show.
    pub fallback: Option<String>,
}

impl Effects {
    /// Whether no user would be notified or named.
    pub fn mentions_no_user(&self) -> bool {
        self.broadcasts.is_empty() && self.users.is_empty() && self.usergroups.is_empty()
    }

    /// The effects of a message with this text, these blocks and attachments.
    pub fn of(text: &str, formatting: &Formatting, blocks: &[Value], attachments: &[Value]) -> Self {
        let mut effects = Effects::default();
        let parse = formatting.parse.as_deref();
        let names = parse == Some("full") || formatting.link_names == Some(true);
        mrkdwn::read(text, Automatic { urls: parse != Some("none"), names }, &mut effects);
        blocks.iter().for_each(|block| collect(block, &mut effects));
        attachments.iter().for_each(|attachment| walk_attachment(attachment, &mut effects));
        effects
    }
}

/// Walks any part of Block Kit; `type` says what an object is.
fn collect(value: &Value, effects: &mut Effects) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, effects)),
        Value::Object(fields) => walk_object(fields, effects),
        _ => {}
    }
}

fn walk_object(fields: &Map<String, Value>, effects: &mut Effects) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or_default();
    match kind {
        "plain_text" => return,
        "mrkdwn" => {
            // Without `verbatim`, Slack links addresses and names in the text of blocks.
            let automatic = fields.get("verbatim").and_then(Value::as_bool) != Some(true);
            let automatic = Automatic { urls: automatic, names: automatic };
            mrkdwn::read(text("text").unwrap_or_default(), automatic, effects);
            return;
        }
        "markdown" => {
            let automatic = Automatic { urls: true, names: true };
            mrkdwn::read(text("text").unwrap_or_default(), automatic, effects);
            return;
        }
        "user" => effects.users.extend(text("user_id").map(str::to_owned)),
        "usergroup" => effects.usergroups.extend(text("usergroup_id").map(str::to_owned)),
        "channel" => effects.channels.extend(text("channel_id").map(str::to_owned)),
        "broadcast" => effects.broadcasts.extend(text("range").map(str::to_owned)),
        "link" => {
            effects.links.extend(text("url").map(|url| Link::new(url, text("text"), LinkKind::Written)))
        }
        "date" => {
            if let Some(timestamp) = fields.get("timestamp").and_then(Value::as_i64) {
                effects.dates.push(Date {
                    timestamp,
                    format: text("format").unwrap_or_default().to_owned(),
                    fallback: text("fallback").map(str::to_owned),
                });
            }
            effects.links.extend(text("url").map(|url| Link::new(url, text("fallback"), LinkKind::Written)));
        }
        "image" => effects
            .links
            .extend(text("image_url").map(|url| Link::new(url, text("alt_text"), LinkKind::Image))),
        // Buttons, and the options of a menu, which have no type.
        "button" | "" => {
            let label = fields.get("text").and_then(|text| text.get("text")).and_then(Value::as_str);
            effects.links.extend(text("url").map(|url| Link::new(url, label, LinkKind::Button)));
        }
        _ => {}
    }
    fields.values().for_each(|inner| collect(inner, effects));
}

/// Attachments are an older format with looser rules; every text in them is taken for mrkdwn.
fn walk_attachment(value: &Value, effects: &mut Effects) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk_attachment(item, effects)),
        Value::Object(fields) => {
            for (name, inner) in fields {
                match (name.as_str(), inner) {
                    ("blocks", blocks) => collect(blocks, effects),
                    (name, Value::String(url)) if name.ends_with("_link") || name.ends_with("_url") => {
                        effects.links.push(Link::new(url, None, LinkKind::Written));
                    }
                    (_, Value::String(text)) => {
                        mrkdwn::read(text, Automatic { urls: true, names: true }, effects);
                    }
                    (_, inner) => walk_attachment(inner, effects),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
