//! Logs, at the start, what `check` finds on the Slack side: missing scopes, and recipients that cannot be notified.
//!
//! The daemon waits for a missing scope that every message needs (`startup`). Everything else is a warning: no message is
//! missing yet, and an operator may fix Slack while the daemon runs. Once a message cannot be delivered for it, the daemon
//! logs an error, once.

use std::collections::BTreeMap;
use std::fmt;

use access_core::domain::recipients::{Recipient, Rules};
use access_core::policy;
use slack_client::directory::Directory;
use slack_client::objects::AuthTest;
use tracing::{debug, error, info, warn};

use crate::check::online::recipients::{RecipientState, Resolved, obstacle_of, resolve};
use crate::check::online::scopes::{self, Need, SCOPE_REMEDY};
use crate::check::report::Status;
use crate::config::slack_setting;

/// What the token lacks without which nothing works; `None` if nothing, or if Slack did not say.
pub(crate) fn missing_scope(auth: &AuthTest) -> Option<String> {
    let Need { scope, costs, .. } = scopes::missing(auth.scopes.as_ref()?, vec![scopes::POST]).next()?;
    Some(format!("the Slack token lacks the scope {scope}, so {costs}; {SCOPE_REMEDY}"))
}

/// Warns of what the token may not do and the rules need.
pub(crate) fn warn_missing_scopes(auth: &AuthTest, rules: &Rules) {
    if auth.scopes.is_none() {
        debug!("Slack did not say which scopes the token has");
    }
    log_missing(auth, scopes::for_recipients(rules));
}

/// Logs which scopes are missing without which users cannot decide in Slack.
pub(crate) fn log_missing_review_scopes(auth: &AuthTest, rules: &policy::Rules) {
    log_missing(auth, scopes::for_review(rules));
}

fn log_missing(auth: &AuthTest, needs: Vec<Need>) {
    for Need { scope, status, costs } in
        auth.scopes.iter().flat_map(|scopes| scopes::missing(scopes, needs.clone()))
    {
        match status {
            Status::Failed => error!(scope, "The Slack token lacks a scope: {costs}; {SCOPE_REMEDY}"),
            Status::Warning | Status::Ok => {
                warn!(scope, "The Slack token lacks a scope: {costs}; {SCOPE_REMEDY}");
            }
        }
    }
}

/// When recipients are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum During {
    Start,
    Reload,
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "when starting",
            Self::Reload => "for the new configuration",
        })
    }
}

/// Looks up each configured recipient, and logs which cannot be notified and why; and once for each cause, how many could not
/// be looked up.
pub(crate) async fn check_recipients(
    slack: &slack_client::Client,
    directory: &Directory,
    auth: &AuthTest,
    rules: &Rules,
    during: During,
) {
    let resolved = resolve(slack, directory, auth, rules).await;
    let is_channel = |resolved: &&Resolved| {
        matches!(resolved.recipient, Recipient::ChannelId(_) | Recipient::ChannelName(_))
    };
    let unseen = |resolved: &Resolved| matches!(resolved.finding, RecipientState::MissingScope(_));
    let may_look = |scope: &str| auth.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope));
    if resolved.iter().filter(is_channel).any(unseen)
        && !may_look("channels:read")
        && !may_look("groups:read")
    {
        info!(
            "Channels cannot be looked at {during}, because the Slack token lacks the scopes channels:read and groups:read; the log names those that cannot be posted to when there is something to post"
        );
    }
    let mut unchecked = Unchecked::new();
    let invitation = slack.invitation();
    for resolved in &resolved {
        match obstacle_of(resolved, &invitation) {
            Some(found) => {
                let (recipient, cause) = (&resolved.recipient, capitalized(found.cause));
                if is_channel(&resolved) {
                    warn!(channel = %recipient, "{cause}; {}", found.remedy);
                } else {
                    warn!(%recipient, "{cause}; {}", found.remedy);
                }
            }
            None => note_unchecked(&mut unchecked, resolved),
        }
    }
    for (text, recipients) in unchecked.into_values() {
        match recipients[..] {
            [recipient] => warn!(%recipient, "This recipient cannot be looked at {during}: {text}"),
            _ => warn!("{} recipients cannot be looked at {during}: {text}", recipients.len()),
        }
    }
}

/// The recipients that could not be looked up, and why, by the class of the cause.
type Unchecked<'a> = BTreeMap<String, (String, Vec<&'a Recipient>)>;

fn note_unchecked<'a>(unchecked: &mut Unchecked<'a>, Resolved { recipient, finding }: &'a Resolved) {
    let (class, text) = match finding {
        // The log says so of Slack as a whole.
        RecipientState::Failed(error) if error.refuses_token() => return debug!(%recipient, "{error}"),
        RecipientState::Failed(error) => {
            let class = if error.is_unavailable() { "unavailable".to_owned() } else { error.class() };
            (class, error.with_remedy(slack_setting).to_string())
        }
        RecipientState::MissingScope(scopes)
            if !matches!(recipient, Recipient::ChannelId(_) | Recipient::ChannelName(_)) =>
        {
            let text = format!("the Slack token lacks a scope ({}); {SCOPE_REMEDY}", scopes.join(", "));
            (text.clone(), text)
        }
        _ => return,
    };
    unchecked.entry(class).or_insert((text, Vec::new())).1.push(recipient);
}

fn capitalized(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
