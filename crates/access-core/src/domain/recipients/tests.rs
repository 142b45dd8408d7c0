use super::*;
use crate::domain::request::sample;
use proptest::prelude::*;

fn parse(text: &str) -> Recipient {
    Recipient::parse(text).unwrap()
}

fn rules(always: &[&str], by_role: &[(&str, &[&str])]) -> Rules {
    let parsed = |names: &[&str]| names.iter().map(|n| parse(n)).collect::<Vec<_>>();
    Rules {
        always: parsed(always),
        by_role: by_role.iter().map(|(r, n)| (RolePattern::parse(r).unwrap(), parsed(n))).collect(),
    }
}

#[track_caller]
fn assert_recipients(request: &AccessRequest, rules: &Rules, expected: &[&str]) {
    let notified: Vec<String> =
        recipients(request, rules).recipients.iter().map(ToString::to_string).collect();
    assert_eq!(notified, expected);
}

#[test]
fn every_form_of_recipient_is_recognized() {
    assert_eq!(parse("C0TEAM"), Recipient::ChannelId("C0TEAM".into()));
    assert_eq!(parse("G012AB"), Recipient::ChannelId("G012AB".into()));
    assert_eq!(parse("D012AB"), Recipient::DirectMessage("D012AB".into()));
    assert_eq!(parse("W012AB"), Recipient::User(SlackUserId::new("W012AB")));
    assert_eq!(parse("Bob.Ö@Example.com"), Recipient::Email("bob.ö@example.com".into()));
    assert_eq!(parse("#dba-approvers"), Recipient::ChannelName("dba-approvers".into()));
    for name in ["zugänge-prod_1", "アクセス申請", "हिन्दी", "c02"] {
        assert_eq!(parse(name), Recipient::ChannelName(name.into()));
    }
}

#[test]
fn an_invalid_recipient_is_refused_with_its_reason() {
    use InvalidRecipient::*;
    let long = "x".repeat(81);
    let cases = [
        ("", Empty),
        (" ", Empty),
        ("#", NotAName),
        ("##team", NotAName),
        ("team.a", NotAName),
        ("<!channel>", NotAName),
        ("two words", Spaces),
        (" team", Spaces),
        ("a@x.com,b@x.com", Several),
        ("@bob", NotAnEmail),
        ("bob@", NotAnEmail),
        ("a@b@c", NotAnEmail),
        ("bob:hunter2@example.com", NotAnEmail),
        ("<mailto:bob@example.com|bob@example.com>", Link),
        ("<#C0TEAM|my team>", Link),
        ("<@U0BOB>", Link),
        ("https://acme.slack.com/archives/C0TEAM", Link),
        ("S0DBA", Group),
        ("<!subteam^S0DBA|@dba>", Group),
        ("SRE", Capitals),
        ("Team", Capitals),
        (long.as_str(), TooLong),
    ];
    for (text, expected) in cases {
        assert_eq!(Recipient::parse(text), Err(expected), "{text:?}");
    }
    assert!(Recipient::parse(&"ö".repeat(80)).is_ok());
    for (text, character) in [
        ("te\u{200b}am", "character 3 is U+200B"),
        ("C0TEAM\u{feff}", "character 7 is U+FEFF"),
        ("bob@example.com\u{2060}", "character 16 is U+2060"),
        ("two\u{a0}words", "character 4 is U+00A0"),
        ("a\u{0}b", "character 2 is U+0000"),
    ] {
        let error = Recipient::parse(text).unwrap_err();
        assert!(matches!(error, Unseen(_)) && error.to_string().starts_with(character), "{text:?}: {error}");
    }
}

#[test]
fn common_recipients_come_before_those_of_roles_and_suggested_reviewers() {
    let request = AccessRequest {
        roles: vec!["dba".into(), "admin".into()],
        suggested_reviewers: vec!["dave@example.com".into(), "octocat".into(), "bob@example.com".into()],
        ..sample()
    };
    let rules =
        rules(&["C0TEAM", "bob@example.com"], &[("dba", &["dba-approvers"]), ("*", &["C0TEAM", "ops"])]);
    let notified = ["C0TEAM", "bob@example.com", "#dba-approvers", "#ops", "dave@example.com", "@octocat"];
    assert_recipients(&request, &rules, &notified);
    let invalid: Vec<_> = ["", " ", "a\nb", &"x".repeat(300)].map(str::to_owned).into();
    let audience = recipients(&AccessRequest { suggested_reviewers: invalid, ..request }, &rules);
    assert_eq!((audience.unaddressable.names().len(), audience.recipients.len()), (4, 4));
}

#[test]
fn a_role_with_an_entry_does_not_get_the_star() {
    let rules = rules(&[], &[("dba", &["dba-approvers"]), ("*", &["ops"])]);
    assert_recipients(&sample(), &rules, &["#dba-approvers"]);
    assert_recipients(&AccessRequest { roles: vec!["root".into()], ..sample() }, &rules, &["#ops"]);
    assert_recipients(&AccessRequest { roles: vec![], ..sample() }, &rules, &[]);
}

#[test]
fn a_name_beats_patterns_and_all_matching_patterns_count() {
    let rules = rules(
        &[],
        &[
            ("*", &["ops"]),
            ("prod-*", &["prod"]),
            ("prod-db", &["dba"]),
            ("^prod-(web|api)$", &["web", "prod"]),
            ("dev-?", &["dev"]),
        ],
    );
    for (role, notified) in [
        ("prod-db", &["#dba"][..]),
        ("prod-web", &["#prod", "#web"]),
        ("prod-x", &["#prod"]),
        ("dev-1", &["#dev"]),
        ("dev-12", &["#ops"]),
        ("root", &["#ops"]),
        // Names that look like the patterns, as a role may be called.
        ("prod-*", &["#prod"]),
        ("*", &["#ops"]),
    ] {
        assert_recipients(&AccessRequest { roles: vec![role.into()], ..sample() }, &rules, notified);
    }
    let all = vec!["root".into(), "prod-web".into(), "prod-db".into()];
    assert_recipients(&AccessRequest { roles: all, ..sample() }, &rules, &["#ops", "#prod", "#web", "#dba"]);
}

#[test]
fn the_requester_is_not_asked() {
    let rules = rules(&["Alice@Example.com", "bob@example.com"], &[]);
    let suggested_reviewers = vec!["ALICE@example.com".into(), " alice@example.com".into()];
    assert_recipients(&AccessRequest { suggested_reviewers, ..sample() }, &rules, &["bob@example.com"]);
    let named = AccessRequest { user: "alice".into(), ..sample() };
    let suggested_reviewers = vec!["alice".into(), "Alice".into(), "bob".into()];
    assert_recipients(&AccessRequest { suggested_reviewers, ..named }, &Rules::default(), &["@bob"]);
    let found = [
        (parse("U0ALICE"), ResolvedTo::Requester),
        (parse("U0BOB"), ResolvedTo::User(SlackUserId::new("U0BOB"))),
        (parse("bob@example.com"), ResolvedTo::User(SlackUserId::new("U0BOB"))),
    ];
    let expected = Destination {
        post_to: "U0BOB".into(),
        recipient_keys: vec![parse("U0BOB").key(), parse("bob@example.com").key()],
    };
    assert_eq!(destinations(&found), [expected]);
}

#[test]
fn the_requester_is_known_by_accounts_and_addresses() {
    let person = |ids: &[&str], email: Option<&str>| SlackUser {
        ids: ids.iter().copied().map(SlackUserId::new).collect(),
        email: email.map(str::to_owned),
    };
    let requester = Requester::new("alice@example.com", [SlackUserId::new("W0ALICE")]);
    assert!(requester.matches(&person(&["U0ALICE"], Some("Alice@Example.com"))));
    assert!(requester.matches(&person(&["U0ALICE", "W0ALICE"], None)));
    assert!(requester.matches(&person(&["W0ALICE"], Some("other@example.com"))));
    assert!(!requester.matches(&person(&["U0BOB"], Some("bob@example.com"))));
    assert!(!Requester::default().matches(&person(&["U0BOB"], None)));
}

#[test]
fn a_few_unnotified_reviewers_are_named() {
    let mut unnotified = UnnotifiedReviewers::default();
    (0..95).for_each(|n| unnotified.push(&format!("unknown-{n}{}", "x".repeat(100))));
    assert_eq!((unnotified.names().len(), unnotified.more()), (5, 90));
    assert!(unnotified.names().iter().all(|name| name.chars().count() <= 65), "{unnotified}");
    assert_eq!(unnotified.clone().truncated(), unnotified);
    let read: UnnotifiedReviewers =
        serde_json::from_str(&format!("{{\"n\":{:?}}}", vec!["a".repeat(9_000); 90])).unwrap();
    assert_eq!((read.clone().truncated().names().len(), read.truncated().more()), (5, 85));
}

#[test]
fn suggestions_cannot_push_out_the_operators_recipients() {
    let suggested_reviewers = (0..500).map(|n| format!("u{n}@example.com")).collect();
    let audience = recipients(&AccessRequest { suggested_reviewers, ..sample() }, &rules(&["C0TEAM"], &[]));
    assert_eq!(audience.recipients.len(), MAX_RECIPIENTS);
    assert_eq!(audience.omitted, 401);
    assert!(audience.recipients.contains(&parse("C0TEAM")));
}

proptest! {
    #[test]
    fn any_text_is_refused_or_has_a_stable_key(text in any::<String>()) {
        if let Ok(recipient) = Recipient::parse(&text) {
            prop_assert_eq!(Recipient::parse(recipient.key().as_str()), Ok(recipient));
        }
    }
}
