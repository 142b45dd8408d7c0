//! Slack: whether it takes both tokens, whether they are of one app, and what the rest of the questions need.

use std::sync::Arc;

use access_core::domain::skew::Offset;
use access_core::interaction::AppInstallation;
use access_core::interaction::signature::REPLAY_WINDOW;
use slack_client::ClientOptions;
use slack_client::directory::Directory;
use slack_client::error::SlackError;
use slack_client::lookup::{Lookup, app_of_app_token};
use slack_client::objects::AuthTest;
use slack_client::observer::ClockObserver;

use super::failure::slack_failure;
use super::{Options, layouts, recipients, scopes, test_messages};
use crate::causes::Exit;
use crate::check::explained::{Explained, split_remedy};
use crate::check::report::{Item, ItemId, REMEDY_ABOVE, Status};
use crate::config::{Config, ReviewConfig, ReviewTransport, slack_setting};
use crate::observe::skew::{self, Side};

/// What Slack said.
pub(super) struct Answers {
    pub(super) items: Vec<Item>,
    /// To ask more of it; `None` if it takes no call, or users do not decide there.
    pub(super) workspace: Option<(slack_client::Client, AppInstallation)>,
}

impl From<Vec<Item>> for Answers {
    fn from(items: Vec<Item>) -> Self {
        Self { items, workspace: None }
    }
}

/// Asks Slack.
pub(super) async fn ask(config: &Config, options: Options) -> Answers {
    let clock = Arc::new(ClockObserver::default());
    let slack = slack_client::Client::new(ClientOptions {
        api_url: config.slack.api_url.as_str().to_owned(),
        observer: Arc::<ClockObserver>::clone(&clock),
        setting_names: slack_setting,
        outbound: config.network.outbound.clone(),
        ..ClientOptions::new(config.slack.token.clone())
    });
    let slack = match slack {
        Ok(slack) => slack,
        Err(error) => {
            let Explained { cause, remedy } = split_remedy(&error);
            let id = ItemId::SlackBotToken;
            let mut items = vec![Item::failed(id, Exit::Failed, "not asked", cause, remedy)];
            items.extend(unasked(config, options, "Slack cannot be called", Exit::Failed));
            return items.into();
        }
    };
    let auth = match slack.auth_test().await {
        Ok(auth) => auth,
        Err(error) => {
            let failure = slack_failure(ItemId::SlackBotToken, &error, true);
            let exit = failure.problem.as_ref().map_or(Exit::Failed, |problem| problem.exit);
            let mut items = vec![failure];
            // It has a token of its own.
            items.extend(app_token_item(&slack, config.review.as_ref()).await);
            items.extend(unasked(config, options, "Slack took no call with the bot token", exit));
            return items.into();
        }
    };
    let mut items = vec![bot_token_item(&auth, &config.way_to_slack())];
    items.extend(app_token_item(&slack, config.review.as_ref()).await);
    let rules = config.rules();
    items.extend(scopes::items(auth.scopes.as_ref(), &rules, config.review.as_ref()));
    let mut workspace = None;
    if let Some(review) = &config.review {
        let app = match (&auth.app_id, &auth.bot_id) {
            (Some(app), _) => Ok(Lookup::Found(app.clone())),
            (None, Some(bot)) => Lookup::from_option(slack.bot_app(bot).await),
            (None, None) => Ok(Lookup::Absent),
        };
        items.extend(same_app_item(&app, review));
        let our = auth.installation(match app {
            Ok(Lookup::Found(app)) => app,
            _ => String::new(),
        });
        workspace = Some((slack.clone(), our));
    }
    let resolved = recipients::resolve(&slack, &Directory::new(slack.clone()), &auth, &rules).await;
    items.extend(recipient_items(&slack, &auth, &resolved).await);
    items.extend(layouts::items(&slack).await);
    if options.send_test {
        items.extend(test_messages::items(&slack, &resolved).await);
    }
    items.push(clock_item(clock.offset(), config.review.as_ref()));
    Answers { items, workspace }
}

/// What Slack would have to be asked with the bot token.
fn unasked(config: &Config, options: Options, cause: &str, exit: Exit) -> Vec<Item> {
    use ItemId::*;
    let review = config.review.as_ref();
    let socket_mode =
        review.is_some_and(|review| matches!(review.transport, ReviewTransport::SocketMode { .. }));
    let ids = [
        (SlackSameApp, socket_mode),
        (SlackScopes, true),
        (SlackApprovers, review.is_some()),
        (SlackRecipients, true),
        (SlackLayouts, true),
        (SlackTestMessages, options.send_test),
        (SlackClock, true),
    ];
    let ids = ids.into_iter().filter_map(|(id, is_meant)| is_meant.then_some(id));
    Item::none_looked_at(ids, exit, cause, REMEDY_ABOVE)
}

fn bot_token_item(auth: &AuthTest, way: &str) -> Item {
    let summary = format!(
        "Slack, reached {way}, takes the token: the bot {} of the workspace {} ({})",
        auth.user_id.as_str(),
        auth.team,
        auth.team_id
    );
    Item::ok(ItemId::SlackBotToken, summary)
}

async fn app_token_item(slack: &slack_client::Client, review: Option<&ReviewConfig>) -> Option<Item> {
    let ReviewTransport::SocketMode { app_token } = &review?.transport else { return None };
    Some(match slack.try_app_token(app_token).await {
        Ok(()) => Item::ok(ItemId::SlackAppToken, "Slack takes it for Socket Mode; no connection was opened"),
        Err(error) => slack_failure(ItemId::SlackAppToken, &error, true),
    })
}

/// Whether both tokens are of one app.
fn same_app_item(bot: &Result<Lookup<String>, SlackError>, review: &ReviewConfig) -> Option<Item> {
    let id = ItemId::SlackSameApp;
    let ReviewTransport::SocketMode { app_token } = &review.transport else { return None };
    const REMEDY: &str = "copy both tokens from the pages of one app";
    Some(match (bot, app_of_app_token(app_token)) {
        (Ok(Lookup::Found(bot)), Some(app)) if bot == app => {
            Item::ok(id, format!("both tokens are of the app {bot}"))
        }
        (Ok(Lookup::Found(bot)), Some(app)) => {
            let cause = format!(
                "slack.token is of the app {bot} and review.app_token of the app {app}, so no click would ever be taken"
            );
            Item::failed(id, Exit::Configuration, "two apps", cause, REMEDY)
        }
        (Ok(Lookup::MissingScope(scopes)), _) => {
            let cause = format!("the token lacks a scope that would show its app: {}", scopes.join(" or "));
            Item::not_looked_at(id, Exit::Credentials, cause, scopes::SCOPE_REMEDY)
        }
        (Ok(Lookup::Absent), _) => {
            let cause = "Slack does not say which app the bot token is of";
            Item::not_looked_at(
                id,
                Exit::Credentials,
                cause,
                "use the app's bot token (xoxb-…) with the scope users:read",
            )
        }
        (Err(error), _) => slack_failure(id, error, false),
        (_, None) => {
            let cause = "the app-level token does not say in its text which app it is of";
            Item::not_looked_at(id, Exit::Configuration, cause, REMEDY)
        }
    })
}

/// One item for each recipient. People who are there may still be out of reach of direct messages; asked only with the scope
/// that shows it.
async fn recipient_items(
    slack: &slack_client::Client,
    auth: &AuthTest,
    resolved: &[recipients::Resolved],
) -> Vec<Item> {
    let id = ItemId::SlackRecipients;
    let invitation = slack.invitation();
    let may_ask = auth.scopes.as_ref().is_some_and(|scopes| scopes.contains("im:write"));
    let mut items = Vec::new();
    for resolved in resolved {
        let item = recipients::item(resolved, &invitation);
        let profile = match &resolved.finding {
            recipients::RecipientState::Person(profile) if may_ask && item.status != Status::Failed => {
                profile
            }
            _ => {
                items.push(item);
                continue;
            }
        };
        items.push(match slack.existing_direct_message(&profile.id).await {
            Ok(Lookup::Found(_) | Lookup::MissingScope(_)) => item,
            Ok(Lookup::Absent) => {
                let remedy = "switch on the Messages tab under App Home of the Slack app, or name a channel";
                Item::failed(id, Exit::Configuration, "", "this person cannot be written to", remedy)
                    .of(resolved.recipient.to_string())
            }
            Err(error) => slack_failure(id, &error, false).of(resolved.recipient.to_string()),
        });
    }
    items
}

fn clock_item(offset: Option<Offset>, review: Option<&ReviewConfig>) -> Item {
    let id = ItemId::SlackClock;
    let Some(offset) = offset else {
        let cause = "what answers does not say what time it is";
        return Item::not_looked_at(id, Exit::Failed, cause, "keep this machine's clock set by NTP");
    };
    let checks_signatures =
        review.is_some_and(|review| matches!(review.transport, ReviewTransport::Http { .. }));
    match skew::describe(Side::Slack, offset.beyond_tolerance()) {
        None => Item::ok(id, "this machine's clock and Slack's agree"),
        Some(words) => {
            let (cause, remedy) = words.split_once("; ").unwrap_or((&words, ""));
            let is_failure = checks_signatures && offset.least().abs() > REPLAY_WINDOW;
            let make = if is_failure { Item::failed } else { Item::warning };
            make(id, Exit::Failed, "", cause, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use jiff::Timestamp;
    use slack_client::method::Method;

    fn review(transport: &str) -> ReviewConfig {
        let text = format!(
            "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\n[review]\nenabled = true\n\
             allow_email_username_match = true\n{transport}\n"
        );
        let loaded =
            config::parse(&text, Path::new("/etc/a.toml"), &|_| Err(std::io::ErrorKind::NotFound.into()));
        loaded.unwrap().config.review.unwrap()
    }

    #[test]
    fn both_tokens_must_be_of_one_app() {
        let review = review("app_token = \"xapp-1-A0BOT-1-2\"");
        let status = |bot| same_app_item(&bot, &review).unwrap().status;
        assert_eq!(status(Ok(Lookup::Found("A0BOT".to_owned()))), Status::Ok);
        assert_eq!(status(Ok(Lookup::Found("A0OTHER".to_owned()))), Status::Failed);
        assert_eq!(status(Ok(Lookup::Absent)), Status::Warning);
        assert_eq!(status(Ok(Lookup::MissingScope(vec!["users:read".to_owned()]))), Status::Warning);
        assert_eq!(status(Err(SlackError::status(Method::BotsInfo, 503))), Status::Warning);
    }

    #[test]
    fn a_clock_that_breaks_signatures_is_a_failure_only_where_signatures_are_checked() {
        let http = review("signing_secret = \"0123456789abcdef\"");
        let socket = review("app_token = \"xapp-1-A0BOT-1-2\"");
        let at = |second: i64| Timestamp::from_second(1_795_770_720 + second).unwrap();
        let offset = |seconds| Offset::from_date("Fri, 27 Nov 2026 09:12:00 GMT", at(seconds), at(seconds));
        for (seconds, review, status) in [
            (0, &http, Status::Ok),
            (100, &http, Status::Warning),
            (400, &http, Status::Failed),
            (400, &socket, Status::Warning),
        ] {
            assert_eq!(clock_item(offset(seconds), Some(review)).status, status, "{seconds}");
        }
        assert_eq!(clock_item(None, None).status, Status::Warning);
    }
}
