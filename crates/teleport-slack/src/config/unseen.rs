//! Mistakes in characters that a reader does not see, or takes for others. `access_core` knows which those are.

use access_core::domain::look_alike::LookAlike;
use access_core::domain::text::is_seen;
use access_core::domain::unseen::{Unseen, as_seen};

use super::report::{Report, quote, quote_whole};

/// Whether the text has such a character; then it is reported.
pub(super) fn report_unseen(report: &mut Report, line: usize, key: &str, text: &str) -> bool {
    let Some(unseen) = Unseen::in_text(text) else {
        let is_mark = !text.trim().is_empty() && !is_seen(text);
        if is_mark {
            let cause = format!("{}: there is no letter in it", quote(text));
            report.error(Some(line), key, cause, "type it again");
        }
        return is_mark;
    };
    report.error(Some(line), key, format!("{}: {unseen}", quote(text)), write_as_seen(text, &as_seen(text)));
    true
}

/// Warns of a letter that looks like another, in a name that something compares.
pub(super) fn warn_of_look_alike(report: &mut Report, line: usize, key: &str, name: &str) {
    if let Some(found) = LookAlike::first_in(name) {
        let remedy = format!("write {}, unless the name really has it", quote(&found.seen));
        report.warn(Some(line), key, format!("{}: {found}", quote(name)), remedy);
    }
}

/// What to write instead of a text that its reader takes for `seen`.
pub(super) fn write_as_seen(text: &str, seen: &str) -> String {
    let spaces = |text: &str| text.matches(' ').count();
    match quote_whole(seen) {
        // Whether a space is meant there, only the operator knows.
        _ if seen.contains(char::REPLACEMENT_CHARACTER) => "type it again".to_owned(),
        _ if spaces(seen) > spaces(text) => "type it again, with an ordinary space there or none".to_owned(),
        Some(quoted) if !seen.is_empty() => format!("write {quoted}"),
        _ => "type it again".to_owned(),
    }
}
