//! The order of posts into a channel.

use access_core::domain::recipients::RecipientKey;

use super::*;

const CHANNEL: &str = "C1";

fn new_queues() -> ChannelQueues {
    ChannelQueues::new(TurnTimings::default())
}

fn caller(second: i64) -> QueuedOperation {
    let operation = Operation::Post(RecipientKey::new(CHANNEL));
    QueuedOperation {
        created: Timestamp::from_second(second).ok(),
        id: RequestId::new(format!("r{second}")),
        operation,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long each must wait, in seconds; asking takes nothing away.
fn waits(queues: &mut ChannelQueues, turns: &[i64], now: Instant) -> Vec<Option<u64>> {
    let mut wait =
        |second: &i64| queues.required_wait(CHANNEL, &caller(*second), now).map(|wait| wait.as_secs());
    turns.iter().map(&mut wait).collect()
}

/// Posts and ends at once. Returns the requests to wake then.
fn post(queues: &mut ChannelQueues, second: i64, now: Instant) -> String {
    assert_eq!(waits(queues, &[second], now), [None], "it is not the turn of {second}");
    queues.begin(CHANNEL, &caller(second), now);
    queues.consume(CHANNEL, now);
    queues.on_accepted(CHANNEL, &caller(second));
    woken(queues.end(CHANNEL, &caller(second), now))
}

fn woken(ids: Vec<RequestId>) -> String {
    ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_at_a_time_posts_and_the_oldest_request_is_next() {
    let (mut queues, now) = (new_queues(), Instant::now());
    queues.begin(CHANNEL, &caller(1), now);
    assert_eq!(waits(&mut queues, &[4, 2, 3, 1], now), [Some(1), Some(1), Some(2), None]);
    assert_eq!(queues.required_wait("C2", &caller(9), now), None, "other channels have queues of their own");
    assert_eq!(woken(queues.end(CHANNEL, &caller(1), now)), "r2 r3 r4");
    assert_eq!(waits(&mut queues, &[4, 3], now), [Some(2), Some(1)]);
    assert_eq!(post(&mut queues, 2, now), "r3 r4");
    assert_eq!(post(&mut queues, 3, now), "r4");
    assert_eq!(post(&mut queues, 4, now), "");
    assert!(queues.by_channel.is_empty(), "idle queues are removed");
}

#[test]
fn a_begun_operation_lets_older_requests_pass_and_is_woken_after_them() {
    let (mut queues, now) = (new_queues(), Instant::now());
    queues.begin(CHANNEL, &caller(9), now);
    assert_eq!(waits(&mut queues, &[1, 2, 9], now), [Some(1), Some(2), Some(2)]);
    assert_eq!(woken(queues.end(CHANNEL, &caller(9), now)), "r1 r2 r9");
    assert_eq!(post(&mut queues, 1, now), "r2 r9");
    assert_eq!(post(&mut queues, 2, now), "r9");
}

#[test]
fn operations_near_their_turn_are_parked_and_need_no_wake() {
    let (mut queues, now) = (new_queues(), Instant::now());
    queues.begin(CHANNEL, &caller(1), now);
    waits(&mut queues, &[2, 3, 4, 5, 6, 7], now);
    let stay = |queues: &mut ChannelQueues, second| queues.try_park(CHANNEL, &caller(second), now);
    assert_eq!([2, 3, 5, 6].map(|n| stay(&mut queues, n)), [Some(false), Some(false), Some(false), None]);
    assert_eq!(woken(queues.end(CHANNEL, &caller(1), now)), "r4", "the others are parked");
    assert_eq!([2, 3].map(|n| stay(&mut queues, n)), [Some(true), Some(false)]);
    queues.unpark(CHANNEL, &caller(3));
    assert_eq!(post(&mut queues, 2, now), "r3 r4 r6");
    // In a rate-limited channel no reconcile stays.
    queues.throttle(CHANNEL, &caller(3), now, now);
    assert_eq!(stay(&mut queues, 3), None);
}

#[test]
fn a_slow_call_and_an_absent_operation_block_others_for_a_short_time_only() {
    let (mut queues, start) = (new_queues(), Instant::now());
    queues.begin(CHANNEL, &caller(1), start);
    assert_eq!(waits(&mut queues, &[2, 3], start), [Some(1), Some(2)]);
    let now = start + queues.timings.max_blocking;
    assert_eq!(waits(&mut queues, &[3], now), [Some(1)], "it is the turn of 2");
    // 2 never comes.
    let now = now + queues.timings.turn_timeout;
    assert_eq!(waits(&mut queues, &[3], now), [None]);
    queues.begin(CHANNEL, &caller(3), now);
    assert_eq!(woken(queues.end(CHANNEL, &caller(1), now)), "", "that was over");
    assert_eq!(waits(&mut queues, &[4], now), [Some(1)]);
    assert_eq!(queues.end_all(&caller(3).id, now), [caller(4).id]);
}

#[test]
fn after_a_rate_limit_all_keep_their_positions_and_post_one_a_second() {
    let (mut queues, start) = (new_queues(), Instant::now());
    let at = |second| start + seconds(second);
    queues.begin(CHANNEL, &caller(2), start);
    assert_eq!(waits(&mut queues, &[5, 4], start), [Some(1), Some(1)]);
    queues.throttle(CHANNEL, &caller(2), at(3), start);
    assert_eq!(woken(queues.end(CHANNEL, &caller(2), start)), "");
    assert_eq!(waits(&mut queues, &[5, 3, 4, 2], start), [Some(5), Some(4), Some(5), Some(3)]);
    assert_eq!(waits(&mut queues, &[5, 4, 3], at(3)), [Some(3), Some(2), Some(1)]);
    for (n, second) in [2, 3, 4, 5].into_iter().zip(3..) {
        assert_eq!(post(&mut queues, n, at(second)), "", "the next one has its time");
    }
    // A second rate limit starts over, and a pause ends it.
    queues.throttle(CHANNEL, &caller(6), at(20), at(12));
    assert_eq!(waits(&mut queues, &[7, 6], at(12)), [Some(9), Some(8)]);
    assert_eq!(post(&mut queues, 6, at(20)), "");
    assert_eq!(post(&mut queues, 7, at(21)), "");
    assert_eq!(waits(&mut queues, &[8, 9], at(32)), [None, None]);
    assert!(queues.by_channel.is_empty());
}

#[test]
fn in_an_outage_the_first_tries_and_then_all_follow_in_order() {
    let (mut queues, start) = (new_queues(), Instant::now());
    let at = |second| start + seconds(second);
    queues.begin(CHANNEL, &caller(1), start);
    assert_eq!(waits(&mut queues, &[3, 2], start), [Some(1), Some(1)]);
    queues.on_failure(CHANNEL, &caller(1), at(5), start);
    assert_eq!(woken(queues.end(CHANNEL, &caller(1), start)), "");
    assert_eq!(waits(&mut queues, &[3, 2], at(1)), [Some(5), Some(4)]);
    assert_eq!(waits(&mut queues, &[3, 2], at(5)), [Some(2), Some(1)]);
    assert_eq!(post(&mut queues, 1, at(5)), "r2 r3");
    assert_eq!(post(&mut queues, 2, at(5)), "r3");
}

#[test]
fn a_message_that_fails_repeatedly_lets_others_pass() {
    let (mut queues, start) = (new_queues(), Instant::now());
    let at = |second| start + seconds(second);
    for second in 0..3 {
        assert_eq!(waits(&mut queues, &[1], at(second)), [None]);
        queues.begin(CHANNEL, &caller(1), at(second));
        assert_eq!(waits(&mut queues, &[2], at(second)), [Some(1)]);
        queues.on_failure(CHANNEL, &caller(1), at(second + 1), at(second));
        let next = queues.end(CHANNEL, &caller(1), at(second));
        assert_eq!(!next.is_empty(), second == 2, "after {second} s");
    }
    // The next one fails, too: the cause is the channel, and the first tries it.
    assert_eq!(waits(&mut queues, &[2], at(2)), [None]);
    queues.begin(CHANNEL, &caller(2), at(2));
    queues.on_failure(CHANNEL, &caller(2), at(3), at(2));
    assert_eq!(woken(queues.end(CHANNEL, &caller(2), at(2))), "");
    assert_eq!(waits(&mut queues, &[2, 1], at(3)), [Some(1), None]);
    // Or it succeeds: the cause is the message, and no operation waits for it.
    for second in 3..6 {
        queues.begin(CHANNEL, &caller(1), at(second));
        queues.on_failure(CHANNEL, &caller(1), at(second + 1), at(second));
        queues.end(CHANNEL, &caller(1), at(second));
    }
    waits(&mut queues, &[3], at(5));
    assert_eq!(post(&mut queues, 2, at(5)), "r3");
    assert_eq!(waits(&mut queues, &[3, 1], at(6)), [None, None]);
}

#[test]
fn an_operation_that_waits_for_something_else_blocks_only_if_that_ends_soon() {
    let (mut queues, start) = (new_queues(), Instant::now());
    let at = |second| start + seconds(second);
    queues.requeue(CHANNEL, &caller(1), at(15), false, start);
    assert_eq!(waits(&mut queues, &[2], start), [None]);
    assert_eq!(waits(&mut queues, &[2], at(14)), [Some(1)]);
    queues.remove(CHANNEL, &caller(1));
    assert_eq!(waits(&mut queues, &[2], at(14)), [None]);
    // All wait for this.
    queues.requeue(CHANNEL, &caller(1), at(30), true, at(14));
    assert_eq!(waits(&mut queues, &[2], at(14)), [Some(1)]);
}

#[test]
fn the_memory_of_channels_is_bounded() {
    let (mut queues, start) = (new_queues(), Instant::now());
    queues.begin(CHANNEL, &caller(0), start);
    for n in 1..3 * i64::try_from(MAX_WAITERS).unwrap() {
        assert!(queues.required_wait(CHANNEL, &caller(n), start).is_some());
    }
    assert_eq!(queues.by_channel[CHANNEL].waiters.len(), MAX_WAITERS);
    let mut queues = new_queues();
    for n in 0..2 * u64::try_from(MAX_QUEUES).unwrap() {
        let (channel, now) = (format!("C{n}"), start + seconds(n));
        queues.begin(&channel, &caller(1), now);
        queues.on_failure(&channel, &caller(1), now, now);
        queues.end(&channel, &caller(1), now);
    }
    assert!(queues.by_channel.len() <= MAX_QUEUES + 1, "{}", queues.by_channel.len());
}

#[test]
fn requests_that_wait_for_one_lookup_keep_their_order() {
    let (mut queues, now) = (new_queues(), Instant::now());
    queues.line_up(CHANNEL, [3, 1, 2].map(caller), now);
    assert_eq!(waits(&mut queues, &[3, 2], now), [Some(2), Some(1)]);
    assert_eq!(post(&mut queues, 1, now), "r2 r3");
    // The second one turns out to need no message.
    assert_eq!(woken(queues.leave(&caller(2), now)), "r3");
    assert_eq!(post(&mut queues, 3, now), "");
    // One that does not come loses its turn.
    queues.line_up(CHANNEL, [caller(4)], now);
    assert_eq!(waits(&mut queues, &[5], now + seconds(1)), [Some(1)]);
    let now = now + queues.timings.turn_timeout;
    assert_eq!(waits(&mut queues, &[5], now), [None]);
}

#[test]
fn a_request_does_not_wait_for_itself_under_another_name_of_the_recipient() {
    let (mut queues, now) = (new_queues(), Instant::now());
    let other_name = QueuedOperation { operation: Operation::Post(RecipientKey::new("A1")), ..caller(1) };
    queues.begin(CHANNEL, &caller(9), now);
    queues.line_up(CHANNEL, [other_name.clone(), caller(2)], now);
    queues.end(CHANNEL, &caller(9), now);
    assert_eq!(post(&mut queues, 1, now), "r2", "its place under the other name goes, too");
    queues.begin(CHANNEL, &caller(1), now);
    queues.line_up(CHANNEL, [other_name], now);
    queues.end(CHANNEL, &caller(1), now);
    assert_eq!(post(&mut queues, 2, now), "");
}
