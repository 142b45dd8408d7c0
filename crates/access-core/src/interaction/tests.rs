//! Payloads as Slack sends them, with fields missing, null, re-typed and hostile.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::RecipientKey;
use crate::domain::request::sample;
use crate::record::{Delivery, DisplayedState, truncated};

const TS: &str = "1795363190.000001";

fn socket(payload: &Value) -> Result<Interaction, InvalidPayload> {
    Interaction::parse(&Verified::from_socket(&serde_json::to_vec(payload).unwrap()))
}

fn button_press_payload() -> Value {
    json!({
        "type": "block_actions",
        "user": {"id": "U0BOB", "username": "bob", "name": "bob", "team_id": "T0US"},
        "api_app_id": "A0OURS",
        "token": "legacy",
        "container": {"type": "message", "message_ts": TS, "channel_id": "C0TEAM", "is_ephemeral": false},
        "trigger_id": "12.34.abcdef",
        "team": {"id": "T0US", "domain": "example"},
        "enterprise": null,
        "is_enterprise_install": false,
        "channel": {"id": "C0TEAM", "name": "team"},
        "message": {"type": "message", "ts": TS, "text": "…", "blocks": [{"type": "section"}]},
        "state": {"values": {}},
        "response_url": "https://hooks.slack.com/actions/T0US/1/x",
        "actions": [{
            "action_id": "approve", "block_id": "b", "type": "button", "value": sample().id,
            "text": {"type": "plain_text", "text": "Approve", "emoji": true}, "style": "primary",
            "action_ts": "1795363200.123456"
        }]
    })
}

fn submission_payload() -> Value {
    let modal = ModalState {
        request: sample().id,
        decision: Decision::Deny,
        channel: ChannelId::new("C0TEAM"),
        ts: MessageTs::new(TS),
        opened_at: Timestamp::from_second(1_800_000_000).unwrap(),
        required: true,
        cluster: ShownCluster::from("one".to_owned()),
    };
    json!({
        "type": "view_submission",
        "user": {"id": "U0BOB", "username": "bob", "team_id": "T0US"},
        "team": {"id": "T0US", "domain": "example"},
        "api_app_id": "A0OURS",
        "view": {
            "id": "V0VIEW", "type": "modal", "callback_id": "reason", "hash": "156.x",
            "private_metadata": modal.encode().unwrap(),
            "state": {"values": {"reason": {"reason": {"type": "plain_text_input", "value": " not today \n"}}}}
        },
        "response_urls": []
    })
}

fn installation() -> AppInstallation {
    AppInstallation {
        app_id: "A0OURS".into(),
        team_id: "T0US".into(),
        enterprise_id: None,
        is_org_install: false,
    }
}

fn record() -> Record {
    let delivery = Delivery {
        key: Some(RecipientKey::new("#team")),
        channel: ChannelId::new("C0TEAM"),
        ts: MessageTs::new(TS),
        displayed: Some(DisplayedState { phase: Phase::Pending, digest: "0".into() }),
        review_replies: 0,
        vote_replies: 0,
        is_unreachable: false,
        user: None,
    };
    Record { known: Some(truncated(&sample())), deliveries: vec![delivery], ..Record::default() }
}

#[track_caller]
fn expect_button_press(payload: &Value) -> ButtonPress {
    match socket(payload) {
        Ok(Interaction::ButtonPress(click)) => click,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_click_is_read() {
    let click = expect_button_press(&button_press_payload());
    let origin = Origin {
        app_id: Some("A0OURS".into()),
        team_id: Some("T0US".into()),
        installed_team_id: None,
        enterprise_id: None,
    };
    assert_eq!((click.origin.clone(), click.decision), (origin, Decision::Approve));
    assert_eq!((click.user.as_str(), click.request.clone()), ("U0BOB", sample().id));
    assert_eq!((click.channel.as_str(), click.ts.as_str()), ("C0TEAM", TS));
    assert_eq!(click.cluster, None);
    assert_eq!(
        (click.action_ts.as_str(), click.trigger_id.as_deref()),
        ("1795363200.123456", Some("12.34.abcdef"))
    );
    assert_eq!(click.response_url.as_ref().unwrap().expose(), "https://hooks.slack.com/actions/T0US/1/x");
    assert!(!format!("{click:?}").contains("hooks.slack.com"));
}

#[test]
fn a_form_is_read_like_a_payload() {
    let payload = serde_json::to_string(&button_press_payload()).unwrap();
    let form: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload).finish();
    assert_eq!(parse_form(form.as_bytes()), socket(&button_press_payload()));
    let twice = format!("{form}&{form}");
    for body in ["", "payload", "payload=", "x=y", &twice, &payload] {
        assert!(parse_form(body.as_bytes()).is_err(), "{body}");
    }
    // A socket's payload is no form, and a form is no socket's payload.
    assert!(Interaction::parse(&Verified::from_socket(form.as_bytes())).is_err());
}

#[test]
fn a_submission_is_read() {
    let Ok(Interaction::Submission(submission)) = socket(&submission_payload()) else { panic!() };
    assert_eq!(submission.reason, "not today");
    assert_eq!((submission.modal.decision, submission.modal.request), (Decision::Deny, sample().id));
    assert_eq!(submission.view_id, "V0VIEW");
    // Without a text, Slack says null or leaves the state out.
    for state in [
        json!(null),
        json!({"values": {}}),
        json!({"values": {"reason": {"reason": {"value": null}}}}),
        json!([]),
    ] {
        let mut payload = submission_payload();
        payload["view"]["state"] = state;
        let Ok(Interaction::Submission(submission)) = socket(&payload) else { panic!() };
        assert_eq!(submission.reason, "");
    }
    for unseen in [" \n", "\u{200b}", "\u{3164} \u{2800}", "\u{ad}\u{fe0f}", "\u{301}\u{20dd}"] {
        let mut payload = submission_payload();
        payload["view"]["state"]["values"]["reason"]["reason"]["value"] = json!(unseen);
        let Ok(Interaction::Submission(mut submission)) = socket(&payload) else { panic!() };
        submission.modal.required = true;
        assert!(submission.reason.is_empty() && submission.lacks_reason(), "{}", unseen.escape_unicode());
    }
    let mut payload = submission_payload();
    payload["view"]["state"]["values"]["reason"]["reason"]["value"] = json!("ß".repeat(100_000));
    let Ok(Interaction::Submission(submission)) = socket(&payload) else { panic!() };
    assert_eq!(submission.reason.chars().count(), MAX_REASON);
}

#[test]
fn fields_that_are_not_needed_may_be_missing() {
    for key in [
        "team",
        "enterprise",
        "channel",
        "message",
        "state",
        "token",
        "is_enterprise_install",
        "view",
        "hash",
    ] {
        for invalid in [json!(null), json!(7), json!("x"), json!([]), json!({"id": 7})] {
            let mut payload = button_press_payload();
            payload[key] = invalid;
            expect_button_press(&payload);
        }
    }
    let mut payload = button_press_payload();
    payload["container"] = json!("message");
    assert_eq!(expect_button_press(&payload).channel.as_str(), "C0TEAM");
    payload["response_url"] = json!(["x"]);
    payload["trigger_id"] = json!("x".repeat(10_000));
    let click = expect_button_press(&payload);
    assert_eq!((click.response_url, click.trigger_id), (None, None));
}

#[test]
fn a_missing_part_is_named_and_the_person_can_be_answered() {
    for (path, part) in [
        ("/type", "type"),
        ("/actions", "actions"),
        ("/actions/0/action_id", "action_id"),
        ("/actions/0/value", "value"),
        ("/actions/0/action_ts", "action_ts"),
    ] {
        for invalid in [json!(null), json!(7), json!({}), json!([])] {
            let mut payload = button_press_payload();
            *payload.pointer_mut(path).unwrap() = invalid;
            let malformed = socket(&payload).unwrap_err();
            let user = malformed.sender.map(|sender| sender.user);
            assert_eq!((malformed.part, user), (part, Some(SlackUserId::new("U0BOB"))));
        }
    }
    let mut payload = button_press_payload();
    payload["user"] = json!(null);
    assert_eq!(socket(&payload).unwrap_err().part, "user");
    for value in ["", "a b", "../x", &"a".repeat(65), "a/1.1,b"] {
        let mut payload = button_press_payload();
        payload["actions"][0]["value"] = json!(value);
        assert_eq!(socket(&payload).unwrap_err().part, "value");
    }
    let mut payload = submission_payload();
    payload["view"]["private_metadata"] = json!("{}");
    assert_eq!(socket(&payload).unwrap_err().part, "private_metadata");
}

#[test]
fn interactions_of_others_are_acknowledged_and_ignored() {
    let ignored = |payload: &Value| match socket(payload) {
        Ok(Interaction::Ignored(ignored)) => ignored,
        other => panic!("{other:?}"),
    };
    let mut payload = button_press_payload();
    payload["actions"][0]["action_id"] = json!("open");
    assert_eq!(ignored(&payload), Ignored::Link);
    payload["actions"][0]["action_id"] = json!("APPROVE");
    let sender = socket(&button_press_payload()).unwrap().sender();
    // Of a button that is not ours no request is read.
    let sender = sender.map(|sender| Sender { request: None, ..sender });
    assert!(sender.as_ref().is_some_and(|sender| sender.response_url.is_some() && sender.channel.is_some()));
    assert_eq!(
        ignored(&payload),
        Ignored::OtherAction(sender.clone()),
        "the user who pressed it can be answered"
    );
    for shortcut in ["message_action", "shortcut", "interactive_message"] {
        payload["type"] = json!(shortcut);
        assert_eq!(ignored(&payload), Ignored::OtherAction(sender.clone()));
    }
    payload["type"] = json!("view_closed");
    assert_eq!(ignored(&payload), Ignored::OtherType);
    let mut payload = submission_payload();
    payload["view"]["callback_id"] = json!("other");
    assert_eq!(ignored(&payload), Ignored::OtherModal);
}

#[test]
fn large_and_deep_payloads_are_refused() {
    let deep = format!("{{\"type\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Interaction::parse(&Verified::from_socket(deep.as_bytes())).unwrap_err().part, "the JSON");
    let large = vec![b' '; 20_000_000];
    assert_eq!(Interaction::parse(&Verified::from_socket(&large)).unwrap_err().part, "the size");
    assert_eq!(parse_form(&large).unwrap_err().part, "the size");
}

#[test]
fn deliveries_of_one_click_share_a_key_and_two_clicks_differ() {
    let first = socket(&button_press_payload()).unwrap().key();
    let mut again = button_press_payload();
    again["trigger_id"] = json!("another");
    again["response_url"] = json!("https://hooks.slack.com/actions/T0US/2/y");
    assert_eq!(socket(&again).unwrap().key(), first);
    for (path, value) in
        [("/actions/0/action_ts", "1795363201.1"), ("/user/id", "U0EVE"), ("/actions/0/action_id", "deny")]
    {
        let mut other = button_press_payload();
        *other.pointer_mut(path).unwrap() = json!(value);
        assert_ne!(socket(&other).unwrap().key(), first);
    }
}

#[test]
fn a_message_is_accepted_if_everything_about_it_is_ours() {
    #[track_caller]
    fn assert_check_message(path: &str, value: Value, expected: Result<(), OriginMismatch>) {
        for mut payload in [button_press_payload(), submission_payload()] {
            *payload.pointer_mut(path).unwrap() = value.clone();
            assert_eq!(
                check_message(&socket(&payload).unwrap(), &installation(), &record()),
                expected,
                "{path}"
            );
        }
    }
    assert_check_message("/user/id", json!("U0EVE"), Ok(()));
    assert_check_message("/api_app_id", json!("A0OTHER"), Err(OriginMismatch::App));
    assert_check_message("/api_app_id", json!(null), Err(OriginMismatch::App));
    assert_check_message("/team/id", json!("T0OTHER"), Err(OriginMismatch::Workspace));
    assert_check_message("/team", json!(null), Err(OriginMismatch::Workspace));

    let belongs =
        |payload: &Value, record: &Record| check_message(&socket(payload).unwrap(), &installation(), record);
    for (path, value) in [
        ("/container/channel_id", "C0OTHER"),
        ("/container/message_ts", "1795363190.000002"),
        // A button of ours that names another request.
        ("/actions/0/value", "00000000-0000-0000-0000-000000000000"),
    ] {
        let mut payload = button_press_payload();
        *payload.pointer_mut(path).unwrap() = json!(value);
        assert_eq!(belongs(&payload, &record()), Err(OriginMismatch::Message), "{path}");
    }
    assert_eq!(belongs(&button_press_payload(), &Record::default()), Err(OriginMismatch::Message));
    assert_eq!(
        belongs(&button_press_payload(), &Record { known: None, ..record() }),
        Err(OriginMismatch::Message)
    );
}

#[test]
fn an_organizations_installation_is_known_by_its_organization() {
    let our = AppInstallation { enterprise_id: Some("E0US".into()), is_org_install: true, ..installation() };
    let mut payload = button_press_payload();
    payload["team"] = json!(null);
    payload["enterprise"] = json!({"id": "E0US", "name": "us"});
    assert_eq!(check_message(&socket(&payload).unwrap(), &our, &record()), Ok(()));
    payload["enterprise"] = json!({"id": "E0OTHER"});
    assert_eq!(check_message(&socket(&payload).unwrap(), &our, &record()), Err(OriginMismatch::Workspace));
    payload["enterprise"] = json!(null);
    assert_eq!(check_message(&socket(&payload).unwrap(), &our, &record()), Err(OriginMismatch::Workspace));
    let nameless = AppInstallation { enterprise_id: None, ..our };
    assert_eq!(
        check_message(&socket(&payload).unwrap(), &nameless, &record()),
        Err(OriginMismatch::Workspace)
    );
    payload["team"] = json!({"id": "T0ELSEWHERE", "enterprise_id": "E0US"});
    let our = AppInstallation { enterprise_id: Some("E0US".into()), ..nameless };
    assert_eq!(check_message(&socket(&payload).unwrap(), &our, &record()), Ok(()));
}

#[test]
fn a_modal_belongs_to_the_installation_that_opened_it() {
    let came = |team: Value, installed: Value| {
        let mut payload = submission_payload();
        payload["team"] = team;
        payload["view"]["app_installed_team_id"] = installed;
        check_message(&socket(&payload).unwrap(), &installation(), &record())
    };
    let (ours, sister) = (json!({"id": "T0US"}), json!({"id": "T0SISTER", "enterprise_id": "E0ORG"}));
    assert_eq!(came(sister.clone(), json!("T0US")), Ok(()), "sent by a user of another workspace");
    assert_eq!(came(json!(null), json!("T0US")), Ok(()));
    assert_eq!(came(ours.clone(), json!("T0US")), Ok(()));
    assert_eq!(came(ours.clone(), json!(null)), Ok(()));
    assert_eq!(
        came(ours, json!("T0SISTER")),
        Err(OriginMismatch::Workspace),
        "the sister's own installation"
    );
    for invalid in [json!("T0SISTER"), json!(null), json!(["T0US"]), json!("")] {
        assert_eq!(came(sister.clone(), invalid), Err(OriginMismatch::Workspace));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::String),
        Just(json!("block_actions")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::hash_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const PATHS: &[&str] = &[
    "/type",
    "/user",
    "/user/id",
    "/team",
    "/enterprise",
    "/api_app_id",
    "/container",
    "/container/message_ts",
    "/channel",
    "/message",
    "/actions",
    "/actions/0",
    "/actions/0/value",
    "/actions/0/action_ts",
    "/response_url",
    "/trigger_id",
    "/view",
    "/view/state",
    "/view/app_installed_team_id",
    "/view/private_metadata",
    "/view/callback_id",
];

proptest! {
    #[test]
    fn any_bytes_parse_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for read in [parse_form, parse_json] {
            let _ = read(&bytes).map(|read| check_message(&read, &installation(), &record()));
        }
    }

    #[test]
    fn any_field_may_have_any_value(path in proptest::sample::select(PATHS), invalid in any_json()) {
        for mut payload in [button_press_payload(), submission_payload()] {
            if let Some(place) = payload.pointer_mut(path) {
                *place = invalid.clone();
            }
            let _ = socket(&payload).map(|read| check_message(&read, &installation(), &record()));
        }
    }
}
