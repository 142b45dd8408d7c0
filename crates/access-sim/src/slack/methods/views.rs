//! Opening and changing modals.

use serde_json::{Map, Value, json};

use super::super::arguments::{Arguments, NotJson};
use super::super::limits;
use super::super::reply::{Refusal, Reply};
use super::super::state::{Moment, State};

pub(super) fn open(state: &mut State, arguments: &Arguments, now: Moment) -> Reply {
    let trigger = arguments.required("trigger_id")?.to_owned();
    let content = read_view(arguments)?;
    let user = state.triggers.person(&trigger, state.times.trigger, now.instant)?.to_owned();
    refuse_taken(state, &content, None)?;
    state.triggers.spend(&trigger);
    let view = state.views.open(&user, content);
    Ok(json!({ "view": view.to_api(&state.team, &state.bot) }))
}

pub(super) fn update(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let content = read_view(arguments)?;
    let hash = arguments.text("hash")?;
    let found = match (arguments.text("view_id")?, arguments.text("external_id")?) {
        (Some(id), None) => state.views.by_id(id),
        (None, Some(id)) => state.views.by_external_id(id),
        _ => return Err(Refusal::argument("[ERROR] either view_id or external_id".to_owned())),
    };
    let view = found.ok_or_else(|| Refusal::new("not_found"))?;
    if hash.is_some_and(|hash| hash != view.hash) {
        return Err(Refusal::new("hash_conflict"));
    }
    let id = view.id.clone();
    refuse_taken(state, &content, Some(&id))?;
    let view = state.views.by_id(&id).ok_or_else(|| Refusal::new("not_found"))?;
    view.replace(content);
    Ok(json!({ "view": view.to_api(&state.team, &state.bot) }))
}

fn read_view(arguments: &Arguments) -> Result<Map<String, Value>, Refusal> {
    let view = match arguments.structured("view") {
        Ok(Some(view)) => view,
        Ok(None) => return Err(Refusal::argument("[ERROR] missing required field: view".to_owned())),
        Err(NotJson) => {
            return Err(Refusal::argument("[ERROR] must be JSON [json-pointer:/view]".to_owned()));
        }
    };
    match limits::check_view(&view) {
        Ok(()) => Ok(view.as_object().cloned().unwrap_or_default()),
        Err(refused @ limits::ViewRefused::TooLarge(_)) => Err(Refusal::new(refused.code())),
        Err(limits::ViewRefused::Invalid(messages)) => {
            Err(Refusal::new("invalid_arguments").because(messages))
        }
    }
}

fn refuse_taken(state: &State, content: &Map<String, Value>, own: Option<&str>) -> Result<(), Refusal> {
    let external_id = content.get("external_id").and_then(Value::as_str).unwrap_or_default();
    if !external_id.is_empty() && state.views.taken(external_id, own) {
        return Err(Refusal::new("duplicate_external_id"));
    }
    Ok(())
}
