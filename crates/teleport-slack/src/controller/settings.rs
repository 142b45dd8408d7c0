//! What the configuration says about requests, as a reconcile needs it. A reload replaces it as a whole.

use std::sync::Arc;

use access_core::domain::recipients::Rules;
use access_core::policy::{self, CanSubmitForUsers, Mode, ModeSetting, mode};
use tokio::sync::watch;

use crate::review::resolver::Resolver;
use crate::review::users::UserLookup;

/// What the configuration says about requests: one whole, by which a reconcile goes from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which recipients to notify.
    pub rules: Rules,
    /// Reviews in Slack, if they are on.
    pub review: Option<ReviewHandles>,
}

/// What the controller needs for reviews in Slack.
#[derive(Clone, Debug)]
pub struct ReviewHandles {
    /// The rules of the configuration: `[[review.rule]]`.
    pub rules: Arc<policy::Rules>,
    /// Which call to Teleport applies a decision, as configured.
    pub setting: ModeSetting,
    /// Whether this Teleport takes reviews for users.
    pub can_submit: watch::Receiver<CanSubmitForUsers>,
    /// Evaluates votes and applies decisions.
    pub resolver: Arc<Resolver>,
    /// Maps Slack users to Teleport users.
    pub users: Arc<UserLookup>,
}

/// By what it is decided who may decide in Slack, and how.
#[derive(Clone, Debug)]
pub(crate) struct ReviewTerms {
    /// The rules of the configuration: `[[review.rule]]`.
    pub(crate) rules: Arc<policy::Rules>,
    /// Which call to Teleport applies a decision, as configured.
    pub(crate) setting: ModeSetting,
    /// Whether this Teleport takes reviews for users.
    pub(crate) can_submit: watch::Receiver<CanSubmitForUsers>,
}

impl ReviewTerms {
    /// The mode in effect.
    pub(crate) fn mode(&self) -> Option<Mode> {
        mode(self.setting, *self.can_submit.borrow(), &self.rules)
    }
}

/// Whether Teleport takes reviews for users, with changes; without reviews in Slack there are none.
pub(super) fn can_submit(review: Option<&ReviewHandles>) -> watch::Receiver<CanSubmitForUsers> {
    let never = || watch::channel(CanSubmitForUsers::default()).1;
    let mut can_submit = review.map_or_else(never, |review| review.can_submit.clone());
    can_submit.mark_unchanged();
    can_submit
}
