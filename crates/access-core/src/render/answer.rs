//! What the person who clicked is told, and nobody else: one sentence each.
//!
//! It is sent as an ephemeral message. Which of them applies is decided in [`crate::policy`] and
//! [`crate::identity`], or by whoever called Slack and Teleport.

use super::blocks::Message;
use super::card::MAX_CLUSTER;
use super::mrkdwn::{ListRoom, Mrkdwn};
use crate::control::Decision;
use crate::policy::Standing;
use crate::refusal::{Distrust, Newer, Refusal};

const MAX_NAME: usize = 128;
const MAX_REASON: usize = 500;
/// Why a certificate that a person signed does not do, and what an administrator can do about it.
const SECOND_FACTOR: &str = "Teleport asks me for a second factor (WebAuthn), which no program has; an administrator must have my certificate made by Machine ID (tbot) or signed on the auth server itself, ";
const NAMES: ListRoom = ListRoom { separator: ", ", items: 10, each: MAX_NAME, total: 800 };

/// What became of a decision that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Teleport took the review and the request still waits.
    Reviewed(Decision),
    /// The vote is in and more are needed.
    Counted(Decision, Standing),
    /// Teleport confirmed that the request is decided.
    Resolved(Decision),
    /// The vote is in and decided, and Teleport does not answer; it will be told as soon as it does.
    ToBeResolved(Decision),
    /// The vote is in and decided, and Teleport does not let the daemon carry it out.
    NotCarriedOut(Decision),
    /// The same, because Teleport wants a second factor from the daemon.
    LacksSecondFactor(Decision),
    /// Teleport did not say whether it took it.
    Unsure(Decision),
}

impl Done {
    /// Every word of [`Done::kind`].
    pub const KINDS: [&'static str; 7] = [
        "reviewed",
        "counted",
        "resolved",
        "to_be_resolved",
        "not_carried_out",
        "lacks_second_factor",
        "unsure",
    ];

    /// A word for logs and metrics, from a closed list.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reviewed(_) => "reviewed",
            Self::Counted(..) => "counted",
            Self::Resolved(_) => "resolved",
            Self::ToBeResolved(_) => "to_be_resolved",
            Self::NotCarriedOut(_) => "not_carried_out",
            Self::LacksSecondFactor(_) => "lacks_second_factor",
            Self::Unsure(_) => "unsure",
        }
    }
}

/// The sentence for a decision that counted.
pub fn done(done: Done) -> Message {
    let mut text = Mrkdwn::default();
    match done {
        Done::Reviewed(decision) => {
            text.ours(yours(decision)).ours(" is recorded in Teleport; the request waits for more reviews.");
        }
        Done::Counted(decision, standing) => {
            let (have, need) = match decision {
                Decision::Approve => (standing.approvals, standing.approvals_needed),
                Decision::Deny => (standing.denials, standing.denials_needed),
            };
            text.ours(yours(decision)).ours(" counts: ").number(have).ours(" of ").number(need);
            text.ours(many(decision)).ours(".");
        }
        Done::Resolved(decision) => {
            text.ours("The request is ").ours(past(decision)).ours(".");
        }
        Done::ToBeResolved(decision) => {
            text.ours(yours(decision));
            text.ours(" is recorded, but Teleport does not answer; the request will be ")
                .ours(past(decision));
            text.ours(" as soon as it does.");
        }
        Done::NotCarriedOut(decision) => {
            text.ours(yours(decision));
            text.ours(" is recorded, but Teleport does not let me carry it out; an administrator must allow it, or decide the request in Teleport.");
        }
        Done::LacksSecondFactor(decision) => {
            text.ours(yours(decision)).ours(" is recorded, but ").ours(SECOND_FACTOR);
            text.ours("or decide the request in Teleport.");
        }
        Done::Unsure(decision) => {
            text.ours("Teleport did not confirm ").ours(your(decision));
            text.ours(" in time; watch the message, it shows what counted.");
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
            text.ours("This request was already ").ours(past(*decision));
            if !by.is_empty() {
                text.ours(" by ").list(by, NAMES);
            }
            if !reason.trim().is_empty() {
                text.ours(" (").foreign(reason, MAX_REASON).ours(")");
            }
            text.ours("; nothing was changed.")
        }
        Refusal::BeingDecided { decision } => {
            text.ours("Enough people have ").ours(past(*decision));
            text.ours(" this request before you, and Teleport is being told; nothing was changed.")
        }
        Refusal::Expired => text.ours("This request has expired; nothing was changed."),
        Refusal::Deleted => text.ours("This request no longer exists in Teleport; nothing was changed."),
        Refusal::Promoted => {
            text.ours("This request became membership of an access list; there is nothing left to decide.")
        }
        Refusal::LongTerm => text.ours("This request is for lasting access; decide it in Teleport's web UI."),
        Refusal::AlreadyVoted { decision, in_slack } => {
            text.ours("You already ").ours(past(*decision)).ours(" this request in ");
            text.ours(if *in_slack { "Slack" } else { "Teleport" }).ours("; that cannot be changed.")
        }
        Refusal::OwnRequest => text.ours("This is your own request; somebody else must decide it."),
        Refusal::NotNamed { role, named } => {
            text.ours("You may not decide on role “").foreign(role, MAX_NAME);
            text.ours("” in Slack: its rule names ").list(named, NAMES).ours(".")
        }
        Refusal::NotCovered { role } if role.is_empty() => {
            text.ours("This request names no role, so no rule applies to it; decide it in Teleport.")
        }
        Refusal::NotCovered { role } => {
            text.ours("No rule lets anybody decide on role “").foreign(role, MAX_NAME);
            text.ours("” in Slack; decide it in Teleport.")
        }
        Refusal::NotSuggested { named } if named.is_empty() => text.ours(
            "Only suggested reviewers may decide in Slack, and this request has none; decide it in Teleport.",
        ),
        Refusal::NotSuggested { named } => {
            text.ours("Only this request's suggested reviewers may decide it in Slack: ");
            text.list(named, NAMES).ours(".")
        }
        Refusal::TeleportOnly => {
            text.ours("The rules leave this role to Teleport; open the request there to decide it.")
        }
        Refusal::NotPossible => {
            text.ours("Deciding in Slack is not possible for this cluster; decide it in Teleport.")
        }
        Refusal::NotOnBehalf { user } => {
            text.ours("Teleport does not let me submit a review for you (“").foreign(user, MAX_NAME);
            text.ours("”), so nothing was changed; decide it in Teleport.")
        }
        Refusal::ReasonMissing => {
            text.ours("This role cannot be decided without a reason; nothing was changed.")
        }
        Refusal::NotLinked => text.ours(
            "Your Slack account is linked to no Teleport user, so nothing was changed; if you use single sign-on, sign in to Teleport once and try again, else an administrator can link it.",
        ),
        Refusal::LinkedTwice { users } => {
            text.ours("Your Slack account does not lead to exactly one Teleport user (").list(users, NAMES);
            text.ours("); an administrator must correct the links.")
        }
        Refusal::TeleportUserExpired { user } => {
            text.ours("Your Teleport user “").foreign(user, MAX_NAME);
            text.ours("” has expired; sign in to Teleport once and try again.")
        }
        Refusal::TeleportUserUnknown { user } => {
            text.ours("Teleport knows no user “").foreign(user, MAX_NAME);
            text.ours("” (capitals count); if you use single sign-on, sign in to Teleport once and try again.")
        }
        Refusal::OtherCapitals { user, linked } => {
            text.ours("Your Slack account leads to “").foreign(linked, MAX_NAME);
            text.ours("”, but Teleport's user is called “").foreign(user, MAX_NAME);
            text.ours("”: capitals count, so nothing was changed; an administrator can link your account to that user.")
        }
        Refusal::NamedInOtherCapitals { role, named, user } => {
            if role.is_empty() {
                text.ours("This request suggests “").foreign(named, MAX_NAME);
            } else {
                text.ours("The rule for role “").foreign(role, MAX_NAME);
                text.ours("” names “").foreign(named, MAX_NAME);
            }
            text.ours("”, but you are “").foreign(user, MAX_NAME);
            text.ours("” in Teleport: capitals count, so nothing was changed; ");
            text.ours(match role.is_empty() {
                true => "decide it in Teleport.",
                false => "an administrator must correct the rule.",
            })
        }
        Refusal::UsersUnreadable => text.ours(
            "I may not read Teleport's users, so I cannot tell who you are there; an administrator must allow it.",
        ),
        Refusal::Untrusted(distrust) => text.ours(distrusted(*distrust)),
        Refusal::EmailUnconfirmed => {
            text.ours("Your e-mail address is not confirmed in Slack; confirm it and try again.")
        }
        Refusal::MayNotReview => {
            text.ours("Teleport does not let you review this request; nothing was changed.")
        }
        Refusal::TeleportRefused => {
            text.ours("Teleport did not accept the decision; nothing was changed.")
        }
        Refusal::SecondFactor => {
            text.ours("Nothing was changed, because ").ours(SECOND_FACTOR).ours("or you decide it in Teleport.")
        }
        Refusal::TeleportUnreachable => {
            text.ours("Teleport does not answer, so nothing was decided; try again in a minute.")
        }
        Refusal::TeleportForbids => text.ours(
            "Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate.",
        ),
        Refusal::SlackUnreachable => {
            text.ours("Slack does not tell who you are, so nothing was decided; try again in a minute.")
        }
        Refusal::SlackForbids => text.ours(
            "Slack does not let me read who people are, so nothing was decided; an administrator must look at the Slack app and its token.",
        ),
        Refusal::ScopeMissing { scope } => {
            text.ours("The Slack app lacks the scope ").ours(scope);
            text.ours(", so Slack does not tell me who may decide, and nothing was decided; an administrator must add it to the app and install the app again.")
        }
        Refusal::GroupsUnreadable { is_lasting: false } => text.ours(
            "Slack does not answer who is in a user group that the rules name, so nothing was decided; try again in a minute.",
        ),
        Refusal::GroupsUnreadable { is_lasting: true } => text.ours(
            "Slack does not let me read a user group that the rules name, so nothing was decided; an administrator must look at the rules and at the app's scopes.",
        ),
        Refusal::Newer(newer) => {
            let (before, number) = match newer {
                Newer::State(number) => ("Teleport gives this request the state ", number),
                Newer::Kind(number) => ("This request is of the kind ", number),
                Newer::Review(number) => ("Teleport has a review of this request that says ", number),
            };
            text.ours(before).foreign(&number.to_string(), MAX_NAME);
            text.ours(", which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.")
        }
        Refusal::GroupGone => text.ours(
            "A user group that the rules name is gone from Slack, so I cannot tell whether you may decide; an administrator must correct the rules.",
        ),
        Refusal::DenialsInDoubt => text.ours(
            "Others denied this before, and their Slack account or user group is gone since, so nobody can tell whether their denials still count: nothing was approved; decide it in Teleport.",
        ),
        Refusal::VotersUnreadable => text.ours(
            "Slack does not tell whether those who voted before you still may, so nothing was decided; try again in a minute.",
        ),
        Refusal::TooSlow => {
            text.ours("This took too long and was given up, so nothing was decided; try again.")
        }
        Refusal::StaleMessage => {
            text.ours("This is not one of the request's current messages; use a newer one, or Teleport.")
        }
        Refusal::OtherCluster { cluster, own } => {
            text.ours("This message is of the Teleport cluster “").foreign(cluster, MAX_CLUSTER);
            text.ours("”, and I work for “").foreign(own, MAX_CLUSTER);
            text.ours("”, so nothing was decided; press again, or decide it in Teleport, and tell an administrator: both clusters use one Slack app, so Slack hands a click to either, and each cluster needs a Slack app of its own.")
        }
        Refusal::StaleDialogue => {
            text.ours("The dialogue was open for too long, so nothing was decided; press the button again.")
        }
        Refusal::NotOurs => text.ours("This click could not be taken; decide the request in Teleport."),
        Refusal::OtherInstallation => text.ours(
            "This came through another Slack workspace than the one that I work for, so nothing was decided; decide the request in Teleport.",
        ),
        Refusal::TooBusy => {
            text.ours("Too many people decide at this moment, so nothing was decided; try again in a minute.")
        }
        Refusal::Interrupted => text.ours(
            "I was interrupted while I worked on this; look at the message to see whether it counted, and try again if it did not.",
        ),
        Refusal::VotesUnusable => text.ours(
            "This request's votes cannot be read or are full, so nothing was counted; decide it in Teleport.",
        ),
    }
}

fn distrusted(distrust: Distrust) -> &'static str {
    match distrust {
        Distrust::SomebodyElse => {
            "Slack names another account than the one that clicked; nothing was changed."
        }
        Distrust::Deactivated => "Your Slack account is deactivated; it cannot decide on access.",
        Distrust::Slackbot => "Slackbot cannot decide on access.",
        Distrust::Workflow => "A workflow cannot decide on access.",
        Distrust::Connector => "A connector cannot decide on access.",
        Distrust::Bot => "A bot cannot decide on access.",
        Distrust::SingleChannelGuest => "Single-channel guests cannot decide on access.",
        Distrust::Guest => "Guests cannot decide on access.",
        Distrust::Stranger => "People from outside this Slack workspace cannot decide on access.",
        Distrust::OtherWorkspace => {
            "Your Slack account belongs to another workspace; it cannot decide on access here."
        }
        Distrust::Invited => "Your Slack account was never signed in to; it cannot decide on access.",
    }
}

fn past(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approved",
        Decision::Deny => "denied",
    }
}

fn yours(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "Your approval",
        Decision::Deny => "Your denial",
    }
}

fn your(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "your approval",
        Decision::Deny => "your denial",
    }
}

fn many(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => " approvals",
        Decision::Deny => " denials",
    }
}

#[cfg(test)]
mod tests;
