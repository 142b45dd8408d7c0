//! User groups.

use serde_json::json;

use super::super::arguments::Arguments;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};

pub(super) fn users_list(state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let id = arguments.required("usergroup")?;
    let with_disabled = arguments.flag("include_disabled")?.unwrap_or(false);
    // With a workspace's token Slack does not look at team_id.
    arguments.text("team_id")?;
    let group = state.groups.get(id).filter(|group| with_disabled || !group.disabled);
    let group = group.ok_or_else(|| ApiError::new("no_such_subteam"))?;
    Ok(json!({ "users": group.users }))
}
