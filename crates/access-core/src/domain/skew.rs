//! How far this machine's clock differs from another side's, by the time that side states.
//!
//! It decides nothing: what Teleport shows counts, whatever our clock says. The daemon logs it for the operator.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// A difference up to this is normal: network delays, and clocks that are kept by the usual means.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// An HTTP date has whole seconds.
const DATE_STEP: SignedDuration = SignedDuration::from_secs(1);

/// By how much another clock is ahead of ours (negative: behind), as far as one answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    at_least: SignedDuration,
    at_most: SignedDuration,
}

impl Offset {
    /// From the `Date` of an answer to a call that began at `sent` and ended at `received`, both by our clock. `None` if it
    /// is no date.
    pub fn from_date(date: &str, sent: Timestamp, received: Timestamp) -> Option<Self> {
        let date = DateTimeParser::new().parse_timestamp(date).ok()?;
        // Made at some moment between the two, and cut to the second.
        let at_most = date.duration_since(sent).checked_add(DATE_STEP)?;
        Some(Self { at_least: date.duration_since(received), at_most }).filter(|o| o.at_least <= o.at_most)
    }

    /// From something that the other side says happened at `event`, which we heard of at `heard`: it may have been long
    /// on its way, so it cannot show that this clock is behind.
    pub fn from_event(event: Timestamp, heard: Timestamp) -> Self {
        Self { at_least: event.duration_since(heard), at_most: SignedDuration::MAX }
    }

    /// The least difference that explains the answer.
    pub fn least(self) -> SignedDuration {
        SignedDuration::ZERO.clamp(self.at_least, self.at_most)
    }

    /// What is to be said of the other clock: the difference beyond [`TOLERANCE`], or zero.
    pub fn beyond_tolerance(self) -> SignedDuration {
        let least = self.least();
        if least.abs() > TOLERANCE { least } else { SignedDuration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        // 2026-11-27 09:12:00 UTC
        Timestamp::from_second(1_795_770_720 + second).unwrap()
    }

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    const DATE: &str = "Fri, 27 Nov 2026 09:12:00 GMT";

    #[test]
    fn a_date_shows_skew_either_way_and_a_slow_answer_shows_none() {
        let least = |sent, received| Offset::from_date(DATE, at(sent), at(received)).unwrap().least();
        assert_eq!(least(0, 0), seconds(0));
        assert_eq!(least(0, 1), seconds(0));
        assert_eq!(least(-40, 20), seconds(0), "a minute on the way");
        assert_eq!(least(10_800, 10_801), seconds(-10_799), "ours is three hours ahead");
        assert_eq!(least(-10_801, -10_800), seconds(10_800), "ours is three hours behind");
        // A clock that was set back during the call.
        assert_eq!(Offset::from_date(DATE, at(10), at(-10)), None);
        for nonsense in ["", "soon", "Fri, 31 Feb 2026 09:12:00 GMT", &"9".repeat(100_000)] {
            assert_eq!(Offset::from_date(nonsense, at(0), at(0)), None, "{nonsense:.20}");
        }
    }

    #[test]
    fn an_event_in_our_future_shows_only_that_our_clock_is_behind() {
        assert_eq!(Offset::from_event(at(100), at(0)).least(), seconds(100));
        assert_eq!(Offset::from_event(at(-100_000), at(0)).least(), seconds(0));
    }

    #[test]
    fn a_difference_within_the_tolerance_is_none() {
        for (difference, said) in [(0, 0), (30, 0), (-29, 0), (31, 31), (-32, -31)] {
            let offset = Offset::from_date(DATE, at(-difference), at(-difference)).unwrap();
            assert_eq!(offset.beyond_tolerance(), seconds(said), "{difference}");
        }
    }
}
