//! What Slack demands of a manifest, and what this program demands: one row per rule, with its source.

use std::collections::BTreeSet;

use serde_json::Value;

/// Slack's schema of manifests, release 2.0.0 (`slackapi/manifest-schema`).
const SCHEMA: &str = "Slack's manifest schema 2.0.0";
/// Slack's page about manifests.
const PAGE: &str = "docs.slack.dev/reference/app-manifest";
/// Slack's announcement of optional scopes.
const OPTIONAL: &str = "docs.slack.dev/changelog, 2026-03-16";
/// The daemon could not work otherwise.
const OURS: &str = "teleport-slack";

/// Scopes in one list.
const MAX_SCOPES: usize = 255;

/// Characters in a scope.
const MAX_SCOPE: usize = 50;

/// Characters in a request URL.
const MAX_URL: usize = 3_500;

/// A rule that a manifest breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a JSON pointer.
    pub pointer: &'static str,
    /// What must hold.
    pub rule: &'static str,
    /// Who demands it.
    pub source: &'static str,
}

/// A rule: it is given what stands at its pointer, [`Value::Null`] if nothing does, and the whole manifest.
struct Rule {
    violation: Violation,
    holds: fn(&Value, &Value) -> bool,
}

const fn rule(
    pointer: &'static str,
    rule: &'static str,
    source: &'static str,
    holds: fn(&Value, &Value) -> bool,
) -> Rule {
    Rule { violation: Violation { pointer, rule, source }, holds }
}

const RULES: [Rule; 20] = [
    rule("", "no unknown key", SCHEMA, |at, _| {
        has_only(at, &["_metadata", "display_information", "features", "oauth_config", "settings"])
    }),
    rule("/display_information", "no unknown key", SCHEMA, |at, _| {
        has_only(at, &["name", "description", "long_description", "background_color"])
    }),
    rule("/features", "no unknown key that this program uses", SCHEMA, |at, _| {
        has_only(at, &["app_home", "bot_user"])
    }),
    rule("/features/bot_user", "no unknown key", SCHEMA, |at, _| {
        has_only(at, &["display_name", "always_online"])
    }),
    rule("/features/app_home", "no unknown key", SCHEMA, |at, _| {
        has_only(at, &["home_tab_enabled", "messages_tab_enabled", "messages_tab_read_only_enabled"])
    }),
    rule("/oauth_config/scopes", "no unknown key that this program uses", SCHEMA, |at, _| {
        has_only(at, &["bot", "bot_optional"])
    }),
    rule("/settings", "no unknown key that this program uses", SCHEMA, |at, _| {
        has_only(
            at,
            &["interactivity", "org_deploy_enabled", "socket_mode_enabled", "token_rotation_enabled"],
        )
    }),
    rule("/_metadata/major_version", "1 or 2", SCHEMA, |at, _| matches!(at.as_u64(), Some(1 | 2))),
    rule("/display_information/name", "1 to 35 characters", SCHEMA, |at, _| is_text(at, 1, 35)),
    rule("/display_information/description", "absent, or 1 to 140 characters", SCHEMA, |at, _| {
        at.is_null() || is_text(at, 1, 140)
    }),
    rule("/features/bot_user/display_name", "1 to 80 characters", SCHEMA, |at, _| is_text(at, 1, 80)),
    rule("/features/app_home/messages_tab_enabled", "true: direct messages need it", OURS, |at, _| {
        *at == true
    }),
    rule(
        "/oauth_config/scopes/bot",
        "1 to 255 scopes of at most 50 characters, each once",
        SCHEMA,
        |at, _| scope_list(at).is_some_and(|scopes| !scopes.is_empty()),
    ),
    rule("/oauth_config/scopes/bot", "chat:write, to post", OURS, |at, _| {
        scope_list(at).is_some_and(|scopes| scopes.contains("chat:write"))
    }),
    rule("/oauth_config/scopes/bot", "users:read beside users:read.email", PAGE, |at, _| {
        scope_list(at)
            .is_some_and(|scopes| !scopes.contains("users:read.email") || scopes.contains("users:read"))
    }),
    rule("/oauth_config/scopes/bot", "no connections:write, which app-level tokens have", PAGE, |at, _| {
        scope_list(at).is_some_and(|scopes| !scopes.contains("connections:write"))
    }),
    rule(
        "/oauth_config/scopes/bot_optional",
        "at most 255 scopes, all of them in bot too",
        OPTIONAL,
        |at, all| {
            let bot = all.pointer("/oauth_config/scopes/bot").and_then(scope_list).unwrap_or_default();
            at.is_null() || scope_list(at).is_some_and(|scopes| scopes.is_subset(&bot))
        },
    ),
    rule("/settings/interactivity", "is_enabled, and perhaps request_url", PAGE, |at, _| {
        at["is_enabled"].is_boolean() && has_only(at, &["is_enabled", "request_url"])
    }),
    rule(
        "/settings/interactivity",
        "if enabled, either Socket Mode, or an https request_url of at most 3500 characters without blanks",
        PAGE,
        |at, all| {
            let is_socket_mode = all["settings"]["socket_mode_enabled"] == true;
            let is_https = |url: &str| {
                (9..=MAX_URL).contains(&url.chars().count())
                    && url.starts_with("https://")
                    && !url.contains(char::is_whitespace)
            };
            match (at["is_enabled"] == true, &at["request_url"]) {
                (true, Value::Null) => is_socket_mode,
                (true, url) => !is_socket_mode && url.as_str().is_some_and(is_https),
                (false, url) => url.is_null() && !is_socket_mode,
            }
        },
    ),
    rule("/settings/token_rotation_enabled", "false: the token must not expire", OURS, |at, _| *at == false),
];

/// Each rule that the manifest breaks, in their order.
pub fn violations(manifest: &Value) -> Vec<Violation> {
    let at = |pointer: &str| manifest.pointer(pointer).unwrap_or(&Value::Null);
    let broken = RULES.iter().filter(|rule| !(rule.holds)(at(rule.violation.pointer), manifest));
    broken.map(|rule| rule.violation).collect()
}

fn has_only(value: &Value, known: &[&str]) -> bool {
    value.as_object().is_some_and(|fields| fields.keys().all(|key| known.contains(&key.as_str())))
}

fn is_text(value: &Value, min: usize, max: usize) -> bool {
    value.as_str().is_some_and(|text| (min..=max).contains(&text.chars().count()))
}

/// A list of scopes, at most 255 of at most 50 characters, and each once.
fn scope_list(value: &Value) -> Option<BTreeSet<&str>> {
    let list = value.as_array().filter(|list| list.len() <= MAX_SCOPES)?;
    let scopes: BTreeSet<&str> = list.iter().map(Value::as_str).collect::<Option<_>>()?;
    let is_short = |scope: &&str| (1..=MAX_SCOPE).contains(&scope.chars().count());
    (scopes.len() == list.len() && scopes.iter().all(is_short)).then_some(scopes)
}
