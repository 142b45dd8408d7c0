//! What the client reports of its calls, and that it sends none while Slack's wait lasts.

use parking_lot::Mutex;

use std::collections::BTreeSet;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::history::{Author, Window};
use crate::usergroups::UserGroups;
use crate::validation::Layout;

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

/// Every way in which a caller can make a call of this method.
fn calls<'a>(
    client: &'a Client,
    server: &Server,
    method: Method,
) -> Vec<BoxFuture<'a, Result<(), SlackError>>> {
    let (channel, ts, bob) = (ChannelId::new("C1"), MessageTs::new("1.5"), SlackUserId::new("U1"));
    let (message, token) = (text_message(), Secret::new("xapp-1-A1-1-secret"));
    let directory = Directory::new(client.clone());
    let auth = AuthTest::bare("T1", bob.clone());
    let author = Author::from(&auth);
    let response_url = Secret::new(format!("http://{}/response/1", server.address));
    let search = move |thread: Option<MessageTs>| async move {
        let now = Timestamp::now();
        let window =
            Window { channel: &ChannelId::new("C1"), thread: thread.as_ref(), from: now, until: now };
        client.own_messages(&author, "t", window).await.map(drop)
    };
    match method {
        Method::AuthTest => vec![
            async { client.auth_test().await.map(drop) }.boxed(),
            async { client.try_token(&Secret::new("xoxb-2")).await.map(drop) }.boxed(),
        ],
        Method::ChatPostMessage => vec![
            async move { client.post_message(post(&message)).await.map(drop) }.boxed(),
            async { client.probe_post("C1").await.map_or(Ok(()), Err) }.boxed(),
        ],
        Method::ChatUpdate => {
            vec![async move { client.update_message(&channel, &ts, &message).await }.boxed()]
        }
        Method::ChatDelete => vec![async move { client.delete_message(&channel, &ts).await }.boxed()],
        Method::ConversationsHistory => vec![search(None).boxed()],
        Method::ConversationsReplies => vec![search(Some(ts)).boxed()],
        Method::ConversationsOpen => {
            let ours = bob.clone();
            vec![
                async move { client.open_direct_message(&ours).await.map(drop) }.boxed(),
                async move { client.existing_direct_message(&bob).await.map(drop) }.boxed(),
            ]
        }
        Method::ConversationsList => vec![
            async { client.channels_by_name(&BTreeSet::from(["team".to_owned()])).await.map(drop) }.boxed(),
            async move { directory.channel_by_name("team").await.map(drop) }.boxed(),
        ],
        Method::UsersLookupByEmail => vec![
            async { client.lookup_by_email("a@example.com").await.map(drop) }.boxed(),
            async move { directory.by_email("a@example.com", Priority::Operator).await.map(drop) }.boxed(),
        ],
        Method::UsersInfo => vec![
            async { client.user_info(&SlackUserId::new("U1")).await.map(drop) }.boxed(),
            async move { directory.by_id(&bob, Priority::Operator).await.map(drop) }.boxed(),
        ],
        Method::ConversationsInfo => vec![
            async { client.conversation_info(&ChannelId::new("C1")).await.map(drop) }.boxed(),
            async move { directory.conversation(&channel).await.map(drop) }.boxed(),
        ],
        Method::ViewsOpen => vec![async { client.views_open("1.2.3", &json!({})).await }.boxed()],
        Method::ChatPostEphemeral => {
            vec![async move { client.post_ephemeral(&channel, &bob, &message).await }.boxed()]
        }
        Method::Respond => vec![async move { client.respond(&response_url, &message).await }.boxed()],
        Method::UsergroupsUsersList => vec![
            async { client.usergroup_members("S1").await.map(drop) }.boxed(),
            async { UserGroups::new(client.clone(), Duration::from_secs(8)).members("S1").await.map(drop) }
                .boxed(),
        ],
        Method::BotsInfo => vec![async { client.bot_app("B1").await.map(drop) }.boxed()],
        Method::BlocksValidate => {
            vec![async move { client.validate(Layout::<()>::Message(&message)).await.map(drop) }.boxed()]
        }
        Method::ChatGetPermalink => {
            vec![async move { client.permalink(&channel, &ts).await.map(drop) }.boxed()]
        }
        Method::AppsConnectionsOpen => {
            let other = token.clone();
            vec![
                async move { client.apps_connections_open(&token).await.map(drop) }.boxed(),
                async move { client.try_app_token(&other).await }.boxed(),
            ]
        }
    }
}

#[tokio::test]
async fn no_method_is_called_in_any_way_while_its_wait_lasts() {
    let limited = Reply::http("429 Too Many Requests", "retry-after: 600\r\n", "");
    let server = Server::start(vec![limited; Method::ALL.len()]).await;
    let client = client(&server);
    for (before, method) in Method::ALL.into_iter().enumerate() {
        let first = calls(&client, &server, method).swap_remove(0).await.unwrap_err();
        assert!(first.was_sent(), "{method} waits for itself only: {first}");
        assert_eq!(server.received().len(), before + 1, "{method}");
        for (n, call) in calls(&client.clone(), &server, method).into_iter().enumerate() {
            let error = call.await.unwrap_err();
            assert!(!error.was_sent(), "{method}, way {n}: {error}");
            assert!(matches!(error.retry(), Retry::After(_)), "{method}, way {n}: {error}");
        }
        assert_eq!(server.received().len(), before + 1, "{method}");
    }
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

#[tokio::test]
async fn a_client_that_moves_keeps_its_waits_and_answers_clicks_that_came_before() {
    let limited = Reply::http("429 Too Many Requests", "retry-after: 600\r\n", "");
    let first = Server::start([limited, Reply::http("200 OK", "", "ok")]).await;
    let second = Server::start([Reply::json(&json!({"ok": true, "channel": "C1", "ts": "1.1"}))]).await;
    let moving = client(&first);
    let clone = moving.clone();
    let message = text_message();
    moving.post_message(post(&message)).await.unwrap_err();
    moving.move_to(&client(&second));
    let error = clone.post_message(post(&message)).await.unwrap_err();
    assert!(!error.was_sent(), "{error}");
    let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
    clone.update_message(&channel, &ts, &message).await.unwrap();
    let reply_to = |server: &Server| Secret::new(format!("http://{}/actions/1/2", server.address));
    clone.respond(&reply_to(&first), &message).await.unwrap();
    moving.move_to(&client(&second));
    let error = clone.respond(&reply_to(&first), &message).await.unwrap_err();
    assert!(error.to_string().contains("not https"), "{error}");
}
