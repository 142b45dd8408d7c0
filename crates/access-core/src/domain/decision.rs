//! What a reviewer decides: approve or deny, and how long the reason may be.

use serde::{Deserialize, Serialize};

use super::request::RequestState;

/// The longest reason, in characters; as UTF-8 less than Teleport's 4,096 bytes.
pub const MAX_REASON: usize = 1_000;

/// What a person wants done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Grant it.
    Approve,
    /// Refuse it.
    Deny,
}

impl Decision {
    /// The button's `action_id`.
    pub fn action_id(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }

    /// The button with this `action_id`.
    pub fn from_action_id(text: &str) -> Option<Self> {
        [Self::Approve, Self::Deny].into_iter().find(|decision| decision.action_id() == text)
    }

    /// What it would make of the request.
    pub fn state(self) -> RequestState {
        match self {
            Self::Approve => RequestState::Approved,
            Self::Deny => RequestState::Denied,
        }
    }

    /// The decision that makes this of a request.
    pub fn of_state(state: RequestState) -> Option<Self> {
        match state {
            RequestState::Approved => Some(Self::Approve),
            RequestState::Denied => Some(Self::Deny),
            RequestState::Pending | RequestState::Promoted | RequestState::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_recognized_by_its_action_id() {
        for decision in [Decision::Approve, Decision::Deny] {
            assert_eq!(Decision::from_action_id(decision.action_id()), Some(decision));
            assert_eq!(Decision::of_state(decision.state()), Some(decision));
        }
        assert_eq!(Decision::from_action_id("open"), None);
        assert_eq!(Decision::from_action_id("Approve"), None);
    }
}
