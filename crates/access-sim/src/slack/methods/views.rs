//! Opening and changing modals.

use serde_json::{Map, Value, json};

use super::super::arguments::{Arguments, NotJson};
use super::super::limits;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};

pub(super) fn open(state: &mut State, arguments: &Arguments, now: Moment) -> Reply {
    let trigger = arguments.required("trigger_id")?.to_owned();
    let content = read_view(arguments)?;
    let user = state.triggers.user(&trigger, state.timings.trigger, now.instant)?.to_owned();
    reject_taken_external_id(state, &content, None)?;
    state.triggers.redeem(&trigger);
    let view = state.views.open(&user, content);
    Ok(json!({ "view": view.to_api(&state.team, &state.bot) }))
}

pub(super) fn update(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let content = read_view(arguments)?;
    let hash = arguments.text("hash")?;
    let found = match (arguments.text("view_id")?, arguments.text("external_id")?) {
        (Some(id), None) => state.views.by_id(id),
        (None, Some(id)) => state.views.by_external_id(id),
        _ => return Err(ApiError::argument("[ERROR] either view_id or external_id".to_owned())),
    };
    let view = found.ok_or_else(|| ApiError::new("not_found"))?;
    if hash.is_some_and(|hash| hash != view.hash) {
        return Err(ApiError::new("hash_conflict"));
    }
    let id = view.id.clone();
    reject_taken_external_id(state, &content, Some(&id))?;
    let view = state.views.by_id(&id).ok_or_else(|| ApiError::new("not_found"))?;
    view.replace(content);
    Ok(json!({ "view": view.to_api(&state.team, &state.bot) }))
}

fn read_view(arguments: &Arguments) -> Result<Map<String, Value>, ApiError> {
    let view = match arguments.structured("view") {
        Ok(Some(view)) => view,
        Ok(None) => return Err(ApiError::argument("[ERROR] missing required field: view".to_owned())),
        Err(NotJson) => {
            return Err(ApiError::argument("[ERROR] must be JSON [json-pointer:/view]".to_owned()));
        }
    };
    match limits::check_view(&view) {
        Ok(()) => Ok(view.as_object().cloned().unwrap_or_default()),
        Err(refused @ limits::ViewRefused::TooLarge(_)) => Err(ApiError::new(refused.code())),
        Err(limits::ViewRefused::Invalid(messages)) => {
            Err(ApiError::new("invalid_arguments").because(messages))
        }
    }
}

fn reject_taken_external_id(
    state: &State,
    content: &Map<String, Value>,
    own: Option<&str>,
) -> Result<(), ApiError> {
    let external_id = content.get("external_id").and_then(Value::as_str).unwrap_or_default();
    if !external_id.is_empty() && state.views.has_external_id(external_id, own) {
        return Err(ApiError::new("duplicate_external_id"));
    }
    Ok(())
}
