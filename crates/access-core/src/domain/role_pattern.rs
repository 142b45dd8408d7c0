//! The one language in which the operator names roles: an exact name, `*` and `?`, or a regular expression from `^` to
//! `$` as in Teleport's own roles.
//!
//! A text that could be meant otherwise than it would be read is refused, because a rule that never matches lets a
//! laxer rule decide alone. [`super::recipients`] says who is notified; [`crate::policy`] says who may decide.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::re2_syntax::{Refused, translate};
use super::text::is_seen;
use super::unseen::{Unseen, with_regex_escapes};

/// No pattern is longer, in bytes.
const MAX_PATTERN: usize = 1_000;
/// No role's name that is longer, in bytes, matches anything: it bounds what matching costs.
const MAX_ROLE: usize = 4_096;
/// A compiled expression takes no more memory, in bytes; enough for all that Teleport's own roles hold.
const MAX_COMPILED: usize = 256 * 1024;

/// Which roles an entry of the configuration is for.
#[derive(Clone, Debug)]
pub struct RolePattern {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Name,
    Glob,
    Expression(Regex),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPattern {
    /// Nothing there, or nothing that a role's name could be.
    Empty,
    /// Blanks before or behind it.
    Blanks,
    /// A character that its reader does not see, or takes for a space. An escape in a regular expression is none.
    Unseen(Unseen),
    /// Commas or semicolons: most likely several roles.
    Several,
    /// Longer than any pattern.
    TooLong,
    /// What regular expressions are made of, but not from `^` to `$`.
    NotAnchored,
    /// From `^` to `$`, but no regular expression in RE2's syntax, or one that takes too much memory.
    NotAnExpression,
    /// `^a|b$`, which is either "begins with a" or "ends with b".
    LooseAlternatives,
    /// A `^` that is not at a beginning, or a `$` that is not at an end: nothing is before the beginning.
    NeverMatches,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unseen(unseen) => return unseen.fmt(f),
            Self::Empty => "no role has an empty name",
            Self::Blanks => "there are blanks around it, which no role's name has",
            Self::Several => "these look like several roles in one text",
            Self::TooLong => "it is longer than 1,000 bytes",
            Self::NotAnchored => "it is written like a part of a regular expression",
            Self::NotAnExpression => {
                "it is not a regular expression as Teleport's roles have them (RE2), or a huge one"
            }
            Self::LooseAlternatives => {
                "only the first alternative begins at ^, and only the last one ends at $"
            }
            Self::NeverMatches => "a ^ or a $ in the middle can never match",
        })
    }
}

impl std::error::Error for InvalidPattern {}

impl From<Refused> for InvalidPattern {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotAnExpression => Self::NotAnExpression,
            Refused::NotAnchored => Self::NotAnchored,
            Refused::LooseAlternatives => Self::LooseAlternatives,
            Refused::NeverMatches => Self::NeverMatches,
        }
    }
}

impl RolePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] if it is none, could match nothing, or could be meant otherwise than it would be read.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.trim().is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(InvalidPattern::TooLong);
        }
        if let Some(unseen) = Unseen::in_strict_text(text) {
            return Err(InvalidPattern::Unseen(unseen));
        }
        if !is_seen(text) {
            return Err(InvalidPattern::Empty);
        }
        if text.trim() != text {
            return Err(InvalidPattern::Blanks);
        }
        let form = match text.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) {
            Some("") => return Err(InvalidPattern::Empty),
            Some(inner) => Form::Expression(compile(inner)?),
            None if looks_like_expression(text) => return Err(InvalidPattern::NotAnchored),
            None if text.contains([',', ';']) => return Err(InvalidPattern::Several),
            None if text.contains(['*', '?']) => Form::Glob,
            None => Form::Name,
        };
        Ok(Self { text: text.to_owned(), form })
    }

    /// The pattern for the role of exactly this name, whatever characters it has.
    pub fn literal(name: &str) -> String {
        let mut literal = String::from("^");
        for c in name.chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                literal.push('\\');
            }
            literal.push(c);
        }
        with_regex_escapes(&literal) + "$"
    }

    /// The regular expression that `text` is but for characters that its reader does not see, with an escape for each of them.
    pub fn escaped_expression(text: &str) -> Option<String> {
        let escaped = with_regex_escapes(text);
        Self::parse(&escaped).is_ok_and(|it| matches!(it.form, Form::Expression(_))).then_some(escaped)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as a regular expression of the `regex` crate, from `^` to `$`.
    pub(super) fn expression(&self) -> String {
        match &self.form {
            Form::Name => format!("^{}$", regex::escape(&self.text)),
            Form::Glob => {
                let mut whole = String::from("(?s)^");
                for c in self.text.chars() {
                    match c {
                        '*' => whole.push_str(".*"),
                        '?' => whole.push('.'),
                        c => whole.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
                    }
                }
                whole + "$"
            }
            Form::Expression(expression) => expression.as_str().to_owned(),
        }
    }

    /// Whether the role of this name is meant. Capitals matter. Takes time in proportion to the product of the lengths
    /// at most; a name of more than 4,096 bytes is never meant.
    pub fn matches(&self, role: &str) -> bool {
        role.len() <= MAX_ROLE
            && match &self.form {
                Form::Name => self.text == role,
                Form::Glob => glob(&self.text, role),
                Form::Expression(expression) => expression.is_match(role),
            }
    }
}

impl PartialEq for RolePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RolePattern {}

/// What is between `^` and `$`, compiled.
fn compile(inner: &str) -> Result<Regex, InvalidPattern> {
    let expression = format!("^{}$", translate(inner)?);
    RegexBuilder::new(&expression)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|_| InvalidPattern::NotAnExpression)
}

/// Whether a text that is not from `^` to `$` has what only regular expressions have. A dot, a plus or brackets alone
/// may be in a role's name.
fn looks_like_expression(text: &str) -> bool {
    const PAIRS: [&str; 7] = [".*", ".+", ".?", ")*", ")+", ")?", "(?"];
    text.contains(['[', ']', '{', '}', '|', '\\', '^', '$']) || PAIRS.iter().any(|pair| text.contains(pair))
}

/// Whether `text` is `pattern`, where `*` stands for any text and `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on after the last star if what follows it does not fit here.
    let mut again = None;
    loop {
        let (mut wanted, mut left) = (pattern.clone(), text.clone());
        match (wanted.next(), left.next()) {
            (Some('*'), _) => {
                again = Some((wanted.clone(), text.clone()));
                pattern = wanted;
            }
            (None, None) => return true,
            (Some(want), Some(c)) if want == '?' || want == c => (pattern, text) = (wanted, left),
            _ => {
                let Some((after_star, from)) = &mut again else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
