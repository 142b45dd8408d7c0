//! The two ways to decide a request: a review in a person's name, or setting the state past all reviews.
//!
//! Nothing here counts as done before the server has shown it: an answer without the review, or a request in
//! another state, is an error. Who may decide is the server's or the policy's matter. Read the request first
//! ([`Client::get_request`]) and leave it alone unless it is pending: old servers let a decision be overturned.

use std::collections::BTreeMap;

use access_core::domain::decision::Decision;
use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use bytes::Bytes;
use jiff::Timestamp;
use teleport_proto::auth as wire;
use tonic::Status;

use super::client::Client;
use super::convert;
use super::denied::MFA_REMEDY;
use super::error::{Call, ErrorKind, TeleportError};
use super::refusal::{self, Refusal};
use super::text::quote;

/// A decision as Teleport's API spells it.
fn to_proto(decision: Decision) -> wire::RequestState {
    match decision {
        Decision::Approve => wire::RequestState::Approved,
        Decision::Deny => wire::RequestState::Denied,
    }
}

/// A person's review, sent by the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitReview {
    /// The id of the request, a UUID.
    pub id: RequestId,
    /// The Teleport user whose review it is; never empty, which would mean the plugin's own.
    pub author: String,
    /// Whether the review approves or denies.
    pub decision: Decision,
    /// Why; may be empty. At most 4096 bytes on newer servers.
    pub reason: String,
}

impl SubmitReview {
    /// Whether the request has this review: of this author, for this decision. To be asked of a fresh copy when a
    /// call ended without an answer.
    pub fn is_recorded_in(&self, request: &AccessRequest) -> bool {
        let same =
            |author: &str, proposed| author == self.author.as_str() && proposed == self.decision.state();
        request.id == self.id && request.reviews.iter().any(|review| same(&review.author, review.proposed))
    }
}

/// A change of state in a person's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetState {
    /// The id of the request, a UUID.
    pub id: RequestId,
    /// The state to set: approved or denied.
    pub decision: Decision,
    /// The Teleport user in whose name, for the audit log; never empty.
    pub delegator: String,
    /// Why; may be empty.
    pub reason: String,
    /// For the audit log and the request: where the decision came from.
    pub annotations: BTreeMap<String, Vec<String>>,
}

/// A decision that was not applied, or may not have been.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DecideError {
    /// Teleport refused; nothing was changed.
    #[error("Teleport refused {call} for request {id}: {message}{}", remedy(*.call, *.refusal))]
    Refused {
        /// The gRPC method that was called.
        call: Call,
        /// The id of the request, a UUID.
        id: RequestId,
        /// What the refusal means.
        refusal: Refusal,
        /// The server's words, shortened.
        message: String,
    },

    /// Teleport answered, but did not show the decision; it must not be reported as done.
    #[error("Teleport answered {call} for request {id}, but the decision is not confirmed: {cause}")]
    NotConfirmed {
        /// The gRPC method that was called.
        call: Call,
        /// The id of the request, a UUID.
        id: RequestId,
        /// What was found instead.
        cause: String,
    },

    /// The call failed. If its kind is [`ErrorKind::Retry`], Teleport may have applied the decision nevertheless:
    /// read the request again.
    #[error(transparent)]
    Failed(#[from] TeleportError),
}

impl DecideError {
    /// What the refusal means, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            Self::NotConfirmed { .. } | Self::Failed(_) => None,
        }
    }

    /// Whether Teleport may have applied the decision although this is an error.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::NotConfirmed { .. } => true,
            // What never had a connection was not sent.
            Self::Failed(TeleportError::Connect(_)) => false,
            Self::Failed(error) => error.kind() == ErrorKind::Retry,
        }
    }

    fn refused(call: Call, id: &RequestId, refusal: Refusal, message: &str) -> Self {
        Self::Refused { call, id: id.clone(), refusal, message: quote(message) }
    }

    fn from_status(call: Call, id: &RequestId, user: &str, status: &Status) -> Self {
        let error = TeleportError::from_status(call, status);
        // A status with a source was made on our side, from a broken connection.
        let from_server = std::error::Error::source(status).is_none();
        match refusal::classify(call, status, user).filter(|_| from_server) {
            Some(refusal) => Self::refused(call, id, refusal, status.message()),
            None => Self::Failed(error),
        }
    }
}

/// The end of the text about a refusal that the operator can do something about.
fn remedy(call: Call, refusal: Refusal) -> String {
    let right = call.required_permission().unwrap_or_default();
    match refusal {
        Refusal::NotSupported => format!(
            "; this needs Teleport Enterprise of a release that lets plugins submit reviews for users, and for the \
             plugin's Teleport user a role whose {right}"
        ),
        Refusal::NotPermitted => format!("; the plugin's Teleport user needs a role whose {right}"),
        Refusal::AccessDenied(denied) => format!("; {}", denied.remedy(call)),
        Refusal::MfaRequired => format!("; {MFA_REMEDY}"),
        Refusal::AuthorNotEligible
        | Refusal::AlreadyReviewed
        | Refusal::AlreadyResolved
        | Refusal::AuthorUnknown
        | Refusal::LongTerm
        | Refusal::NotFound
        | Refusal::Other => String::new(),
    }
}

impl Client {
    /// Reviews a request in the name of `review.author`, as of `now`, and returns the request with the review.
    /// At most 15 s.
    pub async fn submit_review(
        &self,
        review: &SubmitReview,
        now: Timestamp,
    ) -> Result<AccessRequest, DecideError> {
        let call = Call::SubmitAccessReview;
        let id = &review.id;
        if review.author.is_empty() {
            return Err(DecideError::refused(call, id, Refusal::AuthorUnknown, "no author is named"));
        }
        let message = wire::AccessReviewSubmission {
            request_id: id.as_str().to_owned(),
            review: Some(wire::AccessReview {
                author: to_bytes(&review.author),
                proposed_state: to_proto(review.decision).into(),
                reason: to_bytes(&review.reason),
                created: Some(prost_types::Timestamp {
                    seconds: now.as_second(),
                    nanos: now.subsec_nanosecond(),
                }),
                // A server that does not know this flag takes the call for an attempt to review as another
                // user, and refuses. It fills in `submitted_by` itself.
                is_submitted_by_plugin: true,
                ..wire::AccessReview::default()
            }),
        };
        let mut rpc = self.rpc();
        let answer = self.run_call_raw(call, self.timings().call, rpc.submit_access_review(message)).await?;
        let answer = answer.map_err(|status| DecideError::from_status(call, id, &review.author, &status))?;
        convert::access_request(answer).filter(|request| review.is_recorded_in(request)).ok_or_else(|| {
            let cause = format!("the answer does not show the review of {}", quote(&review.author));
            DecideError::NotConfirmed { call, id: id.clone(), cause }
        })
    }

    /// Sets the state of a request in the name of `set.delegator`, past all reviews and thresholds; reads the
    /// request again and returns it. At most 15 s for each.
    pub async fn set_state(&self, set: &SetState) -> Result<AccessRequest, DecideError> {
        let call = Call::SetAccessRequestState;
        let id = &set.id;
        if set.delegator.is_empty() {
            return Err(DecideError::refused(call, id, Refusal::AuthorUnknown, "no delegator is named"));
        }
        let entry = |(key, values): (&String, &Vec<String>)| wire::LabelEntry {
            key: to_bytes(key),
            value: Some(wire::StringValues { values: values.iter().map(|value| to_bytes(value)).collect() }),
        };
        let message = wire::RequestStateSetter {
            id: id.as_str().to_owned(),
            state: to_proto(set.decision).into(),
            delegator: to_bytes(&set.delegator),
            reason: to_bytes(&set.reason),
            annotations: Some(wire::LabelValues { values: set.annotations.iter().map(entry).collect() }),
            ..wire::RequestStateSetter::default()
        };
        let mut rpc = self.rpc();
        let answer =
            self.run_call_raw(call, self.timings().call, rpc.set_access_request_state(message)).await?;
        answer.map_err(|status| DecideError::from_status(call, id, &set.delegator, &status))?;
        let cause = match self.get_request(id).await {
            Ok(Some(request)) if request.state == set.decision.state() => return Ok(request),
            Ok(Some(request)) => format!("it is {}", describe_state(request.state)),
            Ok(None) => "it is gone".to_owned(),
            Err(error) => format!("it could not be read again: {error}"),
        };
        Err(DecideError::NotConfirmed { call, id: id.clone(), cause })
    }
}

fn to_bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn describe_state(state: RequestState) -> &'static str {
    match state {
        RequestState::Pending => "still pending",
        RequestState::Approved => "approved",
        RequestState::Denied => "denied",
        RequestState::Promoted => "promoted to an access list",
        RequestState::Unknown(_) => "in a state that this version does not know",
    }
}

#[cfg(test)]
mod tests;
