//! Which file may import which: in every crate imports go down only, and none goes round in a circle.
//!
//! A re-export counts as an import of what it names. A file and those below it are parts of one idea, so what it takes from
//! them makes no circle. Tests are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{Source, production};

/// The layers of a crate from the top down. Names on one line may not import each other; a name is a folder or file
/// directly below `src`.
const LAYERS: &[(&str, &[&[&str]])] = &[
    ("access-core", &[&["plan"], &["render"], &["policy"], &["interaction"], &["record"], &["domain"]]),
    (
        "teleport-slack",
        &[
            &["main"],
            &["cli"],
            &["app"],
            &["interactions"],
            &["controller", "http"],
            &["review"],
            &["observe"],
            &["exit"],
            &["causes"],
            &["config", "supervise"],
            &["secret_shape"],
        ],
    ),
    // One layer: its files import each other, and none in a circle.
    ("slack-client", &[]),
    (
        "teleport-client",
        &[
            &["watcher"],
            &["listing"],
            &["decisions", "plugin_data", "requests", "review_support", "rights", "second_factor", "users"],
            &["events"],
            &["client"],
            &["observer"],
            &["error", "refusal"],
            &["connect", "denied", "identity", "visibility"],
            &["call", "broken", "address", "credentials", "pem", "signer"],
            &["convert", "kind", "text"],
        ],
    ),
    ("client-base", &[&["files", "tls"], &["acl"]]),
    // One layer, too.
    ("access-sim", &[]),
];

/// One import: from which file, of which module, both as paths below the crate, such as `policy::tally`.
type Import = (String, String);

/// The words of a Rust text without comments, strings and inline modules for tests: identifiers, `::`, and single signs.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if first == '"' {
            string_length(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'{'") || rest.starts_with("'}'") {
            3
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push(&rest[..end]);
            end
        } else if rest.starts_with("::") {
            words.push("::");
            2
        } else {
            if !first.is_whitespace() {
                words.push(&rest[..first.len_utf8()]);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    without_tests(words)
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Leaves out each item behind `#[cfg(test)]`.
fn without_tests(words: Vec<&str>) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            let mut depth = 0_usize;
            at += 7;
            while at < words.len() {
                match words[at] {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 && matches!(words[at - 1], "}" | ";") {
                    break;
                }
            }
            continue;
        }
        kept.push(words[at]);
        at += 1;
    }
    kept
}

/// The module that a file is, below its crate; empty for `lib.rs`.
fn module_of(path: &str) -> Vec<String> {
    let below = path.split_once("/src/").expect("a source file").1.trim_end_matches(".rs");
    let mut parts: Vec<_> = below.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// All paths in one text that lead to a module of this crate.
fn imports_of(source: &Source, krate: &str, modules: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let own = module_of(&source.path);
    let words = words(&source.text);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < words.len() {
        let before = &words[..at];
        let is_visibility = before.ends_with(&["pub", "("]) || before.ends_with(&["pub", "(", "in"]);
        let is_start = !is_visibility && before.last() != Some(&"::");
        let child = |word: &str| modules.contains(&[own.as_slice(), &[word.to_owned()]].concat());
        let base = match words[at] {
            _ if !is_start => None,
            "crate" | "self" | "super" => Some(own.clone()),
            word if word == krate.replace('-', "_") && words.get(at + 1) == Some(&"::") => Some(Vec::new()),
            word if child(word) && words.get(at + 1) == Some(&"::") => Some(own.clone()),
            _ => None,
        };
        match base {
            Some(base) => at = path_at(&words, at, base, modules, &mut found).max(at + 1),
            None => at += 1,
        }
    }
    found.remove(&own);
    found
}

/// Follows one path, also into its braces, and keeps the module that each of its ends lies in. Returns where it ended.
fn path_at(
    words: &[&str],
    mut at: usize,
    mut base: Vec<String>,
    modules: &BTreeSet<Vec<String>>,
    found: &mut BTreeSet<Vec<String>>,
) -> usize {
    let mut is_inside = true;
    while let Some(&word) = words.get(at) {
        match word {
            "{" => {
                at += 1;
                while words.get(at).is_some_and(|word| *word != "}") {
                    let end = path_at(words, at, base.clone(), modules, found);
                    at = if end == at { at + 1 } else { end };
                }
                return at + 1;
            }
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            _ if word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                let mut deeper = base.clone();
                deeper.push(word.to_owned());
                is_inside = is_inside && modules.contains(&deeper);
                if is_inside {
                    base = deeper;
                }
            }
            _ => break,
        }
        at += 1;
        if words.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.insert(base);
    at
}

/// Every import inside a crate, from file to file.
fn imports(krate: &str) -> Vec<Import> {
    imports_in(krate, &production(krate))
}

fn imports_in(krate: &str, sources: &[Source]) -> Vec<Import> {
    let modules: BTreeSet<_> = sources.iter().map(|source| module_of(&source.path)).collect();
    let mut all = Vec::new();
    for source in sources {
        let own = module_of(&source.path);
        // The root only lists what there is.
        if own.is_empty() {
            continue;
        }
        let targets = imports_of(source, krate, &modules).into_iter().filter(|target| !target.is_empty());
        all.extend(targets.map(|target| (own.join("::"), target.join("::"))));
    }
    all
}

/// The imports that go up, and the names that stand in no layer.
fn upward(layers: &[&[&str]], imports: &[Import]) -> Vec<String> {
    let top = |path: &str| path.split("::").next().unwrap_or(path).to_owned();
    let rank = |name: &str| layers.iter().position(|layer| layer.contains(&name));
    let mut wrong = Vec::new();
    for (from, to) in imports {
        let (a, b) = (top(from), top(to));
        match (rank(&a), rank(&b)) {
            (None, _) => wrong.push(format!("{a} stands in no layer")),
            (_, None) => wrong.push(format!("{b} stands in no layer")),
            (Some(_), Some(_)) if a == b => {}
            (Some(high), Some(low)) if high < low => {}
            _ => wrong.push(format!("{from} imports {to}")),
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// Groups of files that import each other in a circle.
fn circles(imports: &[Import]) -> Vec<BTreeSet<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let is_part =
        |(from, to): &&Import| to.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with("::"));
    for (from, to) in imports.iter().filter(|import| !is_part(import)) {
        next.entry(from).or_default().insert(to);
    }
    let reached = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
        while let Some(one) = open.pop() {
            if seen.insert(one) {
                open.extend(next.get(one).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<_, _> = next.keys().map(|from| (*from, reached(from))).collect();
    let mut groups = Vec::new();
    for (from, seen) in &reach {
        let both = |to: &&&str| reach.get(**to).is_some_and(|back| back.contains(from));
        let group: BTreeSet<String> = seen.iter().filter(both).map(|to| (*to).to_owned()).collect();
        if !group.is_empty() && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

#[test]
fn imports_go_down_the_layers_only() {
    let wrong: Vec<_> = LAYERS
        .iter()
        .filter(|(_, layers)| !layers.is_empty())
        .flat_map(|(krate, layers)| upward(layers, &imports(krate)))
        .collect();
    assert!(wrong.is_empty(), "imports go up the layers:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles: Vec<_> = LAYERS.iter().flat_map(|(krate, _)| circles(&imports(krate))).collect();
    assert!(circles.is_empty(), "files import each other in a circle: {circles:#?}");
}

#[test]
fn an_upward_import_a_circle_and_a_re_export_are_seen() {
    let file =
        |path: &str, text: &str| Source { path: format!("crates/x/src/{path}"), text: text.to_owned() };
    let layers: &[&[&str]] = &[&["high"], &["low"]];
    let wrong = |low: &str| {
        let high = file("high.rs", "use crate::low::{one::{self, A}, B};\npub fn f() {}");
        let sources = [
            file("lib.rs", "mod high; mod low;"),
            high,
            file("low/mod.rs", low),
            file("low/one.rs", "pub struct A;"),
        ];
        let imports = imports_in("x", &sources);
        (upward(layers, &imports).len(), circles(&imports).len())
    };
    assert_eq!(wrong("pub struct B;"), (0, 0));
    assert_eq!(wrong("// use crate::high::f;\nconst S: &str = \"crate::high::f\";"), (0, 0));
    assert_eq!(wrong("#[cfg(test)]\nmod tests { use crate::high::f; }"), (0, 0));
    assert_eq!(wrong("pub use crate::high::f;"), (1, 1));
    assert_eq!(wrong("fn g() { crate::high::f() }"), (1, 1));
    assert_eq!(wrong("fn g() { super::high::f() }"), (1, 1));
    assert_eq!(wrong("use one::A;"), (0, 0));
    assert_eq!(wrong("pub(in crate::high) struct B;"), (0, 0));
}
