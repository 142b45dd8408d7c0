//! Clicks on messages of other Teleport clusters: whoever pressed is told which cluster it is and what helps, and so is the
//! log, once for each cluster.
//!
//! They come when daemons of two clusters use one Slack app, which hands each click to either.

use access_core::interaction::OriginMismatch;
use access_core::interaction::shown_cluster::ShownCluster;
use access_core::policy::refusal::Refusal;
use access_core::render::request_message::shown_cluster;
use tracing::warn;

use super::command::DecisionCommand;
use crate::observe::log_once::LogOnce;

/// The cluster that the daemon works for, and which others were told of.
#[derive(Debug)]
pub struct Clusters {
    own: ShownCluster,
    told: LogOnce,
}

impl Clusters {
    /// `own` is the cluster's name as Teleport gives it.
    pub fn new(own: &str) -> Self {
        Self { own: shown_cluster(own), told: LogOnce::default() }
    }

    /// Our own, for a dialogue that another cluster's daemon may be handed.
    pub(crate) fn own(&self) -> &ShownCluster {
        &self.own
    }

    /// Why nothing is decided by something that is not about one of our messages.
    pub(crate) fn refusal(&self, foreign: OriginMismatch, asked: &DecisionCommand) -> Refusal {
        let refusal = Refusal::from(foreign).or_other_cluster(asked.cluster.as_ref(), &self.own);
        if let Refusal::OtherCluster { cluster, own } = &refusal
            && self.told.should_log("clusters", cluster)
        {
            warn!(
                cluster = cluster.as_str(),
                own = own.as_str(),
                slack_user = %asked.user,
                request = %asked.request,
                "A click came on a message of another Teleport cluster, so nothing was decided by it: daemons of both clusters use one Slack app, and Slack hands a click to either, so clicks on messages of this cluster are lost in the same way; give each Teleport cluster a Slack app of its own"
            );
        }
        refusal
    }
}
