//! `blocks.validate`, against the scripted server and against the simulator.

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::workspace::Workspace;
use access_sim::slack::{Options, SlackSim};

use super::*;
use crate::validation::{Layout, LayoutError, Validation};

fn error(pointer: &str, code: &str, message: &str) -> LayoutError {
    LayoutError { pointer: pointer.into(), code: code.into(), message: message.into() }
}

#[tokio::test]
async fn a_layout_is_sent_as_text_and_its_errors_are_read() {
    let refused = json!({"ok": false, "error": "invalid_message", "errors": [
        {"pointer": "/blocks/0/text/type", "code": "failed_constraint", "message": "Bearer xoxb-12-secret",
         "constraint": {"type": "enum", "expected": ["mrkdwn"], "got": "x"}, "field": "type"},
        {"pointer": 7},
    ]});
    let unexplained = json!({"ok": false, "error": "invalid_view"});
    let server = Server::start([json!({"ok": true}), refused, unexplained].iter().map(Reply::json)).await;
    let client = client(&server);
    let (message, view) = (sample_message(), json!({"type": "modal"}));
    let layout = || Layout::<()>::Message(&message);
    assert_eq!(client.validate(layout()).await.unwrap(), Validation::Valid);
    let errors =
        vec![error("/blocks/0/text/type", "failed_constraint", "Bearer [secret]"), error("", "", "")];
    assert_eq!(client.validate(layout()).await.unwrap(), Validation::Invalid(errors));
    assert_eq!(client.validate(Layout::View(&view)).await.unwrap(), Validation::Invalid(vec![]));

    let [first, _, third] = server.received().try_into().unwrap();
    assert_request(&first, "blocks.validate", "application/json; charset=utf-8");
    let blocks = json!({"blocks": message.blocks()});
    let sent: Value = serde_json::from_str(first.json()["message"].as_str().unwrap()).unwrap();
    assert_eq!(sent, blocks);
    assert_eq!(third.json(), json!({"view": view.to_string()}));
}

#[tokio::test]
async fn what_does_not_know_the_method_has_not_judged() {
    let code = |code| Reply::json(&json!({"ok": false, "error": code}));
    let status = |status| Reply::http(status, "content-type: text/html\r\n", "<h1>");
    let server = Server::start([
        code("unknown_method"),
        code("not_allowed_token_type"),
        status("404 Not Found"),
        status("500 Oh"),
        code("invalid_arguments"),
        Reply::http("429 Too Many Requests", "retry-after: 9\r\n", ""),
    ])
    .await;
    let (client, message) = (client(&server), sample_message());
    let validate = || client.validate(Layout::<()>::Message(&message));
    for _ in 0..3 {
        assert_eq!(validate().await.unwrap(), Validation::NotAsked);
    }
    for retry in [Retry::Backoff, Retry::Never, Retry::After(Duration::from_secs(9))] {
        assert_eq!(validate().await.unwrap_err().retry(), retry);
    }
}

#[tokio::test]
async fn the_simulator_judges_what_this_client_sends() {
    let sim = SlackSim::start(Options::new(Workspace::demo())).await.unwrap();
    let client =
        Client::new(ClientOptions { token: Secret::new(sim.token()), ..options(sim.api_url()) }).unwrap();
    let message = sample_message();
    assert_eq!(client.validate(Layout::<()>::Message(&message)).await.unwrap(), Validation::Valid);
    let view =
        json!({"type": "modal", "title": {"type": "plain_text", "text": "Deny"}, "blocks": [{"type": "x"}]});
    let Validation::Invalid(errors) = client.validate(Layout::View(&view)).await.unwrap() else { panic!() };
    assert_eq!(errors[0].pointer, "/blocks/0/type");
    sim.faults().add(FaultRule::new("blocks.validate", Fault::Error("unknown_method".to_owned())));
    assert_eq!(client.validate(Layout::<()>::Message(&message)).await.unwrap(), Validation::NotAsked);
    assert!(sim.messages("C0REQUESTS").is_empty());
}
