//! Keeps calls within Slack's limits.
//!
//! [`LimitedTransport`] holds each `Retry-After`: a client has no other way to Slack, so no call starts before the wait ends.
//! [`LookupQueue`] bounds the look-ups that run at once. How fast a channel takes messages, the controller decides.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client_base::forward_proxy::Dialer;
use http::{HeaderMap, Request, Uri};
use parking_lot::{Mutex, MutexGuard};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::error::{Retry, SlackError};
use super::method::Method;
use super::redact::Redactor;
use super::timings::CallTimings;
use super::transport::{BodyParser, Transport};
use super::wire::Fields;

/// Look-ups in progress at once, for all callers: one request may name a hundred people, and there may be many
/// requests.
const MAX_CONCURRENT: usize = 8;
/// Of these, look-ups of people that requesters chose, so that there is always room for the operator's recipients.
const MAX_REQUESTER_CALLS: usize = 4;
/// The same of one requester.
const MAX_CALLS_PER_REQUESTER: usize = 2;
/// So many look-ups of people that requesters chose may follow each other at once, and then one every two seconds: with
/// what is left, the operator's recipients stay within the fifty a minute that Slack allows.
const REQUESTER_BURST: u32 = 15;
const REQUESTER_INTERVAL: Duration = Duration::from_secs(2);

/// On whose behalf a look-up is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Priority {
    /// That of the operator's recipients, before all others.
    Operator,
    /// That of this requester, who chose the people to look up. Requesters take turns.
    Requester(Arc<str>),
}

impl Priority {
    /// A name that no other priority has.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Operator => "",
            Self::Requester(requester) => requester,
        }
    }
}

/// What a `Retry-After` holds for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Limited {
    Method(Method),
    /// Each response URL has a limit of its own.
    ResponseUrl(Uri),
}

impl Limited {
    fn of(method: Method, uri: &Uri) -> Self {
        match method {
            Method::Respond => Self::ResponseUrl(uri.clone()),
            method => Self::Method(method),
        }
    }
}

/// Each wait that Slack asked for, with its end and the error that said so. Clones share them.
#[derive(Clone, Default)]
pub(super) struct RateLimits(Arc<Mutex<HashMap<Limited, (Instant, SlackError)>>>);

impl RateLimits {
    /// Fails as the limited call did, with the rest of the wait, while the method's `Retry-After` lasts.
    fn check_method(&self, method: Method) -> Result<(), SlackError> {
        self.check(&Limited::Method(method))
    }

    /// How long the method's `Retry-After` lasts; `None` if it can be called.
    pub(super) fn blocked_for(&self, method: Method) -> Option<Duration> {
        self.remaining(&Limited::Method(method)).map(|(left, _)| left)
    }

    /// The waits that last, with the time left. All response URLs are one.
    pub(super) fn in_force(&self) -> Vec<(Method, Duration)> {
        let now = Instant::now();
        let mut longest: BTreeMap<&'static str, (Method, Duration)> = BTreeMap::new();
        for (limited, (until, _)) in self.blocked().iter().filter(|(_, (until, _))| *until > now) {
            let method = match limited {
                Limited::Method(method) => *method,
                Limited::ResponseUrl(_) => Method::Respond,
            };
            let left = *until - now;
            let known = longest.entry(method.as_str()).or_insert((method, left));
            known.1 = known.1.max(left);
        }
        longest.into_values().collect()
    }

    fn check(&self, limited: &Limited) -> Result<(), SlackError> {
        match self.remaining(limited) {
            Some((left, error)) => Err(error.with_remaining(left)),
            None => Ok(()),
        }
    }

    fn remaining(&self, limited: &Limited) -> Option<(Duration, SlackError)> {
        let (until, error) = self.blocked().get(limited)?.clone();
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some((left, error))
    }

    /// Keeps the wait that the result of a call asks for, if it asks for one, and forgets those that ended.
    fn record(&self, limited: Limited, error: &SlackError) {
        if let Retry::After(wait) = error.retry() {
            let now = Instant::now();
            let until = now + wait;
            let mut blocked = self.blocked();
            blocked.retain(|_, (until, _)| *until > now);
            // Of calls that ran at the same time, the longest wait counts.
            if blocked.get(&limited).is_none_or(|(known, _)| *known < until) {
                blocked.insert(limited, (until, error.clone()));
            }
        }
    }

    fn blocked(&self) -> MutexGuard<'_, HashMap<Limited, (Instant, SlackError)>> {
        self.0.lock()
    }
}

/// The only way to Slack for a client: a transport that sends nothing while Slack's wait lasts. Clones share the waits.
#[derive(Clone)]
pub(super) struct LimitedTransport {
    transport: Transport,
    limits: RateLimits,
}

impl LimitedTransport {
    /// No wait lasts yet.
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, limits: RateLimits::default() }
    }

    /// The connections of `other`, under the waits of this one.
    pub(super) fn with_connections_of(&self, other: &Self) -> Self {
        Self { transport: other.transport.clone(), limits: self.limits.clone() }
    }

    /// How long calls may take.
    pub(super) fn timings(&self) -> &CallTimings {
        self.transport.timings()
    }

    /// Makes the call, or fails at once while the `Retry-After` of an earlier one lasts ([`SlackError::was_sent`]).
    pub(super) async fn call(
        &self,
        method: Method,
        request: Request<Bytes>,
        read: BodyParser,
        redactor: &Redactor,
    ) -> Result<(HeaderMap, Fields), SlackError> {
        let limited = Limited::of(method, request.uri());
        self.limits.check(&limited)?;
        let outcome = self.transport.call(request, method.timeout(self.timings()), read, redactor).await;
        outcome.map_err(|failure| {
            let error = SlackError::new(method, failure);
            self.limits.record(limited, &error);
            error
        })
    }

    /// The waits, for a queue of calls.
    pub(super) fn limits(&self) -> RateLimits {
        self.limits.clone()
    }

    /// How servers are checked, for connections that are no calls.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.transport.tls()
    }

    /// How servers are reached, for the same.
    pub(super) fn dialer(&self) -> Dialer {
        self.transport.dialer()
    }
}

/// Starts look-ups one by one. Clones share the queue.
#[derive(Clone)]
pub(super) struct LookupQueue {
    shared: Arc<Shared>,
    rate_limits: RateLimits,
}

struct Shared {
    slots: Mutex<Slots>,
    /// Held by the one caller that looks at the clock for all that wait.
    clock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Slots {
    in_use: usize,
    /// How many each requester has.
    per_requester: HashMap<Arc<str>, usize>,
    operator_queue: VecDeque<oneshot::Sender<Permit>>,
    /// Each requester who waits, once, the next first.
    requester_queues: VecDeque<(Arc<str>, VecDeque<oneshot::Sender<Permit>>)>,
    /// When the allowance for chosen people will be whole again.
    budget_full_at: Option<Instant>,
}

/// A slot that is given back when the permit is dropped.
struct Permit {
    shared: Arc<Shared>,
    priority: Priority,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut slots = self.shared.slots();
        slots.in_use -= 1;
        if let Priority::Requester(requester) = &self.priority
            && let Some(count) = slots.per_requester.get_mut(requester)
        {
            *count -= 1;
            if *count == 0 {
                slots.per_requester.remove(requester);
            }
        }
        drop(slots);
        Shared::grant_permits(&self.shared);
    }
}

impl Slots {
    /// The next caller that may pass, and its priority.
    fn next_waiter(&mut self, now: Instant) -> Option<(oneshot::Sender<Permit>, Priority)> {
        if self.in_use >= MAX_CONCURRENT {
            return None;
        }
        while let Some(waiting) = self.operator_queue.pop_front() {
            if !waiting.is_closed() {
                self.in_use += 1;
                return Some((waiting, Priority::Operator));
            }
        }
        let whole_at = self.budget_full_at.map_or(now, |at| at.max(now)) + REQUESTER_INTERVAL;
        if self.per_requester.values().sum::<usize>() >= MAX_REQUESTER_CALLS
            || whole_at > now + REQUESTER_INTERVAL * REQUESTER_BURST
        {
            return None;
        }
        loop {
            let has_room = |requester| {
                self.per_requester.get(requester).is_none_or(|count| *count < MAX_CALLS_PER_REQUESTER)
            };
            let at = self.requester_queues.iter().position(|(requester, _)| has_room(requester))?;
            let (requester, mut waiting) = self.requester_queues.remove(at)?;
            let next = std::iter::from_fn(|| waiting.pop_front()).find(|one| !one.is_closed());
            if !waiting.is_empty() {
                self.requester_queues.push_back((Arc::clone(&requester), waiting));
            }
            let Some(next) = next else { continue };
            self.budget_full_at = Some(whole_at);
            self.in_use += 1;
            *self.per_requester.entry(Arc::clone(&requester)).or_default() += 1;
            return Some((next, Priority::Requester(requester)));
        }
    }
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock()
    }

    /// Lets through every caller that may pass now.
    fn grant_permits(shared: &Arc<Self>) {
        loop {
            let next = shared.slots().next_waiter(Instant::now());
            let Some((one, priority)) = next else { return };
            // If no caller waits for it any more, the permit comes back at once.
            drop(one.send(Permit { shared: Arc::clone(shared), priority }));
        }
    }
}

impl LookupQueue {
    /// A queue for look-ups under these limits.
    pub(super) fn new(rate_limits: RateLimits) -> Self {
        let shared = Shared { slots: Mutex::default(), clock: tokio::sync::Mutex::default() };
        Self { shared: Arc::new(shared), rate_limits }
    }

    async fn acquire(&self, priority: Priority) -> Permit {
        let (sender, mut receiver) = oneshot::channel();
        {
            let mut slots = self.shared.slots();
            match priority {
                Priority::Operator => slots.operator_queue.push_back(sender),
                Priority::Requester(requester) => {
                    match slots.requester_queues.iter_mut().find(|(known, _)| *known == requester) {
                        Some((_, waiting)) => waiting.push_back(sender),
                        None => slots.requester_queues.push_back((requester, VecDeque::from([sender]))),
                    }
                }
            }
        }
        Shared::grant_permits(&self.shared);
        let permit = tokio::select! {
            biased;
            permit = &mut receiver => permit,
            // A slot that comes free is given at once; more of the allowance comes with time.
            _clock = self.shared.clock.lock() => loop {
                Shared::grant_permits(&self.shared);
                if let Ok(permit) = timeout(REQUESTER_INTERVAL, &mut receiver).await {
                    break permit;
                }
            },
        };
        permit.expect("a waiting caller is kept until it gets its permit")
    }

    /// Makes the call when its turn comes; fails at once while the method's `Retry-After` lasts.
    pub(super) async fn call<T>(
        &self,
        method: Method,
        priority: Priority,
        call: impl Future<Output = Result<T, SlackError>>,
    ) -> Result<T, SlackError> {
        // Also before the permit, so that a call that would fail takes no permit.
        self.rate_limits.check_method(method)?;
        let _permit = self.acquire(priority).await;
        self.rate_limits.check_method(method)?;
        call.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::error::ErrorKind;
    use super::*;

    fn limited(seconds: u64) -> SlackError {
        let wait = Duration::from_secs(seconds);
        SlackError::new(Method::UsersInfo, ErrorKind::RateLimited { retry_after: wait, is_asked: true })
    }

    fn queue() -> LookupQueue {
        LookupQueue::new(RateLimits::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_blocks_its_method_until_it_ends() {
        let queue = queue();
        queue.rate_limits.record(Limited::Method(Method::UsersInfo), &limited(5));
        tokio::time::advance(Duration::from_secs(2)).await;
        let not_made = async { panic!("the call was made") };
        let error = queue.call::<()>(Method::UsersInfo, Priority::Operator, not_made).await.unwrap_err();
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(3)));
        assert_eq!((error.was_sent(), limited(5).was_sent()), (false, true));
        assert_eq!(error.to_string(), limited(5).to_string());
        assert!(queue.call(Method::UsersLookupByEmail, Priority::Operator, async { Ok(()) }).await.is_ok());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(queue.call(Method::UsersInfo, Priority::Operator, async { Ok(()) }).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_counts() {
        let limits = RateLimits::default();
        for seconds in [5, 1] {
            limits.record(Limited::Method(Method::UsersInfo), &limited(seconds));
        }
        let left = limits.check_method(Method::UsersInfo).unwrap_err().retry();
        assert_eq!(left, Retry::After(Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_url_waits_for_itself_and_is_forgotten_afterwards() {
        let limits = RateLimits::default();
        let url = |n: u32| {
            let url = format!("https://hooks.slack.com/actions/T1/{n}/s").parse().unwrap();
            Limited::of(Method::Respond, &url)
        };
        limits.record(url(1), &limited(5));
        assert_eq!(limits.check(&url(1)).unwrap_err().retry(), Retry::After(Duration::from_secs(5)));
        assert!(limits.check(&url(2)).is_ok());
        limits.record(url(3), &limited(7));
        limits.record(Limited::Method(Method::UsersInfo), &limited(2));
        let seconds = Duration::from_secs;
        assert_eq!(limits.in_force(), [(Method::Respond, seconds(7)), (Method::UsersInfo, seconds(2))]);
        tokio::time::advance(seconds(3)).await;
        assert_eq!(limits.in_force(), [(Method::Respond, seconds(4))], "the rest of the wait");
        tokio::time::advance(seconds(2)).await;
        assert!(limits.check(&url(1)).is_ok());
        limits.record(url(2), &limited(5));
        assert_eq!(limits.blocked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_run_at_once() {
        let (queue, now, most) = (queue(), AtomicUsize::new(0), AtomicUsize::new(0));
        let call = || async {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        };
        let calls = (0..50).map(|_| queue.call(Method::UsersInfo, Priority::Operator, call()));
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!(most.into_inner(), MAX_CONCURRENT);
    }

    /// Which look-ups pass one after the other, when each call takes a second.
    async fn call_order(turns: impl IntoIterator<Item = Priority>) -> Vec<(u64, Priority)> {
        let (queue, began) = (queue(), Instant::now());
        let passed = Mutex::new(Vec::new());
        let calls = turns.into_iter().map(|priority| {
            let (queue, passed) = (&queue, &passed);
            async move {
                let call = async {
                    passed.lock().push((began.elapsed().as_secs(), priority.clone()));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(())
                };
                queue.call(Method::UsersLookupByEmail, priority.clone(), call).await
            }
        });
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        passed.into_inner()
    }

    fn from_requester(requester: &str) -> Priority {
        Priority::Requester(requester.into())
    }

    #[tokio::test(start_paused = true)]
    async fn requesters_take_turns_and_the_operators_recipients_go_first() {
        let mut turns = vec![from_requester("alice"); 95];
        turns.extend([from_requester("zoe"), from_requester("zoe"), Priority::Operator, Priority::Operator]);
        let passed = call_order(turns).await;
        let last =
            |priority: &Priority| passed.iter().rev().find(|(_, passed)| passed == priority).unwrap().0;
        assert_eq!(
            (last(&Priority::Operator), last(&from_requester("zoe"))),
            (0, 0),
            "although alice came before them"
        );
        let at_once =
            passed.iter().filter(|(at, priority)| *at == 0 && *priority == from_requester("alice")).count();
        assert_eq!(at_once, MAX_CALLS_PER_REQUESTER);
    }

    #[tokio::test(start_paused = true)]
    async fn people_that_requesters_chose_leave_room_within_slacks_limit() {
        let requesters = ["alice", "zoe", "mallory"].map(from_requester);
        let passed = call_order(requesters.iter().cycle().take(150).cloned()).await;
        assert_eq!(passed.len(), 150);
        for minute in 0..4 {
            let calls = passed.iter().filter(|(at, _)| (minute * 60..(minute + 1) * 60).contains(at)).count();
            assert!(calls <= 46, "{calls} in minute {minute}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_takes_no_slot() {
        let queue = queue();
        let never = || std::future::pending::<Result<(), SlackError>>();
        {
            let waiting = (0..100).map(|_| queue.call(Method::UsersInfo, from_requester("alice"), never()));
            let all = futures_util::future::join_all(waiting);
            assert!(tokio::time::timeout(Duration::from_secs(1), all).await.is_err());
        }
        for priority in [from_requester("alice"), Priority::Operator] {
            assert!(queue.call(Method::UsersInfo, priority, async { Ok(()) }).await.is_ok());
        }
        let slots = queue.shared.slots();
        assert_eq!((slots.in_use, slots.per_requester.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_looks_at_the_clock_for_all_that_wait() {
        let (queue, polls) = (queue(), AtomicUsize::new(0));
        let calls = (0..500).map(|_| {
            let mut call = Box::pin(queue.call(Method::UsersInfo, from_requester("alice"), async { Ok(()) }));
            let polls = &polls;
            std::future::poll_fn(move |context| {
                polls.fetch_add(1, Ordering::Relaxed);
                call.as_mut().poll(context)
            })
        });
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        // The first time, when it takes over the clock, at most twice by the clock, and when it has its turn.
        assert!(polls.load(Ordering::Relaxed) <= 500 * 5, "{polls:?} for 500 calls that waited for 1,000 s");
    }
}
