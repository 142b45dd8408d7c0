//! What is remembered of a channel, and what a failed call means for its operation.

use std::ops::RangeInclusive;

use access_core::domain::ids::SlackUserId;
use jiff::{SignedDuration, Timestamp};

use super::super::lookup_order::{LookupKey, LookupOrder};
use super::super::retry_state::Effect;
use super::super::send_errors::is_unreachable;
use super::*;
use access_core::domain::lifecycle::Phase;
use access_core::domain::secret::Secret;
use access_core::render::mrkdwn::Mrkdwn;
use slack_client::ClientOptions;
use slack_client::objects::AuthTest;

fn sender() -> SlackSender {
    let options = ClientOptions {
        api_url: "http://127.0.0.1:9/api/".into(),
        ..ClientOptions::new(Secret::new("xoxb-1"))
    };
    let auth = AuthTest::bare("T0", SlackUserId::new("U0BOT"));
    let (turns, _) = mpsc::channel(1);
    let slack = slack_client::Client::new(options).unwrap();
    SlackSender::new(
        slack.clone(),
        Directory::new(slack),
        Author::from(&auth),
        turns,
        Metrics::new(),
        ControllerTimings::default(),
    )
}

fn caller(id: &str) -> QueuedOperation {
    let operation = Operation::Post(RecipientKey::new("C0TEAM"));
    QueuedOperation { created: None, id: RequestId::new(id), operation }
}

const POST: Method = Method::ChatPostMessage;

fn refused(sender: &SlackSender, error: &SlackError, failures: u32) -> Deferred {
    sender.on_error(&caller("r1"), "C0TEAM", error, failures)
}

#[test]
fn only_a_post_that_may_have_been_applied_is_in_doubt_while_it_may_arrive() {
    let sender = sender();
    let coded = |method, code| SlackError::api_error(method, code);
    // Slack has answered, so it is there or never will be; or it may still be on its way.
    let (now, late) = (
        Some(SignedDuration::ZERO),
        Some(SignedDuration::try_from(sender.timings.claim.in_doubt_after_timeout).unwrap()),
    );
    for (error, final_after) in [
        (SlackError::timed_out(POST, true), late),
        (SlackError::status(POST, 502), late),
        (SlackError::status(POST, 500), now),
        (coded(POST, "fatal_error"), now),
        (SlackError::missing_field(POST), now),
        (SlackError::timed_out(POST, false), None),
        (SlackError::status(POST, 403), None),
        (coded(POST, "ratelimited"), None),
        (coded(POST, "not_in_channel"), None),
        (coded(POST, "invalid_auth"), None),
        // Made twice it does no harm.
        (SlackError::timed_out(Method::ChatUpdate, true), None),
        (SlackError::timed_out(Method::ConversationsHistory, true), None),
    ] {
        let before = Timestamp::now();
        match (refused(&sender, &error, 0).effect, final_after) {
            (Effect::Unknown { final_at, destination, is_accepted }, Some(after)) => {
                assert_eq!((destination.as_str(), is_accepted), ("C0TEAM", error.is_accepted()));
                assert!(
                    final_at >= before + after && final_at <= Timestamp::now() + after,
                    "{error}: {final_at}"
                );
            }
            (Effect::NotApplied, None) => {}
            (fate, _) => panic!("{error}: {fate:?}"),
        }
    }
}

#[test]
fn a_refused_post_is_retried_soon_and_then_less_often() {
    let sender = sender();
    let coded = |code| SlackError::api_error(POST, code);
    let cases: [(_, _, RangeInclusive<u64>); 8] = [
        (coded("msg_too_long"), 0, 7..=15),
        (coded("msg_too_long"), 1, 15..=30),
        (coded("msg_too_long"), 50, 300..=600),
        (coded("invalid_auth"), 0, 5..=10),
        (SlackError::status(POST, 403), 0, 0..=1),
        (SlackError::timed_out(POST, true), 0, 1..=2),
        (SlackError::timed_out(POST, true), 50, 30..=60),
        (SlackError::timed_out(POST, false), 50, 10..=20),
    ];
    for (error, failures, seconds) in cases {
        let not_yet = refused(&sender, &error, failures);
        assert!(not_yet.is_failure && seconds.contains(&not_yet.delay.as_secs()), "{error}: {not_yet:?}");
    }
}

#[test]
fn a_channel_error_counts_for_all_messages_and_a_message_error_for_itself() {
    let coded = |code| SlackError::api_error(POST, code);
    for (code, is_shut) in [
        ("not_in_channel", true),
        ("channel_not_found", true),
        ("is_archived", true),
        ("restricted_action", true),
        ("restricted_action_thread_locked", false),
        ("msg_too_long", false),
        ("invalid_metadata_format", false),
        ("brand_new", false),
    ] {
        let sender = sender();
        refused(&sender, &coded(code), 0);
        let other = Operation::Post(RecipientKey::new("C0TEAM"));
        let now = Instant::now();
        let wait = sender.breaker().required_wait("C0TEAM", &RequestId::new("other"), &other, now);
        assert_eq!(wait.is_some(), is_shut, "{code}: {wait:?}");
        // The first wait is longer than the probe interval, or the operation itself would run into it.
        assert!(refused(&sender, &coded(code), 0).delay > sender.timings.refused_probe_interval, "{code}");
    }
}

#[test]
fn a_retry_after_is_obeyed_to_the_second_and_is_no_failure() {
    let sender = sender();
    let not_yet = refused(&sender, &SlackError::api_error(POST, "ratelimited"), 50);
    assert_eq!((not_yet.delay, not_yet.is_failure), (Duration::from_secs(7), false));
}

#[test]
fn a_message_is_given_up_when_it_is_deleted_or_not_needed() {
    let coded = |code| SlackError::api_error(Method::ChatUpdate, code);
    for (error, while_listed, at_last) in [
        (coded("message_not_found"), true, true),
        (coded("thread_not_found"), true, true),
        (coded("edit_window_closed"), false, true),
        (coded("cant_update_message"), false, true),
        (coded("is_archived"), false, false),
        (coded("not_in_channel"), false, false),
        (coded("update_failed"), false, false),
        (coded("brand_new"), false, false),
        (SlackError::status(Method::ChatUpdate, 500), false, false),
    ] {
        assert_eq!(
            (is_unreachable(&error, false), is_unreachable(&error, true)),
            (while_listed, at_last),
            "{error}"
        );
    }
}

fn post_step(destination: &str) -> Step {
    let message = || Message::plain(Mrkdwn::default());
    Step::Post {
        key: RecipientKey::new("bob@example.com"),
        post_to: destination.into(),
        message: message(),
        fallback: message(),
        displayed: DisplayedState { phase: Phase::Pending, digest: String::new() },
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_result_of_a_lookup_queues_all_requests_that_wait_for_it() {
    let (sender, order) = (sender(), LookupOrder::default());
    let key = RecipientKey::new("bob@example.com");
    let made = |second: i64| (Timestamp::from_second(second).ok(), RequestId::new(format!("r{second}")));
    let [first, second, third] = [1, 2, 3].map(|n| {
        let (created, id) = made(n);
        order.join(LookupKey { recipient: key.clone(), requester: None }, created, &id)
    });
    let operations = vec![(Operation::Post(key.clone()), vec![post_step("U0BOB")])];
    let line_up = |n, waiter, operations: &[_]| {
        let (created, id) = made(n);
        sender.line_up_lookups(&id, created, operations, vec![waiter]);
    };
    let reserve = |n| {
        let (created, id) = made(n);
        let caller = QueuedOperation { created, id, operation: Operation::Post(key.clone()) };
        sender.reserve(&caller, &post_step("U0BOB")).map(|wait| wait.is_queued)
    };
    line_up(3, third, &operations);
    assert_eq!(reserve(3), Some(true), "two older requests wait for bob");
    // The oldest one turns out to need no message to bob, and the next is first.
    line_up(1, first, &[]);
    line_up(2, second, &operations);
    assert_eq!((reserve(3), reserve(2)), (Some(true), None));
    sender.end_all(&made(2).1);
    assert_eq!(reserve(3), None);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_asked_about_again_only_when_its_turn_is_all_it_waits_for() {
    let sender = sender();
    let wait_for_turn = async |id: &str, destination: &str| {
        let held = [(caller(id).operation, vec![post_step(destination)])];
        let began = Instant::now();
        let until = began + sender.timings.turns.park;
        let is_asked_again = sender.wait_for_turn(&RequestId::new(id), None, &held, until).await;
        (is_asked_again, began.elapsed())
    };
    let is_queued = |id: &str, destination: &str| {
        sender.reserve(&caller(id), &post_step(destination)).map(|wait| wait.is_queued)
    };
    // Behind a post in flight.
    assert_eq!((is_queued("r1", "C0DBA"), is_queued("r2", "C0DBA")), (None, Some(true)));
    assert_eq!(wait_for_turn("r2", "C0DBA").await, (true, sender.timings.turns.park));
    // The channel refuses everything for a while: its turn has come, and asking again at once changes nothing.
    refused(&sender, &SlackError::api_error(POST, "is_archived"), 1);
    assert_eq!(is_queued("r3", "C0TEAM"), Some(false));
    assert_eq!(wait_for_turn("r3", "C0TEAM").await, (false, Duration::ZERO));
}
