//! Each recipient, looked up: whether it is there, whether the bot can post to it, and who else reads it.
//!
//! The daemon looks at its start too. It remembers nothing of this: it looks recipients up again when it has something to
//! post.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use access_core::domain::ids::ChannelId;
use access_core::domain::recipients::{Recipient, Rules};
use access_core::policy::identity::SlackProfile;
use slack_client::directory::Directory;
use slack_client::error::{Retry, SlackError};
use slack_client::lookup::Lookup;
use slack_client::objects::{AuthTest, Conversation};

use super::failure::slack_failure;
use super::people::named;
use crate::causes::Exit;
use crate::check::report::{Item, ItemId};

/// How many waits in a row the look-up of one recipient obeys.
const MAX_WAITS: u32 = 3;

/// What is known of a recipient after one look.
#[derive(Clone, Debug)]
pub(crate) enum RecipientState {
    Channel(Conversation),
    Person(Box<SlackProfile>),
    /// No such channel or person, or none that the bot may see.
    Absent,
    /// One of these scopes would show it.
    MissingScope(Vec<String>),
    Failed(SlackError),
}

/// A recipient and what looking it up gave.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) recipient: Recipient,
    pub(crate) finding: RecipientState,
}

/// Looks each recipient up; channels that are given by name all together. Where Slack asks to wait, it waits a few times:
/// there may be more recipients than look-ups a minute.
pub(crate) async fn resolve(
    slack: &slack_client::Client,
    directory: &Directory,
    auth: &AuthTest,
    rules: &Rules,
) -> Vec<Resolved> {
    let named: BTreeSet<&Recipient> = rules.named().collect();
    let has = |scope: &str| auth.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope));
    let missing =
        |scopes: &[&str]| RecipientState::MissingScope(scopes.iter().map(|s| (*s).to_owned()).collect());
    let may_look = has("channels:read") || has("groups:read");
    let by_name = channels_by_name(directory, &named, has("channels:read")).await;
    let mut all = Vec::new();
    for recipient in named {
        let mut waits = MAX_WAITS;
        let finding = loop {
            let finding = match recipient {
                Recipient::ChannelId(_) if !may_look => missing(&["channels:read", "groups:read"]),
                Recipient::ChannelId(id) => channel(directory.conversation(&ChannelId::new(id)).await),
                Recipient::ChannelName(_) if !has("channels:read") => missing(&["channels:read"]),
                Recipient::ChannelName(name) => match &by_name {
                    Ok(found) => match found.iter().find(|channel| channel.name == *name) {
                        Some(channel) => RecipientState::Channel(channel.clone()),
                        None => RecipientState::Absent,
                    },
                    // It was waited for already.
                    Err(error) => break RecipientState::Failed(error.clone()),
                },
                Recipient::DirectMessage(_) if !has("im:write") => missing(&["im:write"]),
                Recipient::DirectMessage(id) => direct_message(slack, &ChannelId::new(id)).await,
                Recipient::User(id) => person(slack.user_info(id).await),
                Recipient::Email(email) => person(slack.lookup_by_email(email).await),
                // Only requests suggest reviewers; the configuration names none.
                Recipient::Reviewer(_) => break RecipientState::Absent,
            };
            match &finding {
                RecipientState::Failed(error) if wait_if_asked(error, &mut waits).await => {}
                _ => break finding,
            }
        };
        all.push(Resolved { recipient: recipient.clone(), finding });
    }
    all
}

/// Waits if Slack asks for it and some `waits` are left. Returns whether to look again.
async fn wait_if_asked(error: &SlackError, waits: &mut u32) -> bool {
    let (Retry::After(wait), 1..) = (error.retry(), *waits) else { return false };
    *waits -= 1;
    tokio::time::sleep(wait).await;
    true
}

async fn channels_by_name(
    directory: &Directory,
    named: &BTreeSet<&Recipient>,
    may_list: bool,
) -> Result<Vec<Conversation>, SlackError> {
    let names: BTreeSet<&str> = named
        .iter()
        .filter_map(|recipient| match recipient {
            Recipient::ChannelName(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() || !may_list {
        return Ok(Vec::new());
    }
    let mut waits = MAX_WAITS;
    loop {
        match directory.channels_by_name(&names).await {
            Err(error) if wait_if_asked(&error, &mut waits).await => {}
            answer => return answer,
        }
    }
}

/// The person of a direct message.
async fn direct_message(slack: &slack_client::Client, id: &ChannelId) -> RecipientState {
    match from_option(slack.person_of_direct_message(id).await) {
        Ok(user) => person(slack.user_info(&user).await),
        Err(finding) => finding,
    }
}

fn channel(found: Result<Option<Arc<Conversation>>, SlackError>) -> RecipientState {
    from_option(found)
        .map_or_else(|finding| finding, |channel| RecipientState::Channel(channel.as_ref().clone()))
}

fn from_option<T>(found: Result<Option<T>, SlackError>) -> Result<T, RecipientState> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(RecipientState::Absent),
        Err(error) => match Lookup::<T>::from_option(Err(error.clone())) {
            Ok(Lookup::MissingScope(scopes)) => Err(RecipientState::MissingScope(scopes)),
            _ => Err(RecipientState::Failed(error)),
        },
    }
}

fn person(found: Result<Option<SlackProfile>, SlackError>) -> RecipientState {
    from_option(found).map_or_else(|finding| finding, |profile| RecipientState::Person(Box::new(profile)))
}

/// What stands against posting to a recipient: cause and remedy, as halves of one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) cause: &'static str,
    pub(crate) remedy: Cow<'static, str>,
    exit: Exit,
    /// Messages do arrive.
    is_mild: bool,
}

fn obstacle(exit: Exit, cause: &'static str, remedy: impl Into<Cow<'static, str>>) -> Obstacle {
    Obstacle { cause, remedy: remedy.into(), exit, is_mild: false }
}

/// What stands against posting there, or should be known; `None` if nothing, or if it could not be looked at. `invitation` is
/// what brings the bot into a channel ([`slack_client::Client::invitation`]).
pub(crate) fn obstacle_of(resolved: &Resolved, invitation: &str) -> Option<Obstacle> {
    match &resolved.finding {
        RecipientState::Channel(channel) => channel_obstacle(channel, invitation),
        RecipientState::Person(profile) if profile.deleted => Some(obstacle(
            Exit::Configuration,
            "this recipient is deactivated in Slack",
            "take it out of the configuration",
        )),
        RecipientState::Person(profile) if profile.is_automated() => Some(obstacle(
            Exit::Configuration,
            "this recipient is a bot, so no person reads what it gets",
            "name a person or a channel",
        )),
        RecipientState::Person(_) => None,
        RecipientState::Absent => Some(match &resolved.recipient {
            Recipient::ChannelName(_) => obstacle(
                Exit::Configuration,
                "Slack knows no public channel of this name",
                format!(
                    "correct it, or name a private channel by its id (C...) and invite the bot there ({invitation})"
                ),
            ),
            // The bot cannot be invited into one.
            Recipient::DirectMessage(_) => obstacle(
                Exit::Configuration,
                "Slack shows no direct message of the bot with this id",
                "write the person's Slack id (U…) or e-mail address instead",
            ),
            Recipient::ChannelId(_) => obstacle(
                Exit::Configuration,
                "Slack knows no such channel, or it is private and the bot is not in it",
                format!("correct the id or invite the bot ({invitation})"),
            ),
            _ => obstacle(
                Exit::Configuration,
                "no user in this Slack workspace matches this recipient",
                "correct it in the configuration, or invite the person",
            ),
        }),
        RecipientState::MissingScope(_) | RecipientState::Failed(_) => None,
    }
}

fn channel_obstacle(channel: &Conversation, invitation: &str) -> Option<Obstacle> {
    if channel.is_archived {
        Some(obstacle(
            Exit::Configuration,
            "the channel is archived, so nothing can be posted there",
            "unarchive it or take it out of the configuration",
        ))
    } else if channel.is_member == Some(false) {
        Some(obstacle(
            Exit::Credentials,
            "the bot is not in the channel",
            format!("invite it there ({invitation})"),
        ))
    } else if channel.is_ext_shared {
        Some(Obstacle {
            is_mild: true,
            ..obstacle(
                Exit::Configuration,
                "the channel is shared with another company, whose people will see the access requests",
                "name a channel that is not shared, unless that is meant",
            )
        })
    } else {
        None
    }
}

/// The item about a recipient. `invitation` is what brings the bot into a channel.
pub(super) fn item(resolved: &Resolved, invitation: &str) -> Item {
    let id = ItemId::SlackRecipients;
    let subject = resolved.recipient.to_string();
    if let Some(found) = obstacle_of(resolved, invitation) {
        let make = if found.is_mild { Item::warning } else { Item::failed };
        return make(id, found.exit, "", found.cause, found.remedy).of(subject);
    }
    match &resolved.finding {
        RecipientState::Channel(channel) if channel.is_member == Some(true) => {
            Item::ok(id, format!("the channel {}, and the bot is in it", channel.id.as_str()))
        }
        RecipientState::Channel(channel) => {
            let cause =
                format!("Slack does not say whether the bot is in the channel {}", channel.id.as_str());
            let remedy = format!("if it is not, invite it there ({invitation})");
            Item::not_looked_at(id, Exit::Credentials, cause, remedy)
        }
        RecipientState::Person(profile) if profile.is_restricted || profile.is_ultra_restricted => {
            let cause = "this recipient is a guest, who sees only some channels of the workspace";
            Item::warning(id, Exit::Configuration, "", cause, "name a full member, unless that is meant")
        }
        RecipientState::Person(profile) => {
            Item::ok(id, format!("the active account {}{}", profile.id, named(profile)))
        }
        RecipientState::MissingScope(scopes) => {
            let scopes = scopes.join(" or ");
            let cause = format!("the token lacks a scope that would show it: {scopes}");
            Item::not_looked_at(id, Exit::Credentials, cause, super::scopes::SCOPE_REMEDY)
        }
        RecipientState::Absent => {
            Item::not_looked_at(id, Exit::Configuration, "it was not found", "correct it")
        }
        RecipientState::Failed(error) => slack_failure(id, error, false),
    }
    .of(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Status;
    use access_core::domain::ids::SlackUserId;
    use slack_client::method::Method;

    const INVITATION: &str = "type /invite @teleport in the channel";

    fn channel() -> Conversation {
        Conversation {
            id: ChannelId::new("C0TEAM"),
            name: "team".to_owned(),
            is_member: Some(true),
            is_archived: false,
            is_frozen: false,
            is_ext_shared: false,
            is_private: false,
        }
    }

    #[test]
    fn each_channel_has_its_line() {
        let shown = |finding| {
            let resolved = Resolved { recipient: Recipient::parse("team").unwrap(), finding };
            let item = item(&resolved, INVITATION);
            let problem = item.problem.map(|p| format!(" | {} {} | {}", p.exit.code(), p.cause, p.remedy));
            format!("{:?} {}{}", item.status, item.summary, problem.unwrap_or_default())
        };
        let of = |change: fn(&mut Conversation)| {
            let mut channel = channel();
            change(&mut channel);
            shown(RecipientState::Channel(channel))
        };
        let lines = [
            of(|_| {}),
            of(|channel| channel.is_archived = true),
            of(|channel| channel.is_member = Some(false)),
            of(|channel| channel.is_member = None),
            of(|channel| channel.is_ext_shared = true),
            shown(RecipientState::Absent),
            shown(RecipientState::MissingScope(vec!["channels:read".to_owned()])),
            shown(RecipientState::Failed(SlackError::status(Method::ConversationsInfo, 503))),
        ];
        insta::assert_debug_snapshot!(lines, @r#"
        [
            "Ok the channel C0TEAM, and the bot is in it",
            "Failed  | 78 the channel is archived, so nothing can be posted there | unarchive it or take it out of the configuration",
            "Failed  | 77 the bot is not in the channel | invite it there (type /invite @teleport in the channel)",
            "Warning not looked at | 77 Slack does not say whether the bot is in the channel C0TEAM | if it is not, invite it there (type /invite @teleport in the channel)",
            "Warning  | 78 the channel is shared with another company, whose people will see the access requests | name a channel that is not shared, unless that is meant",
            "Failed  | 78 Slack knows no public channel of this name | correct it, or name a private channel by its id (C...) and invite the bot there (type /invite @teleport in the channel)",
            "Warning not looked at | 77 the token lacks a scope that would show it: channels:read | add it under OAuth & Permissions of the Slack app and install the app again",
            "Warning not looked at | 1 Slack's conversations.info failed: HTTP status 503 Service Unavailable | check again in a minute; https://slack-status.com says whether Slack has an outage",
        ]
        "#);
    }

    #[test]
    fn who_and_what_gets_no_message_has_a_remedy_that_can_be_done() {
        let shown = |recipient: &str, finding| {
            let resolved = Resolved { recipient: Recipient::parse(recipient).unwrap(), finding };
            let problem = item(&resolved, INVITATION).problem.unwrap();
            format!("{}; {}", problem.cause, problem.remedy)
        };
        let profile = |id: &str, is_bot| SlackProfile { is_bot, ..SlackProfile::bare(SlackUserId::new(id)) };
        for (id, is_bot) in [("U0OTHER", true), ("USLACKBOT", false)] {
            let person = RecipientState::Person(Box::new(profile(id, is_bot)));
            let bot = "this recipient is a bot, so no person reads what it gets; name a person or a channel";
            assert_eq!(shown(id, person), bot, "{id}");
        }
        let direct = shown("D0BOB", RecipientState::Absent);
        assert!(direct.ends_with("; write the person's Slack id (U…) or e-mail address instead"), "{direct}");
        let hidden = shown("C0HIDDEN", RecipientState::Absent);
        assert!(hidden.ends_with("invite the bot (type /invite @teleport in the channel)"), "{hidden}");
    }

    #[test]
    fn what_cannot_be_looked_at_is_never_ok() {
        let failed = RecipientState::Failed(SlackError::status(Method::UsersInfo, 503));
        for finding in [RecipientState::MissingScope(vec!["users:read".to_owned()]), failed] {
            let resolved = Resolved { recipient: Recipient::parse("U0BOB").unwrap(), finding };
            assert_eq!(item(&resolved, INVITATION).status, Status::Warning);
        }
    }
}
