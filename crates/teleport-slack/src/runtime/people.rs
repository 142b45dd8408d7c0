//! Reads the Teleport users who can matter for a Slack account, as they are now, without reading all of them for
//! every click.
//!
//! All are listed only where the trait is a link or nobody has exactly the name that a link says, and at most once a minute
//! for people who are found: the list makes
//! an index, and whom it finds is read again by name. Where the index finds nobody, or the users do not bear it
//! out, it must be no older than seconds. So a trait that was taken away counts at once, and one that was given
//! counts within seconds; only a second user who is given the same Slack id may go unnoticed, for a minute.
//!
//! Who the person is, `access_core::identity` tells.

use std::time::Duration;

use access_core::identity::index::{Candidates, UserIndex};
use access_core::identity::{Links, SlackProfile, TeleportUser};
use access_core::ids::SlackUserId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::complaints::Complaints;
use crate::teleport;
use crate::teleport::denied::Denied;
use crate::teleport::error::TeleportError;
use crate::teleport::users;

/// How old an index may be that finds somebody.
const FOUND: Duration = Duration::from_secs(60);
/// How old one may be that finds nobody, so that strangers who click cause one listing in this time at most.
const NOT_FOUND: Duration = Duration::from_secs(5);

/// Teleport's users.
#[derive(Debug)]
pub struct People {
    teleport: teleport::Client,
    links: Links,
    /// The last listing.
    listing: watch::Sender<Option<Listing>>,
    /// Somebody waits for a new one.
    wanted: Notify,
    complaints: Complaints,
}

/// What came of listing all users.
#[derive(Clone, Debug)]
struct Listing {
    /// When it was begun.
    asked: Instant,
    index: Result<std::sync::Arc<UserIndex>, TeleportError>,
}

impl People {
    /// Reads nothing yet.
    pub fn new(teleport: teleport::Client, links: Links) -> Self {
        Self {
            teleport,
            links,
            listing: watch::Sender::new(None),
            wanted: Notify::new(),
            complaints: Complaints::default(),
        }
    }

    /// How people are linked.
    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// Lists all users whenever that is wanted, until told to stop. One listing serves all who wait, and is not given
    /// up when they are.
    pub async fn list(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.wanted.notified()).await.is_some() {
            let asked = Instant::now();
            let Some(found) = stop.run_until_cancelled(self.teleport.list_users()).await else { return };
            let index = found.map(|users| {
                let users: Vec<_> = users.into_iter().map(known).collect();
                std::sync::Arc::new(UserIndex::new(&users, &self.links))
            });
            self.listing.send_replace(Some(Listing { asked, index }));
        }
    }

    /// The Slack accounts of a Teleport user, by the table and the trait. Of the requester they are read as they are now;
    /// of others the last listing will do, so that made-up names cost no calls.
    pub(super) async fn accounts(
        &self,
        user: &str,
        is_requester: bool,
    ) -> Result<Vec<SlackUserId>, TeleportError> {
        let mut accounts: Vec<_> = self.links.in_table(user).collect();
        if self.links.id_trait.is_none() {
            return Ok(accounts);
        }
        let now = if is_requester { Some(self.teleport.get_user(user).await) } else { None };
        let by_trait = match now {
            // Who may not read one user may not list them either, which says what both need.
            None | Some(Err(_)) => {
                self.index(Instant::now(), FOUND).await.map(|(_, index)| index.accounts(user).collect())
            }
            Some(Ok(found)) => {
                let found = found.map(known);
                Ok(found.iter().flat_map(|user| self.links.in_trait(user)).collect::<Vec<_>>())
            }
        };
        match by_trait {
            Ok(by_trait) => {
                self.complaints.settle("users");
                accounts.extend(by_trait);
                Ok(accounts)
            }
            // For telling people, whatever the refusal's words mean, what the table says is good enough.
            Err(error) if matches!(error.denied(), Some(Denied::Right | Denied::Other)) => {
                self.tell_unreadable(&error);
                Ok(accounts)
            }
            Err(error) => Err(error),
        }
    }

    /// The users who can matter for the account; `None` if the daemon may not read users.
    pub(super) async fn users(
        &self,
        profile: &SlackProfile,
    ) -> Result<Option<Vec<TeleportUser>>, TeleportError> {
        match self.find(profile).await {
            Ok(users) => {
                self.complaints.settle("users");
                Ok(Some(users))
            }
            // Only for want of this right: a plugin that is shut out knows nothing, and so nobody may decide.
            Err(error) if error.denied() == Some(Denied::Right) => {
                self.tell_unreadable(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn tell_unreadable(&self, error: &TeleportError) {
        // Without the trait, names are then taken unchecked, which is allowed.
        if self.links.id_trait.is_some() && self.complaints.open("users", "unauthorised") {
            warn!("People cannot be found by slack_user_id_trait: {error}");
        } else {
            debug!("Teleport's users may not be read: {error}");
        }
    }

    async fn find(&self, profile: &SlackProfile) -> Result<Vec<TeleportUser>, TeleportError> {
        if self.links.id_trait.is_some() {
            return self.find_in_list(profile).await;
        }
        let named = Candidates::named(profile, &self.links);
        let found = self.read(&named).await?;
        if !named.leave_open(&found, &self.links) {
            return Ok(found);
        }
        // Somebody may be called so but for the capitals; that is worth a list where one is allowed.
        match self.find_in_list(profile).await {
            Err(error) if error.denied() == Some(Denied::Right) => {
                debug!("Teleport's users may not be listed, to see who differs in capitals: {error}");
                Ok(found)
            }
            found => found,
        }
    }

    async fn find_in_list(&self, profile: &SlackProfile) -> Result<Vec<TeleportUser>, TeleportError> {
        let began = Instant::now();
        let (asked, index) = self.index(began, FOUND).await?;
        let candidates = index.candidates(profile, &self.links);
        let users = self.read(&candidates).await?;
        if asked >= began || candidates.are_borne_out(&users, profile, &self.links) {
            return Ok(users);
        }
        let (_, index) = self.index(began, NOT_FOUND).await?;
        self.read(&index.candidates(profile, &self.links)).await
    }

    /// An index that was begun after `began`, or is no older than `age`.
    async fn index(
        &self,
        began: Instant,
        age: Duration,
    ) -> Result<(Instant, std::sync::Arc<UserIndex>), TeleportError> {
        let mut listing = self.listing.subscribe();
        loop {
            let last = listing.borrow_and_update().clone();
            match last {
                Some(Listing { asked, index }) if asked >= began => return index.map(|index| (asked, index)),
                Some(Listing { asked, index: Ok(index) }) if asked.elapsed() <= age => {
                    return Ok((asked, index));
                }
                _ => {}
            }
            self.wanted.notify_one();
            listing.changed().await.expect("we hold the sender");
        }
    }

    /// Those of them who exist, as they are now.
    async fn read(&self, candidates: &Candidates) -> Result<Vec<TeleportUser>, TeleportError> {
        let mut found = Vec::new();
        for name in candidates.names() {
            found.extend(self.teleport.get_user(name).await?.map(known));
        }
        Ok(found)
    }
}

/// In the core's words.
fn known(user: users::TeleportUser) -> TeleportUser {
    TeleportUser { name: user.name, traits: user.traits, expires: user.expires }
}
