//! The record that we keep per access request, in Teleport's plugin data under the name `slack`.
//!
//! Here it is a plain map of texts; what the fields mean is `access_core::record`'s. Several copies of the
//! daemon (and the Go plugin) share it, so the only safe way to change it is [`modify_record`].

use std::collections::BTreeMap;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use teleport_proto::auth::{PluginDataFilter, PluginDataUpdateParams, PluginDataV3, StringEntry};

use super::client::Client;
use super::convert::text;
use super::error::{Call, ErrorKind, TeleportError};
use super::events::ACCESS_REQUEST;

/// The name that our entries stand under, the same as the Go plugin's.
const PLUGIN_NAME: &str = "slack";

/// A counter in the record that every [`modify_record`] raises. Teleport compares only the keys that we name
/// when writing; by naming this one, a write fails if anything of ours was written since we read.
const REVISION_KEY: &str = "x_rev";

/// How often a contended write is tried.
const MAX_ATTEMPTS: u32 = 10;

/// The fields of a record. A field never holds the empty text: to Teleport that means its absence.
pub type Fields = BTreeMap<String, String>;

impl Client {
    /// The record of one request; empty if there is none. It outlives the request.
    pub async fn get_record(&self, id: &RequestId) -> Result<Fields, TeleportError> {
        self.get_with_revision(id).await.map(without_revision)
    }

    /// All records, those of requests that are gone included. The server sends them in one message, with what other
    /// plugins keep beside them, so there may be too many for it; [`Client::get_record`] is bounded.
    pub(super) async fn list_records(&self) -> Result<Vec<(RequestId, Fields)>, TeleportError> {
        let items = self.plugin_data("", self.timings().list).await?.into_iter().filter_map(fields);
        Ok(items.map(|(id, fields)| (id, without_revision(fields))).collect())
    }

    /// Sets the fields of `set` (the empty text deletes) if those of `expect` are as given (the empty text:
    /// absent); others stay. Fails with [`ErrorKind::Conflict`] if they are not, with [`ErrorKind::NotFound`] if there
    /// is neither record nor request. To change a record, use [`modify_record`].
    pub async fn update_record(
        &self,
        id: &RequestId,
        set: &Fields,
        expect: &Fields,
    ) -> Result<(), TeleportError> {
        let update = PluginDataUpdateParams {
            kind: ACCESS_REQUEST.to_owned(),
            resource: id.as_str().to_owned(),
            plugin: PLUGIN_NAME.to_owned(),
            set: entries(set),
            expect: entries(expect),
        };
        self.run_call(Call::UpdatePluginData, self.timings().call, self.rpc().update_plugin_data(update))
            .await
    }

    /// The record with its revision.
    async fn get_with_revision(&self, id: &RequestId) -> Result<Fields, TeleportError> {
        let items = self.plugin_data(id.as_str(), self.timings().call).await?;
        let ours = items.into_iter().filter_map(fields).find(|(found, _)| found == id);
        Ok(ours.map(|(_, fields)| fields).unwrap_or_default())
    }

    async fn plugin_data(&self, resource: &str, limit: Duration) -> Result<Vec<PluginDataV3>, TeleportError> {
        let filter = PluginDataFilter {
            kind: ACCESS_REQUEST.to_owned(),
            resource: resource.to_owned(),
            plugin: PLUGIN_NAME.to_owned(),
        };
        Ok(self.run_call(Call::GetPluginData, limit, self.rpc().get_plugin_data(filter)).await?.plugin_data)
    }
}

/// What [`modify_record`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modified {
    /// Nothing was to be written; the record as read.
    Unchanged(Fields),
    /// The record as it now is.
    Written(Fields),
}

/// Changes a record as a whole, even if other programs write it at the same time.
///
/// `change` gets the record and answers the whole record that it should be, or `None` to leave it. It must be
/// pure: when another writer was faster it runs again on that record, and only the last answer counts.
///
/// Fails with [`TeleportError::Contended`] after 10 tries (2 to 3 s). After an error of [`ErrorKind::Retry`] the
/// record may or may not have been written: let `change` recognize its own work.
pub async fn modify_record(
    client: &Client,
    id: &RequestId,
    mut change: impl FnMut(&Fields) -> Option<Fields>,
) -> Result<Modified, TeleportError> {
    for attempt in 0..MAX_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(client.timings().contended.delay(attempt, fastrand::u64(..))).await;
        }
        let stored = client.get_with_revision(id).await?;
        let current = without_revision(stored.clone());
        let Some(edit) = change(&current).and_then(|desired| Edit::diff(&stored, desired)) else {
            return Ok(Modified::Unchanged(current));
        };
        match client.update_record(id, &edit.set, &edit.expect).await {
            Ok(()) => return Ok(Modified::Written(edit.result)),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::debug!(request = %id, attempts = attempt + 1, "The record changed in between; deciding again");
            }
            Err(error) => return Err(error),
        }
    }
    Err(TeleportError::Contended { id: id.clone(), attempts: MAX_ATTEMPTS })
}

/// The smallest update that makes one record out of another.
#[derive(Debug, PartialEq, Eq)]
struct Edit {
    set: Fields,
    expect: Fields,
    /// The record afterwards, without the revision.
    result: Fields,
}

impl Edit {
    /// `None` if nothing is to be changed. `stored` has the revision, `desired` need not.
    fn diff(stored: &Fields, mut desired: Fields) -> Option<Self> {
        desired.retain(|key, value| key != REVISION_KEY && !value.is_empty());
        let mut set = Fields::new();
        for (key, value) in &desired {
            if stored.get(key) != Some(value) {
                set.insert(key.clone(), value.clone());
            }
        }
        for (key, value) in stored {
            if key != REVISION_KEY && !value.is_empty() && !desired.contains_key(key) {
                set.insert(key.clone(), String::new());
            }
        }
        if set.is_empty() {
            return None;
        }
        let revision = stored.get(REVISION_KEY).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        set.insert(REVISION_KEY.to_owned(), revision.wrapping_add(1).to_string());
        // A value that was not UTF-8 was read with replacements and cannot be named as it is stored; the revision
        // still guards it against other copies of this program.
        let namable = |key: &&String| !stored.get(*key).is_some_and(|value| value.contains('\u{fffd}'));
        let expected = |key: &String| (key.clone(), stored.get(key).cloned().unwrap_or_default());
        let expect = set.keys().filter(namable).map(expected).collect();
        Some(Self { set, expect, result: desired })
    }
}

/// Our entry of an item, with the request that it belongs to. The item carries other plugins' entries too.
fn fields(item: PluginDataV3) -> Option<(RequestId, Fields)> {
    let name = item.metadata?.name;
    let ours = item.spec?.entries.into_iter().find(|entry| entry.key == PLUGIN_NAME)?;
    let data = ours.value.unwrap_or_default().data;
    let fields = data.iter().map(|entry| (text(&entry.key), text(&entry.value))).collect();
    Some((RequestId::new(text(&name)), fields))
}

/// What the rest of the daemon sees: the revision is this file's own affair.
fn without_revision(mut fields: Fields) -> Fields {
    fields.remove(REVISION_KEY);
    fields
}

fn entries(fields: &Fields) -> Vec<StringEntry> {
    fields
        .iter()
        .map(|(key, value)| StringEntry { key: key.clone().into(), value: value.clone().into() })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Teleport does with an update.
    fn apply(stored: &Fields, edit: &Edit) -> Result<Fields, String> {
        for (key, expected) in &edit.expect {
            if stored.get(key).map_or("", String::as_str) != expected {
                return Err(key.clone());
            }
        }
        let mut after = stored.clone();
        for (key, value) in &edit.set {
            if value.is_empty() {
                after.remove(key);
            } else {
                after.insert(key.clone(), value.clone());
            }
        }
        Ok(after)
    }

    fn map(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Few keys and values, so that records often overlap.
    fn record() -> impl Strategy<Value = Fields> {
        proptest::collection::btree_map("[a-f]", "[x-z]{1,2}", 0..6)
    }

    #[test]
    fn sets_only_what_changes() {
        let stored = map(&[("keep", "1"), ("change", "2"), ("drop", "3"), ("x_rev", "7")]);
        let edit = Edit::diff(&stored, map(&[("keep", "1"), ("change", "9"), ("add", "4")])).unwrap();
        assert_eq!(edit.set, map(&[("add", "4"), ("change", "9"), ("drop", ""), ("x_rev", "8")]));
        assert_eq!(edit.expect, map(&[("add", ""), ("change", "2"), ("drop", "3"), ("x_rev", "7")]));
    }

    #[test]
    fn an_edit_without_a_change_sends_no_update() {
        let stored = map(&[("a", "1"), ("x_rev", "7")]);
        assert_eq!(Edit::diff(&stored, map(&[("a", "1")])), None);
        assert_eq!(Edit::diff(&stored, map(&[("a", "1"), ("b", "")])), None, "an empty text is absence");
        assert_eq!(Edit::diff(&Fields::new(), Fields::new()), None);
    }

    #[test]
    fn a_damaged_revision_is_replaced_and_still_guards() {
        let stored = map(&[("x_rev", "what?")]);
        let edit = Edit::diff(&stored, map(&[("a", "1")])).unwrap();
        assert_eq!(edit.set["x_rev"], "1");
        assert_eq!(edit.expect["x_rev"], "what?");
    }

    #[test]
    fn a_change_and_its_undoing_between_read_and_write_are_noticed() {
        // A reads; B claims, posts, stores the message and gives the claim up; A must not claim on top.
        let seen_by_a = Fields::new();
        let a = Edit::diff(&seen_by_a, map(&[("x_claim", "a")])).unwrap();
        let b = Edit::diff(&seen_by_a, map(&[("x_claim", "b")])).unwrap();
        let claimed = apply(&seen_by_a, &b).unwrap();
        let b = Edit::diff(&claimed, map(&[("messages", "C1/1.2")])).unwrap();
        let posted = apply(&claimed, &b).unwrap();
        assert_eq!(apply(&posted, &a), Err("x_rev".to_owned()));
    }

    proptest! {
        #[test]
        fn an_edit_makes_the_desired_record(old in record(), desired in record()) {
            match Edit::diff(&old, desired.clone()) {
                None => prop_assert_eq!(&old, &desired),
                Some(edit) => {
                    let mut after = apply(&old, &edit).unwrap();
                    prop_assert_eq!(&edit.result, &desired);
                    prop_assert!(after.remove(REVISION_KEY).is_some());
                    prop_assert_eq!(after, desired);
                }
            }
        }

        #[test]
        fn only_the_first_of_two_edits_of_one_record_is_stored(
            old in record(), first in record(), second in record(),
        ) {
            let (first, second) = (Edit::diff(&old, first), Edit::diff(&old, second));
            if let (Some(first), Some(second)) = (first, second) {
                let after = apply(&old, &first).unwrap();
                prop_assert!(apply(&after, &second).is_err());
            }
        }
    }
}
