//! Counting: how many approvals and denials there are, how many are needed, and what follows from it now.
//!
//! [`ruling`] is the whole verdict over all votes. It is asked again, with what was just read of the voters, before
//! every write that lets a vote decide and before every call that decides; a mark in the record alone decides
//! nothing. Taking votes in is [`super::casting`]'s.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::rules::Rules;
use super::voters::{Voice, Voters};
use super::{left_to_teleport, uncovered};
use crate::control::Decision;
use crate::ids::SlackUserId;
use crate::record::cut;
use crate::refusal::{Newer, Refusal};
use crate::request::{AccessRequest, RequestState, Review};
use crate::votes::{Vote, Votes};

/// A voter's reason in the annotations of a decision, in characters.
const MAX_NOTED_REASON: usize = 500;
/// All of them together, in characters.
const MAX_NOTED_REASONS: usize = 10_000;

/// How far the votes on a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Distinct people who approved and may.
    pub approvals: usize,
    /// Approvals that resolve.
    pub approvals_needed: usize,
    /// Distinct people who denied and may.
    pub denials: usize,
    /// Denials that resolve.
    pub denials_needed: usize,
}

impl Standing {
    /// Whether what there is of `decision` is enough.
    fn suffices(&self, decision: Decision) -> bool {
        match decision {
            Decision::Approve => self.approvals >= self.approvals_needed,
            Decision::Deny => self.denials >= self.denials_needed,
        }
    }

    /// What there is enough of. Denials are looked at first: what speaks against giving access outweighs.
    fn decides(&self) -> Option<Decision> {
        [Decision::Deny, Decision::Approve].into_iter().find(|decision| self.suffices(*decision))
    }
}

/// What is to be set in Teleport when the votes suffice (`SetAccessRequestState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The new state.
    pub decision: Decision,
    /// The Teleport user whose vote decided.
    pub delegator: String,
    /// The reason of that vote; may be empty.
    pub reason: String,
    /// Where and by whom it was decided, and why, for Teleport's audit log: each key with its values.
    pub annotations: BTreeMap<String, Vec<String>>,
    /// When it was decided.
    pub at: Timestamp,
}

/// What the votes come to at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Enough people who may agree: set this in Teleport.
    Decided(Resolution),
    /// More are needed, or nobody in Slack is there in whose name to decide.
    Open(Standing),
    /// There may be enough. These accounts must be read before that can be told.
    Unread(Vec<SlackUserId>),
}

/// How far the votes on `request` are, by what was noted of the voters last; for showing. Counted are votes in Slack
/// and reviews in Teleport of people whom the rules name. Nobody counts twice, and the requester never.
///
/// Needed are as many approvals as the strictest matching rule and every threshold of the request ask for.
pub fn standing(rules: &Rules, request: &AccessRequest, votes: &Votes) -> Standing {
    count(rules, request, votes, |vote| Voters::default().voice(vote, request, rules)).standing
}

/// What the votes on `request` come to now. `voters` is what was just read of those who voted; if it decides, then in
/// the name of `favourite` where that vote counts, else of the newest.
///
/// # Errors
/// If nobody may decide this request in Slack, or denials that cannot be judged any more stand against approving it.
pub fn ruling(
    rules: &Rules,
    request: &AccessRequest,
    votes: &Votes,
    voters: &Voters,
    favourite: Option<&Vote>,
) -> Result<Ruling, Refusal> {
    left_to_teleport(rules, request)?;
    uncovered(rules, request)?;
    let unread: Vec<_> = votes.open().iter().filter(|vote| !voters.has_read(vote)).collect();
    if !unread.is_empty() {
        // As if whoever was not read may: were even that too few, reading would change nothing.
        let at_most = count(rules, request, votes, |vote| {
            let unread = || Voice::user(&vote.user);
            if voters.has_read(vote) { voters.voice(vote, request, rules) } else { Some(unread()) }
        });
        if at_most.standing.decides().is_some() {
            return Ok(Ruling::Unread(unread.into_iter().map(|vote| vote.slack_user.clone()).collect()));
        }
    }
    let tally = count(rules, request, votes, |vote| voters.voice(vote, request, rules));
    if unread.is_empty() && tally.standing.decides() == Some(Decision::Approve) {
        let against = count_with(rules, request, votes, Some(Decision::Deny), |vote| {
            voters.voice(vote, request, rules).or_else(|| voters.gone_voice(vote, request, rules))
        });
        if against.standing.decides() != Some(Decision::Approve) {
            let mut reviews = request.reviews.iter().skip(votes.past_reviews());
            return Err(match reviews.find_map(unknown) {
                Some(number) => Refusal::Newer(Newer::Review(number)),
                None => Refusal::DenialsInDoubt,
            });
        }
    }
    let deciding = tally.standing.decides().filter(|_| unread.is_empty()).and_then(|decision| {
        let of_it = || tally.votes.iter().filter(move |vote| vote.decision == decision);
        let favourite = favourite.and_then(|favourite| of_it().find(|vote| vote.is(favourite)));
        favourite.or_else(|| of_it().next_back())
    });
    Ok(match deciding {
        Some(vote) => Ruling::Decided(resolution(votes, &tally.votes, vote)),
        None => Ruling::Open(tally.standing),
    })
}

/// Whether the votes would decide by what was noted of the voters last: then it is worth asking again.
pub(super) fn may_decide(rules: &Rules, request: &AccessRequest, votes: &Votes) -> bool {
    let is_possible = left_to_teleport(rules, request).is_ok() && uncovered(rules, request).is_ok();
    let tally = count(rules, request, votes, |vote| Voters::default().voice(vote, request, rules));
    let decision = tally.standing.decides();
    is_possible && tally.votes.iter().any(|vote| Some(vote.decision) == decision)
}

/// What was counted.
struct Tally<'a> {
    standing: Standing,
    /// The votes that count, in their order.
    votes: Vec<&'a Vote>,
}

/// Somebody who decided.
struct Somebody<'a> {
    voice: Voice,
    /// The first decision is the one that counts; `None` if nobody knows what it is.
    decision: Option<Decision>,
    votes: Vec<&'a Vote>,
}

fn count<'a>(
    rules: &Rules,
    request: &AccessRequest,
    votes: &'a Votes,
    voice: impl Fn(&Vote) -> Option<Voice>,
) -> Tally<'a> {
    count_with(rules, request, votes, None, voice)
}

/// What a review proposes that this version does not know.
fn unknown(review: &Review) -> Option<i32> {
    match review.proposed {
        RequestState::Unknown(number) => Some(number),
        _ => None,
    }
}

/// Counts as if reviews that propose what is not known proposed `doubtful`. Without that they count for nothing, nor does
/// another decision of the same person.
fn count_with<'a>(
    rules: &Rules,
    request: &AccessRequest,
    votes: &'a Votes,
    doubtful: Option<Decision>,
    voice: impl Fn(&Vote) -> Option<Voice>,
) -> Tally<'a> {
    let terms = rules.terms(request);
    let of_thresholds = || request.thresholds.iter();
    let approvals_needed = of_thresholds().map(|t| t.approve).max().unwrap_or(1).max(terms.approvals());
    // Zero: by reviews it is never denied. Then only the rule counts.
    let soonest = of_thresholds().map(|t| t.deny).filter(|deny| *deny > 0).min().unwrap_or(1);
    let denials_needed = soonest.max(terms.denials());

    let reviews = request.reviews.iter().skip(votes.past_reviews()).filter_map(|review| {
        let decision = match unknown(review) {
            Some(_) => doubtful,
            None => Some(Decision::of_state(review.proposed)?),
        };
        rules.allow(request, &review.author, &[]).ok()?;
        Some(Somebody { voice: Voice::user(&review.author), decision, votes: Vec::new() })
    });
    let cast = votes.open().iter().filter_map(|vote| {
        Some(Somebody { voice: voice(vote)?, decision: Some(vote.decision), votes: vec![vote] })
    });
    let mut people: Vec<Somebody<'a>> = Vec::new();
    for somebody in reviews.chain(cast) {
        add(&mut people, somebody);
    }
    let requester = Voice::user(&request.user);
    people.retain(|somebody| !somebody.voice.is_of(&requester));

    let of = |decision| people.iter().filter(|somebody| somebody.decision == Some(decision)).count();
    let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let standing = Standing {
        approvals: of(Decision::Approve),
        approvals_needed: many(approvals_needed),
        denials: of(Decision::Deny),
        denials_needed: many(denials_needed),
    };
    let counts = |vote: &&Vote| {
        let is_in = |somebody: &Somebody<'_>| somebody.votes.iter().any(|own| std::ptr::eq(*own, *vote));
        people.iter().any(|somebody| somebody.decision == Some(vote.decision) && is_in(somebody))
    };
    Tally { standing, votes: votes.open().iter().filter(counts).collect() }
}

/// Adds somebody, who may turn out to be one or even several of those who are there: then they are one person.
fn add<'a>(people: &mut Vec<Somebody<'a>>, mut somebody: Somebody<'a>) {
    let mut first = None;
    let mut index = 0;
    while index < people.len() {
        if !people[index].voice.is_of(&somebody.voice) {
            index += 1;
            continue;
        }
        let same = people.remove(index);
        somebody.voice.join(same.voice);
        somebody.votes.splice(0..0, same.votes);
        if first.is_none() {
            first = Some((index, same.decision));
        }
    }
    let (place, decision) = first.unwrap_or((people.len(), somebody.decision));
    people.insert(place, Somebody { decision, ..somebody });
}

/// What `settling` decided, together with those of `counted` that agree.
fn resolution(votes: &Votes, counted: &[&Vote], settling: &Vote) -> Resolution {
    let agreeing = || counted.iter().filter(|vote| vote.decision == settling.decision);
    let one = |text: &str| vec![text.to_owned()];
    let mut annotations = BTreeMap::from([
        ("slack_channel".to_owned(), one(settling.channel.as_str())),
        ("slack_message_ts".to_owned(), one(settling.ts.as_str())),
        ("slack_user".to_owned(), one(settling.slack_user.as_str())),
        ("slack_users".to_owned(), agreeing().map(|vote| vote.slack_user.to_string()).collect()),
        ("teleport_users".to_owned(), agreeing().map(|vote| vote.user.clone()).collect()),
    ]);
    if let Some(team) = &settling.team {
        annotations.insert("slack_team".to_owned(), one(team));
    }
    let reasons = reasons(votes);
    if !reasons.is_empty() {
        annotations.insert("slack_reasons".to_owned(), reasons);
    }
    Resolution {
        decision: settling.decision,
        delegator: settling.user.clone(),
        reason: settling.reason.clone(),
        annotations,
        at: settling.at,
    }
}

/// Why each of those who voted did so, whether or not their vote decides: they were told that it is kept.
fn reasons(votes: &Votes) -> Vec<String> {
    let mut left = MAX_NOTED_REASONS;
    let mut reasons = Vec::new();
    for vote in votes.open().iter().filter(|vote| !vote.reason.is_empty()) {
        let did = match vote.decision {
            Decision::Approve => "approved",
            Decision::Deny => "denied",
        };
        let reason = format!("{} {did}: {}", vote.user, cut(&vote.reason, MAX_NOTED_REASON));
        let Some(rest) = left.checked_sub(reason.chars().count()) else { break };
        left = rest;
        reasons.push(reason);
    }
    reasons
}

/// What a vote that is marked as the deciding one decided when it was marked; for telling who came too late.
pub(super) fn marked(votes: &Votes) -> Option<Resolution> {
    let settling = votes.settled_by()?;
    let counted: Vec<_> = votes.open().iter().filter(|vote| !vote.lapsed).collect();
    Some(resolution(votes, &counted, settling))
}
