//! Channels and direct messages: looking at them, opening, joining, listing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::arguments::Arguments;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};
use super::super::workspace::{Channel, ChannelKind, Posting, SlackUserKind};

const MAX_USERS: usize = 8;
const MAX_PAGE: u64 = 999;
const DEFAULT_PAGE: u64 = 100;

/// The scope that a kind of conversation asks for, such as `groups:read`.
pub(super) fn scope_for(kind: ChannelKind, right: &str) -> String {
    let family = match kind {
        ChannelKind::Public => "channels",
        ChannelKind::Private => "groups",
        ChannelKind::Direct => "im",
        ChannelKind::GroupDirect => "mpim",
    };
    format!("{family}:{right}")
}

pub(super) fn info(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let channel = &state.visible(arguments.required("channel")?)?.channel;
    state.require_scope(&scope_for(channel.kind, "read"))?;
    let mut fields = describe(state, channel);
    if arguments.flag("include_num_members")?.unwrap_or(false) {
        fields.insert("num_members".to_owned(), json!(channel.members.len()));
    }
    if arguments.flag("include_locale")?.unwrap_or(false) {
        fields.insert("locale".to_owned(), json!("en-US"));
    }
    Ok(json!({ "channel": fields }))
}

pub(super) fn join(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let channel = &state.visible(arguments.required("channel")?)?.channel;
    if channel.kind != ChannelKind::Public {
        return Err(ApiError::new("method_not_supported_for_channel_type"));
    }
    if channel.archived {
        return Err(ApiError::new("is_archived"));
    }
    let was_in = state.bot_is_in(channel);
    let id = channel.id.clone();
    let bot = state.bot.user_id.clone();
    if let Some(found) = state.conversations.get_mut(&id) {
        found.channel.members.insert(bot);
    }
    let fields = describe(state, &state.visible(&id)?.channel);
    let mut answer = json!({ "channel": fields });
    if was_in && let Some(answer) = answer.as_object_mut() {
        answer.insert("warning".to_owned(), json!("already_in_channel"));
        answer.insert("response_metadata".to_owned(), json!({ "warnings": ["already_in_channel"] }));
    }
    Ok(answer)
}

pub(super) fn open(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let whole = arguments.flag("return_im")?.unwrap_or(false);
    let only_existing = arguments.flag("prevent_creation")?.unwrap_or(false);
    let (id, existed) = match (arguments.text("channel")?, arguments.list("users")?) {
        (Some(channel), None) => {
            let kind = state.visible(channel)?.channel.kind;
            if !matches!(kind, ChannelKind::Direct | ChannelKind::GroupDirect) {
                return Err(ApiError::new("method_not_supported_for_channel_type"));
            }
            state.require_scope(&scope_for(kind, "write"))?;
            (channel.to_owned(), true)
        }
        (None, Some(users)) => {
            let users = check_users(state, &users)?;
            let group = users.len() > 1;
            state.require_scope(if group { "mpim:write" } else { "im:write" })?;
            // Assumed: Slack documents the argument, and not what it answers then.
            if only_existing && state.direct_with(&users).is_none() {
                return Err(ApiError::new("channel_not_found"));
            }
            state.open_direct(&users)
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::argument("[ERROR] either channel or users, not both".to_owned()));
        }
        (None, None) => return Err(ApiError::new("users_list_not_supplied")),
    };
    let channel = &state.visible(&id)?.channel;
    let shown = if whole { Value::Object(describe(state, channel)) } else { json!({ "id": id }) };
    if existed {
        Ok(json!({ "channel": shown, "no_op": true, "already_open": true }))
    } else {
        Ok(json!({ "channel": shown }))
    }
}

fn check_users(state: &State, list: &str) -> Result<BTreeSet<String>, ApiError> {
    let ids: Vec<&str> = list.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Err(ApiError::new("not_enough_users"));
    }
    if ids.len() > MAX_USERS {
        return Err(ApiError::new("too_many_users"));
    }
    let mut users = BTreeSet::new();
    for id in ids {
        let person = state.users.get(id).ok_or_else(|| ApiError::new("user_not_found"))?;
        if person.kind == SlackUserKind::Deactivated {
            return Err(ApiError::new("user_disabled"));
        }
        if !person.can_be_messaged() {
            return Err(ApiError::new("user_not_visible"));
        }
        if !users.insert(id.to_owned()) {
            return Err(ApiError::new("invalid_user_combination"));
        }
    }
    Ok(users)
}

pub(super) fn list(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let kinds = read_types(arguments.list("types")?.as_deref())?;
    let missing: Vec<String> =
        kinds.iter().map(|kind| scope_for(*kind, "read")).filter(|scope| !state.has_scope(scope)).collect();
    if !missing.is_empty() {
        return Err(ApiError::missing_scope(&missing.join(","), &state.bot.scopes));
    }
    if arguments.text("team_id")?.is_some_and(|team| team != state.team.id) {
        return Err(ApiError::new("team_not_found"));
    }
    let limit = arguments.number("limit")?.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(ApiError::new("invalid_limit"));
    }
    let exclude_archived = arguments.flag("exclude_archived")?.unwrap_or(false);
    let after = match arguments.text("cursor")? {
        None | Some("") => None,
        Some(cursor) => Some(read_cursor(cursor)?),
    };
    // The page is cut before the filters apply, so a page may be short or empty while more follow.
    let mut rest = state
        .conversations
        .values()
        .map(|found| &found.channel)
        .filter(|channel| after.as_deref().is_none_or(|after| channel.id.as_str() > after));
    let page: Vec<&Channel> = rest.by_ref().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    let next = if rest.next().is_some() {
        page.last().map(|last| write_cursor(&last.id)).unwrap_or_default()
    } else {
        String::new()
    };
    let channels: Vec<Value> = page
        .into_iter()
        .filter(|channel| kinds.contains(&channel.kind))
        .filter(|channel| state.visible(&channel.id).is_ok())
        .filter(|channel| !(exclude_archived && channel.archived))
        .map(|channel| Value::Object(describe(state, channel)))
        .collect();
    Ok(json!({ "channels": channels, "response_metadata": { "next_cursor": next } }))
}

fn read_types(types: Option<&str>) -> Result<Vec<ChannelKind>, ApiError> {
    let types = types.unwrap_or("public_channel");
    types
        .split(',')
        .map(|name| match name.trim() {
            "public_channel" => Ok(ChannelKind::Public),
            "private_channel" => Ok(ChannelKind::Private),
            "im" => Ok(ChannelKind::Direct),
            "mpim" => Ok(ChannelKind::GroupDirect),
            _ => Err(ApiError::new("invalid_types")),
        })
        .collect()
}

/// Cursors end in `=` like Slack's, so a client that does not encode them in a URL is found out.
pub(super) fn write_cursor(position: &str) -> String {
    format!("next:{position}=")
}

/// The position in a cursor.
pub(super) fn read_cursor(cursor: &str) -> Result<String, ApiError> {
    cursor
        .strip_prefix("next:")
        .and_then(|rest| rest.strip_suffix('='))
        .map(str::to_owned)
        .ok_or_else(|| ApiError::new("invalid_cursor"))
}

/// A conversation as the Web API shows it.
fn describe(state: &State, channel: &Channel) -> Map<String, Value> {
    let direct = channel.kind == ChannelKind::Direct;
    let shared = if channel.ext_shared { vec!["T0OTHER"] } else { Vec::new() };
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("id", json!(channel.id));
    put("created", json!(1_700_000_000));
    put("updated", json!(1_700_000_000_000_i64));
    put("is_im", json!(direct));
    put("is_mpim", json!(channel.kind == ChannelKind::GroupDirect));
    // Private channels made long ago have a G id and call themselves groups.
    let group = channel.kind == ChannelKind::Private && channel.id.starts_with('G');
    let channel_like = matches!(channel.kind, ChannelKind::Public | ChannelKind::Private);
    put("is_channel", json!(channel_like && !group));
    put("is_group", json!(group));
    put("is_private", json!(channel.kind != ChannelKind::Public));
    put("is_archived", json!(channel.archived));
    put("is_org_shared", json!(false));
    put("is_ext_shared", json!(channel.ext_shared));
    put("is_shared", json!(channel.ext_shared));
    put("is_pending_ext_shared", json!(false));
    put("context_team_id", json!(state.team.id));
    if direct {
        let partner = channel.members.iter().find(|member| **member != state.bot.user_id);
        let gone = partner
            .and_then(|id| state.users.get(id))
            .is_some_and(|person| person.kind == SlackUserKind::Deactivated);
        put("user", json!(partner));
        put("is_user_deleted", json!(gone));
        put("is_open", json!(true));
        return fields;
    }
    put("name", json!(channel.name));
    put("name_normalized", json!(channel.name));
    put("is_general", json!(false));
    put("is_frozen", json!(false));
    put("is_member", json!(state.bot_is_in(channel)));
    put("is_read_only", json!(channel.posting == Posting::ReadOnly));
    put("is_thread_only", json!(channel.posting == Posting::ThreadsOnly));
    put("shared_team_ids", json!([state.team.id]));
    put("connected_team_ids", json!(shared));
    put("conversation_host_id", json!(state.team.id));
    put("topic", json!({ "value": "", "creator": "", "last_set": 0 }));
    put("purpose", json!({ "value": "", "creator": "", "last_set": 0 }));
    fields
}
