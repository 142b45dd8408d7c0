//! The names of people by their ids, and the bot's own, as the last answers had them.

use std::sync::Arc;

use access_core::domain::ids::SlackUserId;
use access_core::domain::text;
use access_core::policy::identity::SlackProfile;
use parking_lot::Mutex;

use super::cache::{Cache, Limits};
use super::redact::Redactor;
use super::timings::CallTimings;

/// So many are remembered. An entry takes about a tenth of a kilobyte.
const MAX_NAMES: usize = 10_000;

/// Slack itself ends a name at 80 characters.
const MAX_NAME_CHARS: usize = 80;

/// Clones share the memory.
#[derive(Clone)]
pub(super) struct Names {
    people: Cache<String, ()>,
    bot: Arc<Mutex<Option<Arc<str>>>>,
}

impl Names {
    pub(super) fn new(timings: CallTimings) -> Self {
        let CallTimings { found_for: hit_ttl, not_found_for: miss_ttl, .. } = timings;
        let people = Cache::new(Limits { hit_ttl, miss_ttl, max_entries: MAX_NAMES });
        Self { people, bot: Arc::default() }
    }

    /// The same people, and no bot: another token may be another bot's.
    pub(super) fn without_bot(&self) -> Self {
        Self { people: self.people.clone(), bot: Arc::default() }
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

    pub(super) fn get(&self, user: &SlackUserId) -> Option<String> {
        self.people.peek(user.as_str())
    }
}
