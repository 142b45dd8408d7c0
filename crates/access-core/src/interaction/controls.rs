//! The controls in Slack and what they send back: the names of buttons and modals, and the state that a modal carries.
//!
//! Drawn by [`crate::render`], read back by [`crate::interaction`]. What comes back is our own text, but it says
//! nothing about who may do what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::shown_cluster::ShownCluster;
use crate::domain::decision::Decision;
use crate::domain::ids::{ChannelId, MessageTs, RequestId, is_id_charset};

/// The `action_id` of the button that opens Teleport's web page; nothing is decided by it.
pub const OPEN: &str = "open";
/// The modal that asks for a reason: its `callback_id`, and the `block_id` and `action_id` of its input.
pub const REASON: &str = "reason";
/// The modal that only shows a notice: its `callback_id`.
pub const NOTICE: &str = "notice";

/// What the modal carries from the button press to its submission, as its `private_metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModalState {
    /// The id of the request that it decides.
    #[serde(rename = "r")]
    pub request: RequestId,
    /// The button that was pressed.
    #[serde(rename = "d")]
    pub decision: Decision,
    /// Where the message is.
    #[serde(rename = "c")]
    pub channel: ChannelId,
    /// The message's `ts`, its id within the conversation.
    #[serde(rename = "t")]
    pub ts: MessageTs,
    /// When the button was pressed.
    #[serde(rename = "o")]
    pub opened_at: Timestamp,
    /// Whether it may not be sent without a reason, so that one that is can be sent back at once. The verdict does
    /// not rely on it: the rules are asked again.
    #[serde(rename = "q", default)]
    pub required: bool,
    /// The Teleport cluster, should another cluster's daemon be handed the submission; see [`ShownCluster`].
    #[serde(rename = "k", default)]
    pub cluster: ShownCluster,
}

impl ModalState {
    /// The metadata; `None` if an id is none of Slack's or Teleport's, so that it is always short.
    pub fn encode(&self) -> Option<String> {
        let json = serde_json::to_string(self).ok();
        json.filter(|_| self.has_valid_ids())
    }

    /// Reads what [`ModalState::encode`] wrote; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(Self::has_valid_ids)
    }

    fn has_valid_ids(&self) -> bool {
        self.request.as_token().is_some()
            && is_id_charset(self.channel.as_str())
            && is_id_charset(self.ts.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modal_state(request: &str, channel: &str) -> ModalState {
        ModalState {
            request: RequestId::new(request),
            decision: Decision::Deny,
            channel: ChannelId::new(channel),
            ts: MessageTs::new("1795363190.000001"),
            opened_at: Timestamp::from_second(1_800_000_000).unwrap(),
            required: true,
            cluster: ShownCluster::from("one.example.com".to_owned()),
        }
    }

    #[test]
    fn a_modal_state_comes_back_as_it_was() {
        let text = modal_state("8f77d2d1-2bbf-4031-a300-58926237a807", "C0TEAM").encode().unwrap();
        insta::assert_snapshot!(text, @r#"{"r":"8f77d2d1-2bbf-4031-a300-58926237a807","d":"deny","c":"C0TEAM","t":"1795363190.000001","o":"2027-01-15T08:00:00Z","q":true,"k":"one.example.com"}"#);
        assert_eq!(
            ModalState::decode(&text),
            Some(modal_state("8f77d2d1-2bbf-4031-a300-58926237a807", "C0TEAM"))
        );
        // As an earlier release drew it.
        let older = text.split_once(",\"q\"").unwrap().0.to_owned() + "}";
        let older = ModalState::decode(&older).unwrap();
        assert_eq!((older.required, older.cluster), (false, ShownCluster::default()));
        let mut longest = modal_state(&"a".repeat(64), &"C".repeat(64));
        longest.cluster = ShownCluster::from("\"\\".repeat(9_000));
        let longest = longest.encode().unwrap();
        assert!(longest.len() < 3_000);
    }

    #[test]
    fn an_invalid_id_is_neither_written_nor_read() {
        for (request, channel) in
            [("", "C1"), ("a b", "C1"), ("a", ""), ("a", "C1,D2"), (&*"a".repeat(65), "C1")]
        {
            let invalid = modal_state(request, channel);
            assert_eq!(invalid.encode(), None);
            assert_eq!(ModalState::decode(&serde_json::to_string(&invalid).unwrap()), None);
        }
        for text in ["", "{}", "null", "[]", "{\"r\":1}", "invalid"] {
            assert_eq!(ModalState::decode(text), None);
        }
    }
}
