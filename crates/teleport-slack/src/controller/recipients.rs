//! From the recipients of a request to places in Slack, and what is said of those who have none.
//!
//! Whom to tell is decided in `access_core::domain::recipients`; where people are, `lookups` finds.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::recipients::{self, Destination, Recipient, ResolvedTo, Rules, UnnotifiedReviewers};
use access_core::domain::request::AccessRequest;
use access_core::record::Operation;
use access_core::record::{Outcome, Record};
use tracing::{error, warn};

use super::reconciler::Reconciler;
use super::retry_state::RetryState;
use super::sender::Deferred;
use crate::slack::directory::Directory;
use crate::slack::error::{Retry, SlackError};
use crate::teleport::error::TeleportError;

/// Somebody who is not in Slack today may be tomorrow.
const UNRESOLVED_RETRY: Duration = Duration::from_secs(600);
/// The directory does not answer.
const LOOKUP_BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// The recipients of one request, and how they fared so far.
#[derive(Debug, Default)]
pub(super) struct RequestRecipients {
    list: recipients::RecipientList,
    /// Those who have no message yet.
    undelivered: Vec<Recipient>,
    should_notify: bool,
}

/// A recipient and where that is.
pub(super) type ResolvedRecipient = (Recipient, ResolvedTo);

/// A recipient who was not found.
#[derive(Debug)]
pub(super) struct LookupError {
    pub(super) recipient: Recipient,
    pub(super) kind: LookupErrorKind,
}

/// Why not.
#[derive(Debug)]
pub(super) enum LookupErrorKind {
    NoSuchUser,
    Deactivated,
    Slack(SlackError),
    /// Teleport does not say who the requester is, or the reviewer.
    Teleport(TeleportError),
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
}

impl Reconciler {
    /// Looks for whoever is to be told, without waiting. Returns whether all is known by now.
    pub(super) async fn resolve_recipients(
        &self,
        listed: Option<&AccessRequest>,
        audience: &RequestRecipients,
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
                let wanted = audience.users_to_resolve(&self.rules, memory, |errand| memory.is_due(errand));
                if wanted.is_empty() {
                    return true;
                }
                self.recipient_lookup.start(listed, wanted).await
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
                Err(missing) => self.record_unresolved(missing, audience, memory),
            }
        }
        memory.pending_lookups = looked.pending;
        memory.pending_lookups.is_none()
    }

    /// Remembers who was not found, and says so once a cause.
    fn record_unresolved(&self, missing: LookupError, audience: &RequestRecipients, memory: &mut RetryState) {
        if !audience.undelivered.contains(&missing.recipient) {
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
        } else if self.log_once.should_log(key.as_str(), &missing.cause()) {
            missing.log(delay, !is_reviewer);
        }
        memory.defer(errand, &Deferred::failed(delay));
    }

    /// Has those written down who could not be told, for the message to name them, and names them once in the log.
    pub(super) fn record_unnotified_reviewers(
        &self,
        record: &mut Record,
        audience: &RequestRecipients,
        memory: &mut RetryState,
    ) {
        let untold = audience.unnotified_reviewers(memory);
        if untold == record.unnotified {
            return;
        }
        if let Some(known) = record.known.as_ref().filter(|_| !untold.is_empty()) {
            warn!(request = %known.id, "Suggested reviewers could not be told: {untold}; nobody active in this Slack workspace goes by these names: correct them in Teleport, or link them under [review.users]");
        }
        memory.unrecorded.push(Outcome::Unnotified(untold.clone()));
        record.unnotified = untold;
    }

    /// A post by name taught us the channel's id.
    pub(super) fn remember_channel_id(&self, outcome: &Outcome) {
        if let Outcome::Posted { key, channel, .. } = outcome
            && let Some(name) = key.as_str().strip_prefix('#')
        {
            self.directory.remember_channel_id(name, &ChannelId::new(channel.as_str()));
        }
    }
}

impl LookupError {
    /// How long to wait before asking again.
    pub(super) fn delay(&self, failures: u32) -> Duration {
        match &self.kind {
            LookupErrorKind::NoSuchUser | LookupErrorKind::Deactivated => UNRESOLVED_RETRY,
            LookupErrorKind::Slack(error) => match error.retry() {
                Retry::After(delay) => delay,
                Retry::Backoff => LOOKUP_BACKOFF.delay(failures + 1, fastrand::u64(..)),
                Retry::Never | Retry::NeedsOperator => UNRESOLVED_RETRY,
            },
            LookupErrorKind::Teleport(_) => LOOKUP_BACKOFF.delay(failures + 1, fastrand::u64(..)),
        }
    }

    /// The cause in a word or a sentence, by which a repeated complaint is known.
    pub(super) fn cause(&self) -> String {
        match &self.kind {
            LookupErrorKind::NoSuchUser => "nobody".to_owned(),
            LookupErrorKind::Deactivated => "deactivated".to_owned(),
            LookupErrorKind::Slack(error) => error.to_string(),
            LookupErrorKind::Teleport(error) => error.to_string(),
        }
    }

    /// Says it in the log. A person whom the configuration names and who is not there is an error, like a channel
    /// that is not there (`outbox.rs`): somebody must act, and until then messages are missing. Of a suggested
    /// reviewer it is a warning, because a requester's slip is nothing that an operator could mend.
    pub(super) fn log(&self, delay: Duration, is_configured: bool) {
        let (recipient, retry_in_s) = (&self.recipient, delay.as_secs());
        let (words, is_error) = match &self.kind {
            LookupErrorKind::NoSuchUser => ("Nobody in this Slack workspace goes by this recipient; correct it in the configuration, or invite the person".to_owned(), is_configured),
            LookupErrorKind::Deactivated => {
                ("This recipient is deactivated in Slack; take it out of the configuration".to_owned(), is_configured)
            }
            LookupErrorKind::Slack(error) => (
                format!("Cannot look the recipient up: {}", error.with_remedy()),
                matches!(error.retry(), Retry::Never | Retry::NeedsOperator),
            ),
            LookupErrorKind::Teleport(error) => {
                (format!("Cannot tell whether the recipient is the requester: {}", crate::exit::chain(error)), false)
            }
        };
        if is_error {
            error!(%recipient, retry_in_s, "{words}");
        } else {
            warn!(%recipient, retry_in_s, "{words}");
        }
    }
}
