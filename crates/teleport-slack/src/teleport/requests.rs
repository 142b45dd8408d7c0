//! Listing access requests, by whichever of three methods the server has.
//!
//! Teleport renamed the method twice in its history; which one works is tried out and remembered. Changes as
//! they happen are in `events.rs`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use access_core::ids::RequestId;
use access_core::request::AccessRequest;
use teleport_proto::auth::{AccessRequestFilter, AccessRequestV3, ListAccessRequestsRequest};
use tonic::{Response, Status};

use super::error::{Call, Kind, TeleportError};
use super::{CALL_LIMIT, Client, LIST_LIMIT, convert};

/// The listing methods, newest first.
const LISTINGS: [Call; 3] = [Call::ListAccessRequests, Call::GetAccessRequestsV2, Call::GetAccessRequests];

/// Requests in one page, few enough that a page of very large requests stays under the message limit.
const PAGE_SIZE: i32 = 200;

/// The most requests that we take from a server: far more than any cluster holds, and a bound on memory.
const REQUEST_LIMIT: usize = 100_000;

impl Client {
    /// All access requests that the server still keeps, in any state and no particular order. At most
    /// 100,000 and 60 s.
    pub async fn list_requests(&self) -> Result<Vec<AccessRequest>, TeleportError> {
        let found = self.find(AccessRequestFilter::default(), LIST_LIMIT).await?;
        Ok(found.into_iter().filter_map(convert::access_request).collect())
    }

    /// One access request; `None` if it is gone.
    pub async fn get_request(&self, id: &RequestId) -> Result<Option<AccessRequest>, TeleportError> {
        let filter = AccessRequestFilter { id: id.as_str().to_owned(), ..AccessRequestFilter::default() };
        match self.find(filter, CALL_LIMIT).await {
            Ok(found) => {
                Ok(found.into_iter().filter_map(convert::access_request).find(|request| request.id == *id))
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tries the method that worked last, then the others: the server may have been upgraded meanwhile.
    async fn find(
        &self,
        filter: AccessRequestFilter,
        limit: Duration,
    ) -> Result<Vec<AccessRequestV3>, TeleportError> {
        let remembered = self.shared.listing.load(Ordering::Relaxed);
        let mut refusal = None;
        for (index, call) in (0u8..).zip(LISTINGS).cycle().skip(remembered.into()).take(LISTINGS.len()) {
            let answer = async {
                match call {
                    Call::ListAccessRequests => self.find_paged(filter.clone()).await,
                    Call::GetAccessRequestsV2 => self.find_streamed(filter.clone()).await,
                    _ => self.find_whole(filter.clone()).await,
                }
            };
            match self.within(call, limit, answer).await {
                Ok(Some(found)) => {
                    self.shared.listing.store(index, Ordering::Relaxed);
                    return Ok(found);
                }
                Ok(None) => return Err(TeleportError::TooMany { call, limit: REQUEST_LIMIT }),
                Err(error) if error.kind() == Kind::Unimplemented => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or(TeleportError::Malformed {
            call: Call::GetAccessRequests,
            what: "no known way to list access requests",
        }))
    }

    // The three below answer `None` when the server lists more than REQUEST_LIMIT.

    async fn find_paged(&self, filter: AccessRequestFilter) -> Result<Response<Listed>, Status> {
        let mut rpc = self.rpc();
        let mut found = Vec::new();
        let mut start_key = String::new();
        loop {
            let page = ListAccessRequestsRequest {
                filter: Some(filter.clone()),
                limit: PAGE_SIZE,
                start_key: start_key.clone(),
                ..ListAccessRequestsRequest::default()
            };
            let page = rpc.list_access_requests(page).await?.into_inner();
            found.extend(page.access_requests);
            if found.len() > REQUEST_LIMIT {
                return Ok(Response::new(None));
            }
            if page.next_key.is_empty() {
                return Ok(Response::new(Some(found)));
            }
            if page.next_key == start_key {
                return Err(Status::internal("the server's list of access requests goes in circles"));
            }
            start_key = page.next_key;
        }
    }

    async fn find_streamed(&self, filter: AccessRequestFilter) -> Result<Response<Listed>, Status> {
        let mut stream = self.rpc().get_access_requests_v2(filter).await?.into_inner();
        let mut found = Vec::new();
        while let Some(request) = stream.message().await? {
            found.push(request);
            if found.len() > REQUEST_LIMIT {
                return Ok(Response::new(None));
            }
        }
        Ok(Response::new(Some(found)))
    }

    async fn find_whole(&self, filter: AccessRequestFilter) -> Result<Response<Listed>, Status> {
        let all = self.rpc().get_access_requests(filter).await?.into_inner().access_requests;
        Ok(Response::new(Some(all).filter(|all| all.len() <= REQUEST_LIMIT)))
    }
}

type Listed = Option<Vec<AccessRequestV3>>;
