//! Who is told, as the operator writes it: a channel, a person or an e-mail address.
//!
//! Only the form is decided here. Whether Slack knows the recipient is the Slack client's to find out.

use std::fmt;

use access_core::ids::{ChannelId, SlackUserId};

/// Slack's limit for channel names, in characters.
const MAX_CHANNEL_NAME: usize = 80;
/// The longest e-mail address that can be delivered to (RFC 5321).
const MAX_EMAIL: usize = 254;

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// A conversation by its id.
    Channel(ChannelId),
    /// A person by the Slack id.
    User(SlackUserId),
    /// A person by e-mail address.
    Email(String),
    /// A channel by its name, without `#`.
    ChannelName(String),
}

/// Why a text is not a recipient: what is wrong, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotARecipient {
    /// What is wrong with it.
    pub cause: &'static str,
    /// What to write instead.
    pub remedy: String,
}

impl Recipient {
    /// Reads `C…`, `G…`, `D…`, `U…` or `W…` ids, e-mail addresses, and channel names with or without `#`.
    pub fn parse(text: &str) -> Result<Self, NotARecipient> {
        let no = |cause, remedy: &str| Err(NotARecipient { cause, remedy: remedy.to_owned() });
        if text.trim().is_empty() {
            return no("this recipient is empty", "remove it, or write a channel or an e-mail address");
        }
        if text.contains([',', ';']) {
            return no("this looks like several recipients in one", "write a list: [\"team\", \"devops\"]");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return no(
                "a recipient has no spaces in it",
                "write the channel's name as Slack shows it, such as \"access-requests\"",
            );
        }
        if is_id(text, &['C', 'G', 'D']) {
            return Ok(Self::Channel(ChannelId::new(text)));
        }
        if is_id(text, &['U', 'W']) {
            return Ok(Self::User(SlackUserId::new(text)));
        }
        if text.contains('@') {
            return match text.rsplit_once('@') {
                Some((name, domain))
                    if !name.is_empty()
                        && !name.contains('@')
                        && !domain.is_empty()
                        && text.len() <= MAX_EMAIL =>
                {
                    Ok(Self::Email(text.to_owned()))
                }
                _ => no(
                    "this is not an e-mail address",
                    "write the person's full address, such as \"bob@example.com\", or the Slack id (U…)",
                ),
            };
        }
        let name = text.strip_prefix('#').unwrap_or(text);
        if name.chars().any(char::is_uppercase) {
            let cause = "channel names are lower-case";
            return Err(NotARecipient {
                cause,
                remedy: format!("write {}", super::report::quote(&name.to_lowercase())),
            });
        }
        if name.chars().count() > MAX_CHANNEL_NAME {
            return no("channel names have at most 80 characters", "copy the name from Slack");
        }
        // Other alphabets are allowed, with their marks; of ASCII only what Slack accepts.
        if name.is_empty() || name.chars().any(|c| c.is_ascii() && !is_name_char(c)) {
            return no(
                "this is not a channel name",
                "channel names hold letters, digits, - and _; a person is given by e-mail address or Slack id (U…)",
            );
        }
        Ok(Self::ChannelName(name.to_owned()))
    }

    /// The id, address or name, without `#`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Channel(id) => id.as_str(),
            Self::User(id) => id.as_str(),
            Self::Email(text) | Self::ChannelName(text) => text,
        }
    }

    /// It was read as an id, but has no digit in it as every id has: most likely a name in capitals.
    pub(super) fn is_dubious_id(&self) -> bool {
        match self {
            Self::Channel(_) | Self::User(_) => !self.as_str().bytes().any(|byte| byte.is_ascii_digit()),
            Self::Email(_) | Self::ChannelName(_) => false,
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::ChannelName(_) = self {
            f.write_str("#")?;
        }
        f.write_str(self.as_str())
    }
}

/// Whether this is a Slack user id: `U` or `W`, then at least two capitals or digits.
pub(super) fn is_user_id(text: &str) -> bool {
    is_id(text, &['U', 'W'])
}

fn is_id(text: &str, first: &[char]) -> bool {
    text.len() >= 3
        && text.starts_with(first)
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Recipient, &str>) {
        assert_eq!(Recipient::parse(text).map_err(|no| no.cause), expected, "{text:?}");
    }

    #[test]
    fn recipients_are_told_apart_by_form() {
        check("C02ABCDEF", Ok(Recipient::Channel(ChannelId::new("C02ABCDEF"))));
        check("D02ABCDEF", Ok(Recipient::Channel(ChannelId::new("D02ABCDEF"))));
        check("G1X", Ok(Recipient::Channel(ChannelId::new("G1X"))));
        check("U012AB3CD", Ok(Recipient::User(SlackUserId::new("U012AB3CD"))));
        check("W012AB3CD", Ok(Recipient::User(SlackUserId::new("W012AB3CD"))));
        check("bob@example.com", Ok(Recipient::Email("bob@example.com".into())));
        check("Bob.Ö@example.com", Ok(Recipient::Email("Bob.Ö@example.com".into())));
        check("team", Ok(Recipient::ChannelName("team".into())));
        check("#team", Ok(Recipient::ChannelName("team".into())));
        check("zugänge-prod_1", Ok(Recipient::ChannelName("zugänge-prod_1".into())));
        check("アクセス申請", Ok(Recipient::ChannelName("アクセス申請".into())));
        check("हिन्दी", Ok(Recipient::ChannelName("हिन्दी".into())));
        check("c02", Ok(Recipient::ChannelName("c02".into())));
    }

    #[test]
    fn what_is_no_recipient_is_refused_with_its_reason() {
        check("", Err("this recipient is empty"));
        check(" ", Err("this recipient is empty"));
        check("#", Err("this is not a channel name"));
        check("two words", Err("a recipient has no spaces in it"));
        check(" team", Err("a recipient has no spaces in it"));
        check("a\u{0}b", Err("a recipient has no spaces in it"));
        check("a@x.com,b@x.com", Err("this looks like several recipients in one"));
        check("@bob", Err("this is not an e-mail address"));
        check("bob@", Err("this is not an e-mail address"));
        check("a@b@c", Err("this is not an e-mail address"));
        check("Team", Err("channel names are lower-case"));
        check("team.a", Err("this is not a channel name"));
        check("##team", Err("this is not a channel name"));
        check(&"x".repeat(81), Err("channel names have at most 80 characters"));
        check(&"ö".repeat(80), Ok(Recipient::ChannelName("ö".repeat(80))));
    }

    #[test]
    fn names_in_capitals_that_pass_for_ids_are_noticed() {
        assert!(Recipient::parse("DBA").is_ok_and(|it| it.is_dubious_id()));
        assert!(Recipient::parse("C02ABCDEF").is_ok_and(|it| !it.is_dubious_id()));
        assert!(Recipient::parse("team").is_ok_and(|it| !it.is_dubious_id()));
    }
}
