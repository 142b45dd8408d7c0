//! Who comes when.

use access_core::domain::recipients::RecipientKey;

use super::*;

const PLACE: &str = "C1";

fn caller(second: i64) -> QueuedOperation {
    let errand = Operation::Post(RecipientKey::new(PLACE));
    QueuedOperation {
        created: Timestamp::from_second(second).ok(),
        id: RequestId::new(format!("r{second}")),
        operation: errand,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long each must wait, in seconds; asking takes nothing away.
fn waits(pace: &mut ChannelQueues, turns: &[i64], now: Instant) -> Vec<Option<u64>> {
    let mut wait = |second: &i64| pace.required_wait(PLACE, &caller(*second), now).map(|wait| wait.as_secs());
    turns.iter().map(&mut wait).collect()
}

/// It posts, and it is done at once. Returns who is to come then.
fn post(pace: &mut ChannelQueues, second: i64, now: Instant) -> String {
    assert_eq!(waits(pace, &[second], now), [None], "it is not the turn of {second}");
    pace.begin(PLACE, &caller(second), now);
    pace.consume(PLACE, now);
    pace.on_accepted(PLACE, &caller(second));
    called(pace.end(PLACE, &caller(second), now))
}

fn called(ids: Vec<RequestId>) -> String {
    ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_at_a_time_posts_and_the_oldest_request_is_next() {
    let (mut pace, now) = (ChannelQueues::default(), Instant::now());
    pace.begin(PLACE, &caller(1), now);
    assert_eq!(waits(&mut pace, &[4, 2, 3, 1], now), [Some(1), Some(1), Some(2), None]);
    assert_eq!(pace.required_wait("C2", &caller(9), now), None, "other places have lines of their own");
    assert_eq!(called(pace.end(PLACE, &caller(1), now)), "r2 r3 r4");
    assert_eq!(waits(&mut pace, &[4, 3], now), [Some(2), Some(1)]);
    assert_eq!(post(&mut pace, 2, now), "r3 r4");
    assert_eq!(post(&mut pace, 3, now), "r4");
    assert_eq!(post(&mut pace, 4, now), "");
    assert!(pace.0.is_empty(), "nothing is kept of a line in which nobody waits");
}

#[test]
fn who_has_begun_lets_older_requests_past_and_is_called_after_them() {
    let (mut pace, now) = (ChannelQueues::default(), Instant::now());
    pace.begin(PLACE, &caller(9), now);
    assert_eq!(waits(&mut pace, &[1, 2, 9], now), [Some(1), Some(2), Some(2)]);
    assert_eq!(called(pace.end(PLACE, &caller(9), now)), "r1 r2 r9");
    assert_eq!(post(&mut pace, 1, now), "r2 r9");
    assert_eq!(post(&mut pace, 2, now), "r9");
}

#[test]
fn those_who_are_near_are_at_hand_and_need_not_be_called() {
    let (mut pace, now) = (ChannelQueues::default(), Instant::now());
    pace.begin(PLACE, &caller(1), now);
    waits(&mut pace, &[2, 3, 4, 5, 6, 7], now);
    let stay = |pace: &mut ChannelQueues, second| pace.try_park(PLACE, &caller(second), now);
    assert_eq!([2, 3, 5, 6].map(|n| stay(&mut pace, n)), [Some(false), Some(false), Some(false), None]);
    assert_eq!(called(pace.end(PLACE, &caller(1), now)), "r4", "the others are here");
    assert_eq!([2, 3].map(|n| stay(&mut pace, n)), [Some(true), Some(false)]);
    pace.unpark(PLACE, &caller(3));
    assert_eq!(post(&mut pace, 2, now), "r3 r4 r6");
    // Where there is one a second, nobody stays.
    pace.throttle(PLACE, None, now, now);
    assert_eq!(stay(&mut pace, 3), None);
}

#[test]
fn a_call_that_takes_long_and_one_that_never_comes_hold_up_nobody_for_long() {
    let (mut pace, start) = (ChannelQueues::default(), Instant::now());
    pace.begin(PLACE, &caller(1), start);
    assert_eq!(waits(&mut pace, &[2, 3], start), [Some(1), Some(2)]);
    let now = start + MAX_BLOCKING;
    assert_eq!(waits(&mut pace, &[3], now), [Some(1)], "it is the turn of 2");
    // 2 never comes.
    let now = start + MAX_BLOCKING + TURN_TIMEOUT;
    assert_eq!(waits(&mut pace, &[3], now), [None]);
    pace.begin(PLACE, &caller(3), now);
    assert_eq!(called(pace.end(PLACE, &caller(1), now)), "", "that was over");
    assert_eq!(waits(&mut pace, &[4], now), [Some(1)]);
    assert_eq!(pace.end_all(&caller(3).id, now), [caller(4).id]);
}

#[test]
fn after_too_many_all_keep_their_places_and_come_one_a_second() {
    let (mut pace, start) = (ChannelQueues::default(), Instant::now());
    let at = |second| start + seconds(second);
    pace.begin(PLACE, &caller(2), start);
    assert_eq!(waits(&mut pace, &[5, 4], start), [Some(1), Some(1)]);
    pace.throttle(PLACE, Some(&caller(2)), at(3), start);
    assert_eq!(called(pace.end(PLACE, &caller(2), start)), "");
    assert_eq!(waits(&mut pace, &[5, 3, 4, 2], start), [Some(5), Some(4), Some(5), Some(3)]);
    assert_eq!(waits(&mut pace, &[5, 4, 3], at(3)), [Some(3), Some(2), Some(1)]);
    for (n, second) in [2, 3, 4, 5].into_iter().zip(3..) {
        assert_eq!(post(&mut pace, n, at(second)), "", "the next one has its time");
    }
    // A second refusal begins anew, and rest ends it.
    pace.throttle(PLACE, Some(&caller(6)), at(20), at(12));
    assert_eq!(waits(&mut pace, &[7, 6], at(12)), [Some(9), Some(8)]);
    assert_eq!(post(&mut pace, 6, at(20)), "");
    assert_eq!(post(&mut pace, 7, at(21)), "");
    assert_eq!(waits(&mut pace, &[8, 9], at(32)), [None, None]);
    assert!(pace.0.is_empty());
}

#[test]
fn in_an_outage_the_first_tries_and_then_all_follow_in_order() {
    let (mut pace, start) = (ChannelQueues::default(), Instant::now());
    let at = |second| start + seconds(second);
    pace.begin(PLACE, &caller(1), start);
    assert_eq!(waits(&mut pace, &[3, 2], start), [Some(1), Some(1)]);
    pace.on_failure(PLACE, &caller(1), at(5), start);
    assert_eq!(called(pace.end(PLACE, &caller(1), start)), "");
    assert_eq!(waits(&mut pace, &[3, 2], at(1)), [Some(5), Some(4)]);
    assert_eq!(waits(&mut pace, &[3, 2], at(5)), [Some(2), Some(1)]);
    assert_eq!(post(&mut pace, 1, at(5)), "r2 r3");
    assert_eq!(post(&mut pace, 2, at(5)), "r3");
}

#[test]
fn a_message_that_fails_again_and_again_lets_others_past() {
    let (mut pace, start) = (ChannelQueues::default(), Instant::now());
    let at = |second| start + seconds(second);
    for second in 0..3 {
        assert_eq!(waits(&mut pace, &[1], at(second)), [None]);
        pace.begin(PLACE, &caller(1), at(second));
        assert_eq!(waits(&mut pace, &[2], at(second)), [Some(1)]);
        pace.on_failure(PLACE, &caller(1), at(second + 1), at(second));
        let next = pace.end(PLACE, &caller(1), at(second));
        assert_eq!(!next.is_empty(), second == 2, "after {second} s");
    }
    // The next one fails, too: then it is the place, and the first tries it.
    assert_eq!(waits(&mut pace, &[2], at(2)), [None]);
    pace.begin(PLACE, &caller(2), at(2));
    pace.on_failure(PLACE, &caller(2), at(3), at(2));
    assert_eq!(called(pace.end(PLACE, &caller(2), at(2))), "");
    assert_eq!(waits(&mut pace, &[2, 1], at(3)), [Some(1), None]);
    // Or it succeeds: then it is the message, and nobody waits for it.
    for second in 3..6 {
        pace.begin(PLACE, &caller(1), at(second));
        pace.on_failure(PLACE, &caller(1), at(second + 1), at(second));
        pace.end(PLACE, &caller(1), at(second));
    }
    waits(&mut pace, &[3], at(5));
    assert_eq!(post(&mut pace, 2, at(5)), "r3");
    assert_eq!(waits(&mut pace, &[3, 1], at(6)), [None, None]);
}

#[test]
fn who_waits_for_something_else_is_waited_for_only_if_that_ends_soon() {
    let (mut pace, start) = (ChannelQueues::default(), Instant::now());
    let at = |second| start + seconds(second);
    pace.requeue(PLACE, &caller(1), at(15), false, start);
    assert_eq!(waits(&mut pace, &[2], start), [None]);
    assert_eq!(waits(&mut pace, &[2], at(14)), [Some(1)]);
    pace.remove(PLACE, &caller(1));
    assert_eq!(waits(&mut pace, &[2], at(14)), [None]);
    // All wait for this.
    pace.requeue(PLACE, &caller(1), at(30), true, at(14));
    assert_eq!(waits(&mut pace, &[2], at(14)), [Some(1)]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut pace, start) = (ChannelQueues::default(), Instant::now());
    pace.begin(PLACE, &caller(0), start);
    for n in 1..3 * i64::try_from(MAX_WAITERS).unwrap() {
        assert!(pace.required_wait(PLACE, &caller(n), start).is_some());
    }
    assert_eq!(pace.0[PLACE].waiters.len(), MAX_WAITERS);
    let mut pace = ChannelQueues::default();
    for n in 0..10 * u64::try_from(MAX_QUEUES).unwrap() {
        let (place, now) = (format!("C{n}"), start + seconds(n));
        pace.begin(&place, &caller(1), now);
        pace.on_failure(&place, &caller(1), now, now);
        pace.end(&place, &caller(1), now);
    }
    assert!(pace.0.len() <= MAX_QUEUES + 1, "{}", pace.0.len());
}
