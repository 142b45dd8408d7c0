//! Which line has the key or table first that another line has again, however the two are written.

use toml::de::{DeTable, DeValue};

/// A line that begins a table or gives a key, with the whole path.
struct Place {
    line: usize,
    path: Vec<String>,
    /// Each `[[…]]` begins another table, whose keys are no repetition.
    is_array: bool,
}

/// The line that has first what the line `second` has again.
pub(super) fn first_line_of(text: &str, second: usize) -> Option<usize> {
    let mut places = Vec::new();
    let mut table = Vec::new();
    for (index, line) in text.lines().take(second).enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        let (header, is_array) = match line.strip_prefix("[[") {
            Some(rest) => (rest.split("]]").next(), true),
            None => (line.strip_prefix('[').and_then(|rest| rest.split(']').next()), false),
        };
        let path = match header.and_then(path_of) {
            Some(path) => {
                table = path.clone();
                path
            }
            None => match line.split_once('=').and_then(|(key, _)| path_of(key)) {
                Some(key) => table.iter().cloned().chain(key).collect(),
                None => continue,
            },
        };
        places.push(Place { line: index + 1, path, is_array });
    }
    let wanted = places.pop().filter(|place| place.line == second)?;
    let begins = places.iter().rposition(|place| place.is_array && wanted.path.starts_with(&place.path));
    let (_, same_table) = places.split_at(begins.map_or(0, |header| header + 1));
    same_table.iter().find(|place| place.path.starts_with(&wanted.path)).map(|place| place.line)
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
