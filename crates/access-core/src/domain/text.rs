//! External text: which of its characters hide something, and what is done about them outside Slack.
//!
//! There is one list of the characters that are invisible or turn the reading direction, and each policy uses it: the
//! terminal and the log show them escaped ([`escape_line`]), error texts drop them ([`one_line`]), and messages in Slack
//! show a placeholder instead (`render/sanitize.rs`). The record keeps them for these, but for control characters
//! (`without_controls`). Names in the configuration may not have them at all ([`super::unseen`]). A text of nothing else is
//! as good as empty ([`is_seen`]).

use std::sync::LazyLock;

use regex::Regex;

/// How a character looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appearance {
    Visible,
    /// White space, line breaks included.
    Blank,
    /// Zero-width joiner and non-joiner: needed in emoji and in Persian or Indic words.
    Joiner,
    /// Variation selectors: choose the emoji or ideograph form of the character before.
    Selector,
    /// It has no appearance of its own, has one that nothing agrees on, or turns the reading direction.
    Hidden,
}

fn appearance(c: char) -> Appearance {
    match c {
        '\u{200C}' | '\u{200D}' => Appearance::Joiner,
        '\u{180B}'..='\u{180D}' | '\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => {
            Appearance::Selector
        }
        // The braille blank is a symbol to Unicode and a space to the eye.
        '\u{2800}' => Appearance::Blank,
        c if c.is_whitespace() => Appearance::Blank,
        c if c.is_control() || is_listed(c) => Appearance::Hidden,
        _ => Appearance::Visible,
    }
}

/// The list; control characters, joiners and selectors come on top.
fn is_listed(c: char) -> bool {
    match c {
        // Bidirectional controls.
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => true,
        // Soft hyphen, zero-width space and no-break space, word joiner, invisible operators, joiners of
        // graphemes, Hangul, Khmer and Mongolian fillers.
        '\u{AD}' | '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}' => true,
        '\u{200B}' | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' => true,
        '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' => true,
        // Controls of hieroglyphs, shorthand and musical notation.
        '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' => true,
        // Annotation and object specials.
        '\u{FFF0}'..='\u{FFFC}' => true,
        // A note without a head, a symbol to Unicode.
        '\u{1D159}' => true,
        // Private use, unassigned planes, tags (a second alphabet that is never drawn).
        '\u{E000}'..='\u{F8FF}' | '\u{40000}'..='\u{10FFFF}' => true,
        // Non-characters.
        '\u{FDD0}'..='\u{FDEF}' => true,
        _ => u32::from(c) & 0xFFFE == 0xFFFE,
    }
}

/// Whether the character shows nothing by itself, wherever it stands. White space is not meant.
pub fn is_invisible(c: char) -> bool {
    matches!(appearance(c), Appearance::Joiner | Appearance::Selector | Appearance::Hidden)
}

/// Whether the character is a space to the eye, or a line break.
pub fn is_blank(c: char) -> bool {
    appearance(c) == Appearance::Blank
}

/// Whether a reader sees anything of the text. White space, what hides something and marks without a letter are nothing.
pub fn is_seen(text: &str) -> bool {
    static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{M}$").ok());
    let is_mark = |c: char| {
        MARK.as_ref().is_some_and(|mark| !c.is_ascii() && mark.is_match(c.encode_utf8(&mut [0; 4])))
    };
    with_hidden(text).any(|(c, is_hidden)| !is_hidden && appearance(c) == Appearance::Visible && !is_mark(c))
}

/// Each character, and whether it hides something where it stands. Joiners and selectors do so unless they shape their
/// neighbors. White space never does; each policy treats it in its own way.
pub fn with_hidden(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let mut last = None;
    let mut chars = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = chars.next()?;
        let is_hidden = match appearance(c) {
            Appearance::Visible | Appearance::Blank => false,
            Appearance::Joiner => !(may_join(last) && may_join(chars.peek().copied())),
            Appearance::Selector => !may_be_selected(last, chars.peek().copied()),
            Appearance::Hidden => true,
        };
        last = Some(c);
        Some((c, is_hidden))
    })
}

/// Whether a joiner means something next to this character. It never does in ASCII, where it would only make
/// two different names look the same.
fn may_join(neighbor: Option<char>) -> bool {
    neighbor
        .is_some_and(|c| !c.is_ascii() && matches!(appearance(c), Appearance::Visible | Appearance::Selector))
}

/// Whether a variation selector means something between these: keycaps are built on ASCII, nothing else is.
fn may_be_selected(before: Option<char>, after: Option<char>) -> bool {
    const KEYCAP: char = '\u{20E3}';
    before.is_some_and(|c| {
        let is_key = after == Some(KEYCAP) && (c.is_ascii_digit() || matches!(c, '#' | '*'));
        appearance(c) == Appearance::Visible && (!c.is_ascii() || is_key)
    })
}

/// The policy of the terminal and the log: each character, and whether an escape stands for it. That is so for what hides
/// something and for what would start a new line or move the cursor.
pub fn with_escapes(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    with_hidden(text).map(|(c, is_hidden)| {
        // Line and paragraph separators.
        (c, is_hidden || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    })
}

/// Appends one character, escaped if needed.
pub fn push(out: &mut String, c: char, needs_escape: bool) {
    if needs_escape {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// The text on one line, for the terminal and the log.
pub fn escape_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (c, needs_escape) in with_escapes(text) {
        push(&mut out, c, needs_escape);
    }
    out
}

/// The text on one line, for an error text: hidden characters dropped, any run of white space made one space.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (c, is_hidden) in with_hidden(text) {
        if c.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !is_hidden {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The policy of the record: a space for each control character, as JSON writes six bytes for one. Whatever else hides
/// something stays, for the policy of the place where the text is shown.
pub(crate) fn without_controls(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(|c| if c.is_control() { ' ' } else { c })
}

/// The first `max` characters; the last of them is "…" if anything was cut. `max` is at least 1.
pub fn truncate(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(escape_line("a\nb\r\tc\u{1b}[2J\u{9b}\u{0}"), r"a\nb\r\tc\u{1b}[2J\u{9b}\u{0}");
        assert_eq!(escape_line("x\u{202e}gpj.exe\u{2028}y"), r"x\u{202e}gpj.exe\u{2028}y");
        assert_eq!(escape_line("te\u{61c}am \u{200b}\u{feff}b"), r"te\u{61c}am \u{200b}\u{feff}b");
        assert_eq!(escape_line("Zoë 👩‍💻 1️⃣ می‌خواهم 日本語 \\ \""), "Zoë 👩‍💻 1️⃣ می‌خواهم 日本語 \\ \"");
        assert_eq!(escape_line("ad\u{200d}min\u{fe0f}"), r"ad\u{200d}min\u{fe0f}");
        assert_eq!(escape_line("prod-1\u{fe0f} #\u{fe0f}"), r"prod-1\u{fe0f} #\u{fe0f}");
    }

    #[test]
    fn hidden_characters_are_dropped() {
        assert_eq!(one_line(" a\r\n\tb\u{0}\u{202e}c\u{200b}\u{61c} "), "a bc");
        assert_eq!(one_line("s3c\u{200d}r3t 👩‍💻"), "s3cr3t 👩‍💻");
    }

    #[test]
    fn what_unicode_calls_a_format_character_or_a_space_is_on_the_list() {
        // Signs that are drawn around the digits behind them.
        let drawn = "[\u{600}-\u{605}\u{6DD}\u{70F}\u{890}\u{891}\u{8E2}\u{110BD}\u{110CD}]";
        let hidden = regex::Regex::new(&format!(r"^[\p{{Cf}}\p{{Co}}\p{{Cc}}--{drawn}]$")).unwrap();
        let blank = regex::Regex::new(r"^[\p{Zs}\p{Zl}\p{Zp}]$").unwrap();
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let text = &*c.encode_utf8(&mut buffer);
            assert!(is_invisible(c) || is_blank(c) || !hidden.is_match(text), "{}", c.escape_unicode());
            assert!(is_blank(c) || !blank.is_match(text), "{}", c.escape_unicode());
        }
    }

    /// Of each kind that shows nothing by itself: format, blank, control and combining characters, and fillers.
    static UNSEEN: LazyLock<Vec<char>> = LazyLock::new(|| {
        let unseen = Regex::new(
            r"^[\p{Cf}\p{Co}\p{Cc}\p{Z}\p{M}\x{2800}\x{3164}\x{115F}\x{1160}\x{FFA0}\x{1D159}\x{FFFC}]$",
        );
        let unseen = unseen.unwrap();
        // Signs that are drawn around the digits behind them.
        let drawn =
            "\u{600}\u{601}\u{602}\u{603}\u{604}\u{605}\u{6DD}\u{70F}\u{890}\u{891}\u{8E2}\u{110BD}\u{110CD}";
        ('\0'..=char::MAX)
            .filter(|c| unseen.is_match(c.encode_utf8(&mut [0; 4])) && !drawn.contains(*c))
            .collect()
    });

    #[test]
    fn a_text_without_anything_to_see_is_as_good_as_empty() {
        assert!(!is_seen(""));
        // Private use is one kind, however many there are.
        for &c in UNSEEN.iter().filter(|c| **c < '\u{F0100}') {
            assert!(!is_seen(&format!("{c} {c}{c}\n")), "{}", c.escape_unicode());
            assert!(is_seen(&format!("{c}a")) && is_seen(&format!("数{c}")), "{}", c.escape_unicode());
        }
        for text in [
            "ok",
            ".",
            "می\u{200c}خواهم",
            "हिन्दी",
            "ประชุม",
            "👍",
            "❤\u{fe0f}",
            "👩\u{200d}💻",
            "1\u{fe0f}\u{20e3}",
            "e\u{301}",
            "\u{fffd}",
        ] {
            assert!(is_seen(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_mixture_of_them_is_seen(picks in proptest::collection::vec(any::<proptest::sample::Index>(), 1..12)) {
            let text: String = picks.iter().map(|pick| *pick.get(&UNSEEN)).collect();
            prop_assert!(!is_seen(&text), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn the_record_keeps_what_only_hides_and_no_control_characters() {
        let kept: String = without_controls("a\n\u{1b}b\u{202e}c\u{9b}").collect();
        assert_eq!(kept, "a  b\u{202e}c ");
    }
}
