//! A text frame over Socket Mode, read by this crate's own JSON reading beside the daemon's.

use serde_json::{Map, Value};
use slack_client::socket_mode::frame::{DisconnectReason, Frame, ack, parse};

use super::callback::check_payload;

/// For any `bytes`: a known kind with its fields, an acknowledgement that names its envelope, and nothing of the payload
/// in the output. Returns the kind of frame.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    // Invalid UTF-8 ends the connection before the parser reads it.
    let Ok(text) = std::str::from_utf8(bytes) else { return "no text" };
    let fields: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    let (frame, fields) = match (parse(text), fields) {
        (Ok(frame), Some(fields)) => (frame, fields),
        (Err(what), None) => {
            assert_eq!(what, "it is not a JSON object");
            return "no object";
        }
        (Err(what), Some(fields)) => {
            assert_eq!(what, "its envelope_id is not usable");
            let id = fields["envelope_id"].as_str().unwrap_or_default();
            assert!(id.is_empty() || id.len() > 200);
            return "no usable id";
        }
        (Ok(frame), None) => panic!("{frame:?} was read from what is no JSON object"),
    };
    let text_of = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = text_of("type");
    let seen = match &frame {
        Frame::Hello(hello) => {
            assert_eq!(kind, "hello");
            assert!(hello.app_id.as_ref().is_none_or(|app_id| app_id.len() <= 64));
            let counted = fields.get("num_connections").and_then(Value::as_u64);
            assert_eq!(hello.connections.map(|count| count as u64), counted);
            "hello"
        }
        Frame::Disconnect(reason) => {
            assert_eq!(kind, "disconnect");
            let expected = match text_of("reason") {
                "link_disabled" => DisconnectReason::Disabled,
                "too_many_websockets" => DisconnectReason::TooMany,
                _ => DisconnectReason::Refresh,
            };
            assert_eq!(*reason, expected);
            "disconnect"
        }
        Frame::Unknown => {
            assert!(!["hello", "disconnect"].contains(&kind) && !fields.contains_key("envelope_id"));
            "unknown"
        }
        Frame::Envelope(sealed) => {
            assert_eq!(sealed.id, text_of("envelope_id"));
            assert!((1..=200).contains(&sealed.id.len()));
            let payload = fields.get("payload").filter(|_| kind == "interactive");
            assert_eq!(sealed.payload.as_ref(), payload);
            let takes_answer = fields.get("accepts_response_payload") != Some(&Value::Bool(false));
            assert_eq!(sealed.accepts_response, takes_answer);
            check_ack(&sealed.id);
            // As the daemon forwards it.
            payload.map_or("envelope", |payload| check_payload(payload.to_string().as_bytes()))
        }
    };
    check_secrecy(&frame, fields);
    seen
}

fn check_ack(id: &str) {
    let answer = serde_json::json!({"response_action": "clear"});
    for answer in [None, Some(&answer)] {
        let ack: Map<String, Value> = serde_json::from_str(&ack(id, answer)).unwrap();
        assert_eq!(ack["envelope_id"], id);
        assert_eq!(ack.get("payload"), answer);
        assert_eq!(ack.len(), 1 + usize::from(answer.is_some()));
    }
}

/// The output of a frame is short and does not depend on the payload.
fn check_secrecy(frame: &Frame, mut fields: Map<String, Value>) {
    let printed = format!("{frame:?}");
    assert!(printed.len() < 3_000, "{printed}");
    fields.insert(
        "payload".into(),
        serde_json::json!({"response_url": "https://hooks.slack.com/actions/secret"}),
    );
    let other = parse(&Value::Object(fields).to_string());
    assert_eq!(other.map(|frame| format!("{frame:?}")), Ok(printed));
}
