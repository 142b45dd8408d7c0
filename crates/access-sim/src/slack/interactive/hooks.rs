//! The `response_url`s in payloads: each takes five messages within half an hour, from whoever knows it.
//!
//! Only what is true of the address is here; what is posted to it is carried out in `methods/response.rs`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::reply::Refusal;
use super::super::ts::Ts;
use super::unguessable;

/// Older ones are forgotten.
const MAX_HOOKS: usize = 10_000;
const MAX_USES: u32 = 5;

/// What a `response_url` belongs to.
#[derive(Clone)]
pub(in crate::slack) struct Origin {
    /// Who acted.
    pub(in crate::slack) user: String,
    pub(in crate::slack) channel: String,
    /// The message they acted on.
    pub(in crate::slack) ts: Ts,
}

struct Hook {
    origin: Origin,
    made: Instant,
    uses: u32,
}

/// All addresses of the workspace, by their secret part.
#[derive(Default)]
pub(in crate::slack) struct Hooks {
    known: HashMap<String, Hook>,
    order: VecDeque<String>,
}

impl Hooks {
    /// The secret part of a new address.
    pub(in crate::slack) fn make(&mut self, origin: Origin, now: Instant) -> String {
        let secret = unguessable();
        self.known.insert(secret.clone(), Hook { origin, made: now, uses: 0 });
        self.order.push_back(secret.clone());
        if self.order.len() > MAX_HOOKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        secret
    }

    /// What an address belongs to, used or not.
    pub(in crate::slack) fn origin(&self, secret: &str) -> Option<&Origin> {
        self.known.get(secret).map(|hook| &hook.origin)
    }

    /// Counts a use, refused ones too: Slack does not say whether it does, so a client must not rely on it.
    pub(in crate::slack) fn spend(
        &mut self,
        secret: &str,
        life: Duration,
        now: Instant,
    ) -> Result<Origin, Refusal> {
        let hook = self.known.get_mut(secret).ok_or_else(|| Refusal::new("invalid_url"))?;
        if now.duration_since(hook.made) > life {
            return Err(Refusal::new("expired_url"));
        }
        if hook.uses >= MAX_USES {
            return Err(Refusal::new("used_url"));
        }
        hook.uses += 1;
        Ok(hook.origin.clone())
    }
}
