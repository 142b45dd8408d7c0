//! What comes over a connection, as far as it matters here, and what goes back.
//!
//! Everything that came may be malformed: what cannot be read is an error with a fixed text, never quoted.

use std::fmt;

use access_core::domain::ids::is_id_charset;
use serde_json::{Map, Value, json};

/// Longer ids are refused; Slack's have 36 characters.
const MAX_ID_BYTES: usize = 200;

/// One text frame.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// The connection works.
    Hello(Hello),
    /// The connection is about to end.
    Disconnect(DisconnectReason),
    /// Something to acknowledge.
    Envelope(RawEnvelope),
    /// A kind that we do not know and need not acknowledge.
    Unknown,
}

/// What Slack says of a new connection, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The app whose token opened it (`connection_info.app_id`).
    pub app_id: Option<String>,
    /// How many connections the app has, this one included (`num_connections`).
    pub connections: Option<usize>,
}

/// Why Slack ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// It has served its time, or the reason is unknown: open another one.
    Refresh,
    /// Socket Mode was switched off.
    Disabled,
    /// The app has too many.
    TooMany,
}

/// An envelope as it came.
#[derive(PartialEq)]
pub struct RawEnvelope {
    /// What the acknowledgement names; 1 to 200 bytes.
    pub id: String,
    /// The payload, of any shape; `None` for what is acknowledged and dropped, such as events that were not asked for.
    pub payload: Option<Value>,
    /// Whether the acknowledgement may carry an answer.
    pub accepts_response: bool,
}

/// Without the payload: it holds addresses that let any caller answer in the app's name.
impl fmt::Debug for RawEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEnvelope").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Reads a text frame.
///
/// # Errors
/// A fixed text that says what is wrong, if it is no JSON object or has an `envelope_id` that cannot be acknowledged.
pub fn parse(text: &str) -> Result<Frame, &'static str> {
    // The parser refuses nesting beyond 128 levels.
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        return Err("it is not a JSON object");
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "hello" => Ok(Frame::Hello(hello(&fields))),
        "disconnect" => Ok(Frame::Disconnect(disconnect_reason(&fields))),
        _ if !fields.contains_key("envelope_id") => Ok(Frame::Unknown),
        kind => {
            let is_interactive = kind == "interactive";
            let takes_answer = fields.get("accepts_response_payload").and_then(Value::as_bool) != Some(false);
            let id = match fields.get("envelope_id").and_then(Value::as_str) {
                Some(id) if (1..=MAX_ID_BYTES).contains(&id.len()) => id.to_owned(),
                _ => return Err("its envelope_id is not usable"),
            };
            // The handler rejects a payload that is no object.
            let interactive = fields.remove("payload").filter(|_| is_interactive);
            Ok(Frame::Envelope(RawEnvelope { id, payload: interactive, accepts_response: takes_answer }))
        }
    }
}

fn hello(fields: &Map<String, Value>) -> Hello {
    let app_id = fields.get("connection_info").and_then(|info| info.get("app_id")).and_then(Value::as_str);
    let connections = fields.get("num_connections").and_then(Value::as_u64);
    Hello {
        app_id: app_id.filter(|app_id| is_id_charset(app_id)).map(str::to_owned),
        connections: connections.and_then(|connections| connections.try_into().ok()),
    }
}

fn disconnect_reason(fields: &Map<String, Value>) -> DisconnectReason {
    match fields.get("reason").and_then(Value::as_str) {
        Some("link_disabled") => DisconnectReason::Disabled,
        Some("too_many_websockets") => DisconnectReason::TooMany,
        _ => DisconnectReason::Refresh,
    }
}

/// The acknowledgement of an envelope, with an answer if there is one.
pub fn ack(id: &str, answer: Option<&Value>) -> String {
    match answer {
        None => json!({"envelope_id": id}).to_string(),
        Some(answer) => json!({"envelope_id": id, "payload": answer}).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(id: &str, interactive: Option<Value>, takes_answer: bool) -> Result<Frame, &'static str> {
        Ok(Frame::Envelope(RawEnvelope {
            id: id.into(),
            payload: interactive,
            accepts_response: takes_answer,
        }))
    }

    fn assert_parsed(text: Value, expected: Result<Frame, &'static str>) {
        assert_eq!(parse(&text.to_string()), expected, "{text}");
    }

    #[test]
    fn an_envelopes_debug_text_leaves_out_the_payload() {
        let envelope = envelope("e1", Some(json!({"response_url": "hunter2"})), true).unwrap();
        assert_eq!(format!("{envelope:?}"), r#"Envelope(RawEnvelope { id: "e1", .. })"#);
    }

    #[test]
    fn every_kind_of_frame_that_slack_sends_is_parsed() {
        let hello = |app_id: Option<&str>, connections| {
            Ok(Frame::Hello(Hello { app_id: app_id.map(str::to_owned), connections }))
        };
        let info = json!({"app_id": "A0OURS"});
        assert_parsed(
            json!({"type": "hello", "num_connections": 3, "connection_info": info}),
            hello(Some("A0OURS"), Some(3)),
        );
        assert_parsed(json!({"type": "hello"}), hello(None, None));
        for (info, count) in
            [(json!(7), json!(-1)), (json!({"app_id": "a b"}), json!("3")), (json!({}), json!(1.5))]
        {
            assert_parsed(
                json!({"type": "hello", "num_connections": count, "connection_info": info}),
                hello(None, None),
            );
        }
        for (reason, expected) in [
            (json!("warning"), DisconnectReason::Refresh),
            (json!("refresh_requested"), DisconnectReason::Refresh),
            (json!("link_disabled"), DisconnectReason::Disabled),
            (json!("too_many_websockets"), DisconnectReason::TooMany),
            (json!("brand_new"), DisconnectReason::Refresh),
            (json!(null), DisconnectReason::Refresh),
        ] {
            assert_parsed(json!({"type": "disconnect", "reason": reason}), Ok(Frame::Disconnect(expected)));
        }
        let payload = json!({"type": "block_actions"});
        let click = json!({"type": "interactive", "envelope_id": "e", "payload": payload});
        assert_parsed(click, envelope("e", Some(payload.clone()), true));
        let no_answer = json!({"type": "interactive", "envelope_id": "e", "payload": payload,
            "accepts_response_payload": false});
        assert_parsed(no_answer, envelope("e", Some(payload.clone()), false));
        let event = json!({"type": "events_api", "envelope_id": "e", "payload": payload});
        assert_parsed(event, envelope("e", None, true));
    }

    #[test]
    fn malformed_parts_of_a_frame_are_named_or_kept() {
        let unusable = || Err("its envelope_id is not usable");
        assert_parsed(
            json!({"type": "interactive", "envelope_id": "e", "payload": null}),
            envelope("e", Some(json!(null)), true),
        );
        assert_parsed(
            json!({"type": "interactive", "envelope_id": "e", "payload": [1]}),
            envelope("e", Some(json!([1])), true),
        );
        assert_parsed(json!({"type": "interactive", "envelope_id": "e"}), envelope("e", None, true));
        assert_parsed(json!({"type": 7, "envelope_id": "e"}), envelope("e", None, true));
        assert_parsed(json!({"type": "interactive", "envelope_id": 7}), unusable());
        assert_parsed(json!({"type": "interactive", "envelope_id": ""}), unusable());
        assert_parsed(json!({"type": "interactive", "envelope_id": "x".repeat(1_000)}), unusable());
        assert_parsed(json!({"type": "interactive", "payload": {}}), Ok(Frame::Unknown));
        assert_parsed(json!({}), Ok(Frame::Unknown));
        for text in ["", "[]", "7", "{\"type\":\"hello\"", "\u{0}", "{\"a\":".repeat(100_000).as_str()] {
            assert_eq!(parse(text), Err("it is not a JSON object"));
        }
    }

    #[test]
    fn an_acknowledgement_names_the_envelope() {
        assert_eq!(ack("e\"1", None), r#"{"envelope_id":"e\"1"}"#);
        let answer = json!({"response_action": "clear"});
        assert_eq!(ack("e", Some(&answer)), r#"{"envelope_id":"e","payload":{"response_action":"clear"}}"#);
    }
}
