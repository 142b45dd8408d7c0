//! Rules and recipients by role: what could never match or never decide is refused, with what to write instead.

use super::*;

/// People linked by the table, and a rule for every role; another may stand beside it.
fn reviewing(more: &str) -> String {
    with(&format!(
        "[review]\nenabled = true\napp_token = \"xapp-1\"\nmode = \"resolver\"\n[review.users]\nU0BOB = \"bob\"\n\
         U0CAROL = \"Carol@example.com\"\n[[review.rule]]\nroles = \"*\"\napprovers = \"bob\"\n{more}"
    ))
}

/// A stricter rule for these roles, as TOML has them, in line 18.
pub(super) fn stricter(roles: &str) -> String {
    reviewing(&format!(
        "[[review.rule]]\nroles = {roles}\napprovers = [\"bob\", \"Carol@example.com\"]\napprovals = 2\n"
    ))
}

/// A rule whose approvers are these, as TOML has them, in line 19.
pub(super) fn approved_by(approvers: &str) -> String {
    reviewing(&format!("[[review.rule]]\nroles = [\"dba\"]\napprovers = {approvers}\n"))
}

/// How many rules are for the role.
fn matching(text: &str, role: &str) -> usize {
    let rules = config(text).review.unwrap().rules.0;
    rules.iter().filter(|rule| rule.roles.iter().any(|pattern| pattern.matches(role))).count()
}

#[test]
fn a_stricter_rule_beside_the_star_counts_or_is_refused_with_what_to_write() {
    for roles in [
        r#"["prod-[a-z]+"]"#,
        r#"["prod-.*"]"#,
        r#"["^prod-.*"]"#,
        r#"["^prod"]"#,
        r#"["-db$"]"#,
        r#"[" prod-db"]"#,
        r#"["prod-db "]"#,
        r#"["prod-db,admin"]"#,
        r#"["prod-db, admin"]"#,
        r#"["(prod|dev)-db"]"#,
        r#"["^prod-db|admin$"]"#,
        r#"['prod-\w+']"#,
    ] {
        let mistake = mistake(&stricter(roles));
        assert!(mistake.starts_with("18: "), "{mistake}");
        assert_eq!(matching(&stricter(&advice(&mistake)), "prod-db"), 2, "{roles}: {mistake}");
    }
    for roles in [r#"["^prod-.*$"]"#, r#"["prod-??"]"#, r#"["prod-*"]"#, r#""prod-db""#, r#"['^prod-\w+$']"#]
    {
        assert_eq!(matching(&stricter(roles), "prod-db"), 2, "{roles}");
        assert_eq!(matching(&stricter(roles), "dba"), 1, "{roles}");
    }
}

#[test]
fn each_mistake_in_a_pattern_has_its_own_remedy() {
    let cases = [r#"["^prod-[$"]"#, r#"["^prod$-db$"]"#, r#"["prod-[a-z]+"]"#, r#"["a,b"]"#, r#"["^a|b$"]"#];
    insta::assert_snapshot!(cases.map(|roles| mistake(&stricter(roles))).join("\n"), @r#"
    18: "^prod-[$": it is not a regular expression as Teleport's roles have them (RE2), or a huge one; fix it, use * and ? such as "prod-*", or write "^\\^prod-\\[\\$$" for the role of exactly this name
    18: "^prod$-db$": a ^ or a $ in the middle can never match; keep only the first ^ and the last $, or write "^\\^prod\\$-db\\$$" for the role of exactly this name
    18: "prod-[a-z]+": it is written like a part of a regular expression; write "^prod-[a-z]+$" if it is a regular expression, or write "^prod-\\[a-z\\]\\+$" for the role of exactly this name
    18: "a,b": these look like several roles in one text; write ["a", "b"]
    18: "^a|b$": only the first alternative begins at ^, and only the last one ends at $; write "^(a|b)$"
    "#);
}

#[test]
fn a_role_of_any_name_has_a_pattern() {
    for name in ["prod-[a-z]+", r"CORP\admins", "a|b", "{x}", "prod-.*", "^dba"] {
        let mistake = mistake(&stricter(&format!("['{name}']")));
        let (_, literal) = mistake.rsplit_once("write ").unwrap();
        let literal = literal.strip_suffix(" for the role of exactly this name").unwrap();
        assert_eq!(matching(&stricter(&format!("[{literal}]")), name), 2, "{mistake}");
    }
}

#[test]
fn an_approver_who_can_never_decide_is_refused_with_what_to_write() {
    let cases = [
        r#""@dba-team""#,
        r#""*""#,
        r#""^bob$""#,
        r#""U0BOB""#,
        r#""U0DAVE""#,
        r#""<@U0BOB>""#,
        r#""<!subteam^S0DBA>""#,
        r#""<!subteam^S0DBA|@dba-team>""#,
        r#"" bob@example.com""#,
        r#""<mailto:bob@example.com|bob@example.com>""#,
        r##""#dba""##,
        r#""C012AB3CD""#,
        r#""bob,Carol@example.com""#,
        r#""dave""#,
        r#""dave@example.com""#,
        r#""carol@example.com""#,
    ];
    insta::assert_snapshot!(cases.map(|approvers| mistake(&approved_by(approvers))).join("\n"), @r##"
    19: "@dba-team": this is a handle in Slack; write the group's id (S…), which Slack copies from the group's menu, or the name of a Teleport user
    19: "*": patterns are for roles; an approver is named exactly; write the name of a Teleport user, or the id of a Slack user group (S…)
    19: "^bob$": patterns are for roles; an approver is named exactly; write the name of a Teleport user, or the id of a Slack user group (S…)
    19: "U0BOB": this is a Slack account, and rules name Teleport users; write "bob"
    19: "U0DAVE": this is a Slack account, and rules name Teleport users; write the name of that person's Teleport user
    19: "<@U0BOB>": this is a Slack account, and rules name Teleport users; write "bob"
    19: "<!subteam^S0DBA>": this is how a message mentions a user group; write "S0DBA"
    19: "<!subteam^S0DBA|@dba-team>": this is how a message mentions a user group; write "S0DBA"
    19: " bob@example.com": there are blanks around it, which no user's name has; write "bob@example.com"
    19: "<mailto:bob@example.com|bob@example.com>": this is a link to an address; write "bob@example.com"
    19: "#dba": this is a channel, and no channel decides; write the name of a Teleport user, or the id of a Slack user group (S…)
    19: "C012AB3CD": this is a channel, and no channel decides; write the name of a Teleport user, or the id of a Slack user group (S…)
    19: "bob,Carol@example.com": this looks like several in one; write ["bob", "Carol@example.com"]
    19: "dave": no configured link leads from a Slack user to this Teleport user, so no click could count as theirs; add a line such as U012AB3CD = "dave" to [review.users]
    19: "dave@example.com": no configured link leads from a Slack user to this Teleport user, so no click could count as theirs; add a line such as U012AB3CD = "dave@example.com" to [review.users], or allow_email_username_match = true to [review] if this is the address in Slack too
    19: "carol@example.com": no configured link leads from a Slack user to this Teleport user, so no click could count as theirs; write "Carol@example.com", as in [review.users]; capitals count
    "##);
    // What the remedy says to write is accepted, if it says it in full.
    for approvers in [
        r#""U0BOB""#,
        r#""<@U0BOB>""#,
        r#""<!subteam^S0DBA>""#,
        r#"" bob""#,
        r#""<mailto:Carol@example.com>""#,
        r#""bob,Carol@example.com""#,
        r#""carol@example.com""#,
    ] {
        let mistake = mistake(&approved_by(approvers));
        assert!(mistake.starts_with("19: "), "{mistake}");
        config(&approved_by(&advice(&mistake)));
    }
    let dave = approved_by("\"dave\"").replace("U0BOB = \"bob\"", "U0BOB = \"bob\"\nU012AB3CD = \"dave\"");
    config(&dave);
}

#[test]
fn an_id_of_slack_as_approver_is_not_to_be_linked() {
    for approver in ["T0DEMO", "B0BOT", "C0DBA", "u0bob"] {
        let mistake = mistake(&approved_by(&format!("\"{approver}\"")));
        assert!(mistake.contains("write the name of a Teleport user"), "{mistake}");
        assert!(!mistake.contains("U012AB3CD"), "{mistake}");
    }
}

#[test]
fn an_approver_that_a_mapping_may_lead_to_is_accepted() {
    let dave = approved_by("\"dave@example.com\"");
    let with_key = |key: &str| dave.replace("mode = ", &format!("{key}\nmode = "));
    assert_eq!(config(&with_key("allow_email_username_match = true")).review.unwrap().rules.0.len(), 2);
    config(&with_key("slack_user_id_trait = \"slack_uid\""));
    config(&with_key("slack_user_id_trait = \"slack_uid\"").replace("dave@example.com", "dave"));
    // A name that no address can equal.
    mistake(&with_key("allow_email_username_match = true").replace("dave@example.com", "dave"));
    // Where Teleport judges, or nothing is decided in Slack, no approver needs a mapping.
    config(&dave.replace("resolver", "reviewer"));
    config(&dave.replace("enabled = true", "enabled = false"));
    config(&format!("{dave}teleport_only = true\n"));
    // The table says that a Teleport user is called like a Slack account.
    let id_like = approved_by("\"U0X\"").replace("U0BOB = \"bob\"", "U0BOB = \"bob\"\nU0XYZ = \"U0X\"");
    assert!(warnings(&id_like).contains("has the form of a Slack id"), "{}", warnings(&id_like));
}

#[test]
fn two_spellings_of_an_approver_are_warned_of() {
    let both = approved_by("[\"bob\", \"Bob\"]").replace("mode = ", "slack_user_id_trait = \"t\"\nmode = ");
    insta::assert_snapshot!(warnings(&both), @r#"20 review.rule[2].approvers: "bob" and "Bob" differ in capitals only; keep the one that `tctl users ls` shows"#);
}

#[test]
fn the_table_and_the_trait_hold_bare_names() {
    let user =
        |user: &str| reviewing("").replace("U0BOB = \"bob\"", &format!("U0BOB = \"bob\"\nU0DAVE = {user}"));
    let cases =
        [r#"" dave""#, r#""@dave""#, r#""<mailto:dave@example.com|dave@example.com>""#, r#""<@U0DAVE>""#];
    insta::assert_snapshot!(cases.map(|text| mistake(&user(text))).join("\n"), @r#"
    13: " dave": there are blanks around it, which no user's name has; write "dave"
    13: "@dave": this is a handle in Slack; write the group's id (S…), which Slack copies from the group's menu, or the name of a Teleport user
    13: "<mailto:dave@example.com|dave@example.com>": this is a link to an address; write "dave@example.com"
    13: "<@U0DAVE>": this is no name of a Teleport user; write the user's name as `tctl users ls` shows it
    "#);
    for text in cases.iter().take(3).filter(|text| !text.contains("@dave\"")) {
        config(&user(&advice(&mistake(&user(text)))));
    }
    let named =
        |name: &str| reviewing("").replace("mode = ", &format!("slack_user_id_trait = {name}\nmode = "));
    for name in [r#"" slack_uid""#, r#""{{external.slack_uid}}""#, r#""external.slack_uid""#] {
        let config = config(&named(&advice(&mistake(&named(name)))));
        assert_eq!(config.review.unwrap().slack_user_id_trait.as_deref(), Some("slack_uid"));
    }
}

#[test]
fn recipients_by_role_speak_the_same_language() {
    let line = |key: &str| with(&format!("[role_to_recipients]\n\"*\" = \"ops\"\n{key} = \"dba\"\n"));
    for key in [r#""prod-[a-z]+""#, r#"" prod-db""#, r#""^prod-.*""#, r#""^prod-db|admin$""#] {
        let mistake = mistake(&line(key));
        assert!(mistake.starts_with("9: "), "{mistake}");
        let config = config(&line(&advice(&mistake)));
        assert!(
            config.role_to_recipients.iter().any(|(role, _)| role.as_str() != "*" && role.matches("prod-db"))
        );
    }
    insta::assert_snapshot!(mistake(&line(r#""dba,admin""#)), @r#"9: these look like several roles in one text; write a line for each: "dba" = … and "admin" = …"#);
    // Names as they were always written mean that one role.
    for name in ["dba", "k8s.admin", "team (emea)", "c++", "Prod_DB", "ops@example.com", "a/b", "a:b", "a b"]
    {
        let by_role = config(&line(&format!("\"{name}\""))).role_to_recipients;
        let (pattern, _) = by_role.last().unwrap();
        let others = ["dbaa", "k8sxadmin", "team emea", "cc", "prod_db", "a", ""];
        assert!(pattern.matches(name) && !others.iter().any(|other| pattern.matches(other)), "{name}");
    }
}

#[test]
fn a_wrong_number_of_votes_is_too_low_or_too_high() {
    let message = |key: &str, approvers: &str, value: &str| {
        let rule = approved_by(approvers).replace("U0BOB = \"bob\"", "U0BOB = \"bob\"\nU0D = \"dave\"");
        mistake(&format!("{rule}{key} = {value}\n"))
    };
    let range = |most: usize| {
        if most == 1 { "write 1".to_owned() } else { format!("write a number from 1 to {most}") }
    };
    for key in ["approvals", "denials"] {
        for (approvers, most) in [("\"bob\"", 1), ("[\"bob\", \"dave\"]", 2), ("[\"bob\", \"S0DBA\"]", 100)] {
            let few = format!("{key} must be at least 1; {}", range(most));
            let many = match most {
                100 => format!("{key} can be 100 at most; {}", range(most)),
                1 => format!(
                    "the rule names 1 approver, so that many {key} can never be given; {}, or name more approvers",
                    range(most)
                ),
                _ => format!(
                    "the rule names {most} approvers, so that many {key} can never be given; {}, or name more approvers",
                    range(most)
                ),
            };
            for value in ["0", "-1", "-100", "-9223372036854775809"] {
                assert!(message(key, approvers, value).ends_with(&few), "{}", message(key, approvers, value));
            }
            for value in ["101", "0xFFFF", "4294967297", "9223372036854775807", "99999999999999999999"] {
                assert!(
                    message(key, approvers, value).ends_with(&many),
                    "{}",
                    message(key, approvers, value)
                );
            }
            let rule = approved_by(approvers).replace("U0BOB = \"bob\"", "U0BOB = \"bob\"\nU0D = \"dave\"");
            for value in [1, most] {
                config(&format!("{rule}{key} = {value}\n"));
            }
        }
    }
    // No more than what is supported, however many are named.
    let hundred: Vec<_> = (0..150).map(|number| format!("\"user{number}\"")).collect();
    let rule = approved_by(&format!("[{}]", hundred.join(", ")))
        .replace("mode = ", "slack_user_id_trait = \"t\"\nmode = ");
    assert!(
        mistake(&format!("{rule}approvals = 101\n"))
            .ends_with("can be 100 at most; write a number from 1 to 100")
    );
    config(&format!("{rule}approvals = 100\n"));
}

#[test]
fn a_name_that_is_hardly_a_role_is_warned_of_with_what_to_write() {
    for (written, remedy, role) in [
        (
            "admin dba",
            r#"write ["admin", "dba"], or write "^admin dba$" if the role's name really has it"#,
            "admin dba",
        ),
        ("admin/dba", r#"write ["admin", "dba"], or write "^admin/dba$" if"#, "admin/dba"),
        ("admin & dba", r#"write ["admin", "dba"], or"#, "admin & dba"),
        ("'dba'", r#"write "dba", or write "^'dba'$" if"#, "'dba'"),
        ("\u{201c}dba\u{201d}", r#"write "dba", or write"#, "\u{201c}dba\u{201d}"),
        ("'admin' 'dba'", r#"write ["admin", "dba"], or"#, "'admin' 'dba'"),
        ("prod *", "write each as a text of its own", "prod db"),
    ] {
        let found = warnings(&stricter(&format!("[{written:?}]")));
        assert!(
            found.lines().any(|line| line.starts_with("18 ") && line.contains(remedy)),
            "{written}: {found}"
        );
        let literal = RolePattern::literal(written);
        if written != "prod *" && written.is_ascii() {
            assert_eq!(warnings(&stricter(&format!("['''{literal}''']"))), "", "{literal}");
            assert_eq!(matching(&stricter(&format!("['''{literal}''']")), role), 2, "{literal}");
        }
        let by_role = format!("[role_to_recipients]\n{written:?} = \"team\"\n");
        assert!(!warnings(&with(&by_role)).is_empty(), "{written}");
    }
    for honest in ["prod-db", "c++", "team+", "k8s.admin", "dba@corp", "a_b", "prod-*", "доступ"] {
        assert_eq!(warnings(&stricter(&format!("[{honest:?}]"))), "", "{honest}");
    }
}

#[test]
fn what_looks_like_another_role_is_said_wherever_it_stands() {
    for role in [
        "ad\u{217f}in",
        "db\u{1d41a}",
        "db\u{251}",
        "adm\u{131}n",
        "prod\u{2011}db",
        "prod\u{2024}db",
        "\u{fb01}nance",
    ] {
        assert!(warnings(&stricter(&format!("[{role:?}]"))).starts_with("18 "), "{role}");
        assert!(
            !warnings(&with(&format!("[role_to_recipients]\n{role:?} = \"team\"\n"))).is_empty(),
            "{role}"
        );
    }
    for (role, name) in [
        ("db\u{fffd}", "U+FFFD, which stands for a character that was lost"),
        ("db\u{1d159}", "U+1D159, an invisible"),
    ] {
        assert!(mistake(&stricter(&format!("[{role:?}]"))).contains(name), "{role}");
        assert!(
            mistake(&with(&format!("[role_to_recipients]\n{role:?} = \"team\"\n"))).contains(name),
            "{role}"
        );
    }
    let recipient = with("").replace("\"team\"", "\"te\u{fffd}m\"");
    assert!(mistake(&recipient).ends_with("which stands for a character that was lost; type it again"));
    assert!(mistake(&stricter("[\"\u{301}\"]")).contains("no role has an empty name"));
    assert!(mistake(&approved_by("[\"bob\", \"\u{301}\u{302}\"]")).contains("there is no letter in it"));
}
