//! Who and what is where in the workspace, asked once and remembered for a while.
//!
//! Good enough to address messages. It is never to be asked whether a person may decide: that takes a fresh
//! `Client::user_info`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use access_core::domain::ids::{ChannelId, SlackUserId};
use parking_lot::Mutex;

use super::Client;
use super::cache::{Cache, Limits};
use super::error::{Affects, SlackError};
use super::method::Method;
use super::objects::Conversation;
use super::rate_limit::LookupQueue;
pub use super::rate_limit::Priority;
use super::timings::CallTimings;
use access_core::policy::identity::SlackProfile;

/// Per kind of lookup. An entry takes about half a kilobyte.
const MAX_ENTRIES: usize = 10_000;

/// A longer key names no user: e-mail addresses end at 320 bytes, ids and channel names long before.
const MAX_KEY_BYTES: usize = 512;

/// Names of channels that are looked for together; more are looked for one by one.
const MAX_WANTED_NAMES: usize = 1_000;

/// Looks people and conversations up, with a memory. Cheap to clone; clones share the memory.
///
/// What was found is remembered for [`CallTimings::found_for`], that nothing was found for
/// [`CallTimings::not_found_for`], failures not at all.
/// Concurrent questions about the same key with the same priority cause one call. Few calls are made at once, and none
/// while Slack asks to wait; then the question fails at once with what is left of the wait.
#[derive(Clone)]
pub struct Directory {
    client: Client,
    lookups: LookupQueue,
    by_email: Cache<Arc<SlackProfile>, SlackError>,
    by_id: Cache<Arc<SlackProfile>, SlackError>,
    conversations: Cache<Arc<Conversation>, SlackError>,
    direct_messages: Cache<SlackUserId, SlackError>,
    channel_ids: Cache<ChannelId, SlackError>,
    /// The names that callers asked for: one list answers for all of them.
    wanted_names: Arc<Mutex<BTreeSet<String>>>,
    list_lock: Arc<tokio::sync::Mutex<()>>,
}

impl Directory {
    /// Starts with an empty memory.
    pub fn new(client: Client) -> Self {
        let CallTimings { found_for: hit_ttl, not_found_for: miss_ttl, .. } = client.timings();
        let limits = Limits { hit_ttl, miss_ttl, max_entries: MAX_ENTRIES };
        Self {
            lookups: client.lookup_queue(),
            client,
            by_email: Cache::new(limits),
            by_id: Cache::new(limits),
            conversations: Cache::new(limits),
            direct_messages: Cache::new(limits),
            channel_ids: Cache::new(limits),
            wanted_names: Arc::default(),
            list_lock: Arc::default(),
        }
    }

    /// The person with this e-mail address; `None` if there is no active one.
    pub async fn by_email(
        &self,
        email: &str,
        priority: Priority,
    ) -> Result<Option<Arc<SlackProfile>>, SlackError> {
        if !is_valid_key(email) {
            return Ok(None);
        }
        let lookup = || {
            let (this, email, priority) = (self.clone(), email.to_owned(), priority.clone());
            async move {
                let call = this.client.lookup_by_email(&email);
                Ok(this.lookups.call(Method::UsersLookupByEmail, priority, call).await?.map(Arc::new))
            }
        };
        self.by_email.get_or_fetch(email, priority.key(), lookup).await
    }

    /// The person with this id; `None` if there is none that the app may see.
    pub async fn by_id(
        &self,
        id: &SlackUserId,
        priority: Priority,
    ) -> Result<Option<Arc<SlackProfile>>, SlackError> {
        if !is_valid_key(id.as_str()) {
            return Ok(None);
        }
        let lookup = || {
            let (this, id, priority) = (self.clone(), id.clone(), priority.clone());
            async move {
                let call = this.client.user_info(&id);
                Ok(this.lookups.call(Method::UsersInfo, priority, call).await?.map(Arc::new))
            }
        };
        self.by_id.get_or_fetch(id.as_str(), priority.key(), lookup).await
    }

    /// The person of the app's direct message with this id, `D…`; `None` if Slack shows none.
    pub async fn person_of_direct_message(
        &self,
        channel: &ChannelId,
        priority: Priority,
    ) -> Result<Option<SlackUserId>, SlackError> {
        if !is_valid_key(channel.as_str()) {
            return Ok(None);
        }
        let lookup = || {
            let (this, channel, priority) = (self.clone(), channel.clone(), priority.clone());
            async move {
                let call = this.client.person_of_direct_message(&channel);
                this.lookups.call(Method::ConversationsOpen, priority, call).await
            }
        };
        self.direct_messages.get_or_fetch(channel.as_str(), priority.key(), lookup).await
    }

    /// The conversation with this id; `None` if there is none that the app can see. Its name is learned too.
    pub async fn conversation(&self, id: &ChannelId) -> Result<Option<Arc<Conversation>>, SlackError> {
        if !is_valid_key(id.as_str()) {
            return Ok(None);
        }
        let lookup = || {
            let (this, id) = (self.clone(), id.clone());
            async move {
                let call = this.client.conversation_info(&id);
                match this.lookups.call(Method::ConversationsInfo, Priority::Operator, call).await {
                    Ok(found) => {
                        if is_valid_key(&found.name) {
                            this.channel_ids.insert(&found.name, found.id.clone());
                        }
                        Ok(Some(Arc::new(found)))
                    }
                    Err(error) if error.is_missing(Affects::Channel) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        self.conversations.get_or_fetch(id.as_str(), Priority::Operator.key(), lookup).await
    }

    /// The id of a public channel by its name (with or without `#`); `None` if there is none. Slack cannot be
    /// asked for one name, so all channels are listed, once for all names that were asked for so far. What is found is
    /// remembered.
    pub async fn channel_by_name(&self, name: &str) -> Result<Option<ChannelId>, SlackError> {
        let name = without_hash(name);
        if !is_valid_key(name) {
            return Ok(None);
        }
        let lookup = || {
            let (this, name) = (self.clone(), name.to_owned());
            async move {
                this.add_wanted_names([name.as_str()]);
                let _alone = this.list_lock.lock().await;
                // Another task may have listed them meanwhile.
                if let Some(known) = this.channel_ids.peek(&name) {
                    return Ok(Some(known));
                }
                let found = this.list([name.as_str()]).await?;
                Ok(found.into_iter().find(|channel| channel.name == name).map(|channel| channel.id))
            }
        };
        self.channel_ids.get_or_fetch(name, Priority::Operator.key(), lookup).await
    }

    /// The public channels of these names, in one list; their ids are remembered.
    pub async fn channels_by_name(&self, names: &BTreeSet<&str>) -> Result<Vec<Conversation>, SlackError> {
        self.add_wanted_names(names.iter().copied());
        let _alone = self.list_lock.lock().await;
        self.list(names.iter().copied()).await
    }

    /// Lists what was asked for so far and is not known, and these names.
    async fn list<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Conversation>, SlackError> {
        let mut wanted = self.wanted_names.lock().clone();
        wanted.retain(|name| self.channel_ids.peek(name).is_none());
        wanted.extend(names.into_iter().map(|name| name.to_owned()));
        let list = self.client.channels_by_name(&wanted);
        let found = self.lookups.call(Method::ConversationsList, Priority::Operator, list).await?;
        for channel in &found {
            self.channel_ids.insert(&channel.name, channel.id.clone());
            self.client.note_channel_name(&channel.id, &channel.name);
        }
        Ok(found)
    }

    fn add_wanted_names<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut wanted = self.wanted_names.lock();
        for name in names {
            if wanted.len() < MAX_WANTED_NAMES && is_valid_key(name) {
                wanted.insert(name.to_owned());
            }
        }
    }

    /// Remembers the id with which Slack answered a post to a channel's name.
    pub fn remember_channel_id(&self, name: &str, id: &ChannelId) {
        if is_valid_key(without_hash(name)) {
            self.channel_ids.insert(without_hash(name), id.clone());
            self.client.note_channel_name(id, without_hash(name));
        }
    }

    /// A channel's name without `#`, if it was learned lately. Makes no call.
    pub fn cached_channel_name(&self, id: &ChannelId) -> Option<String> {
        let found = self.conversations.peek(id.as_str());
        found.map(|channel| channel.name.clone()).filter(|name| is_valid_key(name))
    }

    /// The person of the app's direct message with this id, if it was learned lately. Makes no call.
    pub fn cached_person_of_direct_message(&self, channel: &ChannelId) -> Option<SlackUserId> {
        self.direct_messages.peek(channel.as_str())
    }

    /// The person with this e-mail address, if it was learned lately. Makes no call.
    pub fn cached_by_email(&self, email: &str) -> Option<Arc<SlackProfile>> {
        self.by_email.peek(email)
    }

    /// The person with this id, if it was learned lately. Makes no call.
    pub fn cached_by_id(&self, id: &SlackUserId) -> Option<Arc<SlackProfile>> {
        self.by_id.peek(id.as_str())
    }

    /// The id of a channel by its name (with or without `#`), if it was learned lately. Makes no call.
    pub fn cached_channel_id(&self, name: &str) -> Option<ChannelId> {
        self.channel_ids.peek(without_hash(name))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("client", &self.client).finish_non_exhaustive()
    }
}

fn without_hash(name: &str) -> &str {
    name.strip_prefix('#').unwrap_or(name)
}

fn is_valid_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES
}
