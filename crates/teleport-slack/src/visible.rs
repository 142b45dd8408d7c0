//! Text from outside made safe to show: what would move the cursor, start a new line or turn the reading direction
//! is escaped.
//!
//! For the terminal and the log. Slack has its own rules; see `access-core`'s rendering.

/// Whether a character is shown as an escape instead of itself.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        // Line and paragraph separators.
        || matches!(c, '\u{2028}' | '\u{2029}')
        // Marks that turn the reading direction and so can disguise the text around them.
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends one character, escaped if needed.
pub(crate) fn push(out: &mut String, c: char) {
    if is_hidden(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// The text on one line.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_deceives_is_escaped() {
        assert_eq!(line("a\nb\r\tc\u{1b}[2J\u{9b}\u{0}"), r"a\nb\r\tc\u{1b}[2J\u{9b}\u{0}");
        assert_eq!(line("x\u{202e}gpj.exe\u{2028}y"), r"x\u{202e}gpj.exe\u{2028}y");
        assert_eq!(line("Zoë 👩‍💻 日本語 \\ \""), "Zoë 👩‍💻 日本語 \\ \"");
    }
}
