//! Checks whether this Teleport takes reviews for users at all: at the start, every ten minutes, and after a refused review.
//!
//! The check involves no users (`teleport_client::review_support`). Messages and interactions follow it. In mode `auto` the rules
//! decide only while it says "impossible".

use access_core::policy::{CanSubmitForUsers, ModeSetting};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::ReviewTimings;
use access_core::domain::error_chain::chain;
use access_core::domain::log_once::LogOnce;
use teleport_client::denied::MFA_REMEDY;
use teleport_client::error::Call;
use teleport_client::review_support::ReviewSupportStatus;
use teleport_client::second_factor::SecondFactor;
use teleport_client::signer::Signer;

/// What the line about a missing right is about, for [`LogOnce`].
const RIGHT: &str = "right";

/// The last result, and how to check again.
#[derive(Debug)]
pub struct ReviewSupport {
    teleport: teleport_client::Client,
    setting: ModeSetting,
    /// How many `[[review.rule]]`s there are to go by instead.
    rule_count: usize,
    timings: ReviewTimings,
    status: watch::Sender<CanSubmitForUsers>,
}

impl ReviewSupport {
    /// Nothing is ruled out before the first check.
    pub fn new(
        teleport: teleport_client::Client,
        setting: ModeSetting,
        rules: usize,
        timings: ReviewTimings,
    ) -> Self {
        Self {
            teleport,
            setting,
            rule_count: rules,
            timings,
            status: watch::Sender::new(CanSubmitForUsers::Yes),
        }
    }

    /// The last result, with changes.
    pub fn subscribe(&self) -> watch::Receiver<CanSubmitForUsers> {
        self.status.subscribe()
    }

    /// The last result.
    pub(crate) fn status(&self) -> CanSubmitForUsers {
        *self.status.borrow()
    }

    /// For those who only look, as a daemon finds out: the result now. In mode `resolver` nothing is asked, as nothing depends
    /// on it.
    pub(crate) async fn check_once(&self) -> CanSubmitForUsers {
        match self.setting {
            ModeSetting::Resolver => CanSubmitForUsers::default(),
            ModeSetting::Auto | ModeSetting::Reviewer => self.check().await,
        }
    }

    /// Checks now, for at most [`ReviewTimings::support_timeout`]. Without an answer of Teleport the last result stands.
    pub async fn check(&self) -> CanSubmitForUsers {
        let found = match timeout(self.timings.support_timeout, self.teleport.review_support()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                debug!("Whether Teleport takes reviews for users is not known: {}", chain(&error));
                return self.status();
            }
            Err(_) => return self.status(),
        };
        let now = match found {
            ReviewSupportStatus::MaybeSupported => CanSubmitForUsers::Yes,
            _ => CanSubmitForUsers::No,
        };
        let is_news = self.status.send_if_modified(|known| std::mem::replace(known, now) != now);
        if is_news {
            self.log_change(&found);
        }
        now
    }

    /// Checks each [`ReviewTimings::support_check`] until `stop`.
    pub async fn check_periodically(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.timings.support_check)).await.is_some() {
            self.check().await;
        }
    }

    /// Logs, from the start on, whether the right is missing without which the rules decide nothing. Does not end.
    pub async fn watch_permission(&self) {
        let mut log_once = LogOnce::default();
        loop {
            let rules_decide = match self.setting {
                ModeSetting::Resolver => true,
                ModeSetting::Auto => self.status() == CanSubmitForUsers::No && self.rule_count > 0,
                ModeSetting::Reviewer => false,
            };
            let may = if rules_decide { self.teleport.may_resolve().await } else { Ok(None) };
            match may {
                Ok(Some(false)) if log_once.once(RIGHT, "") => error!(
                    "No user can decide in Slack: the plugin's Teleport user lacks the verb update on access_request; give it a role whose {}",
                    Call::SetAccessRequestState.required_permission().unwrap_or_default()
                ),
                Ok(Some(true)) if log_once.clear(RIGHT).is_some() => {
                    info!("The plugin's Teleport user may decide now");
                }
                Ok(_) => {}
                Err(error) => debug!("Whether the plugin may decide is not known: {}", chain(&error)),
            }
            let is_missing = log_once.has_logged(RIGHT);
            tokio::time::sleep(if is_missing {
                self.timings.permission_poll
            } else {
                self.timings.support_check
            })
            .await;
        }
    }

    /// Logs, from the start on, that Teleport will refuse every decision without a second factor. Does not end.
    pub async fn mind_second_factor(&self) {
        let mut renewed = self.teleport.connection_renewals();
        let mut known = SecondFactor::NotAsked;
        loop {
            let can_decide = match self.setting {
                ModeSetting::Resolver => true,
                ModeSetting::Auto => self.rule_count > 0 || self.status() == CanSubmitForUsers::Yes,
                ModeSetting::Reviewer => self.status() == CanSubmitForUsers::Yes,
            };
            if can_decide {
                match self.teleport.second_factor().await {
                    Ok(found) if found == known => {}
                    Ok(found) => {
                        log_second_factor(&found);
                        known = found;
                    }
                    Err(error) => {
                        debug!("Whether a second factor is asked for is not known: {}", chain(&error))
                    }
                }
            }
            let pause = if let SecondFactor::Asked(_) = known {
                self.timings.permission_poll
            } else {
                self.timings.support_check
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The remedy is another certificate.
                _ = renewed.changed() => {}
            }
        }
    }

    fn log_change(&self, found: &ReviewSupportStatus) {
        let cause = match found {
            ReviewSupportStatus::MaybeSupported => {
                info!("Teleport can take reviews for users now; it judges each (review.mode)");
                return;
            }
            ReviewSupportStatus::ServerTooOld(release) => {
                format!("its release {release} is too old; upgrade it to one that has submit_for_users")
            }
            ReviewSupportStatus::NotEnterprise => "reviews need Teleport Enterprise".to_owned(),
            ReviewSupportStatus::NoPermission => "none of this plugin's roles names any user; give one of them allow.review_requests.submit_for_users".to_owned(),
        };
        match (self.setting, self.rule_count) {
            (ModeSetting::Auto, 0) => warn!(
                "No user can decide in Slack, and no buttons are drawn: there is no [[review.rule]], and this Teleport takes no reviews for users: {cause}, or add rules"
            ),
            (ModeSetting::Auto, rules) => info!(
                rules,
                "The rules decide in Slack, because this Teleport takes no reviews for users: {cause}, or set review.mode = \"resolver\""
            ),
            (ModeSetting::Reviewer, _) => warn!(
                "No user can decide in Slack (review.mode = \"reviewer\"), because this Teleport takes no reviews for users: {cause}, or set review.mode = \"resolver\" and add rules"
            ),
            (ModeSetting::Resolver, _) => {}
        }
    }
}

fn log_second_factor(found: &SecondFactor) {
    match found {
        SecondFactor::Asked(signer) => {
            warn!("No user can decide in Slack: {MFA_REMEDY}; this one was signed {signer}");
        }
        SecondFactor::Unknown(signer @ Signer::User(_)) => info!(
            "The plugin's certificate was signed {signer}, and Teleport does not report which second factors there are: if WebAuthn is the only one, it refuses each decision in Slack, and the log then says what helps"
        ),
        // The signer is not known either.
        SecondFactor::Unknown(_) => {}
        SecondFactor::NotAsked => info!("Teleport asks the plugin for no second factor any more"),
    }
}
