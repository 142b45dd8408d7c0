//! One connection, in memory and on paused time.

use std::future::pending;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::socket_mode::connect::{MAX_FRAME_BYTES, websocket_config};
use crate::socket_mode::connection::{Connection, Ended};
use crate::socket_mode::dispatch::MAX_CONCURRENT;
use crate::socket_mode::error::ConnectionError;

const TIMING: fn() -> SocketModeTimings = SocketModeTimings::default;

fn dispatcher<H, F>(handler: H) -> Arc<Dispatcher>
where
    H: Fn(Envelope) -> F + Send + Sync + 'static,
    F: Future<Output = Option<Value>> + Send + 'static,
{
    let handler = move |envelope| -> dispatch::HandlerFuture { Box::pin(handler(envelope)) };
    Arc::new(Dispatcher::new(Box::new(handler), TIMING()))
}

/// A dispatcher that keeps what it is given.
fn recording_dispatcher() -> (Arc<Dispatcher>, Handled) {
    let given = Handled::default();
    let kept = given.clone();
    let dispatcher = dispatcher(move |envelope| {
        kept.push(envelope);
        async { None }
    });
    (dispatcher, given)
}

async fn connected_pair() -> (WebSocketStream<DuplexStream>, SlackSide<DuplexStream>) {
    let (near, far) = duplex(64 * 1024);
    let near = WebSocketStream::from_raw_socket(near, Role::Client, Some(websocket_config())).await;
    (near, SlackSide(WebSocketStream::from_raw_socket(far, Role::Server, None).await))
}

/// A connection that is served in the background.
struct RunningConnection {
    slack: SlackSide<DuplexStream>,
    close_token: CancellationToken,
    serving: JoinSet<Ended>,
}

impl RunningConnection {
    async fn start(dispatcher: &Arc<Dispatcher>) -> Self {
        let (near, mut far) = connected_pair().await;
        far.send(json!({"type": "hello"})).await;
        let mut connection = Connection::await_hello(near, TIMING()).await.unwrap();
        let (dispatcher, leave) = (dispatcher.clone(), CancellationToken::new());
        let mut serving = JoinSet::new();
        let stop = leave.clone();
        serving.spawn(async move { connection.serve(&dispatcher, &stop).await });
        Self { slack: far, close_token: leave, serving }
    }

    async fn ended(&mut self) -> Ended {
        self.serving.join_next().await.unwrap().unwrap()
    }

    async fn error(&mut self) -> ConnectionError {
        match self.ended().await {
            Ended::Failed(error) => error,
            other => panic!("an end expected: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_click_is_acknowledged_before_any_work() {
    let dispatcher = dispatcher(|_| pending());
    let mut one = RunningConnection::start(&dispatcher).await;
    let begun = Instant::now();
    for id in ["e1", "e2", "e3"] {
        one.slack.send(envelope(id, &click(id))).await;
        one.slack.expect_ack(id).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_envelope_that_comes_again_is_acknowledged_and_not_handed_on() {
    let (dispatcher, given) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    let mut two = RunningConnection::start(&dispatcher).await;
    one.slack.send(envelope("e1", &click("1"))).await;
    one.slack.expect_ack("e1").await;
    one.slack.send(envelope("e1", &click("1"))).await;
    one.slack.expect_ack("e1").await;
    two.slack.send(envelope("e1", &click("1"))).await;
    two.slack.expect_ack("e1").await;
    // Whether another envelope carries the same interaction, the handler decides.
    two.slack.send(envelope("e2", &click("1"))).await;
    two.slack.expect_ack("e2").await;
    given.wait_for_count(2).await;
    assert_eq!(given.all(), [click("1"), click("1")]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_modal_goes_into_its_acknowledgement() {
    let answer = json!({"response_action": "errors", "errors": {"reason": "Please give one"}});
    let (reply, asked) = (answer.clone(), Handled::default());
    let kept = asked.clone();
    let dispatcher = dispatcher(move |envelope: Envelope| {
        assert_eq!(envelope.respond_by, Some(Instant::now() + Duration::from_secs(2)));
        kept.push(envelope);
        let answer = reply.clone();
        async move {
            sleep(Duration::from_secs(1)).await;
            Some(answer)
        }
    });
    let mut one = RunningConnection::start(&dispatcher).await;
    let mut two = RunningConnection::start(&dispatcher).await;
    one.slack.send(envelope("e1", &submission("t1"))).await;
    // Sent again before the answer is there, elsewhere: the first connection answers.
    two.slack.send(envelope("e1", &submission("t1"))).await;
    assert_eq!(one.slack.next_text().await, json!({"envelope_id": "e1", "payload": answer}));
    // Sent again because that acknowledgement got lost.
    two.slack.send(envelope("e1", &submission("t1"))).await;
    assert_eq!(two.slack.next_text().await, json!({"envelope_id": "e1", "payload": answer}));
    assert_eq!(asked.all().len(), 1);
    // Submitted again by the person.
    one.slack.send(envelope("e2", &submission("t2"))).await;
    assert_eq!(one.slack.next_text().await["payload"], answer);
    assert_eq!(asked.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_modal_without_an_answer_in_time_is_not_acknowledged() {
    let done = Arc::new(Notify::new());
    let finished = done.clone();
    let dispatcher = dispatcher(move |_| {
        let done = finished.clone();
        async move {
            sleep(Duration::from_secs(5)).await;
            done.notify_one();
            Some(json!({"response_action": "clear"}))
        }
    });
    let log = Captured::start();
    let mut one = RunningConnection::start(&dispatcher).await;
    let begun = Instant::now();
    one.slack.send(envelope("e1", &submission("t1"))).await;
    done.notified().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(5), "the work goes on");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.count("came too late"), 1, "{}", log.text());
    // Nothing closed the modal as if it had been taken; sent again, it gets the answer.
    one.slack.send(envelope("e1", &submission("t1"))).await;
    assert_eq!(
        one.slack.next_text().await,
        json!({"envelope_id": "e1", "payload": {"response_action": "clear"}})
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_sent_is_not_waited_for() {
    let (dispatcher, given) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    let mut refused = envelope("e1", &submission("t1"));
    refused["accepts_response_payload"] = json!(false);
    one.slack.send(refused).await;
    one.slack.expect_ack("e1").await;
    given.wait_for_count(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_dispatcher_lets_slack_send_again() {
    let (go_on, given) = (Arc::new(Notify::new()), Handled::default());
    let (waiting, kept) = (go_on.clone(), given.clone());
    let dispatcher = dispatcher(move |envelope| {
        kept.push(envelope);
        let go_on = waiting.clone();
        async move {
            go_on.notified().await;
            None
        }
    });
    let log = Captured::start();
    let mut one = RunningConnection::start(&dispatcher).await;
    for number in 0..MAX_CONCURRENT {
        let id = number.to_string();
        one.slack.send(envelope(&id, &click(&id))).await;
        one.slack.expect_ack(&id).await;
    }
    // Acknowledged without being handed on, so it shows that those before were ignored.
    let mut leave = async |count: usize| {
        for _ in 0..count {
            one.slack.send(envelope("left", &click("left"))).await;
        }
        one.slack.send(envelope("0", &click("0"))).await;
        one.slack.expect_ack("0").await;
    };
    leave(4).await;
    assert_eq!(log.count("Left an interaction for Slack to send again"), 1, "{}", log.text());
    tokio::time::advance(Duration::from_secs(60)).await;
    leave(1).await;
    assert_eq!(log.count("suppressed=3"), 1, "{}", log.text());
    given.wait_for_count(MAX_CONCURRENT).await;
    go_on.notify_waiters();
    sleep(Duration::from_millis(1)).await;
    one.slack.send(envelope("left", &click("left"))).await;
    one.slack.expect_ack("left").await;
    given.wait_for_count(MAX_CONCURRENT + 1).await;
}

#[tokio::test(start_paused = true)]
async fn work_that_never_ends_is_aborted() {
    let log = Captured::start();
    let dispatcher = dispatcher(|_| pending());
    let mut one = RunningConnection::start(&dispatcher).await;
    one.slack.send(envelope("e1", &click("1"))).await;
    one.slack.expect_ack("e1").await;
    // Kept alive by answering its pings.
    let reading = async { while one.slack.0.next().await.is_some() {} };
    assert!(timeout(Duration::from_secs(61), reading).await.is_err());
    assert_eq!(log.count("Canceled an interaction"), 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_panic_closes_no_modal_and_nothing_more() {
    let log = Captured::start();
    let dispatcher = dispatcher(|envelope: Envelope| {
        assert_eq!(envelope.payload["actions"][0]["action_ts"], "fine", "as planned");
        async { None }
    });
    let mut one = RunningConnection::start(&dispatcher).await;
    one.slack.send(envelope("e0", &submission("t1"))).await;
    for (id, payload) in [("e1", click("1")), ("e2", click("fine"))] {
        one.slack.send(envelope(id, &payload)).await;
        // The modal is not acknowledged, so that Slack shows the person an error.
        one.slack.expect_ack(id).await;
    }
    dispatcher.drain().await;
    assert_eq!(log.count("Handling an interaction panicked"), 2, "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn malformed_frames_are_ignored() {
    let (dispatcher, given) = recording_dispatcher();
    let log = Captured::start();
    let mut one = RunningConnection::start(&dispatcher).await;
    let nested = "[".repeat(100_000);
    for text in ["hunter2", "[]", "{\"envelope_id\":[\"hunter2\"]}", nested.as_str(), ""] {
        one.slack.raw(Message::text(text)).await;
    }
    one.slack.send(json!({"type": "interactive", "envelope_id": "e1", "payload": null})).await;
    one.slack.expect_ack("e1").await;
    one.slack.send(json!({"type": "events_api", "envelope_id": "e2", "payload": click("1")})).await;
    one.slack.expect_ack("e2").await;
    one.slack
        .send(json!({"type": "interactive", "envelope_id": "e3", "payload": {"team": null, "user": 7}}))
        .await;
    one.slack.expect_ack("e3").await;
    given.wait_for_count(2).await;
    assert_eq!(given.all(), [json!(null), json!({"team": null, "user": 7})]);
    assert_eq!(log.count("Ignored an invalid Socket Mode frame"), 1, "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_binary_or_oversized_message_ends_the_connection() {
    let (dispatcher, _) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    one.slack.raw(Message::binary(b"{}".to_vec())).await;
    assert!(matches!(one.error().await, ConnectionError::NotText));

    let mut one = RunningConnection::start(&dispatcher).await;
    // The daemon hangs up while this is being sent.
    let _sent = one.slack.0.send(Message::text("x".repeat(MAX_FRAME_BYTES + 1))).await;
    assert!(matches!(one.error().await, ConnectionError::ConnectionLost { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_hello_is_not_waited_for_forever() {
    let (near, mut far) = connected_pair().await;
    let begun = Instant::now();
    far.send(envelope("e1", &click("1"))).await;
    let error = Connection::await_hello(near, TIMING()).await.err().unwrap();
    assert!(matches!(error, ConnectionError::Timeout { what: "Slack's hello", .. }), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(10));

    let (near, mut far) = connected_pair().await;
    far.send(json!({"type": "disconnect", "reason": "too_many_websockets"})).await;
    assert!(matches!(
        Connection::await_hello(near, TIMING()).await.err(),
        Some(ConnectionError::TooManyConnections)
    ));
}

#[tokio::test(start_paused = true)]
async fn unanswered_pings_end_the_connection() {
    let (dispatcher, _) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    let begun = Instant::now();
    // Slack's end does not read, so it does not answer.
    assert!(matches!(one.error().await, ConnectionError::Unresponsive));
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_clicks_stays() {
    let (dispatcher, _) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    let reading = async { while one.slack.0.next().await.is_some() {} };
    assert!(timeout(Duration::from_secs(3_600), reading).await.is_err());
    one.slack.send(envelope("e1", &click("1"))).await;
    one.slack.expect_ack("e1").await;
}

#[tokio::test(start_paused = true)]
async fn slacks_pings_must_not_stop_once_they_came() {
    let (dispatcher, _) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    let begun = Instant::now();
    one.slack.raw(Message::Ping(vec![1].into())).await;
    // Our pings are answered all the while.
    let reading = async { while let Some(Ok(_)) = one.slack.0.next().await {} };
    assert!(timeout(Duration::from_secs(3_600), reading).await.is_ok());
    assert!(matches!(one.error().await, ConnectionError::Unresponsive));
    assert_eq!(begun.elapsed(), Duration::from_secs(70));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_announced_once_and_clicks_still_count() {
    let (dispatcher, given) = recording_dispatcher();
    let (near, mut far) = connected_pair().await;
    far.send(json!({"type": "hello"})).await;
    let mut connection = Connection::await_hello(near, TIMING()).await.unwrap();
    let leave = CancellationToken::new();
    far.send(json!({"type": "disconnect", "reason": "warning"})).await;
    assert!(matches!(connection.serve(&dispatcher, &leave).await, Ended::Refresh));
    far.send(json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    far.send(envelope("e1", &click("1"))).await;
    let (served, ()) = tokio::join!(connection.serve(&dispatcher, &leave), async {
        far.expect_ack("e1").await;
        given.wait_for_count(1).await;
        leave.cancel();
        far.expect_close().await;
    });
    assert!(matches!(served, Ended::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_pending_answer_is_sent_before_closing() {
    let dispatcher = dispatcher(|_| async {
        sleep(Duration::from_secs(1)).await;
        Some(json!("late but there"))
    });
    let mut one = RunningConnection::start(&dispatcher).await;
    one.slack.send(envelope("e1", &submission("t1"))).await;
    // Another one, so that the first was certainly taken.
    one.slack.send(envelope("e2", &click("1"))).await;
    one.slack.expect_ack("e2").await;
    one.close_token.cancel();
    assert_eq!(one.slack.next_text().await, json!({"envelope_id": "e1", "payload": "late but there"}));
    one.slack.expect_close().await;
    assert!(matches!(one.ended().await, Ended::Closed));
}

#[tokio::test(start_paused = true)]
async fn an_end_without_goodbye_is_not_waited_for() {
    let (dispatcher, _) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    let begun = Instant::now();
    one.close_token.cancel();
    assert!(matches!(one.ended().await, Ended::Closed));
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_cannot_be_sent_ends_the_connection() {
    let (dispatcher, given) = recording_dispatcher();
    let mut one = RunningConnection::start(&dispatcher).await;
    // Slack's end stops reading, and the pipe fills with acknowledgements.
    let sending = async {
        for number in 0.. {
            let id = format!("{number} {}", "x".repeat(150));
            let frame = Message::text(envelope(&id, &json!({"team": number})).to_string());
            if one.slack.0.send(frame).await.is_err() {
                break;
            }
        }
        pending::<()>().await;
    };
    let begun = Instant::now();
    let end = tokio::select! {
        end = one.serving.join_next() => end.unwrap().unwrap(),
        () = sending => unreachable!(),
    };
    assert!(
        matches!(end, Ended::Failed(ConnectionError::Timeout { what: "sending a frame", .. })),
        "{end:?}"
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    dispatcher.drain().await;
    let count = given.all().len();
    assert!(count > 100, "the click whose acknowledgement got stuck is handed on too: {count}");
}
