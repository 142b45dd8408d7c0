//! Every remedy is taken literally, and what it leads to is accepted.

use super::*;

/// One recipient, as TOML has it.
fn with_recipients(recipient: &str) -> String {
    with("").replace("[\"team\"]", &format!("[{recipient}]"))
}

#[track_caller]
fn check_recipient(written: &str, expected: &str) {
    let mistake = mistake(&with_recipients(written));
    let config = config(&with_recipients(advice(&mistake).trim_matches(['[', ']'])));
    let found: Vec<_> = config.slack.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(found.join(" "), expected, "{written}: {mistake}");
}

#[test]
fn of_recipients() {
    check_recipient(r#""https://acme.slack.com/archives/C0TEAM""#, "C0TEAM");
    check_recipient(r#""https://acme.slack.com/archives/C0TEAM/p1690000000000000""#, "C0TEAM");
    check_recipient(r#""https://app.slack.com/client/T0US/C0TEAM""#, "C0TEAM");
    check_recipient(r#""slack://channel?team=T0US&id=C0TEAM""#, "C0TEAM");
    check_recipient(r#""<#C0TEAM>""#, "C0TEAM");
    check_recipient(r#""<#C0TEAM|my team>""#, "C0TEAM");
    check_recipient(r##""#C0TEAM""##, "C0TEAM");
    check_recipient(r#""<@U0BOB|bob>""#, "U0BOB");
    check_recipient(r#""@U0BOB""#, "U0BOB");
    check_recipient(r#""<mailto:bob@example.com|bob@example.com>""#, "bob@example.com");
    check_recipient(r#""mailto:bob@example.com""#, "bob@example.com");
    check_recipient(r#""Bob Smith <bob@example.com>""#, "bob@example.com");
    check_recipient(r##""#Team""##, "#team");
    check_recipient(r#""DevOps""#, "#devops");
    check_recipient(r#"" team""#, "#team");
    check_recipient(r#""team, devops""#, "#team #devops");
}

/// All texts in quotes that the remedy says to write.
fn readings(mistake: &str) -> Vec<String> {
    let (_, remedy) = mistake.split_once("; ").unwrap();
    remedy
        .split("write \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(text, _)| text.to_owned())
        .collect()
}

#[test]
fn of_an_id_in_mixed_letters_both_readings_are_named() {
    for (written, id, name) in [
        ("U0bob", Some("U0BOB"), "#u0bob"),
        ("u0BOB", Some("U0BOB"), "#u0bob"),
        ("#U0bob", Some("U0BOB"), "#u0bob"),
        ("W012ab3CD", Some("W012AB3CD"), "#w012ab3cd"),
        ("C0team", Some("C0TEAM"), "#c0team"),
        ("g0Team", Some("G0TEAM"), "#g0team"),
        ("D0direct", Some("D0DIRECT"), "#d0direct"),
        // A group gets no message, whatever letters it is written in.
        ("S0dba", None, "#s0dba"),
        // No id has these forms.
        ("Team1", None, "#team1"),
        ("Db-Team", None, "#db-team"),
        ("Data", None, "#data"),
    ] {
        let mistake = mistake(&with_recipients(&format!("{written:?}")));
        let taken: Vec<_> = readings(&mistake)
            .iter()
            .map(|text| {
                config(&with_recipients(&format!("{text:?}")))
                    .slack
                    .recipients
                    .iter()
                    .map(ToString::to_string)
                    .collect::<String>()
            })
            .collect();
        assert_eq!(taken, id.into_iter().chain([name]).collect::<Vec<_>>(), "{mistake}");
        assert_eq!(mistake.contains("user group"), written.starts_with('S'), "{mistake}");
    }
    insta::assert_snapshot!(["U0bob", "C0team", "S0dba"].map(|text| mistake(&with_recipients(&format!("{text:?}")))).join("\n"), @r#"
    6: "U0bob": ids are in capitals, and names of channels are in small letters; if it is a person's Slack id, write "U0BOB"; if it is a channel's name, write "u0bob"
    6: "C0team": ids are in capitals, and names of channels are in small letters; if it is a channel's id, write "C0TEAM"; if it is a channel's name, write "c0team"
    6: "S0dba": ids are in capitals, and names of channels are in small letters; if it is a user group, write a channel that its members read, or each person's e-mail address or Slack id (U…); if it is a channel's name, write "s0dba"
    "#);
}

#[test]
fn of_two_mistakes_in_one_text() {
    check_recipient(r#"" Team""#, "#team");
    check_recipient("\"#Team\u{200b}\"", "#team");
    check_recipient("\"\u{feff}<#C0TEAM>\"", "C0TEAM");
    check_recipient(r#"" <mailto:Bob@example.com>""#, "bob@example.com");
    check_recipient("\"bob@example.com\u{200b}\"", "bob@example.com");
    // What no remedy can say in full, none says as if it could.
    for written in [r#""Team, devops""#, r#""<mailto:bob>""#, r#"" two words""#, r#"" S0DBA""#] {
        let mistake = mistake(&with_recipients(written));
        for text in readings(&mistake) {
            config(&with_recipients(&format!("{text:?}")));
        }
    }
    let rule = |roles: &str, approvers: &str| {
        with(&format!(
            "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n[[review.rule]]\nroles = {roles}\n\
             approvers = {approvers}\n"
        ))
    };
    for roles in [
        r#"" prod-.*""#,
        r#"" a,b ""#,
        "\"prod-.*\u{200b}\"",
        "\" \u{200b}^a|b$\"",
        r#""^a)|(b$""#,
        r#"" ^prod""#,
    ] {
        let mistake = mistake(&rule(roles, "\"bob\""));
        for text in readings(&mistake) {
            config(&rule(&format!("\"{text}\""), "\"bob\""));
        }
    }
    for approvers in [
        r#"" <@U0BOB>""#,
        r#""mailto: bob@example.com""#,
        r#"" @dba""#,
        r#""bob, U0BOB1""#,
        r#""<mailto:@bob>""#,
    ] {
        let mistake = mistake(&rule("\"a\"", approvers));
        for text in readings(&mistake) {
            config(&rule("\"a\"", &format!("\"{text}\"")));
        }
        assert!(!mistake.contains("write [") || !approvers.contains("U0BOB"), "{mistake}");
    }
}

#[test]
fn a_user_group_is_no_channel_in_capitals() {
    for group in ["S0DBA", "S0123ABCD"] {
        let mistake = mistake(&with_recipients(&format!("{group:?}")));
        insta::allow_duplicates! {
            let shown = mistake.replace(group, "GROUP");
            insta::assert_snapshot!(shown, @r#"6: "GROUP": this is a user group, and a message goes to a channel or a person; write a channel that its members read, or each person's e-mail address or Slack id (U…)"#);
        }
    }
    // No id begins so.
    assert!(mistake(&with_recipients("\"SRE1\"")).ends_with("if it is a channel's name, write \"sre1\""));
    assert!(!mistake(&with_recipients(r#""<!subteam^S0DBA|@dba>""#)).contains("write \""));
}

#[test]
fn of_broken_toml() {
    let broken = |line: &str| mistake(&with(&format!("[log]\n{line}\n")));
    let cases = [
        r#"output = "C:\logs\slack.log""#,
        r#"output = "C:\users\slack.log""#,
        "severity = “INFO”",
        "severity = INFO",
        "severity INFO",
        "severity: INFO",
        "severity = \"INFO",
    ];
    insta::assert_snapshot!(cases.map(broken).join("\n"), @r#"
    8: not valid TOML, column 14: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`; put the text in single quotes, or write each backslash twice
    8: not valid TOML, column 15: too few unicode value digits, expected unicode hexadecimal value; put the text in single quotes, or write each backslash twice
    8: not valid TOML, column 12: string values must be quoted, expected literal string; write straight quotes (") in place of the curved ones
    8: not valid TOML, column 12: invalid float, expected `inf`; put the text in double quotes
    8: not valid TOML, column 10: key with no value, expected `=`; write key = "value", or start the line with # if it is a comment
    8: not valid TOML, column 9: invalid unquoted key, expected letters, numbers, `-`, `_`; write = in place of the colon: key = "value"; a table is a line such as [slack]
    8: not valid TOML, column 17: invalid basic string, expected `"`; look for a missing quote, bracket or comma here or in the line before
    "#);
    // What each says, done.
    for line in [r"output = 'C:\logs/slack.log'", r#"output = "C:\\logs/slack.log""#, "severity = \"INFO\""] {
        config(&with(&format!("[log]\n{line}\n")));
    }
    for word in ["True", "yes", "on", "FALSE"] {
        let text = with("").replace("identity =", &format!("refresh_identity = {word}\nidentity ="));
        assert!(
            mistake(&text).ends_with("write true or false, in small letters and without quotes"),
            "{word}"
        );
    }
    assert!(
        mistake(&with("").replace("identity =", "refresh_identity = \"true\"\nidentity ="))
            .ends_with(", without quotes")
    );
}

#[test]
fn of_paths() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    for (name, text) in
        [("secrets/token", "xoxb-1"), ("token.txt", "xoxb-1"), ("signing", "0123456789signing")]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let path = dir.path().join("c.toml");
    let loaded = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&path)
    };
    // A token's file, relative as other paths may be.
    for name in ["secrets/token", "./secrets/token", "token.txt"] {
        let text = with("").replace("xoxb-1", name);
        let error = loaded(&text).unwrap_err().to_string();
        let literal = error.split("write ").nth(1).unwrap().trim();
        let fixed = loaded(&text.replace(&format!("{name:?}"), literal)).unwrap();
        assert_eq!(fixed.config.slack.token.expose(), "xoxb-1", "{error}");
    }
    // A word that is a file is not taken for the secret itself.
    let review = "[review]\nenabled = true\nslack_user_id_trait = \"t\"\nsigning_secret = \"signing\"\n";
    let error = loaded(&with(review)).unwrap_err().to_string();
    assert!(error.contains("this is a relative path of a file"), "{error}");
    // Nor a name of one that is not there.
    for name in ["secret.txt", "./secret"] {
        let error =
            loaded(&with(&review.replace("signing\"", &format!("{name}\"")))).unwrap_err().to_string();
        assert!(error.contains("this is not a token") && error.contains("by its absolute path"), "{error}");
    }
    // A log beside the configuration.
    let error = loaded(&with("[log]\noutput = \"slack.log\"\n")).unwrap_err().to_string();
    let literal = error.split(", or ").last().unwrap().split(" for a file").next().unwrap();
    let fixed = loaded(&with(&format!("[log]\noutput = {literal}\n"))).unwrap();
    let LogOutput::File(log) = fixed.config.log.output else { panic!("{error}") };
    assert_eq!(log.parent(), Some(dir.path()));
    std::fs::write(log, "it can be written").unwrap();
}

#[test]
fn warnings_do_not_contradict_each_other() {
    // Renamed by one and removed by the other.
    for line in ["notify-only = true", "notify-only = false", "Notify_Only = true"] {
        let warned = warnings(&with("").replace("recipients =", &format!("{line}\nrecipients =")));
        assert!(!warned.contains("write `notify_only`") && warned.lines().count() == 1, "{line}: {warned}");
    }
    for line in ["refresh-identity = false", "refresh-identity-interval = \"1m\""] {
        let warned = warnings(&with("").replace("identity =", &format!("{line}\nidentity =")));
        assert!(warned.lines().count() == 1 && warned.ends_with("remove it"), "{line}: {warned}");
    }
}

/// A file with a warning, and what its remedy makes of it.
#[track_caller]
fn check_ends(given: &str, fixed: &str) {
    assert_ne!(warnings(given), "", "{given}");
    assert_eq!(warnings(fixed), "", "{}", warnings(given));
}

#[test]
fn of_warnings() {
    let slack = |line: &str| with("").replace("recipients =", &format!("{line}\nrecipients ="));
    check_ends(&slack("notify_only = true"), &with(""));
    check_ends(&with("").replace("addr", "auth_server"), &with(""));
    check_ends(&with("").replace("recipients = [\"team\"]", "channel = \"team\""), &with(""));
    check_ends(&with_recipients(r#""team", "team""#), &with(""));
    check_ends(&with_recipients(r#""DBA""#), &with_recipients(r#""dba""#));
    check_ends(&with("").replace("recipients = [\"team\"]", ""), &with(""));
    check_ends(&with("[http]\nlisten_addr = \":1\"\n"), &with(""));
    let on = "[review]\nenabled = true\napp_token = \"xapp-1\"\n";
    let by_trait = format!("{on}slack_user_id_trait = \"t\"\n");
    check_ends(&with(&format!("{by_trait}ignore_email_case = true\n")), &with(&by_trait));
    check_ends(
        &with(&format!("{by_trait}ignore_email_case = true\n")),
        &with(&format!("{by_trait}ignore_email_case = true\nallow_email_username_match = true\n")),
    );
}

#[test]
fn of_choices_numbers_and_addresses() {
    for (wrong, key) in [("[log]\nseverity = \"LOUD\"\n", "LOUD"), ("[log]\nformat = \"xml\"\n", "xml")] {
        let remedy = mistake(&with(wrong));
        for word in remedy.rsplit_once("write ").unwrap().1.split(" or ") {
            config(&with(&wrong.replace(&format!("{key:?}"), word)));
        }
    }
    for (written, given) in [("addr = \"https://a:1\"", "addr = \"a\""), ("addr = \"::1\"", "addr = \"a\"")] {
        let remedy = mistake(&with("").replace(given, written));
        let examples: Vec<_> = remedy.split('"').skip(3).step_by(2).collect();
        assert!(!examples.is_empty(), "{remedy}");
        for example in examples {
            config(&with("").replace(given, &format!("addr = {example:?}")));
        }
    }
    let api = |url: &str| with("").replace("recipients =", &format!("api_url = {url:?}\nrecipients ="));
    for example in mistake(&api("slack.com")).split('"').skip(1).step_by(2) {
        config(&api(example));
    }
    let listen = |addr: &str| with(&format!("[diagnostics]\nlisten_addr = {addr:?}\n"));
    for example in mistake(&listen("9091")).split("write it as").nth(1).unwrap().split('"').skip(1).step_by(2)
    {
        config(&listen(example));
    }
    let rule = |approvals: &str| {
        with(&format!(
            "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n[[review.rule]]\nroles = \"a\"\n\
             approvers = [\"bob\", \"carol\"]\napprovals = {approvals}\n"
        ))
    };
    assert!(mistake(&rule("3")).contains("a number from 1 to 2"));
    for number in ["1", "2"] {
        config(&rule(number));
    }
    config(&rule("3").replace("\"carol\"]", "\"carol\", \"dave\"]"));
}

#[test]
fn no_remedy_leads_to_what_is_wrong_too() {
    for (id, kind) in
        [("T0DEMO", "a workspace"), ("B0BOT", "a bot"), ("A0APP", "an app"), ("E012AB3CD", "an organization")]
    {
        let mistake = mistake(&with_recipients(&format!("{id:?}")));
        assert!(mistake.contains(&format!("this is the id of {kind}, where no message goes")), "{mistake}");
        assert!(!mistake.contains(&id.to_lowercase()), "{mistake}");
    }
    check_recipient(r#""E2E""#, "#e2e");
    check_recipient(r#""T-34""#, "#t-34");
    let review = |link: &str, approver: &str| {
        with(&format!(
            "[review]\nenabled = true\napp_token = \"xapp-1\"\n{link}\n[[review.rule]]\nroles = \"a\"\napprovers = [{approver:?}]\n"
        ))
    };
    let unlinked = "allow_email_username_match = true";
    let mistake_of_group = mistake(&review(unlinked, "s0dba"));
    assert_eq!(advice(&mistake_of_group), "\"S0DBA\"", "{mistake_of_group}");
    config(&review(unlinked, "S0DBA"));
    assert!(mistake(&review(unlinked, "sre1")).contains("[review.users]"));
    let by_trait = "slack_user_id_trait = \"t\"";
    assert!(
        warnings(&review(by_trait, "s0dba")).contains("write \"S0DBA\", unless a Teleport user is called so")
    );
    assert_eq!(warnings(&review(by_trait, "sre1")), "");
    assert!(
        warnings(&review("slack_user_id_trait = \"\u{455}lack_uid\"", "bob")).contains("write \"slack_uid\"")
    );
    let output = |output: &str| with(&format!("[log]\noutput = {output:?}\n"));
    for (written, meant) in [("stderr ", "stderr"), ("STDERR", "stderr"), (" Stdout", "stdout")] {
        let mistake = mistake(&output(written));
        assert_eq!(advice(&mistake), format!("{meant:?}"), "{mistake}");
        assert!(!mistake.contains("./"), "{mistake}");
        config(&output(meant));
    }
    assert!(
        mistake(&review(by_trait, "bob").replace("roles = \"a\"", "roles = \"^$\""))
            .ends_with("or \"*\" for every role")
    );
    assert!(mistake(&with("[role_to_recipients]\n\"^$\" = \"team\"\n")).ends_with("or \"*\" for all others"));
    for url in [
        "https://slack.com/",
        "https://slack.com",
        "https://corp.slack.com/api/v1",
        "https://slack..com/api/",
    ] {
        let mistake = mistake(&with("").replace("recipients =", &format!("api_url = {url:?}\nrecipients =")));
        assert!(mistake.contains("write it as \"https://slack.com/api/\""), "{mistake}");
    }
    let long = format!("{}.b:3025", "a".repeat(64));
    for addr in ["a..b:3025", ".a:3025", "a..:3025", &long] {
        let mistake = mistake(&with("").replace("addr = \"a\"", &format!("addr = {addr:?}")));
        assert!(mistake.contains("is no address: "), "{mistake}");
    }
    for addr in ["a.b.:3025", "127.0.0.1:3025", "[::1]:3025", "a_b-c"] {
        config(&with("").replace("addr = \"a\"", &format!("addr = {addr:?}")));
    }
}
