//! Concurrent and repeated clicks, and clicks while Teleport or Slack fail: each user's decision counts once or not at
//! all, and the reply says which.

use std::time::Duration;

use access_sim::slack::faults as slack;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::socket::SocketSelector;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::Threshold;
use access_sim::teleport::request::RequestState;
use serde_json::json;

use crate::deciding::v18_options;
use crate::harness::deciding::*;
use crate::harness::*;

#[test]
fn a_double_click_counts_once() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Socket, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let (one, two) =
            tokio::join!(bed.press("U0BOB", &message, "approve"), bed.press("U0BOB", &message, "approve"));
        // Both clicks are the same user's, and either reply may come first.
        let replies = bed
            .until(&daemon, "two answers", || {
                let mut replies: Vec<_> = bed.slack.ephemerals("U0BOB").into_iter().map(|m| m.text).collect();
                replies.sort();
                (replies.len() == 2).then_some(replies)
            })
            .await;
        assert_eq!(
            replies,
            [
                "You already approved this request in Slack; that cannot be changed.",
                "Your approval counts: 1 of 2 approvals."
            ]
        );
        assert_ne!(one.seq(), two.seq());
        assert!(bed.decision_events(&id).is_empty());
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// Two users press at once; returns the reply to each.
async fn press_at_once(
    bed: &TestBed,
    daemon: &Daemon,
    message: &MessageView,
    buttons: [&str; 2],
) -> [String; 2] {
    let (bob, dave) =
        tokio::join!(bed.press("U0BOB", message, buttons[0]), bed.press("U0DAVE", message, buttons[1]));
    [reply_text(daemon, &bob).await, reply_text(daemon, &dave).await]
}

#[test]
fn two_concurrent_votes_both_count_and_decide_once() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let daemon = bed.start_with_review(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        for _ in 0..8 {
            let id = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let mut replies = press_at_once(&bed, &daemon, &message, ["approve", "approve"]).await;
            replies.sort();
            assert_eq!(replies, ["The request is approved.", "Your approval counts: 1 of 2 approvals."]);
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            let mut users = bed.teleport.request(&id).unwrap().resolve_annotations["teleport_users"].clone();
            users.sort();
            assert_eq!(users, [BOB, DAVE]);
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_concurrent_approval_and_denial_leave_one_lasting_decision() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        for _ in 0..8 {
            let id = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let [bob, dave] = press_at_once(&bed, &daemon, &message, ["approve", "deny"]).await;
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            let (won, lost, words) = match bed.teleport.request(&id).unwrap().state {
                RequestState::Approved => (bob, dave, "approved"),
                RequestState::Denied => (dave, bob, "denied"),
                other => panic!("{other:?}"),
            };
            assert_eq!(won, format!("The request is {words}."));
            assert!(lost.ends_with("nothing was changed.") && lost.contains(words), "{lost}");
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn two_daemons_lose_and_duplicate_no_vote() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let review = format!("{ANY_OF_THREE}\napprovals = 2");
        let first = bed.start_with_review(Transport::Http, &review).await;
        let first_url = callback_url(&bed, &first).await;
        let second = bed.start_with_review(Transport::Http, &review).await;
        let second_url = callback_url(&bed, &second).await;
        for _ in 0..8 {
            let id = bed.create_request();
            let messages = bed
                .until(&first, "a message", || {
                    Some(bed.messages_about("C0TEAM", &id)).filter(|messages| !messages.is_empty())
                })
                .await;
            let name = |message: &MessageView| format!("{}/{}", message.channel, message.ts);
            bed.until_recorded(&first, &id, |record| field(record, "messages").contains(&name(&messages[0])))
                .await;
            let message = &messages[0];
            // Each click is in flight before the other gets a reply.
            let press = async |url: &str, user: &str| {
                bed.slack.set_request_url(Some(url));
                bed.slack.click(user, &message.channel, &message.ts, "approve").await.unwrap()
            };
            let (one, two) = tokio::join!(press(&first_url, "U0BOB"), press(&second_url, "U0DAVE"));
            let mut answers = [reply_text(&first, &one).await, reply_text(&second, &two).await];
            answers.sort();
            assert_eq!(answers, ["The request is approved.", "Your approval counts: 1 of 2 approvals."]);
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            let mut users = bed.teleport.request(&id).unwrap().resolve_annotations["teleport_users"].clone();
            users.sort();
            assert_eq!(users, [BOB, DAVE]);
        }
        for daemon in [&first, &second] {
            bed.until_interactions(daemon, 8).await;
        }
        bed.stop_and_check_secrets(first).await;
        bed.stop_and_check_secrets(second).await;
    });
}

#[test]
fn a_click_during_a_teleport_outage_gets_a_reply_and_is_not_applied() {
    const AWAY: &str = "Teleport does not answer, so nothing was decided; try again in a minute.";
    const SLOW: &str = "This took too long and was canceled, so nothing was decided; try again.";
    const UNSURE: &str =
        "Teleport did not confirm your approval in time; watch the message, it shows what counted.";
    for (method, fault, sentence) in [
        (Method::GetAccessRequests, Fault::unavailable(), AWAY),
        (Method::GetAccessRequests, Fault::Hang, SLOW),
        (Method::GetPluginData, Fault::unavailable(), AWAY),
        (Method::GetPluginData, Fault::Hang, SLOW),
        // A write without an answer is below: its outcome is unknown.
        (Method::UpdatePluginData, Fault::unavailable(), UNSURE),
    ] {
        run_in_process(async move {
            let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
            bed.teleport.faults().inject(method, fault, Repeat::UntilCleared);
            assert_eq!(
                bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
                sentence,
                "{}",
                daemon.log()
            );
            bed.assert_untouched(&daemon, &id);
            bed.teleport.faults().clear();
            bed.assert_bob_can_approve(&daemon, &message, &id).await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_click_without_any_teleport_gets_a_reply_and_is_never_applied() {
    for way in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let (bed, daemon, id, message) = start_with_pending(way, ANY_OF_THREE).await;
            bed.teleport.stop().await;
            let text = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert!(text.contains("so nothing was decided; try again"), "{text}");
            bed.teleport.restart().await.unwrap();
            // The daemon catches up, and by then would have applied a click that it had stored.
            let later = bed.create_request();
            bed.until_clickable(&daemon, "C0TEAM", &later).await;
            bed.assert_untouched(&daemon, &id);
            bed.assert_bob_can_approve(&daemon, &message, &id).await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn an_outage_in_the_last_step_lets_the_decision_apply_once_and_the_reply_says_so() {
    for fault in [Fault::unavailable(), Fault::LoseResponse] {
        run_in_process(async move {
            let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
            bed.teleport.faults().inject(Method::SetAccessRequestState, fault.clone(), Repeat::Next(1));
            let text = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            let later = "Your approval is recorded, but Teleport does not answer; the request will be approved as soon as it does.";
            assert!(text == later || text == "The request is approved.", "{text}");
            bed.until_within(Duration::from_secs(90), &daemon, "the approval", || {
                (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(())
            })
            .await;
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            assert_eq!(decided[0].delegator.as_deref(), Some(BOB));
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_vote_written_without_an_answer_counts_once() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        for (user, sentence) in
            [("U0BOB", "Your approval counts: 1 of 2 approvals."), ("U0DAVE", "The request is approved.")]
        {
            bed.teleport.faults().inject(Method::UpdatePluginData, Fault::LoseResponse, Repeat::Next(1));
            assert_eq!(
                bed.press_for_reply(&daemon, user, &message, "approve").await,
                sentence,
                "{}",
                daemon.log()
            );
            bed.teleport.faults().clear();
        }
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
        assert_eq!(bed.decision_events(&id).len(), 1);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_click_acknowledged_before_the_stop_is_applied() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let slow = Fault::Delay(Duration::from_secs(1));
        bed.teleport.faults().inject(Method::GetAccessRequests, slow, Repeat::UntilCleared);
        let seen = bed.press("U0BOB", &message, "approve").await;
        bed.stop_and_check_secrets(daemon).await;
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
        assert_eq!(seen.ephemerals()[0].text, "The request is approved.");
    });
}

/// A pending request on a cluster that takes reviews for bob and dave from the plugin, but not for carol.
async fn pending_with_reviews(review: &str) -> (TestBed, Daemon, String, MessageView) {
    let mut options = v18_options();
    let role = options.fixture.role_mut("access-plugin").unwrap();
    role.allow.submit_for_users = vec![BOB.to_owned(), DAVE.to_owned()];
    options.fixture.role_mut("requester").unwrap().allow.request.thresholds = vec![two_approvals()];
    let bed = TestBed::with_options(options, full_workspace()).await;
    let (daemon, id, message) = bed.start_with_buttons(Transport::Http, review).await;
    (bed, daemon, id, message)
}

pub(crate) fn two_approvals() -> Threshold {
    Threshold { approve: 2, deny: 1, ..Threshold::default() }
}

const MORE_REVIEWS_REPLY: &str = "Your approval is recorded in Teleport; the request waits for more reviews.";

#[test]
fn reviews_are_submitted_once_each() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            pending_with_reviews(&ANY_OF_THREE.replace("resolver", "reviewer")).await;
        bed.teleport.faults().inject(Method::SubmitAccessReview, Fault::LoseResponse, Repeat::Next(1));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            MORE_REVIEWS_REPLY,
            "{}",
            daemon.log()
        );
        let again = "You already approved this request in Teleport; that cannot be changed.";
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "deny").await, again);
        let (one, two) =
            tokio::join!(bed.press("U0DAVE", &message, "approve"), bed.press("U0DAVE", &message, "approve"));
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        reply_text(&daemon, &one).await;
        reply_text(&daemon, &two).await;
        let reviewers: Vec<_> =
            bed.decision_events(&id).into_iter().filter_map(|line| line.reviewer).collect();
        assert_eq!(reviewers, [BOB, DAVE]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_rules_do_not_bypass_teleports_refusal() {
    run_in_process(async {
        let review =
            ANY_OF_THREE.replace("resolver", "auto").replace("\"bob@", "\"carol@example.com\", \"bob@");
        let review = review.replacen("U0BOB = \"carol@example.com\", ", "U0BOB = ", 1);
        let (bed, daemon, id, message) = pending_with_reviews(&review).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, MORE_REVIEWS_REPLY);
        // A rule names carol, but Teleport takes no review for carol from this plugin.
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
            "Teleport does not let me submit a review for you (“carol@example.com”), so nothing was changed; decide it in Teleport."
        );
        assert_eq!(bed.decision_events(&id).len(), 1);
        assert_eq!(field(&bed.record(&id), "x_votes"), "");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn nothing_is_decided_while_slack_does_not_identify_the_user() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        for error in [
            slack::Fault::Error("fatal_error".to_owned()),
            slack::Fault::Status { status: 503, body: String::new() },
            slack::Fault::NotJson,
            slack::Fault::Hang,
        ] {
            bed.slack.faults().add(slack::FaultRule::new("users.info", error.clone()));
            let text = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert!(text.contains("nothing was decided"), "{error:?}: {text}");
            bed.assert_untouched(&daemon, &id);
            bed.slack.faults().clear();
        }
        // The reply takes another route if the first one fails.
        let refused = slack::Fault::Status { status: 404, body: "no_hook".to_owned() };
        bed.slack.faults().add(slack::FaultRule::new("response_url", refused));
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_redelivered_envelope_is_not_applied_again() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Socket, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let seen = bed.press("U0BOB", &message, "approve").await;
        assert_eq!(reply_text(&daemon, &seen).await, "Your approval counts: 1 of 2 approvals.");
        let payload = bed.slack.interaction(seen.seq().unwrap()).unwrap().payload;
        let both = || (bed.slack.sockets().count() == 2).then_some(());
        bed.until(&daemon, "both connections", both).await;
        // Once as Slack does after a lost acknowledgement, once with another envelope id.
        for envelope_id in ["7f1c0e0e-0000-4000-8000-000000000001", "7f1c0e0e-0000-4000-8000-000000000002"] {
            let envelope = json!({
                "envelope_id": envelope_id, "type": "interactive", "accepts_response_payload": false,
                "payload": payload, "retry_attempt": 1, "retry_reason": "timeout",
            });
            bed.slack.sockets().send_text(SocketSelector::All, &envelope.to_string());
        }
        // Each over both connections: the first of each is handed on, and known by what it says.
        let again = || {
            ["An envelope came again and was only acknowledged", "An interaction was delivered again"]
                .map(|line| daemon.times_logged(line))
        };
        bed.until(&daemon, "four repetitions", || (again() == [2, 2]).then_some(())).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        bed.until_interactions(&daemon, 2).await;
        assert_eq!(bed.slack.ephemerals("U0BOB").len(), 1);
        assert_eq!(bed.decision_events(&id).len(), 1);
        bed.stop_and_check_secrets(daemon).await;
    });
}
