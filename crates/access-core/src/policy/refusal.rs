//! Why a person's decision in Slack changes nothing: one reason, shown to this person only.
//!
//! The sentences are [`crate::render::ephemeral`]'s; the daemon's log and metrics use [`Refusal::kind`].

use crate::domain::decision::Decision;
use crate::interaction::OriginMismatch;
use crate::interaction::shown_cluster::ShownCluster;

/// Why nothing was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request was approved or denied before.
    AlreadyDecided {
        /// Approved or denied.
        decision: Decision,
        /// The Teleport users who decided, if known.
        by: Vec<String>,
        /// The reason; empty if none was given.
        reason: String,
    },
    /// Enough votes are in, and the daemon is applying them in Teleport.
    BeingDecided {
        /// Approved or denied.
        decision: Decision,
    },
    /// No reviewer decided in time.
    Expired,
    /// It was taken away.
    Deleted,
    /// It became membership of an access list.
    Promoted,
    /// It asks for lasting membership, which only Teleport's web UI decides.
    LongTerm,
    /// Teleport says something of it that this version does not know.
    Newer(Newer),
    /// The person has decided already.
    AlreadyVoted {
        /// Approved or denied.
        decision: Decision,
        /// Whether in Slack; else in Teleport.
        in_slack: bool,
    },
    /// It is the person's own request.
    SelfReview,
    /// A rule names others for one of the roles.
    NotAnApprover {
        /// The name of the role.
        role: String,
        /// The Teleport users and Slack user groups that the rule names.
        named: Vec<String>,
    },
    /// No rule covers one of the roles, or no role is asked for.
    NoMatchingRule {
        /// The role; empty if there is none.
        role: String,
    },
    /// There are no rules, and the person is not among the request's suggested reviewers.
    NotSuggested {
        /// The Teleport users that the request suggests.
        named: Vec<String>,
    },
    /// A rule says that this is decided in Teleport only.
    TeleportOnly,
    /// Deciding in Slack is not possible on this cluster with this configuration.
    NotPossible,
    /// Teleport takes reviews for users from the daemon, but not for this one.
    NotOnBehalf {
        /// The name of the Teleport user.
        user: String,
    },
    /// A reason is required and none was given.
    ReasonMissing,
    /// The Slack person is linked to no Teleport user.
    UnmappedUser {
        /// Single sign-on may set the trait that links the person: it can help to sign in to Teleport.
        sign_in_may_help: bool,
    },
    /// The Slack person is linked to more than one Teleport user, or the link contradicts a stronger one.
    AmbiguousUser {
        /// The Teleport users in question.
        users: Vec<String>,
    },
    /// The Teleport user's time is over.
    TeleportUserExpired {
        /// The name of the Teleport user.
        user: String,
    },
    /// Teleport knows no such user; of single sign-on, often one whose last login expired.
    TeleportUserUnknown {
        /// The name of the Teleport user.
        user: String,
    },
    /// The link names a Teleport user who is called so but for the capitals.
    UserCaseMismatch {
        /// The name of the Teleport user.
        user: String,
        /// What the link says: the table's name or the e-mail address.
        mapped: String,
    },
    /// A rule or the request names the person's Teleport user in other capitals.
    ApproverCaseMismatch {
        /// The role whose rule it is; empty if the request suggests reviewers.
        role: String,
        /// How it is written there.
        named: String,
        /// The person's Teleport user.
        user: String,
    },
    /// A link needs Teleport's list of users, and the daemon may not read it.
    UsersUnreadable,
    /// Slack says that the account is not one to be trusted with this.
    AccountIneligible(AccountIneligible),
    /// The link would be the e-mail address, and Slack has not seen it confirmed.
    EmailUnconfirmed,
    /// Teleport does not let this user review this request.
    MayNotReview,
    /// Teleport did not accept the review or the resolution.
    TeleportRefused,
    /// Teleport wants a second factor from the daemon, which has none.
    SecondFactor,
    /// Teleport does not answer; nothing was sent to it.
    TeleportUnreachable,
    /// Teleport answers and does not let the daemon in, or not to what the decision needs.
    TeleportForbids,
    /// Slack does not say who the person is.
    SlackUnreachable,
    /// Slack answers and does not let the daemon read who people are.
    SlackForbids,
    /// The Slack app lacks a scope that the verdict needs.
    ScopeMissing {
        /// Slack's name of the scope.
        scope: &'static str,
    },
    /// Slack does not say who is in a user group that the rules name.
    GroupsUnreadable {
        /// Whether asking again cannot help: the group is gone, or the daemon may not read it.
        is_lasting: bool,
    },
    /// Slack knows a user group that the rules name no more.
    GroupGone,
    /// Slack does not say who those are that voted before.
    VotersUnreadable,
    /// There are approvals enough, and denials of people whose account or user group is gone stand against them.
    DenialsInDoubt,
    /// It took too long and was canceled; nothing was decided.
    Timeout,
    /// The message is none that the request's record lists.
    StaleMessage,
    /// The message is none that the request's record lists, and names another Teleport cluster.
    OtherCluster {
        /// The cluster that the message names.
        cluster: String,
        /// The name of the cluster that this daemon works for.
        own: String,
    },
    /// The modal was open for too long.
    ExpiredModal,
    /// The click came through another app, is on none of our buttons, or cannot be read.
    UnknownOrigin,
    /// It came through another workspace's installation of the app.
    OtherInstallation,
    /// Too much is being worked on.
    TooBusy,
    /// Working on it ended before its outcome was known, by a fault or because the daemon stops.
    Interrupted,
    /// The votes in the record cannot be read, or no more fit in.
    VotesUnusable,
}

/// What of a request this version does not know, by Teleport's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// Its state.
    State(i32),
    /// Its kind.
    Kind(i32),
    /// What a review of it proposes: the person's own, or one that may stand against an approval.
    Review(i32),
}

/// What Slack says against an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountIneligible {
    /// Another account than the one that clicked.
    IdMismatch,
    /// Deactivated.
    Deactivated,
    /// Slack's own bot.
    Slackbot,
    /// A workflow.
    WorkflowBot,
    /// A connector to another system.
    ConnectorBot,
    /// A bot.
    Bot,
    /// A guest in a single channel.
    SingleChannelGuest,
    /// A guest.
    Guest,
    /// An external user without a channel in common.
    External,
    /// A user of another workspace or organization.
    OtherWorkspace,
    /// Invited, but never signed in.
    NeverSignedIn,
}

impl Refusal {
    /// Whether it says nothing of the person, because something could not be asked.
    pub fn is_indeterminate(&self) -> bool {
        matches!(
            self,
            Self::TeleportUnreachable
                | Self::TeleportForbids
                | Self::SlackUnreachable
                | Self::SlackForbids
                | Self::ScopeMissing { .. }
                | Self::GroupsUnreadable { .. }
                | Self::VotersUnreadable
                | Self::UsersUnreadable
                | Self::Timeout
        )
    }

    /// Whether it is about the moment of the click: the same click may count a little later.
    pub fn is_of_the_moment(&self) -> bool {
        self.is_indeterminate()
            || matches!(self, Self::BeingDecided { .. } | Self::TooBusy | Self::Interrupted)
    }

    /// The same, or [`Refusal::OtherCluster`] where the message is none of the request's and names another cluster.
    pub fn or_other_cluster(self, named: Option<&ShownCluster>, own: &ShownCluster) -> Self {
        match named {
            Some(named) if self == Self::StaleMessage && named.is_other_than(own) => {
                Self::OtherCluster { cluster: named.as_str().to_owned(), own: own.as_str().to_owned() }
            }
            Some(_) | None => self,
        }
    }

    /// Every word of [`Refusal::kind`].
    pub const KINDS: [&'static str; 56] = [
        "already_decided",
        "being_decided",
        "expired",
        "deleted",
        "promoted",
        "long_term",
        "newer",
        "already_voted",
        "self_review",
        "not_an_approver",
        "no_matching_rule",
        "not_suggested",
        "teleport_only",
        "not_possible",
        "not_on_behalf",
        "reason_missing",
        "unmapped_user",
        "ambiguous_user",
        "teleport_user_expired",
        "teleport_user_unknown",
        "user_case_mismatch",
        "approver_case_mismatch",
        "users_unreadable",
        "email_unconfirmed",
        "may_not_review",
        "teleport_refused",
        "second_factor",
        "teleport_unreachable",
        "teleport_forbids",
        "slack_unreachable",
        "slack_forbids",
        "scope_missing",
        "groups_unreadable",
        "group_gone",
        "voters_unreadable",
        "denials_in_doubt",
        "timeout",
        "stale_message",
        "other_cluster",
        "expired_modal",
        "unknown_origin",
        "other_installation",
        "too_busy",
        "interrupted",
        "votes_unusable",
        "id_mismatch",
        "deactivated",
        "slackbot",
        "workflow_bot",
        "connector_bot",
        "bot",
        "single_channel_guest",
        "guest",
        "external",
        "other_workspace",
        "never_signed_in",
    ];

    /// A word for logs and metrics, from a closed list.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AlreadyDecided { .. } => "already_decided",
            Self::BeingDecided { .. } => "being_decided",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Promoted => "promoted",
            Self::LongTerm => "long_term",
            Self::Newer(_) => "newer",
            Self::AlreadyVoted { .. } => "already_voted",
            Self::SelfReview => "self_review",
            Self::NotAnApprover { .. } => "not_an_approver",
            Self::NoMatchingRule { .. } => "no_matching_rule",
            Self::NotSuggested { .. } => "not_suggested",
            Self::TeleportOnly => "teleport_only",
            Self::NotPossible => "not_possible",
            Self::NotOnBehalf { .. } => "not_on_behalf",
            Self::ReasonMissing => "reason_missing",
            Self::UnmappedUser { .. } => "unmapped_user",
            Self::AmbiguousUser { .. } => "ambiguous_user",
            Self::TeleportUserExpired { .. } => "teleport_user_expired",
            Self::TeleportUserUnknown { .. } => "teleport_user_unknown",
            Self::UserCaseMismatch { .. } => "user_case_mismatch",
            Self::ApproverCaseMismatch { .. } => "approver_case_mismatch",
            Self::UsersUnreadable => "users_unreadable",
            Self::AccountIneligible(why) => why.kind(),
            Self::EmailUnconfirmed => "email_unconfirmed",
            Self::MayNotReview => "may_not_review",
            Self::TeleportRefused => "teleport_refused",
            Self::SecondFactor => "second_factor",
            Self::TeleportUnreachable => "teleport_unreachable",
            Self::TeleportForbids => "teleport_forbids",
            Self::SlackUnreachable => "slack_unreachable",
            Self::SlackForbids => "slack_forbids",
            Self::ScopeMissing { .. } => "scope_missing",
            Self::GroupsUnreadable { .. } => "groups_unreadable",
            Self::GroupGone => "group_gone",
            Self::VotersUnreadable => "voters_unreadable",
            Self::DenialsInDoubt => "denials_in_doubt",
            Self::Timeout => "timeout",
            Self::StaleMessage => "stale_message",
            Self::OtherCluster { .. } => "other_cluster",
            Self::ExpiredModal => "expired_modal",
            Self::UnknownOrigin => "unknown_origin",
            Self::OtherInstallation => "other_installation",
            Self::TooBusy => "too_busy",
            Self::Interrupted => "interrupted",
            Self::VotesUnusable => "votes_unusable",
        }
    }
}

impl AccountIneligible {
    fn kind(self) -> &'static str {
        match self {
            Self::IdMismatch => "id_mismatch",
            Self::Deactivated => "deactivated",
            Self::Slackbot => "slackbot",
            Self::WorkflowBot => "workflow_bot",
            Self::ConnectorBot => "connector_bot",
            Self::Bot => "bot",
            Self::SingleChannelGuest => "single_channel_guest",
            Self::Guest => "guest",
            Self::External => "external",
            Self::OtherWorkspace => "other_workspace",
            Self::NeverSignedIn => "never_signed_in",
        }
    }
}

/// The answer does not name the other app or workspace.
impl From<OriginMismatch> for Refusal {
    fn from(mismatch: OriginMismatch) -> Self {
        match mismatch {
            OriginMismatch::App => Self::UnknownOrigin,
            OriginMismatch::Workspace => Self::OtherInstallation,
            OriginMismatch::Message => Self::StaleMessage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_is_named_only_if_the_request_has_no_such_message() {
        let shown = |name: &str| ShownCluster::from(name.to_owned());
        let (one, two) = (shown("one"), shown("two"));
        let other = Refusal::OtherCluster { cluster: "one".to_owned(), own: "two".to_owned() };
        assert_eq!(Refusal::StaleMessage.or_other_cluster(Some(&one), &two), other);
        assert_eq!(Refusal::StaleMessage.or_other_cluster(Some(&two), &two), Refusal::StaleMessage);
        assert_eq!(Refusal::StaleMessage.or_other_cluster(None, &two), Refusal::StaleMessage);
        let nothing = ShownCluster::default();
        assert_eq!(Refusal::StaleMessage.or_other_cluster(Some(&nothing), &two), Refusal::StaleMessage);
        assert_eq!(Refusal::UnknownOrigin.or_other_cluster(Some(&one), &two), Refusal::UnknownOrigin);
        // Slack's copy says `:fire:`.
        assert_eq!(
            Refusal::StaleMessage.or_other_cluster(Some(&shown(":fire:")), &shown("🔥")),
            Refusal::StaleMessage
        );
    }
}
