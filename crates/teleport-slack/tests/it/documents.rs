//! What `docs/plugin-data.md` says is stored, against the code that stores it; and that Markdown's tables are tables.

use std::collections::BTreeSet;

use crate::rules::{production, repository_root};
use crate::words::files;

fn page() -> String {
    std::fs::read_to_string(repository_root().join("docs/plugin-data.md")).unwrap()
}

/// All production code below one folder of a crate.
fn source(krate: &str, folder: &str) -> String {
    let path = format!("crates/{krate}/src/{folder}");
    let found = production(krate).into_iter().filter(|source| source.path.starts_with(&path));
    let text: Vec<_> = found.map(|source| source.text).collect();
    assert!(!text.is_empty(), "there is no {path}");
    text.join("\n")
}

/// The words in back-ticks of one table cell.
fn ticked(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The first cells of the rows below the header whose first cell is `header`.
fn first_column(page: &str, header: &str) -> BTreeSet<String> {
    let rows = page.lines().skip_while(|line| !line.starts_with(&format!("| {header} |"))).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| line.split('|').nth(1).unwrap());
    cells.flat_map(ticked).collect()
}

/// The values of the string constants in a text whose names are all capitals.
fn constants(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \""));
    lines.filter_map(|(_, value)| Some(value.split_once('"')?.0.to_owned())).collect()
}

#[test]
fn plugin_data_page_lists_exactly_the_keys_of_the_code() {
    let ours = constants(&source("access-core", "record/"));
    let revision = constants(&source("teleport-client", "plugin_data.rs"));
    let mut expected: BTreeSet<_> =
        ours.into_iter().chain(revision).filter(|key| key.starts_with("x_")).collect();
    assert_eq!(expected.len(), 11, "keys moved to another file: {expected:?}");
    let go_plugin = constants(&source("access-core", "record/go.rs"));
    assert_eq!(go_plugin.len(), 9, "keys moved to another file: {go_plugin:?}");
    expected.extend(go_plugin);
    assert_eq!(first_column(&page(), "key"), expected);
}

/// The JSON names of a structure's fields.
fn json_fields(text: &str, name: &str) -> BTreeSet<String> {
    let start = text.find(&format!("struct {name} {{")).unwrap_or_else(|| panic!("there is no {name}"));
    let body = text[start..].split_once('{').unwrap().1.split_once("\n}").unwrap().0;
    let mut fields = BTreeSet::new();
    let mut renamed = None;
    let mut is_skipped = false;
    for line in body.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[serde(") {
            renamed = attribute
                .split_once("rename = \"")
                .map(|(_, rest)| rest.split_once('"').unwrap().0.to_owned());
            is_skipped = attribute.starts_with("skip)");
        } else if let Some((field, _)) = line.split_once(": ").filter(|_| !line.starts_with("//")) {
            let field = field.rsplit(' ').next().unwrap().to_owned();
            let field = renamed.take().unwrap_or(field);
            if !std::mem::take(&mut is_skipped) {
                fields.insert(field);
            }
        }
    }
    fields
}

#[test]
fn plugin_data_page_lists_exactly_the_json_fields_of_the_code() {
    let page = page();
    let core = source("access-core", "");
    for name in ["DeliveryJson", "Claim", "InDoubtPostJson", "VotesJson", "Vote", "UnnotifiedReviewers"] {
        assert_eq!(first_column(&page, &format!("`{name}`")), json_fields(&core, name), "{name}");
    }
    let request = page.split_once("The request of `x_request`: ").unwrap().1;
    let listed: BTreeSet<_> = ticked(request.split_once('.').unwrap().0).collect();
    assert_eq!(listed, json_fields(&core, "AccessRequest"));
    for (inside, name) in [("`s`", "DisplayedState"), ("`w`", "Version")] {
        let rows = page.lines().filter(|line| line.starts_with(&format!("| {inside} |")));
        let fields = json_fields(&core, name);
        let is_listed = rows.map(|row| ticked(row).skip(1).collect::<BTreeSet<_>>()).any(|row| row == fields);
        assert!(is_listed, "no row {inside} lists the fields of {name}: {fields:?}");
    }
}

/// systemd copies credentials once, at the start (systemd.exec(5)).
#[test]
fn operators_read_that_credentials_of_systemd_do_not_change_while_a_unit_runs() {
    let text = std::fs::read_to_string(repository_root().join("docs/operations.md")).unwrap();
    let paragraphs: Vec<_> = text.split("\n\n").filter(|part| part.contains("`LoadCredential=`")).collect();
    let [one] = paragraphs.as_slice() else { panic!("{paragraphs:?}") };
    let one = one.replace('\n', " ");
    for words in ["never change under a running unit", "restart"] {
        assert!(one.contains(words), "{words}: {one}");
    }
    let row = text.lines().find(|line| line.starts_with('|') && line.contains("`LoadCredential=NAME:PATH`"));
    assert!(row.unwrap().contains("stay as they were at the start"), "{row:?}");
}

/// The lines, counted from 1, where a table begins whose second row is not the delimiter row of as many cells. Without
/// one, GitHub draws the source text.
fn undrawn_tables(text: &str) -> Vec<usize> {
    let mut undrawn = Vec::new();
    let mut is_code = false;
    let mut is_table = false;
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    for (index, line) in lines.iter().enumerate() {
        is_code ^= line.starts_with("```");
        let was_table = std::mem::replace(&mut is_table, !is_code && line.starts_with('|'));
        if is_table && !was_table {
            let next = lines.get(index + 1).copied().unwrap_or_default();
            let is_delimiter = next.contains('-') && next.chars().all(|c| "|-: ".contains(c));
            if !is_delimiter || cells(next) != cells(line) {
                undrawn.push(index + 1);
            }
        }
    }
    undrawn
}

#[test]
fn every_markdown_table_has_its_delimiter_row() {
    let mut undrawn = Vec::new();
    let mut tables = 0;
    for (path, text) in files().into_iter().filter(|(path, _)| path.ends_with(".md")) {
        tables += text.matches("\n|---").count();
        undrawn.extend(undrawn_tables(&text).into_iter().map(|line| format!("{path}:{line}")));
    }
    assert!(tables > 20, "only {tables} tables were found");
    assert!(undrawn.is_empty(), "no delimiter row: {undrawn:?}");
}

#[test]
fn one_table_without_its_delimiter_row_is_found() {
    let drawn = "| a | b |\n|---|:--|\n| `x\\|y` | 2 |\n\n```text\n| no table |\n```\n";
    assert_eq!(undrawn_tables(drawn), Vec::<usize>::new());
    assert_eq!(undrawn_tables("# A\n\n| a | b |\n| 1 | 2 |\n"), [3]);
    assert_eq!(undrawn_tables("| a | b |\n|---|\n\n| a |"), [1, 4]);
}
