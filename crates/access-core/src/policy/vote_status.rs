//! What each vote is worth at this moment and who may still decide, to explain it to people. The verdict is [`super::tally`]'s:
//! this says why it came to its count.

use super::rules::{Approver, Rules};
use super::tally::{Tally, count};
use super::voters::{IdentitySet, Voters};
use crate::domain::request::AccessRequest;
use crate::record::votes::{Vote, Votes};

/// What a vote is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteStatus {
    /// It counts.
    Counts,
    /// Teleport decided the request after it, and the request was opened again.
    Past,
    /// Slack does not know the account any more, or a user group on which it depends.
    Unverifiable,
    /// The account may not decide any more, or is linked to another Teleport user.
    Ineligible,
    /// The rules do not name its user for this request.
    NotAnApprover,
    /// It is the requester's.
    SelfReview,
    /// An earlier decision of the same person counts instead.
    Superseded,
}

/// A user or user group that may still decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// A Teleport user, by name alone.
    User(String),
    /// A Teleport user who is a member of enough of these user groups.
    UserInGroups(String, Vec<String>),
    /// Every member of a user group.
    Group(String),
}

/// How far the votes are, and what each of them is worth, in their order. `voters` is what was read of those who voted;
/// for others what was noted beside their votes counts.
pub fn vote_statuses<'a>(
    rules: &Rules,
    request: &AccessRequest,
    votes: &'a Votes,
    voters: &Voters,
) -> (Tally, Vec<(&'a Vote, VoteStatus)>) {
    let counted = count(rules, request, votes, |vote| voters.counted_identities(vote, request, rules));
    let requester = IdentitySet::user(&request.user);
    let past = votes.list().len() - votes.open().len();
    let status = |(index, vote): (usize, &'a Vote)| {
        let voice = voters.counted_identities(vote, request, rules);
        let status = if index < past {
            VoteStatus::Past
        } else if counted.votes.iter().any(|counted| std::ptr::eq(*counted, vote)) {
            VoteStatus::Counts
        } else if voters.is_gone(vote) {
            VoteStatus::Unverifiable
        } else if match voters.author_of(vote) {
            Some(author) => author.is_none(),
            None => vote.ineligible,
        } {
            VoteStatus::Ineligible
        } else {
            match voice {
                None => VoteStatus::NotAnApprover,
                Some(voice) if voice.overlaps(&requester) => VoteStatus::SelfReview,
                Some(_) => VoteStatus::Superseded,
            }
        };
        (vote, status)
    };
    let vote_statuses = votes.list().iter().enumerate().map(status).collect();
    (counted.tally, vote_statuses)
}

/// Who may still decide where the rules do: those that every matching rule names and who have neither voted nor reviewed.
/// Without any rule, the suggested reviewers. Other user names of one person are not known here.
pub fn candidates(rules: &Rules, request: &AccessRequest, votes: &Votes) -> Vec<Candidate> {
    let named: Vec<Approver> = match rules.0.is_empty() {
        true => request.suggested_reviewers.iter().cloned().map(Approver::User).collect(),
        false => rules.matching(request).flat_map(|(_, rule)| rule.approvers.clone()).collect(),
    };
    let has_decided = |user: &str| {
        user.eq_ignore_ascii_case(&request.user)
            || votes.open().iter().any(|vote| vote.user == user)
            || request.reviews.iter().skip(votes.past_reviews()).any(|review| review.author == user)
    };
    let candidate = |approver: Approver| match approver {
        Approver::User(user) if has_decided(&user) => None,
        Approver::User(user) => match rules.check_approver(request, &user, &[]) {
            Ok(()) => Some(Candidate::User(user)),
            Err(_) => {
                let groups: Vec<String> =
                    rules.groups_to_check(request, &user).into_iter().map(str::to_owned).collect();
                rules.check_approver(request, &user, &groups).ok()?;
                Some(Candidate::UserInGroups(user, groups))
            }
        },
        Approver::Group(group) => {
            rules.check_approver(request, "", std::slice::from_ref(&group)).ok()?;
            Some(Candidate::Group(group))
        }
    };
    let mut found: Vec<Candidate> = Vec::new();
    for candidate in named.into_iter().filter_map(candidate) {
        if !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Decision;
    use crate::domain::ids::SlackUserId;
    use crate::domain::request::{RequestState, Review, sample};
    use crate::domain::role_pattern::RolePattern;
    use crate::policy::{ReasonPolicy, Rule};
    use crate::record::votes::vote;

    const BOB: &str = "bob@example.com";
    const CAROL: &str = "carol@example.com";
    const DAVE: &str = "dave@example.com";

    fn rule(roles: &str, approvers: &[&str]) -> Rule {
        let approver = |name: &&str| match name.strip_prefix('@') {
            Some(group) => Approver::Group(group.to_owned()),
            None => Approver::User((*name).to_owned()),
        };
        Rule {
            roles: vec![RolePattern::parse(roles).unwrap()],
            approvers: approvers.iter().map(approver).collect(),
            approvals: 2,
            denials: 1,
            reason: ReasonPolicy::Off,
            confirm: false,
            teleport_only: false,
        }
    }

    fn cast(votes: &mut Votes, given: Vote) {
        assert!(votes.push(&given));
    }

    fn kinds(found: &(Tally, Vec<(&Vote, VoteStatus)>)) -> Vec<VoteStatus> {
        found.1.iter().map(|(_, status)| *status).collect()
    }

    #[test]
    fn each_vote_says_why_it_counts_or_not() {
        let rules = Rules(vec![rule("dba", &[BOB, CAROL, DAVE, "alice@example.com"])]);
        let mut votes = Votes::default();
        cast(&mut votes, vote("old@example.com", Decision::Deny));
        votes.reopen(0);
        cast(&mut votes, vote(BOB, Decision::Approve));
        cast(&mut votes, vote("erin@example.com", Decision::Approve));
        cast(&mut votes, vote("alice@example.com", Decision::Approve));
        cast(&mut votes, Vote { ineligible: true, ..vote(CAROL, Decision::Approve) });
        cast(&mut votes, vote(DAVE, Decision::Approve));
        let review = Review {
            author: DAVE.into(),
            proposed: RequestState::Denied,
            reason: String::new(),
            created: None,
        };
        let request = AccessRequest { reviews: vec![review], ..sample() };
        let found = vote_statuses(&rules, &request, &votes, &Voters::default());
        use VoteStatus::*;
        assert_eq!(kinds(&found), [Past, Counts, NotAnApprover, SelfReview, Ineligible, Superseded]);
        assert_eq!((found.0.approvals, found.0.approvals_needed, found.0.denials), (1, 2, 1));
        // What was read now outweighs what was noted.
        let mut voters = Voters::default();
        voters.insert(SlackUserId::new("U0BOB"), None);
        voters.insert_gone(SlackUserId::new("U0DAVE"), None);
        let found = vote_statuses(&rules, &request, &votes, &voters);
        assert_eq!(kinds(&found), [Past, Ineligible, NotAnApprover, SelfReview, Ineligible, Unverifiable]);
        assert_eq!(found.0.approvals, 0);
    }

    #[test]
    fn only_votes_from_before_the_last_decision_are_of_the_past() {
        let rules = Rules(vec![rule("dba", &[BOB, CAROL, DAVE])]);
        let mut votes = Votes::default();
        cast(&mut votes, vote(BOB, Decision::Deny));
        cast(&mut votes, vote(CAROL, Decision::Approve));
        votes.reopen(0);
        cast(&mut votes, vote(DAVE, Decision::Approve));
        let found = vote_statuses(&rules, &sample(), &votes, &Voters::default());
        assert_eq!(kinds(&found), [VoteStatus::Past, VoteStatus::Past, VoteStatus::Counts]);
    }

    #[test]
    fn those_that_every_rule_names_and_who_have_not_decided_may() {
        let rules = Rules(vec![
            rule("dba", &[BOB, CAROL, "@S0DBA", DAVE]),
            rule("*", &[BOB, "@S0ALL", "@S0DBA"]),
            rule("web", &["erin@example.com"]),
        ]);
        let request = sample();
        let mut votes = Votes::default();
        let in_groups =
            |user: &str| Candidate::UserInGroups(user.into(), vec!["S0ALL".into(), "S0DBA".into()]);
        assert_eq!(
            candidates(&rules, &request, &votes),
            [
                Candidate::User(BOB.into()),
                in_groups(CAROL),
                Candidate::Group("S0DBA".into()),
                in_groups(DAVE)
            ]
        );
        let review = Review {
            author: BOB.into(),
            proposed: RequestState::Approved,
            reason: String::new(),
            created: None,
        };
        let reviewed = AccessRequest { reviews: vec![review], ..sample() };
        assert_eq!(
            candidates(&rules, &reviewed, &votes),
            [in_groups(CAROL), Candidate::Group("S0DBA".into()), in_groups(DAVE)]
        );
        cast(&mut votes, vote(BOB, Decision::Approve));
        cast(&mut votes, vote(DAVE, Decision::Approve));
        assert_eq!(
            candidates(&rules, &request, &votes),
            [in_groups(CAROL), Candidate::Group("S0DBA".into())]
        );
        let own = AccessRequest { user: CAROL.into(), ..sample() };
        assert!(!candidates(&rules, &own, &votes).contains(&in_groups(CAROL)));
        assert_eq!(candidates(&Rules::default(), &request, &votes), []);
        let suggested = AccessRequest { suggested_reviewers: vec![CAROL.into()], ..sample() };
        assert_eq!(candidates(&Rules::default(), &suggested, &votes), [Candidate::User(CAROL.into())]);
    }
}
