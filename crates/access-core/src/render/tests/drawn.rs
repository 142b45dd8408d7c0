//! What a reader sees of Slack's markup: lines of stretches, each plain or styled. Written from Slack's description
//! of it, for tests only. Where Slack does not say when a mark counts, it counts here.

use std::mem::take;

/// A stretch of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Plain(String),
    /// Between two of `*`, `_` or `~`.
    Styled(char, String),
    Code(String),
    /// Between `<` and `>`.
    Entity(String),
    /// Between two colons.
    Emoji(String),
}

/// One line as it is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) is_quote: bool,
    pub(crate) spans: Vec<Span>,
}

/// Draws a `mrkdwn` text.
pub(crate) fn render_lines(text: &str) -> Vec<Line> {
    let tokens = emphasized(tokens(text));
    let mut lines = vec![Line::default()];
    for token in tokens {
        let line = lines.last_mut().expect("there is always a line");
        match token {
            Span::Plain(plain) => {
                for (n, part) in plain.split('\n').enumerate() {
                    if n > 0 {
                        lines.push(Line::default());
                    }
                    let line = lines.last_mut().expect("there is always a line");
                    line.is_quote |= line.spans.is_empty() && part.trim_start().starts_with('>');
                    line.spans.extend(with_emoji(part));
                }
            }
            styled => line.spans.push(styled),
        }
    }
    lines
}

/// What is plain in a line; a styled stretch is one `\0`.
pub(crate) fn plain_of(line: &Line) -> String {
    let plain = |stretch: &Span| match stretch {
        Span::Plain(plain) => plain.clone(),
        _ => "\0".to_owned(),
    };
    line.spans.iter().map(plain).collect()
}

/// Code and entities cut out; what is left plain has its `&amp;` and the like resolved.
fn tokens(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some(start) = left.find(['<', '`']) {
        let (before, after) = left.split_at(start);
        let close = if after.starts_with('<') { '>' } else { '`' };
        let inner = &after[1..];
        let Some(end) = inner.find(close).filter(|end| *end > 0) else {
            found.push(Span::Plain(resolved(&left[..=start])));
            left = inner;
            continue;
        };
        found.push(Span::Plain(resolved(before)));
        let inside = inner[..end].to_owned();
        found.push(if close == '>' { Span::Entity(inside) } else { Span::Code(inside) });
        left = &inner[end + 1..];
    }
    found.push(Span::Plain(resolved(left)));
    found.retain(|token| *token != Span::Plain(String::new()));
    found
}

fn resolved(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Finds emphasis: from a mark that no letter stands before to one that no letter stands after, also over the end of a
/// line and over links. Only the letters and digits of ASCII count as such.
fn emphasized(tokens: Vec<Span>) -> Vec<Span> {
    // One character for each character of plain text, and one for each other token.
    let mut flat: Vec<(char, Option<Span>)> = Vec::new();
    for token in tokens {
        match token {
            Span::Plain(plain) => flat.extend(plain.chars().map(|c| (c, None))),
            other => flat.push(('\u{1}', Some(other))),
        }
    }
    let is_word =
        |at: Option<usize>| at.and_then(|at| flat.get(at)).is_some_and(|(c, _)| c.is_ascii_alphanumeric());
    let is_space = |at: Option<usize>| at.and_then(|at| flat.get(at)).is_none_or(|(c, _)| c.is_whitespace());
    let opens = |at: usize| !is_word(at.checked_sub(1)) && !is_space(Some(at + 1));
    let closes = |at: usize| !is_word(Some(at + 1)) && !is_space(at.checked_sub(1));
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while at < flat.len() {
        let (c, token) = &flat[at];
        let end = (matches!(c, '*' | '_' | '~') && opens(at))
            .then(|| (at + 2..flat.len()).find(|end| flat[*end].0 == *c && closes(*end)))
            .flatten();
        match (token, end) {
            (Some(token), _) => {
                out.push(Span::Plain(take(&mut plain)));
                out.push(token.clone());
            }
            (None, Some(end)) => {
                out.push(Span::Plain(take(&mut plain)));
                out.push(Span::Styled(*c, flat[at + 1..end].iter().map(|(c, _)| *c).collect()));
                at = end;
            }
            (None, None) => plain.push(*c),
        }
        at += 1;
    }
    out.push(Span::Plain(plain));
    out.retain(|token| *token != Span::Plain(String::new()));
    out
}

/// Short codes, known to Slack or not: workspaces have emoji of their own. Digits alone are a time or an address, but
/// for the two that are emoji everywhere.
fn with_emoji(text: &str) -> Vec<Span> {
    let mut out = Vec::new();
    let mut left = text;
    let mut plain = String::new();
    while let Some(start) = left.find(':') {
        plain.push_str(&left[..start]);
        let after = &left[start + 1..];
        let end = after.find(|c: char| !(c.is_alphanumeric() || "_+-'".contains(c))).unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        let is_number = name.chars().all(|c| c.is_ascii_digit());
        // No name is longer than 100 characters.
        let may_be_name = !name.is_empty() && name.chars().count() <= 100;
        if rest.starts_with(':') && may_be_name && (!is_number || ["100", "1234"].contains(&name)) {
            out.push(Span::Plain(take(&mut plain)));
            out.push(Span::Emoji(name.to_owned()));
            left = &rest[1..];
        } else {
            plain.push(':');
            left = after;
        }
    }
    plain.push_str(left);
    out.push(Span::Plain(plain));
    out.retain(|token| *token != Span::Plain(String::new()));
    out
}
