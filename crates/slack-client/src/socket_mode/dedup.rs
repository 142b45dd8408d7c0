//! What was received lately, so that nothing is handed on twice.
//!
//! Slack sends an envelope again, on any connection, if its acknowledgement was late or got lost. Whether it keeps the
//! envelope's id then is not promised, so an interaction is also known by who did what, where and when. A table with a
//! bound in size and time; it reads no clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// How long to remember. Slack repeats within seconds, events within minutes.
const DEDUP_WINDOW: Duration = Duration::from_secs(15 * 60);

/// How many keys to remember; a click has two. At 200 clicks a second this lasts for 50 s.
const DEDUP_CAPACITY: usize = 20_000;

/// Parts of a click's identity longer than this are not kept; Slack's action ids have 255 characters at most.
const MAX_PART_BYTES: usize = 300;

/// How far a payload has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AckState {
    /// Its answer is being worked out.
    Pending,
    /// Acknowledged with this answer.
    Acked(Option<Value>),
}

/// By which a payload is known: the envelope's id, and the click's identity if it has one.
#[derive(Clone, Debug)]
pub(super) struct DedupKeys {
    envelope: String,
    interaction: Option<String>,
}

impl DedupKeys {
    pub(super) fn new(envelope_id: &str, payload: &Value) -> Self {
        Self { envelope: format!("envelope {envelope_id}"), interaction: interaction_key(payload) }
    }

    fn iter(&self) -> impl Iterator<Item = &String> {
        [&self.envelope].into_iter().chain(&self.interaction)
    }
}

/// What was received lately.
#[derive(Debug, Default)]
pub(super) struct DedupCache {
    states: HashMap<String, AckState>,
    order: VecDeque<(Instant, String)>,
}

impl DedupCache {
    /// The state of a payload that was received before.
    pub(super) fn get(&self, keys: &DedupKeys) -> Option<&AckState> {
        keys.iter().find_map(|key| self.states.get(key))
    }

    /// Remembers a payload that was not received before, and forgets what is old.
    pub(super) fn insert(&mut self, keys: &DedupKeys, state: &AckState, now: Instant) {
        for key in keys.iter() {
            self.states.insert(key.clone(), state.clone());
            self.order.push_back((now, key.clone()));
        }
        while let Some((since, key)) = self.order.front()
            && (self.order.len() > DEDUP_CAPACITY || now.saturating_duration_since(*since) > DEDUP_WINDOW)
        {
            self.states.remove(key);
            self.order.pop_front();
        }
    }

    /// Changes the state of a payload, if it is still remembered.
    pub(super) fn update(&mut self, keys: &DedupKeys, state: &AckState) {
        for key in keys.iter() {
            if let Some(known) = self.states.get_mut(key) {
                known.clone_from(state);
            }
        }
    }
}

/// Who pressed what, where and when. The trigger distinguishes submissions of a modal: after a refused one everything
/// else is the same.
fn interaction_key(payload: &Value) -> Option<String> {
    let part = |pointer| {
        let text = payload.pointer(pointer)?.as_str()?;
        (!text.is_empty() && text.len() <= MAX_PART_BYTES).then_some(text)
    };
    let user = part("/user/id")?;
    let parts = match payload.get("type").and_then(Value::as_str)? {
        "block_actions" => {
            let container = part("/container/message_ts").or_else(|| part("/container/view_id"))?;
            [user, container, part("/actions/0/action_id")?, part("/actions/0/action_ts")?]
        }
        kind => [user, kind, part("/view/id")?, part("/trigger_id")?],
    };
    // As JSON, in which no part can run into the next.
    Some(json!(parts).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(user: &str, action_ts: &str) -> Value {
        json!({"type": "block_actions", "user": {"id": user}, "container": {"message_ts": "1.5"},
            "actions": [{"action_id": "approve", "action_ts": action_ts}]})
    }

    fn submission(trigger: &str) -> Value {
        json!({"type": "view_submission", "user": {"id": "U1"}, "view": {"id": "V1", "hash": "1.a"}, "trigger_id": trigger})
    }

    #[test]
    fn a_payload_is_known_by_envelope_and_by_click() {
        let now = Instant::now();
        let mut seen = DedupCache::default();
        let acked = AckState::Acked(None);
        seen.insert(&DedupKeys::new("e1", &click("U1", "7")), &acked, now);
        let known = |id, payload: &Value| seen.get(&DedupKeys::new(id, payload)).is_some();
        assert!(known("e1", &click("U1", "7")));
        assert!(known("e1", &json!({})));
        assert!(known("e2", &click("U1", "7")));
        assert!(!known("e2", &click("U1", "8")), "a second click");
        assert!(!known("e2", &click("U2", "7")), "someone else's click");
        assert!(!known("e2", &json!({})));
    }

    #[test]
    fn a_modal_can_be_submitted_again() {
        let mut seen = DedupCache::default();
        seen.insert(&DedupKeys::new("e1", &submission("t1")), &AckState::Pending, Instant::now());
        assert_eq!(seen.get(&DedupKeys::new("e2", &submission("t1"))), Some(&AckState::Pending));
        assert_eq!(seen.get(&DedupKeys::new("e2", &submission("t2"))), None);
    }

    #[test]
    fn an_answer_is_remembered_under_both_keys() {
        let mut seen = DedupCache::default();
        let keys = DedupKeys::new("e1", &submission("t1"));
        seen.insert(&keys, &AckState::Pending, Instant::now());
        let acked = AckState::Acked(Some(json!({"response_action": "clear"})));
        seen.update(&keys, &acked);
        assert_eq!(seen.get(&DedupKeys::new("e1", &json!({}))), Some(&acked));
        assert_eq!(seen.get(&DedupKeys::new("e2", &submission("t1"))), Some(&acked));
        seen.update(&DedupKeys::new("e9", &json!({})), &acked);
        assert_eq!(seen.get(&DedupKeys::new("e9", &json!({}))), None);
    }

    #[test]
    fn memory_is_bounded_in_time_and_size() {
        let start = Instant::now();
        let mut seen = DedupCache::default();
        let keys = |id: usize| DedupKeys::new(&id.to_string(), &json!({}));
        seen.insert(&keys(0), &AckState::Pending, start);
        seen.insert(&keys(1), &AckState::Pending, start + DEDUP_WINDOW);
        assert!(seen.get(&keys(0)).is_some());
        seen.insert(&keys(2), &AckState::Pending, start + DEDUP_WINDOW + Duration::from_secs(1));
        assert!(seen.get(&keys(0)).is_none() && seen.get(&keys(1)).is_some());
        for id in 3..3 + DEDUP_CAPACITY {
            seen.insert(&keys(id), &AckState::Pending, start + DEDUP_WINDOW);
        }
        assert_eq!((seen.states.len(), seen.order.len()), (DEDUP_CAPACITY, DEDUP_CAPACITY));
        assert!(seen.get(&keys(2)).is_none() && seen.get(&keys(3)).is_some());
    }

    #[test]
    fn a_malformed_click_has_no_identity() {
        let huge = "x".repeat(1_000_000);
        for payload in [
            json!(null),
            json!([]),
            json!({"type": "block_actions", "user": null}),
            json!({"type": "block_actions", "user": {"id": "U1"}, "container": {"message_ts": "1"}, "actions": []}),
            json!({"type": "block_actions", "user": {"id": "U1"}, "container": {"message_ts": "1"}, "actions": {"0": 1}}),
            click(&huge, "1"),
            click("", "1"),
            json!({"type": 7, "user": {"id": "U1"}}),
        ] {
            assert_eq!(interaction_key(&payload), None);
        }
        assert_ne!(interaction_key(&click("a\",\"b", "1")), interaction_key(&click("a", "1")));
    }
}
