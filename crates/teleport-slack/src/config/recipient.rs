//! The remedies for a recipient that cannot be one. The form itself is `access_core`'s to know.

use access_core::domain::recipients::{InvalidRecipient, Recipient, is_slack_id};
use access_core::domain::unseen::as_seen;
use access_core::policy::identity::SLACKBOT;

use super::report::{Report, quote, quote_list};
use super::unseen::write_as_seen;

/// Why `text` is no recipient: Slack's ids in capitals are no channel's name.
pub(super) fn cause(problem: InvalidRecipient, text: &str) -> String {
    match foreign_id(text) {
        Some(kind) if problem == InvalidRecipient::Capitals => {
            format!("this is the id of {kind}, where no message goes")
        }
        _ if problem == InvalidRecipient::Capitals && !if_an_id(&bare(text).to_uppercase()).is_empty() => {
            "ids are in capitals, and names of channels are in small letters".to_owned()
        }
        _ => problem.to_string(),
    }
}

/// Warns of a name of a channel that may be a Slack id, and of an id that leads to no person or channel. A `#` before a name
/// says that it is one.
pub(super) fn warn_of_mistaken(
    recipient: &Recipient,
    text: &str,
    line: usize,
    key: &str,
    report: &mut Report,
) {
    let upper = text.to_ascii_uppercase();
    let warned = match recipient {
        Recipient::User(id) if id.as_str() == SLACKBOT => {
            Some(("is Slack's own bot, so no person reads what it gets".to_owned(), WRITE_ANOTHER.to_owned()))
        }
        _ if looks_like_channel_name(recipient) => {
            let name = quote(&text.to_lowercase());
            Some(("is taken for a Slack id".to_owned(), format!("if it is a channel's name, write {name}")))
        }
        Recipient::ChannelName(name) if name == text && upper.get(1..2) == Some("0") => {
            let name = format!("if it is a channel's name, write {}", quote(&format!("#{text}")));
            let written = || format!("write {}", quote(&upper));
            let found = match Recipient::parse(&upper) {
                Ok(Recipient::ChannelId(_)) => Some(("a channel", written())),
                Ok(Recipient::DirectMessage(_)) => Some(("a direct message", written())),
                Ok(Recipient::User(_)) => Some(("a person", written())),
                Err(InvalidRecipient::Group) => Some(("a user group", ONE_BY_ONE.to_owned())),
                _ => foreign_id(&upper).map(|kind| (kind, WRITE_ANOTHER.to_owned())),
            };
            found.map(|(kind, remedy)| {
                let cause = format!("is written like the Slack id of {kind} in small letters");
                (cause, format!("if it is one, {remedy}; {name}"))
            })
        }
        _ => None,
    };
    if let Some((cause, remedy)) = warned {
        report.warn(Some(line), key, format!("{} {cause}", quote(text)), remedy);
    }
}

/// What to write instead of `text`.
pub(super) fn remedy(problem: InvalidRecipient, text: &str) -> String {
    let meant = intended_recipient(text).map(|place| write(&place));
    match problem {
        InvalidRecipient::Empty => "remove it, or write a channel or an e-mail address".to_owned(),
        InvalidRecipient::Unseen(_) => match Recipient::parse(&as_seen(text)) {
            // Of a lost character nothing is left to be seen as another.
            Err(problem) if !as_seen(text).contains([' ', char::REPLACEMENT_CHARACTER]) => remedy(problem, &as_seen(text)),
            _ => write_as_seen(text, &as_seen(text)),
        },
        InvalidRecipient::Several => {
            let each: Vec<_> = text.split([',', ';']).map(str::trim).filter(|one| !one.is_empty()).collect();
            if each.iter().all(|one| Recipient::parse(one).is_ok()) {
                format!("write {}", quote_list(&each))
            } else {
                "write each recipient as a text of its own: [\"team\", \"bob@example.com\"]".to_owned()
            }
        }
        InvalidRecipient::Group if text.starts_with('<') || text.starts_with("S0") => ONE_BY_ONE.to_owned(),
        InvalidRecipient::Group => {
            format!("{ONE_BY_ONE}; if it is a channel's name, {}", write(&text.to_lowercase()))
        }
        InvalidRecipient::Link => meant.unwrap_or_else(|| {
            "write the channel's name or id (C…), or the person's e-mail address or Slack id (U…)".to_owned()
        }),
        InvalidRecipient::Spaces if text.ends_with('>') && meant.is_some() => meant.unwrap_or_default(),
        InvalidRecipient::Spaces if text.trim().contains(char::is_whitespace) => {
            "write the channel's name as Slack shows it, such as \"access-requests\"".to_owned()
        }
        InvalidRecipient::Spaces => write(text.trim()),
        InvalidRecipient::NotAnEmail => meant.unwrap_or_else(|| {
            "write the person's full address, such as \"bob@example.com\", or the Slack id (U…)".to_owned()
        }),
        InvalidRecipient::Capitals if foreign_id(text).is_some() => WRITE_ANOTHER.to_owned(),
        InvalidRecipient::Capitals => meant.unwrap_or_else(|| {
            let name = bare(text);
            if_an_id(&name.to_uppercase()) + &write(&name.to_lowercase())
        }),
        InvalidRecipient::TooLong => "copy the name from Slack".to_owned(),
        InvalidRecipient::NotAName => meant.unwrap_or_else(|| {
            "channel names hold letters, digits, - and _; a person is given by e-mail address or Slack id (U…)".to_owned()
        }),
    }
}

/// To write this, or what is still wrong with it.
fn write(candidate: &str) -> String {
    match Recipient::parse(candidate) {
        Ok(_) => format!("write {}", quote(candidate)),
        Err(problem) => remedy(problem, candidate),
    }
}

/// What to write if a text in mixed letters is a Slack id that was typed by hand, and how the other reading begins.
fn if_an_id(id: &str) -> String {
    let has_digit = id.bytes().any(|byte| byte.is_ascii_digit());
    let what = match Recipient::parse(id) {
        _ if !has_digit => return String::new(),
        _ if is_slack_id(&format!("{id}0"), &['C', 'G', 'U', 'W']) && id.len() == 2 => {
            "if it is an id, copy all of it, as in C012AB3CD".to_owned()
        }
        Ok(Recipient::ChannelId(_)) => format!("if it is a channel's id, write {}", quote(id)),
        Ok(Recipient::DirectMessage(_)) => format!("if it is a direct message's id, write {}", quote(id)),
        Ok(Recipient::User(_)) => format!("if it is a person's Slack id, write {}", quote(id)),
        Err(InvalidRecipient::Group) => format!("if it is a user group, {ONE_BY_ONE}"),
        _ => return String::new(),
    };
    format!("{what}; if it is a channel's name, ")
}

/// Without the sign of channels before it.
fn bare(text: &str) -> &str {
    text.strip_prefix('#').unwrap_or(text)
}

/// What Slack gives such an id to, if it is one that no message can go to. Channels may be called "T-34" or "E2E"; ids begin
/// with a letter and a zero, or are longer.
fn foreign_id(text: &str) -> Option<&'static str> {
    const KINDS: [(char, &str); 5] =
        [('A', "an app"), ('B', "a bot"), ('E', "an organization"), ('F', "a file"), ('T', "a workspace")];
    let id = text.trim_start_matches(['#', '@']);
    let is_id = id.get(1..2) == Some("0") || id.len() >= 9 && id.bytes().any(|byte| byte.is_ascii_digit());
    let (_, kind) = KINDS.into_iter().find(|(initial, _)| is_slack_id(id, &[*initial]))?;
    is_id.then_some(kind)
}

const WRITE_ANOTHER: &str =
    "write a channel's name or id (C…), or a person's e-mail address or Slack id (U…)";
const ONE_BY_ONE: &str =
    "write a channel that its members read, or each person's e-mail address or Slack id (U…)";

/// The channel, person or address that a link, a mention or an id with a sign before it leads to.
fn intended_recipient(text: &str) -> Option<String> {
    if !text.contains(['/', '<', '#', '@']) {
        return None;
    }
    let is_id = |part: &&str| {
        is_slack_id(part, &['C', 'G', 'D', 'U', 'W']) && part.bytes().any(|byte| byte.is_ascii_digit())
    };
    let link = text.strip_prefix("<mailto:").or_else(|| text.strip_prefix("mailto:"));
    // As mail programs write it: `Bob <bob@example.com>`.
    let named = || text.strip_suffix('>').and_then(|rest| rest.split_once(" <")).map(|(_, address)| address);
    if let Some(address) = link.or_else(named).and_then(|rest| rest.split(['|', '>']).next()) {
        return Some(address.to_owned());
    }
    text.split(|c: char| !c.is_ascii_alphanumeric()).rfind(is_id).map(str::to_owned)
}

/// It was read as an id, but has no digit in it as every id has: most likely a name in capitals.
fn looks_like_channel_name(recipient: &Recipient) -> bool {
    match recipient {
        Recipient::ChannelId(_) | Recipient::DirectMessage(_) | Recipient::User(_) => {
            !recipient.key().as_str().bytes().any(|byte| byte.is_ascii_digit())
        }
        Recipient::Email(_) | Recipient::Reviewer(_) | Recipient::ChannelName(_) => false,
    }
}

/// Whether this is a Slack user id.
pub(super) fn is_user_id(text: &str) -> bool {
    is_slack_id(text, &['U', 'W'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_capitals_that_pass_for_ids_are_noticed() {
        assert!(Recipient::parse("DBA").is_ok_and(|it| looks_like_channel_name(&it)));
        assert!(Recipient::parse("C02ABCDEF").is_ok_and(|it| !looks_like_channel_name(&it)));
        assert!(Recipient::parse("team").is_ok_and(|it| !looks_like_channel_name(&it)));
    }

    #[test]
    fn a_name_in_capitals_is_written_out_in_lower_case() {
        assert_eq!(remedy(InvalidRecipient::Capitals, "#Team"), "write \"team\"");
    }
}
