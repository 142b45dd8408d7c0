//! Letters that look like Latin ones, in a word that has Latin letters too, and dashes that look like the hyphen. Whatever
//! compares the name takes them for others.
//!
//! A word in one alphabet is honest, and so is one whose foreign letters do not all look Latin, such as "VPNдоступ".

/// Cyrillic, Greek and phonetic letters, each before the Latin one that it looks like.
const PAIRS: [&str; 3] = [
    "ɑaɡg",
    "аaсcԁdеeһhіiјjоoрpԛqѕsԝwхxуyАAВBЕEНHІIЈJКKМMОOРPСCЅSТTХXУY",
    "ΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXοoνv",
];

/// Dashes that word processors and chats put in the place of a hyphen.
const DASHES: &str = "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{fe58}\u{fe63}\u{ff0d}";

/// The first such letter or dash of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookAlike {
    /// The letter or dash.
    pub letter: char,
    /// What it looks like.
    latin: char,
    /// Its place in the text, from 1.
    place: usize,
    /// What a reader takes the text for.
    pub seen: String,
}

impl LookAlike {
    /// The first in the text.
    pub fn first_in(text: &str) -> Option<Self> {
        let as_hyphen = |c| if DASHES.contains(c) { '-' } else { c };
        let mut seen: Vec<char> = text.chars().map(as_hyphen).collect();
        for word in seen.split_mut(|c| !c.is_alphabetic()) {
            let is_mixed = word.iter().any(char::is_ascii) && !word.iter().all(char::is_ascii);
            if is_mixed && word.iter().all(|c| c.is_ascii() || latin(*c).is_some()) {
                word.iter_mut().for_each(|letter| *letter = latin(*letter).unwrap_or(*letter));
            }
        }
        let mut pairs = text.chars().zip(seen.iter().copied()).enumerate();
        let (index, (letter, latin)) = pairs.find(|(_, (letter, seen))| letter != seen)?;
        Some(Self { letter, latin, place: index + 1, seen: seen.into_iter().collect() })
    }
}

impl std::fmt::Display for LookAlike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (place, code) = (self.place, u32::from(self.letter));
        write!(f, "character {place} is U+{code:04X}, which looks like ")?;
        match self.latin {
            '-' => f.write_str("a hyphen"),
            latin => write!(f, "the Latin letter {latin}"),
        }
    }
}

/// The Latin letter that this one looks like.
fn latin(letter: char) -> Option<char> {
    /// From a full-width form to the plain one.
    const FULL_WIDTH: u32 = 0xFEE0;
    if matches!(letter, '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}') {
        return char::from_u32(u32::from(letter) - FULL_WIDTH);
    }
    PAIRS.iter().find_map(|pairs| {
        let mut letters = pairs.chars().step_by(2).zip(pairs.chars().skip(1).step_by(2));
        letters.find(|(other, _)| *other == letter).map(|(_, latin)| latin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("prod\u{2011}db", 5, "prod-db"),
            ("prod\u{2013}db\u{430}", 5, "prod-dba"),
            ("\u{430}dmin\u{2212}1", 1, "admin-1"),
        ] {
            let found = LookAlike::first_in(text);
            assert_eq!(found.as_ref().map(|it| (it.place, it.seen.as_str())), Some((place, seen)), "{text}");
        }
        let shown = LookAlike::first_in("db\u{430}").unwrap().to_string();
        assert_eq!(shown, "character 3 is U+0430, which looks like the Latin letter a");
        let shown = LookAlike::first_in("prod\u{2011}db").unwrap().to_string();
        assert_eq!(shown, "character 5 is U+2011, which looks like a hyphen");
    }

    #[test]
    fn honest_names_have_none() {
        for text in [
            "dba",
            "prod-база",
            "доступ к БД",
            "VPNдоступ",
            "SQLбаза",
            "оса",
            "ΑΒΓ",
            "μService",
            "Δt-λ",
            "zugänge",
            "rôle-アクセス",
            "한국어 team",
            "日本語db",
            "ＤＢＡ",
            "kapı",
            "",
        ] {
            assert_eq!(LookAlike::first_in(text), None, "{text}");
        }
    }

    #[test]
    fn each_pair_is_a_foreign_letter_and_a_latin_one() {
        for pairs in PAIRS {
            let letters: Vec<char> = pairs.chars().collect();
            assert!(
                letters.chunks(2).all(|pair| !pair[0].is_ascii() && pair[1].is_ascii_alphabetic()),
                "{pairs}"
            );
        }
    }
}
