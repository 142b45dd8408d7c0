//! `chat.postEphemeral`: a message that one user sees until they reload.

use serde_json::json;

use super::super::arguments::Arguments;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};
use super::chat::{find_thread, may_post};
use super::content::Content;

/// Unlike posting, showing something to one user is not cut when too long, but refused.
const MAX_TEXT: usize = 40_000;

pub(super) fn post_ephemeral(state: &mut State, arguments: &Arguments, now: Moment) -> Reply {
    let id = arguments.required("channel")?.to_owned();
    let user = arguments.required("user")?.to_owned();
    let content = Content::read(arguments)?;
    if !content.says_something() {
        return Err(ApiError::new("no_text"));
    }
    if content.text.as_deref().is_some_and(|text| text.chars().count() > MAX_TEXT) {
        return Err(ApiError::new("msg_too_long"));
    }
    let disguised = ["username", "icon_emoji", "icon_url"].iter().any(|name| arguments.get(name).is_some());
    if disguised {
        state.require_scope("chat:write.customize")?;
    }
    let conversation = state.visible(&id)?;
    let channel = &conversation.channel;
    if channel.archived {
        return Err(ApiError::new("is_archived"));
    }
    if !state.bot_is_in(channel) {
        return Err(ApiError::new("not_in_channel"));
    }
    if !channel.members.contains(&user) {
        return Err(ApiError::new("user_not_in_channel"));
    }
    let thread_ts = match arguments.text("thread_ts")? {
        Some(thread) => Some(find_thread(conversation, thread)?),
        None => None,
    };
    may_post(channel, thread_ts)?;
    let author = state.bot.user_id.clone();
    let mut message = state.new_message(&author, "", now);
    content.fill(&mut message);
    message.thread_ts = thread_ts;
    let ts = message.ts;
    state.ephemerals.show(&user, &id, message);
    Ok(json!({ "message_ts": ts }))
}
