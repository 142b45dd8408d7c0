//! The answers that only the person who clicked sees: one sentence each.
//!
//! It is sent as an ephemeral message. Which of them applies is decided in [`crate::policy`] and
//! [`crate::policy::identity`], or by the caller of Slack and Teleport.

use super::blocks::Message;
use super::mrkdwn::{ListLimits, Mrkdwn};
use crate::domain::decision::Decision;
use crate::interaction::shown_cluster::MAX_CLUSTER;
use crate::policy::Tally;
use crate::policy::refusal::{AccountIneligible, Newer, Refusal};

const MAX_NAME: usize = 128;
const MAX_REASON: usize = 500;
/// Why a certificate that a person signed does not do, and what an administrator can do about it.
const SECOND_FACTOR: &str = "Teleport asks me for a second factor (WebAuthn), which no program has; an administrator must have my certificate made by Machine ID (tbot) or signed on the auth server itself, ";
pub(super) const NAMES: ListLimits = ListLimits { separator: ", ", items: 10, each: MAX_NAME, total: 800 };

/// What became of a decision that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Teleport took the review and the request still waits.
    Reviewed(Decision),
    /// The vote is in and more are needed.
    Counted(Decision, Tally),
    /// Teleport confirmed that the request is decided.
    Resolved(Decision),
    /// The vote is in and decided, and Teleport does not answer; the daemon applies it as soon as Teleport does.
    Pending(Decision),
    /// The vote is in and decided, and Teleport does not let the daemon carry it out.
    NotApplied(Decision),
    /// The same, because Teleport wants a second factor from the daemon.
    LacksSecondFactor(Decision),
    /// Teleport did not say whether it took it.
    Unconfirmed(Decision),
}

impl Accepted {
    /// Every word of [`Accepted::kind`].
    pub const KINDS: [&'static str; 7] =
        ["reviewed", "counted", "resolved", "pending", "not_applied", "lacks_second_factor", "unconfirmed"];

    /// What the person decided.
    pub fn decision(&self) -> Decision {
        match self {
            Self::Reviewed(decision)
            | Self::Counted(decision, _)
            | Self::Resolved(decision)
            | Self::Pending(decision)
            | Self::NotApplied(decision)
            | Self::LacksSecondFactor(decision)
            | Self::Unconfirmed(decision) => *decision,
        }
    }

    /// A word for logs and metrics, from a closed list.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reviewed(_) => "reviewed",
            Self::Counted(..) => "counted",
            Self::Resolved(_) => "resolved",
            Self::Pending(_) => "pending",
            Self::NotApplied(_) => "not_applied",
            Self::LacksSecondFactor(_) => "lacks_second_factor",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }
}

/// The sentence for a decision that counted.
pub fn accepted(accepted: Accepted) -> Message {
    let mut text = Mrkdwn::default();
    match accepted {
        Accepted::Reviewed(decision) => {
            text.trusted(wording(decision).yours_first)
                .trusted(" is recorded in Teleport; the request waits for more reviews.");
        }
        Accepted::Counted(decision, tally) => {
            let (have, need) = match decision {
                Decision::Approve => (tally.approvals, tally.approvals_needed),
                Decision::Deny => (tally.denials, tally.denials_needed),
            };
            text.trusted(wording(decision).yours_first)
                .trusted(" counts: ")
                .number(have)
                .trusted(" of ")
                .number(need);
            text.trusted(wording(decision).many).trusted(".");
        }
        Accepted::Resolved(decision) => {
            text.trusted("The request is ").trusted(wording(decision).done).trusted(".");
        }
        Accepted::Pending(decision) => {
            text.trusted(wording(decision).yours_first);
            text.trusted(" is recorded, but Teleport does not answer; the request will be ")
                .trusted(wording(decision).done);
            text.trusted(" as soon as it does.");
        }
        Accepted::NotApplied(decision) => {
            text.trusted(wording(decision).yours_first);
            text.trusted(" is recorded, but Teleport does not let me carry it out; an administrator must allow it, or decide the request in Teleport.");
        }
        Accepted::LacksSecondFactor(decision) => {
            text.trusted(wording(decision).yours_first).trusted(" is recorded, but ").trusted(SECOND_FACTOR);
            text.trusted("or decide the request in Teleport.");
        }
        Accepted::Unconfirmed(decision) => {
            text.trusted("Teleport did not confirm ").trusted(wording(decision).yours);
            text.trusted(" in time; watch the message, it shows what counted.");
        }
    }
    Message::plain(text)
}

/// The sentence for a decision that changed nothing.
pub fn refused(refusal: &Refusal) -> Message {
    Message::plain(refused_text(refusal))
}

pub(super) fn refused_text(refusal: &Refusal) -> Mrkdwn {
    let mut text = Mrkdwn::default();
    add_refusal(&mut text, refusal);
    text
}

fn add_refusal<'a>(text: &'a mut Mrkdwn, refusal: &Refusal) -> &'a mut Mrkdwn {
    match refusal {
        Refusal::AlreadyDecided { decision, by, reason } => {
            text.trusted("This request was already ").trusted(wording(*decision).done);
            if !by.is_empty() {
                text.trusted(" by ").list(by, NAMES);
            }
            if !reason.trim().is_empty() {
                text.trusted(" (").untrusted(reason, MAX_REASON).trusted(")");
            }
            text.trusted("; nothing was changed.")
        }
        Refusal::BeingDecided { decision } => {
            text.trusted("This request already has enough ").trusted(match decision {
                Decision::Approve => "approvals",
                Decision::Deny => "denials",
            });
            text.trusted(" and is being updated in Teleport; nothing was changed.")
        }
        Refusal::Expired => text.trusted("This request has expired; nothing was changed."),
        Refusal::Deleted => text.trusted("This request no longer exists in Teleport; nothing was changed."),
        Refusal::Promoted => {
            text.trusted("This request became membership of an access list; there is nothing left to decide.")
        }
        Refusal::LongTerm => text.trusted("This request is for lasting access; decide it in Teleport's web UI."),
        Refusal::AlreadyVoted { decision, in_slack } => {
            text.trusted("You already ").trusted(wording(*decision).done).trusted(" this request in ");
            text.trusted(if *in_slack { "Slack" } else { "Teleport" }).trusted("; that cannot be changed.")
        }
        Refusal::SelfReview => text.trusted("This is your own request; somebody else must decide it."),
        Refusal::NotAnApprover { role, named } => {
            text.trusted("You may not decide on role “").untrusted(role, MAX_NAME);
            text.trusted("” in Slack: its rule names ").list(named, NAMES).trusted(".")
        }
        Refusal::NoMatchingRule { role } if role.is_empty() => {
            text.trusted("This request names no role, so no rule applies to it; decide it in Teleport.")
        }
        Refusal::NoMatchingRule { role } => {
            text.trusted("No rule lets anybody decide on role “").untrusted(role, MAX_NAME);
            text.trusted("” in Slack; decide it in Teleport.")
        }
        Refusal::NotSuggested { named } if named.is_empty() => text.trusted(
            "Only suggested reviewers may decide in Slack, and this request has none; decide it in Teleport.",
        ),
        Refusal::NotSuggested { named } => {
            text.trusted("Only this request's suggested reviewers may decide it in Slack: ");
            text.list(named, NAMES).trusted(".")
        }
        Refusal::TeleportOnly => {
            text.trusted("The rules leave this role to Teleport; open the request there to decide it.")
        }
        Refusal::NotPossible => {
            text.trusted("Deciding in Slack is not possible for this cluster; decide it in Teleport.")
        }
        Refusal::NotOnBehalf { user } => {
            text.trusted("Teleport does not let me submit a review for you (“").untrusted(user, MAX_NAME);
            text.trusted("”), so nothing was changed; decide it in Teleport.")
        }
        Refusal::ReasonMissing => {
            text.trusted("This role cannot be decided without a reason; nothing was changed.")
        }
        Refusal::UnmappedUser { sign_in_may_help: false } => text.trusted(
            "Your Slack account is linked to no Teleport user, so nothing was changed; an administrator can link it.",
        ),
        Refusal::UnmappedUser { sign_in_may_help: true } => text.trusted(
            "Your Slack account is linked to no Teleport user, so nothing was changed; if you use single sign-on, sign in to Teleport once and try again, else an administrator can link it.",
        ),
        Refusal::AmbiguousUser { users } => {
            text.trusted("Your Slack account does not lead to exactly one Teleport user (").list(users, NAMES);
            text.trusted("); an administrator must correct the links.")
        }
        Refusal::TeleportUserExpired { user } => {
            text.trusted("Your Teleport user “").untrusted(user, MAX_NAME);
            text.trusted("” has expired; sign in to Teleport once and try again.")
        }
        Refusal::TeleportUserUnknown { user } => {
            text.trusted("Teleport knows no user “").untrusted(user, MAX_NAME);
            text.trusted("” (capitals count); if you use single sign-on, sign in to Teleport once and try again.")
        }
        Refusal::UserCaseMismatch { user, mapped: linked } => {
            text.trusted("Your Slack account leads to “").untrusted(linked, MAX_NAME);
            text.trusted("”, but Teleport's user is called “").untrusted(user, MAX_NAME);
            text.trusted("”: capitals count, so nothing was changed; an administrator can link your account to that user.")
        }
        Refusal::ApproverCaseMismatch { role, named, user } => {
            if role.is_empty() {
                text.trusted("This request suggests “").untrusted(named, MAX_NAME);
            } else {
                text.trusted("The rule for role “").untrusted(role, MAX_NAME);
                text.trusted("” names “").untrusted(named, MAX_NAME);
            }
            text.trusted("”, but you are “").untrusted(user, MAX_NAME);
            text.trusted("” in Teleport: capitals count, so nothing was changed; ");
            text.trusted(match role.is_empty() {
                true => "decide it in Teleport.",
                false => "an administrator must correct the rule.",
            })
        }
        Refusal::UsersUnreadable => text.trusted(
            "I may not read Teleport's users, so I cannot tell who you are there; an administrator must allow it.",
        ),
        Refusal::AccountIneligible(ineligible) => text.trusted(ineligible_text(*ineligible)),
        Refusal::EmailUnconfirmed => {
            text.trusted("Your e-mail address is not confirmed in Slack; confirm it and try again.")
        }
        Refusal::MayNotReview => {
            text.trusted("Teleport does not let you review this request; nothing was changed.")
        }
        Refusal::TeleportRefused => {
            text.trusted("Teleport did not accept the decision; nothing was changed.")
        }
        Refusal::SecondFactor => {
            text.trusted("Nothing was changed, because ").trusted(SECOND_FACTOR).trusted("or you decide it in Teleport.")
        }
        Refusal::TeleportUnreachable => {
            text.trusted("Teleport does not answer, so nothing was decided; try again in a minute.")
        }
        Refusal::TeleportForbids => text.trusted(
            "Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate.",
        ),
        Refusal::SlackUnreachable => {
            text.trusted("Slack does not tell who you are, so nothing was decided; try again in a minute.")
        }
        Refusal::SlackForbids => text.trusted(
            "Slack does not let me read who people are, so nothing was decided; an administrator must look at the Slack app and its token.",
        ),
        Refusal::ScopeMissing { scope } => {
            text.trusted("The Slack app lacks the scope ").trusted(scope);
            text.trusted(", so Slack does not tell me who may decide, and nothing was decided; an administrator must add it to the app and install the app again.")
        }
        Refusal::GroupsUnreadable { is_lasting: false } => text.trusted(
            "Slack does not answer who is in a user group that the rules name, so nothing was decided; try again in a minute.",
        ),
        Refusal::GroupsUnreadable { is_lasting: true } => text.trusted(
            "Slack does not let me read a user group that the rules name, so nothing was decided; an administrator must look at the rules and at the app's scopes.",
        ),
        Refusal::Newer(newer) => {
            let (before, number) = match newer {
                Newer::State(number) => ("Teleport gives this request the state ", number),
                Newer::Kind(number) => ("This request is of the kind ", number),
                Newer::Review(number) => ("Teleport has a review of this request that says ", number),
            };
            text.trusted(before).untrusted(&number.to_string(), MAX_NAME);
            text.trusted(", which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.")
        }
        Refusal::GroupGone => text.trusted(
            "A user group that the rules name is gone from Slack, so I cannot tell whether you may decide; an administrator must correct the rules.",
        ),
        Refusal::DenialsInDoubt => text.trusted(
            "Others denied this before, and their Slack account or user group is gone since, so nobody can tell whether their denials still count: nothing was approved; decide it in Teleport.",
        ),
        Refusal::VotersUnreadable => text.trusted(
            "Slack does not tell whether those who voted before you still may, so nothing was decided; try again in a minute.",
        ),
        Refusal::Timeout => {
            text.trusted("This took too long and was canceled, so nothing was decided; try again.")
        }
        Refusal::StaleMessage => {
            text.trusted("This is not one of the request's current messages; use a newer one, or Teleport.")
        }
        Refusal::OtherCluster { cluster, own } => {
            text.trusted("This message is of the Teleport cluster “").untrusted(cluster, MAX_CLUSTER);
            text.trusted("”, and I work for “").untrusted(own, MAX_CLUSTER);
            text.trusted("”, so nothing was decided; press again, or decide it in Teleport, and tell an administrator: both clusters use one Slack app, so Slack hands a click to either, and each cluster needs a Slack app of its own.")
        }
        Refusal::ExpiredModal => {
            text.trusted("The form was open for too long, so nothing was decided; press the button again.")
        }
        Refusal::UnknownOrigin => text.trusted("This click could not be taken; decide the request in Teleport."),
        Refusal::OtherInstallation => text.trusted(
            "This came through another Slack workspace than the one that I work for, so nothing was decided; decide the request in Teleport.",
        ),
        Refusal::TooBusy => {
            text.trusted("Too many people decide at this moment, so nothing was decided; try again in a minute.")
        }
        Refusal::Interrupted => text.trusted(
            "I was interrupted while I worked on this; look at the message to see whether it counted, and try again if it did not.",
        ),
        Refusal::VotesUnusable => text.trusted(
            "This request's votes cannot be read or are full, so nothing was counted; decide it in Teleport.",
        ),
    }
}

fn ineligible_text(ineligible: AccountIneligible) -> &'static str {
    match ineligible {
        AccountIneligible::IdMismatch => "Slack reports a different account; nothing was changed.",
        AccountIneligible::Deactivated => "Your Slack account is deactivated; it cannot decide on access.",
        AccountIneligible::Slackbot => "Slackbot cannot decide on access.",
        AccountIneligible::WorkflowBot => "A workflow cannot decide on access.",
        AccountIneligible::ConnectorBot => "A connector cannot decide on access.",
        AccountIneligible::Bot => "A bot cannot decide on access.",
        AccountIneligible::SingleChannelGuest => "Single-channel guests cannot decide on access.",
        AccountIneligible::Guest => "Guests cannot decide on access.",
        AccountIneligible::External => "People from outside this Slack workspace cannot decide on access.",
        AccountIneligible::OtherWorkspace => {
            "Your Slack account belongs to another workspace; it cannot decide on access here."
        }
        AccountIneligible::NeverSignedIn => {
            "Your Slack account was never signed in to; it cannot decide on access."
        }
    }
}

/// How sentences name a decision.
pub(super) struct Wording {
    /// The request is …
    pub(super) done: &'static str,
    /// At the start of a sentence.
    pub(super) yours_first: &'static str,
    pub(super) yours: &'static str,
    /// After a number, with the space before it.
    many: &'static str,
}

pub(super) fn wording(decision: Decision) -> Wording {
    match decision {
        Decision::Approve => Wording {
            done: "approved",
            yours_first: "Your approval",
            yours: "your approval",
            many: " approvals",
        },
        Decision::Deny => {
            Wording { done: "denied", yours_first: "Your denial", yours: "your denial", many: " denials" }
        }
    }
}

#[cfg(test)]
mod tests;
