//! Which phase a request is in: one total function of what Teleport says, what the record remembers, and now.
//!
//! It looks at nothing else; in particular not at which event arrived. See `plan` for what follows from it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::request::{AccessRequest, RequestState};

/// How long after its expiry Teleport is asked whether a pending request is over: its own deletion may lag by hours, and
/// our clock may run a little ahead of the server's.
pub const EXPIRY_GRACE: SignedDuration = SignedDuration::from_secs(5);

/// How long before its recorded expiry a vanished request still counts as expired, not deleted: our clock may
/// run behind the server's.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// How long Teleport's word that a request is pending holds against our clock.
pub const PENDING_CONFIRMATION_TTL: Duration = Duration::from_secs(60);

/// The status of a request. Only `Pending` is open; the others ask for no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for a decision.
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
    /// Became membership of an access list.
    Promoted,
    /// No reviewer decided in time.
    Expired,
    /// Deleted before a decision.
    Deleted,
    /// In a state that this version does not know, or gone from there.
    Unknown,
}

impl Phase {
    /// Each phase once.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Promoted,
        Self::Expired,
        Self::Deleted,
        Self::Unknown,
    ];

    /// The word for it, as the record has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Promoted => "promoted",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a decision can still come.
    pub fn is_open(self) -> bool {
        self == Phase::Pending
    }
}

/// The phase of a request.
///
/// `listed` is the request as Teleport lists it now, `None` if Teleport lists it no more; `remembered` is the
/// last word of Teleport that the record holds. An outcome that Teleport once confirmed survives the request.
pub fn phase(listed: Option<&AccessRequest>, remembered: Option<&AccessRequest>, now: Timestamp) -> Phase {
    match (listed, remembered) {
        (Some(request), _) => match request.state {
            RequestState::Approved => Phase::Approved,
            RequestState::Denied => Phase::Denied,
            RequestState::Promoted => Phase::Promoted,
            RequestState::Unknown(_) => Phase::Unknown,
            // What Teleport shows as pending is not over, whatever our clock says.
            RequestState::Pending => Phase::Pending,
        },
        (None, Some(request)) => match request.state {
            RequestState::Approved => Phase::Approved,
            RequestState::Denied => Phase::Denied,
            RequestState::Promoted => Phase::Promoted,
            RequestState::Unknown(_) => Phase::Unknown,
            RequestState::Pending if is_past(request.expires, -CLOCK_TOLERANCE, now) => Phase::Expired,
            // The Go plugin remembered no expiry: it called every vanished request expired, and so do we.
            RequestState::Pending if request.expires.is_none() => Phase::Expired,
            RequestState::Pending => Phase::Deleted,
        },
        (None, None) => Phase::Deleted,
    }
}

/// When the controller must reconcile a listed request again although nothing happened. `None`: never.
pub fn next_change(listed: Option<&AccessRequest>) -> Option<Timestamp> {
    expires_at(listed?)
}

/// When a pending request is over by its own time. Teleport's word that it is not outweighs our clock.
pub fn expires_at(request: &AccessRequest) -> Option<Timestamp> {
    let expires = request.expires.filter(|_| request.state == RequestState::Pending)?;
    expires.checked_add(EXPIRY_GRACE).ok()
}

/// Whether `instant + margin` lies at or before `now`. An instant out of range is not reached.
fn is_past(instant: Option<Timestamp>, margin: SignedDuration, now: Timestamp) -> bool {
    instant.and_then(|at| at.checked_add(margin).ok()).is_some_and(|at| at <= now)
}

/// Whether a listed or watched request would undo what is recorded or shown. The caller then reads the request before it
/// acts: lists lag, and another daemon may have read a newer state. All of it may be true.
pub fn needs_refetch(
    listed: &AccessRequest,
    known: Option<&AccessRequest>,
    mut shown: impl Iterator<Item = Phase>,
) -> bool {
    let turned = |known: &AccessRequest| known.state != RequestState::Pending && listed.state != known.state;
    is_stale(listed, known)
        || known.is_some_and(turned)
        || listed.state == RequestState::Pending
            && shown.any(|phase| matches!(phase, Phase::Expired | Phase::Deleted))
}

/// Whether what we read of a request is older than what the record remembers: another daemon read
/// earlier. A decided request never waits again, and its reviews never become fewer.
pub fn is_stale(listed: &AccessRequest, known: Option<&AccessRequest>) -> bool {
    known.is_some_and(|known| {
        let waits = |request: &AccessRequest| request.state == RequestState::Pending;
        (waits(listed) && !waits(known)) || listed.reviews.len() < known.reviews.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::sample;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn request(state: RequestState, expires: Option<i64>) -> AccessRequest {
        AccessRequest { state, expires: expires.map(at), ..sample() }
    }

    #[test]
    fn the_word_of_a_phase_is_that_of_the_record() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }

    #[track_caller]
    fn assert_phase(
        listed: Option<AccessRequest>,
        remembered: Option<AccessRequest>,
        now: i64,
        expected: Phase,
    ) {
        assert_eq!(phase(listed.as_ref(), remembered.as_ref(), at(now)), expected);
    }

    #[test]
    fn the_servers_state_counts_while_the_request_is_listed() {
        use RequestState::*;
        assert_phase(Some(request(Pending, Some(100))), None, 0, Phase::Pending);
        assert_phase(Some(request(Approved, Some(100))), None, 0, Phase::Approved);
        assert_phase(Some(request(Denied, Some(100))), None, 0, Phase::Denied);
        assert_phase(Some(request(Promoted, Some(100))), None, 0, Phase::Promoted);
        assert_phase(Some(request(Unknown(7), Some(100))), None, 9_999, Phase::Unknown);
        assert_phase(Some(request(Unknown(7), Some(100))), Some(request(Pending, None)), 0, Phase::Unknown);
        // A decision is never undone by the clock, nor by an older memory.
        assert_phase(Some(request(Approved, Some(100))), Some(request(Denied, None)), 9_999, Phase::Approved);
        assert_phase(
            Some(request(Pending, Some(100))),
            Some(request(Approved, Some(100))),
            0,
            Phase::Pending,
        );
    }

    #[test]
    fn a_request_pending_in_teleport_is_not_expired_by_our_clock() {
        assert_phase(Some(request(RequestState::Pending, Some(100))), None, 104, Phase::Pending);
        assert_phase(Some(request(RequestState::Pending, Some(100))), None, 9_999_999, Phase::Pending);
        assert_phase(Some(request(RequestState::Pending, None)), None, 9_999_999, Phase::Pending);
    }

    #[test]
    fn a_list_that_would_undo_a_decision_is_fetched_again() {
        use RequestState::*;
        let assert_refetch = |listed, known, shown: Option<Phase>, expected| {
            let known = Some(request(known, None));
            let found = needs_refetch(&request(listed, None), known.as_ref(), shown.into_iter());
            assert_eq!(found, expected, "{listed:?} {known:?} {shown:?}");
        };
        for state in [Pending, Approved, Denied, Promoted] {
            assert_refetch(state, state, None, false);
            assert_refetch(state, Pending, Some(Phase::Pending), false);
        }
        assert_refetch(Pending, Approved, None, true);
        assert_refetch(Approved, Denied, None, true);
        assert_refetch(Denied, Approved, None, true);
        assert_refetch(Pending, Pending, Some(Phase::Expired), true);
        assert_refetch(Pending, Pending, Some(Phase::Deleted), true);
        assert_refetch(Approved, Pending, Some(Phase::Deleted), false);
        assert!(!needs_refetch(&request(Pending, None), None, [].into_iter()));
    }

    #[test]
    fn a_removed_request_keeps_its_outcome() {
        use RequestState::*;
        assert_phase(None, Some(request(Approved, Some(100))), 500, Phase::Approved);
        assert_phase(None, Some(request(Denied, Some(100))), 500, Phase::Denied);
        assert_phase(None, Some(request(Promoted, Some(100))), 500, Phase::Promoted);
        assert_phase(None, Some(request(Unknown(7), Some(100))), 500, Phase::Unknown);
        assert_phase(None, Some(request(Pending, Some(100))), 100, Phase::Expired);
        assert_phase(None, Some(request(Pending, Some(100))), 41, Phase::Expired);
        assert_phase(None, Some(request(Pending, Some(100))), 39, Phase::Deleted);
        assert_phase(None, Some(request(Pending, None)), 0, Phase::Expired);
        assert_phase(None, None, 0, Phase::Deleted);
    }

    #[test]
    fn the_next_change_is_the_expiry_and_never_overflows() {
        assert_eq!(next_change(Some(&request(RequestState::Pending, Some(100)))), Some(at(105)));
        assert_eq!(next_change(Some(&request(RequestState::Approved, Some(100)))), None);
        assert_eq!(next_change(None), None);
        assert_eq!(expires_at(&request(RequestState::Pending, None)), None);
        let last = AccessRequest { expires: Some(Timestamp::MAX), ..sample() };
        assert_eq!(next_change(Some(&last)), None);
        assert_eq!(phase(Some(&last), None, Timestamp::MAX), Phase::Pending);
    }

    #[test]
    fn a_read_with_less_than_the_record_is_stale() {
        use crate::domain::request::Review;
        let reviewed = |state, count| {
            let review =
                Review { author: "bob".into(), proposed: state, reason: String::new(), created: None };
            AccessRequest { state, reviews: vec![review; count], ..sample() }
        };
        use RequestState::{Approved, Pending};
        for (listed, known, expected) in [
            ((Pending, 1), (Pending, 2), true),
            ((Pending, 2), (Pending, 2), false),
            ((Pending, 3), (Pending, 2), false),
            ((Approved, 1), (Approved, 2), true),
            ((Pending, 2), (Approved, 2), true),
            ((Approved, 2), (Pending, 2), false),
            ((Approved, 2), (Approved, 2), false),
        ] {
            let (listed, known) = (reviewed(listed.0, listed.1), reviewed(known.0, known.1));
            assert_eq!(is_stale(&listed, Some(&known)), expected, "{listed:?} {known:?}");
            assert!(!is_stale(&listed, None));
        }
    }
}
