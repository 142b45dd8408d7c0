//! Access requests as `tctl` prints them: `tctl get access_request/ID --format=json`, `tctl requests get` and `tctl requests ls`.
//!
//! The keys are those of the JSON that captured servers' messages have in Teleport's own types (releases 6.2 to 18.0). Only
//! `request_kind` is younger than the types that could be looked at: its name follows from theirs. The texts become the
//! message that a server would send, so that a request from a file is converted as one from the wire.

use access_core::domain::error_chain::chain;
use access_core::domain::request::AccessRequest;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use serde_json::Value;
use teleport_proto::auth as wire;

use crate::convert::access_request;

/// What Teleport calls an access request.
const KIND: &str = "access_request";
/// Foreign text in an error, in characters.
const MAX_TEXT: usize = 100;

/// What belongs where a time is.
const TIME: &str = "a time (RFC 3339)";

/// Why a text is no list of access requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestJsonError {
    /// There is no text.
    #[error("it is empty, and an access request is wanted")]
    Empty,
    /// The text is the beginning of JSON.
    #[error("its end is missing: it stops in line {line}")]
    Cut {
        /// The last line, from 1.
        line: usize,
    },
    /// The text is no JSON.
    #[error("it is not JSON: {0}")]
    Syntax(String),
    /// Something in it is not what Teleport prints there.
    #[error("{path} is {found}, and {wanted} is wanted")]
    Unexpected {
        /// Where, such as `[0].spec.user`; "it" for the whole.
        path: String,
        /// What is there.
        found: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// It was only asked what would happen, so Teleport keeps no such request.
    #[error("{path} is a dry run, for which Teleport sends no request")]
    DryRun {
        /// Which one.
        path: String,
    },
}

/// The requests in a text: one, or a list. Unknown keys are ignored, and `null` counts as absent.
///
/// # Errors
/// If it is no JSON, or not of access requests.
pub fn read_requests(text: &str) -> Result<Vec<AccessRequest>, RequestJsonError> {
    let whole: Value = serde_json::from_str(text).map_err(|error| match error.is_eof() {
        true if text.trim().is_empty() => RequestJsonError::Empty,
        true => RequestJsonError::Cut { line: error.line() },
        false => RequestJsonError::Syntax(chain(&error)),
    })?;
    match &whole {
        Value::Array(list) => {
            let all = list.iter().enumerate();
            all.map(|(n, value)| request(&Node { value, path: format!("[{n}]") })).collect()
        }
        value => Ok(vec![request(&Node { value, path: String::new() })?]),
    }
}

/// A value, and where it stands.
struct Node<'a> {
    value: &'a Value,
    path: String,
}

type Result<T, E = RequestJsonError> = std::result::Result<T, E>;

impl<'a> Node<'a> {
    /// The value of a key; `null` if it is absent.
    fn at(&self, key: &str) -> Result<Node<'a>> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{key}", self.path);
        match self.value {
            Value::Object(fields) => Ok(Node { value: fields.get(key).unwrap_or(&Value::Null), path }),
            Value::Null => Ok(Node { value: &Value::Null, path }),
            _ => Err(self.unexpected("an object")),
        }
    }

    fn unexpected(&self, wanted: &'static str) -> RequestJsonError {
        let found = match self.value {
            Value::Null => "missing".to_owned(),
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => format!("the number {number}"),
            Value::String(text) => format!("the text {:?}", text.chars().take(MAX_TEXT).collect::<String>()),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        let path = if self.path.is_empty() { "it".to_owned() } else { self.path.clone() };
        RequestJsonError::Unexpected { path, found, wanted }
    }

    fn text(&self) -> Result<Bytes> {
        match self.value {
            Value::Null => Ok(Bytes::new()),
            Value::String(text) => Ok(Bytes::from(text.clone())),
            _ => Err(self.unexpected("a text")),
        }
    }

    fn texts(&self) -> Result<Vec<Bytes>> {
        self.items()?.iter().map(Node::text).collect()
    }

    fn items(&self) -> Result<Vec<Node<'a>>> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => {
                let node = |(n, value)| Node { value, path: format!("{}[{n}]", self.path) };
                Ok(items.iter().enumerate().map(node).collect())
            }
            _ => Err(self.unexpected("a list")),
        }
    }

    fn number<N: TryFrom<i64> + Default>(&self) -> Result<N> {
        if self.value.is_null() {
            return Ok(N::default());
        }
        let number = self.value.as_i64().and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| self.unexpected("a number as Teleport has it"))
    }

    fn flag(&self) -> Result<bool> {
        match self.value {
            Value::Null => Ok(false),
            Value::Bool(yes) => Ok(*yes),
            _ => Err(self.unexpected("true or false")),
        }
    }

    fn time(&self) -> Result<Option<prost_types::Timestamp>> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(wire_time(text).ok_or_else(|| self.unexpected(TIME))?)),
            _ => Err(self.unexpected(TIME)),
        }
    }
}

/// The time that a server would send. Go's last one is 26 hours after that of [`Timestamp`].
fn wire_time(text: &str) -> Option<prost_types::Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
        return Some(prost_types::Timestamp { seconds, nanos });
    }
    let time: DateTime = text.strip_suffix('Z').filter(|time| time.contains('T'))?.parse().ok()?;
    let since = time.duration_since(date(1970, 1, 1).at(0, 0, 0, 0));
    Some(prost_types::Timestamp { seconds: since.as_secs(), nanos: since.subsec_nanos() })
}

fn request(node: &Node<'_>) -> Result<AccessRequest> {
    let kind = node.at("kind")?;
    if kind.value.as_str() != Some(KIND) {
        return Err(kind.unexpected("\"access_request\""));
    }
    let (metadata, spec) = (node.at("metadata")?, node.at("spec")?);
    let name = metadata.at("name")?;
    if name.text()?.is_empty() {
        return Err(name.unexpected("the request's id"));
    }
    let message = wire::AccessRequestV3 {
        metadata: Some(wire::Metadata {
            name: name.text()?,
            expires: metadata.at("expires")?.time()?,
            revision: metadata.at("revision")?.text()?,
            ..wire::Metadata::default()
        }),
        spec: Some(self::spec(&spec)?),
        ..wire::AccessRequestV3::default()
    };
    access_request(message).ok_or_else(|| RequestJsonError::DryRun { path: node.path.clone() })
}

fn spec(spec: &Node<'_>) -> Result<wire::AccessRequestSpecV3> {
    let list = spec.at("access_list")?;
    Ok(wire::AccessRequestSpecV3 {
        user: spec.at("user")?.text()?,
        roles: spec.at("roles")?.texts()?,
        state: spec.at("state")?.number()?,
        created: spec.at("created")?.time()?,
        expires: spec.at("expires")?.time()?,
        request_reason: spec.at("request_reason")?.text()?,
        resolve_reason: spec.at("resolve_reason")?.text()?,
        thresholds: spec.at("thresholds")?.items()?.iter().map(threshold).collect::<Result<_>>()?,
        reviews: spec.at("reviews")?.items()?.iter().map(review).collect::<Result<_>>()?,
        suggested_reviewers: spec.at("suggested_reviewers")?.texts()?,
        requested_resource_ids: spec
            .at("resource_ids")?
            .items()?
            .iter()
            .map(resource)
            .collect::<Result<_>>()?,
        dry_run: spec.at("dry_run")?.flag()?,
        max_duration: spec.at("max_duration")?.time()?,
        access_list: Some(wire::PromotedAccessList {
            name: list.at("name")?.text()?,
            title: list.at("title")?.text()?,
        }),
        assume_start_time: spec.at("assume_start_time")?.time()?,
        resource_expiry: spec.at("expiry")?.time()?,
        request_kind: spec.at("request_kind")?.number()?,
        ..wire::AccessRequestSpecV3::default()
    })
}

fn threshold(node: &Node<'_>) -> Result<wire::AccessReviewThreshold> {
    Ok(wire::AccessReviewThreshold {
        name: node.at("name")?.text()?,
        filter: node.at("filter")?.text()?,
        approve: node.at("approve")?.number()?,
        deny: node.at("deny")?.number()?,
    })
}

fn review(node: &Node<'_>) -> Result<wire::AccessReview> {
    Ok(wire::AccessReview {
        author: node.at("author")?.text()?,
        proposed_state: node.at("proposed_state")?.number()?,
        reason: node.at("reason")?.text()?,
        created: node.at("created")?.time()?,
        ..wire::AccessReview::default()
    })
}

fn resource(node: &Node<'_>) -> Result<wire::ResourceId> {
    Ok(wire::ResourceId {
        cluster_name: node.at("cluster")?.text()?,
        kind: node.at("kind")?.text()?,
        name: node.at("name")?.text()?,
        sub_resource_name: node.at("sub_resource")?.text()?,
    })
}

#[cfg(test)]
mod tests;
