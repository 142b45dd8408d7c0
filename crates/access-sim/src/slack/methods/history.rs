//! Reading messages back: a channel's history and a thread's replies, page by page.

use serde_json::{Value, json};

use super::super::arguments::Arguments;
use super::super::message::Message;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Conversation, Moment, State};
use super::super::ts::Ts;
use super::super::workspace::ChannelKind;
use super::conversations::{read_cursor, scope_for, write_cursor};

const MAX_PAGE: u64 = 999;
const DEFAULT_PAGE: u64 = 100;

/// Which messages, and how much of each.
struct Window {
    oldest: Option<Ts>,
    latest: Option<Ts>,
    inclusive: bool,
    limit: usize,
    with_payload: bool,
    /// The last message of the page before.
    cursor: Option<Ts>,
}

impl Window {
    fn read(arguments: &Arguments) -> Result<Self, ApiError> {
        let limit = arguments.number("limit")?.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            let message = format!("[ERROR] must be from 1 to {MAX_PAGE} [json-pointer:/limit]");
            return Err(ApiError::argument(message));
        }
        let cursor = match arguments.text("cursor")? {
            None | Some("") => None,
            Some(cursor) => {
                let position = read_cursor(cursor)?;
                Some(Ts::parse(&position).ok_or_else(|| ApiError::new("invalid_cursor"))?)
            }
        };
        Ok(Window {
            oldest: bound(arguments, "oldest", "invalid_ts_oldest")?,
            latest: bound(arguments, "latest", "invalid_ts_latest")?,
            inclusive: arguments.flag("inclusive")?.unwrap_or(false),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            with_payload: arguments.flag("include_all_metadata")?.unwrap_or(false),
            cursor,
        })
    }

    fn contains(&self, ts: Ts) -> bool {
        let after = self.oldest.is_none_or(|oldest| ts > oldest || (self.inclusive && ts == oldest));
        let before = self.latest.is_none_or(|latest| ts < latest || (self.inclusive && ts == latest));
        after && before
    }
}

fn bound(arguments: &Arguments, name: &str, code: &str) -> Result<Option<Ts>, ApiError> {
    match arguments.text(name)? {
        None => Ok(None),
        Some(text) => Ts::parse_bound(text).map(Some).ok_or_else(|| ApiError::new(code)),
    }
}

pub(super) fn history(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let window = Window::read(arguments)?;
    let conversation = readable(state, arguments.required("channel")?)?;
    let newest_first = conversation
        .messages
        .iter()
        .rev()
        .filter(|message| message.thread_ts.is_none() || message.reply_broadcast)
        .filter(|message| window.contains(message.ts))
        .filter(|message| window.cursor.is_none_or(|cursor| message.ts < cursor));
    let (messages, more) = paginate(state, conversation, newest_first, &window);
    Ok(json!({
        "messages": messages,
        "has_more": !more.is_empty(),
        "pin_count": 0,
        "response_metadata": { "next_cursor": more },
    }))
}

pub(super) fn replies(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let window = Window::read(arguments)?;
    let conversation = readable(state, arguments.required("channel")?)?;
    let named = Ts::parse(arguments.required("ts")?)
        .and_then(|ts| conversation.message(ts))
        .ok_or_else(|| ApiError::new("thread_not_found"))?;
    let parent = named.thread_ts.unwrap_or(named.ts);
    // The head of the thread opens the first page, whatever the bounds are.
    let oldest_first = conversation
        .messages
        .iter()
        .filter(|message| message.ts == parent || message.thread_ts == Some(parent))
        .filter(|message| message.ts == parent || window.contains(message.ts))
        .filter(|message| window.cursor.is_none_or(|cursor| message.ts > cursor));
    let (messages, more) = paginate(state, conversation, oldest_first, &window);
    Ok(json!({
        "messages": messages,
        "has_more": !more.is_empty(),
        "response_metadata": { "next_cursor": more },
    }))
}

/// A conversation whose messages the bot may read.
fn readable<'a>(state: &'a State, id: &str) -> Result<&'a Conversation, ApiError> {
    let conversation = state.visible(id)?;
    state.require_scope(&scope_for(conversation.channel.kind, "history"))?;
    if conversation.channel.kind == ChannelKind::Public && !state.bot_is_in(&conversation.channel) {
        return Err(ApiError::new("not_in_channel"));
    }
    Ok(conversation)
}

/// One page, and the cursor of the next if there is one.
fn paginate<'a>(
    state: &State,
    conversation: &Conversation,
    mut messages: impl Iterator<Item = &'a Message>,
    window: &Window,
) -> (Vec<Value>, String) {
    let page: Vec<&Message> = messages.by_ref().take(window.limit).collect();
    let more = match (messages.next(), page.last()) {
        (Some(_), Some(last)) => write_cursor(&last.ts.to_string()),
        _ => String::new(),
    };
    let shown = page
        .into_iter()
        .map(|message| {
            let mut fields = message.to_api(&state.team, &state.bot, window.with_payload);
            if let Some(thread) = conversation.thread_summary(message.ts) {
                thread.add_to(message.ts, &mut fields);
            }
            Value::Object(fields)
        })
        .collect();
    (shown, more)
}
