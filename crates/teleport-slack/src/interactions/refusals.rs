//! The refusals that follow from what Teleport answered.

use access_core::domain::decision::Decision;
use access_core::domain::ids::RequestId;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::policy::refusal::{Newer, Refusal};

use crate::review::voters::teleport_refusal;
use teleport_client::decisions::DecideError;
use teleport_client::refusal::Refusal as TeleportRefusal;

/// The refusal for a decision that Teleport did not take, where no more specific one fits.
pub(super) fn refusal_if_not_applied(error: &DecideError) -> Refusal {
    match (error.refusal(), error) {
        (Some(TeleportRefusal::MfaRequired), _) => Refusal::SecondFactor,
        (Some(TeleportRefusal::AccessDenied(_) | TeleportRefusal::NotPermitted), _) => {
            Refusal::TeleportForbids
        }
        (Some(_), _) => Refusal::TeleportRefused,
        (None, DecideError::Failed(error)) => teleport_refusal(error),
        (None, _) => Refusal::TeleportUnreachable,
    }
}

/// The refusal for a request that is not pending any more.
pub(super) fn already_resolved(request: AccessRequest) -> Refusal {
    match Decision::of_state(request.state) {
        Some(decision) => {
            Refusal::AlreadyDecided { decision, by: Vec::new(), reason: request.resolve_reason }
        }
        None => match request.state {
            RequestState::Promoted => Refusal::Promoted,
            RequestState::Unknown(number) => Refusal::Newer(Newer::State(number)),
            _ => Refusal::TeleportRefused,
        },
    }
}

/// Reads the request again for the refusal, because it is not pending any more.
pub(super) async fn refusal_if_resolved(teleport: &teleport_client::Client, id: &RequestId) -> Refusal {
    match teleport.get_request(id).await {
        Ok(Some(request)) => already_resolved(request),
        Ok(None) => Refusal::Deleted,
        Err(_) => Refusal::TeleportRefused,
    }
}
