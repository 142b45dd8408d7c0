//! Asks Slack whether it would show a layout, without showing it (`blocks.validate`, since 2026).
//!
//! It needs no scope. Slack limits how often it may be asked and does not say to what, so nothing asks it for each
//! message. A workspace or a stand-in for Slack that does not know the method is an answer of its own.

use std::sync::Arc;

use access_core::render::Message;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::Client;
use super::client::Body;
use super::error::{Affects, ErrorKind, SlackError};
use super::method::Method;
use super::redact::Redactor;
use super::wire::{self, Fields};

/// Errors taken from one answer.
const MAX_ERRORS: usize = 20;
/// Foreign text in an error, in characters.
const MAX_TEXT: usize = 200;

/// What is to be judged.
#[derive(Debug)]
pub enum Layout<'a, V = ()> {
    /// The blocks of a message. Slack judges layouts, so its text is not sent.
    Message(&'a Message),
    /// A modal, as `views.open` takes it.
    View(&'a V),
}

/// What Slack says of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validation {
    /// It would show it.
    Valid,
    /// It would refuse it: why, in Slack's order, at most 20. Empty if Slack does not say.
    Invalid(Vec<LayoutError>),
    /// It was not judged: what answers does not know the method, or not for this token.
    NotAsked,
}

/// One reason why Slack refuses a layout. The texts are Slack's, made printable and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutError {
    /// Where, as a JSON pointer below what was sent, such as `/blocks/0/text/type`.
    pub pointer: String,
    /// The kind of error, such as `failed_constraint`; empty if Slack left it out.
    pub code: String,
    /// What is wrong; empty if Slack left it out.
    pub message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Argument {
    Message(String),
    View(String),
}

impl Client {
    /// Whether Slack would show this.
    ///
    /// # Errors
    /// As of every method; [`super::error::Retry::After`] if Slack was asked too often.
    pub async fn validate<V: Serialize>(&self, layout: Layout<'_, V>) -> Result<Validation, SlackError> {
        let method = Method::BlocksValidate;
        // Slack takes each as a text that is JSON.
        let argument = match layout {
            Layout::Message(message) => Argument::Message(json!({ "blocks": message.blocks() }).to_string()),
            Layout::View(view) => {
                let text = serde_json::to_string(view);
                let failed =
                    |error| SlackError::new(method, ErrorKind::Serialize { source: Arc::new(error) });
                Argument::View(text.map_err(failed)?)
            }
        };
        match self.call(method, Body::json(method, &argument)?, parse_body).await {
            Ok((_, fields)) => Ok(read_validation(&fields)),
            Err(error) if error.says_no_such_method() => Ok(Validation::NotAsked),
            Err(error) => Err(error),
        }
    }
}

/// A refused layout is an answer here. Its errors are kept, made printable, as texts: pointer, code, message.
fn parse_body(headers: &HeaderMap, body: &[u8], redactor: &Redactor) -> Result<Fields, ErrorKind> {
    match wire::parse_body(headers, body, redactor) {
        Err(ErrorKind::Api(refusal)) if refusal.info.affects == Affects::Layout => {
            let fields: Fields = serde_json::from_slice(body).unwrap_or_default();
            let errors =
                fields.get("errors").and_then(Value::as_array).into_iter().flatten().take(MAX_ERRORS);
            let text = |error: &Value, key: &str| {
                redactor.redact(error.get(key).and_then(Value::as_str).unwrap_or_default(), MAX_TEXT)
            };
            let errors =
                errors.map(|error| json!(["pointer", "code", "message"].map(|key| text(error, key))));
            Ok(Fields::from_iter([("errors".to_owned(), errors.collect())]))
        }
        outcome => outcome,
    }
}

/// From what [`parse_body`] kept.
fn read_validation(fields: &Fields) -> Validation {
    if fields.get("ok").and_then(Value::as_bool) == Some(true) {
        return Validation::Valid;
    }
    let errors = fields.get("errors").and_then(Value::as_array).into_iter().flatten();
    let errors = errors.filter_map(|error| serde_json::from_value(error.clone()).ok());
    Validation::Invalid(
        errors.map(|[pointer, code, message]: [String; 3]| LayoutError { pointer, code, message }).collect(),
    )
}
