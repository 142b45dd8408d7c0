use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::time::{advance, sleep};

use super::*;

const LIMITS: Limits =
    Limits { hit_ttl: Duration::from_secs(600), miss_ttl: Duration::from_secs(60), max_entries: 3 };

/// Counts lookups and answers each with its number, unless a test says otherwise.
#[derive(Clone, Default)]
struct CountingSource {
    calls: Arc<AtomicUsize>,
}

impl CountingSource {
    async fn fetch_through(&self, cache: &Cache<usize, &'static str>, key: &str) -> usize {
        let source = self.clone();
        let lookup = || async move { Ok(Some(source.call())) };
        cache.get_or_fetch(key, "", lookup).await.unwrap().unwrap()
    }

    fn call(&self) -> usize {
        self.calls.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_remembered_for_its_time() {
    let (cache, source) = (Cache::new(LIMITS), CountingSource::default());
    assert_eq!(source.fetch_through(&cache, "a").await, 1);
    advance(Duration::from_secs(599)).await;
    assert_eq!(source.fetch_through(&cache, "a").await, 1);
    assert_eq!(cache.peek("a"), Some(1));
    advance(Duration::from_secs(1)).await;
    assert_eq!(cache.peek("a"), None);
    assert_eq!(source.fetch_through(&cache, "a").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_remembered_briefly() {
    let (cache, source) = (Cache::<usize, &str>::new(LIMITS), CountingSource::default());
    let ask = async || {
        let source = source.clone();
        cache
            .get_or_fetch("a", "", || async move {
                source.call();
                Ok(None)
            })
            .await
    };
    assert_eq!(ask().await, Ok(None));
    advance(Duration::from_secs(59)).await;
    assert_eq!(ask().await, Ok(None));
    assert_eq!(source.calls(), 1);
    assert_eq!(cache.peek("a"), None);
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask().await, Ok(None));
    assert_eq!(source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_are_not_remembered() {
    let (cache, source) = (Cache::new(LIMITS), CountingSource::default());
    assert_eq!(cache.get_or_fetch("a", "", || async { Err("down") }).await, Err("down"));
    assert_eq!(source.fetch_through(&cache, "a").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_nothing_of_an_expired_answer() {
    let (cache, source) = (Cache::new(LIMITS), CountingSource::default());
    source.fetch_through(&cache, "a").await;
    advance(LIMITS.hit_ttl).await;
    assert_eq!(cache.get_or_fetch("a", "", || async { Err("down") }).await, Err("down"));
    assert_eq!(source.fetch_through(&cache, "a").await, 2);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_goes_first_and_keys_kept_again_are_young() {
    let (cache, source) = (Cache::new(LIMITS), CountingSource::default());
    for key in ["a", "b", "c"] {
        source.fetch_through(&cache, key).await;
    }
    cache.insert("a", 10);
    source.fetch_through(&cache, "d").await;
    let known = ["a", "b", "c", "d"].map(|key| cache.peek(key));
    assert_eq!(known, [Some(10), None, Some(3), Some(4)]);
    for number in 0..100 {
        cache.insert("a", number);
    }
    let state = cache.lock();
    assert_eq!((state.entries.len(), state.by_age.len(), state.in_flight.len()), (3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn concurrent_lookups_of_a_key_are_one() {
    let (cache, source) = (Cache::<usize, &str>::new(LIMITS), CountingSource::default());
    let ask = async |key: &str, outcome: Result<Option<usize>, &'static str>| {
        let source = source.clone();
        let lookup = || async move {
            source.call();
            sleep(Duration::from_secs(1)).await;
            outcome
        };
        cache.get_or_fetch(key, "", lookup).await
    };
    let all =
        tokio::join!(ask("a", Ok(Some(7))), ask("a", Ok(Some(8))), ask("b", Err("down")), ask("b", Ok(None)));
    assert_eq!(all, (Ok(Some(7)), Ok(Some(7)), Err("down"), Err("down")));
    assert_eq!(source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_outlives_the_caller_that_began_it() {
    let (cache, source) = (Cache::<usize, &str>::new(LIMITS), CountingSource::default());
    let gate = Arc::new(Semaphore::new(0));
    let lookup = || {
        let (gate, source) = (gate.clone(), source.clone());
        async move {
            source.call();
            gate.acquire().await.unwrap().forget();
            Ok(Some(7))
        }
    };
    let mut first = Box::pin(cache.get_or_fetch("a", "", lookup));
    let mut second = Box::pin(cache.get_or_fetch("a", "", lookup));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    gate.add_permits(1);
    assert_eq!(second.await, Ok(Some(7)));
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_no_caller_waits_for_starts_again() {
    let (cache, source) = (Cache::new(LIMITS), CountingSource::default());
    let mut first = Box::pin(cache.get_or_fetch("a", "", std::future::pending));
    assert!((&mut first).now_or_never().is_none());
    drop(first);
    assert_eq!(source.fetch_through(&cache, "a").await, 1);
    assert!(cache.lock().in_flight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn lookups_that_were_given_up_are_forgotten() {
    let cache = Cache::<usize, &str>::new(LIMITS);
    let begin =
        |key: &str| assert!(cache.get_or_fetch(key, "", std::future::pending).now_or_never().is_none());
    let mut kept = Box::pin(cache.get_or_fetch("kept", "", std::future::pending));
    assert!((&mut kept).now_or_never().is_none());
    for n in 0..10 * MIN_SWEEP {
        begin(&n.to_string());
        assert!(cache.lock().in_flight.len() <= 2 * MIN_SWEEP);
    }
    let name = (String::new(), "kept".to_owned());
    assert!(cache.lock().in_flight.contains_key(&name), "a caller waits for it");
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_asked_for_again_before_its_time() {
    // The moment at which it was asked, which a slow answer does not make younger.
    let cache = Cache::<Instant, &str>::new(LIMITS);
    let ask = async || {
        let lookup = || async {
            let asked = Instant::now();
            sleep(Duration::from_secs(6)).await;
            Ok(Some(asked))
        };
        let is_good = |found: &Option<Instant>| found.is_some_and(|at| at.elapsed() < Duration::from_secs(8));
        cache.get_if("a", "", is_good, lookup).await.unwrap().unwrap()
    };
    let first = ask().await;
    assert_eq!(first.elapsed(), Duration::from_secs(6));
    advance(Duration::from_millis(1_999)).await;
    assert_eq!(ask().await, first);
    advance(Duration::from_millis(1)).await;
    assert_eq!(ask().await, first + Duration::from_secs(8));
}
