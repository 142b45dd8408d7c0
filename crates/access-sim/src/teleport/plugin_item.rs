//! One item of plugin data: what all plugins note on one request; and the write that a plugin asks for.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::text::text;

/// One plugin's notes. Bytes, because a test may plant what is not UTF-8.
pub(super) type Entry = BTreeMap<Vec<u8>, Vec<u8>>;

/// All plugins' notes on one request.
#[derive(Clone, Debug)]
pub(super) struct PluginItem {
    pub(super) expires: Timestamp,
    pub(super) revision: i64,
    pub(super) entries: BTreeMap<String, Entry>,
}

impl PluginItem {
    /// In bytes of the stored form.
    pub(super) fn size(&self) -> usize {
        // The stored form is JSON: quoted texts with colons and commas, and a little around each entry.
        let field = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            let quoted = |bytes: &[u8]| serde_json::Value::from(text(bytes)).to_string().len();
            quoted(key) + quoted(value) + 2
        };
        self.entries
            .iter()
            .map(|(plugin, entry)| plugin.len() + 16 + entry.iter().map(field).sum::<usize>())
            .sum()
    }
}

/// A conditional write as the API carries it.
#[derive(Clone, Debug)]
pub(super) struct PluginUpdate {
    pub(super) kind: String,
    pub(super) resource: String,
    pub(super) plugin: String,
    pub(super) set: Entry,
    pub(super) expect: Entry,
}
