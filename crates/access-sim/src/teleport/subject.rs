//! Which request a call is about, for the logs.

use teleport_proto::auth as pb;

/// A call's message.
pub(super) trait Subject {
    /// The id of the request, or the name of the user, that it is about; empty if it is about none.
    fn subject(&self) -> &str {
        ""
    }
}

impl Subject for () {}

impl Subject for teleport_proto::users::ListUsersRequest {}

impl Subject for teleport_proto::users::GetUserRequest {
    fn subject(&self) -> &str {
        &self.name
    }
}

macro_rules! subjects {
    ($($message:ident $(. $field:ident)?),* $(,)?) => {
        $(impl Subject for pb::$message {
            $(fn subject(&self) -> &str {
                &self.$field
            })?
        })*
    };
}

subjects! {
    PingRequest,
    Watch,
    AccessRequestFilter.id,
    ListAccessRequestsRequest,
    PluginDataFilter.resource,
    PluginDataUpdateParams.resource,
    RequestStateSetter.id,
    AccessReviewSubmission.request_id,
    AccessRequestV3,
    RequestId.id,
    GetUserRequest.name,
    GetUsersRequest,
    GetRoleRequest.name,
    UserCertsRequest.username,
}
