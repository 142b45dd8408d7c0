//! Decisions in Slack without faults: each transport, each mode, votes, reasons, and what messages show.

use std::time::Duration;

use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::submit::SubmitResult;
use access_sim::teleport::audit::AuditKind;
use access_sim::teleport::fixture::{Fixture, Rule};
use access_sim::teleport::presets::{PLUGIN_USER, plugin_rules};
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use access_sim::teleport::{Options, ServerVersion};
use serde_json::json;

use crate::harness::deciding::*;
use crate::harness::*;

/// Checks one decision by bob from the click to the reply, over `transport`.
async fn assert_decided_by_bob(transport: Transport, button: &str, state: RequestState, status: &str) {
    let (bed, daemon, id, message) = start_with_pending(transport, ANY_OF_THREE).await;
    let copy = bed.until_clickable(&daemon, "U0BOB", &id).await;
    assert_eq!((button_ids(&message), button_ids(&copy)), (vec!["approve", "deny"], vec!["approve", "deny"]));

    let done = if button == "approve" { "The request is approved." } else { "The request is denied." };
    assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, button).await, done);
    let request = bed.teleport.request(&id).unwrap();
    assert_eq!(request.state, state);
    let annotation = |name: &str| request.resolve_annotations.get(name).cloned().unwrap_or_default();
    assert_eq!(annotation("slack_user"), ["U0BOB"]);
    assert_eq!(annotation("slack_team"), ["T0DEMO"]);
    assert_eq!(annotation("slack_channel"), ["C0TEAM"]);
    assert_eq!(annotation("slack_message_ts"), [message.ts.as_str()]);
    let audit = bed.decision_events(&id);
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!((audit[0].kind, audit[0].delegator.as_deref()), (AuditKind::Update, Some(BOB)));
    assert_eq!(audit[0].user, PLUGIN_RW);

    for destination in ["C0TEAM", "U0BOB"] {
        let message = bed.until_status(&daemon, destination, &id, status).await;
        assert_eq!(button_ids(&message), Vec::<&str>::new(), "{destination}");
        assert!(
            block_text(&message, 3).contains("Decided by bob@example.com in Slack"),
            "{:?}",
            message.blocks
        );
        let replies = bed.until_replies(&daemon, &message, 1).await;
        assert!(
            replies[0].text.starts_with("bob@example.com reviewed the request in Slack"),
            "{}",
            replies[0].text
        );
    }
    let line = bed.until_logged(&daemon, "Handled an interaction slack_user=").await;
    for part in ["U0BOB", "bob@example.com", &id, "resolved"] {
        assert!(line.contains(part), "{line}");
    }
    bed.stop_and_check_secrets(daemon).await;
}

#[test]
fn an_approval_over_http() {
    run_in_process(assert_decided_by_bob(Transport::Http, "approve", RequestState::Approved, "✅ APPROVED"));
}

#[test]
fn an_approval_over_socket_mode() {
    run_in_process(assert_decided_by_bob(
        Transport::Socket,
        "approve",
        RequestState::Approved,
        "✅ APPROVED",
    ));
}

#[test]
fn a_denial_over_http() {
    run_in_process(assert_decided_by_bob(Transport::Http, "deny", RequestState::Denied, "❌ DENIED"));
}

#[test]
fn a_denial_over_socket_mode() {
    run_in_process(assert_decided_by_bob(Transport::Socket, "deny", RequestState::Denied, "❌ DENIED"));
}

#[test]
fn two_approvals_are_counted_and_the_second_decides() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let first = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert_eq!(first, "Your approval counts: 1 of 2 approvals.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending);
        let shows = |message: &MessageView| block_text(message, 3).contains("1 of 2 approvals");
        bed.until(&daemon, "1 of 2", || bed.message_about("C0TEAM", &id).filter(shows)).await;
        bed.until_replies(&daemon, &message, 1).await;
        let again = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert_eq!(again, "You already approved this request in Slack; that cannot be changed.");
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        bed.until_replies(&daemon, &message, 2).await;
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
        assert_eq!(bed.decision_events(&id).len(), 1);
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// Carol's request: Teleport requires two approvals and the rule one. Bob has pressed Approve.
async fn approved_once_of_two() -> (TestBed, Daemon, String, MessageView) {
    let bed = TestBed::with_review().await;
    let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
    let id = bed.teleport.request_access("carol@example.com", NewRequest::roles(&["admin"], "")).unwrap();
    let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
    let first = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
    assert_eq!(first, "Your approval counts: 1 of 2 approvals.");
    (bed, daemon, id, message)
}

#[test]
fn the_requests_own_threshold_holds_if_the_rule_requires_less() {
    run_in_process(async {
        let (bed, daemon, _, message) = approved_once_of_two().await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_vote_in_slack_and_a_review_in_teleport_decide_together() {
    run_in_process(async {
        let (bed, daemon, id, _) = approved_once_of_two().await;
        // Teleport counts it as the first of two, the daemon as the second. No user presses a button after it.
        bed.teleport.review(DAVE, &id, Decision::Approve, "fine").unwrap();
        let soon = Duration::from_secs(20);
        let is_approved = || (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(());
        bed.until_within(soon, &daemon, "the approval in Teleport", is_approved).await;
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["slack_user"], ["U0BOB"]);
        assert_eq!(bed.decision_events(&id).len(), 2, "the review, and the state that the daemon set");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_reason_is_asked_for_and_kept() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let (bed, daemon, id, message) =
                start_with_pending(transport, &with_reason_policy("required")).await;
            let seen = bed.press("U0BOB", &message, "deny").await;
            let view = opened_modal(&daemon, &seen).await;
            assert_eq!(view.title, "Deny the request");
            let empty = bed.slack.submit_view("U0BOB", &view.id, &[]).await.unwrap();
            assert!(matches!(empty.result, SubmitResult::Incomplete(_)), "{:?}", empty.result);
            bed.assert_untouched(&daemon, &id);
            let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "not *today*")]).await.unwrap();
            assert!(matches!(sent.result, SubmitResult::Closed), "{:?}", sent.result);
            assert_eq!(reply_text(&daemon, &sent.outcome).await, "The request is denied.");
            let request = bed.teleport.request(&id).unwrap();
            assert_eq!(request.resolve_reason, b"not *today*");
            bed.until(&daemon, "the reason in the message", || {
                bed.message_about("C0TEAM", &id)
                    .filter(|message| status_line(message).starts_with("*Status:* ❌ DENIED (not "))
            })
            .await;
            let replies = bed.until_replies(&daemon, &message, 1).await;
            assert!(replies[0].text.contains("\nReason: not "), "{}", replies[0].text);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_required_reason_of_blanks_keeps_the_modal_open() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let (bed, daemon, id, message) =
                start_with_pending(transport, &with_reason_policy("required")).await;
            let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
            for blank in [" \n ", "", "\u{2003}"] {
                let blanks = bed.slack.submit_view("U0BOB", &view.id, &[("reason", blank)]).unchecked();
                let sent = blanks.await.unwrap();
                let SubmitResult::Errors(errors) = &sent.result else {
                    panic!("{:?}\n{}", sent.result, daemon.log())
                };
                assert_eq!(errors["reason"], "This role cannot be decided without a reason.");
                assert!(sent.outcome.ephemerals().is_empty());
            }
            bed.assert_untouched(&daemon, &id);
            // The same modal, now with a reason.
            let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]).await.unwrap();
            assert!(matches!(sent.result, SubmitResult::Closed), "{:?}", sent.result);
            assert_eq!(reply_text(&daemon, &sent.outcome).await, "The request is approved.");
            assert_eq!(bed.teleport.request(&id).unwrap().resolve_reason, b"because");
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_modal_that_claims_to_need_no_reason_is_rejected() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &with_reason_policy("required")).await;
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        // Like a modal that was opened before the rule required a reason.
        let metadata = view.private_metadata.replace("\"q\":true", "\"q\":false");
        let other = Forgery::altered(Alteration::set("/view/private_metadata", json!(metadata)));
        let blanks = bed.slack.submit_view("U0BOB", &view.id, &[("reason", " ")]).unchecked();
        let sent = blanks.forged(other).await.unwrap();
        let expected = "This role cannot be decided without a reason; nothing was changed.";
        assert_eq!(reply_text(&daemon, &sent.outcome).await, expected);
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn an_optional_reason_may_be_left_out() {
    run_in_process(async {
        let (bed, daemon, id, _) = start_with_pending(Transport::Http, &with_reason_policy("optional")).await;
        let message = bed.until_clickable(&daemon, "U0BOB", &id).await;
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        let sent = bed.slack.submit_view("U0BOB", &view.id, &[]).await.unwrap();
        assert_eq!(reply_text(&daemon, &sent.outcome).await, "The request is approved.");
        assert_eq!(bed.teleport.request(&id).unwrap().resolve_reason, b"");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn roles_with_confirm_ask_before_the_decision() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &format!("{ANY_OF_THREE}\nconfirm = true")).await;
        let seen = bed.slack.click("U0BOB", &message.channel, &message.ts, "approve").await.unwrap();
        let question = seen.confirm().unwrap();
        assert_eq!(question.title, "Approve this request?");
        assert!(question.text.contains("alice@example.com") && question.text.contains("dba"), "{question:?}");
        assert!(bed.slack.interactions().is_empty());
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn without_rules_only_suggested_reviewers_decide() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let (links, _) = ANY_OF_THREE.split_once("[[review.rule]]").unwrap();
        let daemon = bed.start_with_review(Transport::Http, links).await;
        bed.until_logged(&daemon, "only a request's suggested reviewers may decide").await;
        let new = NewRequest { suggested_reviewers: vec![BOB.to_owned()], ..NewRequest::roles(&["dba"], "") };
        let id = bed.create_request_with(new);
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let view = bed.slack.click("U0DAVE", &message.channel, &message.ts, "approve").await.unwrap();
        assert_eq!(
            reply_text(&daemon, &view).await,
            "Only this request's suggested reviewers may decide it in Slack: bob@example.com."
        );
        bed.assert_untouched(&daemon, &id);
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn long_term_and_teleport_only_requests_have_no_buttons() {
    run_in_process(async {
        let options = Options { proxy_public_addr: "teleport.example.com:443".to_owned(), ..v18_options() };
        let bed = TestBed::with_options(options, full_workspace()).await;
        bed.sign_as(PLUGIN_USER);
        let only =
            "\n[[review.rule]]\nroles = [\"admin\"]\napprovers = [\"bob@example.com\"]\nteleport_only = true";
        let review = format!("{}{only}", ANY_OF_THREE.replace("resolver", "reviewer"));
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let lasting =
            bed.create_request_with(NewRequest { long_term: true, ..NewRequest::roles(&["dba"], "") });
        let sensitive = bed.create_request_with(NewRequest::roles(&["admin"], ""));
        let usual = bed.create_request();
        for (id, expected) in
            [(&lasting, vec!["open"]), (&sensitive, vec!["open"]), (&usual, vec!["approve", "deny", "open"])]
        {
            let message = bed.until_clickable(&daemon, "C0TEAM", id).await;
            assert_eq!(button_ids(&message), expected);
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// A cluster of the newest version in which the plugin may submit reviews for users and read users.
pub(crate) fn v18_options() -> Options {
    let mut fixture = Fixture::golden();
    let role = fixture.role_mut("access-plugin").unwrap();
    role.allow.submit_for_users = vec!["*".to_owned()];
    role.allow.rules = plugin_rules();
    let users =
        Rule { resources: vec!["user".to_owned()], verbs: vec!["list".to_owned(), "read".to_owned()] };
    role.allow.rules.push(users);
    fixture.user_mut(BOB).unwrap().traits.insert("slack_uid".to_owned(), vec!["U0BOB".to_owned()]);
    Options { advanced_access_workflows: true, ..Options::new(ServerVersion::V18, fixture) }
}

#[test]
fn auto_mode_submits_reviews_if_teleport_takes_them() {
    run_in_process(async {
        let bed = TestBed::with_options(v18_options(), full_workspace()).await;
        let review = "mode = \"auto\"\nslack_user_id_trait = \"slack_uid\"\n[review.users]\nU0ALICE = \"alice@example.com\"";
        let (daemon, id, message) = bed.start_with_buttons(Transport::Socket, review).await;
        let own = bed.press_for_reply(&daemon, "U0ALICE", &message, "approve").await;
        assert_eq!(own, "This is your own request; somebody else must decide it.");
        bed.assert_untouched(&daemon, &id);
        let done = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert_eq!(done, "The request is approved.");
        let audit = bed.decision_events(&id);
        assert_eq!(audit.len(), 1, "{audit:?}");
        assert_eq!(audit[0].kind, AuditKind::Review);
        assert_eq!(audit[0].reviewer.as_deref(), Some(BOB));
        assert_eq!(audit[0].submitted_by.as_deref(), Some(PLUGIN_USER));
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        assert_eq!(button_ids(&message), Vec::<&str>::new());
        bed.until_replies(&daemon, &message, 1).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn teleport_refuses_a_reviewer_without_the_right() {
    run_in_process(async {
        let bed = TestBed::with_options(v18_options(), full_workspace()).await;
        let review =
            "mode = \"auto\"\n[review.users]\nU0BOB = \"bob@example.com\"\nU0CAROL = \"carol@example.com\"";
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, review).await;
        let refused = bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await;
        assert_eq!(refused, "Teleport does not let you review this request; nothing was changed.");
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}
