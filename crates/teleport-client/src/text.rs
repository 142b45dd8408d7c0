//! Texts of other programs, made fit for our own.

/// How much of a foreign text goes into one of ours, in characters.
const MAX_QUOTE_CHARS: usize = 400;

/// A foreign text, fit for a log line: shortened and without control characters.
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String =
        text.chars().take(MAX_QUOTE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_QUOTE_CHARS).is_some() {
        quoted.push('…');
    }
    quoted
}
