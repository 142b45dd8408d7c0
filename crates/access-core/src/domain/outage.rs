//! When the log speaks of a side that is away: at once, at times while that lasts, and when it is over. Not of every try, and
//! not of every call.
//!
//! Says *whether*, and for how long it lasted; the words are the caller's business, and so is the time, on a clock that only
//! goes forward.

use std::time::Duration;

/// When an outage is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageTimings {
    /// How long it has lasted at each reminder; after the last of them, one follows at each multiple of it.
    pub reminders: [Duration; 3],
    /// One that begins so soon after the last one ended belongs to it: it is not spoken of before the first reminder, and what
    /// fails for it is not either. Otherwise a side that goes on and off fills the log.
    pub resumed_within: Duration,
    /// What failed for it may be noticed so much later.
    pub noticed_within: Duration,
}

impl Default for OutageTimings {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            reminders: [minutes(1), minutes(5), minutes(30)],
            resumed_within: minutes(5),
            noticed_within: Duration::from_secs(10),
        }
    }
}

/// One side: whether it is away, and what the log says of that.
#[derive(Clone, Debug)]
pub struct Outage {
    timings: OutageTimings,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Works {
        /// When the last outage that the log spoke of ended.
        logged_until: Option<Duration>,
    },
    Away {
        since: Duration,
        /// How many reminders are over.
        reminded: u32,
        is_logged: bool,
    },
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// How long it lasted.
    pub lasted: Duration,
    /// Whether the log spoke of it.
    pub is_logged: bool,
}

impl Outage {
    /// A side that works.
    pub fn new(timings: OutageTimings) -> Self {
        Self { timings, state: State::Works { logged_until: None } }
    }

    /// The side did not answer at `now`. Returns whether the log is to say that an outage began.
    pub fn fails(&mut self, now: Duration) -> bool {
        let State::Works { logged_until } = self.state else { return false };
        let is_resumed =
            logged_until.is_some_and(|until| now.saturating_sub(until) < self.timings.resumed_within);
        self.state = State::Away { since: now, reminded: 0, is_logged: !is_resumed };
        !is_resumed
    }

    /// The log speaks of the outage all the same: a person must act.
    pub fn speak(&mut self) {
        if let State::Away { is_logged, .. } = &mut self.state {
            *is_logged = true;
        }
    }

    /// Whether an outage lasts of which the log has spoken.
    pub fn is_logged(&self) -> bool {
        matches!(self.state, State::Away { is_logged: true, .. })
    }

    /// How long the outage has lasted, if a reminder is due. Of several that were missed, one is left.
    pub fn reminder(&mut self, now: Duration) -> Option<Duration> {
        let State::Away { since, reminded, is_logged } = &mut self.state else { return None };
        let lasted = now.saturating_sub(*since);
        let mut is_due = false;
        while lasted >= self.timings.reminder(*reminded) {
            *reminded += 1;
            is_due = true;
        }
        *is_logged |= is_due;
        is_due.then_some(lasted)
    }

    /// When the next reminder is due, if the side is away.
    pub fn next_reminder(&self) -> Option<Duration> {
        match self.state {
            State::Works { .. } => None,
            State::Away { since, reminded, .. } => Some(since + self.timings.reminder(reminded)),
        }
    }

    /// The side answered at `now`. Returns what ended, if anything did.
    pub fn works(&mut self, now: Duration) -> Option<Over> {
        let State::Away { since, is_logged, .. } = self.state else { return None };
        // One that goes on and off is one, for as long as it does.
        self.state = State::Works { logged_until: Some(now) };
        Some(Over { lasted: now.saturating_sub(since), is_logged })
    }

    /// Whether what fails at `now` is of an outage of which the log has spoken, or will if it lasts.
    pub fn covers(&self, now: Duration) -> bool {
        match self.state {
            State::Away { .. } => true,
            State::Works { logged_until } => {
                logged_until.is_some_and(|until| now.saturating_sub(until) < self.timings.noticed_within)
            }
        }
    }

    /// Since when an outage lasts, if one does.
    pub fn away_since(&self) -> Option<Duration> {
        match self.state {
            State::Works { .. } => None,
            State::Away { since, .. } => Some(since),
        }
    }

    /// Whether an outage lasts.
    pub fn is_away(&self) -> bool {
        matches!(self.state, State::Away { .. })
    }
}

impl OutageTimings {
    /// How long an outage has lasted at the reminder after so many others.
    fn reminder(&self, before: u32) -> Duration {
        let [.., last] = self.reminders;
        // A wait of nothing would remind forever.
        let last = last.max(Duration::from_millis(1));
        match self.reminders.get(usize::try_from(before).unwrap_or(usize::MAX)) {
            Some(wait) => *wait,
            None => last.saturating_mul(before - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the log says when a side fails (`-`), answers (`+`) or is looked at (`.`), at so many seconds.
    fn lines(events: &[(char, u64)]) -> String {
        let mut outage = Outage::new(OutageTimings::default());
        let mut said = Vec::new();
        for &(event, at) in events {
            let now = Duration::from_secs(at);
            match event {
                '-' if outage.fails(now) => said.push(format!("{at}: away")),
                '+' => {
                    if let Some(Over { lasted, is_logged: true }) = outage.works(now) {
                        said.push(format!("{at}: back after {}", lasted.as_secs()));
                    }
                }
                '.' => {
                    said.extend(outage.reminder(now).map(|lasted| format!("{at}: for {}", lasted.as_secs())))
                }
                _ => {}
            }
        }
        said.join(", ")
    }

    #[test]
    fn a_side_is_away_from_its_first_failure_to_its_next_answer() {
        let second = Duration::from_secs;
        let mut outage = Outage::new(OutageTimings::default());
        assert_eq!((outage.is_away(), outage.away_since()), (false, None));
        outage.fails(second(10));
        outage.fails(second(20));
        assert_eq!((outage.is_away(), outage.away_since()), (true, Some(second(10))));
        outage.works(second(30));
        assert_eq!((outage.is_away(), outage.away_since()), (false, None));
    }

    #[test]
    fn an_outage_is_logged_at_once_reminded_of_and_ended() {
        for (events, expected) in [
            // Works all the time.
            (vec![('+', 0), ('.', 100), ('+', 100)], ""),
            // One try after the other fails.
            (vec![('-', 10), ('-', 11), ('-', 69), ('.', 69), ('+', 69)], "10: away, 69: back after 59"),
            (vec![('-', 0), ('+', 130)], "0: away, 130: back after 130"),
            // The reminders, each once; the looks are late by some seconds.
            (
                vec![
                    ('-', 0),
                    ('.', 59),
                    ('.', 61),
                    ('.', 62),
                    ('.', 299),
                    ('.', 301),
                    ('.', 1_799),
                    ('.', 1_805),
                ],
                "0: away, 61: for 61, 301: for 301, 1805: for 1805",
            ),
            // And each half hour after that.
            (
                vec![('-', 0), ('.', 1_800), ('.', 3_599), ('.', 3_600), ('.', 5_400), ('.', 5_401)],
                "0: away, 1800: for 1800, 3600: for 3600, 5400: for 5400",
            ),
            // The machine slept: one reminder.
            (vec![('-', 0), ('.', 4_000), ('.', 4_001)], "0: away, 4000: for 4000"),
            // On and off: one outage, until it is off for five minutes.
            (
                vec![('-', 0), ('+', 1), ('-', 2), ('+', 3), ('-', 200), ('+', 201), ('-', 501), ('+', 502)],
                "0: away, 1: back after 1, 501: away, 502: back after 1",
            ),
            // One that is resumed and lasts is logged.
            (
                vec![('-', 0), ('+', 1), ('-', 2), ('.', 61), ('.', 62), ('+', 70)],
                "0: away, 1: back after 1, 62: for 60, 70: back after 68",
            ),
            // A clock that went back is none of ours, and does no harm.
            (vec![('-', 100), ('.', 50), ('+', 40)], "100: away, 40: back after 0"),
        ] {
            assert_eq!(lines(&events), expected, "{events:?}");
        }
    }

    #[test]
    fn what_is_noticed_late_belongs_to_the_outage() {
        let mut outage = Outage::new(OutageTimings::default());
        let covers = |outage: &Outage, seconds| outage.covers(Duration::from_secs(seconds));
        assert!(!covers(&outage, 0));
        outage.fails(Duration::from_secs(1));
        assert!(covers(&outage, 1));
        outage.works(Duration::from_secs(2));
        assert!(covers(&outage, 11) && !covers(&outage, 12));
        // It is resumed: the log waits for the reminder, and what fails does not fill it meanwhile.
        assert!(!outage.fails(Duration::from_secs(20)));
        assert!(covers(&outage, 20) && !outage.is_logged());
        outage.reminder(Duration::from_secs(80));
        assert!(covers(&outage, 80) && outage.is_logged());
        outage.works(Duration::from_secs(81));
        assert!(!outage.is_logged());
        // Unless a person must act.
        outage.fails(Duration::from_secs(90));
        outage.speak();
        assert!(outage.is_logged());
        let over = outage.works(Duration::from_secs(91));
        assert_eq!(over, Some(Over { lasted: Duration::from_secs(1), is_logged: true }));
    }

    #[test]
    fn the_next_reminder_is_when_it_is_due() {
        let mut outage = Outage::new(OutageTimings::default());
        assert_eq!(outage.next_reminder(), None);
        outage.fails(Duration::from_secs(7));
        for (due, lasted) in [(67, 60), (307, 300), (1_807, 1_800), (3_607, 3_600), (5_407, 5_400)] {
            let due = Duration::from_secs(due);
            assert_eq!(outage.next_reminder(), Some(due));
            assert_eq!(outage.reminder(due - Duration::from_millis(1)), None);
            assert_eq!(outage.reminder(due), Some(Duration::from_secs(lasted)));
        }
    }
}
