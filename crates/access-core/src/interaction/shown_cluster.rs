//! The Teleport cluster's name as a message shows it, and as it comes back with a button press or a modal.
//!
//! Daemons of two clusters on one Slack app receive each other's interactions; the name shows this. What came back is
//! foreign text: it is for words to the person and to the log, and nothing is decided by it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::text::truncate;

/// What stands before the cluster's name in a message.
pub(crate) const CLUSTER: &str = "*Cluster*: ";
/// The longest name that is shown, in UTF-16 units as sent, and so in characters.
pub(crate) const MAX_CLUSTER: usize = 128;
/// Blocks of a message that are looked at: ours names the cluster in its second one.
const MAX_BLOCKS: usize = 5;
/// Slack's longest text of a block, in bytes at the most.
const MAX_TEXT: usize = 12_000;

/// A cluster's name as a message shows it: sanitized, and no longer than a message has room for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct ShownCluster(String);

impl ShownCluster {
    /// The name in the line of a message that names the cluster.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        line.strip_prefix(CLUSTER).map(|shown| Self::from(unescaped(shown)))
    }

    /// What Slack's copy of a message says; `None` if it does not say it as a message of ours does. The reason cannot come
    /// first: it stands behind, and begins no line.
    pub(crate) fn read(message: &Value) -> Option<Self> {
        let blocks = message["blocks"].as_array()?.iter().take(MAX_BLOCKS);
        let texts =
            blocks.filter_map(|block| block["text"]["text"].as_str()).filter(|text| text.len() <= MAX_TEXT);
        let shown = texts.flat_map(str::lines).find_map(|line| line.strip_prefix(CLUSTER))?;
        // Ours are escaped, so this is markup that Slack made of another app's message.
        let is_plain = !shown.contains(['<', '>']);
        is_plain.then(|| Self::from(unescaped(shown))).filter(|shown| !shown.0.is_empty())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is certainly another cluster's. Slack writes emoji and other signs its own way (`:name:`), so a name of
    /// ours with such signs is compared with nothing.
    pub(crate) fn is_other_than(&self, own: &Self) -> bool {
        own.0.is_ascii() && !self.0.is_empty() && self != own
    }
}

impl From<String> for ShownCluster {
    fn from(text: String) -> Self {
        Self(truncate(&text, MAX_CLUSTER))
    }
}

/// What was escaped for Slack's markup.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_from(blocks: Value) -> Option<String> {
        ShownCluster::read(&json!({"blocks": blocks})).map(|shown| shown.0)
    }

    #[test]
    fn a_message_without_a_cluster_line_of_ours_names_no_cluster() {
        for invalid in [
            json!(null),
            json!(7),
            json!([null, 7, {"text": 7}, {"text": {"text": 7}}, {"text": {"text": "*Cluster*: "}}]),
            json!([{"text": {"text": "*Cluster*: <http://one.example.com|one.example.com>"}}]),
            json!([{"text": {"text": " *Cluster*: one\n*User*: *Cluster*: one"}}]),
            json!([{"text": {"text": "x".repeat(MAX_TEXT) + "\n*Cluster*: one"}}]),
            json!([{}, {}, {}, {}, {}, {"text": {"text": "*Cluster*: one"}}]),
        ] {
            assert_eq!(read_from(invalid.clone()), None, "{invalid}");
        }
        assert_eq!(ShownCluster::read(&json!("blocks")), None);
        let long =
            read_from(json!([{"text": {"text": format!("*Cluster*: {}", "x".repeat(9_000))}}])).unwrap();
        assert_eq!(long.chars().count(), MAX_CLUSTER);
        let other = "*Reason*: why\n*Cluster*: first\n*Cluster*: second";
        assert_eq!(read_from(json!([{"text": {"text": other}}])).as_deref(), Some("first"));
    }
}
