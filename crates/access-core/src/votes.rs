//! Decisions made in Slack where the daemon itself counts them: kept in the record under `x_votes`.
//!
//! The list only grows, in the order in which compare-and-swap let the votes in. It has two parts: votes of the
//! past, which Teleport was seen to have decided upon and which count no more, and those that are open. Among the
//! open ones every reader sees the same first vote of a person and the same deciding vote. Who may vote and how many
//! are needed is [`crate::policy`]'s; that file alone adds votes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::{Decision, MAX_REASON};
use crate::ids::{ChannelId, MessageTs, SlackUserId, is_plain};
use crate::record::cut;

/// No request keeps more votes: as many as a rule may ask for.
pub const MAX_VOTES: usize = 100;
/// Nobody with a longer Teleport user name can vote, in characters. A cut name would be somebody else's.
pub const MAX_USER: usize = 128;
/// All reasons together, in characters; later ones are cut shorter.
const MAX_REASONS: usize = 20_000;
/// User groups kept of one vote. They are for showing a count only; a decision asks Slack.
pub(crate) const MAX_GROUPS: usize = 8;
/// Other names kept of one voter, for showing a count only.
pub(crate) const MAX_ALIASES: usize = 8;
/// The version of the text while no vote is of the past.
const VERSION: u32 = 1;
/// The version with votes of the past. Releases that know only the first leave such votes alone, and add none.
const VERSION_WITH_PAST: u32 = 2;

/// One person's decision in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The Teleport user.
    #[serde(rename = "u")]
    pub user: String,
    /// The Slack person.
    #[serde(rename = "s")]
    pub slack_user: SlackUserId,
    /// The Slack workspace.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Where the message is on which it was made.
    #[serde(rename = "c")]
    pub channel: ChannelId,
    /// Which it is.
    #[serde(rename = "m")]
    pub ts: MessageTs,
    /// What was decided.
    #[serde(rename = "d")]
    pub decision: Decision,
    /// Why; may be empty.
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When the daemon took it.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// The Slack user groups that made the person one whom the rules name, when that was last asked.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Other Teleport users whom the rules name and who were the same person, when that was last asked.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whether the account was not to be trusted with it any more, or another's, when that was last asked.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
}

impl Vote {
    /// Whether it is the same vote, read back from the record, where the reason may have been cut.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let name = |vote: &Self| (vote.user.clone(), vote.slack_user.clone(), vote.decision, vote.at);
        name(self) == name(other)
    }

    fn is_storable(&self) -> bool {
        let ids = [self.slack_user.as_str(), self.channel.as_str(), self.ts.as_str()];
        let others = self.team.iter().chain(&self.groups).map(String::as_str);
        let is_name = |name: &String| !name.is_empty() && name.chars().nth(MAX_USER).is_none();
        is_name(&self.user)
            && self.groups.len() <= MAX_GROUPS
            && self.aliases.len() <= MAX_ALIASES
            && self.aliases.iter().all(is_name)
            && ids.into_iter().chain(others).all(is_plain)
    }
}

/// The votes of one request; of those that are open at most one a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    list: Vec<Vote>,
    settled_by: Option<usize>,
    past: Past,
}

/// How many votes and reviews are of the past: Teleport decided the request since, and it was opened again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Past {
    votes: usize,
    reviews: usize,
}

/// As kept.
#[derive(Serialize, Deserialize)]
struct Text {
    v: u32,
    l: Vec<Vote>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    settled_by: Option<usize>,
    /// Votes of the past.
    #[serde(rename = "p", default, skip_serializing_if = "is_none")]
    past_votes: usize,
    /// Reviews of the past.
    #[serde(rename = "q", default, skip_serializing_if = "is_none")]
    past_reviews: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Votes {
    /// All of them, in the order in which they were let in; for telling them. What counts is [`Votes::open`].
    pub fn list(&self) -> &[Vote] {
        &self.list
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
    pub fn settled_by(&self) -> Option<&Vote> {
        self.list.get(self.settled_by?)
    }

    /// The open vote of a person, found by the Teleport user and by the Slack person: a changed link does not give
    /// anybody a second vote.
    pub fn of(&self, user: &str, slack_user: &SlackUserId) -> Option<&Vote> {
        self.open().iter().find(|vote| vote.user == user || vote.slack_user == *slack_user)
    }

    /// An open vote that has only the Teleport user, or only the Slack person, in common with these: one of the two
    /// links has changed since, or two lead to one user.
    pub(crate) fn of_another(&self, user: &str, slack_user: &SlackUserId) -> Option<&Vote> {
        self.open().iter().find(|vote| (vote.user == user) != (vote.slack_user == *slack_user))
    }

    /// Makes an open vote a thing of the past, so that the person to whom the link leads now has one.
    pub(crate) fn retire(&mut self, vote: &Vote) {
        let Some(index) = self.open().iter().position(|open| open == vote) else { return };
        let vote = self.list.remove(self.past.votes + index);
        self.list.insert(self.past.votes, vote);
        self.past.votes += 1;
        self.settled_by = None;
    }

    /// Whether this very vote is in.
    pub(crate) fn holds(&self, vote: &Vote) -> bool {
        self.open().iter().any(|stored| stored.is(vote))
    }

    /// Takes a vote of somebody who has none. `false` if it cannot be kept.
    pub(crate) fn push(&mut self, vote: &Vote) -> bool {
        let fits = self.list.len() < MAX_VOTES && vote.is_storable();
        if fits && self.of(&vote.user, &vote.slack_user).is_none() {
            let used: usize = self.list.iter().map(|vote| vote.reason.chars().count()).sum();
            let room = MAX_REASONS.saturating_sub(used).min(MAX_REASON);
            // Control characters take six bytes in JSON and show nothing.
            let plain: String =
                vote.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(room + 1).collect();
            let reason = if room == 0 { String::new() } else { cut(&plain, room) };
            self.list.push(Vote { reason, ..vote.clone() });
            return true;
        }
        false
    }

    /// Lets what was just asked of the voters be noted in the open votes: groups, aliases, and whether each lapsed.
    pub(crate) fn note(&mut self, note: impl Fn(&mut Vote)) {
        for vote in self.list.iter_mut().skip(self.past.votes) {
            let mut noted = vote.clone();
            note(&mut noted);
            if noted.is_storable() {
                *vote = noted;
            }
        }
    }

    /// Marks the open vote of `user` as the one that completed what was needed.
    pub(crate) fn settle(&mut self, user: &str) {
        let is_theirs = |vote: &Vote| vote.user == user;
        self.settled_by = self.open().iter().position(is_theirs).map(|index| self.past.votes + index);
    }

    /// Takes that mark away: what completed it does not hold any more.
    pub(crate) fn unsettle(&mut self) {
        self.settled_by = None;
    }

    /// Makes all votes, and as many reviews, a thing of the past: the request was decided and waits again.
    pub(crate) fn reopen(&mut self, reviews: usize) {
        self.settled_by = None;
        self.past = Past { votes: self.list.len(), reviews: self.past.reviews.max(reviews) };
    }

    /// Reads what [`Votes::encode`] wrote. `None` for anything else: votes that are understood in part would be
    /// miscounted.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let Text { v, l: list, settled_by, past_votes, past_reviews } = serde_json::from_str(text).ok()?;
        let votes = Self { list, settled_by, past: Past { votes: past_votes, reviews: past_reviews } };
        let expected = votes.version();
        let mut voters = BTreeSet::new();
        let mut is_new = |vote: &Vote| {
            let names = [format!("user {}", vote.user), format!("account {}", vote.slack_user)];
            names.into_iter().all(|name| voters.insert(name))
        };
        let is_whole = v == expected
            && votes.list.len() <= MAX_VOTES
            && past_votes <= votes.list.len()
            && votes.settled_by.is_none_or(|index| (past_votes..votes.list.len()).contains(&index))
            && votes.list.iter().all(Vote::is_storable)
            && votes.open().iter().all(&mut is_new);
        is_whole.then_some(votes)
    }

    fn version(&self) -> u32 {
        if self.past == Past::default() { VERSION } else { VERSION_WITH_PAST }
    }

    /// As kept; empty if there are none.
    pub(crate) fn encode(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let Past { votes: past_votes, reviews: past_reviews } = self.past;
        let (v, settled_by) = (self.version(), self.settled_by);
        let text = Text { v, l: self.list.clone(), settled_by, past_votes, past_reviews };
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
        lapsed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Approve, Deny};

    fn votes(list: &[Vote]) -> Votes {
        let mut votes = Votes::default();
        list.iter().for_each(|vote| assert!(votes.push(vote)));
        votes
    }

    #[test]
    fn votes_are_kept_in_a_short_text() {
        let mut two = votes(&[vote("bob@example.com", Approve), vote("carol@example.com", Deny)]);
        two.settle("carol@example.com");
        insta::assert_snapshot!(two.encode(), @r#"{"v":1,"l":[{"u":"bob@example.com","s":"U0BOB","w":"T0US","c":"C0TEAM","m":"1795363190.000001","d":"approve","r":"looks fine","t":"2027-01-15T08:01:40Z"},{"u":"carol@example.com","s":"U0CAROL","w":"T0US","c":"C0TEAM","m":"1795363190.000001","d":"deny","r":"looks fine","t":"2027-01-15T08:01:40Z"}],"s":1}"#);
        assert_eq!(Votes::decode(&two.encode()), Some(two));
        assert_eq!(Votes::default().encode(), "");
    }

    #[test]
    fn a_person_has_one_vote_under_either_name() {
        let mut one = votes(&[vote("bob", Approve)]);
        assert!(!one.push(&vote("bob", Deny)));
        assert!(!one.push(&Vote { slack_user: SlackUserId::new("U0OTHER"), ..vote("bob", Approve) }));
        assert!(!one.push(&Vote { user: "robert".into(), ..vote("bob", Approve) }));
        assert_eq!(one.list(), [vote("bob", Approve)]);
    }

    #[test]
    fn the_deciding_vote_is_marked_and_the_mark_can_go() {
        let mut two = votes(&[vote("bob", Approve), vote("carol", Approve)]);
        two.settle("nobody");
        assert_eq!(two.settled_by(), None);
        two.settle("carol");
        assert_eq!(two.settled_by(), Some(&vote("carol", Approve)));
        two.unsettle();
        assert_eq!(two.settled_by(), None);
    }

    #[test]
    fn votes_of_the_past_stay_and_count_no_more() {
        let mut all = votes(&[vote("bob", Approve), vote("carol", Approve)]);
        all.settle("carol");
        all.reopen(3);
        assert_eq!((all.open(), all.settled_by(), all.past_reviews()), (&[][..], None, 3));
        assert_eq!(all.list().len(), 2);
        assert!(all.of("bob", &vote("bob", Approve).slack_user).is_none());
        assert!(!all.holds(&vote("bob", Approve)));
        // The same people may vote again, and differently.
        assert!(all.push(&vote("carol", Deny)));
        assert!(!all.push(&vote("carol", Approve)));
        all.settle("bob");
        assert_eq!(all.settled_by(), None, "the vote is of the past");
        all.settle("carol");
        assert_eq!((all.settled_by(), all.open()), (Some(&vote("carol", Deny)), &[vote("carol", Deny)][..]));
        all.note(|vote| vote.lapsed = true);
        assert_eq!(all.list().iter().map(|vote| vote.lapsed).collect::<Vec<_>>(), [false, false, true]);
        let text = all.encode();
        assert!(text.starts_with("{\"v\":2,"), "releases that know no past leave it alone: {text}");
        assert_eq!(Votes::decode(&text), Some(all.clone()));
        // Fewer reviews are a list that lags.
        all.reopen(1);
        assert_eq!(all.past_reviews(), 3);

        let mut reviewed = Votes::default();
        reviewed.reopen(2);
        assert_eq!(Votes::decode(&reviewed.encode()), Some(reviewed));
    }

    #[test]
    fn a_vote_that_makes_room_goes_to_the_past_and_nobody_elses_does() {
        let people = ["alice", "bob", "carol", "dave", "erin"];
        let mut all = votes(&people[..2].iter().map(|user| vote(user, Approve)).collect::<Vec<_>>());
        all.reopen(0);
        people[2..].iter().for_each(|user| assert!(all.push(&vote(user, Approve))));
        all.settle("erin");
        let users = |votes: &[Vote]| votes.iter().map(|vote| vote.user.clone()).collect::<Vec<_>>();
        all.retire(&vote("dave", Deny));
        assert_eq!(users(all.open()), people[2..], "no such vote is open");
        all.retire(&vote("dave", Approve));
        assert_eq!(users(all.list()), ["alice", "bob", "dave", "carol", "erin"]);
        assert_eq!((users(all.open()), all.settled_by()), (vec!["carol".into(), "erin".into()], None));
        assert!(all.push(&vote("dave", Deny)));
    }

    #[test]
    fn a_reason_is_kept_whole_or_its_cut_is_seen() {
        let kept = |reason: String| {
            let mut votes = Votes::default();
            assert!(votes.push(&Vote { reason, ..vote("bob", Approve) }));
            votes.list[0].reason.clone()
        };
        let whole = "🔥".repeat(MAX_REASON);
        assert_eq!(kept(whole.clone()), whole);
        assert_eq!(kept(format!("{whole}🔥")), format!("{}…", "🔥".repeat(MAX_REASON - 1)));
        assert_eq!(kept("one\ntwo".to_owned()), "one two");
    }

    #[test]
    fn what_was_noted_of_a_voter_is_kept_if_it_can_be() {
        let mut one = votes(&[vote("bob", Approve)]);
        one.note(|vote| {
            vote.groups = vec!["S0DBA".into(); MAX_GROUPS];
            vote.aliases = vec!["robert".into(); MAX_ALIASES];
        });
        assert_eq!((one.list()[0].groups.len(), one.list()[0].aliases.len()), (MAX_GROUPS, MAX_ALIASES));
        assert_eq!(Votes::decode(&one.encode()), Some(one.clone()));
        let before = one.clone();
        one.note(|vote| vote.groups.push("S1".into()));
        one.note(|vote| vote.aliases.push("bert".into()));
        one.note(|vote| vote.aliases[0] = String::new());
        assert_eq!(one, before);
    }

    #[test]
    fn what_cannot_be_kept_whole_is_not_kept() {
        let mut none = Votes::default();
        for odd in [
            Vote { user: "u".repeat(129), ..vote("bob", Approve) },
            Vote { user: String::new(), ..vote("bob", Approve) },
            Vote { team: Some("T 1".into()), ..vote("bob", Approve) },
            Vote { groups: vec!["S1".into(); 9], ..vote("bob", Approve) },
            Vote { channel: ChannelId::new("C".repeat(65)), ..vote("bob", Approve) },
        ] {
            assert!(!none.push(&odd), "{odd:?}");
        }
        let mut many = Votes::default();
        for n in 0..=MAX_VOTES {
            let reason = "\u{1}🔥".repeat(10_000);
            let user = format!("{}{n}", "🔥".repeat(MAX_USER - 3));
            let kept = many.push(&Vote { user, reason, ..vote(&format!("u{n}"), Approve) });
            assert_eq!(kept, n < MAX_VOTES, "{n}");
        }
        let text = many.encode();
        assert!(text.len() < 150_000, "{}", text.len());
        assert_eq!(Votes::decode(&text), Some(many));
    }

    #[test]
    fn votes_are_read_whole_or_not_at_all() {
        let good = votes(&[vote("bob", Approve), vote("carol", Deny)]).encode();
        assert!(Votes::decode(&good).is_some());
        for bad in [
            "kept".to_owned(),
            "{}".to_owned(),
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("carol", "bob").replace("CAROL", "BOB2"),
            good.replace("CAROL", "BOB"),
            good.replace("approve", "perhaps"),
            good.replace("]}", "],\"s\":2}"),
            good.replace("]}", "],\"p\":1}"),
            good.replace("\"v\":1", "\"v\":2").replace("]}", "],\"p\":3}"),
            good.replace("\"v\":1", "\"v\":2").replace("]}", "],\"s\":0,\"p\":1}"),
            good.replace("\"C0TEAM\"", "\"C0 TEAM\""),
            good.replace("2027-01-15", "2027-13-15"),
        ] {
            assert_ne!(bad, good);
            assert_eq!(Votes::decode(&bad), None, "{bad}");
        }
    }
}
