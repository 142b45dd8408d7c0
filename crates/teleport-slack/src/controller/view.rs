//! One request as the controller would see it now, for those who only look: the same stages as a reconcile, without the
//! last, and without what a running daemon keeps in its memory (`retry_state`).

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::recipients::{RecipientList, Rules};
use access_core::domain::request::AccessRequest;
use access_core::plan::Plan;
use access_core::policy::{CanSubmitForUsers, ModeSetting};
use access_core::record::Record;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::planner::Planner;
use super::recipient_lookup::RecipientLookup;
use super::retry_state::{Observation, Observed, RetryState};
use super::settings::ReviewTerms;
use super::timings::ControllerTimings;
use crate::observe::log_once::SharedLogOnce;
use crate::observe::outages::Outages;
use crate::review::users::UserLookup;
use crate::supervise::clock::Clock;
use slack_client::directory::Directory;
use teleport_client::Pong;
use teleport_client::error::TeleportError;

/// What a look needs, as a daemon with this configuration has it.
#[derive(Clone)]
pub(crate) struct ViewContext {
    pub(crate) teleport: teleport_client::Client,
    pub(crate) directory: Directory,
    pub(crate) pong: Pong,
    /// Which recipients to notify.
    pub(crate) recipients: Rules,
    /// Deciding in Slack, if it is on.
    pub(crate) review: Option<ReviewView>,
}

/// What a look needs of deciding in Slack.
#[derive(Clone)]
pub(crate) struct ReviewView {
    pub(crate) rules: Arc<access_core::policy::Rules>,
    pub(crate) setting: ModeSetting,
    /// Whether this Teleport takes reviews for users.
    pub(crate) can_submit: CanSubmitForUsers,
    pub(crate) users: Arc<UserLookup>,
}

/// What there is of a request, and what is missing in Slack.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The request in Teleport, if it is there.
    pub(crate) listed: Option<AccessRequest>,
    /// Whether the plugin's rights prove that a request which is not found is gone.
    pub(crate) is_absence_proved: bool,
    /// Whether there is a record.
    pub(crate) has_record: bool,
    /// The record, as far as it can be read.
    pub(crate) record: Record,
    /// The keys of the record whose values cannot be read.
    pub(crate) invalid_keys: Vec<&'static str>,
    /// Who is to be notified.
    pub(crate) recipients: RecipientList,
    /// Whether each look-up of a recipient ended in time.
    pub(crate) is_all_known: bool,
    /// What is missing in Slack, and what is left out. Nothing in it waits for a retry: only a daemon knows of those.
    pub(crate) plan: Plan,
}

/// Looks at one request. Look-ups in Slack that take longer than `limit` count as not ended.
///
/// # Errors
/// If Teleport does not give the request or the record.
pub(crate) async fn view(
    context: ViewContext,
    id: &RequestId,
    limit: Duration,
) -> Result<View, TeleportError> {
    let (found, is_absence_proved) = match context.teleport.get_request(id).await {
        Ok(Some(request)) => (Observed::Present(Observation::now(request)), true),
        Ok(None) => (Observed::Deleted(None), true),
        Err(TeleportError::NotVisible { .. }) => (Observed::Unlisted(None), false),
        Err(error) => return Err(error),
    };
    let (ended_tx, mut ended) = mpsc::channel(1);
    let planner = planner(context, ended_tx);
    let mut retry_state = RetryState::default();
    let (data, record) = planner.read(id, &mut retry_state).await.map_err(|failed| failed.source)?;
    let (has_record, invalid_keys) = (!data.is_empty(), Record::decode(id, &data).1);
    let mut facts = planner.refresh(id, &found, data, record).await.map_err(|failed| failed.source)?;
    let deadline = Instant::now() + limit;
    let targets = loop {
        let targets = planner.resolve(id, &mut facts, &mut retry_state).await;
        if targets.is_all_known || !matches!(timeout_at(deadline, ended.recv()).await, Ok(Some(_))) {
            break targets;
        }
    };
    // Whatever these look-ups would wait for is not what a daemon waits for.
    retry_state.retry_now();
    let plan = planner.plan(&facts, &targets, &retry_state);
    Ok(View {
        listed: facts.listed().cloned(),
        is_absence_proved,
        has_record,
        record: facts.record,
        invalid_keys,
        recipients: targets.recipients.list().clone(),
        is_all_known: targets.is_all_known,
        plan,
    })
}

/// A planner like a daemon's. `ended` hears of look-ups that have ended.
fn planner(context: ViewContext, ended: mpsc::Sender<RequestId>) -> Planner {
    let ViewContext { teleport, directory, pong, recipients, review } = context;
    let users = review.as_ref().map(|review| Arc::clone(&review.users));
    let timings = ControllerTimings::default();
    let recipient_lookup =
        RecipientLookup::new(directory.clone(), users, ended, Outages::default(), &timings);
    let terms = |ReviewView { rules, setting, can_submit, users: _ }| ReviewTerms {
        rules,
        setting,
        can_submit: watch::channel(can_submit).1,
    };
    Planner {
        teleport,
        directory,
        recipient_lookup,
        rules: recipients,
        review: review.map(terms),
        cluster: pong.cluster_name,
        is_enterprise: pong.enterprise,
        web_proxy: pong.web_proxy,
        log_once: Arc::new(SharedLogOnce::default()),
        clock: Clock::system(),
    }
}
