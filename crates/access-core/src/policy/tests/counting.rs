//! Who is counted, whose name stands in the answer, and what is known again when it is tried a second time.

use super::verdicts::{all_voters, decided, review, rules, rules_needing, votes};
use super::*;
use crate::domain::ids::SlackUserId;
use crate::policy::identity::tests::{bob, installation};
use crate::policy::identity::{SlackProfile, UserMapping, Users, identify};
use crate::record::votes::Votes;

#[test]
fn a_review_counts_only_of_an_approver() {
    for proposed in [RequestState::Approved, RequestState::Denied] {
        let reviews = vec![review("eve", proposed), review("bob", proposed)];
        let request = AccessRequest { reviews, ..sample() };
        let tally = tally_votes(&rules_needing(2, 2), &request, &Default::default());
        assert_eq!(tally.approvals + tally.denials, 1, "{proposed:?} by eve, in no rule");
    }
    // So one vote more is not enough.
    let reviews = vec![review("eve", RequestState::Approved)];
    let request = AccessRequest { reviews, ..sample() };
    assert_eq!(decided(&rules(), &request, &votes(&[("bob", Approve)]), &all_voters()), None);
    // A review that proposes nothing is none.
    let reviews = vec![review("bob", RequestState::Pending), review("carol", RequestState::Promoted)];
    let request = AccessRequest { reviews, ..sample() };
    assert_eq!(tally_votes(&rules(), &request, &Default::default()).approvals, 0);
}

#[test]
fn a_decision_that_no_vote_gives_is_not_evaluated_again() {
    // Two reviews approve, and the only vote denies: in whose name would it be approved?
    let reviews = vec![review("bob", RequestState::Approved), review("carol", RequestState::Approved)];
    let request = AccessRequest { reviews, ..sample() };
    let record = Record { votes: votes(&[("dave", Deny)]), ..Record::default() };
    assert_eq!(next_evaluation(&record, &request, &rules_needing(2, 2), at(9)), NextEvaluation::Never);
    let record = Record { votes: votes(&[("dave", Approve)]), ..Record::default() };
    assert_eq!(next_evaluation(&record, &request, &rules_needing(2, 2), at(9)), NextEvaluation::Now);
    // A mark that no user may apply is not due either.
    let long_term = AccessRequest { kind: RequestKind::LongTerm, ..request.clone() };
    assert_eq!(next_evaluation(&record, &long_term, &rules_needing(2, 2), at(9)), NextEvaluation::Never);
    let uncovered = AccessRequest { roles: vec!["dba".into(), "root".into()], ..request };
    assert_eq!(next_evaluation(&record, &uncovered, &rules_needing(2, 2), at(9)), NextEvaluation::Never);
}

#[test]
fn deciders_are_named_once_and_within_a_limit() {
    let proposed = RequestState::Approved;
    let request = AccessRequest {
        reviews: vec![review("bob", proposed), review("bob", proposed), review("eve", RequestState::Denied)],
        ..sample()
    };
    let mut record = Record { votes: votes(&[("bob", Approve), ("carol", Approve)]), ..Record::default() };
    assert_eq!(deciders(Some(&request), &record, Approve), ["bob"], "the votes have not decided");
    record.votes.mark_decided("carol");
    assert_eq!(deciders(Some(&request), &record, Approve), ["bob", "carol"]);
    assert_eq!(deciders(Some(&request), &record, Deny), ["eve"]);
    let reviews = (0..21).map(|n| review(&format!("u{n}"), proposed)).collect();
    let request = AccessRequest { reviews, ..sample() };
    let names = deciders(Some(&request), &Record::default(), Approve);
    assert_eq!((names.len(), names[19].as_str()), (20, "u19"));
}

#[test]
fn a_vote_whose_answer_was_lost_is_known_again() {
    let mut scene = Fixture::new(Mode::Resolver);
    let again = |scene: &mut Fixture, vote: &Vote| {
        let before = scene.record.clone();
        let result = add_vote(&mut scene.record, vote, &sample(), &scene.rules, &all_voters());
        assert_eq!(scene.record, before);
        result
    };
    let bob = Vote { at: at(10), ..vote("bob", Approve) };
    let first = add_vote(&mut scene.record, &bob, &sample(), &scene.rules, &all_voters());
    assert!(matches!(first, VoteResult::Counted(tally) if tally.approvals == 1));
    assert_eq!(again(&mut scene, &bob), first);
    // Another click of the same person is another vote.
    let later = Vote { at: at(11), ..bob.clone() };
    assert_eq!(again(&mut scene, &later), VoteResult::Duplicate(Approve));
    // The same after another vote decided: its own voter applies the deciding one, and bob sees the own vote as counted.
    let carol = Vote { at: at(12), ..vote("carol", Approve) };
    let settled = add_vote(&mut scene.record, &carol, &sample(), &scene.rules, &all_voters());
    assert!(matches!(settled, VoteResult::Decisive(_)));
    assert_eq!(again(&mut scene, &carol), settled);
    assert!(matches!(again(&mut scene, &bob), VoteResult::Counted(tally) if tally.approvals == 2));
    assert_eq!(again(&mut scene, &later), VoteResult::Duplicate(Approve));
    let later = Vote { at: at(13), ..carol };
    assert_eq!(again(&mut scene, &later), VoteResult::Duplicate(Approve));
}

#[test]
fn a_vote_keeps_only_the_persons_groups_and_the_names_that_matter() {
    let mut scene = Fixture::new(Mode::Resolver);
    let group = |id: &str| Approver::Group(id.to_owned());
    scene.rules.0[0].approvers.extend([group("S0DBA"), group("S0OPS"), group("S0SRE")]);
    scene.groups = vec!["S0OPS".into(), "S0WEB".into()];
    assert!(matches!(scene.vote("erin", Approve), VoteResult::Counted(_)));
    assert_eq!(scene.record.votes.list()[0].groups, ["S0OPS"]);
    // Erin's address is no name that any rule knows, and with rules a suggestion is none.
    scene.request.as_mut().unwrap().suggested_reviewers = vec!["erin@example.com".into()];
    let mut record = scene.record.clone();
    reevaluate(&mut record, scene.request.as_ref().unwrap(), &scene.rules, &scene.voters).unwrap();
    assert_eq!(record.votes.list()[0].aliases, [""; 0]);
    scene.rules.0[0].approvers.push(Approver::User("Erin@example.com".into()));
    reevaluate(&mut record, scene.request.as_ref().unwrap(), &scene.rules, &scene.voters).unwrap();
    assert_eq!(record.votes.list()[0].aliases, ["erin@example.com"]);
}

/// What was read of accounts that are linked and addressed like this: account, its other id, user, address.
fn read(accounts: &[(&str, &str, &str, &str)]) -> Voters {
    let mut voters = Voters::default();
    for (id, other, user, email) in accounts {
        let id = SlackUserId::new(*id);
        let profile = SlackProfile {
            id: id.clone(),
            enterprise_user_id: Some(SlackUserId::new(*other)),
            email: Some((*email).to_owned()),
            ..bob()
        };
        let links =
            UserMapping { explicit: [(id.clone(), (*user).to_owned())].into(), ..UserMapping::default() };
        let person = identify(&id, &profile, &installation(), &links, Users::Unreadable, at(0)).unwrap();
        voters.insert(id, Some(Voter { reviewer: person, groups: vec![] }));
    }
    voters
}

fn by(user: &str, account: &str) -> Vote {
    Vote { slack_user: SlackUserId::new(account), ..vote(user, Approve) }
}

fn taken(list: &[Vote]) -> Votes {
    let mut votes = Votes::default();
    list.iter().for_each(|vote| assert!(votes.push(vote)));
    votes
}

#[test]
fn two_ids_of_one_account_are_one_person() {
    // A link was changed between the two reads.
    let rules = Rules(vec![rule(&["dba"], &["bob", "robert"], 2)]);
    let both = taken(&[by("bob", "U0BOB"), by("robert", "W0BOB")]);
    let one = read(&[("U0BOB", "W0BOB", "bob", "b@x"), ("W0BOB", "U0BOB", "robert", "r@x")]);
    assert_eq!(decided(&rules, &sample(), &both, &one), None);
    let two = read(&[("U0BOB", "W0BERT", "bob", "b@x"), ("W0BOB", "U0BERT", "robert", "r@x")]);
    assert!(decided(&rules, &sample(), &both, &two).is_some());
}

#[test]
fn an_account_of_the_requester_does_not_count() {
    // Bob's account has the requester's address, and carol's account has bob's.
    let rules = Rules(vec![rule(&["dba"], &["bob@x", "carol@x"], 1)]);
    let both = taken(&[by("bob@x", "U0BOB"), by("carol@x", "U0CAROL")]);
    let now = read(&[("U0BOB", "W1", "bob@x", "alice@example.com"), ("U0CAROL", "W2", "carol@x", "bob@x")]);
    assert_eq!(decided(&rules, &sample(), &both, &now), None);
    let now = read(&[("U0BOB", "W1", "bob@x", "alice@example.com"), ("U0CAROL", "W2", "carol@x", "carol@x")]);
    assert_eq!(decided(&rules, &sample(), &both, &now), Some((Approve, "carol@x".into())));
}
