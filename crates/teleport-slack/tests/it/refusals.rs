//! Refusals of clicks made in good faith. Each has a sentence of its own, which only this user sees, and changes
//! nothing. Attacks are in `attacks`, outages in `concurrency`.

use std::time::Duration;

use access_sim::slack::faults as slack;
use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::SlackUser;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::{Fixture, Rule, User};
use access_sim::teleport::refusal::{Code, RpcError};
use access_sim::teleport::request::{Decision, NewRequest, Raw, RequestState};
use access_sim::teleport::{Options, ServerVersion};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::concurrency::two_approvals;
use crate::deciding::v18_options;
use crate::harness::deciding::*;
use crate::harness::*;
use crate::modes::unapplied_approval;

/// Bob presses a stale button of request `id` on its `message`; `other` is a message that still has one.
async fn press_stale_button(
    bed: &TestBed,
    daemon: &Daemon,
    other: &MessageView,
    id: &str,
    message: &MessageView,
) -> String {
    let forgery = Forgery::altered(Alteration::value(id)).and(Alteration::message_ts(&message.ts));
    let click = bed.slack.click("U0BOB", &other.channel, &other.ts, "approve");
    reply_text(daemon, &click.confirmed().forged(forgery).await.unwrap()).await
}

#[test]
fn promoted_and_long_term_requests() {
    run_in_process(async {
        let bed = TestBed::with_options(v18_options(), full_workspace()).await;
        let review = ANY_OF_THREE.replace("resolver", "reviewer");
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let other = bed.create_request();
        let other = bed.until_clickable(&daemon, "C0TEAM", &other).await;

        let promoted = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &promoted).await;
        bed.teleport.promote(&promoted, "DBAs").unwrap();
        let sentence = "This request became membership of an access list; there is nothing left to decide.";
        assert_eq!(press_stale_button(&bed, &daemon, &other, &promoted, &message).await, sentence);
        assert_eq!(bed.teleport.request(&promoted).unwrap().state, RequestState::Promoted);

        let lasting =
            bed.create_request_with(NewRequest { long_term: true, ..NewRequest::roles(&["dba"], "") });
        let message = bed.until_clickable(&daemon, "C0TEAM", &lasting).await;
        let sentence = "This request is for lasting access; decide it in Teleport's web UI.";
        assert_eq!(press_stale_button(&bed, &daemon, &other, &lasting, &message).await, sentence);
        bed.assert_untouched(&daemon, &lasting);
        assert_eq!(bed.teleport.call_log().count(Method::SubmitAccessReview), 0);
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// The text of a message's blocks.
fn words(message: &MessageView) -> String {
    serde_json::to_string(&message.blocks).unwrap()
}

#[test]
fn unknown_values_of_a_newer_teleport_are_shown_and_not_decided() {
    for era in [ServerVersion::V6, ServerVersion::V18] {
        run_in_process(async move {
            let bed = TestBed::with_options(Options::new(era, Fixture::golden()), full_workspace()).await;
            bed.sign_as(PLUGIN_RW);
            let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
            let other = bed.create_request();
            let other = bed.until_clickable(&daemon, "C0TEAM", &other).await;

            // The message loses its buttons.
            let id = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            assert!(bed.teleport.set_raw(&id, Raw { state: Some(7), ..Raw::default() }));
            let shown = bed.until_status(&daemon, "C0TEAM", &id, "❔ UNKNOWN").await;
            assert!(!button_ids(&shown).iter().any(|id| ["approve", "deny"].contains(id)), "{shown:?}");
            let said = words(&shown);
            assert!(said.contains("does not know (7); look in Teleport what became of it"), "{said}");
            assert!(!said.contains("You have a new") && !said.contains("request approve"), "{said}");
            let sentence = "Teleport gives this request the state 7, which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.";
            assert_eq!(press_stale_button(&bed, &daemon, &other, &id, &message).await, sentence);
            bed.assert_untouched(&daemon, &id);
            // A daemon that starts in this state shows it too, and shows what follows.
            daemon.kill().await;
            let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
            bed.until_status(&daemon, "C0TEAM", &id, "❔ UNKNOWN").await;
            bed.teleport.set_raw(&id, Raw::default());
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            bed.assert_bob_can_approve(&daemon, &message, &id).await;

            let id = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            assert!(bed.teleport.set_raw(&id, Raw { kind: Some(9), ..Raw::default() }));
            let without_buttons = || {
                let message = bed.message_about("C0TEAM", &id)?;
                words(&message).contains("*Kind*: 9 (").then_some(message)
            };
            let shown = bed.until(&daemon, "a message that shows the kind", without_buttons).await;
            assert!(!button_ids(&shown).iter().any(|id| ["approve", "deny"].contains(id)), "{shown:?}");
            let said = words(&shown);
            assert!(said.contains("There is a request of a kind that I do not know:"), "{said}");
            assert!(!said.contains("request approve"), "{said}");
            let sentence = "This request is of the kind 9, which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.";
            assert_eq!(press_stale_button(&bed, &daemon, &other, &id, &message).await, sentence);
            bed.assert_untouched(&daemon, &id);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn an_unknown_review_lets_no_user_decide_twice() {
    run_in_process(async {
        let mut options = v18_options();
        options.fixture.role_mut("requester").unwrap().allow.request.thresholds = vec![two_approvals()];
        let bed = TestBed::with_options(options, full_workspace()).await;
        bed.sign_as(PLUGIN_RW);
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
        bed.teleport.set_raw(&id, Raw { proposed: Some(5), ..Raw::default() });
        bed.teleport.review(BOB, &id, Decision::Approve, "").unwrap();
        let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(reply.starts_with("Teleport has a review of this request that says 5, which"), "{reply}");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn uncovered_roles_and_roles_left_to_teleport_are_refused() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let only =
            "\n[[review.rule]]\nroles = [\"admin\"]\napprovers = [\"bob@example.com\"]\nteleport_only = true";
        let review = format!("{}{only}", ANY_OF_THREE.replace("roles = [\"*\"]", "roles = [\"dba\"]"));
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let other = bed.create_request();
        let other = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        for (role, sentence) in [
            ("prod-a", "No rule lets anybody decide on role “prod-a” in Slack; decide it in Teleport."),
            ("admin", "The rules leave this role to Teleport; open the request there to decide it."),
        ] {
            let id = bed.create_request_with(NewRequest::roles(&[role], ""));
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            assert_eq!(press_stale_button(&bed, &daemon, &other, &id, &message).await, sentence);
            bed.assert_untouched(&daemon, &id);
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

fn user(name: &str, slack_id: &str) -> User {
    let traits = [("slack_uid".to_owned(), vec![slack_id.to_owned()])];
    User {
        name: name.to_owned(),
        roles: vec!["reviewer".to_owned()],
        traits: traits.into(),
        ..User::default()
    }
}

/// A cluster with 500 more users; the trait maps bob to one user and dave to two.
fn options_with_many_users() -> Options {
    let mut options = v18_options();
    let more = |number: usize| user(&format!("user-{number}@example.com"), &format!("U0{number}"));
    options.fixture.users.extend((0..500).map(more));
    options.fixture.users.push(user("david@example.com", "U0DAVE"));
    set_slack_trait(&mut options.fixture, DAVE, "U0DAVE");
    options
}

fn set_slack_trait(fixture: &mut Fixture, name: &str, slack_id: &str) {
    let user = fixture.user_mut(name).unwrap();
    user.traits.insert("slack_uid".to_owned(), vec![slack_id.to_owned()]);
}

const BY_TRAIT: &str = "mode = \"reviewer\"\nslack_user_id_trait = \"slack_uid\"";

#[test]
fn the_trait_finds_users_without_listing_all_of_them_for_each_click() {
    run_in_process(async {
        let bed = TestBed::with_options(options_with_many_users(), full_workspace()).await;
        let daemon = bed.start_with_review(Transport::Http, BY_TRAIT).await;
        let mut messages = Vec::new();
        for _ in 0..5 {
            let id = bed.create_request();
            messages.push((bed.until_clickable(&daemon, "C0TEAM", &id).await, id));
        }
        let listings = || bed.teleport.call_log().count(Method::GetUsers);
        for (message, _) in &messages[..3] {
            assert_eq!(
                bed.press_for_reply(&daemon, "U0BOB", message, "approve").await,
                "The request is approved."
            );
        }
        assert_eq!(listings(), 1, "{}", daemon.log());
        let twice = "Your Slack account does not lead to exactly one Teleport user (dave@example.com, david@example.com); an administrator must correct the links.";
        assert_eq!(bed.press_for_reply(&daemon, "U0DAVE", &messages[3].0, "approve").await, twice);
        assert_eq!(listings(), 1, "{}", daemon.log());
        // A user without the trait is unmapped at once, although the list is still fresh.
        bed.teleport.edit_fixture(|fixture| {
            fixture.user_mut(BOB).unwrap().traits.clear();
            fixture.user_mut("david@example.com").unwrap().traits.clear();
        });
        let unlinked = bed.press_for_reply(&daemon, "U0BOB", &messages[3].0, "approve").await;
        assert!(unlinked.starts_with("Your Slack account is linked to no Teleport user"), "{unlinked}");
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &messages[4].0, "deny").await,
            "The request is denied."
        );
        bed.assert_untouched(&daemon, &messages[3].1);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn many_clicks_at_once_share_one_list_of_users() {
    run_in_process(async {
        let bed = TestBed::with_options(options_with_many_users(), full_workspace()).await;
        let daemon = bed.start_with_review(Transport::Http, BY_TRAIT).await;
        let mut messages = Vec::new();
        for _ in 0..10 {
            let id = bed.create_request();
            messages.push(bed.until_clickable(&daemon, "C0TEAM", &id).await);
        }
        let clicks = messages
            .iter()
            .map(|message| async { bed.press_for_reply(&daemon, "U0BOB", message, "approve").await });
        for text in futures_util::future::join_all(clicks).await {
            assert_eq!(text, "The request is approved.");
        }
        // One list for the first click, and at most one more for the clicks that came while it was read.
        assert!(bed.teleport.call_log().count(Method::GetUsers) <= 2, "{}", daemon.log());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn contradictory_or_dangling_user_mappings_are_refused() {
    run_in_process(async {
        let mut options = options_with_many_users();
        // Carol's user was removed when the single sign-on session ended.
        options.fixture.users.retain(|user| user.name != "carol@example.com");
        let bed = TestBed::with_options(options, full_workspace()).await;
        let review = format!(
            "{BY_TRAIT}\n[review.users]\nU0BOB = \"david@example.com\"\nU0CAROL = \"carol@example.com\""
        );
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your Slack account does not lead to exactly one Teleport user (bob@example.com, david@example.com); an administrator must correct the links."
        );
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
            "Teleport knows no user “carol@example.com” (capitals count); if you use single sign-on, sign in to Teleport once and try again."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn without_the_right_to_read_users_the_trait_finds_no_user() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let review = ANY_OF_THREE
            .replace("mode = \"resolver\"", "mode = \"resolver\"\nslack_user_id_trait = \"slack_uid\"");
        let review = review.replace("U0DAVE = \"dave@example.com\"", "");
        // The plugin's role may read requests but not users.
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        // Users in the table are refused too: the trait may say that the account is the requester's.
        for account in ["U0DAVE", "U0DAVE", "U0BOB"] {
            assert_eq!(
                bed.press_for_reply(&daemon, account, &message, "approve").await,
                "I may not read Teleport's users, so I cannot tell who you are there; an administrator must allow it."
            );
        }
        let line = bed.until_logged(&daemon, "Cannot map Slack users by slack_user_id_trait").await;
        assert!(line.contains("{resources: ['user'], verbs: ['list', 'read']}"), "{line}");
        assert_eq!(
            daemon.times_logged("Cannot map Slack users by slack_user_id_trait"),
            1,
            "{}",
            daemon.log()
        );
        bed.assert_untouched(&daemon, &id);
        bed.teleport.edit_fixture(|fixture| allow_users(fixture, true));
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

fn allow_users(fixture: &mut Fixture, is_allowed: bool) {
    let rules = &mut fixture.role_mut(PLUGIN_RW).unwrap().allow.rules;
    rules.retain(|rule| rule.resources != ["user"]);
    if is_allowed {
        let verbs = vec!["list".to_owned(), "read".to_owned()];
        rules.push(Rule { resources: vec!["user".to_owned()], verbs });
    }
}

#[test]
fn removing_the_right_to_read_users_lets_no_requester_decide() {
    let both = ANY_OF_THREE
        .replace("mode = \"resolver\"", "mode = \"resolver\"\nslack_user_id_trait = \"slack_uid\"");
    run_in_process(async move {
        let bed = TestBed::with_review().await;
        // By alice's trait, bob's Slack account belongs to alice.
        bed.teleport.edit_fixture(|fixture| {
            set_slack_trait(fixture, ALICE, "U0BOB");
            allow_users(fixture, true);
        });
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &both).await;
        let two = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(two.contains("(alice@example.com, bob@example.com)"), "{two}");
        bed.teleport.edit_fixture(|fixture| allow_users(fixture, false));
        let unread = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(unread.starts_with("I may not read Teleport's users"), "{unread}");
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn an_unknown_refusal_is_no_missing_permission_and_decides_nothing() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let words = format!("<!channel> the moon\nis full {}", "o".repeat(10_000));
        let no = Fault::Error(RpcError::new(Code::PermissionDenied, &words));
        for method in [Method::GetUser, Method::GetUsers] {
            bed.teleport.faults().inject(method, no.clone(), Repeat::UntilCleared);
        }
        let unread = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(unread.starts_with("I may not read Teleport's users"), "{unread}");
        let line = bed.until_logged(&daemon, "Teleport does not identify this user").await;
        assert!(line.contains("the moon") && line.contains("these words are not known here"), "{line}");
        assert!(line.len() < 2_000, "{line}");
        bed.assert_untouched(&daemon, &id);
        bed.teleport.faults().clear();
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_requester_does_not_decide_on_any_surface() {
    for way in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let bed = TestBed::with_review().await;
            let group = access_sim::slack::workspace::UserGroup {
                id: "S0DBA".to_owned(),
                handle: "dba".to_owned(),
                users: vec!["U0ALICE".to_owned(), "U0BOB".to_owned()],
                disabled: false,
            };
            bed.slack.put_group(group);
            let review = with_reason_policy("required");
            let review = review.replace("approvers = [", "approvers = [\"S0DBA\", ");
            let daemon = bed.start_with_review(way, &review).await;
            // Alice is suggested as a reviewer, which adds no message for alice.
            let suggested_reviewers = vec![ALICE.to_owned(), BOB.to_owned()];
            let id = bed
                .create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "") });
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let copy = bed.until_clickable(&daemon, "U0BOB", &id).await;
            let own = "This is your own request; somebody else must decide it.";
            for button in ["approve", "deny"] {
                assert_eq!(bed.press_for_reply(&daemon, "U0ALICE", &message, button).await, own);
            }
            // Alice presses the buttons of bob's message, as if alice had access to it.
            let forgery = Forgery::altered(Alteration::user("U0ALICE"));
            let click = bed.slack.click("U0BOB", &copy.channel, &copy.ts, "approve");
            click.forged(forgery).await.unwrap();
            let own_requests = || daemon.times_logged("result=refused reason=self_review");
            bed.until(&daemon, "a third refusal", || (own_requests() >= 3).then_some(())).await;
            // Alice submits bob's modal.
            let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
            let before = bed.slack.ephemerals("U0ALICE").len();
            let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]);
            sent.forged(Forgery::altered(Alteration::user("U0ALICE"))).await.unwrap();
            let answer = bed
                .until(&daemon, "an answer to alice", || bed.slack.ephemerals("U0ALICE").get(before).cloned())
                .await;
            assert_eq!(answer.text, own);
            bed.until(&daemon, "a fourth refusal", || (own_requests() >= 4).then_some(())).await;
            assert!(bed.messages_about("U0ALICE", &id).is_empty());
            bed.assert_untouched(&daemon, &id);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn an_expired_teleport_user_is_refused() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        bed.teleport.edit_fixture(|fixture| {
            let rules = &mut fixture.role_mut(PLUGIN_RW).unwrap().allow.rules;
            rules.push(Rule { resources: vec!["user".to_owned()], verbs: vec!["read".to_owned()] });
        });
        // The daemon reads two users for bob: the mapped one, and the one named like bob's address.
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").email("robert@example.com"));
        let review = ANY_OF_THREE.replace("mode =", "allow_email_username_match = true\nmode =");
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        // Bob's user exists when it is read, and expires before the other one is read.
        let faults = bed.teleport.faults();
        faults.inject(Method::GetUser, Fault::Delay(Duration::ZERO), Repeat::Next(1));
        faults.inject(Method::GetUser, Fault::Delay(Duration::from_secs(6)), Repeat::Next(1));
        let end = Timestamp::now() + SignedDuration::from_secs(4);
        bed.teleport.edit_fixture(|fixture| fixture.user_mut(BOB).unwrap().expires = Some(end));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your Teleport user “bob@example.com” has expired; sign in to Teleport once and try again."
        );
        assert!(Timestamp::now() > end);
        // Now Teleport has removed it.
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Teleport knows no user “bob@example.com” (capitals count); if you use single sign-on, sign in to Teleport once and try again."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_modal_that_opens_too_late_is_refused() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &with_reason_policy("required")).await;
        let expired = slack::Fault::Error("expired_trigger_id".to_owned());
        bed.slack.faults().add(slack::FaultRule::new("views.open", expired));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "This took too long and was canceled, so nothing was decided; try again."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn every_acknowledged_interaction_gets_a_reply() {
    let unreadable = ("a value that is a number", Alteration::set("/actions/0/value", json!(7)));
    let older =
        ("a button of another release", Alteration::set("/actions/0/action_id", json!("deny_request")));
    let shortcut = ("a shortcut", Alteration::set("/type", json!("message_action")));
    for (way, acts) in [
        // Over HTTP, Slack itself shows the user that an unreadable interaction failed.
        (Transport::Http, vec![older.clone(), shortcut.clone()]),
        (Transport::Socket, vec![unreadable, older, shortcut]),
    ] {
        run_in_process(async move {
            let (bed, daemon, id, message) = start_with_pending(way, ANY_OF_THREE).await;
            for (name, alteration) in acts {
                let click = bed.slack.click("U0BOB", &message.channel, &message.ts, "approve").confirmed();
                let seen = click.forged(Forgery::altered(alteration)).await.unwrap();
                assert!(seen.acknowledged(), "{name}");
                assert_eq!(reply_text(&daemon, &seen).await, UNKNOWN_ORIGIN_REPLY, "{name}");
            }
            bed.assert_untouched(&daemon, &id);
            bed.assert_bob_can_approve(&daemon, &message, &id).await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn an_unconfirmed_email_address_is_refused() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        bed.slack.put_user(SlackUser { email_confirmed: false, ..SlackUser::member("U0BOB", "bob") });
        let review = "mode = \"resolver\"\nallow_email_username_match = true";
        let daemon = bed.start_with_review(Transport::Http, review).await;
        let suggested_reviewers = vec![BOB.to_owned()];
        let id =
            bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "") });
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your e-mail address is not confirmed in Slack; confirm it and try again."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn pending_and_unreadable_votes_are_refused() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        // A little in the future, so that only the daemon that took it may apply it yet.
        let (id, message) = unapplied_approval(&bed, SignedDuration::from_secs(-55)).await;
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "deny").await,
            "This request already has enough approvals and is being updated in Teleport; nothing was changed."
        );
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "You already approved this request in Slack; that cannot be changed."
        );
        assert!(bed.decision_events(&id).is_empty());

        let other = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        let mut record = bed.record(&other);
        record.insert("x_votes".to_owned(), "{\"v\":9,\"l\":[]}".to_owned());
        let bytes = record.into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect();
        bed.teleport.set_plugin_data(&other, "slack", bytes).unwrap();
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "This request's votes cannot be read or are full, so nothing was counted; decide it in Teleport."
        );
        assert!(bed.decision_events(&other).is_empty());
        bed.stop_and_check_secrets(daemon).await;
    });
}
