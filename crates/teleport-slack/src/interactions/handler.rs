//! Works on one interaction after the other's acknowledgement: who is this, may he, then do it, then answer.
//!
//! Everything a verdict depends on is read afresh. The verdict is `access_core::policy`'s; what is sent to Teleport
//! is confirmed by Teleport before anybody is told. Whatever happens, the person gets one answer.

use std::sync::Arc;

use access_core::domain::decision::Decision;
use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::interaction::controls::ModalState;
use access_core::interaction::{AppInstallation, Interaction, OriginMismatch, Sender, check_origin};
use access_core::policy::refusal::{Newer, Refusal};
use access_core::policy::{
    CanSubmitForUsers, Facts, Groups, Mode, ModeSetting, Reason, Resolution, Rules, Verdict, VoteResult,
    Voter, add_vote, check_modal_age, decide, mode,
};
use access_core::record::Record;
use access_core::record::votes::Vote;
use access_core::render::ephemeral::{Accepted, accepted, refused};
use access_core::render::modal::reason_modal;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::command::{DecisionCommand, decision_command};
use super::facts::{DecisionFacts, FactsLoader, MAX_ATTEMPTS, RETRY_PAUSE};
use super::receiver::Received;
use super::respond::Responder;
use crate::observe::metrics::{InteractionResult, Metrics};
use crate::review::resolver::{ResolveError, ResolveResult, Resolver};
use crate::review::review_support::ReviewSupport;
use crate::review::voters::{READ_TIMEOUT, VoterSnapshot, teleport_refusal};
use crate::slack;
use crate::supervise::worker_pool::{JobHandler, run_worker_pool};
use crate::teleport;
use crate::teleport::decisions::{DecideError, SubmitReview};
use crate::teleport::error::ErrorKind;
use crate::teleport::plugin_data::modify_record;
use crate::teleport::refusal::Refusal as TeleportRefusal;

/// A vote that may or may not have been recorded is written this often.
const MAX_WRITES: u32 = 2;
/// While others vote at the same time, their accounts are read so often before the person is told to try again.
const MAX_READS: u32 = 5;

/// What deciding in Slack needs.
#[derive(Debug)]
pub struct InteractionHandler {
    /// The way to Teleport.
    pub teleport: teleport::Client,
    /// The way to Slack.
    pub slack: slack::Client,
    /// The ways to whoever clicked.
    pub responder: Responder,
    /// Reads what a verdict depends on.
    pub facts: FactsLoader,
    /// What this app is.
    pub installation: AppInstallation,
    /// Makes verdicts over votes and carries them out.
    pub resolver: Arc<Resolver>,
    /// Who may.
    pub rules: Arc<Rules>,
    /// Which call carries a decision.
    pub setting: ModeSetting,
    /// Whether this Teleport can take reviews at all; the cards follow it.
    pub review_support: Arc<ReviewSupport>,
    /// Requests whose record changed.
    pub enqueue: mpsc::Sender<RequestId>,
    /// Where clicks are counted.
    pub metrics: Metrics,
}

/// What became of it.
enum Outcome {
    Accepted(Accepted),
    Refused(Refusal),
    /// The dialogue is open; the answer comes with it.
    ReasonRequested,
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl InteractionHandler {
    /// Works until told to stop, and then until what was acknowledged is done, for at most 15 s.
    pub async fn run(self, incoming: mpsc::Receiver<Received>, stop: CancellationToken) {
        run_worker_pool(incoming, stop, Arc::new(self)).await;
    }

    async fn handle_interaction(&self, interaction: Interaction) {
        let began = Instant::now();
        let Some(asked) = decision_command(interaction) else { return };
        if let Err(foreign) = check_origin(&asked.origin, &self.installation) {
            let refusal = Refusal::from(foreign);
            self.metrics.interaction_ended(InteractionResult::Refused(&refusal));
            warn!(slack_user = %asked.user, request = %asked.request, "A click came through another app or workspace ({foreign:?}), so nothing is decided by it");
            // What came through another app is not ours to answer: the message is that app's, and so is its address.
            if foreign != OriginMismatch::App {
                self.responder.refuse(&asked.sender(), &refusal).await;
            }
            return;
        }
        let (outcome, who) = self.decide(&asked).await;
        let (verdict, click) = match &outcome {
            Outcome::Accepted(accepted) => (accepted.kind(), InteractionResult::Accepted(accepted)),
            Outcome::Refused(refusal) => (refusal.kind(), InteractionResult::Refused(refusal)),
            Outcome::ReasonRequested => ("asking_for_a_reason", InteractionResult::ReasonRequested),
        };
        self.metrics.interaction_ended(click);
        info!(
            slack_user = %asked.user,
            teleport_user = who.as_deref().unwrap_or(""),
            request = %asked.request,
            decision = asked.decision.action_id(),
            channel = %asked.channel,
            verdict,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "Click"
        );
        let answer = match &outcome {
            Outcome::Accepted(what) => accepted(*what),
            Outcome::Refused(refusal) => refused(refusal),
            Outcome::ReasonRequested => return,
        };
        self.responder.respond(&asked.sender(), &answer).await;
    }

    /// Reads, judges, carries out. The second value is the Teleport user, if known.
    async fn decide(&self, asked: &DecisionCommand) -> (Outcome, Option<String>) {
        let now = Timestamp::now();
        if let Interaction::Submission(submission) = &asked.interaction
            && let Err(refusal) = check_modal_age(&submission.modal, now)
        {
            return (refusal.into(), None);
        }
        let mut known = match with_read_timeout(self.facts.load(asked)).await {
            Ok(known) => known,
            Err(refusal) => return (refusal.into(), None),
        };
        let who = Some(known.reviewer.user.clone());
        let submit = self.review_support.status();
        let outcome =
            match self.apply_verdict(asked, &mut known, mode(self.setting, submit, &self.rules)).await {
                Err(NotPermittedForUser) => self.fall_back_to_rules(asked, &mut known).await,
                Ok(outcome) => outcome,
            };
        (outcome, who)
    }

    /// After Teleport said that we may not submit this review. If it cannot take any, the rules judge where `auto`
    /// says so. Else it takes none for this person, and the rules are no way around that.
    async fn fall_back_to_rules(&self, asked: &DecisionCommand, known: &mut DecisionFacts) -> Outcome {
        if self.review_support.check().await == CanSubmitForUsers::Yes {
            return Refusal::NotOnBehalf { user: known.reviewer.user.clone() }.into();
        }
        match mode(self.setting, CanSubmitForUsers::No, &self.rules) {
            Some(Mode::Resolver) => {
                let outcome = self.apply_verdict(asked, known, Some(Mode::Resolver)).await;
                outcome.unwrap_or(Outcome::Refused(Refusal::NotPossible))
            }
            Some(Mode::Reviewer) | None => Refusal::NotPossible.into(),
        }
    }

    async fn apply_verdict(
        &self,
        asked: &DecisionCommand,
        known: &mut DecisionFacts,
        mode: Option<Mode>,
    ) -> Result<Outcome, NotPermittedForUser> {
        for _ in 0..MAX_ATTEMPTS {
            let verdict = decide(&Facts {
                mode,
                rules: &self.rules,
                current: known.current.as_ref(),
                record: &known.record,
                reviewer: &known.reviewer,
                groups: known.groups.as_deref().map_or(Groups::Unread, Groups::Read),
                decision: asked.decision,
                reason: asked.reason.as_deref().map_or(Reason::NotAsked, Reason::Given),
                channel: &asked.channel,
                ts: &asked.ts,
                now: Timestamp::now(),
            });
            let Some(request) = known.current.as_ref() else {
                return Ok(match verdict {
                    Verdict::Refused(refusal) => refusal.into(),
                    _ => Refusal::Deleted.into(),
                });
            };
            match verdict {
                Verdict::Refused(refusal) => return Ok(refusal.into()),
                Verdict::ReadGroups => {
                    match with_read_timeout(self.resolver.voters.groups(&known.reviewer, request)).await {
                        Ok((groups, since)) => {
                            known.groups = Some(groups);
                            known.read_at = known.read_at.min(since);
                        }
                        Err(refusal) => return Ok(refusal.into()),
                    }
                }
                Verdict::AskReason { required } => {
                    return Ok(self.open_reason_modal(asked, request, required).await);
                }
                Verdict::SubmitReview { author, decision, reason } => {
                    let review = SubmitReview { id: asked.request.clone(), author, decision, reason };
                    return self.submit_review(review).await;
                }
                Verdict::Vote(vote) => {
                    let groups = known.groups.clone().unwrap_or_default();
                    let voter = Voter { reviewer: known.reviewer.clone(), groups };
                    return Ok(self
                        .record_vote(asked, request, vote, VoterSnapshot::of(voter, known.read_at))
                        .await);
                }
                Verdict::ApplyPendingDecision => {
                    if let Some(outcome) = self.resolve_earlier_decision(asked).await {
                        return Ok(outcome);
                    }
                    match with_read_timeout(self.facts.load(asked)).await {
                        Ok(again) => *known = again,
                        Err(refusal) => return Ok(refusal.into()),
                    }
                }
            }
        }
        // What was read changed each time.
        Ok(Refusal::Timeout.into())
    }

    async fn open_reason_modal(
        &self,
        asked: &DecisionCommand,
        request: &AccessRequest,
        required: bool,
    ) -> Outcome {
        let dialogue = ModalState {
            request: asked.request.clone(),
            decision: asked.decision,
            channel: asked.channel.clone(),
            ts: asked.ts.clone(),
            opened_at: Timestamp::now(),
            required,
            cluster: self.facts.clusters.own().clone(),
        };
        let (Some(view), Some(trigger)) = (reason_modal(request, &dialogue), &asked.trigger_id) else {
            return Refusal::UnknownOrigin.into();
        };
        match self.slack.views_open(trigger, &view).await {
            Ok(()) => Outcome::ReasonRequested,
            Err(error) => {
                warn!(request = %asked.request, "The dialogue could not be opened: {}", error.with_remedy());
                Refusal::Timeout.into()
            }
        }
    }

    async fn submit_review(&self, review: SubmitReview) -> Result<Outcome, NotPermittedForUser> {
        let decision = review.decision;
        let reviewed = |request: &AccessRequest| {
            if request.state == decision.state() {
                Accepted::Resolved(decision)
            } else {
                Accepted::Reviewed(decision)
            }
        };
        match self.teleport.submit_review(&review, Timestamp::now()).await {
            Ok(request) => Ok(Outcome::Accepted(reviewed(&request))),
            Err(error) if error.is_ambiguous() => {
                let found =
                    self.await_confirmation(&review.id, |request| review.is_recorded_in(request)).await;
                Ok(Outcome::Accepted(found.as_ref().map_or(Accepted::Unconfirmed(decision), reviewed)))
            }
            Err(error) => {
                let refusal = error.refusal();
                warn!(request = %review.id, "Teleport did not take the review: {}", crate::exit::chain(&error));
                let outcome = match refusal {
                    Some(TeleportRefusal::NotSupported) => return Err(NotPermittedForUser),
                    Some(TeleportRefusal::AlreadyReviewed) => {
                        Refusal::AlreadyVoted { decision, in_slack: false }
                    }
                    Some(TeleportRefusal::AuthorUnknown) => {
                        Refusal::TeleportUserUnknown { user: review.author }
                    }
                    Some(TeleportRefusal::AuthorNotEligible) => Refusal::MayNotReview,
                    Some(TeleportRefusal::LongTerm) => Refusal::LongTerm,
                    Some(TeleportRefusal::NotFound) => Refusal::Deleted,
                    Some(TeleportRefusal::AlreadyResolved) => self.refusal_if_resolved(&review.id).await,
                    _ => not_carried_out(&error),
                };
                Ok(outcome.into())
            }
        }
    }

    /// What became of a request that is not pending any more.
    async fn refusal_if_resolved(&self, id: &RequestId) -> Refusal {
        match self.teleport.get_request(id).await {
            Ok(Some(request)) => already_resolved(request),
            Ok(None) => Refusal::Deleted,
            Err(_) => Refusal::TeleportRefused,
        }
    }

    /// Takes the vote by compare-and-swap, and resolves the request if it decides.
    async fn record_vote(
        &self,
        asked: &DecisionCommand,
        request: &AccessRequest,
        vote: Vote,
        mut read: VoterSnapshot,
    ) -> Outcome {
        let mut counted = None;
        let mut may_be_in = false;
        let (mut failures, mut reads) = (0, 0);
        let written = loop {
            let voters = read.voters();
            let written = modify_record(&self.teleport, &asked.request, |data| {
                let mut record = Record::decode(&asked.request, data).0;
                let result = add_vote(&mut record, &vote, request, &self.rules, voters);
                let changes = matches!(result, VoteResult::Counted(_) | VoteResult::Decisive(_));
                counted = Some(result);
                changes.then(|| record.encode())
            })
            .await;
            failures += u32::from(written.is_err());
            may_be_in |=
                matches!(&written, Err(error) if error.kind() == ErrorKind::Retry && counted.is_some());
            match &written {
                // It may be in: `cast` knows its own vote, so writing it again asks and tells.
                Err(error) if error.kind() == ErrorKind::Retry && may_be_in && failures < MAX_WRITES => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Ok(_) if let Some(VoteResult::NeedsAccounts(accounts)) = &counted => {
                    reads += 1;
                    let accounts = accounts.clone();
                    let found = if reads > MAX_READS {
                        Err(Refusal::Timeout)
                    } else {
                        self.resolver.voters.load(accounts, request, &mut read).await
                    };
                    if let Err(refusal) = found {
                        if !may_be_in {
                            return refusal.into();
                        }
                        // Perhaps it is in: the messages follow what is written.
                        let _ = self.enqueue.try_send(asked.request.clone());
                        return Outcome::Accepted(Accepted::Unconfirmed(vote.decision));
                    }
                }
                _ => break written,
            }
        };
        // The card counts votes, and a vote that decided is carried out by a visit if we cannot; a full channel
        // means that the request is looked at soon anyway.
        let _ = self.enqueue.try_send(asked.request.clone());
        if let Err(error) = written {
            warn!(request = %asked.request, "A vote could not be recorded: {}", crate::exit::chain(&error));
            return match error.kind() {
                ErrorKind::NotFound => Refusal::Deleted.into(),
                _ if may_be_in => Outcome::Accepted(Accepted::Unconfirmed(vote.decision)),
                ErrorKind::Unauthorized => Refusal::TeleportForbids.into(),
                ErrorKind::Unimplemented | ErrorKind::Permanent => Refusal::TeleportRefused.into(),
                ErrorKind::Retry | ErrorKind::Conflict => Refusal::TeleportUnreachable.into(),
            };
        }
        match counted {
            Some(VoteResult::Counted(standing)) => {
                Outcome::Accepted(Accepted::Counted(vote.decision, standing))
            }
            Some(VoteResult::Decisive(_)) => self.resolve_own_vote(&asked.request, vote.decision, read).await,
            Some(VoteResult::Duplicate(decision)) => {
                Refusal::AlreadyVoted { decision, in_slack: true }.into()
            }
            Some(VoteResult::AlreadyDecided(resolution)) => Refusal::AlreadyDecided {
                decision: resolution.decision,
                by: vec![resolution.delegator],
                reason: resolution.reason,
            }
            .into(),
            Some(VoteResult::Refused(refusal)) => refusal.into(),
            Some(VoteResult::Unusable | VoteResult::NeedsAccounts(_)) | None => Refusal::VotesUnusable.into(),
        }
    }

    /// Carries out what the person's own vote decided.
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
            Ok(ResolveResult::NeedsMoreVotes(standing)) => {
                Outcome::Accepted(Accepted::Counted(decision, standing))
            }
            Ok(ResolveResult::Refused(refusal)) => refusal.into(),
            Err(ResolveError::Unreadable(_)) => Outcome::Accepted(Accepted::Unconfirmed(decision)),
            Err(unfinished) => match self.on_resolve_error(id, unfinished).await {
                Refusal::SecondFactor => Outcome::Accepted(Accepted::LacksSecondFactor(decision)),
                Refusal::TeleportForbids | Refusal::TeleportRefused => {
                    Outcome::Accepted(Accepted::NotApplied(decision))
                }
                // A visit tries again.
                Refusal::TeleportUnreachable => Outcome::Accepted(Accepted::Pending(decision)),
                refusal => refusal.into(),
            },
        }
    }

    /// Carries out what others decided before, if it still holds. `None` if the person may vote now.
    async fn resolve_earlier_decision(&self, asked: &DecisionCommand) -> Option<Outcome> {
        match self.resolver.resolve_if_pending(&asked.request, VoterSnapshot::empty()).await {
            Ok(ResolveResult::Applied(resolution)) if resolution.decision == asked.decision => {
                Some(Outcome::Accepted(Accepted::Resolved(asked.decision)))
            }
            Ok(ResolveResult::Applied(resolution)) => {
                let Resolution { decision, delegator, reason, .. } = resolution;
                Some(Refusal::AlreadyDecided { decision, by: vec![delegator], reason }.into())
            }
            Ok(ResolveResult::AlreadyResolved(request)) => Some(already_resolved(*request).into()),
            Ok(ResolveResult::Deleted) => Some(Refusal::Deleted.into()),
            Ok(ResolveResult::NeedsMoreVotes(_)) => None,
            Ok(ResolveResult::Refused(refusal)) => Some(refusal.into()),
            Err(ResolveError::Decide(error)) if error.is_ambiguous() => {
                warn!(request = %asked.request, "It is not known whether the decision was carried out: {}", crate::exit::chain(&error));
                Some(Outcome::Accepted(Accepted::Unconfirmed(asked.decision)))
            }
            // The person's own vote is not in yet, so nothing may be said of it.
            Err(unfinished) => Some(self.on_resolve_error(&asked.request, unfinished).await.into()),
        }
    }

    /// Why a decision that is recorded could not be carried out.
    async fn on_resolve_error(&self, id: &RequestId, unfinished: ResolveError) -> Refusal {
        let error = match unfinished {
            ResolveError::Unreadable(refusal) => return refusal,
            ResolveError::Record(error) => DecideError::Failed(error),
            ResolveError::Decide(error) => error,
        };
        warn!(request = %id, "The decision is recorded and could not be carried out: {}", crate::exit::chain(&error));
        match error.refusal() {
            Some(TeleportRefusal::AlreadyResolved) => self.refusal_if_resolved(id).await,
            Some(TeleportRefusal::NotFound) => Refusal::Deleted,
            _ => not_carried_out(&error),
        }
    }

    /// Looks a few times whether Teleport has what it did not confirm.
    async fn await_confirmation(
        &self,
        id: &RequestId,
        is_there: impl Fn(&AccessRequest) -> bool,
    ) -> Option<AccessRequest> {
        for _ in 0..MAX_ATTEMPTS {
            if let Ok(Some(request)) = self.teleport.get_request(id).await
                && is_there(&request)
            {
                return Some(request);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        None
    }
}

impl JobHandler<Received> for Arc<InteractionHandler> {
    type ReplyTo = Option<Sender>;

    fn reply_to(&self, incoming: &Received) -> Option<Sender> {
        incoming.sender()
    }

    async fn handle(self, incoming: Received) {
        match incoming {
            Received::Interaction(interaction) => {
                InteractionHandler::handle_interaction(&self, *interaction).await
            }
            Received::Unrecognized(sender) => {
                self.metrics.interaction_ended(InteractionResult::Refused(&Refusal::UnknownOrigin));
                self.responder.refuse(&sender, &Refusal::UnknownOrigin).await;
            }
        }
    }

    async fn on_aborted(self, who: Option<Sender>) {
        if let Some(sender) = who {
            self.responder.refuse(&sender, &Refusal::Interrupted).await;
        }
    }
}

/// What was read, unless it took too long.
async fn with_read_timeout<T>(reading: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout(READ_TIMEOUT, reading).await.unwrap_or(Err(Refusal::Timeout))
}

/// Teleport said that the daemon may not submit this review.
struct NotPermittedForUser;

/// What to tell of a decision that Teleport did not take, where no more particular sentence fits.
fn not_carried_out(error: &DecideError) -> Refusal {
    match (error.refusal(), error) {
        (Some(TeleportRefusal::MfaRequired), _) => Refusal::SecondFactor,
        (Some(TeleportRefusal::AccessDenied(_) | TeleportRefusal::NotPermitted), _) => {
            Refusal::TeleportForbids
        }
        (Some(_), _) => Refusal::TeleportRefused,
        (None, DecideError::Failed(error)) => teleport_refusal(error),
        (None, _) => Refusal::TeleportUnreachable,
    }
}

/// What to tell of a request that is not pending any more.
fn already_resolved(request: AccessRequest) -> Refusal {
    match Decision::of_state(request.state) {
        Some(decision) => {
            Refusal::AlreadyDecided { decision, by: Vec::new(), reason: request.resolve_reason }
        }
        None => match request.state {
            RequestState::Promoted => Refusal::Promoted,
            RequestState::Unknown(number) => Refusal::Newer(Newer::State(number)),
            _ => Refusal::TeleportRefused,
        },
    }
}
