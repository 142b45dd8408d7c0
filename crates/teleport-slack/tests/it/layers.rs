//! Which file may import which: in every crate imports go down only, and none goes round in a circle.
//!
//! A re-export counts as an import of what it names, and a name that is taken through one counts as taken from the file that
//! has it. A file and those below it are parts of one idea, so what it takes from them makes no circle; a crate's root is no
//! such idea. Tests are not looked at.

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
            &["app", "explain", "render"],
            &["check"],
            &["interactions", "status"],
            &["controller", "http"],
            &["review"],
            &["observe"],
            &["exit"],
            &["causes"],
            &["config", "supervise"],
            &["secret_shape"],
        ],
    ),
    (
        "slack-client",
        &[
            &["directory", "history", "lookup", "replies", "socket_mode", "usergroups", "validation"],
            &["client"],
            &["names"],
            &["cache", "callback_probe", "observer", "rate_limit", "response_url", "token"],
            &["transport"],
            &["objects"],
            &["api_url", "wire"],
            &["error", "redact"],
            &["broken", "error_codes", "method"],
            &["manifest", "remedy", "timings"],
        ],
    ),
    (
        "teleport-client",
        &[
            &["watcher"],
            &["listing", "right_probes"],
            &["decisions", "plugin_data", "requests", "review_support", "rights", "second_factor", "users"],
            &["events"],
            &["client"],
            &["observer"],
            &["error", "refusal"],
            &["connect"],
            &["denied", "identity", "visibility"],
            &[
                "call",
                "broken",
                "address",
                "credentials",
                "pem",
                "request_json",
                "resources",
                "route",
                "signer",
            ],
            &["convert", "kind", "text", "timings"],
        ],
    ),
    (
        "client-base",
        &[
            &["folders", "outbound"],
            &["files", "forward_proxy", "tls"],
            &["broken", "certificate"],
            &["tcp"],
            &["acl", "resolver"],
        ],
    ),
    // One layer: its files import each other, and none in a circle.
    ("access-sim", &[]),
];

/// One import: from which file, of which module, both as paths below the crate, such as `policy::tally`. The root is `ROOT`.
type Import = (String, String);

/// How `lib.rs`, or `main.rs` where there is none, is called. It stands in a layer only if something is taken from it.
const ROOT: &str = "crate";

/// A module, as the path below the crate.
type Module = Vec<String>;

/// By module: the name that it gives to something, and where that is from.
type Aliases = BTreeMap<Module, BTreeMap<String, Path>>;

/// A path that an import ends with: the module, and the names in it, mostly one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path {
    module: Module,
    names: Vec<String>,
}

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
fn module_of(path: &str) -> Module {
    let below = path.split_once("/src/").expect("a source file").1.trim_end_matches(".rs");
    let mut parts: Vec<_> = below.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// All paths in one text that lead to a module of this crate, and the names that it gives to them by `use`.
fn paths_of(source: &Source, krate: &str, modules: &BTreeSet<Module>) -> Vec<(Option<String>, Path)> {
    let own = module_of(&source.path);
    let words = words(&source.text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let before = &words[..at];
        let is_visibility = before.ends_with(&["pub", "("]) || before.ends_with(&["pub", "(", "in"]);
        let is_start = !is_visibility && before.last() != Some(&"::");
        let child = |word: &str| modules.contains(&[own.as_slice(), &[word.to_owned()]].concat());
        let base = match words[at] {
            _ if !is_start => None,
            "crate" | "self" | "super" => Some((at, own.clone())),
            word if word == krate.replace('-', "_") && words.get(at + 1) == Some(&"::") => {
                Some((at + 2, Vec::new()))
            }
            word if child(word) && words.get(at + 1) == Some(&"::") => Some((at, own.clone())),
            _ => None,
        };
        let is_use = before.last() == Some(&"use");
        match base {
            Some((start, module)) => {
                let base = Path { module, names: Vec::new() };
                at = path_at(&words, start, base, modules, is_use, &mut found).max(at + 1);
            }
            None => at += 1,
        }
    }
    found
}

/// Follows one path, also into its braces, and keeps each of its ends. Returns where it ended.
fn path_at(
    words: &[&str],
    mut at: usize,
    mut base: Path,
    modules: &BTreeSet<Module>,
    is_use: bool,
    found: &mut Vec<(Option<String>, Path)>,
) -> usize {
    let (start, mut last) = (at, None);
    while let Some(&word) = words.get(at) {
        match word {
            "{" => {
                at += 1;
                while words.get(at).is_some_and(|word| *word != "}") {
                    let end = path_at(words, at, base.clone(), modules, is_use, found);
                    at = if end == at { at + 1 } else { end };
                }
                return at + 1;
            }
            "crate" => base.module.clear(),
            "self" => last = base.names.last().or(base.module.last()).cloned(),
            "super" => drop(base.module.pop()),
            _ if word == "*" || word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                let deeper = [base.module.as_slice(), &[word.to_owned()]].concat();
                if base.names.is_empty() && modules.contains(&deeper) {
                    base.module = deeper;
                } else {
                    base.names.push(word.to_owned());
                }
                last = Some(word.to_owned());
            }
            _ => break,
        }
        at += 1;
        if words.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if words.get(at) == Some(&"as") && is_use {
        last = words.get(at + 1).map(|&name| name.to_owned());
        at += 2;
    }
    if at > start {
        found.push((last.filter(|_| is_use), base));
    }
    at
}

/// The module that a path leads to, through every `use` that it meets.
fn resolve(path: &Path, aliases: &Aliases, modules: &BTreeSet<Module>) -> Module {
    let mut path = path.clone();
    // A circle of re-exports names nothing; it would not compile.
    for _ in 0..16 {
        let Some(known) = path.names.first().and_then(|name| aliases.get(&path.module)?.get(name)) else {
            break;
        };
        let mut module = known.module.clone();
        let mut names = [known.names.as_slice(), &path.names[1..]].concat();
        while let Some(name) = names.first() {
            let deeper = [module.as_slice(), std::slice::from_ref(name)].concat();
            if !modules.contains(&deeper) {
                break;
            }
            module = deeper;
            names.remove(0);
        }
        path = Path { module, names };
    }
    path.module
}

/// Every import inside a crate, from file to file.
fn imports(krate: &str) -> Vec<Import> {
    imports_in(krate, &production(krate))
}

fn imports_in(krate: &str, sources: &[Source]) -> Vec<Import> {
    let modules: BTreeSet<_> = sources.iter().map(|source| module_of(&source.path)).collect();
    let paths: Vec<_> =
        sources.iter().map(|source| (module_of(&source.path), paths_of(source, krate, &modules))).collect();
    let mut aliases = Aliases::new();
    for (own, paths) in &paths {
        let named = paths.iter().filter_map(|(name, path)| Some((name.clone()?, path.clone())));
        let named = named.filter(|(name, _)| !matches!(name.as_str(), "*" | "_"));
        aliases.entry(own.clone()).or_default().extend(named);
    }
    let shown = |module: &Module| if module.is_empty() { ROOT.to_owned() } else { module.join("::") };
    let mut all = BTreeSet::new();
    for (own, paths) in &paths {
        // A re-export is an import of what it names, and what is taken through it is an import of that.
        let targets = paths.iter().map(|(_, path)| resolve(path, &aliases, &modules));
        all.extend(targets.filter(|target| target != own).map(|target| (shown(own), shown(&target))));
    }
    all.into_iter().collect()
}

/// The imports that go up, and the names that stand in no layer.
fn upward(layers: &[&[&str]], imports: &[Import]) -> Vec<String> {
    let top = |path: &str| path.split("::").next().unwrap_or(path).to_owned();
    let rank = |name: &str| layers.iter().position(|layer| layer.contains(&name));
    let mut wrong = Vec::new();
    for (from, to) in imports {
        let (a, b) = (top(from), top(to));
        match (rank(&a), rank(&b)) {
            // All layers are below a root that no file takes anything from.
            (None, Some(_)) if a == ROOT => {}
            (_, None) => wrong.push(format!("{from} imports {b}, which stands in no layer")),
            (None, _) => wrong.push(format!("{a} stands in no layer")),
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

#[test]
fn circles_through_the_root_and_through_the_parents_re_export_are_seen() {
    let circles_of = |files: &[(&str, &str)]| {
        let source = |(path, text): &(&str, &str)| Source {
            path: format!("crates/x/src/{path}"),
            text: (*text).to_owned(),
        };
        circles(&imports_in("x", &files.iter().map(source).collect::<Vec<_>>()))
    };
    let group = |files: [&str; 2]| vec![BTreeSet::from(files.map(str::to_owned))];
    let low = "use super::Client;\npub struct Limits;";
    let client = ("client.rs", "use super::low::Limits;\npub struct Client(Limits);");
    assert_eq!(
        circles_of(&[("lib.rs", "mod low;\nuse low::Limits;\npub struct Client(Limits);"), ("low.rs", low)]),
        group([ROOT, "low"]),
        "the root has something itself"
    );
    let lib = ("lib.rs", "mod low;\nmod client;\npub use client::Client;\npub use low::Limits;");
    assert_eq!(circles_of(&[lib, client, ("low.rs", "pub struct Limits;")]), []);
    assert_eq!(circles_of(&[lib, client, ("low.rs", low)]), group(["client", "low"]));

    let one = "pub struct A(super::B);";
    let two = ("low/two.rs", "use super::one::A;\npub struct B;");
    for low in [
        "mod one;\nmod two;\npub use two::B;",
        "mod one;\nmod two;\npub use self::{one::A, two::B};",
        "mod one;\nmod two;\nuse two::C as B;",
    ] {
        let siblings = [("lib.rs", "mod low;"), ("low/mod.rs", low), ("low/one.rs", one), two];
        assert_eq!(circles_of(&siblings), group(["low::one", "low::two"]), "{low}");
    }
    let own = [
        ("lib.rs", "mod low;"),
        ("low/mod.rs", "mod one;\nmod two;\npub struct B;"),
        ("low/one.rs", one),
        two,
    ];
    assert_eq!(circles_of(&own), [], "its parent's own");
}
