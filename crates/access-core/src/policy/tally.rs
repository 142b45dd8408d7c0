//! Counting: how many approvals and denials there are, how many are needed, and what follows from it now.
//!
//! [`evaluate_votes`] is the whole verdict over all votes. It is asked again, with what was just read of the voters, before
//! every write that lets a vote decide and before every call that decides; a mark in the record alone decides
//! nothing. Taking votes in is [`super::casting`]'s.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::refusal::{Newer, Refusal};
use super::rules::Rules;
use super::voters::{IdentitySet, Voters};
use super::{check_decidable_in_slack, check_role_coverage};
use crate::domain::decision::{Decision, MAX_REASON};
use crate::domain::ids::SlackUserId;
use crate::domain::request::{AccessRequest, RequestState, Review};
use crate::domain::text::truncate;
use crate::record::votes::{Vote, Votes};

/// All reasons in the annotations of a decision together, in characters. Each is kept whole while there is room; with many
/// voters each has the same share of it.
const MAX_ANNOTATED_REASONS_LEN: usize = 10_000;

/// How far the votes on a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Distinct people who approved and may.
    pub approvals: usize,
    /// How many approvals approve the request.
    pub approvals_needed: usize,
    /// Distinct people who denied and may.
    pub denials: usize,
    /// How many denials deny the request.
    pub denials_needed: usize,
}

impl Tally {
    /// Whether what there is of `decision` is enough.
    fn has_enough(&self, decision: Decision) -> bool {
        match decision {
            Decision::Approve => self.approvals >= self.approvals_needed,
            Decision::Deny => self.denials >= self.denials_needed,
        }
    }

    /// What there is enough of. Denials are looked at first: what speaks against giving access outweighs.
    fn decides(&self) -> Option<Decision> {
        [Decision::Deny, Decision::Approve].into_iter().find(|decision| self.has_enough(*decision))
    }
}

/// What is to be set in Teleport when the votes suffice (`SetAccessRequestState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The state to set: approved or denied.
    pub decision: Decision,
    /// The Teleport user whose vote decided.
    pub delegator: String,
    /// The reason of that vote; may be empty.
    pub reason: String,
    /// Where, by which users and why it was decided, for Teleport's audit log: each key with its values.
    pub annotations: BTreeMap<String, Vec<String>>,
    /// When it was decided.
    pub at: Timestamp,
}

/// What the votes come to at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteEvaluation {
    /// Enough people who may agree: set this in Teleport.
    Decided(Resolution),
    /// More are needed, or no Slack vote counts in whose name to decide.
    Open(Tally),
    /// There may be enough. These accounts must be read first.
    NeedsAccounts(Vec<SlackUserId>),
}

/// How far the votes on `request` are, by what was noted of the voters last; for showing. Counted are votes in Slack
/// and reviews in Teleport of people that the rules name. Each person counts once, and the requester never.
///
/// Needed are as many approvals as the strictest matching rule and every threshold of the request ask for.
pub fn tally_votes(rules: &Rules, request: &AccessRequest, votes: &Votes) -> Tally {
    count(rules, request, votes, |vote| Voters::default().counted_identities(vote, request, rules)).tally
}

/// What the votes on `request` come to now. `voters` is what was just read of those who voted; if it decides, then in
/// the name of `preferred` where that vote counts, else of the newest.
///
/// # Errors
/// If no user may decide this request in Slack, or denials that cannot be judged any more stand against approving it.
pub fn evaluate_votes(
    rules: &Rules,
    request: &AccessRequest,
    votes: &Votes,
    voters: &Voters,
    preferred: Option<&Vote>,
) -> Result<VoteEvaluation, Refusal> {
    check_decidable_in_slack(rules, request)?;
    check_role_coverage(rules, request)?;
    let unread: Vec<_> = votes.open().iter().filter(|vote| !voters.has_read(vote)).collect();
    if !unread.is_empty() {
        // Count each unread account as one that may vote: if even that is too few, reading changes nothing.
        let at_most = count(rules, request, votes, |vote| {
            let unread = || IdentitySet::user(&vote.user);
            if voters.has_read(vote) {
                voters.counted_identities(vote, request, rules)
            } else {
                Some(unread())
            }
        });
        if at_most.tally.decides().is_some() {
            return Ok(VoteEvaluation::NeedsAccounts(
                unread.into_iter().map(|vote| vote.slack_user.clone()).collect(),
            ));
        }
    }
    let tally = count(rules, request, votes, |vote| voters.counted_identities(vote, request, rules));
    if unread.is_empty() && tally.tally.decides() == Some(Decision::Approve) {
        let against = count_with(rules, request, votes, Some(Decision::Deny), |vote| {
            voters
                .counted_identities(vote, request, rules)
                .or_else(|| voters.gone_voice(vote, request, rules))
        });
        if against.tally.decides() != Some(Decision::Approve) {
            let mut reviews = request.reviews.iter().skip(votes.past_reviews());
            return Err(match reviews.find_map(unknown) {
                Some(number) => Refusal::Newer(Newer::Review(number)),
                None => Refusal::DenialsInDoubt,
            });
        }
    }
    let deciding = tally.tally.decides().filter(|_| unread.is_empty()).and_then(|decision| {
        let of_it = || tally.votes.iter().filter(move |vote| vote.decision == decision);
        let preferred = preferred.and_then(|preferred| of_it().find(|vote| vote.is_same_as(preferred)));
        preferred.or_else(|| of_it().next_back())
    });
    Ok(match deciding {
        Some(vote) => VoteEvaluation::Decided(resolution(votes, &tally.votes, vote)),
        None => VoteEvaluation::Open(tally.tally),
    })
}

/// Whether the votes would decide by what was noted of the voters last: then it is worth asking again.
pub(super) fn would_decide(rules: &Rules, request: &AccessRequest, votes: &Votes) -> bool {
    let is_possible =
        check_decidable_in_slack(rules, request).is_ok() && check_role_coverage(rules, request).is_ok();
    let tally =
        count(rules, request, votes, |vote| Voters::default().counted_identities(vote, request, rules));
    let decision = tally.tally.decides();
    is_possible && tally.votes.iter().any(|vote| Some(vote.decision) == decision)
}

/// What was counted.
pub(super) struct CountedVotes<'a> {
    pub(super) tally: Tally,
    /// The votes that count, in their order.
    pub(super) votes: Vec<&'a Vote>,
}

/// A person who decided.
struct Participant<'a> {
    identities: IdentitySet,
    /// The first decision is the one that counts; `None` if it is unknown.
    decision: Option<Decision>,
    votes: Vec<&'a Vote>,
}

pub(super) fn count<'a>(
    rules: &Rules,
    request: &AccessRequest,
    votes: &'a Votes,
    voice: impl Fn(&Vote) -> Option<IdentitySet>,
) -> CountedVotes<'a> {
    count_with(rules, request, votes, None, voice)
}

/// What a review proposes that this version does not know.
fn unknown(review: &Review) -> Option<i32> {
    match review.proposed {
        RequestState::Unknown(number) => Some(number),
        _ => None,
    }
}

/// Counts as if reviews that propose what is not known proposed `unknown_as`. Without that they count for nothing, nor does
/// another decision of the same person.
fn count_with<'a>(
    rules: &Rules,
    request: &AccessRequest,
    votes: &'a Votes,
    unknown_as: Option<Decision>,
    voice: impl Fn(&Vote) -> Option<IdentitySet>,
) -> CountedVotes<'a> {
    let rule = rules.effective_rule(request);
    let of_thresholds = || request.thresholds.iter();
    let approvals_needed = of_thresholds().map(|t| t.approve).max().unwrap_or(1).max(rule.approvals());
    // Zero: by reviews it is never denied. Then only the rule counts.
    let soonest = of_thresholds().map(|t| t.deny).filter(|deny| *deny > 0).min().unwrap_or(1);
    let denials_needed = soonest.max(rule.denials());

    let reviews = request.reviews.iter().skip(votes.past_reviews()).filter_map(|review| {
        let decision = match unknown(review) {
            Some(_) => unknown_as,
            None => Some(Decision::of_state(review.proposed)?),
        };
        rules.check_approver(request, &review.author, &[]).ok()?;
        Some(Participant { identities: IdentitySet::user(&review.author), decision, votes: Vec::new() })
    });
    let cast = votes.open().iter().filter_map(|vote| {
        Some(Participant { identities: voice(vote)?, decision: Some(vote.decision), votes: vec![vote] })
    });
    let mut people: Vec<Participant<'a>> = Vec::new();
    for participant in reviews.chain(cast) {
        merge_participant(&mut people, participant);
    }
    let requester = IdentitySet::user(&request.user);
    people.retain(|participant| !participant.identities.overlaps(&requester));

    let count_of =
        |decision| people.iter().filter(|participant| participant.decision == Some(decision)).count();
    let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let tally = Tally {
        approvals: count_of(Decision::Approve),
        approvals_needed: many(approvals_needed),
        denials: count_of(Decision::Deny),
        denials_needed: many(denials_needed),
    };
    let counts = |vote: &&Vote| {
        let is_in =
            |participant: &Participant<'_>| participant.votes.iter().any(|own| std::ptr::eq(*own, *vote));
        people.iter().any(|participant| participant.decision == Some(vote.decision) && is_in(participant))
    };
    CountedVotes { tally, votes: votes.open().iter().filter(counts).collect() }
}

/// Adds a participant. If their identities overlap with those of one or several others, all are one person.
fn merge_participant<'a>(people: &mut Vec<Participant<'a>>, mut participant: Participant<'a>) {
    let mut first = None;
    let mut index = 0;
    while index < people.len() {
        if !people[index].identities.overlaps(&participant.identities) {
            index += 1;
            continue;
        }
        let same = people.remove(index);
        participant.identities.merge(same.identities);
        participant.votes.splice(0..0, same.votes);
        if first.is_none() {
            first = Some((index, same.decision));
        }
    }
    let (position, decision) = first.unwrap_or((people.len(), participant.decision));
    people.insert(position, Participant { decision, ..participant });
}

/// What `deciding` decided, together with those of `counted` that agree.
fn resolution(votes: &Votes, counted: &[&Vote], deciding: &Vote) -> Resolution {
    let agreeing = || counted.iter().filter(|vote| vote.decision == deciding.decision);
    let one = |text: &str| vec![text.to_owned()];
    let mut annotations = BTreeMap::from([
        ("slack_channel".to_owned(), one(deciding.channel.as_str())),
        ("slack_message_ts".to_owned(), one(deciding.ts.as_str())),
        ("slack_user".to_owned(), one(deciding.slack_user.as_str())),
        ("slack_users".to_owned(), agreeing().map(|vote| vote.slack_user.to_string()).collect()),
        ("teleport_users".to_owned(), agreeing().map(|vote| vote.user.clone()).collect()),
    ]);
    if let Some(team) = &deciding.team {
        annotations.insert("slack_team".to_owned(), one(team));
    }
    let reasons = reasons(votes);
    if !reasons.is_empty() {
        annotations.insert("slack_reasons".to_owned(), reasons);
    }
    Resolution {
        decision: deciding.decision,
        delegator: deciding.user.clone(),
        reason: deciding.reason.clone(),
        annotations,
        at: deciding.at,
    }
}

/// The reasons of all voters, whether or not their vote decides: the modal says that the reason is kept.
pub(super) fn reasons(votes: &Votes) -> Vec<String> {
    let with_reason = || votes.open().iter().filter(|vote| !vote.reason.is_empty());
    let share = MAX_ANNOTATED_REASONS_LEN / with_reason().count().max(1);
    let mut left = MAX_ANNOTATED_REASONS_LEN;
    let mut reasons = Vec::new();
    for vote in with_reason() {
        let did = match vote.decision {
            Decision::Approve => "approved",
            Decision::Deny => "denied",
        };
        let author = format!("{} {did}: ", vote.user);
        let room = share.saturating_sub(author.chars().count()).clamp(1, MAX_REASON);
        let reason = author + &truncate(&vote.reason, room);
        // Many voters with very long names alone would take more than there is.
        let Some(rest) = left.checked_sub(reason.chars().count()) else { break };
        left = rest;
        reasons.push(reason);
    }
    reasons
}

/// What a vote that is marked as the deciding one decided when it was marked; for the answer to a vote that came too late.
pub(super) fn marked(votes: &Votes) -> Option<Resolution> {
    let deciding = votes.decided_by()?;
    let counted: Vec<_> = votes.open().iter().filter(|vote| !vote.ineligible).collect();
    Some(resolution(votes, &counted, deciding))
}
