//! Places that refuse everything until somebody changes something in Slack: one errand at a time tries such a place, and
//! the others wait for what comes of it.
//!
//! Which refusals are the place's own, and how long the waits are, `outbox` knows. No clock of its own: `now` is an
//! argument.

use std::collections::HashMap;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::record::Operation;
use tokio::time::Instant;

/// Between two tries, whoever makes them: less than the first wait, so that nobody who was told to wait meets it.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(7);
/// How much later than the next try the others come.
const STAGGER: Duration = Duration::from_secs(1);
/// A place that nobody tried for so long since its last wait is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// The places that refuse.
#[derive(Debug, Default)]
pub(super) struct ChannelBreaker(HashMap<String, Circuit>);

/// A place that refuses.
#[derive(Debug)]
struct Circuit {
    /// When it was last tried.
    last_attempt: Instant,
    /// How often in a row.
    failures: u32,
    /// When it is to be tried again.
    next_attempt: Instant,
    /// Who tries it now.
    probing: Option<(RequestId, Operation)>,
}

impl ChannelBreaker {
    /// `None` if the errand may be tried, as the only one for this place; else how long it must wait.
    pub(super) fn required_wait(
        &mut self,
        place: &str,
        id: &RequestId,
        errand: &Operation,
        now: Instant,
    ) -> Option<Duration> {
        let door = self.0.get_mut(place)?;
        let who = (id.clone(), errand.clone());
        if door.probing.as_ref() == Some(&who) {
            return None;
        }
        let rested = door.last_attempt + PROBE_INTERVAL;
        if now < rested {
            return Some(door.next_attempt.max(rested) + STAGGER - now);
        }
        // Also one that is new: whoever changed something in Slack and makes a request sees at once that it helped.
        door.probing = Some(who);
        door.last_attempt = now;
        None
    }

    /// The place refused. `delay` is the wait after so many failures in a row; returned is the errand's own wait.
    pub(super) fn on_refused(
        &mut self,
        place: &str,
        now: Instant,
        delay: impl FnOnce(u32) -> Duration,
    ) -> Duration {
        self.0.retain(|_, door| door.next_attempt + FORGET_AFTER > now);
        let failures = match self.0.get(place) {
            // It was under way already when the place was first heard to refuse.
            Some(door) if door.probing.is_none() && now < door.next_attempt => {
                return door.next_attempt + STAGGER - now;
            }
            Some(door) => door.failures.saturating_add(1),
            None => 1,
        };
        let wait = delay(failures);
        self.0.insert(
            place.to_owned(),
            Circuit { last_attempt: now, failures, next_attempt: now + wait, probing: None },
        );
        wait
    }

    /// The place let something in.
    pub(super) fn close(&mut self, place: &str) {
        self.0.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use access_core::domain::recipients::RecipientKey;

    use super::*;

    const PLACE: &str = "C1";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ask(doors: &mut ChannelBreaker, id: &str, now: Instant) -> Option<u64> {
        let errand = Operation::Post(RecipientKey::new(PLACE));
        doors.required_wait(PLACE, &RequestId::new(id), &errand, now).map(|wait| wait.as_secs())
    }

    /// Waits of 10, 20, 30 s.
    fn refuse(doors: &mut ChannelBreaker, now: Instant) -> u64 {
        doors.on_refused(PLACE, now, |failures| seconds(10 * u64::from(failures))).as_secs()
    }

    #[test]
    fn only_a_place_that_refused_is_tried_by_one_at_a_time() {
        let (mut doors, start) = (ChannelBreaker::default(), Instant::now());
        assert_eq!((ask(&mut doors, "a", start), ask(&mut doors, "b", start)), (None, None));
        assert_eq!(refuse(&mut doors, start), 10);
        assert_eq!(refuse(&mut doors, start), 11, "it was under way, too, and comes after the first");
        assert_eq!(ask(&mut doors, "c", start), Some(11));
        let now = start + seconds(10);
        assert_eq!(ask(&mut doors, "a", now), None);
        assert_eq!(ask(&mut doors, "a", now), None, "asking takes nothing away");
        assert_eq!(ask(&mut doors, "b", now + seconds(1)), Some(7), "a is at it");
        assert_eq!(refuse(&mut doors, now), 20);
        assert_eq!(ask(&mut doors, "b", now + seconds(1)), Some(20));
        doors.close(PLACE);
        assert_eq!((ask(&mut doors, "b", now), ask(&mut doors, "c", now)), (None, None));
    }

    #[test]
    fn a_new_operation_may_probe_and_an_abandoned_probe_does_not_block_others() {
        let (mut doors, start) = (ChannelBreaker::default(), Instant::now());
        refuse(&mut doors, start);
        assert_eq!(ask(&mut doors, "new", start + seconds(6)), Some(5));
        assert_eq!(ask(&mut doors, "new", start + PROBE_INTERVAL), None);
        // It is not heard of again.
        assert_eq!(ask(&mut doors, "b", start + seconds(11)), Some(4));
        assert_eq!(ask(&mut doors, "b", start + seconds(15)), None);
        assert_eq!(ask(&mut doors, "new", start + seconds(15)), Some(8));
    }

    #[test]
    fn places_that_nobody_tries_any_more_are_forgotten() {
        let (mut doors, start) = (ChannelBreaker::default(), Instant::now());
        for n in 0..10_000 {
            doors.on_refused(&format!("C{n}"), start + n * seconds(60), |_| seconds(10));
        }
        assert!(doors.0.len() < 100, "{}", doors.0.len());
    }
}
