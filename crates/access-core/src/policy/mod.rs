//! Whether a decision in Slack counts, and what follows from it: a review, a vote, a resolution, a question for
//! a reason, or a refusal with its cause.
//!
//! Everything here is about a person who is already known ([`crate::policy::identity`]) and a message that is ours
//! ([`crate::interaction::check_message`]). Two modes differ in who guards: in [`Mode::Reviewer`] Teleport judges the
//! review; in [`Mode::Resolver`] the [`rules`] judge and the [`tally`] counts, because Teleport would let the
//! daemon's own identity do anything. Decision note: `docs/decisions/0005`.

pub mod rules;
pub mod conflicts;
pub mod identity;
pub mod user_index;
pub mod refusal;
pub mod voters;
pub mod tally;
pub mod casting;
pub mod current_state;
pub mod vote_status;

use jiff::{SignedDuration, Timestamp};

pub use casting::{NextEvaluation, VoteResult, add_vote, next_evaluation, reevaluate};
pub use current_state::{CurrentState, OwnVote, current_state};
pub use rules::{Approver, ReasonPolicy, Rule, Rules};
pub use tally::{Resolution, Tally, VoteEvaluation, evaluate_votes, tally_votes};
pub use voters::{Voter, Voters};

use crate::domain::decision::Decision;
use crate::domain::ids::{ChannelId, MessageTs};
use crate::domain::lifecycle::{Phase, phase};
use crate::domain::request::{AccessRequest, RequestKind, RequestState};
use crate::domain::text::is_seen;
use crate::interaction::controls::ModalState;
use crate::policy::identity::Reviewer;
use crate::policy::refusal::{Newer, Refusal};
use crate::record::Record;
use crate::record::votes::Vote;
use casting::may_vote_again;
use rules::RuleRefusal;

/// A modal that was open for longer is not acted on: the request may have changed under the reader's eyes.
pub const MAX_MODAL_AGE: SignedDuration = SignedDuration::from_mins(30);
/// No refusal names more deciders than this.
const MAX_DECIDERS: usize = 20;

/// What the configuration says (`review.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeSetting {
    /// Whatever is possible, Teleport's judgment first.
    #[default]
    Auto,
    /// Reviews only.
    Reviewer,
    /// Resolutions only.
    Resolver,
}

/// Which Teleport call carries a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `SubmitAccessReview` in the person's name; Teleport guards.
    Reviewer,
    /// `SetAccessRequestState` when enough people agree; the rules guard.
    Resolver,
}

/// Whether this Teleport can take reviews that the daemon submits for users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanSubmitForUsers {
    /// It may; whose reviews it takes is its judgment.
    #[default]
    Yes,
    /// For no user at all, as its release, its edition or the daemon's own roles show. A review that was refused does
    /// not show it, whatever the words: it may be refused for this person only, and `auto` would then go around
    /// Teleport's judgment.
    No,
}

/// The mode in effect; `None`: nothing can be decided in Slack and no buttons are drawn.
pub fn mode(setting: ModeSetting, submit: CanSubmitForUsers, rules: &Rules) -> Option<Mode> {
    match (setting, submit) {
        (ModeSetting::Reviewer, CanSubmitForUsers::Yes) => Some(Mode::Reviewer),
        (ModeSetting::Reviewer, CanSubmitForUsers::No) => None,
        (ModeSetting::Resolver, _) => Some(Mode::Resolver),
        (ModeSetting::Auto, CanSubmitForUsers::Yes) => Some(Mode::Reviewer),
        (ModeSetting::Auto, CanSubmitForUsers::No) => (!rules.0.is_empty()).then_some(Mode::Resolver),
    }
}

/// Everything a verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The mode in effect.
    pub mode: Option<Mode>,
    /// The rules of the configuration: `[[review.rule]]`.
    pub rules: &'a Rules,
    /// The request as Teleport lists it now, read for this decision; `None` if it lists it no more.
    pub current: Option<&'a AccessRequest>,
    /// The request's record, read for this decision.
    pub record: &'a Record,
    /// The Teleport user and the Slack account that decide.
    pub reviewer: &'a Reviewer,
    /// The person's user groups.
    pub groups: Groups<'a>,
    /// What the person decides.
    pub decision: Decision,
    /// The reason, if the modal was shown.
    pub reason: Reason<'a>,
    /// Where the message is.
    pub channel: &'a ChannelId,
    /// The message's `ts`, its id within the conversation.
    pub ts: &'a MessageTs,
    /// The wall clock's time of this decision.
    pub now: Timestamp,
}

/// Whether Slack was asked for the user groups that a person is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups<'a> {
    /// Not yet: most verdicts do not need them.
    Unread,
    /// Those of [`Rules::groups_to_check`] that the person is a member of, as Slack says now.
    Read(&'a [String]),
}

/// Whether the modal was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// Not yet: a button was pressed.
    NotAsked,
    /// It was, and this was written; may be empty.
    Given(&'a str),
}

/// What follows from a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Submit a review in the name of this Teleport user.
    SubmitReview {
        /// The name of the Teleport user who becomes the review's author.
        author: String,
        /// Whether the review approves or denies.
        decision: Decision,
        /// Why; may be empty.
        reason: String,
    },
    /// Take this vote by [`add_vote`] in a compare-and-swap.
    Vote(Vote),
    /// It depends on the user groups that the person is in; ask again with them.
    ReadGroups,
    /// The votes decided earlier, and their decision was not applied or the request is open again. Evaluate them by what
    /// is now, apply them or take the mark away, and if nothing came of it, ask again.
    ApplyPendingDecision,
    /// Show the modal first.
    AskReason {
        /// Whether it may be left empty.
        required: bool,
    },
    /// Nothing; show the person why.
    Refused(Refusal),
}

/// The verdict.
///
/// Refusals that no reason would change come before the question for one.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    match evaluate(facts) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn evaluate(facts: &Facts<'_>) -> Result<Verdict, Refusal> {
    let Facts { rules, record, reviewer: person, decision, now, .. } = *facts;
    let request = open_request(facts.current, record, now)?;
    let mode = facts.mode.ok_or(Refusal::NotPossible)?;
    check_decidable_in_slack(rules, request)?;
    if person.is(&request.user) {
        return Err(Refusal::SelfReview);
    }
    let mut past_reviews = 0;
    if mode == Mode::Resolver {
        check_role_coverage(rules, request)?;
        if record.has_unreadable_votes() {
            return Err(Refusal::VotesUnusable);
        }
        past_reviews = record.votes.past_reviews();
    }
    let reviews = request.reviews.get(past_reviews..).unwrap_or_default();
    let reviewed = reviews.iter().rfind(|review| person.is(&review.author));
    if let Some(RequestState::Unknown(number)) = reviewed.map(|review| review.proposed) {
        return Err(Refusal::Newer(Newer::Review(number)));
    }
    if let Some(decision) = reviewed.and_then(|review| Decision::of_state(review.proposed)) {
        return Err(Refusal::AlreadyVoted { decision, in_slack: false });
    }
    let vote = vote(facts);
    if mode == Mode::Resolver {
        match (rules.check_approver(request, &person.user, facts.known_groups()), facts.groups) {
            (Ok(()), _) => {}
            (Err(_), Groups::Unread) if !rules.groups_to_check(request, &person.user).is_empty() => {
                return Ok(Verdict::ReadGroups);
            }
            (Err(not_allowed), _) => return Err(not_allowed.into()),
        }
        let earlier = record.votes.find(&person.user, &person.slack_user);
        let voted = |earlier: &Vote| Refusal::AlreadyVoted { decision: earlier.decision, in_slack: true };
        match (next_evaluation(record, request, rules, now), record.votes.decided_by(), earlier) {
            _ if record.is_decided() || record.votes.are_outlived(request) => {
                return Ok(Verdict::ApplyPendingDecision);
            }
            (NextEvaluation::Now, Some(_), _) => return Ok(Verdict::ApplyPendingDecision),
            (_, Some(_), Some(earlier)) => return Err(voted(earlier)),
            (_, Some(settling), None) => return Err(Refusal::BeingDecided { decision: settling.decision }),
            (_, None, Some(earlier)) if !may_vote_again(rules, request, &record.votes, &vote) => {
                return Err(voted(earlier));
            }
            (_, None, _) => {}
        }
    }
    match (facts.reason, rules.effective_rule(request).reason) {
        (Reason::NotAsked, ReasonPolicy::Optional) => return Ok(Verdict::AskReason { required: false }),
        (Reason::NotAsked, ReasonPolicy::Required) => return Ok(Verdict::AskReason { required: true }),
        (Reason::Given(text), ReasonPolicy::Required) if !is_seen(text) => {
            return Err(Refusal::ReasonMissing);
        }
        _ => {}
    }
    Ok(match mode {
        Mode::Reviewer => Verdict::SubmitReview { author: vote.user, decision, reason: vote.reason },
        Mode::Resolver => Verdict::Vote(vote),
    })
}

/// The request if it waits for a decision, else what became of it. `current` is the request as Teleport lists it now.
pub fn open_request<'a>(
    current: Option<&'a AccessRequest>,
    record: &Record,
    now: Timestamp,
) -> Result<&'a AccessRequest, Refusal> {
    let known = current.or(record.known.as_ref());
    let decided = |decision| {
        let reason = known.map(|request| request.resolve_reason.clone()).unwrap_or_default();
        Err(Refusal::AlreadyDecided { decision, by: deciders(known, record, decision), reason })
    };
    match (phase(current, record.known.as_ref(), now), current) {
        (Phase::Pending, Some(request)) => Ok(request),
        (Phase::Approved, _) => decided(Decision::Approve),
        (Phase::Denied, _) => decided(Decision::Deny),
        (Phase::Promoted, _) => Err(Refusal::Promoted),
        (Phase::Expired, _) => Err(Refusal::Expired),
        (Phase::Unknown, _) => Err(Refusal::Newer(match known.map(|request| request.state) {
            Some(RequestState::Unknown(number)) => Newer::State(number),
            _ => Newer::State(0),
        })),
        (Phase::Deleted | Phase::Pending, _) => Err(Refusal::Deleted),
    }
}

/// Who made the decision that stands, each once: reviewers in Teleport, then those whose votes decided.
pub fn deciders(request: Option<&AccessRequest>, record: &Record, decision: Decision) -> Vec<String> {
    let state: RequestState = decision.state();
    let reviews = request.into_iter().flat_map(|request| &request.reviews);
    let reviewers = reviews.filter(|review| review.proposed == state).map(|review| &review.author);
    let has_decided = record.votes.decided_by().is_some_and(|vote| vote.decision == decision);
    let votes = record.votes.open().iter();
    let votes = votes.filter(|vote| has_decided && vote.decision == decision && !vote.ineligible);
    let mut names: Vec<String> = Vec::new();
    for name in reviewers.chain(votes.map(|vote| &vote.user)) {
        if names.len() < MAX_DECIDERS && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Whether the rules, or the request itself, leave it to Teleport.
fn check_decidable_in_slack(rules: &Rules, request: &AccessRequest) -> Result<(), Refusal> {
    match request.kind {
        RequestKind::LongTerm => return Err(Refusal::LongTerm),
        RequestKind::Unknown(number) => return Err(Refusal::Newer(Newer::Kind(number))),
        RequestKind::Unstated | RequestKind::ShortTerm => {}
    }
    if rules.effective_rule(request).teleport_only { Err(Refusal::TeleportOnly) } else { Ok(()) }
}

/// Whether the rules leave one of the roles out, so that no user may decide by them.
fn check_role_coverage(rules: &Rules, request: &AccessRequest) -> Result<(), Refusal> {
    rules.check_coverage(request).map_err(Refusal::from)
}

/// The vote that this decision would be.
fn vote(facts: &Facts<'_>) -> Vote {
    let reason = match facts.reason {
        Reason::NotAsked => "",
        Reason::Given(text) => text.trim(),
    };
    Vote {
        user: facts.reviewer.user.clone(),
        slack_user: facts.reviewer.slack_user.clone(),
        team: facts.reviewer.team.clone(),
        channel: facts.channel.clone(),
        ts: facts.ts.clone(),
        decision: facts.decision,
        reason: reason.to_owned(),
        at: facts.now,
        groups: facts.current.map_or_else(Vec::new, |request| {
            facts.rules.matching_groups(request, &facts.reviewer.user, facts.known_groups())
        }),
        aliases: Vec::new(),
        ineligible: false,
    }
}

impl<'a> Facts<'a> {
    fn known_groups(&self) -> &'a [String] {
        match self.groups {
            Groups::Unread => &[],
            Groups::Read(groups) => groups,
        }
    }
}

/// Whether a modal that comes back is still young enough. One from the future is not.
///
/// # Errors
/// [`Refusal::ExpiredModal`].
pub fn check_modal_age(modal: &ModalState, now: Timestamp) -> Result<(), Refusal> {
    let age = now.duration_since(modal.opened_at);
    let is_fresh = (-crate::domain::lifecycle::CLOCK_TOLERANCE..=MAX_MODAL_AGE).contains(&age);
    if is_fresh { Ok(()) } else { Err(Refusal::ExpiredModal) }
}

impl From<RuleRefusal> for Refusal {
    fn from(not_allowed: RuleRefusal) -> Self {
        match not_allowed {
            RuleRefusal::NoMatchingRule { role } => Self::NoMatchingRule { role },
            RuleRefusal::NotAnApprover { role, named } => Self::NotAnApprover { role, named },
            RuleRefusal::NotSuggested { named } => Self::NotSuggested { named },
            RuleRefusal::CaseMismatch { role, named, user } => {
                Self::ApproverCaseMismatch { role, named, user }
            }
        }
    }
}

#[cfg(test)]
mod tests;
