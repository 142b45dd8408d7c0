//! What a name in `[review.users]` or in a rule can be: a Teleport user, a Slack user group, or neither.

use access_core::domain::recipients::is_slack_id;

use super::report::quote;

/// A Slack user group's id. Teleport user names in capitals with a digit and nothing else are not known.
pub(super) fn is_user_group_id(name: &str) -> bool {
    is_slack_id(name, &['S']) && name.bytes().any(|byte| byte.is_ascii_digit())
}

/// The id of a user group, if the text is one in small letters. Ids begin with "S0".
pub(super) fn user_group_in_small_letters(text: &str) -> Option<String> {
    let id = text.to_ascii_uppercase();
    (text.starts_with("s0") && is_user_group_id(&id)).then_some(id)
}

/// Whether the text has the form of any id of Slack's, in capitals or in small letters.
pub(super) fn is_written_like_a_slack_id(text: &str) -> bool {
    let has_one_case = text == text.to_ascii_uppercase() || text == text.to_ascii_lowercase();
    let id = text.to_ascii_uppercase();
    has_one_case
        && id.get(1..2) == Some("0")
        && is_slack_id(&id, &['A', 'B', 'C', 'D', 'E', 'F', 'G', 'T', 'U', 'W'])
}

/// Why no Teleport user is called so, and what to write instead. Also for `[review.users]`.
pub(super) fn user_name_problem(text: &str) -> Option<(&'static str, String)> {
    let address = strip_mention(text, "<mailto:").or_else(|| text.strip_prefix("mailto:"));
    if let Some(address) = address.map(str::trim).filter(|address| user_name_problem(address).is_none()) {
        return Some(("this is a link to an address", format!("write {}", quote(address))));
    }
    if text.trim() != text {
        let cause = "there are blanks around it, which no user's name has";
        let more = user_name_problem(text.trim());
        return more.or_else(|| Some((cause, format!("write {}", quote(text.trim())))));
    }
    if text.starts_with('@') {
        let remedy = "write the group's id (S…), which Slack copies from the group's menu, or the name of a Teleport user";
        return Some(("this is a handle in Slack", remedy.to_owned()));
    }
    text.contains(['<', '>']).then(|| {
        let remedy = "write the user's name as `tctl users ls` shows it";
        ("this is no name of a Teleport user", remedy.to_owned())
    })
}

/// What stands between brackets or quotation marks around the whole text, if there are any and it is not empty.
pub(super) fn without_brackets(text: &str) -> Option<&str> {
    const PAIRS: [(char, char); 7] =
        [('[', ']'), ('(', ')'), ('{', '}'), ('<', '>'), ('"', '"'), ('\'', '\''), ('`', '`')];
    let text = text.trim();
    // Of `'a', 'b'` and `(a)(b)` the first and the last belong to others.
    let is_pair = |inner: &&str, open, close| match (inner.find(open), inner.find(close)) {
        (_, None) => true,
        (Some(next), Some(end)) => open != close && next < end,
        (None, Some(_)) => false,
    };
    let inner = |(open, close): (char, char)| {
        text.strip_prefix(open)?.strip_suffix(close).filter(|inner| is_pair(inner, open, close))
    };
    let inner = PAIRS.into_iter().find_map(inner)?.trim();
    without_brackets(inner).or(Some(inner)).filter(|inner| !inner.is_empty())
}

/// What a message in Slack would mention: the part between the opening and `|` or `>`.
pub(super) fn strip_mention<'a>(text: &'a str, opening: &str) -> Option<&'a str> {
    let rest = text.trim().strip_prefix(opening)?;
    rest.split(['|', '>']).next().filter(|inner| !inner.is_empty())
}

/// A Slack person's id; every real one has a digit.
pub(super) fn looks_like_user_id(text: &str) -> bool {
    is_slack_id(text, &['U', 'W']) && text.bytes().any(|byte| byte.is_ascii_digit())
}
