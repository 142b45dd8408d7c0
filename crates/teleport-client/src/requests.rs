//! Listing access requests, by whichever of three methods the server has, in pieces where it has them.
//!
//! Teleport renamed the method twice in its history; which one works is tried out and remembered. Changes as
//! they happen are in `events.rs`; whether an absence means anything, in `rights.rs`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::request::AccessRequest;
use teleport_proto::auth::{AccessRequestFilter, AccessRequestV3, ListAccessRequestsRequest, RequestState};
use tokio::time::timeout;
use tonic::{Response, Status};

use super::client::Client;
use super::convert;
use super::error::{Call, ErrorKind, TeleportError};

/// The listing methods, newest first.
const LIST_METHODS: [Call; 3] =
    [Call::ListAccessRequests, Call::GetAccessRequestsV2, Call::GetAccessRequests];

/// Requests in one page, few enough that a page of usual requests is far below the message limit.
const PAGE_SIZE: i32 = 200;

/// The most requests that we take from a server: far more than any cluster holds, and a bound on memory.
const MAX_REQUESTS: usize = 100_000;

/// The requests that were listed.
#[derive(Debug, Default)]
pub(super) struct ListedRequests {
    pub(super) requests: Vec<AccessRequest>,
    /// The server sends the list in one message, which was too large, so only pending requests were asked for.
    pub(super) only_pending: Option<TeleportError>,
}

impl Client {
    /// All access requests that the server shows us, in any state and no particular order: at most 100,000, in 10
    /// minutes. A server without pages that holds too much for one message is asked for the pending ones alone.
    pub(super) async fn list_requests(&self) -> Result<ListedRequests, TeleportError> {
        match self.find(&AccessRequestFilter::default(), self.timings().list).await {
            Err(error @ TeleportError::ResponseTooLarge { call: Call::GetAccessRequests, .. }) => {
                let pending =
                    AccessRequestFilter { state: RequestState::Pending.into(), ..Default::default() };
                let requests = self.find(&pending, self.timings().list).await?;
                Ok(ListedRequests { requests, only_pending: Some(error) })
            }
            found => Ok(ListedRequests { requests: found?, only_pending: None }),
        }
    }

    /// One access request; `None` if it is gone.
    ///
    /// # Errors
    /// [`TeleportError::NotVisible`] if it was not found and may be there all the same.
    pub async fn get_request(&self, id: &RequestId) -> Result<Option<AccessRequest>, TeleportError> {
        let filter = AccessRequestFilter { id: id.as_str().to_owned(), ..AccessRequestFilter::default() };
        let found = match self.find(&filter, self.timings().call).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if let Some(request) = found.into_iter().find(|request| request.id == *id) {
            return Ok(Some(request));
        }
        self.confirm_absence().await?;
        Ok(None)
    }

    /// Tries the method that worked last, then the others: the server may have been upgraded meanwhile. Each piece may
    /// take as long as `limit`.
    async fn find(
        &self,
        filter: &AccessRequestFilter,
        limit: Duration,
    ) -> Result<Vec<AccessRequest>, TeleportError> {
        let remembered = self.shared.list_method.load(Ordering::Relaxed);
        let mut refusal = None;
        for (index, call) in
            (0u8..).zip(LIST_METHODS).cycle().skip(remembered.into()).take(LIST_METHODS.len())
        {
            let answer = async {
                match call {
                    Call::ListAccessRequests => self.find_paged(filter, limit).await,
                    Call::GetAccessRequestsV2 => self.find_streamed(filter, limit).await,
                    _ => self.find_unary(filter, limit).await,
                }
            };
            let whole_limit = self.timings().all_requests;
            let answer = timeout(whole_limit, answer).await;
            match answer.unwrap_or(Err(TeleportError::Deadline { call, limit: whole_limit })) {
                Ok(found) => {
                    self.shared.list_method.store(index, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(error) if error.kind() == ErrorKind::Unimplemented => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or(TeleportError::InvalidResponse {
            call: Call::GetAccessRequests,
            what: "no known way to list access requests",
        }))
    }

    async fn find_paged(
        &self,
        filter: &AccessRequestFilter,
        limit: Duration,
    ) -> Result<Vec<AccessRequest>, TeleportError> {
        let call = Call::ListAccessRequests;
        let (mut found, mut page_size, mut start_key) = (Vec::new(), PAGE_SIZE, String::new());
        loop {
            let page = ListAccessRequestsRequest {
                filter: Some(filter.clone()),
                limit: page_size,
                start_key: start_key.clone(),
                ..ListAccessRequestsRequest::default()
            };
            let mut rpc = self.rpc();
            let page = match self.run_call(call, limit, rpc.list_access_requests(page)).await {
                // A few very large requests must not hide the rest.
                Err(TeleportError::ResponseTooLarge { .. }) if page_size > 1 => {
                    page_size = (page_size / 8).max(1);
                    continue;
                }
                page => page?,
            };
            append(call, &mut found, page.access_requests)?;
            if page.next_key.is_empty() {
                return Ok(found);
            }
            if page.next_key == start_key {
                return Err(TeleportError::InvalidResponse { call, what: "a list that goes in circles" });
            }
            start_key = page.next_key;
        }
    }

    async fn find_streamed(
        &self,
        filter: &AccessRequestFilter,
        limit: Duration,
    ) -> Result<Vec<AccessRequest>, TeleportError> {
        let call = Call::GetAccessRequestsV2;
        let mut rpc = self.rpc();
        let mut found = Vec::new();
        let late = |_| Status::deadline_exceeded(format!("the list stopped for {} s", limit.as_secs()));
        let whole = async {
            let mut stream = rpc.get_access_requests_v2(filter.clone()).await?.into_inner();
            while let Some(request) = timeout(limit, stream.message()).await.map_err(late)?? {
                if found.len() == MAX_REQUESTS {
                    return Ok(Response::new(Err(TeleportError::TooManyItems { call, limit: MAX_REQUESTS })));
                }
                found.extend(convert::access_request(request));
            }
            Ok(Response::new(Ok(())))
        };
        // One request is one message.
        let whole_limit = if filter.id.is_empty() { self.timings().all_requests } else { limit };
        self.run_call(call, whole_limit, whole).await??;
        Ok(found)
    }

    async fn find_unary(
        &self,
        filter: &AccessRequestFilter,
        limit: Duration,
    ) -> Result<Vec<AccessRequest>, TeleportError> {
        let call = Call::GetAccessRequests;
        let mut rpc = self.rpc();
        let all = self.run_call(call, limit, rpc.get_access_requests(filter.clone())).await?;
        let mut found = Vec::new();
        append(call, &mut found, all.access_requests)?;
        Ok(found)
    }
}

fn append(
    call: Call,
    found: &mut Vec<AccessRequest>,
    more: Vec<AccessRequestV3>,
) -> Result<(), TeleportError> {
    found.extend(more.into_iter().filter_map(convert::access_request));
    if found.len() > MAX_REQUESTS {
        return Err(TeleportError::TooManyItems { call, limit: MAX_REQUESTS });
    }
    Ok(())
}
