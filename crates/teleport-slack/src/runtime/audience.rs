//! From the recipients of a request to places in Slack, and what is said of those who have none.
//!
//! Whom to tell is decided in `access_core::recipients`; where people are, `lookups` finds.

use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::{ChannelId, RequestId};
use access_core::plan::Errand;
use access_core::recipients::{self, Found, Recipient, Rules, Target, Untold};
use access_core::record::{Outcome, Record};
use access_core::request::AccessRequest;
use tracing::{error, warn};

use super::memory::Memory;
use super::outbox::NotYet;
use super::reconciler::Reconciler;
use crate::slack::directory::Directory;
use crate::slack::error::{Kind, SlackError};
use crate::teleport::error::TeleportError;

/// Somebody who is not in Slack today may be tomorrow.
const ABSENT: Duration = Duration::from_secs(600);
/// The directory does not answer.
const AWAY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// The recipients of one request, and how they fared so far.
#[derive(Debug, Default)]
pub(super) struct Audience {
    names: recipients::Audience,
    /// Those who have no message yet.
    untold: Vec<Recipient>,
    is_wanted: bool,
}

/// A recipient and where that is.
pub(super) type Located = (Recipient, Found);

/// A recipient who was not found.
#[derive(Debug)]
pub(super) struct NotFound {
    pub(super) recipient: Recipient,
    pub(super) why: Why,
}

/// Why not.
#[derive(Debug)]
pub(super) enum Why {
    Nobody,
    Deactivated,
    Slack(SlackError),
    /// Teleport does not say who the requester is, or the reviewer.
    Teleport(TeleportError),
}

impl Audience {
    pub(super) fn of(listed: Option<&AccessRequest>, record: &Record, rules: &Rules) -> Self {
        let Some(listed) = listed.filter(|_| !record.is_adopted()) else { return Self::default() };
        let names = recipients::recipients(listed, rules);
        let untold = names.recipients.iter().filter(|r| !record.is_delivered(&[r.key()])).cloned().collect();
        Self { names, untold, is_wanted: true }
    }

    /// The people to be looked up, and whether the configuration names them: all of them as soon as one who is `due` was
    /// not told, because two names may lead to the same person.
    pub(super) fn people(
        &self,
        rules: &Rules,
        memory: &Memory,
        due: impl Fn(&Errand) -> bool,
    ) -> Vec<(Recipient, bool)> {
        let is_person = |r: &&Recipient| {
            let is_person = matches!(r, Recipient::Email(_) | Recipient::User(_) | Recipient::Reviewer(_));
            is_person && !memory.requester.contains(&r.key())
        };
        if !self.untold.iter().filter(is_person).any(|r| due(&Errand::Deliver(r.key()))) {
            return Vec::new();
        }
        let waits = |r: &&Recipient| !self.untold.contains(r) || due(&Errand::Deliver(r.key()));
        let wanted = self.names.recipients.iter().filter(is_person).filter(waits);
        wanted.map(|r| (r.clone(), rules.named().any(|named| named == r))).collect()
    }

    /// Suggested reviewers who could not be told, as far as is known.
    fn missing(&self, memory: &Memory) -> Untold {
        let mut untold = self.names.unaddressable.clone();
        for recipient in &self.untold {
            if let Recipient::Reviewer(name) = recipient
                && memory.missing.contains(&recipient.key())
            {
                untold.push(name);
            }
        }
        untold
    }

    /// Where to post: channels at once, people as far as they were found.
    pub(super) fn targets(&self, directory: &Directory, people: &[Located]) -> Vec<Target> {
        let place = |recipient: &Recipient| match recipient {
            Recipient::ChannelId(id) => Some(Found::Channel(id.clone())),
            Recipient::ChannelName(name) => {
                let known = directory.known_channel(name).map(|id| id.to_string());
                Some(Found::Channel(known.unwrap_or_else(|| name.clone())))
            }
            Recipient::Email(_) | Recipient::User(_) | Recipient::Reviewer(_) => {
                people.iter().find(|(r, _)| r == recipient).map(|(_, found)| found.clone())
            }
        };
        let found: Vec<_> =
            self.names.recipients.iter().filter_map(|r| Some((r.clone(), place(r)?))).collect();
        recipients::targets(&found)
    }

    /// Says, once a request, what is odd about its audience.
    pub(super) fn tell_oddities(&self, id: &RequestId) {
        if !self.is_wanted {
            return;
        }
        let recipients::Audience { recipients, left_out, .. } = &self.names;
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
    pub(super) async fn find_people(
        &self,
        listed: Option<&AccessRequest>,
        audience: &Audience,
        memory: &mut Memory,
    ) -> bool {
        let Some(listed) = listed else {
            (memory.looking, memory.located) = (None, Vec::new());
            return true;
        };
        let looked = match memory.looking.take() {
            Some(looking) => looking.look(),
            None => {
                memory.located.clear();
                let wanted = audience.people(&self.rules, memory, |errand| memory.is_due(errand));
                if wanted.is_empty() {
                    return true;
                }
                self.lookups.begin(listed, wanted).await
            }
        };
        for outcome in looked.outcomes {
            match outcome {
                Ok((recipient, found)) => {
                    memory.missing.remove(&recipient.key());
                    if found == Found::Requester {
                        memory.requester.insert(recipient.key());
                    }
                    memory.located.push((recipient, found));
                }
                Err(missing) => self.note_missing(missing, audience, memory),
            }
        }
        memory.looking = looked.looking;
        memory.looking.is_none()
    }

    /// Remembers who was not found, and says so once a cause.
    fn note_missing(&self, missing: NotFound, audience: &Audience, memory: &mut Memory) {
        if !audience.untold.contains(&missing.recipient) {
            return;
        }
        let key = missing.recipient.key();
        let errand = Errand::Deliver(key.clone());
        let failures = memory.failures.get(&errand).copied().unwrap_or(0);
        let delay = missing.delay(failures);
        let is_reviewer = matches!(missing.recipient, Recipient::Reviewer(_));
        if is_reviewer && matches!(missing.why, Why::Nobody | Why::Deactivated) {
            // All of them are told in one line (`note_untold`).
            memory.missing.insert(key);
        } else if self.complaints.open(key.as_str(), &missing.cause()) {
            missing.tell(delay, !is_reviewer);
        }
        memory.postpone(errand, &NotYet::failed(delay));
    }

    /// Has those written down who could not be told, for the message to name them, and names them once in the log.
    pub(super) fn note_untold(&self, record: &mut Record, audience: &Audience, memory: &mut Memory) {
        let untold = audience.missing(memory);
        if untold == record.untold {
            return;
        }
        if let Some(known) = record.known.as_ref().filter(|_| !untold.is_empty()) {
            warn!(request = %known.id, "Suggested reviewers could not be told: {untold}; nobody active in this Slack workspace goes by these names: correct them in Teleport, or link them under [review.users]");
        }
        memory.unsaved.push(Outcome::Untold(untold.clone()));
        record.untold = untold;
    }

    /// A post by name taught us the channel's id.
    pub(super) fn learn(&self, outcome: &Outcome) {
        if let Outcome::Posted { key, channel, .. } = outcome
            && let Some(name) = key.as_str().strip_prefix('#')
        {
            self.directory.learn_channel(name, &ChannelId::new(channel.as_str()));
        }
    }
}

impl NotFound {
    /// How long to wait before asking again.
    pub(super) fn delay(&self, failures: u32) -> Duration {
        match &self.why {
            Why::Nobody | Why::Deactivated => ABSENT,
            Why::Slack(error) => match error.kind() {
                Kind::RetryAfter(delay) => delay,
                Kind::Retry => AWAY.delay(failures + 1, fastrand::u64(..)),
                Kind::Permanent | Kind::Unauthorised => ABSENT,
            },
            Why::Teleport(_) => AWAY.delay(failures + 1, fastrand::u64(..)),
        }
    }

    /// The cause in a word or a sentence, by which a repeated complaint is known.
    pub(super) fn cause(&self) -> String {
        match &self.why {
            Why::Nobody => "nobody".to_owned(),
            Why::Deactivated => "deactivated".to_owned(),
            Why::Slack(error) => error.to_string(),
            Why::Teleport(error) => error.to_string(),
        }
    }

    /// Says it in the log. A person whom the configuration names and who is not there is an error, like a channel
    /// that is not there (`outbox.rs`): somebody must act, and until then messages are missing. Of a suggested
    /// reviewer it is a warning, because a requester's slip is nothing that an operator could mend.
    pub(super) fn tell(&self, delay: Duration, is_configured: bool) {
        let (recipient, retry_in_s) = (&self.recipient, delay.as_secs());
        let (words, is_error) = match &self.why {
            Why::Nobody => ("Nobody in this Slack workspace goes by this recipient; correct it in the configuration, or invite the person".to_owned(), is_configured),
            Why::Deactivated => {
                ("This recipient is deactivated in Slack; take it out of the configuration".to_owned(), is_configured)
            }
            Why::Slack(error) => (
                format!("Cannot look the recipient up: {}", error.with_remedy()),
                matches!(error.kind(), Kind::Permanent | Kind::Unauthorised),
            ),
            Why::Teleport(error) => {
                (format!("Cannot tell whether the recipient is the requester: {}", crate::error::chain(error)), false)
            }
        };
        if is_error {
            error!(%recipient, retry_in_s, "{words}");
        } else {
            warn!(%recipient, retry_in_s, "{words}");
        }
    }
}
