//! Modals: opening, filling in, submitting, changing and closing them.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::SlackSim;
use super::super::interactive::forgery::{Alteration, Forgery};
use super::super::interactive::{Timings, Warning};
use super::super::users::ActionError;
use super::super::users::submit::SubmitResult;
use super::super::views::OpenView;
use super::super::workspace::Workspace;
use super::app::App;
use super::{Client, button, plain, post_button, reason_modal, start_with_app};

/// A simulator in which Bob can press a button that opens modals.
async fn start_with_button(times: Timings) -> (SlackSim, Client, App, String) {
    let (sim, client, app) = start_with_app(Workspace::demo(), times).await;
    let ts = post_button(&client, "C0DBA", button("deny")).await;
    (sim, client, app, ts)
}

async fn trigger(sim: &SlackSim, app: &App, ts: &str) -> String {
    let seen = sim.click("U0BOB", "C0DBA", ts, "deny").await.unwrap();
    assert!(seen.acknowledged());
    app.last().payload()["trigger_id"].as_str().unwrap().to_owned()
}

/// Has Bob click and the app open `view`.
async fn open(sim: &SlackSim, client: &Client, app: &App, ts: &str, view: Value) -> OpenView {
    let seen = sim.click("U0BOB", "C0DBA", ts, "deny").await.unwrap();
    let trigger = app.last().payload()["trigger_id"].clone();
    client.ok("views.open", json!({ "trigger_id": trigger, "view": view })).await;
    seen.modal().unwrap()
}

#[tokio::test]
async fn a_trigger_opens_one_modal_soon() {
    let times = Timings { trigger: Duration::from_secs(1), ..Timings::default() };
    let (sim, client, app, ts) = start_with_button(times).await;
    let id = trigger(&sim, &app, &ts).await;
    let error = async |trigger: &str| {
        client.error("views.open", json!({ "trigger_id": trigger, "view": reason_modal() })).await
    };
    assert_eq!(error("1.2.made-up").await, "invalid_trigger_id");
    assert_eq!(error("").await, "invalid_arguments");
    let wrong = json!({ "trigger_id": id, "view": { "type": "modal" } });
    assert_eq!(client.error("views.open", wrong).await, "invalid_arguments");
    let got = client.ok("views.open", json!({ "trigger_id": id, "view": reason_modal() })).await;
    assert_eq!(error(&id).await, "exchanged_trigger_id");
    let view = &got["view"];
    assert_eq!((&view["type"], &view["team_id"]), (&json!("modal"), &json!("T0DEMO")));
    assert_eq!(view["root_view_id"], view["id"]);
    assert_eq!(view["private_metadata"], "req-1");
    assert_eq!(
        view["state"]["values"]["why"]["reason"],
        json!({ "type": "plain_text_input", "value": null })
    );
    let modal = sim.modal("U0BOB").unwrap();
    assert_eq!((json!(modal.id), modal.title.as_str()), (view["id"].clone(), "Deny"));
    assert!(sim.modal("U0CAROL").is_none());
    let people = sim.view().people;
    let bob = people.iter().find(|person| person.id == "U0BOB").unwrap();
    assert_eq!(bob.views.len(), 1);

    let late = trigger(&sim, &app, &ts).await;
    tokio::time::sleep(times.trigger + Duration::from_millis(50)).await;
    assert_eq!(error(&late).await, "expired_trigger_id");
}

#[tokio::test]
async fn views_are_checked() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let id = trigger(&sim, &app, &ts).await;
    let with = |pointer: &str, value: Value| {
        let mut view = reason_modal();
        match view.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => view[pointer.trim_start_matches('/')] = value,
        }
        view
    };
    let long = |length: usize| json!("é".repeat(length));
    let input = reason_modal()["blocks"][0].clone();
    let many = |count: usize| {
        let divider = json!({ "type": "divider" });
        json!(vec![divider; count])
    };
    let cases = [
        ("/title/text", long(25), "/view/title/text"),
        ("/submit/text", long(25), "/view/submit/text"),
        ("/close", plain(&"x".repeat(25)), "/view/close/text"),
        ("/title", json!({ "type": "mrkdwn", "text": "x" }), "/view/title/type"),
        ("/private_metadata", long(3_001), "/view/private_metadata"),
        ("/callback_id", long(256), "/view/callback_id"),
        ("/external_id", long(256), "/view/external_id"),
        ("/notify_on_close", json!("yes"), "/view/notify_on_close"),
        ("/type", json!("home"), "/view/type"),
        ("/tint", json!("red"), "/view/tint"),
        ("/blocks", many(101), "/view/blocks"),
        ("/blocks", json!([input, input]), "/view/blocks/1/block_id"),
        ("/blocks/0/label/text", long(2_001), "/view/blocks/0/label/text"),
        ("/blocks/0/element/type", json!("datepicker"), "/view/blocks/0/element/type"),
        ("/blocks/0/element/max_length", json!(3_001), "/view/blocks/0/element/max_length"),
        ("/blocks/0/element/action_id", long(256), "/view/blocks/0/element/action_id"),
    ];
    for (pointer, value, place) in cases {
        let view = with(pointer, value);
        let got = client.post("views.open", json!({ "trigger_id": id, "view": view })).await.json();
        let messages = got["response_metadata"]["messages"].as_array().unwrap();
        let place = format!("[json-pointer:{place}]");
        assert!(
            messages.iter().any(|message| message.as_str().unwrap().ends_with(&place)),
            "{place} in {got}"
        );
    }
    let mut without = reason_modal();
    without.as_object_mut().unwrap().remove("submit");
    for wrong in [without, json!([]), json!("{"), json!({})] {
        let code = client.error("views.open", json!({ "trigger_id": id, "view": wrong })).await;
        assert_eq!(code, "invalid_arguments");
    }
    let section = json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(3_000) } });
    let large = with("/blocks", json!(vec![section; 90]));
    assert_eq!(
        client.error("views.open", json!({ "trigger_id": id, "view": large })).await,
        "view_too_large"
    );
    let full = with("/blocks", many(100));
    client.form("views.open", &[("trigger_id", &id), ("view", &full.to_string())]).await;
    assert_eq!(sim.modal("U0BOB").unwrap().blocks.len(), 100, "a view may come as text, with 100 blocks");
}

#[tokio::test]
async fn updates_need_the_current_hash_and_keep_what_was_typed() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let mut view = reason_modal();
    view["external_id"] = json!("mine");
    let opened = open(&sim, &client, &app, &ts, view.clone()).await;
    app.respond_with(200, r#"{"response_action":"errors","errors":{"why":"Say more."}}"#);
    let submitted = sim.submit_view("U0BOB", &opened.id, &[("reason", "no")]).await.unwrap();
    assert!(matches!(submitted.result, SubmitResult::Errors(_)));
    assert_eq!(sim.modal("U0BOB").unwrap().errors["why"], "Say more.");
    app.respond_with(200, "");

    view["title"] = plain("Second");
    let update = |hash: &str| json!({ "view_id": opened.id, "hash": hash, "view": view });
    let got = client.ok("views.update", update(&opened.hash)).await;
    assert_ne!(got["view"]["hash"], json!(opened.hash));
    assert_eq!(client.error("views.update", update(&opened.hash)).await, "hash_conflict");
    let modal = sim.modal("U0BOB").unwrap();
    assert_eq!((modal.title.as_str(), modal.id), ("Second", opened.id.clone()));
    assert_eq!(modal.values["why"]["reason"]["value"], "no", "typed text outlives an update");
    assert!(modal.errors.is_empty());
    client.ok("views.update", json!({ "external_id": "mine", "view": view })).await;
    for (arguments, code) in [
        (json!({ "view_id": "V0NONE", "view": view }), "not_found"),
        (json!({ "view": view }), "invalid_arguments"),
        (json!({ "view_id": opened.id, "view": {} }), "invalid_arguments"),
    ] {
        assert_eq!(client.error("views.update", arguments).await, code);
    }
    let id = trigger(&sim, &app, &ts).await;
    let same = json!({ "trigger_id": id, "view": view });
    assert_eq!(client.error("views.open", same).await, "duplicate_external_id");
    sim.close_view("U0BOB", &opened.id).await.unwrap();
    assert_eq!(client.error("views.update", update("")).await, "not_found", "closed is gone");
}

#[tokio::test]
async fn a_submission_carries_what_was_typed_and_closes_the_modal() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let opened = open(&sim, &client, &app, &ts, reason_modal()).await;
    let submitted = sim.submit_view("U0BOB", &opened.id, &[("reason", "not now & <never>")]).await.unwrap();
    assert!(matches!(submitted.result, SubmitResult::Closed), "{:?}", submitted.result);
    assert!(sim.modal("U0BOB").is_none());
    let heard = app.last();
    assert!(heard.is_signed_by(&sim.app().signing_secret));
    let payload = heard.payload();
    let expected = [
        ("/type", json!("view_submission")),
        ("/user/id", json!("U0BOB")),
        ("/team/id", json!("T0DEMO")),
        ("/api_app_id", json!("A0BOT")),
        ("/view/callback_id", json!("deny")),
        ("/view/private_metadata", json!("req-1")),
        ("/view/state/values/why/reason/value", json!("not now & <never>")),
        ("/view/id", json!(opened.id)),
        ("/response_urls", json!([])),
    ];
    for (pointer, value) in expected {
        assert_eq!(payload.pointer(pointer), Some(&value), "{pointer}");
    }
    let gone = sim.submit_view("U0BOB", &opened.id, &[]).await.unwrap_err();
    assert_eq!(gone, ActionError::NoView(opened.id));
}

#[tokio::test]
async fn the_client_does_not_send_what_is_incomplete_unless_it_is_forced() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let opened = open(&sim, &client, &app, &ts, reason_modal()).await;
    let before = app.received().len();
    for wrong in [String::new(), "x".repeat(101)] {
        let submitted = sim.submit_view("U0BOB", &opened.id, &[("reason", &wrong)]).await.unwrap();
        assert!(matches!(submitted.result, SubmitResult::Incomplete(errors) if errors.contains_key("why")));
    }
    let unknown = sim.submit_view("U0BOB", &opened.id, &[("tint", "red")]).await.unwrap_err();
    assert_eq!(unknown, ActionError::NoElement("tint".to_owned()));
    assert_eq!(app.received().len(), before);
    let forgery = Forgery::altered(Alteration::set("/view/private_metadata", json!("req-2")));
    let long = "x".repeat(50_000);
    let forced = sim.submit_view("U0BOB", &opened.id, &[("reason", &long)]).unchecked().forged(forgery);
    forced.await.unwrap();
    let payload = app.last().payload();
    assert_eq!(payload["view"]["private_metadata"], "req-2");
    assert_eq!(payload["view"]["state"]["values"]["why"]["reason"]["value"], json!(long));
}

#[tokio::test]
async fn answers_update_push_and_clear() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let mut second = reason_modal();
    second["title"] = plain("Second");
    let action = |action: &str| json!({ "response_action": action, "view": second }).to_string();
    let opened = open(&sim, &client, &app, &ts, reason_modal()).await;
    let submit = async |view: &str| sim.submit_view("U0BOB", view, &[("reason", "x")]).await.unwrap().result;

    app.respond_with(200, &action("update"));
    let SubmitResult::Updated(updated) = submit(&opened.id).await else { panic!("not updated") };
    assert_eq!((updated.id.as_str(), updated.title.as_str()), (opened.id.as_str(), "Second"));
    app.respond_with(200, &action("push"));
    let SubmitResult::Pushed(pushed) = submit(&opened.id).await else { panic!("not pushed") };
    assert_eq!(sim.views_of("U0BOB").len(), 2);
    assert!(matches!(sim.submit_view("U0BOB", &opened.id, &[]).await.unwrap_err(), ActionError::NoView(_)));
    let SubmitResult::Pushed(third) = submit(&pushed.id).await else { panic!("not pushed") };
    assert!(
        matches!(submit(&third.id).await, SubmitResult::Warned(Warning::BadAnswer(_))),
        "three are the most"
    );
    app.respond_with(200, "{}");
    assert!(matches!(submit(&third.id).await, SubmitResult::Closed));
    assert_eq!(sim.modal("U0BOB").unwrap().id, pushed.id, "the one below shows again");
    app.respond_with(200, r#"{"response_action":"clear"}"#);
    assert!(matches!(submit(&pushed.id).await, SubmitResult::Cleared));
    assert!(sim.views_of("U0BOB").is_empty());
}

#[tokio::test]
async fn answers_of_no_use_leave_the_modal_and_a_warning() {
    let times = Timings { ack: Duration::from_secs(1), ..Timings::default() };
    let (sim, client, app, ts) = start_with_button(times).await;
    let opened = open(&sim, &client, &app, &ts, reason_modal()).await;
    let answer = async || sim.submit_view("U0BOB", &opened.id, &[("reason", "x")]).await.unwrap().result;
    for wrong in [
        "ok",
        "[]",
        r#"{"response_action":7}"#,
        r#"{"response_action":"explode"}"#,
        r#"{"text":"x"}"#,
        r#"{"response_action":"errors"}"#,
        r#"{"response_action":"errors","errors":{}}"#,
        r#"{"response_action":"errors","errors":{"other":"x"}}"#,
        r#"{"response_action":"errors","errors":{"why":""}}"#,
        r#"{"response_action":"update"}"#,
        r#"{"response_action":"update","view":{"type":"modal"}}"#,
    ] {
        app.respond_with(200, wrong);
        let got = answer().await;
        assert!(matches!(got, SubmitResult::Warned(Warning::BadAnswer(_))), "{wrong}: {got:?}");
    }
    app.respond_with(500, "");
    assert!(matches!(answer().await, SubmitResult::Warned(Warning::Status(500))));
    app.respond_after(Duration::from_secs(30));
    assert!(matches!(answer().await, SubmitResult::Warned(Warning::TimedOut)));
    assert_eq!(sim.modal("U0BOB").unwrap().id, opened.id);
}

#[tokio::test]
async fn closing_is_reported_only_on_request() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let opened = open(&sim, &client, &app, &ts, reason_modal()).await;
    let before = app.received().len();
    let seen = sim.close_view("U0BOB", &opened.id).await.unwrap();
    assert!(seen.seq().is_none() && app.received().len() == before && sim.modal("U0BOB").is_none());
    let mut view = reason_modal();
    view["notify_on_close"] = json!(true);
    view["clear_on_close"] = json!(true);
    let opened = open(&sim, &client, &app, &ts, view).await;
    assert!(sim.close_view("U0BOB", &opened.id).await.unwrap().acknowledged());
    let payload = app.last().payload();
    assert_eq!((&payload["type"], &payload["is_cleared"]), (&json!("view_closed"), &json!(true)));
    assert_eq!(payload["view"]["private_metadata"], "req-1");
    assert!(matches!(sim.close_view("U0BOB", &opened.id).await.unwrap_err(), ActionError::NoView(_)));
}

#[tokio::test]
async fn buttons_within_a_modal_are_clicked_there() {
    let (sim, client, app, ts) = start_with_button(Timings::default()).await;
    let view = json!({ "type": "modal", "title": plain("x"),
        "blocks": [{ "type": "actions", "block_id": "b", "elements": [button("more")] }] });
    let opened = open(&sim, &client, &app, &ts, view).await;
    assert_eq!(opened.buttons[0].action_id, "more");
    assert!(sim.click_in_view("U0BOB", &opened.id, "more").await.unwrap().acknowledged());
    let payload = app.last().payload();
    assert_eq!(payload["container"], json!({ "type": "view", "view_id": opened.id }));
    assert_eq!((payload["view"]["id"].clone(), payload.get("message")), (json!(opened.id), None));
    let refused = sim.click_in_view("U0CAROL", &opened.id, "more").await.unwrap_err();
    assert_eq!(refused, ActionError::NoView(opened.id.clone()));
    let refused = sim.submit_view("U0BOB", &opened.id, &[]).await.unwrap_err();
    assert_eq!(refused, ActionError::NoSubmit(opened.id));
}
