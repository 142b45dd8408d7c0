//! Users and bots as the API shows them.

use serde_json::{Value, json};

use super::super::workspace::{SlackUser, SlackUserKind, Workspace};
use super::start;

#[tokio::test]
async fn lookup_finds_users_by_email_but_no_deactivated_ones() {
    let (sim, client) = start(Workspace::demo()).await;
    let find = async |email: &str| client.get("users.lookupByEmail", &[("email", email)]).await.json();
    let bob = find("bob@example.com").await;
    assert_eq!(
        (&bob["user"]["id"], &bob["user"]["profile"]["email"]),
        (&json!("U0BOB"), &json!("bob@example.com"))
    );
    assert_eq!(find("BOB@Example.com").await["user"]["id"], "U0BOB");
    assert_eq!(find("gil@example.com").await["user"]["is_restricted"], json!(true));
    assert_eq!(find("eve@elsewhere.example").await["user"]["team_id"], "T0OTHER");
    for missing in ["dan@example.com", "unknown@example.com", "bob"] {
        assert_eq!(find(missing).await["error"], "users_not_found", "{missing}");
    }
    assert_eq!(find("").await["error"], "invalid_arguments");
    sim.put_user(SlackUser::member("U0BOB", "bob").without_email());
    assert_eq!(find("bob@example.com").await["error"], "users_not_found");
    sim.remove_scope("users:read.email");
    let refused = find("alice@example.com").await;
    assert_eq!(
        (&refused["error"], &refused["needed"]),
        (&json!("missing_scope"), &json!("users:read.email"))
    );
}

#[tokio::test]
async fn info_shows_each_sort_of_account() {
    let external = |stranger| SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger };
    let workspace = Workspace::empty()
        .add_user(SlackUser::member("U1", "full"))
        .add_user(SlackUser::member("U2", "guest").kind(SlackUserKind::Guest))
        .add_user(SlackUser::member("U3", "single").kind(SlackUserKind::SingleChannelGuest))
        .add_user(SlackUser::member("U4", "away").kind(external(false)).without_email())
        .add_user(SlackUser::member("U5", "strange").kind(external(true)).without_email())
        .add_user(SlackUser::member("U6", "gone").kind(SlackUserKind::Deactivated))
        .add_user(SlackUser::member("U7", "new").kind(SlackUserKind::Invited))
        .add_user(SlackUser::member("U8", "other").kind(SlackUserKind::Bot).without_email())
        .add_user(SlackUser::member("U9", "flow").kind(SlackUserKind::WorkflowBot).without_email());
    let (sim, client) = start(workspace).await;
    let user = async |id: &str| client.get("users.info", &[("user", id)]).await.json()["user"].clone();
    let full = user("U1").await;
    assert_eq!(full["profile"]["email"], "full@example.com");
    for flag in ["deleted", "is_bot", "is_restricted", "is_ultra_restricted"] {
        assert_eq!(full[flag], json!(false), "{flag}");
    }
    assert_eq!(full["is_email_confirmed"], json!(true));
    let expected = [
        ("U2", "is_restricted", json!(true)),
        ("U2", "is_ultra_restricted", json!(false)),
        ("U3", "is_ultra_restricted", json!(true)),
        ("U4", "team_id", json!("T0OTHER")),
        ("U4", "is_stranger", json!(false)),
        ("U4", "is_restricted", Value::Null),
        ("U5", "is_stranger", json!(true)),
        ("U6", "deleted", json!(true)),
        ("U7", "is_invited_user", json!(true)),
        ("U8", "is_bot", json!(true)),
        ("U9", "is_workflow_bot", json!(true)),
        ("U0BOT", "is_bot", json!(true)),
        ("USLACKBOT", "is_bot", json!(false)),
    ];
    for (id, field, value) in expected {
        assert_eq!(user(id).await[field], value, "{id} {field}");
    }
    let code = client.error("users.info", json!({ "user": "U0NOBODY" })).await;
    assert_eq!(code, "user_not_found");
    sim.remove_scope("users:read.email");
    assert_eq!(user("U1").await["profile"].get("email"), None);
    sim.remove_scope("users:read");
    assert_eq!(client.error("users.info", json!({ "user": "U1" })).await, "missing_scope");
}

#[tokio::test]
async fn auth_test_and_bots_info_name_the_app() {
    let workspace = Workspace::demo().add_user(SlackUser::member("U0OTHER", "jira").kind(SlackUserKind::Bot));
    let (_sim, client) = start(workspace).await;
    let me = client.ok("auth.test", json!({})).await;
    assert_eq!(
        (&me["team_id"], &me["user_id"], &me["bot_id"]),
        (&json!("T0DEMO"), &json!("U0BOT"), &json!("B0BOT"))
    );
    assert_eq!(me["url"], "https://demo.slack.com/");
    // Slack's own frameworks add it to every call.
    client.ok("auth.test", json!({ "team_id": "T0DEMO" })).await;
    let bot = client.ok("bots.info", json!({ "bot": me["bot_id"] })).await;
    assert_eq!(bot["bot"]["app_id"], "A0BOT");
    let other = client.ok("bots.info", json!({ "bot": "B0OTHER" })).await;
    assert_eq!(other["bot"]["user_id"], "U0OTHER");
    assert_eq!(client.error("bots.info", json!({})).await, "missing_argument");
    assert_eq!(client.error("bots.info", json!({ "bot": "B0NOBODY" })).await, "bot_not_found");
    assert_eq!(client.error("bots.info", json!({ "bot": "U0OTHER" })).await, "bot_not_found");
}

#[tokio::test]
async fn a_team_of_an_organization_names_it() {
    let two_ids = SlackUser::member("U0WILMA", "wilma").known_to_enterprise_as("W0WILMA");
    let (_sim, client) = start(Workspace::demo().in_enterprise(false).add_user(two_ids)).await;
    let me = client.ok("auth.test", json!({})).await;
    assert_eq!((&me["team_id"], &me["enterprise_id"]), (&json!("T0DEMO"), &json!("E0ORG")));
    assert_eq!(me["is_enterprise_install"], false);
    for (id, in_organization) in [("U0WILMA", "W0WILMA"), ("U0BOB", "U0BOB")] {
        let user = client.ok("users.info", json!({ "user": id })).await["user"].clone();
        assert_eq!((&user["id"], &user["team_id"]), (&json!(id), &json!("T0DEMO")));
        let expected = (&json!(in_organization), &json!("E0ORG"));
        assert_eq!((&user["enterprise_user"]["id"], &user["enterprise_user"]["enterprise_id"]), expected);
    }
    let external = client.ok("users.info", json!({ "user": "U0EVE" })).await;
    assert_eq!(external["user"].get("enterprise_user"), None);
}

#[tokio::test]
async fn an_organizations_token_belongs_to_no_team() {
    let (_sim, client) = start(Workspace::demo().in_enterprise(true)).await;
    let me = client.ok("auth.test", json!({})).await;
    assert_eq!((&me["team_id"], &me["enterprise_id"]), (&json!("E0ORG"), &json!("E0ORG")));
    assert_eq!(me["is_enterprise_install"], true);
}
