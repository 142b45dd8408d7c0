//! Taking votes, keeping them, and making them a thing of the past.

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
    two.mark_decided("carol@example.com");
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
    two.mark_decided("unknown");
    assert_eq!(two.decided_by(), None);
    two.mark_decided("carol");
    assert_eq!(two.decided_by(), Some(&vote("carol", Approve)));
    two.clear_decided();
    assert_eq!(two.decided_by(), None);
}

#[test]
fn votes_of_the_past_stay_and_count_no_more() {
    let mut all = votes(&[vote("bob", Approve), vote("carol", Approve)]);
    all.mark_decided("carol");
    all.reopen(3);
    assert_eq!((all.open(), all.decided_by(), all.past_reviews()), (&[][..], None, 3));
    assert_eq!(all.list().len(), 2);
    assert!(all.find("bob", &vote("bob", Approve).slack_user).is_none());
    assert!(!all.contains(&vote("bob", Approve)));
    // The same people may vote again, and differently.
    assert!(all.push(&vote("carol", Deny)));
    assert!(!all.push(&vote("carol", Approve)));
    all.mark_decided("bob");
    assert_eq!(all.decided_by(), None, "the vote is of the past");
    all.mark_decided("carol");
    assert_eq!((all.decided_by(), all.open()), (Some(&vote("carol", Deny)), &[vote("carol", Deny)][..]));
    all.annotate_open(|vote| vote.ineligible = true);
    assert_eq!(all.list().iter().map(|vote| vote.ineligible).collect::<Vec<_>>(), [false, false, true]);
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
fn votes_of_the_past_make_room_for_those_that_count() {
    let mut all = votes(&[vote("bob", Deny)]);
    for round in 0..3 * MAX_VOTES {
        all.reopen(0);
        assert!(all.push(&vote("bob", Approve)), "round {round}");
        assert_eq!((all.open().len(), all.count()), (1, round + 2));
        assert!(all.list().len() <= MAX_VOTES);
        assert_eq!(Votes::decode(&all.encode()), Some(all.clone()));
    }
    // A thread that shows 300 of them lacks only the last.
    let numbers: Vec<_> = all.numbered().map(|(number, _)| number).collect();
    assert_eq!(numbers, (202..=301).collect::<Vec<_>>());
    assert!(all.encode().starts_with("{\"v\":3,"), "others would count the replies from another start");
    // As many as a rule may ask for can vote now, and no more.
    for n in 1..MAX_VOTES {
        assert!(all.push(&vote(&format!("u{n}"), Approve)), "{n}");
    }
    all.mark_decided("bob");
    assert_eq!(all.decided_by(), Some(&vote("bob", Approve)));
    assert!(!all.push(&vote("one too many", Approve)) && !all.push(&vote("more", Approve)));
    assert_eq!((all.open().len(), all.count()), (MAX_VOTES, 400));
    assert_eq!(Votes::decode(&all.encode()), Some(all));
}

#[test]
fn reasons_of_the_past_make_room_for_those_that_count() {
    let long = |user: &str| Vote { reason: "é".repeat(MAX_REASON), ..vote(user, Approve) };
    let mut all = Votes::default();
    for n in 0..MAX_TOTAL_REASON_LEN / MAX_REASON {
        assert!(all.push(&long(&format!("u{n}"))));
    }
    let full = all.clone();
    assert!(all.push(&long("late")));
    assert_eq!(all.open().last().unwrap().reason, "", "none is of the past");
    all = full;
    all.reopen(0);
    assert!(all.push(&long("late")));
    assert_eq!(all.open()[0].reason.chars().count(), MAX_REASON);
    assert_eq!((all.list().len(), all.count()), (20, 21), "no more went than was needed");
    // Where those of the past are not in the way, they stay.
    let mut quiet = votes(&[Vote { reason: String::new(), ..vote("bob", Approve) }]);
    quiet.reopen(0);
    for n in 0..=MAX_TOTAL_REASON_LEN / MAX_REASON {
        assert!(quiet.push(&long(&format!("u{n}"))));
    }
    assert_eq!(quiet.list().len(), quiet.count());
}

#[test]
fn only_a_vote_that_makes_room_becomes_a_past_vote() {
    let people = ["alice", "bob", "carol", "dave", "erin"];
    let mut all = votes(&people[..2].iter().map(|user| vote(user, Approve)).collect::<Vec<_>>());
    all.reopen(0);
    people[2..].iter().for_each(|user| assert!(all.push(&vote(user, Approve))));
    all.mark_decided("erin");
    let users = |votes: &[Vote]| votes.iter().map(|vote| vote.user.clone()).collect::<Vec<_>>();
    all.retire(&vote("dave", Deny));
    assert_eq!(users(all.open()), people[2..], "no such vote is open");
    all.retire(&vote("dave", Approve));
    assert_eq!(users(all.list()), ["alice", "bob", "dave", "carol", "erin"]);
    assert_eq!((users(all.open()), all.decided_by()), (vec!["carol".into(), "erin".into()], None));
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
fn groups_and_aliases_of_a_voter_are_kept_if_they_fit() {
    let mut one = votes(&[vote("bob", Approve)]);
    one.annotate_open(|vote| {
        vote.groups = vec!["S0DBA".into(); MAX_GROUPS];
        vote.aliases = vec!["robert".into(); MAX_ALIASES];
    });
    assert_eq!((one.list()[0].groups.len(), one.list()[0].aliases.len()), (MAX_GROUPS, MAX_ALIASES));
    assert_eq!(Votes::decode(&one.encode()), Some(one.clone()));
    let before = one.clone();
    one.annotate_open(|vote| vote.groups.push("S1".into()));
    one.annotate_open(|vote| vote.aliases.push("bert".into()));
    one.annotate_open(|vote| vote.aliases[0] = String::new());
    assert_eq!(one, before);
}

#[test]
fn a_vote_that_cannot_be_kept_whole_is_not_kept() {
    let mut none = Votes::default();
    for invalid in [
        Vote { user: "u".repeat(129), ..vote("bob", Approve) },
        Vote { user: String::new(), ..vote("bob", Approve) },
        Vote { team: Some("T 1".into()), ..vote("bob", Approve) },
        Vote { groups: vec!["S1".into(); 9], ..vote("bob", Approve) },
        Vote { channel: ChannelId::new("C".repeat(65)), ..vote("bob", Approve) },
    ] {
        assert!(!none.push(&invalid), "{invalid:?}");
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

#[test]
fn votes_keep_the_newest_version_of_the_request() {
    use crate::domain::request::sample;
    let request = |revision: &str, reviews| AccessRequest {
        version: Some(Version { revision: revision.into(), reviews }),
        ..sample()
    };
    let mut one = votes(&[vote("bob", Approve)]);
    one.see(&request("r2", 1));
    // Read before the review, and written later: it does not look as if the review had gone.
    one.see(&request("r1", 0));
    assert!(!one.are_outlived(&request("r2", 1)) && one.are_outlived(&request("r3", 1)));
    assert!(!one.are_outlived(&request("r3", 2)) && !one.are_outlived(&sample()));
    let text = one.encode();
    assert!(text.ends_with(r#","w":{"r":"r2","n":1}}"#), "{text}");
    assert_eq!(Votes::decode(&text), Some(one));
    assert_eq!(Votes::decode(&text.replace("\"r2\"", "\"r 2\"")), None);
}
