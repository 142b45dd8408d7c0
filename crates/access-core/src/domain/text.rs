//! External text made safe to show on the terminal and in the log, and cut to a length.
//!
//! Characters that move the cursor, start a line or change the reading direction are escaped. Slack has rules of its
//! own; see [`crate::render`].

/// Whether a character is shown as an escape instead of itself.
pub fn needs_escape(c: char) -> bool {
    c.is_control()
        // Line and paragraph separators.
        || matches!(c, '\u{2028}' | '\u{2029}')
        // Marks that turn the reading direction and so can disguise the text around them.
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends one character, escaped if needed.
pub fn push_escaped(out: &mut String, c: char) {
    if needs_escape(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// The text on one line.
pub fn escape_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut out, c);
    }
    out
}

/// The first `max` characters; the last of them is "…" if anything was cut.
pub(crate) fn truncate(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(escape_line("a\nb\r\tc\u{1b}[2J\u{9b}\u{0}"), r"a\nb\r\tc\u{1b}[2J\u{9b}\u{0}");
        assert_eq!(escape_line("x\u{202e}gpj.exe\u{2028}y"), r"x\u{202e}gpj.exe\u{2028}y");
        assert_eq!(escape_line("Zoë 👩‍💻 日本語 \\ \""), "Zoë 👩‍💻 日本語 \\ \"");
    }
}
