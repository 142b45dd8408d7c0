//! Reads what a verdict depends on, afresh for each decision: the request, its record, and who the person is in Slack
//! and in Teleport. User groups are read only if it comes to them ([`super::voters`]).
//!
//! It judges only what makes the rest pointless to read: a message that is none of ours, a person who is nobody's
//! user. Whether the person may is `access_core::policy`'s; what follows is `clicks`'.

use std::sync::Arc;
use std::time::Duration;

use access_core::identity::Person;
use access_core::interaction::{Foreign, OurApp, belongs};
use access_core::record::Record;
use access_core::refusal::Refusal;
use access_core::request::AccessRequest;
use tokio::time::Instant;
use tracing::warn;

use super::asked::Asked;
use super::clusters::Clusters;
use super::resolution::Resolver;
use crate::teleport;
use crate::teleport::error::{Kind, TeleportError};

/// What is not there yet (a decision that Teleport did not confirm, a message that was posted this moment) is
/// looked for again this often, with a pause in between.
pub(super) const LOOKS: u32 = 3;
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// What was read for a verdict.
pub(super) struct Known {
    /// The request as Teleport lists it; `None` if it does not.
    pub(super) listed: Option<AccessRequest>,
    pub(super) record: Record,
    pub(super) person: Person,
    /// The user groups that the person is in, if it came to them.
    pub(super) groups: Option<Vec<String>>,
    /// Since when the person was read, and the groups asked for.
    pub(super) since: Instant,
}

/// Reads.
#[derive(Debug)]
pub struct Reader {
    /// The way to Teleport.
    pub teleport: teleport::Client,
    /// What this app is.
    pub our: OurApp,
    /// Tells messages of other clusters.
    pub clusters: Clusters,
    /// Who is who, and what votes come to.
    pub resolver: Arc<Resolver>,
}

impl Reader {
    /// Everything the verdict depends on, as it is now.
    pub(super) async fn read(&self, asked: &Asked) -> Result<Known, Refusal> {
        let unreachable = |error: TeleportError| {
            warn!(request = %asked.request, "A click could not be judged: {}", crate::error::chain(&error));
            teleport_refusal(&error)
        };
        let listed = self.teleport.get_request(&asked.request).await.map_err(unreachable)?;
        let record = self.record_that_lists(asked).await.map_err(unreachable)??;

        let since = Instant::now();
        let person = self.resolver.voters.person(&asked.user).await?;
        Ok(Known { listed, record, person, groups: None, since })
    }

    /// The request's record, which must list the message. One that was posted this moment may not be noted yet, so
    /// it is looked for a few times.
    async fn record_that_lists(&self, asked: &Asked) -> Result<Result<Record, Refusal>, TeleportError> {
        let mut looks = 0;
        loop {
            let data = self.teleport.get_record(&asked.request).await?;
            let record = Record::decode(&asked.request, &data).0;
            match belongs(&asked.interaction, &self.our, &record) {
                Ok(()) => return Ok(Ok(record)),
                Err(Foreign::Message) if looks < LOOKS => looks += 1,
                Err(foreign) => return Ok(Err(self.clusters.refusal(foreign, asked))),
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

/// What to tell of a question that Teleport did not answer. Whoever is not let in is not helped by trying again.
pub(super) fn teleport_refusal(error: &TeleportError) -> Refusal {
    match error.kind() {
        Kind::Unauthorised => Refusal::TeleportForbids,
        Kind::Retry | Kind::Conflict | Kind::NotFound | Kind::Unimplemented | Kind::Permanent => {
            Refusal::TeleportUnreachable
        }
    }
}
