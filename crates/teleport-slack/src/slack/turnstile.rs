//! Keeps look-ups within bounds: so many at once, and none by a method that Slack asked to leave alone.
//!
//! The same for messages is the runtime's, which must not sleep meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::error::{Kind, SlackError};
use super::method::Method;

/// Look-ups under way at once, whoever needs them: one request may name a hundred people, and there may be many
/// requests.
const MAX_CALLS: usize = 8;

/// Lets calls through one by one.
pub(super) struct Turnstile {
    free: Semaphore,
    /// Until when, and why.
    closed: Mutex<HashMap<Method, (Instant, SlackError)>>,
}

impl Turnstile {
    pub(super) fn new() -> Self {
        Self { free: Semaphore::new(MAX_CALLS), closed: Mutex::default() }
    }

    /// Makes the call when it is its turn; fails at once, as the call before did, while Slack's wait lasts.
    pub(super) async fn pass<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, SlackError>>,
    ) -> Result<T, SlackError> {
        let _permit = self.free.acquire().await.expect("the semaphore is never closed");
        if let Some(refusal) = self.refusal(method) {
            return Err(refusal);
        }
        let outcome = call.await;
        if let Err(error) = &outcome
            && let Kind::RetryAfter(wait) = error.kind()
        {
            self.closed().insert(method, (Instant::now() + wait, error.clone()));
        }
        outcome
    }

    fn refusal(&self, method: Method) -> Option<SlackError> {
        let closed = self.closed();
        let (until, error) = closed.get(&method)?;
        let left = until.saturating_duration_since(Instant::now());
        (left > Duration::ZERO).then(|| error.still(left))
    }

    fn closed(&self) -> MutexGuard<'_, HashMap<Method, (Instant, SlackError)>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::error::Failure;
    use super::*;

    fn limited(seconds: u64) -> Result<(), SlackError> {
        let wait = Duration::from_secs(seconds);
        Err(SlackError::new(Method::UsersInfo, Failure::Limited { wait }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_obeyed_for_its_method_and_then_over() {
        let turnstile = Turnstile::new();
        let untouched = async { panic!("the call was made") };
        assert!(turnstile.pass(Method::UsersInfo, async { limited(5) }).await.is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        let error = turnstile.pass::<()>(Method::UsersInfo, untouched).await.unwrap_err();
        assert_eq!(error.kind(), Kind::RetryAfter(Duration::from_secs(3)));
        assert_eq!(error.to_string(), limited(5).unwrap_err().to_string());
        assert!(turnstile.pass(Method::UsersLookupByEmail, async { Ok(()) }).await.is_ok());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(turnstile.pass(Method::UsersInfo, async { Ok(()) }).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_under_way_at_once() {
        let (turnstile, now, most) = (Turnstile::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let call = || async {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        };
        let calls = (0..50).map(|_| turnstile.pass(Method::UsersInfo, call()));
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!(most.into_inner(), MAX_CALLS);
    }
}
