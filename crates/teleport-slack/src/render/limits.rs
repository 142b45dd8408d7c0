//! Slack's limits, as its block reference publishes them. `access_core::render` keeps them by its types; this looks at what
//! is sent once more, and knows nothing of those.
//!
//! Slack counts "characters"; UTF-16 units are the most that can mean.

use serde_json::Value;

/// What is beyond a limit, each with its JSON pointer; none in what Slack would show.
pub(super) fn violations(payload: &Value) -> Vec<String> {
    let mut found = Found(Vec::new());
    let is_modal = payload["type"] == "modal";
    if is_modal {
        for key in ["title", "submit", "close"] {
            found.text_object(payload, "", key, 24);
        }
        found.text(payload, "", "callback_id", 255);
        found.text(payload, "", "private_metadata", 3_000);
    } else {
        found.text(payload, "", "text", 4_000);
        if payload["text"].as_str().unwrap_or_default().is_empty() {
            found.add("/text", "is empty");
        }
    }
    let max_blocks = if is_modal { 100 } else { 50 };
    for (block, place) in found.list(payload, "", "blocks", 0, max_blocks) {
        found.block(block, &place);
    }
    found.0
}

struct Found(Vec<String>);

impl Found {
    fn add(&mut self, place: &str, what: impl AsRef<str>) {
        self.0.push(format!("{place} {}", what.as_ref()));
    }

    fn block(&mut self, block: &Value, place: &str) {
        self.text(block, place, "block_id", 255);
        match block["type"].as_str().unwrap_or_default() {
            "section" => self.filled_text_object(block, place, "text", 3_000),
            "context" => {
                for (element, place) in self.list(block, place, "elements", 1, 10) {
                    self.filled_text(element, &place, "text", 3_000);
                }
            }
            "actions" => {
                for (element, place) in self.list(block, place, "elements", 1, 25) {
                    self.button(element, &place);
                }
            }
            "input" => {
                self.filled_text_object(block, place, "label", 2_000);
                self.text_object(block, place, "hint", 2_000);
                self.input(&block["element"], &format!("{place}/element"));
            }
            other => self.add(place, format!("is of the kind {other:?}, whose limits are not known here")),
        }
    }

    fn button(&mut self, button: &Value, place: &str) {
        self.filled_text_object(button, place, "text", 75);
        for (key, max) in [("action_id", 255), ("value", 2_000), ("url", 3_000)] {
            self.text(button, place, key, max);
        }
        let (confirm, place) = (&button["confirm"], format!("{place}/confirm"));
        if !confirm.is_null() {
            for (key, max) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
                self.filled_text_object(confirm, &place, key, max);
            }
        }
    }

    fn input(&mut self, input: &Value, place: &str) {
        self.text(input, place, "action_id", 255);
        if input["max_length"].as_u64().is_some_and(|max| !(1..=3_000).contains(&max)) {
            self.add(&format!("{place}/max_length"), "is not between 1 and 3000");
        }
    }

    /// The items of a list and the place of each.
    fn list<'a>(
        &mut self,
        within: &'a Value,
        place: &str,
        key: &str,
        min: usize,
        max: usize,
    ) -> Vec<(&'a Value, String)> {
        let place = format!("{place}/{key}");
        let items = within[key].as_array().map_or(&[][..], Vec::as_slice);
        if items.len() < min || items.len() > max {
            self.add(&place, format!("has {} items, and {min} to {max} are allowed", items.len()));
        }
        items.iter().enumerate().map(|(n, item)| (item, format!("{place}/{n}"))).collect()
    }

    fn text(&mut self, within: &Value, place: &str, key: &str, max: usize) {
        let units = within[key].as_str().unwrap_or_default().encode_utf16().count();
        if units > max {
            self.add(&format!("{place}/{key}"), format!("has {units} characters, and {max} are allowed"));
        }
    }

    fn filled_text(&mut self, within: &Value, place: &str, key: &str, max: usize) {
        self.text(within, place, key, max);
        if within[key].as_str().unwrap_or_default().is_empty() {
            self.add(&format!("{place}/{key}"), "is empty");
        }
    }

    fn text_object(&mut self, within: &Value, place: &str, key: &str, max: usize) {
        self.text(&within[key], &format!("{place}/{key}"), "text", max);
    }

    fn filled_text_object(&mut self, within: &Value, place: &str, key: &str, max: usize) {
        self.filled_text(&within[key], &format!("{place}/{key}"), "text", max);
    }
}

#[cfg(test)]
mod tests {
    use access_core::render::samples::{Sample, samples};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_daemon_sends_is_within_the_limits() {
        for (name, sample) in samples() {
            let value = match sample {
                Sample::Message(message) => json!(message),
                Sample::Modal(view) => view,
            };
            assert_eq!(violations(&value), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn each_limit_is_one() {
        let long = |units: usize| "x".repeat(units);
        let text = |units: usize| json!({"type": "plain_text", "text": long(units)});
        let message = |block: Value| json!({"text": "x", "blocks": [block]});
        let button = |more: Value| {
            let mut button = json!({"type": "button", "text": text(75)});
            button.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            message(json!({"type": "actions", "elements": [button]}))
        };
        let said = |value: &Value| violations(value).join("; ");
        let wrong = [
            json!({"text": "", "blocks": []}),
            json!({"text": "😀".repeat(2_001), "blocks": []}),
            json!({"text": "x", "blocks": vec![json!({"type": "section", "text": text(1)}); 51]}),
            message(json!({"type": "section", "text": text(3_001)})),
            message(json!({"type": "section", "text": text(0)})),
            message(json!({"type": "section", "block_id": long(256), "text": text(1)})),
            message(json!({"type": "context", "elements": []})),
            message(json!({"type": "context", "elements": vec![text(1); 11]})),
            message(json!({"type": "actions", "elements": vec![json!({"text": text(1)}); 26]})),
            button(json!({"text": text(76)})),
            button(json!({"action_id": long(256)})),
            button(json!({"value": long(2_001)})),
            button(json!({"url": long(3_001)})),
            button(
                json!({"confirm": {"title": text(101), "text": text(1), "confirm": text(1), "deny": text(1)}}),
            ),
            button(
                json!({"confirm": {"title": text(1), "text": text(301), "confirm": text(31), "deny": text(31)}}),
            ),
            message(json!({"type": "video"})),
            json!({"type": "modal", "title": text(25), "submit": text(25), "callback_id": long(256), "private_metadata": long(3_001),
                   "blocks": [{"type": "input", "label": text(2_001), "hint": text(2_001), "element": {"max_length": 3_001}}]}),
        ];
        insta::assert_snapshot!(wrong.iter().map(said).collect::<Vec<_>>().join("\n"));
        assert_eq!(said(&message(json!({"type": "section", "text": text(3_000)}))), "");
    }
}
