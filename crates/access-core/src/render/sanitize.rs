//! Foreign text made fit to be shown on one line: no control characters, nothing invisible or reordering, no
//! line breaks, no back-tick, no pile of combining marks, and nothing that imitates ours ([`super::disarm`]).
//!
//! What cannot be shown honestly becomes one visible `�` instead of vanishing, so that `ad<invisible>min` is
//! never read as `admin`. Escaping for Slack and limits of length are [`super::mrkdwn`]'s work.

use unicode_segmentation::UnicodeSegmentation;

use super::disarm::{unstyled, without_labels};

/// Stands for a run of characters that are not shown.
const PLACEHOLDER: char = '\u{FFFD}';
/// Stands for one or more line breaks.
const LINE_BREAK: &str = " ↵ ";
/// A back-tick would open or close a code span; this letter looks alike and does neither.
const BACKTICK_LOOKALIKE: char = '\u{02CB}';
/// Scalars kept of one grapheme. The longest emoji sequences have eleven; more is marks piled over other lines.
const MAX_GRAPHEME_SCALARS: usize = 16;
/// Bytes read for each UTF-16 unit to be shown. UTF-8 needs three at most; the rest makes up for capped graphemes.
const BYTES_PER_UNIT: usize = 16;
/// Stands for text that was left out.
pub(super) const ELLIPSIS: char = '…';

enum Class {
    Plain,
    Backtick,
    Space,
    LineBreak,
    /// Zero-width joiner and non-joiner: needed in emoji and in Persian or Indic words.
    Joiner,
    /// Variation selectors: choose the emoji or ideograph form of the character before.
    Selector,
    Invisible,
}

/// `text` on one line, trimmed, with runs of white space made one space, and without our labels and signs. Where there is
/// markup, `&`, `<` and `>` are left to escape and emphasis to disarm. Cleaning a second time changes nothing.
///
/// White space is collapsed because a long run of it would push what follows to the start of a visual line.
/// Megabytes of which only `wanted` UTF-16 units will be shown are not cleaned to the end; then `…` stands for
/// the rest.
pub(super) fn sanitize(text: &str, wanted: usize) -> String {
    let flat = flatten(text.trim(), wanted.saturating_add(1).saturating_mul(BYTES_PER_UNIT));
    let mut out = String::with_capacity(flat.len());
    for grapheme in flat.graphemes(true) {
        let mut scalars = grapheme.chars();
        out.extend(scalars.by_ref().take(MAX_GRAPHEME_SCALARS));
        if scalars.next().is_some() {
            out.push(PLACEHOLDER);
        }
    }
    out.truncate(out.trim_end().len());
    without_labels(&out)
}

fn flatten(text: &str, max_bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max_bytes));
    let mut last = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > max_bytes {
            out.push(ELLIPSIS);
            break;
        }
        match class(c) {
            Class::Plain => out.push(unstyled(c)),
            Class::Backtick => out.push(BACKTICK_LOOKALIKE),
            Class::Space if out.is_empty() || out.ends_with(' ') => {}
            Class::Space => out.push(' '),
            Class::LineBreak if out.is_empty() || out.ends_with(LINE_BREAK) => {}
            Class::LineBreak => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push_str(LINE_BREAK);
            }
            Class::Joiner if may_join(last) && may_join(chars.peek().copied()) => out.push(c),
            Class::Selector if may_be_selected(last) => out.push(c),
            Class::Joiner | Class::Selector | Class::Invisible if out.ends_with(PLACEHOLDER) => {}
            Class::Joiner | Class::Selector | Class::Invisible => out.push(PLACEHOLDER),
        }
        last = Some(c);
    }
    out
}

/// Whether a joiner means something next to this character. It never does in ASCII, where it would only make
/// two different names look the same.
fn may_join(neighbour: Option<char>) -> bool {
    neighbour.is_some_and(|c| !c.is_ascii() && matches!(class(c), Class::Plain | Class::Selector))
}

/// Whether a variation selector may follow: keycaps are built on ASCII digits, everything else is not ASCII.
fn may_be_selected(before: Option<char>) -> bool {
    before.is_some_and(|c| {
        matches!(class(c), Class::Plain) && (!c.is_ascii() || c.is_ascii_digit() || matches!(c, '#' | '*'))
    })
}

fn class(c: char) -> Class {
    match c {
        '`' => Class::Backtick,
        '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::LineBreak,
        '\u{200C}' | '\u{200D}' => Class::Joiner,
        '\u{180B}'..='\u{180D}' | '\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => {
            Class::Selector
        }
        // The braille blank is a symbol to Unicode and a space to the eye.
        '\t' | '\u{2800}' => Class::Space,
        c if c.is_whitespace() => Class::Space,
        c if c.is_control() || is_invisible(c) => Class::Invisible,
        _ => Class::Plain,
    }
}

/// Characters without an appearance of their own, or with one that differs between systems.
fn is_invisible(c: char) -> bool {
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
        // Private use, unassigned planes, tags (a second alphabet that is never drawn).
        '\u{E000}'..='\u{F8FF}' | '\u{40000}'..='\u{10FFFF}' => true,
        // Non-characters.
        '\u{FDD0}'..='\u{FDEF}' => true,
        _ => u32::from(c) & 0xFFFE == 0xFFFE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_sanitized(text: &str, expected: &str) {
        let clean = sanitize(text, usize::MAX);
        assert_eq!(clean, expected);
        assert_eq!(sanitize(&clean, usize::MAX), clean, "cleaning twice changes something");
    }

    #[test]
    fn ordinary_text_is_untouched() {
        assert_sanitized("", "");
        assert_sanitized("because *of* <prod> & more", "because *of* <prod> & more");
        assert_sanitized("Störung \"db\" 🔥 数据库 _~", "Störung \"db\" 🔥 数据库 _~");
    }

    #[test]
    fn emoji_and_scripts_keep_their_joiners() {
        assert_sanitized("👩🏽‍❤️‍💋‍👨🏽 1️⃣ 👨‍👩‍👧‍👦", "👩🏽‍❤️‍💋‍👨🏽 1️⃣ 👨‍👩‍👧‍👦");
        assert_sanitized("می‌خواهم", "می‌خواهم");
        assert_sanitized("葛\u{E0100}", "葛\u{E0100}");
    }

    #[test]
    fn joiners_and_selectors_cannot_disguise_a_name() {
        assert_sanitized("ad\u{200D}min", "ad�min");
        assert_sanitized("ad\u{200C}\u{200C}min", "ad�min");
        assert_sanitized("admin\u{FE0F}", "admin�");
        assert_sanitized("👩\u{200D}", "👩�");
        assert_sanitized("é\u{FE0F}\u{FE0F}\u{E0101}", "é\u{FE0F}�");
    }

    #[test]
    fn every_line_break_becomes_a_visible_sign() {
        for line_break in
            ["\n", "\r", "\r\n", "\u{0B}", "\u{0C}", "\u{85}", "\u{2028}", "\u{2029}", " \n\t\n "]
        {
            assert_sanitized(&format!("a{line_break}*Status:* ✅"), "a ↵ *Status –* ✓");
        }
        assert_sanitized("\n\na\n", "a");
    }

    #[test]
    fn white_space_is_one_space() {
        assert_sanitized("\t a \u{A0}\u{3000}\u{2800}\u{2003}b \t", "a b");
        assert_sanitized("a \u{2800}", "a");
    }

    #[test]
    fn invisible_characters_become_a_placeholder() {
        assert_sanitized("ad\u{0}\u{1B}\u{7F}\u{9F}min", "ad�min");
        assert_sanitized("\u{202E}nimda\u{202C}", "�nimda�");
        assert_sanitized("a\u{2066}b\u{2069}c\u{200E}d\u{200F}e\u{61C}f", "a�b�c�d�e�f");
        assert_sanitized("a\u{200B}b\u{FEFF}c\u{AD}d\u{2060}e", "a�b�c�d�e");
        assert_sanitized("a\u{FFF9}b\u{FFFB}c\u{FFFF}d\u{1FFFE}e", "a�b�c�d�e");
        assert_sanitized("a\u{E000}b\u{E0041}c\u{10FFFF}d\u{3164}e", "a�b�c�d�e");
    }

    #[test]
    fn code_spans_cannot_be_opened() {
        assert_sanitized("``` `x` ", "ˋˋˋ ˋxˋ");
    }

    #[test]
    fn piles_of_marks_are_capped() {
        let zalgo = format!("a{}b", "\u{0301}".repeat(10_000));
        let clean = sanitize(&zalgo, usize::MAX);
        assert_eq!(clean.chars().count(), 16 + 2);
        assert!(clean.ends_with("�b"));
        assert_eq!(sanitize(&clean, usize::MAX), clean);
    }

    #[test]
    fn no_more_is_cleaned_than_can_be_shown() {
        for unit in ["a", "é", "字", "🔥", "👨‍👩‍👧‍👦", "\u{0301}", "a\n"] {
            let clean = sanitize(&unit.repeat(100_000), 100);
            assert!(clean.len() < 101 * BYTES_PER_UNIT + 30, "{unit:?}");
            assert!(clean.encode_utf16().count() > 100 || clean.ends_with(ELLIPSIS), "{unit:?}");
        }
    }

    #[test]
    fn hostile_megabytes_take_no_time() {
        for unit in ["🇩", "\u{0301}", "👩\u{200D}", "क्", "\u{200B}", "\n", "ᄀ", "\u{0D4E}"] {
            let text = unit.repeat(1_000_000 / unit.len());
            assert!(sanitize(&text, usize::MAX).len() <= text.len() * 2, "{unit:?}");
        }
    }
}
