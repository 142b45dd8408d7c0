//! Every variant of what is shown, one after the other.
//!
//! Each function names the variant that follows another. A new variant does not compile until it has its place here,
//! and so its messages are judged.

use access_core::control::Decision;
use access_core::lifecycle::Phase;
use access_core::policy::Standing;
use access_core::refusal::{Distrust, Newer, Refusal};
use access_core::render::answer::Done;
use access_core::render::card::{NoButtons, Offer};
use access_core::request::RequestState;

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

pub(crate) fn offer(last: Option<&Offer<'static>>) -> Option<Offer<'static>> {
    Some(match last {
        None => Offer::Nothing,
        Some(Offer::Nothing) => Offer::Link(NoButtons::OwnRequest),
        Some(Offer::Link(NoButtons::OwnRequest)) => Offer::Link(NoButtons::UnknownReader),
        Some(Offer::Link(NoButtons::UnknownReader)) => {
            Offer::Link(NoButtons::NoRule { role: "<!channel> *dba*" })
        }
        Some(Offer::Link(NoButtons::NoRule { .. })) => Offer::Link(NoButtons::NoRole),
        Some(Offer::Link(NoButtons::NoRole)) => Offer::Link(NoButtons::NoSuggestedReviewer),
        Some(Offer::Link(NoButtons::NoSuggestedReviewer)) => Offer::Link(NoButtons::NotPossible),
        Some(Offer::Link(NoButtons::NotPossible)) => Offer::Link(NoButtons::TeleportOnly),
        Some(Offer::Link(NoButtons::TeleportOnly)) => Offer::Link(NoButtons::LongTerm),
        Some(Offer::Link(NoButtons::LongTerm)) => Offer::Link(NoButtons::UnknownKind),
        Some(Offer::Link(NoButtons::UnknownKind)) => Offer::Buttons { confirm: false },
        Some(Offer::Buttons { confirm: false }) => Offer::Buttons { confirm: true },
        Some(Offer::Buttons { confirm: true }) => return None,
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

pub(crate) fn done_after(last: Option<&Done>, decision: Decision, standing: Standing) -> Option<Done> {
    Some(match last {
        None => Done::Reviewed(decision),
        Some(Done::Reviewed(_)) => Done::Counted(decision, standing),
        Some(Done::Counted(..)) => Done::Resolved(decision),
        Some(Done::Resolved(_)) => Done::ToBeResolved(decision),
        Some(Done::ToBeResolved(_)) => Done::NotCarriedOut(decision),
        Some(Done::NotCarriedOut(_)) => Done::LacksSecondFactor(decision),
        Some(Done::LacksSecondFactor(_)) => Done::Unsure(decision),
        Some(Done::Unsure(_)) => return None,
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
        Some(Refusal::AlreadyVoted { in_slack: false, .. }) => Refusal::OwnRequest,
        Some(Refusal::OwnRequest) => Refusal::NotNamed { role: text(), named: texts() },
        Some(Refusal::NotNamed { .. }) => Refusal::NotCovered { role: text() },
        Some(Refusal::NotCovered { .. }) => Refusal::NotSuggested { named: texts() },
        Some(Refusal::NotSuggested { .. }) => Refusal::TeleportOnly,
        Some(Refusal::TeleportOnly) => Refusal::NotPossible,
        Some(Refusal::NotPossible) => Refusal::NotOnBehalf { user: text() },
        Some(Refusal::NotOnBehalf { .. }) => Refusal::MayNotReview,
        Some(Refusal::MayNotReview) => Refusal::ReasonMissing,
        Some(Refusal::ReasonMissing) => Refusal::NotLinked,
        Some(Refusal::NotLinked) => Refusal::LinkedTwice { users: texts() },
        Some(Refusal::LinkedTwice { .. }) => Refusal::TeleportUserExpired { user: text() },
        Some(Refusal::TeleportUserExpired { .. }) => Refusal::TeleportUserUnknown { user: text() },
        Some(Refusal::TeleportUserUnknown { .. }) => Refusal::OtherCapitals { user: text(), linked: text() },
        Some(Refusal::OtherCapitals { .. }) => {
            Refusal::NamedInOtherCapitals { role: text(), named: text(), user: text() }
        }
        Some(Refusal::NamedInOtherCapitals { .. }) => Refusal::UsersUnreadable,
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
        Some(Refusal::DenialsInDoubt) => Refusal::TooSlow,
        Some(Refusal::TooSlow) => Refusal::StaleMessage,
        Some(Refusal::StaleMessage) => Refusal::OtherCluster { cluster: text(), own: text() },
        Some(Refusal::OtherCluster { .. }) => Refusal::StaleDialogue,
        Some(Refusal::StaleDialogue) => Refusal::NotOurs,
        Some(Refusal::NotOurs) => Refusal::OtherInstallation,
        Some(Refusal::OtherInstallation) => Refusal::TooBusy,
        Some(Refusal::TooBusy) => Refusal::Interrupted,
        Some(Refusal::Interrupted) => Refusal::VotesUnusable,
        Some(Refusal::VotesUnusable) => Refusal::Untrusted(distrust(None)?),
        Some(Refusal::Untrusted(last)) => Refusal::Untrusted(distrust(Some(last))?),
    })
}

fn distrust(last: Option<&Distrust>) -> Option<Distrust> {
    Some(match last {
        None => Distrust::SomebodyElse,
        Some(Distrust::SomebodyElse) => Distrust::Deactivated,
        Some(Distrust::Deactivated) => Distrust::Slackbot,
        Some(Distrust::Slackbot) => Distrust::Workflow,
        Some(Distrust::Workflow) => Distrust::Connector,
        Some(Distrust::Connector) => Distrust::Bot,
        Some(Distrust::Bot) => Distrust::SingleChannelGuest,
        Some(Distrust::SingleChannelGuest) => Distrust::Guest,
        Some(Distrust::Guest) => Distrust::Stranger,
        Some(Distrust::Stranger) => Distrust::OtherWorkspace,
        Some(Distrust::OtherWorkspace) => Distrust::Invited,
        Some(Distrust::Invited) => return None,
    })
}
