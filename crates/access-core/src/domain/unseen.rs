//! Characters of a name whose reader does not see them, or takes them for a space; also the one for a lost character. Whatever compares the name sees them,
//! so that such a name in a configuration is another one than its reader believes.

use std::fmt;

use super::text::{is_blank, is_invisible, with_hidden};

/// The first such character of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen {
    character: char,
    /// Its place in the text, from 1.
    place: usize,
}

impl Unseen {
    /// The first in the text, joiners and selectors that shape their neighbors apart: names in many languages need them.
    pub fn in_text(text: &str) -> Option<Self> {
        first(with_hidden(text))
    }

    /// The first in the text, every joiner and selector included: for texts that have another way to write them.
    pub fn in_strict_text(text: &str) -> Option<Self> {
        first(strict(text))
    }

    /// The character itself, if it is one, wherever it stands.
    pub fn of(character: char) -> Option<Self> {
        Self::in_strict_text(character.encode_utf8(&mut [0; 4]))
    }

    /// Its code and what it is: `U+00A0, which looks like a space`.
    pub fn description(self) -> String {
        let what = match self.character {
            '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => "a line break",
            '\t' => "a tab",
            char::REPLACEMENT_CHARACTER => "which stands for a character that was lost",
            c if is_blank(c) => "which looks like a space",
            c if c.is_control() => "a control character",
            _ => "an invisible character",
        };
        format!("U+{:04X}, {what}", u32::from(self.character))
    }

    /// The escape of regular expressions that stands for it.
    pub fn escape(self) -> String {
        escape(self.character)
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {} is {}", self.place, self.description())
    }
}

fn strict(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    text.chars().map(|c| (c, is_invisible(c)))
}

fn first(characters: impl Iterator<Item = (char, bool)>) -> Option<Unseen> {
    let unseen = |(_, (c, is_hidden)): &(usize, (char, bool))| {
        *is_hidden || *c == char::REPLACEMENT_CHARACTER || *c != ' ' && is_blank(*c)
    };
    let (index, (character, _)) = characters.enumerate().find(unseen)?;
    Some(Unseen { character, place: index + 1 })
}

/// What a reader takes the text for; joiners and selectors are as in [`Unseen::in_text`].
pub fn as_seen(text: &str) -> String {
    seen(with_hidden(text))
}

/// What a reader takes the text for; joiners and selectors are as in [`Unseen::in_strict_text`].
pub fn as_seen_strictly(text: &str) -> String {
    seen(strict(text))
}

fn seen(characters: impl Iterator<Item = (char, bool)>) -> String {
    let visible = characters.filter(|(_, is_hidden)| !is_hidden);
    let seen: String = visible.map(|(c, _)| if is_blank(c) { ' ' } else { c }).collect();
    seen.trim().to_owned()
}

/// The text with an escape of regular expressions for each character that [`Unseen::in_strict_text`] finds.
pub(super) fn with_regex_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match Unseen::of(c) {
            Some(unseen) => out.push_str(&unseen.escape()),
            None => out.push(c),
        }
    }
    out
}

fn escape(c: char) -> String {
    format!(r"\x{{{:X}}}", u32::from(c))
}
