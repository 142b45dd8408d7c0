//! Texts of other programs, made fit for our own.

use access_core::domain::text::{one_line, truncate};

/// How much of a foreign text goes into one of ours, in characters.
const MAX_QUOTE_CHARS: usize = 400;

/// A foreign text, fit for a log line: on one line, shortened, and without what hides something.
pub(super) fn quote(text: &str) -> String {
    truncate(&one_line(text), MAX_QUOTE_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_hides_nothing_and_is_short() {
        assert_eq!(quote("bad\r\n\u{1b}[2J \u{202e}eman\u{200b}"), "bad [2J eman");
        let long = quote(&"🔥".repeat(1_000));
        assert!(long.chars().count() == MAX_QUOTE_CHARS && long.ends_with('…'));
    }
}
