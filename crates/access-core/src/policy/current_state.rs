//! How a request stands by now, for a person who clicked before. Nothing is asked about the person: what was noted of the
//! votes last counts, and it says no more than the request's message does.

use jiff::Timestamp;

use super::open_request;
use super::refusal::Refusal;
use super::rules::Rules;
use super::tally::Tally;
use super::vote_status::{VoteStatus, vote_statuses};
use super::voters::Voters;
use crate::domain::decision::Decision;
use crate::domain::ids::SlackUserId;
use crate::domain::request::AccessRequest;
use crate::record::Record;

/// How a request stands by now, for a person who clicked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrentState {
    /// It was not looked at: the answer was just made, or depends on nothing that changes.
    Unread,
    /// The request waits, and no vote of this person can be read in its record.
    Open,
    /// The request waits, and this is the person's last vote on it.
    Voted(OwnVote),
    /// The request waits for nothing in Slack any more.
    Closed(Refusal),
    /// Teleport could not be asked.
    Unknown,
}

/// What a person's last vote is worth on a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnVote {
    /// Whether it approves or denies.
    pub decision: Decision,
    /// What it is worth.
    pub status: VoteStatus,
    /// How far all votes are.
    pub tally: Tally,
}

/// How the request stands. `record` is to be read before `current`: what it says was decided was so before then.
pub fn current_state(
    current: Option<&AccessRequest>,
    record: &Record,
    rules: &Rules,
    slack_user: &SlackUserId,
    now: Timestamp,
) -> CurrentState {
    let request = match open_request(current, record, now) {
        Ok(request) => request,
        Err(refusal) => return CurrentState::Closed(refusal),
    };
    let votes = &record.votes;
    let (tally, statuses) = vote_statuses(rules, request, votes, &Voters::default());
    // Open votes come after those of the past.
    let Some((own, status)) = statuses.into_iter().rfind(|(vote, _)| vote.slack_user == *slack_user) else {
        return CurrentState::Open;
    };
    let status = match status {
        // Those votes are of the past, too, as soon as that is written down.
        _ if record.is_decided() || votes.are_outlived(request) => VoteStatus::Past,
        // It gave way to another account with the same name.
        VoteStatus::Past if votes.open().iter().any(|open| open.user == own.user) => VoteStatus::Superseded,
        status => status,
    };
    CurrentState::Voted(OwnVote { decision: own.decision, status, tally })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::{RequestState, Version, sample};
    use crate::domain::role_pattern::RolePattern;
    use crate::policy::{Approver, ReasonPolicy, Rule};
    use crate::record::votes::{Vote, vote};
    use Decision::{Approve, Deny};

    const BOB: &str = "bob@example.com";
    const CAROL: &str = "carol@example.com";

    fn rules(approvers: &[&str]) -> Rules {
        Rules(vec![Rule {
            roles: vec![RolePattern::parse("*").unwrap()],
            approvers: approvers.iter().map(|name| Approver::User((*name).to_owned())).collect(),
            approvals: 2,
            denials: 1,
            reason: ReasonPolicy::Off,
            confirm: false,
            teleport_only: false,
        }])
    }

    /// How `request` stands for bob.
    fn state(record: &Record, request: &AccessRequest, approvers: &[&str]) -> CurrentState {
        let now = Timestamp::from_second(1_800_000_200).unwrap();
        current_state(Some(request), record, &rules(approvers), &SlackUserId::new("U0BOB"), now)
    }

    fn own(record: &Record, request: &AccessRequest, approvers: &[&str]) -> OwnVote {
        match state(record, request, approvers) {
            CurrentState::Voted(own) => own,
            other => panic!("{other:?}"),
        }
    }

    fn bob_voted() -> Record {
        let mut record = Record::default();
        assert!(record.votes.push(&vote(BOB, Approve)));
        record
    }

    #[test]
    fn what_the_persons_vote_is_worth_now() {
        let request = sample();
        let (both, carol_alone) = ([BOB, CAROL], [CAROL]);
        assert_eq!(state(&Record::default(), &request, &both), CurrentState::Open);
        let mut record = bob_voted();
        let counts = own(&record, &request, &both);
        assert_eq!(
            (counts.decision, counts.status, counts.tally.approvals),
            (Approve, VoteStatus::Counts, 1)
        );
        // The tally is today's.
        assert!(record.votes.push(&vote(CAROL, Approve)));
        assert_eq!(own(&record, &request, &both).tally.approvals, 2);
        // Taken out of the rule.
        let not_named = own(&record, &request, &carol_alone);
        assert_eq!((not_named.status, not_named.tally.approvals), (VoteStatus::NotAnApprover, 1));
        // Decided, opened again, and voted again.
        record.votes.reopen(0);
        assert_eq!(own(&record, &request, &both).status, VoteStatus::Past);
        assert!(record.votes.push(&vote(BOB, Deny)));
        let again = own(&record, &request, &both);
        assert_eq!((again.decision, again.status), (Deny, VoteStatus::Counts));
    }

    #[test]
    fn a_vote_is_of_the_past_before_that_is_written_down() {
        let request = sample();
        let decided = AccessRequest { state: RequestState::Approved, ..sample() };
        let record = Record { known: Some(crate::record::truncated(&decided)), ..bob_voted() };
        assert_eq!(own(&record, &request, &[BOB]).status, VoteStatus::Past);
        let at = |revision: &str| AccessRequest {
            version: Some(Version { revision: revision.to_owned(), reviews: 0 }),
            ..sample()
        };
        let mut record = bob_voted();
        record.votes.see(&at("one"));
        assert_eq!(own(&record, &at("one"), &[BOB, CAROL]).status, VoteStatus::Counts);
        assert_eq!(own(&record, &at("two"), &[BOB, CAROL]).status, VoteStatus::Past);
    }

    #[test]
    fn a_vote_that_gave_way_to_one_of_the_same_name_is_superseded() {
        let mut record = bob_voted();
        record.votes.retire(&vote(BOB, Approve));
        let other = Vote { slack_user: SlackUserId::new("U0OTHER"), ..vote(BOB, Approve) };
        assert!(record.votes.push(&other));
        assert_eq!(own(&record, &sample(), &[BOB]).status, VoteStatus::Superseded);
    }

    #[test]
    fn a_decided_request_is_closed_whatever_the_vote() {
        let request = AccessRequest { state: RequestState::Denied, ..sample() };
        let CurrentState::Closed(Refusal::AlreadyDecided { decision: Deny, .. }) =
            state(&bob_voted(), &request, &[BOB])
        else {
            panic!("not closed")
        };
    }
}
