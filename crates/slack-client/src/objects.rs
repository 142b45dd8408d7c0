//! What Slack answers, as this daemon sees it: the token's identity, a posted message, people, conversations.
//!
//! Slack adds, retypes and leaves out fields between workspaces and over time, so every reader takes what is
//! readable and insists only on ids. Where a field speaks against trusting a user, an unreadable value counts
//! as set.

use std::collections::BTreeSet;

use access_core::domain::ids::{ChannelId, MessageTs, SlackUserId};
use access_core::domain::recipients::is_slack_id;
use access_core::interaction::AppInstallation;
use access_core::policy::identity::SlackProfile;
use http::HeaderMap;
use serde_json::Value;

use super::error::ErrorKind;
use super::wire::{self, Fields};

/// Longer text is treated as absent: no name, address or URL of Slack's is this long, and caches keep these.
const MAX_TEXT_BYTES: usize = 1_000;

/// Longer ids are refused; Slack's have about a dozen characters.
const MAX_ID_BYTES: usize = 64;

/// Whose token this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthTest {
    /// The id of the workspace, `T…`.
    pub team_id: String,
    /// The workspace's name, empty if Slack left it out.
    pub team: String,
    /// The workspace's address, empty if Slack left it out.
    pub url: String,
    /// The app's own user.
    pub user_id: SlackUserId,
    /// The name by which people mention and invite it, empty if Slack left it out.
    pub user_name: String,
    /// The app's bot; absent for user tokens.
    pub bot_id: Option<String>,
    /// The id of the Slack app, `A…`.
    pub app_id: Option<String>,
    /// The Enterprise organization, if any.
    pub enterprise_id: Option<String>,
    /// Whether the app is installed for a whole organization.
    pub is_enterprise_install: bool,
    /// The scopes granted, if the answer listed them.
    pub scopes: Option<BTreeSet<String>>,
}

impl AuthTest {
    /// The token of a bot of which nothing else is known.
    pub fn bare(team_id: impl Into<String>, user_id: SlackUserId) -> Self {
        Self {
            team_id: team_id.into(),
            team: String::new(),
            url: String::new(),
            user_id,
            user_name: String::new(),
            bot_id: None,
            app_id: None,
            enterprise_id: None,
            is_enterprise_install: false,
            scopes: None,
        }
    }
}

impl AuthTest {
    /// What this app is, if this is its id.
    pub fn installation(&self, app_id: String) -> AppInstallation {
        AppInstallation {
            app_id,
            team_id: self.team_id.clone(),
            enterprise_id: self.enterprise_id.clone(),
            is_org_install: self.is_enterprise_install,
        }
    }
}

/// Where a message went. A post to a person or to a name is answered with the conversation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The conversation's id: `C…`, `G…` or `D…`.
    pub channel: ChannelId,
    /// The message in it.
    pub ts: MessageTs,
}

/// A channel or direct message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The conversation's id: `C…`, `G…` or `D…`.
    pub id: ChannelId,
    /// The name without `#`; empty for direct messages.
    pub name: String,
    /// Whether the app is in it; direct messages do not say.
    pub is_member: Option<bool>,
    /// Archived: nothing can be posted.
    pub is_archived: bool,
    /// Frozen: nothing can be changed.
    pub is_frozen: bool,
    /// Shared with another organization: what is posted leaves the company.
    pub is_ext_shared: bool,
    /// Only for invited people.
    pub is_private: bool,
}

pub(super) fn auth_test(fields: &Fields, headers: &HeaderMap) -> Result<AuthTest, ErrorKind> {
    Ok(AuthTest {
        team_id: id(fields, "team_id")?,
        team: text(fields, "team").unwrap_or_default(),
        url: text(fields, "url").unwrap_or_default(),
        user_id: SlackUserId::new(id(fields, "user_id")?),
        user_name: text(fields, "user").unwrap_or_default(),
        bot_id: text(fields, "bot_id"),
        app_id: text(fields, "app_id"),
        enterprise_id: text(fields, "enterprise_id"),
        is_enterprise_install: bool_field(fields, "is_enterprise_install"),
        scopes: wire::scopes(headers),
    })
}

pub(super) fn bot_app(fields: &Fields) -> Option<String> {
    object_field(fields, "bot").and_then(|bot| text(bot, "app_id"))
}

/// The address of a message, if it is one.
pub(super) fn permalink(fields: &Fields) -> Result<String, ErrorKind> {
    let is_address = |link: &String| {
        link.starts_with("https://") && !link.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    text(fields, "permalink").filter(is_address).ok_or_else(|| wire::missing_field("permalink"))
}

pub(super) fn posted(fields: &Fields) -> Result<Posted, ErrorKind> {
    let channel = ChannelId::new(id(fields, "channel")?);
    Ok(Posted { channel, ts: message_ts(fields)? })
}

pub(super) fn user(fields: &Fields) -> Result<SlackProfile, ErrorKind> {
    let user = object_field(fields, "user").ok_or_else(|| wire::missing_field("user"))?;
    let empty = Fields::new();
    let profile = object_field(user, "profile").unwrap_or(&empty);
    let enterprise = object_field(user, "enterprise_user").unwrap_or(&empty);
    Ok(SlackProfile {
        id: SlackUserId::new(id(user, "id")?),
        team_id: text(user, "team_id"),
        enterprise_id: text(enterprise, "enterprise_id"),
        enterprise_user_id: text(enterprise, "id").map(SlackUserId::new),
        name: text(profile, "display_name").or_else(|| text(profile, "real_name")),
        email: text(profile, "email"),
        deleted: bool_field(user, "deleted"),
        is_bot: bool_field(user, "is_bot"),
        is_restricted: bool_field(user, "is_restricted"),
        is_ultra_restricted: bool_field(user, "is_ultra_restricted"),
        is_stranger: bool_field(user, "is_stranger"),
        is_invited_user: bool_field(user, "is_invited_user"),
        is_workflow_bot: bool_field(user, "is_workflow_bot"),
        is_connector_bot: bool_field(user, "is_connector_bot"),
        is_email_confirmed: match user.get("is_email_confirmed") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_bool().unwrap_or(false)),
        },
    })
}

pub(super) fn conversation(fields: &Fields) -> Result<Conversation, ErrorKind> {
    conversation_fields(object_field(fields, "channel").ok_or_else(|| wire::missing_field("channel"))?)
}

/// One of a list of conversations.
pub(super) fn conversation_fields(channel: &Fields) -> Result<Conversation, ErrorKind> {
    Ok(Conversation {
        id: ChannelId::new(id(channel, "id")?),
        name: text(channel, "name").unwrap_or_default(),
        is_member: channel.get("is_member").and_then(Value::as_bool),
        is_archived: bool_field(channel, "is_archived"),
        is_frozen: bool_field(channel, "is_frozen"),
        is_ext_shared: bool_field(channel, "is_ext_shared"),
        is_private: bool_field(channel, "is_private"),
    })
}

/// The other person of a direct message.
pub(super) fn person_of_direct_message(fields: &Fields) -> Option<SlackUserId> {
    let user = id(object_field(fields, "channel")?, "user").ok()?;
    is_slack_id(&user, &['U', 'W']).then(|| SlackUserId::new(user))
}

/// The id of a conversation, of which nothing else matters.
pub(super) fn conversation_id(channel: &Fields) -> Result<ChannelId, ErrorKind> {
    id(channel, "id").map(ChannelId::new)
}

/// Which message this is.
pub(super) fn message_ts(message: &Fields) -> Result<MessageTs, ErrorKind> {
    text(message, "ts")
        .filter(|text| is_ts(text))
        .map(MessageTs::new)
        .ok_or_else(|| wire::missing_field("ts"))
}

/// Whether this is a `ts`: seconds, a point, and a number that keeps messages of one second apart.
fn is_ts(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_id(text) && text.splitn(2, '.').all(is_number)
}

/// Where the next page begins; empty at the end.
pub(super) fn next_cursor(fields: &Fields) -> String {
    object_field(fields, "response_metadata")
        .and_then(|metadata| text(metadata, "next_cursor"))
        .unwrap_or_default()
}

/// The people in a user group.
pub(super) fn members(fields: &Fields) -> Result<Vec<SlackUserId>, ErrorKind> {
    let users = fields.get("users").and_then(Value::as_array).ok_or_else(|| wire::missing_field("users"))?;
    Ok(users.iter().filter_map(Value::as_str).filter(|id| is_id(id)).map(SlackUserId::new).collect())
}

fn object_field<'a>(fields: &'a Fields, key: &str) -> Option<&'a Fields> {
    fields.get(key).and_then(Value::as_object)
}

/// Text that is there and of a sane length.
fn text(fields: &Fields, key: &str) -> Option<String> {
    let text = fields.get(key)?.as_str()?;
    (!text.is_empty() && text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
}

/// An id or `ts`. Strict about its characters, because ids are stored in lists separated by `,` and `/`.
fn id(fields: &Fields, key: &str) -> Result<String, ErrorKind> {
    text(fields, key).filter(|text| is_id(text)).ok_or_else(|| wire::missing_field(key))
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// A flag that means caution: absent, null, false and 0 are "no", anything else is "yes".
fn bool_field(fields: &Fields, key: &str) -> bool {
    match fields.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(set)) => *set,
        Some(Value::Number(number)) => number.as_u64() != Some(0),
        Some(Value::String(_) | Value::Array(_) | Value::Object(_)) => true,
    }
}

#[cfg(test)]
mod tests;
