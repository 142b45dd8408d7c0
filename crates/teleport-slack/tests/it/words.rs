//! One word for one thing (`docs/glossary.md`): names and words that others replaced do not come back.
//!
//! Names are searched in Rust code, as whole identifiers. Words are searched in comments, Markdown, manifests and the
//! names of functions, so also of tests; and in the string literals of the daemon and the clients, so in what they log.
//! Of the literals that people read in Slack and on the terminal, and of those of tests and simulators, which may hold what
//! others store or write, only words of one sex are refused.

mod lists;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use crate::rules::{all_production, repository_root};
use lists::{GENDERED, NAMES, WORDS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// A word with its line, counted from 1.
type Token = (usize, String);

fn tokens(text: &str, first_line: usize) -> Vec<Token> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (line, text) in (first_line..).zip(text.split('\n')) {
        let words = text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty());
        tokens.extend(words.map(|word| (line, word.to_owned())));
    }
    tokens
}

/// The length of the string or character literal that a text begins with; 0 if it begins with none.
fn literal_length(text: &str) -> usize {
    let hashes = text.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len());
    if let Some(hashes) = hashes
        && text[1 + hashes..].starts_with('"')
    {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = 2 + hashes;
        return text[start..].find(&end).map_or(text.len(), |at| start + at + end.len());
    }
    let mut chars = text.char_indices();
    let quote = match chars.next() {
        Some((_, '"')) => '"',
        // A lifetime has no second quote where a character's is.
        Some((_, '\'')) if text.starts_with("'\\") || text.chars().nth(2) == Some('\'') => '\'',
        _ => return 0,
    };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The words of one part of a Rust text.
fn rust_tokens(text: &str, wanted: Part) -> Vec<Token> {
    let is_identifier = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let literal = literal_length(rest);
        let (part, length) = if rest.starts_with("//") {
            (Some(Part::Comment), rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (Some(Part::Comment), rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if literal > 0 {
            (Some(Part::Literal), literal)
        } else if is_identifier(first) {
            (Some(Part::Code), rest.find(|c| !is_identifier(c)).unwrap_or(rest.len()))
        } else {
            (None, first.len_utf8())
        };
        if part == Some(wanted) {
            // `\nword` has the word `word`.
            let is_literal = wanted == Part::Literal;
            let text =
                if is_literal { rest[..length].replace("\\n", "  ") } else { rest[..length].to_owned() };
            found.extend(tokens(&text, line));
            // No phrase goes on from one literal to the next.
            found.extend(is_literal.then(|| (line, String::new())));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The words in the names of the functions that a Rust text declares. An empty one ends each name.
fn function_words(code: &[Token]) -> Vec<Token> {
    let declared = code.windows(2).filter(|pair| pair[0].1 == "fn").map(|pair| &pair[1]);
    let words = |(line, name): &Token| {
        name.split('_').chain([""]).map(|word| (*line, word.to_owned())).collect::<Vec<_>>()
    };
    declared.flat_map(words).collect()
}

/// The words of a Markdown text without those in back-ticks.
fn markdown_tokens(text: &str) -> Vec<Token> {
    let prose = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let lines = text
        .lines()
        .map(|line| if line.trim_start().starts_with("```") { String::new() } else { prose(line) });
    tokens(&lines.collect::<Vec<_>>().join("\n"), 1)
}

/// The words of comments in other languages: whole lines, and what follows code.
fn comment_line_tokens(text: &str, signs: &[&str]) -> Vec<Token> {
    let is_comment = |line: &str| signs.iter().any(|sign| line.trim_start().starts_with(sign));
    let trailing =
        |line| str::split_once(line, &format!(" {} ", signs[0])).map_or("", |(_, comment)| comment);
    let lines = text.lines().map(|line| if is_comment(line) { line } else { trailing(line) });
    tokens(&lines.collect::<Vec<_>>().join("\n"), 1)
}

/// Each place of a listed phrase: its line, the phrase, and what to say instead.
fn places<'a>(tokens: &[Token], list: &[(&'a str, &'a str)]) -> Vec<(usize, &'a str, &'a str)> {
    let mut by_first = HashMap::<String, Vec<(Vec<&str>, &'a str, &'a str)>>::new();
    for (forms, instead) in list {
        for form in forms.split('|') {
            let words: Vec<_> = form.split([' ', '-']).collect();
            by_first.entry(words[0].to_ascii_lowercase()).or_default().push((words, form, instead));
        }
    }
    let mut found = Vec::new();
    for (n, (line, word)) in tokens.iter().enumerate() {
        for (words, form, instead) in by_first.get(&word.to_ascii_lowercase()).into_iter().flatten() {
            let is_form = tokens.get(n..n + words.len()).is_some_and(|window| {
                window.iter().zip(words).all(|((_, word), part)| word.eq_ignore_ascii_case(part))
            });
            found.extend(is_form.then_some((*line, *form, *instead)));
        }
    }
    found.sort_unstable();
    found
}

/// The same for names, where capitals count.
fn named<'a>(tokens: &[Token], list: &[(&'a str, &'a str)]) -> Vec<(usize, &'a str, &'a str)> {
    let answers: HashMap<_, _> = list.iter().copied().collect();
    let find = |(line, word): &Token| {
        answers.get_key_value(word.as_str()).map(|(name, instead)| (*line, *name, *instead))
    };
    tokens.iter().filter_map(find).collect()
}

/// All files of the repository that are ours: nothing built, installed, generated or captured.
pub(crate) fn files() -> Vec<(String, String)> {
    let root = repository_root();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let is_foreign = ["target", "node_modules", "generated", ".git"].contains(&name.as_str())
                || ["crates/teleport-proto/proto", "fuzz/corpus"].contains(&relative.as_str());
            if path.is_dir() {
                if !is_foreign {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files.push((relative, text));
            }
        }
    }
    files.sort();
    files
}

/// The words of a file that its readers read: Markdown, or comments.
fn prose(path: &str, text: &str) -> Vec<Token> {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    match extension {
        Some("rs") => rust_tokens(text, Part::Comment),
        Some("md") => markdown_tokens(text),
        Some("mjs" | "js" | "go" | "java" | "proto" | "css") => comment_line_tokens(text, &["//", "/*", "*"]),
        Some("toml") if path.ends_with("Cargo.toml") => tokens(text, 1),
        Some("toml" | "py" | "sh" | "yml" | "yaml") => comment_line_tokens(text, &["#", "\"\"\""]),
        None if text.starts_with("#!") || path.ends_with("justfile") => comment_line_tokens(text, &["#"]),
        _ => Vec::new(),
    }
}

fn assert_none(found: Vec<(String, usize, String, String)>) {
    let mut report = String::new();
    for (path, line, word, instead) in &found {
        writeln!(report, "{path}:{line}: {word:?} went; say {instead:?}").unwrap();
    }
    assert!(found.is_empty(), "\n{report}{} in all", found.len());
}

#[test]
fn no_home_made_words() {
    let mut found = Vec::new();
    let mut add = |path: &str, places: Vec<(usize, &str, &str)>| {
        found.extend(
            places
                .into_iter()
                .map(|(line, word, instead)| (path.to_owned(), line, word.to_owned(), instead.to_owned())),
        );
    };
    let files = files();
    assert!(files.len() > 400, "only {} files were found", files.len());
    for (path, text) in files {
        add(&path, places(&prose(&path, &text), WORDS));
        if path.ends_with(".rs") {
            let code = rust_tokens(&text, Part::Code);
            add(&path, named(&code, NAMES));
            add(&path, places(&function_words(&code), WORDS));
            if !path.starts_with(THESE) {
                add(&path, places(&rust_tokens(&text, Part::Literal), &[GENDERED]));
            }
        }
    }
    let logged: Vec<_> =
        all_production().into_iter().filter(|source| is_for_operators(&source.path)).collect();
    assert!(logged.len() > 150, "only {} files were found", logged.len());
    for source in logged {
        let code: Vec<_> = source.production_lines().collect();
        add(&source.path, places(&rust_tokens(&code.join("\n"), Part::Literal), WORDS));
    }
    assert_none(found);
}

/// Where the old words stand.
const THESE: &str = "crates/teleport-slack/tests/it/words";

/// Whether the literals of a file are written for operators: what is logged, and causes and remedies. The others are
/// sentences for users in Slack and on the terminal, which have tests of their own, and what Slack and Teleport write.
fn is_for_operators(path: &str) -> bool {
    !["crates/access-sim/", "crates/access-core/src/render/", "crates/teleport-slack/src/cli/"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// The answers that are identifiers, and none of the code. An answer in small letters alone is a word.
fn unknown_answers<'a>(names: &[(&str, &'a str)], code: &BTreeSet<String>) -> Vec<&'a str> {
    let answers = names.iter().flat_map(|(_, answer)| answer.split(", ").flat_map(|name| name.split("::")));
    let is_identifier = |name: &&str| name.contains(|c: char| c == '_' || c.is_ascii_uppercase());
    answers.filter(is_identifier).filter(|name| !code.contains(*name)).collect()
}

#[test]
fn each_name_that_is_said_instead_exists() {
    let sources = files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let code = sources.flat_map(|(_, text)| rust_tokens(&text, Part::Code)).map(|(_, name)| name).collect();
    assert_eq!(unknown_answers(NAMES, &code), <[&str; 0]>::default());
    let code = ["Operation", "Post"].map(str::to_owned).into();
    let names = [("a", "Operation::Post, word"), ("b", "Operation::Update, in_doubt"), ("c", "LIMIT")];
    assert_eq!(unknown_answers(&names, &code), ["Update", "in_doubt", "LIMIT"]);
}

#[test]
fn one_old_word_in_a_log_line_is_found_with_its_line() {
    let words = [("kept true", "up to date"), GENDERED];
    let text = "fn kept() {\n    // kept true\n    warn!(\"{} is not kept \\\n        true\");\n    info!(\"is kept\", \"true\", 'h', \"\\nher\");\n}\n";
    let found = places(&rust_tokens(text, Part::Literal), &words);
    assert_eq!(found, [(3, "kept true", "up to date"), (5, "her", GENDERED.1)]);
    assert!(is_for_operators("crates/teleport-slack/src/review/resolver.rs"));
    assert!(!is_for_operators("crates/access-core/src/render/ephemeral.rs"));
}

#[test]
fn one_old_name_in_code_is_found_with_its_line() {
    let names = [("Errand", "Operation")];
    let text = "/// An Errand.\nfn f() {\n    let text = \"Errand\";\n    let e: Errand<'_> = '\"';\n    Errands::new(r#\"Errand\"#)\n}\n";
    let code = rust_tokens(text, Part::Code);
    assert_eq!(named(&code, &names), [(4, "Errand", "Operation")]);
}

#[test]
fn one_old_word_in_a_functions_name_is_found_with_its_line() {
    let words = [("nobody", "no user"), ("under way", "in progress")];
    let text =
        "fn nobody_decides() {\n    let nobody = under;\n}\nfn what_is_under() {}\nfn way_x_under_way() {}\n";
    let found = places(&function_words(&rust_tokens(text, Part::Code)), &words);
    assert_eq!(found, [(1, "nobody", "no user"), (5, "under way", "in progress")]);
}

#[test]
fn one_old_word_in_a_comment_is_found_with_its_line() {
    let words =
        [("turnstile|turnstiles", "rate limit"), ("under way", "in progress"), ("make-believe", "simulated")];
    let text = "//! Turnstiles.\nconst X: &str = \"turnstile\"; // What is under\n// way, \\ in turnstile_x.\n/// make-believe\n";
    let comments = rust_tokens(text, Part::Comment);
    let expected =
        [(1, "turnstiles", "rate limit"), (2, "under way", "in progress"), (4, "make-believe", "simulated")];
    assert_eq!(places(&comments, &words), expected);
    let toml = "# a turnstile\nx = \"turnstile\" # turnstile\n";
    assert_eq!(places(&prose("a.toml", toml), &words).len(), 2);
    assert_eq!(places(&prose("Cargo.toml", toml), &words).len(), 3);
}

#[test]
fn one_old_word_in_markdown_is_found_with_its_line() {
    let words = [("turnstile", "rate limit")];
    let text = "# A title\n\n`turnstile` is code, a Turnstile is not.\n\n```sh\n# turnstile\n```\n";
    assert_eq!(
        places(&markdown_tokens(text), &words),
        [(3, "turnstile", "rate limit"), (6, "turnstile", "rate limit")]
    );
}
