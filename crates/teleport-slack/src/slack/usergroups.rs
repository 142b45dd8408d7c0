//! Who is in which user group, as of a moment ago: a decision may depend on it.
//!
//! Slack allows few of these calls (20 a minute), and one message can be pressed by many at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use access_core::ids::SlackUserId;

use super::Client;
use super::cache::{Cache, Limits};
use super::error::SlackError;
use super::method::Method;
use super::turnstile::{Turn, Turnstile};

/// A group that was read within this time counts as read now.
const FRESH: Duration = Duration::from_secs(10);

/// Groups remembered at once; each may have thousands of members.
const MAX_GROUPS: usize = 100;

/// Reads the members of user groups. Cheap to clone; clones share the memory.
///
/// What was read is remembered for ten seconds, failures not at all: an error says nothing of anybody. Concurrent
/// questions about one group cause one call, and none is made while Slack asks to wait.
#[derive(Clone)]
pub struct UserGroups {
    client: Client,
    turnstile: Turnstile,
    members: Cache<Members, SlackError>,
}

/// The people in a group.
type Members = Arc<HashSet<SlackUserId>>;

impl UserGroups {
    /// Starts with an empty memory.
    pub fn new(client: Client) -> Self {
        let limits = Limits { found: FRESH, missing: Duration::ZERO, entries: MAX_GROUPS };
        Self { client, turnstile: Turnstile::new(), members: Cache::new(limits) }
    }

    /// The members of the group with this id.
    pub async fn members(&self, group: &str) -> Result<Members, SlackError> {
        let lookup = || {
            let (this, id) = (self.clone(), group.to_owned());
            async move {
                let call = this.client.usergroup_members(&id);
                let members = this.turnstile.pass(Method::UsergroupsUsersList, Turn::First, call).await?;
                Ok(Some(Arc::new(members.into_iter().collect())))
            }
        };
        Ok(self.members.get(group, Turn::First.name(), lookup).await?.unwrap_or_default())
    }
}

/// Whether there is no such group any more (deleted, disabled, or lost with the workspace's plan), in Slack's own words.
/// No other failure says so: not being let in, or a code that is not known, tells nothing of the group.
pub fn is_gone(error: &SlackError) -> bool {
    matches!(error.code(), Some("no_such_subteam" | "plan_upgrade_required"))
}

impl std::fmt::Debug for UserGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserGroups").finish_non_exhaustive()
    }
}
