//! Every variant of what is shown, one after the other.
//!
//! Each function names the variant that follows another. A new variant does not compile until it has its place here,
//! and so its messages are judged.

use access_core::domain::decision::Decision;
use access_core::domain::lifecycle::Phase;
use access_core::domain::request::RequestState;
use access_core::policy::Tally;
use access_core::policy::refusal::{AccountIneligible, Newer, Refusal};
use access_core::render::ephemeral::Accepted;
use access_core::render::request_message::{Controls, NoButtons};

use crate::inputs::Inputs;

/// All values, from the one that follows nothing to the one that nothing follows.
pub(crate) fn chain<T>(next: impl Fn(Option<&T>) -> Option<T>) -> impl Iterator<Item = T>
where
    T: Clone,
{
    let first = next(None);
    std::iter::successors(first, move |last| next(Some(last)))
}

pub(crate) fn phase(last: Option<&Phase>) -> Option<Phase> {
    Some(match last {
        None => Phase::Pending,
        Some(Phase::Pending) => Phase::Approved,
        Some(Phase::Approved) => Phase::Denied,
        Some(Phase::Denied) => Phase::Promoted,
        Some(Phase::Promoted) => Phase::Expired,
        Some(Phase::Expired) => Phase::Deleted,
        Some(Phase::Deleted) => Phase::Unknown,
        Some(Phase::Unknown) => return None,
    })
}

pub(crate) fn controls(last: Option<&Controls<'static>>) -> Option<Controls<'static>> {
    Some(match last {
        None => Controls::None,
        Some(Controls::None) => Controls::Link(NoButtons::SelfReview),
        Some(Controls::Link(NoButtons::SelfReview)) => Controls::Link(NoButtons::UnknownRecipient),
        Some(Controls::Link(NoButtons::UnknownRecipient)) => {
            Controls::Link(NoButtons::NoMatchingRule { role: "<!channel> *dba*" })
        }
        Some(Controls::Link(NoButtons::NoMatchingRule { .. })) => Controls::Link(NoButtons::NoRole),
        Some(Controls::Link(NoButtons::NoRole)) => Controls::Link(NoButtons::NoSuggestedReviewer),
        Some(Controls::Link(NoButtons::NoSuggestedReviewer)) => Controls::Link(NoButtons::NotPossible),
        Some(Controls::Link(NoButtons::NotPossible)) => Controls::Link(NoButtons::TeleportOnly),
        Some(Controls::Link(NoButtons::TeleportOnly)) => Controls::Link(NoButtons::LongTerm),
        Some(Controls::Link(NoButtons::LongTerm)) => Controls::Link(NoButtons::UnknownKind),
        Some(Controls::Link(NoButtons::UnknownKind)) => Controls::Buttons { confirm: false },
        Some(Controls::Buttons { confirm: false }) => Controls::Buttons { confirm: true },
        Some(Controls::Buttons { confirm: true }) => return None,
    })
}

pub(crate) fn decision(last: Option<&Decision>) -> Option<Decision> {
    Some(match last {
        None => Decision::Approve,
        Some(Decision::Approve) => Decision::Deny,
        Some(Decision::Deny) => return None,
    })
}

pub(crate) fn state(last: Option<&RequestState>) -> Option<RequestState> {
    Some(match last {
        None => RequestState::Pending,
        Some(RequestState::Pending) => RequestState::Approved,
        Some(RequestState::Approved) => RequestState::Denied,
        Some(RequestState::Denied) => RequestState::Promoted,
        Some(RequestState::Promoted) => RequestState::Unknown(7),
        Some(RequestState::Unknown(_)) => return None,
    })
}

pub(crate) fn accepted_after(last: Option<&Accepted>, decision: Decision, tally: Tally) -> Option<Accepted> {
    Some(match last {
        None => Accepted::Reviewed(decision),
        Some(Accepted::Reviewed(_)) => Accepted::Counted(decision, tally),
        Some(Accepted::Counted(..)) => Accepted::Resolved(decision),
        Some(Accepted::Resolved(_)) => Accepted::Pending(decision),
        Some(Accepted::Pending(_)) => Accepted::NotApplied(decision),
        Some(Accepted::NotApplied(_)) => Accepted::LacksSecondFactor(decision),
        Some(Accepted::LacksSecondFactor(_)) => Accepted::Unconfirmed(decision),
        Some(Accepted::Unconfirmed(_)) => return None,
    })
}

/// With the texts of `inputs` wherever a refusal carries texts.
pub(crate) fn refusal_after(last: Option<&Refusal>, inputs: &Inputs, decision: Decision) -> Option<Refusal> {
    let text = || inputs.text.clone();
    let texts = || inputs.texts();
    Some(match last {
        None => Refusal::AlreadyDecided { decision, by: texts(), reason: text() },
        Some(Refusal::AlreadyDecided { .. }) => Refusal::BeingDecided { decision },
        Some(Refusal::BeingDecided { .. }) => Refusal::Expired,
        Some(Refusal::Expired) => Refusal::Deleted,
        Some(Refusal::Deleted) => Refusal::Promoted,
        Some(Refusal::Promoted) => Refusal::LongTerm,
        Some(Refusal::LongTerm) => Refusal::Newer(Newer::State(7)),
        Some(Refusal::Newer(Newer::State(_))) => Refusal::Newer(Newer::Kind(7)),
        Some(Refusal::Newer(Newer::Kind(_))) => Refusal::Newer(Newer::Review(-7)),
        Some(Refusal::Newer(Newer::Review(_))) => Refusal::AlreadyVoted { decision, in_slack: true },
        Some(Refusal::AlreadyVoted { in_slack: true, .. }) => {
            Refusal::AlreadyVoted { decision, in_slack: false }
        }
        Some(Refusal::AlreadyVoted { in_slack: false, .. }) => Refusal::SelfReview,
        Some(Refusal::SelfReview) => Refusal::NotAnApprover { role: text(), named: texts() },
        Some(Refusal::NotAnApprover { .. }) => Refusal::NoMatchingRule { role: text() },
        Some(Refusal::NoMatchingRule { .. }) => Refusal::NotSuggested { named: texts() },
        Some(Refusal::NotSuggested { .. }) => Refusal::TeleportOnly,
        Some(Refusal::TeleportOnly) => Refusal::NotPossible,
        Some(Refusal::NotPossible) => Refusal::NotOnBehalf { user: text() },
        Some(Refusal::NotOnBehalf { .. }) => Refusal::MayNotReview,
        Some(Refusal::MayNotReview) => Refusal::ReasonMissing,
        Some(Refusal::ReasonMissing) => Refusal::UnmappedUser { sign_in_may_help: true },
        Some(Refusal::UnmappedUser { sign_in_may_help: true }) => {
            Refusal::UnmappedUser { sign_in_may_help: false }
        }
        Some(Refusal::UnmappedUser { .. }) => Refusal::AmbiguousUser { users: texts() },
        Some(Refusal::AmbiguousUser { .. }) => Refusal::TeleportUserExpired { user: text() },
        Some(Refusal::TeleportUserExpired { .. }) => Refusal::TeleportUserUnknown { user: text() },
        Some(Refusal::TeleportUserUnknown { .. }) => {
            Refusal::UserCaseMismatch { user: text(), mapped: text() }
        }
        Some(Refusal::UserCaseMismatch { .. }) => {
            Refusal::ApproverCaseMismatch { role: text(), named: text(), user: text() }
        }
        Some(Refusal::ApproverCaseMismatch { .. }) => Refusal::UsersUnreadable,
        Some(Refusal::UsersUnreadable) => Refusal::EmailUnconfirmed,
        Some(Refusal::EmailUnconfirmed) => Refusal::TeleportRefused,
        Some(Refusal::TeleportRefused) => Refusal::SecondFactor,
        Some(Refusal::SecondFactor) => Refusal::TeleportUnreachable,
        Some(Refusal::TeleportUnreachable) => Refusal::TeleportForbids,
        Some(Refusal::TeleportForbids) => Refusal::SlackUnreachable,
        Some(Refusal::SlackUnreachable) => Refusal::SlackForbids,
        Some(Refusal::SlackForbids) => Refusal::ScopeMissing { scope: "users:read" },
        Some(Refusal::ScopeMissing { .. }) => Refusal::GroupsUnreadable { is_lasting: false },
        Some(Refusal::GroupsUnreadable { is_lasting: false }) => {
            Refusal::GroupsUnreadable { is_lasting: true }
        }
        Some(Refusal::GroupsUnreadable { is_lasting: true }) => Refusal::GroupGone,
        Some(Refusal::GroupGone) => Refusal::VotersUnreadable,
        Some(Refusal::VotersUnreadable) => Refusal::DenialsInDoubt,
        Some(Refusal::DenialsInDoubt) => Refusal::Timeout,
        Some(Refusal::Timeout) => Refusal::StaleMessage,
        Some(Refusal::StaleMessage) => Refusal::OtherCluster { cluster: text(), own: text() },
        Some(Refusal::OtherCluster { .. }) => Refusal::ExpiredModal,
        Some(Refusal::ExpiredModal) => Refusal::UnknownOrigin,
        Some(Refusal::UnknownOrigin) => Refusal::OtherInstallation,
        Some(Refusal::OtherInstallation) => Refusal::TooBusy,
        Some(Refusal::TooBusy) => Refusal::Interrupted,
        Some(Refusal::Interrupted) => Refusal::VotesUnusable,
        Some(Refusal::VotesUnusable) => Refusal::AccountIneligible(account_ineligible(None)?),
        Some(Refusal::AccountIneligible(last)) => Refusal::AccountIneligible(account_ineligible(Some(last))?),
    })
}

fn account_ineligible(last: Option<&AccountIneligible>) -> Option<AccountIneligible> {
    Some(match last {
        None => AccountIneligible::IdMismatch,
        Some(AccountIneligible::IdMismatch) => AccountIneligible::Deactivated,
        Some(AccountIneligible::Deactivated) => AccountIneligible::Slackbot,
        Some(AccountIneligible::Slackbot) => AccountIneligible::WorkflowBot,
        Some(AccountIneligible::WorkflowBot) => AccountIneligible::ConnectorBot,
        Some(AccountIneligible::ConnectorBot) => AccountIneligible::Bot,
        Some(AccountIneligible::Bot) => AccountIneligible::SingleChannelGuest,
        Some(AccountIneligible::SingleChannelGuest) => AccountIneligible::Guest,
        Some(AccountIneligible::Guest) => AccountIneligible::External,
        Some(AccountIneligible::External) => AccountIneligible::OtherWorkspace,
        Some(AccountIneligible::OtherWorkspace) => AccountIneligible::NeverSignedIn,
        Some(AccountIneligible::NeverSignedIn) => return None,
    })
}
