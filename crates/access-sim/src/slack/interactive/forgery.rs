//! Attacks on the app: wrong signatures, wrong clocks, and payloads that say something else than what was done.
//!
//! A payload is changed before it is signed, so that the app's own checks are tried and not only the signature.

use std::fmt;

use serde_json::{Map, Value, json};

/// Who signs.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Signature {
    /// Slack.
    #[default]
    Good,
    /// A sender who does not know the signing secret.
    WrongSecret,
    /// A sender who knows another secret, such as another app's.
    Secret(String),
    /// Slack, but the last hexadecimal digits are cut off.
    Truncated,
    /// No signature: the header is missing.
    Missing,
    /// The header says this.
    Text(String),
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signature::Good => "Good",
            Signature::WrongSecret => "WrongSecret",
            Signature::Secret(_) => "Secret(…)",
            Signature::Truncated => "Truncated",
            Signature::Missing => "Missing",
            Signature::Text(_) => "Text(…)",
        })
    }
}

/// What the timestamp header says. The signature is made over the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stamp {
    /// The time.
    #[default]
    Now,
    /// The time plus this many seconds; negative is the past.
    Shifted(i64),
    /// The header is missing; signed as if it were empty.
    Missing,
    /// Anything.
    Text(String),
}

/// One change to what is sent.
#[derive(Clone, PartialEq)]
pub enum Alteration {
    /// Puts values at JSON pointers. A pointer whose parent does not exist changes nothing.
    Set(Vec<(String, Value)>),
    /// Removes what is at a JSON pointer.
    Remove(String),
    /// Adds fields that Slack does not send, on every level.
    Extra,
    /// Adds a field with arrays nested this deep.
    Nested(usize),
    /// Adds a field with this many bytes of text.
    Padded(usize),
    /// Replaces the form body, or the payload of an envelope, as a whole.
    Body(String),
}

impl fmt::Debug for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alteration::Set(changes) => {
                f.write_str("Set")?;
                f.debug_list().entries(changes.iter().map(|(pointer, _)| pointer)).finish()
            }
            Alteration::Remove(pointer) => write!(f, "Remove({pointer})"),
            Alteration::Extra => f.write_str("Extra"),
            Alteration::Nested(depth) => write!(f, "Nested({depth})"),
            Alteration::Padded(bytes) => write!(f, "Padded({bytes})"),
            Alteration::Body(body) => write!(f, "Body({} bytes)", body.len()),
        }
    }
}

impl Alteration {
    /// Puts one value at a JSON pointer.
    pub fn set(pointer: &str, value: Value) -> Self {
        Alteration::Set(vec![(pointer.to_owned(), value)])
    }

    /// The button carries another value.
    pub fn value(value: &str) -> Self {
        Alteration::set("/actions/0/value", json!(value))
    }

    /// Another user did it.
    pub fn user(id: &str) -> Self {
        Alteration::set("/user/id", json!(id))
    }

    /// It happened in another workspace.
    pub fn team(id: &str) -> Self {
        let pointers = ["/team/id", "/user/team_id", "/view/team_id", "/message/team"];
        Alteration::Set(pointers.iter().map(|pointer| ((*pointer).to_owned(), json!(id))).collect())
    }

    /// It happened in an organization-wide installation: `team` is null.
    pub fn no_team() -> Self {
        Alteration::Set(vec![
            ("/team".to_owned(), Value::Null),
            ("/enterprise".to_owned(), json!({ "id": "E0ORG", "name": "Org" })),
            ("/is_enterprise_install".to_owned(), json!(true)),
        ])
    }

    /// It was meant for another app.
    pub fn app(id: &str) -> Self {
        let pointers = ["/api_app_id", "/message/app_id", "/view/app_id"];
        Alteration::Set(pointers.iter().map(|pointer| ((*pointer).to_owned(), json!(id))).collect())
    }

    /// It happened in another channel.
    pub fn channel(id: &str) -> Self {
        Alteration::Set(vec![
            ("/container/channel_id".to_owned(), json!(id)),
            ("/channel/id".to_owned(), json!(id)),
        ])
    }

    /// It happened on another message.
    pub fn message_ts(ts: &str) -> Self {
        Alteration::Set(vec![
            ("/container/message_ts".to_owned(), json!(ts)),
            ("/message/ts".to_owned(), json!(ts)),
        ])
    }

    /// Signed payloads that a careless parser would fall over, each with a name for messages of failed tests.
    pub fn hostile() -> Vec<(&'static str, Alteration)> {
        let set = Alteration::set;
        vec![
            ("extra fields", Alteration::Extra),
            ("nested 10,000 deep", Alteration::Nested(10_000)),
            ("20 MB", Alteration::Padded(20 << 20)),
            ("no body", Alteration::Body(String::new())),
            ("no payload", Alteration::Body("payload=".to_owned())),
            ("not JSON", Alteration::Body("payload=%7Bnot+json".to_owned())),
            ("not an object", Alteration::Body("payload=%5B%5D".to_owned())),
            ("two payloads", Alteration::Body("payload=%7B%7D&payload=%7B%7D".to_owned())),
            ("not UTF-8", Alteration::Body("payload=%FF%FE".to_owned())),
            ("another field", Alteration::Body("ssl_check=1".to_owned())),
            ("a number as type", set("/type", json!(7))),
            ("an unknown type", set("/type", json!("block_suggestion_of_the_future"))),
            ("no type", Alteration::Remove("/type".to_owned())),
            ("a user that is text", set("/user", json!("U0BOB"))),
            ("a user id that is a list", set("/user/id", json!(["U0BOB"]))),
            ("an empty user id", set("/user/id", json!(""))),
            ("no user", Alteration::Remove("/user".to_owned())),
            ("a long user id", set("/user/id", json!("U".repeat(1 << 20)))),
            ("actions that are an object", set("/actions", json!({ "0": {} }))),
            ("no actions", set("/actions", json!([]))),
            ("an action that is null", set("/actions/0", Value::Null)),
            ("a value that is a number", set("/actions/0/value", json!(1))),
            ("an action without id", Alteration::Remove("/actions/0/action_id".to_owned())),
            ("a container that is null", set("/container", Value::Null)),
            ("a channel that is a list", set("/channel", json!([1]))),
            ("a timestamp that is a number", set("/container/message_ts", json!(1.5))),
            ("a trigger that is null", set("/trigger_id", Value::Null)),
            ("a response URL to elsewhere", set("/response_url", json!("http://127.0.0.1:9/"))),
            ("a response URL that is none", set("/response_url", json!("\u{0}\u{202e}//"))),
            ("a team that is a number", set("/team", json!(0))),
            ("control characters", set("/user/username", json!("\u{0}\u{1b}[2J\u{202e}"))),
        ]
    }
}

/// Everything that is not as Slack does it; by default nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forgery {
    signature: Signature,
    stamp: Stamp,
    alterations: Vec<Alteration>,
}

impl Forgery {
    /// Signed otherwise.
    pub fn signed(signature: Signature) -> Self {
        Forgery { signature, ..Forgery::default() }
    }

    /// Stamped otherwise.
    pub fn stamped(stamp: Stamp) -> Self {
        Forgery { stamp, ..Forgery::default() }
    }

    /// Saying something else.
    pub fn altered(alteration: Alteration) -> Self {
        Forgery::default().and(alteration)
    }

    /// This one, signed otherwise.
    pub fn and_signed(self, signature: Signature) -> Self {
        Forgery { signature, ..self }
    }

    /// This one with a further change.
    pub fn and(mut self, alteration: Alteration) -> Self {
        self.alterations.push(alteration);
        self
    }

    /// What is forged, for the log; `None` if nothing.
    pub(super) fn described(&self) -> Option<String> {
        (self != &Forgery::default()).then(|| format!("{self:?}"))
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The whole body, if it is replaced.
    pub(super) fn body(&self) -> Option<&str> {
        self.alterations.iter().rev().find_map(|alteration| match alteration {
            Alteration::Body(body) => Some(body.as_str()),
            _ => None,
        })
    }

    /// Changes what a payload says.
    pub(super) fn change(&self, payload: &mut Value) {
        for alteration in &self.alterations {
            match alteration {
                Alteration::Set(changes) => {
                    changes.iter().for_each(|(pointer, value)| put(payload, pointer, value));
                }
                Alteration::Remove(pointer) => remove(payload, pointer),
                Alteration::Extra => add_everywhere(payload),
                Alteration::Nested(_) | Alteration::Padded(_) | Alteration::Body(_) => {}
            }
        }
    }

    /// The payload as text. What is too deep or too large to be handled as JSON comes in here.
    pub(super) fn write(&self, payload: &Value) -> String {
        let mut text = payload.to_string();
        for alteration in &self.alterations {
            let addition = match alteration {
                Alteration::Nested(depth) => {
                    format!(",\"nested\":{}{}", "[".repeat(*depth), "]".repeat(*depth))
                }
                Alteration::Padded(bytes) => format!(",\"padding\":\"{}\"", "x".repeat(*bytes)),
                _ => continue,
            };
            if text.ends_with('}') {
                text.truncate(text.len() - 1);
                text.push_str(&addition);
                text.push('}');
            }
        }
        text
    }
}

fn put(payload: &mut Value, pointer: &str, value: &Value) {
    if let Some(place) = payload.pointer_mut(pointer) {
        *place = value.clone();
        return;
    }
    if let Some((fields, name)) = parent(payload, pointer) {
        fields.insert(name, value.clone());
    }
}

fn remove(payload: &mut Value, pointer: &str) {
    if let Some((fields, name)) = parent(payload, pointer) {
        fields.remove(&name);
    }
}

fn parent<'a>(payload: &'a mut Value, pointer: &str) -> Option<(&'a mut Map<String, Value>, String)> {
    let (above, name) = pointer.rsplit_once('/')?;
    let fields = payload.pointer_mut(above)?.as_object_mut()?;
    Some((fields, name.to_owned()))
}

/// The names come before and after Slack's own in alphabetical order.
fn add_everywhere(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_everywhere);
            fields.insert("a_field_of_the_future".to_owned(), json!({ "deep": [1, null, "x"] }));
            fields.insert("zz_field_of_the_future".to_owned(), json!(["x", 1.5e300, true]));
        }
        Value::Array(items) => items.iter_mut().for_each(add_everywhere),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_something_else_where_there_is_a_place_for_it() {
        let mut payload = json!({ "user": { "id": "U1" }, "actions": [{ "value": "a" }] });
        let forgery = Forgery::altered(Alteration::value("b"))
            .and(Alteration::user("U2"))
            .and(Alteration::message_ts("1.0"))
            .and(Alteration::set("/team", json!(null)))
            .and(Alteration::Remove("/actions/0/nothing".to_owned()));
        forgery.change(&mut payload);
        let expected = json!({ "user": { "id": "U2" }, "actions": [{ "value": "b" }], "team": null });
        assert_eq!(payload, expected);
        Forgery::altered(Alteration::Remove("/actions".to_owned())).change(&mut payload);
        assert_eq!(payload.get("actions"), None);
    }

    #[test]
    fn depth_and_size_stay_text() {
        let forgery = Forgery::altered(Alteration::Nested(200_000)).and(Alteration::Padded(3));
        let text = forgery.write(&json!({ "type": "x" }));
        assert!(text.starts_with(r#"{"type":"x","nested":[["#));
        assert!(text.ends_with(r#"]],"padding":"xxx"}"#));
        assert!(serde_json::from_str::<Value>(&text).is_err(), "too deep for a parser with a limit");
    }

    #[test]
    fn no_secret_is_printed() {
        let forgery = Forgery::signed(Signature::Secret("their secret".to_owned()));
        assert!(!format!("{forgery:?}").contains("their"));
    }
}
