//! Which Slack app and workspace the tokens belong to, so that the daemon refuses interactions that are meant for others.

use access_core::domain::secret::Secret;
use access_core::interaction::AppInstallation;
use slack_client::objects::AuthTest;

use super::startup;
use super::timings::StartupWaits;
use super::token_reloader;
use crate::causes::Cause;
use crate::exit::ExitError;

/// Which app and workspace we are, to refuse interactions that are meant for others.
pub(super) async fn fetch_installation(
    slack: &slack_client::Client,
    auth: &AuthTest,
    retry: StartupWaits,
) -> Result<AppInstallation, ExitError> {
    let app_id = match (&auth.app_id, &auth.bot_id) {
        (Some(app), _) => Some(app.clone()),
        (None, Some(bot)) => startup::call_slack(slack, Cause::Scope, retry, || slack.bot_app(bot)).await?,
        (None, None) => None,
    };
    let Some(app_id) = app_id else {
        return Err(ExitError::from_cause(
            Cause::Configuration,
            "Slack does not say which app the token belongs to, so clicks cannot be distinguished from another app's; use the app's bot token (xoxb-…) with the scope users:read",
        ));
    };
    Ok(auth.installation(app_id))
}

/// Another app's connections would never bring an interaction with our messages.
pub(super) fn check_same_app(installation: &AppInstallation, app_token: &Secret) -> Result<(), ExitError> {
    match token_reloader::app_id_of(app_token) {
        Some(app) if app != installation.app_id => Err(ExitError::from_cause(
            Cause::TwoApps,
            format!(
                "slack.token belongs to the Slack app {} and review.app_token to the app {app:?}, so no click would ever be taken; copy both tokens from the pages of one app",
                installation.app_id
            ),
        )),
        _ => Ok(()),
    }
}
