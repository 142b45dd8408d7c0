//! Who is in which user group, as of a moment ago: a decision may depend on it.
//!
//! Slack allows few of these calls (20 a minute), and one message can be pressed by many at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::SlackUserId;
use tokio::time::Instant;

use super::Client;
use super::cache::{Cache, Limits};
use super::error::{Affects, SlackError};
use super::method::Method;
use super::rate_limit::{LookupQueue, Priority};

/// Groups remembered at once; each may have thousands of members.
const MAX_GROUPS: usize = 100;

/// Reads the members of user groups. Cheap to clone; clones share the memory.
///
/// What was read is remembered for as long as the caller says, failures not at all: an error says nothing about members. Concurrent
/// questions about one group cause one call, and none is made while Slack asks to wait.
#[derive(Clone)]
pub struct UserGroups {
    client: Client,
    lookups: LookupQueue,
    members: Cache<Membership, SlackError>,
    max_age: Duration,
}

/// The people in a group.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The ids of the members: `U…` or `W…`.
    pub people: Arc<HashSet<SlackUserId>>,
    /// When Slack was asked: it was so then or later.
    pub asked: Instant,
}

impl Membership {
    fn is_kept(&self, max_age: Duration) -> bool {
        self.asked.elapsed() < max_age
    }
}

impl UserGroups {
    /// Starts with an empty memory. A group that was asked for within `max_age` is not asked for again.
    pub fn new(client: Client, max_age: Duration) -> Self {
        let limits = Limits { hit_ttl: max_age, miss_ttl: Duration::ZERO, max_entries: MAX_GROUPS };
        Self { lookups: client.lookup_queue(), client, members: Cache::new(limits), max_age }
    }

    /// The members of the group with this id.
    pub async fn members(&self, group: &str) -> Result<Membership, SlackError> {
        let lookup = || {
            let (this, id) = (self.clone(), group.to_owned());
            async move {
                // As soon as it has its turn.
                let call = async {
                    let asked = Instant::now();
                    let members = this.client.usergroup_members(&id).await?;
                    Ok(Membership { people: Arc::new(members.into_iter().collect()), asked })
                };
                this.lookups.call(Method::UsergroupsUsersList, Priority::Operator, call).await.map(Some)
            }
        };
        let is_kept =
            |found: &Option<Membership>| found.as_ref().is_some_and(|found| found.is_kept(self.max_age));
        let found = self.members.get_if(group, Priority::Operator.key(), is_kept, lookup).await?;
        Ok(found.unwrap_or_else(|| Membership { people: Arc::default(), asked: Instant::now() }))
    }
}

/// Whether Slack said that there is no such group any more: deleted, disabled, or lost with the workspace's plan.
/// No other failure says so: a refused token or an unknown code says nothing about the group.
pub fn is_gone(error: &SlackError) -> bool {
    error.affects() == Affects::UserGroup
}

impl std::fmt::Debug for UserGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserGroups").finish_non_exhaustive()
    }
}
