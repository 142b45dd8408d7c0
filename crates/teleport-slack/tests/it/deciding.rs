//! Deciding in Slack, as it should go: each way for clicks, each mode, votes, reasons, and what is drawn.

use std::time::Duration;

use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::people::submit::Answer;
use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::audit::AuditKind;
use access_sim::teleport::presets::{PLUGIN_USER, plugin_rules};
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use access_sim::teleport::world::{Rule, World};
use access_sim::teleport::{Era, Options};
use serde_json::json;

use crate::support::deciding::*;
use crate::support::*;

/// The whole of one decision by bob, over `way`.
async fn decided_by_one(way: Way, button: &str, state: RequestState, status: &str) {
    let (bed, daemon, id, card) = pending(way, ANY_OF_THREE).await;
    let copy = bed.until_clickable(&daemon, "U0BOB", &id).await;
    assert_eq!((buttons(&card), buttons(&copy)), (vec!["approve", "deny"], vec!["approve", "deny"]));

    let done = if button == "approve" { "The request is approved." } else { "The request is denied." };
    assert_eq!(bed.told(&daemon, "U0BOB", &card, button).await, done);
    let request = bed.teleport.request(&id).unwrap();
    assert_eq!(request.state, state);
    let annotation = |name: &str| request.resolve_annotations.get(name).cloned().unwrap_or_default();
    assert_eq!(annotation("slack_user"), ["U0BOB"]);
    assert_eq!(annotation("slack_team"), ["T0DEMO"]);
    assert_eq!(annotation("slack_channel"), ["C0TEAM"]);
    assert_eq!(annotation("slack_message_ts"), [card.ts.as_str()]);
    let audit = bed.decided(&id);
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!((audit[0].kind, audit[0].delegator.as_deref()), (AuditKind::Update, Some(BOB)));
    assert_eq!(audit[0].user, PLUGIN_RW);

    for place in ["C0TEAM", "U0BOB"] {
        let card = bed.until_status(&daemon, place, &id, status).await;
        assert_eq!(buttons(&card), Vec::<&str>::new(), "{place}");
        assert!(block_text(&card, 3).contains("Decided by bob@example.com in Slack"), "{:?}", card.blocks);
        let replies = bed.until_replies(&daemon, &card, 1).await;
        assert!(
            replies[0].text.starts_with("bob@example.com reviewed the request in Slack"),
            "{}",
            replies[0].text
        );
    }
    let line = bed.until_logged(&daemon, "Click slack_user=").await;
    for part in ["U0BOB", "bob@example.com", &id, "resolved"] {
        assert!(line.contains(part), "{line}");
    }
    bed.end(daemon).await;
}

#[test]
fn an_approval_over_http() {
    story(decided_by_one(Way::Http, "approve", RequestState::Approved, "✅ APPROVED"));
}

#[test]
fn an_approval_over_socket_mode() {
    story(decided_by_one(Way::Socket, "approve", RequestState::Approved, "✅ APPROVED"));
}

#[test]
fn a_denial_over_http() {
    story(decided_by_one(Way::Http, "deny", RequestState::Denied, "❌ DENIED"));
}

#[test]
fn a_denial_over_socket_mode() {
    story(decided_by_one(Way::Socket, "deny", RequestState::Denied, "❌ DENIED"));
}

#[test]
fn two_approvals_are_counted_and_the_second_decides() {
    story(async {
        let (bed, daemon, id, card) = pending(Way::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let first = bed.told(&daemon, "U0BOB", &card, "approve").await;
        assert_eq!(first, "Your approval counts: 1 of 2 approvals.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending);
        let shows = |card: &access_sim::slack::snapshot::MessageView| {
            block_text(card, 3).contains("1 of 2 approvals")
        };
        bed.until(&daemon, "1 of 2", || bed.card("C0TEAM", &id).filter(shows)).await;
        bed.until_replies(&daemon, &card, 1).await;
        let again = bed.told(&daemon, "U0BOB", &card, "approve").await;
        assert_eq!(again, "You already approved this request in Slack; that cannot be changed.");
        assert_eq!(bed.told(&daemon, "U0DAVE", &card, "approve").await, "The request is approved.");
        let card = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        bed.until_replies(&daemon, &card, 2).await;
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
        assert_eq!(bed.decided(&id).len(), 1);
        bed.end(daemon).await;
    });
}

/// Carol's request, for which Teleport wants two approvals and the rule one; bob has pressed Approve.
async fn after_the_first_of_two() -> (Bed, Daemon, String, MessageView) {
    let bed = Bed::deciding().await;
    let daemon = bed.start_deciding(Way::Http, ANY_OF_THREE).await;
    let id = bed.teleport.request_access("carol@example.com", NewRequest::roles(&["admin"], "")).unwrap();
    let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
    let first = bed.told(&daemon, "U0BOB", &card, "approve").await;
    assert_eq!(first, "Your approval counts: 1 of 2 approvals.");
    (bed, daemon, id, card)
}

#[test]
fn the_requests_own_threshold_holds_where_the_rule_asks_for_less() {
    story(async {
        let (bed, daemon, _, card) = after_the_first_of_two().await;
        assert_eq!(bed.told(&daemon, "U0DAVE", &card, "approve").await, "The request is approved.");
        bed.end(daemon).await;
    });
}

#[test]
fn a_vote_in_slack_and_a_review_in_teleport_decide_together() {
    story(async {
        let (bed, daemon, id, _) = after_the_first_of_two().await;
        // For Teleport it is the first of two, for us the second; nobody presses anything after it.
        bed.teleport.review(DAVE, &id, Decision::Approve, "fine").unwrap();
        let soon = Duration::from_secs(20);
        let is_approved = || (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(());
        bed.until_within(soon, &daemon, "the approval in Teleport", is_approved).await;
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["slack_user"], ["U0BOB"]);
        assert_eq!(bed.decided(&id).len(), 2, "the review, and what we set");
        bed.end(daemon).await;
    });
}

#[test]
fn a_reason_is_asked_for_and_kept() {
    for way in [Way::Http, Way::Socket] {
        story(async move {
            let (bed, daemon, id, card) = pending(way, &asking("required")).await;
            let seen = bed.press("U0BOB", &card, "deny").await;
            let view = dialogue(&daemon, &seen).await;
            assert_eq!(view.title, "Deny the request");
            let empty = bed.slack.submit_view("U0BOB", &view.id, &[]).await.unwrap();
            assert!(matches!(empty.answer, Answer::Incomplete(_)), "{:?}", empty.answer);
            bed.assert_untouched(&daemon, &id);
            let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "not *today*")]).await.unwrap();
            assert!(matches!(sent.answer, Answer::Closed), "{:?}", sent.answer);
            assert_eq!(told(&daemon, &sent.seen).await, "The request is denied.");
            let request = bed.teleport.request(&id).unwrap();
            assert_eq!(request.resolve_reason, b"not *today*");
            bed.until(&daemon, "the reason on the card", || {
                bed.card("C0TEAM", &id)
                    .filter(|card| status_line(card).starts_with("*Status:* ❌ DENIED (not "))
            })
            .await;
            let replies = bed.until_replies(&daemon, &card, 1).await;
            assert!(replies[0].text.contains("\nReason: not "), "{}", replies[0].text);
            bed.end(daemon).await;
        });
    }
}

#[test]
fn a_required_reason_of_blanks_keeps_the_dialogue_open() {
    for way in [Way::Http, Way::Socket] {
        story(async move {
            let (bed, daemon, id, card) = pending(way, &asking("required")).await;
            let view = dialogue(&daemon, &bed.press("U0BOB", &card, "approve").await).await;
            for blank in [" \n ", "", "\u{2003}"] {
                let blanks = bed.slack.submit_view("U0BOB", &view.id, &[("reason", blank)]).unchecked();
                let sent = blanks.await.unwrap();
                let Answer::Errors(errors) = &sent.answer else {
                    panic!("{:?}\n{}", sent.answer, daemon.log())
                };
                assert_eq!(errors["reason"], "This role cannot be decided without a reason.");
                assert!(sent.seen.ephemerals().is_empty());
            }
            bed.assert_untouched(&daemon, &id);
            // The same dialogue, now with a reason.
            let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]).await.unwrap();
            assert!(matches!(sent.answer, Answer::Closed), "{:?}", sent.answer);
            assert_eq!(told(&daemon, &sent.seen).await, "The request is approved.");
            assert_eq!(bed.teleport.request(&id).unwrap().resolve_reason, b"because");
            bed.end(daemon).await;
        });
    }
}

#[test]
fn a_dialogue_that_says_it_needs_no_reason_is_not_believed() {
    story(async {
        let (bed, daemon, id, card) = pending(Way::Http, &asking("required")).await;
        let view = dialogue(&daemon, &bed.press("U0BOB", &card, "approve").await).await;
        // As one that was drawn before the rule asked for a reason.
        let metadata = view.private_metadata.replace("\"q\":true", "\"q\":false");
        let other = Forgery::altered(Alteration::set("/view/private_metadata", json!(metadata)));
        let blanks = bed.slack.submit_view("U0BOB", &view.id, &[("reason", " ")]).unchecked();
        let sent = blanks.forged(other).await.unwrap();
        let expected = "This role cannot be decided without a reason; nothing was changed.";
        assert_eq!(told(&daemon, &sent.seen).await, expected);
        bed.assert_untouched(&daemon, &id);
        bed.end(daemon).await;
    });
}

#[test]
fn an_optional_reason_may_be_left_out() {
    story(async {
        let (bed, daemon, id, _) = pending(Way::Http, &asking("optional")).await;
        let card = bed.until_clickable(&daemon, "U0BOB", &id).await;
        let view = dialogue(&daemon, &bed.press("U0BOB", &card, "approve").await).await;
        let sent = bed.slack.submit_view("U0BOB", &view.id, &[]).await.unwrap();
        assert_eq!(told(&daemon, &sent.seen).await, "The request is approved.");
        assert_eq!(bed.teleport.request(&id).unwrap().resolve_reason, b"");
        bed.end(daemon).await;
    });
}

#[test]
fn dangerous_roles_ask_whether_one_is_sure() {
    story(async {
        let (bed, daemon, id, card) = pending(Way::Http, &format!("{ANY_OF_THREE}\nconfirm = true")).await;
        let seen = bed.slack.click("U0BOB", &card.channel, &card.ts, "approve").await.unwrap();
        let question = seen.confirm().unwrap();
        assert_eq!(question.title, "Approve this request?");
        assert!(question.text.contains("alice@example.com") && question.text.contains("dba"), "{question:?}");
        assert!(bed.slack.interactions().is_empty());
        bed.assert_bob_can(&daemon, &card, &id).await;
        bed.end(daemon).await;
    });
}

#[test]
fn without_rules_only_suggested_reviewers_decide() {
    story(async {
        let bed = Bed::deciding().await;
        let (links, _) = ANY_OF_THREE.split_once("[[review.rule]]").unwrap();
        let daemon = bed.start_deciding(Way::Http, links).await;
        bed.until_logged(&daemon, "only a request's suggested reviewers may decide").await;
        let new = NewRequest { suggested_reviewers: vec![BOB.to_owned()], ..NewRequest::roles(&["dba"], "") };
        let id = bed.ask_for(new);
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let view = bed.slack.click("U0DAVE", &card.channel, &card.ts, "approve").await.unwrap();
        assert_eq!(
            told(&daemon, &view).await,
            "Only this request's suggested reviewers may decide it in Slack: bob@example.com."
        );
        bed.assert_untouched(&daemon, &id);
        bed.assert_bob_can(&daemon, &card, &id).await;
        bed.end(daemon).await;
    });
}

#[test]
fn long_term_and_teleport_only_requests_have_no_buttons() {
    story(async {
        let options = Options { proxy_public_addr: "teleport.example.com:443".to_owned(), ..newest() };
        let bed = Bed::with(options, crowd()).await;
        bed.sign_as(PLUGIN_USER);
        let only =
            "\n[[review.rule]]\nroles = [\"admin\"]\napprovers = [\"bob@example.com\"]\nteleport_only = true";
        let review = format!("{}{only}", ANY_OF_THREE.replace("resolver", "reviewer"));
        let daemon = bed.start_deciding(Way::Http, &review).await;
        let lasting = bed.ask_for(NewRequest { long_term: true, ..NewRequest::roles(&["dba"], "") });
        let sensitive = bed.ask_for(NewRequest::roles(&["admin"], ""));
        let usual = bed.ask();
        for (id, expected) in
            [(&lasting, vec!["open"]), (&sensitive, vec!["open"]), (&usual, vec!["approve", "deny", "open"])]
        {
            let card = bed.until_clickable(&daemon, "C0TEAM", id).await;
            assert_eq!(buttons(&card), expected);
        }
        bed.end(daemon).await;
    });
}

/// A cluster of the newest era in which the plugin may submit reviews for people and read users.
pub(crate) fn newest() -> Options {
    let mut world = World::golden();
    let role = world.role_mut("access-plugin").unwrap();
    role.allow.submit_for_users = vec!["*".to_owned()];
    role.allow.rules = plugin_rules();
    let users =
        Rule { resources: vec!["user".to_owned()], verbs: vec!["list".to_owned(), "read".to_owned()] };
    role.allow.rules.push(users);
    world.user_mut(BOB).unwrap().traits.insert("slack_uid".to_owned(), vec!["U0BOB".to_owned()]);
    Options { advanced_access_workflows: true, ..Options::new(Era::Newest, world) }
}

#[test]
fn teleport_judges_reviews_where_it_takes_them() {
    story(async {
        let bed = Bed::with(newest(), crowd()).await;
        let review = "mode = \"auto\"\nslack_user_id_trait = \"slack_uid\"\n[review.users]\nU0ALICE = \"alice@example.com\"";
        let daemon = bed.start_deciding(Way::Socket, review).await;
        let id = bed.ask();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let own = bed.told(&daemon, "U0ALICE", &card, "approve").await;
        assert_eq!(own, "This is your own request; somebody else must decide it.");
        bed.assert_untouched(&daemon, &id);
        let done = bed.told(&daemon, "U0BOB", &card, "approve").await;
        assert_eq!(done, "The request is approved.");
        let audit = bed.decided(&id);
        assert_eq!(audit.len(), 1, "{audit:?}");
        assert_eq!(audit[0].kind, AuditKind::Review);
        assert_eq!(audit[0].reviewer.as_deref(), Some(BOB));
        assert_eq!(audit[0].submitted_by.as_deref(), Some(PLUGIN_USER));
        let card = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        assert_eq!(buttons(&card), Vec::<&str>::new());
        bed.until_replies(&daemon, &card, 1).await;
        bed.end(daemon).await;
    });
}

#[test]
fn teleport_refuses_a_reviewer_whom_it_does_not_let_review() {
    story(async {
        let bed = Bed::with(newest(), crowd()).await;
        let review =
            "mode = \"auto\"\n[review.users]\nU0BOB = \"bob@example.com\"\nU0CAROL = \"carol@example.com\"";
        let daemon = bed.start_deciding(Way::Http, review).await;
        let id = bed.ask();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let refused = bed.told(&daemon, "U0CAROL", &card, "approve").await;
        assert_eq!(refused, "Teleport does not let you review this request; nothing was changed.");
        bed.assert_untouched(&daemon, &id);
        bed.end(daemon).await;
    });
}
