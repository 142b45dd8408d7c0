//! What Teleport says of a request at this moment, where what we were told may not be the last word.
//!
//! Lists lag, other daemons are told earlier, clocks differ, and without rights Teleport lists nothing. So whatever
//! would take something back is asked for by the request's id first, and what is not found counts as gone only if
//! the rights prove it (`teleport::rights`).

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::lifecycle::{PENDING_CONFIRMATION_TTL, expires_at, needs_refetch};
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::plan::{Plan, Step};
use access_core::record::Record;
use jiff::Timestamp;
use tracing::{debug, error};

use super::reconcile_error::ReconcileError;
use super::retry_state::{Observation, Observed, later};
use crate::observe::log_once::LogOnce;
use crate::supervise::clock::Clock;
use crate::teleport;
use crate::teleport::error::TeleportError;

/// What Teleport says.
#[derive(Debug)]
pub(super) enum Presence {
    /// It is there, like this.
    Present(Arc<Observation>),
    /// It is gone; before, if we saw it, it was like this.
    Deleted(Option<Arc<Observation>>),
    /// It is not shown to us, which proves nothing.
    Unconfirmed,
}

impl Presence {
    pub(super) fn current(&self) -> Option<&AccessRequest> {
        match self {
            Self::Present(sighting) => Some(&sighting.request),
            Self::Deleted(_) | Self::Unconfirmed => None,
        }
    }

    /// How the request was before it went.
    pub(super) fn last_seen(&self) -> Option<&AccessRequest> {
        match self {
            Self::Deleted(Some(sighting)) => Some(&sighting.request),
            Self::Present(_) | Self::Deleted(None) | Self::Unconfirmed => None,
        }
    }
}

/// Asks for the request by its id if what was told may be out of date or may mean nothing.
pub(super) async fn refetch_if_stale(
    teleport: &teleport::Client,
    (clock, log_once): (&Clock, &LogOnce),
    id: &RequestId,
    seen: &Observed,
    record: &Record,
) -> Result<Presence, ReconcileError> {
    let before = match seen {
        Observed::Deleted(last) => return Ok(Presence::Deleted(last.clone())),
        Observed::Unlisted(None) if record.known.is_none() => return Ok(Presence::Deleted(None)),
        Observed::Unlisted(last) => last.clone(),
        Observed::Present(sighting) => {
            let shown = record.deliveries.iter().filter_map(|d| Some(d.displayed.as_ref()?.phase));
            let is_stale = needs_refetch(&sighting.request, record.known.as_ref(), shown);
            if !is_stale && !has_expired(&sighting.request, clock.now()) {
                return Ok(Presence::Present(Arc::clone(sighting)));
            }
            Some(Arc::clone(sighting))
        }
    };
    match teleport.get_request(id).await {
        Ok(Some(request)) => Ok(Presence::Present(Observation::now(request))),
        Ok(None) => Ok(Presence::Deleted(before)),
        Err(error @ TeleportError::NotVisible { .. }) => {
            if log_once.should_log("absences", &error.to_string()) {
                error!(request = %id, "A request is not found: {error}");
            } else {
                debug!(request = %id, "A request is not found: {error}");
            }
            match seen {
                // Nothing better than what was told.
                Observed::Present(sighting)
                    if !has_expired(&sighting.request, clock.now())
                        || sighting.observed_at.elapsed() < PENDING_CONFIRMATION_TTL =>
                {
                    Ok(Presence::Present(Arc::clone(sighting)))
                }
                _ => Ok(Presence::Unconfirmed),
            }
        }
        Err(error) => Err(ReconcileError::read(error)),
    }
}

/// Whether our clock says that a pending request is over. Only Teleport knows.
fn has_expired(request: &AccessRequest, now: Timestamp) -> bool {
    expires_at(request).is_some_and(|end| end <= now)
}

/// When to ask again about a pending request that is over by our clock alone.
pub(super) fn refetch_at(word: &Presence, now: Timestamp) -> Option<Timestamp> {
    let Presence::Present(sighting) = word else { return None };
    if !has_expired(&sighting.request, now) {
        return None;
    }
    let left: Duration = PENDING_CONFIRMATION_TTL.saturating_sub(sighting.observed_at.elapsed());
    Some(later(now, left))
}

/// Takes out of a plan what would show that the request is gone, which is not proved: until its own time is over only
/// posts in doubt are looked for.
pub(super) fn drop_unconfirmed(plan: &mut Plan, known: Option<&AccessRequest>, now: Timestamp) {
    let Some(known) = known.filter(|known| known.state == RequestState::Pending) else { return };
    if has_expired(known, now) {
        return;
    }
    plan.operations.retain(|(_, steps)| matches!(steps.as_slice(), [Step::VerifyPost(_)]));
    plan.requeue_at = plan.requeue_at.into_iter().chain(expires_at(known)).min();
}
