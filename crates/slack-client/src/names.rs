//! The names of people and channels by their ids, and the bot's own, as the last answers had them.

use std::sync::Arc;

use access_core::domain::ids::{ChannelId, SlackUserId};
use access_core::domain::text;
use access_core::policy::identity::SlackProfile;
use parking_lot::Mutex;

use super::cache::{Cache, Limits};
use super::redact::Redactor;
use super::timings::CallTimings;

/// So many of each are remembered. An entry takes about a tenth of a kilobyte.
const MAX_NAMES: usize = 10_000;

/// Slack itself ends a name at 80 characters.
const MAX_NAME_CHARS: usize = 80;

/// Clones share the memory.
#[derive(Clone)]
pub(super) struct Names {
    people: Cache<String, ()>,
    channels: Cache<String, ()>,
    bot: Arc<Mutex<Option<Arc<str>>>>,
}

impl Names {
    pub(super) fn new(timings: CallTimings) -> Self {
        let CallTimings { names_for: hit_ttl, not_found_for: miss_ttl, .. } = timings;
        let limits = Limits { hit_ttl, miss_ttl, max_entries: MAX_NAMES };
        Self { people: Cache::new(limits), channels: Cache::new(limits), bot: Arc::default() }
    }

    /// The same people and channels, and no bot: another token may be another bot's.
    pub(super) fn without_bot(&self) -> Self {
        Self { bot: Arc::default(), ..self.clone() }
    }

    /// Remembers the name by which people invite the bot.
    pub(super) fn note_bot(&self, name: &str, redactor: &Redactor) {
        let name = redactor.redact(name, MAX_NAME_CHARS);
        *self.bot.lock() = text::is_seen(&name).then(|| name.into());
    }

    pub(super) fn bot(&self) -> Option<Arc<str>> {
        self.bot.lock().clone()
    }

    /// Remembers the name of an account by all its ids. Returns the account with a name that is fit for a log.
    pub(super) fn note(&self, profile: SlackProfile, redactor: &Redactor) -> SlackProfile {
        let name = profile.name.as_ref().map(|name| redactor.redact(name, MAX_NAME_CHARS));
        let name = name.filter(|name| text::is_seen(name));
        if let Some(name) = &name {
            profile.ids().for_each(|id| self.people.insert(id.as_str(), name.clone()));
        }
        SlackProfile { name, ..profile }
    }

    /// Remembers the name of a channel (without `#`), which people write with one.
    pub(super) fn note_channel(&self, channel: &ChannelId, name: &str, redactor: &Redactor) {
        let name = redactor.redact(name, MAX_NAME_CHARS);
        if text::is_seen(&name) {
            self.channels.insert(channel.as_str(), format!("#{name}"));
        }
    }

    pub(super) fn of_person(&self, user: &SlackUserId) -> Option<String> {
        self.people.peek(user.as_str())
    }

    pub(super) fn of_channel(&self, channel: &ChannelId) -> Option<String> {
        self.channels.peek(channel.as_str())
    }
}
