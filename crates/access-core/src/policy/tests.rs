//! Verdicts as a person meets them, and votes under every interleaving of two replicas.

use proptest::prelude::*;

use super::casting::RESOLVE_GRACE;
use super::rules::{Approver, ReasonPolicy, Rule};
use super::voters::samples::{account, reviewer, voters};
use super::*;
use crate::domain::ids::RequestId;
use crate::domain::request::{Review, Threshold, sample};
use crate::domain::role_pattern::RolePattern;
use crate::interaction::shown_cluster::ShownCluster;
use crate::record::truncated;
use crate::record::votes::vote;
use Decision::{Approve, Deny};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn rule(roles: &[&str], approvers: &[&str], approvals: u32) -> Rule {
    Rule {
        roles: roles.iter().map(|role| RolePattern::parse(role).unwrap()).collect(),
        approvers: approvers.iter().map(|user| Approver::User((*user).to_owned())).collect(),
        approvals,
        denials: 1,
        reason: ReasonPolicy::Off,
        confirm: false,
        teleport_only: false,
    }
}

/// A click and everything around it; tests change what matters to them.
struct Fixture {
    mode: Option<Mode>,
    rules: Rules,
    request: Option<AccessRequest>,
    record: Record,
    groups: Vec<String>,
    voters: Voters,
    reason: Reason<'static>,
    now: i64,
}

impl Fixture {
    /// `dba` needs two of bob, carol and dave.
    fn new(mode: Mode) -> Self {
        Self {
            mode: Some(mode),
            rules: Rules(vec![rule(&["dba"], &["bob", "carol", "dave"], 2)]),
            request: Some(sample()),
            record: Record { known: Some(truncated(&sample())), ..Record::default() },
            groups: vec![],
            voters: voters(&["bob", "carol", "dave", "erin"], &[]),
            reason: Reason::NotAsked,
            now: 10,
        }
    }

    fn verdict(&self, user: &str, decision: Decision) -> Verdict {
        decide(&Facts {
            mode: self.mode,
            rules: &self.rules,
            current: self.request.as_ref(),
            record: &self.record,
            reviewer: &reviewer(user),
            groups: Groups::Read(&self.groups),
            decision,
            reason: self.reason,
            channel: &ChannelId::new("C0TEAM"),
            ts: &MessageTs::new("1795363190.000001"),
            now: at(self.now),
        })
    }

    #[track_caller]
    fn assert_refused(&self, user: &str, expected: Refusal) {
        assert_eq!(self.verdict(user, Approve), Verdict::Refused(expected));
    }

    /// Decides and casts.
    #[track_caller]
    fn vote(&mut self, user: &str, decision: Decision) -> VoteResult {
        match self.verdict(user, decision) {
            Verdict::Vote(vote) => {
                let request = self.request.as_ref().unwrap();
                let voter = Voter { reviewer: reviewer(user), groups: self.groups.clone() };
                self.voters.insert(account(user), Some(voter));
                add_vote(&mut self.record, &vote, request, &self.rules, &self.voters)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn two_of_three_approve() {
    let mut scene = Fixture::new(Mode::Resolver);
    let VoteResult::Counted(tally) = scene.vote("bob", Approve) else { panic!() };
    assert_eq!((tally.approvals, tally.approvals_needed), (1, 2));
    scene.assert_refused("bob", Refusal::AlreadyVoted { decision: Approve, in_slack: true });
    scene.now = 20;
    scene.reason = Reason::Given(" for the restore ");
    let VoteResult::Decisive(resolution) = scene.vote("carol", Approve) else { panic!() };
    assert_eq!((resolution.decision, resolution.delegator.as_str()), (Approve, "carol"));
    assert_eq!((resolution.reason.as_str(), resolution.at), ("for the restore", at(20)));
    insta::assert_snapshot!(format!("{:?}", resolution.annotations), @r#"{"slack_channel": ["C0TEAM"], "slack_message_ts": ["1795363190.000001"], "slack_reasons": ["carol approved: for the restore"], "slack_team": ["T0US"], "slack_user": ["U0CAROL"], "slack_users": ["U0BOB", "U0CAROL"], "teleport_users": ["bob", "carol"]}"#);
    // A vote that comes while the decision is applied changes nothing.
    scene.assert_refused("dave", Refusal::BeingDecided { decision: Approve });
    let late = add_vote(&mut scene.record, &vote("dave", Deny), &sample(), &scene.rules, &scene.voters);
    assert_eq!(late, VoteResult::AlreadyDecided(resolution.clone()));
    scene.assert_refused("carol", Refusal::AlreadyVoted { decision: Approve, in_slack: true });
    // If the decision was not applied, the next interaction applies it.
    scene.now = 20 + RESOLVE_GRACE.as_secs();
    assert_eq!(scene.verdict("dave", Deny), Verdict::ApplyPendingDecision);
    assert_eq!(scene.verdict("bob", Approve), Verdict::ApplyPendingDecision);
    scene.assert_refused("alice@example.com", Refusal::SelfReview);
}

#[test]
fn one_denial_denies_the_request() {
    let mut scene = Fixture::new(Mode::Resolver);
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
    let VoteResult::Decisive(resolution) = scene.vote("carol", Deny) else { panic!() };
    assert_eq!((resolution.decision, resolution.delegator.as_str()), (Deny, "carol"));
    assert_eq!(deciders(None, &scene.record, Deny), ["carol"]);
    assert!(deciders(None, &scene.record, Approve).is_empty());
}

#[test]
fn a_decided_or_deleted_request_is_never_changed() {
    let decided = |state, reason: &str| {
        let reviews =
            vec![Review { author: "dave".into(), proposed: state, reason: String::new(), created: None }];
        Some(AccessRequest { state, resolve_reason: reason.into(), reviews, ..sample() })
    };
    for mode in [Mode::Reviewer, Mode::Resolver] {
        let mut scene = Fixture::new(mode);
        for (state, decision) in [(RequestState::Approved, Approve), (RequestState::Denied, Deny)] {
            scene.request = decided(state, "ok");
            scene.assert_refused(
                "bob",
                Refusal::AlreadyDecided { decision, by: vec!["dave".into()], reason: "ok".into() },
            );
        }
        scene.request = decided(RequestState::Promoted, "");
        scene.assert_refused("bob", Refusal::Promoted);
        scene.request = Some(AccessRequest { kind: RequestKind::LongTerm, ..sample() });
        scene.assert_refused("bob", Refusal::LongTerm);
        scene.request = Some(sample());
        scene.now = 3_605;
        // Teleport showed it as pending this moment; the clock that says otherwise is ours.
        let verdict = scene.verdict("bob", Approve);
        assert!(!matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
        scene.request = None;
        scene.assert_refused("bob", Refusal::Expired);
        scene.now = 10;
        scene.assert_refused("bob", Refusal::Deleted);
        scene.request = Some(sample());
        scene.mode = None;
        scene.assert_refused("bob", Refusal::NotPossible);
    }
}

#[test]
fn requesters_cannot_decide_their_own_request() {
    for mode in [Mode::Reviewer, Mode::Resolver] {
        let mut scene = Fixture::new(mode);
        scene.rules = Rules(vec![rule(&["*"], &["alice@example.com", "Alice@Example.com", "alice"], 1)]);
        scene.assert_refused("alice@example.com", Refusal::SelfReview);
        scene.assert_refused("Alice@Example.com", Refusal::SelfReview);
        // A second account, linked to another user, that has the same address.
        scene.assert_refused("alice", Refusal::SelfReview);
    }
}

#[test]
fn only_users_that_the_rules_name_decide() {
    let mut scene = Fixture::new(Mode::Resolver);
    let named = ["bob", "carol", "dave"].map(str::to_owned).to_vec();
    scene.assert_refused("eve", Refusal::NotAnApprover { role: "dba".into(), named });
    scene.request.as_mut().unwrap().roles.push("root".into());
    scene.assert_refused("bob", Refusal::NoMatchingRule { role: "root".into() });
    scene.rules = Rules::default();
    scene.assert_refused("bob", Refusal::NotSuggested { named: vec![] });
    scene.request.as_mut().unwrap().suggested_reviewers = vec!["bob".into()];
    assert!(matches!(scene.verdict("bob", Approve), Verdict::Vote(_)));
    scene.request.as_mut().unwrap().roles.clear();
    scene.assert_refused("bob", Refusal::NoMatchingRule { role: String::new() });
    // A suggestion is no way around the rules.
    let mut scene = Fixture::new(Mode::Resolver);
    scene.request.as_mut().unwrap().suggested_reviewers = vec!["eve".into()];
    assert!(matches!(scene.verdict("eve", Approve), Verdict::Refused(Refusal::NotAnApprover { .. })));
}

#[test]
fn a_group_member_votes_as_long_as_the_rule_names_the_group() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.rules.0[0].approvers.push(Approver::Group("S0DBA".into()));
    assert!(matches!(scene.verdict("erin", Approve), Verdict::Refused(_)));
    scene.groups = vec!["S0DBA".into()];
    let VoteResult::Counted(tally) = scene.vote("erin", Approve) else { panic!() };
    assert_eq!(tally.approvals, 1);
    scene.rules.0[0].approvers.pop();
    let tally = super::tally_votes(&scene.rules, &sample(), &scene.record.votes);
    assert_eq!(tally.approvals, 0, "the rule names the group no more");
}

#[test]
fn reviewer_mode_leaves_the_approvers_to_teleport() {
    let mut scene = Fixture::new(Mode::Reviewer);
    let review = |author: &str, reason: &str| Verdict::SubmitReview {
        author: author.into(),
        decision: Deny,
        reason: reason.into(),
    };
    assert_eq!(scene.verdict("eve", Deny), review("eve", ""));
    scene.rules.0[0].reason = ReasonPolicy::Required;
    assert_eq!(scene.verdict("eve", Deny), Verdict::AskReason { required: true });
    scene.reason = Reason::Given("no");
    assert_eq!(scene.verdict("eve", Deny), review("eve", "no"));
    scene.rules.0[0].teleport_only = true;
    scene.assert_refused("bob", Refusal::TeleportOnly);
}

#[test]
fn a_reason_is_asked_for_last_and_checked_again() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.rules.0[0].reason = ReasonPolicy::Optional;
    assert_eq!(scene.verdict("bob", Approve), Verdict::AskReason { required: false });
    assert!(matches!(scene.verdict("eve", Approve), Verdict::Refused(_)));
    scene.reason = Reason::Given("");
    assert!(matches!(scene.verdict("bob", Approve), Verdict::Vote(_)));
    scene.rules.0[0].reason = ReasonPolicy::Required;
    scene.assert_refused("bob", Refusal::ReasonMissing);
    scene.reason = Reason::Given(" \n ");
    scene.assert_refused("bob", Refusal::ReasonMissing);
    scene.reason = Reason::Given("\u{200b}\u{3164}\u{301}");
    scene.assert_refused("bob", Refusal::ReasonMissing);
    scene.reason = Reason::Given("because");
    assert!(matches!(scene.verdict("bob", Approve), Verdict::Vote(vote) if vote.reason == "because"));
}

#[test]
fn the_requests_own_thresholds_are_respected() {
    let threshold = |approve, deny| Threshold { name: String::new(), filter: "x".into(), approve, deny };
    let needed = |thresholds: Vec<Threshold>| {
        let request = AccessRequest { thresholds, ..sample() };
        let tally = super::tally_votes(&Fixture::new(Mode::Resolver).rules, &request, &Default::default());
        (tally.approvals_needed, tally.denials_needed)
    };
    assert_eq!(needed(vec![]), (2, 1));
    assert_eq!(needed(vec![threshold(1, 1)]), (2, 1));
    assert_eq!(needed(vec![threshold(1, 3), threshold(5, 2)]), (5, 2));
    assert_eq!(needed(vec![threshold(1, 0)]), (2, 1));
}

#[test]
fn reviews_in_teleport_count_once_and_only_of_those_who_may() {
    let mut scene = Fixture::new(Mode::Resolver);
    let review = |author: &str| Review {
        author: author.into(),
        proposed: RequestState::Approved,
        reason: String::new(),
        created: None,
    };
    let reviews = &mut scene.request.as_mut().unwrap().reviews;
    reviews.extend(["eve", "bob", "bob", "alice@example.com"].map(review));
    scene.assert_refused("bob", Refusal::AlreadyVoted { decision: Approve, in_slack: false });
    let VoteResult::Decisive(resolution) = scene.vote("carol", Approve) else { panic!() };
    assert_eq!(resolution.delegator, "carol");
}

#[test]
fn a_vote_that_would_decide_under_changed_rules_can_be_given_again() {
    let mut scene = Fixture::new(Mode::Resolver);
    assert!(matches!(scene.vote("bob", Approve), VoteResult::Counted(_)));
    scene.assert_refused("bob", Refusal::AlreadyVoted { decision: Approve, in_slack: true });
    scene.rules.0[0].approvals = 1;
    scene.now = 99;
    assert_eq!(
        scene.verdict("bob", Deny),
        Verdict::Refused(Refusal::AlreadyVoted { decision: Approve, in_slack: true })
    );
    let VoteResult::Decisive(resolution) = scene.vote("bob", Approve) else { panic!() };
    assert_eq!(resolution.delegator, "bob");
    assert_eq!(scene.record.votes.list().len(), 1);
}

#[test]
fn votes_that_cannot_be_read_are_left_alone() {
    let mut scene = Fixture::new(Mode::Resolver);
    scene.record.other.insert("x_votes".into(), "{\"v\":2}".into());
    scene.assert_refused("bob", Refusal::VotesUnusable);
    let before = scene.record.encode();
    assert_eq!(
        add_vote(&mut scene.record, &vote("bob", Approve), &sample(), &scene.rules, &scene.voters),
        VoteResult::Unusable
    );
    assert_eq!(scene.record.encode(), before);
}

#[test]
fn auto_never_goes_around_teleports_judgment() {
    let rules = Fixture::new(Mode::Resolver).rules;
    let none = Rules::default();
    use CanSubmitForUsers::{No, Yes};
    use ModeSetting::{Auto, Resolver, Reviewer};
    for (setting, submit, rules, expected) in [
        (Auto, Yes, &rules, Some(Mode::Reviewer)),
        (Auto, No, &rules, Some(Mode::Resolver)),
        (Auto, No, &none, None),
        (Auto, Yes, &none, Some(Mode::Reviewer)),
        (Reviewer, No, &rules, None),
        (Reviewer, Yes, &rules, Some(Mode::Reviewer)),
        (Resolver, Yes, &none, Some(Mode::Resolver)),
    ] {
        assert_eq!(mode(setting, submit, rules), expected, "{setting:?} {submit:?}");
    }
}

#[test]
fn a_modal_is_good_for_half_an_hour() {
    let modal = ModalState {
        request: RequestId::new("a"),
        decision: Approve,
        channel: ChannelId::new("C1"),
        ts: MessageTs::new("1.1"),
        opened_at: at(0),
        required: false,
        cluster: ShownCluster::default(),
    };
    for (now, expected) in [
        (0, Ok(())),
        (1_800, Ok(())),
        (1_801, Err(Refusal::ExpiredModal)),
        (3_600, Err(Refusal::ExpiredModal)),
        (-60, Ok(())),
        (-61, Err(Refusal::ExpiredModal)),
    ] {
        assert_eq!(check_modal_age(&modal, at(now)), expected, "{now}");
    }
}

/// Teleport's plugin data: a write lands only on the revision that was read.
#[derive(Clone, Default)]
struct Store {
    data: std::collections::BTreeMap<String, String>,
    revision: u32,
}

/// A click on its way through a replica.
struct VoteAttempt {
    vote: Vote,
    /// What was read, until it is written.
    read: Option<(Record, u32, VoteResult)>,
    /// The answer, when it is there.
    result: Option<VoteResult>,
}

impl VoteAttempt {
    /// Reads or writes; a write whose answer is lost is tried again, as if its outcome were unknown.
    fn step(&mut self, store: &mut Store, rules: &Rules, loses_answer: bool) {
        let Some((record, revision, result)) = self.read.take() else {
            let mut record = Record::decode(&sample().id, &store.data).0;
            let result = super::add_vote(
                &mut record,
                &self.vote,
                &sample(),
                rules,
                &voters(&["u0", "u1", "u2", "u3", "u4", "u5"], &[]),
            );
            self.read = Some((record, store.revision, result));
            return;
        };
        let written = record.encode();
        if written == store.data {
            self.result = Some(result);
        } else if revision == store.revision {
            *store = Store { data: written, revision: revision + 1 };
            if !loses_answer {
                self.result = Some(result);
            }
        }
    }
}

mod counting;
mod verdicts;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However the interactions of any people interleave, on any replicas, with any answers lost: no vote is lost or
    /// duplicated, and exactly one interaction applies exactly what the votes decide.
    #[test]
    fn votes_are_neither_lost_nor_duplicated(
        clicks in proptest::collection::vec((0..6usize, any::<bool>()), 1..10),
        schedule in proptest::collection::vec((any::<prop::sample::Index>(), proptest::bool::weighted(0.2)), 0..80),
        (approvals, denials) in (1..4u32, 1..4u32),
    ) {
        let users = ["u0", "u1", "u2", "u3", "u4", "u5"];
        let mut rules = Rules(vec![rule(&["dba"], &users, approvals)]);
        rules.0[0].denials = denials;
        let mut store = Store::default();
        let mut clicks: Vec<VoteAttempt> = clicks.into_iter().zip(0..).map(|((user, approve), n)| {
            let decision = if approve { Approve } else { Deny };
            VoteAttempt { vote: Vote { at: at(n), ..vote(users[user], decision) }, read: None, result: None }
        }).collect();
        // The schedule, then every user to the end.
        let rest = (0..clicks.len()).flat_map(|n| vec![n; 100]).map(|n| (n, false));
        let count = clicks.len();
        let steps: Vec<_> = schedule.into_iter().map(|(index, lost)| (index.index(count), lost)).chain(rest).collect();
        for (n, lost) in steps {
            if clicks[n].result.is_none() {
                clicks[n].step(&mut store, &rules, lost);
            }
        }
        let record = Record::decode(&sample().id, &store.data).0;
        let votes = &record.votes;

        let mut stored: Vec<_> = votes.list().iter().map(|vote| vote.user.as_str()).collect();
        stored.sort_unstable();
        let distinct = stored.len();
        stored.dedup();
        prop_assert_eq!(stored.len(), distinct, "a person has two votes");

        let mut settled = 0;
        for click in &clicks {
            let own = votes.list().iter().find(|vote| vote.user == click.vote.user);
            match click.result.as_ref().expect("everybody is answered") {
                VoteResult::Counted(_) => prop_assert_eq!(own.map(|vote| vote.at), Some(click.vote.at)),
                VoteResult::Decisive(resolution) => {
                    settled += 1;
                    prop_assert_eq!(own.map(|vote| vote.at), Some(click.vote.at));
                    prop_assert_eq!(resolution.decision, click.vote.decision);
                    prop_assert_eq!(&resolution.delegator, &click.vote.user);
                }
                VoteResult::Duplicate(decision) => prop_assert_eq!(own.map(|vote| vote.decision), Some(*decision)),
                VoteResult::AlreadyDecided(_) => prop_assert!(own.is_none() && votes.decided_by().is_some()),
                VoteResult::NeedsAccounts(_) | VoteResult::Refused(_) | VoteResult::Unusable => prop_assert!(false, "these votes are fine"),
            }
        }
        // Each person's first stored vote counts, and the deciding one is the last.
        let (mut approved, mut denied) = (0, 0);
        for (n, vote) in votes.list().iter().enumerate() {
            match vote.decision {
                Approve => approved += 1,
                Deny => denied += 1,
            }
            let decides = approved >= approvals || denied >= denials;
            prop_assert_eq!(decides, n + 1 == votes.list().len() && votes.decided_by().is_some());
        }
        prop_assert_eq!(settled, usize::from(votes.decided_by().is_some()));
        if votes.decided_by().is_none() {
            let mut people: Vec<_> = clicks.iter().map(|click| &click.vote.user).collect();
            people.sort_unstable();
            people.dedup();
            prop_assert_eq!(votes.list().len(), people.len(), "a vote is lost");
        }
    }
}
