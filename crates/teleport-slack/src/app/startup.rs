//! What the daemon asks both sides before anything else begins, until there is an answer. `causes` says what ends the start
//! and what the daemon waits for. It logs a refusal at once, with its remedy, and tries again.

use std::time::Duration;

use access_core::domain::recipients::Rules;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::preflight;
use super::timings::StartupWaits;
use crate::causes::{Cause, ErrorPolicy};
use crate::check::online::cause_of;
use crate::config::{ConfiguredIdentityError, slack_setting};
use crate::exit::ExitError;
use access_core::domain::error_chain::chain;
use access_core::domain::error_chain::seconds;
use access_core::domain::log_once::LogOnce;
use access_core::domain::outage::Outage;
use slack_client::error::{Retry, SlackError};
use slack_client::objects::AuthTest;
use teleport_client::Credentials;
use teleport_client::Pong;
use teleport_client::identity::{Identity, IdentityError};

/// Reads the identity. One that has expired or is not valid yet is waited for: it is about to be renewed, or the
/// clock to be set. What cannot be used after that may be half written, and is waited for as well.
pub(crate) async fn wait_for_identity(
    source: &Credentials,
    waits: StartupWaits,
) -> Result<Identity, ExitError> {
    let mut retry = StartupRetry::new(waits);
    loop {
        let source = source.clone();
        // The files may lie on a drive that hangs.
        let read = tokio::task::spawn_blocking(move || Identity::load(&source, Timestamp::now())).await;
        let error = match read.map_err(|error| ExitError::from_cause(Cause::Bug, error))? {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        let cause = match &error {
            IdentityError::Expired { .. } | IdentityError::NotYetValid { .. } => Cause::Certificate,
            _ if retry.has_waited() => Cause::Certificate,
            _ => Cause::UnreadableFile,
        };
        let error = ConfiguredIdentityError(error);
        let words =
            format!("No identity for Teleport: {}; new files are noticed without a restart", chain(&error));
        let pause = retry.next_delay(cause, error, &words, &words)?;
        tokio::time::sleep(pause).await;
    }
}

/// Asks Teleport until it answers and lets us in; refuses a server that is too old.
pub(crate) async fn wait_for_teleport(
    teleport: &teleport_client::Client,
    waits: StartupWaits,
) -> Result<Pong, ExitError> {
    let mut retry = StartupRetry::new(waits);
    let mut renewed = teleport.connection_renewals();
    loop {
        let error = match teleport.ping().await {
            Ok(pong) => {
                pong.check_version().map_err(|error| ExitError::from_cause(Cause::Unsupported, error))?;
                retry.log_end("Teleport");
                return Ok(pong);
            }
            Err(error) => error,
        };
        let cause = cause_of(&error);
        let what = match cause {
            Cause::Permissions | Cause::Certificate => {
                "Teleport does not let the plugin in, so the daemon waits"
            }
            Cause::Address => "What answers is not Teleport's auth server, so the daemon waits",
            _ => "Teleport does not answer",
        };
        let words = format!("{what}: {}", chain(&error));
        let class = error.class();
        let pause = retry.next_delay(cause, error, &class, &words)?;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // It may be just what was missing.
            _ = renewed.changed() => {}
        }
        // Not over a connection that may be dead.
        teleport.reconnect();
    }
}

/// Asks Slack who we are until it answers and the token may do what nothing works without.
pub(crate) async fn wait_for_slack(
    slack: &slack_client::Client,
    rules: &Rules,
    waits: StartupWaits,
) -> Result<AuthTest, ExitError> {
    let mut retry = StartupRetry::new(waits);
    loop {
        // What refuses the question is not Slack: something else answers at slack.api_url.
        let auth = call_slack(slack, Cause::Address, waits, || slack.auth_test()).await?;
        let Some(missing) = preflight::missing_scope(&auth) else {
            preflight::warn_missing_scopes(&auth, rules);
            return Ok(auth);
        };
        let words = format!("{missing}; the daemon waits for it");
        let pause = retry.next_delay(Cause::Scope, missing, &words, &words)?;
        tokio::time::sleep(pause).await;
    }
}

/// Asks Slack until it answers. `token_reloader` logs that Slack refuses the token; this function only waits.
///
/// # Errors
/// A question that is refused, if its cause, which is `refused`, ends the start.
pub(crate) async fn call_slack<T, F: Future<Output = Result<T, SlackError>>>(
    slack: &slack_client::Client,
    refused: Cause,
    waits: StartupWaits,
    ask: impl Fn() -> F,
) -> Result<T, ExitError> {
    let mut retry = StartupRetry::new(waits);
    let mut token_status = slack.token_status();
    loop {
        let error = match ask().await {
            Ok(answer) => {
                retry.log_end("Slack");
                return Ok(answer);
            }
            Err(error) => error,
        };
        if error.refuses_token() {
            // An answer that came before the token was replaced is waited for no longer.
            let _ = token_status.wait_for(|token_status| token_status.rejection.is_none()).await;
            continue;
        }
        let with_remedy = error.with_remedy(slack_setting).to_string();
        let (cause, what) = match error.retry() {
            Retry::NeedsOperator => {
                (Cause::Scope, "Slack refuses what the daemon needs, so the daemon waits")
            }
            Retry::Never if refused == Cause::Address => {
                (refused, "What answers is not Slack, so the daemon waits")
            }
            Retry::Never => (refused, "Slack refuses what the daemon needs, so the daemon waits"),
            Retry::After(delay) => {
                retry.log_wait(delay, &with_remedy);
                tokio::time::sleep(delay).await;
                continue;
            }
            Retry::Backoff => (Cause::Unavailable, "Slack does not answer"),
        };
        let words = format!("{what}: {with_remedy}");
        let pause = retry.next_delay(cause, with_remedy, &error.class(), &words)?;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = token_status.changed() => {}
        }
    }
}

/// Logs what the start waits for: each new cause at once, and the present one at the reminders of an outage.
pub(crate) struct StartupRetry {
    waits: StartupWaits,
    failures: u32,
    began: Instant,
    outage: Outage,
    log_once: LogOnce,
}

impl StartupRetry {
    fn new(waits: StartupWaits) -> Self {
        let outage = Outage::new(waits.outage);
        Self { waits, failures: 0, began: Instant::now(), outage, log_once: LogOnce::default() }
    }

    /// Logs that what was waited for is here. `side`: who answers.
    fn log_end(&mut self, side: &str) {
        if let Some(over) = self.outage.works(self.began.elapsed()) {
            info!("{side} answers now: the daemon waited for {} s", over.lasted.as_secs());
        }
    }

    /// Whether something was waited for.
    fn has_waited(&self) -> bool {
        self.failures > 0
    }

    /// Logs that Slack asks to wait, which the text says in `words`.
    fn log_wait(&mut self, delay: Duration, words: &str) {
        if self.log_once.once("wait", "") {
            info!(retry_in_s = delay.as_secs(), "{words}");
        }
    }

    /// How long to wait before the next try.
    ///
    /// # Errors
    /// With `error`, if this cause ends the start.
    pub(crate) fn next_delay(
        &mut self,
        cause: Cause,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        class: &str,
        words: &str,
    ) -> Result<Duration, ExitError> {
        match cause.at_start() {
            ErrorPolicy::Ends(_) | ErrorPolicy::KeepsCurrent | ErrorPolicy::Impossible => {
                return Err(ExitError::from_cause(cause, error));
            }
            ErrorPolicy::Retries => {}
        }
        self.failures += 1;
        let delay = self.waits.backoff.delay(self.failures, fastrand::u64(..));
        let (now, retry_in_s) = (self.began.elapsed(), seconds(delay));
        self.outage.fails(now);
        let reminder = self.outage.reminder(now);
        // Another cause is news; so is one that lasts.
        let is_news = self.log_once.once("start", class);
        let away_for_s = reminder.map(|lasted| lasted.as_secs());
        match (is_news || reminder.is_some(), cause) {
            (false, _) => debug!(retry_in_s, "{words}"),
            // It comes back without a person, or is reported where it stopped.
            (true, Cause::Unavailable) => warn!(away_for_s, retry_in_s, "{words}"),
            (true, _) => error!(away_for_s, retry_in_s, "{words}"),
        }
        Ok(delay)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use access_core::domain::backoff::Backoff;
    use access_core::domain::outage::OutageTimings;
    use access_core::domain::secret::Secret;
    use access_sim::captured::Captured;
    use slack_client::ClientOptions;
    use slack_client::method::Method;

    #[tokio::test(start_paused = true)]
    async fn waits_that_slack_asks_for_do_not_fill_the_log() {
        let options = ClientOptions::new(Secret::new("xoxb-1"));
        let slack = slack_client::Client::new(options).unwrap();
        let asked = Cell::new(0);
        let ask = || async {
            asked.set(asked.get() + 1);
            match asked.get() {
                12 => Ok(()),
                _ => Err(SlackError::api_error(Method::AuthTest, "ratelimited")),
            }
        };
        let log = Captured::start();
        call_slack(&slack, Cause::Address, waits(), ask).await.unwrap();
        let lines = [" INFO ", " WARN ", "ERROR "].map(|level| log.count(level));
        assert_eq!(lines, [1, 0, 0], "{}", log.text());
    }

    fn waits() -> StartupWaits {
        let backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };
        StartupWaits { backoff, outage: OutageTimings::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cause_that_lasts_is_reminded_of_and_only_a_person_makes_it_an_error() {
        let log = Captured::start();
        let mut retry = StartupRetry::new(waits());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(7 * 60) {
            // The words about a broken connection change from try to try.
            let words = format!("Teleport does not answer: {:?}", began.elapsed());
            let pause = retry.next_delay(Cause::Unavailable, "away", "closed", &words).unwrap();
            tokio::time::sleep(pause).await;
        }
        assert_eq!(
            log.count(" WARN Teleport does not answer"),
            3,
            "at once, after 1 and 5 minutes: {}",
            log.text()
        );
        assert_eq!(log.count("away_for_s="), 2, "{}", log.text());
        let denied = "Teleport does not let the plugin in";
        retry.next_delay(Cause::Permissions, "denied", denied, denied).unwrap();
        retry.next_delay(Cause::Permissions, "denied", denied, denied).unwrap();
        assert_eq!(log.count(&format!("ERROR {denied}")), 1, "{}", log.text());
        for _ in 0..2 {
            retry.next_delay(Cause::Address, "a relay", "NotTls", "What answers is not Slack").unwrap();
        }
        assert_eq!(log.count("ERROR What answers is not Slack"), 1, "{}", log.text());
        retry.log_end("Teleport");
        assert_eq!(log.count(" INFO Teleport answers now: the daemon waited for 4"), 1, "{}", log.text());
    }
}
