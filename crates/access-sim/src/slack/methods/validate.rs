//! `blocks.validate`: what Slack would say of a layout, without a message or a view.
//!
//! Read in Slack's documentation: the arguments, the codes, and that `errors` have `pointer`, `code` and `message`. Assumed:
//! that each error has the code `failed_constraint`, that no `constraint` is given, and the rate limit, of which Slack
//! only says that it is special.

use serde_json::{Value, json};

use super::super::arguments::Arguments;
use super::super::limits::{self, BlocksRefused, ViewRefused};
use super::super::reply::{ApiError, Reply};
use super::super::state::{Moment, State};

/// What a message may hold besides `blocks`, which are checked.
const MESSAGE_FIELDS: [&str; 3] = ["blocks", "attachments", "text"];

pub(super) fn validate(_state: &mut State, arguments: &Arguments, _now: Moment) -> Reply {
    let given = [arguments.text("blocks")?, arguments.text("message")?, arguments.text("view")?];
    let (code, outcome) = match given {
        [Some(blocks), None, None] => ("invalid_blocks", check_blocks(&parse("blocks", blocks)?, "")),
        [None, Some(message), None] => ("invalid_message", check_message(&parse("message", message)?)),
        [None, None, Some(view)] => ("invalid_view", check_view(&parse("view", view)?)),
        _ => {
            return Err(ApiError::argument(
                "[ERROR] exactly one of blocks, message and view is taken".to_owned(),
            ));
        }
    };
    match outcome {
        Ok(()) => Ok(json!({})),
        Err(errors) => Err(ApiError::new(code).with("errors", errors.into())),
    }
}

fn parse(argument: &str, text: &str) -> Result<Value, ApiError> {
    serde_json::from_str(text)
        .map_err(|_| ApiError::argument(format!("[ERROR] must be JSON [json-pointer:/{argument}]")))
}

fn check_message(message: &Value) -> Result<(), Vec<Value>> {
    let Some(fields) = message.as_object() else { return Err(vec![error("", "must be an object")]) };
    let unknown = fields.keys().filter(|name| !MESSAGE_FIELDS.contains(&name.as_str()));
    let errors: Vec<Value> = unknown.map(|name| error(&format!("/{name}"), "unknown field")).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    match fields.get("blocks") {
        Some(blocks) => check_blocks(blocks, "/blocks"),
        None => Err(vec![error("", "missing required field: blocks")]),
    }
}

/// `place`: the pointer to the blocks.
fn check_blocks(blocks: &Value, place: &str) -> Result<(), Vec<Value>> {
    limits::check_blocks(blocks).map_err(|refused| match refused {
        BlocksRefused::Invalid(messages) => {
            messages.iter().map(|message| from_message(message, "blocks", place)).collect()
        }
        BlocksRefused::Format | BlocksRefused::TooMany(_) => vec![error(place, &refused.to_string())],
    })
}

fn check_view(view: &Value) -> Result<(), Vec<Value>> {
    limits::check_view(view).map_err(|refused| match refused {
        ViewRefused::Invalid(messages) => {
            messages.iter().map(|message| from_message(message, "view", "")).collect()
        }
        ViewRefused::TooLarge(_) => vec![error("", &refused.to_string())],
    })
}

/// From what other methods say in one text, such as `[ERROR] must be a string [json-pointer:/blocks/0/text]`.
fn from_message(message: &str, argument: &str, place: &str) -> Value {
    let text = message.trim_start_matches("[ERROR] ").trim_end_matches(']');
    match text.split_once(&format!(" [json-pointer:/{argument}")) {
        Some((text, pointer)) => error(&format!("{place}{pointer}"), text),
        None => error(place, text),
    }
}

fn error(pointer: &str, message: &str) -> Value {
    json!({ "pointer": pointer, "code": "failed_constraint", "message": message })
}
