//! What an operator most likely meant by a text that is something else: brackets, signs in full width, ids in small letters.

use super::rules::{approved_by, stricter};
use super::*;

/// One recipient, as TOML has it.
fn to(recipient: &str) -> String {
    with("").replace("[\"team\"]", &format!("[{recipient:?}]"))
}

#[test]
fn a_name_in_brackets_is_no_class_of_letters() {
    for (written, remedy) in [
        ("[dba]", r#"write "dba", or write "^\\[dba\\]$" for the role of exactly this name"#),
        ("[ dba ]", r#"write "dba", or "#),
        ("['dba', 'ops']", r#"write ["dba", "ops"], or "#),
        ("[dba|ops]", r#"write ["dba", "ops"], or "#),
        ("{dba}", r#"write "dba", or "#),
        ("{{dba}}", r#"write "dba", or "#),
        ("[prod-*]", r#"write "prod-*", or "#),
        ("[a-z]", r#"write "^[a-z]$" if it is a regular expression, or "#),
        ("[a-z0-9]", r#"write "^[a-z0-9]$" if it is a regular expression, or "#),
        ("[^dba]", r#"write "^[^dba]$" if it is a regular expression, or "#),
        ("(dba|ops)", r#"write ["dba", "ops"], or "#),
    ] {
        let mistake = mistake(&stricter(&format!("[{written:?}]")));
        assert!(mistake.contains(remedy), "{written}: {mistake}");
        config(&stricter(&advice(&mistake)));
        let key = with(&format!("[role_to_recipients]\n{written:?} = \"team\"\n"));
        assert!(super::mistake(&key).contains("write "), "{written}");
    }
}

#[test]
fn a_sign_that_only_looks_like_a_patterns_is_named() {
    for (written, sign, meant) in [
        ("^prod＄", "character 6 is U+FF04, which looks like $", "^prod$"),
        ("^prod-［ab］$", "character 7 is U+FF3B, which looks like [", "^prod-[ab]$"),
        ("＾prod-.*$", "character 1 is U+FF3E, which looks like ^", "^prod-.*$"),
    ] {
        let found = match parsed(&stricter(&format!("[{written:?}]"))) {
            Ok(_) => warnings(&stricter(&format!("[{written:?}]"))),
            Err(_) => mistake(&stricter(&format!("[{written:?}]"))),
        };
        assert!(found.contains(sign) && found.contains(&format!("write {meant:?}")), "{written}: {found}");
    }
}

#[test]
fn signs_that_no_role_has_are_warned_of() {
    for (written, remedy) in [
        ("(dba)", r#"write "dba", or write "^\\(dba\\)$" if the role's name really has it"#),
        ("<dba>", r#"write "dba", or write "^<dba>$" if"#),
        ("（dba）", r#"write "dba", or "#),
        ("［dba］", r#"write "dba", or "#),
        ("(prod-*)", r#"write "prod-*", or write "^\\(prod-.*\\)$" if"#),
        ("dba#1", r#"write it as `tctl get roles` shows it, or write "^dba#1$" if"#),
        ("team=dba", r#"write it as `tctl get roles` shows it, or "#),
        ("prod(db)", r#"write it as `tctl get roles` shows it, or "#),
        ("prod#*", r#"write it as `tctl get roles` shows it, or write "^prod#.*$" if"#),
    ] {
        let found = warnings(&stricter(&format!("[{written:?}]")));
        assert!(found.starts_with("18 ") && found.lines().count() == 1, "{written}: {found}");
        assert!(found.contains(remedy), "{written}: {found}");
        let key = with(&format!("[role_to_recipients]\n{written:?} = \"team\"\n"));
        assert!(!warnings(&key).is_empty(), "{written}");
    }
    for silenced in [r"^\(dba\)$", "^<dba>$", "^dba#1$", "^prod#.*$"] {
        assert_eq!(warnings(&stricter(&format!("['{silenced}']"))), "", "{silenced}");
    }
}

#[test]
fn approvers_stand_without_brackets_and_in_the_characters_of_the_table() {
    for (written, meant) in [
        ("[bob]", "bob"),
        ("(bob)", "bob"),
        ("'bob'", "bob"),
        ("[bob, Carol@example.com]", "Carol@example.com"),
        ("['bob', 'Carol@example.com']", "Carol@example.com"),
    ] {
        let mistake = mistake(&approved_by(&format!("[{written:?}]")));
        let rules = config(&approved_by(&advice(&mistake))).review.unwrap().rules.0;
        let approver = rules.last().unwrap().approvers.last().unwrap().clone();
        assert_eq!(approver, Approver::User(meant.to_owned()), "{written}: {mistake}");
    }
    let named = |table: &str, rule: &str| {
        approved_by(&format!("[\"{rule}\"]"))
            .replace("U0BOB = \"bob\"", &format!("U0BOB = \"{table}\""))
            .replacen("approvers = \"bob\"", &format!("approvers = \"{table}\""), 1)
    };
    let (joined, apart) = ("b\u{f3}b@example.com", "bo\u{301}b@example.com");
    let found = mistake(&named(joined, apart));
    assert!(
        found.contains(&format!("write {joined:?}, as in [review.users]: here, character 3 is U+0301")),
        "{found}"
    );
    let found = mistake(&named(apart, joined));
    assert!(
        found.contains("write it in plain characters in [review.users], too: there, character 3"),
        "{found}"
    );
    // Another letter that looks the same, and capitals besides.
    let found = mistake(&named("bob", "b\u{43e}b"));
    assert!(found.contains("write \"bob\", as in [review.users]: here, character 2 is U+043E"), "{found}");
    let found = mistake(&named("bob", "B\u{43e}b"));
    assert!(found.contains("write \"bob\", as in [review.users]; capitals count"), "{found}");
}

#[test]
fn a_user_whose_name_is_of_another_script_is_meant_if_the_table_has_it_too() {
    // "Sora" and "ABBA", in Cyrillic and Greek letters that all look Latin.
    for name in ["\u{441}\u{43e}\u{440}\u{430}", "\u{391}\u{392}\u{392}\u{391}"] {
        let by_trait =
            approved_by(&format!("[\"{name}\"]")).replace("mode = ", "slack_user_id_trait = \"t\"\nmode = ");
        let found = warnings(&by_trait);
        assert!(found.ends_with("if it has, link that user in [review.users], too"), "{found}");
        let linked =
            by_trait.replacen("U0BOB = \"bob\"", &format!("U0BOB = \"bob\"\nU0DAVE = \"{name}\""), 1);
        assert_eq!(warnings(&linked), "");
    }
    // One letter of another script is never meant, wherever it stands.
    let mixed =
        approved_by("[\"b\u{43e}b\"]").replace("U0BOB = \"bob\"", "U0BOB = \"bob\"\nU0DAVE = \"b\u{43e}b\"");
    assert_eq!(warnings(&mixed).lines().count(), 2, "{}", warnings(&mixed));
    // A role has a way of its own: the regular expression with escapes, as its warning says.
    let role = warnings(&stricter("[\"\u{43e}\u{440}\u{455}\"]"));
    assert!(
        role.contains(r#"or write "^\\x{43E}\\x{440}\\x{455}$" if the role's name really has it"#),
        "{role}"
    );
    assert_eq!(warnings(&stricter(r"['^\x{43E}\x{440}\x{455}$']")), "");
}

#[test]
fn ids_in_small_letters_are_warned_of_as_recipients() {
    for (written, remedy) in [
        (
            "u0bob",
            r##"like the Slack id of a person in small letters; if it is one, write "U0BOB"; if it is a channel's name, write "#u0bob""##,
        ),
        (
            "c0requests",
            r##"of a channel in small letters; if it is one, write "C0REQUESTS"; if it is a channel's name, write "#c0requests""##,
        ),
        ("d0bob", r##"if it is one, write "D0BOB"; if it is a channel's name, write "#d0bob""##),
        (
            "t0demo",
            "the Slack id of a workspace in small letters; if it is one, write a channel's name or id (C…), or",
        ),
        (
            "s0dba",
            "the Slack id of a user group in small letters; if it is one, write a channel that its members read",
        ),
    ] {
        let found = warnings(&to(written));
        assert!(found.contains(remedy) && found.lines().count() == 1, "{written}: {found}");
        assert_eq!(warnings(&to(&format!("#{written}"))), "", "{written}");
    }
    for honest in ["e2e", "team", "k8s", "t-34", "a0", "on-call", "x0team"] {
        assert_eq!(warnings(&to(honest)), "", "{honest}");
    }
    let slackbot = warnings(&to("USLACKBOT"));
    assert!(slackbot.contains("is Slack's own bot, so no person reads what it gets"), "{slackbot}");
    assert!(!slackbot.contains("uslackbot"), "{slackbot}");
}

#[test]
fn an_id_that_is_no_recipients_is_called_what_it_is() {
    for (written, cause) in [
        ("T0DEMO", "this is the id of a workspace, where no message goes; write a channel's name or id"),
        ("B0BOT", "this is the id of a bot, where no message goes; write"),
        ("F012AB3CD", "this is the id of a file, where no message goes; write"),
        ("S0DBA", "this is a user group, and a message goes to a channel or a person; write a channel that"),
        ("C0", "if it is an id, copy all of it, as in C012AB3CD; if it is a channel's name, write \"c0\""),
        ("U0bob", "ids are in capitals, and names of channels are in small letters; if it is a person's"),
    ] {
        let found = mistake(&to(written));
        assert!(found.contains(cause), "{written}: {found}");
    }
    assert!(!mistake(&to("T0DEMO")).contains("lower-case"));
    assert!(!mistake(&to("S0DBA")).contains("s0dba"));
}
