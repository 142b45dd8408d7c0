//! Who may decide the request and who did: mode, rules, votes and reviews in words.

use access_core::domain::decision::Decision;
use access_core::domain::lifecycle::Phase;
use access_core::domain::request::{AccessRequest, RequestState, Review, Threshold};
use access_core::plan::ReviewDisplay;
use access_core::policy::vote_status::{Candidate, VoteStatus, candidates, vote_statuses};
use access_core::policy::{Approver, Mode, NextEvaluation, next_evaluation};
use access_core::record::votes::Vote;
use access_core::render::request_message::{Controls, NoButtons};

use super::explanation::{CandidatePart, CountPart, DecidingPart, ReviewPart, RulePart, VotePart};
use super::{Facts, ReviewFacts};

pub(super) fn deciding(facts: &Facts, current: Phase) -> DecidingPart {
    let Some(request) = facts.view.listed.as_ref().or(facts.view.record.known.as_ref()) else {
        return DecidingPart::default();
    };
    let reviews = request.reviews.iter().map(review_part).collect();
    let Some(review) = &facts.review else {
        let sentence = ended(current).unwrap_or("Deciding in Slack is off: decide it in Teleport");
        return DecidingPart { sentence: sentence.to_owned(), reviews, ..DecidingPart::default() };
    };
    let (tally, votes) = vote_statuses(&review.rules, request, &facts.view.record.votes, &review.voters);
    let by_rules = review.mode == Some(Mode::Resolver);
    let is_open = current == Phase::Pending && facts.view.listed.is_some();
    let why_not = no_buttons(review, request).filter(|_| is_open);
    // Of a request that is decided nothing is missing, and the rules do not count what is left to Teleport.
    let is_counted = by_rules && ended(current).is_none() && why_not.is_none();
    let count = |counted: usize, needed: usize| {
        is_counted.then(|| CountPart { counted, needed, missing: needed.saturating_sub(counted) })
    };
    let may_decide = match is_open && by_rules && why_not.is_none() {
        true => candidates(&review.rules, request, &facts.view.record.votes),
        false => Vec::new(),
    };
    let sentence = match (ended(current), why_not) {
        (Some(ended), _) => ended.to_owned(),
        (None, Some(why)) => why,
        (None, None) if by_rules => rules_sentence(facts, review, request),
        (None, None) => teleport_sentence(&request.thresholds),
    };
    DecidingPart {
        mode: review.mode.map(|mode| match mode {
            Mode::Reviewer => "reviewer",
            Mode::Resolver => "resolver",
        }),
        sentence,
        rules: review.rules.matching(request).map(rule_part).collect(),
        approvals: count(tally.approvals, tally.approvals_needed),
        denials: count(tally.denials, tally.denials_needed),
        votes: votes.into_iter().map(|(vote, status)| vote_part(facts, vote, status)).collect(),
        reviews,
        may_decide: may_decide.into_iter().map(candidate_part).collect(),
    }
}

/// What is to be said if nothing can be decided any more.
fn ended(current: Phase) -> Option<&'static str> {
    match current {
        Phase::Pending => None,
        Phase::Approved | Phase::Denied | Phase::Promoted => Some("It is decided"),
        Phase::Expired | Phase::Deleted => Some("It cannot be decided any more"),
        Phase::Unknown => Some("Its state may be a decision, so nothing is decided here"),
    }
}

/// Why messages have no buttons, for their readers.
fn no_buttons(review: &ReviewFacts, request: &AccessRequest) -> Option<String> {
    let display = ReviewDisplay { mode: review.mode, rules: &review.rules, requester: &[] };
    let Controls::Link(why) = display.controls(request) else { return None };
    Some(match why {
        NoButtons::NotPossible => {
            "No user can decide in Slack: Teleport takes no reviews from this program, and the rules do not decide \
             (review.mode); `teleport-slack check` says what is missing"
                .to_owned()
        }
        NoButtons::TeleportOnly => "A rule leaves it to Teleport: decide it there".to_owned(),
        NoButtons::NoMatchingRule { role } => {
            format!("No rule matches the role {role:?}, so no user can decide it in Slack: add a rule, or decide it in Teleport")
        }
        NoButtons::NoRole => "It names no role, so no rule applies: decide it in Teleport".to_owned(),
        NoButtons::NoSuggestedReviewer => "There is no rule, and the request suggests no reviewer: decide it in Teleport".to_owned(),
        NoButtons::LongTerm => "It is for permanent access, which is decided in Teleport only".to_owned(),
        NoButtons::UnknownKind => "It is of a kind that this version does not know: decide it in Teleport".to_owned(),
        // About one reader each.
        NoButtons::SelfReview | NoButtons::UnknownRecipient => return None,
    })
}

fn rules_sentence(facts: &Facts, review: &ReviewFacts, request: &AccessRequest) -> String {
    match next_evaluation(&facts.view.record, request, &review.rules, facts.now) {
        NextEvaluation::Now => {
            "The votes suffice, and Teleport does not have the decision yet: a daemon checks them again and sets it".to_owned()
        }
        NextEvaluation::At(at) => {
            format!("The votes suffice, and the daemon that took the last one sets it in Teleport; from {at:.0} on any daemon does")
        }
        NextEvaluation::Never if review.rules.0.is_empty() => {
            "There is no rule, so the suggested reviewers decide".to_owned()
        }
        NextEvaluation::Never => "The rules below decide; each that matches must name who decides".to_owned(),
    }
}

fn teleport_sentence(thresholds: &[Threshold]) -> String {
    let one = |threshold: &Threshold| {
        let Threshold { approve, deny, .. } = threshold;
        format!("approvals needed: {approve}, denials needed: {deny}")
    };
    let thresholds: Vec<_> = thresholds.iter().map(one).collect();
    let counts = if thresholds.is_empty() {
        String::new()
    } else {
        format!(" and counts them by the request's thresholds ({})", thresholds.join("; "))
    };
    format!("Teleport judges each review{counts}; who may review, only Teleport knows")
}

fn rule_part((number, rule): (usize, &access_core::policy::Rule)) -> RulePart {
    RulePart {
        number,
        roles: rule.roles.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        approvers: rule.approvers.iter().map(approver).collect(),
        approvals: rule.approvals,
        denials: rule.denials,
        teleport_only: rule.teleport_only,
    }
}

fn approver(approver: &Approver) -> String {
    match approver {
        Approver::User(name) => name.clone(),
        Approver::Group(group) => format!("user group {group}"),
    }
}

fn candidate_part(candidate: Candidate) -> CandidatePart {
    match candidate {
        Candidate::User(user) => CandidatePart { teleport_user: Some(user), groups: Vec::new() },
        Candidate::UserInGroups(user, groups) => CandidatePart { teleport_user: Some(user), groups },
        Candidate::Group(group) => CandidatePart { teleport_user: None, groups: vec![group] },
    }
}

fn vote_part(facts: &Facts, vote: &Vote, status: VoteStatus) -> VotePart {
    let (word, sentence) = match status {
        VoteStatus::Counts => ("counts", "counts"),
        VoteStatus::Past => (
            "past",
            "does not count any more: Teleport decided the request after it, and the request was opened again",
        ),
        VoteStatus::Unverifiable => (
            "unverifiable",
            "does not count: Slack does not know the account any more, or a user group on which it depends; a denial \
             stays in the way of an approval",
        ),
        VoteStatus::Ineligible => (
            "ineligible",
            "does not count: the account may not decide any more, or is linked to another Teleport user",
        ),
        VoteStatus::NotAnApprover => {
            ("not_an_approver", "does not count: the rules do not name the user for this request")
        }
        VoteStatus::SelfReview => ("self_review", "does not count: it is the requester's"),
        VoteStatus::Superseded => {
            ("superseded", "does not count: an earlier decision of the same person counts")
        }
    };
    VotePart {
        teleport_user: vote.user.clone(),
        slack_user: vote.slack_user.to_string(),
        slack_user_name: facts.name_of(vote.slack_user.as_str()),
        decision: vote.decision.action_id(),
        at: vote.at,
        channel: vote.channel.to_string(),
        channel_name: facts.name_of(vote.channel.as_str()),
        counts: status == VoteStatus::Counts,
        status: word,
        sentence,
    }
}

fn review_part(review: &Review) -> ReviewPart {
    let decision = match review.proposed {
        RequestState::Unknown(_) => "unknown",
        state => Decision::of_state(state).map_or("unknown", Decision::action_id),
    };
    ReviewPart { teleport_user: review.author.clone(), decision, at: review.created }
}
