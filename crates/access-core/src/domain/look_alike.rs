//! Characters that look like plain ones: letters in a word that has Latin letters too, dashes and other signs, and all of
//! a text that looks like ASCII as a whole. Whatever compares the name takes them for others.
//!
//! Unicode lists what looks alike (UTS 39) and which characters are others in another form (NFKC). A word is honest if not
//! all of its foreign letters look Latin, such as "VPNдоступ".

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// Dashes that word processors and chats put in the place of a hyphen, and that Unicode does not say to look like one.
const LONG_DASHES: [char; 4] = ['\u{2014}', '\u{2015}', '\u{2e3a}', '\u{2e3b}'];

/// The first such character of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookAlike {
    /// The character.
    letter: char,
    /// It and each other such character of the text.
    pub letters: Vec<char>,
    /// What it looks like.
    plain: String,
    /// Its place in the text, from 1.
    place: usize,
    /// What a reader takes the text for.
    pub seen: String,
}

impl LookAlike {
    /// The first in the text.
    pub fn first_in(text: &str) -> Option<Self> {
        let characters: Vec<char> = text.chars().collect();
        let mut plain: Vec<Option<String>> = characters.iter().map(|_| None).collect();
        if let Some(joining) = joining_mark(&characters) {
            return Some(joining);
        }
        let mut rest = plain.as_mut_slice();
        for word in characters.chunk_by(|one, next| one.is_alphabetic() == next.is_alphabetic()) {
            let (of_word, later) = rest.split_at_mut(word.len());
            rest = later;
            let is_mixed = word.iter().any(char::is_ascii) && !word.iter().all(char::is_ascii);
            if word.first().is_some_and(|c| c.is_alphabetic()) && is_mixed {
                let letters: Vec<_> = word.iter().map(|c| latin(*c)).collect();
                if word.iter().zip(&letters).all(|(c, latin)| c.is_ascii() || latin.is_some()) {
                    of_word.iter_mut().zip(letters).for_each(|(plain, latin)| *plain = latin);
                }
            }
        }
        for (index, c) in characters.iter().enumerate().filter(|(_, c)| !c.is_alphabetic()) {
            let before = index.checked_sub(1).and_then(|before| characters.get(before));
            let is_in_plain_text =
                [before, characters.get(index + 1)].into_iter().flatten().all(char::is_ascii);
            let sign = sign(*c).filter(|sign| sign == "-" || is_in_plain_text && characters.len() > 1);
            if let (Some(sign), Some(plain)) = (sign, plain.get_mut(index)) {
                *plain = Some(sign);
            }
        }
        let whole: Vec<_> =
            characters.iter().map(|c| if c.is_alphabetic() { latin(*c) } else { sign(*c) }).collect();
        if characters.iter().zip(&whole).all(|(c, plain)| c.is_ascii() || plain.is_some()) {
            plain = whole;
        }
        let seen = characters.iter().zip(&plain);
        let seen = seen.map(|(c, plain)| plain.clone().unwrap_or_else(|| c.to_string())).collect();
        let found = characters.iter().zip(&plain).filter(|(_, plain)| plain.is_some());
        let letters = found.map(|(c, _)| *c).collect();
        let (index, (letter, plain)) =
            characters.iter().zip(plain).enumerate().find(|(_, (_, plain))| plain.is_some())?;
        Some(Self { letter: *letter, letters, plain: plain?, place: index + 1, seen })
    }
}

/// The first mark that is written apart from the letter that it belongs to, though there is one character for both: "é" in
/// two characters.
fn joining_mark(characters: &[char]) -> Option<LookAlike> {
    let joined = |end: usize| characters.iter().take(end).copied().nfc();
    let place = (1..=characters.len()).find(|end| joined(*end).count() < *end)?;
    let letter = *characters.get(place - 1)?;
    let seen: String = joined(characters.len()).collect();
    let letters = characters.iter().copied().filter(|c| is_combining_mark(*c) || *c == letter);
    let letters = letters.filter(|c| !c.is_ascii()).collect();
    Some(LookAlike { letter, letters, plain: String::new(), place, seen })
}

/// Whether all letters of the text are Cyrillic, or all are Greek: a word of such a language may have only letters that look
/// Latin.
pub fn is_of_one_other_script(text: &str) -> bool {
    let is_greek = |c: char| matches!(c, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}');
    let is_cyrillic =
        |c: char| matches!(c, '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{a640}'..='\u{a69f}');
    let letters = || text.chars().filter(|c| c.is_alphabetic());
    letters().next().is_some() && (letters().all(is_greek) || letters().all(is_cyrillic))
}

impl std::fmt::Display for LookAlike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (place, code) = (self.place, u32::from(self.letter));
        if self.plain.is_empty() {
            return write!(f, "character {place} is U+{code:04X}, a mark written apart from its letter");
        }
        write!(f, "character {place} is U+{code:04X}, which looks like ")?;
        let is_letter = |c: char| c.is_ascii_alphabetic();
        match self.plain.as_str() {
            "-" => f.write_str("a hyphen"),
            letter if letter.len() == 1 && letter.chars().all(is_letter) => {
                write!(f, "the Latin letter {letter}")
            }
            letters if letters.chars().all(is_letter) => write!(f, "the Latin letters {letters}"),
            signs => f.write_str(signs),
        }
    }
}

/// The plain letters, digit or signs that this other character looks like, or is in another form.
pub fn plain(c: char) -> Option<String> {
    if c.is_alphabetic() { latin(c).or_else(|| sign(c)) } else { sign(c).or_else(|| latin(c)) }
}

/// The Latin letters that this other letter looks like.
fn latin(letter: char) -> Option<String> {
    let are_latin = |text: &String| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic());
    // A plain letter in another form, such as U+FF41: Unicode says which one it is.
    let formed = std::iter::once(letter).nfkc().collect();
    if letter.is_ascii() || are_latin(&formed) {
        return Some(formed).filter(|_| !letter.is_ascii());
    }
    let looks = look(letter);
    match looks.as_str() {
        // To Unicode I and l are one.
        "l" if letter.is_uppercase() => Some("I".to_owned()),
        _ => Some(looks).filter(|looks| looks.len() == 1 && are_latin(looks)),
    }
}

/// The digit or the sign that this other character looks like.
fn sign(c: char) -> Option<String> {
    if c.is_ascii() {
        return None;
    }
    if LONG_DASHES.contains(&c) {
        return Some("-".to_owned());
    }
    let are_signs = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_punctuation());
    let formed: String = std::iter::once(c).nfkc().collect();
    // In full width, mathematical or segmented; a small one above the line looks like no other.
    let is_digit =
        matches!(c, '\u{ff10}'..='\u{ff19}' | '\u{1d7ce}'..='\u{1d7ff}' | '\u{1fbf0}'..='\u{1fbf9}');
    [formed, look(c)]
        .into_iter()
        .enumerate()
        .find(|(index, plain)| match index {
            0 => is_digit || are_signs(plain),
            // Two quotation marks are not what one is meant for.
            _ => plain.len() == 1 && are_signs(plain),
        })
        .map(|(_, plain)| plain)
}

fn look(c: char) -> String {
    skeleton(c.encode_utf8(&mut [0; 4])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ordinary_names::ORDINARY_NAMES;

    #[test]
    fn a_letter_of_another_alphabet_is_found_in_a_latin_word() {
        for (text, place, seen) in [
            ("db\u{430}", 3, "dba"),
            ("prod-\u{430}dmin", 6, "prod-admin"),
            ("\u{410}dmin", 1, "Admin"),
            ("^(web|d\u{44c}|\u{441}i)$", 10, "^(web|d\u{44c}|ci)$"),
            ("^(web|\u{441}i)$", 7, "^(web|ci)$"),
            ("d\u{3bf}\u{440}s", 2, "dops"),
            ("база db\u{430}", 8, "база dba"),
            ("db\u{ff41}", 3, "dba"),
            ("db\u{251}", 3, "dba"),
            ("db\u{3b1}", 3, "dba"),
            ("ad\u{217f}in", 3, "admin"),
            ("db\u{1d41a}", 3, "dba"),
            ("adm\u{131}n", 4, "admin"),
            ("\u{406}AM", 1, "IAM"),
            ("\u{fb01}nance", 1, "finance"),
            ("prod\u{2011}db", 5, "prod-db"),
            ("prod\u{2013}db\u{430}", 5, "prod-dba"),
            ("\u{430}dmin\u{2212}1", 1, "admin-1"),
            ("prod\u{2024}db", 5, "prod.db"),
            ("prod-\u{ff11}", 6, "prod-1"),
            ("prod-\u{1d7ce}", 6, "prod-0"),
            ("bob\u{ff20}example.com", 4, "bob@example.com"),
            ("o\u{2019}brien", 2, "o'brien"),
            ("prod-\u{2217}", 6, "prod-*"),
            ("d\u{2025}b", 2, "d..b"),
            ("\u{ff3e}prod\u{ff04}", 1, "^prod$"),
            ("admin\u{ff5c}dba", 6, "admin|dba"),
        ] {
            let found = LookAlike::first_in(text);
            assert_eq!(found.as_ref().map(|it| (it.place, it.seen.as_str())), Some((place, seen)), "{text}");
        }
        for (text, place, seen) in [
            ("ｄｂａ", 1, "dba"),
            ("ＤＢＡ", 1, "DBA"),
            ("ｐｒｏｄ-db", 1, "prod-db"),
            ("＊", 1, "*"),
            ("１", 1, "1"),
            ("𝐝𝐛𝐚", 1, "dba"),
            ("ⓓⓑⓐ", 1, "dba"),
            ("ᵈᵇᵃ", 1, "dba"),
            ("\u{43e}\u{440}\u{455}", 1, "ops"),
            ("\u{440}\u{455}-*", 1, "ps-*"),
            ("\u{391}\u{392}-\u{39f}\u{3a1}", 1, "AB-OP"),
            ("\u{43e}\u{440}\u{455}-dba", 1, "ops-dba"),
            ("e\u{301}quipe", 2, "équipe"),
        ] {
            let found = LookAlike::first_in(text);
            assert_eq!(found.as_ref().map(|it| (it.place, it.seen.as_str())), Some((place, seen)), "{text}");
        }
        for dash in
            "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{2e3a}\u{2e3b}\u{fe58}\u{fe63}\u{ff0d}"
                .chars()
        {
            let found = LookAlike::first_in(&format!("база{dash}1"));
            assert_eq!(found.map(|it| it.seen).as_deref(), Some("база-1"), "{}", dash.escape_unicode());
        }
        for (text, shown) in [
            ("db\u{430}", "character 3 is U+0430, which looks like the Latin letter a"),
            ("\u{fb01}nance", "character 1 is U+FB01, which looks like the Latin letters fi"),
            ("prod\u{2011}db", "character 5 is U+2011, which looks like a hyphen"),
            ("prod\u{2024}db", "character 5 is U+2024, which looks like ."),
            ("e\u{301}quipe", "character 2 is U+0301, a mark written apart from its letter"),
        ] {
            assert_eq!(LookAlike::first_in(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_word_of_another_language_is_of_its_script_alone() {
        for text in ["\u{43e}\u{440}\u{455}", "\u{391}\u{392}-\u{39f}", "доступ-1"] {
            assert!(is_of_one_other_script(text), "{text}");
        }
        for text in ["ops", "d\u{43e}", "\u{43e}\u{3bf}", "ｄｂａ", "𝐝𝐛𝐚", "1", ""] {
            assert!(!is_of_one_other_script(text), "{text}");
        }
    }

    #[test]
    fn honest_names_have_none() {
        let signs = ["SQLбаза", "роса-ок", "アクセス：prod", "１번", "a×b", "m²", "👍"];
        for text in ORDINARY_NAMES.into_iter().chain(signs) {
            assert_eq!(LookAlike::first_in(text), None, "{text}");
        }
    }
}
