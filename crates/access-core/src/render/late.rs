//! Answers that a person gets later than the click, and perhaps for the second time: which click each is about, and what
//! holds by now.

use jiff::Timestamp;

use super::blocks::Message;
use super::ephemeral::{Accepted, NAMES, accepted, refused, wording};
use super::mrkdwn::Mrkdwn;
use crate::domain::ids::RequestId;
use crate::policy::refusal::Refusal;
use crate::policy::vote_status::VoteStatus;
use crate::policy::{CurrentState, OwnVote};

const MAX_ID: usize = 128;
const CANNOT_ASK: &str = " I cannot ask Teleport whether that still holds; the request's message shows it.";

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

    /// The answer at a later time: which click it is about, what it did, and what is so now.
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
            (_, CurrentState::Unread) => {
                text.finished(self.message().markup());
            }
            (Self::Accepted(what), state) => add_accepted(&mut text, *what, state),
            (Self::Refused(_), CurrentState::Closed(refusal)) => {
                text.finished(refused(refusal).markup());
            }
            (Self::Refused(_), CurrentState::Voted(own)) if own.status != VoteStatus::Past => {
                let voted = Refusal::AlreadyVoted { decision: own.decision, in_slack: true };
                text.finished(refused(&voted).markup());
            }
            (Self::Refused(refusal), CurrentState::Open | CurrentState::Voted(_)) => {
                text.finished(refused(refusal).markup());
            }
            (Self::Refused(refusal), CurrentState::Unknown) => {
                text.finished(refused(refusal).markup());
                text.trusted(CANNOT_ASK);
            }
        }
        Message::plain(text)
    }
}

/// What a click that counted did, and what is so now. In the present tense is only what was just read.
fn add_accepted(text: &mut Mrkdwn, what: Accepted, state: &CurrentState) {
    let decision = what.decision();
    let counts = |own: &OwnVote| own.decision == decision && own.status == VoteStatus::Counts;
    match (what, state) {
        (_, CurrentState::Closed(Refusal::AlreadyDecided { decision: by_now, .. }))
            if *by_now == decision =>
        {
            text.finished(accepted(Accepted::Resolved(decision)).markup());
        }
        (Accepted::Counted(..), CurrentState::Voted(own)) if counts(own) => {
            text.finished(accepted(Accepted::Counted(decision, own.tally)).markup());
        }
        (_, CurrentState::Closed(refusal)) => {
            add_effect(text, what);
            add_change(text, refusal);
        }
        (Accepted::Resolved(_), CurrentState::Voted(own))
            if own.decision == decision && own.status == VoteStatus::Past =>
        {
            add_effect(text, what);
            text.trusted(" Since then it was opened again, and ").trusted(wording(decision).yours);
            text.trusted(" does not count any more.");
        }
        (Accepted::Resolved(_), CurrentState::Voted(_) | CurrentState::Open) => {
            add_effect(text, what);
            text.trusted(" Since then it was opened again.");
        }
        (Accepted::Reviewed(_), CurrentState::Voted(_)) | (_, CurrentState::Open) => {
            add_effect(text, what);
            text.trusted(" The request waits for a decision; its message shows what counts.");
        }
        (_, CurrentState::Voted(own)) if counts(own) => {
            add_effect(text, what);
            text.trusted(" ").finished(accepted(Accepted::Counted(decision, own.tally)).markup());
            text.trusted(" The request still waits.");
        }
        (_, CurrentState::Voted(own)) => {
            add_effect(text, what);
            add_worthless(text, what, own);
        }
        (_, CurrentState::Unread | CurrentState::Unknown) => {
            add_effect(text, what);
            text.trusted(CANNOT_ASK);
        }
    }
}

/// What the click did then.
fn add_effect(text: &mut Mrkdwn, what: Accepted) {
    let words = wording(what.decision());
    match what {
        Accepted::Reviewed(_) => text.trusted(words.yours_first).trusted(" was recorded in Teleport."),
        Accepted::Counted(..) => text.trusted(words.yours_first).trusted(" counted."),
        Accepted::Resolved(_) => text.trusted("The request was ").trusted(words.done).trusted("."),
        Accepted::Pending(_) => {
            text.trusted(words.yours_first).trusted(" was recorded, but Teleport did not answer.")
        }
        Accepted::NotApplied(_) => text.trusted(words.yours_first).trusted(
            " was recorded, but Teleport did not let me carry it out: an administrator had to allow it, or to decide the request in Teleport.",
        ),
        Accepted::LacksSecondFactor(_) => text.trusted(words.yours_first).trusted(
            " was recorded, but Teleport asked me for a second factor (WebAuthn), which no program has: an administrator had to change that, or to decide the request in Teleport.",
        ),
        Accepted::Unconfirmed(_) => {
            text.trusted("Teleport did not confirm ").trusted(words.yours).trusted(" in time.")
        }
    };
}

/// Why the vote does not count, on a request that waits.
fn add_worthless(text: &mut Mrkdwn, what: Accepted, own: &OwnVote) {
    let words = wording(what.decision());
    let why = match own.status {
        VoteStatus::Past => {
            text.trusted(" Since then the request was decided and opened again, and ").trusted(words.yours);
            text.trusted(" does not count any more.");
            return;
        }
        VoteStatus::NotAnApprover => "the rules do not name you for this request",
        VoteStatus::SelfReview => "the request is your own",
        VoteStatus::Unverifiable | VoteStatus::Ineligible => {
            "your Slack account may not decide any more, or is linked to another Teleport user"
        }
        VoteStatus::Counts | VoteStatus::Superseded => "there is another decision in your name",
    };
    let vote = if matches!(what, Accepted::Counted(..)) { "It" } else { words.yours_first };
    text.trusted(" ").trusted(vote).trusted(" does not count now: ").trusted(why).trusted(".");
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
        // The request's message shows what it is.
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
        let [reviewed, not_applied, second_factor] =
            [Accepted::Reviewed(Approve), Accepted::NotApplied(Approve), Accepted::LacksSecondFactor(Deny)]
                .map(Answer::Accepted);
        let closed = |refusal| CurrentState::Closed(refusal);
        let tally = Tally { approvals: 2, approvals_needed: 3, ..TALLY };
        let of = |decision, status| CurrentState::Voted(OwnVote { decision, status, tally });
        let voted = |status| of(Approve, status);
        use VoteStatus::*;
        let lines = [
            (&moment, decided(Deny)),
            (&moment, voted(Counts)),
            (&moment, voted(NotAnApprover)),
            (&moment, voted(Past)),
            (&moment, closed(Refusal::Deleted)),
            (&moment, CurrentState::Unknown),
            (&counted, CurrentState::Unread),
            (&counted, CurrentState::Open),
            (&counted, CurrentState::Unknown),
            (&counted, voted(Counts)),
            (&counted, of(Deny, Counts)),
            (&counted, voted(Past)),
            (&counted, voted(NotAnApprover)),
            (&counted, voted(Ineligible)),
            (&counted, voted(SelfReview)),
            (&counted, voted(Superseded)),
            (&counted, decided(Approve)),
            (&counted, decided(Deny)),
            (&counted, closed(Refusal::Expired)),
            (&pending, voted(Counts)),
            (&pending, decided(Approve)),
            (&not_applied, voted(Counts)),
            (&second_factor, voted(Counts)),
            (&second_factor, CurrentState::Unknown),
            (&unconfirmed, decided(Deny)),
            (&unconfirmed, CurrentState::Open),
            (&unconfirmed, closed(Refusal::Promoted)),
            (&reviewed, CurrentState::Open),
            (&resolved, decided(Approve)),
            (&resolved, closed(Refusal::Deleted)),
            (&resolved, voted(Past)),
            (&resolved, voted(Counts)),
            (&resolved, CurrentState::Open),
            (&resolved, CurrentState::Unknown),
        ]
        .map(|(answer, state)| {
            let message = answer.message_later(click(&id), &state);
            message.text().split_once("answer then: ").unwrap().1.to_owned()
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        This request was already denied by carol@example.com (no); nothing was changed.
        You already approved this request in Slack; that cannot be changed.
        You already approved this request in Slack; that cannot be changed.
        Slack does not tell who you are, so nothing was decided; try again in a minute.
        This request no longer exists in Teleport; nothing was changed.
        Slack does not tell who you are, so nothing was decided; try again in a minute. I cannot ask Teleport whether that still holds; the request's message shows it.
        Your approval counts: 1 of 2 approvals.
        Your approval counted. The request waits for a decision; its message shows what counts.
        Your approval counted. I cannot ask Teleport whether that still holds; the request's message shows it.
        Your approval counts: 2 of 3 approvals.
        Your approval counted. It does not count now: there is another decision in your name.
        Your approval counted. Since then the request was decided and opened again, and your approval does not count any more.
        Your approval counted. It does not count now: the rules do not name you for this request.
        Your approval counted. It does not count now: your Slack account may not decide any more, or is linked to another Teleport user.
        Your approval counted. It does not count now: the request is your own.
        Your approval counted. It does not count now: there is another decision in your name.
        The request is approved.
        Your approval counted. Since then the request was denied by carol@example.com.
        Your approval counted. Since then the request has expired.
        Your approval was recorded, but Teleport did not answer. Your approval counts: 2 of 3 approvals. The request still waits.
        The request is approved.
        Your approval was recorded, but Teleport did not let me carry it out: an administrator had to allow it, or to decide the request in Teleport. Your approval counts: 2 of 3 approvals. The request still waits.
        Your denial was recorded, but Teleport asked me for a second factor (WebAuthn), which no program has: an administrator had to change that, or to decide the request in Teleport. Your denial does not count now: there is another decision in your name.
        Your denial was recorded, but Teleport asked me for a second factor (WebAuthn), which no program has: an administrator had to change that, or to decide the request in Teleport. I cannot ask Teleport whether that still holds; the request's message shows it.
        The request is denied.
        Teleport did not confirm your denial in time. The request waits for a decision; its message shows what counts.
        Teleport did not confirm your denial in time. Since then the request became membership of an access list.
        Your approval was recorded in Teleport. The request waits for a decision; its message shows what counts.
        The request is approved.
        The request was approved. Since then the request was deleted in Teleport.
        The request was approved. Since then it was opened again, and your approval does not count any more.
        The request was approved. Since then it was opened again.
        The request was approved. Since then it was opened again.
        The request was approved. I cannot ask Teleport whether that still holds; the request's message shows it.
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
        #[test]
        fn any_late_answer_is_within_the_rules(text in hostile(), first in 0..14_usize) {
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
            let own = OwnVote { decision: Deny, status: VoteStatus::Past, tally: TALLY };
            let open = [CurrentState::Open, CurrentState::Voted(own), CurrentState::Unread, CurrentState::Unknown];
            // Each state with one of the answers, and with others in the next case.
            let accepted = all_accepted(TALLY).into_iter().map(Answer::Accepted).cycle().skip(first);
            for (state, answer) in closed.chain(open).zip(accepted) {
                let judged = validate(&answer.message_later(click(&id), &state));
                assert!(judged.blocks.is_empty() && !judged.text.contains('\n'), "{}", judged.text);
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
