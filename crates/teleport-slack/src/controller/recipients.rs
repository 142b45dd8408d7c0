//! Resolves the recipients of a request to destinations in Slack, and logs those that have none.
//!
//! `access_core::domain::recipients` decides which recipients to notify; `recipient_lookup` finds the users.

use std::collections::BTreeMap;

use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::known_ids::KnownIds;
use access_core::domain::recipients::{
    self, Destination, MAX_RECIPIENTS, Recipient, RecipientKey, RecipientList, ResolvedTo, Rules,
    UnnotifiedReviewers,
};
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::plan::{Unresolved, owed_elsewhere};
use access_core::record::{Operation, Outcome, Record};
use tracing::{debug, warn};

use super::lookup_order::LookupKey;
use super::recipient_lookup::{LookupError, LookupProgress, RecipientLookup, ResolvedRecipient};
use super::retry_state::{Deferred, RetryState};
use crate::observe::log_once::SharedLogOnce;
use slack_client::directory::Directory;

/// The recipients of one request, and which of them have a message.
#[derive(Debug, Default)]
pub(super) struct RequestRecipients {
    list: RecipientList,
    /// Recipients without a message.
    undelivered: Vec<Recipient>,
    /// Of them, channels that may have been owed one under another name when the request was decided.
    to_identify: Vec<Recipient>,
    /// Of them, channels' names that may be of one that has a message by its id: Slack says so before a post.
    perhaps_there: Vec<Recipient>,
    should_notify: bool,
    is_decided: bool,
}

impl RequestRecipients {
    pub(super) fn of(
        listed: Option<&AccessRequest>,
        record: &Record,
        rules: &Rules,
        directory: &Directory,
    ) -> Self {
        let Some(listed) = listed.filter(|_| !record.is_from_go_plugin()) else { return Self::default() };
        let list = recipients::recipients(listed, rules);
        let undelivered: Vec<_> =
            list.recipients.iter().filter(|r| !record.is_delivered(&[r.key()])).cloned().collect();
        let is_decided = listed.state != RequestState::Pending;
        let perhaps_there = if record.has_channel_besides(&list) {
            undelivered.iter().filter(|r| matches!(r, Recipient::ChannelName(_))).cloned().collect()
        } else {
            Vec::new()
        };
        let to_identify = Vec::new();
        let mut of = Self { list, undelivered, to_identify, perhaps_there, should_notify: true, is_decided };
        let ids = of.known_ids(record, directory);
        if owed_elsewhere(record, &of.list, &ids).any(RecipientKey::is_channel) {
            let is_owed = |key: &RecipientKey| record.owed.iter().flatten().any(|owed| owed == key);
            let channels = of.undelivered.iter().filter(|r| r.key().is_channel() && !is_owed(&r.key()));
            of.to_identify = channels.cloned().collect();
        }
        of
    }

    /// Which names lead to the same place, as far as Slack said lately: of the recipients, and of those who are owed a message.
    pub(super) fn known_ids(&self, record: &Record, directory: &Directory) -> KnownIds {
        let mut ids = KnownIds::default();
        if !self.is_decided && record.owed.is_none() {
            return ids;
        }
        let owed = record.owed.iter().flatten().filter_map(|name| Recipient::parse(name.as_str()).ok());
        for recipient in self.list.recipients.iter().cloned().chain(owed) {
            match &recipient {
                Recipient::ChannelName(name) => {
                    directory.cached_channel_id(name).inspect(|id| ids.insert(recipient.key(), id.as_str()));
                }
                Recipient::ChannelId(id) => {
                    let name = directory.cached_channel_name(&ChannelId::new(id));
                    name.inspect(|name| ids.insert(Recipient::ChannelName(name.clone()).key(), id));
                }
                Recipient::DirectMessage(id) => {
                    let user = directory.cached_person_of_direct_message(&ChannelId::new(id));
                    user.inspect(|user| ids.insert(recipient.key(), user.as_str()));
                }
                Recipient::Email(email) => {
                    let user = directory.cached_by_email(email);
                    user.inspect(|user| ids.insert(recipient.key(), user.id.as_str()));
                }
                Recipient::User(id) => {
                    let email = directory.cached_by_id(id).and_then(|user| user.email.clone());
                    email.inspect(|email| ids.insert(RecipientKey::new(email.to_lowercase()), id.as_str()));
                }
                Recipient::Reviewer(_) => {}
            }
        }
        ids
    }

    /// The users to look up, and whether the configuration names them: all of them as soon as one who is `due` has no
    /// message, because two names may lead to the same user. Channels only to learn their other names.
    pub(super) fn users_to_resolve(
        &self,
        rules: &Rules,
        retry_state: &RetryState,
        due: impl Fn(&Operation) -> bool,
    ) -> Vec<(Recipient, bool)> {
        let is_user = |r: &&Recipient| {
            let is_user = !matches!(r, Recipient::ChannelId(_) | Recipient::ChannelName(_));
            let is_looked_up = is_user || self.to_identify.contains(r) || self.perhaps_there.contains(r);
            is_looked_up && !retry_state.requester_keys.contains(&r.key())
        };
        if !self.undelivered.iter().filter(is_user).any(|r| due(&Operation::Post(r.key()))) {
            return Vec::new();
        }
        let waits = |r: &&Recipient| !self.undelivered.contains(r) || due(&Operation::Post(r.key()));
        let wanted = self.list.recipients.iter().filter(is_user).filter(waits);
        wanted.map(|r| (r.clone(), rules.named().any(|named| named == r))).collect()
    }

    /// Suggested reviewers who could not be notified, as far as is known.
    fn unnotified_reviewers(&self, retry_state: &RetryState) -> UnnotifiedReviewers {
        let mut unnotified = self.list.unaddressable.clone();
        for recipient in &self.undelivered {
            if let Recipient::Reviewer(name) = recipient
                && retry_state.unresolved.get(&recipient.key()).copied().is_some_and(is_missing)
            {
                unnotified.push(name);
            }
        }
        unnotified
    }

    /// Everyone to notify, found or not.
    pub(super) fn list(&self) -> &RecipientList {
        &self.list
    }

    /// The users who have no destination, and why, as far as is known.
    pub(super) fn unresolved(&self, retry_state: &RetryState) -> BTreeMap<RecipientKey, Unresolved> {
        let requester = retry_state.requester_keys.iter().map(|key| (key.clone(), Unresolved::Requester));
        retry_state.unresolved.clone().into_iter().chain(requester).collect()
    }

    /// The destinations: channels at once, unless Slack must say first which one a name is; users as far as they were found.
    pub(super) fn destinations(
        &self,
        directory: &Directory,
        users: &[ResolvedRecipient],
    ) -> Vec<Destination> {
        let destination = |recipient: &Recipient| match recipient {
            Recipient::ChannelId(id) => Some(ResolvedTo::Channel(id.clone())),
            Recipient::ChannelName(name) => {
                let known = directory.cached_channel_id(name).map(|id| id.to_string());
                let is_looked_up = || users.iter().any(|(r, _)| r == recipient);
                let unknown = || !self.perhaps_there.contains(recipient) || is_looked_up();
                known.or_else(|| unknown().then(|| name.clone())).map(ResolvedTo::Channel)
            }
            Recipient::Email(_)
            | Recipient::User(_)
            | Recipient::DirectMessage(_)
            | Recipient::Reviewer(_) => {
                users.iter().find(|(r, _)| r == recipient).map(|(_, found)| found.clone())
            }
        };
        let found: Vec<_> =
            self.list.recipients.iter().filter_map(|r| Some((r.clone(), destination(r)?))).collect();
        recipients::destinations(&found)
    }

    /// Logs warnings about the recipients, once a request.
    pub(super) fn log_recipient_warnings(&self, id: &RequestId) {
        if !self.should_notify {
            return;
        }
        let RecipientList { recipients, omitted: left_out, .. } = &self.list;
        if recipients.is_empty() {
            log_no_recipients(id);
        }
        if *left_out > 0 {
            warn!(request = %id, left_out, limit = MAX_RECIPIENTS, "The request has more recipients than teleport-slack notifies; it leaves out the last suggested reviewers");
        }
    }

    /// Looks up the recipients to notify, without waiting. Returns whether all look-ups ended.
    pub(super) async fn resolve(
        &self,
        listed: Option<&AccessRequest>,
        lookup: &RecipientLookup,
        rules: &Rules,
        log_once: &SharedLogOnce,
        retry_state: &mut RetryState,
    ) -> bool {
        let Some(listed) = listed else {
            (retry_state.pending_lookups, retry_state.resolved) = (Vec::new(), Vec::new());
            return true;
        };
        let is_begun = !retry_state.pending_lookups.is_empty();
        for pending in std::mem::take(&mut retry_state.pending_lookups) {
            self.take_up(listed, pending.take_results(), lookup, log_once, retry_state);
        }
        let wanted = if !is_begun {
            retry_state.resolved.clear();
            self.users_to_resolve(rules, retry_state, |operation| retry_state.is_due(operation))
        } else if retry_state.pending_lookups.is_empty() {
            Vec::new()
        } else {
            self.users_to_repeat(rules, retry_state)
        };
        if !wanted.is_empty() {
            let waiting = wanted.iter().filter(|(recipient, _)| self.undelivered.contains(recipient));
            let join = |(recipient, is_configured): &(Recipient, bool)| {
                let requester = (!is_configured).then(|| listed.user.clone());
                let key = LookupKey { recipient: recipient.key(), requester };
                lookup.order.join(key, listed.created, &listed.id)
            };
            if !is_begun {
                retry_state.lookup_waiters.clear();
            }
            retry_state.lookup_waiters.extend(waiting.map(join));
            let progress = lookup.start(listed, wanted).await;
            self.take_up(listed, progress, lookup, log_once, retry_state);
        }
        retry_state.pending_lookups.is_empty()
    }

    /// Recipients of the configuration whose look-up failed and is due again, while those of suggested reviewers go on: a
    /// requester who names many delays no other recipient.
    fn users_to_repeat(&self, rules: &Rules, retry_state: &RetryState) -> Vec<(Recipient, bool)> {
        let mut wanted = self.users_to_resolve(rules, retry_state, |operation| retry_state.is_due(operation));
        wanted.retain(|(recipient, is_configured)| {
            *is_configured
                && self.undelivered.contains(recipient)
                && retry_state.resolved.iter().all(|(known, _)| known != recipient)
                && !retry_state.pending_lookups.iter().any(|pending| pending.is_pending(recipient))
        });
        wanted
    }

    /// Takes up the results of look-ups, and keeps those that go on.
    fn take_up(
        &self,
        listed: &AccessRequest,
        progress: LookupProgress,
        lookup: &RecipientLookup,
        log_once: &SharedLogOnce,
        retry_state: &mut RetryState,
    ) {
        for outcome in progress.results {
            match outcome {
                Ok((recipient, found)) => {
                    debug!(request = %listed.id, %recipient, "Looked up the recipient");
                    retry_state.unresolved.remove(&recipient.key());
                    retry_state.missing_reviewers.remove(&recipient.key());
                    if found == ResolvedTo::Requester {
                        retry_state.requester_keys.insert(recipient.key());
                    }
                    retry_state.resolved.push((recipient, found));
                }
                Err(missing) => self.record_unresolved(missing, lookup, log_once, retry_state),
            }
        }
        retry_state.pending_lookups.extend(progress.pending);
    }

    /// Remembers a recipient who was not found, and logs each cause once.
    fn record_unresolved(
        &self,
        missing: LookupError,
        lookup: &RecipientLookup,
        log_once: &SharedLogOnce,
        retry_state: &mut RetryState,
    ) {
        if !self.undelivered.contains(&missing.recipient) {
            return;
        }
        let key = missing.recipient.key();
        retry_state.lookup_waiters.retain(|waiter| *waiter.recipient() != key);
        let operation = Operation::Post(key.clone());
        let failures = retry_state.failures_of(&operation);
        let delay = missing.delay(failures, lookup);
        let is_reviewer = matches!(missing.recipient, Recipient::Reviewer(_));
        let why = missing.kind.unresolved();
        if is_missing(why) {
            retry_state.unresolved.insert(key.clone(), why);
        } else {
            // Without an answer, a user who was missing is still missing.
            retry_state.unresolved.entry(key.clone()).or_insert(why);
        }
        if is_reviewer && is_missing(why) {
            retry_state.missing_reviewers.insert(key.clone());
            // One line names all of them (`record_unnotified_reviewers`).
        } else {
            let is_news = !missing.is_of_side(lookup, failures) && missing.should_log(log_once);
            missing.log(delay, !is_reviewer, is_news);
        }
        retry_state.defer(operation, &Deferred::failed(delay));
    }

    /// Records the suggested reviewers who could not be notified, so that the message names them, and logs them once.
    pub(super) fn record_unnotified_reviewers(
        &self,
        id: &RequestId,
        record: &mut Record,
        retry_state: &mut RetryState,
    ) {
        let unnotified = self.unnotified_reviewers(retry_state);
        if unnotified == record.unnotified {
            return;
        }
        log_unnotified(id, &unnotified, retry_state);
        retry_state.unrecorded.push(Outcome::Unnotified(unnotified.clone()));
        record.unnotified = unnotified;
    }

    /// Logs once that no user is notified, because the request has only suggested reviewers and all are missing. There is no
    /// message that could name them, and no record.
    pub(super) fn log_if_all_are_missing(&self, id: &RequestId, retry_state: &mut RetryState) {
        let unnotified = self.unnotified_reviewers(retry_state);
        let is_missing = |recipient: &Recipient| retry_state.missing_reviewers.contains(&recipient.key());
        if unnotified == retry_state.logged_unnotified || !self.list.recipients.iter().all(is_missing) {
            return;
        }
        if !self.list.recipients.is_empty() {
            log_no_recipients(id);
        }
        log_unnotified(id, &unnotified, retry_state);
    }
}

fn log_no_recipients(id: &RequestId) {
    warn!(request = %id, "No recipients for this request: no recipient is configured for its roles; add `recipients` under [slack] or an entry in [role_to_recipients]");
}

/// Logs them, unless these were logged before.
fn log_unnotified(id: &RequestId, unnotified: &UnnotifiedReviewers, retry_state: &mut RetryState) {
    if *unnotified == retry_state.logged_unnotified {
        return;
    }
    retry_state.logged_unnotified.clone_from(unnotified);
    if unnotified.is_empty() {
        return;
    }
    warn!(request = %id, "Suggested reviewers could not be notified: {unnotified}; no active user of this Slack workspace has these names: correct them in Teleport, or link them under [review.users]");
}

/// Whether there is no active user, as opposed to no answer.
fn is_missing(why: Unresolved) -> bool {
    matches!(why, Unresolved::NoSuchUser | Unresolved::Deactivated)
}
