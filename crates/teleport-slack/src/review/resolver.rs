//! Carries out what votes in Slack decided: makes the verdict again from what is now, sets the request's state, lets
//! Teleport confirm it, and takes that down.
//!
//! Called by whoever took the deciding vote (`clicks`), by the visits if that one died (`reconciler`), and by a click
//! that meets a decision nobody carried out. A mark in the record says only that there was enough once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::policy::refusal::Refusal;
use access_core::policy::{Resolution, Rules, Tally, VoteEvaluation, evaluate_votes, reevaluate};
use access_core::record::Record;
use tracing::{debug, warn};

use super::voters::{VoterLoader, VoterSnapshot};
use crate::teleport;
use crate::teleport::decisions::{DecideError, SetState};
use crate::teleport::error::TeleportError;
use crate::teleport::plugin_data::{Modified, modify_record};

/// While others vote and review at the same time, the verdict is made so often before it is left to a later visit.
const MAX_ATTEMPTS: u32 = 8;

/// What became of a decision by votes.
#[derive(Debug)]
pub(crate) enum ResolveResult {
    /// Teleport confirmed it.
    Applied(Resolution),
    /// The request was not pending any more.
    AlreadyResolved(Box<AccessRequest>),
    /// The request is gone.
    Deleted,
    /// By what is now more is needed; the votes are in, and others can vote.
    NeedsMoreVotes(Tally),
    /// By what is now nobody may decide it in Slack.
    Refused(Refusal),
}

/// Why it is not known what becomes of a decision by votes; nothing was decided.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// Something that the verdict depends on cannot be read.
    Unreadable(Refusal),
    /// Teleport did not take it, or did not say so.
    Decide(DecideError),
    /// The record could not be read or written.
    Record(TeleportError),
}

/// Makes verdicts over votes, and carries them out.
#[derive(Debug)]
pub struct Resolver {
    /// The way to Teleport.
    pub teleport: teleport::Client,
    /// Reads who the voters are now.
    pub voters: VoterLoader,
    /// Who may decide.
    pub rules: Arc<Rules>,
    /// Who works on a request's decision.
    pub in_progress: InProgress,
}

/// One lock per request: a reconcile and clicks may come to the same decision at once, and each would set the state.
#[derive(Debug, Default)]
pub struct InProgress(Mutex<HashMap<RequestId, Arc<tokio::sync::Mutex<()>>>>);

impl InProgress {
    /// Waits until nobody else in this process works on the request's decision, and keeps others out.
    async fn lock(&self, id: &RequestId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // The guard holds its lock, so what only this table holds is free.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(id.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }
}

impl Resolver {
    /// Carries out what the votes on `id` come to now, or takes the mark of a decision away that does not hold.
    /// `read` is what was just read of voters. Only where the rules decide.
    pub(crate) async fn resolve_if_pending(
        &self,
        id: &RequestId,
        mut read: VoterSnapshot,
    ) -> Result<ResolveResult, ResolveError> {
        let _alone = self.in_progress.lock(id).await;
        let mut standing = None;
        for _ in 0..MAX_ATTEMPTS {
            let data = self.teleport.get_record(id).await.map_err(ResolveError::Record)?;
            let record = Record::decode(id, &data).0;
            // After the record and the voters, so that nothing lies between it and the decision but a mark.
            let found = self.teleport.get_request(id).await.map_err(DecideError::Failed);
            let Some(request) = found.map_err(ResolveError::Decide)? else {
                return Ok(ResolveResult::Deleted);
            };
            let marked = record.votes.decided_by();
            if request.state != RequestState::Pending {
                return Ok(ResolveResult::AlreadyResolved(Box::new(request)));
            }
            if record.is_decided() || record.votes.are_outlived(&request) {
                // Decided when the record was read, or since the votes were given, and open now: somebody took the
                // decision back.
                let is_same = |now: &Record| now.known == record.known && now.votes == record.votes;
                let noted = self.record_state(id, &request, is_same).await.map_err(ResolveError::Record)?;
                if matches!(noted, Modified::Written(_)) && !record.is_decided() {
                    warn!(request = %id, "This request was changed in Teleport since people voted on it in Slack, and waits as before: a decision was made and taken back while no teleport-slack saw it. Those votes count no more; whoever gave them can vote again");
                }
                continue;
            }
            let resolution = match evaluate_votes(&self.rules, &request, &record.votes, read.voters(), marked)
            {
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
                        // Marked, as any deciding vote is before Teleport is told; or there are new votes.
                        Some(Ok(VoteEvaluation::Decided(_) | VoteEvaluation::NeedsAccounts(_))) | None => {}
                    }
                    standing = Some(access_core::policy::tally_votes(&self.rules, &request, &record.votes));
                    continue;
                }
            };
            return self.set_state(id, resolution).await;
        }
        // Others were faster each time, and whoever comes next looks again.
        match standing {
            Some(standing) => Ok(ResolveResult::NeedsMoreVotes(standing)),
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
        // From now on these votes have had their effect, whatever becomes of the request. If this cannot be written,
        // the visit that follows does it.
        let is_ours =
            |now: &Record| now.votes.decided_by().is_some_and(|vote| matches_vote(&resolution, vote));
        if let Err(error) = self.record_state(id, &decided, is_ours).await {
            debug!(request = %id, "That Teleport took the decision is written down later: {}", crate::exit::chain(&error));
        }
        Ok(ResolveResult::Applied(resolution))
    }

    /// Writes down what Teleport says of the request, if the record is what it must be for that.
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

    /// Makes the verdict on the record as it is when it is written, and its mark with it.
    async fn write_evaluation(
        &self,
        id: &RequestId,
        request: &AccessRequest,
        read: &mut VoterSnapshot,
    ) -> Result<Option<Result<VoteEvaluation, Refusal>>, ResolveError> {
        let (mut verdict, mut is_undone) = (None, false);
        let voters = read.voters();
        let written = modify_record(&self.teleport, id, |data| {
            let before = Record::decode(id, data).0;
            let mut record = before.clone();
            verdict = Some(reevaluate(&mut record, request, &self.rules, voters));
            is_undone = record.votes.decided_by().is_none() && before.votes.decided_by().is_some();
            (record != before).then(|| record.encode())
        });
        written.await.map_err(ResolveError::Record)?;
        if is_undone {
            let why = match &verdict {
                Some(Err(refusal)) => refusal.kind(),
                _ => "too_few",
            };
            warn!(request = %id, why, "What votes in Slack had decided does not hold any more by the rules and the voters' accounts of now; nothing was decided, and others can vote");
        }
        Ok(verdict)
    }
}

/// Whether the mark on this vote stands for this resolution.
fn matches_vote(resolution: &Resolution, vote: &access_core::record::votes::Vote) -> bool {
    vote.user == resolution.delegator && vote.decision == resolution.decision && vote.at == resolution.at
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_works_on_a_requests_decision() {
        let (progress, one, other) = (InProgress::default(), RequestId::new("r1"), RequestId::new("r2"));
        let first = progress.lock(&one).await;
        assert!(progress.lock(&one).now_or_never().is_none(), "two would set the state twice");
        assert!(progress.lock(&other).now_or_never().is_some(), "another request waits for nobody");
        drop(first);
        assert!(progress.lock(&one).now_or_never().is_some());
        drop(progress.lock(&other).await);
        assert_eq!(
            progress.0.lock().unwrap().len(),
            1,
            "of requests that nobody works on only the last is kept"
        );
    }
}
