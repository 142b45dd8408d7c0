//! Who may post into a place when, after Slack said "too many" of it: one message a second, first come first served.
//!
//! How many messages a channel takes at once Slack does not tell, so a place is served without delay until it says
//! so. No clock of its own: `now` is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use access_core::ids::RequestId;
use access_core::plan::Errand;
use tokio::time::Instant;

/// Slack's figure: one message a second into a channel.
const INTERVAL: Duration = Duration::from_secs(1);
/// A place where nobody waited for so long is served without delay again.
const RELAXED: Duration = Duration::from_secs(10);

/// A turn that nobody used for so long is forgotten: another daemon did the errand, or nobody needs it any more.
const KEPT: Duration = Duration::from_secs(60);

/// The places that are served slowly.
#[derive(Debug, Default)]
pub(super) struct Pace(HashMap<String, Line>);

/// Those who wait for one place.
#[derive(Debug)]
struct Line {
    /// The first moment that is promised to nobody; later than every promise.
    next: Instant,
    promised: BTreeMap<(RequestId, Errand), Instant>,
}

impl Pace {
    /// Slack refused a message for `place` and takes none before `from`. All who wait there queue up again.
    pub(super) fn slow_down(&mut self, place: &str, from: Instant, now: Instant) {
        self.0.retain(|_, line| line.next + RELAXED > now);
        self.0.insert(place.to_owned(), Line { next: from, promised: BTreeMap::new() });
    }

    /// `None` if the errand may post now; else when its turn comes. The turn is kept until it is used.
    pub(super) fn wait(
        &mut self,
        place: &str,
        id: &RequestId,
        errand: &Errand,
        now: Instant,
    ) -> Option<Duration> {
        let line = self.0.get_mut(place)?;
        if line.next + RELAXED <= now {
            self.0.remove(place);
            return None;
        }
        let who = (id.clone(), errand.clone());
        let at = match line.promised.get(&who) {
            Some(at) => *at,
            None => {
                let at = line.next.max(now);
                line.next = at + INTERVAL;
                line.promised.retain(|_, at| *at + KEPT > now);
                line.promised.insert(who, at);
                at
            }
        };
        Some(at.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// The errand uses its turn.
    pub(super) fn go(&mut self, place: &str, id: &RequestId, errand: &Errand) {
        if let Some(line) = self.0.get_mut(place) {
            line.promised.remove(&(id.clone(), errand.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use access_core::recipients::RecipientKey;

    use super::*;

    fn turns(pace: &mut Pace, place: &str, ids: &[&str], now: Instant) -> Vec<Option<u64>> {
        let errand = Errand::Deliver(RecipientKey::new(place));
        let mut turn = |id: &&str| {
            let id = RequestId::new(*id);
            let wait = pace.wait(place, &id, &errand, now);
            assert_eq!(pace.wait(place, &id, &errand, now), wait, "asking takes nothing away");
            if wait.is_none() {
                pace.go(place, &id, &errand);
            }
            wait.map(|wait| wait.as_secs())
        };
        ids.iter().map(&mut turn).collect()
    }

    #[test]
    fn a_place_is_slow_only_after_slack_said_so_and_only_that_place() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(turns(&mut pace, "C1", &["a", "b", "c"], now), [None, None, None]);
        pace.slow_down("C1", now + Duration::from_secs(3), now);
        assert_eq!(turns(&mut pace, "C1", &["a", "b", "c"], now), [Some(3), Some(4), Some(5)]);
        assert_eq!(turns(&mut pace, "C2", &["a", "b"], now), [None, None]);
    }

    #[test]
    fn a_turn_is_kept_and_used_once() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pace.slow_down("C1", at(1), start);
        assert_eq!(turns(&mut pace, "C1", &["a", "b"], start), [Some(1), Some(2)]);
        assert_eq!(turns(&mut pace, "C1", &["b", "a", "new"], at(1)), [Some(1), None, Some(2)]);
        assert_eq!(turns(&mut pace, "C1", &["b", "a"], at(2)), [None, Some(2)]);
    }

    #[test]
    fn turns_that_nobody_uses_are_forgotten() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.slow_down("C1", start, start);
        for second in 0..1_000 {
            let now = start + Duration::from_secs(second);
            turns(&mut pace, "C1", &[&format!("a {second}"), &format!("b {second}")], now);
            let kept = pace.0["C1"].promised.values().filter(|at| **at + KEPT <= now).count();
            assert!(kept <= 1, "{kept} after {second} s");
        }
    }

    #[test]
    fn a_second_refusal_begins_anew_and_rest_ends_it() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pace.slow_down("C1", at(1), start);
        assert_eq!(turns(&mut pace, "C1", &["a", "b", "c"], start), [Some(1), Some(2), Some(3)]);
        pace.slow_down("C1", at(9), start);
        assert_eq!(turns(&mut pace, "C1", &["c", "b"], at(8)), [Some(1), Some(2)]);
        assert_eq!(turns(&mut pace, "C1", &["a", "b", "c"], at(21)), [None, None, None]);
        assert!(pace.0.is_empty());
    }
}
