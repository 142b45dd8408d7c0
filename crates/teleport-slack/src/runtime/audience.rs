//! From the recipients of a request to places in Slack: e-mails and user ids are looked up in the directory.
//!
//! Whom to tell is decided in `access_core::recipients`; this only asks Slack where they are.

use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::{ChannelId, RequestId};
use access_core::plan::Errand;
use access_core::recipients::{self, Found, Person, Recipient, Rules, Target};
use access_core::record::{Outcome, Record};
use access_core::request::AccessRequest;
use tracing::{debug, error, warn};

use super::reconciler::Reconciler;
use crate::slack::directory::Directory;
use crate::slack::error::{Kind, SlackError};

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

/// A recipient and where he was found.
pub(super) type Located = (Recipient, Found);

/// A recipient who was not found.
#[derive(Debug)]
pub(super) struct NotFound {
    pub(super) recipient: Recipient,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Nobody,
    Deactivated,
    Slack(SlackError),
}

impl Audience {
    pub(super) fn of(listed: Option<&AccessRequest>, record: &Record, rules: &Rules) -> Self {
        let Some(listed) = listed.filter(|_| !record.is_adopted()) else { return Self::default() };
        let names = recipients::recipients(listed, rules);
        let untold = names.recipients.iter().filter(|r| !record.is_delivered(&[r.key()])).cloned().collect();
        Self { names, untold, is_wanted: true }
    }

    /// The people to be looked up: all of them as soon as one who is `due` was not told, because two names may
    /// lead to the same person.
    pub(super) fn people(&self, due: impl Fn(&Errand) -> bool) -> Vec<Recipient> {
        let is_person = |r: &&Recipient| matches!(r, Recipient::Email(_) | Recipient::User(_));
        if !self.untold.iter().filter(is_person).any(|r| due(&Errand::Deliver(r.key()))) {
            return Vec::new();
        }
        let waits = |r: &&Recipient| !self.untold.contains(r) || due(&Errand::Deliver(r.key()));
        self.names.recipients.iter().filter(is_person).filter(waits).cloned().collect()
    }

    /// Whether this recipient has no message yet.
    pub(super) fn is_untold(&self, recipient: &Recipient) -> bool {
        self.untold.contains(recipient)
    }

    /// Where to post: channels at once, people as far as they were found.
    pub(super) fn targets<'a>(
        &self,
        listed: &AccessRequest,
        directory: &Directory,
        people: impl Iterator<Item = &'a Located>,
    ) -> Vec<Target> {
        let people: Vec<_> = people.collect();
        let place = |recipient: &Recipient| match recipient {
            Recipient::ChannelId(id) => Some(Found::Channel(id.clone())),
            Recipient::ChannelName(name) => {
                let known = directory.known_channel(name).map(|id| id.to_string());
                Some(Found::Channel(known.unwrap_or_else(|| name.clone())))
            }
            Recipient::Email(_) | Recipient::User(_) => {
                people.iter().find(|(r, _)| r == recipient).map(|(_, found)| found.clone())
            }
        };
        let found: Vec<_> =
            self.names.recipients.iter().filter_map(|r| Some((r.clone(), place(r)?))).collect();
        recipients::targets(listed, &found)
    }

    /// Says, once a request, what is odd about its audience.
    pub(super) fn tell_oddities(&self, id: &RequestId) {
        if !self.is_wanted {
            return;
        }
        let recipients::Audience { recipients, unaddressable, left_out } = &self.names;
        if recipients.is_empty() {
            warn!(request = %id, "Nobody is told of this request: no recipient is configured for its roles; add `recipients` under [slack] or an entry in [role_to_recipients]");
        }
        if *unaddressable > 0 {
            debug!(request = %id, unaddressable, "Suggested reviewers whose names are not e-mail addresses cannot be found in Slack");
        }
        if *left_out > 0 {
            warn!(request = %id, left_out, "The request has more recipients than teleport-slack tells; the last suggested reviewers are left out");
        }
    }
}

impl Reconciler {
    /// Asks Slack's directory where a person is.
    pub(super) async fn look_up(&self, recipient: Recipient) -> Result<Located, NotFound> {
        let answer = match &recipient {
            Recipient::Email(email) => self.directory.by_email(email).await,
            Recipient::User(id) => self.directory.by_id(id).await,
            Recipient::ChannelId(place) | Recipient::ChannelName(place) => {
                return Ok((recipient.clone(), Found::Channel(place.clone())));
            }
        };
        match answer {
            Ok(Some(user)) if user.deleted => Err(NotFound { recipient, why: Why::Deactivated }),
            Ok(Some(user)) => {
                let person = Person { id: user.id.clone(), email: user.email.clone() };
                Ok((recipient, Found::Person(person)))
            }
            Ok(None) => Err(NotFound { recipient, why: Why::Nobody }),
            Err(error) => Err(NotFound { recipient, why: Why::Slack(error) }),
        }
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
        }
    }

    /// The cause in a word or a sentence, by which a repeated complaint is known.
    pub(super) fn cause(&self) -> String {
        match &self.why {
            Why::Nobody => "nobody".to_owned(),
            Why::Deactivated => "deactivated".to_owned(),
            Why::Slack(error) => error.to_string(),
        }
    }

    /// Says it in the log. A person whom the configuration names and who is not there is an error, like a channel
    /// that is not there (`outbox.rs`): somebody must act, and until then messages are missing. Of a suggested
    /// reviewer it is a warning, because a requester's slip is nothing that an operator could mend.
    pub(super) fn tell(&self, delay: Duration, is_configured: bool) {
        let (recipient, retry_in_s) = (&self.recipient, delay.as_secs());
        let (words, is_error) = match &self.why {
            Why::Nobody => ("Nobody in this Slack workspace goes by this recipient; correct it in the configuration (or the suggested reviewer in Teleport), or invite the person".to_owned(), is_configured),
            Why::Deactivated => {
                ("This recipient is deactivated in Slack; take it out of the configuration".to_owned(), is_configured)
            }
            Why::Slack(error) => (
                format!("Cannot look the recipient up: {}", error.with_remedy()),
                matches!(error.kind(), Kind::Permanent | Kind::Unauthorised),
            ),
        };
        if is_error {
            error!(%recipient, retry_in_s, "{words}");
        } else {
            warn!(%recipient, retry_in_s, "{words}");
        }
    }
}
