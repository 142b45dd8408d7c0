//! Interactions with messages of other Teleport clusters: the reply names the cluster and the remedy, and so does the log,
//! once for each cluster.
//!
//! They arrive when daemons of two clusters share one Slack app, because Slack sends each interaction to either daemon.

use access_core::interaction::OriginMismatch;
use access_core::interaction::shown_cluster::ShownCluster;
use access_core::policy::refusal::Refusal;
use access_core::render::request_message::shown_cluster;
use tracing::warn;

use super::command::DecisionCommand;
use crate::observe::log_once::SharedLogOnce;

/// The daemon's cluster, and the other clusters that were logged.
#[derive(Debug)]
pub struct Clusters {
    own: ShownCluster,
    log_once: SharedLogOnce,
}

impl Clusters {
    /// `own` is the cluster's name as Teleport gives it.
    pub fn new(own: &str) -> Self {
        Self { own: shown_cluster(own), log_once: SharedLogOnce::default() }
    }

    /// The daemon's cluster, for a modal that Slack may send to another cluster's daemon.
    pub(crate) fn own(&self) -> &ShownCluster {
        &self.own
    }

    /// The refusal of an interaction that is not about one of our messages.
    pub(crate) fn refusal(&self, mismatch: OriginMismatch, command: &DecisionCommand) -> Refusal {
        let refusal = Refusal::from(mismatch).or_other_cluster(command.cluster.as_ref(), &self.own);
        if let Refusal::OtherCluster { cluster, own } = &refusal
            && self.log_once.should_log("clusters", cluster)
        {
            warn!(
                cluster = cluster.as_str(),
                own_cluster = own.as_str(),
                slack_user = %command.user,
                request = %command.request,
                "An interaction came from a message of another Teleport cluster, so it decided nothing: daemons of both clusters use one Slack app, and Slack sends an interaction to either, so interactions with messages of this cluster are lost in the same way; give each Teleport cluster a Slack app of its own"
            );
        }
        refusal
    }
}
