//! Applies decisions by votes in Slack: evaluates the current votes again, sets the request's state, lets Teleport confirm
//! it, and records that.
//!
//! Three callers: the interaction with the deciding vote (`handler`), a reconcile if that instance died (`controller`), and
//! an interaction that meets a pending decision. A mark in the record says only that the votes sufficed once.

use std::collections::HashMap;
use std::sync::Arc;

use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::policy::refusal::Refusal;
use access_core::policy::{Resolution, Rules, Tally, VoteEvaluation, evaluate_votes, reevaluate};
use access_core::record::Record;
use parking_lot::Mutex;
use tokio_util::sync::DropGuard;
use tracing::{debug, warn};

use super::voters::{VoterLoader, VoterSnapshot};
use teleport_client::decisions::{DecideError, SetState};
use teleport_client::error::TeleportError;
use teleport_client::plugin_data::{Modified, modify_record};

/// How often the votes are evaluated while other users vote and review, before a later reconcile takes over.
const MAX_ATTEMPTS: u32 = 8;

/// The result of a decision by votes.
#[derive(Debug)]
pub(crate) enum ResolveResult {
    /// Teleport confirmed it.
    Applied(Resolution),
    /// The request was not pending any more.
    AlreadyResolved(Box<AccessRequest>),
    /// The request is gone.
    Deleted,
    /// The current votes do not suffice; they are recorded, and other users can vote.
    NeedsMoreVotes(Tally),
    /// By the current state no user may decide it in Slack.
    Refused(Refusal),
}

/// Why a decision by votes has no result yet; nothing was decided.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// Something that the verdict depends on cannot be read.
    Unreadable(Refusal),
    /// Teleport did not take the decision, or did not confirm it.
    Decide(DecideError),
    /// The record could not be read or written.
    Record(TeleportError),
}

/// Evaluates votes and applies decisions.
#[derive(Debug)]
pub struct Resolver {
    /// Reads requests, records and users, and writes decisions.
    pub teleport: teleport_client::Client,
    /// Reads the current identities of voters.
    pub voters: VoterLoader,
    /// The rules of the configuration: `[[review.rule]]`.
    pub rules: Arc<Rules>,
    /// The requests whose decision is in progress; shared by the resolvers of all settings.
    pub in_progress: Arc<InProgress>,
    /// Ends the tasks that were started for these settings, when no reconcile and no interaction goes by them any more.
    pub tasks: DropGuard,
}

/// One lock per request: a reconcile and interactions may reach the same decision at once, and each would set the state.
#[derive(Debug, Default)]
pub struct InProgress(Mutex<HashMap<RequestId, Arc<tokio::sync::Mutex<()>>>>);

impl InProgress {
    /// Waits until no other task of this process works on the request's decision, and keeps other tasks out.
    async fn lock(&self, id: &RequestId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock();
            // The guard holds its lock, so what only this table holds is free.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(id.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }
}

impl Resolver {
    /// Applies the decision that the votes on `id` reach now, or removes the mark of a decision that does not hold. `read`
    /// holds the voters just read. Only for requests that the rules decide.
    pub(crate) async fn resolve_if_pending(
        &self,
        id: &RequestId,
        mut read: VoterSnapshot,
    ) -> Result<ResolveResult, ResolveError> {
        let _alone = self.in_progress.lock(id).await;
        let mut tally = None;
        for _ in 0..MAX_ATTEMPTS {
            let data = self.teleport.get_record(id).await.map_err(ResolveError::Record)?;
            let record = Record::decode(id, &data).0;
            // After the record and the voters, so that only a mark lies between this read and the decision.
            let found = self.teleport.get_request(id).await.map_err(DecideError::Failed);
            let Some(request) = found.map_err(ResolveError::Decide)? else {
                return Ok(ResolveResult::Deleted);
            };
            let marked = record.votes.decided_by();
            if request.state != RequestState::Pending {
                return Ok(ResolveResult::AlreadyResolved(Box::new(request)));
            }
            if record.is_decided() || record.votes.are_outlived(&request) {
                // Decided when the record was read, or since the votes were given, and pending now: the decision was
                // revoked.
                let is_same = |now: &Record| now.known == record.known && now.votes == record.votes;
                let noted = self.record_state(id, &request, is_same).await.map_err(ResolveError::Record)?;
                if matches!(noted, Modified::Written(_)) && !record.is_decided() {
                    warn!(request = %id, "This request was changed in Teleport since people voted on it in Slack, and waits as before: a decision was made and revoked while no teleport-slack saw it. Those votes count no more; their voters can vote again");
                }
                continue;
            }
            let resolution = match evaluate_votes(
                &self.rules,
                &request,
                &record.votes,
                read.voters(&self.voters.timings),
                marked,
            ) {
                Ok(VoteEvaluation::NeedsAccounts(accounts)) => {
                    self.voters
                        .load(accounts, &request, &mut read)
                        .await
                        .map_err(ResolveError::Unreadable)?;
                    continue;
                }
                Ok(VoteEvaluation::Decided(resolution))
                    if marked.is_some_and(|vote| matches_vote(&resolution, vote)) =>
                {
                    resolution
                }
                Ok(VoteEvaluation::Decided(_) | VoteEvaluation::Open(_)) | Err(_) => {
                    match self.write_evaluation(id, &request, &mut read).await? {
                        Some(Ok(VoteEvaluation::Open(open))) => {
                            return Ok(ResolveResult::NeedsMoreVotes(open));
                        }
                        Some(Err(refusal)) => return Ok(ResolveResult::Refused(refusal)),
                        // Marked, as any deciding vote is before the call to Teleport; or there are new votes.
                        Some(Ok(VoteEvaluation::Decided(_) | VoteEvaluation::NeedsAccounts(_))) | None => {}
                    }
                    tally = Some(access_core::policy::tally_votes(&self.rules, &request, &record.votes));
                    continue;
                }
            };
            return self.set_state(id, resolution).await;
        }
        // Other instances were faster each time; the next caller evaluates again.
        match tally {
            Some(tally) => Ok(ResolveResult::NeedsMoreVotes(tally)),
            None => Err(ResolveError::Unreadable(Refusal::Timeout)),
        }
    }

    async fn set_state(&self, id: &RequestId, resolution: Resolution) -> Result<ResolveResult, ResolveError> {
        let set = SetState {
            id: id.clone(),
            decision: resolution.decision,
            delegator: resolution.delegator.clone(),
            reason: resolution.reason.clone(),
            annotations: resolution.annotations.clone(),
        };
        let decided = self.teleport.set_state(&set).await.map_err(ResolveError::Decide)?;
        debug!(request = %id, decision = resolution.decision.action_id(), "Teleport took the decision");
        // From now on these votes are spent, whatever happens to the request. If this cannot be recorded, the next
        // reconcile does it.
        let is_ours =
            |now: &Record| now.votes.decided_by().is_some_and(|vote| matches_vote(&resolution, vote));
        if let Err(error) = self.record_state(id, &decided, is_ours).await {
            debug!(request = %id, "That Teleport took the decision is recorded later: {}", access_core::domain::error_chain::chain(&error));
        }
        Ok(ResolveResult::Applied(resolution))
    }

    /// Records the state of the request in Teleport, if the record still fits.
    async fn record_state(
        &self,
        id: &RequestId,
        request: &AccessRequest,
        is_fit: impl Fn(&Record) -> bool,
    ) -> Result<Modified, TeleportError> {
        modify_record(&self.teleport, id, |data| {
            let mut record = Record::decode(id, data).0;
            is_fit(&record).then(|| {
                record.note_by_id(request);
                record.encode()
            })
        })
        .await
    }

    /// Evaluates the votes of the record at the moment of the write, and sets or removes its mark.
    async fn write_evaluation(
        &self,
        id: &RequestId,
        request: &AccessRequest,
        read: &mut VoterSnapshot,
    ) -> Result<Option<Result<VoteEvaluation, Refusal>>, ResolveError> {
        let (mut verdict, mut is_undone) = (None, false);
        let voters = read.voters(&self.voters.timings);
        let written = modify_record(&self.teleport, id, |data| {
            let before = Record::decode(id, data).0;
            let mut record = before.clone();
            verdict = Some(reevaluate(&mut record, request, &self.rules, voters));
            is_undone = record.votes.decided_by().is_none() && before.votes.decided_by().is_some();
            (record != before).then(|| record.encode())
        });
        written.await.map_err(ResolveError::Record)?;
        if is_undone {
            let reason = match &verdict {
                Some(Err(refusal)) => refusal.kind(),
                _ => "too_few",
            };
            warn!(request = %id, reason, "What votes in Slack had decided does not hold any more by the rules and the voters' accounts of now; nothing was decided, and others can vote");
        }
        Ok(verdict)
    }
}

/// Whether the mark on this vote belongs to this resolution.
fn matches_vote(resolution: &Resolution, vote: &access_core::record::votes::Vote) -> bool {
    vote.user == resolution.delegator && vote.decision == resolution.decision && vote.at == resolution.at
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_task_at_a_time_works_on_a_requests_decision() {
        let (progress, one, other) = (InProgress::default(), RequestId::new("r1"), RequestId::new("r2"));
        let first = progress.lock(&one).await;
        assert!(progress.lock(&one).now_or_never().is_none(), "two would set the state twice");
        assert!(progress.lock(&other).now_or_never().is_some(), "another request does not wait");
        drop(first);
        assert!(progress.lock(&one).now_or_never().is_some());
        drop(progress.lock(&other).await);
        assert_eq!(progress.0.lock().len(), 1, "of idle requests only the last is kept");
    }
}
