//! From the recipients of a request to places in Slack, and what is said of those who have none.
//!
//! Whom to tell is decided in `access_core::domain::recipients`; where people are, `lookups` finds.

use access_core::domain::ids::RequestId;
use access_core::domain::recipients::{self, Destination, Recipient, ResolvedTo, Rules, UnnotifiedReviewers};
use access_core::domain::request::AccessRequest;
use access_core::record::{Operation, Outcome, Record};
use tracing::warn;

use super::recipient_lookup::{LookupError, LookupErrorKind, RecipientLookup, ResolvedRecipient};
use super::retry_state::{Deferred, RetryState};
use crate::observe::log_once::LogOnce;
use crate::slack::directory::Directory;

/// The recipients of one request, and how they fared so far.
#[derive(Debug, Default)]
pub(super) struct RequestRecipients {
    list: recipients::RecipientList,
    /// Those who have no message yet.
    undelivered: Vec<Recipient>,
    should_notify: bool,
}

impl RequestRecipients {
    pub(super) fn of(listed: Option<&AccessRequest>, record: &Record, rules: &Rules) -> Self {
        let Some(listed) = listed.filter(|_| !record.is_from_go_plugin()) else { return Self::default() };
        let names = recipients::recipients(listed, rules);
        let untold = names.recipients.iter().filter(|r| !record.is_delivered(&[r.key()])).cloned().collect();
        Self { list: names, undelivered: untold, should_notify: true }
    }

    /// The people to be looked up, and whether the configuration names them: all of them as soon as one who is `due` was
    /// not told, because two names may lead to the same person.
    pub(super) fn users_to_resolve(
        &self,
        rules: &Rules,
        memory: &RetryState,
        due: impl Fn(&Operation) -> bool,
    ) -> Vec<(Recipient, bool)> {
        let is_person = |r: &&Recipient| {
            let is_person = matches!(r, Recipient::Email(_) | Recipient::User(_) | Recipient::Reviewer(_));
            is_person && !memory.requester_keys.contains(&r.key())
        };
        if !self.undelivered.iter().filter(is_person).any(|r| due(&Operation::Post(r.key()))) {
            return Vec::new();
        }
        let waits = |r: &&Recipient| !self.undelivered.contains(r) || due(&Operation::Post(r.key()));
        let wanted = self.list.recipients.iter().filter(is_person).filter(waits);
        wanted.map(|r| (r.clone(), rules.named().any(|named| named == r))).collect()
    }

    /// Suggested reviewers who could not be told, as far as is known.
    fn unnotified_reviewers(&self, memory: &RetryState) -> UnnotifiedReviewers {
        let mut untold = self.list.unaddressable.clone();
        for recipient in &self.undelivered {
            if let Recipient::Reviewer(name) = recipient
                && memory.unresolved.contains(&recipient.key())
            {
                untold.push(name);
            }
        }
        untold
    }

    /// Where to post: channels at once, people as far as they were found.
    pub(super) fn destinations(
        &self,
        directory: &Directory,
        people: &[ResolvedRecipient],
    ) -> Vec<Destination> {
        let place = |recipient: &Recipient| match recipient {
            Recipient::ChannelId(id) => Some(ResolvedTo::Channel(id.clone())),
            Recipient::ChannelName(name) => {
                let known = directory.cached_channel_id(name).map(|id| id.to_string());
                Some(ResolvedTo::Channel(known.unwrap_or_else(|| name.clone())))
            }
            Recipient::Email(_) | Recipient::User(_) | Recipient::Reviewer(_) => {
                people.iter().find(|(r, _)| r == recipient).map(|(_, found)| found.clone())
            }
        };
        let found: Vec<_> =
            self.list.recipients.iter().filter_map(|r| Some((r.clone(), place(r)?))).collect();
        recipients::destinations(&found)
    }

    /// Says, once a request, what is odd about its audience.
    pub(super) fn log_recipient_warnings(&self, id: &RequestId) {
        if !self.should_notify {
            return;
        }
        let recipients::RecipientList { recipients, omitted: left_out, .. } = &self.list;
        if recipients.is_empty() {
            warn!(request = %id, "Nobody is told of this request: no recipient is configured for its roles; add `recipients` under [slack] or an entry in [role_to_recipients]");
        }
        if *left_out > 0 {
            warn!(request = %id, left_out, "The request has more recipients than teleport-slack tells; the last suggested reviewers are left out");
        }
    }

    /// Looks for whoever is to be told, without waiting. Returns whether all is known by now.
    pub(super) async fn resolve(
        &self,
        listed: Option<&AccessRequest>,
        lookup: &RecipientLookup,
        rules: &Rules,
        log_once: &LogOnce,
        memory: &mut RetryState,
    ) -> bool {
        let Some(listed) = listed else {
            (memory.pending_lookups, memory.resolved) = (None, Vec::new());
            return true;
        };
        let looked = match memory.pending_lookups.take() {
            Some(looking) => looking.take_results(),
            None => {
                memory.resolved.clear();
                let wanted = self.users_to_resolve(rules, memory, |operation| memory.is_due(operation));
                if wanted.is_empty() {
                    return true;
                }
                lookup.start(listed, wanted).await
            }
        };
        for outcome in looked.results {
            match outcome {
                Ok((recipient, found)) => {
                    memory.unresolved.remove(&recipient.key());
                    if found == ResolvedTo::Requester {
                        memory.requester_keys.insert(recipient.key());
                    }
                    memory.resolved.push((recipient, found));
                }
                Err(missing) => self.record_unresolved(missing, log_once, memory),
            }
        }
        memory.pending_lookups = looked.pending;
        memory.pending_lookups.is_none()
    }

    /// Remembers who was not found, and says so once a cause.
    fn record_unresolved(&self, missing: LookupError, log_once: &LogOnce, memory: &mut RetryState) {
        if !self.undelivered.contains(&missing.recipient) {
            return;
        }
        let key = missing.recipient.key();
        let errand = Operation::Post(key.clone());
        let failures = memory.failures.get(&errand).copied().unwrap_or(0);
        let delay = missing.delay(failures);
        let is_reviewer = matches!(missing.recipient, Recipient::Reviewer(_));
        if is_reviewer && matches!(missing.kind, LookupErrorKind::NoSuchUser | LookupErrorKind::Deactivated) {
            // All of them are told in one line (`note_untold`).
            memory.unresolved.insert(key);
        } else if log_once.should_log(key.as_str(), &missing.cause()) {
            missing.log(delay, !is_reviewer);
        }
        memory.defer(errand, &Deferred::failed(delay));
    }

    /// Has those written down who could not be told, for the message to name them, and names them once in the log.
    pub(super) fn record_unnotified_reviewers(&self, record: &mut Record, memory: &mut RetryState) {
        let untold = self.unnotified_reviewers(memory);
        if untold == record.unnotified {
            return;
        }
        if let Some(known) = record.known.as_ref().filter(|_| !untold.is_empty()) {
            warn!(request = %known.id, "Suggested reviewers could not be told: {untold}; nobody active in this Slack workspace goes by these names: correct them in Teleport, or link them under [review.users]");
        }
        memory.unrecorded.push(Outcome::Unnotified(untold.clone()));
        record.unnotified = untold;
    }
}
