//! The Teleport cluster's name as a message shows it, and as it comes back with a click or a dialogue.
//!
//! Daemons of two clusters on one Slack app are handed each other's clicks; the name tells what happened. What came back is
//! foreign text: it is for words to the person and to the log, and nothing is decided by it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::refusal::Refusal;
use crate::record::truncate;
use crate::render::request_message::{CLUSTER, MAX_CLUSTER, cluster_line};

/// Blocks of a message that are looked at: a card names the cluster in its second one.
const MAX_BLOCKS: usize = 5;
/// Slack's longest text of a block, in bytes at the most.
const MAX_TEXT: usize = 12_000;

/// A cluster's name as a card shows it: cleaned, in at most as many characters as a card has room for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct ShownCluster(String);

impl ShownCluster {
    /// As a card would show it.
    pub fn of(cluster: &str) -> Self {
        let line = cluster_line(cluster);
        Self(unescaped(line.as_str().strip_prefix(CLUSTER).unwrap_or_default()))
    }

    /// What Slack's copy of a message says; `None` if it does not say it as a card of ours does. The reason cannot come
    /// first: it stands behind, and begins no line.
    pub(crate) fn read(message: &Value) -> Option<Self> {
        let blocks = message["blocks"].as_array()?.iter().take(MAX_BLOCKS);
        let texts =
            blocks.filter_map(|block| block["text"]["text"].as_str()).filter(|text| text.len() <= MAX_TEXT);
        let shown = texts.flat_map(str::lines).find_map(|line| line.strip_prefix(CLUSTER))?;
        // Ours are escaped, so this is markup that Slack made of somebody else's message.
        let is_plain = !shown.contains(['<', '>']);
        is_plain.then(|| Self::from(unescaped(shown))).filter(|shown| !shown.0.is_empty())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is certainly another cluster's. Slack writes emoji and other signs its own way (`:name:`), so a name of
    /// ours with such signs is compared with nothing.
    fn is_other_than(&self, own: &Self) -> bool {
        own.0.is_ascii() && !self.0.is_empty() && self != own
    }
}

impl From<String> for ShownCluster {
    fn from(text: String) -> Self {
        Self(truncate(&text, MAX_CLUSTER))
    }
}

/// `refusal`, or the truer one where it says that the message is none of the request's and the message names another
/// cluster.
pub fn tell_cluster(refusal: Refusal, named: Option<&ShownCluster>, own: &ShownCluster) -> Refusal {
    match named {
        Some(named) if refusal == Refusal::StaleMessage && named.is_other_than(own) => {
            Refusal::OtherCluster { cluster: named.0.clone(), own: own.0.clone() }
        }
        Some(_) | None => refusal,
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
    use crate::domain::lifecycle::Phase;
    use crate::domain::request::{AccessRequest, sample};
    use crate::render::request_message::{Edition, MessageInput, request_message};

    fn read_from(blocks: Value) -> Option<String> {
        ShownCluster::read(&json!({"blocks": blocks})).map(|shown| shown.0)
    }

    #[test]
    fn a_name_comes_back_from_a_card_as_it_was_shown() {
        let forged = "x\n*Cluster*: forged";
        let long = "x".repeat(9_000);
        let signs = "<&>".repeat(90);
        for name in [
            "one.example.com",
            "<&>",
            "&lt;",
            "*one* _two_",
            "a\n*Cluster*: b",
            "*Cluster*: c",
            "🔥",
            &long,
            &signs,
        ] {
            let request = AccessRequest {
                user: forged.to_owned(),
                reason: forged.to_owned(),
                roles: vec![forged.to_owned()],
                ..sample()
            };
            let view = MessageInput {
                request: &request,
                phase: Phase::Pending,
                cluster: name,
                edition: Edition::Community,
            };
            let message = serde_json::to_value(request_message(&view)).unwrap();
            let own = ShownCluster::of(name);
            assert_eq!(ShownCluster::read(&message), Some(own.clone()), "{name}");
            assert!(own.as_str().chars().count() <= MAX_CLUSTER, "{name}");
            // Through a dialogue and back.
            let text = serde_json::to_string(&own).unwrap();
            assert_eq!(serde_json::from_str::<ShownCluster>(&text).unwrap(), own);
        }
        assert_eq!(ShownCluster::of("one.example.com").as_str(), "one.example.com");
        assert_eq!(ShownCluster::of("a&b").as_str(), "a&b");
    }

    #[test]
    fn what_names_no_cluster_as_a_card_does_is_taken_for_none() {
        for odd in [
            json!(null),
            json!(7),
            json!([null, 7, {"text": 7}, {"text": {"text": 7}}, {"text": {"text": "*Cluster*: "}}]),
            json!([{"text": {"text": "*Cluster*: <http://one.example.com|one.example.com>"}}]),
            json!([{"text": {"text": " *Cluster*: one\n*User*: *Cluster*: one"}}]),
            json!([{"text": {"text": "x".repeat(MAX_TEXT) + "\n*Cluster*: one"}}]),
            json!([{}, {}, {}, {}, {}, {"text": {"text": "*Cluster*: one"}}]),
        ] {
            assert_eq!(read_from(odd.clone()), None, "{odd}");
        }
        assert_eq!(ShownCluster::read(&json!("blocks")), None);
        let long =
            read_from(json!([{"text": {"text": format!("*Cluster*: {}", "x".repeat(9_000))}}])).unwrap();
        assert_eq!(long.chars().count(), MAX_CLUSTER);
        let other = "*Reason*: why\n*Cluster*: first\n*Cluster*: second";
        assert_eq!(read_from(json!([{"text": {"text": other}}])).as_deref(), Some("first"));
    }

    #[test]
    fn another_cluster_is_named_only_where_the_message_is_none_of_the_requests() {
        let shown = |name: &str| ShownCluster::of(name);
        let (one, two) = (shown("one"), shown("two"));
        let other = Refusal::OtherCluster { cluster: "one".to_owned(), own: "two".to_owned() };
        assert_eq!(tell_cluster(Refusal::StaleMessage, Some(&one), &two), other);
        assert_eq!(tell_cluster(Refusal::StaleMessage, Some(&two), &two), Refusal::StaleMessage);
        assert_eq!(tell_cluster(Refusal::StaleMessage, None, &two), Refusal::StaleMessage);
        let nothing = ShownCluster::default();
        assert_eq!(tell_cluster(Refusal::StaleMessage, Some(&nothing), &two), Refusal::StaleMessage);
        assert_eq!(tell_cluster(Refusal::UnknownOrigin, Some(&one), &two), Refusal::UnknownOrigin);
        // Slack's copy says `:fire:`.
        assert_eq!(
            tell_cluster(Refusal::StaleMessage, Some(&shown(":fire:")), &shown("🔥")),
            Refusal::StaleMessage
        );
    }
}
