//! Decisions made in Slack where the daemon itself counts them: kept in the record under `x_votes`.
//!
//! The list grows in the order in which compare-and-swap let the votes in, and keeps each vote's number. It has two parts: votes of the
//! past, which Teleport was seen to have decided upon and which count no more, and those that are open. Among the
//! open ones every reader sees the same first vote of a person and the same deciding vote. Who may vote and how many
//! are needed is [`crate::policy`]'s; that file alone adds votes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::decision::{Decision, MAX_REASON};
use crate::domain::ids::{ChannelId, MessageTs, SlackUserId, is_id_charset};
use crate::domain::request::{AccessRequest, RequestState, Version};
use crate::domain::text::{truncate, without_controls};

/// No request keeps more votes: as many as a rule may ask for. Votes of the past give way to those that count.
pub const MAX_VOTES: usize = 100;
/// Users with a longer Teleport user name cannot vote, in characters. A cut name could be another user's.
pub const MAX_USER: usize = 128;
/// All reasons together, in characters; later ones are cut shorter. Those of the past give way, too.
const MAX_TOTAL_REASON_LEN: usize = 20_000;
/// User groups kept of one vote. They are for showing a count only; a decision asks Slack.
pub(crate) const MAX_GROUPS: usize = 8;
/// Other names kept of one voter, for showing a count only.
pub(crate) const MAX_ALIASES: usize = 8;
/// The version of the text while no vote is of the past.
const VERSION: u32 = 1;
/// The version with votes of the past. Releases that know only the first leave such votes alone, and add none.
const VERSION_WITH_PAST: u32 = 2;
/// The version without the oldest of them. Releases that know only the second would post other votes in threads.
const VERSION_WITH_GAP: u32 = 3;

/// One person's decision in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The name of the Teleport user.
    #[serde(rename = "u")]
    pub user: String,
    /// The id of the Slack account: `U…` or `W…`.
    #[serde(rename = "s")]
    pub slack_user: SlackUserId,
    /// The id of the Slack workspace, `T…`, if Slack named one.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Where the message is on which it was made.
    #[serde(rename = "c")]
    pub channel: ChannelId,
    /// The message's `ts`, its id within the conversation.
    #[serde(rename = "m")]
    pub ts: MessageTs,
    /// Whether it approves or denies.
    #[serde(rename = "d")]
    pub decision: Decision,
    /// Why; may be empty.
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When the daemon took it.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// The person's Slack user groups that the rules name, when that was last asked.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Other Teleport users of the same person that the rules name, when that was last asked.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whether the account was not to be trusted with it any more, or another's, when that was last asked.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub ineligible: bool,
}

impl Vote {
    /// Whether it is the same vote, read back from the record, where the reason may have been cut.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let name = |vote: &Self| (vote.user.clone(), vote.slack_user.clone(), vote.decision, vote.at);
        name(self) == name(other)
    }

    fn fits_limits(&self) -> bool {
        let ids = [self.slack_user.as_str(), self.channel.as_str(), self.ts.as_str()];
        let others = self.team.iter().chain(&self.groups).map(String::as_str);
        let is_name = |name: &String| !name.is_empty() && name.chars().nth(MAX_USER).is_none();
        is_name(&self.user)
            && self.groups.len() <= MAX_GROUPS
            && self.aliases.len() <= MAX_ALIASES
            && self.aliases.iter().all(is_name)
            && ids.into_iter().chain(others).all(is_id_charset)
    }
}

/// The votes of one request; of those that are open at most one a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    list: Vec<Vote>,
    decided_by: Option<usize>,
    past: Past,
    /// How many votes of the past, the oldest, were dropped to make room.
    dropped: u32,
    /// The request as it was when the newest open vote was given.
    seen: Option<Version>,
}

/// How many votes and reviews are of the past: Teleport decided the request since, and it was opened again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Past {
    votes: usize,
    reviews: usize,
}

/// As kept.
#[derive(Serialize, Deserialize)]
struct VotesJson {
    v: u32,
    l: Vec<Vote>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    decided_by: Option<usize>,
    /// Votes of the past.
    #[serde(rename = "p", default, skip_serializing_if = "is_none")]
    past_votes: usize,
    /// Reviews of the past.
    #[serde(rename = "q", default, skip_serializing_if = "is_none")]
    past_reviews: usize,
    /// Votes that were dropped.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    dropped: u32,
    /// The request when the newest vote was given.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    seen: Option<Version>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The characters of all reasons together.
fn total_reason_len(votes: &[Vote]) -> usize {
    votes.iter().map(|vote| vote.reason.chars().count()).sum()
}

impl Votes {
    /// All that are kept, in the order in which they were let in. What counts is [`Votes::open`].
    pub fn list(&self) -> &[Vote] {
        &self.list
    }

    /// The same with their numbers, for the replies. A vote keeps its number, and the first of all had 1.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Vote)> {
        (1u32..).map(|n| self.dropped.saturating_add(n)).zip(&self.list)
    }

    /// How many there have been, with those that were dropped.
    pub fn count(&self) -> usize {
        self.list.len() + usize::try_from(self.dropped).unwrap_or(usize::MAX / 2)
    }

    /// Those that count for what is to be decided now, or counted for what was decided last.
    pub fn open(&self) -> &[Vote] {
        self.list.get(self.past.votes..).unwrap_or_default()
    }

    /// How many of the request's reviews are of the past.
    pub fn past_reviews(&self) -> usize {
        self.past.reviews
    }

    /// The vote that completed what was needed; from it on the request is to be resolved, and no further vote
    /// is taken.
    pub fn decided_by(&self) -> Option<&Vote> {
        self.list.get(self.decided_by?)
    }

    /// The open vote of a person, found by the Teleport user and by the Slack person: a changed link gives
    /// no user a second vote.
    pub fn find(&self, user: &str, slack_user: &SlackUserId) -> Option<&Vote> {
        self.open().iter().find(|vote| vote.user == user || vote.slack_user == *slack_user)
    }

    /// An open vote that has only the Teleport user, or only the Slack person, in common with these: one of the two
    /// links has changed since, or two lead to one user.
    pub(crate) fn find_conflicting(&self, user: &str, slack_user: &SlackUserId) -> Option<&Vote> {
        self.open().iter().find(|vote| (vote.user == user) != (vote.slack_user == *slack_user))
    }

    /// Makes an open vote a thing of the past, so that the person to which the link leads now has one.
    pub(crate) fn retire(&mut self, vote: &Vote) {
        let Some(index) = self.open().iter().position(|open| open == vote) else { return };
        let vote = self.list.remove(self.past.votes + index);
        self.list.insert(self.past.votes, vote);
        self.past.votes += 1;
        self.decided_by = None;
    }

    /// Whether this very vote is in.
    pub(crate) fn contains(&self, vote: &Vote) -> bool {
        self.open().iter().any(|stored| stored.is_same_as(vote))
    }

    /// Takes a vote of a person who has none. `false` if it cannot be kept.
    pub(crate) fn push(&mut self, vote: &Vote) -> bool {
        let fits = self.open().len() < MAX_VOTES && vote.fits_limits();
        if !fits || self.find(&vote.user, &vote.slack_user).is_some() {
            return false;
        }
        let wanted = vote.reason.chars().take(MAX_REASON).count();
        while self.past.votes > 0 && (self.list.len() >= MAX_VOTES || self.past_must_give_way(wanted)) {
            self.list.remove(0);
            self.past.votes -= 1;
            self.dropped = self.dropped.saturating_add(1);
            self.decided_by = self.decided_by.and_then(|index| index.checked_sub(1));
        }
        let room = MAX_TOTAL_REASON_LEN.saturating_sub(total_reason_len(&self.list)).min(MAX_REASON);
        let plain: String = without_controls(&vote.reason).take(room + 1).collect();
        let reason = if room == 0 { String::new() } else { truncate(&plain, room) };
        self.list.push(Vote { reason, ..vote.clone() });
        true
    }

    /// Whether reasons of the past leave too little room for one of so many characters.
    fn past_must_give_way(&self, wanted: usize) -> bool {
        let past = self.list.get(..self.past.votes).unwrap_or_default();
        total_reason_len(past) > 0 && total_reason_len(&self.list) + wanted > MAX_TOTAL_REASON_LEN
    }

    /// Takes down what the request was, read by its id, when a vote was given.
    pub(crate) fn see(&mut self, request: &AccessRequest) {
        // With fewer reviews it was read earlier.
        let is_news = |now: &&Version| self.seen.as_ref().is_none_or(|before| before.reviews <= now.reviews);
        if let Some(now) = request.version.as_ref().filter(is_news) {
            self.seen = Some(now.clone());
        }
    }

    /// Whether the request, read by its id, waits and was written since the newest open vote was given, with nothing to
    /// show for it: it was decided and opened again, perhaps unseen by any daemon.
    pub fn are_outlived(&self, request: &AccessRequest) -> bool {
        let versions = request.version.as_ref().zip(self.seen.as_ref());
        request.state == RequestState::Pending
            && !self.open().is_empty()
            && versions.is_some_and(|(now, before)| now.is_rewritten_since(before))
    }

    /// Lets what was just asked of the voters be noted in the open votes: groups, aliases, and whether each still counts.
    pub(crate) fn annotate_open(&mut self, note: impl Fn(&mut Vote)) {
        for vote in self.list.iter_mut().skip(self.past.votes) {
            let mut noted = vote.clone();
            note(&mut noted);
            if noted.fits_limits() {
                *vote = noted;
            }
        }
    }

    /// Marks the open vote of `user` as the one that completed what was needed.
    pub(crate) fn mark_decided(&mut self, user: &str) {
        let is_theirs = |vote: &Vote| vote.user == user;
        self.decided_by = self.open().iter().position(is_theirs).map(|index| self.past.votes + index);
    }

    /// Takes that mark away: what completed it does not hold any more.
    pub(crate) fn clear_decided(&mut self) {
        self.decided_by = None;
    }

    /// Makes all votes, and as many reviews, a thing of the past: the request was decided and waits again.
    pub(crate) fn reopen(&mut self, reviews: usize) {
        self.decided_by = None;
        self.seen = None;
        self.past = Past { votes: self.list.len(), reviews: self.past.reviews.max(reviews) };
    }

    /// Reads what [`Votes::encode`] wrote. `None` for anything else: votes that are understood in part would be
    /// miscounted.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let VotesJson { v, l: list, decided_by, past_votes, past_reviews, dropped, seen } =
            serde_json::from_str(text).ok()?;
        let past = Past { votes: past_votes, reviews: past_reviews };
        let votes = Self { list, decided_by, past, dropped, seen };
        let expected = votes.version();
        let mut voters = BTreeSet::new();
        let mut is_new = |vote: &Vote| {
            let names = [format!("user {}", vote.user), format!("account {}", vote.slack_user)];
            names.into_iter().all(|name| voters.insert(name))
        };
        let is_whole = v == expected
            && votes.list.len() <= MAX_VOTES
            && past_votes <= votes.list.len()
            && votes.decided_by.is_none_or(|index| (past_votes..votes.list.len()).contains(&index))
            && votes.list.iter().all(Vote::fits_limits)
            && votes.seen.iter().all(|seen| is_id_charset(&seen.revision))
            && votes.open().iter().all(&mut is_new);
        is_whole.then_some(votes)
    }

    fn version(&self) -> u32 {
        match self {
            Self { dropped: 1.., .. } => VERSION_WITH_GAP,
            Self { past, .. } if *past == Past::default() => VERSION,
            _ => VERSION_WITH_PAST,
        }
    }

    /// As kept; empty if there are none.
    pub(crate) fn encode(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let Past { votes: past_votes, reviews: past_reviews } = self.past;
        let (v, decided_by, dropped) = (self.version(), self.decided_by, self.dropped);
        let (l, seen) = (self.list.clone(), self.seen.clone());
        let text = VotesJson { v, l, decided_by, past_votes, past_reviews, dropped, seen };
        serde_json::to_string(&text).expect("plain data has a JSON form")
    }
}

/// A vote on the sample request, for tests of this crate.
#[cfg(test)]
pub(crate) fn vote(user: &str, decision: Decision) -> Vote {
    Vote {
        user: user.into(),
        slack_user: SlackUserId::new(format!(
            "U0{}",
            user.split('@').next().unwrap_or_default().to_uppercase()
        )),
        team: Some("T0US".into()),
        channel: ChannelId::new("C0TEAM"),
        ts: MessageTs::new("1795363190.000001"),
        decision,
        reason: "looks fine".into(),
        at: Timestamp::from_second(1_800_000_100).expect("a moment"),
        groups: vec![],
        aliases: vec![],
        ineligible: false,
    }
}

#[cfg(test)]
mod tests;
