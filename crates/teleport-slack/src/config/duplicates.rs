//! A key or table that the file has twice: which lines have it, however they are written, and what helps.

use toml::de::{DeTable, DeValue};

use super::schema;

/// The only table that a file can have several times.
const RULES: &str = schema::RULE.path;

/// How a line gives what it gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `key = …`
    Key,
    /// `[table]`
    Table,
    /// `[[table]]`: each begins another table, whose keys are no repetition.
    Element,
}

/// A line that begins a table or gives a key, with the whole path.
struct Place {
    line: usize,
    path: Vec<String>,
    shape: Shape,
}

/// What to do about what the line `second` has again; `None` if no line before has it.
pub(super) fn remedy(text: &str, second: usize) -> Option<String> {
    let places = places(text);
    let index = places.iter().position(|place| place.line == second)?;
    let (before, rest) = places.split_at(index);
    let wanted = rest.first()?;
    if let Some(lines) = single_rules(&places, wanted) {
        let word = if lines.len() == 1 { "line" } else { "lines" };
        let lines = lines.join(" and ");
        return Some(format!(
            "each rule begins with [[{RULES}]]: write that, with two brackets, in {word} {lines}"
        ));
    }
    let in_same_element = |place: &&Place| {
        place.shape == Shape::Element && wanted.path.starts_with(&place.path) && place.path != wanted.path
    };
    let begins = before.iter().rposition(|place| in_same_element(&place));
    let (_, same_table) = before.split_at(begins.map_or(0, |header| header + 1));
    let first = same_table.iter().find(|place| place.path.starts_with(&wanted.path))?;
    let line = first.line;
    Some(match wanted.shape {
        Shape::Key if first.path == wanted.path => {
            format!("the same key is in line {line}; keep one of them")
        }
        _ => format!(
            "the same table begins in line {line}; write all its keys below one line [{}]",
            wanted.path.join(".")
        ),
    })
}

/// The lines that begin a rule with one bracket, if this line begins another rule, or is in one.
fn single_rules(places: &[Place], wanted: &Place) -> Option<Vec<String>> {
    let is_rule = |path: &[String]| path.join(".") == RULES;
    let is_in_rule = match wanted.shape {
        Shape::Key => wanted.path.split_last().is_some_and(|(_, table)| is_rule(table)),
        Shape::Table | Shape::Element => is_rule(&wanted.path),
    };
    let headers = || places.iter().filter(|place| place.shape != Shape::Key && is_rule(&place.path));
    let single: Vec<_> = headers().filter(|place| place.shape == Shape::Table).collect();
    let lines = single.iter().map(|place| place.line.to_string()).collect();
    (is_in_rule && headers().count() > 1 && !single.is_empty()).then_some(lines)
}

/// The lines of the file, in order, as far as one can be read by itself.
fn places(text: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut table = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        let (header, shape) = match line.strip_prefix("[[") {
            Some(rest) => (rest.split("]]").next(), Shape::Element),
            None => (line.strip_prefix('[').and_then(|rest| rest.split(']').next()), Shape::Table),
        };
        let (path, shape) = match header.and_then(path_of) {
            Some(path) => {
                table = path.clone();
                (path, shape)
            }
            None => match line.split_once('=').and_then(|(key, _)| path_of(key)) {
                Some(key) => (table.iter().cloned().chain(key).collect(), Shape::Key),
                None => continue,
            },
        };
        places.push(Place { line: index + 1, path, shape });
    }
    places
}

/// The parts of a key, without quotes.
fn path_of(key: &str) -> Option<Vec<String>> {
    let text = format!("{key} = 0");
    let parsed = DeTable::parse(&text).ok()?;
    let (mut table, mut path) = (parsed.get_ref(), Vec::new());
    loop {
        let (key, value) = table.iter().next()?;
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}
