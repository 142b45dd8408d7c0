//! When a certificate's end is near enough to be warned of: in the log of the daemon, and by `check`.

use jiff::{SignedDuration, Timestamp};

/// How long before a certificate's end it is warned of, longest first. None of these may be more than a quarter
/// of the certificate's life, or tbot's, which last an hour, would be warned of from their beginning.
const EXPIRY_NOTICES: [SignedDuration; 3] =
    [SignedDuration::from_hours(7 * 24), SignedDuration::from_hours(24), SignedDuration::from_hours(1)];

/// How many notices about a certificate's end are due: those before it, and one when it is over.
pub(crate) fn notices_due(from: Timestamp, until: Timestamp, now: Timestamp) -> usize {
    let quarter = until.duration_since(from) / 4;
    let mut notices: Vec<SignedDuration> =
        EXPIRY_NOTICES.into_iter().filter(|notice| *notice <= quarter).collect();
    if notices.is_empty() {
        notices.push(quarter);
    }
    notices.push(SignedDuration::ZERO);
    let left = until.duration_since(now);
    notices.into_iter().filter(|notice| left <= *notice).count()
}

/// How long that is, in the largest fitting unit.
pub(crate) fn human_duration(left: SignedDuration) -> String {
    match (left.as_hours(), left.as_mins()) {
        (48.., _) => format!("{} days", left.as_hours() / 24),
        (2.., _) => format!("{} hours", left.as_hours()),
        (_, 2..) => format!("{} minutes", left.as_mins()),
        _ => format!("{} seconds", left.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_fit_the_life_of_the_certificate() {
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = SignedDuration::from_hours;
        let assert_notices = |life: SignedDuration, left: &[(SignedDuration, usize)]| {
            for (left, expected) in left {
                let until = from + life;
                assert_eq!(notices_due(from, until, until - *left), *expected, "{life} with {left} left");
            }
        };
        let minutes = SignedDuration::from_mins;
        let (week, day) = (hours(7 * 24), hours(24));
        let long = [(week + minutes(1), 0), (week, 1), (day, 2), (hours(1), 3), (minutes(0), 4), (-week, 4)];
        assert_notices(hours(8_760), &long);
        // A week's certificate is not warned of all its life, and tbot's not before it is overdue.
        assert_notices(week, &[(week, 0), (day, 1), (hours(1), 2), (minutes(0), 3)]);
        assert_notices(hours(1), &[(minutes(40), 0), (minutes(15), 1), (minutes(0), 2)]);
        // From the beginning of time to its end.
        assert_eq!(notices_due(Timestamp::MIN, Timestamp::MAX, from), 0);
        assert_eq!(notices_due(from, from, from), 2);
    }

    #[test]
    fn remaining_time_is_shown_in_one_unit() {
        let seconds = SignedDuration::from_secs;
        for (left, words) in
            [(604_799, "6 days"), (172_799, "47 hours"), (7_199, "119 minutes"), (119, "119 seconds")]
        {
            assert_eq!(human_duration(seconds(left)), words);
        }
    }
}
