//! What the client reports of its calls, and that it sends none while Slack's wait lasts.

use parking_lot::Mutex;

use super::*;

/// Keeps how calls ended.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<(Method, Option<Retry>)>>);

impl Observer for Recorder {
    fn call_ended(&self, method: Method, result: Result<(), &SlackError>, _: Duration) {
        self.0.lock().push((method, result.err().map(SlackError::retry)));
    }

    fn clock_observed(&self, _: Offset) {}
}

#[tokio::test]
async fn no_call_is_sent_while_its_methods_wait_lasts() {
    let limited = Reply::http("429 Too Many Requests", "retry-after: 1\r\n", "");
    let user = json!({"ok": true, "user": {"id": "U1", "team_id": "T1"}});
    let server = Server::start([limited, Reply::json(&posted()), Reply::json(&user)]).await;
    let client = client(&server);
    let directory = Directory::new(client.clone());
    let bob = SlackUserId::new("U1");
    assert!(client.user_info(&bob).await.unwrap_err().was_sent());
    let refused = [
        client.clone().user_info(&bob).await.unwrap_err(),
        directory.by_id(&bob, Priority::Operator).await.unwrap_err(),
    ];
    for error in refused {
        assert!(!error.was_sent());
        assert!(matches!(error.retry(), Retry::After(left) if left <= Duration::from_secs(1)), "{error}");
    }
    client.post_message(post(&text_message())).await.unwrap();
    tokio::time::sleep(client.blocked_for(Method::UsersInfo).unwrap()).await;
    client.user_info(&bob).await.unwrap();
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn the_observer_gets_each_call_with_its_result() {
    let refused = Reply::json(&json!({"ok": false, "error": "not_in_channel"}));
    let lost = Reply::Truncated(Vec::new());
    let limited = Reply::http("429 Too Many Requests", "retry-after: 3\r\n", "");
    let server = Server::start([Reply::json(&posted()), refused, lost, limited]).await;
    let recorder = Arc::new(Recorder::default());
    let api_url = format!("http://{}/api", server.address);
    let client = Client::new(ClientOptions { observer: recorder.clone(), ..options(api_url) }).unwrap();
    for _ in 0..4 {
        let _ = client.post_message(post(&text_message())).await;
    }
    let results =
        [None, Some(Retry::Never), Some(Retry::Backoff), Some(Retry::After(Duration::from_secs(3)))];
    assert_eq!(*recorder.0.lock(), results.map(|result| (Method::ChatPostMessage, result)));
}
