//! What is matched, what is refused, and that Go's own words are understood as Go means them.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn pattern(text: &str) -> RolePattern {
    RolePattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn names_stars_and_question_marks_match() {
    for (text, role) in [
        ("dba", "dba"),
        ("*", "anything"),
        ("prod-*", "prod-"),
        ("prod-*", "prod-db"),
        ("*-admin", "db-admin"),
        ("p*d*b", "prod-db"),
        ("**", "x"),
        ("a*a", "aa"),
        ("a*b*c", "abbc"),
        ("*ß*", "straße"),
        ("db-?", "db-1"),
        ("db-?", "db-ß"),
        ("?*", "x"),
        ("*?b", "abb"),
        ("k8s.admin", "k8s.admin"),
        ("team (emea)", "team (emea)"),
        ("c++", "c++"),
        ("a&b", "a&b"),
    ] {
        assert!(pattern(text).matches(role), "{text} {role}");
    }
    for (text, role) in [
        ("dba", "dbaa"),
        ("dba", "xdba"),
        ("dba", "DBA"),
        ("prod-*", "preprod-db"),
        ("a*a", "a"),
        ("a*b*c", "acb"),
        ("*-admin", "db-admins"),
        ("db-?", "db-"),
        ("db-?", "db-12"),
        ("k8s.admin", "k8s-admin"),
    ] {
        assert!(!pattern(text).matches(role), "{text} {role}");
    }
}

#[test]
fn a_pattern_from_caret_to_dollar_is_a_regular_expression() {
    for (text, role) in [
        ("^prod-.*$", "prod-db"),
        ("^prod-[a-z]+$", "prod-db"),
        ("^(dba|prod-db)$", "dba"),
        ("^(?i)PROD-.*$", "prod-db"),
        ("^(^a|b$)$", "b"),
        (r"^prod-\d{2}$", "prod-07"),
        (r"^\w+-db$", "prod-db"),
        (r"^\pL+$", "straße"),
        (r"^prod\.db$", "prod.db"),
        (r"^a\$$", "a$"),
        (r"^[\d-]+$", "1-2"),
        // In a class these are characters for Go.
        ("^[a&&b]$", "&"),
        ("^[[]x$", "[x"),
        ("^[]a]$", "]"),
        ("^[^]a]$", "b"),
        ("^[[:digit:]]$", "7"),
        (r"^a\b-b$", "a-b"),
    ] {
        assert!(pattern(text).matches(role), "{text} {role}");
    }
    for (text, role) in [
        ("^prod-.*$", "preprod-db"),
        ("^prod-[a-z]+$", "prod-db1"),
        ("^prod$", "prod-db"),
        ("^prod$", "PROD"),
        (r"^prod\.db$", "prod-db"),
        // Digits of other alphabets are none for Go.
        (r"^prod-\d$", "prod-٣"),
        (r"^\w$", "ß"),
        ("^[^]a]$", "]"),
    ] {
        assert!(!pattern(text).matches(role), "{text} {role}");
    }
}

#[test]
fn an_invalid_pattern_is_refused_with_its_reason() {
    use InvalidPattern::*;
    let long = "x".repeat(1_001);
    let huge = format!("^{}$", r"(\pL{1,50}){1,50}");
    for (text, expected) in [
        ("", Empty),
        (" ", Empty),
        ("^$", Empty),
        (" prod-db", Blanks),
        (" ^prod-.*$", Blanks),
        ("prod-db,admin", Several),
        ("prod-db;admin", Several),
        ("prod-db, admin", Several),
        ("prod-[a-z]+", NotAnchored),
        ("prod-.*", NotAnchored),
        ("prod-.+", NotAnchored),
        ("(dev|prod)", NotAnchored),
        ("^prod-.*", NotAnchored),
        ("prod-.*$", NotAnchored),
        ("prod-a{1,2}", NotAnchored),
        ("{{external.roles}}", NotAnchored),
        (r"prod-\d", NotAnchored),
        ("(prod)+", NotAnchored),
        // The sign at its end is a character.
        (r"^prod-\$", NotAnchored),
        ("^prod-[$", NotAnExpression),
        ("^prod-(db$", NotAnExpression),
        ("^prod-*+?{$", NotAnExpression),
        ("^(a)(?=b)$", NotAnExpression),
        (huge.as_str(), NotAnExpression),
        ("^a|b$", LooseAlternatives),
        ("^prod$-db$", NeverMatches),
        ("^prod^-db$", NeverMatches),
        (long.as_str(), TooLong),
    ] {
        assert_eq!(RolePattern::parse(text).err(), Some(expected), "{text:?}");
    }
}

/// What Go 1.26 said of each, by `regexp.MustCompile(text).MatchString(role)`.
#[test]
fn a_regular_expression_means_what_it_means_to_go() {
    for (text, role) in [
        (r"^prod-\Q.*\E$", "prod-.*"),
        (r"^\Qa.b\E+$", "a.bb"),
        ("^(?P<name>a)(?<other>b)$", "ab"),
        ("^[+--]$", ","),
        ("^[a[b]]$", "[]"),
        ("^[a~~b]$", "~"),
        (r"^\<dba\>$", "<dba>"),
        (r"^\_\-\12$", "_-\n"),
        (r"^\x41\x{62}$", "Ab"),
        (r"^\p{Lu}\p{^Lu}\P{Greek}\pN$", "Abc1"),
        ("^a{,3}$", "a{,3}"),
        ("^a{01}$", "a{01}"),
        ("^a{2}}$", "aa}"),
        ("^((ab){30}){33}$", &"ab".repeat(990)),
        ("^(a{0}b{1000})?c$", "c"),
        ("^(a|)*?$", "aa"),
        (r"^[\d-a]$", "-"),
    ] {
        assert!(pattern(text).matches(role), "{text} {role}");
    }
    for text in [
        "^(?x) admin $",
        "^(?u)a$",
        "^(?-u:a)$",
        "^(?R)a$",
        "^a{1001}$",
        "^a{2,1001}$",
        "^a{3,2}$",
        "^(a{40}){26}$",
        "^((ab){30}b{2}){34}$",
        "^a**$",
        "^a{2}{3}$",
        "^a+?*$",
        "^(?P=a)$",
        "^(?<a.b>c)$",
        "^(?<a>b)(?<a>c)$",
        "^[[:foo:]]$",
        r"^[a-\d]$",
        r"^[\b]$",
        "^[b-a]$",
        r"^[\Qa\E]$",
        r"^a\E$",
        r"^\u{61}$",
        r"^\u0061$",
        r"^\U00000061$",
        r"^\1$",
        r"^\C$",
        r"^\Z$",
        r"^\h$",
        r"^\é$",
        r"^\x{110000}$",
        r"^\x6$",
        r"^\p{Grek}$",
        r"^\p{sc=Greek}$",
        r"^\p{Old_Italic}$",
        r"^\p{XIDS}$",
        "^a)$",
    ] {
        assert_eq!(RolePattern::parse(text).err(), Some(InvalidPattern::NotAnExpression), "{text}");
    }
    // Go takes these, but they would not hold the whole name.
    for (text, expected) in [
        (r"^\Qdba$", InvalidPattern::NotAnchored),
        ("^*dba$", InvalidPattern::NotAnExpression),
        ("^?dba$", InvalidPattern::NotAnExpression),
    ] {
        assert_eq!(RolePattern::parse(text).err(), Some(expected), "{text}");
    }
}

#[test]
fn a_character_that_no_reader_sees_is_refused_wherever_it_stands() {
    for (text, shown) in [
        ("dba\u{200b}", "character 4 is U+200B, an invisible character"),
        ("\u{feff}dba", "character 1 is U+FEFF, an invisible character"),
        ("d\u{ad}ba", "character 2 is U+00AD, an invisible character"),
        ("^(dba|\u{202e}prod)$", "character 7 is U+202E, an invisible character"),
        ("prod-*\u{2060}", "character 7 is U+2060, an invisible character"),
        ("prod-db\u{a0}", "character 8 is U+00A0, which looks like a space"),
        ("prod\ndb", "character 5 is U+000A, a line break"),
        ("prod\tdb", "character 5 is U+0009, a tab"),
        ("prod\0db", "character 5 is U+0000, a control character"),
        // Though these shape words and emoji: a role's name may have them or not.
        ("می\u{200c}خواهم", "character 3 is U+200C, an invisible character"),
        ("on-call ❤\u{fe0f}", "character 10 is U+FE0F, an invisible character"),
    ] {
        assert_eq!(RolePattern::parse(text).unwrap_err().to_string(), shown, "{text:?}");
        let literal = RolePattern::literal(text);
        assert!(pattern(&literal).matches(text) && !literal.contains(['\u{200b}', '\u{a0}']), "{literal:?}");
    }
    assert!(pattern(r"^dba\x{200B}$").matches("dba\u{200b}"));
    assert!(!pattern(r"^dba\x{200B}$").matches("dba"));
    assert_eq!(RolePattern::escaped_expression("^db[\u{ad}a]$").as_deref(), Some(r"^db[\x{AD}a]$"));
    for text in ["db\u{ad}a", "db\u{ad}*", "^db\u{ad}[$"] {
        assert_eq!(RolePattern::escaped_expression(text), None, "{text:?}");
    }
}

#[test]
fn a_name_of_any_length_costs_little() {
    assert!(pattern("*").matches(&"x".repeat(MAX_ROLE)));
    for text in ["*", "^.*$", "x*"] {
        assert!(!pattern(text).matches(&"x".repeat(MAX_ROLE + 1)), "{text}");
    }
    // Where backtracking takes forever.
    assert!(!pattern(&("a*".repeat(400) + "c")).matches(&format!("{}b", "a".repeat(MAX_ROLE - 1))));
    assert!(!pattern("^(a*)*(a*)*(a*)*x$").matches(&"a".repeat(MAX_ROLE)));
}

fn slow_glob(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|n| slow_glob(rest, &text[n..])),
        Some((c, rest)) => {
            text.first().is_some_and(|first| *c == '?' || first == c) && slow_glob(rest, &text[1..])
        }
    }
}

proptest! {
    #[test]
    fn stars_agree_with_their_definition(pattern in "[ab*?]{0,6}", text in "[abß]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(glob(&pattern, &text), slow_glob(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn any_text_is_refused_or_read_and_has_a_pattern_of_its_own(text in "[a-c^$.*+?()\\[\\]{}|\\\\ ,&~-]{1,12}|\\PC{1,20}|(?s).{1,20}") {
        if let Ok(pattern) = RolePattern::parse(&text) {
            prop_assert_eq!(pattern.as_str(), text.as_str());
            pattern.matches(&text);
        }
        prop_assert!(pattern(&RolePattern::literal(&text)).matches(&text));
    }
}
