//! The `response_url`s in payloads: each takes five messages within half an hour, from any caller that knows it.
//!
//! This file keeps the addresses; `methods/response.rs` applies what is posted to them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::reply::ApiError;
use super::super::ts::Ts;
use super::random_token;

/// Older ones are forgotten.
const MAX_RESPONSE_URLS: usize = 10_000;
const MAX_USES: u32 = 5;

/// What a `response_url` belongs to.
#[derive(Clone)]
pub(in crate::slack) struct Origin {
    /// The id of the user who acted.
    pub(in crate::slack) user: String,
    pub(in crate::slack) channel: String,
    /// The message they acted on.
    pub(in crate::slack) ts: Ts,
}

struct ResponseUrl {
    origin: Origin,
    created: Instant,
    uses: u32,
}

/// All addresses of the workspace, by their secret part.
#[derive(Default)]
pub(in crate::slack) struct ResponseUrls {
    by_secret: HashMap<String, ResponseUrl>,
    order: VecDeque<String>,
}

impl ResponseUrls {
    /// The secret part of a new address.
    pub(in crate::slack) fn create(&mut self, origin: Origin, now: Instant) -> String {
        let secret = random_token();
        self.by_secret.insert(secret.clone(), ResponseUrl { origin, created: now, uses: 0 });
        self.order.push_back(secret.clone());
        if self.order.len() > MAX_RESPONSE_URLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_secret.remove(&oldest);
        }
        secret
    }

    /// What an address belongs to, used or not.
    pub(in crate::slack) fn origin(&self, secret: &str) -> Option<&Origin> {
        self.by_secret.get(secret).map(|hook| &hook.origin)
    }

    /// Counts a use, refused ones too: Slack does not say whether it does, so a client must not rely on it.
    pub(in crate::slack) fn redeem(
        &mut self,
        secret: &str,
        life: Duration,
        now: Instant,
    ) -> Result<Origin, ApiError> {
        let hook = self.by_secret.get_mut(secret).ok_or_else(|| ApiError::new("invalid_url"))?;
        if now.duration_since(hook.created) > life {
            return Err(ApiError::new("expired_url"));
        }
        if hook.uses >= MAX_USES {
            return Err(ApiError::new("used_url"));
        }
        hook.uses += 1;
        Ok(hook.origin.clone())
    }
}
