//! Records a vote, and applies what the votes decide.
//!
//! `access_core::policy` counts; `handler` asks for the vote of one interaction.

use access_core::domain::decision::Decision;
use access_core::domain::error_chain::chain;
use access_core::domain::ids::RequestId;
use access_core::domain::request::AccessRequest;
use access_core::policy::refusal::Refusal;
use access_core::policy::{Resolution, VoteResult, add_vote};
use access_core::record::Record;
use access_core::record::votes::Vote;
use access_core::render::ephemeral::Accepted;
use tracing::warn;

use super::command::DecisionCommand;
use super::handler::{InteractionHandler, Outcome};
use super::refusals::{already_resolved, refusal_if_not_applied, refusal_if_resolved};
use crate::review::resolver::{ResolveError, ResolveResult};
use crate::review::voters::VoterSnapshot;
use teleport_client::decisions::DecideError;
use teleport_client::error::{ErrorKind, TeleportError};
use teleport_client::plugin_data::modify_record;
use teleport_client::refusal::Refusal as TeleportRefusal;

/// How often to write a vote that may or may not have been recorded.
const MAX_WRITES: u32 = 2;
/// How often to read the accounts of other users who vote at the same time, before the reply asks the user to try again.
const MAX_READS: u32 = 5;

/// What became of a vote.
struct WrittenVote {
    result: Result<VoteResult, VoteError>,
    /// Whether it may be recorded although the write failed.
    may_be_recorded: bool,
}

/// Why it is not known that a vote is recorded.
enum VoteError {
    /// The accounts of other voters cannot be read.
    Unreadable(Refusal),
    Write(TeleportError),
}

impl InteractionHandler {
    /// Records the vote by compare-and-swap, and resolves the request if the vote decides.
    pub(super) async fn record_vote(
        &self,
        command: &DecisionCommand,
        request: &AccessRequest,
        vote: Vote,
        mut read: VoterSnapshot,
    ) -> Outcome {
        let WrittenVote { result, may_be_recorded } =
            self.write_vote(&command.request, request, &vote, &mut read).await;
        if may_be_recorded || !matches!(result, Err(VoteError::Unreadable(_))) {
            // The message counts votes, and a reconcile applies a deciding vote if we cannot.
            self.controller.enqueue(command.request.clone());
        }
        match result {
            Ok(result) => self.on_vote_result(&command.request, vote.decision, result, read).await,
            Err(error) => {
                if let VoteError::Write(error) = &error {
                    warn!(request = %command.request, "Cannot record a vote: {}", chain(error));
                }
                match error {
                    VoteError::Write(error) if error.kind() == ErrorKind::NotFound => Refusal::Deleted.into(),
                    // The messages follow the record.
                    _ if may_be_recorded => Outcome::Accepted(Accepted::Unconfirmed(vote.decision)),
                    VoteError::Unreadable(refusal) => refusal.into(),
                    VoteError::Write(error) => refusal_if_not_recorded(&error).into(),
                }
            }
        }
    }

    /// Adds the vote to the record. Reads the accounts of other voters as often as the count needs them, and writes again
    /// what may or may not have been recorded: [`add_vote`] recognizes its own vote.
    async fn write_vote(
        &self,
        id: &RequestId,
        request: &AccessRequest,
        vote: &Vote,
        read: &mut VoterSnapshot,
    ) -> WrittenVote {
        let voters = &self.resolver.voters;
        let mut counted = None;
        let mut may_be_recorded = false;
        let (mut failures, mut reads) = (0, 0);
        loop {
            let known = read.voters(&voters.timings);
            let written = modify_record(&self.teleport, id, |data| {
                let mut record = Record::decode(id, data).0;
                let result = add_vote(&mut record, vote, request, &self.rules, known);
                let changes = matches!(result, VoteResult::Counted(_) | VoteResult::Decisive(_));
                counted = Some(result);
                changes.then(|| record.encode())
            })
            .await;
            let error = match (written, &counted) {
                (Ok(_), Some(VoteResult::NeedsAccounts(accounts))) => {
                    reads += 1;
                    let accounts = accounts.clone();
                    let found = if reads > MAX_READS {
                        Err(Refusal::Timeout)
                    } else {
                        voters.load(accounts, request, read).await
                    };
                    match found {
                        Ok(()) => continue,
                        Err(refusal) => VoteError::Unreadable(refusal),
                    }
                }
                (Ok(_), _) => {
                    let result = Ok(counted.unwrap_or(VoteResult::Unusable));
                    return WrittenVote { result, may_be_recorded };
                }
                (Err(error), _) => {
                    failures += 1;
                    let is_open = error.kind() == ErrorKind::Retry;
                    may_be_recorded |= is_open && counted.is_some();
                    if is_open && may_be_recorded && failures < MAX_WRITES {
                        tokio::time::sleep(voters.timings.recheck).await;
                        continue;
                    }
                    VoteError::Write(error)
                }
            };
            return WrittenVote { result: Err(error), may_be_recorded };
        }
    }

    async fn on_vote_result(
        &self,
        id: &RequestId,
        decision: Decision,
        result: VoteResult,
        read: VoterSnapshot,
    ) -> Outcome {
        match result {
            VoteResult::Counted(tally) => Outcome::Accepted(Accepted::Counted(decision, tally)),
            VoteResult::Decisive(_) => self.resolve_own_vote(id, decision, read).await,
            VoteResult::Duplicate(decision) => Refusal::AlreadyVoted { decision, in_slack: true }.into(),
            VoteResult::AlreadyDecided(resolution) => already_decided(resolution).into(),
            VoteResult::Refused(refusal) => refusal.into(),
            VoteResult::Unusable | VoteResult::NeedsAccounts(_) => Refusal::VotesUnusable.into(),
        }
    }

    /// Applies the decision of the user's own vote.
    async fn resolve_own_vote(&self, id: &RequestId, decision: Decision, read: VoterSnapshot) -> Outcome {
        match self.resolver.resolve_if_pending(id, read).await {
            Ok(ResolveResult::Applied(resolution)) => {
                Outcome::Accepted(Accepted::Resolved(resolution.decision))
            }
            Ok(ResolveResult::AlreadyResolved(request)) if request.state == decision.state() => {
                Outcome::Accepted(Accepted::Resolved(decision))
            }
            Ok(ResolveResult::AlreadyResolved(request)) => already_resolved(*request).into(),
            Ok(ResolveResult::Deleted) => Refusal::Deleted.into(),
            Ok(ResolveResult::NeedsMoreVotes(tally)) => Outcome::Accepted(Accepted::Counted(decision, tally)),
            Ok(ResolveResult::Refused(refusal)) => refusal.into(),
            Err(ResolveError::Unreadable(_)) => Outcome::Accepted(Accepted::Unconfirmed(decision)),
            Err(unresolved) => match self.on_resolve_error(id, unresolved).await {
                Refusal::SecondFactor => Outcome::Accepted(Accepted::LacksSecondFactor(decision)),
                Refusal::TeleportForbids | Refusal::TeleportRefused => {
                    Outcome::Accepted(Accepted::NotApplied(decision))
                }
                // A reconcile tries again.
                Refusal::TeleportUnreachable => Outcome::Accepted(Accepted::Pending(decision)),
                refusal => refusal.into(),
            },
        }
    }

    /// Applies an earlier decision of other users, if it still holds. `None` if the user may vote now.
    pub(super) async fn resolve_earlier_decision(&self, command: &DecisionCommand) -> Option<Outcome> {
        match self.resolver.resolve_if_pending(&command.request, VoterSnapshot::empty()).await {
            Ok(ResolveResult::Applied(resolution)) if resolution.decision == command.decision => {
                Some(Outcome::Accepted(Accepted::Resolved(command.decision)))
            }
            Ok(ResolveResult::Applied(resolution)) => Some(already_decided(resolution).into()),
            Ok(ResolveResult::AlreadyResolved(request)) => Some(already_resolved(*request).into()),
            Ok(ResolveResult::Deleted) => Some(Refusal::Deleted.into()),
            Ok(ResolveResult::NeedsMoreVotes(_)) => None,
            Ok(ResolveResult::Refused(refusal)) => Some(refusal.into()),
            Err(ResolveError::Decide(error)) if error.is_ambiguous() => {
                warn!(request = %command.request, "It is not known whether the decision was applied: {}", chain(&error));
                Some(Outcome::Accepted(Accepted::Unconfirmed(command.decision)))
            }
            // The user's own vote is not recorded yet, so the reply must not mention it.
            Err(unresolved) => Some(self.on_resolve_error(&command.request, unresolved).await.into()),
        }
    }

    /// Why a recorded decision could not be applied.
    async fn on_resolve_error(&self, id: &RequestId, unresolved: ResolveError) -> Refusal {
        let error = match unresolved {
            ResolveError::Unreadable(refusal) => return refusal,
            ResolveError::Record(error) => DecideError::Failed(error),
            ResolveError::Decide(error) => error,
        };
        warn!(request = %id, "The decision is recorded but could not be applied: {}", chain(&error));
        match error.refusal() {
            Some(TeleportRefusal::AlreadyResolved) => refusal_if_resolved(&self.teleport, id).await,
            Some(TeleportRefusal::NotFound) => Refusal::Deleted,
            _ => refusal_if_not_applied(&error),
        }
    }
}

fn already_decided(resolution: Resolution) -> Refusal {
    let Resolution { decision, delegator, reason, .. } = resolution;
    Refusal::AlreadyDecided { decision, by: vec![delegator], reason }
}

fn refusal_if_not_recorded(error: &TeleportError) -> Refusal {
    match error.kind() {
        ErrorKind::NotFound => Refusal::Deleted,
        ErrorKind::Unauthorized => Refusal::TeleportForbids,
        ErrorKind::Unimplemented | ErrorKind::Permanent => Refusal::TeleportRefused,
        ErrorKind::Retry | ErrorKind::Conflict => Refusal::TeleportUnreachable,
    }
}
