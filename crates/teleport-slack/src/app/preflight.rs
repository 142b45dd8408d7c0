//! Checks of the Slack side at start: missing scopes, recipients that cannot be notified.
//!
//! The daemon waits for a missing scope that every message needs (`startup`). Everything else is a warning: no message is
//! missing yet, and an operator may fix Slack while the daemon runs. Once a message cannot be delivered for it, the daemon
//! logs an error, once.

use std::collections::BTreeSet;

use access_core::domain::ids::ChannelId;
use access_core::domain::recipients::{Recipient, Rules};
use access_core::policy::{self, Approver};
use tracing::{debug, error, info, warn};

use crate::config::slack_setting;
use access_core::policy::identity::SlackProfile;
use slack_client::directory::Directory;
use slack_client::error::{Retry, SlackError};
use slack_client::objects::{AuthTest, Conversation};

/// How many waits in a row the check of one recipient obeys.
const MAX_WAITS: u32 = 3;

/// What the token lacks without which nothing works; `None` if nothing, or if Slack did not say.
pub(crate) fn missing_scope(auth: &AuthTest) -> Option<&'static str> {
    let may_post = auth.scopes.as_ref().is_none_or(|scopes| scopes.contains("chat:write"));
    (!may_post).then_some("the Slack token lacks the scope chat:write, without which nothing can be posted; add it under OAuth & Permissions of the Slack app and install the app again")
}

/// Warns of what the token may not do and the rules need.
pub(crate) fn warn_missing_scopes(auth: &AuthTest, rules: &Rules) {
    let Some(scopes) = &auth.scopes else {
        debug!("Slack did not say which scopes the token has");
        return;
    };
    let has = |scope: &str| scopes.contains(scope);
    let names_people = rules.named().any(|r| matches!(r, Recipient::Email(_)));
    for scope in ["users:read", "users:read.email"] {
        if !has(scope) && names_people {
            warn!(
                scope,
                "The Slack token lacks a scope: recipients and suggested reviewers named by e-mail cannot be notified; add it under OAuth & Permissions of the Slack app and install the app again"
            );
        }
    }
}

/// Logs which scopes are missing without which users cannot decide in Slack.
pub(crate) fn log_missing_review_scopes(auth: &AuthTest, rules: &policy::Rules) {
    let Some(scopes) = &auth.scopes else { return };
    let names_group =
        rules.0.iter().flat_map(|rule| &rule.approvers).any(|a| matches!(a, Approver::Group(_)));
    let needed = [
        ("users:read", true, "no user can decide in Slack, because the user who clicks cannot be looked up"),
        (
            "usergroups:read",
            names_group,
            "the members of the user groups that rules name cannot decide in Slack",
        ),
    ];
    for (scope, is_needed, what) in needed {
        if is_needed && !scopes.contains(scope) {
            error!(
                scope,
                "The Slack token lacks a scope: {what}; add it under OAuth & Permissions of the Slack app and install the app again"
            );
        }
    }
}

/// Looks up each configured recipient, and logs which cannot be notified and why; and once what could not be looked up.
/// It remembers nothing about users: the daemon looks recipients up when it has something to post.
pub(crate) async fn check_recipients(
    slack: &slack_client::Client,
    directory: &Directory,
    auth: &AuthTest,
    rules: &Rules,
) {
    let named: BTreeSet<&Recipient> = rules.named().collect();
    let names: BTreeSet<&str> = named
        .iter()
        .filter_map(|recipient| match recipient {
            Recipient::ChannelName(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let has = |scope: &str| auth.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope));
    let names_channels =
        named.iter().any(|r| matches!(r, Recipient::ChannelId(_) | Recipient::ChannelName(_)));
    let may_look = has("channels:read") || has("groups:read");
    if names_channels && !may_look {
        info!(
            "Channels cannot be looked at when starting, because the Slack token lacks the scopes channels:read and groups:read; the log names those that cannot be posted to when there is something to post"
        );
    }
    if !names.is_empty() && has("channels:read") {
        self::check_channels_by_name(directory, &names).await;
    }
    for recipient in named {
        let mut waits = MAX_WAITS;
        loop {
            let looked = match recipient {
                Recipient::ChannelId(id) if may_look => check_channel(directory, id).await,
                Recipient::User(id) => check_user(recipient, slack.user_info(id).await),
                Recipient::Email(email) => check_user(recipient, slack.lookup_by_email(email).await),
                Recipient::ChannelId(_) | Recipient::ChannelName(_) | Recipient::Reviewer(_) => Ok(()),
            };
            let Err(error) = looked else { break };
            if !wait_if_asked(&error, &mut waits).await {
                warn!(%recipient, "This recipient cannot be looked at when starting: {}", error.with_remedy(slack_setting));
                break;
            }
        }
    }
}

/// Waits if Slack asks for it and some `waits` are left: there may be more recipients than look-ups a minute. Returns whether
/// to look again.
async fn wait_if_asked(error: &SlackError, waits: &mut u32) -> bool {
    let (Retry::After(wait), 1..) = (error.retry(), *waits) else { return false };
    *waits -= 1;
    tokio::time::sleep(wait).await;
    true
}

/// Looks at the channels that are given by name, all at once.
async fn check_channels_by_name(directory: &Directory, names: &BTreeSet<&str>) {
    let mut waits = MAX_WAITS;
    let found = loop {
        let error = match directory.channels_by_name(names).await {
            Ok(found) => break found,
            Err(error) => error,
        };
        if !wait_if_asked(&error, &mut waits).await {
            warn!(
                "Channels given by name cannot be looked at when starting: {}",
                error.with_remedy(slack_setting)
            );
            return;
        }
    };
    for name in names {
        match found.iter().find(|channel| channel.name == **name) {
            Some(channel) => log_channel_problems(&format!("#{name}"), channel),
            None => {
                warn!(channel = %format!("#{name}"), "Slack knows no public channel of this name; correct it, or name a private channel by its id (C...) and invite the bot there");
            }
        }
    }
}

async fn check_channel(directory: &Directory, id: &str) -> Result<(), SlackError> {
    match directory.conversation(&ChannelId::new(id)).await? {
        Some(channel) => log_channel_problems(id, &channel),
        None => {
            warn!(channel = %id, "Slack knows no such channel, or it is private and the bot is not in it; correct the id or invite the bot");
        }
    }
    Ok(())
}

/// Says what is wrong with a channel that is there.
fn log_channel_problems(named: &str, channel: &Conversation) {
    if channel.is_archived {
        warn!(channel = %named, "The channel is archived, so nothing can be posted there; unarchive it or take it out of the configuration");
    } else if channel.is_member == Some(false) {
        warn!(channel = %named, "The bot is not in the channel; invite it there with /invite @<bot name>");
    } else if channel.is_ext_shared {
        warn!(channel = %named, "The channel is shared with another company, whose people will see the access requests");
    }
}

fn check_user(
    recipient: &Recipient,
    found: Result<Option<SlackProfile>, SlackError>,
) -> Result<(), SlackError> {
    match found? {
        Some(user) if user.deleted => {
            warn!(%recipient, "This recipient is deactivated in Slack; take it out of the configuration");
        }
        Some(_) => {}
        None => {
            warn!(%recipient, "No user in this Slack workspace matches this recipient; correct it in the configuration, or invite the person");
        }
    }
    Ok(())
}
