//! Carries out what votes in Slack decided: reads the request again, sets its state, lets Teleport confirm it.
//!
//! Called by whoever took the deciding vote (`clicks`), and by the visits (`reconciler`) if that one died.

use access_core::ids::RequestId;
use access_core::policy::Resolution;
use access_core::request::{AccessRequest, RequestState};

use crate::teleport;
use crate::teleport::decide::{DecideError, SetState};

/// What became of a resolution.
pub(super) enum Carried {
    /// Teleport confirmed it.
    Out,
    /// The request, which was not pending any more.
    Overtaken(Box<AccessRequest>),
    /// The request is gone.
    Gone,
}

/// Sets in Teleport what the votes decided, if the request still waits; an old server would turn a decided one.
pub(super) async fn carry_out(
    teleport: &teleport::Client,
    id: &RequestId,
    resolution: &Resolution,
) -> Result<Carried, DecideError> {
    let Some(request) = teleport.get_request(id).await.map_err(DecideError::Failed)? else {
        return Ok(Carried::Gone);
    };
    if request.state == resolution.decision.state() {
        return Ok(Carried::Out);
    }
    if request.state != RequestState::Pending {
        return Ok(Carried::Overtaken(Box::new(request)));
    }
    let set = SetState {
        id: id.clone(),
        decision: resolution.decision,
        delegator: resolution.delegator.clone(),
        reason: resolution.reason.clone(),
        annotations: resolution.annotations.clone(),
    };
    teleport.set_state(&set).await.map(|_| Carried::Out)
}
