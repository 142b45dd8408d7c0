//! The manifest of a Slack app: what an operator pastes into *Create New App*, *From a manifest*, in place of many presses.
//!
//! Pure: from the features in use to the fewest scopes, and to a manifest that its own rules accept (`rules`). What only
//! looks up channels or an earlier message needs is optional: the user who installs the app may leave it out
//! (`bot_optional`, since 2026-03-16). The app-level token of Socket Mode has no place in a manifest; Slack makes it by
//! hand.

mod rules;
mod yaml;

use serde_json::{Value, json};

pub use self::rules::{Violation, violations};
pub use self::yaml::to_yaml;

/// The name of the app and of its bot, which people invite and see as the author of messages.
const NAME: &str = "Teleport";
const DESCRIPTION: &str = "Shows Teleport access requests and keeps the messages up to date";

/// What an installation uses of Slack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Channels are named, by name or id.
    pub channels: bool,
    /// Some of them by id, so that they may be private.
    pub channel_ids: bool,
    /// User groups may decide.
    pub user_groups: bool,
    /// How button presses arrive; `None` if there are no buttons.
    pub interactivity: Option<Interactivity>,
}

/// How Slack sends interactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interactivity {
    /// Over a WebSocket that the program opens.
    SocketMode,
    /// To this address, `https://…`.
    RequestUrl(String),
}

/// A bot scope, and when it is asked for.
struct Scope {
    name: &'static str,
    /// The user who installs the app may leave it out: something is less comfortable then, and nothing is missing.
    is_optional: bool,
    is_needed: fn(&Features) -> bool,
}

/// By the pages of the methods that are called. People are always looked up: requesters name the users who should review,
/// and they get direct messages.
const SCOPES: [Scope; 10] = [
    Scope { name: "chat:write", is_optional: false, is_needed: |_| true },
    Scope { name: "users:read", is_optional: false, is_needed: |_| true },
    Scope { name: "users:read.email", is_optional: false, is_needed: |_| true },
    Scope { name: "usergroups:read", is_optional: false, is_needed: |features| features.user_groups },
    Scope { name: "channels:read", is_optional: true, is_needed: |features| features.channels },
    Scope { name: "groups:read", is_optional: true, is_needed: |features| features.channel_ids },
    Scope { name: "channels:history", is_optional: true, is_needed: |features| features.channels },
    Scope { name: "groups:history", is_optional: true, is_needed: |features| features.channel_ids },
    Scope { name: "im:history", is_optional: true, is_needed: |_| true },
    Scope { name: "im:write", is_optional: true, is_needed: |_| true },
];

/// The scopes that these features need, and of these the ones that may be left out.
pub fn scopes(features: &Features) -> (Vec<&'static str>, Vec<&'static str>) {
    let needed = || SCOPES.iter().filter(|scope| (scope.is_needed)(features));
    let all = needed().map(|scope| scope.name).collect();
    (all, needed().filter(|scope| scope.is_optional).map(|scope| scope.name).collect())
}

/// The manifest for these features. Slack wants optional scopes in both lists.
pub fn manifest(features: &Features) -> Value {
    let (all, optional) = scopes(features);
    let mut interactivity = json!({ "is_enabled": features.interactivity.is_some() });
    if let Some(Interactivity::RequestUrl(url)) = &features.interactivity {
        interactivity["request_url"] = json!(url);
    }
    json!({
        "_metadata": { "major_version": 1 },
        "display_information": { "name": NAME, "description": DESCRIPTION },
        "features": {
            "bot_user": { "display_name": NAME, "always_online": true },
            // Without the Messages tab no direct message arrives; nothing reads what people write there.
            "app_home": {
                "home_tab_enabled": false,
                "messages_tab_enabled": true,
                "messages_tab_read_only_enabled": true,
            },
        },
        "oauth_config": { "scopes": { "bot": all, "bot_optional": optional } },
        "settings": {
            "interactivity": interactivity,
            "org_deploy_enabled": false,
            "socket_mode_enabled": features.interactivity == Some(Interactivity::SocketMode),
            // Once on, Slack cannot switch it off, and the token would expire after twelve hours.
            "token_rotation_enabled": false,
        },
    })
}

#[cfg(test)]
mod tests;
