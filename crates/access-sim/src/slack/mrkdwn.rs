//! Reading Slack's mrkdwn for what it does to users: mentions, links and dates. Bold and the like do nothing to
//! a user and are not read.
//!
//! Where Slack's automatic linking is not documented to the last rule, this leans to "it would be linked".

use super::effects::found::{Date, Effects, Link, LinkKind};

/// What Slack finds in the text by itself, without angle brackets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Automatic {
    pub(super) urls: bool,
    pub(super) names: bool,
}

/// A stretch of mrkdwn.
enum Piece<'a> {
    Plain(&'a str),
    /// What stands between `<` and `>`.
    Entity(&'a str),
}

/// Adds to `effects` what `text` does.
pub(super) fn read(text: &str, automatic: Automatic, effects: &mut Effects) {
    for piece in pieces(text) {
        match piece {
            Piece::Entity(entity) => read_entity(entity, effects),
            Piece::Plain(plain) => read_plain(plain, automatic, effects),
        }
    }
}

/// The text as Slack gives it back: bare links wrapped in angle brackets.
pub(super) fn wrap_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Entity(entity) => {
                out.push('<');
                out.push_str(entity);
                out.push('>');
            }
            Piece::Plain(plain) => {
                for word in plain.split_inclusive(char::is_whitespace) {
                    match bare_url(word.trim_end()) {
                        Some(url) => out.push_str(&word.replacen(url, &format!("<{url}>"), 1)),
                        None => out.push_str(word),
                    }
                }
            }
        }
    }
    out
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        found.push(Piece::Plain(before));
        // An entity ends at the next `>`; another `<` or a line break before it means that this one was literal.
        match after.split_once('>') {
            Some((entity, tail)) if !entity.is_empty() && !entity.contains(['<', '\n']) => {
                found.push(Piece::Entity(entity));
                rest = tail;
            }
            _ => {
                found.push(Piece::Plain("<"));
                rest = after;
            }
        }
    }
    found.push(Piece::Plain(rest));
    found
}

fn read_entity(entity: &str, effects: &mut Effects) {
    let (target, label) = match entity.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (entity, None),
    };
    if let Some(user) = target.strip_prefix('@') {
        effects.users.push(user.to_owned());
    } else if let Some(channel) = target.strip_prefix('#') {
        effects.channels.push(channel.to_owned());
    } else if let Some(special) = target.strip_prefix('!') {
        read_special(special, label, entity, effects);
    } else if target.contains("://") || target.starts_with("mailto:") || target.starts_with("tel:") {
        effects.links.push(Link::new(target, label, LinkKind::Written));
    } else if looks_like_domain(target) {
        effects.links.push(Link::new(&format!("http://{target}"), label, LinkKind::Written));
    } else {
        effects.unrecognized.push(entity.to_owned());
    }
}

fn read_special(special: &str, label: Option<&str>, entity: &str, effects: &mut Effects) {
    if let Some(group) = special.strip_prefix("subteam^") {
        effects.usergroups.push(group.to_owned());
    } else if let Some(date) = special.strip_prefix("date^") {
        let mut parts = date.splitn(3, '^');
        let timestamp = parts.next().and_then(|unix| unix.parse::<i64>().ok());
        let format = parts.next();
        let link = parts.next();
        match (timestamp, format, label) {
            (Some(timestamp), Some(format), Some(fallback)) => {
                effects.dates.push(Date {
                    timestamp,
                    format: format.to_owned(),
                    fallback: Some(fallback.to_owned()),
                });
                if let Some(url) = link {
                    effects.links.push(Link::new(url, Some(fallback), LinkKind::Written));
                }
            }
            _ => effects.unrecognized.push(entity.to_owned()),
        }
    } else if matches!(special, "channel" | "here" | "everyone" | "group") {
        effects.broadcasts.push(special.to_owned());
    } else {
        effects.unrecognized.push(entity.to_owned());
    }
}

fn read_plain(plain: &str, automatic: Automatic, effects: &mut Effects) {
    let separators = |c: char| c.is_whitespace() || ",;|()[]{}\"'".contains(c);
    for word in plain.split(separators) {
        let trimmed = trim_word(word);
        if automatic.names {
            if let Some(name) = trimmed.strip_prefix('@').filter(|name| is_broadcast(name)) {
                effects.broadcasts.push(name.to_owned());
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('#').filter(|name| is_channel_name(name)) {
                effects.channels.push(format!("#{name}"));
                continue;
            }
        }
        if automatic.urls {
            if let Some(url) = bare_url(word) {
                effects.links.push(Link::new(url, None, LinkKind::Automatic));
            } else if looks_like_email(trimmed) {
                let url = format!("mailto:{trimmed}");
                effects.links.push(Link::new(&url, Some(trimmed), LinkKind::Automatic));
            } else if looks_like_domain(trimmed) {
                let url = format!("http://{trimmed}");
                effects.links.push(Link::new(&url, Some(trimmed), LinkKind::Automatic));
            }
        }
    }
}

fn trim_word(word: &str) -> &str {
    word.trim_matches(|c: char| ".:!?*_~`".contains(c))
}

/// The web address somewhere in a word, without trailing punctuation.
fn bare_url(word: &str) -> Option<&str> {
    let start = [word.find("https://"), word.find("http://")].into_iter().flatten().min()?;
    let url = word.get(start..)?.trim_end_matches(|c: char| ".,:;!?*_~`)\"'".contains(c));
    (!url.ends_with("://") && !url.ends_with("http") && !url.ends_with("https")).then_some(url)
}

fn is_broadcast(name: &str) -> bool {
    matches!(name, "channel" | "here" | "everyone")
}

fn is_channel_name(name: &str) -> bool {
    // A number after # is far more often an issue than a channel, and Slack links neither by number.
    !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        && name.chars().any(char::is_alphabetic)
}

fn looks_like_email(word: &str) -> bool {
    word.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && looks_like_domain(domain))
}

fn looks_like_domain(word: &str) -> bool {
    let host = word.split(['/', ':', '?', '#']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let well_formed =
        |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let Some(last) = labels.last() else { return false };
    labels.len() >= 2
        && labels.iter().all(well_formed)
        && last.chars().count() >= 2
        && last.chars().all(char::is_alphabetic)
}
