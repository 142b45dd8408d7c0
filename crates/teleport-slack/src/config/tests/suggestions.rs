//! What is suggested instead of a role that hardly any role is called: never something that is warned of or refused next.

use super::rules::stricter;
use super::*;

/// What is said of a rule for this role, warning or mistake; empty if nothing.
fn said_of(role: &str) -> String {
    let quoted = role.replace('\\', "\\\\").replace('"', "\\\"");
    let text = stricter(&format!("[\"{quoted}\"]"));
    match parsed(&text) {
        Ok(_) => warnings(&text),
        Err(_) => mistake(&text),
    }
}

/// Each text that is to be written, as TOML has it.
fn suggestions(said: &str) -> Vec<toml::Value> {
    let value = |rest: &str| {
        let is_end = |(at, c): (usize, char)| matches!(c, '"' | ']').then_some(at + 1);
        let parsed = |end: usize| format!("it = {}", &rest[..end]).parse::<toml::Table>().ok();
        let table = rest.char_indices().filter_map(is_end).find_map(parsed);
        table.unwrap_or_else(|| panic!("{said}"))["it"].clone()
    };
    said.split("write ").skip(1).filter(|rest| rest.starts_with(['"', '['])).map(value).collect()
}

fn texts(value: &toml::Value) -> Vec<&str> {
    match value {
        toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_str).collect(),
        text => text.as_str().into_iter().collect(),
    }
}

/// Panics if a suggestion is itself spoken of.
#[track_caller]
fn assert_suggestions_are_good(role: &str) {
    let said = said_of(role);
    for suggestion in suggestions(&said) {
        for text in texts(&suggestion) {
            assert_eq!(said_of(text), "", "{role:?}: {said}");
        }
    }
}

#[test]
fn what_hardly_a_role_is_called_is_warned_of_once_with_what_to_write() {
    for (role, remedy) in [
        ("〈dba〉", r#"write "dba", or write "^\\x{3008}dba\\x{3009}$" if"#),
        ("【dba】", r#"write "dba", or"#),
        ("⟨dba⟩", r#"write "dba", or"#),
        ("｟dba｠", r#"write "dba", or"#),
        ("prod⸺db", r#"write "prod-db", or write "^prod\\x{2E3A}db$" if"#),
        ("prod־db", r#"write "prod-db", or"#),
        ("prod─db", r#"write it as `tctl get roles` shows it, or write "^prod\\x{2500}db$" if"#),
        ("prodᐨdb", "write it as `tctl get roles` shows it, or"),
        ("ᴅʙᴀ", "write it as `tctl get roles` shows it, or"),
        ("🅳🅱🅰", "write it as `tctl get roles` shows it, or"),
        ("✱", r#"write it as `tctl get roles` shows it, or write "^\\x{2731}$" if"#),
        ("⁕", "write it as `tctl get roles` shows it, or"),
        ("dba-✱", "write it as `tctl get roles` shows it, or"),
        ("/dba/", r#"write "dba", or write "^/dba/$" if"#),
        ("/dba", r#"write "dba", or"#),
        ("prod∼db", r#"write it as `tctl get roles` shows it, or write "^prod\\x{223C}db$" if"#),
        ("roles/dba", r#"write "dba", or write "^roles/dba$" if"#),
        ("role/dba", r#"write "dba", or"#),
        ("role/prod-*", r#"write "prod-*", or"#),
        ("admin/dba", r#"write ["admin", "dba"], or write "^admin/dba$" if"#),
        ("/^prod-.*$/", r#"write "^prod-.*$" if it is a regular expression, or"#),
        ("^(prod⸺db|x)$", r#"write "^(prod-db|x)$", or write "^(prod\\x{2E3A}db|x)$" if"#),
        (
            "^(【dba】|x)$",
            r#"write it as `tctl get roles` shows it, or write "^(\\x{3010}dba\\x{3011}|x)$" if"#,
        ),
    ] {
        let said = said_of(role);
        assert_eq!(said.lines().count(), 1, "{role}: {said}");
        assert!(said.contains(remedy), "{role}: {said}");
        assert_suggestions_are_good(role);
    }
    assert_eq!(
        said_of("prodᐨdb"),
        "18 review.rule[2].roles: \"prodᐨdb\": character 5 is U+1428, which hardly a name has; write it as `tctl get roles` \
         shows it, or write \"^prod\\\\x{1428}db$\" if the role's name really has it"
    );
    for honest in
        ["base-データ", "プロダクション・アクセス", "доступ", "עברית", "ᏣᎳᎩ-1", "दुःख", "col·lectiu", "dba:x"]
    {
        assert_eq!(said_of(honest), "", "{honest}");
    }
}

#[test]
fn a_role_of_the_very_name_can_be_named_without_a_warning() {
    for role in ["〈dba〉", "prodᐨdb", "✱", "“dba”", "admin、dba", "/dba/", "prod∼db", "roles/dba"]
    {
        let said = said_of(role);
        let all = suggestions(&said);
        let literal = all.last().and_then(toml::Value::as_str).unwrap_or_else(|| panic!("{said}"));
        assert!(RolePattern::parse(literal).unwrap().matches(role), "{said}");
    }
}

/// Pieces of what operators paste.
const PIECES: &[&str] = &[
    "dba",
    "prod",
    "db",
    "admin",
    "-",
    "*",
    "?",
    "/",
    "role/",
    "roles/",
    "^",
    "$",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|",
    "\\",
    ".",
    ".*",
    "+",
    " ",
    ",",
    ";",
    "&",
    "and",
    " or ",
    "'",
    "\"",
    "`",
    "“",
    "”",
    "「",
    "」",
    "〈",
    "〉",
    "【",
    "】",
    "⟨",
    "⟩",
    "（",
    "）",
    "⸺",
    "־",
    "─",
    "ᐨ",
    "‐",
    "∼",
    "~",
    "✱",
    "⁕",
    "∗",
    "＊",
    "？",
    "ᴅʙᴀ",
    "🅳",
    "ｄｂａ",
    "＾",
    "＄",
    "dbа",
    "ＡＢ",
    "é",
    "e\u{301}",
    "、",
    "，",
    "·",
    "·l",
    "アクセス",
    "：",
    "№",
    "m²",
    "\u{200b}",
    "\u{a0}",
    "%",
    "#",
    "!",
    "<",
    ">",
    "@",
    ":",
    "‥",
    "…",
    "ﬁ",
    "１",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_suggested_that_is_warned_of_next(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..7)) {
        assert_suggestions_are_good(&pieces.concat());
    }

    #[test]
    fn nothing_is_suggested_that_is_warned_of_next_for_any_text(role in "\\PC{1,8}") {
        assert_suggestions_are_good(&role);
    }
}
