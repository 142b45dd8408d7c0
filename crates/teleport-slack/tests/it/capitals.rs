//! Names that differ in capitals only: refused with the true reason, or let in where the operator says so and nobody else
//! fits.

use access_sim::teleport::request::NewRequest;
use access_sim::teleport::world::Rule;

use crate::harness::deciding::*;
use crate::harness::*;

const CAROL: &str = "Carol@Example.com";
const BY_ADDRESS: &str = "mode = \"resolver\"\nallow_email_username_match = true\n[[review.rule]]\nroles = \"*\"\n\
                          approvers = [\"Carol@Example.com\"]\nreason = \"off\"";
const WHY: &str = "Your Slack account leads to “carol@example.com”, but Teleport's user is called “Carol@Example.com”: capitals \
                   count, so nothing was changed; an administrator can link your account to that user.";

/// Single sign-on made carol with the capitals of the identity provider; the plugin may do these things with users.
async fn new_bed(verbs: &[&str]) -> TestBed {
    let bed = TestBed::with_review().await;
    bed.teleport.edit_fixture(|world| {
        world.user_mut("carol@example.com").unwrap().name = CAROL.to_owned();
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        world
            .role_mut(PLUGIN_RW)
            .unwrap()
            .allow
            .rules
            .push(Rule { resources: vec!["user".to_owned()], verbs });
    });
    bed
}

#[test]
fn an_address_in_other_capitals_is_told_the_true_name() {
    run_test(async {
        let bed = new_bed(&["list", "read"]).await;
        let daemon = bed.start_with_review(Transport::Http, BY_ADDRESS).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &card, "approve").await, WHY);
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_operator_may_let_capitals_not_count_if_one_user_fits() {
    run_test(async {
        let bed = new_bed(&["list", "read"]).await;
        let review = BY_ADDRESS.replace("mode =", "ignore_email_case = true\nmode =");
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &card, "approve").await,
            "The request is approved."
        );
        // Now there are two.
        bed.teleport.edit_fixture(|world| {
            let twin = world.user_mut(CAROL).unwrap().clone();
            world
                .users
                .push(access_sim::teleport::world::User { name: "carol@example.com".to_owned(), ..twin });
        });
        let other = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        let told = bed.press_for_reply(&daemon, "U0CAROL", &card, "approve").await;
        assert!(told.starts_with("Your Slack account does not lead to exactly one Teleport user"), "{told}");
        bed.assert_untouched(&daemon, &other);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn without_the_list_the_rule_tells_of_capitals() {
    run_test(async {
        for verbs in [&["read"][..], &[]] {
            let bed = new_bed(verbs).await;
            let review = BY_ADDRESS.replace("mode =", "ignore_email_case = true\nmode =");
            let daemon = bed.start_with_review(Transport::Http, &review).await;
            let id = bed.create_request();
            let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let told = bed.press_for_reply(&daemon, "U0CAROL", &card, "approve").await;
            assert!(told.contains("capitals count"), "{told}");
            bed.assert_untouched(&daemon, &id);
            bed.stop_and_check_secrets(daemon).await;
        }
    });
}

#[test]
fn a_table_a_rule_and_a_suggestion_in_other_capitals_say_so() {
    run_test(async {
        let bed = new_bed(&["list", "read"]).await;
        // The table names carol otherwise than Teleport does.
        let table = "mode = \"resolver\"\n[review.users]\nU0CAROL = \"carol@example.com\"\nU0BOB = \"Bob@example.com\"\n\
                     [[review.rule]]\nroles = \"*\"\napprovers = [\"carol@example.com\"]";
        let daemon = bed.start_with_review(Transport::Http, table).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &card, "approve").await, WHY);
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;

        // Without rules the suggested reviewers decide, whom the requester wrote.
        let links = "mode = \"resolver\"\n[review.users]\nU0BOB = \"bob@example.com\"";
        let daemon = bed.start_with_review(Transport::Http, links).await;
        let suggested_reviewers = vec!["Bob@Example.com".to_owned()];
        let id =
            bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "") });
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
            "This request suggests “Bob@Example.com”, but you are “bob@example.com” in Teleport: capitals count, so nothing \
             was changed; decide it in Teleport."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;

        // A rule that the trait's link makes possible, written otherwise.
        let rule = "mode = \"resolver\"\nslack_user_id_trait = \"slack_uid\"\n[review.users]\nU0BOB = \"bob@example.com\"\n\
                    [[review.rule]]\nroles = \"*\"\napprovers = [\"Bob@Example.com\"]";
        let daemon = bed.start_with_review(Transport::Http, rule).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
            "The rule for role “dba” names “Bob@Example.com”, but you are “bob@example.com” in Teleport: capitals count, so \
             nothing was changed; an administrator must correct the rule."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}
