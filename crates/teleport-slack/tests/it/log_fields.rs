//! The names of fields in log lines are those of `docs/operations.md`: one name for one thing.

use std::collections::BTreeSet;

use crate::rules::{Source, production, repository_root};

/// The macros that make a line or a span.
const MACROS: [&str; 8] =
    ["error!(", "warn!(", "info!(", "debug!(", "trace!(", "info_span!(", "debug_span!(", "error_span!("];

/// The fields that a source logs.
fn fields(source: &Source) -> BTreeSet<String> {
    let code: Vec<_> =
        source.production_lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for name in MACROS {
        for (at, _) in code.match_indices(name) {
            let is_longer = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !is_longer {
                found.extend(arguments(&code[at + name.len()..]).filter_map(|argument| field(&argument)));
            }
        }
    }
    found
}

/// The arguments before the text of the line.
fn arguments(rest: &str) -> impl Iterator<Item = String> {
    let (mut arguments, mut depth) = (vec![String::new()], 0);
    for c in rest.chars() {
        match c {
            '"' if depth == 0 && arguments.last().unwrap().trim().is_empty() => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(c);
    }
    arguments.into_iter()
}

/// `%request`, `request = %id`: its name. `parent: None` is no field.
fn field(argument: &str) -> Option<String> {
    let argument = argument.trim().trim_start_matches(['%', '?']);
    let end = argument.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(argument.len());
    let (name, rest) = argument.split_at(end);
    let is_field = rest.is_empty() || rest.trim_start().starts_with('=');
    (is_field && !name.is_empty()).then(|| name.to_owned())
}

/// The words in back-ticks of the first cells below this header.
fn first_column(header: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(repository_root().join("docs/operations.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with(&format!("| {header} |"))).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| line.split('|').nth(1).unwrap());
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    words.collect()
}

#[test]
fn each_field_has_the_name_that_the_documents_give_it() {
    let documented = first_column("field");
    let mut used = BTreeSet::new();
    for krate in ["teleport-slack", "slack-client", "teleport-client", "client-base"] {
        for source in production(krate) {
            let names = fields(&source);
            let unknown: Vec<_> = names.difference(&documented).collect();
            assert!(
                unknown.is_empty(),
                "{} logs {unknown:?}: use a name of the table of fields in docs/operations.md, or add one for a new thing",
                source.path
            );
            used.extend(names);
        }
    }
    let unused: Vec<_> = documented.difference(&used).collect();
    assert!(unused.is_empty(), "no line has the documented fields {unused:?}");
}

#[test]
fn a_field_is_found_however_it_is_written() {
    let text = "fn f() {\n    warn!(request = %id, %channel, left, took_ms = took(a, b), \"x {y}\", z);\n    \
                tracing::info!(\n        parent: None,\n        ?phase,\n        \"y\"\n    );\n    debug!(\"{why}\");\n    \
                // warn!(none, \"\");\n}\n";
    let source = Source { path: "x.rs".to_owned(), text: text.to_owned() };
    let found: Vec<_> = fields(&source).into_iter().collect();
    assert_eq!(found, ["channel", "left", "phase", "request", "took_ms"]);
}

#[test]
fn each_signal_is_documented_and_sent_by_a_test() {
    let documented = first_column("signal");
    let signals = ["HUP", "INT", "PIPE", "QUIT", "TERM", "USR1", "USR2"];
    assert_eq!(documented.iter().map(|name| name.trim_start_matches("SIG")).collect::<Vec<_>>(), signals);
    let tests = std::fs::read_to_string(repository_root().join("crates/teleport-slack/tests/it/shutdown.rs"))
        .unwrap();
    for name in signals {
        assert!(tests.contains(&format!("signal(\"{name}\")")), "no test sends SIG{name}");
    }
}
