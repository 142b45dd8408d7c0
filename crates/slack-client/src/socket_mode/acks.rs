//! How the envelopes of the last minutes were acknowledged.
//!
//! Slack sends an envelope again, on any connection, if its acknowledgement was late or got lost. It then gets the same
//! acknowledgement and is not handed on again. This knows envelopes only: whether two of them carry one interaction is for the
//! receiver of interactions to say, which both transports share. A table with a bound in size and time; it reads no clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// How many envelopes to remember. At 200 clicks a second this lasts for 50 s.
const CAPACITY: usize = 10_000;

/// How far an envelope has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AckState {
    /// Its answer is being worked out.
    Pending,
    /// Acknowledged with this answer.
    Acked(Option<Value>),
}

/// The last envelopes, by their ids.
#[derive(Debug)]
pub(super) struct EnvelopeAcks {
    max_age: Duration,
    states: HashMap<String, AckState>,
    order: VecDeque<(Instant, String)>,
}

impl EnvelopeAcks {
    /// Remembers envelopes for `max_age`.
    pub(super) fn new(max_age: Duration) -> Self {
        Self { max_age, states: HashMap::new(), order: VecDeque::new() }
    }

    /// The state of an envelope that was received before.
    pub(super) fn get(&self, envelope: &str) -> Option<&AckState> {
        self.states.get(envelope)
    }

    /// Remembers an envelope that was not received before, and forgets what is old.
    pub(super) fn insert(&mut self, envelope: &str, state: AckState, now: Instant) {
        self.states.insert(envelope.to_owned(), state);
        self.order.push_back((now, envelope.to_owned()));
        while let Some((since, oldest)) = self.order.front()
            && (self.order.len() > CAPACITY || now.saturating_duration_since(*since) > self.max_age)
        {
            self.states.remove(oldest);
            self.order.pop_front();
        }
    }

    /// Changes the state of an envelope, if it is still remembered.
    pub(super) fn update(&mut self, envelope: &str, state: AckState) {
        if let Some(known) = self.states.get_mut(envelope) {
            *known = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(15 * 60);

    #[test]
    fn an_envelope_keeps_its_answer() {
        let mut acks = EnvelopeAcks::new(MAX_AGE);
        assert_eq!(acks.get("e1"), None);
        acks.insert("e1", AckState::Pending, Instant::now());
        assert_eq!((acks.get("e1"), acks.get("e2")), (Some(&AckState::Pending), None));
        let acked = AckState::Acked(Some(json!({"response_action": "clear"})));
        acks.update("e1", acked.clone());
        assert_eq!(acks.get("e1"), Some(&acked));
        acks.update("e9", acked);
        assert_eq!(acks.get("e9"), None);
    }

    #[test]
    fn memory_is_bounded_in_time_and_size() {
        let start = Instant::now();
        let mut acks = EnvelopeAcks::new(MAX_AGE);
        let id = |n: usize| n.to_string();
        acks.insert(&id(0), AckState::Pending, start);
        acks.insert(&id(1), AckState::Pending, start + MAX_AGE);
        assert!(acks.get(&id(0)).is_some());
        acks.insert(&id(2), AckState::Pending, start + MAX_AGE + Duration::from_secs(1));
        assert!(acks.get(&id(0)).is_none() && acks.get(&id(1)).is_some());
        for n in 3..3 + CAPACITY {
            acks.insert(&id(n), AckState::Pending, start + MAX_AGE);
        }
        assert_eq!((acks.states.len(), acks.order.len()), (CAPACITY, CAPACITY));
        assert!(acks.get(&id(2)).is_none() && acks.get(&id(3)).is_some());
    }
}
