//! The token that calls carry: it may be replaced while the daemon runs, and Slack may stop taking it.

use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;
use tokio::sync::watch as latest;

use super::error::{SetupError, SlackError};
use super::parse_token;
use super::scrub::Scrub;
use crate::secret::Secret;

/// How Slack takes the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why Slack refuses it, with the remedy; `None` if it does not.
    pub refused: Option<String>,
    /// How often there was reason to try again at once what Slack had refused: it takes the token again, or the token
    /// is another one.
    pub turns: u64,
}

/// The token in use, and what is known of it.
pub(super) struct Tokens {
    now: RwLock<Arc<InUse>>,
    standing: latest::Sender<Standing>,
}

/// One token.
pub(super) struct InUse {
    /// How many there were before.
    number: u64,
    pub(super) authorization: HeaderValue,
    /// Knows those before it too.
    pub(super) scrub: Scrub,
}

impl Tokens {
    pub(super) fn new(token: &Secret) -> Result<Self, SetupError> {
        let authorization = parse_token(token.expose())?;
        let first = InUse { number: 0, authorization, scrub: Scrub::new(token.clone()) };
        Ok(Self { now: RwLock::new(Arc::new(first)), standing: latest::Sender::default() })
    }

    pub(super) fn get(&self) -> Arc<InUse> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn standing(&self) -> latest::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn replace(&self, token: &Secret) -> Result<(), SetupError> {
        let authorization = parse_token(token.expose())?;
        {
            let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
            *now = Arc::new(InUse {
                number: now.number + 1,
                authorization,
                scrub: now.scrub.and([token.clone()]),
            });
        }
        self.standing.send_modify(|standing| {
            *standing = Standing { refused: None, turns: standing.turns + 1 };
        });
        Ok(())
    }

    /// What a call with `token` showed. One that was replaced meanwhile says nothing of the one in use.
    pub(super) fn note(&self, token: &InUse, error: Option<&SlackError>) {
        if self.get().number != token.number {
            return;
        }
        let refused = error.filter(|error| error.refuses_token());
        self.standing.send_if_modified(|standing| match (refused, &standing.refused) {
            (Some(error), None) => {
                standing.refused = Some(error.with_remedy().to_string());
                true
            }
            (None, Some(_)) if error.is_none() => {
                *standing = Standing { refused: None, turns: standing.turns + 1 };
                true
            }
            _ => false,
        });
    }
}
