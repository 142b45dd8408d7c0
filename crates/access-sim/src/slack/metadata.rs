//! The rules for message metadata: what apps may attach to a message, unseen by users but readable by any of them.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::arguments::{Arguments, NotJson};
use super::reply::ApiError;

/// Slack has a cap and keeps its value secret; this one is ours.
const MAX_BYTES: usize = 8_000;
const MAX_NAME: usize = 255;

static NO_METADATA: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    [("event_type".to_owned(), "".into()), ("event_payload".to_owned(), Value::Null)].into_iter().collect()
});

/// The `metadata` argument: absent, `{}` (which removes it on update), or well formed.
pub(super) fn read(arguments: &Arguments) -> Result<Option<Value>, ApiError> {
    let value = match arguments.structured("metadata") {
        Ok(None) => return Ok(None),
        Ok(Some(value)) => value,
        Err(NotJson) => return Err(format("metadata is not JSON")),
    };
    let Some(map) = value.as_object() else { return Err(format("metadata must be an object")) };
    if map.is_empty() {
        return Ok(Some(value));
    }
    // slack-go sends this with every message that has none. That it changes nothing is assumed.
    if *map == *NO_METADATA {
        return Ok(None);
    }
    if let Some(unknown) = map.keys().find(|name| !["event_type", "event_payload"].contains(&name.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        return Err(format(&format!("unknown field {shown}")));
    }
    let Some(event_type) = map.get("event_type").and_then(Value::as_str) else {
        return Err(format("event_type must be a string"));
    };
    let Some(payload) = map.get("event_payload").and_then(Value::as_object) else {
        return Err(format("event_payload must be an object"));
    };
    if event_type.is_empty()
        || event_type.chars().count() > MAX_NAME
        || !event_type.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return Err(schema("event_type takes letters, digits and underscores"));
    }
    check_payload(payload)?;
    if value.to_string().len() > MAX_BYTES {
        return Err(ApiError::new("metadata_too_large"));
    }
    Ok(Some(value))
}

fn check_payload(payload: &Map<String, Value>) -> Result<(), ApiError> {
    for (key, value) in payload {
        check_key(key)?;
        match value {
            Value::Object(inner) => check_flat(inner)?,
            Value::Array(items) => {
                for item in items {
                    let Some(inner) = item.as_object() else {
                        return Err(schema("an array holds objects only"));
                    };
                    check_flat(inner)?;
                }
            }
            other => check_scalar(other)?,
        }
    }
    Ok(())
}

fn check_flat(inner: &Map<String, Value>) -> Result<(), ApiError> {
    for (key, value) in inner {
        check_key(key)?;
        check_scalar(value)?;
    }
    Ok(())
}

fn check_scalar(value: &Value) -> Result<(), ApiError> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(()),
        _ => Err(schema("a value is a string, a number or a boolean, at most one level deep")),
    }
}

fn check_key(key: &str) -> Result<(), ApiError> {
    let mut letters = key.chars();
    let starts_well = letters.next().is_some_and(|c| c.is_ascii_lowercase());
    if starts_well && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        Ok(())
    } else {
        Err(schema("keys are in snake case and start with a letter"))
    }
}

fn format(message: &str) -> ApiError {
    ApiError::new("invalid_metadata_format")
        .because(vec![format!("[ERROR] {message} [json-pointer:/metadata]")])
}

fn schema(message: &str) -> ApiError {
    ApiError::new("invalid_metadata_schema")
        .because(vec![format!("[ERROR] {message} [json-pointer:/metadata/event_payload]")])
}
