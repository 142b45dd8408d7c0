//! What is missing in Slack for one request: the stages of a pass that change nothing.
//!
//! `reconciler` executes what this plans, and `teleport-slack explain` says it; neither plans by itself.
//! `access_core::plan` makes the choices.

use std::collections::BTreeMap;
use std::sync::Arc;

use access_core::domain::ids::RequestId;
use access_core::domain::known_ids::KnownIds;
use access_core::domain::lifecycle::is_stale;
use access_core::domain::recipients::{Destination, RecipientKey, Rules};
use access_core::domain::request::AccessRequest;
use access_core::plan::{Plan, PlanInput, ReviewDisplay, Unresolved, plan};
use access_core::record::{Record, truncated};
use access_core::render::request_message::Edition;
use tracing::warn;

use super::recipient_lookup::RecipientLookup;
use super::recipients::RequestRecipients;
use super::reconcile_error::{ReconcileError, STAGE_READ};
use super::refetch::{Presence, refetch_at, refetch_if_stale};
use super::retry_state::{Observed, RetryState};
use super::settings::ReviewTerms;
use crate::observe::log_once::SharedLogOnce;
use crate::supervise::clock::Clock;
use slack_client::directory::Directory;
use teleport_client::plugin_data::Fields;

/// What planning needs. Nothing in it can write to Teleport's record or post to Slack.
#[derive(Clone)]
pub(super) struct Planner {
    pub(super) teleport: teleport_client::Client,
    pub(super) directory: Directory,
    pub(super) recipient_lookup: RecipientLookup,
    pub(super) rules: Rules,
    pub(super) review: Option<ReviewTerms>,
    pub(super) cluster: String,
    pub(super) is_enterprise: bool,
    pub(super) web_proxy: Option<String>,
    pub(super) log_once: Arc<SharedLogOnce>,
    pub(super) clock: Clock,
}

/// What a pass knows of its request, after [`Planner::read`] and [`Planner::refresh`].
pub(super) struct Facts {
    /// The plugin data as it was read.
    pub(super) data: Fields,
    /// The record in it, and what could not be recorded yet.
    pub(super) record: Record,
    /// Whether the request exists.
    pub(super) presence: Presence,
    /// The last state of a deleted request, where the record lacks it.
    pub(super) last_seen: Option<AccessRequest>,
}

impl Facts {
    pub(super) fn listed(&self) -> Option<&AccessRequest> {
        self.presence.current()
    }
}

/// The recipients and where in Slack they are, after [`Planner::resolve`].
#[derive(Default)]
pub(super) struct Targets {
    pub(super) recipients: RequestRecipients,
    pub(super) destinations: Vec<Destination>,
    pub(super) unresolved: BTreeMap<RecipientKey, Unresolved>,
    pub(super) known_ids: KnownIds,
    pub(super) requester: Vec<RecipientKey>,
    /// Whether every look-up has ended.
    pub(super) is_all_known: bool,
}

impl Planner {
    /// The plugin data, and the record in it with the outcomes that could not be recorded yet.
    pub(super) async fn read(
        &self,
        id: &RequestId,
        retry_state: &mut RetryState,
    ) -> Result<(Fields, Record), ReconcileError> {
        let data = self.teleport.get_record(id).await.map_err(ReconcileError::read)?;
        self.log_once.clear(STAGE_READ);
        let (mut record, invalid) = Record::decode(id, &data);
        if !invalid.is_empty() && self.log_once.should_log(id.as_str(), "invalid") {
            warn!(request = %id, keys = ?invalid, "The record in Teleport's plugin data holds values that cannot be read; they are ignored and will be replaced");
        }
        retry_state.drop_resolved(&record);
        retry_state.unrecorded.iter().for_each(|outcome| record.apply(outcome));
        Ok((data, record))
    }

    /// Fetches the request again if what was observed may be out of date, and completes the record by what is known of a
    /// deleted one.
    pub(super) async fn refresh(
        &self,
        id: &RequestId,
        observed: &Observed,
        data: Fields,
        mut record: Record,
    ) -> Result<Facts, ReconcileError> {
        let presence =
            refetch_if_stale(&self.teleport, (&self.clock, &self.log_once), id, observed, &record).await?;
        // The last observation of a deleted request may be newer than the record, or older.
        let last_seen = presence.last_seen().map(truncated).filter(|_| !record.deliveries.is_empty());
        let last_seen = last_seen.filter(|last| record.known.as_ref() != Some(last));
        let last_seen = last_seen.filter(|last| !is_stale(last, record.known.as_ref()));
        if last_seen.is_some() {
            record.known.clone_from(&last_seen);
        }
        Ok(Facts { data, record, presence, last_seen })
    }

    /// Finds where the recipients are, as far as that is known by now.
    pub(super) async fn resolve(
        &self,
        id: &RequestId,
        facts: &mut Facts,
        retry_state: &mut RetryState,
    ) -> Targets {
        let Facts { presence, record, .. } = facts;
        let listed = presence.current();
        let recipients = RequestRecipients::of(listed, record, &self.rules, &self.directory);
        if !std::mem::replace(&mut retry_state.warned, true) {
            recipients.log_recipient_warnings(id);
        }
        let is_all_known = recipients
            .resolve(listed, &self.recipient_lookup, &self.rules, &self.log_once, retry_state)
            .await;
        let destinations = recipients.destinations(&self.directory, &retry_state.resolved);
        if is_all_known && listed.is_some() {
            if record.deliveries.is_empty() && destinations.is_empty() {
                recipients.log_if_all_are_missing(id, retry_state);
            } else {
                recipients.record_unnotified_reviewers(id, record, retry_state);
            }
        }
        retry_state.deliveries = record.deliveries.clone().into();
        let unresolved = recipients.unresolved(retry_state);
        let known_ids = recipients.known_ids(record, &self.directory);
        let requester = retry_state.requester_keys.iter().cloned().collect();
        Targets { recipients, destinations, unresolved, known_ids, requester, is_all_known }
    }

    /// What is missing in Slack.
    pub(super) fn plan(&self, facts: &Facts, targets: &Targets, retry_state: &RetryState) -> Plan {
        let now = self.clock.now();
        let Facts { record, presence, .. } = facts;
        let review = self.review.as_ref().map(|review| ReviewDisplay {
            mode: review.mode(),
            rules: &review.rules,
            requester: &targets.requester,
        });
        let mut plan = plan(&PlanInput {
            current: presence.current(),
            is_absence_proved: !matches!(presence, Presence::Unconfirmed),
            record,
            recipients: targets.recipients.list(),
            destinations: &targets.destinations,
            unresolved: &targets.unresolved,
            known_ids: &targets.known_ids,
            cluster: &self.cluster,
            edition: self.edition(),
            review,
            retry_at: &retry_state.retry_times(now),
            now,
        });
        plan.requeue_at = plan.requeue_at.into_iter().chain(refetch_at(presence, now)).min();
        plan
    }

    fn edition(&self) -> Edition<'_> {
        let web_proxy = self.web_proxy.as_deref();
        if self.is_enterprise { Edition::Enterprise { web_proxy } } else { Edition::Community }
    }

    /// Whether the messages of a deleted request need a reconcile, by a record that was listed in bulk.
    pub(super) fn needs_reconcile(&self, id: &RequestId, data: &BTreeMap<String, String>) -> bool {
        let record = Record::decode(id, data).0;
        let facts = Facts { data: Fields::new(), record, presence: Presence::Deleted(None), last_seen: None };
        !self.plan(&facts, &Targets::default(), &RetryState::default()).is_empty()
    }
}
