//! The decision that a user asks for, by a button or by the modal that followed it.

use access_core::domain::decision::Decision;
use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::domain::secret::Secret;
use access_core::interaction::shown_cluster::ShownCluster;
use access_core::interaction::{Interaction, Origin, Sender};

/// One decision, by a button or a modal.
#[derive(Clone, Debug)]
pub(crate) struct DecisionCommand {
    pub(crate) interaction: Interaction,
    pub(crate) origin: Origin,
    pub(crate) user: SlackUserId,
    pub(crate) request: RequestId,
    pub(crate) decision: Decision,
    pub(crate) channel: ChannelId,
    pub(crate) ts: MessageTs,
    /// The Teleport cluster that the message names, if it does.
    pub(crate) cluster: Option<ShownCluster>,
    /// Given in a modal.
    pub(crate) reason: Option<String>,
    pub(crate) trigger_id: Option<String>,
    pub(crate) response_url: Option<Secret>,
}

impl DecisionCommand {
    /// The user, and where to reply.
    pub(crate) fn sender(&self) -> Sender {
        Sender {
            user: self.user.clone(),
            response_url: self.response_url.clone(),
            channel: Some(self.channel.clone()),
            request: Some(self.request.clone()),
        }
    }
}

/// The decision that an interaction asks for; `None` if it asks for none.
pub(crate) fn decision_command(interaction: Interaction) -> Option<DecisionCommand> {
    match &interaction {
        Interaction::ButtonPress(press) => {
            let press = press.clone();
            Some(DecisionCommand {
                interaction,
                origin: press.origin,
                user: press.user,
                request: press.request,
                decision: press.decision,
                channel: press.channel,
                ts: press.ts,
                cluster: press.cluster,
                reason: None,
                trigger_id: press.trigger_id,
                response_url: press.response_url,
            })
        }
        Interaction::Submission(submission) => {
            let submission = submission.clone();
            Some(DecisionCommand {
                interaction,
                origin: submission.origin,
                user: submission.user,
                request: submission.modal.request,
                decision: submission.modal.decision,
                channel: submission.modal.channel,
                ts: submission.modal.ts,
                cluster: Some(submission.modal.cluster),
                reason: Some(submission.reason),
                trigger_id: None,
                response_url: None,
            })
        }
        Interaction::Ignored(_) => None,
    }
}
