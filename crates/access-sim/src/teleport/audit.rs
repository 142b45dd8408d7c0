//! The audit log that the simulated server keeps of access requests.

use jiff::Timestamp;
use serde::Serialize;

use super::fixture::Labels;
use super::request::RequestState;

/// The kinds of event about access requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AuditKind {
    /// A request was made.
    #[serde(rename = "access_request.create")]
    Create,
    /// Its state was set.
    #[serde(rename = "access_request.update")]
    Update,
    /// It was reviewed.
    #[serde(rename = "access_request.review")]
    Review,
    /// It was deleted (newer servers).
    #[serde(rename = "access_request.delete")]
    Delete,
    /// It expired (newest servers).
    #[serde(rename = "access_request.expire")]
    Expire,
}

impl AuditKind {
    /// Teleport's event code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Create => "T5000I",
            Self::Update => "T5001I",
            Self::Review => "T5002I",
            Self::Delete => "T5003I",
            Self::Expire => "T5005I",
        }
    }
}

/// One line of the audit log; fields that do not belong to the kind are empty.
#[derive(Clone, Debug, Serialize)]
pub struct AuditEvent {
    /// The cluster's time of the event.
    pub time: Timestamp,
    /// The kind of event.
    #[serde(rename = "event")]
    pub kind: AuditKind,
    /// Teleport's code for it.
    pub code: &'static str,
    /// Who made the call.
    pub user: String,
    /// The request.
    #[serde(rename = "id")]
    pub request_id: String,
    /// Its state afterwards.
    pub state: RequestState,
    /// What a review proposed.
    pub proposed_state: Option<RequestState>,
    /// Author of a review.
    pub reviewer: Option<String>,
    /// The plugin that sent a review for its author.
    pub submitted_by: Option<String>,
    /// In whose name the caller set a state.
    pub delegator: Option<String>,
    /// The reason given.
    pub reason: String,
    /// Roles of the request.
    pub roles: Vec<String>,
    /// Annotations that came with the change.
    pub annotations: Labels,
}
