//! Who is told of a request: the operator's rules and the suggested reviewers, without doubles and without
//! the requester, who is never asked to approve himself.
//!
//! Two steps with Slack's directory between them: [`recipients`] says whom by name, the caller looks e-mails
//! and user ids up, and [`targets`] says where to post.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::SlackUserId;
use crate::request::AccessRequest;
use crate::role_pattern::RolePattern;

/// No request is announced to more recipients than this; suggested reviewers are chosen by the requester, so
/// their number is in his hands.
pub const MAX_RECIPIENTS: usize = 100;

/// The longest e-mail address that can be delivered to (RFC 5321), in bytes.
const MAX_EMAIL: usize = 254;
/// Slack's limit for channel names, in characters.
const MAX_CHANNEL_NAME: usize = 80;

/// A recipient as the operator or Teleport names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// A channel by id (`C…`, `G…`, `D…`).
    ChannelId(String),
    /// A public channel by name, without `#`.
    ChannelName(String),
    /// A person by Slack id (`U…`, `W…`); gets a direct message.
    User(SlackUserId),
    /// A person by e-mail address, in lower case; gets a direct message.
    Email(String),
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
    /// Spaces or control characters.
    Spaces,
    /// An `@`, but no address.
    NotAnEmail,
    /// A Slack user group, by id or as a message mentions it.
    Group,
    /// A link to a place or a person in Slack.
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
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidRecipient::Spaces);
        }
        if is_slack_id(text, &['C', 'G', 'D']) {
            return Ok(Self::ChannelId(text.to_owned()));
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

    /// The recipient's name in the record.
    pub fn key(&self) -> RecipientKey {
        RecipientKey(match self {
            Self::ChannelId(id) => id.clone(),
            Self::ChannelName(name) => format!("#{name}"),
            Self::User(id) => id.as_str().to_owned(),
            Self::Email(email) => email.clone(),
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

/// The operator's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Told of every request.
    pub always: Vec<Recipient>,
    /// Told when such a role is asked for, in the order of the configuration; `*` for roles without an entry of their
    /// own.
    pub by_role: Vec<(RolePattern, Vec<Recipient>)>,
}

impl Rules {
    /// Every recipient that the rules name, some perhaps more than once.
    pub fn named(&self) -> impl Iterator<Item = &Recipient> {
        self.always.iter().chain(self.by_role.iter().flat_map(|(_, recipients)| recipients))
    }

    /// Who is told of this role: by the entry of exactly its name, else by all patterns that match it, else by `*`.
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
pub struct Audience {
    /// In the order in which they are told: suggested reviewers, everyone's recipients, the roles' recipients.
    pub recipients: Vec<Recipient>,
    /// Suggested reviewers that cannot be found in Slack because their names are no e-mail addresses.
    pub unaddressable: usize,
    /// Recipients left out because there are more than [`MAX_RECIPIENTS`].
    pub left_out: usize,
}

/// Who is told of `request`, by name.
pub fn recipients(request: &AccessRequest, rules: &Rules) -> Audience {
    let mut audience = Audience::default();
    let mut seen = BTreeSet::new();
    let requester = Recipient::Email(request.user.to_lowercase());
    let mut add = |recipient: &Recipient, audience: &mut Audience| {
        if *recipient == requester || !seen.insert(recipient.clone()) {
            return;
        }
        if audience.recipients.len() < MAX_RECIPIENTS {
            audience.recipients.push(recipient.clone());
        } else {
            audience.left_out += 1;
        }
    };
    // The operator's recipients come first when counting towards the limit, so that a requester who suggests
    // a thousand reviewers cannot push them out.
    for recipient in &rules.always {
        add(recipient, &mut audience);
    }
    for role in &request.roles {
        for recipient in rules.of_role(role) {
            add(recipient, &mut audience);
        }
    }
    let configured = audience.recipients.len();
    for name in &request.suggested_reviewers {
        match Recipient::parse(name) {
            Ok(recipient @ Recipient::Email(_)) => add(&recipient, &mut audience),
            _ => audience.unaddressable += 1,
        }
    }
    audience.recipients.rotate_left(configured);
    audience
}

/// A person as Slack's directory knows him, as far as telling him matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The Slack id.
    pub id: SlackUserId,
    /// The e-mail address, if the token may see it.
    pub email: Option<String>,
}

/// A recipient and where he is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A person.
    Person(Person),
    /// A channel: its id if known, else its name.
    Channel(String),
}

/// Where to post, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The `channel` argument of `chat.postMessage`.
    pub post_to: String,
    /// All recipients that lead here; the first one names the delivery.
    pub keys: Vec<RecipientKey>,
}

/// Where to post for the recipients that were found: one target a place, none for the requester.
pub fn targets(request: &AccessRequest, found: &[(Recipient, Found)]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let is_requester = |person: &Person| {
        person.email.as_ref().is_some_and(|email| email.to_lowercase() == request.user.to_lowercase())
    };
    for (recipient, place) in found {
        let post_to = match place {
            Found::Person(person) if is_requester(person) => continue,
            Found::Person(person) => person.id.as_str(),
            Found::Channel(channel) => channel,
        };
        match targets.iter_mut().find(|target| target.post_to == post_to) {
            Some(target) => target.keys.push(recipient.key()),
            None => targets.push(Target { post_to: post_to.to_owned(), keys: vec![recipient.key()] }),
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::sample;
    use proptest::prelude::*;

    fn parse(text: &str) -> Recipient {
        Recipient::parse(text).unwrap()
    }

    fn rules(always: &[&str], by_role: &[(&str, &[&str])]) -> Rules {
        let parsed = |names: &[&str]| names.iter().map(|n| parse(n)).collect::<Vec<_>>();
        Rules {
            always: parsed(always),
            by_role: by_role.iter().map(|(r, n)| (RolePattern::parse(r).unwrap(), parsed(n))).collect(),
        }
    }

    #[track_caller]
    fn check(request: &AccessRequest, rules: &Rules, expected: &[&str]) {
        let told: Vec<String> =
            recipients(request, rules).recipients.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn recognises_every_form() {
        assert_eq!(parse("C0TEAM"), Recipient::ChannelId("C0TEAM".into()));
        assert_eq!(parse("G012AB"), Recipient::ChannelId("G012AB".into()));
        assert_eq!(parse("W012AB"), Recipient::User(SlackUserId::new("W012AB")));
        assert_eq!(parse("Bob.Ö@Example.com"), Recipient::Email("bob.ö@example.com".into()));
        assert_eq!(parse("#dba-approvers"), Recipient::ChannelName("dba-approvers".into()));
        for name in ["zugänge-prod_1", "アクセス申請", "हिन्दी", "c02"] {
            assert_eq!(parse(name), Recipient::ChannelName(name.into()));
        }
    }

    #[test]
    fn what_is_no_recipient_is_refused_with_its_reason() {
        use InvalidRecipient::*;
        let long = "x".repeat(81);
        let cases = [
            ("", Empty),
            (" ", Empty),
            ("#", NotAName),
            ("##team", NotAName),
            ("team.a", NotAName),
            ("<!channel>", NotAName),
            ("two words", Spaces),
            (" team", Spaces),
            ("a\u{0}b", Spaces),
            ("a@x.com,b@x.com", Several),
            ("@bob", NotAnEmail),
            ("bob@", NotAnEmail),
            ("a@b@c", NotAnEmail),
            ("bob:hunter2@example.com", NotAnEmail),
            ("<mailto:bob@example.com|bob@example.com>", Link),
            ("<#C0TEAM|my team>", Link),
            ("<@U0BOB>", Link),
            ("https://acme.slack.com/archives/C0TEAM", Link),
            ("S0DBA", Group),
            ("<!subteam^S0DBA|@dba>", Group),
            ("SRE", Capitals),
            ("Team", Capitals),
            (long.as_str(), TooLong),
        ];
        for (text, expected) in cases {
            assert_eq!(Recipient::parse(text), Err(expected), "{text:?}");
        }
        assert!(Recipient::parse(&"ö".repeat(80)).is_ok());
    }

    #[test]
    fn suggested_reviewers_come_first_then_everyones_then_the_roles() {
        let request = AccessRequest {
            roles: vec!["dba".into(), "admin".into()],
            suggested_reviewers: vec!["dave@example.com".into(), "octocat".into(), "bob@example.com".into()],
            ..sample()
        };
        let rules =
            rules(&["C0TEAM", "bob@example.com"], &[("dba", &["dba-approvers"]), ("*", &["C0TEAM", "ops"])]);
        check(&request, &rules, &["dave@example.com", "C0TEAM", "bob@example.com", "#dba-approvers", "#ops"]);
        assert_eq!(recipients(&request, &rules).unaddressable, 1);
    }

    #[test]
    fn a_role_with_an_entry_does_not_get_the_star() {
        let rules = rules(&[], &[("dba", &["dba-approvers"]), ("*", &["ops"])]);
        check(&sample(), &rules, &["#dba-approvers"]);
        check(&AccessRequest { roles: vec!["root".into()], ..sample() }, &rules, &["#ops"]);
        check(&AccessRequest { roles: vec![], ..sample() }, &rules, &[]);
    }

    #[test]
    fn a_name_beats_patterns_and_all_matching_patterns_count() {
        let rules = rules(
            &[],
            &[
                ("*", &["ops"]),
                ("prod-*", &["prod"]),
                ("prod-db", &["dba"]),
                ("^prod-(web|api)$", &["web", "prod"]),
                ("dev-?", &["dev"]),
            ],
        );
        for (role, told) in [
            ("prod-db", &["#dba"][..]),
            ("prod-web", &["#prod", "#web"]),
            ("prod-x", &["#prod"]),
            ("dev-1", &["#dev"]),
            ("dev-12", &["#ops"]),
            ("root", &["#ops"]),
            // Names that look like the patterns, as a role may be called.
            ("prod-*", &["#prod"]),
            ("*", &["#ops"]),
        ] {
            check(&AccessRequest { roles: vec![role.into()], ..sample() }, &rules, told);
        }
        let all = vec!["root".into(), "prod-web".into(), "prod-db".into()];
        check(&AccessRequest { roles: all, ..sample() }, &rules, &["#ops", "#prod", "#web", "#dba"]);
    }

    #[test]
    fn the_requester_is_not_asked() {
        let rules = rules(&["Alice@Example.com", "bob@example.com"], &[]);
        check(
            &AccessRequest { suggested_reviewers: vec!["ALICE@example.com".into()], ..sample() },
            &rules,
            &["bob@example.com"],
        );
        let person = |id: &str, email: &str| {
            Found::Person(Person { id: SlackUserId::new(id), email: Some(email.into()) })
        };
        let found = [
            (parse("U0ALICE"), person("U0ALICE", "alice@EXAMPLE.com")),
            (parse("U0BOB"), person("U0BOB", "bob@example.com")),
            (parse("bob@example.com"), person("U0BOB", "bob@example.com")),
        ];
        let expected = Target {
            post_to: "U0BOB".into(),
            keys: vec![parse("U0BOB").key(), parse("bob@example.com").key()],
        };
        assert_eq!(targets(&sample(), &found), [expected]);
    }

    #[test]
    fn suggestions_cannot_push_out_the_operators_recipients() {
        let suggested_reviewers = (0..500).map(|n| format!("u{n}@example.com")).collect();
        let audience =
            recipients(&AccessRequest { suggested_reviewers, ..sample() }, &rules(&["C0TEAM"], &[]));
        assert_eq!(audience.recipients.len(), MAX_RECIPIENTS);
        assert_eq!(audience.left_out, 401);
        assert!(audience.recipients.contains(&parse("C0TEAM")));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_a_stable_key(text in any::<String>()) {
            if let Ok(recipient) = Recipient::parse(&text) {
                prop_assert_eq!(Recipient::parse(recipient.key().as_str()), Ok(recipient));
            }
        }
    }
}
