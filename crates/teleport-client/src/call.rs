//! The methods of the auth server that the daemon calls, and what a role must have for each.

use std::fmt;

/// What it takes to see all access requests, as in a role's YAML.
pub(super) const FULL_VISIBILITY_RULE: &str =
    "allow.rules contain {resources: ['access_request'], verbs: ['list', 'read']}";

/// A method of the auth server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Who the server is.
    Ping,
    /// The stream of changes.
    WatchEvents,
    /// Listing since about Teleport 14.
    ListAccessRequests,
    /// Listing since about Teleport 10.
    GetAccessRequestsV2,
    /// Listing up to about Teleport 9.
    GetAccessRequests,
    /// Reading plugin data.
    GetPluginData,
    /// Writing plugin data.
    UpdatePluginData,
    /// Reviewing a request in a user's name.
    SubmitAccessReview,
    /// Resolving a request past all reviews.
    SetAccessRequestState,
    /// One user.
    GetUser,
    /// All users.
    GetUsers,
    /// All users, of servers without the older method.
    ListUsers,
    /// The roles of our own identity.
    GetCurrentUserRoles,
    /// One role of our own identity.
    GetRole,
    /// How users log in.
    GetAuthPreference,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Ping,
        Self::WatchEvents,
        Self::ListAccessRequests,
        Self::GetAccessRequestsV2,
        Self::GetAccessRequests,
        Self::GetPluginData,
        Self::UpdatePluginData,
        Self::SubmitAccessReview,
        Self::SetAccessRequestState,
        Self::GetUser,
        Self::GetUsers,
        Self::ListUsers,
        Self::GetCurrentUserRoles,
        Self::GetRole,
        Self::GetAuthPreference,
    ];

    /// The method's name in Teleport's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "Ping",
            Self::WatchEvents => "WatchEvents",
            Self::ListAccessRequests => "ListAccessRequests",
            Self::GetAccessRequestsV2 => "GetAccessRequestsV2",
            Self::GetAccessRequests => "GetAccessRequests",
            Self::GetPluginData => "GetPluginData",
            Self::UpdatePluginData => "UpdatePluginData",
            Self::SubmitAccessReview => "SubmitAccessReview",
            Self::SetAccessRequestState => "SetAccessRequestState",
            Self::GetUser => "GetUser",
            Self::GetUsers => "GetUsers",
            Self::ListUsers => "ListUsers",
            Self::GetCurrentUserRoles => "GetCurrentUserRoles",
            Self::GetRole => "GetRole",
            Self::GetAuthPreference => "GetAuthPreference",
        }
    }

    /// What the plugin's role must have for this call, as in a role's YAML.
    pub fn required_permission(self) -> Option<&'static str> {
        match self {
            Self::Ping | Self::GetCurrentUserRoles | Self::GetRole | Self::GetAuthPreference => None,
            Self::WatchEvents
            | Self::ListAccessRequests
            | Self::GetAccessRequestsV2
            | Self::GetAccessRequests
            | Self::GetPluginData => Some(FULL_VISIBILITY_RULE),
            Self::UpdatePluginData => {
                Some("allow.rules contain {resources: ['access_plugin_data'], verbs: ['update']}")
            }
            Self::SubmitAccessReview => {
                Some("allow.review_requests contain submit_for_users: ['*'] (or the reviewers' names)")
            }
            Self::SetAccessRequestState => {
                Some("allow.rules contain {resources: ['access_request'], verbs: ['update']}")
            }
            Self::GetUser => Some("allow.rules contain {resources: ['user'], verbs: ['read']}"),
            Self::GetUsers | Self::ListUsers => {
                Some("allow.rules contain {resources: ['user'], verbs: ['list', 'read']}")
            }
        }
    }

    /// What to do when an answer is too large. The server sends it whole, so nothing on our side makes it smaller.
    pub(super) fn reduce_size_hint(self) -> &'static str {
        match self {
            Self::GetPluginData => {
                "it has the records of all requests, and each goes an hour after its access was to end; look for a user who makes very many requests or very long ones, and for other plugins that keep much"
            }
            _ => {
                "look for a user who makes very many access requests or very long ones, and delete them with `tctl request rm`"
            }
        }
    }

    /// What to do when there is too much of what this call lists.
    pub(super) fn reduce_hint(self) -> &'static str {
        match self {
            Self::GetUsers | Self::ListUsers => {
                "name the users that are needed one by one instead of listing all"
            }
            _ => "delete old access requests with `tctl request rm`",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
