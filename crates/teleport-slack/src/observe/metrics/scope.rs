//! What this configuration can do, and so which series there are: from the start at zero, and none that cannot occur.

use access_core::policy::{Approver, ModeSetting};
use slack_client::method::Method;

use super::labels::INVALID_SIGNATURE;
use crate::config::{ReviewConfig, ReviewTransport};
use teleport_client::error::Call;

/// What the configuration can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope(Option<ReviewScope>);

/// Reasons that need a review which the daemon submits: Teleport's answers to it, and that it can take none.
pub(super) const REASONS_OF_REVIEWS: [&str; 4] =
    ["reviewed", "may_not_review", "not_on_behalf", "not_possible"];
/// Reasons that need a mode in which the rules decide: they judge the person, and votes are counted.
pub(super) const REASONS_OF_RULES: [&str; 12] = [
    "counted",
    "pending",
    "not_applied",
    "lacks_second_factor",
    "being_decided",
    "not_an_approver",
    "no_matching_rule",
    "not_suggested",
    "approver_case_mismatch",
    "voters_unreadable",
    "denials_in_doubt",
    "votes_unusable",
];
/// Reasons that need a rule with a user group.
pub(super) const REASONS_OF_GROUPS: [&str; 2] = ["groups_unreadable", "group_gone"];
/// Replies to interactions that are counted under another reason, such as `overloaded`, or that did not end.
pub(super) const REASONS_NOT_COUNTED: [&str; 2] = ["too_busy", "interrupted"];

/// What deciding in Slack can do.
#[derive(Clone, Copy, Debug)]
struct ReviewScope {
    is_socket_mode: bool,
    reads_groups: bool,
    submits_reviews: bool,
    sets_state: bool,
}

impl From<Option<&ReviewConfig>> for Scope {
    /// `None`: deciding in Slack is off.
    fn from(review: Option<&ReviewConfig>) -> Self {
        Self(review.map(|review| {
            let setting = review.mode;
            let sets_state = match setting {
                ModeSetting::Resolver => true,
                ModeSetting::Auto => !review.rules.0.is_empty(),
                ModeSetting::Reviewer => false,
            };
            let approvers = review.rules.0.iter().flat_map(|rule| &rule.approvers);
            ReviewScope {
                is_socket_mode: matches!(review.transport, ReviewTransport::SocketMode { .. }),
                reads_groups: sets_state
                    && approvers.into_iter().any(|approver| matches!(approver, Approver::Group(_))),
                submits_reviews: setting != ModeSetting::Resolver,
                sets_state,
            }
        }))
    }
}

impl Scope {
    /// Whether users can decide in Slack.
    pub(super) fn has_review(self) -> bool {
        self.0.is_some()
    }

    /// Whether interactions arrive over Socket Mode; otherwise, if any do, they are signed HTTP requests.
    pub(super) fn is_socket_mode(self) -> bool {
        self.0.is_some_and(|review| review.is_socket_mode)
    }

    /// Whether an interaction can end with this reason.
    pub(super) fn can_end_with(self, reason: &str) -> bool {
        self.0.is_some_and(|review| match reason {
            INVALID_SIGNATURE => !review.is_socket_mode,
            _ if REASONS_OF_REVIEWS.contains(&reason) => review.submits_reviews,
            _ if REASONS_OF_RULES.contains(&reason) => review.sets_state,
            _ if REASONS_OF_GROUPS.contains(&reason) => review.reads_groups,
            _ => !REASONS_NOT_COUNTED.contains(&reason),
        })
    }

    pub(super) fn slack_methods(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| match method {
            Method::AuthTest
            | Method::ChatPostMessage
            | Method::ChatUpdate
            | Method::ChatDelete
            | Method::ConversationsHistory
            | Method::ConversationsReplies
            | Method::ConversationsOpen
            | Method::ConversationsList
            | Method::UsersLookupByEmail
            | Method::UsersInfo
            | Method::ConversationsInfo => true,
            Method::ViewsOpen | Method::ChatPostEphemeral | Method::Respond | Method::BotsInfo => {
                self.has_review()
            }
            Method::UsergroupsUsersList => self.0.is_some_and(|review| review.reads_groups),
            Method::AppsConnectionsOpen => self.is_socket_mode(),
            // Asked on an operator's command, not by a running daemon.
            Method::BlocksValidate | Method::ChatGetPermalink => false,
        })
    }

    pub(super) fn teleport_calls(self) -> impl Iterator<Item = Call> {
        Call::ALL.into_iter().filter(move |call| match call {
            Call::Ping
            | Call::WatchEvents
            | Call::ListAccessRequests
            | Call::GetAccessRequestsV2
            | Call::GetAccessRequests
            | Call::GetPluginData
            | Call::UpdatePluginData
            | Call::GetCurrentUserRoles
            | Call::GetRole => true,
            Call::GetUser | Call::GetUsers | Call::ListUsers | Call::GetAuthPreference => self.has_review(),
            Call::SubmitAccessReview => self.0.is_some_and(|review| review.submits_reviews),
            Call::SetAccessRequestState => self.0.is_some_and(|review| review.sets_state),
        })
    }
}
