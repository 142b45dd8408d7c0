//! Reads what a verdict depends on, again for each decision: the request, its record, and the user in Slack and in Teleport.
//! User groups are read only if they matter ([`crate::review::voters`]).
//!
//! It refuses only what makes further reads pointless: a message that is not ours, or an account without a Teleport user.
//! `access_core::policy` decides whether the user may; `handler` applies it.

use std::sync::Arc;

use access_core::domain::request::AccessRequest;
use access_core::interaction::{AppInstallation, OriginMismatch, check_message};
use access_core::policy::identity::Reviewer;
use access_core::policy::refusal::Refusal;
use access_core::policy::{CurrentState, current_state};
use access_core::record::Record;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::command::DecisionCommand;
use super::other_cluster::Clusters;
use crate::review::resolver::Resolver;
use crate::review::voters::teleport_refusal;
use teleport_client::error::TeleportError;

/// How often to check again, each time after `ReviewTimings::recheck`, for what is not there yet: a decision that Teleport
/// did not confirm, or a message that was just posted.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// The facts of a verdict.
pub(crate) struct DecisionFacts {
    /// The request as Teleport lists it; `None` if it does not.
    pub(crate) current: Option<AccessRequest>,
    pub(crate) record: Record,
    pub(crate) reviewer: Reviewer,
    /// The user groups of the user, if they matter.
    pub(crate) groups: Option<Vec<String>>,
    /// When the reads of the user and the groups began.
    pub(crate) read_at: Instant,
}

#[derive(Debug)]
pub struct FactsLoader {
    /// Reads requests, records and users, and writes decisions.
    pub teleport: teleport_client::Client,
    /// Where this app is installed.
    pub installation: AppInstallation,
    /// Recognizes messages of other clusters.
    pub clusters: Clusters,
    /// Identifies voters and evaluates votes.
    pub resolver: Arc<Resolver>,
}

impl FactsLoader {
    /// The current facts of the verdict.
    pub(crate) async fn load(&self, command: &DecisionCommand) -> Result<DecisionFacts, Refusal> {
        let unreachable = |error: TeleportError| {
            warn!(request = %command.request, "Cannot evaluate an interaction: {}", access_core::domain::error_chain::chain(&error));
            teleport_refusal(&error)
        };
        let listed = self.teleport.get_request(&command.request).await.map_err(unreachable)?;
        let record = self.load_matching_record(command).await.map_err(unreachable)??;

        let since = Instant::now();
        let reviewer = self.resolver.voters.reviewer(&command.user).await?;
        Ok(DecisionFacts { current: listed, record, reviewer, groups: None, read_at: since })
    }

    /// How the request stands by now, for the late reply to this click. Asks Teleport only: people who wait for a reply need
    /// what Slack's limits allow.
    pub(crate) async fn current_state(&self, command: &DecisionCommand) -> CurrentState {
        let reading = async {
            let failed = |error: TeleportError| teleport_refusal(&error);
            // The record first: what it says was decided was so before the request was read.
            let record = self.load_matching_record(command).await.map_err(failed)?;
            Ok((self.teleport.get_request(&command.request).await.map_err(failed)?, record))
        };
        match self.resolver.voters.in_time(reading).await {
            Ok((current, Ok(record))) => {
                let rules = &self.resolver.voters.rules;
                current_state(current.as_ref(), &record, rules, &command.user, Timestamp::now())
            }
            Ok((_, Err(mismatch))) => CurrentState::Closed(mismatch),
            Err(_) => CurrentState::Unknown,
        }
    }

    /// The request's record, which must list the message. A message that was just posted may not be recorded yet, so this
    /// tries a few times.
    async fn load_matching_record(
        &self,
        command: &DecisionCommand,
    ) -> Result<Result<Record, Refusal>, TeleportError> {
        let mut retries = 0;
        loop {
            let data = self.teleport.get_record(&command.request).await?;
            let record = Record::decode(&command.request, &data).0;
            match check_message(&command.interaction, &self.installation, &record) {
                Ok(()) => return Ok(Ok(record)),
                Err(OriginMismatch::Message) if retries < MAX_ATTEMPTS => retries += 1,
                Err(mismatch) => return Ok(Err(self.clusters.refusal(mismatch, command))),
            }
            tokio::time::sleep(self.resolver.voters.timings.recheck).await;
        }
    }
}
