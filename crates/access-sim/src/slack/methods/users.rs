//! Who people and bots are.

use serde_json::{Map, Value, json};

use super::super::arguments::Arguments;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};
use super::super::workspace::{SlackUser, SlackUserKind};

pub(super) fn auth_test(state: &mut State, _arguments: &Arguments, _now: Moment) -> Reply {
    let (team, bot) = (&state.team, &state.bot);
    let mut answer = json!({
        "url": format!("https://{}.slack.com/", team.domain),
        "team": team.name,
        "user": bot.name,
        "team_id": team.id,
        "user_id": bot.user_id,
        "bot_id": bot.bot_id,
        "is_enterprise_install": state.is_enterprise_install(),
    });
    if let Some(enterprise) = &state.enterprise {
        answer["enterprise_id"] = json!(enterprise.id);
        // An organization's token belongs to no team; its own id takes the place.
        if enterprise.installed {
            answer["team_id"] = json!(enterprise.id);
            answer["team"] = json!(enterprise.name);
        }
    }
    Ok(answer)
}

pub(super) fn bots_info(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let Some(id) = arguments.text("bot")?.filter(|id| !id.is_empty()) else {
        return Err(ApiError::new("missing_argument"));
    };
    if arguments.text("team_id")?.is_some_and(|team| team != state.team.id) {
        return Err(ApiError::new("team_not_found"));
    }
    if id == state.bot.bot_id {
        return Ok(json!({ "bot": {
            "id": id,
            "deleted": false,
            "name": state.bot.name,
            "updated": 1_700_000_000,
            "app_id": state.bot.app_id,
            "user_id": state.bot.user_id,
            "icons": {},
        }}));
    }
    let other = state
        .users
        .values()
        .filter(|person| matches!(person.kind, SlackUserKind::Bot | SlackUserKind::WorkflowBot))
        .find(|person| bot_id_of(person) == id && person.id != state.bot.user_id)
        .ok_or_else(|| ApiError::new("bot_not_found"))?;
    Ok(json!({ "bot": {
        "id": id,
        "deleted": false,
        "name": other.name,
        "updated": 1_700_000_000,
        "app_id": "A0OTHER",
        "user_id": other.id,
        "icons": {},
    }}))
}

/// Other bots' `B…` ids follow from their user ids: U0X has B0X.
fn bot_id_of(person: &SlackUser) -> String {
    format!("B{}", person.id.chars().skip(1).collect::<String>())
}

pub(super) fn info(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    arguments.flag("include_locale")?;
    let id = arguments.required("user")?;
    let person = state.users.get(id).ok_or_else(|| ApiError::new("user_not_found"))?;
    Ok(json!({ "user": describe(state, person) }))
}

pub(super) fn lookup_by_email(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let email = arguments.required("email")?.to_lowercase();
    let found = state
        .users
        .values()
        .filter(|person| person.kind != SlackUserKind::Deactivated)
        .find(|person| person.email.as_ref().is_some_and(|own| own.to_lowercase() == email))
        .ok_or_else(|| ApiError::new("users_not_found"))?;
    Ok(json!({ "user": describe(state, found) }))
}

/// A user as the Web API shows them. The fields that Slack leaves out for external and deactivated users are
/// left out here too: a client must not take a missing flag for `false` where that grants something.
fn describe(state: &State, person: &SlackUser) -> Map<String, Value> {
    let team_id = person.home().unwrap_or(&state.team.id);
    let mut profile = json!({
        "title": "",
        "phone": "",
        "real_name": person.real_name,
        "real_name_normalized": person.real_name,
        "display_name": person.name,
        "display_name_normalized": person.name,
        "status_text": "",
        "status_emoji": "",
        "avatar_hash": "",
        "team": team_id,
    });
    if let (Some(email), true, Some(profile)) =
        (&person.email, state.has_scope("users:read.email"), profile.as_object_mut())
    {
        profile.insert("email".to_owned(), json!(email));
    }
    let bot = matches!(person.kind, SlackUserKind::Bot | SlackUserKind::WorkflowBot);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("id", json!(person.id));
    put("team_id", json!(team_id));
    put("name", json!(person.name));
    put("profile", profile);
    put("deleted", json!(person.kind == SlackUserKind::Deactivated));
    put("is_bot", json!(bot));
    put("is_app_user", json!(false));
    put("updated", json!(1_700_000_000));
    match person.kind {
        SlackUserKind::External { stranger, .. } => {
            put("is_stranger", json!(stranger));
            return fields;
        }
        SlackUserKind::Deactivated => return fields,
        SlackUserKind::Invited => {
            put("is_invited_user", json!(true));
        }
        SlackUserKind::WorkflowBot => {
            put("is_workflow_bot", json!(true));
        }
        SlackUserKind::Member
        | SlackUserKind::Guest
        | SlackUserKind::SingleChannelGuest
        | SlackUserKind::Sister { .. }
        | SlackUserKind::Bot
        | SlackUserKind::Slackbot => {}
    }
    if let Some(enterprise) = &state.enterprise {
        put(
            "enterprise_user",
            json!({
                "id": person.enterprise_user_id.as_ref().unwrap_or(&person.id),
                "enterprise_id": enterprise.id,
                "enterprise_name": enterprise.name,
                "is_admin": false,
                "is_owner": false,
                "teams": [team_id],
            }),
        );
    }
    let single = person.kind == SlackUserKind::SingleChannelGuest;
    put("real_name", json!(person.real_name));
    put("tz", json!("Europe/Berlin"));
    put("tz_label", json!("Central European Time"));
    put("tz_offset", json!(3_600));
    put("is_admin", json!(false));
    put("is_owner", json!(false));
    put("is_primary_owner", json!(false));
    put("is_restricted", json!(single || person.kind == SlackUserKind::Guest));
    put("is_ultra_restricted", json!(single));
    if !bot {
        put("is_email_confirmed", json!(person.email_confirmed));
    }
    fields
}
