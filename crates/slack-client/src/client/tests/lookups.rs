//! Look-ups for a report, against the simulator and, where Slack's answer is not known, against the scripted server.

use std::collections::BTreeSet;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::workspace::{SlackUser, SlackUserKind, Workspace};
use access_sim::slack::{Options, SlackSim};
use jiff::SignedDuration;

use super::*;
use crate::lookup::{Lookup, app_of_app_token};
use crate::observer::ClockObserver;

async fn start(workspace: Workspace) -> (SlackSim, Client) {
    let sim = SlackSim::start(Options::new(workspace)).await.unwrap();
    let options = ClientOptions { token: Secret::new(sim.token()), ..options(sim.api_url()) };
    let client = Client::new(options).unwrap();
    (sim, client)
}

fn scopes<T>(scopes: &[&str]) -> Lookup<T> {
    Lookup::MissingScope(scopes.iter().map(|scope| (*scope).to_owned()).collect())
}

#[tokio::test]
async fn what_a_scope_hides_differs_from_what_is_not_there() {
    let (sim, client) = start(Workspace::demo()).await;
    let bob = SlackUserId::new("U0BOB");
    let channel = async |id: &str| {
        let found = client.conversation_info(&ChannelId::new(id)).await;
        Lookup::from_result(found.map(|channel| channel.is_member)).unwrap()
    };
    let user = async |id: &str| {
        let found = client.user_info(&SlackUserId::new(id)).await;
        Lookup::from_option(found.map(|user| user.map(|user| (user.deleted, user.is_restricted)))).unwrap()
    };
    let by_email = async |email: &str| {
        let found = client.lookup_by_email(email).await;
        Lookup::from_option(found.map(|user| user.map(|user| user.id))).unwrap()
    };
    let group = async |id: &str| {
        let found = client.usergroup_members(id).await;
        Lookup::from_result(found.map(|members| members.len())).unwrap()
    };
    let app = async |bot: &str| Lookup::from_option(client.bot_app(bot).await);
    let named = async || {
        let found = client.channels_by_name(&BTreeSet::from(["random".to_owned(), "none".to_owned()])).await;
        Lookup::from_result(
            found.map(|found| found.into_iter().map(|channel| channel.id).collect::<Vec<_>>()),
        )
        .unwrap()
    };

    assert_eq!(channel("C0REQUESTS").await, Lookup::Found(Some(true)));
    assert_eq!(channel("C0RANDOM").await, Lookup::Found(Some(false)));
    // A private channel without the app is like none.
    assert_eq!(channel("C0SECOPS").await, Lookup::Absent);
    assert_eq!(named().await, Lookup::Found(vec![ChannelId::new("C0RANDOM")]));
    assert_eq!(user("U0BOB").await, Lookup::Found((false, false)));
    assert_eq!(user("U0GIL").await, Lookup::Found((false, true)));
    assert_eq!(user("U0DAN").await, Lookup::Found((true, false)));
    assert_eq!(user("U0NONE").await, Lookup::Absent);
    assert_eq!(by_email("bob@example.com").await, Lookup::Found(bob));
    assert_eq!(by_email("zed@example.com").await, Lookup::Absent);
    assert_eq!(group("S0DBA").await, Lookup::Found(2));
    assert_eq!(group("S0NONE").await, Lookup::Absent);
    assert_eq!(app("B0BOT").await.unwrap(), Lookup::Found("A0BOT".to_owned()));

    for scope in ["channels:read", "groups:read", "im:read", "mpim:read", "users:read", "users:read.email"] {
        sim.remove_scope(scope);
    }
    sim.remove_scope("usergroups:read");
    assert_eq!(
        channel("C0REQUESTS").await,
        scopes(&["channels:read", "groups:read", "mpim:read", "im:read"])
    );
    assert_eq!(named().await, scopes(&["channels:read", "groups:read", "mpim:read", "im:read"]));
    assert_eq!(user("U0BOB").await, scopes(&["users:read"]));
    assert_eq!(by_email("bob@example.com").await, scopes(&["users:read.email"]));
    assert_eq!(group("S0DBA").await, scopes(&["usergroups:read"]));
    assert_eq!(app("B0BOT").await.unwrap(), scopes(&["users:read"]));
    sim.faults().add(FaultRule::new("bots.info", Fault::Error("fatal_error".to_owned())));
    assert_eq!(app("B0BOT").await.unwrap_err().retry(), Retry::Backoff);
}

#[tokio::test]
async fn a_direct_message_is_looked_for_and_not_opened() {
    let (sim, client) =
        start(Workspace::demo().add_user(SlackUser::member("U0APP", "app").kind(SlackUserKind::Bot))).await;
    let look = async |id: &str| client.existing_direct_message(&SlackUserId::new(id)).await.unwrap();
    assert_eq!(look("U0BOB").await, Lookup::Found(None));
    assert_eq!(sim.dm_with("U0BOB"), None);
    let opened = client.open_direct_message(&SlackUserId::new("U0BOB")).await.unwrap();
    assert_eq!(look("U0BOB").await, Lookup::Found(Some(opened)));
    for cannot_be_written_to in ["U0DAN", "U0NONE", "U0APP"] {
        assert_eq!(look(cannot_be_written_to).await, Lookup::Absent, "{cannot_be_written_to}");
    }
    sim.remove_scope("im:write");
    sim.remove_scope("mpim:write");
    assert!(
        matches!(look("U0BOB").await, Lookup::MissingScope(needed) if needed.contains(&"im:write".to_owned()))
    );

    // Slack's other ways to say that there is none; and a refusal that names no scope.
    let answers = [
        json!({"ok": true}),
        json!({"ok": true, "channel": null}),
        json!({"ok": false, "error": "missing_scope"}),
    ];
    let server = Server::start(answers.iter().map(Reply::json)).await;
    let client = self::client(&server);
    let look = async || client.existing_direct_message(&SlackUserId::new("U1")).await.unwrap();
    assert_eq!((look().await, look().await), (Lookup::Found(None), Lookup::Found(None)));
    assert_eq!(look().await, scopes(&["im:write"]));
    assert_eq!(server.received()[0].json(), json!({"users": "U1", "prevent_creation": true}));
}

#[tokio::test]
async fn the_person_of_a_direct_message_is_found_by_its_id() {
    let (sim, client) = start(Workspace::demo()).await;
    let directory = crate::directory::Directory::new(client.clone());
    let direct = client.open_direct_message(&SlackUserId::new("U0BOB")).await.unwrap();
    let look = async |id: &str| {
        directory.person_of_direct_message(&ChannelId::new(id), crate::directory::Priority::Operator).await
    };
    assert_eq!(directory.cached_person_of_direct_message(&direct), None);
    let bob = Some(SlackUserId::new("U0BOB"));
    assert_eq!(look(direct.as_str()).await.unwrap(), bob);
    assert_eq!(look("D0NOWHERE").await.unwrap(), None);
    sim.remove_scope("im:write");
    sim.remove_scope("mpim:write");
    // Remembered, and no failure is.
    assert_eq!(look(direct.as_str()).await.unwrap(), bob);
    assert_eq!(directory.cached_person_of_direct_message(&direct), bob);
    assert!(look("D0OTHER").await.unwrap_err().code() == Some("missing_scope"));

    // An answer that does not say who it is, or not with a person's id.
    let answers = [
        json!({"ok": true, "channel": {"id": "D1"}}),
        json!({"ok": true, "channel": {"id": "D1", "user": "B0BOT"}}),
        json!({"ok": true}),
    ];
    let server = Server::start(answers.iter().map(Reply::json)).await;
    let client = self::client(&server);
    for _ in 0..3 {
        assert_eq!(client.person_of_direct_message(&ChannelId::new("D1")).await.unwrap(), None);
    }
    let sent = json!({"channel": "D1", "return_im": true, "prevent_creation": true});
    assert_eq!(server.received()[0].json(), sent);
}

#[tokio::test]
async fn names_are_known_by_the_answers_of_before() {
    let (sim, client) = start(Workspace::demo()).await;
    let (bob, channel) = (SlackUserId::new("U0BOB"), ChannelId::new("C0REQUESTS"));
    let known = || (client.known_name(&bob), client.known_channel_name(&channel));
    assert_eq!(known(), (None, None));
    let found = client.user_info(&bob).await.unwrap().unwrap();
    let there = client.conversation_info(&channel).await.unwrap();
    let calls = sim.calls().len();
    assert_eq!(known(), (found.name, Some(format!("#{}", there.name))));
    assert_eq!(client.known_name(&SlackUserId::new("C0REQUESTS")), None, "a channel is no person");
    assert_eq!(client.known_channel_name(&ChannelId::new("U0BOB")), None);
    assert_eq!(sim.calls().len(), calls, "nothing is asked for it");
    // By its name: from the list, and from the answer to a post.
    let directory = crate::directory::Directory::new(client.clone());
    assert_eq!(client.known_channel_name(&ChannelId::new("C0RANDOM")), None);
    directory.channel_by_name("random").await.unwrap();
    assert_eq!(client.known_channel_name(&ChannelId::new("C0RANDOM")).as_deref(), Some("#random"));
    directory.remember_channel_id("#xoxb-1-2\u{202e}", &ChannelId::new("C0ODD"));
    assert_eq!(client.known_channel_name(&ChannelId::new("C0ODD")).as_deref(), Some("#[secret]"));
}

#[tokio::test]
async fn an_app_token_is_tried_without_a_connection() {
    let workspace = Workspace::demo().with_socket_mode();
    let app_token = Secret::new(workspace.app.app_token.clone());
    let (sim, client) = start(workspace).await;
    client.try_app_token(&app_token).await.unwrap();
    assert_eq!(sim.calls_of("apps.connections.open").len(), 1);
    assert_eq!((sim.calls_of("link").len(), sim.sockets().opened()), (0, 0));
    for wrong in [sim.token(), "xapp-1-A0BOT-other".to_owned(), String::new()] {
        let error = client.try_app_token(&Secret::new(&wrong)).await.unwrap_err();
        assert_eq!(error.retry(), Retry::NeedsOperator, "{error}");
    }
}

#[test]
fn an_app_token_names_its_app() {
    for (token, expected) in [
        ("xapp-1-A0123456789-4567890123456-0f3e", Some("A0123456789")),
        ("xapp-1-A0BOT-simulated", Some("A0BOT")),
        ("xapp-2-A0BOT-1-x", Some("A0BOT")),
        ("xapp-1-A0BOT", None),
        ("xapp-1-A-1-x", None),
        ("xapp-1-T0BOT-1-x", None),
        ("xapp-1-A0/OT-1-x", None),
        ("xoxb-1-A0BOT-1", None),
        ("", None),
    ] {
        assert_eq!(app_of_app_token(&Secret::new(token)), expected, "{token}");
    }
}

#[tokio::test]
async fn the_clock_of_the_last_answer_is_kept() {
    let ahead = SignedDuration::from_secs(600);
    let sim =
        SlackSim::start(Options { date_offset: ahead, ..Options::new(Workspace::demo()) }).await.unwrap();
    let clock = Arc::new(ClockObserver::default());
    let options =
        ClientOptions { token: Secret::new(sim.token()), observer: clock.clone(), ..options(sim.api_url()) };
    let client = Client::new(options).unwrap();
    assert_eq!(clock.offset(), None);
    client.auth_test().await.unwrap();
    let least = clock.offset().unwrap().least();
    assert!((ahead - SignedDuration::from_secs(5)..=ahead).contains(&least), "{least}");
}

#[tokio::test]
async fn a_permalink_is_an_address_or_the_message_is_not_there() {
    let (_sim, client) = start(Workspace::demo()).await;
    let message = text_message();
    let posted = client.post_message(PostMessage { channel: "C0REQUESTS", ..post(&message) }).await.unwrap();
    let link = client.permalink(&posted.channel, &posted.ts).await.unwrap();
    let Lookup::Found(link) = link else { panic!("{link:?}") };
    assert!(
        link.ends_with(&format!("/archives/C0REQUESTS/p{}", posted.ts.as_str().replace('.', ""))),
        "{link}"
    );
    let none = MessageTs::new("1.5");
    assert_eq!(client.permalink(&posted.channel, &none).await.unwrap(), Lookup::Absent);
    assert_eq!(client.permalink(&ChannelId::new("C0NONE"), &none).await.unwrap(), Lookup::Absent);
    for foreign in ["javascript:alert(1)", "https://a b", ""] {
        let server = Server::start([Reply::json(&json!({"ok": true, "permalink": foreign}))]).await;
        let client = super::client(&server);
        assert!(client.permalink(&posted.channel, &none).await.is_err(), "{foreign}");
    }
}
