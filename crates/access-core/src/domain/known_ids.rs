//! Which names of recipients are known to lead to the same channel or person. The configuration may name them otherwise
//! tomorrow: a channel by its name and then by its id, a person by the id and then by the address.

use std::collections::BTreeMap;

use super::recipients::{RecipientKey, is_slack_id};

/// The ids behind names, as far as the daemon learned them. A name that is missing may lead anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownIds(BTreeMap<RecipientKey, String>);

impl KnownIds {
    /// Notes that this name leads to the channel (`C…`, `G…`) or the person (`U…`, `W…`) with this id. Anything else is no id.
    pub fn insert(&mut self, name: RecipientKey, id: &str) {
        if name.as_str() != id && is_slack_id(id, &['C', 'G', 'U', 'W']) {
            self.0.insert(name, id.to_owned());
        }
    }

    /// The id behind a name; the name itself if none is known.
    pub fn id_of<'a>(&'a self, name: &'a RecipientKey) -> &'a str {
        self.0.get(name).map_or(name.as_str(), String::as_str)
    }

    /// Whether both lead to the same place.
    pub(crate) fn is_same(&self, a: &RecipientKey, b: &RecipientKey) -> bool {
        self.id_of(a) == self.id_of(b)
    }

    /// Whether the id behind this name is known, or another name of this id.
    pub(crate) fn is_identified(&self, name: &RecipientKey) -> bool {
        self.0.contains_key(name) || self.0.values().any(|id| id == name.as_str())
    }
}

impl RecipientKey {
    /// Whether it names a channel, by name or by id.
    pub fn is_channel(&self) -> bool {
        self.is_channel_name() || is_slack_id(self.as_str(), &['C', 'G'])
    }

    /// Whether it names a person, by address or by id.
    pub(crate) fn is_person(&self) -> bool {
        self.as_str().contains('@') || is_slack_id(self.as_str(), &['U', 'W', 'D'])
    }
}
