//! Fetches a request again where the last list or event may be out of date.
//!
//! Lists lag, other daemons see events earlier, clocks differ, and without rights Teleport lists nothing. So a request is
//! fetched by its id before a message loses its buttons. A request that is not found counts as deleted only if the rights prove
//! it (`teleport_client::rights`).

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::lifecycle::{PENDING_CONFIRMATION_TTL, expires_at, needs_refetch};
use access_core::domain::request::AccessRequest;
use access_core::record::Record;
use jiff::Timestamp;
use tracing::{debug, error};

use super::reconcile_error::ReconcileError;
use super::retry_state::{Observation, Observed, later};
use crate::observe::log_once::SharedLogOnce;
use crate::supervise::clock::Clock;
use teleport_client::error::TeleportError;

/// Whether the request exists in Teleport.
#[derive(Debug)]
pub(super) enum Presence {
    /// The request exists.
    Present(Arc<Observation>),
    /// The request was deleted, with its last state, if seen.
    Deleted(Option<Arc<Observation>>),
    /// Teleport does not show the request, which proves nothing.
    Unconfirmed,
}

impl Presence {
    pub(super) fn current(&self) -> Option<&AccessRequest> {
        match self {
            Self::Present(observation) => Some(&observation.request),
            Self::Deleted(_) | Self::Unconfirmed => None,
        }
    }

    /// The last state of a deleted request.
    pub(super) fn last_seen(&self) -> Option<&AccessRequest> {
        match self {
            Self::Deleted(Some(observation)) => Some(&observation.request),
            Self::Present(_) | Self::Deleted(None) | Self::Unconfirmed => None,
        }
    }
}

/// Fetches the request by its id if the last observation may be out of date or may prove nothing.
pub(super) async fn refetch_if_stale(
    teleport: &teleport_client::Client,
    (clock, log_once): (&Clock, &SharedLogOnce),
    id: &RequestId,
    seen: &Observed,
    record: &Record,
) -> Result<Presence, ReconcileError> {
    let before = match seen {
        Observed::Deleted(last) => return Ok(Presence::Deleted(last.clone())),
        Observed::Unlisted(None) if record.known.is_none() => return Ok(Presence::Deleted(None)),
        Observed::Unlisted(last) => last.clone(),
        Observed::Present(observation) => {
            let shown = record.deliveries.iter().filter_map(|d| Some(d.displayed.as_ref()?.phase));
            let is_stale = needs_refetch(&observation.request, record.known.as_ref(), shown);
            if !is_stale && !has_expired(&observation.request, clock.now()) {
                return Ok(Presence::Present(Arc::clone(observation)));
            }
            Some(Arc::clone(observation))
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
                // The last observation is the best there is.
                Observed::Present(observation)
                    if !has_expired(&observation.request, clock.now())
                        || observation.observed_at.elapsed() < PENDING_CONFIRMATION_TTL =>
                {
                    Ok(Presence::Present(Arc::clone(observation)))
                }
                _ => Ok(Presence::Unconfirmed),
            }
        }
        Err(error) => Err(ReconcileError::read(error)),
    }
}

/// Whether a pending request has expired by our clock. Only Teleport knows for sure.
fn has_expired(request: &AccessRequest, now: Timestamp) -> bool {
    expires_at(request).is_some_and(|end| end <= now)
}

/// When to fetch a pending request again that has expired by our clock alone.
pub(super) fn refetch_at(presence: &Presence, now: Timestamp) -> Option<Timestamp> {
    let Presence::Present(observation) = presence else { return None };
    if !has_expired(&observation.request, now) {
        return None;
    }
    let left: Duration = PENDING_CONFIRMATION_TTL.saturating_sub(observation.observed_at.elapsed());
    Some(later(now, left))
}
