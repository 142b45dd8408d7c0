//! Whether the plugin has a right, found by a call that needs it and changes nothing.
//!
//! Roles alone do not say: they may have conditions, and the cluster may ask for a second factor. So the call itself is
//! made, about a request or a user that does not exist, with an id drawn at random. Teleport checks the right first. "Not
//! found" then means that the right is there, and "access denied to perform action" that it is missing. Writes could do no
//! harm even if the id existed: the state would be "denied", and plugin data would have to match an entry that nothing
//! writes. Captured from real servers (`vectors/`):
//!
//! | probe | there | missing |
//! |---|---|---|
//! | [`Probe::WritePluginData`] | `plugin-data-missing-request` (6.2.1, 15.1.9) | none; said as for the others |
//! | [`Probe::ReadPluginData`] | `plugin-data-absent` (6.2.1, 15.1.9) | `plugin-data-without-read`, `plugin-data-without-rights` (15.1.9) |
//! | [`Probe::SetState`] | `set-state-missing` (15.1.9), `set-state-deleted` (6.2.1) | `set-state-readonly` (6.2.1, 15.1.9) |
//! | [`Probe::ReadUser`] | `get-user-missing` (15.1.9) | `get-user-without-right` (15.1.9) |
//! | [`Probe::ListUsers`] | `list-users-page` (15.1.9) | `list-users-without-list` (15.1.9) |
//! | [`Client::review_refusal`] | `review-missing` (15.1.9 Enterprise, for the caller's own review) | `review-on-behalf` (6.2.1, 15.1.9) |
//!
//! 15.3.1 was asked the same as 15.1.9 and answered the same. No probe shows whether all access requests are seen, because
//! their lists never fail for a missing right: an empty list may hide them. [`Client::visibility`] reads it from the roles.

use access_core::domain::decision::Decision;
use access_core::domain::ids::RequestId;
use jiff::Timestamp;

use super::client::Client;
use super::decisions::{DecideError, SetState, SubmitReview};
use super::denied::AccessDenied;
use super::error::{Call, ErrorKind, TeleportError};
use super::plugin_data::Fields;
use super::refusal::Refusal;

/// The name that the audit log would have for a change, which is never made.
const DELEGATOR: &str = "teleport-slack";

/// A key of plugin data that nothing writes.
const PROBE_KEY: &str = "x_probe";

/// A right that a call can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// Reading the records of requests.
    ReadPluginData,
    /// Writing them.
    WritePluginData,
    /// Setting the state of requests, past all reviews.
    SetState,
    /// Reading one user.
    ReadUser,
    /// Listing all users.
    ListUsers,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ReadPluginData, Self::WritePluginData, Self::SetState, Self::ReadUser, Self::ListUsers];

    /// The call that is made; [`Call::required_permission`] says what a role must have for it.
    pub fn call(self) -> Call {
        match self {
            Self::ReadPluginData => Call::GetPluginData,
            Self::WritePluginData => Call::UpdatePluginData,
            Self::SetState => Call::SetAccessRequestState,
            Self::ReadUser => Call::GetUser,
            Self::ListUsers => Call::ListUsers,
        }
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// It is there.
    Granted,
    /// It is missing.
    Missing,
    /// The cluster asks for a second factor before anything else, which no program has.
    NeedsSecondFactor,
    /// The server refused in other words, or does not have the call: these are its words, shortened.
    Unknown(String),
}

impl Client {
    /// Whether the plugin has this right. At most 15 s a call, 60 s for [`Probe::ListUsers`].
    ///
    /// # Errors
    /// If the server does not answer, breaks off, or rejects the plugin itself ([`TeleportError::denied`]).
    pub async fn probe(&self, probe: Probe) -> Result<Right, TeleportError> {
        let id = RequestId::new(random_id());
        match probe {
            Probe::ReadPluginData => right(self.get_record(&id).await),
            Probe::WritePluginData => {
                let entry = |value: &str| Fields::from([(PROBE_KEY.to_owned(), value.to_owned())]);
                right(self.update_record(&id, &entry("1"), &entry("0")).await)
            }
            Probe::SetState => {
                let set = SetState {
                    id,
                    decision: Decision::Deny,
                    delegator: DELEGATOR.to_owned(),
                    reason: String::new(),
                    annotations: Default::default(),
                };
                right_to_decide(self.set_state(&set).await.err())
            }
            Probe::ReadUser => right(self.get_user(&format!("{}@nowhere.invalid", random_id())).await),
            Probe::ListUsers => right(self.begin_listing_users().await),
        }
    }

    /// Why Teleport would refuse a review that the plugin submits for this user; `None` if it would take it. The server must
    /// have reviews that plugins submit ([`Client::review_support`]). The user must be a Teleport user: the right may
    /// hold for some only. At most 15 s.
    ///
    /// # Errors
    /// If the server does not answer, or breaks off.
    pub async fn review_refusal(&self, author: &str) -> Result<Option<Refusal>, TeleportError> {
        let review = SubmitReview {
            id: RequestId::new(random_id()),
            author: author.to_owned(),
            decision: Decision::Deny,
            reason: String::new(),
        };
        match self.submit_review(&review, Timestamp::now()).await {
            Err(DecideError::Refused { refusal: Refusal::NotFound, .. }) => Ok(None),
            Err(DecideError::Refused { refusal, .. }) => Ok(Some(refusal)),
            Err(DecideError::Failed(error)) => Err(error),
            // A request of this id exists after all.
            Ok(_) | Err(DecideError::NotConfirmed { .. }) => Ok(None),
        }
    }
}

/// From the answer about something that does not exist.
fn right<T>(answer: Result<T, TeleportError>) -> Result<Right, TeleportError> {
    let Err(error) = answer else { return Ok(Right::Granted) };
    match (error.denied(), error.kind()) {
        (Some(AccessDenied::MissingPermission), _) => Ok(Right::Missing),
        (Some(AccessDenied::MfaRequired), _) => Ok(Right::NeedsSecondFactor),
        (Some(AccessDenied::Unrecognized), _) | (None, ErrorKind::Unimplemented | ErrorKind::Permanent) => {
            Ok(Right::Unknown(error.to_string()))
        }
        (None, ErrorKind::NotFound | ErrorKind::Conflict) => Ok(Right::Granted),
        _ => Err(error),
    }
}

/// From the refusal to decide a request that does not exist.
fn right_to_decide(refused: Option<DecideError>) -> Result<Right, TeleportError> {
    match refused {
        None | Some(DecideError::NotConfirmed { .. }) => Ok(Right::Granted),
        Some(DecideError::Failed(error)) => right(Err::<(), _>(error)),
        Some(error @ DecideError::Refused { refusal, .. }) => Ok(match refusal {
            Refusal::NotFound => Right::Granted,
            Refusal::NotPermitted => Right::Missing,
            Refusal::MfaRequired => Right::NeedsSecondFactor,
            _ => Right::Unknown(error.to_string()),
        }),
    }
}

/// A UUID of version 4, as ids of requests are.
fn random_id() -> String {
    let bits = fastrand::u128(..);
    let hex = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests;
