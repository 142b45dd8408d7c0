//! The payloads that Slack sends when users act: what stands in them, and nothing of how they travel.

use serde_json::{Map, Value, json};

use super::super::message::Message;
use super::super::state::State;
use super::super::views::View;
use super::super::workspace::{Channel, ChannelKind, SlackUser};

/// What an element was found on.
pub(in crate::slack) enum Container<'a> {
    Message { channel: &'a Channel, message: &'a Message, ephemeral: bool, response_url: String },
    View(&'a View),
}

/// What every payload begins with.
fn envelope(state: &State, kind: &str, person: &SlackUser) -> Map<String, Value> {
    let home = person.home().unwrap_or(&state.team.id);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("type", json!(kind));
    put("team", team(state));
    put("user", json!({ "id": person.id, "username": person.name, "name": person.name, "team_id": home }));
    put("api_app_id", json!(state.bot.app_id));
    put("token", json!(state.app.verification_token));
    put("enterprise", json!(state.enterprise.as_ref().map(|org| json!({ "id": org.id, "name": org.name }))));
    put("is_enterprise_install", json!(state.is_enterprise_install()));
    fields
}

/// What is about a view comes under the team of the user; the view says which team's installation opened it
/// (bolt-python `request/internals.py` reads `app_installed_team_id` first, for this reason). What is about a message
/// comes under the team of the app that posted it, whichever user presses it (slackapi/java-slack-sdk#1041).
fn of_view(state: &State, person: &SlackUser, view: &View, fields: &mut Map<String, Value>) {
    let mut shown = view.to_api(&state.team, &state.bot);
    if let (Some(home), false) = (person.home(), state.is_enterprise_install()) {
        // That the view's own team follows, and that the domain does, is assumed.
        shown.insert("team_id".to_owned(), json!(home));
        let mut team = team(state);
        team["id"] = json!(home);
        team["domain"] = json!(home.to_lowercase());
        fields.insert("team".to_owned(), team);
    }
    fields.insert("view".to_owned(), Value::Object(shown));
}

/// Null where the whole organization installed the app.
fn team(state: &State) -> Value {
    let mut team = json!({ "id": state.team.id, "domain": state.team.domain });
    match &state.enterprise {
        Some(enterprise) if enterprise.installed => return Value::Null,
        Some(enterprise) => {
            team["enterprise_id"] = json!(enterprise.id);
            team["enterprise_name"] = json!(enterprise.name);
        }
        None => {}
    }
    team
}

/// A user used a button or menu.
pub(in crate::slack) fn block_actions(
    state: &State,
    person: &SlackUser,
    place: &Container<'_>,
    action: Value,
    trigger: &str,
) -> Value {
    let mut fields = envelope(state, "block_actions", person);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("trigger_id", json!(trigger));
    match place {
        Container::Message { channel, message, ephemeral, response_url } => {
            let mut container = json!({
                "type": "message",
                "message_ts": message.ts,
                "channel_id": channel.id,
                "is_ephemeral": ephemeral,
            });
            if let Some(thread) = message.thread_ts {
                container["thread_ts"] = json!(thread);
            }
            put("container", container);
            put("channel", json!({ "id": channel.id, "name": shown_name(channel) }));
            if !ephemeral {
                put("message", Value::Object(message.to_api(&state.team, &state.bot, true)));
            }
            put("response_url", json!(response_url));
            put("state", json!({ "values": {} }));
        }
        Container::View(view) => {
            put("container", json!({ "type": "view", "view_id": view.id }));
            of_view(state, person, view, &mut fields);
        }
    }
    fields.insert("actions".to_owned(), json!([action]));
    Value::Object(fields)
}

/// A user submitted a modal.
pub(in crate::slack) fn view_submission(
    state: &State,
    person: &SlackUser,
    view: &View,
    trigger: &str,
) -> Value {
    let mut fields = envelope(state, "view_submission", person);
    fields.insert("trigger_id".to_owned(), json!(trigger));
    of_view(state, person, view, &mut fields);
    fields.insert("response_urls".to_owned(), json!([]));
    Value::Object(fields)
}

/// A user closed a modal that asked for it.
pub(in crate::slack) fn view_closed(state: &State, person: &SlackUser, view: &View, cleared: bool) -> Value {
    let mut fields = envelope(state, "view_closed", person);
    of_view(state, person, view, &mut fields);
    fields.insert("is_cleared".to_owned(), json!(cleared));
    Value::Object(fields)
}

/// Payloads do not give away the names of private conversations.
fn shown_name(channel: &Channel) -> &str {
    match channel.kind {
        ChannelKind::Public => &channel.name,
        ChannelKind::Private => "privategroup",
        ChannelKind::Direct => "directmessage",
        ChannelKind::GroupDirect => "mpdm",
    }
}
