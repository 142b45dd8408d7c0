//! Mistakes in the TOML itself, and what to do about each, from what the parser says and the lines around it.

use std::collections::BTreeMap;

use access_core::domain::unseen::Unseen;

use super::duplicates;
use super::lines::Lines;
use super::report::Report;
use crate::secret_shape::may_be_shown;

/// Reports what the parser found. It goes on after a mistake; what else it finds in the same line follows from the first.
pub(super) fn report_mistakes(errors: &[toml::de::Error], text: &str, lines: &Lines, report: &mut Report) {
    let mut by_line = BTreeMap::new();
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        let first = by_line.entry(lines.line(offset)).or_insert((offset, error.message()));
        if offset < first.0 {
            *first = (offset, error.message());
        }
    }
    for (line, (offset, message)) in by_line {
        let (column, cause, remedy) = explain(message, text, lines, offset);
        report.key_error(Some(line), "", format!("not valid TOML, column {column}: {cause}"), remedy);
    }
}

/// The column, the cause and the remedy.
fn explain(message: &str, text: &str, lines: &Lines, offset: usize) -> (usize, String, String) {
    let line = lines.line(offset);
    let start = lines.start(line);
    let whole = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    if let Some((place, unseen)) = unseen_outside_quotes(whole, offset - start, line == 1) {
        let cause = format!("{}, stands outside of quotes", unseen.description());
        let remedy = "delete this character, or type a space in its place".to_owned();
        return (place, cause, remedy);
    }
    let shown = if may_be_shown(message) { message } else { "a mistake that is not shown" };
    let remedy = message.contains("duplicate key").then(|| duplicates::remedy(text, line)).flatten();
    let remedy = remedy.unwrap_or_else(|| {
        toml_remedy(message, whole, whole.get(offset - start..).unwrap_or_default()).to_owned()
    });
    (lines.column(text, offset), shown.to_owned(), remedy)
}

/// The first such character of the line up to the place where the parser stumbled, unless a text in quotes begins before.
/// The mark at the beginning of a file is none.
fn unseen_outside_quotes(line: &str, at: usize, is_first: bool) -> Option<(usize, Unseen)> {
    let chars = line.char_indices().enumerate();
    let before = chars.take_while(|(_, (index, c))| *index <= at && !matches!(c, '"' | '\'' | '#'));
    before
        .filter(|(count, (_, c))| !(is_first && *count == 0 && *c == '\u{feff}') && *c != '\t')
        .find_map(|(count, (_, c))| Some((count + 1, Unseen::of(c)?)))
        .or_else(|| {
            let rest = line.get(at..)?;
            Some((line.get(..at)?.chars().count() + 1, Unseen::of(rest.chars().next()?)?))
        })
}

/// What to do about a mistake in a line, of which `rest` begins where the parser stumbled.
fn toml_remedy(message: &str, line: &str, rest: &str) -> &'static str {
    let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let begins = |sign: &str| line.trim_start().starts_with(sign);
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| begins(mark)) {
        "this is the mark of a merge conflict: keep one of the two versions, and delete the marks"
    } else if begins("<") {
        "this is a web page and no configuration; get the file again"
    } else if begins("{") {
        "this looks like JSON; in TOML a table is a line such as [slack], and each key a line below it: key = \"value\""
    } else if begins(";") || begins("//") {
        "start a comment with #"
    } else if line.trim_start().trim_start_matches(is_key).starts_with(':') {
        "write = in place of the colon: key = \"value\"; a table is a line such as [slack]"
    } else if line.contains(['“', '”', '„', '‘', '’']) {
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
        "the same key or table is written twice; write it once, with all that belongs to it"
    } else if message.contains("unquoted key") || message.contains("key with no value") && rest.contains('=')
    {
        "put the key in double quotes if it has other signs than letters, digits, - and _"
    } else if message.contains("key with no value") {
        "write key = \"value\", or start the line with # if it is a comment"
    } else {
        "look for a missing quote, bracket or comma here or in the line before"
    }
}
