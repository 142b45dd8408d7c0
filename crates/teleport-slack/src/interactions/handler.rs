//! Handles one interaction after its acknowledgement: identifies the user, checks the policy, applies the decision, replies.
//!
//! All facts of a verdict are read again. `access_core::policy` gives the verdict. Teleport confirms a decision before the
//! user gets the reply. Whatever happens, the user gets one reply.

use std::sync::Arc;

use access_core::domain::error_chain::chain;
use access_core::domain::ids::RequestId;
use access_core::domain::request::AccessRequest;
use access_core::interaction::controls::ModalState;
use access_core::interaction::{AppInstallation, Interaction, OriginMismatch, check_origin};
use access_core::policy::refusal::Refusal;
use access_core::policy::{
    CanSubmitForUsers, Facts, Groups, Mode, ModeSetting, Reason, Rules, Verdict, Voter, check_modal_age,
    decide, mode,
};
use access_core::render::ephemeral::Accepted;
use access_core::render::late::Answer;
use access_core::render::modal::reason_modal;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::command::{DecisionCommand, decision_command};
use super::facts::{DecisionFacts, FactsLoader, MAX_ATTEMPTS};
use super::refusals::{refusal_if_not_applied, refusal_if_resolved};
use super::respond::Responder;
use crate::config::slack_setting;
use crate::controller;
use crate::observe::metrics::{InteractionResult, Metrics};
use crate::review::resolver::Resolver;
use crate::review::review_support::ReviewSupport;
use crate::review::voters::VoterSnapshot;
use teleport_client::decisions::SubmitReview;
use teleport_client::refusal::Refusal as TeleportRefusal;

/// Handles reviews in Slack.
#[derive(Debug)]
pub struct InteractionHandler {
    /// Reads requests, records and users, and writes decisions.
    pub teleport: teleport_client::Client,
    /// Makes the calls of Slack's Web API.
    pub slack: slack_client::Client,
    /// Sends the ephemeral replies.
    pub responder: Responder,
    /// Reads the facts of a verdict.
    pub facts: FactsLoader,
    /// Where this app is installed.
    pub installation: AppInstallation,
    /// Evaluates votes and applies decisions.
    pub resolver: Arc<Resolver>,
    /// The rules of the configuration: `[[review.rule]]`.
    pub rules: Arc<Rules>,
    /// Which call to Teleport applies a decision.
    pub setting: ModeSetting,
    /// Whether this Teleport takes reviews at all; the messages follow it.
    pub review_support: Arc<ReviewSupport>,
    /// Reconciles requests whose record changed.
    pub controller: controller::Handle,
    /// Counts what happens.
    pub metrics: Metrics,
}

/// The result of an interaction.
pub(super) enum Outcome {
    Accepted(Accepted),
    Refused(Refusal),
    /// The modal is open; the reply follows its submission.
    ReasonRequested,
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl InteractionHandler {
    pub(super) async fn handle_interaction(&self, interaction: Interaction) {
        let began = Instant::now();
        let Some(command) = decision_command(interaction) else { return };
        debug!(slack_user = %command.user, name = self.slack.known_name(&command.user), request = %command.request, decision = command.decision.action_id(), "Received an interaction");
        if let Err(mismatch) = check_origin(&command.origin, &self.installation) {
            let refusal = Refusal::from(mismatch);
            self.metrics.interaction_ended(InteractionResult::Refused(&refusal));
            warn!(slack_user = %command.user, request = %command.request, "An interaction came through another app or workspace ({mismatch:?}), so it decides nothing");
            // An interaction through another app is not ours to answer: the message and its address are that app's.
            if mismatch != OriginMismatch::App {
                self.responder.refuse(&command.sender(), &refusal).await;
            }
            return;
        }
        let (outcome, teleport_user) = self.decide(&command).await;
        let result = match &outcome {
            Outcome::Accepted(accepted) => InteractionResult::Accepted(accepted),
            Outcome::Refused(refusal) => InteractionResult::Refused(refusal),
            Outcome::ReasonRequested => InteractionResult::ReasonRequested,
        };
        self.metrics.interaction_ended(result);
        let (result, reason) = result.labels();
        info!(
            slack_user = %command.user,
            name = self.slack.known_name(&command.user),
            teleport_user = teleport_user.as_deref().unwrap_or(""),
            request = %command.request,
            decision = command.decision.action_id(),
            channel = %command.channel,
            result,
            reason,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "Handled an interaction"
        );
        let answer = match outcome {
            Outcome::Accepted(what) => Answer::Accepted(what),
            Outcome::Refused(refusal) => Answer::Refused(refusal),
            Outcome::ReasonRequested => return,
        };
        self.responder.respond(&command.sender(), answer, Some(command)).await;
    }

    /// Reads the facts, takes the verdict and applies it. The second value is the Teleport user, if known.
    async fn decide(&self, command: &DecisionCommand) -> (Outcome, Option<String>) {
        let now = Timestamp::now();
        if let Interaction::Submission(submission) = &command.interaction
            && let Err(refusal) = check_modal_age(&submission.modal, now)
        {
            return (refusal.into(), None);
        }
        let mut facts = match self.resolver.voters.in_time(self.facts.load(command)).await {
            Ok(facts) => facts,
            Err(refusal) => return (refusal.into(), None),
        };
        let teleport_user = Some(facts.reviewer.user.clone());
        let submit = self.review_support.status();
        let outcome =
            match self.apply_verdict(command, &mut facts, mode(self.setting, submit, &self.rules)).await {
                Err(NotPermittedForUser) => self.fall_back_to_rules(command, &mut facts).await,
                Ok(outcome) => outcome,
            };
        (outcome, teleport_user)
    }

    /// Teleport refused to take this review from us. If it takes none at all, the rules decide in mode `auto`. Else it takes
    /// none for this user, and the rules must not bypass that.
    async fn fall_back_to_rules(&self, command: &DecisionCommand, facts: &mut DecisionFacts) -> Outcome {
        if self.review_support.check().await == CanSubmitForUsers::Yes {
            return Refusal::NotOnBehalf { user: facts.reviewer.user.clone() }.into();
        }
        match mode(self.setting, CanSubmitForUsers::No, &self.rules) {
            Some(Mode::Resolver) => {
                let outcome = self.apply_verdict(command, facts, Some(Mode::Resolver)).await;
                outcome.unwrap_or(Outcome::Refused(Refusal::NotPossible))
            }
            Some(Mode::Reviewer) | None => Refusal::NotPossible.into(),
        }
    }

    async fn apply_verdict(
        &self,
        command: &DecisionCommand,
        facts: &mut DecisionFacts,
        mode: Option<Mode>,
    ) -> Result<Outcome, NotPermittedForUser> {
        for _ in 0..MAX_ATTEMPTS {
            let verdict = decide(&Facts {
                mode,
                rules: &self.rules,
                current: facts.current.as_ref(),
                record: &facts.record,
                reviewer: &facts.reviewer,
                groups: facts.groups.as_deref().map_or(Groups::Unread, Groups::Read),
                decision: command.decision,
                reason: command.reason.as_deref().map_or(Reason::NotAsked, Reason::Given),
                channel: &command.channel,
                ts: &command.ts,
                now: Timestamp::now(),
            });
            let Some(request) = facts.current.as_ref() else {
                return Ok(match verdict {
                    Verdict::Refused(refusal) => refusal.into(),
                    _ => Refusal::Deleted.into(),
                });
            };
            match verdict {
                Verdict::Refused(refusal) => return Ok(refusal.into()),
                Verdict::ReadGroups => {
                    match self
                        .resolver
                        .voters
                        .in_time(self.resolver.voters.groups(&facts.reviewer, request))
                        .await
                    {
                        Ok((groups, since)) => {
                            facts.groups = Some(groups);
                            facts.read_at = facts.read_at.min(since);
                        }
                        Err(refusal) => return Ok(refusal.into()),
                    }
                }
                Verdict::AskReason { required } => {
                    return Ok(self.open_reason_modal(command, request, required).await);
                }
                Verdict::SubmitReview { author, decision, reason } => {
                    let review = SubmitReview { id: command.request.clone(), author, decision, reason };
                    return self.submit_review(review).await;
                }
                Verdict::Vote(vote) => {
                    let groups = facts.groups.clone().unwrap_or_default();
                    let voter = Voter { reviewer: facts.reviewer.clone(), groups };
                    return Ok(self
                        .record_vote(command, request, vote, VoterSnapshot::of(voter, facts.read_at))
                        .await);
                }
                Verdict::ApplyPendingDecision => {
                    if let Some(outcome) = self.resolve_earlier_decision(command).await {
                        return Ok(outcome);
                    }
                    match self.resolver.voters.in_time(self.facts.load(command)).await {
                        Ok(again) => *facts = again,
                        Err(refusal) => return Ok(refusal.into()),
                    }
                }
            }
        }
        // The facts changed each time.
        Ok(Refusal::Timeout.into())
    }

    async fn open_reason_modal(
        &self,
        command: &DecisionCommand,
        request: &AccessRequest,
        required: bool,
    ) -> Outcome {
        let modal = ModalState {
            request: command.request.clone(),
            decision: command.decision,
            channel: command.channel.clone(),
            ts: command.ts.clone(),
            opened_at: Timestamp::now(),
            required,
            cluster: self.facts.clusters.own().clone(),
        };
        let (Some(view), Some(trigger)) = (reason_modal(request, &modal), &command.trigger_id) else {
            return Refusal::UnknownOrigin.into();
        };
        match self.slack.views_open(trigger, &view).await {
            Ok(()) => Outcome::ReasonRequested,
            Err(error) if !error.was_sent() => {
                debug!(request = %command.request, "Slack's wait lasts, so no modal is opened: {error}");
                Refusal::Timeout.into()
            }
            Err(error) => {
                warn!(request = %command.request, "Cannot open the modal: {}", error.with_remedy(slack_setting));
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
                warn!(request = %review.id, "Teleport did not take the review: {}", chain(&error));
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
                    Some(TeleportRefusal::AlreadyResolved) => {
                        refusal_if_resolved(&self.teleport, &review.id).await
                    }
                    _ => refusal_if_not_applied(&error),
                };
                Ok(outcome.into())
            }
        }
    }

    /// Checks a few times whether Teleport applied what it did not confirm.
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
            tokio::time::sleep(self.resolver.voters.timings.recheck).await;
        }
        None
    }
}

/// Teleport does not permit the daemon to submit this review.
struct NotPermittedForUser;
