//! The Web API methods: what each asks for and who carries it out.
//!
//! The order of checks is Slack's: the method, the token, the rate limit, the scopes, the names of the arguments,
//! then whatever the method itself knows. Transport is in `arguments.rs`.

mod apps;
mod chat;
mod content;
mod conversations;
mod ephemeral;
mod history;
pub(super) mod response;
mod usergroups;
mod users;
mod validate;
mod views;

use super::arguments::{Arguments, Incoming};
use super::rate::Tier;
use super::reply::{ApiError, Reply};
use super::state::{Moment, State};

/// One method of the Web API.
struct Method {
    name: &'static str,
    tier: Tier,
    /// One of these is enough to begin with; the method may ask for a certain one later.
    scopes: &'static [&'static str],
    /// Every documented argument. Slack ignores others; a misspelt one is refused here.
    arguments: &'static [&'static str],
    run: fn(&mut State, &Arguments, Moment) -> Reply,
}

const READ_SCOPES: &[&str] = &["channels:read", "groups:read", "mpim:read", "im:read"];
const HISTORY_SCOPES: &[&str] = &["channels:history", "groups:history", "mpim:history", "im:history"];

const METHODS: &[Method] = &[
    Method { name: apps::AUTH_TEST, tier: Tier::Special, scopes: &[], arguments: &[], run: users::auth_test },
    Method {
        name: "blocks.validate",
        tier: Tier::Special,
        scopes: &[],
        arguments: &["blocks", "message", "view"],
        run: validate::validate,
    },
    Method {
        name: "bots.info",
        tier: Tier::Three,
        scopes: &["users:read"],
        arguments: &["bot", "team_id"],
        run: users::bots_info,
    },
    Method {
        name: "chat.delete",
        tier: Tier::Three,
        scopes: &["chat:write"],
        arguments: &["channel", "ts", "as_user"],
        run: chat::delete,
    },
    Method {
        name: "chat.getPermalink",
        tier: Tier::Special,
        scopes: &[],
        arguments: &["channel", "message_ts"],
        run: chat::get_permalink,
    },
    Method {
        name: "chat.postEphemeral",
        tier: Tier::Four,
        scopes: &["chat:write"],
        arguments: &[
            "channel",
            "user",
            "text",
            "blocks",
            "attachments",
            "markdown_text",
            "thread_ts",
            "parse",
            "link_names",
            "username",
            "icon_emoji",
            "icon_url",
            "as_user",
        ],
        run: ephemeral::post_ephemeral,
    },
    Method {
        name: "chat.postMessage",
        tier: Tier::Special,
        scopes: &["chat:write"],
        arguments: &[
            "channel",
            "text",
            "blocks",
            "attachments",
            "markdown_text",
            "metadata",
            "thread_ts",
            "reply_broadcast",
            "parse",
            "link_names",
            "mrkdwn",
            "unfurl_links",
            "unfurl_media",
            "username",
            "icon_emoji",
            "icon_url",
            "as_user",
            "container_id",
            "file_ids",
        ],
        run: chat::post_message,
    },
    Method {
        name: "chat.update",
        tier: Tier::Three,
        scopes: &["chat:write"],
        arguments: &[
            "channel",
            "ts",
            "text",
            "blocks",
            "attachments",
            "markdown_text",
            "metadata",
            "parse",
            "link_names",
            "reply_broadcast",
            "as_user",
            "file_ids",
            "unfurl_links",
            "unfurl_media",
        ],
        run: chat::update,
    },
    Method {
        name: "conversations.history",
        tier: Tier::Three,
        scopes: HISTORY_SCOPES,
        arguments: &["channel", "cursor", "include_all_metadata", "inclusive", "latest", "limit", "oldest"],
        run: history::history,
    },
    Method {
        name: "conversations.info",
        tier: Tier::Three,
        scopes: READ_SCOPES,
        arguments: &["channel", "include_locale", "include_num_members"],
        run: conversations::info,
    },
    Method {
        name: "conversations.join",
        tier: Tier::Three,
        scopes: &["channels:join"],
        arguments: &["channel"],
        run: conversations::join,
    },
    Method {
        name: "conversations.list",
        tier: Tier::Two,
        scopes: READ_SCOPES,
        arguments: &["cursor", "exclude_archived", "limit", "team_id", "types"],
        run: conversations::list,
    },
    Method {
        name: "conversations.open",
        tier: Tier::Three,
        scopes: &["channels:manage", "groups:write", "im:write", "mpim:write"],
        arguments: &["channel", "users", "return_im", "prevent_creation"],
        run: conversations::open,
    },
    Method {
        name: "conversations.replies",
        tier: Tier::Three,
        scopes: HISTORY_SCOPES,
        arguments: &[
            "channel",
            "ts",
            "cursor",
            "include_all_metadata",
            "inclusive",
            "latest",
            "limit",
            "oldest",
        ],
        run: history::replies,
    },
    Method {
        name: "usergroups.users.list",
        tier: Tier::Two,
        scopes: &["usergroups:read"],
        arguments: &["usergroup", "include_disabled", "team_id"],
        run: usergroups::users_list,
    },
    Method {
        name: "users.info",
        tier: Tier::Four,
        scopes: &["users:read"],
        arguments: &["user", "include_locale"],
        run: users::info,
    },
    Method {
        name: "users.lookupByEmail",
        tier: Tier::Three,
        scopes: &["users:read.email"],
        arguments: &["email"],
        run: users::lookup_by_email,
    },
    Method {
        name: "views.open",
        tier: Tier::Four,
        scopes: &[],
        arguments: &["trigger_id", "interactivity_pointer", "view"],
        run: views::open,
    },
    Method {
        name: "views.update",
        tier: Tier::Four,
        scopes: &[],
        arguments: &["view", "view_id", "external_id", "hash"],
        run: views::update,
    },
];

/// The scopes to show in the answer's headers: what the token has, what the method takes.
pub(super) struct ScopeHeaders {
    pub(super) granted: String,
    pub(super) accepted: String,
}

/// Runs a call. The headers are there as soon as the token is accepted.
pub(super) fn call(
    state: &mut State,
    name: &str,
    incoming: Result<&Incoming, ApiError>,
    now: Moment,
) -> (Reply, Option<ScopeHeaders>) {
    if name == apps::OPEN {
        let reply = incoming.and_then(|incoming| {
            reject_unknown(&incoming.arguments, &[])?;
            apps::connections_open(state, incoming, now)
        });
        return (reply, None);
    }
    let Some(method) = METHODS.iter().find(|method| method.name == name) else {
        return (Err(ApiError::new("unknown_method").with("req_method", shown(name).into())), None);
    };
    let incoming = match incoming {
        Ok(incoming) => incoming,
        Err(refusal) => return (Err(refusal), None),
    };
    if incoming.token.as_deref() == Some(&state.app.app_token) {
        let reply = match method.name {
            apps::AUTH_TEST => {
                reject_unknown(&incoming.arguments, &[]).and_then(|()| apps::app_auth_test(state, now))
            }
            _ => Err(ApiError::new("not_allowed_token_type")),
        };
        return (reply, None);
    }
    if let Err(refusal) = state.authenticate(incoming.token.as_deref()) {
        return (Err(refusal), None);
    }
    let headers = ScopeHeaders { granted: state.granted(), accepted: method.scopes.join(",") };
    (run(state, method, &incoming.arguments, now), Some(headers))
}

fn run(state: &mut State, method: &Method, arguments: &Arguments, now: Moment) -> Reply {
    state.limiter.admit_call(method.name, method.tier, now.instant).map_err(ApiError::rate_limited)?;
    if !method.scopes.is_empty() && !method.scopes.iter().any(|scope| state.has_scope(scope)) {
        return Err(ApiError::missing_scope(&method.scopes.join(","), &state.bot.scopes));
    }
    reject_unknown(arguments, method.arguments)?;
    (method.run)(state, arguments, now)
}

/// Slack's own frameworks add this to every call that a click leads to; with a workspace's token it means nothing.
const ALWAYS_KNOWN: &str = "team_id";

fn reject_unknown(arguments: &Arguments, known: &[&str]) -> Result<(), ApiError> {
    let unknown: Vec<String> = arguments
        .names()
        .filter(|name| !known.contains(name) && *name != ALWAYS_KNOWN)
        .take(10)
        .map(|name| format!("[ERROR] unknown argument: {}", shown(name)))
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(ApiError::new("invalid_arg_name").because(unknown)) }
}

/// A foreign name, short enough to repeat.
fn shown(name: &str) -> String {
    name.chars().take(60).collect()
}
