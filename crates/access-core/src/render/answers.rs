//! Every answer that a click on a pending request can get: for those who want to read them all. Which of them a click gets,
//! [`crate::policy`] decides.

use super::blocks::Message;
use super::ephemeral::{Accepted, accepted, refused};
use crate::domain::decision::Decision;
use crate::policy::Tally;
use crate::policy::refusal::{AccountIneligible, Newer, Refusal};

/// The names in the answers.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// The Teleport user of the person who clicked.
    pub user: &'a str,
    /// The same in other capitals.
    pub other_case: &'a str,
    /// A role of the request.
    pub role: &'a str,
    /// Those who may decide, or decided.
    pub deciders: &'a [String],
    /// Why they decided so.
    pub reason: &'a str,
    /// The daemon's own cluster.
    pub cluster: &'a str,
    /// Another cluster.
    pub other_cluster: &'a str,
}

/// Each answer with its word: first of decisions that count, then of those that change nothing.
pub fn answers(names: &Names<'_>, tally: Tally) -> Vec<(&'static str, Message)> {
    let accepted = all_accepted(tally).into_iter().map(|what| (what.kind(), accepted(what)));
    let refused = all_refusals(names).into_iter().map(|refusal| (refusal.kind(), refused(&refusal)));
    accepted.chain(refused).collect()
}

/// What can become of a decision that counts.
pub(super) fn all_accepted(tally: Tally) -> Vec<Accepted> {
    use Decision::{Approve, Deny};
    let of_each = [
        Accepted::Reviewed,
        Accepted::Resolved,
        Accepted::Pending,
        Accepted::NotApplied,
        Accepted::LacksSecondFactor,
        Accepted::Unconfirmed,
    ];
    let counted = [Accepted::Counted(Approve, tally), Accepted::Counted(Deny, tally)];
    of_each.into_iter().flat_map(|of| [of(Approve), of(Deny)]).chain(counted).collect()
}

/// Why a decision can change nothing.
pub(super) fn all_refusals(names: &Names<'_>) -> Vec<Refusal> {
    let Names { user, other_case, role, deciders, reason, cluster, other_cluster } = *names;
    let [user, other_case, role, reason, cluster, other_cluster] =
        [user, other_case, role, reason, cluster, other_cluster].map(|name| move || name.to_owned());
    let named = || deciders.to_vec();
    let mut all = vec![
        Refusal::AlreadyDecided { decision: Decision::Approve, by: named(), reason: reason() },
        Refusal::AlreadyDecided { decision: Decision::Deny, by: vec![], reason: String::new() },
        Refusal::BeingDecided { decision: Decision::Approve },
        Refusal::Expired,
        Refusal::Deleted,
        Refusal::Promoted,
        Refusal::LongTerm,
        Refusal::AlreadyVoted { decision: Decision::Approve, in_slack: true },
        Refusal::AlreadyVoted { decision: Decision::Deny, in_slack: false },
        Refusal::SelfReview,
        Refusal::NotAnApprover { role: role(), named: named() },
        Refusal::NoMatchingRule { role: role() },
        Refusal::NoMatchingRule { role: String::new() },
        Refusal::NotSuggested { named: named() },
        Refusal::NotSuggested { named: vec![] },
        Refusal::TeleportOnly,
        Refusal::NotPossible,
        Refusal::NotOnBehalf { user: user() },
        Refusal::ReasonMissing,
        Refusal::UnmappedUser { sign_in_may_help: true },
        Refusal::UnmappedUser { sign_in_may_help: false },
        Refusal::AmbiguousUser { users: named() },
        Refusal::TeleportUserExpired { user: user() },
        Refusal::TeleportUserUnknown { user: user() },
        Refusal::UserCaseMismatch { user: user(), mapped: other_case() },
        Refusal::ApproverCaseMismatch { role: role(), named: other_case(), user: user() },
        Refusal::ApproverCaseMismatch { role: String::new(), named: other_case(), user: user() },
        Refusal::UsersUnreadable,
        Refusal::EmailUnconfirmed,
        Refusal::MayNotReview,
        Refusal::TeleportRefused,
        Refusal::SecondFactor,
        Refusal::TeleportUnreachable,
        Refusal::TeleportForbids,
        Refusal::SlackUnreachable,
        Refusal::SlackForbids,
        Refusal::ScopeMissing { scope: "users:read" },
        Refusal::GroupsUnreadable { is_lasting: false },
        Refusal::GroupsUnreadable { is_lasting: true },
        Refusal::Newer(Newer::State(7)),
        Refusal::Newer(Newer::Kind(-7)),
        Refusal::Newer(Newer::Review(i32::MIN)),
        Refusal::GroupGone,
        Refusal::VotersUnreadable,
        Refusal::DenialsInDoubt,
        Refusal::Timeout,
        Refusal::StaleMessage,
        Refusal::OtherCluster { cluster: other_cluster(), own: cluster() },
        Refusal::ExpiredModal,
        Refusal::UnknownOrigin,
        Refusal::OtherInstallation,
        Refusal::TooBusy,
        Refusal::Interrupted,
        Refusal::VotesUnusable,
    ];
    use AccountIneligible::*;
    let ineligible = [
        IdMismatch,
        Deactivated,
        Slackbot,
        WorkflowBot,
        ConnectorBot,
        Bot,
        SingleChannelGuest,
        Guest,
        External,
        OtherWorkspace,
        NeverSignedIn,
    ];
    all.extend(ineligible.map(Refusal::AccountIneligible));
    all
}
