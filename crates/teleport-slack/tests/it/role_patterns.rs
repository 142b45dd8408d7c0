//! Roles named by pattern. Beside `*` a stricter rule counts, in whichever form it is written, or the start is refused.
//! Patterns also choose the recipients of a role.

use access_sim::teleport::request::NewRequest;

use crate::harness::deciding::*;
use crate::harness::*;

/// The rule for every role, and one for these roles that needs two approvals.
fn wildcard_and_rule_for(roles: &str) -> String {
    format!(
        "{ANY_OF_THREE}\n[[review.rule]]\nroles = [{roles}]\napprovers = [\"bob@example.com\", \"dave@example.com\"]\n\
         approvals = 2\nreason = \"off\"\n"
    )
}

#[test]
fn one_click_does_not_approve_what_a_stricter_pattern_covers() {
    for roles in [r#""^d.*$""#, r#""^(dba|prod)$""#, r#""d?a""#, r#""d*""#] {
        run_in_process(async move {
            let (bed, daemon, id, message) =
                start_with_pending(Transport::Socket, &wildcard_and_rule_for(roles)).await;
            let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert_eq!(reply, "Your approval counts: 1 of 2 approvals.", "{roles}");
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await;
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
            daemon.stop().await;
        });
    }
}

#[test]
fn a_stricter_rule_that_could_never_match_ends_the_start() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let cases = [
            (
                wildcard_and_rule_for("\"prod-[a-z]+\""),
                r#"write "^prod-[a-z]+$" if it is a regular expression"#,
            ),
            (wildcard_and_rule_for("\" prod-db\""), r#"write "prod-db""#),
            (wildcard_and_rule_for("\"prod-db,admin\""), r#"write ["prod-db", "admin"]"#),
            (
                wildcard_and_rule_for("\"dba\"")
                    .replace("[\"bob@example.com\", \"dave", "[\"U0BOB\", \"dave"),
                r#"write "bob@example.com""#,
            ),
        ];
        for (review, remedy) in cases {
            let (code, log) = bed.run_to_exit(&bed.review_config(Transport::Socket, &review)).await;
            assert_eq!(code, Some(78), "{log}");
            assert!(log.contains(remedy) && log.contains("teleport-slack.toml:"), "{log}");
        }
        assert_eq!(bed.slack.calls().len(), 0);
    });
}

#[test]
fn a_role_with_a_character_that_no_user_sees_opens_nothing() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let with_only = |role: &str| {
            format!(
                "{ANY_OF_THREE}\n[[review.rule]]\nroles = \"{role}\"\napprovers = [\"bob@example.com\"]\nteleport_only = true\n"
            )
        };
        let id = bed.create_request();
        for (role, name) in [
            ("dba\u{200b}", "U+200B"),
            ("d\u{ad}ba", "U+00AD"),
            ("\u{feff}dba", "U+FEFF"),
            ("dba\u{a0}", "U+00A0"),
        ] {
            let config = bed.review_config(Transport::Socket, &with_only(role));
            let (code, log) = bed.run_to_exit(&config).await;
            assert_eq!(code, Some(78), "{log}");
            assert!(
                log.contains("review.rule[2].roles") && log.contains(name) && log.contains(r#"write "dba""#),
                "{log}"
            );
        }
        assert_eq!(bed.slack.calls().len(), 0, "no message was posted that a user could press");
        // As the remedy says: now the rule closes what it should.
        let daemon = bed.start_with_review(Transport::Socket, &with_only("dba")).await;
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert!(button_ids(&message).is_empty(), "{message:?}");
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_name_takes_precedence_over_patterns_and_the_star_covers_the_rest() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let rules = "[role_to_recipients]\n\"dba\" = \"C0DBA\"\n\"*\" = \"U0DAVE\"\n\"^a.*n$\" = \"team\"\n\"?????\" = \"bob@example.com\"";
        let daemon = bed.start(rules).await;
        let dba = bed.create_request();
        bed.until_status(&daemon, "C0DBA", &dba, "⏳ PENDING").await;
        let admin = bed.create_request_with(NewRequest::roles(&["admin"], "why"));
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &admin, "⏳ PENDING").await;
        }
        bed.until_recorded(&daemon, &admin, |record| field(record, "messages").split(',').count() == 2).await;
        let other = bed.create_request_with(NewRequest::roles(&["prod-a"], "why"));
        bed.until_status(&daemon, "U0DAVE", &other, "⏳ PENDING").await;
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 4);
    });
}
