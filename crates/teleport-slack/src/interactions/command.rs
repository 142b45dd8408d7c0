//! What a person asks for, whether by a button or by the dialogue that followed it.

use access_core::domain::decision::Decision;
use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::interaction::shown_cluster::ShownCluster;
use access_core::interaction::{Interaction, Origin, ResponseUrl, Sender};

/// One decision, whichever way it came.
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
    /// Given with a dialogue.
    pub(crate) reason: Option<String>,
    pub(crate) trigger_id: Option<String>,
    pub(crate) response_url: Option<ResponseUrl>,
}

impl DecisionCommand {
    /// Who asks, and where to answer.
    pub(crate) fn sender(&self) -> Sender {
        Sender {
            user: self.user.clone(),
            response_url: self.response_url.clone(),
            channel: Some(self.channel.clone()),
        }
    }
}

/// What is asked for; `None` if nothing.
pub(crate) fn decision_command(interaction: Interaction) -> Option<DecisionCommand> {
    match &interaction {
        Interaction::ButtonPress(click) => {
            let click = click.clone();
            Some(DecisionCommand {
                interaction,
                origin: click.origin,
                user: click.user,
                request: click.request,
                decision: click.decision,
                channel: click.channel,
                ts: click.ts,
                cluster: click.cluster,
                reason: None,
                trigger_id: click.trigger_id,
                response_url: click.response_url,
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
