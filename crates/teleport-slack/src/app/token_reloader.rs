//! Tokens and secrets while the daemon runs. The daemon takes up a new secret from its file without an operator. It logs once,
//! with the remedy, that Slack refuses the bot token, and tries again.
//!
//! `observe/file_watch.rs` notices that a file changed.

use std::future::pending;
use std::path::Path;

use access_core::domain::backoff::Backoff;
use access_core::domain::log_once::LogOnce;
use tokio::sync::watch as latest;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::app::timings::Timings;
use crate::config::{Sensitivity, TokenKind, reread, slack_setting};
use crate::observe::file_watch::{FileChange, FileTimings, FileWatch};
use crate::observe::metrics::Metrics;
use crate::observe::reload_state::ReloadState;
use access_core::domain::secret::Secret;
use slack_client::error::{Retry, SlackError};
use slack_client::objects::AuthTest;

/// What lines about a file that cannot be used are about, for [`LogOnce`].
const FILE: &str = "file";

/// Whose token it was when the daemon started; a new one must be of the same bot.
pub(crate) type KnownBot = latest::Receiver<Option<AuthTest>>;

/// A secret as the configuration has it, which a reload replaces: the secret, and its file if it has one.
pub(crate) type Configured = latest::Receiver<Secret>;

/// Keeps the bot token as new as its file, and says when Slack refuses it. Does not end.
pub(crate) async fn keep_bot_token_current(
    slack: slack_client::Client,
    configured: Configured,
    known: KnownBot,
    metrics: Metrics,
    timings: Timings,
) {
    let reporting =
        report_token_state(slack.clone(), configured.clone(), metrics.clone(), timings.token_probe);
    let (user, reloads) = (SecretConsumer::Client { slack, known }, metrics.health().reload());
    tokio::join!(watch_files(user, configured, reloads, timings.secret_files), reporting);
}

/// Keeps a secret that is merely passed on as new as its file. Does not end.
pub(crate) async fn keep_secret_current(
    kind: TokenKind,
    configured: Configured,
    secret: latest::Sender<Secret>,
    reloads: ReloadState,
    timings: FileTimings,
) {
    let first = secret.borrow().clone();
    watch_files(SecretConsumer::Receiver { kind, first, secret }, configured, reloads, timings).await;
}

/// Whether `new` may take the place of the bot token in use.
///
/// # Errors
/// Why not, with what helps.
pub(crate) async fn judge_bot_token(
    slack: &slack_client::Client,
    known: Option<&AuthTest>,
    new: &Secret,
) -> Result<(), String> {
    let found = slack.try_token(new).await;
    let is_refused = slack.token_status().borrow().rejection.is_some();
    check_same_bot(known, &found, is_refused)
}

/// Who uses a secret.
enum SecretConsumer {
    /// The bot token's.
    Client { slack: slack_client::Client, known: KnownBot },
    /// A component that reads the secret each time it needs it.
    Receiver { kind: TokenKind, first: Secret, secret: latest::Sender<Secret> },
}

impl SecretConsumer {
    fn kind(&self) -> TokenKind {
        match self {
            Self::Client { .. } => TokenKind::Bot,
            Self::Receiver { kind, .. } => *kind,
        }
    }

    /// Uses a new one from now on.
    ///
    /// # Errors
    /// Why it is not used, with what helps.
    async fn adopt(&self, new: &Secret) -> Result<(), String> {
        match self {
            Self::Client { slack, known } => {
                let known = known.borrow().clone();
                judge_bot_token(slack, known.as_ref(), new).await?;
                slack.use_token(new).map_err(|error| error.to_string())
            }
            Self::Receiver { kind: TokenKind::App, first, .. } if app_id_of(new) != app_id_of(first) => {
                Err("it is of another Slack app; restart the daemon if that is meant".to_owned())
            }
            Self::Receiver { secret, .. } => {
                secret.send_replace(new.clone());
                Ok(())
            }
        }
    }
}

/// Whether a new token may take the place of the present one, which Slack refuses if `is_refused`. Another bot could not edit
/// the messages that there are. So while Slack does not say whose it is, a present token that works stays in use. One
/// that is refused does not: then the newest token is better than none.
fn check_same_bot(
    known: Option<&AuthTest>,
    found: &Result<AuthTest, SlackError>,
    is_refused: bool,
) -> Result<(), String> {
    match (known, found) {
        (Some(known), Ok(found)) if (&known.team_id, &known.user_id) != (&found.team_id, &found.user_id) => {
            Err(format!(
                "it is of another app or workspace (bot {} in {}, and not {} in {}), whose messages could not be kept up to date; restart the daemon if that is meant",
                found.user_id, found.team, known.user_id, known.team
            ))
        }
        (_, Err(error)) if matches!(error.retry(), Retry::NeedsOperator | Retry::Never) => {
            Err(error.with_remedy(slack_setting).to_string())
        }
        // The text has no seconds, because each text is logged once.
        (Some(_), Err(error)) if !is_refused => Err(format!(
            "{}, so whose token it is cannot be checked; the check is repeated",
            if matches!(error.retry(), Retry::After(_)) {
                "Slack asks to wait"
            } else {
                "Slack does not answer"
            }
        )),
        _ => Ok(()),
    }
}

/// The app's id, which an app-level token holds: `xapp-1-A…-…`. `None` for a token of another form.
pub(crate) fn app_id_of(token: &Secret) -> Option<&str> {
    token.expose().split('-').nth(2).filter(|id| id.starts_with('A'))
}

/// Says once that Slack refuses the token, and that it takes it again.
async fn report_token_state(
    slack: slack_client::Client,
    configured: Configured,
    metrics: Metrics,
    probe: Backoff,
) {
    let mut status = slack.token_status();
    loop {
        let Ok(why) = status.wait_for(|status| status.rejection.is_some()).await.map(|s| s.rejection.clone())
        else {
            return pending().await;
        };
        let why = why.unwrap_or_default();
        let place = match configured.borrow().file() {
            Some(file) => file.display().to_string(),
            None => "the configuration".to_owned(),
        };
        let remedy = format!("a new one in {place} is used within seconds, without a restart");
        metrics.bot_token_rejected(true);
        error!("Slack refuses the bot token, so the daemon can show nothing: {why}; {remedy}");
        let mut failures = 0;
        while status.borrow_and_update().rejection.is_some() {
            failures += 1;
            tokio::select! {
                () = sleep(probe.delay(failures, fastrand::u64(..))) => drop(slack.auth_test().await),
                _ = status.changed() => {}
            }
        }
        metrics.bot_token_rejected(false);
        info!("Slack takes the bot token again");
    }
}

/// Watches the file of the secret that is configured at the time. Does not end.
async fn watch_files(
    user: SecretConsumer,
    mut configured: Configured,
    reloads: ReloadState,
    timings: FileTimings,
) {
    loop {
        let secret = configured.borrow_and_update().clone();
        tokio::select! {
            () = watch_file(&user, secret, &reloads, timings) => {}
            Ok(()) = configured.changed() => {}
        }
    }
}

/// Watches the file of a secret and never returns; without a file it only waits.
async fn watch_file(user: &SecretConsumer, secret: Secret, reloads: &ReloadState, timings: FileTimings) {
    let (kind, file) = (user.kind(), secret.file().map(Path::to_owned));
    let Some(file) = file else { return pending().await };
    let mut files = FileWatch::new(vec![(file.clone(), Sensitivity::Secret)], timings.retry);
    let mut current = secret;
    // Why the file cannot be used.
    let mut log_once = LogOnce::default();
    let log_restored = |log_once: &mut LogOnce| {
        if log_once.clear(FILE).is_some() {
            info!("The file {} holds the {} in use again", file.display(), kind.name());
        }
    };
    loop {
        sleep(timings.poll).await;
        let is_new = match files.look().await {
            FileChange::Nothing => continue,
            FileChange::Restored => {
                log_restored(&mut log_once);
                continue;
            }
            FileChange::New => true,
            FileChange::Retry => false,
        };
        let (path, shown) = (file.clone(), file.display());
        // It may lie on a drive that hangs.
        let Ok(read) = tokio::task::spawn_blocking(move || reread(kind, &path)).await else { continue };
        let failure = match read {
            Ok(found) if found.expose() == current.expose() => {
                log_restored(&mut log_once);
                files.adopt();
                continue;
            }
            Ok(new) => match user.adopt(&new).await {
                Ok(()) => {
                    info!("A new {} was found in {shown} and is in use", kind.name());
                    files.adopt();
                    (current, log_once) = (new, LogOnce::default());
                    continue;
                }
                Err(why) => format!("A new {} was found in {shown} and is not used: {why}", kind.name()),
            },
            Err(why) => format!(
                "The file {shown} changed and holds no usable {}, so the one in use stays: {why}; the daemon reads it again every few seconds",
                kind.name()
            ),
        };
        if is_new {
            log_once.clear(FILE);
        }
        if !reloads.logs_faults_of(&file) && log_once.once(FILE, &failure) {
            warn!("{failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use access_core::domain::ids::SlackUserId;
    use slack_client::method::Method;

    fn bot(user_id: &str) -> AuthTest {
        AuthTest::bare("T0US", SlackUserId::new(user_id))
    }

    #[test]
    fn a_token_whose_bot_is_not_known_waits_while_the_present_one_works() {
        let failed = |code| Err(SlackError::api_error(Method::AuthTest, code));
        let (known, no_answer) = (bot("U0BOT"), failed("service_unavailable"));
        let check = |found: &_, is_refused| check_same_bot(Some(&known), found, is_refused);
        assert_eq!(check(&Ok(bot("U0BOT")), false), Ok(()));
        assert!(check(&Ok(bot("U0OTHER")), true).is_err_and(|why| why.contains("another app")));
        for (found, words) in [(&failed("ratelimited"), "asks to wait"), (&no_answer, "does not answer")] {
            assert!(check(found, false).is_err_and(|why| why.contains(words)), "{words}");
            assert_eq!(check(found, true), Ok(()), "{words}: the present one is refused");
            assert_eq!(check_same_bot(None, found, false), Ok(()), "{words}: no bot is known yet");
        }
        assert!(check(&failed("invalid_auth"), true).is_err_and(|why| why.contains("invalid_auth")));
    }

    #[test]
    fn an_app_token_names_its_app() {
        assert_eq!(app_id_of(&Secret::new("xapp-1-A0123-77-abc")), Some("A0123"));
        assert_eq!(app_id_of(&Secret::new("xapp-1")), None);
    }
}
