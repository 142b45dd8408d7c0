//! The `trigger_id`s in payloads: each lets the app open one view for the user who acted, soon after.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::reply::ApiError;
use super::random_token;

/// Older ones are forgotten.
const MAX_TRIGGERS: usize = 10_000;

struct Trigger {
    user: String,
    created: Instant,
    used: bool,
}

/// All triggers of the workspace.
#[derive(Default)]
pub(in crate::slack) struct Triggers {
    by_id: HashMap<String, Trigger>,
    order: VecDeque<String>,
}

impl Triggers {
    /// A new one for what `user` just did.
    pub(in crate::slack) fn create(&mut self, user: &str, now: Instant) -> String {
        let id = format!("{}.{}.{}", self.order.len() + 1, "1795363190", random_token());
        self.by_id.insert(id.clone(), Trigger { user: user.to_owned(), created: now, used: false });
        self.order.push_back(id.clone());
        if self.order.len() > MAX_TRIGGERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        id
    }

    /// The user a trigger stands for, if it is good now. It stays good until [`Triggers::redeem`].
    pub(in crate::slack) fn user(&self, id: &str, life: Duration, now: Instant) -> Result<&str, ApiError> {
        let trigger = self.by_id.get(id).ok_or_else(|| ApiError::new("invalid_trigger_id"))?;
        if trigger.used {
            return Err(ApiError::new("exchanged_trigger_id"));
        }
        if now.duration_since(trigger.created) > life {
            return Err(ApiError::new("expired_trigger_id"));
        }
        Ok(&trigger.user)
    }

    /// Uses a trigger up.
    pub(in crate::slack) fn redeem(&mut self, id: &str) {
        if let Some(trigger) = self.by_id.get_mut(id) {
            trigger.used = true;
        }
    }
}
