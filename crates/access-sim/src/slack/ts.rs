//! Message timestamps: Slack's name for a message within a channel, ten digits, a dot and six digits.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

const MICROS: i64 = 1_000_000;

/// Microseconds since 1970, written `1795363190.000001`. Never a float: that would lose the last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ts(i64);

impl Ts {
    /// The first free timestamp at `now`, later than `last`.
    pub(super) fn after(last: Option<Ts>, now: Timestamp) -> Ts {
        let now = now.as_microsecond();
        Ts(last.map_or(now, |last| now.max(last.0 + 1)))
    }

    /// Exactly as Slack writes it, nothing else.
    pub(super) fn parse(text: &str) -> Option<Ts> {
        let (seconds, micros) = text.split_once('.')?;
        let exact = seconds.len() == 10 && micros.len() == 6;
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !exact || !digits(seconds) || !digits(micros) {
            return None;
        }
        Some(Ts(seconds.parse::<i64>().ok()? * MICROS + micros.parse::<i64>().ok()?))
    }

    /// A bound of a time range, for which Slack takes whole seconds and shorter fractions too.
    pub(super) fn parse_bound(text: &str) -> Option<Ts> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if seconds.is_empty() || seconds.len() > 10 || fraction.len() > 6 {
            return None;
        }
        if !digits(seconds) || !digits(fraction) {
            return None;
        }
        let micros = format!("{fraction:0<6}");
        Some(Ts(seconds.parse::<i64>().ok()? * MICROS + micros.parse::<i64>().ok()?))
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}.{:06}", self.0 / MICROS, self.0 % MICROS)
    }
}

impl Serialize for Ts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_ten_and_six_digits_and_read_back() {
        let ts = Ts::parse("1795363190.000001").unwrap();
        assert_eq!(ts.to_string(), "1795363190.000001");
        for wrong in
            ["", "1795363190", "1795363190.1", "1795363190.0000010", "179536319é.000001", "-795363190.000001"]
        {
            assert_eq!(Ts::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rises_even_when_the_clock_stands_or_goes_back() {
        let now = Timestamp::from_microsecond(1_795_363_190_000_000).unwrap();
        let first = Ts::after(None, now);
        let second = Ts::after(Some(first), now);
        assert_eq!(second.to_string(), "1795363190.000001");
        let earlier = Timestamp::from_microsecond(1_795_363_100_000_000).unwrap();
        assert!(Ts::after(Some(second), earlier) > second);
    }

    #[test]
    fn bounds_may_be_shorter() {
        assert_eq!(Ts::parse_bound("1795363190"), Ts::parse("1795363190.000000"));
        assert_eq!(Ts::parse_bound("1795363190.5"), Ts::parse("1795363190.500000"));
        assert_eq!(Ts::parse_bound("0"), Some(Ts(0)));
        for wrong in ["", ".5", "now", "1.0000001", "99999999999"] {
            assert_eq!(Ts::parse_bound(wrong), None, "{wrong}");
        }
    }
}
