use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// How a caller wants repetitions.
#[derive(Clone, Copy, Debug)]
enum Repeat {
    Never,
    OnceAMinute,
}

impl Repeat {
    fn check(self, log_once: &mut LogOnce, now: Duration, scope: u8, cause: u8) -> Option<u64> {
        let (scope, cause) = (scope.to_string(), cause.to_string());
        match self {
            Self::Never => log_once.once(&scope, &cause).then_some(0),
            Self::OnceAMinute => log_once.once_a_minute(now, &scope, &cause),
        }
    }
}

/// What happens to a scope.
#[derive(Clone, Debug)]
enum Event {
    Fails(u8, u8),
    Works(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..4_u8, 0..4_u8).prop_map(|(scope, cause)| Event::Fails(scope, cause)),
        1 => (0..4_u8).prop_map(Event::Works),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn a_cause_is_logged_once_until_its_scope_works(events in events()) {
        let mut log_once = LogOnce::default();
        let mut open: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for event in events {
            match event {
                Event::Fails(scope, cause) => {
                    let is_news = open.entry(scope).or_default().insert(cause);
                    prop_assert_eq!(log_once.once(&scope.to_string(), &cause.to_string()), is_news);
                }
                Event::Works(scope) => {
                    let was_open = open.remove(&scope).is_some();
                    prop_assert_eq!(log_once.has_logged(&scope.to_string()), was_open);
                    prop_assert_eq!(log_once.clear(&scope.to_string()).is_some(), was_open);
                }
            }
        }
    }

    #[test]
    fn every_line_is_logged_or_counted(
        events in events(),
        seconds in prop::collection::vec(0..40_u64, 200),
        repeat in prop_oneof![
            Just(Repeat::Never),
            Just(Repeat::OnceAMinute),
        ],
    ) {
        let (mut log_once, mut now) = (LogOnce::default(), Duration::ZERO);
        let (mut came, mut logged, mut counted) = (0, 0, 0);
        for (event, seconds) in events.into_iter().zip(seconds) {
            now += Duration::from_secs(seconds);
            match event {
                Event::Fails(scope, cause) => {
                    came += 1;
                    let line = repeat.check(&mut log_once, now, scope, cause);
                    logged += u64::from(line.is_some());
                    counted += line.unwrap_or_default();
                }
                Event::Works(scope) => counted += log_once.clear(&scope.to_string()).unwrap_or_default(),
            }
        }
        counted += (0..4).filter_map(|scope: u8| log_once.clear(&scope.to_string())).sum::<u64>();
        prop_assert_eq!(came, logged + counted);
    }

    #[test]
    fn lines_about_a_cause_are_a_minute_apart(seconds in prop::collection::vec(0..40_u64, 1..200)) {
        let (mut log_once, mut now) = (LogOnce::default(), Duration::ZERO);
        let mut last: Option<Duration> = None;
        for seconds in seconds {
            now += Duration::from_secs(seconds);
            let is_due = last.is_none_or(|last| now - last >= Duration::from_secs(60));
            prop_assert_eq!(log_once.once_a_minute(now, "listener", "full").is_some(), is_due);
            last = if is_due { Some(now) } else { last };
        }
    }
}

#[test]
fn the_scope_that_was_silent_for_longest_is_forgotten() {
    let mut log_once = LogOnce::default();
    for n in 0..3 * MAX_SCOPES {
        log_once.once("#team", "is_archived");
        log_once.once(&format!("#c{n}"), "is_archived");
    }
    assert_eq!(log_once.scopes.len(), MAX_SCOPES);
    assert!(!log_once.once("#team", "is_archived"), "it fails all the time");
    assert!(!log_once.once(&format!("#c{}", 3 * MAX_SCOPES - 1), "is_archived"));
    assert!(log_once.once("#c0", "is_archived"), "it was forgotten");
}

#[test]
fn a_scope_whose_cause_always_differs_does_not_flood_the_log() {
    let mut log_once = LogOnce::default();
    let lines = (0..3 * MAX_CAUSES).filter(|n| log_once.once("#team", &n.to_string())).count();
    assert_eq!(lines, MAX_CAUSES);
    assert_eq!(log_once.scopes["#team"].causes.len(), MAX_CAUSES);
    assert_eq!(log_once.clear("#team"), Some(2 * MAX_CAUSES as u64));
}
