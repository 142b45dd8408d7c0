//! What old votes come to now: who counts, who does not any more, and who is one person.

use super::super::voters::samples::{reviewer_by, reviewer_with};
use super::*;
use crate::domain::decision::MAX_REASON;
use crate::domain::request::Version;
use crate::record::votes::Votes;

pub(super) fn review(author: &str, proposed: RequestState) -> Review {
    Review { author: author.into(), proposed, reason: String::new(), created: None }
}

pub(super) fn votes(list: &[(&str, Decision)]) -> Votes {
    let mut votes = Votes::default();
    for (n, (user, decision)) in (0..).zip(list) {
        assert!(votes.push(&Vote { at: at(n), ..vote(user, *decision) }));
    }
    votes
}

/// Two of bob, carol and dave approve `dba`; one denies.
pub(super) fn rules() -> Rules {
    Fixture::new(Mode::Resolver).rules
}

pub(super) fn rules_needing(approvals: u32, denials: u32) -> Rules {
    let mut rules = rules();
    (rules.0[0].approvals, rules.0[0].denials) = (approvals, denials);
    rules
}

pub(super) fn all_voters() -> Voters {
    voters(&["alice@example.com", "bob", "carol", "dave", "erin", "eve"], &[])
}

#[track_caller]
pub(super) fn decided(
    rules: &Rules,
    request: &AccessRequest,
    votes: &Votes,
    voters: &Voters,
) -> Option<(Decision, String)> {
    match evaluate_votes(rules, request, votes, voters, None).unwrap() {
        VoteEvaluation::Decided(resolution) => Some((resolution.decision, resolution.delegator)),
        VoteEvaluation::Open(_) => None,
        VoteEvaluation::NeedsAccounts(accounts) => panic!("{accounts:?}"),
    }
}

fn approvals(rules: &Rules, request: &AccessRequest, votes: &Votes) -> (usize, usize) {
    let tally = tally_votes(rules, request, votes);
    (tally.approvals, tally.denials)
}

#[test]
fn the_requester_never_counts() {
    let rules = Rules(vec![rule(&["dba"], &["alice@example.com", "Alice@Example.com", "bob"], 1)]);
    let request = sample();
    for name in ["alice@example.com", "Alice@Example.com"] {
        for decision in [Approve, Deny] {
            let votes = votes(&[(name, decision)]);
            assert_eq!(approvals(&rules, &request, &votes), (0, 0), "{name} {decision:?}");
            assert_eq!(decided(&rules, &request, &votes, &voters(&[name], &[])), None, "{name} {decision:?}");
        }
        let reviewed = AccessRequest { reviews: vec![review(name, RequestState::Approved)], ..sample() };
        assert_eq!(approvals(&rules, &reviewed, &Votes::default()), (0, 0));
    }
    // Nor by a link or an address that the account goes by now.
    let mut now = Voters::default();
    let alias = Voter { reviewer: reviewer_with("bob", "ALICE@example.com"), groups: vec![] };
    now.insert(account("bob"), Some(alias));
    let votes = votes(&[("bob", Approve)]);
    assert_eq!(approvals(&rules, &request, &votes), (1, 0), "no account was read yet");
    assert_eq!(decided(&rules, &request, &votes, &now), None);
    let mut record = Record { votes, ..Record::default() };
    reevaluate(&mut record, &request, &rules, &now).unwrap();
    assert_eq!(approvals(&rules, &request, &record.votes), (0, 0));
}

#[test]
fn a_person_who_denied_does_not_approve_too() {
    let rules = rules_needing(2, 2);
    let reviewed = AccessRequest { reviews: vec![review("bob", RequestState::Denied)], ..sample() };
    assert_eq!(approvals(&rules, &reviewed, &votes(&[("bob", Approve), ("carol", Approve)])), (1, 1));
    let twice = vec![review("bob", RequestState::Denied), review("bob", RequestState::Approved)];
    let reviewed = AccessRequest { reviews: twice, ..sample() };
    assert_eq!(approvals(&rules, &reviewed, &votes(&[("carol", Approve)])), (1, 1));
    assert_eq!(decided(&rules, &reviewed, &votes(&[("carol", Approve)]), &all_voters()), None);
}

#[test]
fn denials_are_looked_at_first() {
    // The rules asked for more denials when these were given.
    let both = votes(&[("carol", Deny), ("bob", Approve), ("dave", Approve)]);
    let outcome = decided(&rules_needing(2, 1), &sample(), &both, &all_voters());
    assert_eq!(outcome, Some((Deny, "carol".into())));
    assert_eq!(
        decided(&rules_needing(2, 2), &sample(), &both, &all_voters()),
        Some((Approve, "dave".into()))
    );
}

#[test]
fn a_threshold_that_no_number_of_denials_reaches_asks_for_none() {
    let threshold = |deny| Threshold { name: String::new(), filter: String::new(), approve: 1, deny };
    let denials = |thresholds: Vec<Threshold>, asked| {
        let request = AccessRequest { thresholds, ..sample() };
        tally_votes(&rules_needing(2, asked), &request, &Votes::default()).denials_needed
    };
    assert_eq!(denials(vec![threshold(0), threshold(3)], 1), 3, "the soonest of those that deny at all");
    assert_eq!(denials(vec![threshold(3), threshold(2)], 1), 2);
    assert_eq!(denials(vec![threshold(0)], 2), 2);
    // Otherwise no denial would deny it.
    let request = AccessRequest { thresholds: vec![threshold(0)], ..sample() };
    assert_eq!(decided(&rules_needing(2, 1), &request, &votes(&[("bob", Approve)]), &all_voters()), None);
}

#[test]
fn the_decision_is_made_in_the_name_of_a_vote_that_counts() {
    let reviews = vec![review("bob", RequestState::Approved), review("carol", RequestState::Approved)];
    let request = AccessRequest { reviews, ..sample() };
    // Eve's vote is the newest, and no rule names eve; carol denied.
    let some = votes(&[("dave", Approve), ("eve", Approve)]);
    assert_eq!(decided(&rules(), &request, &some, &all_voters()), Some((Approve, "dave".into())));
    let uncounted = votes(&[("eve", Approve)]);
    assert_eq!(decided(&rules(), &request, &uncounted, &all_voters()), None, "in whose name?");
    assert_eq!(decided(&rules(), &request, &Votes::default(), &all_voters()), None);
    let mut record = Record { votes: uncounted, ..Record::default() };
    assert!(matches!(
        reevaluate(&mut record, &request, &rules(), &all_voters()),
        Ok(VoteEvaluation::Open(_))
    ));
    assert_eq!(record.votes.decided_by(), None);
    assert_eq!(next_evaluation(&record, &request, &rules(), at(9)), NextEvaluation::Never);
    // A denial is no part of an approval.
    let other = votes(&[("dave", Deny)]);
    assert_eq!(decided(&rules_needing(2, 2), &request, &other, &all_voters()), None);
}

#[test]
fn a_vote_is_given_again_only_by_the_same_person_for_the_same_decision() {
    let voted = |scene: &mut Fixture, again: &Vote| {
        add_vote(&mut scene.record, again, &sample(), &scene.rules.clone(), &all_voters())
    };
    for (again, is_same) in [
        (vote("bob", Approve), true),
        (vote("bob", Deny), false),
        (Vote { slack_user: account("erin"), ..vote("bob", Approve) }, false),
        (Vote { slack_user: account("bob"), ..vote("dave", Approve) }, false),
    ] {
        let mut scene = Fixture::new(Mode::Resolver);
        assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
        let before = scene.record.clone();
        scene.rules.0[0].approvals = 1;
        let again = Vote { at: at(50), ..again };
        let result = voted(&mut scene, &again);
        if is_same {
            assert!(matches!(result, VoteResult::Decisive(_)), "{result:?}");
        } else {
            assert_eq!(result, VoteResult::Duplicate(Approve), "{again:?}");
            assert_eq!(scene.record, before);
        }
    }
    // Nor while more is needed.
    let mut scene = Fixture::new(Mode::Resolver);
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
    let again = Vote { at: at(50), ..vote("bob", Approve) };
    assert_eq!(voted(&mut scene, &again), VoteResult::Duplicate(Approve));
    scene.assert_refused("bob", Refusal::AlreadyVoted { decision: Approve, in_slack: true });
}

#[test]
fn a_vote_by_a_former_mapping_of_the_person_makes_room() {
    // Bob's user was linked to a wrong account, or the user that bob's account was linked to was renamed.
    let by_other_account = Vote { slack_user: account("eve"), ..vote("bob", Approve) };
    let by_old_name = Vote { slack_user: account("bob"), ..vote("robert", Approve) };
    for (earlier, is_of_another) in [(by_other_account, true), (by_old_name, false)] {
        let mut scene = Fixture::new(Mode::Resolver);
        assert!(scene.record.votes.push(&earlier));
        // As long as that account is unread, nothing is taken; while its link holds, it is the one vote.
        if is_of_another {
            assert_eq!(scene.vote("bob", Deny), VoteResult::NeedsAccounts(vec![account("eve")]));
            let holds = Voter { reviewer: reviewer_by("bob", account("eve")), groups: vec![] };
            scene.voters.insert(account("eve"), Some(holds));
            assert_eq!(scene.vote("bob", Deny), VoteResult::Duplicate(Approve));
            scene.voters.insert(account("eve"), None);
        }
        assert_eq!(scene.record.votes.open(), std::slice::from_ref(&earlier));
        assert!(
            matches!(scene.vote("bob", Approve), VoteResult::Counted(s) if s.approvals == 1),
            "{earlier:?}"
        );
        assert_eq!(scene.record.votes.open().len(), 1);
        assert_eq!(scene.record.votes.list().len(), 2, "what threads show stays");
        let kept = Record::decode(&sample().id, &scene.record.encode()).0;
        assert_eq!(kept.votes, scene.record.votes);
        assert!(matches!(scene.vote("carol", Approve), VoteResult::Decisive(_)));
    }
}

#[test]
fn a_person_who_reviewed_under_any_name_has_reviewed() {
    let mut scene = Fixture::new(Mode::Reviewer);
    let reviews = vec![review("BOB@example.com", RequestState::Denied)];
    scene.request = Some(AccessRequest { reviews, ..sample() });
    scene.assert_refused("bob", Refusal::AlreadyVoted { decision: Deny, in_slack: false });
    scene.mode = Some(Mode::Resolver);
    scene.assert_refused("bob", Refusal::AlreadyVoted { decision: Deny, in_slack: false });
}

#[test]
fn a_vote_keeps_one_group_for_each_rule_that_needs_it() {
    let mut scene = Fixture::new(Mode::Resolver);
    let groups: Vec<_> = (1..=9).map(|n| format!("S0G{n}")).collect();
    let named = |groups: &[String]| groups.iter().cloned().map(Approver::Group).collect::<Vec<_>>();
    scene.rules.0[0].approvers = named(&groups[..8]);
    scene.rules.0.push(Rule { approvers: named(&groups[8..]), ..scene.rules.0[0].clone() });
    scene.groups = groups;
    let VoteResult::Counted(tally) = scene.vote("erin", Approve) else { panic!() };
    assert_eq!(tally.approvals, 1);
    assert_eq!(scene.record.votes.list()[0].groups, ["S0G1", "S0G9"]);
    assert_eq!(approvals(&scene.rules, &sample(), &scene.record.votes), (1, 0));
    // The second of them decides too.
    assert!(matches!(scene.vote("dave", Approve), VoteResult::Decisive(_)));
}

#[test]
fn unknown_values_of_a_newer_teleport_are_not_decided() {
    use crate::policy::refusal::Newer;
    for mode in [Mode::Reviewer, Mode::Resolver] {
        let mut scene = Fixture::new(mode);
        scene.request = Some(AccessRequest { state: RequestState::Unknown(7), ..sample() });
        scene.assert_refused("bob", Refusal::Newer(Newer::State(7)));
        scene.request = Some(AccessRequest { kind: RequestKind::Unknown(9), ..sample() });
        scene.assert_refused("bob", Refusal::Newer(Newer::Kind(9)));
        // Bob reviewed it in Teleport, and the decision is unknown.
        scene.request =
            Some(AccessRequest { reviews: vec![review("Bob", RequestState::Unknown(5))], ..sample() });
        scene.assert_refused("bob", Refusal::Newer(Newer::Review(5)));
    }
    // A kind that was not known when the votes were given.
    let both = votes(&[("bob", Approve), ("carol", Approve)]);
    let later = AccessRequest { kind: RequestKind::Unknown(9), ..sample() };
    let refused = Err(Refusal::Newer(Newer::Kind(9)));
    assert_eq!(evaluate_votes(&rules(), &later, &both, &all_voters(), None), refused);
    let mut record = Record { votes: both, ..Record::default() };
    record.votes.mark_decided("carol");
    assert_eq!(reevaluate(&mut record, &later, &rules(), &all_voters()), refused);
    assert_eq!(
        (record.votes.decided_by(), next_evaluation(&record, &later, &rules(), at(9))),
        (None, NextEvaluation::Never)
    );
}

#[test]
fn an_unknown_review_counts_for_nothing_and_may_be_a_denial() {
    use crate::policy::refusal::Newer;
    let reviewed =
        |author: &str| AccessRequest { reviews: vec![review(author, RequestState::Unknown(5))], ..sample() };
    let two = votes(&[("bob", Approve), ("carol", Approve)]);
    // No single denial would count, so two approve.
    let outcome = decided(&rules_needing(2, 2), &reviewed("dave"), &two, &all_voters());
    assert_eq!(outcome, Some((Approve, "carol".into())));
    let refused = Err(Refusal::Newer(Newer::Review(5)));
    assert_eq!(evaluate_votes(&rules_needing(2, 1), &reviewed("dave"), &two, &all_voters(), None), refused);
    // A person that the rules do not name denies nothing.
    let outcome = decided(&rules_needing(2, 1), &reviewed("eve"), &two, &all_voters());
    assert_eq!(outcome, Some((Approve, "carol".into())));
    // The same person's vote counts as little.
    assert_eq!(approvals(&rules_needing(2, 2), &reviewed("bob"), &two), (1, 0));
    assert_eq!(decided(&rules_needing(1, 1), &reviewed("bob"), &Votes::default(), &all_voters()), None);
}

/// These accounts are gone, or the group that made their votes count.
fn without(mut voters: Voters, gone: &[&str]) -> Voters {
    for user in gone {
        voters.insert_gone(account(user), Some(Voter { reviewer: reviewer(user), groups: vec![] }));
    }
    voters
}

/// Who is in the group decides as well.
fn and_a_group(approvals: u32, denials: u32) -> Rules {
    let mut rules = rules_needing(approvals, denials);
    rules.0[0].approvers.push(Approver::Group("S0DBA".to_owned()));
    rules
}

fn by_group(mut votes: Votes) -> Votes {
    votes.annotate_open(|vote| {
        vote.groups = if vote.user == "erin" { vec!["S0DBA".to_owned()] } else { vec![] }
    });
    votes
}

#[test]
fn an_approval_that_cannot_be_checked_counts_for_nothing() {
    let rules = and_a_group(2, 1);
    let gone = || without(all_voters(), &["erin"]);
    let two = by_group(votes(&[("erin", Approve), ("bob", Approve)]));
    assert_eq!(approvals(&rules, &sample(), &two), (2, 0), "no account was read yet");
    assert_eq!(decided(&rules, &sample(), &two, &gone()), None);
    // Nor if the rule names the person as well.
    let one = votes(&[("bob", Approve)]);
    assert_eq!(decided(&rules_needing(1, 1), &sample(), &one, &without(all_voters(), &["bob"])), None);
    let three = by_group(votes(&[("erin", Approve), ("bob", Approve), ("dave", Approve)]));
    assert_eq!(decided(&rules, &sample(), &three, &gone()), Some((Approve, "dave".into())));
    // It is noted, so that the message counts right, and so is that the group is there again.
    let mut record = Record { votes: two, ..Record::default() };
    assert!(matches!(reevaluate(&mut record, &sample(), &rules, &gone()), Ok(VoteEvaluation::Open(_))));
    assert_eq!(approvals(&rules, &sample(), &record.votes), (1, 0));
    let mut back = all_voters();
    let erin = Voter { reviewer: reviewer("erin"), groups: vec!["S0DBA".to_owned()] };
    back.insert(account("erin"), Some(erin));
    let back = decided(&rules, &sample(), &record.votes, &back);
    assert_eq!(back, Some((Approve, "bob".into())));
}

#[test]
fn a_denial_that_cannot_be_checked_denies_nothing_and_blocks_approval() {
    let rules = and_a_group(1, 2);
    for is_account_gone in [false, true] {
        let mut gone = all_voters();
        let erin = Some(Voter { reviewer: reviewer("erin"), groups: vec![] });
        gone.insert_gone(account("erin"), erin.filter(|_| !is_account_gone));
        let ask = |votes: &Votes, rules: &Rules| evaluate_votes(rules, &sample(), votes, &gone, None);
        // One of two: no approval had to fear it when it counted.
        let one = by_group(votes(&[("erin", Deny), ("bob", Approve)]));
        assert_eq!(decided(&rules, &sample(), &one, &gone), Some((Approve, "bob".into())));
        let two = by_group(votes(&[("erin", Deny), ("carol", Deny)]));
        assert_eq!(decided(&rules, &sample(), &two, &gone), None);
        let against = by_group(votes(&[("erin", Deny), ("carol", Deny), ("bob", Approve)]));
        assert_eq!(ask(&against, &rules), Err(Refusal::DenialsInDoubt));
        // It stays so when it was noted.
        let mut record = Record { votes: against.clone(), ..Record::default() };
        assert_eq!(reevaluate(&mut record, &sample(), &rules, &gone), Err(Refusal::DenialsInDoubt));
        assert_eq!(ask(&record.votes, &rules), Err(Refusal::DenialsInDoubt));
        // Another denial decides; so does it that the rules name the group no more.
        let denied = by_group(votes(&[("erin", Deny), ("carol", Deny), ("bob", Deny)]));
        assert_eq!(decided(&rules, &sample(), &denied, &gone), Some((Deny, "bob".into())));
        assert!(
            matches!(ask(&against, &rules_needing(1, 2)), Ok(VoteEvaluation::Decided(r)) if r.decision == Approve)
        );
        // The account's owner is known now: it is no denial of an approver.
        let other = Voter { reviewer: reviewer_by("eve", account("erin")), groups: vec![] };
        let mut another = all_voters();
        another.insert_gone(account("erin"), Some(other));
        assert_eq!(decided(&rules, &sample(), &against, &another), Some((Approve, "bob".into())));
    }
}

#[test]
fn one_person_counts_once_under_any_mapping() {
    let rules = Rules(vec![rule(&["dba"], &["bob", "carol", "dave", "dave@example.com"], 2)]);
    let mut now = all_voters();
    // Bob's account carries dave's address.
    let bob = Voter { reviewer: reviewer_with("bob", "Dave@Example.com"), groups: vec![] };
    now.insert(account("bob"), Some(bob));
    let both = votes(&[("bob", Approve), ("dave@example.com", Approve)]);
    now.insert(
        account("dave@example.com"),
        Some(Voter { reviewer: reviewer("dave@example.com"), groups: vec![] }),
    );
    assert_eq!(decided(&rules, &sample(), &both, &now), None, "two votes");
    let reviewed =
        AccessRequest { reviews: vec![review("dave@example.com", RequestState::Approved)], ..sample() };
    let one = votes(&[("bob", Approve)]);
    assert_eq!(decided(&rules, &reviewed, &one, &now), None, "a review and a vote");
    // What was found out is kept, so that the message counts right.
    assert_eq!(approvals(&rules, &reviewed, &one), (2, 0));
    let mut record = Record { votes: one, ..Record::default() };
    reevaluate(&mut record, &reviewed, &rules, &now).unwrap();
    assert_eq!(approvals(&rules, &reviewed, &record.votes), (1, 0));
    assert_eq!(record.votes.list()[0].aliases, ["Dave@Example.com"], "capitals do not matter here");
    // Without rules, the suggested reviewers are the ones who matter.
    let suggested_reviewers = vec!["bob".to_owned(), "dave@example.com".to_owned()];
    let suggested = AccessRequest { suggested_reviewers, ..reviewed.clone() };
    record.votes.annotate_open(|vote| vote.aliases.clear());
    reevaluate(&mut record, &suggested, &Rules::default(), &now).unwrap();
    assert_eq!(record.votes.list()[0].aliases, ["Dave@Example.com"]);
    // Two reviews by what a later vote shows to be one person are one, too.
    let reviews =
        vec![review("bob", RequestState::Approved), review("dave@example.com", RequestState::Approved)];
    let reviewed = AccessRequest { reviews, ..sample() };
    assert_eq!(approvals(&rules, &reviewed, &Votes::default()), (2, 0), "it cannot be known");
    assert_eq!(decided(&rules, &reviewed, &votes(&[("bob", Approve)]), &now), None);
    // Another person is the second.
    let two = votes(&[("bob", Approve), ("carol", Approve)]);
    assert_eq!(decided(&rules, &reviewed, &two, &now), Some((Approve, "carol".into())));
}

#[test]
fn a_deciding_vote_counts_earlier_votes_as_their_voters_are_now() {
    let mut scene = Fixture::new(Mode::Resolver);
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
    let carol = Vote { at: at(20), ..vote("carol", Approve) };
    let cast_with = |scene: &Fixture, voters: &Voters| {
        let mut record = scene.record.clone();
        let result = add_vote(&mut record, &carol, &sample(), &scene.rules, voters);
        (result, record)
    };
    // Bob must be read first.
    let (result, _) = cast_with(&scene, &voters(&["carol"], &[]));
    assert_eq!(result, VoteResult::NeedsAccounts(vec![account("bob")]));
    let (result, _) = cast_with(&scene, &voters(&["carol", "bob"], &[]));
    assert!(matches!(result, VoteResult::Decisive(_)), "{result:?}");
    // The account may not act any more, or is another person's by now.
    let mut other = voters(&["carol"], &[]);
    other.insert(account("bob"), None);
    let mut relinked = voters(&["carol"], &[]);
    relinked.insert(account("bob"), Some(Voter { reviewer: reviewer("dave"), groups: vec![] }));
    for now in [other, relinked] {
        let (result, record) = cast_with(&scene, &now);
        let VoteResult::Counted(tally) = result else { panic!("{result:?}") };
        assert_eq!((tally.approvals, record.votes.list().len()), (1, 2));
        assert!(record.votes.list()[0].ineligible && !record.votes.list()[1].ineligible);
        assert_eq!(approvals(&scene.rules, &sample(), &record.votes), (1, 0), "the message says so, too");
        // Dave is the second; bob is not named among those who decided.
        let mut record = record;
        let dave = Vote { at: at(30), ..vote("dave", Approve) };
        let mut now = now;
        for user in ["dave", "carol"] {
            now.insert(account(user), Some(Voter { reviewer: reviewer(user), groups: vec![] }));
        }
        let VoteResult::Decisive(resolution) = add_vote(&mut record, &dave, &sample(), &scene.rules, &now)
        else {
            panic!()
        };
        assert_eq!(resolution.annotations["teleport_users"], ["carol", "dave"]);
        assert_eq!(deciders(None, &record, Approve), ["carol", "dave"]);
    }
    // Back again, the same person can give the same once more, and it counts.
    scene.record.votes.annotate_open(|vote| vote.ineligible = true);
    let VoteResult::Counted(tally) = scene.vote("bob", Approve) else { panic!() };
    assert_eq!((tally.approvals, scene.record.votes.list().len()), (1, 1));
}

#[test]
fn votes_and_reviews_of_the_past_count_no_more() {
    let mut scene = Fixture::new(Mode::Resolver);
    let reviews = vec![review("dave", RequestState::Approved)];
    let request = |state| AccessRequest { state, reviews: reviews.clone(), ..sample() };
    scene.request = Some(request(RequestState::Pending));
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Decisive(_)));
    scene.record.update_known(&request(RequestState::Approved));
    assert!(scene.record.is_decided());
    assert_eq!(deciders(None, &scene.record, Approve), ["bob"]);
    assert_eq!(
        next_evaluation(&scene.record, &request(RequestState::Pending), &scene.rules, at(99)),
        NextEvaluation::Never
    );
    // Open again, and that is not recorded yet: that comes first.
    scene.now = 99;
    assert_eq!(scene.verdict("carol", Deny), Verdict::ApplyPendingDecision);
    scene.record.update_known(&request(RequestState::Pending));
    assert_eq!(approvals(&scene.rules, scene.request.as_ref().unwrap(), &scene.record.votes), (0, 0));
    let again = Record::decode(&sample().id, &scene.record.encode()).0;
    assert_eq!(again, scene.record);
    // Both may decide again, and it takes two.
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
    let VoteResult::Decisive(resolution) = scene.vote("dave", Approve) else { panic!() };
    assert_eq!(resolution.annotations["teleport_users"], ["bob", "dave"]);
    assert_eq!(scene.record.votes.list().len(), 3);
    // Writing the same down again does not make more of the past.
    scene.record.update_known(&request(RequestState::Pending));
    assert_eq!(scene.record.votes.open().len(), 2);
}

#[test]
fn an_invalid_mark_is_removed_and_blocks_no_vote() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.rules.0[0].approvals = 1;
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Decisive(_)));
    let marked = scene.record.clone();
    assert_eq!(next_evaluation(&marked, &sample(), &scene.rules, at(10)), NextEvaluation::At(at(40)));
    assert_eq!(next_evaluation(&marked, &sample(), &scene.rules, at(40)), NextEvaluation::Now);
    // Taken by a clock that runs ahead, it would else block for as long.
    assert_eq!(next_evaluation(&marked, &sample(), &scene.rules, at(10 - 60)), NextEvaluation::At(at(40)));
    assert_eq!(next_evaluation(&marked, &sample(), &scene.rules, at(10 - 61)), NextEvaluation::Now);

    let long_term = AccessRequest { kind: RequestKind::LongTerm, ..sample() };
    let more_roles = AccessRequest { roles: vec!["dba".into(), "root".into()], ..sample() };
    let no_roles = AccessRequest { roles: vec![], ..sample() };
    let mut only = rules();
    only.0[0].teleport_only = true;
    let without_bob = Rules(vec![rule(&["dba"], &["carol"], 1)]);
    let root = || Refusal::NoMatchingRule { role: "root".into() };
    for (rules, request, expected) in [
        (&scene.rules, &long_term, Some(Refusal::LongTerm)),
        (&only, &sample(), Some(Refusal::TeleportOnly)),
        (&scene.rules, &more_roles, Some(root())),
        (&scene.rules, &no_roles, Some(Refusal::NoMatchingRule { role: String::new() })),
        (&without_bob, &sample(), None),
        (&rules(), &sample(), None),
    ] {
        let mut record = marked.clone();
        let verdict = reevaluate(&mut record, request, rules, &all_voters());
        match expected {
            Some(refusal) => assert_eq!(verdict, Err(refusal)),
            None => assert!(matches!(verdict, Ok(VoteEvaluation::Open(_))), "{verdict:?}"),
        }
        assert_eq!(record.votes.decided_by(), None);
        assert_eq!(record.votes.list().len(), 1, "the vote stays");
        // Without the mark it is not evaluated again and again.
        assert_eq!(next_evaluation(&record, request, rules, at(99)), NextEvaluation::Never);
    }
    let mut record = marked.clone();
    assert!(matches!(
        reevaluate(&mut record, &sample(), &scene.rules, &Voters::default()),
        Ok(VoteEvaluation::NeedsAccounts(_))
    ));
    assert_eq!(record, marked, "not known is not undone");
    let verdict = reevaluate(&mut record, &sample(), &scene.rules, &all_voters());
    assert!(matches!(verdict, Ok(VoteEvaluation::Decided(resolution)) if resolution.delegator == "bob"));
    record.other.insert("x_votes".into(), "?".into());
    assert_eq!(reevaluate(&mut record, &sample(), &scene.rules, &all_voters()), Err(Refusal::VotesUnusable));
    assert_eq!(next_evaluation(&record, &sample(), &scene.rules, at(99)), NextEvaluation::Never);
}

#[test]
fn groups_are_fetched_only_if_they_can_matter() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.rules.0[0].approvers.push(Approver::Group("S0DBA".into()));
    scene.rules.0[0].approvers.push(Approver::User("alice@example.com".into()));
    let verdict = |scene: &Fixture, user: &str| {
        decide(&Facts {
            mode: scene.mode,
            rules: &scene.rules,
            current: scene.request.as_ref(),
            record: &scene.record,
            reviewer: &reviewer(user),
            groups: Groups::Unread,
            decision: Approve,
            reason: scene.reason,
            channel: &ChannelId::new("C0TEAM"),
            ts: &MessageTs::new("1795363190.000001"),
            now: at(scene.now),
        })
    };
    assert_eq!(verdict(&scene, "erin"), Verdict::ReadGroups);
    assert!(matches!(verdict(&scene, "bob"), Verdict::Vote(_)), "named by name");
    assert_eq!(verdict(&scene, "alice@example.com"), Verdict::Refused(Refusal::SelfReview));
    scene.request = Some(AccessRequest { state: RequestState::Denied, ..sample() });
    assert!(matches!(verdict(&scene, "erin"), Verdict::Refused(Refusal::AlreadyDecided { .. })));
    scene.request = Some(AccessRequest { reviews: vec![review("erin", RequestState::Approved)], ..sample() });
    assert!(matches!(
        verdict(&scene, "erin"),
        Verdict::Refused(Refusal::AlreadyVoted { in_slack: false, .. })
    ));
    scene.request = Some(AccessRequest { roles: vec!["web".into()], ..sample() });
    assert!(matches!(verdict(&scene, "erin"), Verdict::Refused(Refusal::NoMatchingRule { .. })));
    scene.request = Some(sample());
    // A second rule names no group: no group could help.
    scene.rules.0.push(rule(&["*"], &["carol"], 1));
    assert!(matches!(verdict(&scene, "erin"), Verdict::Refused(Refusal::NotAnApprover { .. })));
    scene.mode = Some(Mode::Reviewer);
    assert!(matches!(verdict(&scene, "erin"), Verdict::SubmitReview { .. }), "there Teleport judges");
}

#[test]
fn every_reason_is_kept_and_all_together_within_bounds() {
    let mut votes = Votes::default();
    for n in 0..60 {
        let decision = if n == 1 { Deny } else { Approve };
        let reason = if n == 2 { String::new() } else { "🔥".repeat(900) };
        assert!(votes.push(&Vote { reason, ..vote(&format!("u{n}"), decision) }));
    }
    let names: Vec<_> = (0..60).map(|n| format!("u{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let rules = Rules(vec![Rule { denials: 2, ..rule(&["dba"], &names, 59) }]);
    let Ok(VoteEvaluation::Decided(resolution)) =
        evaluate_votes(&rules, &sample(), &votes, &voters(&names, &[]), None)
    else {
        panic!()
    };
    let reasons = &resolution.annotations["slack_reasons"];
    assert!(reasons[0].starts_with("u0 approved: 🔥") && reasons[1].starts_with("u1 denied: 🔥"));
    assert!(reasons[2].starts_with("u3 "), "a voter without a reason is left out");
    let chars: Vec<_> = reasons.iter().map(|reason| reason.chars().count()).collect();
    assert!(chars.iter().sum::<usize>() <= 10_000, "{chars:?}");
    // The record keeps so much of them; each that it keeps is there.
    let kept = votes.open().iter().filter(|vote| !vote.reason.is_empty()).count();
    assert!(reasons.len() == kept && kept > 20, "{kept}");
}

#[test]
fn reasons_of_voters_with_very_long_names_stay_within_bounds() {
    let mut votes = Votes::default();
    let names: Vec<_> = (0..90).map(|n| format!("{n}{}", "u".repeat(100))).collect();
    for (n, name) in names.iter().enumerate() {
        let slack_user = account(&format!("n{n}"));
        assert!(votes.push(&Vote { reason: "why".into(), slack_user, ..vote(name, Approve) }));
    }
    let reasons = super::super::tally::reasons(&votes);
    assert!(reasons.iter().map(|reason| reason.chars().count()).sum::<usize>() <= 10_000);
    assert!(reasons.len() > 40, "{}", reasons.len());
}

#[test]
fn reasons_of_a_few_voters_are_kept_whole() {
    let mut votes = Votes::default();
    let reason = "y".repeat(MAX_REASON);
    for user in ["bob", "carol"] {
        assert!(votes.push(&Vote { reason: reason.clone(), ..vote(user, Approve) }));
    }
    let rules = Rules(vec![rule(&["dba"], &["bob", "carol"], 2)]);
    let evaluation = evaluate_votes(&rules, &sample(), &votes, &voters(&["bob", "carol"], &[]), None);
    let Ok(VoteEvaluation::Decided(resolution)) = evaluation else { panic!("{evaluation:?}") };
    let expected = ["bob", "carol"].map(|user| format!("{user} approved: {reason}"));
    assert_eq!(resolution.annotations["slack_reasons"], expected, "the form says that they are kept");
}

/// The sample as Teleport returns it by its id, after so many reviews that decide nothing.
fn written(revision: &str, reviews: usize) -> AccessRequest {
    AccessRequest { version: Some(Version { revision: revision.into(), reviews }), ..sample() }
}

#[test]
fn votes_from_before_an_unseen_decision_count_no_more() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.request = Some(written("r1", 0));
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
    // A review is what it was written for.
    scene.request = Some(written("r2", 1));
    assert!(matches!(scene.verdict("carol", Approve), Verdict::Vote(_)));
    // Approved and opened again: nothing shows it but that it was written.
    scene.request = Some(written("r3", 0));
    for user in ["bob", "carol"] {
        assert_eq!(scene.verdict(user, Approve), Verdict::ApplyPendingDecision, "first it is written down");
    }
    let carol = Vote { at: at(20), ..vote("carol", Approve) };
    let request = written("r3", 0);
    let VoteResult::Counted(tally) =
        add_vote(&mut scene.record, &carol, &request, &scene.rules, &scene.voters)
    else {
        panic!("bob's vote decided")
    };
    assert_eq!((tally.approvals, scene.record.votes.list().len()), (1, 2));
    // From here on it is as it is now.
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Decisive(_)));

    // Without such a write each counts, and so it does where the server says nothing.
    for (first, then) in [(Some("r2"), Some("r2")), (None, Some("r3")), (Some("r1"), None)] {
        let request = |revision: Option<&str>| revision.map_or_else(sample, |word| written(word, 0));
        let mut scene = Fixture::new(Mode::Resolver);
        scene.request = Some(request(first));
        scene.vote("bob", Approve);
        scene.request = Some(request(then));
        assert!(matches!(scene.vote("carol", Approve), VoteResult::Decisive(_)), "{first:?} {then:?}");
    }
}

#[test]
fn a_decision_that_was_applied_and_undone_unseen_is_not_applied_again() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.request = Some(written("r1", 0));
    scene.vote("bob", Approve);
    assert!(matches!(scene.vote("carol", Approve), VoteResult::Decisive(_)));
    let settled = scene.record.clone();
    assert_eq!(Record::decode(&sample().id, &settled.encode()).0, settled);
    // The call that sets it never arrived: nothing was written, and it is to be made again.
    let mut record = settled.clone();
    record.note_by_id(&written("r1", 0));
    assert_eq!((record.votes.open().len(), record.votes.decided_by().is_some()), (2, true));
    // It arrived: the same votes show who decided.
    record.note_by_id(&AccessRequest { state: RequestState::Approved, ..written("r2", 0) });
    assert_eq!(deciders(None, &record, Approve), ["bob", "carol"]);
    // It arrived and was undone, unseen.
    let mut record = settled.clone();
    record.note_by_id(&AccessRequest {
        reviews: vec![review("dave", RequestState::Approved)],
        ..written("r3", 0)
    });
    assert_eq!((record.votes.open().len(), record.votes.past_reviews()), (0, 1));
    let again = Record::decode(&sample().id, &record.encode()).0;
    assert_eq!(again, record);
    assert!(!again.votes.are_outlived(&written("r9", 0)), "no vote is open");
    // A listed or streamed request says nothing against it.
    let mut record = settled;
    record.update_known(&written("r3", 0));
    assert_eq!((record.votes.open().len(), record.known), (2, Some(truncated(&sample()))));
}
