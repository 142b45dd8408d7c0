//! Teleport's users: who a Slack person is there, and until when.
//!
//! Two services of the server answer that; the older one is tried first, because every release so far has it. Which
//! Slack person is which user is decided elsewhere.

use std::sync::atomic::Ordering;

use access_core::policy::identity::TeleportUser;
use teleport_proto::auth::{GetUserRequest, GetUsersRequest, UserV2};
use teleport_proto::users::users_service_client::UsersServiceClient;
use teleport_proto::users::{self, ListUsersRequest};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::client::Client;
use super::convert;
use super::error::{Call, ErrorKind, MAX_MESSAGE_BYTES, TeleportError};

/// The most users that we take from a server: a bound on memory.
const MAX_USERS: usize = 100_000;

/// Users in one page.
const PAGE_SIZE: i32 = 500;

impl Client {
    /// The user with exactly this name; `None` if there is none. At most 15 s for each of two ways to ask.
    pub async fn get_user(&self, name: &str) -> Result<Option<TeleportUser>, TeleportError> {
        if name.is_empty() {
            return Ok(None);
        }
        let ask = |newer| async move {
            let name = name.to_owned();
            let answer = async {
                if newer {
                    let answer = self.users_rpc().get_user(users::GetUserRequest { name }).await?;
                    Ok(answer.map(|answer| answer.user.unwrap_or_default()))
                } else {
                    self.rpc().get_user(GetUserRequest { name, with_secrets: false }).await
                }
            };
            self.run_call(Call::GetUser, self.timings().call, answer).await
        };
        match self.with_service_fallback(ask).await {
            Ok(found) => Ok(user(found).filter(|user| user.name == name)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All users, in no particular order. At most 100,000, and 60 s for each of two ways to ask.
    pub async fn list_users(&self) -> Result<Vec<TeleportUser>, TeleportError> {
        let ask = |newer| async move {
            let (call, found) = if newer {
                (
                    Call::ListUsers,
                    self.run_call(Call::ListUsers, self.timings().list, self.users_paged()).await?,
                )
            } else {
                (
                    Call::GetUsers,
                    self.run_call(Call::GetUsers, self.timings().list, self.users_streamed()).await?,
                )
            };
            found.ok_or(TeleportError::TooManyItems { call, limit: MAX_USERS })
        };
        self.with_service_fallback(ask).await
    }

    /// Begins to list all users and reads no further than the server's first answer. At most 60 s for each of two ways
    /// to ask.
    pub(super) async fn begin_listing_users(&self) -> Result<(), TeleportError> {
        let ask = |newer| async move {
            if newer {
                let page = ListUsersRequest { page_size: 1, ..ListUsersRequest::default() };
                let answer = async { self.users_rpc().list_users(page).await };
                self.run_call(Call::ListUsers, self.timings().list, answer).await.map(drop)
            } else {
                let answer = async {
                    let mut stream =
                        self.rpc().get_users(GetUsersRequest { with_secrets: false }).await?.into_inner();
                    stream.message().await.map(Response::new)
                };
                self.run_call(Call::GetUsers, self.timings().list, answer).await.map(drop)
            }
        };
        self.with_service_fallback(ask).await
    }

    /// Asks the service that answered last, and the other one if the server does not have it (any more).
    async fn with_service_fallback<T, Asking>(&self, ask: impl Fn(bool) -> Asking) -> Result<T, TeleportError>
    where
        Asking: Future<Output = Result<T, TeleportError>>,
    {
        let newer = self.shared.uses_users_service.load(Ordering::Relaxed);
        match ask(newer).await {
            Err(error) if error.kind() == ErrorKind::Unimplemented => {
                let answer = ask(!newer).await?;
                self.shared.uses_users_service.store(!newer, Ordering::Relaxed);
                Ok(answer)
            }
            answer => answer,
        }
    }

    // The two below answer `None` when the server lists more than USER_LIMIT.

    async fn users_streamed(&self) -> Result<Response<Option<Vec<TeleportUser>>>, Status> {
        let mut stream = self.rpc().get_users(GetUsersRequest { with_secrets: false }).await?.into_inner();
        let mut found = Vec::new();
        while let Some(message) = stream.message().await? {
            if found.len() == MAX_USERS {
                return Ok(Response::new(None));
            }
            found.extend(user(message));
        }
        Ok(Response::new(Some(found)))
    }

    async fn users_paged(&self) -> Result<Response<Option<Vec<TeleportUser>>>, Status> {
        let mut rpc = self.users_rpc();
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = ListUsersRequest { page_size: PAGE_SIZE, page_token: page_token.clone() };
            let page = rpc.list_users(page).await?.into_inner();
            found.extend(page.users.into_iter().filter_map(user));
            if found.len() > MAX_USERS {
                return Ok(Response::new(None));
            }
            if page.next_page_token.is_empty() {
                return Ok(Response::new(Some(found)));
            }
            if page.next_page_token == page_token {
                return Err(Status::internal("the server's list of users goes in circles"));
            }
            page_token = page.next_page_token;
        }
    }

    fn users_rpc(&self) -> UsersServiceClient<Channel> {
        UsersServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

/// A user from the wire; `None` without a name. Of two times at which the record goes away the sooner counts.
fn user(message: UserV2) -> Option<TeleportUser> {
    let metadata = message.metadata.unwrap_or_default();
    let spec = message.spec.unwrap_or_default();
    let ends = [spec.expires.as_ref(), metadata.expires.as_ref()];
    Some(TeleportUser {
        name: Some(convert::text(&metadata.name)).filter(|name| !name.is_empty())?,
        traits: spec.traits.as_ref().map(convert::labels).unwrap_or_default(),
        expires: ends.into_iter().filter_map(convert::timestamp).min(),
    })
}

#[cfg(test)]
mod tests;
