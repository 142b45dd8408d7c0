//! What Teleport says of a request at this moment, where what we were told may not be the last word.
//!
//! Lists lag, other daemons are told earlier, clocks differ, and without rights Teleport lists nothing. So whatever
//! would take something back is asked for by the request's id first, and what is not found counts as gone only if
//! the rights prove it (`teleport::rights`).

use std::sync::Arc;
use std::time::Duration;

use access_core::ids::RequestId;
use access_core::lifecycle::{WORD_HOLDS, ends_at, is_doubtful};
use access_core::plan::{Plan, Step};
use access_core::record::Record;
use access_core::request::{AccessRequest, RequestState};
use jiff::Timestamp;
use tracing::{debug, error};

use super::memory::{Seen, Sighting, later};
use super::reconciler::{Reconciler, Trouble};
use crate::teleport::error::TeleportError;

/// What Teleport says.
#[derive(Debug)]
pub(super) enum Word {
    /// It is there, like this.
    There(Arc<Sighting>),
    /// It is gone; before, if we saw it, it was like this.
    Gone(Option<Arc<Sighting>>),
    /// It is not shown to us, which proves nothing.
    Unproven,
}

impl Word {
    pub(super) fn listed(&self) -> Option<&AccessRequest> {
        match self {
            Self::There(sighting) => Some(&sighting.request),
            Self::Gone(_) | Self::Unproven => None,
        }
    }

    /// How the request was before it went.
    pub(super) fn last(&self) -> Option<&AccessRequest> {
        match self {
            Self::Gone(Some(sighting)) => Some(&sighting.request),
            Self::There(_) | Self::Gone(None) | Self::Unproven => None,
        }
    }
}

impl Reconciler {
    /// Asks for the request by its id if what was told may be out of date or may mean nothing.
    pub(super) async fn look(&self, id: &RequestId, seen: &Seen, record: &Record) -> Result<Word, Trouble> {
        let before = match seen {
            Seen::Deleted(last) => return Ok(Word::Gone(last.clone())),
            Seen::Missing(None) if record.known.is_none() => return Ok(Word::Gone(None)),
            Seen::Missing(last) => last.clone(),
            Seen::Listed(sighting) => {
                let shown = record.deliveries.iter().filter_map(|d| Some(d.shown.as_ref()?.phase));
                let is_doubtful = is_doubtful(&sighting.request, record.known.as_ref(), shown);
                if !is_doubtful && !is_over(&sighting.request, self.clock.now()) {
                    return Ok(Word::There(Arc::clone(sighting)));
                }
                Some(Arc::clone(sighting))
            }
        };
        match self.teleport.get_request(id).await {
            Ok(Some(request)) => Ok(Word::There(Sighting::now(request))),
            Ok(None) => Ok(Word::Gone(before)),
            Err(error @ TeleportError::Hidden { .. }) => {
                if self.complaints.open("absences", &error.to_string()) {
                    error!(request = %id, "A request is not found: {error}");
                } else {
                    debug!(request = %id, "A request is not found: {error}");
                }
                match seen {
                    // Nothing better than what was told.
                    Seen::Listed(sighting)
                        if !is_over(&sighting.request, self.clock.now())
                            || sighting.at.elapsed() < WORD_HOLDS =>
                    {
                        Ok(Word::There(Arc::clone(sighting)))
                    }
                    _ => Ok(Word::Unproven),
                }
            }
            Err(error) => Err(Trouble::reading(error)),
        }
    }
}

/// Whether our clock says that a pending request is over. Only Teleport knows.
fn is_over(request: &AccessRequest, now: Timestamp) -> bool {
    ends_at(request).is_some_and(|end| end <= now)
}

/// When to ask again about a pending request that is over by our clock alone.
pub(super) fn ask_again(word: &Word, now: Timestamp) -> Option<Timestamp> {
    let Word::There(sighting) = word else { return None };
    if !is_over(&sighting.request, now) {
        return None;
    }
    let left: Duration = WORD_HOLDS.saturating_sub(sighting.at.elapsed());
    Some(later(now, left))
}

/// Takes out of a plan what would show that the request is gone, which is not proved: until its own time is over only
/// posts in doubt are looked for.
pub(super) fn hold(plan: &mut Plan, known: Option<&AccessRequest>, now: Timestamp) {
    let Some(known) = known.filter(|known| known.state == RequestState::Pending) else { return };
    if is_over(known, now) {
        return;
    }
    plan.errands.retain(|(_, steps)| matches!(steps.as_slice(), [Step::Settle(_)]));
    plan.look_again = plan.look_again.into_iter().chain(ends_at(known)).min();
}
