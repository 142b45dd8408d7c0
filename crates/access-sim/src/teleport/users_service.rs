//! `teleport.users.v1.UsersService` over the cluster, the newer way to ask for users (15.0 and later).

use teleport_proto::users as pb;
use teleport_proto::users::users_service_server::UsersService;
use tonic::{Request, Response, Status};

use super::call_log::Method;
use super::listing::page_of_users;
use super::service::Service;
use super::wire;

#[tonic::async_trait]
impl UsersService for Service {
    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        self.serve(Method::UsersGetUser, request, |state, caller, which| {
            let user = state.find_user(caller, &which.name, false)?;
            Ok(pb::GetUserResponse { user: Some(wire::user(&user)) })
        })
        .await
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        self.serve(Method::ListUsers, request, |state, caller, list| {
            let all = state.find_users(caller, false)?;
            let (page, next_page_token) = page_of_users(all, list.page_size, &list.page_token);
            Ok(pb::ListUsersResponse { users: page.iter().map(wire::user).collect(), next_page_token })
        })
        .await
    }
}
