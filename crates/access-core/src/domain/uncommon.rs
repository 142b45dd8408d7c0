//! Characters that hardly a name has: signs, ornaments, dashes and brackets of typography, and letters that only phonetics or
//! history writes, such as small capitals. Unicode lists what names are made of (UTS 39, general security profile). A letter or sign
//! of a script that is written today by few is common in a name of that script alone. What no reader sees is for [`super::unseen`].

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use unicode_security::{GeneralSecurityProfile, MixedScript};

use super::text::is_invisible;

/// The first such character of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncommon {
    character: char,
    /// Its place in the text, from 1.
    place: usize,
    /// It and each other such character of the text.
    pub characters: Vec<char>,
}

impl Uncommon {
    /// The first in the text.
    pub fn first_in(text: &str) -> Option<Self> {
        if text.is_ascii() {
            return None;
        }
        let is_of_one_script = text.is_single_script() && text.chars().any(char::is_alphabetic);
        let characters: Vec<char> = text.chars().collect();
        let is_uncommon = |place: &usize| {
            let at = |place: Option<usize>| place.and_then(|place| characters.get(place)).copied();
            let Some(c) = at(Some(*place)).filter(|c| !c.is_ascii() && !is_invisible(*c)) else {
                return false;
            };
            let beside = [at(place.checked_sub(1)), at(place.checked_add(1))];
            match c.identifier_allowed() {
                // Hyphens and apostrophes of other scripts, and the raised dot of Catalan.
                true if !is_word(c) => {
                    c != '\u{b7}' && beside.into_iter().flatten().any(|c| c.is_ascii_alphanumeric())
                }
                true => false,
                false => !(is_of_one_script && is_of_other_script(c)),
            }
        };
        let places: Vec<_> = (0..characters.len()).filter(is_uncommon).collect();
        let found: Vec<_> = places.iter().filter_map(|place| characters.get(*place)).copied().collect();
        Some(Self { character: *found.first()?, place: places.first()? + 1, characters: found })
    }
}

impl fmt::Display for Uncommon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {} is U+{:04X}, which hardly a name has", self.place, u32::from(self.character))
    }
}

/// Whether the character is of a script, and not of Latin.
fn is_of_other_script(c: char) -> bool {
    static ANY_OR_LATIN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\p{Common}\p{Inherited}\p{Latin}]$").ok());
    ANY_OR_LATIN.as_ref().is_some_and(|of| !of.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Whether words are made of it: letters, marks and digits.
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{Nd}]$").ok());
    WORD.as_ref().is_some_and(|word| word.is_match(c.encode_utf8(&mut [0; 4])))
}

/// The text without brackets of typography around it, and with a hyphen in the place of each dash.
pub fn with_plain_signs(text: &str) -> String {
    static BRACKETS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\p{Ps}\p{Pi}--\x00-\x7f](.*)[\p{Pe}\p{Pf}--\x00-\x7f]$").ok());
    static DASH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Pd}").ok());
    let inner = BRACKETS.as_ref().and_then(|brackets| brackets.captures(text)?.get(1));
    let inner = inner.map_or(text, |inner| inner.as_str()).trim();
    DASH.as_ref().map_or_else(|| inner.to_owned(), |dash| dash.replace_all(inner, "-").into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ordinary_names::ORDINARY_NAMES;

    #[test]
    fn what_hardly_a_name_has_is_found() {
        for (text, place) in [
            ("〈dba〉", 1),
            ("【dba】", 1),
            ("⟨dba⟩", 1),
            ("｟dba｠", 1),
            ("prod⸺db", 5),
            ("prod־db", 5),
            ("prod─db", 5),
            ("prodᐨdb", 5),
            ("prod֊db", 5),
            ("prod゠db", 5),
            ("ᴅʙᴀ", 1),
            ("🅳🅱🅰", 1),
            ("✱", 1),
            ("⁕", 1),
            ("ǃ", 1),
            ("dba™", 4),
            ("dba🙂", 4),
            ("№1", 1),
            ("アクセス：prod", 5),
            ("１번", 1),
            ("prod-٪", 6),
        ] {
            let found = Uncommon::first_in(text);
            assert_eq!(found.as_ref().map(|it| it.place), Some(place), "{text}: {found:?}");
        }
        let found = Uncommon::first_in("prod⸺db⸻1").unwrap();
        assert_eq!(found.characters, ['⸺', '⸻']);
        assert_eq!(found.to_string(), "character 5 is U+2E3A, which hardly a name has");
    }

    #[test]
    fn names_of_every_script_are_common() {
        for text in ORDINARY_NAMES {
            assert_eq!(Uncommon::first_in(text), None, "{text}");
        }
    }

    #[test]
    fn signs_of_typography_become_plain() {
        for (text, plain) in [
            ("〈dba〉", "dba"),
            ("｟ dba ｠", "dba"),
            ("«dba»", "dba"),
            ("prod⸺db", "prod-db"),
            ("prod־db", "prod-db"),
            ("prod─db", "prod─db"),
            ("dba", "dba"),
            ("(a)(b)", "(a)(b)"),
            ("〈", "〈"),
        ] {
            assert_eq!(with_plain_signs(text), plain, "{text}");
        }
    }
}
