//! Answers that a person gets later than the click, and perhaps for the second time: which click each is about, and what
//! holds by now.

use jiff::Timestamp;

use super::blocks::Message;
use super::ephemeral::{Accepted, NAMES, accepted, refused, wording};
use super::mrkdwn::Mrkdwn;
use crate::domain::ids::RequestId;
use crate::policy::CurrentState;
use crate::policy::refusal::Refusal;

const MAX_ID: usize = 128;

/// What a click came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It counted.
    Accepted(Accepted),
    /// It changed nothing.
    Refused(Refusal),
}

/// Which click an answer is about, for a person who may have clicked again meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Click<'a> {
    /// On which request, if that can be read.
    pub request: Option<&'a RequestId>,
    /// When the daemon got it.
    pub at: Timestamp,
    /// Slack did not say whether it showed the answer before.
    pub may_be_answered: bool,
}

impl Answer {
    /// The answer in time.
    pub fn message(&self) -> Message {
        match self {
            Self::Accepted(what) => accepted(*what),
            Self::Refused(refusal) => refused(refusal),
        }
    }

    /// Whether the request is to be looked at again before the answer is given late: it may not hold any more.
    pub fn may_be_outdated(&self) -> bool {
        match self {
            Self::Accepted(_) => true,
            Self::Refused(refusal) => refusal.is_of_the_moment(),
        }
    }

    /// Whether a person who has the later answer still needs this one. What counted is not undone by a click that could not
    /// be looked into.
    pub fn outlasts(&self, later: &Self) -> bool {
        matches!((self, later), (Self::Accepted(_), Self::Refused(refusal)) if refusal.is_of_the_moment())
    }

    /// The answer at a later time: which click it is about, and what holds now.
    pub fn message_later(&self, click: Click<'_>, state: &CurrentState) -> Message {
        let mut text = Mrkdwn::default();
        text.trusted("About your click of ").date_to_the_second(click.at);
        if let Some(request) = click.request {
            text.trusted(" on request ").untrusted(request.as_str(), MAX_ID);
        }
        text.trusted(match click.may_be_answered {
            true => ", to which Slack may have shown you an answer before: ",
            false => ", which I could not answer then: ",
        });
        match (self, state) {
            (Self::Accepted(what), CurrentState::Closed(Refusal::AlreadyDecided { decision, .. }))
                if *decision == what.decision() =>
            {
                text.finished(accepted(Accepted::Resolved(*decision)).markup());
            }
            (Self::Accepted(what), CurrentState::Closed(refusal)) => {
                text.finished(accepted(*what).markup());
                add_change(&mut text, refusal);
            }
            (Self::Refused(_), CurrentState::Closed(refusal)) => {
                text.finished(refused(refusal).markup());
            }
            (_, CurrentState::Open) => {
                text.finished(self.message().markup());
            }
            (_, CurrentState::Unknown) => {
                text.finished(self.message().markup());
                text.trusted(
                    " I cannot ask Teleport whether that still holds; the request's message shows it.",
                );
            }
        }
        Message::plain(text)
    }
}

/// What became of the request after a click that counted.
fn add_change(text: &mut Mrkdwn, refusal: &Refusal) {
    match refusal {
        Refusal::AlreadyDecided { decision, by, .. } => {
            text.trusted(" Since then the request was ").trusted(wording(*decision).done);
            if !by.is_empty() {
                text.trusted(" by ").list(by, NAMES);
            }
            text.trusted(".");
        }
        Refusal::Expired => {
            text.trusted(" Since then the request has expired.");
        }
        Refusal::Deleted => {
            text.trusted(" Since then the request was deleted in Teleport.");
        }
        Refusal::Promoted => {
            text.trusted(" Since then the request became membership of an access list.");
        }
        // The person's own vote is what counted.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Decision::{Approve, Deny};
    use crate::policy::Tally;
    use crate::render::answers::{Names, all_accepted, all_refusals};
    use crate::render::tests::hostile::{assert_nothing_styled, hostile};
    use crate::render::tests::oracle::validate;

    const TALLY: Tally = Tally { approvals: 1, approvals_needed: 2, denials: 1, denials_needed: 3 };

    fn click(id: &RequestId) -> Click<'_> {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        Click { request: Some(id), at, may_be_answered: false }
    }

    fn decided(decision: crate::domain::decision::Decision) -> CurrentState {
        let (by, reason) = (vec!["carol@example.com".to_owned()], "no".to_owned());
        CurrentState::Closed(Refusal::AlreadyDecided { decision, by, reason })
    }

    #[test]
    fn a_late_answer_names_the_click() {
        let id = RequestId::new("0d9b94d2-1b9f-4c38-a1a9-0a35ad1bc4c7");
        let answer = Answer::Refused(Refusal::SlackUnreachable);
        assert_eq!(
            answer.message_later(click(&id), &CurrentState::Open).text(),
            "About your click of <!date^1800000000^{date_short} {time_secs}|15 Jan 27 08:00 UTC> on request 0d9b94d2-1b9f-4c38-a1a9-0a35ad1bc4c7, which I could not answer then: Slack does not tell who you are, so nothing was decided; try again in a minute."
        );
        let again = Click { request: None, may_be_answered: true, ..click(&id) };
        assert_eq!(
            answer.message_later(again, &CurrentState::Open).text(),
            "About your click of <!date^1800000000^{date_short} {time_secs}|15 Jan 27 08:00 UTC>, to which Slack may have shown you an answer before: Slack does not tell who you are, so nothing was decided; try again in a minute."
        );
    }

    #[test]
    fn a_late_answer_says_what_holds_by_now() {
        let id = RequestId::new("request");
        let moment = Answer::Refused(Refusal::SlackUnreachable);
        let [counted, pending, unconfirmed, resolved] = [
            Accepted::Counted(Approve, TALLY),
            Accepted::Pending(Approve),
            Accepted::Unconfirmed(Deny),
            Accepted::Resolved(Approve),
        ]
        .map(Answer::Accepted);
        let closed = |refusal| CurrentState::Closed(refusal);
        let voted = || closed(Refusal::AlreadyVoted { decision: Approve, in_slack: true });
        let lines = [
            (&moment, decided(Deny)),
            (&moment, voted()),
            (&moment, closed(Refusal::Deleted)),
            (&moment, CurrentState::Unknown),
            (&counted, CurrentState::Open),
            (&counted, voted()),
            (&counted, decided(Approve)),
            (&counted, decided(Deny)),
            (&counted, closed(Refusal::Expired)),
            (&pending, decided(Approve)),
            (&unconfirmed, decided(Deny)),
            (&unconfirmed, closed(Refusal::Promoted)),
            (&resolved, decided(Approve)),
            (&resolved, closed(Refusal::Deleted)),
        ]
        .map(|(answer, state)| {
            let message = answer.message_later(click(&id), &state);
            message.text().split_once("answer then: ").unwrap().1.to_owned()
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        This request was already denied by carol@example.com (no); nothing was changed.
        You already approved this request in Slack; that cannot be changed.
        This request no longer exists in Teleport; nothing was changed.
        Slack does not tell who you are, so nothing was decided; try again in a minute. I cannot ask Teleport whether that still holds; the request's message shows it.
        Your approval counts: 1 of 2 approvals.
        Your approval counts: 1 of 2 approvals.
        The request is approved.
        Your approval counts: 1 of 2 approvals. Since then the request was denied by carol@example.com.
        Your approval counts: 1 of 2 approvals. Since then the request has expired.
        The request is approved.
        The request is denied.
        Teleport did not confirm your denial in time; watch the message, it shows what counted. Since then the request became membership of an access list.
        The request is approved.
        The request is approved. Since then the request was deleted in Teleport.
        ");
    }

    #[test]
    fn what_counted_outlasts_what_could_not_be_looked_into() {
        let counted = Answer::Accepted(Accepted::Counted(Approve, TALLY));
        let moment = Answer::Refused(Refusal::TooBusy);
        let judged = Answer::Refused(Refusal::Promoted);
        assert!(counted.outlasts(&moment));
        for (earlier, later) in [
            (&counted, &counted),
            (&counted, &judged),
            (&moment, &counted),
            (&moment, &moment),
            (&judged, &moment),
        ] {
            assert!(!earlier.outlasts(later), "{earlier:?} {later:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_late_answer_is_within_the_rules(text in hostile()) {
            let deciders = [text.clone(), "carol@example.com".to_owned()];
            let names = Names {
                user: &text,
                other_case: &text,
                role: &text,
                deciders: &deciders,
                reason: &text,
                cluster: &text,
                other_cluster: &text,
            };
            let id = RequestId::new(&*text);
            let refusals = all_refusals(&names);
            let closed = refusals.iter().cloned().map(CurrentState::Closed);
            for state in closed.chain([CurrentState::Open, CurrentState::Unknown]) {
                for answer in all_accepted(TALLY).into_iter().map(Answer::Accepted) {
                    let judged = validate(&answer.message_later(click(&id), &state));
                    assert!(judged.blocks.is_empty() && !judged.text.contains('\n'), "{}", judged.text);
                }
            }
            for answer in refusals.into_iter().map(Answer::Refused) {
                let message = answer.message();
                let late = answer.message_later(click(&id), &CurrentState::Open);
                let judged = validate(&late);
                assert_nothing_styled(&judged);
                assert!(late.text().ends_with(message.text()) && !judged.text.contains('\n'), "{}", judged.text);
            }
        }
    }
}
