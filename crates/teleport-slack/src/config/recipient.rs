//! What to tell an operator about a recipient that cannot be one. The form itself is `access_core`'s to know.

use access_core::recipients::{InvalidRecipient, Recipient, is_slack_id};

use super::report::quote;

/// What to write instead of `text`.
pub(super) fn remedy(problem: InvalidRecipient, text: &str) -> String {
    match problem {
        InvalidRecipient::Empty => "remove it, or write a channel or an e-mail address".to_owned(),
        InvalidRecipient::Several => "write a list: [\"team\", \"devops\"]".to_owned(),
        InvalidRecipient::Spaces => {
            "write the channel's name as Slack shows it, such as \"access-requests\"".to_owned()
        }
        InvalidRecipient::NotAnEmail => {
            "write the person's full address, such as \"bob@example.com\", or the Slack id (U…)".to_owned()
        }
        InvalidRecipient::Capitals => {
            let name = text.strip_prefix('#').unwrap_or(text);
            format!("write {}", quote(&name.to_lowercase()))
        }
        InvalidRecipient::TooLong => "copy the name from Slack".to_owned(),
        InvalidRecipient::NotAName => {
            "channel names hold letters, digits, - and _; a person is given by e-mail address or Slack id (U…)".to_owned()
        }
    }
}

/// It was read as an id, but has no digit in it as every id has: most likely a name in capitals.
pub(super) fn is_dubious_id(recipient: &Recipient) -> bool {
    match recipient {
        Recipient::ChannelId(_) | Recipient::User(_) => {
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
        assert!(Recipient::parse("DBA").is_ok_and(|it| is_dubious_id(&it)));
        assert!(Recipient::parse("C02ABCDEF").is_ok_and(|it| !is_dubious_id(&it)));
        assert!(Recipient::parse("team").is_ok_and(|it| !is_dubious_id(&it)));
    }

    #[test]
    fn a_name_in_capitals_is_written_out_in_lower_case() {
        assert_eq!(remedy(InvalidRecipient::Capitals, "#Team"), "write \"team\"");
    }
}
