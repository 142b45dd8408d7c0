//! Reads the current Teleport users that may belong to a Slack account, without reading all users for every interaction.
//!
//! All users are listed only if a trait maps them, or if no user has exactly the mapped name. For accounts that are found,
//! one listing serves for a minute: it makes an index, and the users that the index finds are read again by name. If the
//! index finds no user, or the users do not confirm it, it must be at most seconds old. So a removed trait counts at once,
//! and a new one within seconds. Only a second user with the same Slack id may go unnoticed for a minute.
//!
//! `access_core::policy::identity` decides which user it is.

use std::time::Duration;

use access_core::domain::ids::SlackUserId;
use access_core::policy::identity::{SlackProfile, TeleportUser, UserMapping};
use access_core::policy::user_index::{Candidates, UserIndex};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::ReviewTimings;
use crate::observe::log_once::SharedLogOnce;
use teleport_client::denied::AccessDenied;
use teleport_client::error::TeleportError;

#[derive(Debug)]
pub struct UserLookup {
    teleport: teleport_client::Client,
    mapping: UserMapping,
    timings: ReviewTimings,
    /// The result of the last listing, if there was one.
    snapshot: watch::Sender<Option<UserSnapshot>>,
    /// A caller waits for a new listing.
    refresh_requested: Notify,
    log_once: SharedLogOnce,
}

/// The result of listing all users.
#[derive(Clone, Debug)]
struct UserSnapshot {
    /// When the listing began.
    started_at: Instant,
    index: Result<std::sync::Arc<UserIndex>, TeleportError>,
}

impl UserLookup {
    pub fn new(teleport: teleport_client::Client, links: UserMapping, timings: ReviewTimings) -> Self {
        Self {
            teleport,
            mapping: links,
            timings,
            snapshot: watch::Sender::new(None),
            refresh_requested: Notify::new(),
            log_once: SharedLogOnce::default(),
        }
    }

    /// How Slack users map to Teleport users.
    pub(crate) fn mapping(&self) -> &UserMapping {
        &self.mapping
    }

    /// Lists all users on demand, until `stop`. One listing serves all callers that wait, and goes on if they give up.
    pub async fn refresh_on_demand(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.refresh_requested.notified()).await.is_some() {
            let asked = Instant::now();
            let Some(found) = stop.run_until_cancelled(self.teleport.list_users()).await else { return };
            match &found {
                Ok(_) => {
                    self.log_once.clear("listing");
                }
                Err(TeleportError::TooManyItems { .. })
                    if self.log_once.should_log("listing", "too many") =>
                {
                    warn!("Cannot list Teleport's users; map those who decide in [review.users] instead");
                }
                Err(_) => {}
            }
            let index = found.map(|users| std::sync::Arc::new(UserIndex::new(&users, &self.mapping)));
            self.snapshot.send_replace(Some(UserSnapshot { started_at: asked, index }));
        }
    }

    /// The Slack accounts of a Teleport user, by the table and the trait. The requester is read again; for other users the
    /// last listing suffices, so that invented names cost no calls.
    pub(crate) async fn slack_accounts(
        &self,
        user: &str,
        is_requester: bool,
    ) -> Result<Vec<SlackUserId>, TeleportError> {
        let mut accounts: Vec<_> = self.mapping.explicit_accounts(user).collect();
        if self.mapping.id_trait.is_none() {
            return Ok(accounts);
        }
        let now = if is_requester { Some(self.teleport.get_user(user).await) } else { None };
        let by_trait = match now {
            // A plugin that may not read one user may not list them either; that error names the rights for both.
            None | Some(Err(_)) => self
                .fresh_index(Instant::now(), self.timings.users_max_age)
                .await
                .map(|(_, index)| index.accounts(user).collect()),
            Some(Ok(found)) => {
                Ok(found.iter().flat_map(|user| self.mapping.trait_accounts(user)).collect::<Vec<_>>())
            }
        };
        match by_trait {
            Ok(by_trait) => {
                self.log_once.clear("users");
                accounts.extend(by_trait);
                Ok(accounts)
            }
            // For notifications the table suffices, whatever the refusal means.
            Err(error)
                if matches!(
                    error.denied(),
                    Some(AccessDenied::MissingPermission | AccessDenied::Unrecognized)
                ) =>
            {
                self.log_unreadable(&error);
                Ok(accounts)
            }
            Err(error) => Err(error),
        }
    }

    /// The users who can matter for the account; `None` if the daemon may not read users.
    pub(crate) async fn candidate_users(
        &self,
        profile: &SlackProfile,
    ) -> Result<Option<Vec<TeleportUser>>, TeleportError> {
        match self.find(profile).await {
            Ok(users) => {
                self.log_once.clear("users");
                Ok(Some(users))
            }
            // Only if this right is missing: a plugin without any access knows nothing, and so no user may decide.
            Err(error) if error.denied() == Some(AccessDenied::MissingPermission) => {
                self.log_unreadable(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn log_unreadable(&self, error: &TeleportError) {
        // Without the trait, names are then taken unchecked, which is allowed.
        if self.mapping.id_trait.is_some() && self.log_once.should_log("users", "unauthorized") {
            warn!("Cannot map Slack users by slack_user_id_trait: {error}");
        } else {
            debug!("Teleport's users may not be read: {error}");
        }
    }

    async fn find(&self, profile: &SlackProfile) -> Result<Vec<TeleportUser>, TeleportError> {
        if self.mapping.id_trait.is_some() {
            return self.find_in_snapshot(profile).await;
        }
        let named = Candidates::named(profile, &self.mapping);
        let found = self.fetch(&named).await?;
        if !named.is_incomplete(&found, &self.mapping) {
            return Ok(found);
        }
        // A user's name may differ in capitals only; that is worth a listing where one is allowed.
        match self.find_in_snapshot(profile).await {
            Err(error) if error.denied() == Some(AccessDenied::MissingPermission) => {
                debug!("Teleport's users may not be listed, to see who differs in capitals: {error}");
                Ok(found)
            }
            found => found,
        }
    }

    async fn find_in_snapshot(&self, profile: &SlackProfile) -> Result<Vec<TeleportUser>, TeleportError> {
        let began = Instant::now();
        let (asked, index) = self.fresh_index(began, self.timings.users_max_age).await?;
        let candidates = index.candidates(profile, &self.mapping);
        let users = self.fetch(&candidates).await?;
        if asked >= began || candidates.are_confirmed_by(&users, profile, &self.mapping) {
            return Ok(users);
        }
        let (_, index) = self.fresh_index(began, self.timings.no_user_max_age).await?;
        self.fetch(&index.candidates(profile, &self.mapping)).await
    }

    /// An index that was begun after `began`, or is no older than `age`.
    async fn fresh_index(
        &self,
        began: Instant,
        age: Duration,
    ) -> Result<(Instant, std::sync::Arc<UserIndex>), TeleportError> {
        let mut listing = self.snapshot.subscribe();
        loop {
            let last = listing.borrow_and_update().clone();
            match last {
                Some(UserSnapshot { started_at: asked, index }) if asked >= began => {
                    return index.map(|index| (asked, index));
                }
                Some(UserSnapshot { started_at: asked, index: Ok(index) }) if asked.elapsed() <= age => {
                    return Ok((asked, index));
                }
                _ => {}
            }
            self.refresh_requested.notify_one();
            listing.changed().await.expect("we hold the sender");
        }
    }

    /// The current users among the candidates.
    async fn fetch(&self, candidates: &Candidates) -> Result<Vec<TeleportUser>, TeleportError> {
        let mut found = Vec::new();
        for name in candidates.names() {
            found.extend(self.teleport.get_user(name).await?);
        }
        Ok(found)
    }
}
