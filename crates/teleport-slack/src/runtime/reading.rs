//! Reads what a verdict depends on, afresh for each decision: the request, its record, who the person is in Slack
//! and in Teleport, and the user groups that the rules name.
//!
//! It judges only what makes the rest pointless to read: a message that is none of ours, a person who is nobody's
//! user. Whether the person may is `access_core::policy`'s; what follows is `clicks`'.

use std::sync::Arc;
use std::time::Duration;

use access_core::identity::{Person, SlackProfile, Users, identify};
use access_core::interaction::{Foreign, OurApp, belongs};
use access_core::policy::Rules;
use access_core::record::Record;
use access_core::refusal::{Distrust, Refusal};
use access_core::request::AccessRequest;
use jiff::Timestamp;
use tracing::warn;

use super::asked::Asked;
use super::people::People;
use crate::teleport::error::TeleportError;
use crate::{slack, teleport};

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
    /// The rules' user groups that the person is in.
    pub(super) groups: Vec<String>,
}

/// Reads.
#[derive(Debug)]
pub struct Reader {
    /// The way to Teleport.
    pub teleport: teleport::Client,
    /// The way to Slack.
    pub slack: slack::Client,
    /// What this app is.
    pub our: OurApp,
    /// Who is who.
    pub people: Arc<People>,
    /// Whose groups matter.
    pub rules: Arc<Rules>,
}

impl Reader {
    /// Everything the verdict depends on, as it is now.
    pub(super) async fn read(&self, asked: &Asked) -> Result<Known, Refusal> {
        let unreachable = |error: TeleportError| {
            warn!(request = %asked.request, "A click could not be judged: {}", crate::error::chain(&error));
            Refusal::TeleportUnreachable
        };
        let listed = self.teleport.get_request(&asked.request).await.map_err(unreachable)?;
        let record = self.record_that_lists(asked).await.map_err(unreachable)??;

        let profile = match self.slack.user_info(&asked.user).await {
            Ok(Some(user)) => SlackProfile::from(&user),
            Ok(None) => return Err(Refusal::Untrusted(Distrust::Stranger)),
            Err(error) => {
                warn!(slack_user = %asked.user, "A click could not be judged: {}", error.with_remedy());
                return Err(Refusal::SlackUnreachable);
            }
        };
        let users = self.people.users(&profile).await.map_err(unreachable)?;
        let users = users.as_deref().map_or(Users::Unreadable, Users::Listed);
        let links = self.people.links();
        let person = identify(&asked.user, &profile, &self.our, links, users, Timestamp::now())?;

        let mut groups = Vec::new();
        for group in listed.iter().flat_map(|request| self.rules.groups(request)) {
            match self.slack.usergroup_members(group).await {
                Ok(members) if profile.ids().any(|id| members.contains(id)) => groups.push(group.to_owned()),
                Ok(_) => {}
                // Not knowing is not being a member.
                Err(error) => {
                    warn!(group, "Cannot read a user group that a rule names: {}", error.with_remedy())
                }
            }
        }
        Ok(Known { listed, record, person, groups })
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
                Err(foreign) => return Ok(Err(foreign.into())),
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}
