//! Names that differ only in capitals: refused with the true reason, or accepted if the operator allows it and no other
//! user matches.

use access_sim::teleport::fixture::Rule;
use access_sim::teleport::request::NewRequest;

use crate::harness::deciding::*;
use crate::harness::*;

const CAROL: &str = "Carol@Example.com";
const EMAIL_MATCH: &str = "mode = \"resolver\"\nallow_email_username_match = true\n[[review.rule]]\nroles = \"*\"\n\
                          approvers = [\"Carol@Example.com\"]\nreason = \"off\"";
const CAPITALS_REPLY: &str = "Your Slack account leads to “carol@example.com”, but Teleport's user is called “Carol@Example.com”: capitals \
                   count, so nothing was changed; an administrator can link your account to that user.";

/// Single sign-on made carol with the capitals of the identity provider; the plugin has these verbs on users.
async fn new_bed(verbs: &[&str]) -> TestBed {
    let bed = TestBed::with_review().await;
    bed.teleport.edit_fixture(|fixture| {
        fixture.user_mut("carol@example.com").unwrap().name = CAROL.to_owned();
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        fixture
            .role_mut(PLUGIN_RW)
            .unwrap()
            .allow
            .rules
            .push(Rule { resources: vec!["user".to_owned()], verbs });
    });
    bed
}

#[test]
fn an_address_in_other_capitals_gets_the_true_name() {
    run_in_process(async {
        let bed = new_bed(&["list", "read"]).await;
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, EMAIL_MATCH).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await, CAPITALS_REPLY);
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn ignore_email_case_accepts_other_capitals_if_one_user_matches() {
    run_in_process(async {
        let bed = new_bed(&["list", "read"]).await;
        let review = EMAIL_MATCH.replace("mode =", "ignore_email_case = true\nmode =");
        let (daemon, _, message) = bed.start_with_buttons(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
            "The request is approved."
        );
        // Now two users match.
        bed.teleport.edit_fixture(|fixture| {
            let twin = fixture.user_mut(CAROL).unwrap().clone();
            fixture
                .users
                .push(access_sim::teleport::fixture::User { name: "carol@example.com".to_owned(), ..twin });
        });
        let other = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        let reply = bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await;
        assert!(
            reply.starts_with("Your Slack account does not lead to exactly one Teleport user"),
            "{reply}"
        );
        bed.assert_untouched(&daemon, &other);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn ignore_email_case_without_the_list_right_explains_capitals() {
    run_in_process(async {
        for verbs in [&["read"][..], &[]] {
            let bed = new_bed(verbs).await;
            let review = EMAIL_MATCH.replace("mode =", "ignore_email_case = true\nmode =");
            let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
            let reply = bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await;
            assert!(reply.contains("capitals count"), "{reply}");
            bed.assert_untouched(&daemon, &id);
            bed.stop_and_check_secrets(daemon).await;
        }
    });
}

#[test]
fn tables_rules_and_suggestions_in_other_capitals_are_explained() {
    run_in_process(async {
        let bed = new_bed(&["list", "read"]).await;
        // The table writes carol with other capitals than Teleport.
        let table = "mode = \"resolver\"\n[review.users]\nU0CAROL = \"carol@example.com\"\nU0BOB = \"Bob@example.com\"\n\
                     [[review.rule]]\nroles = \"*\"\napprovers = [\"carol@example.com\"]";
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, table).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await, CAPITALS_REPLY);
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;

        // Without rules the suggested reviewers decide, whose names the requester wrote.
        let links = "mode = \"resolver\"\n[review.users]\nU0BOB = \"bob@example.com\"";
        let daemon = bed.start_with_review(Transport::Http, links).await;
        let suggested_reviewers = vec!["Bob@Example.com".to_owned()];
        let id =
            bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "") });
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "This request suggests “Bob@Example.com”, but you are “bob@example.com” in Teleport: capitals count, so nothing \
             was changed; decide it in Teleport."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;

        // A rule in other capitals, which the trait's link makes possible.
        let rule = "mode = \"resolver\"\nslack_user_id_trait = \"slack_uid\"\n[review.users]\nU0BOB = \"bob@example.com\"\n\
                    [[review.rule]]\nroles = \"*\"\napprovers = [\"Bob@Example.com\"]";
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, rule).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "The rule for role “dba” names “Bob@Example.com”, but you are “bob@example.com” in Teleport: capitals count, so \
             nothing was changed; an administrator must correct the rule."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}
