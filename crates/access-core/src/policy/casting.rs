//! Taking one vote more, and bringing the mark of the deciding vote in line with what is.
//!
//! [`add_vote`] and [`reevaluate`] are made for a compare-and-swap callback: they may run again on another copy of the
//! record, and know their own work when they meet it. The deciding vote is marked in the same write that lets it in.
//! So of two simultaneous votes none is lost, none counts twice, and exactly one is the deciding one. The mark gives
//! its writer some time to apply the decision. It is no verdict: that is made again before Teleport is called.

use jiff::{SignedDuration, Timestamp};

use super::refusal::Refusal;
use super::rules::Rules;
use super::tally::{Resolution, Tally, VoteEvaluation, evaluate_votes, marked, would_decide};
use super::voters::Voters;
use crate::domain::decision::Decision;
use crate::domain::ids::SlackUserId;
use crate::domain::lifecycle::CLOCK_TOLERANCE;
use crate::domain::request::AccessRequest;
use crate::record::Record;
use crate::record::votes::{Vote, Votes};

/// How long the handler that took the deciding vote has the resolution to itself. After that, any reconciliation and
/// any interaction may apply it instead.
pub const RESOLVE_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteResult {
    /// It is in, and more are needed.
    Counted(Tally),
    /// It is in, and it decided: make the verdict again and set it in Teleport.
    Decisive(Resolution),
    /// The person has a vote already; nothing changed.
    Duplicate(Decision),
    /// Another vote decided before; nothing changed.
    AlreadyDecided(Resolution),
    /// It may decide. What these accounts are now must be read first; nothing changed.
    NeedsAccounts(Vec<SlackUserId>),
    /// No user may decide this in Slack; nothing changed.
    Refused(Refusal),
    /// The votes in the record cannot be read, or it does not fit in; nothing changed.
    Unusable,
}

/// Takes a vote into `record`. The caller has asked [`super::decide`] whether the person may vote; `request` is
/// as Teleport listed it for that, and `voters` holds what was read of the person for that, and of others who voted as
/// far as an earlier [`VoteResult::NeedsAccounts`] asked for it.
pub fn add_vote(
    record: &mut Record,
    vote: &Vote,
    request: &AccessRequest,
    rules: &Rules,
    voters: &Voters,
) -> VoteResult {
    if record.has_unreadable_votes() {
        return VoteResult::Unusable;
    }
    let votes = &mut record.votes;
    if votes.are_outlived(request) {
        votes.reopen(request.reviews.len());
    }
    let earlier = votes.find(&vote.user, &vote.slack_user).cloned();
    let is_in = votes.contains(vote);
    if let Some(resolution) = marked(votes) {
        let is_mine = votes.decided_by().is_some_and(|deciding| deciding.is_same_as(vote));
        return match earlier {
            Some(_) if is_in && is_mine => VoteResult::Decisive(resolution),
            Some(_) if is_in => VoteResult::Counted(super::tally_votes(rules, request, votes)),
            Some(earlier) => VoteResult::Duplicate(earlier.decision),
            None => VoteResult::AlreadyDecided(resolution),
        };
    }
    // A vote under the same name or from the same account, by a link that is not the person's any more: it makes room.
    while let Some(other) = votes.find_conflicting(&vote.user, &vote.slack_user).cloned() {
        match voters.author_of(&other) {
            None => return VoteResult::NeedsAccounts(vec![other.slack_user]),
            Some(Some(_)) => return VoteResult::Duplicate(other.decision),
            Some(None) => votes.retire(&other),
        }
    }
    let earlier = votes.find(&vote.user, &vote.slack_user).cloned();
    match &earlier {
        None if votes.push(vote) => {}
        None => return VoteResult::Unusable,
        // The vote itself from an earlier run. Or the same person decides the same again, which may count now.
        Some(earlier) if earlier.decision == vote.decision => {}
        Some(earlier) => return VoteResult::Duplicate(earlier.decision),
    }
    votes.see(request);
    voters.annotate(votes, request, rules);
    let own = votes.find(&vote.user, &vote.slack_user).cloned();
    let news = is_in || own != earlier;
    match evaluate_votes(rules, request, votes, voters, own.as_ref()) {
        Err(refusal) => VoteResult::Refused(refusal),
        Ok(VoteEvaluation::NeedsAccounts(accounts)) => VoteResult::NeedsAccounts(accounts),
        Ok(VoteEvaluation::Decided(resolution)) => {
            votes.mark_decided(&resolution.delegator);
            VoteResult::Decisive(resolution)
        }
        Ok(VoteEvaluation::Open(tally)) if news => VoteResult::Counted(tally),
        Ok(VoteEvaluation::Open(_)) => VoteResult::Duplicate(vote.decision),
    }
}

/// Makes the verdict again over the votes in `record`, and brings its mark in line: the mark of a decision that does
/// not hold any more is taken away, so that others can vote, and a decision whose last part is a review in Teleport is
/// marked. The newest vote of that decision is taken; without any the daemon has no name to decide in.
///
/// # Errors
/// If no user may decide this request in Slack; a mark is then taken away.
pub fn reevaluate(
    record: &mut Record,
    request: &AccessRequest,
    rules: &Rules,
    voters: &Voters,
) -> Result<VoteEvaluation, Refusal> {
    if record.has_unreadable_votes() {
        return Err(Refusal::VotesUnusable);
    }
    let votes = &mut record.votes;
    let before = votes.decided_by().cloned();
    let evaluation = evaluate_votes(rules, request, votes, voters, before.as_ref());
    match &evaluation {
        Ok(VoteEvaluation::NeedsAccounts(_)) => return evaluation,
        Ok(VoteEvaluation::Decided(resolution)) => votes.mark_decided(&resolution.delegator),
        Ok(VoteEvaluation::Open(_)) | Err(_) => votes.clear_decided(),
    }
    voters.annotate(votes, request, rules);
    evaluation
}

/// Whether the person who has voted may usefully decide the same again: it may have come to decide, or to count.
pub(super) fn may_vote_again(rules: &Rules, request: &AccessRequest, votes: &Votes, vote: &Vote) -> bool {
    // What became of the link by which that vote came is read before anything is taken.
    if votes.find_conflicting(&vote.user, &vote.slack_user).is_some() {
        return true;
    }
    let Some(earlier) = votes.find(&vote.user, &vote.slack_user) else { return true };
    let counts = !earlier.ineligible && rules.check_approver(request, &earlier.user, &earlier.groups).is_ok();
    earlier.decision == vote.decision && (!counts || would_decide(rules, request, votes))
}

/// When the votes on a request that Teleport lists as pending are to be evaluated again without a new vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextEvaluation {
    /// Not without news.
    Never,
    /// Then, unless the handler that took the deciding vote has applied it.
    At(Timestamp),
    /// Now: their decision was not applied in Teleport, or the last that was needed came as a review in Teleport, or
    /// the rules ask for less than before.
    Now,
}

/// When the votes in `record` are to be evaluated again.
pub fn next_evaluation(
    record: &Record,
    request: &AccessRequest,
    rules: &Rules,
    now: Timestamp,
) -> NextEvaluation {
    let votes = &record.votes;
    // Decided before, and open again: those votes are of the past as soon as that is written down.
    if record.has_unreadable_votes() || record.is_decided() {
        return NextEvaluation::Never;
    }
    match votes.decided_by() {
        Some(deciding) => {
            let until = deciding.at.checked_add(RESOLVE_GRACE).unwrap_or(Timestamp::MAX);
            // A vote from a clock that runs ahead is not waited for.
            let is_ahead = deciding.at.duration_since(now) > CLOCK_TOLERANCE;
            if until <= now || is_ahead { NextEvaluation::Now } else { NextEvaluation::At(until) }
        }
        None if would_decide(rules, request, votes) => NextEvaluation::Now,
        None => NextEvaluation::Never,
    }
}
