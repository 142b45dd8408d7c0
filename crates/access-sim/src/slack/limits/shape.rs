//! Reading JSON objects against a shape, noting every departure with its JSON pointer.
//!
//! Knows nothing of Slack; `blocks.rs`, `elements.rs`, `rich_text.rs` and `views.rs` state the shapes.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// Enough to repair a message; a hostile one must not make the answer huge.
const MAX_FINDINGS: usize = 20;
const MAX_NAME_IN_ERROR: usize = 60;

/// What was found wrong, in order.
pub(super) struct LayoutErrors {
    /// The argument's name, with which every pointer begins.
    argument: &'static str,
    messages: Vec<String>,
}

impl LayoutErrors {
    pub(super) fn of(argument: &'static str) -> Self {
        LayoutErrors { argument, messages: Vec::new() }
    }

    pub(super) fn add(&mut self, pointer: &str, text: &str) {
        if self.messages.len() < MAX_FINDINGS {
            let argument = self.argument;
            self.messages.push(format!("[ERROR] {text} [json-pointer:/{argument}{pointer}]"));
        }
    }

    pub(super) fn into_messages(self) -> Vec<String> {
        self.messages
    }
}

/// An object and where it stands.
pub(super) struct Object<'a> {
    map: &'a Map<String, Value>,
    pub(super) pointer: String,
}

impl<'a> Object<'a> {
    /// Takes `value` as an object.
    pub(super) fn of(value: &'a Value, pointer: String, findings: &mut LayoutErrors) -> Option<Self> {
        match value.as_object() {
            Some(map) => Some(Object { map, pointer }),
            None => {
                findings.add(&pointer, "must be an object");
                None
            }
        }
    }

    pub(super) fn at(&self, field: &str) -> String {
        format!("{}/{field}", self.pointer)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    pub(super) fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field)
    }

    /// The `type` field, or an empty string after noting that it is missing.
    pub(super) fn kind(&self, findings: &mut LayoutErrors) -> &'a str {
        self.string("type", 1..=100, true, findings).unwrap_or_default()
    }

    /// Notes every field that is not in `known`.
    pub(super) fn allow_only(&self, known: &[&str], findings: &mut LayoutErrors) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            let shown: String = name.chars().take(MAX_NAME_IN_ERROR).collect();
            findings.add(&self.at(&shown.replace('~', "~0").replace('/', "~1")), "unknown field");
        }
    }

    /// A string whose length in characters lies in `length`.
    pub(super) fn string(
        &self,
        field: &str,
        length: RangeInclusive<usize>,
        required: bool,
        findings: &mut LayoutErrors,
    ) -> Option<&'a str> {
        let Some(value) = self.map.get(field) else {
            if required {
                findings.add(&self.pointer, &format!("missing required field: {field}"));
            }
            return None;
        };
        let Some(text) = value.as_str() else {
            findings.add(&self.at(field), "must be a string");
            return None;
        };
        let count = text.chars().count();
        if count < *length.start() {
            findings.add(&self.at(field), &format!("must be more than {} characters", length.start() - 1));
        } else if count > *length.end() {
            findings.add(&self.at(field), &format!("must be less than {} characters", length.end() + 1));
        }
        Some(text)
    }

    /// One of a few words.
    pub(super) fn one_of(&self, field: &str, words: &[&str], required: bool, findings: &mut LayoutErrors) {
        if let Some(word) = self.string(field, 0..=100, required, findings)
            && !words.contains(&word)
        {
            findings.add(&self.at(field), &format!("must be one of: {}", words.join(", ")));
        }
    }

    pub(super) fn boolean(&self, field: &str, findings: &mut LayoutErrors) {
        if self.map.get(field).is_some_and(|value| !value.is_boolean()) {
            findings.add(&self.at(field), "must be a boolean");
        }
    }

    /// A whole number in `range`, if given.
    pub(super) fn number(&self, field: &str, range: RangeInclusive<i64>, findings: &mut LayoutErrors) {
        if let Some(value) = self.map.get(field)
            && !value.as_i64().is_some_and(|number| range.contains(&number))
        {
            let (low, high) = (range.start(), range.end());
            findings.add(&self.at(field), &format!("must be a whole number from {low} to {high}"));
        }
    }

    /// An absolute web address.
    pub(super) fn url(&self, field: &str, max: usize, required: bool, findings: &mut LayoutErrors) {
        if let Some(url) = self.string(field, 1..=max, required, findings)
            && !is_web_address(url)
        {
            findings.add(&self.at(field), "must be a valid URL");
        }
    }

    /// An array whose length lies in `length`; empty after noting what is wrong.
    pub(super) fn array(
        &self,
        field: &str,
        length: RangeInclusive<usize>,
        findings: &mut LayoutErrors,
    ) -> &'a [Value] {
        let Some(value) = self.map.get(field) else {
            findings.add(&self.pointer, &format!("missing required field: {field}"));
            return &[];
        };
        let Some(items) = value.as_array() else {
            findings.add(&self.at(field), "must be an array");
            return &[];
        };
        if items.len() < *length.start() {
            findings.add(&self.at(field), &format!("must have at least {} items", length.start()));
        }
        if items.len() > *length.end() {
            findings.add(&self.at(field), &format!("no more than {} items allowed", length.end()));
            return &[];
        }
        items
    }
}

/// Whether Slack would take it as the target of a link or image.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !url.chars().any(|c| c.is_whitespace() || c.is_control())
    })
}
