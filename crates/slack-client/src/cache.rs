//! A bounded memory of lookups: answers expire, concurrent lookups of one key are made once, failures are not
//! kept. It knows nothing of Slack; `directory` gives it keys and lookups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For an answer that found something.
    pub(super) hit_ttl: Duration,
    /// For an answer that there is nothing.
    pub(super) miss_ttl: Duration,
    /// At most so many answers; the oldest goes first.
    pub(super) max_entries: usize,
}

/// Fewer lookups in progress are not worth a look.
const MIN_SWEEP: usize = 64;

/// What a lookup yields: something, nothing, or a failure.
type LookupResult<V, E> = Result<Option<V>, E>;
type InFlight<V, E> = BoxFuture<'static, LookupResult<V, E>>;

/// Remembers `V` by text. Clones share the memory.
pub(super) struct Cache<V, E> {
    state: Arc<Mutex<State<V, E>>>,
    limits: Limits,
}

struct State<V, E> {
    entries: HashMap<String, Entry<V>>,
    /// The keys of `entries` by age, oldest first.
    by_age: BTreeMap<u64, String>,
    next_sequence: u64,
    /// Lookups in progress, by way and key. Weak: one whose callers have all gone must not be resumed half-way later.
    in_flight: HashMap<(String, String), WeakShared<InFlight<V, E>>>,
    /// At so many in progress those are forgotten that no caller waits for any more.
    sweep_at: usize,
}

struct Entry<V> {
    value: Option<V>,
    expires: Instant,
    sequence: u64,
}

impl<V, E> Clone for Cache<V, E> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), limits: self.limits }
    }
}

impl<V, E> Cache<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            next_sequence: 0,
            in_flight: HashMap::new(),
            sweep_at: MIN_SWEEP,
        };
        Self { state: Arc::new(Mutex::new(state)), limits }
    }

    /// What is remembered, or else what `lookup` yields. `lookup` is called only if none is in progress that goes
    /// the same `way`: one may be slower than another.
    pub(super) async fn get_or_fetch<L>(
        &self,
        key: &str,
        way: &str,
        lookup: impl FnOnce() -> L,
    ) -> LookupResult<V, E>
    where
        L: Future<Output = LookupResult<V, E>> + Send + 'static,
    {
        self.get_if(key, way, |_| true, lookup).await
    }

    /// The same, where an answer is remembered only while it `is_good`.
    pub(super) async fn get_if<L>(
        &self,
        key: &str,
        way: &str,
        is_good: impl Fn(&Option<V>) -> bool,
        lookup: impl FnOnce() -> L,
    ) -> LookupResult<V, E>
    where
        L: Future<Output = LookupResult<V, E>> + Send + 'static,
    {
        let flight = {
            let name = (way.to_owned(), key.to_owned());
            let mut state = self.lock();
            if let Some(value) = state.get_fresh(key).filter(is_good) {
                return Ok(value);
            }
            match state.in_flight.get(&name).and_then(WeakShared::upgrade) {
                Some(flight) => flight,
                None => {
                    let flight = self.clone().fetch(name.clone(), lookup()).boxed().shared();
                    state.track(name, &flight);
                    flight
                }
            }
        };
        flight.await
    }

    /// Remembers something learned otherwise.
    pub(super) fn insert(&self, key: &str, value: V) {
        self.lock().insert(key.to_owned(), Some(value), self.limits);
    }

    /// What is remembered as found, without a lookup.
    pub(super) fn peek(&self, key: &str) -> Option<V> {
        self.lock().get_fresh(key).flatten()
    }

    async fn fetch(
        self,
        name: (String, String),
        lookup: impl Future<Output = LookupResult<V, E>>,
    ) -> LookupResult<V, E> {
        let outcome = lookup.await;
        let mut state = self.lock();
        state.in_flight.remove(&name);
        if let Ok(value) = &outcome {
            state.insert(name.1, value.clone(), self.limits);
        }
        drop(state);
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State<V, E>> {
        // Nothing panics while holding the lock, and a memory with a hole is still only a memory.
        self.state.lock()
    }
}

impl<V: Clone, E: Clone> State<V, E> {
    fn get_fresh(&self, key: &str) -> Option<Option<V>> {
        let entry = self.entries.get(key)?;
        (Instant::now() < entry.expires).then(|| entry.value.clone())
    }

    fn insert(&mut self, key: String, value: Option<V>, limits: Limits) {
        let lifetime = if value.is_some() { limits.hit_ttl } else { limits.miss_ttl };
        let number = self.next_sequence;
        self.next_sequence += 1;
        let entry = Entry { value, expires: Instant::now() + lifetime, sequence: number };
        if let Some(old) = self.entries.insert(key.clone(), entry) {
            self.by_age.remove(&old.sequence);
        }
        self.by_age.insert(number, key);
        while self.entries.len() > limits.max_entries
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Notes a lookup in progress. Now and then it forgets those that no caller waits for any more: looking at all of them
    /// each time would make the work grow with the square of the lookups, whose number requesters choose.
    fn track(&mut self, name: (String, String), flight: &Shared<InFlight<V, E>>) {
        if self.in_flight.len() >= self.sweep_at {
            self.in_flight.retain(|_, flight| flight.upgrade().is_some());
            self.sweep_at = (self.in_flight.len() * 2).max(MIN_SWEEP);
        }
        if let Some(weak) = flight.downgrade() {
            self.in_flight.insert(name, weak);
        }
    }
}

#[cfg(test)]
mod tests;
