//! Keeps look-ups within bounds: so many at once, and none by a method that Slack asked to leave alone.
//!
//! The same for messages is the runtime's, which must not sleep meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::error::{Kind, SlackError};
use super::method::Method;

/// Look-ups under way at once, whoever needs them: one request may name a hundred people, and there may be many
/// requests.
const MAX_CALLS: usize = 8;
/// Of these, look-ups of people whom requesters chose, so that there is always room for those whom the operator names.
const MAX_CHOSEN: usize = 4;
/// The same of one requester.
const MAX_OF_ONE: usize = 2;
/// So many look-ups of people whom requesters chose may follow each other at once, and then one every two seconds: with
/// what is left, the operator's recipients stay within the fifty a minute that Slack allows.
const BURST: u32 = 15;
const EVERY: Duration = Duration::from_secs(2);

/// Whose turn a look-up takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// That of the operator's recipients, before all others.
    First,
    /// That of this requester, who chose whom to look up. Requesters take turns.
    Of(Arc<str>),
}

impl Turn {
    /// A name that no other turn has.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::First => "",
            Self::Of(requester) => requester,
        }
    }
}

/// Lets calls through one by one.
#[derive(Clone)]
pub(super) struct Turnstile {
    shared: Arc<Shared>,
}

struct Shared {
    places: Mutex<Places>,
    /// Until when, and why.
    closed: Mutex<HashMap<Method, (Instant, SlackError)>>,
}

#[derive(Default)]
struct Places {
    taken: usize,
    /// How many each requester has.
    chosen: HashMap<Arc<str>, usize>,
    first: VecDeque<oneshot::Sender<Permit>>,
    /// Each requester who waits, once, the next first.
    waiting: VecDeque<(Arc<str>, VecDeque<oneshot::Sender<Permit>>)>,
    /// When the allowance for chosen people will be whole again.
    whole_at: Option<Instant>,
}

/// A place that is given back when it is dropped.
struct Permit {
    shared: Arc<Shared>,
    turn: Turn,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut places = self.shared.places();
        places.taken -= 1;
        if let Turn::Of(requester) = &self.turn
            && let Some(count) = places.chosen.get_mut(requester)
        {
            *count -= 1;
            if *count == 0 {
                places.chosen.remove(requester);
            }
        }
        drop(places);
        Shared::grant(&self.shared);
    }
}

impl Places {
    /// The next who may pass, and whose turn it was.
    fn next(&mut self, now: Instant) -> Option<(oneshot::Sender<Permit>, Turn)> {
        if self.taken >= MAX_CALLS {
            return None;
        }
        while let Some(waiting) = self.first.pop_front() {
            if !waiting.is_closed() {
                self.taken += 1;
                return Some((waiting, Turn::First));
            }
        }
        let whole_at = self.whole_at.map_or(now, |at| at.max(now)) + EVERY;
        if self.chosen.values().sum::<usize>() >= MAX_CHOSEN || whole_at > now + EVERY * BURST {
            return None;
        }
        loop {
            let has_room = |requester| self.chosen.get(requester).is_none_or(|count| *count < MAX_OF_ONE);
            let at = self.waiting.iter().position(|(requester, _)| has_room(requester))?;
            let (requester, mut waiting) = self.waiting.remove(at)?;
            let next = std::iter::from_fn(|| waiting.pop_front()).find(|one| !one.is_closed());
            if !waiting.is_empty() {
                self.waiting.push_back((Arc::clone(&requester), waiting));
            }
            let Some(next) = next else { continue };
            self.whole_at = Some(whole_at);
            self.taken += 1;
            *self.chosen.entry(Arc::clone(&requester)).or_default() += 1;
            return Some((next, Turn::Of(requester)));
        }
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets through whoever may pass now.
    fn grant(shared: &Arc<Self>) {
        loop {
            let next = shared.places().next(Instant::now());
            let Some((one, turn)) = next else { return };
            // If nobody waits for it any more, the permit comes back at once.
            drop(one.send(Permit { shared: Arc::clone(shared), turn }));
        }
    }
}

impl Turnstile {
    pub(super) fn new() -> Self {
        Self { shared: Arc::new(Shared { places: Mutex::default(), closed: Mutex::default() }) }
    }

    async fn place(&self, turn: Turn) -> Permit {
        let (tell, mut told) = oneshot::channel();
        {
            let mut places = self.shared.places();
            match turn {
                Turn::First => places.first.push_back(tell),
                Turn::Of(requester) => match places.waiting.iter_mut().find(|(known, _)| *known == requester)
                {
                    Some((_, waiting)) => waiting.push_back(tell),
                    None => places.waiting.push_back((requester, VecDeque::from([tell]))),
                },
            }
        }
        loop {
            Shared::grant(&self.shared);
            // A place that comes free is given at once; more of the allowance comes with time.
            if let Ok(place) = timeout(EVERY, &mut told).await {
                return place.expect("whoever waits is kept until the place is given");
            }
        }
    }

    /// Makes the call when it is its turn; fails at once, as the call before did, while Slack's wait lasts.
    pub(super) async fn pass<T>(
        &self,
        method: Method,
        turn: Turn,
        call: impl Future<Output = Result<T, SlackError>>,
    ) -> Result<T, SlackError> {
        // Before the place, too: what cannot be asked takes nobody's turn.
        if let Some(refusal) = self.refusal(method) {
            return Err(refusal);
        }
        let _permit = self.place(turn).await;
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
        self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(turnstile.pass(Method::UsersInfo, Turn::First, async { limited(5) }).await.is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        let error = turnstile.pass::<()>(Method::UsersInfo, Turn::First, untouched).await.unwrap_err();
        assert_eq!(error.kind(), Kind::RetryAfter(Duration::from_secs(3)));
        assert_eq!(error.to_string(), limited(5).unwrap_err().to_string());
        assert!(turnstile.pass(Method::UsersLookupByEmail, Turn::First, async { Ok(()) }).await.is_ok());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(turnstile.pass(Method::UsersInfo, Turn::First, async { Ok(()) }).await.is_ok());
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
        let calls = (0..50).map(|_| turnstile.pass(Method::UsersInfo, Turn::First, call()));
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        assert_eq!(most.into_inner(), MAX_CALLS);
    }

    /// Who passes one after the other, when each call takes a second.
    async fn order(turns: impl IntoIterator<Item = Turn>) -> Vec<(u64, Turn)> {
        let (turnstile, began) = (Turnstile::new(), Instant::now());
        let passed = Mutex::new(Vec::new());
        let calls = turns.into_iter().map(|turn| {
            let (turnstile, passed) = (&turnstile, &passed);
            async move {
                let call = async {
                    passed.lock().unwrap().push((began.elapsed().as_secs(), turn.clone()));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(())
                };
                turnstile.pass(Method::UsersLookupByEmail, turn.clone(), call).await
            }
        });
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
        passed.into_inner().unwrap()
    }

    fn of(requester: &str) -> Turn {
        Turn::Of(requester.into())
    }

    #[tokio::test(start_paused = true)]
    async fn requesters_take_turns_and_the_operators_recipients_go_first() {
        let mut turns = vec![of("alice"); 95];
        turns.extend([of("zoe"), of("zoe"), Turn::First, Turn::First]);
        let passed = order(turns).await;
        let last = |turn: &Turn| passed.iter().rev().find(|(_, passed)| passed == turn).unwrap().0;
        assert_eq!((last(&Turn::First), last(&of("zoe"))), (0, 0), "although alice came before them");
        let at_once = passed.iter().filter(|(at, turn)| *at == 0 && *turn == of("alice")).count();
        assert_eq!(at_once, MAX_OF_ONE);
    }

    #[tokio::test(start_paused = true)]
    async fn people_whom_requesters_chose_leave_room_within_slacks_limit() {
        let requesters = ["alice", "zoe", "mallory"].map(of);
        let passed = order(requesters.iter().cycle().take(150).cloned()).await;
        assert_eq!(passed.len(), 150);
        for minute in 0..4 {
            let calls = passed.iter().filter(|(at, _)| (minute * 60..(minute + 1) * 60).contains(at)).count();
            assert!(calls <= 46, "{calls} in minute {minute}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_takes_nobodys_place() {
        let turnstile = Turnstile::new();
        let never = || std::future::pending::<Result<(), SlackError>>();
        {
            let waiting = (0..100).map(|_| turnstile.pass(Method::UsersInfo, of("alice"), never()));
            let all = futures_util::future::join_all(waiting);
            assert!(tokio::time::timeout(Duration::from_secs(1), all).await.is_err());
        }
        for turn in [of("alice"), Turn::First] {
            assert!(turnstile.pass(Method::UsersInfo, turn, async { Ok(()) }).await.is_ok());
        }
        let places = turnstile.shared.places();
        assert_eq!((places.taken, places.chosen.len()), (0, 0));
    }
}
