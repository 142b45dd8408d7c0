//! Who is notified of a request: the operator's rules and the suggested reviewers, without duplicates. The requester
//! is left out, so that requesters are never asked to approve themselves.
//!
//! There are two steps with Slack's directory between them. [`recipients`] names the recipients, the caller looks up
//! e-mail addresses and user ids, and [`destinations`] says where to post.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::SlackUserId;
use super::request::AccessRequest;
use super::role_pattern::RolePattern;
use super::text::{is_seen, truncate};
use super::unseen::Unseen;

/// Names in [`UnnotifiedReviewers`].
const MAX_UNNOTIFIED_NAMES: usize = 5;
/// Of each, so many characters.
const MAX_UNNOTIFIED_NAME_LEN: usize = 64;

/// No request is announced to more recipients than this; the requester chooses the
/// suggested reviewers and so their number.
pub const MAX_RECIPIENTS: usize = 100;

/// The longest e-mail address that can be delivered to (RFC 5321), in bytes.
const MAX_EMAIL: usize = 254;
/// Slack's limit for channel names, in characters.
const MAX_CHANNEL_NAME: usize = 80;

/// A recipient as the operator or Teleport names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// A channel by id (`C…`, `G…`).
    ChannelId(String),
    /// A public channel by name, without `#`.
    ChannelName(String),
    /// A person by the id of their direct message with the app (`D…`), which does not show who they are.
    DirectMessage(String),
    /// A person by Slack id (`U…`, `W…`); gets a direct message.
    User(SlackUserId),
    /// A person by e-mail address, in lower case; gets a direct message.
    Email(String),
    /// A Teleport user, who is found as deciders are: by the table, the trait, or the name if it is an address. Gets a
    /// direct message.
    Reviewer(String),
}

/// A recipient's name in the record; equal for two spellings of the same recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipientKey(String);

impl RecipientKey {
    /// Wraps a key read from a record.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it is a channel's name.
    pub(crate) fn is_channel_name(&self) -> bool {
        self.0.starts_with('#')
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text names no recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRecipient {
    /// Nothing there.
    Empty,
    /// Commas or semicolons.
    Several,
    /// A character that its reader does not see, or takes for a space.
    Unseen(Unseen),
    /// Spaces.
    Spaces,
    /// An `@`, but no address.
    NotAnEmail,
    /// A Slack user group, by id or as a message mentions it.
    Group,
    /// A link to a channel or a person in Slack.
    Link,
    /// A channel name with capitals.
    Capitals,
    /// Longer than any channel name.
    TooLong,
    /// Neither an id, an e-mail address nor a channel name.
    NotAName,
}

impl fmt::Display for InvalidRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unseen(unseen) => return unseen.fmt(f),
            Self::Empty => "this recipient is empty",
            Self::Several => "this looks like several recipients in one",
            Self::Spaces => "a recipient has no spaces in it",
            Self::NotAnEmail => "this is not an e-mail address",
            Self::Group => "this is a user group, and a message goes to a channel or a person",
            Self::Link => "this is a link, not a name or an id",
            Self::Capitals => "channel names are lower-case",
            Self::TooLong => "channel names have at most 80 characters",
            Self::NotAName => "this is not a channel name",
        })
    }
}

impl std::error::Error for InvalidRecipient {}

impl Recipient {
    /// Reads `C…`, `G…`, `D…`, `U…` or `W…` ids, e-mail addresses, and channel names with or without `#`. Only
    /// the form is looked at.
    ///
    /// # Errors
    /// [`InvalidRecipient`] if the text can be none of these.
    pub fn parse(text: &str) -> Result<Self, InvalidRecipient> {
        if text.trim().is_empty() {
            return Err(InvalidRecipient::Empty);
        }
        if let Some(unseen) = Unseen::in_text(text) {
            return Err(InvalidRecipient::Unseen(unseen));
        }
        if !is_seen(text) {
            return Err(InvalidRecipient::Empty);
        }
        if text.starts_with("<!subteam^")
            || is_slack_id(text, &['S']) && text.contains(|c: char| c.is_ascii_digit())
        {
            return Err(InvalidRecipient::Group);
        }
        if text.starts_with("<#")
            || text.starts_with("<@")
            || text.starts_with("<mailto:")
            || text.contains("://")
        {
            return Err(InvalidRecipient::Link);
        }
        if text.contains([',', ';']) {
            return Err(InvalidRecipient::Several);
        }
        if text.contains(' ') {
            return Err(InvalidRecipient::Spaces);
        }
        if is_slack_id(text, &['C', 'G']) {
            return Ok(Self::ChannelId(text.to_owned()));
        }
        if is_direct_message(text) {
            return Ok(Self::DirectMessage(text.to_owned()));
        }
        if is_slack_id(text, &['U', 'W']) {
            return Ok(Self::User(SlackUserId::new(text)));
        }
        if text.contains('@') {
            let is_email = text.len() <= MAX_EMAIL
                // Of links (`<mailto:…>`) and of addresses with a password (`bob:…@host`).
                && !text.contains(['<', '>', ':', '/', '|', '"', '\\'])
                && text.split_once('@').is_some_and(|(name, domain)| {
                    !name.is_empty() && !domain.is_empty() && !domain.contains('@')
                });
            return if is_email {
                Ok(Self::Email(text.to_lowercase()))
            } else {
                Err(InvalidRecipient::NotAnEmail)
            };
        }
        let name = text.strip_prefix('#').unwrap_or(text);
        if name.chars().any(char::is_uppercase) {
            return Err(InvalidRecipient::Capitals);
        }
        if name.chars().count() > MAX_CHANNEL_NAME {
            return Err(InvalidRecipient::TooLong);
        }
        // Other alphabets are allowed, with their marks; of ASCII only what Slack accepts.
        let fits =
            |c: char| !c.is_ascii() || c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(fits) {
            return Err(InvalidRecipient::NotAName);
        }
        Ok(Self::ChannelName(name.to_owned()))
    }

    /// A suggested reviewer; `None` if this is no Teleport user's name.
    pub fn reviewer(name: &str) -> Option<Self> {
        let fits = is_seen(name) && name.len() <= MAX_EMAIL && !name.chars().any(char::is_control);
        fits.then(|| Self::Reviewer(name.to_owned()))
    }

    /// The recipient's name in the record.
    pub fn key(&self) -> RecipientKey {
        RecipientKey(match self {
            Self::ChannelId(id) | Self::DirectMessage(id) => id.clone(),
            Self::ChannelName(name) => format!("#{name}"),
            Self::User(id) => id.as_str().to_owned(),
            Self::Email(email) => email.clone(),
            Self::Reviewer(name) => match Self::parse(name) {
                Ok(Self::Email(email)) => email,
                _ => format!("@{name}"),
            },
        })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key().as_str())
    }
}

/// Whether this has the form of a Slack id: one of these initials, then at least two capitals or digits.
pub fn is_slack_id(text: &str, initials: &[char]) -> bool {
    text.len() >= 3
        && text.starts_with(initials)
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether this is the id of a direct message, `D…`.
pub fn is_direct_message(text: &str) -> bool {
    is_slack_id(text, &['D'])
}

/// The operator's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Notified of every request.
    pub always: Vec<Recipient>,
    /// Notified when such a role is requested, in the order of the configuration; `*` for roles without an entry of their
    /// own.
    pub by_role: Vec<(RolePattern, Vec<Recipient>)>,
}

impl Rules {
    /// Every recipient that the rules name, some perhaps more than once.
    pub fn named(&self) -> impl Iterator<Item = &Recipient> {
        self.always.iter().chain(self.by_role.iter().flat_map(|(_, recipients)| recipients))
    }

    /// Who is notified of this role: by the entry of exactly its name, else by all patterns that match it, else by `*`.
    fn of_role(&self, role: &str) -> impl Iterator<Item = &Recipient> {
        let is_rest = |pattern: &RolePattern| pattern.as_str() == "*";
        let name = self.by_role.iter().any(|(pattern, _)| pattern.as_str() == role);
        let matching =
            !name && self.by_role.iter().any(|(pattern, _)| !is_rest(pattern) && pattern.matches(role));
        let applies = move |pattern: &RolePattern| match (name, matching) {
            (true, _) => pattern.as_str() == role,
            (false, true) => !is_rest(pattern) && pattern.matches(role),
            (false, false) => is_rest(pattern),
        };
        self.by_role
            .iter()
            .filter(move |(pattern, _)| applies(pattern))
            .flat_map(|(_, recipients)| recipients)
    }
}

/// The recipients of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientList {
    /// In the order of notification: the recipients of every request, the roles' recipients, suggested reviewers.
    pub recipients: Vec<Recipient>,
    /// Suggested reviewers whose names are none; bounded like [`UnnotifiedReviewers`].
    pub unaddressable: UnnotifiedReviewers,
    /// Recipients left out because there are more than [`MAX_RECIPIENTS`].
    pub omitted: usize,
    /// The requester, if they are named among the recipients. No user is asked to approve their own request.
    pub requester: Option<RecipientKey>,
}

/// Suggested reviewers who could not be notified: a few by name, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnnotifiedReviewers {
    #[serde(rename = "n")]
    names: Vec<String>,
    #[serde(rename = "m", default)]
    more: usize,
}

impl UnnotifiedReviewers {
    /// One more.
    pub fn push(&mut self, name: &str) {
        if self.names.len() < MAX_UNNOTIFIED_NAMES {
            self.names.push(truncate(name, MAX_UNNOTIFIED_NAME_LEN));
        } else {
            self.more += 1;
        }
    }

    /// The names, at most 5 of at most 64 characters.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many there are besides.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What was read from a record, within its bounds.
    pub(crate) fn truncated(self) -> Self {
        let mut bounded = Self::default();
        self.names.iter().for_each(|name| bounded.push(name));
        Self { more: self.more.saturating_add(bounded.more), ..bounded }
    }
}

impl fmt::Display for UnnotifiedReviewers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// Who is notified of `request`, by name. [`destinations`] leaves out accounts of the requester under other names.
pub fn recipients(request: &AccessRequest, rules: &Rules) -> RecipientList {
    let mut list = RecipientList::default();
    let mut seen = BTreeSet::new();
    let requester = Recipient::Reviewer(request.user.to_lowercase()).key();
    let mut add = |recipient: &Recipient, list: &mut RecipientList| {
        let key = recipient.key();
        if key == requester {
            list.requester = Some(key);
            return;
        }
        if !seen.insert(key) {
            return;
        }
        if list.recipients.len() < MAX_RECIPIENTS {
            list.recipients.push(recipient.clone());
        } else {
            list.omitted += 1;
        }
    };
    // The operator's recipients come first, so that a requester who suggests a thousand reviewers can neither push them
    // out nor hold them up.
    for recipient in &rules.always {
        add(recipient, &mut list);
    }
    for role in &request.roles {
        for recipient in rules.of_role(role) {
            add(recipient, &mut list);
        }
    }
    for name in &request.suggested_reviewers {
        if is_same(name, &request.user) {
            list.requester = Some(requester.clone());
            continue;
        }
        match Recipient::reviewer(name) {
            Some(recipient) => add(&recipient, &mut list),
            None => list.unaddressable.push(name),
        }
    }
    list
}

/// Who asked, by every account and name that is known to be theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    user: String,
    accounts: BTreeSet<SlackUserId>,
}

impl Requester {
    /// The Teleport user, who has these Slack accounts.
    pub fn new(user: &str, accounts: impl IntoIterator<Item = SlackUserId>) -> Self {
        Self { user: user.to_owned(), accounts: accounts.into_iter().collect() }
    }

    /// Whether this person is the requester: by an account, or by an e-mail address that equals the user name. Capitals
    /// do not matter: the answer only leaves a recipient out.
    pub fn matches(&self, person: &SlackUser) -> bool {
        person.ids.iter().any(|id| self.accounts.contains(id))
            || person.email.as_ref().is_some_and(|email| is_same(email, &self.user))
    }
}

fn is_same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// A person as Slack's directory knows them, as far as notifying them matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackUser {
    /// The Slack id, and that of the same account in the organization.
    pub ids: Vec<SlackUserId>,
    /// The e-mail address, if the token may see it.
    pub email: Option<String>,
}

/// Where a recipient was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedTo {
    /// A person.
    User(SlackUserId),
    /// The requester, who is never asked.
    Requester,
    /// A channel: its id if known, else its name. Also a direct message of which Slack does not show whose it is.
    Channel(String),
}

/// Where to post, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The `channel` argument of `chat.postMessage`.
    pub post_to: String,
    /// All recipients that lead here; the first one names the delivery.
    pub recipient_keys: Vec<RecipientKey>,
}

impl Destination {
    /// Whether it is a channel of which only the name is known.
    pub(crate) fn is_by_name(&self) -> bool {
        !is_slack_id(&self.post_to, &['C', 'G', 'D', 'U', 'W'])
    }

    /// Whether it is a channel whose id is known.
    pub(crate) fn is_channel(&self) -> bool {
        is_slack_id(&self.post_to, &['C', 'G'])
    }
}

/// Where to post for the recipients that were found: one destination per channel or person, none for the requester.
pub fn destinations(found: &[(Recipient, ResolvedTo)]) -> Vec<Destination> {
    let mut all: Vec<Destination> = Vec::new();
    for (recipient, resolved) in found {
        let post_to = match resolved {
            ResolvedTo::Requester => continue,
            ResolvedTo::User(person) => person.as_str(),
            ResolvedTo::Channel(channel) => channel,
        };
        match all.iter_mut().find(|one| one.post_to == post_to) {
            Some(destination) => destination.recipient_keys.push(recipient.key()),
            None => {
                all.push(Destination { post_to: post_to.to_owned(), recipient_keys: vec![recipient.key()] })
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
