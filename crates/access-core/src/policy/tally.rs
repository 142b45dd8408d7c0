//! Counting: how many approvals and denials there are and how many are needed, and taking one vote more.
//!
//! [`cast`] is made for a compare-and-swap callback: it may run again on another copy of the record, knows its
//! own vote when it meets it, and marks the deciding vote in the same write that lets it in. So of two
//! simultaneous votes none is lost, none counts twice, and exactly one is the deciding one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::rules::Rules;
use crate::control::Decision;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::request::AccessRequest;
use crate::votes::{Vote, Votes};

/// How long whoever let the deciding vote in has the resolution to himself. After that, any visit and any click
/// may carry it out in his place.
pub const RESOLVE_GRACE: SignedDuration = SignedDuration::from_secs(30);

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
    /// Where and by whom it was decided, for Teleport's audit log: each key with its values.
    pub annotations: BTreeMap<String, Vec<String>>,
    /// When it was decided.
    pub at: Timestamp,
}

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cast {
    /// It is in, and more are needed.
    Counted(Standing),
    /// It is in, and it decided: set this in Teleport.
    Settled(Resolution),
    /// The person has a vote already; nothing changed.
    AlreadyVoted(Decision),
    /// Another vote decided before; nothing changed.
    Overtaken(Resolution),
    /// The votes in the record cannot be read, or it does not fit in; nothing changed.
    Unusable,
}

impl Cast {
    /// What to tell the person if nothing changed.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Counted(_) | Self::Settled(_) => None,
            Self::AlreadyVoted(decision) => {
                Some(Refusal::AlreadyVoted { decision: *decision, in_slack: true })
            }
            Self::Overtaken(resolution) => Some(Refusal::BeingDecided { decision: resolution.decision }),
            Self::Unusable => Some(Refusal::VotesUnusable),
        }
    }
}

/// How far the votes on `request` are: those in Slack, and the reviews in Teleport of people whom the rules
/// name. Nobody counts twice.
///
/// Needed are as many approvals as the strictest matching rule and every threshold of the request ask for.
pub fn standing(rules: &Rules, request: &AccessRequest, votes: &Votes) -> Standing {
    let terms = rules.terms(request);
    let of_thresholds = || request.thresholds.iter();
    let approvals_needed = of_thresholds().map(|t| t.approve).max().unwrap_or(1).max(terms.approvals());
    // Zero: by reviews it is never denied. Then only the rule counts.
    let soonest = of_thresholds().map(|t| t.deny).filter(|deny| *deny > 0).min().unwrap_or(1);
    let denials_needed = soonest.max(terms.denials());

    let mut approvals = BTreeSet::new();
    let mut denials = BTreeSet::new();
    let reviews = request.reviews.iter().filter_map(|review| {
        Decision::of_state(review.proposed).map(|decision| (review.author.as_str(), &[][..], decision))
    });
    let votes = votes.list().iter().map(|vote| (vote.user.as_str(), vote.groups.as_slice(), vote.decision));
    for (user, groups, decision) in reviews.chain(votes) {
        let is_requester = user.to_lowercase() == request.user.to_lowercase();
        if is_requester || approvals.contains(user) || denials.contains(user) {
            continue;
        }
        if rules.allow(request, user, groups).is_ok() {
            match decision {
                Decision::Approve => approvals.insert(user),
                Decision::Deny => denials.insert(user),
            };
        }
    }
    let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Standing {
        approvals: approvals.len(),
        approvals_needed: many(approvals_needed),
        denials: denials.len(),
        denials_needed: many(denials_needed),
    }
}

/// Takes a vote into `record`. The caller has asked [`super::decide`] whether the person may vote; `request` is
/// as Teleport listed it for that.
pub fn cast(record: &mut Record, vote: &Vote, request: &AccessRequest, rules: &Rules) -> Cast {
    if record.has_unreadable_votes() {
        return Cast::Unusable;
    }
    let votes = &mut record.votes;
    let earlier = votes.of(&vote.user, &vote.slack_user).map(|earlier| (earlier.decision, votes.holds(vote)));
    if let Some(settling) = votes.settled_by() {
        let resolution = resolution(votes, settling);
        return match earlier {
            Some((_, true)) if settling.is(vote) => Cast::Settled(resolution),
            Some((_, true)) => Cast::Counted(standing(rules, request, votes)),
            Some((decision, false)) => Cast::AlreadyVoted(decision),
            None => Cast::Overtaken(resolution),
        };
    }
    match earlier {
        // Its own from an earlier run.
        Some((_, true)) => {}
        // The same decision again, while the rules or Teleport's reviews have come to make it the deciding one.
        Some(_) if completes(rules, request, votes, vote) => {}
        Some((decision, false)) => return Cast::AlreadyVoted(decision),
        None if votes.push(vote) => {}
        None => return Cast::Unusable,
    }
    let standing = standing(rules, request, votes);
    if standing.suffices(vote.decision) {
        votes.settle(&vote.user);
    }
    match votes.settled_by() {
        Some(settling) => Cast::Settled(resolution(votes, settling)),
        None => Cast::Counted(standing),
    }
}

/// Marks a vote as the deciding one where the last that was needed was not cast in Slack but is a review in Teleport,
/// or the rules ask for less than before. The newest vote of that decision is taken; without any there is nobody in
/// whose name to decide. Returns whether anything changed.
pub fn complete(record: &mut Record, request: &AccessRequest, rules: &Rules) -> bool {
    if record.votes.settled_by().is_some() {
        return false;
    }
    let standing = standing(rules, request, &record.votes);
    let deciding = [Decision::Deny, Decision::Approve].into_iter().find_map(|decision| {
        let counts = |vote: &&Vote| {
            vote.decision == decision && rules.allow(request, &vote.user, &vote.groups).is_ok()
        };
        standing.suffices(decision).then(|| record.votes.list().iter().rev().find(counts))?
    });
    let Some(user) = deciding.map(|vote| vote.user.clone()) else { return false };
    record.votes.settle(&user);
    true
}

/// Whether the person's vote that is in already would now decide.
pub(super) fn completes(rules: &Rules, request: &AccessRequest, votes: &Votes, vote: &Vote) -> bool {
    let is_same = |stored: &Vote| {
        stored.user == vote.user && stored.slack_user == vote.slack_user && stored.decision == vote.decision
    };
    let counts = rules.allow(request, &vote.user, &vote.groups).is_ok();
    let earlier = votes.of(&vote.user, &vote.slack_user);
    earlier.is_some_and(is_same) && counts && standing(rules, request, votes).suffices(vote.decision)
}

/// What `settling` decided.
fn resolution(votes: &Votes, settling: &Vote) -> Resolution {
    let agreeing = || votes.list().iter().filter(|vote| vote.decision == settling.decision);
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
    Resolution {
        decision: settling.decision,
        delegator: settling.user.clone(),
        reason: settling.reason.clone(),
        annotations,
        at: settling.at,
    }
}

/// What the votes decided and Teleport has not done yet, and from when anybody may carry it out.
///
/// Only for a request that Teleport lists as pending, and only where the daemon resolves; whoever carries it
/// out reads the request again first.
pub fn unfinished(votes: &Votes) -> Option<(Timestamp, Resolution)> {
    let settling = votes.settled_by()?;
    let due = settling.at.checked_add(RESOLVE_GRACE).unwrap_or(Timestamp::MAX);
    Some((due, resolution(votes, settling)))
}
