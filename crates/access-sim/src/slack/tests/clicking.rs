//! People pressing buttons, as they and the app see it.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::interactive::{Timings, Warning};
use super::super::users::ActionError;
use super::super::workspace::{Channel, SlackUser, SlackUserKind, Workspace};
use super::{button, post_button, section, start, start_with_app};

#[tokio::test]
async fn a_click_reaches_the_app_signed_and_complete() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0REQUESTS", button("approve")).await;
    let seen = sim.click("U0BOB", "C0REQUESTS", &ts, "approve").await.unwrap();
    assert!(seen.acknowledged(), "{seen:?}");

    let heard = app.last();
    assert!(heard.is_signed_by(&sim.app().signing_secret));
    assert!(!heard.is_signed_by("another secret"));
    assert_eq!(heard.header("content-type"), Some("application/x-www-form-urlencoded"));
    let payload = heard.payload();
    let expected = [
        ("/type", json!("block_actions")),
        ("/team", json!({ "id": "T0DEMO", "domain": "demo" })),
        ("/user", json!({ "id": "U0BOB", "username": "bob", "name": "bob", "team_id": "T0DEMO" })),
        ("/api_app_id", json!("A0BOT")),
        ("/enterprise", Value::Null),
        ("/is_enterprise_install", json!(false)),
        ("/container/type", json!("message")),
        ("/container/message_ts", json!(ts)),
        ("/container/channel_id", json!("C0REQUESTS")),
        ("/container/is_ephemeral", json!(false)),
        ("/channel", json!({ "id": "C0REQUESTS", "name": "access-requests" })),
        ("/message/ts", json!(ts)),
        ("/message/bot_id", json!("B0BOT")),
        ("/state/values", json!({})),
        ("/actions/0/action_id", json!("approve")),
        ("/actions/0/block_id", json!("decide")),
        ("/actions/0/value", json!("req-1")),
        ("/actions/0/type", json!("button")),
        ("/actions/0/text/text", json!("Approve")),
    ];
    for (pointer, value) in expected {
        assert_eq!(payload.pointer(pointer), Some(&value), "{pointer}");
    }
    let action_ts = payload["actions"][0]["action_ts"].as_str().unwrap();
    assert!(action_ts > ts.as_str());
    assert!(payload["response_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));

    let interaction = sim.interaction(seen.seq().unwrap()).unwrap();
    assert_eq!(
        (interaction.payload, interaction.status, interaction.deliveries),
        (payload.clone(), Some(200), 1)
    );
    sim.click("U0BOB", "C0REQUESTS", &ts, "approve").await.unwrap();
    let again = app.last().payload();
    assert_ne!(again["actions"][0]["action_ts"], action_ts, "every click has a timestamp of its own");
    assert_ne!(again["trigger_id"], sim.interactions()[0].payload["trigger_id"]);
}

#[tokio::test]
async fn the_client_asks_before_it_sends_when_the_app_wants_it() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let mut deny = button("deny");
    let text = |text: &str| super::plain(text);
    deny["confirm"] = json!({ "title": text("Sure?"), "text": text("It is final."),
        "confirm": text("Deny"), "deny": text("Back") });
    let ts = post_button(&client, "C0REQUESTS", deny).await;
    let seen = sim.click("U0BOB", "C0REQUESTS", &ts, "deny").await.unwrap();
    let confirm = seen.confirm().unwrap();
    assert_eq!((confirm.title.as_str(), confirm.confirm.as_str()), ("Sure?", "Deny"));
    assert!(!seen.acknowledged() && seen.seq().is_none());
    assert!(app.received().is_empty() && sim.interactions().is_empty());
    let seen = sim.click("U0BOB", "C0REQUESTS", &ts, "deny").confirmed().await.unwrap();
    assert!(seen.acknowledged());
    assert_eq!(app.received().len(), 1);
}

#[tokio::test]
async fn no_user_presses_what_they_cannot_see() {
    let away = SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger: false };
    let workspace = Workspace::demo()
        .add_user(SlackUser::member("U0AWAY", "away").kind(away))
        .add_user(SlackUser::member("U0BOT2", "other").kind(SlackUserKind::Bot))
        .with_channel(Channel::private("C0SECRET", "secret").with_members(&["U0BOT", "U0BOB"]));
    let (sim, client, app) = start_with_app(workspace, Timings::default()).await;
    let dba = post_button(&client, "C0DBA", button("approve")).await;
    let secret = post_button(&client, "C0SECRET", button("approve")).await;
    let refusal = async |user: &str, channel: &str, ts: &str, action: &str| {
        sim.click(user, channel, ts, action).await.unwrap_err()
    };
    for absent in ["U0NOBODY", "U0DAN", "U0BOT", "U0BOT2", "USLACKBOT"] {
        assert_eq!(refusal(absent, "C0DBA", &dba, "approve").await, ActionError::NoClient(absent.to_owned()));
    }
    let unseen = [("U0GIL", "C0DBA", &dba), ("U0AWAY", "C0DBA", &dba), ("U0ALICE", "C0SECRET", &secret)];
    for (user, channel, ts) in unseen {
        let (user, channel) = (user.to_owned(), channel.to_owned());
        let refused = refusal(&user, &channel, ts, "approve").await;
        assert_eq!(refused, ActionError::CannotSee { user, channel });
    }
    assert_eq!(
        refusal("U0BOB", "C0DBA", "1.000001", "approve").await,
        ActionError::NoMessage("1.000001".to_owned())
    );
    assert_eq!(refusal("U0BOB", "C0DBA", &dba, "deny").await, ActionError::NoElement("deny".to_owned()));
    assert!(app.received().is_empty(), "nothing was sent");
    // Members see public channels that they are not in; guests and users from elsewhere press where they are.
    assert!(sim.click("U0ALICE", "C0DBA", &dba, "approve").await.unwrap().acknowledged());
    assert!(sim.click("U0BOB", "C0SECRET", &secret, "approve").await.unwrap().acknowledged());
    assert_eq!(app.last().payload()["channel"]["name"], "privategroup");
    let shared = post_button(&client, "C0REQUESTS", button("approve")).await;
    sim.click("U0EVE", "C0REQUESTS", &shared, "approve").await.unwrap();
    let user = &app.last().payload()["user"];
    assert_eq!((&user["id"], &user["team_id"]), (&json!("U0EVE"), &json!("T0OTHER")));
    sim.put_user(SlackUser::member("U0EVE", "eve").kind(SlackUserKind::Deactivated));
    assert!(matches!(refusal("U0EVE", "C0REQUESTS", &shared, "approve").await, ActionError::NoClient(_)));
    assert!(sim.delete_message("C0REQUESTS", &shared));
    assert!(matches!(refusal("U0BOB", "C0REQUESTS", &shared, "approve").await, ActionError::NoMessage(_)));
}

#[tokio::test]
async fn direct_messages_threads_and_links_have_buttons_too() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let mut open = button("open");
    open["url"] = json!("https://teleport.example/web/requests/1");
    let ts = post_button(&client, "U0BOB", open).await;
    assert!(sim.click("U0BOB", "D0BOB", &ts, "open").await.unwrap().acknowledged());
    let payload = app.last().payload();
    assert_eq!(payload["channel"], json!({ "id": "D0BOB", "name": "directmessage" }));
    assert_eq!(payload["actions"][0]["url"], "https://teleport.example/web/requests/1");
    assert!(matches!(
        sim.click("U0ALICE", "D0BOB", &ts, "open").await.unwrap_err(),
        ActionError::CannotSee { .. }
    ));
    let blocks = json!([
        { "type": "section", "text": super::plain("x"), "accessory": button("same") },
        { "type": "actions", "block_id": "two", "elements": [button("same")] },
    ]);
    let reply = json!({ "channel": "D0BOB", "thread_ts": ts, "text": "x", "blocks": blocks });
    let reply = client.ok("chat.postMessage", reply).await["ts"].as_str().unwrap().to_owned();
    let ambiguous = sim.click("U0BOB", "D0BOB", &reply, "same").await.unwrap_err();
    assert_eq!(ambiguous, ActionError::Ambiguous("same".to_owned()));
    sim.click("U0BOB", "D0BOB", &reply, "same").in_block("two").await.unwrap();
    assert_eq!(app.last().payload()["container"]["thread_ts"], json!(ts));
    let buttons = &sim.messages("D0BOB")[1].buttons;
    assert_eq!(buttons.len(), 2);
    assert!(!buttons[0].block_id.is_empty() && buttons[1].block_id == "two");
    sim.click("U0BOB", "D0BOB", &reply, "same").in_block(&buttons[0].block_id).await.unwrap();
    assert_eq!(app.received().len(), 3);
}

#[tokio::test]
async fn menus_send_what_is_chosen_of_what_they_offer() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let option = |value: &str| json!({ "text": super::plain(value), "value": value });
    let menu = json!({ "type": "static_select", "action_id": "how",
        "placeholder": super::plain("How?"), "options": [option("a"), option("b")] });
    let ts = post_button(&client, "C0DBA", menu).await;
    for wrong in
        [sim.click("U0BOB", "C0DBA", &ts, "how"), sim.click("U0BOB", "C0DBA", &ts, "how").choosing("c")]
    {
        assert_eq!(wrong.await.unwrap_err(), ActionError::NoOption("how".to_owned()));
    }
    sim.click("U0BOB", "C0DBA", &ts, "how").choosing("b").await.unwrap();
    let action = &app.last().payload()["actions"][0];
    assert_eq!((&action["selected_option"], action.get("options")), (&option("b"), None));
}

#[tokio::test]
async fn a_person_sees_when_the_app_fails() {
    let times = Timings { ack: Duration::from_secs(1), ..Timings::default() };
    let (sim, client, app) = start_with_app(Workspace::demo(), times).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let warning = async || {
        let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
        assert!(!seen.acknowledged());
        seen.warning().unwrap().clone()
    };
    for status in [201, 302, 404, 500] {
        app.respond_with(status, "");
        assert_eq!(warning().await, Warning::Status(status));
    }
    app.respond_after(Duration::from_secs(30));
    assert_eq!(warning().await, Warning::TimedOut);
    assert_eq!(app.received().len(), 5, "nothing is sent twice");
    let closed = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    for wrong in [format!("http://{closed}/"), "ftp://127.0.0.1/".to_owned(), "nonsense".to_owned()] {
        sim.set_request_url(Some(&wrong));
        assert!(matches!(warning().await, Warning::Unreachable(_)), "{wrong}");
    }
    sim.set_request_url(None);
    assert_eq!(warning().await, Warning::NotConfigured);
}

#[tokio::test]
async fn ephemeral_messages_are_for_one_person_and_have_buttons() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let blocks = json!([section("Sure?"), { "type": "actions", "elements": [button("yes")] }]);
    let show = json!({ "channel": "C0DBA", "user": "U0BOB", "text": "Sure?", "blocks": blocks });
    let got = client.ok("chat.postEphemeral", show).await;
    let ts = got["message_ts"].as_str().unwrap();
    assert!(sim.messages("C0DBA").is_empty(), "it is no message of the channel");
    assert_eq!((sim.ephemerals("U0BOB").len(), sim.ephemerals("U0CAROL").len()), (1, 0));
    let snapshot = sim.view();
    let bob = snapshot.people.iter().find(|person| person.id == "U0BOB").unwrap();
    assert_eq!((bob.ephemerals[0].ts.as_str(), bob.ephemerals[0].buttons.len()), (ts, 1));
    let refused = sim.click("U0CAROL", "C0DBA", ts, "yes").await.unwrap_err();
    assert_eq!(refused, ActionError::NoMessage(ts.to_owned()));
    sim.click("U0BOB", "C0DBA", ts, "yes").await.unwrap();
    let payload = app.last().payload();
    assert_eq!(payload["container"]["is_ephemeral"], json!(true));
    assert_eq!(payload.get("message"), None);
    assert_eq!(
        client.error("chat.update", json!({ "channel": "C0DBA", "ts": ts, "text": "y" })).await,
        "message_not_found"
    );
    let cases = [
        (json!({ "channel": "C0DBA", "user": "U0ALICE", "text": "x" }), "user_not_in_channel"),
        (json!({ "channel": "C0RANDOM", "user": "U0ALICE", "text": "x" }), "not_in_channel"),
        (json!({ "channel": "C0SECOPS", "user": "U0CAROL", "text": "x" }), "channel_not_found"),
        (json!({ "channel": "C0DBA", "user": "U0BOB" }), "no_text"),
        (json!({ "channel": "C0DBA", "text": "x" }), "invalid_arguments"),
        (json!({ "channel": "C0DBA", "user": "U0BOB", "text": "x".repeat(40_001) }), "msg_too_long"),
    ];
    for (arguments, code) in cases {
        assert_eq!(client.error("chat.postEphemeral", arguments).await, code);
    }
    sim.reload_client("U0BOB");
    assert!(sim.ephemerals("U0BOB").is_empty(), "it does not outlive a reload");
}

#[tokio::test]
async fn an_answer_after_the_acknowledgement_is_waited_for() {
    let (sim, client, _app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let earlier = json!({ "channel": "C0DBA", "user": "U0BOB", "text": "earlier" });
    client.ok("chat.postEphemeral", earlier).await;
    let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
    assert!(seen.ephemerals().is_empty(), "what was there before does not count");
    let later = client.ok("chat.postEphemeral", json!({ "channel": "C0DBA", "user": "U0BOB", "text": "no" }));
    let (found, _) = tokio::join!(seen.ephemeral_within(super::LIMIT), later);
    assert_eq!(found.unwrap().text, "no");
    assert!(seen.modal_within(Duration::from_millis(1)).await.is_none());
}

#[tokio::test]
async fn user_groups_list_their_members() {
    let (sim, client) = start(Workspace::demo().add_group("S0GONE", "gone", &["U0DAN"])).await;
    let users = client.ok("usergroups.users.list", json!({ "usergroup": "S0DBA" })).await;
    assert_eq!(users["users"], json!(["U0BOB", "U0CAROL"]));
    let mut gone = sim.view().groups[1].clone();
    gone.disabled = true;
    sim.put_group(gone);
    let code = async |arguments: Value| client.error("usergroups.users.list", arguments).await;
    assert_eq!(code(json!({ "usergroup": "S0GONE" })).await, "no_such_subteam");
    assert_eq!(code(json!({ "usergroup": "S0NONE" })).await, "no_such_subteam");
    assert_eq!(code(json!({})).await, "invalid_arguments");
    let all = json!({ "usergroup": "S0GONE", "include_disabled": true });
    assert_eq!(client.ok("usergroups.users.list", all).await["users"], json!(["U0DAN"]));
    sim.remove_scope("usergroups:read");
    assert_eq!(code(json!({ "usergroup": "S0DBA" })).await, "missing_scope");
}

#[tokio::test]
async fn payloads_name_the_organization_and_no_team_where_it_installed_the_app() {
    let team = json!({
        "id": "T0DEMO", "domain": "demo", "enterprise_id": "E0ORG", "enterprise_name": "Org"
    });
    for (installed, team) in [(false, team), (true, Value::Null)] {
        let workspace = Workspace::demo().in_enterprise(installed);
        let (sim, client, app) = start_with_app(workspace, Timings::default()).await;
        let ts = post_button(&client, "C0REQUESTS", button("approve")).await;
        sim.click("U0BOB", "C0REQUESTS", &ts, "approve").await.unwrap();
        let payload = app.last().payload();
        assert_eq!(payload["team"], team);
        assert_eq!(payload["enterprise"], json!({ "id": "E0ORG", "name": "Org" }));
        assert_eq!(payload["is_enterprise_install"], json!(installed));
        assert_eq!(payload["user"]["team_id"], "T0DEMO");
    }
}
