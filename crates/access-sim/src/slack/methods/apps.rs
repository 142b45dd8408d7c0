//! What the app-level token is good for: opening sockets, and asking whose it is.

use serde_json::json;

use super::super::arguments::Incoming;
use super::super::rate::Tier;
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};

pub(super) const OPEN: &str = "apps.connections.open";
pub(super) const AUTH_TEST: &str = "auth.test";

/// `auth.test` with the app-level token names the app and no user; the fields are those that the official types
/// have for it, the rest is assumed.
pub(super) fn app_auth_test(state: &mut State, now: Moment) -> Reply {
    state.limiter.admit_call(AUTH_TEST, Tier::Special, now.instant).map_err(ApiError::rate_limited)?;
    Ok(json!({ "app_name": state.bot.name, "app_id": state.bot.app_id }))
}

/// Hands out the address for one socket. The token counts only in the header, the verb must be POST.
pub(super) fn connections_open(state: &mut State, incoming: &Incoming, now: Moment) -> Reply {
    if !incoming.posted {
        return Err(ApiError::new("insecure_request"));
    }
    let token = incoming.header_token.as_deref().ok_or_else(|| ApiError::new("not_authed"))?;
    if token == state.bot.token {
        return Err(ApiError::new("not_allowed_token_type"));
    }
    if token != state.app.app_token {
        return Err(ApiError::new("invalid_auth"));
    }
    state.limiter.admit_call(OPEN, Tier::Three, now.instant).map_err(ApiError::rate_limited)?;
    let ticket = state.tickets.create(now.instant);
    // https becomes wss.
    let (base, app) = (state.public_url.replacen("http", "ws", 1), &state.bot.app_id);
    Ok(json!({ "url": format!("{base}/link/?ticket={ticket}&app_id={app}") }))
}
