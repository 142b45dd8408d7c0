//! Slack's answers: the `ok`/`error` envelope and what may stand in it.
//!
//! Methods return a [`Reply`]; `server.rs` puts it on the wire.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

/// What a method returns: the fields beside `ok`, or a refusal.
pub(super) type Reply = Result<Value, ApiError>;

/// A refusal with Slack's short code and whatever explains it.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    code: String,
    extra: Map<String, Value>,
    retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(code: &str) -> Self {
        ApiError { code: code.to_owned(), extra: Map::new(), retry_after: None }
    }

    /// `invalid_arguments`, saying which.
    pub(super) fn argument(message: String) -> Self {
        ApiError::new("invalid_arguments").because(vec![message])
    }

    /// `missing_scope`, saying what is needed and what there is.
    pub(super) fn missing_scope(needed: &str, provided: &BTreeSet<String>) -> Self {
        let mut refusal = ApiError::new("missing_scope");
        refusal.extra.insert("needed".to_owned(), json!(needed));
        refusal.extra.insert("provided".to_owned(), json!(joined(provided)));
        refusal
    }

    /// HTTP 429.
    pub(super) fn rate_limited(wait: Duration) -> Self {
        ApiError { retry_after: Some(wait), ..ApiError::new("ratelimited") }
    }

    /// The same refusal with `response_metadata.messages`.
    pub(super) fn because(mut self, messages: Vec<String>) -> Self {
        self.extra.insert("response_metadata".to_owned(), json!({ "messages": messages }));
        self
    }

    /// The same refusal with a further field.
    pub(super) fn with(mut self, field: &str, value: Value) -> Self {
        self.extra.insert(field.to_owned(), value);
        self
    }
}

/// An answer ready for the wire.
#[derive(Debug, Clone)]
pub(super) struct HttpReply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Value,
}

impl HttpReply {
    /// Wraps a reply in Slack's envelope.
    pub(super) fn from_reply(reply: Reply, warning: Option<&str>) -> Self {
        let (status, retry_after, mut body) = match reply {
            Ok(fields) => {
                let mut body = fields.as_object().cloned().unwrap_or_default();
                body.insert("ok".to_owned(), json!(true));
                (StatusCode::OK, None, body)
            }
            Err(refusal) => {
                let mut body = refusal.extra;
                body.insert("ok".to_owned(), json!(false));
                body.insert("error".to_owned(), json!(refusal.code));
                let limited = refusal.retry_after.is_some();
                let status = if limited { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
                (status, refusal.retry_after, body)
            }
        };
        if let Some(warning) = warning {
            add_warning(&mut body, warning);
        }
        HttpReply { status, retry_after, body: Value::Object(body) }
    }
}

/// `warning` holds the codes with commas between, `response_metadata.warnings` holds them as a list.
fn add_warning(body: &mut Map<String, Value>, warning: &str) {
    let mut codes: Vec<String> = body
        .get("warning")
        .and_then(Value::as_str)
        .map(|codes| codes.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    codes.push(warning.to_owned());
    body.insert("warning".to_owned(), json!(codes.join(",")));
    let metadata = body.entry("response_metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("warnings".to_owned(), json!(codes));
    }
}

/// Scopes as Slack's headers write them.
pub(super) fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}
