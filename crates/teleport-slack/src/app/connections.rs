//! How both sides are reached, and whether a new address leads to the same cluster and the same Slack.

use std::sync::Arc;

use super::review::ReviewBuilder;
use super::timings::Timings;
use super::token_reloader;
use crate::config::{Config, slack_setting};
use crate::observe::metrics::Metrics;
use access_core::domain::error_chain::chain;
use slack_client::ClientOptions;
use slack_client::error::SetupError;
use teleport_client::error::TeleportError;
use teleport_client::identity::Identity;

/// A client for the workspace that the configuration names; no call is made yet.
///
/// # Errors
/// An address or token that cannot be used.
pub(super) fn slack_client(
    config: &Config,
    timings: &Timings,
    metrics: &Metrics,
) -> Result<slack_client::Client, SetupError> {
    let options = options(config, timings);
    slack_client::Client::new(ClientOptions { observer: Arc::new(metrics.clone()), ..options })
}

/// For a client whose calls are not counted.
fn options(config: &Config, timings: &Timings) -> ClientOptions {
    ClientOptions {
        api_url: config.slack.api_url.as_str().to_owned(),
        timings: timings.slack,
        setting_names: slack_setting,
        outbound: config.network.outbound.clone(),
        ..ClientOptions::new(config.slack.token.clone())
    }
}

/// Tries another address of Teleport or another way to it. Another cluster would not know the requests that are shown.
/// `is_moved`: the address is another one.
///
/// # Errors
/// Why it is not used, on one line.
pub(super) async fn try_teleport(
    builder: &ReviewBuilder,
    config: &Config,
    is_moved: bool,
    identity: Option<&Identity>,
) -> Result<(), String> {
    let not_used = |why: &str| match is_moved {
        true => format!("teleport.addr = {} is not used: {why}", config.teleport.addr),
        false => format!("[network] is not used: {why}"),
    };
    let Some(identity) = identity else {
        return Err(not_used(
            "the certificate has expired or is not valid yet, so Teleport cannot be tried; renew the certificate first",
        ));
    };
    let tried = async {
        let pong = builder.teleport.try_destination(&config.teleport_destination(), identity).await?;
        pong.check_version()?;
        Ok(pong)
    };
    let pong = tried.await.map_err(|error: TeleportError| not_used(&chain(&error)))?;
    if pong.cluster_name != builder.cluster {
        return Err(not_used(&format!(
            "it leads to the cluster {} and not to {}, whose requests are shown; restart the daemon if that is meant",
            pong.cluster_name, builder.cluster
        )));
    }
    Ok(())
}

/// Tries another address of Slack's API or another way to it, with the token that the configuration has now. Another workspace
/// would not know the messages that there are. `is_moved`: the address is another one.
///
/// # Errors
/// Why it is not used, on one line.
pub(super) async fn try_slack(
    builder: &ReviewBuilder,
    config: &Config,
    is_moved: bool,
) -> Result<slack_client::Client, String> {
    let not_used = |why: &str| match is_moved {
        true => format!("slack.api_url = {} is not used: {why}", config.slack.api_url.as_str()),
        false => format!("[network] is not used: {why}"),
    };
    // What fails there is no outage of the Slack that is in use.
    let client = slack_client::Client::new(options(config, &builder.timings))
        .map_err(|error| not_used(&error.to_string()))?;
    // Why a way leads nowhere is the operator's question.
    if !is_moved
        && let Err(error) = client.auth_test().await
        && error.is_unavailable()
    {
        return Err(not_used(&error.with_remedy(slack_setting).to_string()));
    }
    token_reloader::judge_bot_token(&client, Some(&builder.auth), &config.slack.token)
        .await
        .map_err(|why| not_used(&format!("the bot token was tried there, and {why}")))?;
    Ok(client)
}
