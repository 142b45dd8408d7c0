//! Reads the current identity of a Slack user: the account in Slack, its Teleport user, and the user groups that matter.
//! This happens for the user of an interaction and, before a decision, for each earlier voter.
//!
//! Anything that cannot be read is a refusal, and nothing is decided without it. Only what Slack reports as gone for good is
//! no reason to wait (`docs/decisions/0011`). User groups may be ten seconds old.

use std::sync::Arc;

use access_core::domain::ids::SlackUserId;
use access_core::domain::request::AccessRequest;
use access_core::interaction::AppInstallation;
use access_core::policy::identity::{Reviewer, Users, identify};
use access_core::policy::refusal::{AccountIneligible, Refusal};
use access_core::policy::{Rules, Voter, Voters};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use super::ReviewTimings;
use super::users::UserLookup;
use crate::config::slack_setting;
use crate::observe::log_once::SharedLogOnce;
use slack_client::error::{Affects, Retry, SlackError};
use slack_client::usergroups::{Membership, UserGroups, is_gone};
use teleport_client::denied::AccessDenied;
use teleport_client::error::{ErrorKind, TeleportError};

/// Accounts read at once for one verdict.
const MAX_CONCURRENT_READS: usize = 8;

/// Reads accounts, links and groups.
#[derive(Debug)]
pub struct VoterLoader {
    /// Makes the calls of Slack's Web API.
    pub slack: slack_client::Client,
    /// The members of user groups.
    pub groups: UserGroups,
    /// What this app is.
    pub installation: AppInstallation,
    /// Maps Slack users to Teleport users.
    pub users: Arc<UserLookup>,
    /// The rules, which name the user groups that matter.
    pub rules: Arc<Rules>,
    /// How long reads may take, and how long they count.
    pub(crate) timings: ReviewTimings,
    log_once: SharedLogOnce,
}

/// The voters read for one verdict, and since when.
#[derive(Debug)]
pub(crate) struct VoterSnapshot {
    voters: Voters,
    read_at: Instant,
}

impl VoterSnapshot {
    /// No voters yet.
    pub(crate) fn empty() -> Self {
        Self { voters: Voters::default(), read_at: Instant::now() }
    }

    /// This voter, whose read began at `since`.
    pub(crate) fn of(voter: Voter, since: Instant) -> Self {
        let mut voters = Voters::default();
        voters.insert(voter.reviewer.slack_user.clone(), Some(voter));
        Self { voters, read_at: since }
    }

    /// The voters that still count as current.
    pub(crate) fn voters(&mut self, timings: &ReviewTimings) -> &Voters {
        if self.read_at.elapsed() > timings.voters_max_age {
            *self = Self::empty();
        }
        &self.voters
    }

    /// Prepares for voters whose oldest read began at `began`.
    fn renew(&mut self, began: Instant, timings: &ReviewTimings) {
        if self.read_at.elapsed() > timings.voters_max_age {
            *self = Self { voters: Voters::default(), read_at: began };
        }
        self.read_at = self.read_at.min(began);
    }
}

impl VoterLoader {
    /// A loader that has read nothing yet.
    pub fn new(
        slack: slack_client::Client,
        our: AppInstallation,
        users: Arc<UserLookup>,
        rules: Arc<Rules>,
        timings: ReviewTimings,
    ) -> Self {
        let groups = UserGroups::new(slack.clone(), timings.groups_max_age);
        Self { slack, groups, installation: our, users, rules, timings, log_once: SharedLogOnce::default() }
    }

    /// Limits the time of a read.
    ///
    /// # Errors
    /// If it takes longer than [`ReviewTimings::read_timeout`].
    pub(crate) async fn in_time<T>(
        &self,
        reading: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        timeout(self.timings.read_timeout, reading).await.unwrap_or(Err(Refusal::Timeout))
    }

    /// The reviewer of an account.
    ///
    /// # Errors
    /// If the account may not review, or if that cannot be determined.
    pub(crate) async fn reviewer(&self, account: &SlackUserId) -> Result<Reviewer, Refusal> {
        let profile = match self.slack.user_info(account).await {
            Ok(Some(profile)) => profile,
            Ok(None) => return Err(Refusal::AccountIneligible(AccountIneligible::External)),
            Err(error) if is_lasting(&error) => {
                // It concerns all users: the app lacks something.
                self.log_error_once("people", "Slack does not identify users, so no user can decide", &error);
                return Err(scope_missing(&error, "users:read").unwrap_or(Refusal::SlackForbids));
            }
            Err(error) if !error.was_sent() => {
                debug!(slack_user = %account, name = self.slack.known_name(account), "Slack's wait lasts, so nothing is decided: {error}");
                return Err(Refusal::SlackUnreachable);
            }
            Err(error) => {
                warn!(slack_user = %account, name = self.slack.known_name(account), "Slack does not identify this user, so nothing is decided: {}", error.with_remedy(slack_setting));
                return Err(Refusal::SlackUnreachable);
            }
        };
        self.log_once.clear("people");
        let users = self.users.candidate_users(&profile).await.map_err(|error| {
            warn!(slack_user = %account, name = self.slack.known_name(account), "Teleport does not identify this user, so nothing is decided: {}", access_core::domain::error_chain::chain(&error));
            match error.denied() {
                Some(AccessDenied::MissingPermission | AccessDenied::Unrecognized) => Refusal::UsersUnreadable,
                _ => teleport_refusal(&error),
            }
        })?;
        let users = users.as_deref().map_or(Users::Unreadable, Users::Listed);
        identify(account, &profile, &self.installation, self.users.mapping(), users, Timestamp::now())
    }

    /// The user groups of the reviewer that are needed to decide the request, and since when they are known.
    ///
    /// # Errors
    /// If a needed group cannot be read: [`Refusal::GroupGone`] only if that can never change.
    pub(crate) async fn groups(
        &self,
        person: &Reviewer,
        request: &AccessRequest,
    ) -> Result<(Vec<String>, Instant), Refusal> {
        let mut own = Vec::new();
        let mut since = Instant::now();
        let (mut unread, mut gone) = (None, None);
        for group in self.rules.groups_to_check(request, &person.user) {
            match self.groups.members(group).await {
                Ok(Membership { people, asked }) => {
                    self.log_once.clear(group);
                    since = since.min(asked);
                    if person.accounts().iter().any(|id| people.contains(id)) {
                        own.push(group.to_owned());
                        if self.rules.check_approver(request, &person.user, &own).is_ok() {
                            return Ok((own, since));
                        }
                    }
                }
                // An unreadable group proves neither membership nor its absence.
                Err(error) if is_lasting(&error) => {
                    let what = format!(
                        "The user group {group}, which a rule names, cannot be read, so nothing is decided that depends on it"
                    );
                    self.log_error_once(group, &what, &error);
                    if is_gone(&error) {
                        gone = Some(Refusal::GroupGone);
                    } else {
                        let lasting = Refusal::GroupsUnreadable { is_lasting: true };
                        unread = Some(scope_missing(&error, "usergroups:read").unwrap_or(lasting));
                    }
                }
                Err(error) if !error.was_sent() => {
                    debug!(user_group = group, "Slack's wait lasts, so the user group is not read: {error}");
                    unread = Some(Refusal::GroupsUnreadable { is_lasting: false });
                }
                Err(error) => {
                    warn!(
                        user_group = group,
                        "Cannot read a user group that a rule names, so nothing is decided that depends on it: {}",
                        error.with_remedy(slack_setting)
                    );
                    unread = Some(Refusal::GroupsUnreadable { is_lasting: false });
                }
            }
        }
        unread.or(gone).map_or(Ok((own, since)), Err)
    }

    /// Logs what an operator must fix, once until it works again. That Slack refuses the token, the log says of all calls.
    fn log_error_once(&self, scope: &str, what: &str, error: &SlackError) {
        if error.refuses_token() {
            debug!("{what}: {error}");
        } else if self.log_once.should_log(scope, error.code().unwrap_or_default()) {
            error!("{what}: {}", error.with_remedy(slack_setting));
        }
    }

    /// Reads the accounts that a verdict on `request` needs, into `read`.
    ///
    /// # Errors
    /// If any of them cannot be read; then nothing can be decided.
    pub(crate) async fn load(
        &self,
        accounts: Vec<SlackUserId>,
        request: &AccessRequest,
        read: &mut VoterSnapshot,
    ) -> Result<(), Refusal> {
        let began = Instant::now();
        let one = |account: SlackUserId| async move {
            let (voter, is_gone) = match self.reviewer(&account).await {
                Ok(person) => match self.groups(&person, request).await {
                    Ok((groups, since)) => {
                        return Ok((account, Some(Voter { reviewer: person, groups }), false, since));
                    }
                    Err(Refusal::GroupGone) => (Some(Voter { reviewer: person, groups: Vec::new() }), true),
                    Err(refusal) => return Err(refusal),
                },
                Err(Refusal::SlackUnreachable) => return Err(Refusal::VotersUnreadable),
                Err(refusal) if refusal.is_indeterminate() => return Err(refusal),
                Err(refusal) => {
                    debug!(slack_user = %account, name = self.slack.known_name(&account), request = %request.id, reason = refusal.kind(), "A vote does not count any more");
                    (None, refusal == Refusal::AccountIneligible(AccountIneligible::External))
                }
            };
            Ok((account, voter, is_gone, began))
        };
        let reading =
            stream::iter(accounts).map(one).buffer_unordered(MAX_CONCURRENT_READS).try_collect::<Vec<_>>();
        let found = self.in_time(reading).await?;
        read.renew(found.iter().map(|(.., since)| *since).fold(began, Instant::min), &self.timings);
        for (account, voter, is_gone, _) in found {
            if is_gone {
                read.voters.insert_gone(account, voter);
            } else {
                read.voters.insert(account, voter);
            }
        }
        Ok(())
    }
}

/// The refusal to show after a failed call to Teleport. If Teleport denies access, a second try does not help.
pub(crate) fn teleport_refusal(error: &TeleportError) -> Refusal {
    match error.kind() {
        ErrorKind::Unauthorized => Refusal::TeleportForbids,
        ErrorKind::Retry
        | ErrorKind::Conflict
        | ErrorKind::NotFound
        | ErrorKind::Unimplemented
        | ErrorKind::Permanent => Refusal::TeleportUnreachable,
    }
}

/// Whether asking again cannot help.
fn is_lasting(error: &SlackError) -> bool {
    matches!(error.retry(), Retry::Never | Retry::NeedsOperator)
}

/// The refusal to show if this scope is missing.
fn scope_missing(error: &SlackError, scope: &'static str) -> Option<Refusal> {
    (error.affects() == Affects::Scope).then_some(Refusal::ScopeMissing { scope })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_is_as_old_as_its_oldest_read() {
        let (seconds, timings) = (Duration::from_secs, ReviewTimings::default());
        let account = SlackUserId::new("U0BOB");
        let knows = |read: &mut VoterSnapshot| {
            let text = format!("{:?}", read.voters(&timings));
            text.contains("U0BOB")
        };
        tokio::time::advance(seconds(100)).await;
        // An account that was read now, and a group that was asked for seven seconds ago.
        let mut read = VoterSnapshot::empty();
        read.renew(Instant::now() - seconds(7), &timings);
        read.voters.insert(account.clone(), None);
        tokio::time::advance(seconds(3)).await;
        assert!(knows(&mut read), "ten seconds");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!knows(&mut read), "and no more: not ten from when the account was read");
        // A later read does not make an earlier one younger.
        read.renew(Instant::now(), &timings);
        read.voters.insert(account.clone(), None);
        tokio::time::advance(seconds(6)).await;
        read.renew(Instant::now(), &timings);
        tokio::time::advance(seconds(4)).await;
        assert!(knows(&mut read));
        tokio::time::advance(seconds(1)).await;
        assert!(!knows(&mut read));
    }
}
