//! Decisions made in Slack where the daemon itself counts them: kept in the record under `x_votes`.
//!
//! The list only grows, in the order in which compare-and-swap let the votes in, so every reader sees the same
//! first vote of a person and the same deciding vote. Who may vote and how many are needed is
//! [`crate::policy`]'s; that file alone adds votes.

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
/// User groups kept of one vote.
pub(crate) const MAX_GROUPS: usize = 8;
/// The version of the text.
const VERSION: u32 = 1;

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
    /// The Slack user groups named by the rules that the person was in.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
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
        let is_name = !self.user.is_empty() && self.user.chars().nth(MAX_USER).is_none();
        is_name && self.groups.len() <= MAX_GROUPS && ids.into_iter().chain(others).all(is_plain)
    }
}

/// The votes of one request, at most one a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    list: Vec<Vote>,
    settled_by: Option<usize>,
}

/// As kept.
#[derive(Serialize, Deserialize)]
struct Text {
    v: u32,
    l: Vec<Vote>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    settled_by: Option<usize>,
}

impl Votes {
    /// In the order in which they were let in.
    pub fn list(&self) -> &[Vote] {
        &self.list
    }

    /// The vote that completed what was needed; from it on the request is to be resolved, and no further vote
    /// is taken.
    pub fn settled_by(&self) -> Option<&Vote> {
        self.list.get(self.settled_by?)
    }

    /// The vote of a person, found by the Teleport user and by the Slack person: a changed link does not give
    /// anybody a second vote.
    pub fn of(&self, user: &str, slack_user: &SlackUserId) -> Option<&Vote> {
        self.list.iter().find(|vote| vote.user == user || vote.slack_user == *slack_user)
    }

    /// Whether this very vote is in.
    pub(crate) fn holds(&self, vote: &Vote) -> bool {
        self.list.iter().any(|stored| stored.is(vote))
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

    /// Marks the vote of `user` as the one that completed what was needed, unless one is marked.
    pub(crate) fn settle(&mut self, user: &str) {
        if self.settled_by.is_none() {
            self.settled_by = self.list.iter().position(|vote| vote.user == user);
        }
    }

    /// Reads what [`Votes::encode`] wrote. `None` for anything else: votes that are understood in part would be
    /// miscounted.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let Text { v, l: list, settled_by } = serde_json::from_str(text).ok()?;
        let votes = Self { list, settled_by };
        let is_first = |vote: &Vote| {
            votes.of(&vote.user, &vote.slack_user).is_some_and(|first| std::ptr::eq(first, vote))
        };
        let is_whole = v == VERSION
            && votes.list.len() <= MAX_VOTES
            && votes.settled_by.is_none_or(|index| index < votes.list.len())
            && votes.list.iter().all(Vote::is_storable)
            && votes.list.iter().all(is_first);
        is_whole.then_some(votes)
    }

    /// As kept; empty if there are none.
    pub(crate) fn encode(&self) -> String {
        if self.list.is_empty() {
            return String::new();
        }
        let text = Text { v: VERSION, l: self.list.clone(), settled_by: self.settled_by };
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
    fn the_deciding_vote_is_marked_once() {
        let mut two = votes(&[vote("bob", Approve), vote("carol", Approve)]);
        two.settle("nobody");
        assert_eq!(two.settled_by(), None);
        two.settle("carol");
        two.settle("bob");
        assert_eq!(two.settled_by(), Some(&vote("carol", Approve)));
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
            good.replace("\"C0TEAM\"", "\"C0 TEAM\""),
            good.replace("2027-01-15", "2027-13-15"),
        ] {
            assert_ne!(bad, good);
            assert_eq!(Votes::decode(&bad), None, "{bad}");
        }
    }
}
