//! Foreign text made fit to be shown on one line: no control characters, nothing invisible or reordering, no
//! line breaks, no back-tick, no pile of combining marks, and nothing that imitates ours ([`super::disarm`]).
//!
//! What cannot be shown honestly becomes one visible `�` instead of vanishing, so that `ad<invisible>min` is
//! never read as `admin`. Escaping for Slack and limits of length are [`super::mrkdwn`]'s work.

use unicode_segmentation::UnicodeSegmentation;

use super::disarm::{unstyled, without_labels};
use crate::domain::text;

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
    for (c, is_hidden) in text::with_hidden(text) {
        if out.len() > max_bytes {
            out.push(ELLIPSIS);
            break;
        }
        match c {
            _ if is_hidden => {
                if !out.ends_with(PLACEHOLDER) {
                    out.push(PLACEHOLDER);
                }
            }
            '`' => out.push(BACKTICK_LOOKALIKE),
            '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                if !out.is_empty() && !out.ends_with(LINE_BREAK) {
                    out.truncate(out.trim_end_matches(' ').len());
                    out.push_str(LINE_BREAK);
                }
            }
            c if text::is_blank(c) => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c => out.push(unstyled(c)),
        }
    }
    out
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

    /// White space aside, which each policy treats in its own way.
    #[test]
    fn the_terminal_error_texts_and_slack_agree_on_what_is_hidden() {
        let neighbors = [("a", "b"), ("字", "字"), ("1", "é"), ("é\u{FE0F}", "é")];
        // Of the planes without assigned characters and of the ideographs and syllables, which are alike, some.
        let is_alike = |c: char| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{DFFFF}' | '\u{E1000}'..);
        let is_assigned = |c: char| !is_alike(c);
        let is_tried = |c: &char| is_assigned(*c) || u32::from(*c) % 61 == 0;
        for c in (char::MIN..=char::MAX).filter(|c| is_tried(c) && !text::is_blank(*c) && *c != PLACEHOLDER) {
            for (before, after) in neighbors {
                let text = format!("{before}{c}{after}");
                let is_escaped = text::escape_line(&text) != text;
                let is_dropped = text::one_line(&text) != text;
                let is_replaced = flatten(&text, usize::MAX).contains(PLACEHOLDER);
                assert_eq!(
                    (is_escaped, is_dropped),
                    (is_replaced, is_replaced),
                    "U+{:04X}: {text:?}",
                    u32::from(c)
                );
            }
        }
    }

    #[test]
    fn code_spans_cannot_be_opened() {
        assert_sanitized("``` `x` ", "ˋˋˋ ˋxˋ");
    }

    #[test]
    fn stacked_marks_are_capped() {
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
