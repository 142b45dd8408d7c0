//! Opening sockets: the one method that takes the app-level token.

use serde_json::json;

use super::super::arguments::Incoming;
use super::super::rate::Tier;
use super::super::reply::{Refusal, Reply};
use super::super::state::{Moment, State};

pub(super) const OPEN: &str = "apps.connections.open";

/// Hands out the address for one socket. The token counts only in the header, the verb must be POST.
pub(super) fn connections_open(state: &mut State, incoming: &Incoming, now: Moment) -> Reply {
    if !incoming.posted {
        return Err(Refusal::new("insecure_request"));
    }
    let token = incoming.header_token.as_deref().ok_or_else(|| Refusal::new("not_authed"))?;
    if token == state.bot.token {
        return Err(Refusal::new("not_allowed_token_type"));
    }
    if token != state.app.app_token {
        return Err(Refusal::new("invalid_auth"));
    }
    state.limiter.admit_call(OPEN, Tier::Three, now.instant).map_err(Refusal::rate_limited)?;
    let ticket = state.tickets.make(now.instant);
    let (addr, app) = (state.public_addr, &state.bot.app_id);
    Ok(json!({ "url": format!("ws://{addr}/link/?ticket={ticket}&app_id={app}") }))
}
