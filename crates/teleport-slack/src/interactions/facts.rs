//! Reads what a verdict depends on, afresh for each decision: the request, its record, and who the person is in Slack
//! and in Teleport. User groups are read only if it comes to them ([`crate::review::voters`]).
//!
//! It judges only what makes the rest pointless to read: a message that is none of ours, a person who is nobody's
//! user. Whether the person may is `access_core::policy`'s; what follows is `clicks`'.

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::request::AccessRequest;
use access_core::interaction::{AppInstallation, OriginMismatch, check_message};
use access_core::policy::identity::Reviewer;
use access_core::policy::refusal::Refusal;
use access_core::record::Record;
use tokio::time::Instant;
use tracing::warn;

use super::command::DecisionCommand;
use super::other_cluster::Clusters;
use crate::review::resolver::Resolver;
use crate::review::voters::teleport_refusal;
use crate::teleport;
use crate::teleport::error::TeleportError;

/// What is not there yet (a decision that Teleport did not confirm, a message that was posted this moment) is
/// looked for again this often, with a pause in between.
pub(crate) const MAX_ATTEMPTS: u32 = 3;
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What was read for a verdict.
pub(crate) struct DecisionFacts {
    /// The request as Teleport lists it; `None` if it does not.
    pub(crate) current: Option<AccessRequest>,
    pub(crate) record: Record,
    pub(crate) reviewer: Reviewer,
    /// The user groups that the person is in, if it came to them.
    pub(crate) groups: Option<Vec<String>>,
    /// Since when the person was read, and the groups asked for.
    pub(crate) read_at: Instant,
}

/// Reads.
#[derive(Debug)]
pub struct FactsLoader {
    /// The way to Teleport.
    pub teleport: teleport::Client,
    /// What this app is.
    pub installation: AppInstallation,
    /// Tells messages of other clusters.
    pub clusters: Clusters,
    /// Who is who, and what votes come to.
    pub resolver: Arc<Resolver>,
}

impl FactsLoader {
    /// Everything the verdict depends on, as it is now.
    pub(crate) async fn load(&self, asked: &DecisionCommand) -> Result<DecisionFacts, Refusal> {
        let unreachable = |error: TeleportError| {
            warn!(request = %asked.request, "A click could not be judged: {}", crate::exit::chain(&error));
            teleport_refusal(&error)
        };
        let listed = self.teleport.get_request(&asked.request).await.map_err(unreachable)?;
        let record = self.load_matching_record(asked).await.map_err(unreachable)??;

        let since = Instant::now();
        let person = self.resolver.voters.reviewer(&asked.user).await?;
        Ok(DecisionFacts { current: listed, record, reviewer: person, groups: None, read_at: since })
    }

    /// The request's record, which must list the message. One that was posted this moment may not be noted yet, so
    /// it is looked for a few times.
    async fn load_matching_record(
        &self,
        asked: &DecisionCommand,
    ) -> Result<Result<Record, Refusal>, TeleportError> {
        let mut looks = 0;
        loop {
            let data = self.teleport.get_record(&asked.request).await?;
            let record = Record::decode(&asked.request, &data).0;
            match check_message(&asked.interaction, &self.installation, &record) {
                Ok(()) => return Ok(Ok(record)),
                Err(OriginMismatch::Message) if looks < MAX_ATTEMPTS => looks += 1,
                Err(foreign) => return Ok(Err(self.clusters.refusal(foreign, asked))),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
