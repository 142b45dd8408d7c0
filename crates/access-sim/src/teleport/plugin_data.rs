//! `UpdatePluginData` and `GetPluginData`: what plugins note on a request, with compare-and-swap.
//!
//! An item ([`PluginItem`]) belongs to a request id and outlives the request.

use std::collections::BTreeMap;

use super::caller::Caller;
use super::options::ServerVersion;
use super::plugin_item::{Entry, PluginItem, PluginUpdate};
use super::refusal::RpcError;
use super::rules::{ACCESS_REQUEST, PLUGIN_DATA};
use super::state::State;
use super::text::text;

/// Largest item, in bytes of its stored (JSON) form.
const SIZE_LIMIT: usize = 1_000_000;

impl State {
    /// Writes if the expectations hold.
    pub(super) fn update_plugin_data(
        &mut self,
        caller: &Caller,
        update: PluginUpdate,
    ) -> Result<(), RpcError> {
        require_kind(&update.kind)?;
        self.require(caller, &[ACCESS_REQUEST, PLUGIN_DATA], "update")?;
        if update.resource.is_empty() || update.plugin.is_empty() {
            return Err(RpcError::bad_parameter("missing resource or plugin name"));
        }
        let mut item = self.item_or_new(&update.resource)?;
        let entry = item.entries.entry(update.plugin.clone()).or_default();
        for (key, expected) in &update.expect {
            // An empty expectation means that the key must be absent, and absent keys read as empty.
            if entry.get(key).map_or(&[][..], Vec::as_slice) != expected {
                let key = text(key);
                return Err(RpcError::compare_failed(format!("expectations not met for field {key:?}")));
            }
        }
        for (key, value) in update.set {
            if value.is_empty() {
                entry.remove(&key);
            } else {
                entry.insert(key, value);
            }
        }
        item.entries.retain(|_, entry| !entry.is_empty());
        let size = item.size();
        if size > SIZE_LIMIT {
            return Err(RpcError::bad_parameter(format!(
                "plugin data size limit exceeded: {size} > {SIZE_LIMIT}"
            )));
        }
        self.store(update.resource, item);
        Ok(())
    }

    /// Items by id; those with an entry of the plugin, if one is named, but whole.
    pub(super) fn find_plugin_data(
        &self,
        caller: &Caller,
        kind: &str,
        resource: &str,
        plugin: &str,
    ) -> Result<Vec<(String, PluginItem)>, RpcError> {
        require_kind(kind)?;
        self.require(caller, &[ACCESS_REQUEST, PLUGIN_DATA], "list")?;
        self.require(caller, &[ACCESS_REQUEST, PLUGIN_DATA], "read")?;
        let by_id = self.plugin_data.get_key_value(resource);
        let all = self.plugin_data.iter().filter(|_| resource.is_empty());
        let wanted =
            |(_, item): &(&String, &PluginItem)| plugin.is_empty() || item.entries.contains_key(plugin);
        let found = by_id.into_iter().chain(all).filter(wanted);
        Ok(found.map(|(id, item)| (id.clone(), item.clone())).collect())
    }

    /// Replaces a plugin's notes, whatever was there; an empty entry removes them.
    pub(super) fn plant_plugin_data(&mut self, id: &str, plugin: &str, entry: Entry) -> Result<(), RpcError> {
        let mut item = self.item_or_new(id)?;
        if entry.is_empty() {
            item.entries.remove(plugin);
        } else {
            item.entries.insert(plugin.to_owned(), entry);
        }
        self.store(id.to_owned(), item);
        Ok(())
    }

    fn item_or_new(&self, id: &str) -> Result<PluginItem, RpcError> {
        if let Some(item) = self.plugin_data.get(id) {
            return Ok(item.clone());
        }
        let request = self.requests.get(id);
        let request = request.ok_or_else(|| {
            RpcError::not_found(match self.options.version >= ServerVersion::V15 {
                true => format!("no access request matching {id:?}"),
                false => format!("access request {id:?} not found"),
            })
        })?;
        let expires = request.access_expiry + self.options.plugin_data_afterlife;
        Ok(PluginItem { expires, revision: 0, entries: BTreeMap::new() })
    }

    fn store(&mut self, id: String, mut item: PluginItem) {
        item.revision = self.next_revision();
        self.expires_at(item.expires);
        self.plugin_data.insert(id, item);
    }
}

fn require_kind(kind: &str) -> Result<(), RpcError> {
    if kind == ACCESS_REQUEST {
        return Ok(());
    }
    Err(RpcError::bad_parameter(format!("unsupported resource kind {kind:?}")))
}
