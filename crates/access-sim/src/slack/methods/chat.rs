//! Posting, editing and deleting messages, and links to them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::arguments::Arguments;
use super::super::metadata;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Conversation, MAX_MESSAGES, Moment, State};
use super::super::ts::Ts;
use super::super::workspace::{Channel, ChannelKind, Posting};
use super::content::Content;

/// Slack cuts a posted text here without a word.
const TRUNCATED_AFTER: usize = 40_000;
/// An edited text of more characters is refused.
const MAX_UPDATED_TEXT: usize = 4_000;

/// Where a message is to go.
enum Target {
    Channel(String),
    Person(String),
}

pub(super) fn post_message(state: &mut State, arguments: &Arguments, now: Moment) -> Reply {
    let target = find_target(state, arguments.required("channel")?)?;
    let content = Content::read(arguments)?;
    if !content.says_something() {
        return Err(ApiError::new("no_text"));
    }
    let metadata = metadata::read(arguments)?.filter(|metadata| metadata != &json!({}));
    let disguised = ["username", "icon_emoji", "icon_url"].iter().any(|name| arguments.get(name).is_some());
    if disguised {
        state.require_scope("chat:write.customize")?;
    }
    let unfurl_links = arguments.flag("unfurl_links")?;
    let unfurl_media = arguments.flag("unfurl_media")?;
    let broadcast = arguments.flag("reply_broadcast")?.unwrap_or(false);

    let id = match target {
        Target::Channel(id) => id,
        Target::Person(user) => state.open_direct(&BTreeSet::from([user])).0,
    };
    let conversation = state.visible(&id)?;
    let thread_ts = match arguments.text("thread_ts")? {
        Some(thread) => Some(find_thread(conversation, thread)?),
        None => None,
    };
    may_post(&conversation.channel, thread_ts)?;
    if broadcast && thread_ts.is_none() {
        let message = "[ERROR] reply_broadcast needs thread_ts [json-pointer:/reply_broadcast]";
        return Err(ApiError::argument(message.to_owned()));
    }
    if conversation.messages.len() >= MAX_MESSAGES {
        return Err(ApiError::new("message_limit_exceeded"));
    }
    state.limiter.admit_message(&id, now.instant).map_err(ApiError::rate_limited)?;

    let author = state.bot.user_id.clone();
    let text = content.text.unwrap_or_default();
    let mut message = state.new_message(&author, "", now);
    message.truncated = text.chars().count() > TRUNCATED_AFTER;
    message.text = text.chars().take(TRUNCATED_AFTER).collect();
    message.blocks = content.blocks.unwrap_or_default();
    message.attachments = content.attachments.unwrap_or_default();
    message.formatting = content.formatting;
    message.metadata = metadata;
    message.thread_ts = thread_ts;
    message.reply_broadcast = broadcast;
    message.unfurl_links = unfurl_links;
    message.unfurl_media = unfurl_media;

    let answer = json!({
        "channel": id,
        "ts": message.ts,
        "message": message.to_api(&state.team, &state.bot, true),
    });
    if let Some(conversation) = state.conversations.get_mut(&id) {
        conversation.messages.push(message);
    }
    Ok(answer)
}

fn find_target(state: &State, target: &str) -> Result<Target, ApiError> {
    let not_found = || ApiError::new("channel_not_found");
    if let Some(person) = state.users.get(target) {
        if !person.can_be_messaged() {
            return Err(not_found());
        }
        return if state.bot.messages_tab {
            Ok(Target::Person(target.to_owned()))
        } else {
            Err(ApiError::new("messages_tab_disabled"))
        };
    }
    let found = match state.visible(target) {
        Ok(found) => found,
        Err(_) => state.public_by_name(target).ok_or_else(not_found)?,
    };
    let channel = &found.channel;
    if channel.archived {
        return Err(ApiError::new("is_archived"));
    }
    if !state.bot_is_in(channel) && !state.has_scope("chat:write.public") {
        return Err(ApiError::new("not_in_channel"));
    }
    if channel.kind == ChannelKind::Direct {
        let partner = channel.members.iter().find(|member| **member != state.bot.user_id);
        let reachable = partner.and_then(|id| state.users.get(id)).is_some_and(|who| who.can_be_messaged());
        if !reachable {
            return Err(not_found());
        }
        if !state.bot.messages_tab {
            return Err(ApiError::new("messages_tab_disabled"));
        }
    }
    Ok(Target::Channel(channel.id.clone()))
}

/// The first message of a thread. Slack would start a thread nowhere for an unknown one; here it is refused.
pub(super) fn find_thread(conversation: &Conversation, thread: &str) -> Result<Ts, ApiError> {
    let parent = Ts::parse(thread)
        .and_then(|ts| conversation.message(ts))
        .ok_or_else(|| ApiError::new("thread_not_found"))?;
    // Slack asks never to give a reply's ts; that a thread outlives its deleted head is not worth relying on.
    if parent.thread_ts.is_some() || parent.tombstone {
        return Err(ApiError::new("cannot_reply_to_message"));
    }
    Ok(parent.ts)
}

pub(super) fn may_post(channel: &Channel, thread: Option<Ts>) -> Result<(), ApiError> {
    match (channel.posting, thread) {
        (Posting::ReadOnly, _) => Err(ApiError::new("restricted_action_read_only_channel")),
        (Posting::ThreadsOnly, None) => Err(ApiError::new("restricted_action_thread_only_channel")),
        (Posting::NoThreads, Some(_)) => Err(ApiError::new("restricted_action_non_threadable_channel")),
        (Posting::Open | Posting::ThreadsOnly | Posting::NoThreads, _) => Ok(()),
    }
}

pub(super) fn update(state: &mut State, arguments: &Arguments, now: Moment) -> Reply {
    let id = arguments.required("channel")?.to_owned();
    let ts = arguments.required("ts")?;
    let content = Content::read(arguments)?;
    let metadata = metadata::read(arguments)?;
    arguments.flag("reply_broadcast")?;
    if content.text.as_deref().is_some_and(|text| text.chars().count() > MAX_UPDATED_TEXT) {
        return Err(ApiError::new("msg_too_long"));
    }
    let (team, bot, window) = (state.team.clone(), state.bot.clone(), state.edit_window);
    let message = own_message(state, &id, ts, "is_inactive", "cant_update_message")?;
    if window.is_some_and(|window| now.instant.duration_since(message.posted) > window) {
        return Err(ApiError::new("edit_window_closed"));
    }
    if content.text.is_none() && content.blocks.is_none() && content.attachments.is_none() {
        return Err(ApiError::new("no_text"));
    }
    let attachments = content.attachments.clone().unwrap_or_else(|| message.attachments.clone());
    // Blocks survive only an update that says nothing of text either; text does not survive new blocks.
    let (text, blocks) = match (&content.text, &content.blocks) {
        (None, None) => (message.text.clone(), message.blocks.clone()),
        (text, blocks) => (text.clone().unwrap_or_default(), blocks.clone().unwrap_or_default()),
    };
    if text.is_empty() && blocks.is_empty() && attachments.is_empty() {
        return Err(ApiError::new("no_text"));
    }
    message.marked_edited = blocks.is_empty();
    message.truncated = false;
    message.text = text;
    message.blocks = blocks;
    message.attachments = attachments;
    message.formatting = content.formatting;
    if let Some(metadata) = metadata {
        message.metadata = Some(metadata).filter(|metadata| metadata != &json!({}));
    }
    message.edits += 1;
    message.edited_at = Some(now.wall);
    let shown = message.to_api(&team, &bot, true);
    Ok(json!({ "channel": id, "ts": message.ts, "text": shown.get("text"), "message": shown }))
}

pub(super) fn delete(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let id = arguments.required("channel")?.to_owned();
    let ts = arguments.required("ts")?;
    let ts = own_message(state, &id, ts, "cant_delete_message", "cant_delete_message")?.ts;
    if let Some(conversation) = state.conversations.get_mut(&id) {
        conversation.delete(ts);
    }
    Ok(json!({ "channel": id, "ts": ts }))
}

/// The bot's own message, for changing it.
fn own_message<'a>(
    state: &'a mut State,
    id: &str,
    ts: &str,
    archived: &str,
    foreign: &str,
) -> Result<&'a mut super::super::message::Message, ApiError> {
    // Names and user ids are for posting only.
    let channel = &state.visible(id)?.channel;
    if channel.archived {
        return Err(ApiError::new(archived));
    }
    if !state.bot_is_in(channel) && !state.has_scope("chat:write.public") {
        return Err(ApiError::new("not_in_channel"));
    }
    let author = state.bot.user_id.clone();
    let message = Ts::parse(ts)
        .and_then(|ts| state.conversations.get_mut(id).and_then(|found| found.message_mut(ts)))
        .filter(|message| !message.tombstone)
        .ok_or_else(|| ApiError::new("message_not_found"))?;
    if message.user != author {
        return Err(ApiError::new(foreign));
    }
    Ok(message)
}

pub(super) fn get_permalink(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let id = arguments.required("channel")?;
    let ts = arguments.required("message_ts")?;
    let conversation = state.visible(id)?;
    let message = Ts::parse(ts)
        .and_then(|ts| conversation.message(ts))
        .ok_or_else(|| ApiError::new("message_not_found"))?;
    let digits = ts.replace('.', "");
    let mut permalink = format!("https://{}.slack.com/archives/{id}/p{digits}", state.team.domain);
    if let Some(thread) = message.thread_ts {
        permalink.push_str(&format!("?thread_ts={thread}&cid={id}"));
    }
    Ok(json!({ "channel": id, "permalink": Value::String(permalink) }))
}
