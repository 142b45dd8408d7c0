//! From an HTTP request to named arguments: three encodings, one meaning.
//!
//! Only transport rules live here (where the token may be, what may be mixed with what). Which arguments a
//! method knows is for `methods/mod.rs`.

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use serde::Serialize;
use serde_json::Value;

use super::reply::ApiError;

/// How the arguments came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// There were none.
    Empty,
    /// In the URL.
    Query,
    /// `application/x-www-form-urlencoded`, perhaps with more in the URL.
    Form,
    /// A JSON object.
    Json,
}

/// A request taken apart.
pub(super) struct Incoming {
    /// From the header or the form.
    pub(super) token: Option<String>,
    /// From the header.
    pub(super) header_token: Option<String>,
    pub(super) posted: bool,
    pub(super) arguments: Arguments,
    pub(super) encoding: Encoding,
    pub(super) warning: Option<&'static str>,
}

/// Takes a request apart, or refuses it as Slack would.
pub(super) fn read(parts: &Parts, body: &[u8]) -> Result<Incoming, ApiError> {
    let query = pairs(parts.uri.query().unwrap_or_default().as_bytes())?;
    if query.contains_key("token") {
        return Err(
            ApiError::new("not_authed").because(vec!["[ERROR] a token in the URL is not read".to_owned()])
        );
    }
    let header_token = bearer(&parts.headers);
    let posted = parts.method == Method::POST;
    let by_header = |arguments, encoding, warning| {
        let token = header_token.clone();
        Incoming { token, header_token: header_token.clone(), posted, arguments, encoding, warning }
    };
    let content_type = media_type(&parts.headers);
    if parts.method == Method::GET || (body.is_empty() && content_type.is_none()) {
        let encoding = if query.is_empty() { Encoding::Empty } else { Encoding::Query };
        return Ok(by_header(Arguments(query), encoding, None));
    }
    let Some((media, charset)) = content_type else { return Err(ApiError::new("missing_post_type")) };
    if charset.as_deref().is_some_and(|charset| charset != "utf-8" && charset != "utf8") {
        return Err(ApiError::new("invalid_charset"));
    }
    match media.as_str() {
        "application/json" => {
            if !query.is_empty() {
                let message = "[ERROR] JSON cannot be mixed with arguments in the URL".to_owned();
                return Err(ApiError::argument(message));
            }
            let arguments = json_object(body)?;
            if arguments.contains_key("token") {
                let message = "[ERROR] with JSON the token belongs in the Authorization header".to_owned();
                return Err(ApiError::new("not_authed").because(vec![message]));
            }
            let warning = charset.is_none().then_some("missing_charset");
            let encoding = if arguments.is_empty() { Encoding::Empty } else { Encoding::Json };
            Ok(by_header(Arguments(arguments), encoding, warning))
        }
        "application/x-www-form-urlencoded" => {
            let mut arguments = pairs(body)?;
            let form_token = arguments.remove("token").and_then(|token| token.as_str().map(str::to_owned));
            for (name, value) in query {
                insert_once(&mut arguments, name, value)?;
            }
            let token = match (header_token.clone(), form_token) {
                (Some(header), Some(form)) if header != form => return Err(ApiError::new("invalid_auth")),
                (header, form) => header.or(form),
            };
            let encoding = if arguments.is_empty() { Encoding::Empty } else { Encoding::Form };
            let warning = charset.is_some().then_some("superfluous_charset");
            Ok(Incoming { token, ..by_header(Arguments(arguments), encoding, warning) })
        }
        _ => Err(ApiError::new("invalid_post_type")),
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// The media type and charset, in lower case.
fn media_type(headers: &HeaderMap) -> Option<(String, Option<String>)> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().filter(|media| !media.is_empty())?.to_owned();
    let charset =
        parts.find_map(|part| part.strip_prefix("charset=")).map(|name| name.trim_matches('"').to_owned());
    Some((media, charset))
}

fn pairs(encoded: &[u8]) -> Result<BTreeMap<String, Value>, ApiError> {
    let mut arguments = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        insert_once(&mut arguments, name.into_owned(), Value::String(value.into_owned()))?;
    }
    Ok(arguments)
}

/// Slack takes one of two equal names without saying which, so a client that gives them two values is wrong. The
/// same value twice is harmless, and Slack's Java SDK sends `thread_ts` so.
fn insert_once(arguments: &mut BTreeMap<String, Value>, name: String, value: Value) -> Result<(), ApiError> {
    match arguments.get(&name) {
        Some(known) if *known != value => Err(ApiError::new("invalid_form_data")),
        _ => {
            arguments.insert(name, value);
            Ok(())
        }
    }
}

fn json_object(body: &[u8]) -> Result<BTreeMap<String, Value>, ApiError> {
    // The official Python client posts nothing at all where there are no arguments, and calls it JSON.
    if body.is_empty() {
        return Ok(BTreeMap::new());
    }
    match serde_json::from_slice::<Value>(body) {
        // An explicit null asks for the default, like leaving the name out.
        Ok(Value::Object(map)) => Ok(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Ok(_) => Err(ApiError::new("json_not_object")),
        Err(_) => Err(ApiError::new("invalid_json")),
    }
}

/// Arguments by name. Strings and structured values may both stand for JSON, as Slack allows.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Arguments(BTreeMap<String, Value>);

/// A structured argument was a string that is not JSON.
pub(super) struct NotJson;

impl Arguments {
    /// The raw value, if given.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The names given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A string, if given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type("string", name)),
        }
    }

    /// A list of names: one string with commas between them, or a JSON array of strings. Comes back with commas.
    pub(super) fn list(&self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(Value::Array(items)) = self.0.get(name) else {
            return Ok(self.text(name)?.map(str::to_owned));
        };
        let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        items.map(|items| Some(items.join(","))).ok_or_else(|| wrong_type("list of strings", name))
    }

    /// A string that must be there and not be empty.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| ApiError::argument(format!("[ERROR] missing required field: {name}")))
    }

    /// A boolean, if given.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                _ => Err(wrong_type("boolean", name)),
            },
            Some(_) => Err(wrong_type("boolean", name)),
        }
    }

    /// A whole number, if given.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                number.as_u64().map(Some).ok_or_else(|| wrong_type("whole number", name))
            }
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong_type("whole number", name)),
            Some(_) => Err(wrong_type("whole number", name)),
        }
    }

    /// JSON, given as such or inside a string.
    pub(super) fn structured(&self, name: &str) -> Result<Option<Value>, NotJson> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| NotJson),
            Some(value) => Ok(Some(value.clone())),
        }
    }
}

fn wrong_type(wanted: &str, name: &str) -> ApiError {
    ApiError::argument(format!("[ERROR] must be a {wanted} [json-pointer:/{name}]"))
}
