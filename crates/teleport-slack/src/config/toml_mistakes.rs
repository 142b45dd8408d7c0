//! Mistakes in the TOML itself, and what to do about each, from what the parser says and the lines around it.

use access_core::domain::unseen::Unseen;

use super::lines::Lines;
use super::report::Report;
use crate::secret_shape::may_be_shown;

/// Reports what the parser found. It goes on after a mistake; what it then finds in the same line follows from the first.
pub(super) fn report_mistakes(errors: &[toml::de::Error], text: &str, lines: &Lines, report: &mut Report) {
    let mut last = None;
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        let line = lines.line(offset);
        if last.replace(line) != Some(line) {
            let (cause, remedy) = explain(error.message(), text, lines, offset);
            let cause = format!("not valid TOML, column {}: {cause}", lines.column(text, offset));
            report.key_error(Some(line), "", cause, remedy);
        }
    }
}

fn explain(message: &str, text: &str, lines: &Lines, offset: usize) -> (String, String) {
    let first_line = |from: usize| text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let (rest, start) = (first_line(offset), lines.start(lines.line(offset)));
    if let Some(unseen) = rest.chars().next().and_then(Unseen::of) {
        let cause = format!("{}, stands outside of quotes", unseen.description());
        return (cause, "delete this character, or type a space in its place".to_owned());
    }
    let shown = if may_be_shown(message) { message } else { "a mistake that is not shown" };
    let remedy = match first_of_duplicate(message, text, start) {
        Some(first) => {
            format!("the same key or table is in line {}; keep one of them", lines.line(first))
        }
        None => toml_remedy(message, first_line(start), rest).to_owned(),
    };
    (shown.to_owned(), remedy)
}

/// Where the line begins that has the key or table first which the line at `second` has again, if that is the mistake and
/// both are written alike.
fn first_of_duplicate(message: &str, text: &str, second: usize) -> Option<usize> {
    if !message.contains("duplicate key") {
        return None;
    }
    let name = |line: &'_ str| match line.trim_start() {
        header if header.starts_with('[') => header.split('#').next().map(|header| header.trim().to_owned()),
        entry => entry.split_once('=').map(|(key, _)| key.trim().to_owned()),
    };
    let (before, rest) = text.split_at_checked(second)?;
    let wanted = name(rest.lines().next()?)?;
    let is_table = wanted.starts_with('[');
    let mut end = before.len();
    for line in before.split_inclusive('\n').rev() {
        end -= line.len();
        match name(line) {
            Some(found) if found == wanted => return Some(end),
            // The table of the key begins here.
            Some(found) if found.starts_with('[') && !is_table => return None,
            _ => {}
        }
    }
    None
}

/// What to do about a mistake in a line, of which `rest` begins where the parser stumbled.
fn toml_remedy(message: &str, line: &str, rest: &str) -> &'static str {
    let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    if line.contains(['“', '”', '„', '‘', '’']) {
        "write straight quotes (\") in place of the curved ones"
    } else if message.contains("escape") || line.contains('\\') && line.contains('"') {
        "put the text in single quotes, or write each backslash twice"
    } else if matches!(word.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off") {
        "write true or false, in small letters and without quotes"
    } else if message.contains("must be quoted")
        || rest.starts_with(char::is_alphabetic) && message.contains("float")
    {
        "put the text in double quotes"
    } else if message.contains("duplicate key") {
        "the same key or table is written twice; keep one of them"
    } else if message.contains("key with no value") {
        "write key = \"value\", or start the line with # if it is a comment"
    } else {
        "look for a missing quote, bracket or comma here or in the line before"
    }
}
