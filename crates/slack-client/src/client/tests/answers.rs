//! Answers to interactions, user groups and Socket Mode addresses, against the scripted server.

use super::*;
use crate::remedy::Setting;

fn ok() -> Reply {
    Reply::json(&json!({"ok": true}))
}

fn error_reply(code: &str) -> Reply {
    Reply::json(&json!({"ok": false, "error": code}))
}

#[tokio::test]
async fn a_modal_is_opened_with_its_trigger() {
    let server =
        Server::start([ok(), error_reply("expired_trigger_id"), error_reply("trigger_exchanged")]).await;
    let client = client(&server);
    let view = json!({"type": "modal", "title": {"type": "plain_text", "text": "Deny"}});
    client.views_open("12.34", &view).await.unwrap();
    let request = &server.received()[0];
    assert_request(request, "views.open", "application/json; charset=utf-8");
    assert_eq!(request.json(), json!({"trigger_id": "12.34", "view": view}));

    for cause in ["within three seconds", "was opened for this click before"] {
        let error = client.views_open("12.34", &view).await.unwrap_err();
        assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Never, false));
        assert!(error.to_string().contains(cause), "{error}");
    }
}

#[tokio::test]
async fn a_modal_is_not_waited_for_longer_than_its_trigger_lasts() {
    let server = Server::start([Reply::Stall(vec![])]).await;
    let error = client(&server).views_open("12.34", &json!({})).await.unwrap_err();
    assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Backoff, true));
    assert!(error.to_string().contains("no full answer within 2s"), "{error}");
}

#[tokio::test]
async fn an_ephemeral_message_names_channel_and_person() {
    let server = Server::start([ok(), ok(), error_reply("user_not_in_channel")]).await;
    let client = client(&server);
    let (channel, user) = (ChannelId::new("C1"), SlackUserId::new("U1"));
    client.post_ephemeral(&channel, &user, &text_message()).await.unwrap();
    client.post_ephemeral(&channel, &user, &sample_message()).await.unwrap();
    let error = client.post_ephemeral(&channel, &user, &text_message()).await.unwrap_err();
    assert_eq!((error.retry(), error.code()), (Retry::Never, Some("user_not_in_channel")));

    let [without, with, _] = server.received().try_into().unwrap();
    assert_request(&without, "chat.postEphemeral", "application/json; charset=utf-8");
    let expected = json!({"channel": "C1", "user": "U1", "text": "alice wants dba", "parse": "none"});
    assert_eq!(without.json(), expected);
    assert_eq!(with.json()["blocks"], json!(sample_message().blocks()));
}

#[tokio::test]
async fn a_click_is_answered_at_its_own_address_without_the_token() {
    let plain_ok = Reply::http("200 OK", "content-type: text/plain\r\n", "ok");
    let server = Server::start([plain_ok, ok()]).await;
    let client = client(&server);
    let url = Secret::new(format!("http://{}/response/T1/hunter2?x=1", server.address));
    client.respond(&url, &text_message()).await.unwrap();
    client.respond(&url, &sample_message()).await.unwrap();

    let [first, second] = server.received().try_into().unwrap();
    assert_eq!(first.request_line, "POST /response/T1/hunter2?x=1 HTTP/1.1");
    assert_eq!(first.header("authorization"), None);
    assert_eq!(first.header("content-type"), Some("application/json; charset=utf-8"));
    let expected =
        json!({"text": "alice wants dba", "response_type": "ephemeral", "replace_original": false});
    assert_eq!(first.json(), expected);
    assert_eq!(second.json()["blocks"], json!(sample_message().blocks()));
}

#[tokio::test]
async fn a_click_is_not_answered_elsewhere() {
    let server = Server::start([]).await;
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = format!("http://{}/hunter2", local.local_addr().unwrap());
    for url in [inside.as_str(), "https://evil.example/hunter2", "file:///etc/hunter2", "hunter2 \n"] {
        let error = client(&server).respond(&Secret::new(url), &text_message()).await.unwrap_err();
        assert_eq!((error.retry(), error.is_ambiguous()), (Retry::Never, false));
        assert!(error.to_string().contains("nothing was sent"), "{error}");
        assert!(!chain(&error).contains("hunter2") && !chain(&error).contains("evil"), "{}", chain(&error));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_address_of_an_answer_is_never_shown() {
    let json = "content-type: application/json\r\n";
    let echo = r#"{"ok":false,"error":"hunter2 /response/T1/hunter2",
        "response_metadata":{"messages":["http:\/\/h\/response\/T1\/hunter2"]}}"#;
    let replies = [
        (Reply::http("404 hunter2", "location: /hunter2\r\n", "hunter2"), Retry::Never),
        (Reply::http("500 hunter2", json, echo), Retry::Backoff),
        (Reply::http("200 OK", json, echo), Retry::Never),
        (Reply::Truncated(b"hunter2".to_vec()), Retry::Backoff),
        (error_reply("used_url"), Retry::Never),
    ];
    for (reply, kind) in replies {
        let server = Server::start([reply]).await;
        let url = Secret::new(format!("http://{}/response/T1/hunter2", server.address));
        let error = client(&server).respond(&url, &text_message()).await.unwrap_err();
        assert_eq!(error.retry(), kind, "{error}");
        assert_eq!(server.received().len(), 1);
        let shown = chain(&error);
        assert!(!shown.contains("hunter2") && !shown.contains("API address"), "{shown}");
    }
}

#[tokio::test]
async fn members_of_a_user_group_are_people() {
    let users = json!({"ok": true, "users": ["U1", "W2", 3, null, "", "U/4", "x".repeat(100)]});
    let none = json!({"ok": true, "users": "U1"});
    let server =
        Server::start([Reply::json(&users), Reply::json(&none), error_reply("no_such_subteam")]).await;
    let client = client(&server);
    let expected = ["U1", "W2"].map(SlackUserId::new);
    assert_eq!(client.usergroup_members("S1").await.unwrap(), expected);
    let request = &server.received()[0];
    assert_read(request, "usergroups.users.list", "usergroup=S1");
    assert_eq!(client.usergroup_members("S1").await.unwrap_err().retry(), Retry::Backoff);
    let error = client.usergroup_members("S1").await.unwrap_err();
    assert_eq!(error.remedy().unwrap().setting, Some(Setting::UserGroups));
}

#[tokio::test]
async fn a_socket_address_is_asked_for_with_the_app_token() {
    let app_token = Secret::new("xapp-hunter2");
    let url = "wss://wss-primary.slack.com/link/?ticket=hunter2&app_id=A1";
    let answers = [
        json!({"ok": true, "url": url}),
        json!({"ok": true, "url": ""}),
        json!({"ok": true, "url": [url]}),
        json!({"ok": "true", "url": url}),
        json!({"ok": false, "error": "not_allowed_token_type", "needed": url, "provided": "xapp-hunter2"}),
        json!({"ok": false, "error": "internal_error"}),
    ];
    let server = Server::start(answers.iter().map(Reply::json)).await;
    let client = client(&server);
    assert_eq!(client.apps_connections_open(&app_token).await.unwrap().expose(), url);
    let request = &server.received()[0];
    assert_eq!(request.request_line, "POST /api/apps.connections.open HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer xapp-hunter2"));

    for kind in [Retry::Backoff, Retry::Backoff, Retry::Backoff, Retry::NeedsOperator, Retry::Backoff] {
        let error = client.apps_connections_open(&app_token).await.unwrap_err();
        assert_eq!((error.retry(), error.is_ambiguous()), (kind, false), "{error}");
        assert!(!chain(&error).contains("hunter2"), "{}", chain(&error));
        let setting = error.remedy().and_then(|remedy| remedy.setting);
        assert_ne!(setting, Some(Setting::BotToken), "{error}");
        assert_eq!(setting == Some(Setting::AppToken), kind == Retry::NeedsOperator, "{error}");
    }
    let error = client.apps_connections_open(&Secret::new("xapp-\n")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::NeedsOperator);
    assert_eq!(error.remedy().unwrap().setting, Some(Setting::AppToken));
    let error = client.try_token(&Secret::new("xoxb-\n")).await.unwrap_err();
    assert_eq!(error.remedy().unwrap().setting, Some(Setting::BotToken));
}
