//! What is posted to a `response_url`: an answer to an interaction, by any caller that knows the address.
//!
//! How long and how often an address is good is in `interactive/hooks.rs`.

use serde_json::{Value, json};

use super::super::arguments::{Arguments, Encoding, Incoming};
use super::super::interactive::hooks::Origin;
use super::super::metadata;
use super::super::reply::{ApiError, Reply};
use super::super::state::{MAX_MESSAGES, Moment, State};
use super::chat::find_thread;
use super::content::Content;

/// What the log and faults call a POST to such an address.
pub(in crate::slack) const RESPONSE_URL: &str = "response_url";

const ARGUMENTS: &[&str] = &[
    "text",
    "blocks",
    "attachments",
    "response_type",
    "replace_original",
    "delete_original",
    "metadata",
    "thread_ts",
    "reply_broadcast",
    "parse",
    "link_names",
    "mrkdwn",
    "unfurl_links",
    "unfurl_media",
];

/// Handles one POST.
pub(in crate::slack) fn respond(
    state: &mut State,
    secret: &str,
    incoming: Result<&Incoming, ApiError>,
    now: Moment,
) -> Reply {
    let life = state.timings.response_url;
    let origin = state.response_urls.redeem(secret, life, now.instant)?;
    let incoming = incoming?;
    if !incoming.posted || incoming.encoding != Encoding::Json {
        return Err(ApiError::new("invalid_payload"));
    }
    let arguments = &incoming.arguments;
    super::reject_unknown(arguments, ARGUMENTS)?;
    let replace = arguments.flag("replace_original")?.unwrap_or(false);
    if arguments.flag("delete_original")?.unwrap_or(false) {
        // SDKs send the empty form of the rest beside it; anything that says something contradicts it.
        let mut others = arguments.names().filter(|name| *name != "delete_original");
        if others.any(|name| arguments.get(name).is_some_and(says_something)) {
            return Err(ApiError::argument("[ERROR] delete_original must stand alone".to_owned()));
        }
        return delete(state, &origin);
    }
    let content = Content::read(arguments)?;
    // slack-go sends an empty one; whether Slack keeps a real one is not known, here it is not.
    metadata::read(arguments)?;
    if !content.says_something() {
        return Err(ApiError::new("no_text"));
    }
    // The visibility of a message never changes, whatever response_type says of a replacement.
    let in_channel = match arguments.text("response_type")? {
        None | Some("ephemeral") => false,
        Some("in_channel") => true,
        Some(_) => return Err(ApiError::new("invalid_payload")),
    };
    if replace {
        return replace_original(state, &origin, content, now);
    }
    post(state, arguments, &origin, content, in_channel, now)
}

/// Whether a value is more than an empty form of nothing.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(says_something),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn gone() -> ApiError {
    ApiError::new("message_not_found")
}

fn delete(state: &mut State, origin: &Origin) -> Reply {
    let conversation = state.conversations.get_mut(&origin.channel).ok_or_else(gone)?;
    let deleted = conversation.message(origin.ts).is_some_and(|message| !message.tombstone)
        && conversation.delete(origin.ts);
    if deleted || state.ephemerals.remove(&origin.user, &origin.channel, origin.ts) {
        Ok(json!({}))
    } else {
        Err(gone())
    }
}

fn replace_original(state: &mut State, origin: &Origin, content: Content, now: Moment) -> Reply {
    let State { conversations, ephemerals, .. } = state;
    let real = conversations.get_mut(&origin.channel).and_then(|found| found.message_mut(origin.ts));
    let message = real
        .filter(|message| !message.tombstone)
        .or_else(|| ephemerals.find_mut(&origin.user, &origin.channel, origin.ts))
        .ok_or_else(gone)?;
    message.truncated = false;
    content.fill(message);
    message.marked_edited = message.blocks.is_empty();
    message.edits += 1;
    message.edited_at = Some(now.wall);
    Ok(json!({}))
}

fn post(
    state: &mut State,
    arguments: &Arguments,
    origin: &Origin,
    content: Content,
    in_channel: bool,
    now: Moment,
) -> Reply {
    // No membership is needed: that is what these addresses are for.
    let conversation =
        state.conversations.get(&origin.channel).ok_or_else(|| ApiError::new("channel_not_found"))?;
    if conversation.channel.archived {
        return Err(ApiError::new("is_archived"));
    }
    if conversation.messages.len() >= MAX_MESSAGES {
        return Err(ApiError::new("message_limit_exceeded"));
    }
    let thread_ts = match arguments.text("thread_ts")? {
        Some(thread) => Some(find_thread(conversation, thread)?),
        None => None,
    };
    if in_channel {
        state.limiter.admit_message(&origin.channel, now.instant).map_err(ApiError::rate_limited)?;
    }
    let author = state.bot.user_id.clone();
    let mut message = state.new_message(&author, "", now);
    content.fill(&mut message);
    message.thread_ts = thread_ts;
    message.unfurl_links = arguments.flag("unfurl_links")?;
    message.unfurl_media = arguments.flag("unfurl_media")?;
    if !in_channel {
        state.ephemerals.show(&origin.user, &origin.channel, message);
    } else if let Some(conversation) = state.conversations.get_mut(&origin.channel) {
        conversation.messages.push(message);
    }
    Ok(json!({}))
}
