//! What can be said at start about the Slack side: scopes that are missing, channels that cannot be posted to.
//!
//! A missing scope that every message needs is waited for (`startup`). Everything else is a warning, because nothing is missing yet
//! and Slack may be put right while the daemon runs; when a message cannot be delivered for it, that is an error, told once.

use access_core::ids::ChannelId;
use access_core::policy::{self, Approver};
use access_core::recipients::{Recipient, Rules};
use tracing::{debug, error, warn};

use crate::slack::directory::Directory;
use crate::slack::error::Kind;
use crate::slack::objects::AuthTest;

/// What the token lacks without which nothing works; `None` if nothing, or if Slack did not say.
pub(crate) fn lacks(auth: &AuthTest) -> Option<&'static str> {
    let may_post = auth.scopes.as_ref().is_none_or(|scopes| scopes.contains("chat:write"));
    (!may_post).then_some("the Slack token lacks the scope chat:write, without which nothing can be posted; add it under OAuth & Permissions of the Slack app and install the app again")
}

/// Warns of what the token may not do and the rules need.
pub(crate) fn scopes(auth: &AuthTest, rules: &Rules) {
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
                "The Slack token lacks a scope: recipients and suggested reviewers named by e-mail cannot be told; add it under OAuth & Permissions of the Slack app and install the app again"
            );
        }
    }
}

/// Says which scopes are missing without which people cannot decide in Slack.
pub(crate) fn deciding_scopes(auth: &AuthTest, rules: &policy::Rules) {
    let Some(scopes) = &auth.scopes else { return };
    let names_group =
        rules.0.iter().flat_map(|rule| &rule.approvers).any(|a| matches!(a, Approver::Group(_)));
    let needed = [
        ("users:read", true, "nobody can decide in Slack, because who clicks cannot be looked up"),
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

/// Looks at each configured channel id and says which cannot be posted to, and why.
pub(crate) async fn channels(directory: &Directory, rules: &Rules) {
    let mut seen = std::collections::BTreeSet::new();
    for recipient in rules.named() {
        let Recipient::ChannelId(id) = recipient else { continue };
        if !seen.insert(id) {
            continue;
        }
        match directory.conversation(&ChannelId::new(id.as_str())).await {
            Ok(Some(channel)) if channel.is_archived => {
                warn!(channel = %id, "The channel is archived, so nothing can be posted there; unarchive it or take it out of the configuration");
            }
            Ok(Some(channel)) if channel.is_member == Some(false) => {
                warn!(channel = %id, "The bot is not in the channel; invite it there with /invite @<bot name>");
            }
            Ok(Some(channel)) if channel.is_ext_shared => {
                warn!(channel = %id, "The channel is shared with another company, whose people will see the access requests");
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                warn!(channel = %id, "Slack knows no such channel, or it is private and the bot is not in it; correct the id or invite the bot");
            }
            // Without channels:read nothing can be said beforehand; posting will tell.
            Err(error) if matches!(error.kind(), Kind::Unauthorised | Kind::Permanent) => {
                debug!(channel = %id, "Channels cannot be checked: {}", error.with_remedy());
                return;
            }
            Err(error) => debug!(channel = %id, "Cannot check the channel: {}", error.with_remedy()),
        }
    }
}
